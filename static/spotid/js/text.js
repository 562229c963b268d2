// Words of scripts in the language of the page. The catalogue (Django's JavaScriptCatalog) is loaded by the frame of the
// page before any module, and not at all in English, in which the words are written.
const catalogue = window.django ?? {};

export const gettext = catalogue.gettext ?? ((words) => words);
export const ngettext = catalogue.ngettext ?? ((one, many, number) => (number === 1 ? one : many));

// "%(count)s photos" with { count: 3 }; a name without a value stays as it is.
export const filled = (words, values) => words.replace(/%\((\w+)\)s/g, (all, name) => String(values[name] ?? all));

/** A number with so many decimals, as the language of the page writes it. */
export const decimal = (value, digits) => value.toLocaleString(document.documentElement.lang, {
  minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false,
});
