/**
 * Where a cut-out lies on a photo, the same at every size of both: `across` and
 * `down` are its centre's share of the photo, and at a `size` of 1 it is as
 * large as the photo has room for.
 */

/** The place in whole pixels: {left, top, width, height}. */
export function boxOf({ across, down, size }, cutout, photo) {
  const room =
    Math.min(photo.width / cutout.width, photo.height / cutout.height);
  const side = (own) => Math.max(Math.round(own * room * size), 1);
  const width = side(cutout.width), height = side(cutout.height);
  return {
    left: Math.round(across * photo.width - width / 2),
    top: Math.round(down * photo.height - height / 2),
    width, height,
  };
}

/** The part of a box that is on the photo: {x, y, width, height}. */
export function shown({ left, top, width, height }, photo) {
  const x = Math.min(Math.max(left, 0), photo.width - 1);
  const y = Math.min(Math.max(top, 0), photo.height - 1);
  return {
    x, y,
    width: Math.max(Math.min(left + width, photo.width) - x, 1),
    height: Math.max(Math.min(top + height, photo.height) - y, 1),
  };
}

/** Draws a canvas into a box, counted from `x` and `y`. */
export function drawInto(context, canvas, box, x = 0, y = 0) {
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, box.left - x, box.top - y, box.width, box.height);
}
