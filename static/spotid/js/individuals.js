// Galleries of ticks and grids of animals: arrows move, Space ticks (the browser does that), "x" unticks all.
import { listen, sendOnce } from "./keys.js";
import { filled, gettext, ngettext } from "./text.js";

const boxes = [...document.querySelectorAll("input[name=box][type=checkbox]")];
const cellsNow = () => [...document.querySelectorAll("[data-grid] [data-cell]")]; // lists are exchanged in place
const words = document.querySelector("[data-ticked]");

function tell() {
  const ticked = boxes.filter((box) => box.checked).length;
  if (words) words.textContent = ticked ? filled(ngettext("%(ticked)s of %(all)s ticked", "%(ticked)s of %(all)s ticked", ticked), { ticked, all: boxes.length }) : words.dataset.none ?? gettext("Nothing ticked");
  for (const button of document.querySelectorAll("[data-needs-tick]")) button.disabled = ticked === 0;
}

const focusable = (cell) => cell.querySelector("input[type=checkbox]") ?? cell;
const middle = (cell) => { const at = cell.getBoundingClientRect(); return { x: at.left + at.width / 2, y: at.top + at.height / 2 }; };

/** The nearest cell above or below, by where it is on the screen: rows of several galleries have no common number. */
function beside(cells, from, down) {
  const here = middle(from);
  const there = cells.filter((cell) => (down ? 1 : -1) * (middle(cell).y - here.y) > 8);
  const distance = (cell) => Math.abs(middle(cell).y - here.y) * 4 + Math.abs(middle(cell).x - here.x);
  return there.sort((one, other) => distance(one) - distance(other))[0];
}

function move(key) {
  const cells = cellsNow();
  const at = cells.findIndex((cell) => cell === document.activeElement || cell.contains(document.activeElement));
  let to = cells[0];
  if (at >= 0 && key === "ArrowRight") to = cells[at + 1];
  else if (at >= 0 && key === "ArrowLeft") to = cells[at - 1];
  else if (at >= 0) to = beside(cells, cells[at], key === "ArrowDown");
  if (!to) return false;
  focusable(to).focus();
  to.scrollIntoView({ block: "nearest" });
  return true;
}

if (boxes.length) {
  document.addEventListener("change", tell);
  addEventListener("pageshow", tell);
  tell();
}
listen((key) => {
  if (key === "x" && boxes.length) {
    for (const box of boxes) box.checked = false;
    tell();
    return true;
  }
  return key.startsWith("Arrow") && move(key);
});
sendOnce();
