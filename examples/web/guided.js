/**
 * The change of colours that the network made on a small square, carried to
 * the photo's own size: a port of hdnet_jax/inference/guided_filter.py and of the
 * reduction before it. That file says why; this one says the same in loops.
 *
 * A photo is {data, width, height} with RGBA bytes, as an ImageData is; a mask
 * has one byte a pixel. Small images are RGB bytes of SIZE x SIZE.
 */

export const SIZE = 256; // the side of what the network sees

const RADIUS = 4; // half of a window's side, in small pixels
const LOCAL_EPSILON = 0.04 ** 2;
const OBJECT_EPSILON = 0.01 ** 2;
const COUNT = SIZE * SIZE;

// Moments of colour x and change p: x, p, x x^T and x p^T.
const X = 0, P = 3, XX = 6, XP = 15, MOMENTS = 24;
const MAP = 12; // numbers of an affine map: channel by channel, offset last

/** What the network sees of a photo: {image, inside}, inside is 0 or 1. */
export function reduced(photo, mask) {
  const image = shrunk(photo);
  const inside = nearest(mask, photo.width, photo.height);
  if (!inside.includes(1)) meanColours(photo, mask, image, inside);
  return { image, inside };
}

/** Where the nearest pixels miss a small object: all small ones with some. */
function meanColours({ data, width, height }, mask, image, inside) {
  const sums = new Map();
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (mask[i] <= 127) continue;
      const row = Math.floor((y * SIZE) / height);
      const cell = row * SIZE + Math.floor((x * SIZE) / width);
      const sum = sums.get(cell) ?? [0, 0, 0, 0];
      for (let c = 0; c < 3; c++) sum[c] += data[4 * i + c];
      sum[3]++;
      sums.set(cell, sum);
    }
  }
  for (const [cell, sum] of sums) {
    inside[cell] = 1;
    for (let c = 0; c < 3; c++) image[3 * cell + c] = sum[c] / sum[3];
  }
}

/** Pillow's bilinear reduction: first across, then down, rounded each time. */
function shrunk({ data, width, height }) {
  const across = taps(width, SIZE);
  const rows = new Uint8ClampedArray(3 * SIZE * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < SIZE; x++) {
      const { first, weights } = across[x];
      let r = 0, g = 0, b = 0;
      let i = 4 * (y * width + first);
      for (const weight of weights) {
        r += weight * data[i];
        g += weight * data[i + 1];
        b += weight * data[i + 2];
        i += 4;
      }
      const to = 3 * (y * SIZE + x);
      rows[to] = r;
      rows[to + 1] = g;
      rows[to + 2] = b;
    }
  }
  const image = new Uint8ClampedArray(3 * COUNT);
  taps(height, SIZE).forEach(({ first, weights }, y) => {
    const sums = new Float64Array(3 * SIZE);
    weights.forEach((weight, k) => {
      const row = 3 * SIZE * (first + k);
      for (let i = 0; i < sums.length; i++) sums[i] += weight * rows[row + i];
    });
    image.set(sums, 3 * SIZE * y);
  });
  return image;
}

/** The pixels that a linear resize weighs, for each of `to` places. */
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(Math.floor(center - reach + 0.5), 0);
    const end = Math.min(Math.floor(center + reach + 0.5), from);
    const weights = [];
    for (let i = first; i < end; i++) {
      weights.push(Math.max(1 - Math.abs(i + 0.5 - center) / reach, 0));
    }
    const sum = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function nearest(mask, width, height) {
  const inside = new Uint8Array(COUNT);
  for (let y = 0, i = 0; y < SIZE; y++) {
    const row = Math.floor(((y + 0.5) * height) / SIZE) * width;
    for (let x = 0; x < SIZE; x++, i++) {
      const column = Math.floor(((x + 0.5) * width) / SIZE);
      inside[i] = mask[row + column] > 127 ? 1 : 0;
    }
  }
  return inside;
}

