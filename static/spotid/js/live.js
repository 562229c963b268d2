// Asks how far the work is and moves the bars; when it is through, the page is loaded once more.
import { listen, sendOnce } from "./keys.js";

const card = document.querySelector("[data-live]");
const EVERY = 2500;

function text(name, words) {
  const element = card.querySelector(`[data-live-text="${name}"]`);
  if (element) element.textContent = words;
}

function bar(name, value, most) {
  const element = card.querySelector(`[data-live-bar="${name}"]`);
  if (!element) return;
  element.max = most;
  element.value = value;
}

async function ask() {
  let now;
  try {
    const answer = await fetch(card.dataset.live, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    now = await answer.json();
  } catch {
    setTimeout(ask, EVERY * 4); // the server or the database is away; it will be back
    return;
  }
  text("photos", `${now.through} of ${now.total}`);
  text("states", `${now.running} working · ${now.waiting} waiting · ${now.failed} failed`);
  text("matching", now.matching_percent === null ? now.matching_label : `${now.matching_label}, ${now.matching_percent} %`);
  bar("through", now.through, now.total || 1);
  bar("matching", now.matching === "done" ? 1 : (now.matching_percent ?? 0) / 100, 1);
  if (now.finished) location.reload();
  else setTimeout(ask, document.hidden ? EVERY * 4 : EVERY);
}

if (card && card.dataset.finished === "no") setTimeout(ask, EVERY);
listen();
sendOnce();
