"""Evaluations side by side: images in pairs, the first run against each other.

Pairs tell more than two means do: how hard an image is falls out of a
difference, and with it most of the interval's width.
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdnet_jax.errors import UserError, nearest_name
from hdnet_jax.evaluation import journal
from hdnet_jax.evaluation.bootstrap import interval
from hdnet_jax.evaluation.tables import Row, group

Key = tuple[str, str]  # subset and name of an image
# Title, whether more is better, and the digits of means and of differences.
METRICS = {
  "psnr": ("PSNR ↑", True, 2, 3),
  "mse": ("MSE ↓", False, 2, 2),
  "fmse": ("fMSE ↓", False, 2, 2),
  "ssim": ("SSIM ↑", True, 4, 5),
}
_SAME = 1e-3  # relative: what devices may differ by in the same composite


@dataclasses.dataclass(frozen=True)
class Run:
  """The rows of one protocol of an evaluation, by image."""

  label: str
  path: pathlib.Path
  rows: Mapping[Key, Row]


def find(path: pathlib.Path) -> pathlib.Path:
  """The per_image.csv that `path` is, holds, or has in evaluation/.

  Raises:
    UserError: where there is none.
  """
  if path.is_file():
    return path
  for folder in (path, path / "evaluation"):
    if (folder / journal.NAME).is_file():
      return folder / journal.NAME
  what = "holds no" if path.is_dir() else "does not exist: no"
  raise UserError(
    f"{path} {what} {journal.NAME} or evaluation/{journal.NAME}; evaluate "
    "first: eval.py"
  )


def labels_of(files: Sequence[pathlib.Path]) -> list[str]:
  """What tables call each file: its run's folder, by as much as tells it apart.

  Raises:
    UserError: for a file that is given twice.
  """
  files = [path.resolve() for path in files]
  for path in files:
    if files.count(path) > 1:
      raise UserError(f"{path} is given twice; compare it with another run")
  homes = [
    path.parents[1] if path.parent.name == "evaluation" else path.parent
    for path in files
  ]
  # A folder with several such files tells none of them apart.
  homes = [
    path if homes.count(home) > 1 else home
    for path, home in zip(files, homes, strict=True)
  ]

  def label(home: pathlib.Path) -> str:
    for length in range(1, len(home.parts)):
      end = home.parts[-length:]
      if sum(other.parts[-length:] == end for other in homes) == 1:
        return "/".join(end)
    return str(home)

  return [label(home) for home in homes]


def read_runs(
  paths: Sequence[pathlib.Path], protocol: str | None = None
) -> tuple[str, list[Run]]:
  """The protocol, and what the runs at `paths` have of it.

  Args:
    protocol: by default "standard", or else the only one that all runs have.

  Raises:
    UserError: for fewer than two runs, a bad file, or no protocol to compare.
  """
  if len(paths) < 2:
    raise UserError("one run has nothing to compare it with; name two or more")
  files = [find(path) for path in paths]
  labels = labels_of(files)
  parts = [
    group(journal.read(path), lambda row: row["protocol"]) for path in files
  ]
  protocol = _choose(protocol, files, parts)
  return protocol, [
    Run(label, path, _by_image(part[protocol], path))
    for label, path, part in zip(labels, files, parts, strict=True)
  ]


def _choose(
  wanted: str | None,
  files: Sequence[pathlib.Path],
  parts: Sequence[Mapping[str, list[Row]]],
) -> str:
  for path, part in zip(files, parts, strict=True):
    if not part:
      raise UserError(f"{path} has no rows; evaluate again with eval.py")
    if wanted is not None and wanted not in part:
      raise UserError(
        f"{path} has no protocol {wanted!r}; {nearest_name(wanted, [*part])}"
      )
  common = sorted(set.intersection(*(set(part) for part in parts)))
  if wanted is not None:
    return wanted
  if "standard" in common or len(common) == 1:
    return "standard" if "standard" in common else common[0]
  if common:
    raise UserError(
      f"the runs have protocols {', '.join(common)}; choose one by --protocol"
    )
  have = "; ".join(
    f"{path} has {', '.join(sorted(part))}"
    for path, part in zip(files, parts, strict=True)
  )
  raise UserError(
    f"no protocol is common to all runs: {have}; evaluate again with eval.py"
  )


def _by_image(rows: Sequence[Row], path: pathlib.Path) -> dict[Key, Row]:
  images: dict[Key, Row] = {}
  for row in rows:
    key = row["subset"], row["name"]
    if key in images:
      raise UserError(
        f"{path} has two images {title_of(key)}; give each a name of its own, "
        "then evaluate again with eval.py"
      )
    for kind in ("composite", "harmonized"):
      for name in METRICS:
        value = row[f"{kind}_{name}"]
        # An image equal to its truth; nothing else is infinite.
        perfect = name == "psnr" and value == math.inf
        if not (math.isfinite(value) or perfect):
          raise UserError(
            f"{path}: {kind}_{name} of {title_of(key)} is {value}, which is no "
            "measurement; evaluate again with eval.py"
          )
    images[key] = row
  return images


def compare(
  paths: Sequence[pathlib.Path], protocol: str | None = None, most: int = 10
) -> dict[str, Any]:
  """What compare.json holds: the first run against each of the others.

  Args:
    paths: runs, as `find` takes them.
    most: images to list, of those that differ most in fMSE.

  Raises:
    UserError: for what `read_runs` refuses, and for runs without a common
      image or of different composites.
  """
  protocol, runs = read_runs(paths, protocol)
  every = set().union(*(run.rows for run in runs))
  keys = sorted(key for key in every if all(key in run.rows for run in runs))
  if not keys:
    raise UserError(
      f"no image is in all of {', '.join(str(run.path) for run in runs)}; "
      "compare evaluations of the same data"
    )
  first, *others = runs
  for run in others:
    _check_composites(first, run, keys)
  return {
    "protocol": protocol,
    "runs": [run.label for run in runs],
    "images": len(keys),
    "left_out": len(every) - len(keys),
    "comparisons": [_against(first, run, keys, most) for run in others],
  }


def _check_composites(first: Run, run: Run, keys: Sequence[Key]) -> None:
  for key in keys:
    for name in (f"composite_{name}" for name in METRICS):
      ours, theirs = first.rows[key][name], run.rows[key][name]
      if not math.isclose(ours, theirs, rel_tol=_SAME):
        raise UserError(
          f"{first.path} and {run.path} are not of the same composites: "
          f"{name} of {title_of(key)} is {ours:.6g} and {theirs:.6g}; evaluate "
          "both on the same data, at the same size"
        )


def _against(
  first: Run, run: Run, keys: Sequence[Key], most: int
) -> dict[str, Any]:
  subsets: dict[str, list[Key]] = {}
  for key in keys:
    subsets.setdefault(key[0], []).append(key)
  if len(subsets) < 2:
    subsets = {}
  parts = {name: _changes(first, run, part) for name, part in subsets.items()}
  return {
    "baseline": first.label,
    "run": run.label,
    "all": _changes(first, run, keys),
    "by_subset": parts,
    "most_different": _most_different(first, run, keys, most),
  }


def _changes(first: Run, run: Run, keys: Sequence[Key]) -> dict[str, Any]:
  """By metric, how `run` differs from `first` over these images."""
  changes: dict[str, Any] = {"images": len(keys)}
  for name in METRICS:
    pairs = np.array(
      [
        [each.rows[key][f"harmonized_{name}"] for each in (first, run)]
        for key in keys
      ]
    )
    changes[name] = change(pairs, METRICS[name][1])
  return changes


def change(pairs: np.ndarray, more_is_better: bool) -> dict[str, Any]:
  """Means, mean difference and wins of a metric's `pairs`, float [N, 2].

  Pairs with an infinite value are left out, and counted in `infinite`; where
  none is left, means and interval are None.
  """
  finite = pairs[np.isfinite(pairs).all(axis=1)]
  differences = finite[:, 1] - finite[:, 0]
  gains = differences if more_is_better else -differences
  values = dict.fromkeys(("baseline", "run", "difference", "interval"))
  verdict = "unclear"
  if len(finite):
    values["baseline"] = _mean(finite[:, 0])
    values["run"] = _mean(finite[:, 1])
    values["difference"] = _mean(differences)
    # Ten digits: what is behind them is the order of summation.
    low, high = (float(f"{bound:.10g}") for bound in interval(differences))
    values["interval"] = [low, high]
    # Other images may be unlike a single one, whose interval has no width.
    if len(finite) > 1 and (low > 0 or high < 0):
      verdict = "better" if (low > 0) == more_is_better else "worse"
  return {
    **values,
    "verdict": verdict,
    "wins": int((gains > 0).sum()),
    "ties": int((gains == 0).sum()),
    "losses": int((gains < 0).sum()),
    "infinite": len(pairs) - len(finite),
  }


def _mean(values: np.ndarray) -> float:
  return math.fsum(values) / len(values)


def _most_different(
  first: Run, run: Run, keys: Sequence[Key], most: int
) -> dict[str, list[dict[str, Any]]]:
  """The images whose fMSE differs most, those better and those worse in `run`.

  Half of them each, or more of one kind where the other has fewer: of a run
  that is better all over, what became worse is still to be seen.
  """
  images: dict[str, list[dict[str, Any]]] = {"better": [], "worse": []}
  for key in keys:
    ours, theirs = (each.rows[key]["harmonized_fmse"] for each in (first, run))
    if ours != theirs:
      images["better" if theirs < ours else "worse"].append(
        {
          **dict(zip(("subset", "name"), key, strict=True)),
          "baseline": ours,
          "run": theirs,
          "difference": theirs - ours,
        }
      )
  for part in images.values():
    # Of equal differences, in the order of subset and name.
    part.sort(key=lambda image: -abs(image["difference"]))
  # Of an odd number, the kind with the largest difference has one more.
  less, more = sorted(
    images.values(),
    key=lambda part: abs(part[0]["difference"]) if part else 0,
  )
  del less[max(most // 2, most - len(more)) :]
  del more[most - len(less) :]
  return images


def title_of(key: Key) -> str:
  return "/".join(part for part in key if part)
