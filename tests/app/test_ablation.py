import csv
import dataclasses
import json
import math
import os
import pathlib
import re
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.app import ablation
from hdnet_jax.app.cli.main import parse
from hdnet_jax.app.config_file import load_config, split_overrides
from hdnet_jax.config import Config, DataConfig, MeshConfig, ModelConfig, only
from hdnet_jax.data.photos import split_of
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import bootstrap, visuals
from hdnet_jax.evaluation.metrics import SHIFTS
from hdnet_jax.evaluation.tables import COLUMNS, KINDS
from hdnet_jax.model.architecture import parameter_shapes

ROOT = pathlib.Path(__file__).parents[2]
PAPER = ROOT / "configs/ablation.py"
NEIGHBORS = ROOT / "configs/neighbors.py"
PHOTOS = ROOT / "configs/ablation_photos.py"

# A file of rows: the settings that all share are the test's.
CONFIG_FILE = """
from hdnet_jax import config

ROWS = {rows!r}
SHARED = {shared!r}


def get_config(row="base"):
  run = config.Config.from_dict(SHARED)
  model = {{**SHARED["model"], **ROWS[row]}}
  return config.make_config_dict(
    config.Config.from_dict({{**SHARED, "name": row, "model": model}})
  )
"""
ROWS = {
  "base": {"local_dynamics": "none", "global_dynamics": "none"},
  "hdnet": {},
  "k3": {"neighbors": 3},
}
SHARED = Config(
  batch_size=4,
  eval_batch_size=4,
  epochs=6.0,
  log_every=1,
  eval_every=100,
  save_every=1,
  model=ModelConfig(width=2),
  data=DataConfig(
    source="photos",
    image_size=32,
    threads=1,
    # What compiles fast.
    composites=only("light"),
    evaluation_composites=only("light"),
  ),
  mesh=MeshConfig(data=1),
)


@pytest.fixture
def config_file(tmp_path) -> pathlib.Path:
  path = tmp_path / "rows.py"
  values = SHARED.to_dict()
  path.write_text(CONFIG_FILE.format(rows=ROWS, shared=values))
  return path


def call(*arguments) -> None:
  """`hdnet ablation`, without the other commands."""
  options = parse(["ablation", *map(str, arguments)])
  options.run(options)


def images(psnr, mse=None, composite=20.0, protocol="standard"):
  """One row an image, as per_image.csv has them."""
  mse = [float(i + 1) for i in range(len(psnr))] if mse is None else mse
  return [
    {
      "name": f"p{number}",
      "subset": "photos",
      "protocol": protocol,
      "ratio": 0.1,
      "composite_mse": 100.0,
      "composite_psnr": composite,
      "composite_fmse": 1000.0,
      "composite_ssim": 0.9,
      "harmonized_mse": mse[number],
      "harmonized_psnr": value,
      "harmonized_fmse": 10 * mse[number],
      "harmonized_ssim": 0.95,
      **{f"{kind}_{name}": 1.0 for kind in KINDS for name in SHIFTS},
    }
    for number, value in enumerate(psnr)
  ]


