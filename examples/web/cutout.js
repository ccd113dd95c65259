/**
 * A cut-out on the photo: moved by mouse, finger or arrow keys, and sized by
 * wheel, two fingers or the slider.
 *
 * What is shown at once is drawn here, in the colours of the newest result; the
 * worker's own follows.
 */

import { boxOf, drawInto, shown } from "./place.js";
import { canvasOf, context } from "./pictures.js";

const $ = (id) => document.getElementById(id);
const LEAST = 0.02, MOST = 3; // of the size
const STEP = 0.01; // of an arrow key, as a share of the photo

let cutout = null; // {full, preview}
let photo = null; // the preview
let place = null;
let recoloured = null; // the cut-out in the newest result's colours
let onMove = null;

export const isPasting = () => cutout !== null;
export const currentPlace = () => place;

/** Puts a cut-out on a photo; `moved` is called whenever it moves. */
export function paste(canvases, photoPreview, moved) {
  [cutout, photo, onMove] = [canvases, photoPreview, moved];
  recoloured = null;
  set({ across: 0.5, down: 0.5, size: 0.5 });
}

export function takeAway() {
  cutout = recoloured = place = null;
}

/** Takes the colours of a result for `at`, and shows it if it is still there. */
export function recolour({ x, y, width, height, pixels }, at) {
  const box = boxOf(at, cutout.preview, photo);
  recoloured = canvasOf(box.width, box.height);
  const drawn = context(recoloured);
  const image = new ImageData(pixels, width, height);
  drawn.putImageData(image, x - box.left, y - box.top);
  drawn.globalCompositeOperation = "destination-in";
  drawn.drawImage(cutout.preview, 0, 0, box.width, box.height);
  draw();
  if (at === place) context($("after")).putImageData(image, x, y);
}

/** The result at full size, on a canvas of its own. */
export function onFullPhoto(canvas, { x, y, width, height, pixels }) {
  const whole = canvasOf(canvas.width, canvas.height);
  context(whole).drawImage(canvas, 0, 0);
  context(whole).putImageData(new ImageData(pixels, width, height), x, y);
  return whole;
}

function draw() {
  const box = boxOf(place, cutout.preview, photo);
  for (const id of ["before", "after"]) {
    const drawn = context($(id));
    drawn.drawImage(photo, 0, 0);
    drawInto(drawn, cutout.preview, box);
    if (id === "after" && recoloured) drawInto(drawn, recoloured, box);
  }
}

function set(next) {
  const within = (value, least, most) =>
    Math.min(Math.max(value, least), most);
  place = {
    across: within(next.across, 0, 1),
    down: within(next.down, 0, 1),
    size: within(next.size, LEAST, MOST),
  };
  $("size").value = Math.round(100 * place.size);
  draw();
  onMove();
}

const pointers = new Map(); // where each finger is, in shares of the stage

/** In the window, not on the stage, which words above it may move. */
function at(event) {
  const box = $("stage").getBoundingClientRect();
  return [event.clientX / box.width, event.clientY / box.height];
}

/** The fingers' middle, and how far apart they are. */
function grip() {
  const [first, second = first] = [...pointers.values()];
  const aspect = photo.width / photo.height;
  const apart =
    Math.hypot((first[0] - second[0]) * aspect, first[1] - second[1]);
  return { x: (first[0] + second[0]) / 2, y: (first[1] + second[1]) / 2, apart };
}

$("stage").addEventListener("pointerdown", (event) => {
  if (!isPasting() || event.button || pointers.size > 1) return;
  $("stage").setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, at(event));
});
$("stage").addEventListener("pointermove", (event) => {
  if (!isPasting() || !pointers.has(event.pointerId)) return;
  const before = grip();
  pointers.set(event.pointerId, at(event));
  const after = grip();
  set({
    across: place.across + after.x - before.x,
    down: place.down + after.y - before.y,
    size: before.apart ? place.size * (after.apart / before.apart) : place.size,
  });
});
for (const end of ["pointerup", "pointercancel"]) {
  $("stage").addEventListener(end, ({ pointerId }) => {
    pointers.delete(pointerId);
  });
}
$("stage").addEventListener("wheel", (event) => {
  if (!isPasting()) return;
  event.preventDefault();
  set({ ...place, size: place.size * Math.exp(-event.deltaY / 1000) });
}, { passive: false });

const KEYS = {
  ArrowLeft: { across: -STEP }, ArrowRight: { across: STEP },
  ArrowUp: { down: -STEP }, ArrowDown: { down: STEP },
};
$("stage").addEventListener("keydown", (event) => {
  const step = KEYS[event.key];
  if (!isPasting() || !step) return;
  event.preventDefault();
  const { across = 0, down = 0 } = step;
  set({ ...place, across: place.across + across, down: place.down + down });
});
$("size").addEventListener("input", () => {
  set({ ...place, size: $("size").value / 100 });
});
