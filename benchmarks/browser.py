"""Times the page examples/web in headless Chromium, a photo at a time.

    python benchmarks/browser.py
    python benchmarks/browser.py --size 4000x3000 --weights FILE --runs 10

It needs `pip install ".[demo]" playwright`, a Chromium on the path, and `npm
install --prefix examples/web`. The photo is one of scikit-image, resized, with
an ellipse on a fifth of it as the object. "page" is what the page itself says,
from the press of its button until the result is on the page, of which "network"
is ONNX Runtime Web's; photo and mask are opened anew for each run, and the
first is apart. "strength" is from a move of that slider on.
"""

import argparse
import functools
import http.server
import pathlib
import re
import shutil
import sys
import tempfile
import threading

import numpy as np
from common import limit_threads, make_parser
from environment import describe_machine
from PIL import Image

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "web"
SAID = re.compile(r"([\d.]+) s, of which the network ([\d.]+) s")


def main():
  parser = make_parser(__doc__)
  parser.add_argument(
    "--size",
    nargs="+",
    default=["512x384", "1852x1274", "4000x3000"],
    metavar="WxH",
    help="of the photos (default: 512x384 1852x1274 4000x3000)",
  )
  parser.add_argument("--weights", default="hdnet-lite")
  parser.add_argument("--runs", type=int, default=5, help="(default: 5)")
  parser.add_argument("--threads", type=int, help="to run on (default: all)")
  args = parser.parse_args()
  if not (EXAMPLE / "node_modules").is_dir():
    parser.error(
      "ONNX Runtime Web is missing: npm install --prefix examples/web"
    )
  limit_threads(parser, args.threads)
  print(
    "  ".join(f"{name} {value}" for name, value in describe_machine().items())
  )
  with tempfile.TemporaryDirectory() as folder:
    measure(pathlib.Path(folder), args)


def measure(folder: pathlib.Path, args: argparse.Namespace) -> None:
  from playwright.sync_api import sync_playwright

  from hdnet_jax.app.cli import main as cli

  web = folder / "web"
  left_out = shutil.ignore_patterns("node_modules", "*.onnx")
  shutil.copytree(EXAMPLE, web, ignore=left_out)
  (web / "node_modules").symlink_to(EXAMPLE / "node_modules")
  cli.main(["export", args.weights, str(web / "hdnet.onnx"), "--uint8"])
  with (
    http.server.ThreadingHTTPServer(
      ("127.0.0.1", 0), functools.partial(Quiet, directory=web)
    ) as server,
    sync_playwright() as playwright,
  ):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # A root user's Chromium needs this; it sees our own page only.
    browser = playwright.chromium.launch(
      executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    print(f"Chromium {browser.version}, headless; seconds a photo")
    columns = ("size", 10), ("first", 6), ("page", 6), ("network", 8)
    titles = [f"{name:>{width}s}" for name, width in columns]
    print(*titles, f"{'strength':>9s}")
    for size in args.size:
      photo, mask = pictures(folder, *map(int, size.split("x")))
      page = browser.new_page()
      page.goto(f"http://127.0.0.1:{server.server_port}/")
      page.set_default_timeout(120_000)
      ready = page.locator("#status").get_by_text("Ready")
      print(f"# {ready.text_content()}", file=sys.stderr)
      runs = []
      for _ in range(1 + args.runs):
        open_pictures(page, photo, mask)
        runs.append((*seconds(page), strength_seconds(page)))
      whole, network, strength = np.median(runs[1:], axis=0)
      print(
        f"{size:>10s} {runs[0][0]:6.2f} {whole:6.2f} {network:8.2f} "
        f"{strength:9.2f}"
      )
      page.close()
    browser.close()
    server.shutdown()


def pictures(folder: pathlib.Path, width: int, height: int):
  """Files of a photo and of its object's mask."""
  from skimage import data

  photo, mask = folder / "photo.png", folder / "mask.png"
  Image.fromarray(data.coffee()).resize((width, height)).save(photo)
  y, x = np.mgrid[:height, :width]
  inside = np.hypot(y / height - 0.5, x / width - 0.5) < np.sqrt(0.2 / np.pi)
  Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).save(mask)
  return photo, mask


def open_pictures(page, photo: pathlib.Path, mask: pathlib.Path) -> None:
  status = page.locator("#status")
  # The same file again is no change.
  page.locator("#photo").evaluate("input => { input.value = ''; }")
  page.locator("#photo").set_input_files(photo)
  status.get_by_text("Paint what is to change").wait_for()
  page.locator("#mask").set_input_files(mask)
  status.get_by_text("The mask is").wait_for()


def seconds(page) -> tuple[float, float]:
  """Of a run, all of it and the network, as the page says them."""
  page.locator("#run").click()
  status = page.locator("#status").get_by_text(SAID)
  status.wait_for()
  whole, network = SAID.search(status.text_content()).groups()
  return float(whole), float(network)


def strength_seconds(page) -> float:
  """Of another strength for the result."""
  slider = page.locator("#strength")
  slider.fill("50" if slider.input_value() == "100" else "100")
  status = page.locator("#status").get_by_text("s, without the network")
  return float(status.text_content().split()[0])


class Quiet(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *_):
    pass


if __name__ == "__main__":
  main()
