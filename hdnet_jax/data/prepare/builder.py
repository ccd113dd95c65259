"""The TFDS builder of iHarmony4, which `hdnet prepare iharmony4` runs.

Importing this module registers it. It is built and read without TensorFlow:

  if __name__ == "__main__":  # it starts processes
    builder = tfds.builder("iharmony4/256", data_dir=OUTPUT)
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=ROOT))
    source = builder.as_data_source(split="HCOCO_train+HFlickr_train")
"""

import contextlib
import functools
import io
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from hdnet_jax.data import iharmony4 as published
from hdnet_jax.data.prepare import iharmony4
from hdnet_jax.data.prepare.checks import Fault, Options
from hdnet_jax.lock import locked
from hdnet_jax.terminal import ProgressBar

SHARD = 2**28  # bytes of chunks, at least, but for the last shard of a split


# TFDS's `GeneratorBasedBuilder` sorts a split, for which it holds a gigabyte in
# memory, and needs TensorFlow for what is larger. Here shards are written one
# by one, in the order of the lists, and one of them is in memory.
class Iharmony4(tfds.core.ShardBasedBuilder):
  """iHarmony4, a split for each subset: HCOCO_train, HAdobe5k_test, ..."""

  VERSION = tfds.core.Version(published.VERSION)
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(
      name=size,
      description="at its own sizes"
      if size == iharmony4.NATIVE
      else f"resized to {size}x{size}",
    )
    for size in iharmony4.SIZES
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    "Download iHarmony4 and unpack HCOCO, HAdobe5k, HFlickr, Hday2night, "
    "IHD_train.txt and IHD_test.txt into the manual folder."
  )

  def __init__(
    self,
    *,
    prepared: iharmony4.Prepared | None = None,
    file_format: str | tfds.core.FileFormat = "array_record",
    **arguments: Any,
  ):
    """Build from `prepared`, or from the manual folder if that is None."""
    self._prepared = prepared
    self._names: dict[str, list[str]] = {}  # by split, as they are written
    self.on_example: Callable[[], object] = lambda: None
    super().__init__(file_format=file_format, **arguments)

  def download_and_prepare(self, **arguments: Any) -> None:
    super().download_and_prepare(**arguments)
    for split, names in self._names.items():
      published.write_names(pathlib.Path(self.data_path), split, names)
    # The chunks are no longer needed: the data set holds the same.
    shutil.rmtree(self._work_dir(), ignore_errors=True)

  def _work_dir(self) -> pathlib.Path:
    return work_dir(pathlib.Path(self._data_dir_root), self._size())

  def _size(self) -> str:
    config = self.builder_config
    if config is None:
      raise ValueError("the builder has no config")
    return config.name

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description="Composites, masks and real photos of iHarmony4.",
      features=tfds.features.FeaturesDict(
        {
          # WebP, without loss; the masks are PNG, 0 or 255.
          "composite": tfds.features.Image(shape=(None, None, 3)),
          "mask": tfds.features.Image(shape=(None, None, 1)),
          "real": tfds.features.Image(shape=(None, None, 3)),
          "name": tfds.features.Text(),
          "subset": tfds.features.Text(),
        }
      ),
      homepage="https://github.com/bcmi/Image-Harmonization-Dataset-iHarmony4",
      disable_shuffling=True,  # keep the lists' order
    )

  def _shard_iterators_per_split(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Sequence[Callable[[], Iterator]]]:
    prepared = self._prepared or iharmony4.prepare(
      pathlib.Path(dl_manager.manual_dir),
      self._work_dir(),
      self._size(),
      Options(),
    )
    return {
      split: [
        functools.partial(self._examples, split, shard)
        for shard in shards(chunks)
      ]
      for split, chunks in prepared.chunks.items()
    }

  def _examples(self, split: str, chunks: list[iharmony4.Chunk]) -> Iterator:
    names = self._names.setdefault(split, [])
    for chunk in chunks:
      for triplet, encoded in iharmony4.read_chunk(chunk):
        self.on_example()
        example = {part: io.BytesIO(data) for part, data in encoded.items()}
        example |= {"name": triplet.name, "subset": triplet.subset}
        yield len(names), example
        names.append(triplet.name)


def shards(
  chunks: Sequence[iharmony4.Chunk], size: int = SHARD
) -> list[list[iharmony4.Chunk]]:
  """Divide chunks into shards of `size` bytes or a chunk more, in order."""
  parts: list[list[iharmony4.Chunk]] = []
  room = 0
  for chunk in chunks:
    if room <= 0:
      parts.append([])
      room = size
    parts[-1].append(chunk)
    room -= chunk.path.stat().st_size
  return parts


def work_dir(output: pathlib.Path, size: str) -> pathlib.Path:
  """Return the folder of chunks, which an interrupted preparation leaves."""
  return output / f".iharmony4_{size}_work"


def build(
  root: pathlib.Path, output: pathlib.Path, size: str, options: Options
) -> tuple[Iharmony4, list[Fault]]:
  """Prepare the data set at `root` in `output/iharmony4/SIZE`.

  Returns:
    The builder, which can be read from, and what was left out.

  Raises:
    UserError: if there is no data set, if another process prepares it, or, if
      strict, for any fault.
  """
  work = work_dir(output, size)
  iharmony4.make_folder(work)
  with locked(work):  # another process would remove what this one writes
    prepared = iharmony4.prepare(root, work, size, options)
    for left in (output / published.NAME / size).glob("incomplete.*"):
      shutil.rmtree(left)  # by a preparation that was killed as it wrote
    builder = Iharmony4(prepared=prepared, config=size, data_dir=output)
    tfds.disable_progress_bar()
    # TFDS says on standard output that it downloads, which it does not.
    with (
      ProgressBar("writing", prepared.count) as bar,
      contextlib.redirect_stdout(io.StringIO()),
    ):
      builder.on_example = bar.advance
      builder.download_and_prepare(download_dir=work / "downloads")
  return builder, prepared.faults


def check_complete(
  folder: pathlib.Path, root: pathlib.Path, subsets: Sequence[str]
) -> None:
  """Check that the data set prepared in `folder` has what `root` lists.

  Raises:
    UserError: if a listed split of one of `subsets` is missing.
  """
  prepared = set(tfds.builder_from_directory(folder).info.splits)
  for split in published.SPLITS:
    lists = published.find_lists(root, split)
    triplets = [x for path in lists for x in published.read_list(path)[0]]
    listed = {triplet.subset for triplet in triplets} & set(subsets)
    if listed:
      published.split_names(folder, prepared, split, tuple(listed))
