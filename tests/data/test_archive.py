import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data import archive
from hdnet_jax.data.photos import PhotoFolder, read_manifest, split_of
from hdnet_jax.errors import UserError

from .conftest import run

SIZE = 32


@pytest.fixture
def folder(tmp_path, rng):
  root = tmp_path / "photos"
  (root / "images").mkdir(parents=True)
  (root / "masks").mkdir()
  for number in range(40):
    smooth = np.kron(rng.integers(40, 200, (3, 4, 3)), np.ones((16, 16, 1)))
    Image.fromarray(smooth.astype(np.uint8)).save(
      root / f"images/p{number}.png"
    )
    mask = np.zeros((48, 64), np.uint8)
    mask[8:30, 10:40] = 255
    Image.fromarray(mask).save(root / f"masks/p{number}_1.png")
  return root


def pack(root, *more):
  output = root.parent / "photos.zip"
  run("prepare", "photos", "--root", root, "--pack", output, *more)
  return output


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_archive_is_like_its_folder(folder, split):
  file = pack(folder, "--pack-size", str(SIZE))
  whole = PhotoFolder(folder, split, SIZE)
  packed = PhotoFolder(file, split, SIZE)
  assert len(whole) == len(packed) > 0
  # Worker processes get it by pickling.
  packed = pickle.loads(pickle.dumps(packed))
  for index in range(len(whole)):
    assert whole.name(index) == packed.name(index)
    expected, found = whole[index], packed[index]
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
      n: (a.shape, a.dtype) for n, a in expected.items()
    }
    error = expected["real"].astype(int) - found["real"]
    assert np.abs(error).mean() < 6  # WebP
    assert np.mean(expected["mask"] != found["mask"]) < 0.05


def test_a_photo_with_two_objects_is_packed_once(folder):
  (folder / "masks/p0_2.png").write_bytes(
    (folder / "masks/p0_1.png").read_bytes()
  )
  rows = read_manifest(pack(folder))
  assert len(rows) == 41
  assert len({row["image"] for row in rows}) == 40


def test_names_that_become_one_are_refused(folder):
  other = folder / "images/p0.jpg"
  Image.open(folder / "images/p0.png").save(other)
  lines = "image,mask\nimages/p0.png,masks/p0_1.png\n"
  (folder / "manifest.csv").write_text(lines + "images/p0.jpg,masks/p1_1.png\n")
  output = folder.parent / "photos.zip"
  with pytest.raises(UserError, match=r"p0\.jpg and .*p0\.png have one name"):
    archive.pack(folder, read_manifest(folder), output, SIZE)
  assert not output.exists()


def test_what_cannot_be_read_is_named(folder, tmp_path, capsys):
  with pytest.raises(UserError, match=r"none\.zip.*does not exist"):
    PhotoFolder(tmp_path / "none.zip", "train", SIZE)
  (tmp_path / "text.zip").write_text("no archive")
  with pytest.raises(UserError, match=r"manifest\.csv.*text\.zip"):
    PhotoFolder(tmp_path / "text.zip", "train", SIZE)
  run("prepare", "photos", "--root", folder, "--pack", "a.tar", status=1)
  assert "must end in .zip" in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["images/p0.webp", "masks/p0.png"])
@pytest.mark.parametrize("contents", [b"no image", b""])
def test_a_damaged_file_of_an_archive_is_named(tmp_path, damaged, contents):
  row = ("images/p0.webp", "masks/p0.png")
  Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "whole.png")
  file = tmp_path / "photos.zip"
  with zipfile.ZipFile(file, "w") as members:
    members.writestr("manifest.csv", f"image,mask\n{','.join(row)}\n")
    for name in row:
      whole = (tmp_path / "whole.png").read_bytes()
      members.writestr(name, contents if name == damaged else whole)
  with pytest.raises(UserError) as raised:
    PhotoFolder(file, split_of(row[0]), SIZE)[0]
  assert str(raised.value).startswith(f"{file / damaged} cannot be read")
