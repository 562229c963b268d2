// The contact sheet: arrows, ranges, a threshold that counts while it moves. Without it the page works by its forms.
import { listen, named, sendOnce } from "./keys.js";
import { filled, ngettext } from "./text.js";

const boxes = [...document.querySelectorAll("[data-grid] input[name=box]")];
const marks = document.querySelector("#marks");
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" };
let last = -1; // where the last choice was made: a range begins there

function columns() {
  const top = boxes[0].getBoundingClientRect().top;
  const next = boxes.findIndex((box) => box.getBoundingClientRect().top > top + 4);
  return next < 0 ? boxes.length : next;
}

function tell() {
  const chosen = boxes.filter((box) => box.checked).length;
  const words = document.querySelector("[data-chosen]");
  if (words) words.textContent = filled(ngettext("%(chosen)s box chosen", "%(chosen)s boxes chosen", chosen), { chosen });
}

function range(from, to, on) {
  for (let i = Math.min(from, to); i <= Math.max(from, to); i += 1) boxes[i].checked = on;
  tell();
}

function move(key, extend) {
  const at = boxes.indexOf(document.activeElement);
  if (at < 0) {
    boxes[0].focus();
    return;
  }
  const step = { up: -columns(), down: columns() }[STEPS[key]] ?? STEPS[key];
  const to = at + step;
  if (to < 0 || to >= boxes.length) return;
  if (extend) range(at, to, true);
  last = to;
  boxes[to].focus();
}

function choose() {
  const box = document.activeElement;
  if (!boxes.includes(box)) return;
  box.checked = !box.checked;
  last = boxes.indexOf(box);
  tell();
}

if (boxes.length) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("[popover]:popover-open")) return;
    const at = event.target;
    if (at instanceof Element && at.matches("input:not([type=checkbox]), textarea, select")) return;
    if (event.key in STEPS) move(event.key, event.shiftKey);
    else if (named(event) === "x") choose();
    else return;
    event.preventDefault();
  });
  for (const [index, box] of boxes.entries()) {
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last >= 0) range(last, index, box.checked);
      last = index;
      tell();
    });
    // A click with the shift key on a label selects text instead of reaching its box.
    box.closest("label").addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });
  }
  const all = document.querySelector("[data-all]");
  all.hidden = false;
  all.addEventListener("click", () => range(0, boxes.length - 1, !boxes.every((box) => box.checked)));
  // With nothing chosen, a key is about the box that one is at.
  marks.addEventListener("submit", (event) => {
    if (boxes.some((box) => box.checked)) return;
    const at = boxes.indexOf(document.activeElement);
    if (at < 0) return;
    boxes[at].checked = true;
    tell();
  }, true);
  tell();
}

const form = document.querySelector("[data-threshold]");
if (form) {
  const below = form.dataset.below.split(",").map(Number);
  const typed = form.querySelector("[name=below]");
  const slide = form.querySelector("[data-slide]");
  slide.hidden = false;
  const show = (value) => {
    const step = Math.min(100, Math.max(0, Math.round(Number(value) || 0)));
    form.querySelector("[data-count-below]").textContent = below[step];
    form.querySelector("[data-count-above]").textContent = Number(form.dataset.scored) - below[step];
    for (const card of document.querySelectorAll(".pick[data-score]")) {
      card.classList.toggle("low", Number(card.dataset.score) < step / 100);
    }
    return step;
  };
  slide.addEventListener("input", () => { typed.value = show(slide.value); });
  typed.addEventListener("input", () => { slide.value = show(typed.value); });
}

listen();
sendOnce();
