// Contrast-limited adaptive histogram equalisation (Zuiderveld 1994), on brightness only, so that colours stay.

const LEVELS = 256;

/**
 * Equalise RGBA pixels in place.
 * @param {Uint8ClampedArray} data width × height × 4; transparent pixels are neither counted nor changed
 * @param {number} clip how many times its even share a grey level may hold; what is more goes to all levels
 */
export function equalise(data, width, height, { tiles = 8, clip = 2.5 } = {}) {
  const across = Math.min(tiles, width), down = Math.min(tiles, height);
  const light = brightness(data);
  const maps = [];
  for (let row = 0; row < down; row++) {
    for (let column = 0; column < across; column++) {
      maps.push(mapping(light, data, width, {
        left: Math.floor((column * width) / across), right: Math.floor(((column + 1) * width) / across),
        top: Math.floor((row * height) / down), bottom: Math.floor(((row + 1) * height) / down),
      }, clip));
    }
  }
  const columns = Array.from({ length: width }, (_, x) => between(x, width, across));
  for (let y = 0; y < height; y++) {
    const { low: up, high: below, share: v } = between(y, height, down);
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (!data[4 * at + 3]) continue;
      const { low, high, share: u } = columns[x];
      const level = light[at];
      const above = maps[up * across + low][level] * (1 - u) + maps[up * across + high][level] * u;
      const under = maps[below * across + low][level] * (1 - u) + maps[below * across + high][level] * u;
      const change = above * (1 - v) + under * v - level;
      for (let channel = 0; channel < 3; channel++) data[4 * at + channel] += change;
    }
  }
}

function brightness(data) {
  const light = new Uint8Array(data.length / 4);
  for (let at = 0; at < light.length; at++) {
    light[at] = 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2];
  }
  return light;
}

/** What each grey level of a tile becomes, 0…255. */
function mapping(light, data, width, { left, right, top, bottom }, clip) {
  const counts = new Float64Array(LEVELS);
  let number = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * width + x;
      if (!data[4 * at + 3]) continue;
      counts[light[at]]++;
      number++;
    }
  }
  if (!number) return Float64Array.from({ length: LEVELS }, (_, level) => level);
  const most = (clip * number) / LEVELS;
  let above = 0;
  for (let level = 0; level < LEVELS; level++) {
    above += Math.max(0, counts[level] - most);
    counts[level] = Math.min(counts[level], most);
  }
  let sum = 0;
  return counts.map((count) => {
    sum += count + above / LEVELS;
    return (sum * (LEVELS - 1)) / number;
  });
}

/** The two tiles between whose middles a pixel lies, and how near it is to the second (0…1). */
function between(place, length, tiles) {
  const at = Math.min(tiles - 1, Math.max(0, ((place + 0.5) * tiles) / length - 0.5));
  const low = Math.floor(at);
  return { low, high: Math.min(tiles - 1, low + 1), share: at - low };
}
