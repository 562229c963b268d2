// Flicker: the candidate lies over the photo in question and both alternate in one place, as each stands in its pane.

import { named } from "./keys.js";

const PERIOD = 600; // milliseconds, well below three flashes in a second
const HELD = 500;

export class Flicker {
  /**
   * @param {import("./zoom.js").Stage} below @param {import("./zoom.js").Stage} above @param {HTMLElement} button
   * @param {AbortSignal} ended when another question is shown
   */
  constructor(below, above, button, ended) {
    this.below = below;
    this.above = above;
    this.button = button;
    this.on = false;
    this.layer = document.createElement("div");
    this.layer.className = "layer over";
    this.layer.hidden = true;
    this.name = document.createElement("span");
    this.name.className = "flicker-name";
    this.name.hidden = true;
    below.element.append(this.layer, this.name);
    button.addEventListener("click", () => this.toggle());
    // Held down, the key flickers for as long as it is held.
    document.addEventListener("keydown", (event) => {
      if (named(event) === "v" && !event.repeat) this.since = performance.now();
    }, { signal: ended });
    document.addEventListener("keyup", (event) => {
      if (named(event) === "v" && this.on && performance.now() - this.since > HELD) this.toggle();
    }, { signal: ended });
    ended.addEventListener("abort", () => clearInterval(this.timer));
    above.element.addEventListener("moved", () => this.#copy());
    above.element.addEventListener("load", () => this.#copy(), true);
  }

  toggle() {
    this.on = !this.on;
    this.button.setAttribute("aria-pressed", String(this.on));
    this.button.classList.toggle("primary", this.on);
    clearInterval(this.timer);
    if (this.on) {
      this.#copy();
      // Who asked for less motion changes pictures by the key alone.
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.timer = setInterval(() => this.#show(this.layer.hidden), PERIOD);
      }
    }
    this.#show(this.on);
  }

  #show(over) {
    this.layer.hidden = !over;
    this.name.hidden = !this.on;
    this.name.textContent = (over ? this.above : this.below).element.dataset.name;
  }

  /** What the other pane shows, as it shows it. */
  #copy() {
    if (!this.on) return;
    const source = this.above.layer;
    const canvas = source.querySelector("canvas.equalised:not([hidden])");
    const picture = canvas ? document.createElement("canvas") : new Image();
    if (canvas) {
      picture.width = canvas.width;
      picture.height = canvas.height;
      picture.getContext("2d").drawImage(canvas, 0, 0);
      picture.className = "equalised";
    } else {
      picture.src = source.querySelector("img")?.src ?? "";
      picture.alt = "";
    }
    this.layer.replaceChildren(picture);
    this.layer.style.cssText = source.style.cssText;
  }
}

/** The flicker between the first two stages, where the page has a button for it. */
export function flickering(stages, ended) {
  const button = document.querySelector("[data-flicker]");
  return button && stages.length > 1 ? new Flicker(stages[0], stages[1], button, ended) : null;
}
