"""ONNX's protocol buffers as bytes, as far as a graph needs them.

An ONNX file is one protocol buffer: fields, each a number and a value; a value
may be a message itself. The numbers are those of the standard's `onnx.proto`.
"""

import struct
from collections.abc import Iterable, Mapping

import numpy as np

_DATA_TYPES = {
  name: number
  for number, name in enumerate(
    ("float32", "uint8", "int8", "uint16", "int16", "int32", "int64"), 1
  )
} | {"bool": 9, "float16": 10}
# Of attributes: the field of the value, and the number of its type.
_FLOAT, _INT, _STRING, _GRAPH, _INTS = (2, 1), (3, 2), (4, 3), (6, 5), (8, 7)

Dimension = int | str  # a size, or the name of one that is not known
DType = type | str | np.dtype
Scalar = float | int | np.integer | str | bytes  # bytes are a message
Attribute = Scalar | list[int] | tuple[int, ...]


def data_type(dtype: DType) -> int:
  """Return ONNX's number of a NumPy type."""
  return _DATA_TYPES[np.dtype(dtype).name]


def node(
  kind: str,
  inputs: Iterable[str],
  outputs: Iterable[str],
  name: str,
  attributes: Mapping[str, Attribute],
) -> bytes:
  """Write a NodeProto; an attribute of bytes is a graph."""
  return _message(
    *((1, x) for x in inputs),
    *((2, x) for x in outputs),
    (3, name),
    (4, kind),
    *((5, _attribute(*item)) for item in sorted(attributes.items())),
  )


def tensor(name: str, array: np.ndarray) -> bytes:
  """Write a TensorProto."""
  little = array.astype(array.dtype.newbyteorder("<"), copy=False)
  return _message(
    *((1, side) for side in array.shape),
    (2, data_type(array.dtype)),
    (8, name),
    (9, little.tobytes()),
  )


def value(
  name: str,
  dtype: DType,
  shape: Iterable[Dimension] | None = None,
  doc: str = "",
) -> bytes:
  """Write a ValueInfoProto; without `shape`, it may have any shape."""
  fields: list[tuple[int, Scalar]] = [(1, data_type(dtype))]
  if shape is not None:
    sides = (
      _message((2 if isinstance(side, str) else 1, side)) for side in shape
    )
    fields.append((2, _message(*((1, side) for side in sides))))
  return _message((1, name), (2, _message((1, _message(*fields)))), (3, doc))


def graph(
  nodes: Iterable[bytes],
  name: str,
  inputs: Iterable[bytes],
  outputs: Iterable[bytes],
  tensors: Iterable[bytes] = (),
) -> bytes:
  """Write a GraphProto."""
  return _message(
    *((1, x) for x in nodes),
    (2, name),
    *((5, x) for x in tensors),
    *((11, x) for x in inputs),
    *((12, x) for x in outputs),
  )


def model(
  graph: bytes, version: int, opset: int, producer: str, metadata: Mapping
) -> bytes:
  """Write a ModelProto, which is a file; `version` is that of the format."""
  return _message(
    (1, version),
    (2, producer),
    (7, graph),
    (8, _message((1, ""), (2, opset))),
    *((14, _message((1, key), (2, metadata[key]))) for key in sorted(metadata)),
  )


def _attribute(name: str, content: Attribute) -> bytes:
  values: list[tuple[int, Scalar]]
  if isinstance(content, (list, tuple)):
    field, kind = _INTS
    values = [(field, int(x)) for x in content]
  else:
    if isinstance(content, (int, np.integer)):
      field, kind = _INT
    elif isinstance(content, float):
      field, kind = _FLOAT
    else:
      field, kind = _STRING if isinstance(content, str) else _GRAPH
    values = [(field, content)]
  return _message((1, name), *values, (20, kind))


def _message(*fields: tuple[int, Scalar]) -> bytes:
  """Write fields: their number and kind, and what that kind needs."""
  parts: list[bytes] = []
  for number, content in fields:
    if isinstance(content, float):
      parts += [_varint(number << 3 | 5), struct.pack("<f", content)]
    elif isinstance(content, (str, bytes)):
      data = content.encode() if isinstance(content, str) else content
      parts += [_varint(number << 3 | 2), _varint(len(data)), data]
    else:
      parts += [_varint(number << 3), _varint(int(content))]
  return b"".join(parts)


def _varint(number: int) -> bytes:
  """Write an integer in groups of 7 bits, the lowest first."""
  number &= 2**64 - 1  # a negative one as its complement
  groups = bytearray()
  while number > 127:
    groups.append(number & 127 | 128)
    number >>= 7
  groups.append(number)
  return bytes(groups)
