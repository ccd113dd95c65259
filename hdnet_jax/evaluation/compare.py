"""Compare evaluations image by image: the first run against each of the others.

Paired differences do not vary with how hard an image is, so their intervals
are narrower than those of two means.
"""

import dataclasses
import math
import operator
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdnet_jax.errors import UserError, nearest_name
from hdnet_jax.evaluation import bootstrap, journal
from hdnet_jax.evaluation.metrics import METRICS
from hdnet_jax.evaluation.tables import KINDS, Row, group

Key = tuple[str, str]  # subset and name of an image
_TOLERANCE = 1e-3  # relative, of the same composite on two devices


@dataclasses.dataclass(frozen=True)
class Run:
  """The rows of one protocol of an evaluation, by image."""

  label: str
  path: pathlib.Path
  rows: Mapping[Key, Row]


def read_runs(
  paths: Sequence[pathlib.Path], protocol: str | None = None
) -> tuple[str, list[Run]]:
  """Return the protocol, and the runs at `paths` under it.

  Args:
    paths: as `journal.find` takes them.
    protocol: by default "standard", or else the only one that all runs have.

  Raises:
    UserError: for fewer than two runs, a bad file, or no protocol to compare.
  """
  if len(paths) < 2:
    raise UserError("one run has nothing to compare it with; name two or more")
  files = [journal.find(path) for path in paths]
  labels = journal.labels_of(files)
  by_protocol = {
    path: group(journal.read(path), operator.itemgetter("protocol"))
    for path in files
  }
  protocol = _choose_protocol(protocol, by_protocol)
  return protocol, [
    Run(label, path, _by_image(rows[protocol], path))
    for label, (path, rows) in zip(labels, by_protocol.items(), strict=True)
  ]


def _choose_protocol(
  name: str | None, by_protocol: Mapping[pathlib.Path, Mapping[str, list[Row]]]
) -> str:
  for path, rows in by_protocol.items():
    if not rows:
      raise UserError(f"{path} has no rows; run hdnet evaluate again")
    if name is not None and name not in rows:
      raise UserError(
        f"{path} has no protocol {name!r}; {nearest_name(name, [*rows])}"
      )
  if name is not None:
    return name
  common = sorted(set.intersection(*map(set, by_protocol.values())))
  if "standard" in common:
    return "standard"
  if len(common) == 1:
    return common[0]
  if common:
    raise UserError(
      f"the runs have protocols {', '.join(common)}; choose one by --protocol"
    )
  have = "; ".join(
    f"{path} has {', '.join(sorted(rows))}"
    for path, rows in by_protocol.items()
  )
  raise UserError(
    f"no protocol is common to all runs: {have}; run hdnet evaluate again"
  )


def _by_image(rows: Sequence[Row], path: pathlib.Path) -> dict[Key, Row]:
  images: dict[Key, Row] = {}
  for row in rows:
    key = row["subset"], row["name"]
    if key in images:
      raise UserError(
        f"{path} has two images {title_of(key)}; give each a name of its own, "
        "then run hdnet evaluate again"
      )
    for kind in KINDS:
      for name in METRICS:
        value = row[f"{kind}_{name}"]
        # Only the PSNR may be infinite: of an image equal to its truth.
        if not (math.isfinite(value) or (name, value) == ("psnr", math.inf)):
          raise UserError(
            f"{path}: {kind}_{name} of {title_of(key)} is {value}, which is "
            "no measurement; run hdnet evaluate again"
          )
    images[key] = row
  return images


