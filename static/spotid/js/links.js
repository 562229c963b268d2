// Groups of one visit: move, tick and answer by keyboard. Everything that decides is a plain form.
import { listen, sendOnce } from "./keys.js";

const groups = [...document.querySelectorAll("[data-group]")];
const photosOf = (group) => [...group.querySelectorAll(".link-photos input[type=checkbox]")];
let at = 0; // the group that keys speak of
let photo = 0; // and the photo in it

function show(scroll = true) {
  groups.forEach((group, index) => {
    if (index === at) group.setAttribute("aria-current", "true");
    else group.removeAttribute("aria-current");
    photosOf(group).forEach((box, place) => box.closest("li").classList.toggle("here", index === at && place === photo));
  });
  if (!groups[at]) return;
  if (scroll) groups[at].focus({ preventScroll: true });
  if (scroll) groups[at].scrollIntoView({ block: "nearest" });
}

function move(step) {
  at = Math.min(groups.length - 1, Math.max(0, at + step));
  photo = 0;
  show();
}

function look(step) {
  photo = Math.min(photosOf(groups[at]).length - 1, Math.max(0, photo + step));
  show(false);
  photosOf(groups[at])[photo].closest("li").scrollIntoView({ block: "nearest", inline: "nearest" });
}

const doing = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  l: () => look(1), h: () => look(-1),
  x: () => photosOf(groups[at])[photo].click(),
  t: () => groups[at].querySelector("input[name=group]").click(),
  m: () => groups[at].querySelector("[data-confirm]").click(),
  n: () => groups[at].querySelector("[data-dismiss]").click(),
};

listen((key) => {
  if (!groups.length || !(key in doing)) return false;
  doing[key]();
  return true;
});
sendOnce();

const all = document.querySelector("[data-all]");
if (all) {
  all.hidden = false;
  all.addEventListener("click", () => {
    const boxes = [...document.querySelectorAll("input[name=group]:not([data-caution])")];
    const on = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = on;
  });
}
groups.forEach((group, index) => group.addEventListener("focusin", (event) => {
  if (index === at && event.target === group) return;
  at = index;
  const place = photosOf(group).indexOf(event.target);
  photo = Math.max(0, place);
  show(false);
}));
show();
