"""Measures what is lost between the network's small image and the full one.

    python benchmarks/full_resolution.py --weights runs/photos --image-size 256
    python benchmarks/full_resolution.py --weights runs/photos \\
        --images photos --masks objects --json numbers.json --figure crops.png

Takes photos with masks of objects, by default those inside scikit-image with
segments of them. The photo is the truth; its object is recoloured at random at
full size (hdnet_jax.composites) and the composite harmonized. PSNRs, averaged:

  small      the network's own output, against the photo made as small
  guided     its change carried to full size by the guided maps (the default)
  upsampled  its output stretched to full size, bilinearly, inside the mask
  direct     the network at full size (--direct; takes memory and time)

The row "perfect" has the truth, made small, in place of a network's output:
what is lost there is lost by the way up alone.
"""

import argparse
import json
import pathlib

import jax
import numpy as np
from PIL import Image, ImageDraw
from skimage import data

from hdnet_jax import weights
from hdnet_jax.composites import Layers, make_composites
from hdnet_jax.config import only
from hdnet_jax.data.photos import EmbeddedPhotos, segment_masks
from hdnet_jax.images.mask_reading import read_mask
from hdnet_jax.images.reading import read_picture
from hdnet_jax.images.transforms import resize_image
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.engine import make_engine
from hdnet_jax.inference.harmonizer import Harmonizer
from hdnet_jax.inference.modes import reduce

COLUMNS = ("composite", "small", "guided", "upsampled")


def main():
  parser = argparse.ArgumentParser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--images", type=pathlib.Path, help="folder of photos")
  parser.add_argument("--masks", type=pathlib.Path, help="of the same names")
  parser.add_argument("--weights", required=True, help="file or run's folder")
  parser.add_argument("--image-size", type=int, help="that the network sees")
  parser.add_argument("--seed", type=int, default=0, help="of the recolouring")
  parser.add_argument("--direct", action="store_true", help="measure it, too")
  parser.add_argument("--json", type=pathlib.Path, help="file for the numbers")
  parser.add_argument("--figure", type=pathlib.Path, help="picture of crops")
  args = parser.parse_args()
  loaded = weights.load(args.weights)
  # What is below is about what guided does; the network alone is enough.
  network = Harmonizer(
    make_engine(loaded.params, loaded.model, "jax"),
    args.image_size or loaded.image_size,
    mode="direct",
  )
  if bool(args.images) != bool(args.masks):
    parser.error("give --images and --masks, or neither")
  items = read(args.images, args.masks) if args.images else embedded()
  composites = recolor(items, args.seed)
  rows, crops = [], []
  for (name, real, mask), composite in zip(items, composites, strict=True):
    row, pictures = measure(network, composite, real, mask)
    if args.direct:
      row["network"]["direct"] = psnr(network(composite, mask), real)
    size = f"{real.shape[1]}x{real.shape[0]}"
    rows.append({"name": name, "size": size, **row})
    crops.append(pictures)
    print(f"{name:32s} {size:>10s} {show(row['network'])}", flush=True)
  averages = average(rows)
  print_table(averages, network.image_size, len(rows))
  if args.json:
    values = {"averages": averages, "images": rows}
    args.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
  if args.figure:
    draw(args.figure, crops)


def read(images: pathlib.Path, masks: pathlib.Path):
  """(name, photo uint8 [H, W, 3], mask bool [H, W]) of each, by name."""
  found = {path.stem: path for path in masks.iterdir()}
  items = []
  for path in sorted(images.iterdir()):
    picture = read_picture(path)
    mask, _ = read_mask(found[path.stem], picture.size, resize=True)
    items.append((path.stem, picture.pixels, mask > 0.5))
  return items


def embedded():
  """As `read`: the photos inside scikit-image, and the largest segment."""
  items = []
  for name in sorted(
    {name for names in EmbeddedPhotos.PHOTOS.values() for name in names}
  ):
    with Image.open(pathlib.Path(data.__file__).parent / name) as file:
      real = np.asarray(file.convert("RGB"))
    mask = max(segment_masks(real), key=np.sum)[..., 0] > 0
    items.append((pathlib.Path(name).stem, real, mask))
  return items


