"""What XLA is told besides the program."""

import functools

import jax

# XLA's CPU convolutions of the YNN library use one thread. Without them there
# are Eigen's, which use all.
_CPU = {
  "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}


@functools.cache
def options() -> dict[str, str]:
  """`compiler_options` of `jax.jit` for the backend that programs run on."""
  if jax.default_backend() != "cpu":
    return {}
  try:
    jax.jit(lambda x: x, compiler_options=_CPU).lower(0).compile()
  except jax.errors.JaxRuntimeError:
    return {}  # another jaxlib, which does not know the option
  return _CPU
