/**
 * What the network sees of a photo: a port of `reduce` in
 * hdnet_jax/inference/modes.py, in loops.
 *
 * A photo is {data, width, height} with RGBA bytes, as an ImageData is. A mask
 * is {x, y, width, height, data}: a part of the photo, with a byte for each of
 * its pixels; beyond it the mask is 0. Small images are RGB bytes of
 * SIZE x SIZE.
 */

export const SIZE = 256; // the side of what the network sees

const COUNT = SIZE * SIZE;
const HALF = 127; // what is over it is the object

/** Whether the mask has an object. */
export function covers(mask) {
  return mask.data.some((value) => value > HALF);
}

/** The painted part of an image with alpha: its mask, as small as can be. */
export function maskOf({ data }, { x, y, width, height }) {
  let left = width, right = -1, top = height, bottom = -1;
  for (let row = 0; row < height; row++) {
    const start = 4 * row * width + 3;
    let first = 0;
    while (first < width && !data[start + 4 * first]) first++;
    if (first === width) continue;
    let last = width - 1;
    while (last > right && !data[start + 4 * last]) last--;
    left = Math.min(left, first);
    right = Math.max(right, last);
    top = Math.min(top, row);
    bottom = row;
  }
  const size = {
    width: Math.max(right - left + 1, 0), height: Math.max(bottom - top + 1, 0),
  };
  const values = new Uint8Array(size.width * size.height);
  for (let row = 0, to = 0; row < size.height; row++) {
    let i = 4 * ((top + row) * width + left) + 3;
    for (let k = 0; k < size.width; k++, i += 4) values[to++] = data[i];
  }
  return { x: x + left, y: y + top, ...size, data: values };
}

/** The network's input: {image, inside}; inside is 0 or 1. */
export function seen(photo, small, mask) {
  const inside = nearest(mask, photo.width, photo.height);
  if (inside.includes(1)) return { image: small, inside };
  const image = small.slice();
  meanColours(photo, mask, image, inside);
  return { image, inside };
}

function nearest(mask, width, height) {
  const inside = new Uint8Array(COUNT);
  for (let y = 0, i = 0; y < SIZE; y++) {
    const row = Math.floor(((y + 0.5) * height) / SIZE) - mask.y;
    for (let x = 0; x < SIZE; x++, i++) {
      const column = Math.floor(((x + 0.5) * width) / SIZE) - mask.x;
      if (row < 0 || row >= mask.height) continue;
      if (column < 0 || column >= mask.width) continue;
      inside[i] = mask.data[row * mask.width + column] > HALF ? 1 : 0;
    }
  }
  return inside;
}

/** Where the nearest pixels miss a small object: all small ones with some. */
function meanColours({ data, width, height }, mask, image, inside) {
  const sums = new Map();
  mask.data.forEach((value, i) => {
    if (value <= HALF) return;
    const x = mask.x + (i % mask.width);
    const y = mask.y + Math.floor(i / mask.width);
    const cell =
      Math.floor((y * SIZE) / height) * SIZE + Math.floor((x * SIZE) / width);
    const sum = sums.get(cell) ?? [0, 0, 0, 0];
    for (let c = 0; c < 3; c++) sum[c] += data[4 * (y * width + x) + c];
    sum[3]++;
    sums.set(cell, sum);
  });
  for (const [cell, sum] of sums) {
    inside[cell] = 1;
    for (let c = 0; c < 3; c++) image[3 * cell + c] = sum[c] / sum[3];
  }
}

/** Pillow's bilinear reduction: first across, then down, rounded each time. */
export function shrunk({ data, width, height }) {
  const { first, count, most, weights } = taps(width, SIZE);
  const rows = new Uint8ClampedArray(3 * SIZE * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < SIZE; x++) {
      let r = 0, g = 0, b = 0;
      let i = 4 * (y * width + first[x]);
      for (let k = x * most, end = k + count[x]; k < end; k++, i += 4) {
        r += weights[k] * data[i];
        g += weights[k] * data[i + 1];
        b += weights[k] * data[i + 2];
      }
      rows[to++] = r;
      rows[to++] = g;
      rows[to++] = b;
    }
  }
  const image = new Uint8ClampedArray(3 * COUNT);
  const down = taps(height, SIZE);
  for (let y = 0; y < SIZE; y++) {
    const sums = mixed(rows, 3 * SIZE, down, y, 0, 3 * SIZE);
    image.set(sums, 3 * SIZE * y);
  }
  return image;
}

/** A place's mix of rows, each `stride` numbers long; `start` to `end`. */
export function mixed(rows, stride, taps, place, start, end) {
  const sums = new Float64Array(stride);
  for (let k = 0; k < taps.count[place]; k++) {
    const weight = taps.weights[place * taps.most + k];
    const row = stride * (taps.first[place] + k);
    for (let i = start; i < end; i++) sums[i] += weight * rows[row + i];
  }
  return sums;
}

/**
 * The pixels that a linear resize weighs, for each of `to` places: `count` of
 * them, from `first` on; the weights of a place begin at `most` times it.
 */
export function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  const most = 2 * Math.ceil(reach) + 1;
  const first = new Int32Array(to), count = new Int32Array(to);
  const weights = new Float64Array(most * to);
  for (let place = 0; place < to; place++) {
    const center = (place + 0.5) * scale;
    const start = Math.max(Math.floor(center - reach + 0.5), 0);
    const end = Math.min(Math.floor(center + reach + 0.5), from);
    let sum = 0;
    for (let i = start; i < end; i++) {
      const weight = Math.max(1 - Math.abs(i + 0.5 - center) / reach, 0);
      weights[most * place + i - start] = weight;
      sum += weight;
    }
    for (let k = 0; k < end - start; k++) weights[most * place + k] /= sum;
    first[place] = start;
    count[place] = end - start;
  }
  return { first, count, most, weights };
}
