"""Threads on a static server, the page without a network, new versions."""

import json
import re
import time

from skimage import data

PATIENCE = 60  # seconds

KEPT = """async () => {
  const kept = {};
  for (const name of await caches.keys()) {
    const requests = await (await caches.open(name)).keys();
    kept[name.split(" ").at(-1)] =
      requests.map(({ url }) => new URL(url).pathname);
  }
  return kept;
}"""


def wait_until_kept(page, version: int, *names: str) -> set[str]:
  """Waits until the version's files, and no other's, are kept: these, too."""
  deadline = time.monotonic() + PATIENCE
  while True:
    kept = page.evaluate(KEPT)
    files = set(kept.get(str(version), ()))
    if len(kept) == 1 and files.issuperset(f"/{name}" for name in names):
      return files
    assert time.monotonic() < deadline, kept
    page.wait_for_timeout(100)


def test_threads(example):
  example.says("Ready")
  page = example.page
  assert page.evaluate("crossOriginIsolated")
  cores = min(page.evaluate("navigator.hardwareConcurrency"), 8)
  example.says(f"processor, {cores} thread")
  assert page.locator("#note").text_content() == ""


def test_without_the_network(server, visit):
  with visit() as example:
    example.says("Ready")
    kept = wait_until_kept(example.page, 1, "hdnet.onnx", "worker.js")
    assert any(name.endswith(".wasm") for name in kept)
    server.stop()
    example.page.reload()
    example.open_photo(data.astronaut())
    assert example.page.evaluate("crossOriginIsolated")


def test_what_is_new_is_taken_at_once(folder, visit):
  with visit() as example:
    example.says("Ready")
    wait_until_kept(example.page, 1, "hdnet.onnx")
    (folder / "hdnet.onnx").write_text("no network at all")
    example.page.reload()
    example.says("hdnet.onnx cannot be read")


def test_a_new_version_replaces_the_old(folder, server, visit):
  script = folder / "service-worker.js"
  with visit() as example:
    page = example.page
    example.says("Ready")
    before = wait_until_kept(page, 1, "hdnet.onnx", "small.js", "icon.svg")
    (folder / "icon.svg").unlink()
    index = folder / "index.html"
    index.write_text(index.read_text().replace("<h1>Make", "<h1>Now make"))
    text, count = re.subn("VERSION = 1;", "VERSION = 2;", script.read_text())
    assert count == 1
    script.write_text(text)
    page.reload()
    # All is there without a visit more, but for what the server no longer has.
    assert before - wait_until_kept(page, 2, "hdnet.onnx") == {"/icon.svg"}
    server.stop()
    page.reload()
    example.says("Ready")
    assert page.get_by_role("heading", name="Now make").is_visible()


def test_where_no_service_worker_can_be(visit):
  with visit() as example:
    example.says("Ready")
    example.page.add_init_script(
      "Object.defineProperty(navigator, 'serviceWorker', { value: undefined })"
    )
    example.page.reload()
    example.says("Ready")
    note = example.page.locator("#note").text_content()
    assert "allows no service worker" in note


def test_it_can_be_installed(example, folder):
  example.says("Ready")
  devtools = example.page.context.new_cdp_session(example.page)
  manifest = devtools.send("Page.getAppManifest")
  assert not manifest["errors"]
  found = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
  # Visitors of tests are incognito, for whom nothing is installed.
  assert [error["errorId"] for error in found] in ([], ["in-incognito"])
  for icon in json.loads(manifest["data"])["icons"]:
    assert (folder / icon["src"]).is_file()
