"""The paper's numbers, to print beside ours: protocol `paper`, iHarmony4.

PSNR in dB, MSE and fMSE on 0 to 255, all over the test split (7,404 images).
"""

from collections.abc import Mapping

from hdnet_jax.config import ModelConfig

Numbers = Mapping[str, float]

_SUBSETS = ("HAdobe5k", "HFlickr", "HCOCO", "Hday2night", "all")


def _by_subset(*pairs: tuple[float, float]) -> dict[str, Numbers]:
  return {
    subset: {"psnr": psnr, "mse": mse}
    for subset, (psnr, mse) in zip(_SUBSETS, pairs, strict=True)
  }


# Tables 1 and 3. The method's name, then its numbers by subset.
BY_SUBSET: dict[str, dict[str, Numbers]] = {
  "composite": _by_subset(
    (28.16, 345.54),
    (28.32, 264.35),
    (33.94, 69.37),
    (34.01, 109.65),
    (31.63, 172.47),
  ),
  "Base": _by_subset(
    (38.83, 24.33),
    (34.05, 65.77),
    (39.27, 17.51),
    (38.15, 34.08),
    (38.53, 25.20),
  ),
  "+LD": _by_subset(
    (40.96, 14.79),
    (35.57, 51.51),
    (40.82, 12.44),
    (38.45, 32.79),
    (40.23, 17.64),
  ),
  "+SA": _by_subset(
    (40.46, 15.89),
    (35.33, 55.46),
    (40.38, 13.08),
    (39.00, 32.30),
    (39.81, 19.19),
  ),
  "+MGD": _by_subset(
    (40.81, 16.37),
    (35.36, 55.56),
    (40.75, 12.82),
    (38.82, 32.44),
    (40.13, 18.99),
  ),
  "HDNet*": _by_subset(
    (41.03, 14.39),
    (35.79, 48.46),
    (40.91, 11.94),
    (38.80, 30.69),
    (40.34, 17.08),
  ),
  "HDNet": _by_subset(
    (41.17, 13.58),
    (35.81, 47.39),
    (41.04, 11.60),
    (38.85, 31.97),
    (40.46, 16.55),
  ),
  "HDNet-lite": _by_subset(
    (39.16, 24.94),
    (34.30, 63.55),
    (39.21, 17.33),
    (38.36, 32.73),
    (38.63, 24.99),
  ),
}

# Table 2: by the foreground's share of the image.
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

# Table 5: HAdobe5k in high resolution, by image size.
HIGH_RESOLUTION: dict[int, dict[str, Numbers]] = {
  1024: {
    "HDNet": {"psnr": 41.56, "mse": 13.24, "fmse": 102.53, "ssim": 0.9931}
  },
  2048: {
    "HDNet": {"psnr": 41.29, "mse": 18.35, "fmse": 147.25, "ssim": 0.9911}
  },
}

_FULL = {
  ("none", "none"): "Base",
  ("paper", "none"): "+LD",
  ("none", "spatial_attention"): "+SA",
  ("none", "mask"): "+MGD",
  ("paper", "learned_mask"): "HDNet*",
  ("paper", "mask"): "HDNet",
  ("official", "mask"): "HDNet",
}


def method_of(model: ModelConfig) -> str | None:
  """The paper's name of a network; None for one that it does not have."""
  parts = (model.local_dynamics, model.global_dynamics)
  name = _FULL.get(parts) if model.neighbors == 1 else None
  if model.width == 8:
    return "HDNet-lite" if name == "HDNet" else None
  return name if model.width == 32 else None
