// Small choices that this browser keeps: the view, whether both photos move together.

export const remembered = {
  get: (name) => { try { return localStorage.getItem(`spotid.${name}`); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(`spotid.${name}`, value); } catch { /* private mode */ } },
};
