"""Shares of a folder, so that several machines work on it at once.

A file's name alone decides its share. So shares have no file in common and
leave none out, in whatever order a machine lists files. Adding a file moves no
other to another share.
"""

import dataclasses
import hashlib
import re
import unicodedata

from hdnet_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Shard:
  """The share `number` of `count`; numbers start at 1.

  Raises:
    UserError: for a number that is not in 1 to `count`.
  """

  number: int
  count: int

  def __post_init__(self):
    if not 1 <= self.number <= self.count:
      count = max(self.count, 1)
      raise UserError(
        f"--shard {self.number}/{self.count} is no share; of {count} they are "
        f"1/{count} to {count}/{count}"
      )

  @classmethod
  def parse(cls, text: str) -> "Shard":
    """Return the share of K/N, as in "3/16".

    Raises:
      UserError: for anything else.
    """
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found:
      raise UserError(
        f"--shard {text} is not K/N, as in --shard 3/16: the third of 16 shares"
      )
    return cls(int(found[1]), int(found[2]))

  def has(self, name: str) -> bool:
    """Return whether a name is of this share.

    The answer is the same on every system, however accents are composed.
    """
    composed = unicodedata.normalize("NFC", name)
    data = composed.encode(errors="surrogateescape")
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "big") % self.count == self.number - 1
