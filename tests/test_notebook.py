"""The notebook: as it is stored, and run from top to bottom."""

import itertools
import pathlib
import shutil

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PATH = pathlib.Path("notebooks/evaluate_colab.ipynb")


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
  return nbformat.read(ROOT / PATH, as_version=nbformat.NO_CONVERT)


def test_is_stored_without_results(notebook):
  nbformat.validate(notebook)
  assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
  assert notebook.metadata.kernelspec.name == "python3"
  ids = [cell.id for cell in notebook.cells]
  assert len(set(ids)) == len(ids)
  for cell in notebook.cells:
    if cell.cell_type == "code":
      assert cell.outputs == [], cell.id
      assert cell.execution_count is None, cell.id


def test_every_cell_of_code_is_explained(notebook):
  kinds = [cell.cell_type for cell in notebook.cells]
  for before, kind in itertools.pairwise(kinds):
    assert kind == "markdown" or before == "markdown"


def test_holds_no_address_and_no_file_of_ours(notebook):
  (settings,) = (cell for cell in notebook.cells if cell.id == "settings")
  (install,) = (cell for cell in notebook.cells if cell.id == "install")
  assert 'REPOSITORY = "REPOSITORY"' in install.source
  assert 'WEIGHTS = ""' in settings.source
  assert 'OWN = ""' in settings.source


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> pathlib.Path:
  """A copy of what the notebook needs: it writes into its checkout."""
  root = tmp_path / "checkout"
  ignored = shutil.ignore_patterns("__pycache__")
  for name in ("hdnet_jax", "configs", "notebooks"):
    shutil.copytree(ROOT / name, root / name, ignore=ignored)
  shutil.copy(ROOT / "requirements.txt", root)
  monkeypatch.setenv("HDNET_NOTEBOOK_SMALL", "1")
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")  # as on a person's machine
  monkeypatch.delenv("MPLBACKEND", raising=False)
  # The kernel's files, away from the person's own settings.
  for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
    monkeypatch.setenv(name, str(tmp_path / name.lower()))
  return root


@pytest.mark.slow  # two minutes: a kernel of its own compiles everything
def test_runs_from_top_to_bottom(notebook, checkout):
  client = nbclient.NotebookClient(
    notebook,
    timeout=300,
    kernel_name="python3",
    # It is started beside itself, as Jupyter does.
    resources={"metadata": {"path": str(checkout / "notebooks")}},
  )
  client.execute()  # raises at the first cell that does

  output = checkout / "runs/notebook"
  assert (output / "weights.safetensors").is_file()
  (run,) = output.glob("run-*")
  assert "train/loss" in (run / "metrics.jsonl").read_text()
  for name in ("sample", "own"):
    report = (output / name / "report.md").read_text()
    for protocol in ("standard", "paper"):
      assert f"Protocol '{protocol}'" in report
    assert "published" not in report  # these are not the paper's images
    for picture in ("grid.png", "scatter.png"):
      assert (output / name / picture).stat().st_size > 1000
  assert (output / "own/per_image.csv").read_text().count("cat_1_1,") == 2

  shown = {cell.id: shown_by(cell) for cell in notebook.cells}
  assert "pip install" not in str(shown["install"])
  assert shown["train"].count("image/png") == 1  # the curve
  for cell in ("evaluate", "own"):
    assert shown[cell].count("text/markdown") == 1
    assert shown[cell].count("image/png") == 2


def shown_by(cell: nbformat.NotebookNode) -> list[str]:
  """The kinds of what a cell has put out."""
  return [
    kind
    for output in cell.get("outputs", [])
    for kind in output.get("data", {})
  ]
