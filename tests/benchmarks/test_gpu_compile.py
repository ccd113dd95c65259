"""What a program starts on a GPU, counted in XLA's text of it."""

PROGRAM = """
HloModule jit_step, is_scheduled=true

%fused_add (a: f32[2], b: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0)
  %b = f32[2]{0} parameter(1)
  ROOT %sum = f32[2]{0} add(%a, %b)
}

%larger (x: f32[], y: f32[]) -> pred[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %gt = pred[] compare(%x, %y), direction=GT
}

%body (state: (s32[], f32[2])) -> (s32[], f32[2]) {
  %state = (s32[], f32[2]{0}) parameter(0)
  %value = f32[2]{0} get-tuple-element(%state), index=1
  %sorted = f32[2]{0} sort(%value), dimensions={0}, to_apply=%larger
  %one = f32[2]{0} fusion(%sorted), kind=kLoop, calls=%fused_add
  ROOT %next = (s32[], f32[2]{0}) tuple(%one, %one)
}

%condition (state: (s32[], f32[2])) -> pred[] {
  %state.1 = (s32[], f32[2]{0}) parameter(0)
  ROOT %less = pred[] fusion(%state.1), kind=kLoop, calls=%fused_add
}

%command_buffer (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  %d = (f32[2], s8[4]) custom-call(%p), custom_call_target="__cublas$gemm"
  ROOT %copied = f32[2]{0} copy(%p)
}

%same (q: f32[2]) -> f32[2] {
  %q = f32[2]{0} parameter(0)
  ROOT %again = f32[2]{0} fusion(%q), kind=kLoop, calls=%fused_add
}

%other (r: f32[2]) -> f32[2] {
  ROOT %r = f32[2]{0} parameter(0)
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x.1 = f32[2]{0} parameter(0)
  %c = (f32[2], u8[0]) custom-call(%x.1), custom_call_target="__cudnn$conv"
  %called = f32[2]{0} call(%x.1), to_apply=%command_buffer
  %loop = (s32[], f32[2]{0}) while(%x.1), condition=%condition, body=%body
  %either = f32[2]{0} conditional(%x.1, %x.1, %x.1), \
branch_computations={%other, %same}
  %or = f32[2]{0} conditional(%x.1, %x.1, %x.1), true_computation=%same, \
false_computation=%other
  ROOT %end = f32[2]{0} fusion(%called, /*index=1*/%x.1), kind=kLoop, \
calls=%fused_add
}
"""


def test_what_is_missing_is_named(tmp_path, load, fails, monkeypatch):
  script = load("gpu_compile")
  monkeypatch.setattr(script.environment, "version_of", {"jax": "1.2"}.get)
  assert fails("gpu_compile", "--record", tmp_path / "gpu.jsonl").endswith(
    "needs a compiler: pip install jax-cuda12-plugin==1.2 "
    "jax-cuda12-pjrt==1.2 nvidia-cuda-nvcc-cu12"
  )
  missing = tmp_path / "no"
  assert fails("gpu_compile", "--record", missing / "gpu.jsonl").endswith(
    f"there is no folder {missing}"
  )


def test_the_kernels_of_a_program(load):
  found = load("kernels").count(PROGRAM)
  assert found == {
    "cuDNN": 1,
    "cuBLAS": 1,
    "fused": 5,  # two of them in branches
    "others": 2,  # the copy and the sort
    "in loops": 3,
    # Of the products and the convolution 20 and 16; 16 each of the copy, the
    # sort and three fusions, 24 of that of two arrays; one of the loop's state
    # of 12 gives a bool.
    "bytes": 20 + 16 + 5 * 16 + 24 + 13,
  }
