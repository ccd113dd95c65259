"""The network in ONNX Runtime, on the CPU: starts in a fraction of a second."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.cpus import count_cpus
from hdnet_jax.errors import UserError
from hdnet_jax.onnx import network

_SAY_ERRORS = 3  # of ONNX Runtime's levels


class OnnxRuntimeEngine:
  """An `Engine` of an ONNX file, such as `hdnet export` writes.

  Args:
    file: the file's bytes.
    name: of the file, for messages.

  Attributes:
    image_size: side of the square images that the network was trained on.
    only_size: height and width of the images that the file takes; None for any.

  Raises:
    UserError: where it is no ONNX file of this network.
  """

  def __init__(self, file: bytes, name: str = "the graph"):
    self._file, self._name = file, name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SAY_ERRORS
    options.intra_op_num_threads = count_cpus()
    # Memory patterns would be held beside the memory in use: twice as much.
    options.enable_mem_pattern = False
    try:
      self._session = onnxruntime.InferenceSession(
        file, options, providers=["CPUExecutionProvider"]
      )
    except Exception as error:  # ONNX Runtime's own have no common class
      words = " ".join(str(error).split())
      raise UserError(
        f"{name} cannot be read as an ONNX file ({words}); export it again"
      ) from None
    inputs = {value.name: value for value in self._session.get_inputs()}
    facts = self._session.get_modelmeta().custom_metadata_map
    if set(inputs) != {"composite", "mask"} or "hdnet_jax" not in facts:
      raise UserError(
        f"{name} is an ONNX file, but it is not of hdnet_jax; write one with "
        "hdnet export"
      )
    self._is_uint8 = inputs["composite"].type == "tensor(uint8)"
    sides = inputs["composite"].shape[1:3]
    is_fixed = all(isinstance(side, int) for side in sides)
    self.only_size = tuple(sides) if is_fixed else None
    try:
      provenance = json.loads(facts.get("provenance", "{}"))
      self.image_size = int(provenance.get("image_size", weights.IMAGE_SIZE))
    except (ValueError, AttributeError):
      raise UserError(
        f"{name} is damaged in its provenance; export it again"
      ) from None

  @classmethod
  def build(
    cls, params: Mapping[str, Any], model: ModelConfig
  ) -> "OnnxRuntimeEngine":
    """Make the engine of a network, for images of any size."""
    facts = {"hdnet_jax": "built in memory"}
    return cls(network.build(params, model, metadata=facts))

  @classmethod
  def load(cls, path: pathlib.Path) -> "OnnxRuntimeEngine":
    """Make the engine of a file."""
    if not path.is_file():
      raise UserError(f"{path} is no file; write one with hdnet export")
    return cls(path.read_bytes(), str(path))

  def __reduce__(self):
    return type(self), (self._file, self._name)

  def __call__(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the images, as `Engine` says."""
    if self._is_uint8:
      images = np.rint((images + 1) * 127.5).astype(np.uint8)
      masks = (masks * 255).astype(np.uint8)
    inputs = {"composite": images, "mask": masks}
    (result,) = self._session.run(["harmonized"], inputs)
    output = np.asarray(result)
    return output / np.float32(127.5) - 1 if self._is_uint8 else output
