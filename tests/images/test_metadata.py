"""Metadata that is true of the harmonized picture, kept, or told of."""

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from hdnet_jax.images.reading import read_picture
from hdnet_jax.images.transforms import inverse, turn
from hdnet_jax.images.writing import Encodable, encode, write_picture
from hdnet_jax.inference.inputs import open_composite

from .conftest import image_bytes, png_chunk

FORMATS = ["jpg", "png", "webp", "tif"]


def colours(shape=(20, 30)) -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def exif_with_all(orientation: int, stored=(30, 20), order=">") -> bytes:
  """EXIF data of a photo: sizes, a subject, resolutions and a thumbnail.

  They are as stored, width and height, before a turn.
  """
  exif = Image.Exif()
  exif.endian = order
  exif[0x0112], exif[0x010F] = orientation, "Maker"
  exif[0x011A], exif[0x011B] = 300, 150
  inner = {0x829A: 0.005, 0x9214: (7, 3, 4, 2)}
  exif[0x8769] = inner | {0xA002: stored[0], 0xA003: stored[1]}
  data = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
  thumbnail = jpeg_file(Image.new("RGB", (8, 5), "red"))
  # The offset to the second directory stands behind the first one's entries.
  entries = struct.unpack_from(f"{order}H", data, 8)[0]
  struct.pack_into(f"{order}I", data, 10 + 12 * entries, len(data))
  place = (0x0201, 4, 1, len(data) + 30)
  length = (0x0202, 4, 1, len(thumbnail))
  data += struct.pack(f"{order}HHHIIHHIII", 2, *place, *length, 0)
  return b"Exif\0\0" + bytes(data) + thumbnail


def jpeg_file(image=None, **options) -> bytes:
  return image_bytes(image or Image.fromarray(colours()), "JPEG", **options)


def photo_file(orientation: int, order: str = ">") -> tuple[bytes, np.ndarray]:
  """A JPEG file of a phone, and its upright pixels."""
  stored = turn(colours(), inverse(orientation))
  size = stored.shape[1::-1]
  exif = exif_with_all(orientation, size, order)
  return jpeg_file(Image.fromarray(stored), exif=exif), colours()


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("order", "<>")
def test_exif_is_true_of_the_upright_picture(
  tmp_path, orientation, order, target
):
  data, upright = photo_file(orientation, order)
  picture = read_picture(data)
  assert picture.size == upright.shape[1::-1] == (30, 20)
  out = tmp_path / f"out.{target}"
  assert write_picture(picture, picture.pixels, out) == ()
  with Image.open(out) as image:
    exif = image.getexif()
    inner = exif.get_ifd(0x8769)
    assert exif[0x010F] == "Maker"
    assert exif.get(0x0112, 1) == 1
    assert float(inner[0x829A]) == 1 / 200
    assert (inner[0xA002], inner[0xA003]) == (30, 20)
    if target != "tif":  # those of the file itself
      turned = orientation in (6, 8)
      pair = (exif[0x011A], exif[0x011B])
      assert pair == ((150, 300) if turned else (300, 150))
    # The subject's place, where EXIF's orientation shows it.
    assert (
      tuple(inner[0x9214])
      == {
        1: (7, 3, 4, 2),
        3: (22, 16, 4, 2),
        6: (26, 7, 2, 4),
        8: (3, 12, 2, 4),
      }[orientation]
    )
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
  assert b"\xff\xd8\xff\xe0" not in out.read_bytes()[4:]  # no thumbnail


def test_a_pil_image_loses_the_thumbnail_of_what_it_was():
  image = Image.open(io.BytesIO(photo_file(6)[0]))
  assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
  opened = open_composite(image)
  info = opened.restore(opened.pixels).info
  kept = Image.Exif()
  kept.load(info["exif"])
  assert kept[0x0112] == 6  # as its pixels still lie
  assert kept[0x010F] == "Maker"
  assert not kept.get_ifd(ExifTags.IFD.IFD1)


