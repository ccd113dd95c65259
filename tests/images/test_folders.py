"""Folders as people have them."""

import os
import pathlib

import pytest

from hdnet_jax.images.folders import describe_files, files_in


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
  for name in ("in/a.png", "in/deep/b.png", "in/.c.png", "in/._a.png"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "elsewhere/d.png").touch()
  return tmp_path / "in"


def names(paths, root) -> list[str]:
  return [path.relative_to(root).as_posix() for path in paths]


def test_files_in_depth_without_the_hidden(root):
  (root / ".git").mkdir()
  (root / ".git/e.png").touch()
  listing = files_in(root)
  assert names(listing.files, root) == ["a.png", "deep/b.png"]
  assert names(listing.hidden, root) == [".c.png"]  # and not what macOS makes
  assert listing.problems == []
  assert names(files_in(root, deep=False).files, root) == ["a.png"]


def test_links_are_followed_but_not_in_circles(root):
  (root / "linked").symlink_to(root.parent / "elsewhere")
  (root / "deep/circle").symlink_to(root)
  (root / "one.png").symlink_to(root / "a.png")
  (root / "nothing.png").symlink_to("nowhere")
  (root / "itself.png").symlink_to("itself.png")
  assert names(files_in(root).files, root) == [
    *("a.png", "deep/b.png", "itself.png", "linked/d.png", "nothing.png"),
    "one.png",
  ]
  # By whatever name.
  found = files_in(root, [root.parent / "elsewhere", root / "deep/../deep"])
  assert names(found.files, root) == [
    *("a.png", "itself.png", "nothing.png", "one.png")
  ]


def test_what_cannot_be_looked_at_is_told(root, monkeypatch):
  os.mkfifo(root / "pipe.png")  # to open it would wait for ever
  (root / "folder.png").mkdir()
  scan = os.scandir

  def refuse(folder):
    if folder.name == "deep":
      raise PermissionError(13, "Permission denied")
    return scan(folder)

  monkeypatch.setattr(os, "scandir", refuse)
  listing = files_in(root)
  assert names(listing.files, root) == ["a.png"]
  (deep, first), (pipe, second) = listing.problems
  assert (deep.name, pipe.name) == ("deep", "pipe.png")
  assert "Permission denied" in first
  assert "is no file" in second


def test_a_note_names_the_first():
  paths = [pathlib.Path(name) for name in "abcde"]
  assert describe_files(paths[:1], "mask", "lost") == "1 mask is lost: a"
  assert (
    describe_files(paths, "mask", "lost")
    == "5 masks are lost: a, b, c and 2 more"
  )
