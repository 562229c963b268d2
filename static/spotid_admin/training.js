// Asks how far the training is and puts the answer in place; when it is over, the page is loaded once more.
(() => {
  const place = document.querySelector("[data-live]");
  const EVERY = 2500;

  async function ask() {
    try {
      const answer = await fetch(place.dataset.live, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = parsed.querySelector("[data-open]");
      if (!now) throw new Error("not the page that was asked for");
      if (now.dataset.open === "no") {
        location.reload();
        return;
      }
      place.replaceChildren(now);
    } catch {
      setTimeout(ask, EVERY * 4); // the server or the database is away; it will be back
      return;
    }
    setTimeout(ask, document.hidden ? EVERY * 4 : EVERY);
  }

  if (place) setTimeout(ask, EVERY);
})();
