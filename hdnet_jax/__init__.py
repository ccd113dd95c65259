"""HDNet, hierarchical dynamic image harmonization, in JAX and Flax.

Public names are imported on first use, so that `import hdnet_jax` is cheap.
"""

import importlib

__version__ = "0.2.0"

_PUBLIC = {
  "Config": "hdnet_jax.config",
  "HDNet": "hdnet_jax.model.hdnet",
  "Harmonizer": "hdnet_jax.inference.harmonizer",
  "ModelConfig": "hdnet_jax.config",
  "blend": "hdnet_jax.model.hdnet",
  "train_and_evaluate": "hdnet_jax.training.loop",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str):
  if name not in _PUBLIC:
    raise AttributeError(f"module 'hdnet_jax' has no attribute {name!r}")
  from hdnet_jax.errors import missing_libraries_told

  with missing_libraries_told(f"hdnet_jax.{name}"):
    module = importlib.import_module(_PUBLIC[name])
  return getattr(module, name)


def __dir__():
  return sorted([*globals(), *__all__])
