"""Read PNG's texts and profile apart from its pixels.

Pillow refuses whole files for a text or profile of more than 1 MiB, such as
ComfyUI writes. It also mistakes texts of some names for values of its own.
"""

import struct
import zlib
from collections.abc import Iterable

START = b"\x89PNG\r\n\x1a\n"
XMP = b"XML:com.adobe.xmp"
# Keywords of metadata in older files, as hexadecimal digits.
_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")
_OLD_XMP = b"Raw profile type xmp"
_TAKEN = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
_LARGEST = 64 * 2**20  # bytes, of a text or profile that is unpacked

Chunk = tuple[bytes, bytes]  # its name and its contents


def split(data: bytes) -> tuple[bytes, list[Chunk], list[str]]:
  """Split a PNG file's texts and profile from the rest.

  Args:
    data: a file; what is no PNG is returned as it is.

  Returns:
    The file without them; all chunks but those of pixels; and sentences, which
    begin with a verb, on what is damaged.
  """
  if not data.startswith(START):
    return data, [], []
  parts, chunks, faults = [START], [], []
  at = copied = len(START)
  while at + 12 <= len(data):
    length, name = struct.unpack_from(">I4s", data, at)
    end = at + 12 + length
    if end > len(data):
      break
    if name not in (b"IDAT", b"fdAT"):
      body = data[at + 8 : end - 4]
      if name in _TAKEN:
        parts.append(data[copied:at])
        copied = end
      if zlib.crc32(name + body) == struct.unpack(">I", data[end - 4 : end])[0]:
        chunks.append((name, body))
      elif name in _TAKEN:
        what = "profile" if name == b"iCCP" else "text"
        faults.append(f"has a damaged {what}, which is left out.")
    at = end
  return b"".join([*parts, data[copied:]]), chunks, faults


def info_of(chunks: Iterable[Chunk]) -> tuple[dict, list[str]]:
  """Return profile, XMP and EXIF data as Pillow's `info`; and faults."""
  info, faults = {}, []
  for name, body in chunks:
    if name == b"iCCP":
      profile = _decompress(body.partition(b"\0")[2][1:])
      if profile is None:
        faults.append("has a damaged profile, which is left out.")
      else:
        info["icc_profile"] = profile
      continue
    keyword, text = text_of(name, body) or (b"", None)
    if text is None:
      continue
    if keyword == XMP:
      info["xmp"] = text
    elif keyword in _EXIF:
      info[_EXIF[0].decode()] = text.decode("latin-1")
    elif keyword == _OLD_XMP:
      info.setdefault("xmp", _from_hexadecimal(text))
  return info, faults


def text_of(name: bytes, body: bytes) -> tuple[bytes, bytes | None] | None:
  """Return a chunk's keyword and text; None for a chunk that is no text.

  A damaged text is None.
  """
  keyword, _, rest = body.partition(b"\0")
  if name == b"tEXt":
    return keyword, rest
  if name == b"zTXt":
    return keyword, _decompress(rest[1:])
  if name == b"iTXt":
    parts = rest[2:].split(b"\0", 2)
    text = parts[2] if len(parts) == 3 else None
    if rest[:1] == b"\1" and text is not None:
      text = _decompress(text)
    return keyword, text
  return None


def is_metadata(body: bytes) -> bool:
  """Return whether a text is one that `info_of` returns."""
  return body.partition(b"\0")[0] in (XMP, *_EXIF, _OLD_XMP)


def _from_hexadecimal(text: bytes) -> bytes:
  """Decode hexadecimal digits that follow lines of a name and a length."""
  try:
    return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
  except ValueError:
    return b""


def _decompress(data: bytes) -> bytes | None:
  """Return decompressed data; None for what is damaged or too large."""
  decompressor = zlib.decompressobj()
  try:
    result = decompressor.decompress(data, _LARGEST)
  except zlib.error:
    return None
  return result if decompressor.eof else None
