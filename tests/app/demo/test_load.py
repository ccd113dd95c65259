"""Fifty at once: all are answered or refused, and the memory stays as it is."""

import concurrent.futures
import io
import json
import time
import urllib.error
import urllib.request
import uuid

import numpy as np
import pytest
from PIL import Image

# Starting the server is most of it.
pytestmark = pytest.mark.slow

REQUESTS = 50
PATIENCE = 300  # seconds until an answer counts as missing
GROWTH = 1.15  # of the memory from one wave to the next, at most


def ask(url: str, data: bytes | None = None, kind: str = "application/json"):
  request = urllib.request.Request(url, data, {"Content-Type": kind})
  return urllib.request.urlopen(request, timeout=PATIENCE)


def upload(url: str, name: str, image: Image.Image) -> dict:
  """A file as the page's requests name it."""
  file = io.BytesIO()
  image.save(file, format="PNG")
  edge = uuid.uuid4().hex
  head = (
    f'--{edge}\r\nContent-Disposition: form-data; name="files"; '
    f'filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
  )
  data = head.encode() + file.getvalue() + f"\r\n--{edge}--\r\n".encode()
  kind = f"multipart/form-data; boundary={edge}"
  with ask(f"{url}upload", data, kind) as answer:
    (path,) = json.load(answer)
  return {"path": path, "meta": {"_type": "gradio.FileData"}}


def click(url: str, values: list) -> tuple[str, str]:
  """The last event of what the button starts, and its data."""
  body = json.dumps({"data": values}).encode()
  with ask(f"{url}call/harmonize", body) as answer:
    event = json.load(answer)["event_id"]
  with ask(f"{url}call/harmonize/{event}") as answer:
    *_, last = answer.read().decode().split("event: ")
  word, data = last.split("\ndata: ")
  return word, data


def harmonize(url: str, number: int) -> str:
  """Does what a click does; "done", or the words of a refusal or mistake."""
  rng = np.random.default_rng(number)
  noise = rng.integers(0, 256, (480, 640, 3)).astype(np.uint8)
  inside = np.zeros((480, 640), bool)
  inside[100:300, 200:400] = True
  photo = upload(url, "photo.png", Image.fromarray(noise))
  mask = upload(url, "mask.png", Image.fromarray(inside))
  place = [None, 50, 50, 50]
  values = [photo, "mask", mask, False, None, *place, 1, 0, False]
  try:
    word, data = click(url, values)
  except urllib.error.HTTPError as error:
    with error:
      return f"{error.code}: {json.load(error)['detail']}"
  if word != "complete":
    return data
  _, download, notes = json.loads(data)
  assert notes == ""
  with ask(download["value"]["url"]) as answer:
    after = np.asarray(Image.open(io.BytesIO(answer.read())))
  np.testing.assert_array_equal(after[~inside], noise[~inside])
  return "done"


def wave(url: str, first: int) -> list[str]:
  with concurrent.futures.ThreadPoolExecutor(REQUESTS) as pool:
    numbers = range(first, first + REQUESTS)
    return list(pool.map(lambda number: harmonize(url, number), numbers))


def test_two_waves(server):
  url = f"{server.wait()}gradio_api/"
  memory = []
  for first in (0, REQUESTS):
    start = time.monotonic()
    answers = wave(url, first)
    memory.append(server.resident())
    done = answers.count("done")
    refused = [answer for answer in answers if answer != "done"]
    print(
      f"{done} done, {len(refused)} refused in {time.monotonic() - start:.1f} s"
      f", {memory[-1] / 1e6:.0f} MB"
    )
    assert all("503: Queue is full" in answer for answer in refused), refused
    assert done >= 20  # those that may wait
    assert server.said().count("Traceback") == 0
  assert memory[1] <= GROWTH * memory[0]


def test_a_defect_is_told_on_the_terminal_only(server):
  url = f"{server.wait()}gradio_api/"
  photo = upload(url, "photo.png", Image.new("RGB", (64, 64)))
  mask = upload(url, "mask.png", Image.new("L", (64, 64), 255))
  # No slider gives None.
  rest = [None, None, 50, 50, 50, None, 0, False]
  word, data = click(url, [photo, "mask", mask, False, *rest])
  assert word == "error"
  assert json.loads(data) == {"error": None}
  assert "Traceback" in server.said()


def test_files_of_the_machine_are_not_given_away(server):
  """Only what was uploaded can be asked for."""
  url = f"{server.wait()}gradio_api/"
  with pytest.raises(urllib.error.HTTPError) as refused:
    ask(f"{url}file=/etc/passwd")
  with refused.value as answer:
    assert answer.code in (403, 404)


def test_stopping_leaves_nothing_behind(server):
  server.wait()
  assert list(server.temporary.glob("hdnet-demo-*"))
  assert server.stop() == 0
  assert not list(server.temporary.glob("hdnet-demo-*"))
