"""Developments: a photo as a raw converter renders it with other settings.

Settings add, and are 0 for the photo as it is. Photos are float32 [..., 3] in
[0, 1], sRGB.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Photo = Float[Array, "h w 3"]
Mask = Float[Array, "h w 1"]

# A factor f on linear light is f ** (1 / 2.2) on pixels.
DISPLAY_GAMMA = 2.2
# NumPy, so that importing this module does not start JAX's devices.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


Value = Array | np.ndarray


class Settings(NamedTuple):
  """One development."""

  exposure: Value  # [] stops of linear light
  white_balance: Value  # [3] stops of each channel's linear light
  contrast: Value  # [] log2 of the factor about the pivot
  pivot: Value  # [] pixel value that contrast does not change, minus 0.45
  saturation: Value  # [] log2 of the factor about gray
  lift: Value  # [3] curves: x (1 - x) times this is added to each channel
  bend: Value  # [3] and an S-curve, x (1 - x) (2 x - 1), times this


AS_IT_IS = Settings(
  *(np.zeros(shape, np.float32) for shape in ((), 3, (), (), (), 3, 3))
)
# Where highlights begin to bend, so that more light cuts off no detail.
SHOULDER = 0.8

# Settings fitted to 26 originals of MIT-Adobe FiveK (Bychkovsky et al. 2011)
# and experts' renderings of them: _EXPERT leads from original to rendering,
# _DULL back. The fits leave 4.6 levels (median, root mean square) of the 25.5
# between the two. Values are mean and deviation over the pairs; with three
# channels, the deviation of the channels' mean, then each channel's own.
_EXPERT = {
  "exposure": (0.30, 0.25),
  "white_balance": (0.13, 0.12, 0.15),
  "contrast": (0.29, 0.14),
  "pivot": (0.22, 0.34),
  "saturation": (0.28, 0.19),
  "lift": (0.43, 0.20, 0.10),
  "bend": (-0.23, 0.18, 0.08),
}
_DULL = {
  "exposure": (-0.15, 0.12),
  "white_balance": (-0.06, 0.10, 0.12),
  "contrast": (-0.28, 0.17),
  "pivot": (0.09, 0.39),
  "saturation": (-0.31, 0.20),
  "lift": (-0.45, 0.22, 0.10),
  "bend": (-0.11, 0.18, 0.08),
}
# Any light and any camera.
_LIGHT = {
  "exposure": (0.0, 0.8),
  "white_balance": (0.0, 0.0, 0.3),
  "contrast": (0.0, 0.3),
  "pivot": (0.0, 0.3),
  "saturation": (0.0, 0.4),
  "lift": (0.0, 0.3, 0.1),
  "bend": (0.0, 0.2, 0.1),
}


def mix(
  x: Float[Array, "*s 3"], matrix: Float[Array | np.ndarray, "o 3"]
) -> Float[Array, "*s o"]:
  """Multiply every pixel by `matrix`; a 3x3 dot is ten times slower."""
  return sum(
    (x[..., i : i + 1] * matrix[:, i] for i in range(3)),
    start=jnp.zeros((), x.dtype),
  )


def add(a: Settings, b: Settings, amount: float | Array = 1.0) -> Settings:
  """Add `amount` of `b` to `a`."""
  return jax.tree.map(lambda x, y: x + amount * y, a, b)


def develop(settings: Settings, photo: Float[Array, "*s 3"]) -> Array:
  """Apply `settings` to a photo; the result is in [0, 1]."""
  stops = settings.exposure + settings.white_balance
  # 2**stops on linear light is this factor on pixels.
  x = photo * jnp.exp2(stops / DISPLAY_GAMMA)
  over = jnp.maximum(x - SHOULDER, 0) / (1 - SHOULDER)
  # Channels that get no more light keep their highlights.
  bent = SHOULDER + (1 - SHOULDER) * over / (1 + over)
  x = jnp.where((x > SHOULDER) & (stops > 0), bent, x)
  pivot = 0.45 + settings.pivot
  x = pivot + (x - pivot) * jnp.exp2(settings.contrast)
  x = jnp.clip(x, 0, 1)
  # The bounds 0.6 and 0.35 add up to less than 1, so that curves rise.
  lift = 0.6 * jnp.tanh(settings.lift / 0.6)
  bend = 0.35 * jnp.tanh(settings.bend / 0.35)
  x = x + x * (1 - x) * (lift + bend * (2 * x - 1))
  gray = mix(x, LUMA[None])
  x = gray + (x - gray) * jnp.exp2(settings.saturation)
  return jnp.clip(x, 0, 1)


def draw_expert(key: Array) -> Settings:
  """Draw what an expert does to an original: lighter, deeper, more vivid."""
  return _draw(key, _EXPERT)


def draw_dull(key: Array) -> Settings:
  """Draw the way back from an expert's rendering to an original."""
  return _draw(key, _DULL)


def draw_light(key: Array) -> Settings:
  """Draw another light and camera: brighter or darker, warmer or colder."""
  return _draw(key, _LIGHT)


def _draw(key: Array, normal: dict[str, tuple[float, ...]]) -> Settings:
  keys = jax.random.split(key, len(normal))
  values = {}
  for key, (name, (mean, *deviations)) in zip(
    keys, normal.items(), strict=True
  ):
    common, *channels = jax.random.normal(key, (4,))
    values[name] = mean + deviations[0] * common
    if len(deviations) > 1:
      values[name] += deviations[1] * jnp.stack(channels)
  return Settings(**values)
