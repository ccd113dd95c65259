"""Maps of a video's frames, smoothed over time, so that nothing flickers.

What a network makes of two frames that look the same differs a little, and
that shows as flicker. Smoothed are the maps of `guided_filter.fit`, from
colour to change of colour, and not pixels: a map has to do with the light at
its place, which varies slowly, while pixels move; so nothing is blurred and no
ghost is left behind. A map stays at its place in the frame when the object
moves, for so does the light. It finds one there, for maps are defined
everywhere: outside of the object they are the nearest ones.

What is removed is the flicker that the maps add. Noise of the video itself is
multiplied by their gain, as its colours are: an object made brighter by 1.2
has 1.2 times its noise, and no smoothing of maps changes that.
"""

import math

import numpy as np

from hdnet_jax.errors import UserError

# Mean change of the small frame, of colours from 0 to 1, over which it is
# another scene. Noise and motion stay below it; a reset too many does no harm
# but that one frame is not smoothed.
CUT = 0.1


class Smoother:
  """A first-order recursive filter over the maps of successive frames.

  Each frame's maps pull the filter's towards them by 1 - exp(-t / seconds),
  where t is the time since the last: so it is the same for any frame rate, and
  for one that varies. The first frame, and the first after a cut, has its own
  maps. An object that was away for long has almost its own, too.

  Args:
    seconds: the time constant, 0 or more; 0 gives maps back as they are.

  Raises:
    UserError: for another.
  """

  def __init__(self, seconds: float):
    if not 0 <= seconds < math.inf:
      raise UserError(f"smoothing={seconds} is not in seconds, 0 or more")
    self._seconds = seconds
    self._last: tuple[np.ndarray, np.ndarray, float] | None = None

  def __call__(
    self, maps: np.ndarray, image: np.ndarray, time: float
  ) -> np.ndarray:
    """The smoothed maps, of their shape.

    Args:
      maps: of `guided_filter.fit`, float32 [3, 4, h, w].
      image: the small frame that they are of, float [h, w, 3] in -1 to 1.
      time: when it is shown, in seconds.
    """
    if self._seconds and self._last is not None:
      last, before, when = self._last
      if np.abs(image - before).mean() / 2 <= CUT:
        share = -math.expm1(-max(time - when, 0) / self._seconds)
        maps = last + np.float32(share) * (maps - last)
    self._last = maps, image, time
    return maps
