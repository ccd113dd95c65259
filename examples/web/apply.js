/**
 * The maps of guided.js on the photo's own pixels: a port of `apply` in
 * hdnet_jax/inference/guided_filter.py, over the mask's part of the photo alone.
 */

import { MAP } from "./guided.js";
import { SIZE, mixed, taps } from "./small.js";

/** The small pixels of which the mask's part of a photo takes maps. */
export function needed({ width, height }, mask) {
  const across = taps(SIZE, width), down = taps(SIZE, height);
  const end = ({ first, count }, last) => first[last] + count[last];
  return {
    left: across.first[mask.x], right: end(across, mask.x + mask.width - 1),
    top: down.first[mask.y], bottom: end(down, mask.y + mask.height - 1),
  };
}

/**
 * The mask's part of the photo, changed by `strength` times what the mask says.
 * Where the mask is 0, its pixels are copies.
 */
export function apply(maps, photo, mask, strength) {
  const across = acrossOf(photo.width, mask);
  const down = taps(SIZE, photo.height);
  const { left, right } = needed(photo, mask);
  const { width, height, data: shares } = mask;
  const result = cut(photo, mask);
  for (let y = 0, i = 0; y < height; y++) {
    const row = mixed(
      maps, MAP * SIZE, down, mask.y + y, MAP * left, MAP * right);
    const line = across.ready(row);
    const steps = stepsOf(line);
    for (let x = 0; x < width; x++, i++) {
      if (!shares[i]) continue;
      const at = 4 * i;
      const r = result[at], g = result[at + 1], b = result[at + 2];
      const map = across.first[x], far = across.share[x];
      const share = (shares[i] * strength) / 255;
      // An array of clamped bytes rounds to the nearest.
      result[at] = blend(r, change(line, steps, map, far, r, g, b), share);
      result[at + 1] =
        blend(g, change(line, steps, map + 4, far, r, g, b), share);
      result[at + 2] =
        blend(b, change(line, steps, map + 8, far, r, g, b), share);
    }
  }
  return result;
}

/** From each number of a line of maps to the same of the next map. */
function stepsOf(line) {
  const steps = new Float64Array(line.length);
  for (let i = MAP; i < line.length; i++) {
    steps[i - MAP] = line[i] - line[i - MAP];
  }
  return steps;
}

/** The photo's pixels of the mask's part. */
export function cut({ data, width }, mask) {
  const result = new Uint8ClampedArray(4 * mask.width * mask.height);
  for (let y = 0; y < mask.height; y++) {
    const start = 4 * ((mask.y + y) * width + mask.x);
    const row = data.subarray(start, start + 4 * mask.width);
    result.set(row, 4 * y * mask.width);
  }
  return result;
}

/** Of each column, the map of a line before it, and its share of the next. */
function acrossOf(photoWidth, mask) {
  const columns = taps(SIZE, photoWidth);
  const first = new Int32Array(mask.width);
  const share = new Float64Array(mask.width);
  if (photoWidth < SIZE) { // it lies between more of them: they are mixed first
    return {
      first: first.map((_, x) => MAP * x), share,
      ready: (row) => narrowed(row, columns, mask),
    };
  }
  for (let x = 0; x < mask.width; x++) {
    const at = mask.x + x;
    first[x] = MAP * columns.first[at];
    if (columns.count[at] > 1) {
      share[x] = columns.weights[columns.most * at + 1];
    }
  }
  return { first, share, ready: (row) => row };
}

/** A line of maps, one for each column of the mask's part. */
function narrowed(row, columns, mask) {
  const line = new Float64Array(MAP * mask.width);
  for (let x = 0; x < mask.width; x++) {
    line.set(mixed(row, MAP, columns, mask.x + x, 0, MAP), MAP * x);
  }
  return line;
}

/** What one channel's map, and `far` of the step to the next, adds. */
function change(line, steps, at, far, r, g, b) {
  return (line[at] + far * steps[at]) * r +
    (line[at + 1] + far * steps[at + 1]) * g +
    (line[at + 2] + far * steps[at + 2]) * b +
    (line[at + 3] + far * steps[at + 3]) * 255;
}

function blend(old, change, share) {
  const changed = Math.min(Math.max(old + change, 0), 255);
  return old + (changed - old) * share;
}
