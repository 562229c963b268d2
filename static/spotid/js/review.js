// The review page. Everything that decides is a plain form; this adds keys, zoom, the views and loading ahead.

import { listen, sendOnce } from "./keys.js";
import { Stage } from "./zoom.js";

const remembered = {
  get: (name) => { try { return localStorage.getItem(`spotid.${name}`); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(`spotid.${name}`, value); } catch { /* private mode */ } },
};

let together = remembered.get("together") === "yes";
const stages = [...document.querySelectorAll("[data-stage]")].map((element) => new Stage(element, follow));
let current = stages[1] ?? stages[0];

function follow(moved) {
  current = moved;
  if (!together) return;
  for (const stage of stages) if (stage !== moved) stage.set(moved.scale, moved.x, moved.y);
}

for (const stage of stages) {
  for (const name of ["pointerenter", "focus"]) stage.element.addEventListener(name, () => { current = stage; });
}

const sync = document.querySelector("[data-sync]");
function showSync() { sync.setAttribute("aria-pressed", String(together)); sync.classList.toggle("primary", together); }
if (sync) {
  sync.hidden = false;
  showSync();
  sync.addEventListener("click", () => {
    together = !together;
    remembered.set("together", together ? "yes" : "no");
    showSync();
    if (together) follow(current);
  });
}

// ---- photo, coat, edges, whole ----
const tabs = [...document.querySelectorAll(".segments [data-view]")];

function show(view) {
  for (const { element } of stages) {
    const source = element.dataset[view] ?? element.dataset.crop;
    const image = element.querySelector("img");
    if (image && source && image.getAttribute("src") !== source) image.src = source;
    element.dataset.view = element.dataset[view] ? view : "crop";
  }
  for (const tab of tabs) {
    if (tab.dataset.view === view) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
  remembered.set("view", view);
}

for (const tab of tabs) {
  tab.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    for (const stage of stages) stage.reset();
    // Pressing the key of the view that is on goes back to the photo.
    show(tab.getAttribute("aria-current") && tab.dataset.view !== "crop" ? "crop" : tab.dataset.view);
  });
}
const before = remembered.get("view");
if (before && !new URLSearchParams(location.search).has("view") && tabs.some((tab) => tab.dataset.view === before)) show(before);

// ---- keys ----
function zoomAll(change) {
  for (const stage of together ? [current] : stages) change(stage);
}
listen((key) => {
  if (key === "+" || key === "=") zoomAll((stage) => stage.zoom(1.4));
  else if (key === "-") zoomAll((stage) => stage.zoom(1 / 1.4));
  else if (key === "0") zoomAll((stage) => stage.reset());
  else return false;
  return true;
});
sendOnce();

// ---- the pictures that are likely wanted next ----
addEventListener("load", () => {
  const wanted = new Set();
  for (const { element } of stages) for (const view of ["cutout", "edges", "whole"]) if (element.dataset[view]) wanted.add(element.dataset[view]);
  for (const link of document.querySelectorAll("[data-preload]")) wanted.add(link.dataset.preload);
  for (const source of wanted) new Image().src = source;
});
