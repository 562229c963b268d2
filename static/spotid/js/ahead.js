// The questions that come next: fetched as parts of the page, kept out of it, their photos loaded before they are shown.

import { chosenView, pictures, showView } from "./question.js";

/**
 * @typedef {{token: string, pair: string, groups: number[], spared?: string[], html: string, root?: HTMLElement}} Item
 * spared: pairs that share a group with this one, and with which a match does not settle it all the same
 */

export class Ahead {
  constructor() {
    /** @type {Item[]} */
    this.items = [];
    this.held = new Map(); // everything that the server need not send again, by token
    this.sparing = Boolean(navigator.connection?.saveData) || /(^|-)2g$/.test(navigator.connection?.effectiveType ?? "");
  }

  /** Tokens of the questions at hand. */
  tokens() {
    return [...this.held.keys()];
  }

  /** Take over the order that the server says, without what is `left`: shown or answered already. */
  take(order, left) {
    const before = this.held;
    this.held = new Map();
    this.items = [];
    for (const row of order) {
      const known = before.get(row.token);
      const item = { ...known, ...row, html: row.html ?? known?.html };
      if (!item.html || left(item.pair)) continue;
      this.held.set(item.token, item);
      this.items.push(item);
    }
    this.#load();
  }

  /** Put a question back before all others. */
  putBack(item) {
    this.held.set(item.token, item);
    this.items.unshift(item);
  }

  /** Take out the first question that no match settles whose answer is not known yet. `doubts`: [{pair, groups}]. */
  next(doubts) {
    return this.#out(this.items.findIndex((item) => !doubts.some((doubt) => settles(doubt, item))));
  }

  /** Take out the question about this pair, where it is at hand. */
  takeOut(pair) {
    return this.#out(this.items.findIndex((item) => item.pair === pair));
  }

  /** Take out the first question with this photo in question. */
  takeFirst(photo) {
    return this.#out(this.items.findIndex((item) => item.pair.startsWith(`${photo}-`)));
  }

  /** Take out all with this photo in question. */
  leave(photo) {
    return this.#without((item) => item.pair.startsWith(`${photo}-`));
  }

  /** Take out all that show this box. */
  drop(box) {
    return this.#without((item) => item.pair.split("-").includes(box));
  }

  #without(leaves) {
    const left = this.items.filter(leaves);
    for (const item of left) this.held.delete(item.token);
    this.items = this.items.filter((item) => !left.includes(item));
    return left;
  }

  #out(at) {
    if (at < 0) return undefined;
    const [item] = this.items.splice(at, 1);
    this.held.delete(item.token);
    this.build(item);
    return item;
  }

  /** The question as an element, not in the page yet; its photos begin to load. */
  build(item) {
    if (item.root) return item.root;
    const template = document.createElement("template");
    template.innerHTML = item.html;
    item.root = document.importNode(template.content, true).querySelector("[data-question]");
    const view = chosenView();
    if (view) showView(item.root, view);
    item.seen = Promise.all(pictures(item.root).map((image) => image.decode().catch(() => {})));
    return item.root;
  }

  /** The connection is back: load what could not be loaded. */
  mend() {
    for (const item of this.items) if (item.root && pictures(item.root).some(broken)) item.root = undefined;
    this.#load();
  }

  /** Photos one question after the other; then the other views of the first. */
  async #load() {
    const mine = (this.loading = {});
    for (const item of this.sparing ? this.items.slice(0, 1) : this.items) {
      this.build(item);
      await item.seen;
      if (this.loading !== mine) return;
    }
    if (this.sparing || !this.items.length) return;
    for (const stage of this.items[0].root?.querySelectorAll("[data-stage]") ?? []) {
      for (const view of ["crop", "cutout", "edges", "whole"]) if (stage.dataset[view]) new Image().src = stage.dataset[view];
    }
  }
}

function settles({ pair, groups }, item) {
  return !item.spared?.includes(pair) && item.groups.some((group) => groups.includes(group));
}

/** Whether a picture could not be loaded. */
export function broken(image) {
  return image.complete && image.naturalWidth === 0;
}

/**
 * Matches that the server did not know of yet, by their keys: they make some of its questions doubtful; and whether one of
 * them makes all so, because it cannot be told which.
 * @returns {[Map<string, {pair: string, groups: number[]}>, boolean]}
 */
export function doubted(next, state, pending) {
  const doubts = new Map();
  let unsure = false;
  for (const entry of pending) {
    if (state.known.has(entry.key) || !entry.fields.some(([name, value]) => name === "verdict" && value === "match")) continue;
    const row = next.order.find((one) => one.pair === entry.pair);
    const groups = row?.groups ?? (state.fields.showing === entry.pair ? next.groups : null);
    if (groups) doubts.set(entry.key, { pair: entry.pair, groups });
    else unsure = true;
  }
  return [doubts, unsure];
}
