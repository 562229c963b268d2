// By photo: five candidates further, or back, fetched and shown in the page that is there.

import { gettext } from "./text.js";

/**
 * The first of other five candidates: {item}, or {words} why there is none; neither where she went on meanwhile.
 * @param {{query: URLSearchParams, photos: import("./photos.js").Photos, ahead: import("./ahead.js").Ahead,
 *   ask: () => Promise<boolean>, still: () => boolean}} turn
 *   query: of the link, which names the photo and how many strips it is past; ask: fetch what comes next; still: whether
 *   the same pair is on the page
 */
export async function turned({ query, photos, ahead, ask, still }) {
  const photo = query.get("anchor");
  const more = query.get("more") ?? "";
  const back = photos.turn(photo, more);
  const came = await ask();
  const item = came && still() && photos.past === more ? ahead.takeFirst(photo) : undefined;
  if (item) return { item, words: "" };
  back();
  if (!came) return { words: gettext("The candidates could not be fetched. Try again in a moment.") };
  if (!still()) return {};
  return { words: gettext("None of those candidates is open any more, or others look at them now.") };
}
