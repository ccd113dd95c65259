"""`hdnet harmonize` of a folder that is watched."""

import os
import pathlib
import signal
from collections.abc import Callable

import numpy as np
import pytest

from hdnet_jax.app.cli import harmonize_folder, main

from .conftest import pixels, save_pair

Step = Callable[[], object]


@pytest.fixture
def inbox(tmp_path) -> pathlib.Path:
  path = tmp_path / "inbox"
  for kind in ("images", "masks"):
    (path / kind).mkdir(parents=True)
  return path


@pytest.fixture
def watch(inbox, network):
  """Watches inbox/images; `steps` happen between the looks, then Ctrl-C."""

  def run(*flags, steps: list[Step], status: int = 0) -> None:
    words = [
      *("harmonize", "--watch", inbox / "images", "--mask-dir"),
      *(inbox / "masks", "--weights", network, *flags),
    ]
    options = main.parse([str(word) for word in words])
    remaining = iter([*steps, look, look])

    def wait(seconds: float) -> None:
      assert seconds > 0
      step = next(remaining, None)
      if step is None:
        raise KeyboardInterrupt
      step()

    if not status:
      harmonize_folder.watch_folder(options, wait)
      return
    with pytest.raises(SystemExit) as stopped:
      harmonize_folder.watch_folder(options, wait)
    assert stopped.value.code == status

  return run


def look() -> None:
  """Nothing happens until the next look at the folder."""


def test_what_appears_is_harmonized(inbox, watch, hdnet, capsys):
  save_pair(inbox, "a.png")

  def appear() -> None:
    save_pair(inbox, "deep/b.png", seed=1)

  watch(steps=[look, appear])
  out = inbox / "images/harmonized"  # where nothing else is said
  said = capsys.readouterr()
  assert said.out.splitlines() == [
    str(out / "a.png"),
    str(out / "deep/b.png"),
    "2 harmonized, 0 skipped, 0 failed",
  ]
  assert said.err.startswith(f"watching {inbox}/images; results go to {out};")
  for name in ("a.png", "deep/b.png"):
    pair = inbox / "images" / name, inbox / "masks" / name
    hdnet(*pair, "-o", inbox / "alone.png", "--force")
    np.testing.assert_array_equal(
      pixels(out / name), pixels(inbox / "alone.png")
    )


def test_what_is_done_is_skipped_until_it_is_saved_anew(inbox, watch, capsys):
  out = inbox / "out"
  flags = "--output-dir", out
  save_pair(inbox, "a.png")
  watch(*flags, steps=[])
  first = pixels(out / "a.png")
  capsys.readouterr()
  watch(*flags, steps=[])
  said = capsys.readouterr()
  assert said.out == "0 harmonized, 1 skipped, 0 failed\n"
  assert "--force replaces it" in said.err
  watch(*flags, steps=[look, look, lambda: save_pair(inbox, "a.png", seed=1)])
  assert capsys.readouterr().out.endswith("1 harmonized, 0 skipped, 0 failed\n")
  second = pixels(out / "a.png")
  assert (first != second).any()
  (out / "a.png").write_text("old")
  watch(*flags, "--force", steps=[look, look])
  np.testing.assert_array_equal(pixels(out / "a.png"), second)


def test_no_file_is_read_half(inbox, watch, capsys):
  save_pair(inbox, "a.png")
  image, mask = inbox / "images/a.png", inbox / "masks/a.png"
  whole, whole_mask = image.read_bytes(), mask.read_bytes()
  image.write_bytes(whole[:40])
  mask.unlink()
  watch(
    steps=[
      lambda: image.write_bytes(whole[:90]),
      lambda: image.write_bytes(whole),
      lambda: mask.write_bytes(whole_mask[:50]),
      lambda: mask.write_bytes(whole_mask),
    ]
  )
  said = capsys.readouterr()
  assert said.out.endswith("1 harmonized, 0 skipped, 0 failed\n")
  assert "error" not in said.err


def test_it_goes_on_after_a_bad_file(inbox, watch, capsys):
  for name in ("a.png", "bad.png", "no_mask.png"):
    save_pair(inbox, name)
  (inbox / "masks/no_mask.png").unlink()
  (inbox / "images/bad.png").write_bytes(b"\x89PNG no more")
  appear = [lambda: save_pair(inbox, "late.png"), look, look]
  watch(steps=[look, look, *appear], status=2)
  said = capsys.readouterr()
  names = [pathlib.Path(line).name for line in said.out.splitlines()[:-1]]
  assert names == ["a.png", "late.png"]
  assert said.out.endswith("2 harmonized, 0 skipped, 2 failed\n")
  _, waits, bad = said.err.splitlines()
  assert "no_mask.png has no mask no_mask.*" in waits
  assert bad.startswith(f"error: {inbox}/images/bad.png is damaged")
  # Mended, it is done, and no failure any more.
  mend = [lambda: save_pair(inbox, "bad.png"), look, look]
  (inbox / "images/no_mask.png").unlink()
  watch(steps=[look, look, *mend])
  said = capsys.readouterr()
  assert said.out.endswith("1 harmonized, 2 skipped, 0 failed\n")


def test_sigterm_ends_it_as_ctrl_c_does(inbox, watch, capsys):
  before = signal.getsignal(signal.SIGTERM)
  save_pair(inbox, "a.png")
  stop = [lambda: os.kill(os.getpid(), signal.SIGTERM)]
  watch(steps=[look, look, *stop, lambda: pytest.fail("it was to end")])
  assert capsys.readouterr().out.endswith("1 harmonized, 0 skipped, 0 failed\n")
  assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_in_the_work_ends_what_is_begun(
  inbox, watch, capsys, monkeypatch
):
  for seed in range(9):
    save_pair(inbox, f"{seed}.png", seed)
  report = harmonize_folder.report

  def stop(*words) -> None:
    report(*words)
    raise KeyboardInterrupt

  monkeypatch.setattr(harmonize_folder, "report", stop)
  watch(steps=[look, look])
  said = capsys.readouterr().out.splitlines()
  written = list((inbox / "images/harmonized").iterdir())
  assert said[-1] == f"{len(written)} harmonized, 0 skipped, 0 failed"
  assert 1 <= len(written) < 9
  assert all(pixels(path).size for path in written)
