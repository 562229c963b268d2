// Small things of the page of a session.

/** Say something, with a link that leads on where there is one: {href, text}. */
export function say(place, words, link) {
  place.textContent = words;
  if (!link) return;
  const further = document.createElement("a");
  further.href = link.href;
  further.textContent = link.text;
  place.append(" ", further);
}

/** Elements that name these pairs to whoever renews their leases. */
export function holds(pairs) {
  return pairs.map((pair) => {
    const held = document.createElement("span");
    held.dataset.hold = pair.split("-").map(Number).sort((a, b) => a - b).join("-");
    return held;
  });
}

/** How long it took from the key to the pair on the screen, for whoever looks into the browser's performance tools. */
export async function measured(root, drawn, start) {
  await drawn;
  requestAnimationFrame(() => setTimeout(() => {
    if (start) performance.measure("spotid-next-pair", { start, end: performance.now() });
    root.dataset.ready = "";
  }));
}

/** The pairs that an entry of the outbox answers. */
export function pairsIn(entry) {
  return entry.pairs ?? [entry.pair];
}

/** What corresponds to an element in another question. */
export function twin(root, element) {
  if (element.dataset.stage) return root.querySelector(`[data-stage="${element.dataset.stage}"]`);
  if (element.dataset.keys) return root.querySelector(`[data-keys="${element.dataset.keys}"]`);
  return null;
}

/** What Undo takes back of entries that wait: the last verdict, or the last box that was set aside. */
export function takenBack(entries) {
  return entries.findLast((entry) => ["verdict", "empty"].includes(entry.kind));
}

/** What an entry says of its pairs, as the server reads it. */
export function saidIn(entry) {
  const said = entry.fields.find(([name]) => name === "verdict")?.[1] ?? (entry.pairs ? "no_match" : entry.kind);
  return pairsIn(entry).map((pair) => `${pair}:${said}`);
}
