"""Which files of folders are composites, and which are their masks."""

import pathlib

import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.inference.folder import plan


def fill(root: pathlib.Path, *names: str) -> pathlib.Path:
  """Files that are empty: only their names are looked at."""
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  return root


def pairs(found, root: pathlib.Path) -> dict[str, str]:
  return {
    pair.composite.relative_to(root).as_posix(): pair.mask.relative_to(
      root
    ).as_posix()
    for pair in found.pairs
  }


@pytest.mark.parametrize(
  ("composite", "mask"),
  [
    ("a.jpg", "a.png"),
    ("a.png", "a.png"),
    ("a.jpg", "a_mask.png"),
    ("a.jpg", "a-matte.png"),
    ("a.jpg", "a.alpha.tif"),
    ("a.jpg", "mask_a.png"),
    ("b.jpg", "b.jpg.png"),
    ("b.jpg", "b.jpg_mask.png"),
    ("IMG_1.JPG", "img_1.png"),
    ("deep/a v2.1.jpg", "deep/a v2.1 mask.PNG"),
    ("caf\u00e9.jpg", "cafe\u0301_mask.png"),
    ("c1_2_3.jpg", "c1_2.png"),
    ("set/shot.jpg", "set/mask.png"),
    ("set/shot.jpg", "mask.png"),
  ],
)
def test_masks_are_found_as_tools_name_them(tmp_path, composite, mask):
  images = fill(tmp_path / "images", composite)
  masks = fill(tmp_path / "masks", mask, "other.png")
  found = plan(images, masks, tmp_path / "out")
  assert pairs(found, tmp_path) == {f"images/{composite}": f"masks/{mask}"}
  assert found.failures == []
  (note,) = found.notes
  assert note.startswith("1 mask is without a composite")
  assert found.pairs[0].output == tmp_path / "out" / composite


def test_masks_beside_photos_are_no_photos(tmp_path):
  root = fill(
    *(tmp_path / "both", "a.jpg", "a_mask.png", "b.jpg", "b.jpg.png"),
    *("c.webp", "c.png", "d_1.jpg", "d_2.jpg", "d_matte.png"),
    *("e/x.png", "e/mask.png"),
  )
  want = {
    "a.jpg": "a_mask.png",
    "b.jpg": "b.jpg.png",
    "c.webp": "c.png",
    "d_1.jpg": "d_matte.png",
    "d_2.jpg": "d_matte.png",
    "e/x.png": "e/mask.png",
  }
  for masks in (root, None):
    found = plan(root, masks, tmp_path / "out")
    assert pairs(found, root) == want
    assert found.failures == []
    (note,) = found.notes
    assert note.startswith("1 mask is for several composites")


def test_a_mask_suffix_is_the_users_word(tmp_path):
  root = fill(tmp_path, "a.jpg", "a_m.png", "a_mask.jpg", "a_mask_m.png")
  for suffix in ("_m", "_m.png"):
    found = plan(root, None, tmp_path / "out", suffix)
    assert pairs(found, root) == {
      "a.jpg": "a_m.png",
      "a_mask.jpg": "a_mask_m.png",
    }
  masks = fill(tmp_path / "masks", "a.png")
  found = plan(root, masks, tmp_path / "out", "_m")
  assert found.pairs == []
  assert any("a.jpg has no mask" in line for line in found.failures)


def test_one_file_is_the_mask_of_all(tmp_path):
  root = fill(tmp_path / "in", "a.jpg", "b.png", "shape.png")
  found = plan(root, root / "shape.png", tmp_path / "out")
  assert pairs(found, root) == {"a.jpg": "shape.png", "b.png": "shape.png"}


def test_two_masks_are_not_chosen_from(tmp_path):
  images = fill(tmp_path / "images", "a.jpg", "b.jpg")
  masks = fill(
    tmp_path / "masks", "a.png", "a.tif", "b_mask.png", "b-matte.png"
  )
  found = plan(images, masks, tmp_path / "out")
  assert found.pairs == []
  first, second = found.failures
  assert "a.jpg has two masks" in first
  assert "b.jpg has two masks" in second


