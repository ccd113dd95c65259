"""`hdnet harmonize` of a folder that is watched, or shared by machines."""

import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from hdnet_jax.app.cli import harmonize_folder, main
from hdnet_jax.inference.shard import Shard

from .conftest import pixels, save_pair

ROOT = pathlib.Path(__file__).parents[3]
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
  report = harmonize_folder._report

  def stop(*words) -> None:
    report(*words)
    raise KeyboardInterrupt

  monkeypatch.setattr(harmonize_folder, "_report", stop)
  watch(steps=[look, look])
  said = capsys.readouterr().out.splitlines()
  written = list((inbox / "images/harmonized").iterdir())
  assert said[-1] == f"{len(written)} harmonized, 0 skipped, 0 failed"
  assert 1 <= len(written) < 9
  assert all(pixels(path).size for path in written)


def test_every_share_alone_and_all_together(folder, flags, hdnet, capsys):
  names = [f"{i}.png" for i in range(8)]
  for seed, name in enumerate(names):
    save_pair(folder, name, seed)
  (folder / "masks/3.png").unlink()
  (folder / "images/5.png").write_bytes(b"\x89PNG no more")
  hdnet(*flags, status=2)
  assert capsys.readouterr().out == "7 harmonized, 0 skipped, 2 failed\n"
  shared = [folder / "shares" if f == folder / "out" else f for f in flags]
  counts = np.zeros(3, int)
  for number in (1, 2, 3):
    status = 0
    try:
      hdnet(*shared, "--shard", f"{number}/3")
    except SystemExit as stopped:
      status = stopped.code
    said = capsys.readouterr()
    done, skipped, failed = (
      int(part.split()[0]) for part in said.out.split(",")
    )
    assert said.err.count("error: ") == failed
    assert status == (2 if failed else 0)
    counts += done, skipped, failed
  assert counts.tolist() == [7, 0, 2]
  for path in (folder / "out").iterdir():
    same = folder / "shares" / path.name
    np.testing.assert_array_equal(pixels(same), pixels(path))
  assert len(list((folder / "shares").iterdir())) == 7


def test_an_empty_share_is_no_mistake(folder, flags, hdnet, capsys):
  for number in (1, 2, 3, 4):
    hdnet(*flags, "--shard", f"{number}/4")
  said = capsys.readouterr()
  lines = [f"{n} harmonized, 0 skipped, 0 failed" for n in (0, 1)]
  assert sorted(said.out.splitlines()) == [lines[0]] * 3 + [lines[1]]
  assert "error" not in said.err


def test_mistakes(folder, pair, flags, hdnet, capsys):
  watch = "--watch", folder / "images"
  for arguments, words in (
    ([*pair, "--shard", "1/2"], "--shard is a share of a folder"),
    ([*flags, "--shard", "0/16"], "of 16 they are 1/16 to 16/16"),
    ([*flags, "--shard", "3"], "--shard 3 is not K/N, as in --shard 3/16"),
    ([*flags, *watch], "--input-dir or --watch, not both"),
    ([*watch, *pair], "not both"),
    (["--watch", folder / "none"], "--watch"),
    ([*watch, "--output-dir", folder / "images"], "is --watch; choose another"),
    ([*flags, "--strength", "2"], "strength=2.0 is not in 0 to 1.5"),
    ([*flags, "--quality", "0"], "quality is 0"),
  ):
    hdnet(*arguments, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_the_slurm_script_of_the_docs_runs_every_share(tmp_path):
  text = (ROOT / "docs/folders.md").read_text()
  (script,) = re.findall(r"^(#!/bin/bash\n.*?)^```$", text, re.M | re.S)
  (last,) = re.findall(r"^#SBATCH --array=1-(\d+)$", script, re.M)
  (log,) = re.findall(r"^#SBATCH --output=(\w+)/", script, re.M)
  assert f"mkdir -p {log} && sbatch harmonize.sh" in text  # Slurm makes none
  (tmp_path / "harmonize.sh").write_text(script)
  for name, lines in (
    ("hdnet/bin/activate", f"PATH={tmp_path}/bin:$PATH\n"),
    ("bin/srun", '#!/bin/sh\nexec "$@"\n'),
    ("bin/hdnet", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"),
  ):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines)
    path.chmod(0o755)
  shards = []
  for task in range(1, int(last) + 1):
    env = {**os.environ, "HOME": str(tmp_path)}
    env["SLURM_ARRAY_TASK_ID"] = str(task)
    command = ["bash", "harmonize.sh"]
    said = subprocess.check_output(command, cwd=tmp_path, env=env, text=True)
    options = main.parse(said.splitlines())
    assert options.output_dir
    shards.append(Shard.parse(options.shard))
  assert shards == [Shard(n, int(last)) for n in range(1, int(last) + 1)]
