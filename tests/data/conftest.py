"""A small data set in iHarmony4's published layout, and faults to plant."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.app.cli import main
from hdnet_jax.data import examples
from hdnet_jax.data.iharmony4 import SUBSETS
from hdnet_jax.data.prepare import checks

VERSIONS = 2  # composites of a photo


def write_published(
  root: pathlib.Path, photos: int = 5, size: tuple[int, int] = (36, 28)
) -> list[str]:
  """Writes `photos` photos a subset, two composites each; their lines.

  Every fifth photo is for testing. Lists have CRLF, and some lines leave the
  folder out.
  """
  rng = np.random.default_rng(0)
  lines: dict[str, list[str]] = {"train": [], "test": []}
  for subset in SUBSETS:
    for folder in ("composite_images", "masks", "real_images"):
      (root / subset / folder).mkdir(parents=True)
    own: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(photos):
      # Hday2night's photos have underscores and hyphens in their names.
      photo = f"d9_{number}-14" if subset == "Hday2night" else f"p{number}"
      pixels = np.kron(
        rng.integers(0, 256, (4, 4, 3)),
        np.ones((size[1] // 4, size[0] // 4, 1), int),
      ).astype(np.uint8)
      Image.fromarray(pixels).save(root / subset / f"real_images/{photo}.jpg")
      mask = np.zeros(pixels.shape[:2], np.uint8)
      mask[3 : size[1] // 2, 5 : size[0] // 2] = 255
      Image.fromarray(mask).save(root / subset / f"masks/{photo}_1.png")
      for version in range(VERSIONS):
        name = f"{photo}_1_{version}.jpg"
        shifted = np.where(mask[..., None], pixels // (version + 2), pixels)
        Image.fromarray(shifted.astype(np.uint8)).save(
          root / subset / "composite_images" / name
        )
        own["test" if number % 5 == 4 else "train"].append(name)
    for split, names in own.items():
      middle = "composite_images/" if subset != "HFlickr" else ""
      lines[split] += [f"{subset}/{middle}{name}" for name in names]
      write_lines(root / subset / f"{subset}_{split}.txt", names)
  for split, named in lines.items():
    write_lines(root / f"IHD_{split}.txt", named)
  return lines["train"] + lines["test"]


def write_lines(path: pathlib.Path, lines: list[str]) -> None:
  path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def plant_faults(root: pathlib.Path) -> set[tuple[str, str]]:
  """Spoils files of eight kinds; what a check must say: kind and file."""
  coco, adobe = root / "HCOCO", root / "HAdobe5k"

  def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

  def resize(path: pathlib.Path) -> None:
    with Image.open(path) as image:
      small = image.resize((20, 20))
    small.save(path)

  (coco / "masks/p0_1.png").unlink()
  (coco / "composite_images/p1_1_0.jpg").unlink()
  (adobe / "composite_images/extra_1_0.jpg").write_bytes(
    (adobe / "composite_images/p0_1_0.jpg").read_bytes()
  )
  cut(adobe / "composite_images/p1_1_1.jpg")
  cut(coco / "masks/p2_1.png")
  (adobe / "real_images/p2.jpg").write_text("<html>not found</html>")
  resize(root / "HFlickr/composite_images/p3_1_0.jpg")
  Image.new("L", (36, 28), 20).save(root / "HFlickr/masks/p4_1.png")
  Image.new("RGB", (400, 300)).save(
    root / "Hday2night/composite_images/d9_0-14_1_1.jpg"
  )
  return {
    (examples.MISSING, "HCOCO/masks/p0_1.png"),
    (checks.NO_FILE, "HCOCO/composite_images/p1_1_0.jpg"),
    (checks.UNLISTED, "HAdobe5k/composite_images/extra_1_0.jpg"),
    (examples.TRUNCATED, "HAdobe5k/composite_images/p1_1_1.jpg"),
    (examples.TRUNCATED, "HCOCO/masks/p2_1.png"),
    (examples.UNREADABLE, "HAdobe5k/real_images/p2.jpg"),
    (checks.SIZES_DIFFER, "HFlickr/composite_images/p3_1_0.jpg"),
    (checks.EMPTY_MASK, "HFlickr/masks/p4_1.png"),
    (examples.TOO_LARGE, "Hday2night/composite_images/d9_0-14_1_1.jpg"),
  }


# Of the 40 composites, those that `plant_faults` leaves without a fault. The
# broken masks and photos have two composites each.
GOOD_AFTER_FAULTS = 40 - (2 + 1 + 1 + 2 + 2 + 1 + 2 + 1)


@pytest.fixture
def published(tmp_path) -> pathlib.Path:
  root = tmp_path / "iharmony4_as_published"
  root.mkdir()
  write_published(root)
  return root


def run(*arguments, status: int = 0) -> None:
  if status == 0:
    main.main([str(argument) for argument in arguments])
    return
  with pytest.raises(SystemExit) as stopped:
    main.main([str(argument) for argument in arguments])
  assert stopped.value.code == status


def prepare_set(root, *arguments, status: int = 0) -> None:
  run(
    *("prepare", "iharmony4", "--root", root, "--workers", 1, *arguments),
    status=status,
  )


def same_examples(prepared, raw) -> None:
  """Both sources give the same examples in the same order."""
  assert len(prepared) == len(raw)
  for index in range(len(prepared)):
    example, other = prepared[index], raw[index]
    assert prepared.subset(index) == raw.subset(index)
    assert prepared.name(index) == raw.name(index)
    assert example.keys() == other.keys()
    for part in ("composite", "real", "mask", "index"):
      assert example[part].dtype == other[part].dtype
      np.testing.assert_array_equal(example[part], other[part])


def check_example(example, size: int, index: int, parts=("real", "mask")):
  """The contract of `data.examples`."""
  assert set(example) == {*parts, "index"}
  for name in parts:
    assert example[name].shape == (size, size, 1 if name == "mask" else 3)
    assert example[name].dtype == np.uint8
  assert set(np.unique(example["mask"])) <= {0, 1}
  assert example["index"].shape == ()
  assert example["index"].dtype == np.int32
  assert example["index"] == index
