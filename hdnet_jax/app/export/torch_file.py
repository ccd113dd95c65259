"""Files of `torch.save`, read and written without PyTorch.

Such a file is a zip archive: `NAME/data.pkl` is a pickle of containers whose
tensors name their storage, and `NAME/data/KEY` holds a storage's bytes. The
unpickler calls only what is listed here, and runs no code of the file.
"""

import collections
import math
import pathlib
import pickle
import struct
import sys
import zipfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple

import numpy as np

from hdnet_jax.errors import UserError

_DTYPES = {
  "DoubleStorage": np.float64,
  "FloatStorage": np.float32,
  "HalfStorage": np.float16,
  "BFloat16Storage": np.uint16,  # NumPy has none: bits, widened below
  "LongStorage": np.int64,
  "IntStorage": np.int32,
  "ShortStorage": np.int16,
  "CharStorage": np.int8,
  "ByteStorage": np.uint8,
  "BoolStorage": np.bool_,
}


class _Storage(NamedTuple):
  values: np.ndarray  # 1-d
  name: str  # of _DTYPES


def read_file(path: pathlib.Path):
  """Return what `torch.save` wrote, with NumPy arrays for tensors.

  Tensors of bfloat16 become float32, which holds them exactly.

  Raises:
    pickle.UnpicklingError: if the file holds more than arrays and plain
      containers, or is damaged.
    UserError: if it is no such file.
  """
  try:
    with zipfile.ZipFile(path) as archive:
      (pickled,) = (
        name
        for name in archive.namelist()
        if name.endswith("/data.pkl") and name.count("/") == 1
      )
      with archive.open(pickled) as file:
        return _Unpickler(file, archive, pickled.split("/")[0]).load()
  except OSError:
    raise
  except zipfile.BadZipFile:
    raise UserError(
      "damaged, or no archive of torch.save, or of PyTorch before 1.6"
    ) from None
  except Exception as error:  # arbitrary bytes can raise any exception
    raise pickle.UnpicklingError(str(error)) from error


class _Unpickler(pickle.Unpickler):
  def __init__(self, file: IO[bytes], archive: zipfile.ZipFile, folder: str):
    super().__init__(file)
    self._archive = archive
    self._folder = folder
    self._storages: dict[str, _Storage] = {}
    order = f"{folder}/byteorder"
    self._order = (
      archive.read(order).decode().strip()
      if order in archive.namelist()
      else "little"
    )

  def find_class(self, module: str, name: str):
    allowed = {
      ("collections", "OrderedDict"): collections.OrderedDict,
      ("torch", "Size"): tuple,
      ("torch._utils", "_rebuild_tensor_v2"): _tensor,
      ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    }
    if module == "torch" and name in _DTYPES:
      return name
    if (module, name) not in allowed:
      raise pickle.UnpicklingError(f"{module}.{name} is no array")
    return allowed[module, name]

  def persistent_load(self, pid: Any) -> _Storage:
    kind, name, key, _, count = pid
    if kind != "storage":
      raise pickle.UnpicklingError(f"{kind} is no storage")
    if key not in self._storages:
      dtype = np.dtype(_DTYPES[name])
      data = self._archive.read(f"{self._folder}/data/{key}")
      values = np.frombuffer(data, dtype)
      if values.size != count:
        raise pickle.UnpicklingError(f"{values.size} values, not {count}")
      if self._order != sys.byteorder:
        values = values.byteswap()
      self._storages[key] = _Storage(values, name)
    return self._storages[key]


def _tensor(
  storage: _Storage, offset: int, shape: tuple, strides: tuple, *_
) -> np.ndarray:
  """Copy a tensor, a strided view of its storage."""
  values = storage.values
  steps = zip(shape, strides, strict=True)
  last = offset + sum((size - 1) * step for size, step in steps)
  numbers = (offset, *shape, *strides)
  if min(numbers) < 0 or (math.prod(shape) and last >= values.size):
    raise pickle.UnpicklingError("a tensor outside of its storage")
  view = np.lib.stride_tricks.as_strided(
    values[offset:], shape, [step * values.itemsize for step in strides]
  )
  if storage.name == "BFloat16Storage":
    return (view.astype(np.uint32) << 16).view(np.float32)
  return view.copy()


def write_file(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Write a file from which `torch.load` gets a dict of float32 tensors."""
  arrays = {
    name: np.ascontiguousarray(array, "<f4") for name, array in arrays.items()
  }
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", _pickled(arrays))
    archive.writestr("archive/byteorder", "little")
    for key, array in enumerate(arrays.values()):
      archive.writestr(f"archive/data/{key}", array.tobytes())
    archive.writestr("archive/version", "3\n")


def _pickled(arrays: Mapping[str, np.ndarray]) -> bytes:
  """Pickle by opcodes: `pickle` would import torch for its names."""
  rebuild = _global("torch._utils", "_rebuild_tensor_v2")
  storage = _text("storage") + _global("torch", "FloatStorage")
  no_hooks = (
    _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
  )
  entries = []
  for key, (name, array) in enumerate(arrays.items()):
    pid = storage + _text(str(key)) + _text("cpu") + _integer(array.size)
    arguments = (
      *(_tuple(pid), pickle.BINPERSID, _integer(0)),
      _tuple(b"".join(map(_integer, array.shape))),
      _tuple(b"".join(map(_integer, _strides(array.shape)))),
      *(pickle.NEWFALSE, no_hooks),
    )
    rebuilt = rebuild + _tuple(b"".join(arguments)) + pickle.REDUCE
    entries += [_text(name), rebuilt]
  items = pickle.MARK + b"".join(entries) + pickle.SETITEMS
  return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + items + pickle.STOP


def _text(text: str) -> bytes:
  data = text.encode()
  return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
  return pickle.BININT + struct.pack("<i", value)


def _global(module: str, name: str) -> bytes:
  return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(items: bytes) -> bytes:
  return pickle.MARK + items + pickle.TUPLE


def _strides(shape: Sequence[int]) -> list[int]:
  return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
