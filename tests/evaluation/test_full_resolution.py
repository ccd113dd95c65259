import math
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import (
  mean_squared_error,
  peak_signal_noise_ratio,
  structural_similarity,
)

from hdnet_jax.config import Config, DataConfig
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import full_resolution, metrics, report
from hdnet_jax.evaluation.tables import COLUMNS

SIZES = [(36, 28), (7, 90), (61, 47)]  # width and height of each photo
SUBSET = "HCOCO"


def darker(composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """A way to harmonize."""
  assert composite.dtype == mask.dtype == np.uint8
  return np.where(mask > 0, composite // 2, composite)


def evaluator() -> full_resolution.FullSizeEvaluator:
  return full_resolution.FullSizeEvaluator(lambda params: darker, shown=32)


@pytest.fixture
def folder(tmp_path, rng) -> pathlib.Path:
  """Two composites of one photo, one of the others; PNG, so exact."""
  root = tmp_path / "published"
  for name in ("composite_images", "masks", "real_images"):
    (root / SUBSET / name).mkdir(parents=True)
  lines = []
  for number, (width, height) in enumerate(SIZES):
    real = rng.integers(0, 256, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[1 : height // 2, 2 : width - 2] = 255
    save(root / SUBSET / f"real_images/p{number}.png", real)
    save(root / SUBSET / f"masks/p{number}_1.png", mask)
    for version in range(2 if number == 0 else 1):
      noise = rng.integers(-9, 9, real.shape) - 20 * (mask[..., None] > 0)
      composite = np.clip(real + noise, 0, 255).astype(np.uint8)
      name = f"p{number}_1_{version}.png"
      save(root / SUBSET / "composite_images" / name, composite)
      lines.append(f"{SUBSET}/composite_images/{name}\n")
  (root / "IHD_test.txt").write_text("".join(lines))
  return root


def save(path: pathlib.Path, pixels: np.ndarray) -> None:
  Image.fromarray(pixels).save(path)


def pixels(path: pathlib.Path) -> np.ndarray:
  with Image.open(path) as image:
    return np.array(image)


def test_examples_have_their_own_size(folder):
  source = full_resolution.FullSize(folder, "test")
  assert len(source) == 4
  assert [source.name(i) for i in range(4)] == [
    *("p0_1_0", "p0_1_1", "p1_1_0", "p2_1_0")
  ]
  assert source.subset(3) == SUBSET
  example = source[3]
  width, height = SIZES[2]
  assert example["composite"].shape == (height, width, 3)
  for key, path in (
    ("composite", "composite_images/p2_1_0.png"),
    ("real", "real_images/p2.png"),
  ):
    np.testing.assert_array_equal(example[key], pixels(folder / SUBSET / path))
  mask = pixels(folder / SUBSET / "masks/p2_1.png")
  np.testing.assert_array_equal(example["mask"][..., 0], mask // 255)
  assert {example[key].dtype for key in ("composite", "real", "mask")} == {
    np.dtype(np.uint8)
  }


@pytest.mark.parametrize(
  ("file", "size"),
  [("real_images/p2.png", (61, 46)), ("masks/p2_1.png", (60, 47))],
)
def test_sizes_that_differ_are_told(folder, file, size):
  path = folder / SUBSET / file
  Image.fromarray(pixels(path)).resize(size).save(path)
  source = full_resolution.FullSize(folder, "test")
  with pytest.raises(UserError) as error:
    source[3]
  message = str(error.value)
  assert f"{path} is {size[0]}x{size[1]}" in message
  assert f"{folder / SUBSET}/composite_images/p2_1_0.png is 61x47" in message


def test_photos_too_small_for_ssim_are_told(folder):
  for name in ("composite_images/p2_1_0", "real_images/p2", "masks/p2_1"):
    Image.new("L", (6, 50)).save(folder / SUBSET / f"{name}.png")
  with pytest.raises(UserError, match=r"p2_1_0.png is 6x50, and SSIM needs 7"):
    full_resolution.FullSize(folder, "test")[3]


def test_a_missing_folder_is_told(tmp_path):
  with pytest.raises(UserError, match=r"IHD_test.txt is missing"):
    full_resolution.FullSize(tmp_path, "test")


def test_rows_are_what_scikit_image_says(folder):
  source = full_resolution.FullSize(folder, "test")
  rows = evaluator().rows({}, source)
  assert len(rows) == len(source)
  for index, row in enumerate(rows):
    assert tuple(row) == COLUMNS
    assert row["name"] == source.name(index)
    assert (row["subset"], row["protocol"]) == (SUBSET, "fullres")
    example = source[index]
    real, mask = example["real"], example["mask"]
    assert row["ratio"] == pytest.approx(mask.mean())
    harmonized = darker(example["composite"], mask)
    for kind, image in (
      ("composite", example["composite"]),
      ("harmonized", harmonized),
    ):
      inside = np.broadcast_to(mask > 0, real.shape)
      expected = {
        "mse": mean_squared_error(real, image),
        "psnr": peak_signal_noise_ratio(real, image),
        "fmse": mean_squared_error(real[inside], image[inside]),
        "ssim": structural_similarity(real, image, channel_axis=-1),
      }
      for name, value in expected.items():
        assert type(row[f"{kind}_{name}"]) is float
        assert row[f"{kind}_{name}"] == pytest.approx(value, rel=1e-9), name


def test_equal_images_and_empty_masks(folder):
  real = pixels(folder / SUBSET / "real_images/p0.png")
  sums = full_resolution.pixel_sums(
    real, real, np.zeros((*real.shape[:2], 1), np.uint8)
  )
  found = metrics.from_sums(sums, np.array([0]), real.shape[1])
  assert {name: float(value[0]) for name, value in found.items()} == {
    "mse": 0,
    "psnr": math.inf,
    "fmse": 0,
    "ssim": pytest.approx(1),
    **dict.fromkeys(metrics.SHIFTS, 0),
  }


@pytest.mark.parametrize("band", [1, 100, 1000])
def test_bands_do_not_show(rng, band):
  image, truth = rng.integers(0, 256, (2, 61, 47, 3), np.uint8)
  mask = rng.integers(0, 2, (61, 47, 1), np.uint8)
  whole = full_resolution.pixel_sums(image, truth, mask)
  banded = full_resolution.pixel_sums(image, truth, mask, band)
  for expected, found in zip(whole, banded, strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_it_measures_what_the_device_does(rng):
  image, truth = rng.integers(0, 256, (2, 40, 33, 3), np.uint8)
  mask = rng.integers(0, 2, (40, 33, 1), np.uint8)
  found = full_resolution.pixel_sums(image, truth, mask)
  device = jax.jit(metrics.pixel_sums)(image[None], truth[None], mask[None])
  for sums, expected in zip(found, device, strict=True):
    assert sums.shape == expected.shape
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-3)


def test_rows_come_one_by_one_and_can_go_on(folder):
  source = full_resolution.FullSize(folder, "test")
  calls: list[list] = []
  rows = evaluator().rows({}, source, on_rows=calls.append)
  assert calls == [[row] for row in rows]
  assert evaluator().rows({}, source, first=2) == rows[2:]
  assert evaluator().rows({}, source, first=len(source)) == []


def test_pictures_have_one_size(folder):
  source = full_resolution.FullSize(folder, "test")
  first, second = evaluator().comparisons({}, source, {3: "worst", 1: ""})
  assert first.title == f"worst {source.name(3)}"
  assert second.title == source.name(1)
  for shown in (first, second):
    for image in (shown.composite, shown.harmonized, shown.real):
      assert image.shape == (32, 32, 3)
    assert shown.mask.shape == (32, 32, 1)
    assert set(np.unique(shown.mask)) == {0, 1}
    inside = shown.mask[..., 0] > 0
    assert (
      shown.harmonized[inside].mean() < 0.6 * shown.composite[inside].mean()
    )


def test_a_report_at_the_images_own_sizes(folder, tmp_path):
  config = Config(data=DataConfig(source="folder", root=str(folder)))
  source = full_resolution.FullSize(folder, "test")
  rows = report.write_report(
    evaluator(), {}, source, config, tmp_path / "out", {"split": "test"}
  )
  assert len(rows) == len(source)
  text = (tmp_path / "out/report.md").read_text(encoding="utf-8")
  assert "Protocol 'fullres': all images, their own size" in text
  assert (tmp_path / "out/grid.png").is_file()
