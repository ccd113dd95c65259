"""What XLA is told besides the program."""

import functools

import jax

# XLA's CPU convolutions of the YNN library use one thread. Without them there
# are Eigen's, which use all.
_CPU = {
  "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}


@functools.cache
def options(platform: str) -> dict[str, str]:
  """`compiler_options` of `jax.jit` for devices of a platform, such as "cpu".

  Of the devices, for a CPU may be at work where there is a GPU.
  """
  if platform != "cpu":
    return {}
  try:
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
      jax.jit(lambda x: x, compiler_options=_CPU).lower(0).compile()
  except jax.errors.JaxRuntimeError:
    return {}  # another jaxlib, which does not know the option
  return _CPU
