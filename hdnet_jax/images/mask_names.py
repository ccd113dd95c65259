"""How masks are named after their photos.

Of the photo `a.jpg` a mask is `a.png`; or `a_mask.png`, with `-`, `.` or a
space, and with another of `WORDS`; or `mask_a.png`; or any of these with the
photo's whole name, as in `a.jpg.png`. `mask.png` is that of a whole folder.
Capitals do not count, nor how accents are composed.
"""

import re
import unicodedata

WORDS = ("mask", "matte", "alpha", "segmentation", "seg")
_WORD = "|".join(WORDS)
_MARKED = re.compile(rf"(.+)[-_. ](?:{_WORD})|(?:{_WORD})[-_. ](.+)", re.DOTALL)
_NUMBERED = re.compile(r"(.+)_\d+", re.DOTALL)


def key(text: str) -> str:
  """Equal for names that are the same but for capitals and composition."""
  composed = unicodedata.normalize("NFC", text)
  return unicodedata.normalize("NFC", composed.casefold())


def photo_key(mask: str, suffix: str | None = None) -> str | None:
  """What remains of a mask's stem without the word that tells what it is.

  Args:
    mask: the name without its extension.
    suffix: the end that masks have, in place of the words.

  Returns:
    A key; "" for a word alone; None where there is no such word.
  """
  name = key(mask)
  if suffix is not None:
    end = key(suffix)
    return name.removesuffix(end) if name.endswith(end) else None
  if name in WORDS:
    return ""
  found = _MARKED.fullmatch(name)
  return found and (found[1] or found[2])


def without_number(name: str) -> str | None:
  """`a` of `a_1`; None where there is no number."""
  found = _NUMBERED.fullmatch(name)
  return found and found[1]
