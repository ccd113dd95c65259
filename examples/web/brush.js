/** The mask, painted or of a file: the alpha of a canvas over the photo. */

import { context } from "./pictures.js";

const $ = (id) => document.getElementById(id);

let last = null; // where the brush was, in the photo's pixels
let covered = null; // the part that may be painted: {left, top, right, bottom}
let version = 0;

/** A number that changes with the mask. */
export const maskVersion = () => version;

export function clearMask() {
  const { width, height } = $("paint");
  context($("paint")).clearRect(0, 0, width, height);
  covered = null;
  version++;
}

/** Takes an image for the mask; white is what changes. */
export function setMask(image) {
  const { data, width, height } = image;
  let left = width, top = height, right = 0, bottom = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) {
      const light = 299 * data[i] + 587 * data[i + 1] + 114 * data[i + 2];
      data[i] = 255;
      data[i + 1] = data[i + 2] = 0;
      data[i + 3] = light / 1000;
      if (!data[i + 3]) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  context($("paint")).putImageData(image, 0, 0);
  covered = right ? { left, top, right, bottom } : null;
  version++;
}

/** The part that is painted: {x, y, width, height, data}. */
export function paintedPart() {
  if (!covered) {
    throw new Error(
      "The mask covers nothing: paint what is to change, or give a mask.");
  }
  const { left, top, right, bottom } = covered;
  const [width, height] = [right - left, bottom - top];
  const { data } =
    context($("paint")).getImageData(left, top, width, height);
  return { x: left, y: top, width, height, data };
}

function place(event) {
  const box = $("paint").getBoundingClientRect();
  const scale = $("paint").width / box.width;
  return [event.clientX - box.left, event.clientY - box.top]
    .map((value) => value * scale);
}

function stroke(event) {
  if (!last) return;
  const next = place(event);
  const { width, height } = $("paint");
  const drawn = context($("paint"));
  const lineWidth = ($("brush").value / 100) * Math.max(width, height);
  drawn.globalCompositeOperation =
    $("erase").checked ? "destination-out" : "source-over";
  drawn.lineWidth = lineWidth;
  drawn.lineCap = "round";
  drawn.strokeStyle = "rgb(255 0 0)";
  drawn.beginPath();
  drawn.moveTo(...last);
  drawn.lineTo(next[0] + 0.01, next[1]); // a line of no length is not drawn
  drawn.stroke();
  cover(last, next, lineWidth / 2 + 2, width, height);
  last = next;
}

/** Takes note of what a stroke may have painted. */
function cover([x, y], [nextX, nextY], reach, width, height) {
  version++;
  const part = {
    left: Math.max(Math.floor(Math.min(x, nextX) - reach), 0),
    top: Math.max(Math.floor(Math.min(y, nextY) - reach), 0),
    right: Math.min(Math.ceil(Math.max(x, nextX) + reach), width),
    bottom: Math.min(Math.ceil(Math.max(y, nextY) + reach), height),
  };
  if (part.left >= part.right || part.top >= part.bottom) return; // beside it
  covered ??= part;
  covered = {
    left: Math.min(covered.left, part.left),
    top: Math.min(covered.top, part.top),
    right: Math.max(covered.right, part.right),
    bottom: Math.max(covered.bottom, part.bottom),
  };
}

$("paint").addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button) return;
  $("paint").setPointerCapture(event.pointerId);
  last = place(event);
  stroke(event);
});
$("paint").addEventListener("pointermove", (event) => {
  if (event.isPrimary) stroke(event);
});
for (const end of ["pointerup", "pointercancel"]) {
  $("paint").addEventListener(end, () => { last = null; });
}
