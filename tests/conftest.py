"""Eight fake CPU devices, a persistent compilation cache, shared inputs."""

import importlib.util
import os
import pathlib
import shutil

CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "jax"

# Before jax is imported. Subprocesses inherit them.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Most of the time is compiling, and programs are small: without optimizations
# and XLA's newer code generator the network compiles in a fifth of the time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

SHARED = pathlib.Path(__file__).parents[2] / "shared"


# Files that run longest: begun first, so that none is alone at the end. The
# others follow as they are collected.
LONGEST = (
  "training/test_step.py",
  "training/test_resume.py",
  "training/test_loop.py",
  "training/test_schedule.py",
  "training/test_disk.py",
  "training/test_batches.py",
  "training/test_hosts.py",
  "model/test_hdnet.py",
  "app/cli/test_export_weights.py",
  "test_weights.py",
  "inference/test_harmonizer.py",
  "app/demo/test_page.py",
  "app/video/test_container.py",
  "evaluation/test_evaluator.py",
  "app/ablation/test_train.py",
  "onnx/test_network.py",
  "app/export/test_stablehlo.py",
)


def pytest_collection_modifyitems(items) -> None:
  """Put the longest files first."""
  tests = pathlib.Path(__file__).parent
  places = {tests / name: place for place, name in enumerate(LONGEST)}
  items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


@pytest.fixture
def rng() -> np.random.Generator:
  return np.random.default_rng(0)


@pytest.fixture
def shared() -> pathlib.Path:
  """The folder beside the checkout with the reference files and photos."""
  if not SHARED.is_dir():
    pytest.skip("needs ../shared, which is not part of the project")
  return SHARED


@pytest.fixture(scope="session")
def network(tmp_path_factory) -> pathlib.Path:
  """A weights file of a small network, random."""
  import jax.numpy as jnp

  from hdnet_jax import weights
  from hdnet_jax.config import ModelConfig
  from hdnet_jax.model.hdnet import HDNet

  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  shapes = jax.eval_shape(HDNet(2).init, jax.random.key(0), image, mask)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: 0.3 * rng.normal(size=leaf.shape), shapes["params"]
  )
  path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
  weights.save(path, params, ModelConfig(width=2), {"image_size": "32"})
  return path


@pytest.fixture(scope="module")
def browser():
  """A real one, Chromium, of which tests take pages."""
  if importlib.util.find_spec("playwright") is None:
    pytest.skip("needs Playwright: pip install playwright")
  names = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
  )
  chromium = next(filter(None, map(shutil.which, names)), None)
  if chromium is None:
    pytest.skip("no Chromium on the path")
  from playwright.sync_api import sync_playwright

  with sync_playwright() as playwright:
    # A root user's Chromium needs this; it sees our own pages only.
    browser = playwright.chromium.launch(
      executable_path=chromium, args=["--no-sandbox"]
    )
    yield browser
    browser.close()
