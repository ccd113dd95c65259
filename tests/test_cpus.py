import subprocess
import sys

import pytest

# Three turns of 200 MB: the page faults of the last, in pages of 4 KB.
PROGRAM = """
import resource, sys
import numpy as np
from hdnet_jax.cpus import keep_freed_memory
if sys.argv[1] == "keep":
  assert keep_freed_memory()
for _ in range(3):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  np.ones(25_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
  sys.platform != "linux", reason="Linux counts page faults, and has glibc"
)
def test_what_is_freed_is_not_cleared_again():
  faults = {}
  for words in ("keep", "release"):
    done = subprocess.run(
      [sys.executable, "-c", PROGRAM, words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    faults[words] = int(done.stdout)
  assert faults["keep"] < 100
  assert faults["release"] > 50 * faults["keep"]
