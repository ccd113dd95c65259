"""Which recolouring an example gets, how much of it, and batches of them."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt8

from hdnet_jax.errors import UserError
from hdnet_jax.recolor.distribution import distribution, histogram
from hdnet_jax.recolor.light import relight, time_of_day
from hdnet_jax.recolor.pixels import Mask, Photo
from hdnet_jax.recolor.retouch import change, retouch
from hdnet_jax.recolor.transfer import covariance, reinhard_lab, reinhard_rgb

TRANSFER_SHARE = 0.5  # of mixed examples that take another object's statistics
RETOUCH_SHARE = 0.3  # of others that are then retouched a little
RETOUCH_STRENGTH = 0.3
# Least and greatest distance that a family may move an object's colours, root
# mean square: those of foreground MSEs of 250 and 2500 on 0 to 255. The
# composites of iHarmony4 were filtered by eye; donors far off would be absurd.
FARTHEST = (16 / 255, 50 / 255)

Family = Callable[[Array, Photo, Mask, Photo, Mask], Photo]


def make_composites(
  keys: Array,
  real: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
  donor_real: UInt8[Array, "b h w 3"],
  donor_mask: UInt8[Array, "b h w 1"],
  strength: float = 1.0,
  families: Sequence[str] = ("mixed",),
) -> UInt8[Array, "b h w 3"]:
  """One composite an example, each by one of the families.

  Args:
    keys: a random key an example.
    real, mask: the photos and their objects, masks 0/1.
    donor_real, donor_mask: photos whose objects lend their colours.
    strength: scales every change; 0 leaves the photo as it is.
    families: names of FAMILIES, one of which is drawn for each example.

  Raises:
    UserError: for no families or an unknown one.
  """
  check_families(families)

  def one(key, real, mask, donor_real, donor_mask):
    changed = recolor(
      key,
      real.astype(jnp.float32) / 255,
      mask.astype(jnp.float32),
      donor_real.astype(jnp.float32) / 255,
      donor_mask.astype(jnp.float32),
      strength,
      families,
    )
    changed = jnp.round(255 * changed).astype(jnp.uint8)
    return jnp.where(mask > 0, changed, real)

  examples = (keys, real, mask, donor_real, donor_mask)
  # Under vmap a switch computes every branch for every example. One by one it
  # computes the chosen one: on a CPU that is faster, and an accelerator is
  # faster with the whole batch at once.
  if len(families) > 1 and jax.default_backend() == "cpu":
    return jax.lax.map(lambda example: one(*example), examples)
  return jax.vmap(one)(*examples)


def vary_photos(
  keys: Array, real: UInt8[Array, "b h w 3"], strength: float = 1.0
) -> UInt8[Array, "b h w 3"]:
  """Whole photos in other colours, one key each: an augmentation.

  The channels change places, and the light changes as that of objects does.

  A network that sees few photos learns their colours by heart; when every
  visit shows them in others, the background alone tells what fits.
  """

  def one(key, real):
    everywhere = jnp.ones((*real.shape[:2], 1))
    key_channels, key_change = jax.random.split(key)
    photo = jax.random.permutation(key_channels, real, axis=-1)
    photo = photo.astype(jnp.float32) / 255
    photo = change(key_change, photo, everywhere, strength)
    return jnp.round(255 * photo).astype(jnp.uint8)

  return jax.vmap(one)(keys, real)


def check_families(families: Sequence[str]) -> None:
  """Refuses names that are not of FAMILIES, and no names at all."""
  valid = f"; valid names: {', '.join(FAMILIES)}"
  if not families:
    raise UserError(f"name a recolouring at least{valid}")
  for name in families:
    if name not in FAMILIES:
      raise UserError(f"no recolouring is called {name!r}{valid}")


def recolor(
  key: Array,
  photo: Photo,
  mask: Mask,
  donor_photo: Photo,
  donor_mask: Mask,
  strength: float = 1.0,
  families: Sequence[str] = ("mixed",),
) -> Photo:
  """`photo` in other colours, in [0, 1]; only those inside the mask matter.

  A transfer is blended with the photo by 0.4 to 1; each family is, farther,
  where it went too far to be plausible. A part is then retouched a little, but
  only where "retouch" is among the families: those that are not named are not
  seen in any form.
  """
  images = (photo, mask, donor_photo, donor_mask)
  if tuple(families) == ("mixed",):
    return _mixed(key, *images, strength)
  key_family, key_make, key_amount, key_retouch = jax.random.split(key, 4)
  makers = [_bounded(FAMILIES[name]) for name in families]
  index = jax.random.randint(key_family, (), 0, len(makers))
  changed = jax.lax.switch(index, makers, (key_make, key_amount), *images)
  photo = jnp.clip(photo + strength * (changed - photo), 0, 1)
  if "retouch" not in families:
    return photo
  retouched = jax.random.bernoulli(key_retouch, RETOUCH_SHARE)
  return jax.lax.cond(
    retouched & (index != families.index("retouch")),
    lambda photo: change(key_retouch, photo, mask, strength * RETOUCH_STRENGTH),
    lambda photo: photo,
    photo,
  )


def _bounded(family: Family):
  """The family with a random amount of it, and not too far from the photo."""

  def make(keys, photo, mask, donor_photo, donor_mask):
    key_make, key_amount = keys
    changed = family(key_make, photo, mask, donor_photo, donor_mask)
    if family is mixed:
      return changed
    share, bound = jax.random.uniform(key_amount, (2,))
    amount = 0.4 + 0.6 * share if family in TRANSFERS else 1.0
    count = 3 * jnp.maximum(jnp.sum(mask), 1)
    moved = jnp.sum(jnp.square(changed - photo) * mask) / count
    farthest = FARTHEST[0] + (FARTHEST[1] - FARTHEST[0]) * bound
    amount = jnp.minimum(amount, farthest * jax.lax.rsqrt(moved + 1e-12))
    return photo + amount * (changed - photo)

  return make


def mixed(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """`reinhard_lab` for half of the examples, then changes of light for all."""
  return _mixed(key, photo, mask, donor_photo, donor_mask, 1.0)


def _mixed(key, photo, mask, donor_photo, donor_mask, strength) -> Photo:
  key_transfer, key_change = jax.random.split(key)
  share, amount = jax.random.uniform(key_transfer, (2,))
  amount = strength * (0.3 + 0.7 * amount) * (share < TRANSFER_SHARE)
  target = reinhard_lab(key, photo, mask, donor_photo, donor_mask)
  photo = jnp.clip(photo + amount * (target - photo), 0, 1)
  return change(key_change, photo, mask, strength)


TRANSFERS: tuple[Family, ...] = (
  reinhard_lab,
  reinhard_rgb,
  covariance,
  histogram,
  distribution,
)
FAMILIES: Mapping[str, Family] = {
  family.__name__: family
  for family in (*TRANSFERS, retouch, time_of_day, relight, mixed)
}
