"""The paper's numbers on iHarmony4, under the protocol `paper`.

PSNR in dB, MSE and fMSE on 0 to 255, all over the test split (7,404 images).
"""

from collections.abc import Mapping

from hdnet_jax.config import ModelConfig

Numbers = Mapping[str, float]

_SUBSETS = ("HAdobe5k", "HFlickr", "HCOCO", "Hday2night", "all")


def _by_subset(
  psnr: tuple[float, ...], mse: tuple[float, ...]
) -> dict[str, Numbers]:
  return {
    subset: {"psnr": p, "mse": m}
    for subset, p, m in zip(_SUBSETS, psnr, mse, strict=True)
  }


# Tables 1 and 3, of each method by subset.
BY_SUBSET: dict[str, dict[str, Numbers]] = {
  "composite": _by_subset(
    psnr=(28.16, 28.32, 33.94, 34.01, 31.63),
    mse=(345.54, 264.35, 69.37, 109.65, 172.47),
  ),
  "Base": _by_subset(
    psnr=(38.83, 34.05, 39.27, 38.15, 38.53),
    mse=(24.33, 65.77, 17.51, 34.08, 25.20),
  ),
  "+LD": _by_subset(
    psnr=(40.96, 35.57, 40.82, 38.45, 40.23),
    mse=(14.79, 51.51, 12.44, 32.79, 17.64),
  ),
  "+SA": _by_subset(
    psnr=(40.46, 35.33, 40.38, 39.00, 39.81),
    mse=(15.89, 55.46, 13.08, 32.30, 19.19),
  ),
  "+MGD": _by_subset(
    psnr=(40.81, 35.36, 40.75, 38.82, 40.13),
    mse=(16.37, 55.56, 12.82, 32.44, 18.99),
  ),
  "HDNet*": _by_subset(
    psnr=(41.03, 35.79, 40.91, 38.80, 40.34),
    mse=(14.39, 48.46, 11.94, 30.69, 17.08),
  ),
  "HDNet": _by_subset(
    psnr=(41.17, 35.81, 41.04, 38.85, 40.46),
    mse=(13.58, 47.39, 11.60, 31.97, 16.55),
  ),
  "HDNet-lite": _by_subset(
    psnr=(39.16, 34.30, 39.21, 38.36, 38.63),
    mse=(24.94, 63.55, 17.33, 32.73, 24.99),
  ),
}

# Table 2, by the foreground's share of the image.
BY_RATIO: dict[str, dict[str, Numbers]] = {
  "composite": {
    "0-5 %": {"mse": 28.51, "fmse": 1208.86},
    "5-15 %": {"mse": 119.19, "fmse": 1323.23},
    "15-100 %": {"mse": 577.58, "fmse": 1887.05},
    "all": {"mse": 172.47, "fmse": 1387.30},
  },
  "HDNet-lite": {
    "0-5 %": {"mse": 6.45, "fmse": 289.71},
    "5-15 %": {"mse": 18.70, "fmse": 217.66},
    "15-100 %": {"mse": 76.56, "fmse": 243.58},
    "all": {"mse": 24.99, "fmse": 260.65},
  },
  "HDNet": {
    "0-5 %": {"mse": 4.35, "fmse": 199.56},
    "5-15 %": {"mse": 12.82, "fmse": 150.45},
    "15-100 %": {"mse": 49.18, "fmse": 159.82},
    "all": {"mse": 16.55, "fmse": 179.49},
  },
}

# Table 5, HAdobe5k in high resolution by image size.
HIGH_RESOLUTION: dict[int, dict[str, Numbers]] = {
  1024: {
    "HDNet": {"psnr": 41.56, "mse": 13.24, "fmse": 102.53, "ssim": 0.9931}
  },
  2048: {
    "HDNet": {"psnr": 41.29, "mse": 18.35, "fmse": 147.25, "ssim": 0.9911}
  },
}

_METHODS = {
  ("none", "none"): "Base",
  ("paper", "none"): "+LD",
  ("none", "spatial_attention"): "+SA",
  ("none", "mask"): "+MGD",
  ("paper", "learned_mask"): "HDNet*",
  ("paper", "mask"): "HDNet",
  ("official", "mask"): "HDNet",
}


def method_of(model: ModelConfig) -> str | None:
  """Return the paper's name of a network; None for one that is not in it."""
  parts = (model.local_dynamics, model.global_dynamics)
  name = _METHODS.get(parts) if model.neighbors == 1 else None
  if model.width == 8:
    return "HDNet-lite" if name == "HDNet" else None
  return name if model.width == 32 else None
