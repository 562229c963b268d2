// One question on the page: its two stages, the view that is shown, the tools. Made anew when another question comes.

import { adjusting } from "./adjust.js";
import { flickering } from "./flicker.js";
import { remembered } from "./remembered.js";
import { spotting } from "./spots.js";
import { Stage } from "./zoom.js";

/** The view that the reviewer chose last and that the address does not overrule. */
export function chosenView() {
  return new URLSearchParams(location.search).has("view") ? null : remembered.get("view");
}

/** Show one view of all photos below `root`, which need not be in the page yet. Returns whether the page has it. */
export function showView(root, view) {
  const tabs = [...root.querySelectorAll(".segments [data-view]")];
  if (!tabs.some((tab) => tab.dataset.view === view)) return false;
  for (const element of root.querySelectorAll("[data-stage]")) {
    const source = element.dataset[view] ?? element.dataset.crop;
    const image = element.querySelector(".layer img");
    if (image && source && image.getAttribute("src") !== source) {
      image.removeAttribute("srcset"); // of the picture that was there
      image.src = source;
    }
    element.dataset.view = element.dataset[view] ? view : "crop";
  }
  for (const tab of tabs) {
    if (tab.dataset.view === view) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
  return true;
}

/** The pictures of both stages as they are shown now. */
export function pictures(root) {
  return [...root.querySelectorAll("[data-stage] .layer:not(.over) > img")];
}

export class Question {
  /** @param {ParentNode} root what holds the stages and the bar of this question */
  constructor(root) {
    this.root = root;
    this.ended = new AbortController();
    this.together = remembered.get("together") === "yes";
    this.stages = [...root.querySelectorAll("[data-stage]")].map((element) => new Stage(element, (moved) => this.#follow(moved)));
    this.current = this.stages[1] ?? this.stages[0];
    for (const stage of this.stages) {
      for (const name of ["pointerenter", "focus"]) stage.element.addEventListener(name, () => { this.current = stage; });
    }
    this.#sync();
    this.#views();
    adjusting(this.stages, () => this.current);
    this.flicker = flickering(this.stages, this.ended.signal);
    spotting(this.stages, this.ended.signal);
    for (const tools of root.querySelectorAll("[data-picture-tools]")) tools.hidden = false;
  }

  /** The page shows another question: nothing of this one may go on. */
  end() {
    this.ended.abort();
  }

  /** A key that belongs to no element; returns whether it is one of the stages'. */
  key(name) {
    if (name === "+" || name === "=") this.#zoomAll((stage) => stage.zoom(1.4));
    else if (name === "-") this.#zoomAll((stage) => stage.zoom(1 / 1.4));
    else if (name === "0") this.#zoomAll((stage) => stage.reset());
    else if (name === "Escape" && this.flicker?.on) this.flicker.toggle();
    else return false;
    return true;
  }

  #zoomAll(change) {
    for (const stage of this.together ? [this.current] : this.stages) change(stage);
  }

  #follow(moved) {
    this.current = moved;
    if (!this.together) return;
    for (const stage of this.stages) if (stage !== moved) stage.set(moved.scale, moved.x, moved.y);
  }

  #sync() {
    const button = this.root.querySelector("[data-sync]");
    if (!button) return;
    const show = () => {
      button.setAttribute("aria-pressed", String(this.together));
      button.classList.toggle("primary", this.together);
    };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      this.together = !this.together;
      remembered.set("together", this.together ? "yes" : "no");
      show();
      if (this.together) this.#follow(this.current);
    });
  }

  #views() {
    for (const tab of this.root.querySelectorAll(".segments [data-view]")) {
      tab.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        for (const stage of this.stages) stage.reset();
        // Pressing the key of the view that is on goes back to the photo.
        const view = tab.getAttribute("aria-current") && tab.dataset.view !== "crop" ? "crop" : tab.dataset.view;
        showView(this.root, view);
        remembered.set("view", view);
      });
    }
    const before = chosenView();
    if (before) showView(this.root, before);
  }
}