/**
 * Maps of colour to change, in 0 to 1, MAP numbers for each small pixel.
 * Outside of the object they are the nearest ones.
 */
export function fit(image, output, inside) {
  const colours = Float64Array.from(image, (value) => value / 255);
  const change = colours.map((value, i) => output[i] / 255 - value);
  const total = inside.reduce((a, b) => a + b, 0);

  // The whole object's map; what it leaves is for the windows.
  const sums = moments(colours, change, inside).map((plane) =>
    plane.reduce((a, b) => a + b, 0));
  const whole = ridge(sums.map((sum) => sum / total), OBJECT_EPSILON);
  for (let i = 0; i < COUNT; i++) {
    for (let c = 0; c < 3; c++) {
      change[3 * i + c] -= mapped(whole, c, colours, 3 * i);
    }
  }

  // A window's map counts as much as the window holds of the object.
  const count = windowSum(Float64Array.from(inside));
  const windows = moments(colours, change, inside).map(windowSum);
  const planes = Array.from({ length: MAP }, () => new Float64Array(COUNT));
  for (let i = 0; i < COUNT; i++) {
    if (!count[i]) continue;
    const means = windows.map((plane) => plane[i] / count[i]);
    const map = ridge(means, LOCAL_EPSILON);
    for (let k = 0; k < MAP; k++) planes[k][i] = count[i] * map[k];
  }
  const share = windowSum(count);
  const means = planes.map(windowSum);
  const source = nearestKnown(share);
  const maps = new Float32Array(MAP * COUNT);
  for (let i = 0; i < COUNT; i++) {
    const from = source[i];
    for (let k = 0; k < MAP; k++) {
      maps[MAP * i + k] = whole[k] + means[k][from] / share[from];
    }
  }
  return maps;
}

/** A map's change of channel c, for the colour at `at`. */
function mapped(map, c, colours, at) {
  let value = map[4 * c + 3];
  for (let k = 0; k < 3; k++) value += map[4 * c + k] * colours[at + k];
  return value;
}

/** One plane for each moment; 0 outside of the object. */
function moments(colours, change, inside) {
  const planes = Array.from({ length: MOMENTS }, () => new Float64Array(COUNT));
  for (let i = 0; i < COUNT; i++) {
    if (!inside[i]) continue;
    for (let k = 0; k < 3; k++) {
      const x = colours[3 * i + k];
      planes[X + k][i] = x;
      planes[P + k][i] = change[3 * i + k];
      for (let c = 0; c < 3; c++) {
        planes[XX + 3 * k + c][i] = x * colours[3 * i + c];
        planes[XP + 3 * k + c][i] = x * change[3 * i + c];
      }
    }
  }
  return planes;
}

/** The map from x to p, by least squares, from means of `moments`. */
function ridge(means, epsilon) {
  const variance = (a, b) =>
    means[XX + 3 * a + b] - means[X + a] * means[X + b] +
    (a === b ? epsilon : 0);
  const [a, b, c] = [variance(0, 0), variance(0, 1), variance(0, 2)];
  const [d, e, f] = [variance(1, 1), variance(1, 2), variance(2, 2)];
  // The symmetric matrix' inverse is its cofactors over its determinant.
  const [u, v, w] = [d * f - e * e, c * e - b * f, b * e - c * d];
  const [q, r, s] = [a * f - c * c, b * c - a * e, a * d - b * b];
  const cofactors = [u, v, w, v, q, r, w, r, s];
  const determinant = a * u + b * v + c * w;
  const map = new Float64Array(MAP);
  for (let channel = 0; channel < 3; channel++) {
    const p = means[P + channel];
    map[4 * channel + 3] = p;
    for (let k = 0; k < 3; k++) {
      let gain = 0;
      for (let j = 0; j < 3; j++) {
        const covariance = means[XP + 3 * j + channel] - means[X + j] * p;
        gain += (cofactors[3 * k + j] * covariance) / determinant;
      }
      map[4 * channel + k] = gain;
      map[4 * channel + 3] -= gain * means[X + k];
    }
  }
  return map;
}

