import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.model import conv, cpu_convolution, plain_convolution

SIZES = [(1, 1, 3, 2), (2, 3, 1, 4), (5, 4, 3, 2)]  # height, width, in, out


def make(rng, height, width, inputs, outputs, size):
  x = rng.normal(size=(2, height, width, inputs)).astype(np.float32)
  kernel = rng.normal(size=(size, size, inputs, outputs)).astype(np.float32)
  return x, kernel


@pytest.mark.parametrize(
  ("name", "size", "shape"),
  [
    # Height, width, in, out. Both forms of a 3x3 convolution, with either
    # side the wider one; odd sizes; an odd batch is below.
    ("same", 3, (5, 8, 3, 8)),
    ("same", 3, (3, 16, 9, 2)),
    ("same", 3, (5, 7, 4, 3)),
    ("same", 3, (5, 4, 3, 9)),
    ("same", 3, (1, 1, 3, 2)),
    ("halve", 4, (6, 4, 3, 5)),
    ("halve", 4, (2, 2, 1, 4)),
    *(("double", 4, shape) for shape in SIZES),
  ],
)
@pytest.mark.parametrize("batch", [1, 4])
def test_cpu_forms_are_the_plain_ones(rng, name, size, shape, batch):
  height, width, inputs, outputs = shape
  x = rng.normal(size=(batch, height, width, inputs)).astype(np.float32)
  kernel = rng.normal(size=(size, size, inputs, outputs)).astype(np.float32)

  def run(module):
    y, backward = jax.vjp(getattr(module, name), x, kernel)
    weights = np.random.default_rng(1).normal(size=y.shape)
    return y, *backward(weights.astype(np.float32))

  for ours, plain in zip(
    run(cpu_convolution), run(plain_convolution), strict=True
  ):
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", SIZES)
def test_the_plain_double_has_the_gradients_of_the_dilated_sum(rng, shape):
  x, kernel = make(rng, *shape, 4)

  def dilated(x, kernel):
    return plain_convolution.convolve(x, kernel, padding=2, dilation=2)

  y, expected = jax.vjp(dilated, x, kernel)
  dy = rng.normal(size=y.shape).astype(np.float32)
  _, ours = jax.vjp(plain_convolution.double, x, kernel)
  for gradient, plain in zip(ours(dy), expected(dy), strict=True):
    np.testing.assert_allclose(gradient, plain, rtol=0, atol=1e-4)


def test_no_gradient_of_the_plain_double_is_of_a_dilated_input(rng):
  x, kernel = make(rng, 3, 2, 4, 5, 4)
  dy = np.ones((2, 6, 4, 5), np.float32)
  pull = jax.vjp(plain_convolution.double, x, kernel)[1]
  assert "lhs_dilation=(2, 2)" not in str(jax.make_jaxpr(pull)(dy))


def test_gradients_keep_the_kernels_dtype():
  x, kernel = jnp.ones((2, 4, 8, 3), "bfloat16"), jnp.ones((3, 3, 3, 5))
  kernel = kernel.astype("bfloat16")
  _, backward = jax.vjp(cpu_convolution.same, x, kernel)
  dx, gradient = backward(jnp.ones((2, 4, 8, 5), "bfloat16"))
  assert dx.dtype == gradient.dtype == "bfloat16"
  # The middle tap sees every pixel, the corner's not the outer row and column.
  np.testing.assert_array_equal(gradient[1, 1], 2 * 4 * 8)
  np.testing.assert_array_equal(gradient[0, 0], 2 * 3 * 7)


@pytest.mark.parametrize("differentiated", [False, True])
def test_the_form_is_that_of_the_platform_it_is_lowered_for(differentiated):
  x, kernel = jnp.ones((1, 2, 2, 1)), jnp.ones((4, 4, 1, 1))
  form = conv.double
  if differentiated:
    form = jax.grad(lambda x, kernel: conv.halve(x, kernel).sum())

  def dilates(platform: str) -> bool:
    traced = jax.jit(form).trace(x, kernel)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "convolution" in text
    return "lhs_dilate = [2, 2]" in text

  # This process has a CPU only.
  assert not dilates("cpu")
  assert dilates("cuda")
  assert dilates("tpu")


