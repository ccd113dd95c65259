"""Shares of a folder: disjoint, complete, and the same wherever one asks."""

import pathlib
import unicodedata

import numpy as np
import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.inference.folder import Plan, plan
from hdnet_jax.inference.shard import Shard


def share_of(name: str, count: int) -> int:
  """The number of the only share of `count` that a name is in."""
  (number,) = (n for n in range(1, count + 1) if Shard(n, count).has(name))
  return number


@pytest.fixture
def names(rng) -> list[str]:
  letters = list("abcdefghij_-é日/")
  lengths = rng.integers(1, 30, 2000)
  return sorted({"".join(rng.choice(letters, n)) for n in lengths})


@pytest.mark.parametrize("count", [1, 2, 3, 16, 100])
def test_every_name_is_in_one_share(names, count):
  shares = [share_of(name, count) for name in names]
  assert set(shares) == set(range(1, count + 1))
  # Chance decides: within five deviations of an even share.
  expected = len(names) / count
  counts = np.bincount(shares, minlength=count + 1)[1:]
  assert np.abs(counts - expected).max() <= 5 * np.sqrt(expected)


def test_shares_are_those_of_every_version_and_system():
  # What an earlier version began, a later one ends.
  names = ("a", "deep/b", "IMG_0001", "caf\u00e9", "caf\udce9")
  assert [share_of(name, 16) for name in names] == [16, 1, 3, 4, 1]
  apart = unicodedata.normalize("NFD", names[3])  # as macOS lists it
  assert share_of(apart, 16) == share_of(names[3], 16)


@pytest.mark.parametrize("text", ["1/1", "3/16", "16/16", "03/16"])
def test_shares_are_counted_from_1(text):
  number, count = map(int, text.split("/"))
  assert Shard.parse(text) == Shard(number, count)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("0/16", "0/16 is no share; of 16 they are 1/16 to 16/16"),
    ("17/16", "17/16 is no share"),
    ("1/0", "1/0 is no share; of 1 they are 1/1 to 1/1"),
    *((text, "is not K/N") for text in ("", "3", "3/", "-1/2", "1.5/2", "a/b")),
  ],
)
def test_what_is_no_share_is_told(text, words):
  with pytest.raises(UserError, match=words):
    Shard.parse(text)


def fill(root: pathlib.Path, names: list[str]) -> None:
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def plans(root: pathlib.Path, count: int, **values) -> list[Plan]:
  return [
    plan(
      *(root / "in", root / "masks", root / "out"),
      shard=Shard(number, count),
      **values,
    )
    for number in range(1, count + 1)
  ]


def test_the_shares_of_a_folder_are_the_whole(tmp_path):
  names = [f"{folder}/{i}.jpg" for folder in ("a", "b") for i in range(40)]
  fill(tmp_path / "in", [*names, "note.txt", ".b.jpg", "c.jpg", "d.jpg"])
  fill(tmp_path / "masks", [*names, "d.png", "d.tif", "none.png"])
  (whole,) = plans(tmp_path, 1)
  shares = plans(tmp_path, 3)
  assert all(len(share.pairs) > 10 for share in shares)
  for field in ("pairs", "failures"):
    parts = [item for share in shares for item in getattr(share, field)]
    assert sorted(parts, key=str) == sorted(getattr(whole, field), key=str)
  assert len(whole.failures) == 2  # c has no mask, and d has two
  told = [note for share in shares for note in share.notes]
  assert len(told) == 2  # the hidden file, and the text
  # Files that are added move no others.
  more = [f"a/more{i}.jpg" for i in range(40)]
  fill(tmp_path / "in", more)
  fill(tmp_path / "masks", more)
  for before, after in zip(shares, plans(tmp_path, 3), strict=True):
    assert {p.composite for p in before.pairs} <= {
      p.composite for p in after.pairs
    }


def test_what_could_be_one_file_is_in_one_share(tmp_path):
  names = [
    f"{stem}{end}"
    for stem in "abcdefgh"
    for end in (".jpg", ".png", "_compare.png", "_harmonized_compare.png")
  ]
  fill(tmp_path / "in", names)
  fill(tmp_path / "masks", [f"{name}.png" for name in names])
  for share in plans(tmp_path, 5, suffix=".png"):
    stems = {pair.composite.name[0] for pair in share.pairs}
    assert len(share.pairs) == 3 * len(stems)
    assert len(share.failures) == len(stems)
    assert all("to one file" in line for line in share.failures)


def test_a_share_writes_over_no_input_of_another(tmp_path):
  names = [f"{i}.png" for i in range(12)]
  fill(tmp_path / "in", names)
  fill(tmp_path / "masks", [*names, "linked.png"])
  fill(tmp_path / "out", names[:4])
  (tmp_path / "in/linked.png").symlink_to(tmp_path / "out/2.png")
  lines = [line for p in plans(tmp_path, 4) for line in p.failures]
  (line,) = lines
  assert line.startswith(f"{tmp_path}/out/2.png, of ")


def test_a_share_may_be_empty(tmp_path):
  fill(tmp_path / "in", ["a.png"])
  fill(tmp_path / "masks", ["a.png"])
  shares = plans(tmp_path, 4)
  assert sorted(len(share.pairs) for share in shares) == [0, 0, 0, 1]
  (tmp_path / "in/a.png").unlink()
  with pytest.raises(UserError, match="has no composite"):
    plans(tmp_path, 4)
