// The review page. Everything that decides is a plain form; this adds keys, zoom, the views, loading ahead and the session.

import { listen, sendOnce } from "./keys.js";
import { Question } from "./question.js";
import { Session } from "./session.js";
import "./holds.js";

const session = document.querySelector("[data-session]");
const first = document.querySelector("[data-question]")?.outerHTML; // before anything is added to it
let question = new Question(document);

listen((key) => question.key(key));
if (session) {
  new Session(session, first, (root) => {
    question.end();
    question = new Question(root);
  });
}
sendOnce();

// ---- the pictures that are likely wanted next ----
addEventListener("load", () => {
  if (navigator.connection?.saveData) return;
  const wanted = new Set();
  for (const { element } of question.stages) for (const view of ["cutout", "edges", "whole"]) if (element.dataset[view]) wanted.add(element.dataset[view]);
  for (const link of document.querySelectorAll("[data-preload]")) wanted.add(link.dataset.preload);
  for (const source of wanted) new Image().src = source;
});
