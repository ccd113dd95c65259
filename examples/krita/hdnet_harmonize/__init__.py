"""A Krita plug-in: recolour a pasted layer, so that it fits the image."""

from krita import Krita

from .extension import HarmonizeLayer

Krita.instance().addExtension(HarmonizeLayer(Krita.instance()))