@pytest.mark.parametrize(
  "form",
  [plain_convolution.double, cpu_convolution.double],
)
@pytest.mark.parametrize("size", SIZES)
def test_double_is_pytorchs_transposed_convolution(rng, form, size):
  x, _ = make(rng, *size, 4)
  _, height, width, inputs = x.shape
  outputs = size[-1]
  weight = rng.normal(size=(inputs, outputs, 4, 4)).astype(np.float32)

  # PyTorch's definition: every input adds its copy of the kernel to a canvas,
  # two pixels a step, and the padding cuts one pixel off each border.
  canvas = np.zeros((2, 2 * height + 2, 2 * width + 2, outputs))
  for i in range(height):
    for j in range(width):
      canvas[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum(
        "bi,iohw->bhwo", x[:, i, j], weight
      )
  expected = canvas[:, 1:-1, 1:-1]

  kernel = weight.transpose(2, 3, 0, 1)[::-1, ::-1]
  np.testing.assert_allclose(form(x, kernel), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
  ("ours", "size", "stride"),
  [(conv.same, 3, 1), (conv.double, 4, 2)],
)
def test_transposed_convolutions_are_flax_conv_transpose(
  rng, ours, size, stride
):
  x = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
  weight = rng.normal(size=(3, 2, size, size)).astype(np.float32)
  layer = nn.ConvTranspose(
    2,
    (size, size),
    (stride, stride),
    padding="SAME",
    use_bias=False,
    transpose_kernel=True,
  )
  kernel = jnp.asarray(weight.transpose(2, 3, 1, 0))
  expected = layer.apply({"params": {"kernel": kernel}}, x)
  actual = ours(x, weight.transpose(2, 3, 0, 1)[::-1, ::-1])
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
  ("ours", "size", "stride"),
  [(conv.same, 3, 1), (conv.halve, 4, 2)],
)
def test_convolutions_are_sums_over_windows(rng, ours, size, stride):
  x, kernel = make(rng, 6, 4, 3, 2, size)
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  expected = np.zeros((2, 6 // stride, 4 // stride, 2))
  for i in range(6 // stride):
    for j in range(4 // stride):
      top, left = i * stride, j * stride
      window = padded[:, top : top + size, left : left + size]
      expected[:, i, j] = np.einsum("bhwi,hwio->bo", window, kernel)
  np.testing.assert_allclose(ours(x, kernel), expected, rtol=0, atol=1e-4)


def test_halve_by_hand():
  x = np.arange(1.0, 5.0).reshape(1, 2, 2, 1)
  # The 2x2 image fills the middle of the one 4x4 window.
  kernel = np.arange(16.0).reshape(4, 4, 1, 1)
  expected = 1 * 5 + 2 * 6 + 3 * 9 + 4 * 10
  assert conv.halve(x, kernel).tolist() == [[[[expected]]]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layer(dtype):
  layer = conv.Halve(5, use_bias=True, dtype=jnp.dtype(dtype))
  x = jnp.ones((1, 4, 4, 2))
  params = layer.init(jax.random.key(0), x)["params"]
  assert params["kernel"].shape == (4, 4, 2, 5)
  assert params["kernel"].dtype == params["bias"].dtype == jnp.float32
  np.testing.assert_array_equal(params["bias"], 0)

  bias = jnp.arange(5.0)
  without = layer.apply({"params": params}, x)
  shifted = layer.apply({"params": params | {"bias": bias}}, x)
  assert without.shape == (1, 2, 2, 5)
  assert without.dtype == dtype
  np.testing.assert_allclose(shifted, without + bias, rtol=0.01)
