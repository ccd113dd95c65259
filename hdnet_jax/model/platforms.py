"""Which form of a computation runs: chosen when a program is lowered.

Not when it is traced, for a program may be for another platform than the one
that traces it: an export on a CPU for TPUs, or a CPU's part beside a GPU.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax

T = TypeVar("T")


def by_platform(
  cpu: Callable[..., T], default: Callable[..., T], *arguments: Any
) -> T:
  """`cpu(*arguments)` in a CPU's program, `default(*arguments)` in others.

  Both are traced, and one is compiled. Their outputs are of equal shapes and
  types. Give gradients a rule of their own: that of a choice keeps the
  intermediate values of both.
  """
  return jax.lax.platform_dependent(*arguments, cpu=cpu, default=default)
