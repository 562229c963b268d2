// What is covered of a photo, drawn on an example while the heights are chosen.

for (const form of document.querySelectorAll("[data-strips]")) {
  form.addEventListener("change", () => {
    for (const strip of form.querySelectorAll("[data-of]")) {
      const height = 100 * Number(form.querySelector(`[name=${strip.dataset.of}]`).value);
      strip.setAttribute("height", `${height}%`);
      if (strip.dataset.of === "print_bottom") strip.setAttribute("y", `${100 - height}%`);
    }
  });
}
