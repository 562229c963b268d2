// Menus of the review page, and what lies beside the pictures: fetched when it is open, open as long as it is wanted.
// Everything listens on the document, so that pictures and forms may be exchanged while the page stays.

import { named } from "./keys.js";
import { remembered } from "./remembered.js";

// ---- menus ----
function closeOthers(open) {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) if (menu !== open) menu.open = false;
}

document.addEventListener("toggle", (event) => {
  const details = event.target;
  if (!(details instanceof HTMLElement)) return;
  if (details.matches("[data-menu]") && details.open) {
    closeOthers(details);
    const body = details.querySelector(".menu-body");
    // The event comes late on a busy machine: a key may have chosen something in the menu by then.
    if (body.contains(document.activeElement)) return;
    (body.querySelector("[aria-pressed=true], [aria-current=true]") ?? body.querySelector("button, a")).focus();
  }
  if (details.matches("[data-beside]")) {
    if (details.dataset.shown !== "yes") remembered.set("beside", details.open ? "open" : "closed");
    delete details.dataset.shown;
    if (details.open) fill(details);
  }
}, true);

document.addEventListener("click", (event) => {
  const inside = event.target instanceof Element ? event.target.closest("details[data-menu]") : null;
  closeOthers(inside);
});

const keysOf = (element) => (element.dataset.keys ?? "").split(" ");

// Before everybody else: while a menu is open, its keys are its own.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const menu = document.querySelector("details[data-menu][open]");
  if (!menu) return;
  const summary = menu.querySelector("summary");
  if (event.key === "Escape") {
    menu.open = false;
    summary.focus();
    event.preventDefault();
    event.stopPropagation();
    return;
  }
  if (event.target instanceof Element && event.target.matches("input, select, textarea")) return;
  const chosen = menu.querySelector(`[data-digit="${CSS.escape(event.key)}"]`);
  if (chosen) {
    event.preventDefault();
    if (chosen.matches("button")) chosen.click(); else chosen.focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const items = [summary, ...menu.querySelectorAll(".menu-body :is(a, button, input:not([type=hidden]))")];
    const step = event.key === "ArrowDown" ? 1 : -1;
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
    event.preventDefault();
  } else if (["Tab", "Enter", "Shift"].includes(event.key) || keysOf(summary).includes(named(event))) {
    return;
  } else if ([...menu.querySelectorAll(".menu-body [data-keys]")].some((one) => keysOf(one).includes(named(event)))) {
    return; // what is in the menu has keys that work without it, too
  }
  // A letter that decides about the pair must not reach it through an open menu.
  event.stopPropagation();
}, true);

// ---- what lies beside ----
async function fill(panel) {
  const body = panel.querySelector("[data-beside-body]");
  const wanted = panel.dataset.beside;
  if (!body || body.dataset.of === wanted) return;
  body.dataset.of = wanted;
  body.setAttribute("aria-busy", "true");
  try {
    const within = new URLSearchParams(location.search);
    const address = new URL(wanted, location.href);
    for (const name of ["mode", "station", "individual", "from", "to"]) {
      if (within.has(name)) address.searchParams.set(name, within.get(name));
    }
    address.searchParams.set("part", "1");
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    const text = await answer.text();
    if (body.dataset.of === wanted) body.innerHTML = text;
  } catch {
    delete body.dataset.of; // the link to the page of its own is still there; opening it again tries again
  } finally {
    body.removeAttribute("aria-busy");
  }
}

function show() {
  if (remembered.get("beside") !== "open") return;
  for (const panel of document.querySelectorAll("details[data-beside]")) {
    if (panel.open) fill(panel);
    else {
      panel.dataset.shown = "yes";
      panel.open = true;
    }
  }
}

show();
new MutationObserver(show).observe(document.querySelector("main"), {
  childList: true, subtree: true, attributes: true, attributeFilter: ["data-beside"],
});
