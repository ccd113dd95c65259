"""`hdnet harmonize` of a folder, whole or in shares."""

import os
import pathlib
import re
import subprocess

import numpy as np
from PIL import Image

from hdnet_jax.app.cli import main
from hdnet_jax.inference.shard import Shard

from .conftest import pixels, save_pair

ROOT = pathlib.Path(__file__).parents[3]


def test_a_folder(folder, flags, hdnet, capsys):
  save_pair(folder, "deep/b.png", seed=1)
  save_pair(folder, "no_mask.png")
  (folder / "masks/no_mask.png").unlink()
  save_pair(folder, "broken.png")
  (folder / "images/broken.png").write_bytes(b"\x89PNG no more")
  (folder / "images/notes.txt").write_text("not an image")
  hdnet(*flags, status=2)
  said = capsys.readouterr()
  assert said.out == "2 harmonized, 0 skipped, 2 failed\n"
  assert "no_mask.png has no mask no_mask.*" in said.err
  assert "broken.png" in said.err
  results = sorted(p for p in (folder / "out").rglob("*") if p.is_file())
  assert results == [folder / "out/a.png", folder / "out/deep/b.png"]
  flags = [
    path / "deep" if isinstance(path, pathlib.Path) else path for path in flags
  ]
  hdnet(*flags, "--skip-existing")
  assert capsys.readouterr().out == "0 harmonized, 1 skipped, 0 failed\n"


def test_a_stopped_folder_goes_on(folder, hdnet, capsys):
  for seed, name in enumerate(("b.png", "c.png")):
    save_pair(folder, name, seed)
  out = folder / "images/out"  # inside the input: never an input itself
  flags = [
    *("--input-dir", folder / "images", "--mask-dir", folder / "masks"),
    *("--output-dir", out, "--compare"),
  ]
  said = []
  for force in ((), (), ("--force",)):
    hdnet(*flags, *force)
    said.append(capsys.readouterr())
    if not force:
      # As if it had stopped between the two files of b.png.
      (out / "b_compare.png").unlink()
      (out / "c.png").unlink()
  assert [texts.out for texts in said] == [
    f"{done} harmonized, {3 - done} skipped, 0 failed\n" for done in (3, 2, 3)
  ]
  assert "what exists was skipped; --force replaces it" in said[1].err
  assert len(list(out.iterdir())) == 6


def test_a_folders_results_are_of_the_format_of_the_contents(
  folder, flags, hdnet, capsys
):
  save_pair(folder, "b.png")
  with Image.open(folder / "images/b.png") as image:
    clear = image.convert("RGBA")
  clear.putpixel((0, 0), (1, 2, 3, 0))
  clear.save(folder / "images/b.jpg", "PNG")  # RGBA that is named .jpg
  (folder / "images/b.png").unlink()
  hdnet(*flags)
  assert capsys.readouterr().out == "2 harmonized, 0 skipped, 0 failed\n"
  with Image.open(folder / "out/b.png") as result:
    assert (result.format, result.mode) == ("PNG", "RGBA")
  hdnet(*flags, "--format", "jpg", status=2)
  said = capsys.readouterr()
  assert said.out == "1 harmonized, 0 skipped, 1 failed\n"
  assert "has an alpha channel, which" in said.err
  clear.putalpha(255)
  clear.save(folder / "images/b.jpg", "PNG")
  hdnet(*flags, "--format", "jpg")
  said = capsys.readouterr()
  assert said.out == "1 harmonized, 1 skipped, 0 failed\n"
  assert "opaque everywhere, and is left out" in said.err


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
