"""Files of any name, with `hdnet harmonize`."""

import os

import pytest

from hdnet_jax.atomic_write import with_end

from .conftest import HEIGHT, WIDTH, pixels, save_pair

NAMES = (
  *(b"caf\xe9", "cafe\u0301".encode(), "\u65e5\u672c".encode()),
  *(b"a" * 251, "\u00fc".encode() * 125, b"new\nline", b"\x1b[31mred"),
  *(b"[bold]x", b":cat:", b"-dash", b" lead", b"%03d", b"http:x", b"*"),
)


@pytest.mark.parametrize("name", NAMES[:5])
def test_a_result_has_the_name_whatever_it_is(
  folder, hdnet, name, capsysbinary
):
  name = f"{os.fsdecode(name)}.png"
  save_pair(folder, name)
  hdnet(folder / "images" / name, folder / "masks" / name)
  path = with_end(folder / "images" / name, "_harmonized.png")
  assert capsysbinary.readouterr().out == os.fsencode(path) + b"\n"
  assert pixels(path).shape == (HEIGHT, WIDTH, 3)


def test_a_folder_of_every_name_in_linked_folders(
  folder, flags, hdnet, capsysbinary
):
  names = [f"{os.fsdecode(name)}.png" for name in NAMES]
  for name in names:
    save_pair(folder / "linked", name)
  (folder / "linked/images/[bold]x.png").write_text("no image")
  for kind in ("images", "masks"):
    (folder / kind / "more").symlink_to(folder / "linked" / kind)
  hdnet(*flags, "--compare", status=2)
  said = capsysbinary.readouterr()
  assert said.out == b"14 harmonized, 0 skipped, 1 failed\n"
  assert b"/[bold]x.png is not a JPEG" in said.err
  results = set(os.listdir(folder / "out/more"))
  assert len(results) == 2 * 13
  assert set(names) - results == {"[bold]x.png"}
