/**
 * The change of colours that the network made on a small square, as an affine
 * map of the colour for each small pixel: a port of `fit` in
 * hdnet_jax/inference/guided_filter.py. That file says why; this one says the
 * same in loops, over the object's part of the square alone.
 *
 * A part is {left, top, right, bottom}, in small pixels; the last two are
 * beyond it.
 */

import { SIZE } from "./small.js";

export const MAP = 12; // numbers of a map: channel by channel, offset last

const RADIUS = 4; // half of a window's side, in small pixels
const LOCAL_EPSILON = 0.04 ** 2;
const OBJECT_EPSILON = 0.01 ** 2;
const COUNT = SIZE * SIZE;

// Moments of colour x and change p: x, p, the upper half of x x^T, and x p^T.
const X = 0, P = 3, XX = 6, XP = 12, MOMENTS = 21;

/**
 * Maps of colour to change, in 0 to 1, MAP numbers for each small pixel of the
 * part `needed`. Outside of the object they are the nearest ones.
 */
export function fit(image, output, inside, needed) {
  const colours = new Float64Array(3 * COUNT);
  const change = new Float64Array(3 * COUNT);
  for (let i = 0; i < 3 * COUNT; i++) {
    colours[i] = image[i] / 255;
    change[i] = output[i] / 255 - colours[i];
  }
  const whole = fitWhole(colours, change, inside);
  // What the whole object's map leaves is for the windows.
  for (let i = 0; i < COUNT; i++) {
    if (!inside[i]) continue;
    for (let c = 0; c < 3; c++) {
      change[3 * i + c] -= mapped(whole, c, colours, 3 * i);
    }
  }
  const part = around(inside, 2 * RADIUS);
  const { share, sums } = fitWindows(colours, change, inside, part);
  const width = part.right - part.left;
  const known = new Uint8Array(COUNT);
  for (let i = 0; i < share.length; i++) {
    if (share[i]) known[fromPart(i, part, width)] = 1;
  }
  const source = nearestKnown(known, needed);
  const maps = new Float32Array(MAP * COUNT);
  for (let y = needed.top; y < needed.bottom; y++) {
    for (let x = needed.left; x < needed.right; x++) {
      const at = MAP * (y * SIZE + x);
      const from = source[y * SIZE + x];
      const column = from % SIZE;
      const i = ((from - column) / SIZE - part.top) * width +
        column - part.left;
      for (let k = 0; k < MAP; k++) {
        maps[at + k] = whole[k] + sums[k][i] / share[i];
      }
    }
  }
  return maps;
}

/** The one map of the whole object. */
function fitWhole(colours, change, inside) {
  const sums = new Float64Array(MOMENTS);
  const own = new Float64Array(MOMENTS);
  let total = 0;
  for (let i = 0; i < COUNT; i++) {
    if (!inside[i]) continue;
    total++;
    moments(colours, change, 3 * i, own);
    for (let k = 0; k < MOMENTS; k++) sums[k] += own[k];
  }
  const map = new Float64Array(MAP);
  ridge(sums.map((sum) => sum / total), OBJECT_EPSILON, map);
  return map;
}

/** Sums of the maps of the windows over each pixel of the part. */
function fitWindows(colours, change, inside, part) {
  const width = part.right - part.left, height = part.bottom - part.top;
  const planes = (number) =>
    Array.from({ length: number }, () => new Float64Array(width * height));
  const windows = planes(MOMENTS);
  const [count] = planes(1);
  const own = new Float64Array(MOMENTS);
  for (let i = 0; i < count.length; i++) {
    const from = fromPart(i, part, width);
    if (!inside[from]) continue;
    count[i] = 1;
    moments(colours, change, 3 * from, own);
    for (let k = 0; k < MOMENTS; k++) windows[k][i] = own[k];
  }
  for (const plane of [count, ...windows]) windowSum(plane, width, height);

  // A window's map counts as much as the window holds of the object.
  const sums = planes(MAP);
  const map = new Float64Array(MAP);
  for (let i = 0; i < count.length; i++) {
    if (!count[i]) continue;
    for (let k = 0; k < MOMENTS; k++) own[k] = windows[k][i] / count[i];
    ridge(own, LOCAL_EPSILON, map);
    for (let k = 0; k < MAP; k++) sums[k][i] = count[i] * map[k];
  }
  for (const plane of [count, ...sums]) windowSum(plane, width, height);
  return { share: count, sums };
}

