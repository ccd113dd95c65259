/**
 * The work, in a thread of its own so that the page does not freeze.
 *
 * The page gives a photo and a cut-out once, each in full and as a preview, and
 * then asks: {key, strength, full} and either a painted part of the photo or the
 * cut-out's place. What has the key of the answer before is changed by another
 * strength only, without the network.
 */

import { apply, cut, needed } from "./apply.js";
import { fit } from "./guided.js";
import { load } from "./network.js";
import { boxOf, drawInto, shown } from "./place.js";
import { covers, maskOf, seen, shrunk } from "./small.js";

const network = load(
  new URL(location).searchParams.get("engine"),
  (note) => postMessage({ note }));
network.then(
  ({ name }) => postMessage({ ready: name }),
  (error) => postMessage({ error: error.message }));

let photo = null; // {full, preview}, each an image and what is kept of it
let cutout = null; // {full, preview}, canvases
let fitted = null; // {key, scene, maps} of the last answer

onmessage = async ({ data }) => {
  if (data.photo) {
    photo = data.photo;
    smallOf(photo.full); // while the mask is painted
  } else if (data.cutout) {
    const { full, preview } = data.cutout;
    cutout = { full: drawn(full), preview: drawn(preview) };
  } else {
    try {
      const answer = await harmonize(data);
      postMessage({ answer }, [answer.pixels.buffer]);
    } catch (error) {
      postMessage({ error: error.message, failed: true });
    }
  }
};

/** The changed part of the photo: {x, y, width, height, pixels, network}. */
async function harmonize({ key, strength, full, painted, place }) {
  let seconds = null;
  if (fitted?.key !== key) {
    const image = full ? photo.full : photo.preview;
    const scene = place
      ? pasted(image, full ? cutout.full : cutout.preview, place)
      : { photo: image, small: smallOf(image), mask: maskOf(painted, painted) };
    let maps;
    ({ maps, seconds } = await mapsOf(scene));
    fitted = { key, scene, maps };
  }
  const { scene, maps } = fitted;
  const { x, y, width, height } = scene.mask;
  const pixels = apply(maps, scene.photo, scene.mask, strength);
  return { x, y, width, height, pixels, network: seconds };
}

async function mapsOf({ photo, small, mask }) {
  if (!covers(mask)) {
    throw new Error(
      "The mask covers nothing: nowhere is it, or the cut-out, more than " +
      "half opaque.");
  }
  const { run } = await network;
  const input = seen(photo, small, mask);
  const start = performance.now();
  const output = await run(input);
  const seconds = (performance.now() - start) / 1000;
  const maps = fit(input.image, output, input.inside, needed(photo, mask));
  return { maps, seconds };
}

/** The photo as the network sees it, which no mask changes. */
function smallOf(image) {
  image.small ??= shrunk(image);
  return image.small;
}

/** A scene of a cut-out on a photo: the photo with it, and its mask. */
function pasted(image, canvas, place) {
  const box = boxOf(place, canvas, image);
  const part = shown(box, image);
  const context = new OffscreenCanvas(part.width, part.height)
    .getContext("2d", { colorSpace: "srgb", willReadFrequently: true });
  drawInto(context, canvas, box, part.x, part.y);
  const over = context.getImageData(0, 0, part.width, part.height);
  const mask = maskOf(over, part);
  const below = cut(image, part);
  for (let i = 0; i < below.length; i += 4) {
    const alpha = over.data[i + 3] / 255;
    for (let c = 0; c < 3; c++) {
      below[i + c] += alpha * (over.data[i + c] - below[i + c]);
    }
  }
  const data = image.data.slice();
  for (let y = 0; y < part.height; y++) {
    const row = below.subarray(4 * y * part.width, 4 * (y + 1) * part.width);
    data.set(row, 4 * ((part.y + y) * image.width + part.x));
  }
  const composite = { data, width: image.width, height: image.height };
  return { photo: composite, small: shrunk(composite), mask };
}

function drawn({ data, width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d", { colorSpace: "srgb" })
    .putImageData(new ImageData(data, width, height), 0, 0);
  return canvas;
}