def save_run(
  folder: pathlib.Path, rows, finished=True, seed=0, **model
) -> None:
  """The files of a run that are read, with lines as training writes them."""
  model = dataclasses.replace(SHARED.model, **model)
  config = dataclasses.replace(SHARED, model=model, seed=seed)
  (folder / "evaluation").mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps(config.to_dict()))
  (folder / "evaluation" / "metrics.json").write_text(
    '{"checkpoint": "last", "step": 30}'
  )
  lines = [
    {"step": step, "train/loss": 0.1, "train/images_per_second": speed}
    for step, speed in ((10, 1.0), (20, 9.0), (30, 7.0))
  ]
  if finished:
    lines.append({"step": 30, "test/psnr": 1.0})
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (folder / "metrics.jsonl").write_text(text)
  with (folder / "evaluation" / "per_image.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
  folder = tmp_path / "runs"
  none = {"local_dynamics": "none", "global_dynamics": "none"}
  save_run(folder / "base", images([30, 31, 32, 33]), **none)
  save_run(folder / "hdnet", images([31, 31.5, 32, 34], [1.0, 1.0, 2.0, 2.0]))
  save_run(folder / "k3", images([32, 32, 32, 34]), neighbors=3)
  return folder


def draw(workdir, config_file, *arguments) -> dict:
  call("--workdir", workdir, "--config", config_file, "--no-train", *arguments)
  return json.loads((workdir / "ablation.json").read_text())


# The config files.


@pytest.mark.parametrize(
  ("row", "model"),
  [
    ("base", ("none", 1, "none")),
    ("ld", ("paper", 1, "none")),
    ("sa", ("none", 1, "spatial_attention")),
    ("mgd", ("none", 1, "mask")),
    ("learned_mask", ("paper", 1, "learned_mask")),
    ("hdnet", ("paper", 1, "mask")),
    ("ld_official", ("official", 1, "mask")),
    *((k, ("paper", int(k), "mask")) for k in "13579"),
  ],
)
def test_rows_are_the_papers(row, model):
  path = NEIGHBORS if row.isdecimal() else PAPER
  config = load_config(f"{path}:{row}", [])
  assert config.model == ModelConfig(32, *model)
  assert config.name == f"{path.stem}_{row}"


@pytest.mark.parametrize("path", [PAPER, NEIGHBORS], ids=lambda path: path.stem)
def test_rows_train_as_hdnet_does(path):
  paper = load_config(f"{ROOT}/configs/hdnet.py", [])
  assert load_config(str(path), []) in [
    load_config(f"{path}:{row}", [])
    for row in ("hdnet", "1")
    if row in ablation.load_rows(path)
  ]
  for row in ablation.load_rows(path):
    config = load_config(f"{path}:{row}", [])
    assert dataclasses.replace(config, name="hdnet", model=paper.model) == paper


def test_the_photos_rows_differ_in_the_model_only():
  rows = ablation.load_rows(PHOTOS)
  base = load_config(f"{PHOTOS}:base", [])
  assert set(ablation.load_rows(PAPER)) <= set(rows)
  for row, fields in rows.items():
    model = ModelConfig(width=8, **fields)
    name = f"ablation_photos_{row}"
    assert load_config(f"{PHOTOS}:{row}", []) == dataclasses.replace(
      base, name=name, model=model
    )


@pytest.mark.parametrize("path", [PAPER, NEIGHBORS, PHOTOS])
def test_unknown_rows_name_the_known_ones(path):
  rows = ", ".join(ablation.load_rows(path))
  words = f"row 'nothing'; the rows are {rows}"
  with pytest.raises(UserError, match=re.escape(words)):
    load_config(f"{path}:nothing", [])
  with pytest.raises(UserError, match=re.escape(words)):
    ablation.choose_rows(ablation.load_rows(path), ["nothing"])


# Arguments.


def test_overrides_are_in_every_row(config_file):
  overrides = [
    "--config.batch_size=2",
    "--config.data.root=some where",
    "--config.optimizer.boundaries=(1.,2.)",
    "--config.model.remat=true",
  ]
  jobs = ablation.make_jobs(
    pathlib.Path("runs"), config_file, ["base", "hdnet"], [0, 2], overrides
  )
  assert [(job.row, job.seed, str(job.folder)) for job in jobs] == [
    ("base", 0, "runs/base"),
    ("hdnet", 0, "runs/hdnet"),
    ("base", 2, "runs/base_seed2"),
    ("hdnet", 2, "runs/hdnet_seed2"),
  ]
  for job in jobs:
    assert job.config.batch_size == 2
    assert job.config.data.root == "some where"
    assert job.config.optimizer.boundaries == (1, 2)
    assert job.config.model == ModelConfig(2, **ROWS[job.row], remat=True)
    assert job.config.seed == job.seed


@pytest.mark.parametrize(
  ("override", "words"),
  [
    ("--config.bach_size=4", 'no such setting: .*"batch_size"'),
    ("--config.data.rot=x", '"root"'),
    ("--config.batch_size=many", "batch_size.*many"),
    ("--config.batch_size=0", "config.batch_size must be above 0"),
    ("--config.seed=1", "--seeds"),
    ("--config.model.local_dynamics=none", "what the rows differ in"),
    ("--config.model.neighbors=3", "what the rows differ in"),
    ("--config.distributed=true", "hdnet train, then draw with --no-train"),
  ],
)
def test_mistakes_in_overrides_are_one_line(config_file, override, words):
  with pytest.raises(UserError, match=words) as caught:
    call("--workdir", "runs", "--config", config_file, override)
  assert len(str(caught.value).splitlines()) == 1


def test_overrides_stand_anywhere_and_with_a_space():
  arguments = [
    *("--config.a=1", "--rows", "x", "--config.b", "-2", "--config", "f"),
    *("--config.c", "--no-train"),
  ]
  assert split_overrides(arguments) == (
    ["--config.a=1", "--config.b=-2", "--config.c"],
    ["--rows", "x", "--config", "f", "--no-train"],
  )


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--rows", "nothing"], "no row 'nothing'; the rows are base, hdnet, k3"),
    (["--baseline", "no"], "--baseline no is not one of base, hdnet, k3"),
    (["--seeds", "-1"], "--seeds are 0 or more, not -1"),
    (["--no-train"], "no finished row of base, hdnet, k3"),
    (["--no-train", "--config.epochs=1"], "leave out --config.epochs=1"),
    (["--config", "no.py"], "no.py is no config"),
    (["--config", str(ROOT / "configs/hdnet.py")], "has no ROWS"),
  ],
)
def test_other_mistakes(config_file, tmp_path, arguments, words):
  with pytest.raises(UserError, match=re.escape(words)):
    call("--config", config_file, "--workdir", tmp_path / "runs", *arguments)
  assert not (tmp_path / "runs").exists()