def compare(
  paths: Sequence[pathlib.Path], protocol: str | None = None, most: int = 10
) -> dict[str, Any]:
  """Return what compare.json holds: the first run against each of the others.

  Args:
    paths: runs, as `journal.find` takes them.
    most: images to list, of those that differ most in fMSE.

  Raises:
    UserError: as `read_runs` does, and for runs without a common image or of
      different composites.
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
    "comparisons": [_compare_pair(first, run, keys, most) for run in others],
  }


def _check_composites(first: Run, run: Run, keys: Sequence[Key]) -> None:
  for key in keys:
    for name in (f"composite_{name}" for name in METRICS):
      a, b = first.rows[key][name], run.rows[key][name]
      if not math.isclose(a, b, rel_tol=_TOLERANCE):
        raise UserError(
          f"{first.path} and {run.path} are not of the same composites: "
          f"{name} of {title_of(key)} is {a:.6g} and {b:.6g}; evaluate "
          "both on the same data, at the same size"
        )


def _compare_pair(
  first: Run, run: Run, keys: Sequence[Key], most: int
) -> dict[str, Any]:
  subsets = group(keys, lambda key: key[0])
  if len(subsets) < 2:
    subsets = {}
  return {
    "baseline": first.label,
    "run": run.label,
    "all": _changes(first, run, keys),
    "by_subset": {
      name: _changes(first, run, part) for name, part in subsets.items()
    },
    "most_different": _most_different(first, run, keys, most),
  }


def _changes(first: Run, run: Run, keys: Sequence[Key]) -> dict[str, Any]:
  changes: dict[str, Any] = {"images": len(keys)}
  for name, metric in METRICS.items():
    column = f"harmonized_{name}"
    pairs = np.array(
      [[r.rows[key][column] for r in (first, run)] for key in keys]
    )
    changes[name] = change(pairs, metric.more_is_better)
  return changes


def change(pairs: np.ndarray, more_is_better: bool) -> dict[str, Any]:
  """Return means, mean difference and wins of a metric's `pairs`, float [N, 2].

  Pairs with an infinite value are left out, and counted in `infinite`; where
  none is left, means and interval are None.
  """
  finite = pairs[np.isfinite(pairs).all(axis=1)]
  differences = finite[:, 1] - finite[:, 0]
  gains = differences if more_is_better else -differences
  summary = dict.fromkeys(("baseline", "run", "difference", "interval"))
  verdict = "unclear"
  if len(finite):
    columns = (finite[:, 0], finite[:, 1], differences)
    for name, column in zip(summary, columns, strict=False):
      summary[name] = math.fsum(column) / len(column)
    low, high = bootstrap.rounded(bootstrap.interval(differences))
    summary["interval"] = [low, high]
    # The interval of a single image has no width, and proves nothing.
    if len(finite) > 1 and (low > 0 or high < 0):
      verdict = "better" if (low > 0) == more_is_better else "worse"
  return {
    **summary,
    "verdict": verdict,
    "wins": int((gains > 0).sum()),
    "ties": int((gains == 0).sum()),
    "losses": int((gains < 0).sum()),
    "infinite": len(pairs) - len(finite),
  }


def _most_different(
  first: Run, run: Run, keys: Sequence[Key], most: int
) -> dict[str, list[dict[str, Any]]]:
  """List the images whose fMSE differs most, by whether `run` is better.

  Each kind gets half of `most`, or more where the other kind has fewer.
  """
  images: dict[str, list[dict[str, Any]]] = {"better": [], "worse": []}
  for key in keys:
    a, b = (r.rows[key]["harmonized_fmse"] for r in (first, run))
    if a != b:
      numbers = {"baseline": a, "run": b, "difference": b - a}
      images["better" if b < a else "worse"].append(
        {"subset": key[0], "name": key[1], **numbers}
      )
  for part in images.values():
    # Stable: equal differences stay in the order of subset and name.
    part.sort(key=lambda image: -abs(image["difference"]))
  # Of an odd number, the kind with the largest difference gets one more.
  less, more = sorted(
    images.values(),
    key=lambda part: abs(part[0]["difference"]) if part else 0,
  )
  del less[max(most // 2, most - len(more)) :]
  del more[most - len(less) :]
  return images


def title_of(key: Key) -> str:
  """Return an image's subset and name, joined by a slash."""
  return "/".join(part for part in key if part)
