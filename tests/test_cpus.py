import os
import subprocess
import sys

import pytest

# Turns of some 160 MB, in threads of JAX: the median of their page faults, of
# 4 KB each, when the heap has found its size.
PROGRAM = """
import resource, sys
import jax, jax.numpy as jnp
from hdnet_jax.cpus import keep_freed_memory
if sys.argv[1] == "keep":
  assert keep_freed_memory()
reverse = jax.jit(lambda x: jnp.cumsum(x[::-1]) @ jnp.flip(x + 1))
x = jnp.ones(10_000_000)
counts = []
for _ in range(20):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  jax.block_until_ready(reverse(x))
  counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(counts[9:])[5])
"""


@pytest.mark.skipif(
  sys.platform != "linux", reason="Linux counts page faults, and has glibc"
)
def test_what_is_freed_is_not_cleared_again():
  faults = {}
  for words in ("keep", "release"):
    done = subprocess.run(
      [sys.executable, "-c", PROGRAM, words],
      capture_output=True,
      text=True,
      env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
    )
    assert done.returncode == 0, done.stderr
    faults[words] = int(done.stdout)
  assert faults["keep"] < 100
  assert faults["release"] > 10_000
