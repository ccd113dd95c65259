"""ONNX graphs written node by node, with Python's arithmetic."""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Literal

import numpy as np

from hdnet_jax.onnx import protobuf
from hdnet_jax.onnx.protobuf import Attribute, Dimension, DType

# 17 is old enough for every ONNX Runtime of the last years, Web and mobile
# included; the file's format (IR) is the one of its time.
OPSET = 17
_IR_VERSION = 8
_PACKED = 1024  # arrays of fewer values are stored as float32

Storage = Literal["float32", "float16", "int8"]


def _operator(kind: str, reflected: bool = False) -> Callable:
  def operate(tensor: "Tensor", other: "Value") -> "Tensor":
    inputs = (other, tensor) if reflected else (tensor, other)
    return tensor.graph.add(kind, *inputs)

  return operate


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A named value of a graph; `x + y` and so on add a node."""

  graph: "Graph"
  name: str

  __add__ = _operator("Add")
  __sub__ = _operator("Sub")
  __rsub__ = _operator("Sub", reflected=True)
  __mul__ = _operator("Mul")
  __truediv__ = _operator("Div")
  __rtruediv__ = _operator("Div", reflected=True)
  __matmul__ = _operator("MatMul")


# Numbers become float32 constants, lists int64 ones.
Value = Tensor | np.ndarray | np.generic | float | list[int]


class Graph:
  """Nodes in the order that they are added, and the constants they use.

  Args:
    storage: dtype of large parameters in the file. ONNX Runtime converts
      float16 and int8 (with a scale for each output channel) to float32 when it
      loads the file, which is smaller, and neither faster nor slower to run.
  """

  def __init__(self, storage: Storage = "float32"):
    self._storage = storage
    self._nodes: list[bytes] = []
    self._count = 0  # of all nodes, those of loops included
    self._constants: dict[str, bytes] = {}
    self._inputs: list[bytes] = []
    self._outputs: list[bytes] = []
    self._scope = ""

  @contextlib.contextmanager
  def scope(self, name: str) -> Generator[None]:
    """Prefix the names of nodes and parameters added inside by `name`."""
    before = self._scope
    self._scope = f"{before}{name}/"
    yield
    self._scope = before

  def input(
    self, name: str, dtype: DType, shape: Sequence[Dimension], doc: str
  ) -> Tensor:
    self._inputs.append(protobuf.value(name, dtype, shape, doc))
    return Tensor(self, name)

  def output(
    self,
    value: Tensor,
    name: str,
    dtype: DType,
    shape: Sequence[Dimension],
    doc: str,
  ):
    self._nodes.append(
      protobuf.node("Identity", [value.name], [name], name, {})
    )
    self._outputs.append(protobuf.value(name, dtype, shape, doc))

  def add(
    self, kind: str, *inputs: Value | None, **attributes: Attribute
  ) -> Tensor:
    """Add a node and return its first output; a None input is left out."""
    return self.add_many(kind, 1, *inputs, **attributes)[0]

  def add_many(
    self,
    kind: str,
    outputs: int,
    *inputs: Value | None,
    **attributes: Attribute,
  ) -> list[Tensor]:
    name = f"{self._scope}{kind}_{self._count}"
    self._count += 1
    results = [name, *(f"{name}_{i}" for i in range(1, outputs))]
    names = ["" if x is None else self._as_tensor(x).name for x in inputs]
    self._nodes.append(protobuf.node(kind, names, results, name, attributes))
    return [Tensor(self, result) for result in results]

  def scan(
    self,
    body: Callable[..., Tensor],
    *inputs: Tensor,
    dtypes: Sequence[type],
    output: type,
  ) -> Tensor:
    """Add a loop over the first axis of `inputs`, and stack the results.

    `body` takes a slice of each input, of `dtypes`, and returns a result of the
    dtype `output`, whose shape is the same for all slices. It may use tensors
    from outside; results of nodes inside it cannot be used outside.
    """
    name = f"{self._scope}Scan_{self._count}"
    before, self._nodes = self._nodes, []
    names = [f"{name}_slice_{i}" for i in range(len(inputs))]
    result = body(*(Tensor(self, slice) for slice in names))
    slices = map(protobuf.value, names, dtypes)
    outputs = [protobuf.value(result.name, output)]
    graph = protobuf.graph(self._nodes, name, slices, outputs)
    self._nodes = before
    return self.add("Scan", *inputs, body=graph, num_scan_inputs=len(inputs))

  def cast(self, value: Value, dtype: type) -> Tensor:
    return self.add("Cast", value, to=protobuf.data_type(dtype))

  def parameter(self, name: str, array: np.ndarray, axis: int = 0) -> Tensor:
    """Add a learned array, whose output channels lie along `axis`."""
    name = f"{self._scope}{name}"
    array = np.ascontiguousarray(array, np.float32)
    if array.size < _PACKED or self._storage == "float32":
      return self._constant(name, array)
    if self._storage == "float16":
      return self.cast(
        self._constant(name, array.astype(np.float16)), np.float32
      )
    others = tuple(i for i in range(array.ndim) if i != axis)
    scale = np.abs(array).max(axis=others, keepdims=True) / np.float32(127)
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    steps = np.rint(array / scale).astype(np.int8)
    stored = self.cast(self._constant(name, steps), np.float32)
    return stored * self._constant(f"{name}_scale", scale)

  def model(self, name: str, metadata: dict[str, str]) -> bytes:
    """Return the bytes of an ONNX file of all that was added."""
    graph = protobuf.graph(
      self._nodes,
      name,
      self._inputs,
      self._outputs,
      self._constants.values(),
    )
    return protobuf.model(graph, _IR_VERSION, OPSET, "hdnet_jax", metadata)

  def _as_tensor(self, value: Value) -> Tensor:
    if isinstance(value, Tensor):
      return value
    dtype = np.int64 if isinstance(value, list) else np.float32
    array = np.asarray(value, getattr(value, "dtype", dtype))
    words = "_".join(map(str, array.ravel().tolist()))
    return self._constant(f"{array.dtype}_{words}", array)

  def _constant(self, name: str, array: np.ndarray) -> Tensor:
    if name not in self._constants:
      self._constants[name] = protobuf.tensor(name, array)
    return Tensor(self, name)