def test_unknown_options_are_refused():
  with pytest.raises(UserError, match="unexpected argument '--wrong'"):
    call("--workdir", "runs", "--wrong")


def test_another_configs_run_is_found_before_training(config_file, workdir):
  said = []
  with pytest.raises(UserError, match=r"(?s)k3 .*epochs: 6.0 -> 9.0"):
    ablation.train_rows(
      ablation.make_jobs(
        workdir, config_file, ["k3"], [0], ["--config.epochs=9.0"]
      ),
      said.append,
    )
  assert said == []


# The table.


def test_golden_numbers(workdir, config_file):
  with (workdir / "k3" / "metrics.jsonl").open("a") as file:
    file.write('{"step": 3')  # is being written
  report = draw(workdir, config_file)
  base, hdnet, k3 = report["rows"]
  assert report["images"] == 4
  assert report["missing"] == []
  assert report["composite"]["psnr"] == 20
  assert base["means"] == {
    "psnr": 31.5,
    "mse": 2.5,
    "fmse": 25,
    "ssim": pytest.approx(0.95),
    "infinite_psnr": 0,
  }
  assert base["difference"] is None
  assert (base["steps"], base["images_per_second"]) == (30, 7)
  assert hdnet["means"]["psnr"] == 32.125
  assert hdnet["difference"]["psnr"]["mean"] == 0.625
  assert hdnet["difference"]["fmse"]["mean"] == -10
  low, high = bootstrap.interval(np.array([1, 0.5, 0, 1]))
  assert hdnet["difference"]["psnr"]["low"] == low
  assert hdnet["difference"]["psnr"]["high"] == high
  bounds = bootstrap.interval(np.array([32.0, 32, 32, 34]))
  assert k3["psnr_interval"] == list(bounds)
  shapes = parameter_shapes(ModelConfig(width=2)).values()
  assert hdnet["parameters"] == sum(map(math.prod, shapes))
  assert base["parameters"] < hdnet["parameters"]


def test_the_text(workdir, config_file, capsys):
  report = draw(workdir, config_file)
  text = (workdir / "ablation.md").read_text()
  lines = text.splitlines()
  assert lines[2].startswith("| row | LD | MGD | parameters | steps | PSNR ↑")
  assert lines[4].startswith("| composite |")
  parameters = f"{report['rows'][1]['parameters']:,}"
  assert lines[6].startswith(
    f"| hdnet | K = 1 | mask | {parameters} | 30 | 32.12 | 1.50 | 15.00 | "
    "0.9500 | +0.62 ["
  )
  assert lines[5].startswith("| base | – | – |")
  assert lines[5].endswith("| – | – |")
  printed = capsys.readouterr().out
  assert "hdnet" in printed
  assert "K = 3" in printed
  # The same runs give the same text.
  draw(workdir, config_file)
  assert (workdir / "ablation.md").read_text() == text


def test_missing_rows_are_named(workdir, config_file):
  save_run(workdir / "k3_seed1", images([1, 2, 3, 4]), finished=False)
  report = draw(workdir, config_file, "--rows", "k3", "hdnet", "--seeds", 0, 1)
  assert report["missing"] == ["k3_seed1", "hdnet_seed1"]
  text = (workdir / "ablation.md").read_text()
  assert "Not finished: k3_seed1, hdnet_seed1." in text


def test_without_the_baseline_there_are_no_differences(workdir, config_file):
  (workdir / "base" / "evaluation" / "metrics.json").unlink()
  report = draw(workdir, config_file)
  assert report["missing"] == ["base"]
  assert [row["difference"] for row in report["rows"]] == [None, None]
  assert "base has no run" in (workdir / "ablation.md").read_text()
  other = draw(workdir, config_file, "--baseline", "k3")
  assert other["rows"][0]["difference"]["psnr"]["mean"] == -0.375


