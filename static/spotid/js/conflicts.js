// Conflicts: "j" and "k" move, "n" and "m" press the buttons of the conflict that is marked. All of them are plain forms.
import { listen, sendOnce } from "./keys.js";

const conflicts = [...document.querySelectorAll("[data-conflict]")];
let at = 0;

function show(scroll) {
  conflicts.forEach((conflict, index) => {
    if (index === at) conflict.setAttribute("aria-current", "true");
    else conflict.removeAttribute("aria-current");
  });
  if (!scroll || !conflicts[at]) return;
  conflicts[at].focus({ preventScroll: true });
  conflicts[at].scrollIntoView({ block: "start" });
}

function move(step) {
  at = Math.min(conflicts.length - 1, Math.max(0, at + step));
  show(true);
}

function press(what) {
  conflicts[at].querySelector(what)?.click();
}

const doing = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  n: () => press("[data-part]"), m: () => press("[data-keep]"),
};

conflicts.forEach((conflict, index) => conflict.addEventListener("focusin", () => {
  at = index;
  show(false);
}));
listen((key) => {
  if (!conflicts.length || !(key in doing)) return false;
  doing[key]();
  return true;
});
sendOnce();
show(false);
