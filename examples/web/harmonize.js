/**
 * The page: which files it has, and what is shown of them. The work is done in
 * worker.js.
 */

import { clearMask, maskVersion, paintedPart, setMask } from "./brush.js";
import {
  currentPlace, isPasting, onFullPhoto, paste, recolour, takeAway,
} from "./cutout.js";
import { underServiceWorker } from "./isolation.js";
import { Jobs } from "./jobs.js";
import {
  canvasesOf, context, isTransparent, pixelsIn, pixelsOf, save,
} from "./pictures.js";

const $ = (id) => document.getElementById(id);

let photo = null; // {full, preview, name}
let opened = 0; // how many photos and cut-outs were
let shownPart = null; // of the photo, where `after` has a result
let done = null; // the key of the job that the worker has the result of

const note = await underServiceWorker();
$("note").textContent = note;
const engine = new URL(location).searchParams.get("engine");
const worker = new Worker(
  `worker.js${engine ? `?engine=${engine}` : ""}`, { type: "module" });
const jobs = new Jobs(worker, ({ ready, note, error }) => {
  if (note) $("note").textContent = note;
  if (error) say(error);
  if (ready && !photo) say(`Ready (${ready}). Choose a photo.`);
});
worker.onerror = () => say("This browser cannot run the page's worker.");
$("photo").disabled = false;

function say(text) {
  $("status").textContent = text;
}

/** While one picture is read or made, no other is chosen or painted. */
function setBusy(busy) {
  $("photo").disabled = $("stage").inert = busy;
  for (const id of ["mask", "cutout", "tools", "placing", "result"]) {
    $(id).disabled = busy || !photo;
  }
}

/** Does `work` while the page is busy; tells what it throws. */
async function whileBusy(work) {
  setBusy(true);
  try {
    await work();
  } catch (error) {
    say(error.message);
  }
  setBusy(false);
}

/** Calls `work` for the file that an input is given, and its pixels. */
function onFile(id, background, work) {
  $(id).addEventListener("change", async () => {
    const [file] = $(id).files;
    if (!file) return;
    await whileBusy(async () => {
      try {
        work(file, await pixelsOf(file, background));
      } catch (error) {
        $(id).value = ""; // what was there before is still there
        throw error;
      }
    });
    $(id).focus(); // a disabled input has lost it
  });
}

onFile("photo", null, openPhoto);
onFile("cutout", null, openCutout);
onFile("mask", "black", openMask);

function openPhoto(file, pixels) {
  if (isTransparent(pixels)) {
    throw new Error(
      `${file.name} is transparent in places, or larger than this ` +
      "browser's canvas; give a photo without transparency, or a smaller " +
      "one.");
  }
  photo = { ...canvasesOf(pixels), name: file.name.replace(/\.[^.]*$/, "") };
  give("photo", photo, pixels);
  $("mask").value = $("cutout").value = "";
  $("stage").hidden = false;
  toMask();
  say(`${pixels.width} x ${pixels.height} pixels. Paint what is to change, ` +
    "or give a cut-out.");
}

function openCutout(file, pixels) {
  if (!isTransparent(pixels)) {
    throw new Error(
      `${file.name} has no transparency, so nothing tells what of it to ` +
      "paste; cut the object out, and save it as a PNG with alpha.");
  }
  const cutout = canvasesOf(pixels);
  give("cutout", cutout, pixels);
  $("mask").value = "";
  lay("paste", photo.preview);
  $("compare").value = 0; // all of what is seen follows
  compare();
  $("result").hidden = false;
  paste(cutout, photo.preview, follow);
}

function openMask(file, mask) {
  const { width, height } = photo.full;
  if (mask.width !== width || mask.height !== height) {
    throw new Error(
      `${file.name} has ${mask.width} x ${mask.height} pixels and the photo ` +
      `${width} x ${height}; give a mask of the photo's size.`);
  }
  toMask();
  setMask(mask);
  say(`The mask is ${file.name}.`);
}

/** Gives the worker a photo or a cut-out, without a copy of what is large. */
function give(what, canvases, { data, width, height }) {
  opened++;
  const full = { data, width, height };
  const preview =
    canvases.preview === canvases.full ? full : pixelsIn(canvases.preview);
  worker.postMessage({ [what]: { full, preview } }, [data.buffer]);
}

