// Sends files in pieces. What is sent twice changes nothing, so whatever breaks is simply tried again.
import { decimal, filled, gettext, ngettext } from "./text.js";

const card = document.querySelector("[data-ingest]");
const drop = card?.querySelector("[data-drop]");
const AT_ONCE = 3;
const LONGEST_WAIT = 30000;
const FAULTS_SHOWN = 200;

const waiting = []; // {file, row}: files of which something is to be sent
const sum = { files: 0, whole: 0, refused: 0, bytes: 0, sent: 0 };
let looking = 0;
let working = 0;
let broken = 0;
let failed = 0;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** CRC-32 as zlib has it; crypto.subtle is not there on plain http. */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ -1) >>> 0;
}

function token() {
  return card.querySelector("[name=csrfmiddlewaretoken]").value;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Posts until there is an answer; only an answer of the server ends it. */
async function post(address, body, headers) {
  for (let wait = 1000; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      const answer = await fetch(address, { method: "POST", body, headers: { ...headers, "X-CSRFToken": token() }, credentials: "same-origin" });
      if (answer.status < 500 && answer.status !== 429) {
        if (answer.redirected || !answer.headers.get("Content-Type")?.includes("json")) return { status: answer.status, error: gettext("Sign in again, then choose the same files: they go on where they stopped.") };
        return { status: answer.status, ...(await answer.json()) };
      }
    } catch { /* the network or the server is away */ }
    broken += 1;
    show();
    await pause(wait);
    broken -= 1;
  }
}

function fault(path, words) {
  const list = card.querySelector("[data-files]");
  if (list.childElementCount >= FAULTS_SHOWN) return;
  const line = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = path;
  line.append(name, ` – ${words}`);
  list.append(line);
}

function megabytes(bytes) {
  return bytes < 1e9 ? `${decimal(bytes / 1e6, 1)} MB` : `${decimal(bytes / 1e9, 2)} GB`;
}

function show() {
  card.querySelector("[data-sending]").hidden = false;
  const bar = card.querySelector("[data-bar]");
  bar.max = sum.bytes || 1;
  bar.value = sum.sent;
  const state = broken ? gettext("The connection is broken; it is tried again") : looking ? gettext("Looking through the files") : gettext("Sending");
  const said = card.querySelector("[data-said=state]");
  if (said.textContent !== state) said.textContent = state;
  const files = filled(ngettext("%(whole)s of %(files)s files", "%(whole)s of %(files)s files", sum.files), sum);
  const refused = sum.refused ? `, ${filled(ngettext("%(count)s left out", "%(count)s left out", sum.refused), { count: sum.refused })}` : "";
  const sent = filled(gettext("%(sent)s of %(whole)s"), { sent: megabytes(sum.sent), whole: megabytes(sum.bytes) });
  card.querySelector("[data-said=numbers]").textContent = `${files}${refused} · ${sent}`;
}

/** files: [{path, file}] */
async function add(files) {
  looking += 1;
  show();
  const most = Number(card.dataset.most);
  for (let from = 0; from < files.length; from += most) {
    const some = files.slice(from, from + most);
    const list = some.map(({ path, file }) => [path, file.size, file.lastModified]);
    const answer = await post(card.dataset.announce, JSON.stringify({ files: list }), { "Content-Type": "application/json" });
    if (answer.error) {
      failed += some.length;
      const { path } = some[0], more = some.length - 1;
      fault(more ? filled(ngettext("%(path)s and %(count)s more", "%(path)s and %(count)s more", more), { path, count: more }) : path, answer.error);
      continue;
    }
    answer.files.forEach((row, index) => take(some[index], row));
    work();
  }
  looking -= 1;
  work();
}

function take({ path, file }, row) {
  sum.files += 1;
  if (row.code) {
    sum.refused += 1;
    fault(path, row.reason);
    return;
  }
  sum.bytes += file.size;
  sum.sent += row.received;
  if (row.received === file.size) sum.whole += 1;
  else waiting.push({ path, file, id: row.id, received: row.received });
}

function work() {
  while (working < AT_ONCE && waiting.length) {
    working += 1;
    send(waiting.shift()).finally(() => {
      working -= 1;
      work();
    });
  }
  show();
  if (!working && !looking && !waiting.length && sum.files) done();
}

async function send(item) {
  const most = Number(card.dataset.pieceBytes);
  while (item.received < item.file.size) {
    let bytes;
    try {
      bytes = new Uint8Array(await item.file.slice(item.received, item.received + most).arrayBuffer());
    } catch {
      return give_up(item, gettext("The file can no longer be read on this computer."));
    }
    const answer = await post(`${card.dataset.piece}?file=${item.id}&offset=${item.received}`, bytes, { "Content-Type": "application/octet-stream", "X-Piece-CRC32": String(crc32(bytes)) });
    if (answer.received === undefined) return give_up(item, answer.error);
    sum.sent += answer.received - item.received;
    item.received = answer.received;
    show();
  }
  sum.whole += 1;
  return undefined;
}

function give_up(item, words) {
  failed += 1;
  fault(item.path, words);
}

/** Whole: handed over at once. With failures a person decides. */
function done() {
  if (failed) {
    card.querySelector("[data-said=state]").textContent = gettext("Some files did not arrive");
    card.querySelector("[data-anyway]").hidden = !sum.whole;
    return;
  }
  card.querySelector("[data-said=state]").textContent = gettext("Everything arrived");
  removeEventListener("beforeunload", warn);
  card.querySelector("[data-finish]").submit();
}

function warn(event) {
  if (working || looking) event.preventDefault();
}

/** All files of a dropped folder, with their paths; browsers give the entries of a folder in portions. */
async function walk(entry, path, found) {
  if (entry.isFile) {
    found.push({ path: path + entry.name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) await walk(child, `${path}${entry.name}/`, found);
  }
}

async function dropped(event) {
  event.preventDefault();
  drop.classList.remove("over");
  // Entries have to be asked for at once: they are gone after the first wait.
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const loose = entries.length ? [] : [...event.dataTransfer.files].map((file) => ({ path: file.name, file }));
  looking += 1;
  show();
  const found = loose;
  for (const entry of entries) {
    try {
      await walk(entry, "", found);
    } catch {
      failed += 1;
      fault(entry.name, gettext("It cannot be read on this computer."));
    }
  }
  looking -= 1;
  if (found.length) await add(found);
  else show();
}

if (card) {
  for (const input of card.querySelectorAll("[data-pick]")) {
    input.addEventListener("change", () => {
      const files = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
      input.value = "";
      if (files.length) add(files);
    });
  }
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", dropped);
  addEventListener("beforeunload", warn);
}
