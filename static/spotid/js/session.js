// A review session in one page: an answer is kept in the outbox and the next question stands there at once.

import { Ahead, broken, doubted } from "./ahead.js";
import { askAbout, askUndo, saidBefore, showDecided } from "./dialogs.js";
import { tell } from "./holds.js";
import { newKey, Outbox } from "./outbox.js";
import { pairsOf, photoOf, Photos } from "./photos.js";
import { pictures } from "./question.js";
import { holds, measured, pairsIn, saidIn, say, takenBack, twin } from "./shown.js";
import { filled, gettext } from "./text.js";
import { turned } from "./turning.js";
import { tellWaiting } from "./waiting.js";

const LOOK = 250; // milliseconds: nobody has seen a pair that stands there for less
const SURPRISE = 900; // the same, where the pair has changed by itself
const SPARE = 5; // with fewer questions at hand, or up to two more, what comes next is asked for after an answer,
const FRESH = 10_000; // milliseconds: or where that was asked so long ago

/** @typedef {import("./ahead.js").Item} Item */

export class Session {
  /** @param {HTMLElement} element @param {string} html of the first question @param {(root: HTMLElement) => void} open */
  constructor(element, html, open) {
    this.element = element;
    this.page = element.dataset;
    this.open = open;
    this.root = document.querySelector("[data-question]");
    /** @type {Item | null} what is shown; null while the next question is on its way */
    this.item = { token: this.root.dataset.token ?? "", pair: this.root.dataset.question, groups: [], html };
    this.past = []; // what was shown before, with the key of its answer and what was left out with it
    this.doubts = new Map(); // key of a match -> {pair, groups}: what it may change
    this.asked = new Map(); // key of an entry -> what the page had when it was sent
    this.requests = 0;
    this.taken = 0;
    this.takenAt = -FRESH;
    this.enough = SPARE;
    this.readyAt = 0;
    this.known = JSON.parse(document.getElementById("undo-known").textContent);
    this.photos = this.page.order === "photo" ? new Photos(this.page) : null;
    this.ahead = new Ahead();
    this.outbox = new Outbox({ user: this.page.user, more: (entry) => this.#more(entry) });
    this.outbox.addEventListener("answer", ({ detail }) => this.#answered(detail));
    this.outbox.addEventListener("question", ({ detail }) => this.#questioned(detail));
    this.outbox.addEventListener("change", () => this.#changed());
    tellWaiting(this.outbox, this.#part("waits"), this.page);
    document.addEventListener("submit", (event) => this.#submit(event), true);
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("keydown", (event) => { this.pressed = event.timeStamp; }, true);
    addEventListener("pageshow", (event) => { if (event.persisted) this.#refresh(); });
    addEventListener("online", () => this.#back());
    this.#begin();
  }

  /** What waits from before the page was loaded goes first: the question on the page may be one of them. */
  async #begin() {
    const pending = this.#pending();
    if (pending.some((entry) => entry.kind !== "undo")) this.#wait();
    await this.outbox.send();
    this.#refresh();
  }

  #part(name) {
    return this.element.querySelector(`[data-${name}]`);
  }

  #pending() {
    return this.outbox.entries.filter((entry) => entry.survey === this.page.survey);
  }

  #tell(words, link = null) {
    say(this.#part("notice"), words, link);
  }

  // ---- what the page has, for the server ----
  #state(without = "", showing = this.item?.pair ?? "") {
    const waiting = this.#pending().filter((entry) => entry.key !== without && entry.kind !== "undo");
    return {
      number: ++this.requests,
      known: new Set([...waiting.map((entry) => entry.key), without]),
      fields: {
        showing,
        checking: showing ? this.root.querySelector("[name=check]")?.value ?? "" : "",
        have: this.ahead.tokens().join(","),
        waiting: waiting.flatMap(saidIn).join(","),
        ...this.photos?.fields(),
        ...(this.page.on ? { on: "1" } : {}),
        ...(this.page.within ? { within: this.page.within } : {}),
      },
    };
  }

  #more(entry) {
    if (entry.survey !== this.page.survey) return {};
    const state = this.#state(entry.key);
    this.asked.set(entry.key, state);
    // An answer is recorded in a moment; what comes next takes several times as long, and is asked for by itself.
    const spare = this.item && !this.photos && entry.kind === "verdict";
    return { ...state.fields, ...(spare ? { spare: "1" } : {}) };
  }

  /** Ask what comes next; returns whether an answer came. `decided`: right after an answer was recorded. */
  async #refresh(showing, decided = false) {
    const state = this.#state("", showing);
    const address = new URL(this.page.ahead, location.href);
    for (const [name, value] of Object.entries(state.fields)) if (value) address.searchParams.set(name, value);
    if (decided) address.searchParams.set("undo", "0"); // what would follow from it is asked before it is taken back
    try {
      const answer = await fetch(address, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      if (answer.redirected) this.outbox.note("signed-out");
      if (answer.redirected || !answer.ok) throw new Error(String(answer.status));
      this.#take(await answer.json(), state, decided);
      return true;
    } catch {
      if (!this.item) this.#soon();
      return false;
    }
  }

  // ---- answering ----
  #submit(event) {
    const form = event.target.closest("form[data-outbox]");
    if (form) {
      event.preventDefault();
      event.stopPropagation();
      if (form.dataset.outbox === "undo") this.#undo();
      else this.#answer(form, event.submitter, form.dataset.outbox);
    } else if (event.target.matches("[data-once]") && this.outbox.state === "away") {
      event.preventDefault();
      this.#tell(gettext("This needs the connection, which is away. Verdicts are kept meanwhile."));
    } else if (event.target.getAttribute("action")?.endsWith("/logout/") && this.outbox.entries.length && !this.leaving) {
      event.preventDefault();
      this.leaving = true;
      this.#tell(gettext("Some decisions are not saved yet. They stay in this browser and are sent when you open the review again. Sign out once more to leave."));
    }
  }

  #click(event) {
    const link = event.target instanceof Element ? event.target.closest("[data-decisions], [data-look], .strip-step, [data-notice] a") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.matches("[data-look]")) {
      this.#look(event, link.dataset.look);
      return;
    }
    if (!link.matches("[data-decisions]")) {
      if (this.photos && new URL(link.href).searchParams.has("anchor")) this.#turn(event, new URL(link.href).searchParams);
      return;
    }
    event.preventDefault();
    const dialog = document.querySelector("[data-decided]");
    const waiting = this.#pending().filter((entry) => ["verdict", "empty"].includes(entry.kind));
    showDecided(dialog, link.href, waiting, (named) => this.#takeBack(named));
  }

  /** Another candidate of the photo: at once where it is at hand, else as a page. */
  #look(event, pair) {
    const found = pair && this.item && !this.busy ? this.ahead.takeOut(pair) : null;
    if (!found && navigator.onLine && pair !== this.item?.pair) return;
    event.preventDefault();
    if (found) {
      this.ahead.putBack(this.item);
      this.#show(found);
      this.#refresh();
    } else if (pair !== this.item?.pair) this.#tell(gettext("This needs the connection, which is away. Verdicts are kept meanwhile."));
  }

  /** Other five candidates of a photo, in place of what is shown. */
  async #turn(event, query) {
    event.preventDefault();
    const before = this.item;
    if (!before || this.busy) return;
    if (!navigator.onLine || this.outbox.state === "away") {
      this.#tell(gettext("This needs the connection, which is away. Verdicts are kept meanwhile."));
      return;
    }
    const same = photoOf(before.pair) === query.get("anchor");
    const ask = () => this.#refresh(same ? before.pair : "");
    const { item, words } = await turned({ query, photos: this.photos, ahead: this.ahead, ask, still: () => this.item === before });
    if (words !== undefined) this.#tell(words);
    if (!item) return;
    if (!same) this.ahead.putBack(before);
    this.#show(item);
  }

  /** Whether the pair was there to be seen when a key was pressed. */
  #seen() {
    if (!this.item || this.busy) return false;
    if (performance.now() < this.readyAt) {
      if (!this.#part("notice").textContent) this.#tell(gettext("Not counted: this pair has only just come."));
      return false;
    }
    const photos = pictures(this.root);
    const missing = !navigator.onLine && photos.some(broken);
    if (!missing && photos.every((image) => image.complete)) return true;
    this.#tell(missing ? gettext("These photos are not loaded yet; they come with the connection.") : gettext("The photos are still on their way."));
    return false;
  }

  /** The connection is back. */
  #back() {
    for (const image of pictures(this.root).filter(broken)) image.src = image.getAttribute("src");
    this.ahead.mend();
    if (!this.item) this.#refresh();
  }