/** The part that holds all that is inside, and `margin` pixels around it. */
function around(inside, margin) {
  let left = SIZE, top = SIZE, right = 0, bottom = 0;
  for (let i = 0; i < COUNT; i++) {
    if (!inside[i]) continue;
    const x = i % SIZE;
    const y = (i - x) / SIZE;
    left = Math.min(left, x);
    right = Math.max(right, x + 1);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y + 1);
  }
  return {
    left: Math.max(left - margin, 0), top: Math.max(top - margin, 0),
    right: Math.min(right + margin, SIZE),
    bottom: Math.min(bottom + margin, SIZE),
  };
}

/** The index in the square of a part's own index. */
function fromPart(i, { left, top }, width) {
  const x = i % width;
  return (top + (i - x) / width) * SIZE + left + x;
}

/** A map's change of channel c, for the colour at `at`. */
function mapped(map, c, colours, at) {
  let value = map[4 * c + 3];
  for (let k = 0; k < 3; k++) value += map[4 * c + k] * colours[at + k];
  return value;
}

/** Fills `to` with the moments of the pixel at `at`. */
function moments(colours, change, at, to) {
  let square = XX;
  for (let k = 0; k < 3; k++) {
    const x = colours[at + k];
    to[X + k] = x;
    to[P + k] = change[at + k];
    for (let c = k; c < 3; c++) to[square++] = x * colours[at + c];
    for (let c = 0; c < 3; c++) to[XP + 3 * k + c] = x * change[at + c];
  }
}

const gains = new Float64Array(3);

/** Fills `map` from x to p, by least squares, from means of `moments`. */
function ridge(means, epsilon, map) {
  const x = means[X], y = means[X + 1], z = means[X + 2];
  const a = means[XX] - x * x + epsilon, b = means[XX + 1] - x * y;
  const c = means[XX + 2] - x * z, d = means[XX + 3] - y * y + epsilon;
  const e = means[XX + 4] - y * z, f = means[XX + 5] - z * z + epsilon;
  // The symmetric matrix' inverse is its cofactors over its determinant.
  const u = d * f - e * e, v = c * e - b * f, w = b * e - c * d;
  const q = a * f - c * c, r = b * c - a * e, s = a * d - b * b;
  const determinant = a * u + b * v + c * w;
  for (let channel = 0; channel < 3; channel++) {
    const p = means[P + channel];
    const i = means[XP + channel] - x * p;
    const j = means[XP + 3 + channel] - y * p;
    const k = means[XP + 6 + channel] - z * p;
    gains[0] = (u * i + v * j + w * k) / determinant;
    gains[1] = (v * i + q * j + r * k) / determinant;
    gains[2] = (w * i + r * j + s * k) / determinant;
    map.set(gains, 4 * channel);
    map[4 * channel + 3] = p - gains[0] * x - gains[1] * y - gains[2] * z;
  }
}

/** Sums over each square window, as far as it is in the part; in place. */
function windowSum(plane, width, height) {
  const sums = new Float64Array(Math.max(width, height) + 1);
  for (let y = 0; y < height; y++) sumAlong(plane, y * width, 1, width, sums);
  for (let x = 0; x < width; x++) sumAlong(plane, x, width, height, sums);
}

function sumAlong(plane, start, step, length, sums) {
  for (let i = 0, at = start; i < length; i++, at += step) {
    sums[i + 1] = sums[i] + plane[at];
  }
  for (let i = 0, at = start; i < length; i++, at += step) {
    const end = Math.min(i + RADIUS + 1, length);
    plane[at] = sums[end] - sums[Math.max(i - RADIUS, 0)];
  }
}

/** For each pixel of the part, the nearest one that is known: its index. */
function nearestKnown(known, { left, top, right, bottom }) {
  // In each column first: the row of the nearest one, -1 for none.
  const rows = new Int32Array(COUNT).fill(-1);
  for (let x = 0; x < SIZE; x++) {
    for (let y = 0, last = -1; y < SIZE; y++) {
      if (known[y * SIZE + x]) last = y;
      rows[y * SIZE + x] = last;
    }
    for (let y = SIZE - 1, last = -1; y >= 0; y--) {
      const i = y * SIZE + x;
      if (known[i]) last = y;
      if (last >= 0 && (rows[i] < 0 || last - y < y - rows[i])) rows[i] = last;
    }
  }
  // Then along each row, over the columns.
  const source = new Int32Array(COUNT);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const i = y * SIZE + x;
      let least = known[i] ? 0 : Infinity;
      source[i] = i;
      for (let column = 0; column < SIZE && least; column++) {
        const row = rows[y * SIZE + column];
        const distance = (column - x) ** 2 + (row - y) ** 2;
        if (row >= 0 && distance < least) {
          least = distance;
          source[i] = row * SIZE + column;
        }
      }
    }
  }
  return source;
}
