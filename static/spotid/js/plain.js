// Pages without anything of their own: keys named in the markup, forms that are sent once, filters that apply at once.
import { listen, sendOnce } from "./keys.js";

listen();
sendOnce();
for (const select of document.querySelectorAll("select[data-send]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
for (const button of document.querySelectorAll("[data-plain]")) button.hidden = true;
