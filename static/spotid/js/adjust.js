// Brightness, contrast, rotation and evened light of a photograph on its stage. All of it in the page, and only there.

import { equalise } from "./equalise.js";

const LONGEST = 1600; // pixels of an equalised picture
const UNITS = { brightness: " %", contrast: " %", turn: "°" };

export class Adjustment {
  /** @param {import("./zoom.js").Stage} stage @param {HTMLElement} panel its range inputs and buttons */
  constructor(stage, panel) {
    this.stage = stage;
    this.panel = panel;
    this.image = stage.layer.querySelector("img");
    this.canvas = document.createElement("canvas");
    this.canvas.className = "equalised";
    this.canvas.hidden = true;
    this.image?.after(this.canvas);
    this.ranges = [...panel.querySelectorAll("input[type=range]")];
    this.even = panel.querySelector("input[type=checkbox]");
    panel.addEventListener("input", () => this.apply());
    panel.querySelector("button").addEventListener("click", () => this.reset());
    this.image?.addEventListener("load", () => this.#equalised());
  }

  reset() {
    for (const range of this.ranges) range.value = range.defaultValue;
    this.even.checked = false;
    this.apply();
  }

  apply() {
    const said = Object.fromEntries(this.ranges.map((range) => [range.dataset.tool, Number(range.value)]));
    for (const range of this.ranges) {
      const words = `${range.value}${UNITS[range.dataset.tool]}`;
      range.setAttribute("aria-valuetext", words);
      range.parentElement.querySelector(".value").textContent = words;
    }
    const { style } = this.stage.layer;
    const plain = said.brightness === 100 && said.contrast === 100;
    style.setProperty("--light", plain ? "none" : `brightness(${said.brightness}%) contrast(${said.contrast}%)`);
    style.setProperty("--turn", `${said.turn}deg`);
    this.stage.turn = said.turn;
    this.#equalised();
    this.stage.tell();
  }

  /** Draw the equalised picture over the photo, for what is shown now. */
  #equalised() {
    const wanted = this.even.checked && this.image?.complete && this.image.naturalWidth > 0;
    this.canvas.hidden = !wanted;
    if (!wanted || this.drawn === this.image.src) return;
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.image, 0, 0, this.canvas.width, this.canvas.height);
    const pixels = context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    equalise(pixels.data, pixels.width, pixels.height);
    context.putImageData(pixels, 0, 0);
    this.drawn = this.image.src;
  }
}

/** Tools for every stage that has a panel, opened and closed together. `current`: the stage that keys are about. */
export function adjusting(stages, current) {
  const panels = new Map(stages.map((stage) => [stage, document.getElementById(`adjust-${stage.element.dataset.stage}`)]));
  const opener = document.querySelector("[data-adjust-open]");
  if (!opener || [...panels.values()].includes(null)) return;
  for (const [stage, panel] of panels) new Adjustment(stage, panel);
  opener.addEventListener("click", (event) => {
    const open = opener.getAttribute("aria-expanded") !== "true";
    opener.setAttribute("aria-expanded", String(open));
    for (const panel of panels.values()) panel.hidden = !open;
    // detail is 0 where a key did it: the sliders are then what is wanted next.
    if (event.detail === 0) (open ? panels.get(current()).querySelector("input") : opener).focus();
    for (const stage of stages) stage.tell();
  });
}
