"""The pods that `tpu_compile.py` compiles for; the standard library only."""

from typing import Any, NamedTuple

GIB = 2**30


class Pod(NamedTuple):
  """Chips that are connected; `arguments` are libtpu's names for them."""

  topology: str
  memory: float  # bytes of a device that programs may use
  arguments: dict[str, Any] = {}  # noqa: RUF012 - read only


# The memory is what the compiler itself names where a program needs more. To
# libtpu a v5e's host has four chips, Cloud has hosts of eight, too; and a v4's
# chip is two devices, of which JAX makes one.
PODS = {
  "v5e-4": Pod("v5e:2x2", 15.75 * GIB),
  "v5e-8": Pod("v5e:2x4", 15.75 * GIB, {"chips_per_host_bounds": (2, 4, 1)}),
  "v5e-16": Pod("v5e:4x4", 15.75 * GIB),
  "v4-8": Pod("v4:2x2x1", 30.75 * GIB, {"chip_config_name": "megacore"}),
  "v4-32": Pod("v4:2x2x4", 30.75 * GIB, {"chip_config_name": "megacore"}),
}
