"""Who may import whom: the order that keeps each part usable alone."""

import ast
import pathlib
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "hdnet_jax"

# Every part of the package, in order: it may import the parts that it names,
# which stand above it, and these libraries. A part is a module, or a folder.
BASE = (
  *("errors", "config", "files", "folders", "image_formats", "terminal"),
  *("orientation", "pillow", "png", "masks", "mask_fit"),
)
DEVICE = ("losses", "metrics", "images", "composites")
PARTS = {
  "__init__": ((), ()),
  "errors": ((), ()),
  "settings": (("errors",), ()),
  # Inside a function only, for those who write config files.
  "config": (("errors", "settings"), ("ml_collections",)),
  "files": (("errors",), ()),
  "lock": (("errors",), ()),
  "orientation": ((), ("numpy", "PIL")),
  "pillow": ((), ()),
  "png": ((), ()),
  "masks": (("errors",), ("numpy", "PIL")),
  "mask_fit": (("errors", "orientation"), ("numpy", "PIL")),
  "folders": ((), ()),
  "terminal": ((), ()),
  "image_formats": ((), ("PIL", "pillow_heif")),
  "data": (
    (*BASE, "lock"),
    (
      *("grain", "numpy", "PIL", "rich", "scipy", "skimage"),
      "tensorflow_datasets",
    ),
  ),
  "compilation": ((), ("jax",)),
  "model": ((), ("flax", "jax", "jaxtyping")),
  "losses": ((), ("jax", "jaxtyping")),
  "metrics": ((), ("jax", "jaxtyping", "numpy")),
  "images": ((), ("jax", "jaxtyping")),
  "composites": (("errors", "config"), ("jax", "jaxtyping", "numpy")),
  "sharding": (("errors", "config", "data"), ("jax", "numpy")),
  "peers": ((), ()),
  "hosts": (("errors", "config", "peers"), ("jax", "numpy")),
  "weights": (
    (*BASE, "model"),
    ("jax", "numpy", "safetensors"),
  ),
  # Other frameworks' libraries inside functions, but for ONNX's own modules.
  "interop": (
    ("errors", "config", "files", "model", "weights"),
    ("jax", "numpy", "onnx"),
  ),
  # No training library: using the model needs a small install.
  "inference": (
    (
      *(*BASE, "data", "images", "model", "weights"),
      "compilation",
    ),
    ("jax", "numpy", "PIL", "scipy"),
  ),
  "evaluation": (
    (
      *(
        *BASE,
        *DEVICE,
        "lock",
        "data",
        "compilation",
        "model",
        "sharding",
        "hosts",
      ),
      "inference",
    ),
    # Matplotlib inside functions only, for those who look.
    ("jax", "jaxtyping", "matplotlib", "numpy", "PIL", "rich", "skimage"),
  ),
  "released": (("config", "errors", "weights"), ()),
  "training": (
    (
      *(
        *BASE,
        *DEVICE,
        "lock",
        "data",
        "model",
        "sharding",
        "hosts",
        "weights",
      ),
      *("compilation", "inference", "evaluation", "released"),
    ),
    (
      *("clu", "flax", "grain", "jax", "jaxtyping", "numpy", "optax", "orbax"),
      *("PIL", "rich"),
    ),
  ),
  "command_line": (
    ("errors", "config", "terminal"),
    ("absl", "ml_collections"),
  ),
  "ablation": (
    (*BASE, "weights", "command_line", "evaluation", "training"),
    ("absl", "jax", "ml_collections"),
  ),
  # The training inside a function only.
  "trained": (("config", "errors", "released", "training"), ()),
  "harmonizer": (
    ("config", "errors", "masks", "inference", "trained"),
    ("numpy", "PIL"),
  ),
  "video": (
    ("errors", "files", "folders", "image_formats", "mask_fit", "inference"),
    ("av", "numpy", "PIL"),
  ),
  "demo": (
    ("errors", "image_formats", "masks", "inference"),
    # Starlette is Gradio's server, and its errors are Gradio's.
    ("gradio", "numpy", "PIL", "skimage", "starlette"),
  ),
  "commands": (
    (
      *(*BASE, "__init__", "data", "weights", "interop", "inference"),
      *("evaluation", "training", "ablation", "released", "trained"),
      "command_line",
      "harmonizer",
      *("video", "demo"),
    ),
    ("numpy", "PIL", "rich"),
  ),
  "cli": (("errors", "terminal", "commands"), ()),
}


def part_of(path: pathlib.Path) -> str:
  return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: pathlib.Path) -> set[str]:
  """Dotted names that a file imports, anywhere in it."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: imports are absolute"
      # `from hdnet_jax import sharding` imports hdnet_jax.sharding.
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
  return found


FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in FILES]


def test_every_part_has_its_place():
  # A new one is written down above, with what it needs.
  assert {part_of(path) for path in FILES} == set(PARTS)


def test_the_order_has_no_circles():
  order = list(PARTS)
  for part, (allowed, _) in PARTS.items():
    assert set(allowed) <= set(order[: order.index(part)]), part


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_parts_import_only_what_they_may(path):
  part = part_of(path)
  allowed_parts, allowed_libraries = PARTS[part]
  for name in imports(path):
    top, *rest = name.split(".")
    if top == "hdnet_jax":
      assert (rest or ["__init__"])[0] in (part, *allowed_parts), name
    elif top not in sys.stdlib_module_names:
      assert top in allowed_libraries, name


def test_what_the_table_must_never_allow():
  assert "model" not in PARTS["data"][0]
  assert "data" not in PARTS["model"][0]
  assert not {"jax", "flax"} & set(PARTS["data"][1])


def test_orbax_is_imported_in_one_file():
  found = [
    str(path.relative_to(PACKAGE))
    for path in FILES
    if any(name.split(".")[0] == "orbax" for name in imports(path))
  ]
  assert found == ["training/checkpoint.py"]


# Each in the only files that may import it, and whether on use only.
OPTIONAL = {
  "tensorflow": ((), False),
  "torch": (("interop/torch.py",), True),
  "onnx": (("interop/",), False),
  "av": (("video/",), False),
  "gradio": (("demo/",), False),
  "pillow_heif": (("image_formats.py",), True),
}


@pytest.mark.parametrize("library", OPTIONAL)
def test_libraries_of_extras_are_imported_in_their_place_only(library):
  places, on_use = OPTIONAL[library]
  for path in FILES:
    if library in {name.split(".")[0] for name in imports(path)}:
      assert str(path.relative_to(PACKAGE)).startswith(places), path
      assert not (on_use and library in loaded(path)), path


def loaded(path: pathlib.Path) -> set[str]:
  """Top names that a file imports when it is imported itself."""
  found = set()
  for node in ast.parse(path.read_text(encoding="utf-8")).body:
    if isinstance(node, ast.Import):
      found |= {alias.name.split(".")[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      found.add(node.module.split(".")[0])
  return found


def test_libraries_of_the_config_load_on_use_only():
  # `flags_of` alone needs ml_collections.
  tree = ast.parse((PACKAGE / "config.py").read_text(encoding="utf-8"))
  for node in tree.body:
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [node.module]
    for name in names:
      top = name.split(".")[0]
      assert top in sys.stdlib_module_names or top == "hdnet_jax", name
