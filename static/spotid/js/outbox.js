// Decisions on their way to the server. Each waits in this browser until the server has said what became of it; it has a
// key, so that one that arrives twice is recorded once. They are sent one by one, in order.

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
const PATIENCE = 20_000; // for one answer

/**
 * @typedef {{key: string, kind: "verdict"|"later"|"empty"|"undo", survey: string, address: string, fields: [string, string][],
 *   pair: string, words: string, crops: string[], of?: string, at: number, tried?: boolean}} Entry
 * of: what an undo takes back. tried: whether it may have arrived.
 */

/** A random UUID; crypto.randomUUID is missing on plain http. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** A list in the browser's storage, or in this page alone where there is none. */
class Kept {
  constructor(name) {
    this.name = name;
    this.page = null;
  }

  read() {
    if (this.page) return this.page;
    try {
      return JSON.parse(localStorage.getItem(this.name) ?? "[]");
    } catch {
      return [];
    }
  }

  write(entries) {
    try {
      if (entries.length) localStorage.setItem(this.name, JSON.stringify(entries));
      else localStorage.removeItem(this.name);
      this.page = null;
    } catch {
      this.page = entries; // no storage: a page that is left now would lose them, which the browser asks about
    }
  }
}

export class Outbox extends EventTarget {
  /**
   * Says "change" when what waits or `state` changes, "answer" {entry, answer} when something was done, and "question"
   * {entry, answer} when somebody has to say what becomes of an entry; nothing is sent until she did.
   * @param {{user: string, more: (entry: Entry) => Record<string, string>}} options more: what is sent along
   */
  constructor({ user, more }) {
    super();
    this.user = user;
    this.more = more;
    this.kept = new Kept(`spotid.outbox.${user}`);
    /** "", or why nothing is sent: away, fault, signed-out, other, forbidden, form */
    this.state = "";
    this.wait = FIRST_WAIT;
    addEventListener("online", () => this.send());
    addEventListener("focus", () => this.send());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.send(); });
    addEventListener("offline", () => { if (this.entries.length) this.#say("away"); });
    addEventListener("storage", (event) => { if (event.key === this.kept.name) this.#changed(); });
    addEventListener("beforeunload", (event) => { if (this.kept.page?.length) event.preventDefault(); });
  }

  /** @returns {Entry[]} */
  get entries() {
    return this.kept.read();
  }

  add(entry) {
    this.kept.write([...this.entries, { at: Date.now(), ...entry }]);
    this.#changed();
    queueMicrotask(() => this.send()); // once the page shows what comes next
  }

  /** Say why nothing would be sent, found out elsewhere. */
  note(state) {
    this.#say(state);
  }

  /** Forget what waits for the survey of the next entry. */
  discard() {
    const [next] = this.entries;
    this.kept.write(this.entries.filter((entry) => entry.survey !== next?.survey));
    this.asked = undefined;
    this.#say("");
    this.send();
  }

  /** Forget an entry. */
  drop(key) {
    this.kept.write(this.entries.filter((entry) => entry.key !== key));
    if (this.asked === key) this.asked = undefined;
    this.#changed();
  }

  /** Go on with an entry that was in question, with other fields. */
  change(key, fields) {
    const names = new Set(fields.map(([name]) => name));
    this.#set(key, (entry) => ({ ...entry, fields: [...entry.fields.filter(([name]) => !names.has(name)), ...fields] }));
    if (this.asked === key) this.asked = undefined;
    this.send();
  }

  /** Send what waits, unless it is being sent or somebody is asked about it. */
  async send() {
    if (this.sending || this.asked) return;
    clearTimeout(this.later);
    if (!navigator.onLine && this.entries.length) {
      this.#say("away"); // "online" says when to try
      return;
    }
    this.sending = true;
    try {
      for (let entry = this.entries[0]; entry && !this.asked; entry = this.entries[0]) {
        if (!(await this.#post(entry))) return;
        this.wait = FIRST_WAIT;
      }
    } finally {
      this.sending = false;
    }
  }

  /** Whether the next entry may be sent. */
  async #post(entry) {
    this.#set(entry.key, (one) => ({ ...one, tried: true }));
    let response;
    const token = tokenNow();
    try {
      const body = new URLSearchParams(entry.fields);
      for (const [name, value] of Object.entries({ ...this.more(entry), key: entry.key, by: this.user })) body.set(name, value);
      response = await fetch(entry.address, {
        method: "POST", body, headers: { Accept: "application/json", "X-CSRFToken": token },
        credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE),
      });
    } catch {
      return this.#again("away");
    }
    let answer = null;
    try {
      if (response.headers.get("Content-Type")?.includes("json")) answer = await response.json();
    } catch {
      return this.#again("away"); // the line broke in the middle of the answer
    }
    return this.#understand(entry, response, answer, token);
  }

  #understand(entry, response, answer, token) {
    if (response.redirected || response.status === 401) return this.#again("signed-out");
    if (response.status === 429 || response.status >= 500) return this.#again("fault");
    if (!answer) {
      // Not ours: a token that is out of date, because she signed in again elsewhere, or a proxy.
      if (response.status === 403 && tokenNow() !== token) return true;
      return this.#again(response.status === 403 ? "form" : "fault");
    }
    if (answer.said === "other" || answer.said === "forbidden") return this.#again(answer.said);
    this.#say("");
    if (response.ok) {
      this.kept.write(this.entries.filter((one) => one.key !== entry.key));
      this.#tell("answer", { entry, answer });
      this.#changed();
      return true;
    }
    this.asked = entry.key;
    this.#tell("question", { entry, answer });
    return false;
  }

  #again(state) {
    this.#say(state);
    if (state !== "form" && state !== "forbidden") this.later = setTimeout(() => this.send(), this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    return false;
  }

  #set(key, change) {
    this.kept.write(this.entries.map((entry) => (entry.key === key ? change(entry) : entry)));
  }

  #say(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** What shows that a form is of this site: the cookie's token, which is as new as the session, else that of the page. */
function tokenNow() {
  const cookie = document.cookie.split("; ").find((one) => one.startsWith("csrftoken="));
  return cookie?.slice("csrftoken=".length) ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
}
