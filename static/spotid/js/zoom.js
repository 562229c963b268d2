// Zooming and panning of photographs: wheel, drag, pinch, double click, keys. Two stages can move together.

import { decimal } from "./text.js";

const MOST = 12;

export class Stage {
  /** @param {HTMLElement} element @param {(stage: Stage) => void} moved called after every change */
  constructor(element, moved) {
    this.element = element;
    this.layer = element.querySelector(".layer");
    this.moved = moved;
    this.scale = 1;
    this.x = 0; // of the layer's corner, as a fraction of the stage
    this.y = 0;
    this.turn = 0; // degrees, of what lies in the layer
    this.pointers = new Map();
    this.label = document.createElement("span");
    this.label.className = "scale";
    this.label.hidden = true;
    element.append(this.label);
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("dblclick", (event) => this.#toggle(event));
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, (event) => this.#up(event));
  }

  /** Zoom by a factor about a point given in fractions of the stage. */
  zoom(factor, at = { x: 0.5, y: 0.5 }) {
    const scale = Math.min(MOST, Math.max(1, this.scale * factor));
    const change = scale / this.scale;
    this.set(scale, at.x - (at.x - this.x) * change, at.y - (at.y - this.y) * change);
    this.moved(this);
  }

  reset() {
    this.set(1, 0, 0);
    this.moved(this);
  }

  /** Take a position without telling anybody. */
  set(scale, x, y) {
    this.scale = scale;
    this.x = Math.min(0, Math.max(1 - scale, x));
    this.y = Math.min(0, Math.max(1 - scale, y));
    this.layer.style.transform = `translate(${this.x * 100}%, ${this.y * 100}%) scale(${scale})`;
    this.element.classList.toggle("zoomed", scale > 1.001);
    if (scale > 1.2) this.#sharpen();
    this.label.hidden = scale <= 1.001;
    this.label.textContent = `${decimal(scale, 1)}×`;
    this.tell();
  }

  /** Tell who draws by this stage that it looks different now. */
  tell() {
    this.element.dispatchEvent(new Event("moved"));
  }

  /** A copy that fits the screen gives way to the picture itself. */
  async #sharpen() {
    const shown = this.layer.querySelector("img");
    const copy = shown?.getAttribute("src");
    const whole = copy?.replace(/(\/media\/\w+\/\d+\/)\d+\/$/, "$1");
    if (!copy || whole === copy || this.fetching === whole) return;
    this.fetching = whole;
    const better = new Image();
    better.src = whole;
    try { await better.decode(); } catch { this.fetching = ""; return; } // the copy stays
    if (shown.getAttribute("src") === copy) shown.src = whole;
  }

  #at(event) {
    const box = this.element.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #wheel(event) {
    // Scrolling down past a photo that is not zoomed must stay scrolling.
    if (this.scale === 1 && event.deltaY > 0) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)), this.#at(event));
  }

  #toggle(event) {
    if (this.scale > 1.001) this.reset();
    else this.zoom(2.5, this.#at(event));
  }

  #down(event) {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, this.#at(event));
    if (this.scale > 1.001 || this.pointers.size > 1) {
      this.element.setPointerCapture(event.pointerId);
      this.element.classList.add("dragging");
    }
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const far = Math.hypot(now.x - other.x, now.y - other.y) || 1e-3;
      const near = Math.hypot(before.x - other.x, before.y - other.y) || 1e-3;
      this.zoom(far / near, { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (this.scale > 1.001) {
      this.set(this.scale, this.x + now.x - before.x, this.y + now.y - before.y);
      this.moved(this);
    }
  }

  #up(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.element.classList.remove("dragging");
  }
}