@pytest.mark.parametrize("place", ["out", "deep/out"])
def test_results_inside_the_input_are_no_input(tmp_path, place):
  root = fill(tmp_path / "in", "a.jpg", "masks/a.png", "a_harmonized.png")
  fill(root / place, "a.jpg", "a.png", "deep/masks/b.png")
  (tmp_path / "link").symlink_to(root / place)
  for output in (root / place, tmp_path / "link"):
    found = plan(root, root / "masks", output)
    assert pairs(found, root) == {"a.jpg": "masks/a.png"}
    assert found.failures == []
    (note,) = found.notes
    assert note.startswith("1 earlier result is left out")
  # What has its mask in its alpha is no other.
  found = plan(root, None, root / place, from_alpha=True)
  assert [p.composite.relative_to(root).as_posix() for p in found.pairs] == [
    "a.jpg",
    "masks/a.png",
  ]
  # A photo of such a name is one where it has a mask.
  fill(root / "masks", "a_harmonized.png")
  found = plan(root, root / "masks", root / place)
  assert len(found.pairs) == 2


def test_what_is_left_out_is_told(tmp_path):
  images = fill(
    *(tmp_path / "in", "a.jpg", "b.psd", "README", "deep/c.dng", ".d.jpg"),
    *("._a.jpg", ".DS_Store", ".git/e.jpg"),
  )
  masks = fill(tmp_path / "masks", "a.png", "a.svg")
  found = plan(images, masks, tmp_path / "out")
  assert pairs(found, tmp_path) == {"in/a.jpg": "masks/a.png"}
  assert found.failures == []
  hidden, files, file = found.notes
  assert hidden == f"1 hidden file is left out: {images}/.d.jpg"
  assert files.startswith("3 files are not in a format that is read: ")
  for name in ("b.psd", "README", "deep/c.dng"):
    assert str(images / name) in files
  assert file.startswith("1 file is not in a format that is read")


def test_what_is_not_written_becomes_png(tmp_path):
  names = [f"{end}.{end}" for end in ("bmp", "gif", "avif", "heic", "tif")]
  images = fill(tmp_path / "in", *names)
  masks = fill(tmp_path / "masks", *(f"{name[:3]}.png" for name in names))
  fill(tmp_path / "masks", "avif.png", "heic.png")
  found = plan(images, masks, tmp_path / "out")
  results = [pair.output.name for pair in found.pairs]
  assert results == ["avif.png", "bmp.png", "gif.png", "heic.png", "tif.tif"]


def test_no_output_replaces_an_input(tmp_path):
  images = fill(tmp_path / "images", "a.png")
  masks = fill(tmp_path / "masks", "a.png")
  for output in (images, masks, images / ".." / "images"):
    with pytest.raises(UserError, match="choose another folder"):
      plan(images, masks, output)
  with pytest.raises(UserError, match="is not a folder; name another"):
    plan(images, masks, fill(tmp_path, "file") / "file")
  with pytest.raises(UserError, match="has no composite"):
    plan(fill(tmp_path / "none", "notes.txt"), masks, tmp_path / "out")


def test_no_output_is_an_input_under_another_name(tmp_path):
  images = fill(tmp_path / "in", "a.png", "masks/b.png", "more/c.png")
  masks = fill(tmp_path / "masks", "a.png", "masks/b.png", "more/c.png")
  fill(tmp_path / "masks", "b.png")
  (tmp_path / "more").symlink_to(images / "more")
  (tmp_path / "masks/masks/b.png").unlink()
  (tmp_path / "masks/masks/b.png").symlink_to(tmp_path / "masks/b.png")
  found = plan(images, masks, tmp_path)
  assert [pair.composite.name for pair in found.pairs] == ["a.png"]
  assert [line.split(",")[0] for line in found.failures] == [
    str(tmp_path / "masks/b.png"),
    str(tmp_path / "more/c.png"),
  ]


def test_two_composites_never_become_one_file(tmp_path):
  images = fill(tmp_path / "in", "a.png", "a_compare.png")
  masks = fill(tmp_path / "masks", "a.png", "a_compare.png")
  found = plan(
    *(images, masks, tmp_path / "out", None),
    lambda path: path.with_name(f"{path.stem}_compare.png"),
  )
  assert pairs(found, images.parent) == {"in/a.png": "masks/a.png"}
  (line,) = found.failures
  assert "would be written to one file" in line


def test_a_name_that_is_only_the_end_of_a_results(tmp_path):
  images = fill(tmp_path / "in", "_harmonized.png", "a.png")
  masks = fill(tmp_path / "masks", "a.png")
  found = plan(images, masks, tmp_path / "out")
  (line,) = found.failures
  assert "_harmonized.png has no mask" in line
