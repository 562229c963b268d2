// Keyboard: an element with data-keys="m" is clicked when that key is pressed, unless somebody is typing.

import { gettext } from "./text.js";

const TYPING = "input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable]";
const SLIDING = /^(Arrow|Page|Home|End)/;
const CAPS = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Backspace: "⌫", Escape: "Esc", Enter: gettext("Enter"), Space: gettext("Space"),
};
const PRESSABLE = "button, a[href], summary, input";

/** The key that was meant: a letter is a capital one with the shift key alone, whatever Caps Lock says. */
export function named(event) {
  if (event.key === " ") return "Space";
  if (event.key.length > 1 || !event.getModifierState("CapsLock")) return event.key;
  return event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase();
}

/** @param {(key: string) => boolean} more handles keys that belong to no element; returns whether it did. */
export function listen(more = () => false) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target instanceof Element ? event.target : document.body;
    if (at.matches(TYPING)) return;
    const name = named(event);
    // A slider keeps the keys that move it.
    if (at.matches("input[type=range]") && SLIDING.test(name)) return;
    // Enter and Space belong to whatever button or link has the focus.
    if ((name === "Enter" || name === "Space") && at.closest(PRESSABLE)) return;
    if (document.querySelector("[popover]:popover-open") && name !== "?") return;
    if (document.querySelector("dialog:modal") && name === "?") return;
    if (press(name, event.repeat) || more(name)) event.preventDefault();
  });
}

function press(name, repeated) {
  for (const element of (document.querySelector("dialog:modal") ?? document).querySelectorAll("[data-keys]")) {
    if (element.disabled || !element.dataset.keys.split(" ").includes(name)) continue;
    // Held down, a key that turns something on must not turn it off again, nor one answer a question after the other.
    if (!repeated || !element.matches("[aria-pressed], [data-outbox] *, dialog *")) element.click();
    return true;
  }
  return false;
}

/** What the page's keys do, in the words of what they press, put before what is in the help already. */
function explain() {
  const list = document.querySelector("[data-keys-shown] dl");
  if (!list) return;
  for (const old of list.querySelectorAll("[data-of-page]")) old.remove();
  const rows = document.createDocumentFragment();
  const explained = new Set([...list.querySelectorAll("dt kbd")].map((kbd) => kbd.textContent));
  for (const element of document.querySelectorAll("[data-keys]")) {
    const names = element.dataset.keys.split(" ").map((name) => nameOf(name)).filter((name) => !explained.has(name));
    const words = element.dataset.help ?? element.getAttribute("aria-label") ?? wordsOf(element);
    if (!names.length || !words || element.closest("[popover]")) continue;
    const caps = document.createElement("dt");
    caps.append(...names.map(cap));
    const said = document.createElement("dd");
    said.textContent = words;
    for (const row of [caps, said]) row.dataset.ofPage = "";
    rows.append(caps, said);
    for (const name of names) explained.add(name);
  }
  list.prepend(rows);
}

/** What stands on the key; a capital letter is one with the shift key. */
function nameOf(key) {
  if (key.length > 1) return CAPS[key] ?? key;
  return key === key.toLowerCase() ? key.toUpperCase() : `⇧${key}`;
}

function cap(name) {
  const element = document.createElement("kbd");
  element.textContent = name;
  return element;
}

/** The text of an element without its key caps. */
function wordsOf(element) {
  const copy = element.cloneNode(true);
  for (const kbd of copy.querySelectorAll("kbd")) kbd.remove();
  return copy.textContent.trim();
}

document.querySelector("[data-keys-shown]")?.addEventListener("beforetoggle", explain);

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
