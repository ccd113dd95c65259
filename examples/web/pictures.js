/** Files to pixels, and pixels to canvases and files. */

const PREVIEW = 1024; // the longer side of what follows the hand, in pixels

/** A canvas' context, of plain sRGB that is read often. */
export function context(canvas) {
  return canvas.getContext(
    "2d", { colorSpace: "srgb", willReadFrequently: true });
}

export function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** A file's pixels, as they are in it: no profile is applied. */
export async function pixelsOf(file, background) {
  const bitmap = await createImageBitmap(file, {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new Error(`${file.name} is no picture that this browser can read.`);
  });
  const { width, height } = bitmap;
  const drawn = context(canvasOf(width, height));
  if (background) {
    drawn.fillStyle = background;
    drawn.fillRect(0, 0, width, height);
  }
  drawn.drawImage(bitmap, 0, 0);
  bitmap.close();
  return drawn.getImageData(0, 0, width, height);
}

export function isTransparent({ data }) {
  for (let i = 3; i < data.length; i += 4) {
    if (data[i] !== 255) return true;
  }
  return false;
}

/** Canvases of an image, {full, preview}; a small one is its own preview. */
export function canvasesOf(pixels) {
  const { width, height } = pixels;
  const full = canvasOf(width, height);
  context(full).putImageData(pixels, 0, 0);
  const scale = PREVIEW / Math.max(width, height);
  if (scale >= 1) return { full, preview: full };
  const side = (length) => Math.max(Math.round(length * scale), 1);
  const preview = canvasOf(side(width), side(height));
  const drawn = context(preview);
  drawn.imageSmoothingQuality = "high";
  drawn.drawImage(full, 0, 0, preview.width, preview.height);
  return { full, preview };
}

export function pixelsIn(canvas) {
  return context(canvas).getImageData(0, 0, canvas.width, canvas.height);
}

/** Lets the browser save a canvas as a PNG. */
export async function save(canvas, name) {
  const blob = await new Promise((resolve) => {
    canvas.toBlob(resolve, "image/png");
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
