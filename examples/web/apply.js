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
  for (let y = 0; y < height; y++) {
    const row = mixed(
      maps, MAP * SIZE, down, mask.y + y, MAP * left, MAP * right);
    const line = across.ready(row);
    // Columns between the same two maps are a run: its maps are read once.
    for (let x = 0, end; x < width; x = end) {
      const at = across.first[x];
      for (end = x + 1; end < width && across.first[end] === at;) end++;
      applyRun(result, shares, strength / 255, across.share, line, at, {
        start: width * y + x, end: width * y + end, x,
      });
    }
  }
  return result;
}

/**
 * Changes the pixels `start` to `end` of one row, whose first column is `x` and
 * which lie between the maps of a line at `at` and the next ones.
 */
function applyRun(pixels, shares, strength, far, line, at, { start, end, x }) {
  const to = at + MAP < line.length ? at + MAP : at; // the last has no next
  const m0 = line[at], m1 = line[at + 1], m2 = line[at + 2];
  const m3 = line[at + 3], m4 = line[at + 4], m5 = line[at + 5];
  const m6 = line[at + 6], m7 = line[at + 7], m8 = line[at + 8];
  const m9 = line[at + 9], m10 = line[at + 10], m11 = line[at + 11];
  const s0 = line[to] - m0, s1 = line[to + 1] - m1, s2 = line[to + 2] - m2;
  const s3 = line[to + 3] - m3, s4 = line[to + 4] - m4, s5 = line[to + 5] - m5;
  const s6 = line[to + 6] - m6, s7 = line[to + 7] - m7, s8 = line[to + 8] - m8;
  const s9 = line[to + 9] - m9, s10 = line[to + 10] - m10;
  const s11 = line[to + 11] - m11;
  for (let i = start; i < end; i++, x++) {
    if (!shares[i]) continue;
    const p = 4 * i, f = far[x], share = shares[i] * strength;
    const r = pixels[p], g = pixels[p + 1], b = pixels[p + 2];
    // An array of clamped bytes rounds to the nearest.
    pixels[p] = blend(r, share, (m0 + f * s0) * r + (m1 + f * s1) * g +
      (m2 + f * s2) * b + (m3 + f * s3) * 255);
    pixels[p + 1] = blend(g, share, (m4 + f * s4) * r + (m5 + f * s5) * g +
      (m6 + f * s6) * b + (m7 + f * s7) * 255);
    pixels[p + 2] = blend(b, share, (m8 + f * s8) * r + (m9 + f * s9) * g +
      (m10 + f * s10) * b + (m11 + f * s11) * 255);
  }
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

function blend(old, share, change) {
  const changed = Math.min(Math.max(old + change, 0), 255);
  return old + (changed - old) * share;
}