  #answer(form, button, kind) {
    if (!this.#seen()) return;
    const sent = [...new FormData(form, button)].map(([name, value]) => [name, String(value)]);
    const fields = sent.filter(([name]) => name !== "csrfmiddlewaretoken");
    const words = button.firstChild.textContent.trim();
    const key = newKey();
    const { item } = this;
    const crops = [...this.root.querySelectorAll("[data-stage]")].map((stage) => stage.dataset.crop ?? "");
    const several = kind === "none" ? { pairs: pairsOf(this.root, form) } : {};
    const photo = photoOf(item.pair);
    const box = kind === "empty" ? form.elements.box.value : "";
    const aside = box ? this.ahead.drop(box) : this.photos && kind !== "verdict" ? this.ahead.leave(photo) : [];
    this.past.push({ item, key, aside });
    if (button.value === "match") this.doubts.set(key, item);
    if (kind === "later") this.photos?.passed(photo);
    this.outbox.add({
      key, kind: kind === "none" ? "verdict" : kind, survey: this.page.survey, address: form.action, fields, pair: item.pair, words, crops, ...several, ...(box ? { box } : {}),
    });
    this.#tell("");
    this.#advance(words);
  }

  #advance(words = "") {
    const next = this.ahead.next([...this.doubts.values()]);
    if (next && !this.unsure) this.#show(next, words);
    else {
      if (next) this.ahead.putBack(next);
      this.#wait();
    }
  }

  /** Nothing is at hand that surely is still a question. */
  #wait() {
    this.item = null;
    for (const part of this.root.querySelectorAll(".compare, .verdicts, [data-outbox=later]")) part.inert = true;
    this.root.classList.add("gone");
    this.#changed();
  }

  /** @param {Item} item */
  #show(item, words = "", look = LOOK) {
    const { root } = this;
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    this.item = item;
    this.root = this.ahead.build(item);
    item.root = undefined;
    const drawn = item.seen;
    this.#dress();
    root.replaceWith(this.root);
    this.open(this.root);
    this.#bar();
    if (focused) twin(this.root, focused)?.focus({ preventScroll: true });
    scrollTo(0, 0);
    history.replaceState(null, "", this.root.dataset.here);
    for (const old of document.querySelectorAll(".messages")) old.remove();
    this.readyAt = performance.now() + look;
    this.#part("spoken").textContent = (words ? `${words}. ` : "") + filled(gettext("Next pair: %(words)s"), { words: this.root.dataset.words });
    measured(this.root, drawn, this.pressed);
  }

  // ---- what the server says ----
  #answered({ entry, answer }) {
    const state = this.asked.get(entry.key);
    this.asked.delete(entry.key);
    this.past = this.past.filter((one) => one.key !== entry.key); // no longer taken back without the server
    if (entry.survey !== this.page.survey) return;
    if (answer.decision || (entry.kind === "empty" && answer.said === "recorded")) this.known = { key: entry.key, verdict: entry.words, words: "", asks: true, crops: entry.crops, rough: true };
    if (answer.said === "undone") this.#undone(answer, state);
    else if (answer.next) this.#take(answer.next, state, true);
    else this.#spared(state);
    if (answer.words && answer.said === "recorded") this.#tell(answer.words, answer.link);
  }

  /** It is recorded. What it may have settled stays in doubt until the server is asked: now, unless enough is at hand. */
  async #spared(state) {
    this.taken = Math.max(this.taken, state.number);
    this.#bar();
    const enough = this.ahead.items.length >= this.enough && performance.now() - this.takenAt < FRESH;
    if (this.item && (enough || this.asking)) return;
    this.asking = true;
    await this.#refresh(undefined, true);
    this.asking = false;
  }

  /** Take over what comes next, unless something newer is known already. */
  #take(next, state, decided = false) {
    if (state.number < this.taken) {
      if (!this.item) this.#advance();
      return;
    }
    this.taken = state.number;
    this.takenAt = performance.now();
    this.enough = SPARE + Math.floor(3 * Math.random()); // so that those who began together do not ask together
    const pending = this.#pending();
    [this.doubts, this.unsure] = doubted(next, state, pending);
    const left = new Set(pending.filter((entry) => entry.kind !== "undo").flatMap(pairsIn));
    if (this.item) left.add(this.item.pair);
    const passed = new Set(pending.filter((entry) => this.photos && entry.kind === "later").map((entry) => photoOf(entry.pair)));
    const empty = new Set(pending.map((entry) => entry.box));
    const gone = (pair) => passed.has(photoOf(pair)) || pair.split("-").some((box) => empty.has(box));
    if (this.item && state.fields.showing === this.item.pair && next.groups) this.item.groups = next.groups;
    this.ahead.take(next.order, (pair) => left.has(pair) || gone(pair));
    this.photos?.take(next, state.fields.more);
    if (next.undo !== undefined) this.known = next.undo;
    this.bar = next.state;
    this.#bar();
    this.#dress();
    this.#part("holds").replaceChildren(...holds(next.held ?? next.order.map((row) => row.pair)));
    if (this.photos && state.fields.showing === this.item?.pair) tell(next.elsewhere);
    if (!pending.length && ((decided && next.reached) || (next.over && !this.item))) {
      location.assign(this.page.review);
      return;
    }
    if (!this.item) this.#advance();
    else if (next.shown === false && state.fields.showing === this.item.pair) this.#settled();
    // Nothing is on its way whose answer would bring a question.
    if (!this.item && !pending.length) this.#soon();
  }

  #soon() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => { if (!this.item) this.#refresh(); }, 3000);
  }

  #settled() {
    this.#tell(gettext("The question that stood here follows from what was decided meanwhile. This is the next one."));
    const next = this.ahead.next([...this.doubts.values()]);
    if (next) this.#show(next, "", SURPRISE);
    else this.#wait();
  }

  /** By photo: what is said of the photo beside any of its candidates. */
  #dress() {
    this.photos?.dress(this.root, new Set(this.#pending().filter((entry) => entry.kind === "verdict").flatMap(pairsIn)));
  }

  #bar() {
    const place = this.root.querySelector("[data-review-state]");
    if (this.bar && place) place.innerHTML = this.bar;
    const undo = this.root.querySelector("[data-outbox=undo] button");
    if (undo) undo.disabled = !this.known && !takenBack(this.#pending());
  }

  #changed() {
    if (this.outbox.state) this.busy = false;
    const away = this.outbox.state ? gettext("No more pairs are loaded; they come with the connection.") : "";
    if (!this.item) this.#part("spoken").textContent = away || gettext("The next pair is on its way.");
    this.root.dataset.away = this.item ? "" : away || gettext("The next pair is on its way …");
    this.#bar();
  }

  async #questioned({ entry, answer }) {
    const drop = () => this.outbox.drop(entry.key);
    const dialog = document.querySelector("[data-interrupt]");
    if (answer.said === "stale" && answer.same) {
      drop();
      this.#tell(saidBefore(answer, entry));
    } else if (entry.kind !== "verdict") {
      drop();
      this.busy = false;
      const words = entry.kind === "undo" ? gettext("There is nothing left to take back.") : gettext("The photos are not open to you any more.");
      this.#tell(answer.words ?? words);
    } else {
      const words = answer.words ?? gettext("The photos are not open to you any more.");
      const fields = await askAbout(dialog, { words, html: answer.html, entry });
      if (fields) this.outbox.change(entry.key, fields);
      else drop();
    }
    await this.outbox.send();
    if (!this.#pending().length) this.#refresh();
  }

  // ---- taking back ----
  async #undo() {
    if (this.busy || this.undoing) return;
    // What was said last when the key was pressed, whatever is answered while the server is asked.
    const last = takenBack(this.#pending());
    if (!last && this.known?.rough) {
      this.undoing = true;
      const told = await this.#refresh(); // what would follow
      this.undoing = false;
      if (this.outbox.asked || document.querySelector("dialog:modal")) return; // one question at a time
      if (told && this.known?.rough) {
        this.#tell(gettext("Something was recorded meanwhile, and nothing is taken back. Undo now means that."));
        return;
      }
    }
    const taken = this.#pending().some((entry) => entry.of === last?.key);
    if (last && !last.tried) this.#unsend(last);
    else if (last && !taken) this.#takeBack({ of: last.key });
    else if (last || !this.known) this.#tell(last ? gettext("It is taken back as soon as the server can be reached.") : gettext("There is no decision of yours left to take back here."));
    else if (!this.known.decision && !this.known.key) this.#tell(gettext("This needs the connection, which is away. Verdicts are kept meanwhile."));
    else if (!this.known.asks || (await askUndo(document.querySelector("[data-interrupt]"), this.known))) {
      const { decision, key } = this.known;
      this.#takeBack(decision ? { decision } : { of: key });
    }
  }

  /** Take back what was not sent yet: nobody but this browser knows of it. */
  #unsend(entry) {
    this.outbox.drop(entry.key);
    this.doubts.delete(entry.key);
    const before = this.past.findLast((one) => one.key === entry.key);
    this.past = this.past.filter((one) => one.key !== entry.key);
    this.#tell(filled(gettext("Taken back before it was saved: %(verdict)s."), { verdict: entry.words }));
    if (!before) {
      this.#refresh();
      return;
    }
    if (this.item) this.ahead.putBack(this.item);
    for (const item of before.aside.toReversed()) this.ahead.putBack(item);
    this.#show(before.item);
  }

  #takeBack(what) {
    const fields = Object.entries(what).map(([name, value]) => [name, String(value)]);
    this.known = null;
    this.busy = true;
    this.#tell(gettext("Taking it back …"));
    this.outbox.add({ key: newKey(), kind: "undo", survey: this.page.survey, address: this.page.undo, fields, pair: "", words: "Undo", crops: [], of: what.of });
  }

  #undone(answer, state) {
    const before = this.item;
    // If she is at work on another pair by now, the one that is open again only comes next.
    const now = this.busy && answer.next.first;
    this.busy = false;
    if (now) this.item = null;
    this.#take(answer.next, state);
    if (now && before && this.item) this.ahead.putBack(before);
    this.#tell(answer.words);
  }
}
