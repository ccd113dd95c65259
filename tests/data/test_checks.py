"""Faults: told apart, each once, shown and written."""

import csv
import pathlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data import examples
from hdnet_jax.data.prepare import checks
from hdnet_jax.data.prepare.checks import Checker, Fault


@pytest.fixture
def photo(rng) -> Image.Image:
  return Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))


def kinds_of(root, name: str, max_pixels: int = 10**6) -> list[str]:
  checker = Checker(root, max_pixels)
  image = checker.read(name)
  assert (image is None) == bool(checker.faults)
  assert all(fault.file == name and fault.detail for fault in checker.faults)
  return [fault.kind for fault in checker.faults]


def png_header(width: int, height: int) -> bytes:
  """The beginning of a PNG of some size, where its pixels would follow."""
  body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  check = struct.pack(">I", zlib.crc32(body))
  head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + check
  return head + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_whole_files_and_files_cut_off(tmp_path, photo, suffix):
  path = tmp_path / f"a.{suffix}"
  photo.save(path)
  assert kinds_of(tmp_path, path.name) == []
  whole = path.read_bytes()
  for length in (0, 4, 12, 40, len(whole) // 2, len(whole) - 100):
    path.write_bytes(whole[:length])
    assert kinds_of(tmp_path, path.name) == [examples.TRUNCATED], length


def test_files_that_are_no_images(tmp_path, photo):
  (tmp_path / "page.jpg").write_text("<html>not found</html>")
  (tmp_path / "folder.png").mkdir()
  path = tmp_path / "broken.png"
  photo.save(path)
  data = bytearray(path.read_bytes())
  data[60:90] = bytes(30)  # both ends are whole
  path.write_bytes(data)
  for name in ("page.jpg", "folder.png", "broken.png"):
    assert kinds_of(tmp_path, name) == [examples.UNREADABLE], name
  assert kinds_of(tmp_path, "nothing.png") == [examples.MISSING]


def test_a_header_that_pillow_does_not_expect(tmp_path, photo):
  path = tmp_path / "a.png"
  photo.save(path)
  data = bytearray(path.read_bytes())
  data[11] = 5  # the header's length
  path.write_bytes(data)
  assert kinds_of(tmp_path, "a.png") == [examples.TRUNCATED]


def test_image_bombs_are_not_decoded(tmp_path):
  # There are no pixels to decode: trying would say that it is cut off.
  (tmp_path / "bomb.png").write_bytes(png_header(2000, 1000))
  assert kinds_of(tmp_path, "bomb.png", 10**6) == [examples.TOO_LARGE]
  assert kinds_of(tmp_path, "bomb.png", 2 * 10**6) == [examples.TRUNCATED]
  # What Pillow refuses by itself.
  (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
  assert kinds_of(tmp_path, "bomb.png", 10**10) == [examples.TOO_LARGE]


def test_sizes():
  checker = Checker(pathlib.Path())
  sizes = {"photo": (50, 40), "mask": (50, 40)}
  checker.check_sizes(sizes, "a")
  assert checker.faults == []
  checker.check_sizes({**sizes, "other": (40, 50)}, "a")
  assert checker.faults == [
    Fault(checks.SIZES_DIFFER, "a", "photo 50x40, mask 50x40, other 40x50")
  ]


@pytest.mark.parametrize(("brightest", "empty"), [(127, True), (128, False)])
def test_masks_with_nothing_over_half(brightest, empty):
  mask = Image.new("L", (4, 4))
  mask.putpixel((1, 2), brightest)
  checker = Checker(pathlib.Path())
  assert checker.check_mask(mask, "m.png").mode == "L"
  kinds = [fault.kind for fault in checker.faults]
  assert kinds == [checks.EMPTY_MASK] * empty
  assert checker.check_mask(None, "m.png") is None


def test_a_file_is_reported_once_a_kind():
  faults = [
    Fault("b", "1.png", "first"),
    Fault("a", "2.png"),
    Fault("b", "1.png", "second"),
    Fault("a", "1.png"),
  ]
  assert checks.unique(faults) == [
    Fault("a", "1.png"),
    Fault("a", "2.png"),
    Fault("b", "1.png", "first"),
  ]


def test_summary():
  assert checks.summary([Fault("empty mask", "a")]) == "1 fault: empty mask (1)"
  faults = [Fault("b", "1"), Fault("a", "1"), Fault("b", "2")]
  assert checks.summary(faults) == "3 faults: a (1), b (2)"


def test_the_table_shows_some_of_every_kind(capsys):
  long = "HCOCO/composite_images/" + "n" * 40
  faults = [Fault("common", f"{long}{i:04d}.jpg", "why") for i in range(500)]
  faults += [Fault("rare", "r.png", "why")]
  checks.report(pathlib.Path("data"), faults, strict=False)
  output = capsys.readouterr()
  assert output.out == ""
  text = output.err
  assert "501 faults: common (500), rare (1)" in text
  # A log keeps names in one piece.
  assert text.count(long) == checks.SHOWN // 2
  assert f"and {500 - checks.SHOWN // 2} more" in text
  assert "r.png" in text


def test_the_file_of_faults(tmp_path):
  faults = [Fault("a", "x, y.jpg", 'said "no"'), Fault("b", "z.png")]
  path = tmp_path / "new/skipped.csv"
  checks.write_csv(path, faults)
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [Fault(**row) for row in rows] == faults
