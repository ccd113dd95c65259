"""PNG's texts and profile, taken out of a file before Pillow reads the rest.

Pillow refuses whole files for a text or profile of more than 1 MiB, as ComfyUI
writes them, and takes texts by some names for its own values.
"""

import struct
import zlib
from collections.abc import Iterable

START = b"\x89PNG\r\n\x1a\n"
XMP = b"XML:com.adobe.xmp"
# Of older files, as hexadecimal digits.
_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")
_OLD_XMP = b"Raw profile type xmp"
_TAKEN = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
_LARGEST = 64 * 2**20  # bytes, of a text or profile that is unpacked

Chunk = tuple[bytes, bytes]  # its name and its contents


def split(data: bytes) -> tuple[bytes, list[Chunk], list[str]]:
  """A PNG file without texts and profile; these and other chunks; what is bad.

  The chunks are all but those of pixels; what is no PNG stays as it is. What is
  bad is told in sentences that begin with a verb.
  """
  if not data.startswith(START):
    return data, [], []
  parts, chunks, faults = [START], [], []
  at = kept = len(START)
  while at + 12 <= len(data):
    length, name = struct.unpack_from(">I4s", data, at)
    end = at + 12 + length
    if end > len(data):
      break
    if name not in (b"IDAT", b"fdAT"):
      body = data[at + 8 : end - 4]
      if name in _TAKEN:
        parts.append(data[kept:at])
        kept = end
      if zlib.crc32(name + body) == struct.unpack(">I", data[end - 4 : end])[0]:
        chunks.append((name, body))
      elif name in _TAKEN:
        what = "profile" if name == b"iCCP" else "text"
        faults.append(f"has a damaged {what}, which is left out.")
    at = end
  return b"".join([*parts, data[kept:]]), chunks, faults


def info_of(chunks: Iterable[Chunk]) -> tuple[dict, list[str]]:
  """The profile, XMP and EXIF data as Pillow's `info`; and what is bad."""
  info, faults = {}, []
  for name, body in chunks:
    if name == b"iCCP":
      profile = _unpacked(body.partition(b"\0")[2][1:])
      if profile is None:
        faults.append("has a damaged profile, which is left out.")
      else:
        info["icc_profile"] = profile
    elif (found := text_of(name, body)) is not None:
      keyword, text = found
      if keyword == XMP and text is not None:
        info["xmp"] = text
      elif keyword in _EXIF and text is not None:
        info[_EXIF[0].decode()] = text.decode("latin-1")
      elif keyword == _OLD_XMP and text is not None:
        info.setdefault("xmp", _of_digits(text))
  return info, faults


def text_of(name: bytes, body: bytes) -> tuple[bytes, bytes | None] | None:
  """A text's keyword, and itself, or None where it is damaged or not a text."""
  keyword, _, rest = body.partition(b"\0")
  if name == b"tEXt":
    return keyword, rest
  if name == b"zTXt":
    return keyword, _unpacked(rest[1:])
  if name == b"iTXt":
    compressed, parts = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    text = parts[2] if len(parts) == 3 else None
    if compressed and text is not None:
      text = _unpacked(text)
    return keyword, text
  return None


def _of_digits(text: bytes) -> bytes:
  """What a text of a name, a length and hexadecimal digits stands for."""
  try:
    return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
  except ValueError:
    return b""


def _unpacked(data: bytes) -> bytes | None:
  """What was compressed; None for what is damaged or too large."""
  unpacker = zlib.decompressobj()
  try:
    result = unpacker.decompress(data, _LARGEST)
  except zlib.error:
    return None
  return result if unpacker.eof else None
