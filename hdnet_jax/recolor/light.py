"""Other light: the time of day, and lights that shine on one side.

Both work on linear light and give photos in [0, 1]; donors have no part.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hdnet_jax.recolor.pixels import DISPLAY_GAMMA, LUMA, Mask, Photo, mix

# From noon by the golden hour, sunset and dusk to night: the light's colour
# temperature in kelvin, exposure in stops, contrast and saturation. Cameras
# take half of the light's colour back by their white balance.
_HOURS = np.linspace(0, 1, 5)
_KELVIN = np.array([5800, 4300, 3200, 9000, 12000])
_STOPS = np.array([0, -0.2, -0.7, -1.3, -1.9])
_CONTRAST = np.array([1.0, 1.1, 1.0, 0.85, 0.8])
_SATURATION = np.array([1.0, 1.1, 1.05, 0.8, 0.65])
_WHITE_BALANCE = 0.5
_XYZ_TO_RGB = np.array(
  [
    [3.2406, -1.5372, -0.4986],
    [-0.9689, 1.8758, 0.0415],
    [0.0557, -0.2040, 1.0570],
  ]
)
WAVES = 3


def time_of_day(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """From a random hour to another, between noon and night.

  Light of another place on the Planckian locus, exposure, contrast and
  saturation, as between the photos of Hday2night (Laffont et al. 2014).
  """
  del donor_photo, donor_mask
  start, span, sign = jax.random.uniform(key, (3,))
  span = 0.15 + 0.6 * span
  start = start * (1 - span)
  hours = jnp.stack([start, start + span])
  before, after = jnp.where(sign < 0.5, hours, hours[::-1])

  def ratio(values: np.ndarray) -> Array:
    return jnp.exp(_at(after, np.log(values)) - _at(before, np.log(values)))

  light = ratio(_gains(_KELVIN)) ** _WHITE_BALANCE
  light = light * ratio(2.0**_STOPS)
  changed = photo * light ** (1 / DISPLAY_GAMMA)
  mean = jnp.sum(changed * mask) / (3 * jnp.maximum(jnp.sum(mask), 1))
  changed = mean + (changed - mean) * ratio(_CONTRAST)
  gray = mix(changed, LUMA[None])
  changed = gray + (changed - gray) * ratio(_SATURATION)
  return jnp.clip(changed, 0, 1)


def relight(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """More light here, less there, smoothly, and warmer or colder.

  The field is of a few waves, longer than the object: one side of it is lit.
  """
  del donor_photo, donor_mask
  key_light, key_warmth, key_all = jax.random.split(key, 3)
  places = _places(mask)
  stops, warmth = jax.random.uniform(key_all, (2,), minval=-0.5, maxval=0.5)
  stops = stops + _waves(key_light, places)
  warmth = 0.4 * (warmth + _waves(key_warmth, places))
  stops = stops + jnp.concatenate([warmth, 0 * warmth, -warmth], axis=-1)
  return jnp.clip(photo * 2 ** (stops / DISPLAY_GAMMA), 0, 1)


def _at(hour: Array, values: np.ndarray) -> Array:
  """Between the values at `_HOURS`, [5] or [5, 3]."""
  weights = jnp.maximum(0, 1 - jnp.abs(hour - _HOURS) * (len(_HOURS) - 1))
  return jnp.sum(weights.reshape(-1, *[1] * (values.ndim - 1)) * values, axis=0)


def _gains(kelvin: np.ndarray) -> Float[np.ndarray, "n 3"]:
  """Linear RGB of black bodies at 1667 to 25000 K, at equal luminance.

  The Planckian locus is the cubic of Kim et al. 2002.
  """
  t = 1e3 / kelvin
  x = np.where(
    kelvin < 4000,
    ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910,
    ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390,
  )
  y = np.select(
    [kelvin < 2222, kelvin < 4000],
    [
      ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683,
      ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867,
    ],
    ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483,
  )
  rgb = np.stack([x / y, np.ones_like(x), (1 - x - y) / y], -1) @ _XYZ_TO_RGB.T
  rgb = np.maximum(rgb, 0.02)
  return rgb / (rgb @ LUMA)[:, None]


def _places(mask: Mask) -> tuple[Float[Array, "h 1 1"], Float[Array, "1 w 1"]]:
  """Rows and columns in the object's deviations from its centre."""

  def along(axis: int) -> Array:
    weights = jnp.sum(mask, axis=(1 - axis, 2))
    count = jnp.maximum(jnp.sum(weights), 1)
    place = jnp.arange(mask.shape[axis], dtype=jnp.float32)
    mean = jnp.sum(weights * place) / count
    variance = jnp.sum(weights * jnp.square(place - mean)) / count
    return (place - mean) / jnp.sqrt(variance + 1)

  return along(0)[:, None, None], along(1)[None, :, None]


def _waves(key: Array, places: tuple[Array, Array]) -> Float[Array, "h w 1"]:
  """A sum of plane waves, of a deviation of about 0.6 in the plane."""
  rows, columns = places
  draws = jax.random.uniform(key, (3, WAVES), minval=-1.0, maxval=1.0)
  angle = jnp.pi * draws[0]
  frequency = 0.6 + 0.4 * draws[1]  # radians a deviation
  waves = [
    jnp.sin(
      frequency[i] * (rows * jnp.sin(angle[i]) + columns * jnp.cos(angle[i]))
      + jnp.pi * draws[2, i]
    )
    for i in range(WAVES)
  ]
  return 0.5 * sum(waves)
