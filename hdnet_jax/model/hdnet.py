"""HDNet: a U-Net with LD at its neck and MGD in its last stages.

Images are [B, H, W, 3] in [-1, 1], masks [B, H, W, 1] with 1 = foreground;
height and width are multiples of 8.
"""

from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.model.architecture import (
  DECODER,
  ENCODER,
  REDUCTION,
  UNNORMALIZED,
  WITH_MGD,
  Size,
  Stage,
)
from hdnet_jax.model.conv import Conv3x3, DownConv4x4, UpConv4x4
from hdnet_jax.model.global_dynamics import GlobalDynamics, SpatialAttention
from hdnet_jax.model.local_dynamics import REFERENCES, LocalDynamics
from hdnet_jax.model.norm import RAIN, instance_norm

_CONVOLUTIONS = {
  Size.KEPT: Conv3x3,
  Size.HALVED: DownConv4x4,
  Size.DOUBLED: UpConv4x4,
}

LOCAL_DYNAMICS = (*REFERENCES, "none")
GLOBAL_DYNAMICS = ("mask", "learned_mask", "spatial_attention", "none")


class EncoderStage(nn.Module):
  stage: Stage
  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "b h w c"]) -> Array:
    x = _CONVOLUTIONS[self.stage.size](
      self.stage.widths * self.width, dtype=self.dtype, name="conv"
    )(x)
    return x if self.stage.name == UNNORMALIZED else instance_norm(x)


class DecoderStage(nn.Module):
  stage: Stage
  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, y: Array, pyramid: dict[int, Array]) -> Array:
    y = _CONVOLUTIONS[self.stage.size](
      self.stage.widths * self.width, dtype=self.dtype, name="conv"
    )(nn.relu(y))
    return RAIN(name="rain")(y, pyramid[y.shape[1]])


class HDNet(nn.Module):
  """The generator G(I_c, M), which recolours a composite's foreground.

  Attributes:
    width: n of the stage table; 32 is HDNet, 8 is HDNet-lite.
    local_dynamics: "paper", "official" (the authors' code) or "none".
    neighbors: K of LD; the paper's best is 1.
    global_dynamics: "mask" (MGD), "learned_mask" (HDNet*),
      "spatial_attention" (+SA) or "none"; Table 3's rows.
    dtype: of activations; parameters are always float32.
    remat: whether the backward pass recomputes activations: less memory, more
      time, equal gradients.
  """

  width: int = 32
  local_dynamics: str = "paper"
  neighbors: int = 1
  global_dynamics: str = "mask"
  dtype: Any = "float32"
  remat: bool = False

  @nn.compact
  def __call__(
    self,
    composite: Float[Array, "b h w 3"],
    mask: Float[Array, "b h w 1"],
  ) -> Float[Array, "b h w 3"]:
    """Compute the network's image, float32 in [-1, 1]; `blend` makes I_h of it.

    Raises:
      ValueError: for sizes that are no multiples of 8, shapes that do not
        match, and unknown options.
    """
    _check(self, composite.shape, mask.shape)
    dtype = jnp.dtype(self.dtype)
    pyramid = mask_pyramid(mask)

    x = Conv3x3(self.width, dtype=dtype, name="x0")(composite)
    skips = []
    for stage in ENCODER:
      # The authors activate in place: every skip is the activated tensor.
      x = nn.leaky_relu(x, 0.2)
      skips.append(x)
      x = self.maybe_remat(EncoderStage)(
        stage, self.width, dtype, name=stage.name
      )(x)

    if self.local_dynamics != "none":
      x = LocalDynamics(
        REFERENCES[self.local_dynamics], self.neighbors, dtype, name="ld"
      )(x, pyramid[x.shape[1]])

    for stage, skip in zip(DECODER, reversed(skips), strict=True):
      x = self.maybe_remat(DecoderStage)(
        stage, self.width, dtype, name=stage.name
      )(x, pyramid)
      x = jnp.concatenate([skip, x], axis=-1)
      if stage.name in WITH_MGD and self.global_dynamics != "none":
        name = f"mgd_{stage.name}"
        x = self.make_global_dynamics(name)(x, pyramid[x.shape[1]])

    x = Conv3x3(3, use_bias=True, dtype=dtype, name="out")(nn.relu(x))
    return jnp.tanh(x.astype(jnp.float32))

  def make_global_dynamics(self, name: str) -> nn.Module:
    dtype = jnp.dtype(self.dtype)
    if self.global_dynamics == "spatial_attention":
      return self.maybe_remat(SpatialAttention)(dtype, name=name)
    learned = self.global_dynamics == "learned_mask"
    return self.maybe_remat(GlobalDynamics)(learned, dtype, name=name)

  def maybe_remat(self, module: type[nn.Module]) -> type[nn.Module]:
    """Recompute the module's activations in the backward pass if `remat`."""
    return nn.remat(module) if self.remat else module


def apply(
  model: HDNet,
  params: Any,
  image: Float[Array, "b h w 3"],
  mask: Float[Array, "b h w 1"],
) -> Float[Array, "b h w 3"]:
  """Return the network's output with these parameters."""
  # Flax returns more than the output only where something is `mutable`.
  return cast(Array, model.apply({"params": params}, image, mask))


def blend(
  output: Float[Array, "b h w 3"],
  composite: Float[Array, "b h w 3"],
  mask: Float[Array, "b h w 1"],
) -> Float[Array, "b h w 3"]:
  """Return I_h: `output` inside the mask, `composite` outside."""
  return mask * output + (1 - mask) * composite


def mask_pyramid(mask: Float[Array, "b h w 1"]) -> dict[int, Array]:
  """Return the mask at every height of the network, by strided slicing.

  PyTorch's "nearest" takes the same pixels; `jax.image.resize` takes others.
  Small masks can vanish.
  """
  height = mask.shape[1]
  return {height // s: mask[:, ::s, ::s] for s in (1, 2, 4, REDUCTION)}


def _check(model: HDNet, image: tuple, mask: tuple) -> None:
  for name, options in (
    ("local_dynamics", LOCAL_DYNAMICS),
    ("global_dynamics", GLOBAL_DYNAMICS),
  ):
    value = getattr(model, name)
    if value not in options:
      raise ValueError(f"{name}={value!r} is none of {options}")
  if model.neighbors < 1 or model.width < 1:
    raise ValueError("neighbors and width are 1 or more")
  if len(image) != 4 or image[-1] != 3:
    raise ValueError(f"composite is [batch, height, width, 3], not {image}")
  if mask != (*image[:3], 1):
    raise ValueError(
      f"mask is {(*image[:3], 1)} for a composite of {image}, not {mask}"
    )
  if image[1] % REDUCTION or image[2] % REDUCTION:
    raise ValueError(
      f"height and width must be multiples of {REDUCTION}, not "
      f"{image[1]}x{image[2]}; pad or resize the image"
    )