def test_seeds(workdir, config_file):
  save_run(workdir / "base_seed1", images([31, 32, 33, 34]), seed=1)
  save_run(workdir / "hdnet_seed1", images([31, 32, 33, 35]), seed=1)
  save_run(workdir / "hdnet_seed2", images([40, 40, 40, 40]), seed=2)
  report = draw(workdir, config_file, "--seeds", 0, 1, 2)
  base, hdnet, _ = report["rows"]
  assert base["means"]["psnr"] == 32
  assert base["spread"]["psnr"] == pytest.approx(math.sqrt(0.5))
  assert list(hdnet["seeds"]) == ["0", "1", "2"]
  assert hdnet["seeds"]["2"]["psnr"] == 40
  # Of the seeds that both have: 0.625 and 0.25.
  assert hdnet["difference"]["seeds"] == [0, 1]
  assert hdnet["difference"]["psnr"]["mean"] == 0.4375
  text = (workdir / "ablation.md").read_text()
  assert "| 32.00 ± 0.71 |" in text
  assert "| hdnet | 2 | 40.00 |" in text


def test_infinite_psnrs_are_left_out_and_counted(workdir, config_file):
  save_run(workdir / "hdnet_seed1", images([math.inf] * 4), seed=1)
  save_run(workdir / "k3_seed1", images([math.inf, 1, 2, 3]), seed=1)
  report = draw(workdir, config_file, "--seeds", 1, "--rows", "hdnet", "k3")
  hdnet, k3 = report["rows"]
  assert hdnet["means"]["psnr"] is None
  assert hdnet["psnr_interval"] is None
  assert (k3["means"]["psnr"], k3["means"]["infinite_psnr"]) == (2, 1)
  assert k3["difference"]["psnr"] is None
  assert k3["difference"]["fmse"]["images"] == 4
  text = (workdir / "ablation.md").read_text()
  assert "| inf |" in text
  assert "5 infinite PSNRs" in text


def test_protocols(workdir, config_file):
  both = images([30, 30]) + images([10, 12], protocol="paste")
  for folder in (workdir / "base_seed1", workdir / "hdnet_seed1"):
    save_run(folder, both, seed=1)
  options = ("--seeds", 1, "--rows", "base", "hdnet")
  report = draw(workdir, config_file, *options)
  assert (report["protocol"], report["images"]) == ("standard", 2)
  report = draw(workdir, config_file, *options, "--protocol", "paste")
  assert report["rows"][0]["means"]["psnr"] == 11
  with pytest.raises(UserError, match="no protocol 'no', only standard, paste"):
    draw(workdir, config_file, *options, "--protocol", "no")


def edit(path: pathlib.Path, old: str, new: str) -> None:
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
  ("file", "old", "new", "words"),
  [
    ("config.json", '"epochs": 6.0', '"epochs": 7.0', "epochs: 6.0 -> 7.0"),
    ("evaluation/metrics.json", '"last"', '"best"', "of the best checkpoint"),
    ("evaluation/per_image.csv", "p0", "q0", "not evaluated on the images"),
    ("evaluation/per_image.csv", ",100.0,", ",9.0,", "on other composites"),
    ("evaluation/per_image.csv", "harmonized_", "after_", "has no column"),
    ("evaluation/per_image.csv", "31.5", "much", "line 3: not 18 values"),
    ("metrics.jsonl", "}", "", "a line that is not JSON"),
    ("metrics.jsonl", "train/", "other/", "no step of training"),
  ],
)
def test_what_cannot_be_compared(workdir, config_file, file, old, new, words):
  edit(workdir / "hdnet" / file, old, new)
  with pytest.raises(UserError, match=re.escape(words)):
    draw(workdir, config_file)
  assert not (workdir / "ablation.md").exists()


# The figure.


def width(path: pathlib.Path) -> int:
  with Image.open(path) as image:
    image.load()
    assert image.format == "PNG"
    return image.width


def test_the_figure_has_a_panel_for_neighbors(workdir, config_file):
  draw(workdir, config_file)
  both = width(workdir / "ablation.png")
  draw(workdir, config_file, "--rows", "base", "hdnet")
  assert width(workdir / "ablation.png") == both / 2
  assert not list(workdir.glob(".*"))
  # A PSNR that is infinite has no place in it.
  save_run(workdir / "base_seed1", images([math.inf] * 4), seed=1)
  draw(workdir, config_file, "--seeds", 1, "--rows", "base")
  width(workdir / "ablation.png")