/** Lays the canvases out for a mode, "mask", "result" or "paste". */
function lay(mode, canvas) {
  for (const id of ["before", "after", "paint"]) {
    $(id).width = canvas.width;
    $(id).height = canvas.height;
  }
  context($("before")).drawImage(canvas, 0, 0);
  context($("after")).drawImage(canvas, 0, 0);
  clearMask();
  shownPart = done = null;
  show(mode);
}

function show(mode) {
  document.body.dataset.shows = mode;
  $("stage").tabIndex = mode === "paste" ? 0 : -1;
  $("result").hidden = mode === "mask";
}

/** Shows the photo, to be painted on; nothing is. */
function toMask() {
  takeAway();
  $("cutout").value = "";
  lay("mask", photo.full);
  $("compare").value = 50;
}

$("clear").addEventListener("click", () => {
  $("mask").value = "";
  clearMask();
});
$("away").addEventListener("click", () => {
  toMask();
  say("Paint what is to change, or give a cut-out.");
});
$("edit").addEventListener("click", () => {
  show("mask");
  $("brush").focus();
});

const strength = () => $("strength").value / 100;

$("run").addEventListener("click", () => whileBusy(async () => {
  const start = performance.now();
  say("Working …");
  const painted = paintedPart();
  const key = `${opened} mask ${maskVersion()}`;
  done = null;
  const answer = await jobs.ask(
    { key, strength: strength(), full: true, painted }, [painted.data.buffer]);
  put(answer);
  done = key;
  show("result");
  compare();
  setBusy(false);
  $("compare").focus();
  tell(start, answer);
}));

/** Puts a result over the photo, in place of the one before. */
function put({ x, y, width, height, pixels }) {
  const drawn = context($("after"));
  if (shownPart) drawn.drawImage($("before"), ...shownPart, ...shownPart);
  drawn.putImageData(new ImageData(pixels, width, height), x, y);
  shownPart = [x, y, width, height];
}

function tell(start, { network }) {
  const seconds = ((performance.now() - start) / 1000).toFixed(2);
  say(network === null
    ? `${seconds} s, without the network.`
    : `${seconds} s, of which the network ${network.toFixed(2)} s.`);
}

/** Has the cut-out's result made where it is now. */
async function follow() {
  const start = performance.now();
  const [place, of] = [currentPlace(), opened];
  try {
    const answer = await jobs.ask(jobOfPlace(false));
    if (!answer || of !== opened || !isPasting()) return; // it is of the past
    recolour(answer, place);
    if (place === currentPlace()) tell(start, answer);
  } catch (error) {
    if (of === opened) say(error.message);
  }
}

function jobOfPlace(full) {
  const place = currentPlace();
  const key = `${opened} ${full} ${Object.values(place)}`;
  return { key, strength: strength(), full, place };
}

$("strength").addEventListener("input", async () => {
  if (isPasting()) return follow();
  if (!done) return; // the next result will have it
  const [start, key] = [performance.now(), done];
  try {
    const answer = await jobs.ask({ key, strength: strength() });
    if (!answer || key !== done) return;
    put(answer);
    tell(start, answer);
  } catch (error) {
    say(error.message);
  }
});

function compare() {
  $("stage").style.setProperty("--split", `${$("compare").value}%`);
}
$("compare").addEventListener("input", compare);

$("download").addEventListener("click", () => whileBusy(async () => {
  const name = `${photo.name}-harmonized.png`;
  if (!isPasting()) return save($("after"), name);
  const answer = await jobs.ask(jobOfPlace(true));
  await save(onFullPhoto(photo.full, answer), name);
}));

/** Opens a file that was dropped or pasted anywhere, for what it is. */
function openAnywhere(file) {
  if ($("photo").disabled) return; // the page is busy
  whileBusy(async () => {
    const pixels = await pixelsOf(file);
    if (photo && isTransparent(pixels)) openCutout(file, pixels);
    else openPhoto(file, pixels);
  });
}

// A file that misses its place must not replace the page.
document.addEventListener("dragover", (event) => {
  if (event.target.type !== "file") event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (event.target.type === "file") return;
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) openAnywhere(file);
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) openAnywhere(file);
});
