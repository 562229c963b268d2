// Near-certain pairs: arrows move over the grid, Space ticks (the browser does that), "a" ticks all or none.
import "./holds.js";
import { listen, sendOnce } from "./keys.js";
import { filled, ngettext } from "./text.js";

const boxes = [...document.querySelectorAll("[data-grid] input[name=pair]")];
const all = document.querySelector("[data-all]");
const words = document.querySelector("[data-ticked]");

function columns() {
  const top = boxes[0].closest("li").getBoundingClientRect().top;
  const next = boxes.findIndex((box) => box.closest("li").getBoundingClientRect().top > top + 4);
  return next < 0 ? boxes.length : next;
}

function tell() {
  const ticked = boxes.filter((box) => box.checked).length;
  if (words) words.textContent = filled(ngettext("%(ticked)s of %(all)s ticked", "%(ticked)s of %(all)s ticked", ticked), { ticked, all: boxes.length });
}

function move(key) {
  const at = boxes.indexOf(document.activeElement);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[key];
  const to = at < 0 ? 0 : at + step;
  if (to < 0 || to >= boxes.length) return;
  boxes[to].focus();
  boxes[to].closest("li").scrollIntoView({ block: "nearest" });
}

if (boxes.length) {
  all.hidden = false;
  all.addEventListener("click", () => {
    const on = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = on;
    tell();
  });
  document.addEventListener("change", tell);
  addEventListener("pageshow", tell);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.key.startsWith("Arrow")) return;
    move(event.key);
    event.preventDefault();
  });
}
listen();
sendOnce();
