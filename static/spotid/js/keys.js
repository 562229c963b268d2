// Keyboard: an element with data-keys="m" is clicked when that key is pressed, unless somebody is typing.

const TYPING = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";
const PRESSABLE = "button, a[href], summary, input";

/** @param {(key: string) => boolean} more handles keys that belong to no element; returns whether it did. */
export function listen(more = () => false) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target instanceof Element ? event.target : document.body;
    if (at.matches(TYPING)) return;
    const name = event.key === " " ? "Space" : event.key;
    // Enter and Space belong to whatever button or link has the focus.
    if ((name === "Enter" || name === "Space") && at.closest(PRESSABLE)) return;
    if (document.querySelector("[popover]:popover-open") && name !== "?") return;
    if (press(name) || more(name)) event.preventDefault();
  });
}

function press(name) {
  for (const element of document.querySelectorAll("[data-keys]")) {
    if (element.disabled || !element.dataset.keys.split(" ").includes(name)) continue;
    element.click();
    return true;
  }
  return false;
}

/** A form is sent once: a second press while the page changes would decide about something nobody has seen. */
export function sendOnce() {
  let sent = false;
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-once]")) return;
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => { sent = false; });
}
