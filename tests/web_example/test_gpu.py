"""Where WebGPU fails, the processor does the work, and the page says why."""

# As in a browser whose GPU refuses.
BROKEN = """
Object.defineProperty(navigator, "gpu", { value: {
  requestAdapter: async () => ({ info: {}, limits: {}, features: new Set(),
    requestDevice: async () => { throw new Error("no such device"); } }),
  getPreferredCanvasFormat: () => "bgra8unorm",
} });
"""


def test_a_gpu_that_fails_is_told(folder, visit):
  worker = folder / "worker.js"
  before, start, after = worker.read_text().partition("const network = load")
  worker.write_text(before + BROKEN + start + after)
  with visit() as example:
    example.says("Ready (processor")
    note = example.page.locator("#note").text_content()
    assert "WebGPU failed, so the processor does the work" in note


def test_a_gpu_that_is_asked_for_and_missing_is_told(visit):
  with visit("?engine=webgpu") as example:
    example.says("Ready")
    note = example.page.locator("#note").text_content()
    assert "WebGPU failed" in note
