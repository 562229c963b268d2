// Matched spots of the shown pair: first numbered pairs with lines between both photos, then a heat map, then nothing.

import { gettext } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const HEAT = 160; // longest side of a heat map in pixels
const SPREAD = 0.06; // how far a spot's warmth reaches, as a share of the crop's longest side

/** @typedef {{pairs: number[][], boxes: number[][], words: string}} Found as the server says it */

class Spots {
  /** @param {import("./zoom.js").Stage[]} stages the two that are compared @param {AbortSignal} ended when others are */
  constructor(stages, button, ended) {
    this.stages = stages;
    this.button = button;
    this.field = stages[0].element.closest(".compare");
    this.words = document.querySelector("[data-spots-words]");
    this.mode = "off";
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("class", "spot-pairs");
    this.svg.setAttribute("aria-hidden", "true");
    button.addEventListener("click", () => this.next());
    const again = new ResizeObserver(() => this.#soon());
    ended.addEventListener("abort", () => again.disconnect());
    for (const { element } of [...stages, { element: this.field }]) {
      again.observe(element);
      element.addEventListener("moved", () => this.#soon());
      element.addEventListener("load", () => this.#draw(), true);
    }
  }

  async next() {
    if (this.waiting) return;
    if (!this.found) {
      this.waiting = true;
      this.words.textContent = gettext("Looking for matched spots …");
      this.found = await asked(this.button.dataset.spots);
      this.waiting = false;
    }
    const { pairs, words } = this.found;
    if (!pairs.length) {
      this.words.textContent = this.words.textContent === words ? "" : words;
      if (this.found.failed) this.found = undefined;
      return;
    }
    this.mode = { off: "pairs", pairs: "heat", heat: "off" }[this.mode];
    this.words.textContent = {
      off: "", pairs: words, heat: gettext("Warm where spots agree, by how distinctive they are."),
    }[this.mode];
    this.button.setAttribute("aria-pressed", String(this.mode !== "off"));
    this.button.classList.toggle("primary", this.mode !== "off");
    this.#draw();
  }

  #soon() {
    if (this.mode === "off" || this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = undefined; if (this.mode === "pairs") this.#pairs(); });
  }

  #draw() {
    this.svg.remove();
    for (const { layer } of this.stages) layer.querySelector(".heat")?.remove();
    if (this.mode === "pairs") {
      this.field.append(this.svg);
      this.#pairs();
    } else if (this.mode === "heat") {
      this.stages.forEach((_, side) => this.#heat(side));
    }
  }

  /** Fractions of the picture that is shown: the crop, or the whole photo with the crop inside it. */
  #inPicture(side, pair) {
    const [x, y] = pair.slice(2 * side, 2 * side + 2);
    if (this.stages[side].element.dataset.view !== "whole") return { x, y };
    const [x1, y1, x2, y2] = this.found.boxes[side];
    return { x: x1 + x * (x2 - x1), y: y1 + y * (y2 - y1) };
  }

  /** Where in the field of both photos a spot lies now, in pixels, and whether its stage shows it. */
  #place(side, pair) {
    const stage = this.stages[side], frame = stage.element.getBoundingClientRect();
    const image = stage.layer.querySelector("img"), field = this.field.getBoundingClientRect();
    const { x, y } = this.#inPicture(side, pair);
    const fit = Math.min(frame.width / image.naturalWidth, frame.height / image.naturalHeight);
    const dx = (x - 0.5) * image.naturalWidth * fit, dy = (y - 0.5) * image.naturalHeight * fit;
    const turn = (stage.turn * Math.PI) / 180;
    const left = frame.width * stage.x + stage.scale * (frame.width / 2 + dx * Math.cos(turn) - dy * Math.sin(turn));
    const top = frame.height * stage.y + stage.scale * (frame.height / 2 + dx * Math.sin(turn) + dy * Math.cos(turn));
    const shown = left >= 0 && top >= 0 && left <= frame.width && top <= frame.height;
    return { left: left + frame.left - field.left, top: top + frame.top - field.top, shown };
  }

  #pairs() {
    const drawn = this.found.pairs.map((pair, index) => {
      const [from, to] = [this.#place(0, pair), this.#place(1, pair)];
      const group = element("g", {});
      group.append(element("line", { x1: from.left, y1: from.top, x2: to.left, y2: to.top }));
      for (const { left, top } of [from, to]) {
        const number = element("text", { x: left, y: top });
        number.textContent = String(index + 1);
        group.append(element("circle", { cx: left, cy: top, r: 8 }), number);
      }
      if (!from.shown || !to.shown) group.setAttribute("display", "none");
      return group;
    });
    this.svg.replaceChildren(...drawn.reverse()); // the most distinctive lie on top
  }

  #heat(side) {
    const { layer } = this.stages[side], image = layer.querySelector("img");
    if (!image?.naturalWidth) return;
    const scale = HEAT / Math.max(image.naturalWidth, image.naturalHeight);
    const canvas = document.createElement("canvas");
    canvas.className = "heat";
    canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
    canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
    const whole = this.stages[side].element.dataset.view === "whole", [x1, y1, x2, y2] = this.found.boxes[side];
    const reach = SPREAD * (whole ? Math.max((x2 - x1) * canvas.width, (y2 - y1) * canvas.height) : HEAT);
    const warm = new Float32Array(canvas.width * canvas.height);
    for (const pair of this.found.pairs) {
      const { x, y } = this.#inPicture(side, pair);
      for (let row = 0, at = 0; row < canvas.height; row++) {
        for (let column = 0; column < canvas.width; column++, at++) {
          const far = (column - x * canvas.width) ** 2 + (row - y * canvas.height) ** 2;
          warm[at] += pair[4] * Math.exp(-far / (2 * reach * reach));
        }
      }
    }
    const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
    const most = warm.reduce((one, other) => Math.max(one, other), 1e-9);
    warm.forEach((value, at) => pixels.data.set([255, 60 + (170 * value) / most, 40, (190 * value) / most], 4 * at));
    context.putImageData(pixels, 0, 0);
    layer.append(canvas);
  }
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

/** @returns {Promise<Found & {failed?: boolean}>} */
async function asked(address) {
  try {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("application/json")) throw new Error(answer.statusText);
    return await answer.json();
  } catch {
    return { pairs: [], boxes: [], words: gettext("The matched spots could not be fetched. Press again to retry."), failed: true };
  }
}

/** Matched spots of the first two stages, where the page has a button for them. Never shown before they are asked for. */
export function spotting(stages, ended) {
  const button = document.querySelector("[data-spots]");
  if (button && stages.length > 1 && stages.every(({ layer }) => layer.querySelector("img"))) new Spots(stages, button, ended);
}
