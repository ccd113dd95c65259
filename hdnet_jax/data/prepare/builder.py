"""The TFDS builder of iHarmony4, for `tfds.builder("iharmony4/256")` and ours.

Importing this module registers it. It is built and read without TensorFlow:

  if __name__ == "__main__":  # it starts processes
    builder = tfds.builder("iharmony4/256", data_dir=OUTPUT)
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=ROOT))
    source = builder.as_data_source(split="HCOCO_train+HFlickr_train")

`hdnet prepare iharmony4` does the same, with its options.
"""

import contextlib
import io
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from hdnet_jax.data.prepare import iharmony4
from hdnet_jax.data.prepare.checks import Fault
from hdnet_jax.data.prepared import NAME, VERSION, write_names
from hdnet_jax.lock import locked
from hdnet_jax.terminal import ProgressBar


class Iharmony4(tfds.core.GeneratorBasedBuilder):
  """iHarmony4, a split for each subset: HCOCO_train, HAdobe5k_test, ..."""

  VERSION = tfds.core.Version(VERSION)
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
    """`prepared` is what to write; without, the manual folder is prepared."""
    self._prepared = prepared
    self._names: dict[str, list[str]] = {}  # by split, as they are written
    self.on_example: Callable[[], object] = lambda: None
    super().__init__(file_format=file_format, **arguments)

  def download_and_prepare(self, **arguments: Any) -> None:
    super().download_and_prepare(**arguments)
    for split, names in self._names.items():
      write_names(pathlib.Path(self.data_path), split, names)
    # The chunks are in the data set now.
    work = self._work_dir()
    if work.exists():
      shutil.rmtree(work)

  def _work_dir(self) -> pathlib.Path:
    return work_dir(pathlib.Path(self._data_dir_root), self.builder_config.name)

  def _info(self) -> tfds.core.DatasetInfo:
    image = {"shape": (None, None, 3)}
    return self.dataset_info_from_configs(
      description="Composites, masks and real photos of iHarmony4.",
      features=tfds.features.FeaturesDict(
        {
          # WebP, without loss; the masks are PNG, 0 or 255.
          "composite": tfds.features.Image(**image),
          "mask": tfds.features.Image(shape=(None, None, 1)),
          "real": tfds.features.Image(**image),
          "name": tfds.features.Text(),
          "subset": tfds.features.Text(),
        }
      ),
      homepage="https://github.com/bcmi/Image-Harmonization-Dataset-iHarmony4",
      disable_shuffling=True,  # the order is the lists'
    )

  def _split_generators(self, dl_manager) -> dict[str, Iterator]:
    prepared = self._prepared
    if prepared is None:
      size = self.builder_config.name
      root = pathlib.Path(dl_manager.manual_dir)
      prepared = iharmony4.prepare(
        root, self._work_dir(), size, iharmony4.Options()
      )
    return {
      split: self._generate_examples(split, chunks)
      for split, chunks in prepared.chunks.items()
    }

  def _generate_examples(
    self, split: str, chunks: list[iharmony4.Chunk]
  ) -> Iterator:
    key, names = 0, self._names.setdefault(split, [])
    for chunk in chunks:
      for triplet, encoded in iharmony4.read_chunk(chunk):
        self.on_example()
        example = {part: io.BytesIO(data) for part, data in encoded.items()}
        names.append(triplet.name)
        yield key, {**example, "name": triplet.name, "subset": triplet.subset}
        key += 1


def work_dir(output: pathlib.Path, size: str) -> pathlib.Path:
  """The folder of chunks, which an interrupted preparation leaves."""
  return output / f".iharmony4_{size}_work"


def build(
  root: pathlib.Path,
  output: pathlib.Path,
  size: str,
  options: iharmony4.Options,
) -> tuple[Iharmony4, list[Fault]]:
  """Prepares the data set at `root` into `output/iharmony4/SIZE`.

  Returns:
    The builder, which can be read from, and what was left out.

  Raises:
    UserError: where there is no data set, where another process prepares it,
      or, if strict, for any fault.
  """
  work = work_dir(output, size)
  iharmony4.make_folder(work)
  with locked(work):  # another one would remove what this one writes
    return _build(root, output, work, size, options)


def _build(
  root: pathlib.Path,
  output: pathlib.Path,
  work: pathlib.Path,
  size: str,
  options: iharmony4.Options,
) -> tuple[Iharmony4, list[Fault]]:
  prepared = iharmony4.prepare(root, work, size, options)
  for left in (output / NAME / size).glob("incomplete.*"):
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
