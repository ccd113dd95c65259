/** The page: files, the brush, before and after. worker.js does the work. */

const $ = (id) => document.getElementById(id);
const context = (canvas) =>
  canvas.getContext("2d", { colorSpace: "srgb", willReadFrequently: true });

let photo = null; // ImageData
let name = "";
const worker = new Worker("worker.js", { type: "module" });

worker.onmessage = ({ data: { ready, result, error } }) => {
  if (ready) {
    if (!photo) say("Ready. Choose a photo.");
    return;
  }
  setBusy(false);
  if (error) say(error);
  else show(result);
};
worker.onerror = () => say("This browser cannot run the page's worker.");

function say(text) {
  $("status").textContent = text;
}

/** While one picture is read or made, no other is chosen or painted. */
function setBusy(busy) {
  $("photo").disabled = $("stage").inert = busy;
  for (const id of ["mask", "tools", "result"]) {
    $(id).disabled = busy || !photo;
  }
}

/** Calls `work` for the file that an input is given; tells what it throws. */
function onFile(id, work) {
  $(id).addEventListener("change", async () => {
    const [file] = $(id).files;
    if (!file) return;
    setBusy(true);
    try {
      await work(file);
    } catch (error) {
      $(id).value = ""; // what was there before is still there
      say(error.message);
    }
    setBusy(false);
    $(id).focus(); // a disabled input has lost it
  });
}

/** A file's pixels, as they are in it: no profile is applied. */
async function pixelsOf(file, background) {
  const bitmap = await createImageBitmap(file, {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new Error(`${file.name} is no picture that this browser can read.`);
  });
  const { width, height } = bitmap;
  const drawn = context(Object.assign(document.createElement("canvas"), {
    width, height,
  }));
  if (background) {
    drawn.fillStyle = background;
    drawn.fillRect(0, 0, width, height);
  }
  drawn.drawImage(bitmap, 0, 0);
  bitmap.close();
  return drawn.getImageData(0, 0, width, height);
}

onFile("photo", async (file) => {
  const pixels = await pixelsOf(file);
  for (let i = 3; i < pixels.data.length; i += 4) {
    if (pixels.data[i] !== 255) {
      throw new Error(
        `${file.name} is transparent in places, or larger than this ` +
        "browser's canvas; give a photo without transparency, or a smaller " +
        "one.");
    }
  }
  photo = pixels;
  name = file.name.replace(/\.[^.]*$/, "");
  for (const id of ["before", "after", "paint"]) {
    Object.assign($(id), { width: photo.width, height: photo.height });
  }
  context($("before")).putImageData(photo, 0, 0);
  $("mask").value = "";
  $("stage").hidden = false;
  edit();
  say(`${photo.width} x ${photo.height} pixels. Paint what is to change.`);
});

onFile("mask", async (file) => {
  const mask = await pixelsOf(file, "black");
  if (mask.width !== photo.width || mask.height !== photo.height) {
    throw new Error(
      `${file.name} has ${mask.width} x ${mask.height} pixels and the photo ` +
      `${photo.width} x ${photo.height}; give a mask of the photo's size.`);
  }
  // The mask is what the painted canvas covers: its alpha.
  const { data } = mask;
  for (let i = 0; i < data.length; i += 4) {
    const light = 299 * data[i] + 587 * data[i + 1] + 114 * data[i + 2];
    data[i] = 255;
    data[i + 1] = data[i + 2] = 0;
    data[i + 3] = light / 1000;
  }
  edit();
  context($("paint")).putImageData(mask, 0, 0);
  say(`The mask is ${file.name}.`);
});

function edit() {
  $("stage").dataset.shows = "mask";
  $("result").hidden = true;
}

let last = null; // where the brush was, in the photo's pixels

function place(event) {
  const box = $("paint").getBoundingClientRect();
  const scale = photo.width / box.width;
  return [event.clientX - box.left, event.clientY - box.top]
    .map((value) => value * scale);
}

function stroke(event) {
  if (!last) return;
  const next = place(event);
  const drawn = context($("paint"));
  const side = Math.max(photo.width, photo.height);
  drawn.globalCompositeOperation =
    $("erase").checked ? "destination-out" : "source-over";
  drawn.lineWidth = ($("brush").value / 100) * side;
  drawn.lineCap = "round";
  drawn.strokeStyle = "rgb(255 0 0)";
  drawn.beginPath();
  drawn.moveTo(...last);
  drawn.lineTo(next[0] + 0.01, next[1]); // a line of no length is not drawn
  drawn.stroke();
  last = next;
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

$("clear").addEventListener("click", () => {
  edit();
  $("mask").value = "";
  context($("paint")).clearRect(0, 0, photo.width, photo.height);
});
$("edit").addEventListener("click", () => {
  edit();
  $("brush").focus();
});

$("run").addEventListener("click", () => {
  const { width, height } = photo;
  const painted = context($("paint")).getImageData(0, 0, width, height).data;
  const mask = new Uint8Array(width * height);
  for (let i = 0; i < mask.length; i++) mask[i] = painted[4 * i + 3];
  setBusy(true);
  say("Working …");
  const { data } = photo;
  worker.postMessage({ photo: { data, width, height }, mask }, [mask.buffer]);
});

function show({ data, seconds, network }) {
  const image = new ImageData(data, photo.width, photo.height);
  context($("after")).putImageData(image, 0, 0);
  $("stage").dataset.shows = "result";
  $("result").hidden = false;
  compare();
  $("compare").focus();
  say(`${seconds.toFixed(2)} s, of which the network ${network.toFixed(2)} s.`);
}

function compare() {
  $("stage").style.setProperty("--split", `${$("compare").value}%`);
}
$("compare").addEventListener("input", compare);

$("download").addEventListener("click", () => {
  $("after").toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name}-harmonized.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
});

// A file that misses its place must not replace the page.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (event.target.type !== "file") event.preventDefault();
  });
}
