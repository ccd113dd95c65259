"""The TFDS builder of prepared triplets."""

import os
import pathlib
import subprocess
import sys

from hdnet_jax.data.prepare.builder import shards
from hdnet_jax.data.prepare.iharmony4 import Chunk

from . import conftest


def test_what_a_killed_writer_left_is_removed(published):
  left = published / "iharmony4/native/incomplete.ABC123_1.0.0"
  left.mkdir(parents=True)
  conftest.prepare_set(published, "--image-size", "native")
  assert [path.name for path in left.parent.iterdir()] == ["1.0.0"]


PROGRAM = """
import sys
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle
import hdnet_jax.data.prepare.builder

# What is more than this, TFDS would sort on disk, with TensorFlow.
shuffle.MAX_MEM_BUFFER_SIZE = 0

if __name__ == "__main__":
  root = sys.argv[1]
  builder = tfds.builder("iharmony4/native", data_dir=root)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=root))
  source = tfds.data_source(
    "iharmony4/native", data_dir=root, split="HCOCO_train+HFlickr_test")
  example = source[0]
  print(len(source), example["composite"].shape, example["mask"].shape,
        example["name"].decode(), "tensorflow" in sys.modules)
"""


def test_tfds_builds_and_reads_it_without_tensorflow(published, tmp_path):
  program = tmp_path / "build.py"
  program.write_text(PROGRAM)
  result = subprocess.run(
    [sys.executable, str(program), str(published)],
    env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  last = result.stdout.splitlines()[-1]
  assert last == "10 (28, 36, 3) (28, 36, 1) p0_1_0 False"
  assert not list(published.glob(".iharmony4*"))
  assert list(published.glob("iharmony4/native/1.0.0/*.array_record*"))


def test_shards_are_of_whole_chunks_in_order(tmp_path):
  chunks = []
  for number, size in enumerate((3, 5, 1, 9, 2, 2)):
    path = tmp_path / f"{number}.zip"
    path.write_bytes(bytes(size))
    chunks.append(Chunk((), path))
  numbers = [[chunks.index(c) for c in part] for part in shards(chunks, 8)]
  assert numbers == [[0, 1], [2, 3], [4, 5]]
  assert shards(chunks) == [chunks]
  assert shards([]) == []