def test_a_thumbnail_whose_directory_is_damaged_is_dropped(tmp_path):
  exif = bytearray(exif_with_all(1))
  start = exif.index(b"\x02\x01\0\x04") - 2  # of the second directory
  exif[start : start + 2] = b"\xff\xff"
  picture = read_picture(jpeg_file(exif=bytes(exif)))
  write_picture(picture, picture.pixels, tmp_path / "a.jpg")
  with Image.open(tmp_path / "a.jpg") as image:
    assert image.getexif()[0x010F] == "Maker"
    assert not image.getexif().get_ifd(ExifTags.IFD.IFD1)


XMP = (
  b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
  b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
  b'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
  b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" '
  b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
  b'hdrgm:Version="1.0" GCamera:MotionPhoto="1" GCamera:PortraitNote="kept" '
  b'tiff:ImageWidth="20" tiff:ImageLength="30" tiff:Orientation="6" '
  b"xmpNote:HasExtendedXMP='ABC' dc:title=\"a title\">"
  b"<exif:PixelXDimension>20</exif:PixelXDimension>"
  b"<hdrgm:GainMapMax><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:GainMapMax>"
  b"<xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>"
  b"<Container:Directory><rdf:Seq><rdf:li>"
  b'<Container:Item Item:Semantic="GainMap" Item:Length="9"/>'
  b"</rdf:li></rdf:Seq></Container:Directory></rdf:Description></rdf:RDF>"
  b"</x:xmpmeta>"
)


@pytest.mark.parametrize("target", FORMATS)
def test_marks_of_what_is_gone_are_gone(tmp_path, target):
  picture = read_picture(jpeg_file(xmp=XMP))
  assert picture.notes == (
    "the image tells of what is left out here: gain map, motion photo, further "
    "images, extended XMP.",
  )
  out = tmp_path / f"a.{target}"
  write_picture(picture, picture.pixels, out)
  xmp = read_picture(out).metadata.xmp
  for gone in (
    *(b"hdrgm", b"Container", b"Item:", b"MotionPhoto", b"Thumbnails"),
    b"HasExtendedXMP",
  ):
    assert gone not in xmp
  for kept in (
    *(b'dc:title="a title"', b'GCamera:PortraitNote="kept"', b"xmlns:GCamera"),
    *(b'tiff:ImageWidth="30"', b'tiff:ImageLength="20"'),
    b"<exif:PixelXDimension>30<",
  ):
    assert kept in xmp


PNG_CHUNKS = {
  b"gAMA": struct.pack(">I", 100000),
  b"cHRM": struct.pack(">8I", *range(30000, 30008)),
  b"cICP": bytes((9, 16, 0, 1)),
  b"tEXt": b"parameters\0a cat, steps: 20",
}


def png_file(deep: bool = False, names=tuple(PNG_CHUNKS)) -> bytes:
  file, samples = io.BytesIO(), colours()
  samples = samples.astype(np.uint16) * 257 if deep else samples
  encode(Encodable(samples, "RGB"), file, "PNG", 95)
  data = file.getvalue()
  chunks = [png_chunk(name, PNG_CHUNKS[name]) for name in names]
  return b"".join([data[:33], *chunks, data[33:]])


@pytest.mark.parametrize("deep", [False, True])
def test_png_keeps_its_colours_and_texts(tmp_path, deep):
  picture = read_picture(png_file(deep))
  assert picture.notes == ()
  out = tmp_path / "a.png"
  assert write_picture(picture, picture.pixels, out) == ()
  data = out.read_bytes()
  for name, body in PNG_CHUNKS.items():
    assert data.count(png_chunk(name, body)) == 1
    assert data.index(name) < data.index(b"IDAT")


