"""What an evaluation writes, and that an interrupted one continues."""

import csv
import json
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax.config import Config, DataConfig
from hdnet_jax.devices import make_mesh
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import report
from hdnet_jax.evaluation.evaluator import Evaluator, predictions
from hdnet_jax.evaluation.journal import read
from hdnet_jax.evaluation.tables import COLUMNS

COUNT, SIZE = 11, 8
FILES = [
  "grid.png",
  "metrics.json",
  "per_image.csv",
  "report.md",
  "scatter.png",
]
FACTS = {"split": "test", "config": "tiny", "step": 12}


class Examples(list):
  def name(self, index: int) -> str:
    return f"image {index}"

  def subset(self, index: int) -> str:
    return ("even", "odd")[index % 2]


@pytest.fixture
def source(rng) -> Examples:
  """Composites and predictions that differ from the truth ever more."""
  examples = Examples()
  for index in range(COUNT):
    real = rng.integers(50, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE, 1), np.uint8)
    mask[: 1 + index % 5] = 1
    examples.append(
      {
        "real": real,
        "mask": mask,
        "composite": real + mask * np.uint8(20),
        "prediction": real + mask * np.uint8(2 * index),
        "index": np.int32(index),
      }
    )
  return examples


@pytest.fixture(scope="module")
def config() -> Config:
  return Config(eval_batch_size=4, data=DataConfig(image_size=SIZE, threads=1))


@pytest.fixture(scope="module")
def evaluator(config):
  mesh = make_mesh(config.mesh, jax.devices()[:1])
  return Evaluator(config, predictions, mesh, ("standard", "paper"))


@pytest.fixture
def write(evaluator, config, source):
  def write(directory, params=None, source=source, **options):
    facts = options.pop("facts", FACTS)
    return report.write_report(
      evaluator, params or {}, source, config, directory, facts, **options
    )

  return write


class Torn(Exception):
  pass


def interrupt(done, total):
  if done == 8:
    raise Torn


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files(write, tmp_path):
  folder = tmp_path / "run/evaluation"
  rows = write(folder)
  assert sorted(path.name for path in folder.iterdir()) == FILES
  assert read(folder / "per_image.csv") == rows
  assert len(rows) == 2 * COUNT
  with (folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
    found = list(csv.DictReader(file))
  assert list(found[0]) == list(COLUMNS)
  assert found[3] == {name: str(value) for name, value in rows[3].items()}

  numbers = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
  assert {name: numbers[name] for name in FACTS} == FACTS
  assert numbers["image_size"] == SIZE
  assert list(numbers["protocols"]) == ["standard", "paper"]
  standard = numbers["protocols"]["standard"]
  assert standard["count"] == COUNT
  assert standard["harmonized"]["mse"] == pytest.approx(
    np.mean([row["harmonized_mse"] for row in rows[::2]])
  )
  text = (folder / "report.md").read_text(encoding="utf-8")
  for words in ("config: tiny", "'paper': by subset (Table 1)", "grid.png"):
    assert words in text
  for name in ("grid.png", "scatter.png"):
    with Image.open(folder / name) as image:
      image.load()


def test_the_same_evaluation_writes_the_same_bytes(write, tmp_path):
  write(tmp_path / "a")
  write(tmp_path / "b")
  assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_an_interrupted_evaluation_continues(write, source, tmp_path):
  write(tmp_path / "whole")
  torn = tmp_path / "torn"

  with pytest.raises(Torn):
    write(torn, on_done=interrupt)
  assert [path.name for path in torn.iterdir()] == ["unfinished"]
  unfinished = torn / "unfinished/per_image.csv"
  assert len(read(unfinished)) == 16
  # A kill may cut a line, or leave an image with one of its protocols.
  text = unfinished.read_text()
  unfinished.write_text(text[: text.rindex("image 7,odd,paper") + 30])
  done = []
  write(torn, on_done=lambda count, total: done.append((count, total)))
  assert done == [(7, COUNT), (COUNT, COUNT)]
  assert contents(torn) == contents(tmp_path / "whole")


@pytest.mark.parametrize("other", ["facts", "weights", "count"])
def test_rows_of_something_else_are_not_continued(
  write, source, tmp_path, other
):
  weights = {"a": np.ones(3, np.float32)}
  with pytest.raises(Torn):
    write(tmp_path, weights, on_done=interrupt)
  done = []
  write(
    tmp_path,
    {"a": np.zeros(3, np.float32)} if other == "weights" else weights,
    Examples(source[:10]) if other == "count" else source,
    facts={**FACTS, "step": 13} if other == "facts" else FACTS,
    on_done=lambda count, total: done.append(count),
  )
  assert done[0] == 0


def test_the_best_the_median_and_the_worst_are_shown(write, tmp_path):
  rows = write(tmp_path)[::2]
  titles = report.chosen(rows)
  # Errors grow with the index; 0 is perfect, so its gain is no number.
  assert list(titles) == [1, 2, 5, 6, 9, 10]
  assert titles[1] == "best (+20.0 dB)"
  assert titles[6].startswith("median (+")
  assert titles[10].startswith("worst (")
  assert list(report.chosen(rows[1:2])) == [0]
  assert report.chosen(rows[:1]) == {0: "first"}


def test_an_interrupted_write_leaves_the_old_file(write, tmp_path, monkeypatch):
  write(tmp_path)
  before = contents(tmp_path)
  replace = pathlib.Path.replace

  def interrupted(path, target):
    if target.name == "report.md":
      assert path.stat().st_size  # the new file is whole, beside the old one
      raise KeyboardInterrupt
    return replace(path, target)

  monkeypatch.setattr(pathlib.Path, "replace", interrupted)
  with pytest.raises(KeyboardInterrupt):
    write(tmp_path, facts={**FACTS, "step": 13})
  monkeypatch.undo()
  assert (tmp_path / "report.md").read_bytes() == before["report.md"]
  assert (tmp_path / "per_image.csv").read_bytes() == before["per_image.csv"]
  assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_show(write, tmp_path, capsys):
  write(tmp_path)
  report.show(tmp_path)
  out = capsys.readouterr().out
  for protocol in ("standard", "paper"):
    assert f"Protocol '{protocol}': by subset (Table 1)" in out
  assert "harmonized" in out
  for file in FILES:
    assert str(tmp_path / file) in out


def test_nothing_to_show(tmp_path):
  with pytest.raises(UserError, match="exist; run hdnet evaluate first"):
    report.show(tmp_path)


def test_names_of_protocols():
  names = ["paper", "standard", "paper"]
  assert report.check_protocols(names) == ("paper", "standard")
  with pytest.raises(UserError, match="did you mean 'standard'"):
    report.check_protocols(["standart"])


def test_digest_tells_weights_apart():
  weights = {"a": np.arange(3, dtype=np.float32)}
  assert report.digest(weights) == report.digest(dict(weights))
  assert report.digest(weights) != report.digest({"a": np.ones(3, np.float32)})
  assert report.digest({}) is None