/** Sums over each square window, as far as it is in the image. */
function windowSum(plane) {
  return summedAlong(summedAlong(plane, SIZE, 1), 1, SIZE);
}

function summedAlong(plane, step, other) {
  const result = new Float64Array(COUNT);
  const sums = new Float64Array(SIZE + 1);
  for (let line = 0; line < SIZE; line++) {
    const start = line * other;
    for (let i = 0; i < SIZE; i++) {
      sums[i + 1] = sums[i] + plane[start + i * step];
    }
    for (let i = 0; i < SIZE; i++) {
      const end = Math.min(i + RADIUS + 1, SIZE);
      result[start + i * step] = sums[end] - sums[Math.max(i - RADIUS, 0)];
    }
  }
  return result;
}

/** For each pixel, the nearest one that has a share: its index. */
function nearestKnown(share) {
  // In each column first: the row of the nearest one, -1 for none.
  const rows = new Int32Array(COUNT).fill(-1);
  for (let x = 0; x < SIZE; x++) {
    for (let y = 0, last = -1; y < SIZE; y++) {
      if (share[y * SIZE + x]) last = y;
      rows[y * SIZE + x] = last;
    }
    for (let y = SIZE - 1, last = -1; y >= 0; y--) {
      const i = y * SIZE + x;
      if (share[i]) last = y;
      if (last >= 0 && (rows[i] < 0 || last - y < y - rows[i])) rows[i] = last;
    }
  }
  // Then along each row, over the columns.
  return Int32Array.from(rows, (_, i) => {
    if (share[i]) return i;
    const x = i % SIZE;
    const y = (i - x) / SIZE;
    let least = Infinity, source = i;
    for (let column = 0; column < SIZE; column++) {
      const row = rows[y * SIZE + column];
      const distance = (column - x) ** 2 + (row - y) ** 2;
      if (row >= 0 && distance < least) {
        least = distance;
        source = row * SIZE + column;
      }
    }
    return source;
  });
}

/**
 * The photo's bytes, changed by the maps as far as the mask says. Where the
 * mask is 0 they are copies.
 */
export function apply(maps, { data, width, height }, mask) {
  const result = new Uint8ClampedArray(data);
  const across = taps(SIZE, width);
  const down = taps(SIZE, height);
  const line = new Float64Array(MAP * SIZE); // the maps of one row of the photo
  for (let y = 0; y < height; y++) {
    const seen = mask.subarray(y * width, (y + 1) * width);
    if (!seen.some((value) => value)) continue;
    line.fill(0);
    down[y].weights.forEach((weight, k) => {
      const start = (down[y].first + k) * line.length;
      for (let i = 0; i < line.length; i++) line[i] += weight * maps[start + i];
    });
    for (let x = 0; x < width; x++) {
      if (!seen[x]) continue;
      changePixel(result, 4 * (y * width + x), line, across[x], seen[x]);
    }
  }
  return result;
}

const map = new Float64Array(MAP); // of one pixel

function changePixel(pixels, at, line, { first, weights }, share) {
  map.fill(0);
  for (let k = 0; k < weights.length; k++) {
    const start = MAP * (first + k);
    for (let i = 0; i < MAP; i++) map[i] += weights[k] * line[start + i];
  }
  const r = pixels[at], g = pixels[at + 1], b = pixels[at + 2];
  for (let c = 0; c < 3; c++) {
    const [m, old] = [4 * c, pixels[at + c]];
    const gained = map[m] * r + map[m + 1] * g + map[m + 2] * b;
    const changed = Math.min(Math.max(old + gained + 255 * map[m + 3], 0), 255);
    // An array of clamped bytes rounds to the nearest.
    pixels[at + c] = old + ((changed - old) * share) / 255;
  }
}