@pytest.mark.parametrize("target", ["jpg", "webp", "tif"])
def test_what_only_png_holds_is_told(tmp_path, target):
  picture = read_picture(png_file())
  notes = write_picture(picture, picture.pixels, tmp_path / f"a.{target}")
  assert len(notes) == 2
  assert "(cHRM, cICP, gAMA) is left out" in notes[0]
  assert "('parameters') are left out" in notes[1]
  # That it is sRGB is what is thought of a file that says nothing.
  usual = png_file(names=())
  usual = usual[:33] + png_chunk(b"sRGB", b"\0") + usual[33:]
  picture = read_picture(usual)
  assert write_picture(picture, picture.pixels, tmp_path / f"b.{target}") == ()


IPTC = b"\x1c\x02\x78\0\x0ba caption..\x1c\x02\x05\0\x05title"


def commented_jpeg() -> bytes:
  resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC
  thumbnail = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 6) + b"oldpic"
  body = b"Photoshop 3.0\0" + resource + bytes(len(IPTC) % 2) + thumbnail
  extra = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
  return jpeg_file(comment=b"by hand", extra=extra)


@pytest.mark.parametrize("target", FORMATS)
def test_iptc_and_comments_are_kept_or_told(tmp_path, target):
  picture = read_picture(commented_jpeg())
  assert picture.notes == ()
  out = tmp_path / f"a.{target}"
  said = " ".join(write_picture(picture, picture.pixels, out))
  again = read_picture(out).metadata
  assert again.iptc == (IPTC if target in ("jpg", "tif") else None)
  assert again.comment == (b"by hand" if target == "jpg" else None)
  assert ("IPTC data is left out" in said) == (target in ("png", "webp"))
  assert ("JPEG comment is left out" in said) == (target != "jpg")
  assert b"oldpic" not in out.read_bytes()


def test_iptc_of_tiff_files_goes_to_jpeg(tmp_path):
  for name in ("a.jpg", "a.tif", "b.jpg"):
    data = commented_jpeg() if name == "a.jpg" else last.read_bytes()
    picture = read_picture(data)
    last = tmp_path / name
    write_picture(picture, picture.pixels, last)
  assert read_picture(last).metadata.iptc == IPTC


def test_other_tags_of_tiff_files_are_told(tmp_path):
  tags = {33550: (1.0, 1.0, 0.0), 285: "page one", 270: "described"}
  data = image_bytes(Image.fromarray(colours()), "TIFF", tiffinfo=tags)
  picture = read_picture(data)
  (note,) = picture.notes
  assert note.endswith("left out: PageName, ModelPixelScaleTag.")
  write_picture(picture, picture.pixels, tmp_path / "a.tif")
  with Image.open(tmp_path / "a.tif") as image:
    assert image.tag_v2[270] == "described"


def test_content_credentials_are_told():
  body = b"JP\0\1\0\0\0\1" + b"\0\0\0\x20jumb" + bytes(20)
  extra = b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body
  (note,) = read_picture(jpeg_file(extra=extra)).notes
  assert "content credentials (C2PA)" in note


def test_what_points_elsewhere_does_not_go_to_tiff(tmp_path):
  exif = Image.Exif()
  exif[0x010F] = "Maker"
  exif[0x8769] = {0x927C: b"offsets into the old file", 0x829A: 0.005}
  exif[0x4746] = 5  # a rating
  picture = read_picture(jpeg_file(exif=exif.tobytes()))
  notes = write_picture(picture, picture.pixels, tmp_path / "a.tif")
  assert notes == (
    "Of the EXIF data TIFF files do not hold tag 18246, the camera maker's "
    "notes.",
  )
  with Image.open(tmp_path / "a.tif") as image:
    assert set(image.getexif().get_ifd(0x8769)) == {0x829A}


def test_an_orientation_that_is_no_number_is_none():
  tags = {274: 6, 270: "text"}
  image = Image.fromarray(colours())
  data = bytearray(image_bytes(image, "TIFF", tiffinfo=tags))
  at = data.index((274).to_bytes(2, "little") + (3).to_bytes(2, "little"))
  data[at + 2] = 7  # of the kind "undefined"
  picture = read_picture(bytes(data))
  assert picture.orientation == 1
  np.testing.assert_array_equal(picture.pixels, colours())
