// The dialogs of a session: what becomes of a decision in question, whether something is taken back, what was decided.

import { filled, gettext } from "./text.js";

const CLOSE = '<form method="dialog"><button class="slim quiet" data-keys="Escape"></button></form>';

function heading(id, text) {
  const element = document.createElement("h2");
  element.id = id;
  element.textContent = text;
  return element;
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

function thumbs(crops, style = "decided-pair") {
  const row = document.createElement("div");
  row.className = style;
  for (const source of crops.filter(Boolean)) {
    const image = new Image();
    image.src = source;
    image.alt = "";
    row.append(image);
  }
  return row;
}

function buttons(...choices) {
  const row = document.createElement("div");
  row.className = "row";
  for (const [text, value, keys, cap, style = ""] of choices) {
    const button = document.createElement("button");
    button.value = value;
    button.className = style;
    button.dataset.keys = keys;
    const kbd = document.createElement("kbd");
    kbd.ariaHidden = "true";
    kbd.textContent = cap;
    button.append(text, " ", kbd);
    row.append(button);
  }
  return row;
}

/** Show a dialog and wait for the value of the button that closes it; "" where it is left. */
function answerOf(dialog) {
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("button")?.focus();
  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    const answered = (value) => {
      listening.abort();
      resolve(value);
    };
    // "close" is told later than the next key may come, when the dialog may be open again for something else.
    dialog.addEventListener("submit", (event) => { if (!event.defaultPrevented) answered(event.submitter?.value ?? ""); }, { signal });
    dialog.addEventListener("cancel", (event) => { if (!event.defaultPrevented) answered(""); }, { signal });
    dialog.addEventListener("close", () => { if (!dialog.open) answered(dialog.returnValue); }, { signal });
  });
}

/** Ask whether a decision is to be taken back; says what would follow. */
export async function askUndo(dialog, known) {
  const form = document.createElement("form");
  form.method = "dialog";
  form.className = "stack";
  form.append(
    heading("interrupted", filled(gettext("Take “%(verdict)s” back?"), { verdict: known.verdict })), paragraph(known.rough ? gettext("What follows from it is not known: the server does not answer.") : known.words), thumbs(known.crops, "asked-pair"),
    buttons([gettext("Take it back"), "yes", "z Backspace Enter", "Z", "danger"], [gettext("Leave it"), "", "Escape", "Esc", "quiet"]),
  );
  dialog.oncancel = null;
  dialog.replaceChildren(form);
  return (await answerOf(dialog)) === "yes";
}

/**
 * Ask what becomes of a decision that the server did not record. Resolves to fields to send it with, or null to leave it.
 * It cannot be left unanswered: the decision would neither stand nor be gone.
 */
export async function askAbout(dialog, { words, html, entry }) {
  dialog.oncancel = (event) => event.preventDefault();
  let fields = null;
  let said = false;
  if (html) {
    dialog.innerHTML = html;
    for (const form of dialog.querySelectorAll("form[data-resolve]")) {
      form.addEventListener("submit", () => { if (form.dataset.resolve === "change") fields = [...new FormData(form)]; });
    }
  } else {
    const form = document.createElement("form");
    form.method = "dialog";
    form.className = "stack";
    const title = filled(gettext("“%(verdict)s” was not recorded"), { verdict: entry.words });
    form.append(heading("interrupted", title), paragraph(words), thumbs(entry.crops, "asked-pair"), buttons([gettext("Go on"), "", "Enter", "↵", "primary"]));
    dialog.replaceChildren(form);
  }
  for (const form of dialog.querySelectorAll("form")) form.addEventListener("submit", () => { said = true; });
  while (!said) await answerOf(dialog); // browsers close a dialog at the second Escape, whatever it says to the first
  return fields;
}

/** Show the decisions of the session: those that wait, then the server's list. `takeBack` gets what names one of them. */
export async function showDecided(dialog, address, waiting, takeBack) {
  dialog.oncancel = null;
  const head = document.createElement("div");
  head.className = "between-ends";
  head.innerHTML = CLOSE;
  head.querySelector("button").textContent = gettext("Close");
  head.prepend(heading("decided", gettext("Your decisions")));
  const list = document.createElement("div");
  list.append(paragraph(gettext("Fetching the list …")));
  dialog.replaceChildren(head, ...(waiting.length ? [notSent(waiting)] : []), list);
  const closed = answerOf(dialog);
  try {
    const answer = await fetch(`${address}?part=1`, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    list.innerHTML = await answer.text();
  } catch {
    list.replaceChildren(paragraph(gettext("What is saved already is listed when the server can be reached.")));
  }
  const forms = [...list.querySelectorAll("form[data-take-back]")];
  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close();
      const named = [...new FormData(form)].filter(([name]) => name === "decision" || name === "of");
      takeBack(Object.fromEntries(named));
    });
  }
  forms[0]?.querySelector("button").focus();
  dialog.onkeydown = (event) => arrows(event, forms.map((form) => form.querySelector("button")));
  await closed;
}

function arrows(event, rows) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !rows.length) return;
  event.preventDefault();
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + step))].focus();
}

function notSent(entries) {
  const list = document.createElement("ol");
  list.className = "decided";
  for (const entry of entries.toReversed()) {
    const line = document.createElement("li");
    const words = document.createElement("span");
    const verdict = document.createElement("strong");
    verdict.textContent = entry.words;
    words.append(verdict, " – ", gettext("not saved yet; Z takes back the last"));
    line.append(thumbs(entry.crops), words);
    list.append(line);
  }
  return list;
}

/** That the same was said of a pair meanwhile, and by whom. */
export function saidBefore(answer, entry) {
  const words = answer.by === "you"
    ? gettext("you said “%(verdict)s” of the pair before, meanwhile. It stands.")
    : gettext("%(who)s said “%(verdict)s” of the pair before, meanwhile. It stands.");
  return filled(words, { who: answer.by, verdict: entry.words });
}