def recolor(items, seed: int) -> list[np.ndarray]:
  """A composite of each; the object's donor is the one of the photo before."""
  # Padded to one size, of which the padding is outside of every mask: one
  # compilation for all.
  height, width = np.max([real.shape[:2] for _, real, _ in items], axis=0)

  def padded(array: np.ndarray) -> np.ndarray:
    after = [(0, height - array.shape[0]), (0, width - array.shape[1])]
    return np.pad(array.astype(np.uint8), [*after, (0, 0)])[None]

  config = only("covariance", least_amount=0.4)
  make = jax.jit(
    lambda keys, layers, donors: (
      make_composites(keys, layers, config, donors=donors).composite
    )
  )
  composites = []
  for index, (_, real, mask) in enumerate(items):
    _, donor, donor_mask = items[index - 1]
    key = jax.random.fold_in(jax.random.key(seed), index)
    photo, alpha = padded(real), 255 * padded(mask[..., None])
    composite = make(
      key[None],
      Layers(photo, photo, alpha),
      (padded(donor), 255 * padded(donor_mask[..., None])),
    )
    composites.append(
      np.asarray(composite[0, : mask.shape[0], : mask.shape[1]])
    )
  return composites


def measure(
  network: Harmonizer, composite: np.ndarray, real: np.ndarray, mask
) -> tuple[dict, dict]:
  """PSNRs of the network and of a perfect one; and full-size pictures."""
  size = network.image_size
  small, inside = reduce(composite, mask, size)
  truth = np.asarray(resize_image(Image.fromarray(real), size))
  inside = inside.reshape(size, size) > 0
  outputs = {
    "network": 255 * network(small.astype(np.float32) / 255, inside),
    "perfect": np.where(inside[..., None], truth, small).astype(np.float32),
  }
  row, pictures = {}, {"composite": composite, "real": real, "mask": mask}
  for name, output in outputs.items():
    maps = guided_filter.fit(small / 255, (output - small) / 255, inside)
    full = {
      "guided": guided_filter.apply(maps, composite, mask),
      "upsampled": upsampled(output, composite, mask),
    }
    row[name] = {
      "composite": psnr(composite, real),
      "small": psnr(np.rint(output.clip(0, 255)), truth),
      **{key: psnr(image, real) for key, image in full.items()},
    }
    if name == "network":
      pictures.update(full)
  return row, pictures


def upsampled(output: np.ndarray, composite: np.ndarray, mask) -> np.ndarray:
  height, width = mask.shape
  planes = [
    np.asarray(
      Image.fromarray(np.ascontiguousarray(output[..., channel])).resize(
        (width, height), Image.Resampling.BILINEAR
      )
    )
    for channel in range(3)
  ]
  stretched = np.rint(np.stack(planes, -1).clip(0, 255)).astype(np.uint8)
  return np.where(mask[..., None], stretched, composite)


def psnr(image: np.ndarray, real: np.ndarray) -> float:
  error = np.mean(np.square(image.astype(np.float64) - real))
  return float(10 * np.log10(255**2 / max(error, 1e-9)))


def average(rows) -> dict[str, dict[str, float]]:
  return {
    name: {
      column: float(np.mean([row[name][column] for row in rows]))
      for column in rows[0][name]
    }
    for name in ("network", "perfect")
  }


def show(values: dict[str, float]) -> str:
  return "  ".join(f"{name} {value:.2f}" for name, value in values.items())


def print_table(averages, size: int, count: int) -> None:
  print(f"\nPSNR in dB, mean of {count} images; the network sees {size}x{size}")
  for name, values in averages.items():
    gaps = "  ".join(
      f"{column}-small {values[column] - values['small']:+.2f}"
      for column in ("guided", "upsampled")
    )
    print(f"{name:8s} {show(values)}   {gaps}")


def draw(path: pathlib.Path, pictures: list[dict], side: int = 120) -> None:
  """Crops where upsampling and the maps differ most, two pixels for one."""
  columns = ("composite", "upsampled", "guided", "real")
  sheet = Image.new("RGB", (8 * side, 2 * side * len(pictures) + 24), "white")
  pen = ImageDraw.Draw(sheet)
  for column, name in enumerate(columns):
    pen.text((2 * side * column + 6, 4), name, "black", font_size=14)
  for row, item in enumerate(pictures):
    gap = np.abs(item["upsampled"].astype(int) - item["guided"]).sum(-1)
    top, left = densest(gap, side)
    for column, name in enumerate(columns):
      crop = Image.fromarray(item[name][top : top + side, left : left + side])
      crop = crop.resize((2 * side, 2 * side), Image.Resampling.NEAREST)
      sheet.paste(crop, (2 * side * column, 2 * side * row + 24))
  sheet.save(path, quality=90, optimize=True)


def densest(values: np.ndarray, side: int) -> tuple[int, int]:
  """The left upper corner of the window of the largest sum."""
  sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
  windows = (
    sums[side:, side:]
    - sums[:-side, side:]
    - sums[side:, :-side]
    + sums[:-side, :-side]
  )
  return np.unravel_index(windows.argmax(), windows.shape)


if __name__ == "__main__":
  main()
