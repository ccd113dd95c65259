"""Who may import whom: the order that keeps each part usable alone."""

import ast
import pathlib
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "hdnet_jax"

# Every part of the package, in order: it may import the parts that it names,
# which stand above it, and these libraries. A part is a module, or a folder; of
# `app`, which stands on the library, each of its folders.
BASE = (
  *(
    "errors",
    "config_dict",
    "config_v0_1",
    "config",
    "atomic_write",
    "cpus",
    "lock",
    "terminal",
  ),
  "images",
)
LIBRARY = (*(*BASE, "model", "weights_checks", "weights", "onnx", "inference"),)
PARTS = {
  "errors": ((), ()),
  "__init__": (("errors",), ()),
  "config_dict": (("errors",), ()),
  "config_v0_1": (("errors",), ()),
  # Inside a function only, for those who write config files.
  "config": (("errors", "config_dict", "config_v0_1"), ("ml_collections",)),
  "configs": (("errors", "config"), ()),
  "atomic_write": (("errors",), ()),
  "cpus": ((), ()),
  "lock": (("errors",), ()),
  "terminal": ((), ("rich",)),
  "images": (
    ("errors", "atomic_write", "cpus"),
    ("numpy", "PIL", "pillow_heif"),
  ),
  "data": (
    BASE,
    (
      *("grain", "numpy", "PIL", "scipy", "skimage"),
      "tensorflow_datasets",
    ),
  ),
  "model": ((), ("flax", "jax", "jaxtyping")),
  "composites": (("errors", "config"), ("jax", "jaxtyping", "numpy")),
  "devices": (("errors", "config"), ("jax", "numpy")),
  "peers": ((), ()),
  "distributed": (("errors", "config", "peers"), ("jax", "numpy")),
  "weights_checks": ((*BASE, "model"), ("numpy",)),
  # And `training`, as LATE says.
  "weights": (
    (*BASE, "__init__", "weights_checks"),
    ("ml_dtypes", "numpy", "safetensors"),
  ),
  "onnx": (("config", "model"), ("numpy",)),
  # No training library, and JAX in one file: using the model needs a small
  # installation.
  "inference": (
    (*BASE, "devices", "model", "weights", "onnx"),
    ("jax", "numpy", "onnxruntime", "PIL"),
  ),
  "evaluation": (
    (
      *(*BASE, "data", "model", "composites"),
      *("devices", "distributed"),
    ),
    # Matplotlib inside functions only, for those who look.
    ("jax", "jaxtyping", "matplotlib", "numpy", "PIL", "skimage"),
  ),
  "training": (
    (
      *(*BASE, "data", "model", "composites"),
      *("devices", "distributed", "weights"),
      *("inference", "evaluation"),
    ),
    (
      *("clu", "flax", "grain", "jax", "jaxtyping", "numpy", "optax", "orbax"),
      "PIL",
    ),
  ),
  "app": ((), ()),
  # The libraries inside a function.
  "app/config_file": (BASE, ("absl", "ml_collections")),
  "app/ablation": (
    (*BASE, "model", "evaluation", "training", "app/config_file"),
    ("jax",),
  ),
  "app/export": (LIBRARY, ("jax", "numpy")),
  "app/video": (LIBRARY, ("av", "numpy", "PIL")),
  # Starlette is Gradio's server, and its errors are Gradio's.
  "app/demo": (LIBRARY, ("gradio", "numpy", "PIL", "skimage", "starlette")),
  "app/cli": (
    (
      *(*LIBRARY, "__init__", "data", "evaluation", "training"),
      *("distributed", "app/config_file"),
      *("app/ablation", "app/export", "app/video", "app/demo"),
    ),
    ("absl", "numpy", "PIL"),
  ),
}

# What a part imports against the order, inside a function only: a run's folder
# is read by the library that wrote it.
LATE = {"weights": "hdnet_jax.training.restore.restore_params"}


def part_of(name: str) -> str:
  """The part of a dotted name inside the package."""
  first, *rest = name.split(".")
  return f"app/{rest[0]}" if first == "app" and rest else first


def dotted(path: pathlib.Path) -> str:
  parts = path.relative_to(PACKAGE).with_suffix("").parts
  return ".".join(parts).removesuffix(".__init__")


def imports(path: pathlib.Path, top_level: bool = False) -> set[str]:
  """Dotted names that a file imports, anywhere in it or at its top level."""
  found = set()
  tree = ast.parse(path.read_text(encoding="utf-8"))
  for node in tree.body if top_level else ast.walk(tree):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: imports are absolute"
      # `from hdnet_jax import sharding` imports hdnet_jax.sharding.
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
  return found


def tops(names: set[str]) -> set[str]:
  """The libraries of dotted names."""
  return {name.split(".")[0] for name in names}


FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in FILES]


def test_every_part_has_its_place():
  # A new one is written down above, with what it needs.
  assert {part_of(dotted(path)) for path in FILES} == set(PARTS)


def test_the_order_has_no_circles():
  order = list(PARTS)
  for part, (allowed, _) in PARTS.items():
    assert set(allowed) <= set(order[: order.index(part)]), part


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_parts_import_only_what_they_may(path):
  part = part_of(dotted(path))
  allowed_parts, allowed_libraries = PARTS[part]
  late = {LATE.get(part)}
  assert not late & imports(path, top_level=True)
  for name in imports(path) - late:
    top, _, rest = name.partition(".")
    if top == "hdnet_jax":
      assert part_of(rest or "__init__") in (part, *allowed_parts), name
    elif top not in sys.stdlib_module_names:
      assert top in allowed_libraries, name


def test_what_the_table_must_never_allow():
  assert not any(
    name.startswith("app")
    for part, (allowed, _) in PARTS.items()
    for name in allowed
    if not part.startswith("app")
  )
  assert not {"training", "data"} & set(PARTS["inference"][0])
  assert "model" not in PARTS["data"][0]
  assert "data" not in PARTS["model"][0]
  assert not {"jax", "flax"} & set(PARTS["data"][1])


# Each in the only files that may import it, and whether on use only.
IN_PLACE = {
  "orbax": (("training/checkpoint.py",), False),
  # `make_config_dict` alone needs it of the library.
  "ml_collections": (("config.py", "app/config_file.py"), True),
  "tensorflow": ((), False),
  "torch": ((), False),
  "onnx": ((), False),
  "onnxruntime": (("inference/engine_onnxruntime.py",), False),
  "av": (("app/video/",), False),
  "gradio": (("app/demo/",), False),
  "pillow_heif": (("images/formats.py",), True),
}


# What harmonizing takes, and each of its modules that may be imported for it.
SMALL = ("images", "weights", "onnx", "inference", "app/cli", "app/export")
SETTINGS = "model/architecture.py"
WITH_JAX = ("inference/engine_jax.py", "app/export/stablehlo.py")


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_harmonizing_imports_no_jax(path):
  place = str(path.relative_to(PACKAGE))
  part = part_of(dotted(path))
  if place in WITH_JAX or (part not in SMALL and place != SETTINGS):
    return
  small = {"hdnet_jax", "ml_dtypes", "numpy", "onnxruntime", "PIL"}
  libraries = tops(imports(path, True)) - set(sys.stdlib_module_names)
  assert libraries <= {*small, "safetensors"}


@pytest.mark.parametrize("library", IN_PLACE)
def test_libraries_are_imported_in_their_place_only(library):
  places, on_use = IN_PLACE[library]
  for path in FILES:
    if library in tops(imports(path)):
      assert str(path.relative_to(PACKAGE)).startswith(places), path
      assert not (on_use and library in tops(imports(path, True))), path
