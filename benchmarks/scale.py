"""iHarmony4 in full: prepares as many triplets, killed in between; evaluates.

    python benchmarks/scale.py --share 0.02
    python benchmarks/scale.py --folder BIG_DISK --json scale.json

Makes a data set in iHarmony4's layout, with as many triplets in every subset
and split: 73,146, of which 7,404 are for the test, of the sizes in SUBSETS.
Their files are links to a few that are made of scikit-image's photos, so that
they take no room. Then, as a person would,

    prepare    `hdnet prepare iharmony4`: killed at half, and started again
    evaluate   `hdnet evaluate --config=hdnet_lite` with the released weights

and prints the time of each, the largest space on disk, and resident memory as
it goes; then what `evaluation.py` (an evaluation against the network's forward
passes alone) and `input_pipeline.py` print for what was prepared. --share takes
a part of all subsets. All is deleted in the end.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import common
import numpy as np
from PIL import Image

# By subset: triplets for training and test, and the photos' size.
SUBSETS = {
  "HCOCO": (38_545, 4_283, (640, 480)),
  "HAdobe5k": (19_437, 2_160, (3000, 2000)),
  "HFlickr": (7_449, 828, (1024, 683)),
  "Hday2night": (311, 133, (640, 480)),
}
PHOTOS = "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"
VARIANTS = 4  # of every photo, in a subset
PAUSE = 2.0  # seconds from one look at disk and memory to the next
HDNET = sys.executable, "-m", "hdnet_jax.app.cli.main"


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("--share", type=float, default=1.0, help="(default: 1)")
  weights = {"type": pathlib.Path, "default": pathlib.Path("hdnet-lite")}
  parser.add_argument("--weights", help="(default: hdnet-lite)", **weights)
  parser.add_argument("--folder", type=pathlib.Path, help="(default: /tmp's)")
  common.add_common_flags(parser, official=False)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  with tempfile.TemporaryDirectory(dir=args.folder) as name:
    folder = pathlib.Path(name)
    train, test = make_data(folder / "data", args.share)
    print(f"{train + test:,} triplets, {test:,} for the test", flush=True)
    rows = [
      *prepare(folder, train + test),
      evaluate(folder, args.weights, test),
    ]
    print_rows(rows)
    common.write_json(args.json, machine, args, rows)
    root = "--root", str(folder / "prepared")
    run("evaluation", *root, "--source", "iharmony4", "--count", "480")
    run("input_pipeline", *root, "--images", str(min(train, 1200)))
    run("input_pipeline", *root, "--storage")


def print_rows(rows: list[dict]) -> None:
  common.print_table(
    ("step", "images", "seconds", "images/s", "most on disk", "memory"),
    [
      (
        row["step"],
        f"{row['images']:,}",
        f"{row['seconds']:.0f}",
        common.short(row["images"] / row["seconds"]),
        common.gigabytes(row["disk"]),
        ", ".join(common.gigabytes(value) for value in row["memory"]),
      )
      for row in rows
    ],
  )
  print("Memory is resident, of all processes, after each quarter of the time.")


def run(script: str, *arguments: str) -> None:
  """Run another script, which prints what it measures."""
  print(f"\n{script}.py:", flush=True)
  file = pathlib.Path(__file__).with_name(f"{script}.py")
  subprocess.run([sys.executable, str(file), *arguments], check=True)


def make_data(root: pathlib.Path, share: float) -> tuple[int, int]:
  """Make the data set; return its triplets for training and test."""
  lists: dict[str, list[str]] = {"train": [], "test": []}
  for subset, (train, test, size) in SUBSETS.items():
    folders = [
      root / subset / name
      for name in ("composite_images", "masks", "real_images")
    ]
    for folder in folders:
      folder.mkdir(parents=True)
    sources = make_sources(root / "sources" / subset, size)
    counts = {"train": train, "test": test}
    number = 0
    for split, count in counts.items():
      for _ in range(max(1, round(share * count))):
        # A photo of its own for each: nothing is read once for several.
        names = f"p{number}_1_1.jpg", f"p{number}_1.png", f"p{number}.jpg"
        source = sources[number % len(sources)]
        for folder, name, file in zip(folders, names, source, strict=True):
          os.link(file, folder / name)
        lists[split].append(f"{subset}/composite_images/{names[0]}")
        number += 1
  for split, lines in lists.items():
    (root / f"IHD_{split}.txt").write_text("\n".join(lines) + "\n")
  return len(lists["train"]), len(lists["test"])


def make_sources(
  folder: pathlib.Path, size: tuple[int, int]
) -> list[tuple[pathlib.Path, ...]]:
  """Make the files that are linked to: composite, mask and photo."""
  import skimage

  folder.mkdir(parents=True)
  rng = np.random.default_rng(0)
  y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
  inside = np.hypot(y, x) < 0.5
  sources = []
  for photo in PHOTOS:
    # The package keeps these files inside of itself.
    path = pathlib.Path(skimage.__file__).parent / "data" / photo
    with Image.open(path) as image:
      pixels = np.asarray(image.convert("RGB").resize(size), np.int16)
    for variant in range(VARIANTS):
      noise = rng.normal(0, 2, (*pixels.shape[:2], 1)).round().astype(np.int16)
      real = (pixels + noise).clip(0, 255)
      composite = np.where(inside[..., None], real * 3 // 4, real)
      stem = f"{pathlib.Path(photo).stem}{variant}"
      paths = (
        folder / f"{stem}_1_1.jpg",
        folder / f"{stem}_1.png",
        folder / f"{stem}.jpg",
      )
      for path, values in zip(
        paths, (composite, 255 * inside, real), strict=True
      ):
        Image.fromarray(values.astype(np.uint8)).save(path, quality=90)
      sources.append(paths)
  return sources


def prepare(folder: pathlib.Path, images: int) -> list[dict]:
  command = (
    *(*HDNET, "prepare", "iharmony4", "--root", str(folder / "data")),
    *("--output", str(folder / "prepared")),
  )
  chunks = 0

  def half() -> bool:
    nonlocal chunks
    chunks = len(list((folder / "prepared").rglob("*.zip")))
    return chunks * chunk_length() >= images / 2

  killed = watch(command, folder / "prepared", until=half)
  resumed = watch(command, folder / "prepared")
  first = min(images, chunks * chunk_length())
  return [
    {"step": "prepare, killed", "images": first, **killed},
    {"step": "the rest", "images": images - first, **resumed},
  ]


def chunk_length() -> int:
  from hdnet_jax.data.prepare.checks import Options

  return Options().chunk


def evaluate(folder: pathlib.Path, weights: pathlib.Path, images: int) -> dict:
  command = (
    *(*HDNET, "evaluate", "--config=hdnet_lite", f"--weights={weights}"),
    f"--config.data.root={folder / 'prepared'}",
    f"--output={folder / 'evaluation'}",
  )
  found = watch(command, folder / "evaluation")
  return {"step": "evaluate", "images": images, **found}


def watch(command, disk: pathlib.Path, until=lambda: False) -> dict:
  """Run a command, kill it where `until` says so; tell what it took."""
  began = time.monotonic()
  process = subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    start_new_session=True,
  )
  output: list[str] = []
  reader = threading.Thread(target=lambda: output.extend(process.stdout))
  reader.start()
  most, memory, killed = 0, [], False
  while process.poll() is None:
    most = max(most, space(disk))
    memory.append(resident(process.pid))
    if until():
      os.killpg(process.pid, signal.SIGKILL)
      killed = True
      process.wait()
    time.sleep(PAUSE)
  seconds = time.monotonic() - began
  reader.join()
  if process.returncode and not killed:
    sys.exit(f"{' '.join(command)} failed:\n{''.join(output)}")
  quarters = [memory[len(memory) * k // 4 - 1] for k in (1, 2, 3, 4)]
  return {"seconds": seconds, "disk": most, "memory": quarters}


def space(folder: pathlib.Path) -> int:
  """Bytes that files take on disk; some may go meanwhile."""
  total = 0
  for path in folder.rglob("*"):
    try:
      total += 512 * path.lstat().st_blocks
    except FileNotFoundError:
      continue
  return total


def resident(group: int) -> int:
  """Bytes in memory of a session's processes (Linux)."""
  total = 0
  for path in pathlib.Path("/proc").glob("[0-9]*"):
    try:
      if os.getpgid(int(path.name)) == group:
        pages = int((path / "statm").read_text().split()[1])
        total += pages * os.sysconf("SC_PAGE_SIZE")
    except (ProcessLookupError, FileNotFoundError):
      continue
  return total


if __name__ == "__main__":
  main()
