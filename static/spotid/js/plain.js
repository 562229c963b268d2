// Pages without anything of their own: keys named in the markup, forms that are sent once.
import { listen, sendOnce } from "./keys.js";

listen();
sendOnce();
for (const button of document.querySelectorAll("[data-plain]")) button.hidden = true;
