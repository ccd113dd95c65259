"""Photos and masks at the network's size, in training and for inference."""

from PIL import Image


def resize_image(image: Image.Image, size: int) -> Image.Image:
  """Return an RGB square of `size` pixels, antialiased."""
  return image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def resize_mask(mask: Image.Image, size: int) -> Image.Image:
  """Return a square of `size` pixels with the mask's own levels."""
  return mask.resize((size, size), Image.Resampling.NEAREST)
