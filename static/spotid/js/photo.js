// Drawing a box on a photo fills the four numbers of the form; the form itself works without this.
import { listen, sendOnce } from "./keys.js";

listen();
sendOnce();

const photo = document.querySelector("[data-photo]");
const form = document.querySelector("[data-box-form]");
const start = document.querySelector("[data-draw-start]");

if (photo && form && start) {
  const width = Number(photo.dataset.width);
  const height = Number(photo.dataset.height);
  const svg = photo.querySelector("svg");
  const draft = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  draft.setAttribute("class", "draft");
  draft.setAttribute("visibility", "hidden");
  svg.append(draft);
  let corner = null;

  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return { x: Math.min(width, Math.max(0, point.x)), y: Math.min(height, Math.max(0, point.y)) };
  };

  const showDraft = () => {
    const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((name) => Number(form.elements[name].value));
    draft.setAttribute("x", Math.min(x1, x2));
    draft.setAttribute("y", Math.min(y1, y2));
    draft.setAttribute("width", Math.abs(x2 - x1));
    draft.setAttribute("height", Math.abs(y2 - y1));
    draft.setAttribute("visibility", "visible");
  };

  // Sent here to draw a box: begin at once.
  const wanted = document.querySelector("[data-drawing]");
  const drawing = (on) => {
    photo.classList.toggle("drawing", on);
    start.setAttribute("aria-pressed", String(on));
    start.classList.toggle("primary", on);
  };

  start.hidden = false;
  start.dataset.keys = "d";
  start.addEventListener("click", () => drawing(!photo.classList.contains("drawing")));
  if (wanted) drawing(true);
  form.addEventListener("input", showDraft);
  photo.addEventListener("dragstart", (event) => event.preventDefault());
  photo.addEventListener("pointerdown", (event) => {
    if (!photo.classList.contains("drawing") || event.button !== 0) return;
    event.preventDefault();
    corner = at(event);
    photo.setPointerCapture(event.pointerId);
  });
  photo.addEventListener("pointermove", (event) => {
    if (!corner) return;
    const now = at(event);
    const values = {
      x1: Math.min(corner.x, now.x), y1: Math.min(corner.y, now.y), x2: Math.max(corner.x, now.x), y2: Math.max(corner.y, now.y),
    };
    for (const [name, value] of Object.entries(values)) form.elements[name].value = value.toFixed(1);
    showDraft();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    photo.addEventListener(name, () => {
      if (!corner) return;
      corner = null;
      drawing(false);
      form.querySelector("button").focus();
    });
  }
}

// ---- after a box was drawn for a question: back there when the photo was processed again ----
const EVERY = 1500;
const wait = document.querySelector("[data-wait]");

async function ask() {
  let state = "";
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const text = answer.ok && !answer.redirected ? await answer.text() : "";
    state = new DOMParser().parseFromString(text, "text/html").querySelector("[data-wait]")?.dataset.state ?? "";
  } catch { /* the server is away; it will be back */ }
  if (state === "done") location.replace(wait.dataset.wait);
  else if (state === "failed" || state === "set_aside") location.reload();
  else setTimeout(ask, document.hidden ? EVERY * 4 : EVERY);
}
if (wait?.dataset.state === "done") location.replace(wait.dataset.wait);
else if (wait && !["failed", "set_aside"].includes(wait.dataset.state)) setTimeout(ask, EVERY);
