// The order by photo in a session: a photo stays while its candidates change, and what is said of it stays right.

/** The photo in question of a pair "12-34". */
export const photoOf = (pair) => pair.split("-")[0];

export class Photos {
  /** @param {DOMStringMap} page of the session's element */
  constructor(page) {
    this.page = page;
    this.parts = {}; // photo -> name -> html
  }

  /** What the server needs to go on in this order. */
  fields() {
    const { at, more } = this.page;
    return { order: "photo", ...(at ? { at } : {}), ...(at && more ? { more } : {}) };
  }

  /** Go on with this photo, so many strips of five past; returns how to take that back. */
  turn(photo, more) {
    const { at, more: before } = this.page;
    const set = (name, value) => {
      if (value) this.page[name] = value;
      else delete this.page[name];
    };
    set("at", photo);
    set("more", more);
    return () => {
      set("at", at);
      set("more", before);
    };
  }

  /** How many strips of five the page is past, as the server has it; "" for none. */
  get past() {
    return this.page.more ?? "";
  }

  /** The photo that the address named was gone past: the next ones follow. */
  passed(photo) {
    if (photo === this.page.at) delete this.page.at;
  }

  /** Take over what the server says. `asked`: the strip that was asked for; she may have turned on meanwhile. */
  take({ parts, more }, asked) {
    this.parts = { ...this.parts, ...parts };
    if (!more && asked === this.page.more) delete this.page.more;
  }

  /**
   * Say of the photo what is known by now, and leave out candidates that are answered.
   * @param {HTMLElement} root of a pair @param {Set<string>} answered pairs
   */
  dress(root, answered) {
    const shown = root.dataset.question;
    for (const [name, html] of Object.entries(this.parts[photoOf(shown)] ?? {})) {
      const place = root.querySelector(`[data-photo-part=${name}]`);
      const words = html.replace(/(name="csrfmiddlewaretoken" value=)"[^"]*"/g, "$1");
      if (place && place.said !== words && !place.contains(document.activeElement)) {
        place.innerHTML = html;
        place.said = words;
      }
    }
    for (const link of root.querySelectorAll("[data-look]")) {
      if (link.dataset.look === shown) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      if (answered.has(link.dataset.look)) link.remove();
    }
    const form = root.querySelector("[data-outbox=none]");
    for (const field of form?.querySelectorAll("[name=candidate]") ?? []) if (answered.has(pairOf(root, field))) field.remove();
    if (form && pairsOf(root, form).length < 2) form.remove();
  }
}

const pairOf = (root, field) => `${photoOf(root.dataset.question)}-${field.value.split(":")[0]}`;

/** The pairs that "none of these" refuses. */
export function pairsOf(root, form) {
  return [...form.querySelectorAll("[name=candidate]")].map((field) => pairOf(root, field));
}
