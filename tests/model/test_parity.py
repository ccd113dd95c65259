"""The network against the activations of the authors' PyTorch code.

The authors' files are not part of the project. `reference_n2.npz` is, and
stands in for them where they are missing; see `tests/data/make_reference.py`.
"""

import dataclasses
import functools
import pathlib
import runpy
import types

import jax
import numpy as np
import pytest

from hdnet_jax.app.export.torch import convert_state_dict
from hdnet_jax.model.hdnet import HDNet

DATA = pathlib.Path(__file__).parents[1] / "data"
OWN = DATA / "reference_n2.npz"
SCRIPT = runpy.run_path(str(DATA / "make_reference.py"))
AUTHORS = ("official_tiny_64", "official_lite_96")

# The authors' module to this network's; "" is the network.
MODULES = {
  "model_layer0": "x0",
  "model_layer1norm": "x1",
  "model_layer2norm": "x2",
  "model_layer3norm": "x3",
  "model_layer4norm": "x4",
  "model_layer5norm": "x5",
  "model_layer6norm": "x6",
  "model_layer71": "x7",
  "LD": "ld",
  "model_layer72norm": "y6",
  "model_layer8norm": "y5",
  "model_layer9norm": "y4",
  "model_layer10norm": "y3",
  "model_layer11norm": "y2",
  "model_layer11att": "mgd_y2",
  "model_layer12norm": "y1",
  "model_layer12att": "mgd_y1",
  "model_layer13norm": "y0",
  "model_layer13att": "mgd_y0",
  "model_out": "",
}


def group(file: dict, prefix: str) -> dict[str, np.ndarray]:
  return {
    name.removeprefix(prefix): array
    for name, array in file.items()
    if name.startswith(prefix)
  }


def by_path(tree: dict) -> dict[str, np.ndarray]:
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {"/".join(key.key for key in path): leaf for path, leaf in leaves}


@functools.cache
def compare(path: pathlib.Path) -> types.SimpleNamespace:
  """The file at `path`, and what this network makes of its inputs."""
  with np.load(path) as file:
    file = dict(file)
  config, params = convert_state_dict(group(file, "state_dict/"))
  assert config.local_dynamics == "official"
  model = HDNet(**dataclasses.asdict(config))
  composite, real, mask = (
    file[name].astype(np.float32) for name in ("composite", "real", "mask")
  )

  step = SCRIPT["run_step"](model, params, composite, real, mask)
  step["gradients"] = by_path(step["gradients"])
  return types.SimpleNamespace(file=file, **step)


@pytest.fixture
def case(request) -> types.SimpleNamespace:
  if request.param == "own":
    return compare(OWN)
  shared = request.getfixturevalue("shared")
  return compare(shared / "reference" / f"{request.param}.npz")


SLOW = pytest.param(AUTHORS[1], marks=pytest.mark.slow)
on_all = pytest.mark.parametrize(
  "case", ["own", AUTHORS[0], SLOW], indirect=True
)


@on_all
def test_images(case):
  np.testing.assert_allclose(
    case.raw_output, case.file["raw_output"], rtol=0, atol=5e-5
  )
  np.testing.assert_allclose(
    case.harmonized, case.file["harmonized"], rtol=0, atol=5e-5
  )


@pytest.mark.parametrize("case", AUTHORS[:1], indirect=True)
def test_every_activation(case):
  expected = group(case.file, "activation/")
  assert expected.keys() == MODULES.keys()
  for torch_name, name in MODULES.items():
    module = case.activations[name] if name else case.activations
    np.testing.assert_allclose(
      module["__call__"][0],
      expected[torch_name],
      rtol=0,
      atol=5e-5,
      err_msg=f"{torch_name} ({name})",
    )


@on_all
def test_loss(case):
  np.testing.assert_allclose(case.loss, case.file["loss"], rtol=1e-6)


@on_all
def test_loss_after_one_adam_step(case):
  expected = case.file["loss_after_one_adam_step"]
  assert abs(expected / case.file["loss"] - 1) > 1e-3
  np.testing.assert_allclose(case.loss_after_one_adam_step, expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("case", "count"),
  [
    (AUTHORS[0], 59),
    pytest.param(AUTHORS[1], 45, marks=pytest.mark.slow),
  ],
  indirect=["case"],
)
def test_gradients(case, count):
  given = group(case.file, "grad/")
  # Gradients that the file lacks are NaN here, and not compared.
  complete = {
    name: given.get(name, np.full_like(weight, np.nan))
    for name, weight in group(case.file, "state_dict/").items()
  }
  _, tree = convert_state_dict(complete)
  expected = {
    path: leaf
    for path, leaf in by_path(tree).items()
    if not np.isnan(leaf).any()
  }
  assert len(expected) == len(given) == count
  for path, gradient in expected.items():
    error = np.linalg.norm(case.gradients[path] - gradient)
    assert error < 1e-3 * np.linalg.norm(gradient), path


@pytest.mark.parametrize("case", ["own"], indirect=True)
def test_gradient_norms(case):
  expected = group(case.file, "gradient_norm/")
  assert expected.keys() == case.gradients.keys()
  for path, norm in expected.items():
    np.testing.assert_allclose(
      np.linalg.norm(case.gradients[path]), norm, rtol=1e-3, err_msg=path
    )
