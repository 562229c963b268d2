// While the page of a question is open and somebody is at it, the question is hers: the server is told every 45 seconds.
//
// The question shown is read from the form of its verdicts, and more from elements with data-hold="12-34" (questions
// that are loaded ahead, or a page of many). Leaving gives them back; after two minutes without a word they are anybody's.

import { gettext } from "./text.js";

const EVERY = 45_000;
const IDLE = 600_000;
let touched = Date.now();
let staying = false;

const form = () => document.querySelector("form.verdicts, form[data-grid]");

function shown() {
  const asked = form();
  if (!asked) return "";
  const [a, b] = ["anchor", "candidate"].map((name) => Number(asked.elements.namedItem(name)?.value));
  return a && b ? `${Math.min(a, b)}-${Math.max(a, b)}` : "";
}

function message(pairs) {
  const body = new URLSearchParams();
  body.set("csrfmiddlewaretoken", form().elements.csrfmiddlewaretoken.value);
  for (const pair of pairs) body.append("pair", pair);
  return body;
}

const address = () => new URL(form().action.replace(/\/review\/.*$/, "/review/hold/"));
const held = () => [...new Set([shown(), ...[...document.querySelectorAll("[data-hold]")].map((one) => one.dataset.hold)])].filter(Boolean);

/** Say that these questions are still looked at; what came of the one that is shown is told on the page. */
export async function hold() {
  const pairs = held();
  if (!pairs.length || !navigator.onLine) return;
  const about = shown();
  try {
    const answer = await fetch(address(), { method: "POST", body: message(pairs), redirect: "error" });
    if (!answer.ok) return;
    const { held: got } = await answer.json();
    if (about && about === shown()) tell(!got.includes(about));
  } catch { /* The line is down: the leases run out, and a decision on what was decided meanwhile is told. */ }
}

/** Say that somebody else has the pair on the page, or no longer. */
export function tell(elsewhere) {
  const place = document.querySelector("[data-held-elsewhere]") ?? document.createElement("p");
  if (elsewhere && !place.isConnected) {
    place.className = "message info";
    place.dataset.heldElsewhere = "";
    place.setAttribute("role", "status");
    document.querySelector(".compare")?.before(place);
  }
  // Said once the element is there, so that it is read out.
  place.textContent = elsewhere ? gettext("Another reviewer has this question before her, too. If she answers first, you are shown what she said.") : "";
  place.hidden = !elsewhere;
}

for (const name of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
  addEventListener(name, () => { touched = Date.now(); }, { passive: true });
}
setInterval(() => { if (!document.hidden && Date.now() - touched < IDLE) hold(); }, EVERY);

// A form or a link of the review shows the question again, or another one, and the server knows.
addEventListener("submit", () => { staying = true; });
addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (link && link.pathname === location.pathname) staying = true;
});
addEventListener("pagehide", () => {
  const pairs = held();
  if (staying || !pairs.length) return;
  const body = message(pairs);
  body.set("release", "1");
  navigator.sendBeacon(address(), body);
});
addEventListener("pageshow", (event) => {
  staying = false;
  // The page that was left by reloading has just given its questions back.
  const alone = !document.querySelector("[data-session], [data-grid]");
  if (event.persisted || alone || performance.getEntriesByType("navigation")[0]?.type === "reload") hold();
});
