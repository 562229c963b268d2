// What the page says of decisions that are not saved yet, and what can be done about it.

import { filled, gettext, ngettext } from "./text.js";

const QUIET = 1500; // what takes longer than this to be saved is said

/** What waits, and how many: a question put off is a step and no decision. */
function counted(entries) {
  const decided = entries.filter((entry) => !["later", "empty"].includes(entry.kind)).length;
  const count = decided || entries.length;
  const words = decided ? ngettext("%(count)s decision", "%(count)s decisions", count) : ngettext("%(count)s step", "%(count)s steps", count);
  return { count, what: filled(words, { count }) };
}

/** Words for each reason why nothing is sent, and the link or button that helps: {text, href, does}. */
function say(state, entries, page) {
  const { count, what } = counted(entries);
  const told = (words) => filled(words, { what, name: page.name });
  switch (state) {
    case "away": return [told(ngettext("%(what)s waits for the connection.", "%(what)s wait for the connection.", count))];
    case "fault": return [told(ngettext("The server does not answer as it should. %(what)s waits and is sent again.", "The server does not answer as it should. %(what)s wait and are sent again.", count))];
    case "signed-out": return [
      told(ngettext("You are signed out. %(what)s waits here until you are back.", "You are signed out. %(what)s wait here until you are back.", count)),
      { text: gettext("Sign in again"), href: `${page.login}?next=${encodeURIComponent(location.pathname)}` },
    ];
    case "other": return [told(ngettext("Another account is signed in now. %(what)s waits here until %(name)s is signed in again.", "Another account is signed in now. %(what)s wait here until %(name)s is signed in again.", count))];
    case "forbidden": return [
      told(ngettext("You may no longer decide here. %(what)s was not recorded.", "You may no longer decide here. %(what)s were not recorded.", count)),
      { text: gettext("Discard"), does: "discard" },
    ];
    case "form": return [
      told(ngettext("This page is out of date. %(what)s waits and is sent once it is loaded again.", "This page is out of date. %(what)s wait and are sent once it is loaded again.", count)),
      { text: gettext("Load again"), does: "reload" },
    ];
    default: return Date.now() - entries[0].at < QUIET ? [""] : [told(gettext("Saving %(what)s …"))];
  }
}

/** Keep the line about what waits up to date. */
export function tellWaiting(outbox, line, page) {
  let timer;
  const show = () => {
    clearTimeout(timer);
    const { entries } = outbox;
    const [text, help] = entries.length || outbox.state === "signed-out" ? say(outbox.state, entries, page) : [""];
    if (entries.length && !text) timer = setTimeout(show, QUIET);
    if (line.dataset.said === text) return;
    line.dataset.said = text;
    line.replaceChildren(text);
    line.dataset.state = outbox.state;
    if (help) line.append(" ", helper(help, outbox));
  };
  outbox.addEventListener("change", show);
  show();
}

function helper({ text, href, does }, outbox) {
  const element = document.createElement(href ? "a" : "button");
  element.textContent = text;
  if (href) {
    element.href = href;
    element.target = "_blank";
  } else {
    element.type = "button";
    element.className = "slim";
    element.addEventListener("click", () => {
      if (does === "reload") location.reload();
      else outbox.discard();
    });
  }
  return element;
}