def row_of(name, **model) -> dict:
  model = dataclasses.asdict(ModelConfig(**model))
  return {"row": name, "model": model, "means": {"psnr": 30.0}}


def test_the_curve_is_of_rows_that_differ_in_neighbors_only():
  rows = [
    row_of("none", local_dynamics="none", neighbors=5),
    row_of("wide", width=8, neighbors=7),
    row_of("k3", neighbors=3),
    row_of("hdnet"),
    row_of("again"),
  ]
  curve = visuals.neighbors_curve(rows)
  assert [row["row"] for row in curve] == ["hdnet", "k3"]
  assert visuals.neighbors_curve(rows[:2]) == []


# Training.


@pytest.fixture
def photo_folder(tmp_path) -> pathlib.Path:
  """Photos of one colour with a square as object: 4 train, 2 of the others."""
  root = tmp_path / "photos"
  (root / "images").mkdir(parents=True)
  (root / "masks").mkdir()
  missing, lines = {"train": 4, "validation": 2, "test": 2}, ["image,mask"]
  for number in range(200):
    image, mask = f"images/p{number}.png", f"masks/p{number}.png"
    split = split_of(image)
    if not missing[split]:
      continue
    missing[split] -= 1
    colour = (50 + number, 100, 200 - number)
    Image.new("RGB", (40, 40), colour).save(root / image)
    region = Image.new("L", (40, 40))
    region.paste(255, (10, 10, 28, 26))
    region.save(root / mask)
    lines.append(f"{image},{mask}")
  assert not any(missing.values())
  (root / "manifest.csv").write_text("\n".join(lines) + "\n")
  return root


def arguments_of(workdir, config_file, photo_folder, *more) -> list:
  return [
    *("--workdir", workdir, "--config", config_file, "--rows", "base", "hdnet"),
    *(f"--config.data.root={photo_folder}", *more),
  ]


def test_finished_rows_are_not_trained(workdir, config_file):
  said = []
  jobs = ablation.make_jobs(workdir, config_file, ["k3", "base"], [0], [])
  assert ablation.train_rows(jobs, said.append) == []
  assert said == [
    f"row 1 of 2: k3, seed 0, is finished in {workdir / 'k3'}",
    f"row 2 of 2: base, seed 0, is finished in {workdir / 'base'}",
  ]


@pytest.mark.slow
def test_rows_train_and_continue(config_file, photo_folder, tmp_path, capsys):
  workdir = tmp_path / "runs"
  arguments = arguments_of(
    workdir, config_file, photo_folder, "--config.epochs=3"
  )
  call(*arguments)
  output = capsys.readouterr().out
  assert f"row 1 of 2: base, seed 0, trains in {workdir / 'base'}" in output
  assert f"row 2 of 2: hdnet, seed 0, trains in {workdir}/hdnet" in output
  report = json.loads((workdir / "ablation.json").read_text())
  assert [row["row"] for row in report["rows"]] == ["base", "hdnet"]
  assert report["rows"][0]["steps"] == report["rows"][1]["steps"] == 3
  assert report["images"] == 2

  # Finished rows are not trained again, and not written to.
  before = (workdir / "hdnet" / "metrics.jsonl").stat().st_mtime_ns
  call(*arguments)
  output = capsys.readouterr().out
  assert f"row 2 of 2: hdnet, seed 0, is finished in {workdir}" in output
  assert "trains" not in output
  assert (workdir / "hdnet" / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_stop_leaves_the_rest_for_the_same_command(
  config_file, photo_folder, tmp_path, capsys
):
  workdir = tmp_path / "runs"
  log = workdir / "base" / "metrics.jsonl"
  done = threading.Event()

  def stop_after_a_step():
    while not done.wait(0.01):
      if log.is_file() and "train/loss" in log.read_text():
        os.kill(os.getpid(), signal.SIGTERM)
        return

  arguments = arguments_of(
    workdir, config_file, photo_folder, "--config.epochs=1000"
  )
  thread = threading.Thread(target=stop_after_a_step)
  thread.start()
  try:
    call(*arguments)
  finally:
    done.set()
    thread.join()
  output = capsys.readouterr().out
  assert "the same command continues it" in output
  assert "row 2" not in output
  assert not (workdir / "hdnet").exists()
  assert not (workdir / "ablation.md").exists()
  with pytest.raises(UserError, match="no finished row"):
    draw(workdir, config_file)
