"""The exception that a user's mistake raises, and hints for its message.

Commands print its message as one line and exit with status 1 or 2. Any other
exception is a bug of this package and keeps its traceback.
"""

import contextlib
import difflib
import importlib.util
from collections.abc import Generator


class UserError(ValueError):
  """Says what is wrong and what to do about it."""


# The extra of this package that installs a library.
_EXTRAS = {
  "av": "video",
  "gradio": "demo",
  "starlette": "demo",
  "onnx": "onnx",
  "pillow_heif": "heic",
} | dict.fromkeys(
  (
    *("absl", "clu", "flax", "grain", "jax", "jaxlib", "jaxtyping"),
    *("matplotlib", "ml_collections", "optax", "orbax", "scipy", "skimage"),
    *("importlib_resources", "tensorflow_datasets"),
  ),
  "train",
)
_NAMES = {"av": "PyAV", "gradio": "Gradio", "jax": "JAX"}


class MissingLibrary(UserError, ImportError):
  """Says which library is not installed, and what installs it.

  Args:
    library: as it is imported.
    purpose: what needs it.
  """

  def __init__(self, library: str, purpose: str = "this"):
    extra = _EXTRAS.get(library)
    package = f".[{extra}]" if extra else "."
    name = _NAMES.get(library, library)
    super().__init__(
      f'{purpose} needs {name}, which is not installed; pip install "{package}"'
    )


def require(library: str, purpose: str = "this") -> None:
  """Raise MissingLibrary where a library is not installed; import nothing."""
  if importlib.util.find_spec(library) is None:
    raise MissingLibrary(library, purpose)


@contextlib.contextmanager
def missing_libraries_told(purpose: str = "this") -> Generator[None]:
  """Raise MissingLibrary where an import finds no library of an extra."""
  try:
    yield
  except ModuleNotFoundError as error:
    library = (error.name or "").partition(".")[0]
    if library not in _EXTRAS:
      raise
    raise MissingLibrary(library, purpose) from error


def nearest_name(name: str, valid: list[str]) -> str:
  """A hint for an error message: the valid name most like `name`."""
  close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
  if close:
    return f"did you mean {close[0]!r}?"
  return "valid names: " + ", ".join(sorted(valid))
