"""Take pictures out of a Krita document, and put one in as a layer.

Pixels are 8 bits of blue, green, red and alpha, which is Krita's order and that
of Qt's ARGB32, with colours not multiplied by alpha.
"""

from krita import Document, Krita, Node
from PyQt5.QtCore import QByteArray, QEventLoop
from PyQt5.QtGui import QImage
from PyQt5.QtWidgets import QApplication

from .command import Failure

_FAST = 85  # of Qt's qualities of a PNG: it packs little
_SRGB = "sRGB-elle-V2-srgbtrc.icc"  # a profile that Krita brings along


def layer_of(node: Node) -> Node:
  """Return a node, or of a mask the layer that it belongs to."""
  while node.type().endswith("mask"):
    node = node.parentNode()
  return node


def profile_of(document: Document) -> str:
  """Return the profile in which pixels are exchanged: if possible its own."""
  kind = document.colorModel(), document.colorDepth()
  return document.colorProfile() if kind == ("RGBA", "U8") else _SRGB


def export(document: Document, layer: Node, cutout: str, photo: str) -> None:
  """Write a layer, and what is visible under it, as PNGs of the image's size.

  Both are taken from a copy of the document, which stays as it is.

  Raises:
    Failure: where one of them is empty, or cannot be written.
  """
  document.waitForDone()
  clone = document.clone()
  try:
    clone.setBatchmode(True)
    clone.setColorSpace("RGBA", "U8", profile_of(document))
    copy = clone.nodeByUniqueID(layer.uniqueId())
    if (copy.colorModel(), copy.colorDepth()) != ("RGBA", "U8"):
      copy.setColorSpace("RGBA", "U8", profile_of(document))
    clone.waitForDone()
    width, height = clone.width(), clone.height()
    pixels = bytes(copy.projectionPixelData(0, 0, width, height))
    alpha = pixels[3::4]
    if not any(alpha):
      raise Failure(f"the layer {layer.name()} shows nothing on the canvas")
    if alpha.count(255) == len(alpha):
      raise Failure(
        f"the layer {layer.name()} covers the whole canvas, so that nothing is "
        "left to fit it to; make the layer of the cut-out the active one"
      )
    _save(pixels, width, height, cutout)
    _hide(copy)
    clone.refreshProjection()
    clone.waitForDone()
    pixels = bytes(clone.pixelData(0, 0, width, height))
    if not any(pixels[3::4]):
      raise Failure(
        f"nothing is visible under the layer {layer.name()}; make the layer of "
        "the cut-out the active one"
      )
    _save(pixels, width, height, photo)
  finally:
    clone.close()


def add(document: Document, layer: Node, path: str) -> None:
  """Add a PNG as a layer above another, which is hidden; both can be undone."""
  image = QImage(path).convertToFormat(QImage.Format_ARGB32)
  if (image.width(), image.height()) != (document.width(), document.height()):
    raise Failure(f"hdnet wrote no layer of the image's size to {path}")
  name = f"{layer.name()} harmonized"
  result = document.createNode(name, "paintlayer")
  result.setColorSpace("RGBA", "U8", profile_of(document))
  bits = image.constBits()
  bits.setsize(image.sizeInBytes())
  result.setPixelData(
    QByteArray(bytes(bits)), 0, 0, image.width(), image.height()
  )
  _take_over(layer, result)
  layer.parentNode().addChildNode(result, layer)
  _settle(document)
  if layer.visible():
    # Node.setVisible would do, but could not be undone.
    document.setActiveNode(layer)
    _settle(document)
    Krita.instance().action("toggle_layer_visibility").trigger()
    _settle(document)
  document.setActiveNode(result)
  document.refreshProjection()


def _take_over(layer: Node, result: Node) -> None:
  """Give a layer how another is shown; what differs is a step of undoing."""
  if layer.opacity() != result.opacity():
    result.setOpacity(layer.opacity())
  if layer.blendingMode() != result.blendingMode():
    result.setBlendingMode(layer.blendingMode())
  if layer.inheritAlpha():
    result.setInheritAlpha(True)


def _hide(node: Node) -> None:
  """Hide a node, and all that is above it, in its groups, too."""
  node.setVisible(False)
  while (parent := node.parentNode()) is not None:
    for other in reversed(parent.childNodes()):
      if other.uniqueId() == node.uniqueId():
        break
      other.setVisible(False)
    node = parent


def _save(pixels: bytes, width: int, height: int, path: str) -> None:
  if len(pixels) != 4 * width * height:
    raise Failure("Krita gave no pixels of 8-bit RGB; convert the image to it")
  image = QImage(pixels, width, height, 4 * width, QImage.Format_ARGB32)
  if not image.save(path, "PNG", _FAST):
    raise Failure(f"{path} cannot be written; free some space")


def _settle(document: Document) -> None:
  """Let Krita do what it has put off, such as to activate a layer."""
  document.waitForDone()
  QApplication.processEvents(QEventLoop.ExcludeUserInputEvents)
