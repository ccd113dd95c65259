import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.model import conv, conv_ops

SIZES = [(1, 1, 3, 2), (2, 3, 1, 4), (5, 4, 3, 2)]  # height, width, in, out


def draw(rng, *shape: int) -> np.ndarray:
  return rng.normal(size=shape).astype(np.float32)


def draw_inputs(rng, shape, size, batch=2):
  height, width, inputs, outputs = shape
  x = draw(rng, batch, height, width, inputs)
  return x, draw(rng, size, size, inputs, outputs)


def output_and_gradients(function, x, kernel):
  y, backward = jax.vjp(function, x, kernel)
  return y, *backward(draw(np.random.default_rng(1), *y.shape))


def assert_close(actual, expected):
  for array, other in zip(actual, expected, strict=True):
    np.testing.assert_allclose(array, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
  ("name", "size", "shape"),
  [
    # Few and many channels, odd sizes, either side the wider one.
    ("conv3x3", 3, (5, 8, 3, 8)),
    ("conv3x3", 3, (3, 16, 9, 2)),
    ("conv3x3", 3, (5, 7, 4, 3)),
    ("conv3x3", 3, (5, 4, 3, 9)),
    ("conv3x3", 3, (1, 1, 3, 2)),
    ("down_conv4x4", 4, (6, 4, 3, 5)),
    ("down_conv4x4", 4, (2, 2, 1, 4)),
    *(("up_conv4x4", 4, shape) for shape in SIZES),
  ],
)
@pytest.mark.parametrize("batch", [1, 4])
def test_cpu_forms_are_the_plain_ones(rng, name, size, shape, batch):
  x, kernel = draw_inputs(rng, shape, size, batch)
  cpu, plain = (
    output_and_gradients(getattr(conv_ops, f"{form}_{name}"), x, kernel)
    for form in ("cpu", "plain")
  )
  assert_close(cpu, plain)


@pytest.mark.parametrize("shape", SIZES)
def test_plain_up_conv_has_the_gradients_of_the_dilated_sum(rng, shape):
  x, kernel = draw_inputs(rng, shape, 4)

  def dilated(x, kernel):
    return conv_ops.convolve(x, kernel, padding=2, dilation=2)

  actual = output_and_gradients(conv_ops.plain_up_conv4x4, x, kernel)
  assert_close(actual, output_and_gradients(dilated, x, kernel))
  backward = jax.vjp(conv_ops.plain_up_conv4x4, x, kernel)[1]
  assert "lhs_dilation=(2, 2)" not in str(jax.make_jaxpr(backward)(actual[0]))


def test_gradients_keep_the_kernels_dtype():
  x, kernel = jnp.ones((2, 4, 8, 3), "bfloat16"), jnp.ones((3, 3, 3, 5))
  kernel = kernel.astype("bfloat16")
  _, backward = jax.vjp(conv_ops.cpu_conv3x3, x, kernel)
  dx, gradient = backward(jnp.ones((2, 4, 8, 5), "bfloat16"))
  assert dx.dtype == gradient.dtype == "bfloat16"
  # The middle tap sees every pixel, the corner's not the outer row and column.
  np.testing.assert_array_equal(gradient[1, 1], 2 * 4 * 8)
  np.testing.assert_array_equal(gradient[0, 0], 2 * 3 * 7)


@pytest.mark.parametrize("differentiated", [False, True])
def test_the_form_is_that_of_the_platform_it_is_lowered_for(differentiated):
  x, kernel = jnp.ones((1, 2, 2, 1)), jnp.ones((4, 4, 1, 1))
  function = conv_ops.up_conv4x4
  if differentiated:
    function = jax.grad(lambda *args: conv_ops.down_conv4x4(*args).sum())
  dilates = {}
  for platform in ("cpu", "cuda", "tpu"):
    traced = jax.jit(function).trace(x, kernel)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "convolution" in text
    dilates[platform] = "lhs_dilate = [2, 2]" in text
  # This process has a CPU only.
  assert dilates == {"cpu": False, "cuda": True, "tpu": True}


@pytest.mark.parametrize(
  "up_conv", [conv_ops.plain_up_conv4x4, conv_ops.cpu_up_conv4x4]
)
@pytest.mark.parametrize("shape", SIZES)
def test_up_conv_is_pytorchs_transposed_convolution(rng, up_conv, shape):
  height, width, inputs, outputs = shape
  x = draw(rng, 2, height, width, inputs)
  weight = draw(rng, inputs, outputs, 4, 4)
  # PyTorch's definition: every input adds its copy of the kernel to a canvas,
  # two pixels a step, and the padding cuts one pixel off each border.
  canvas = np.zeros((2, 2 * height + 2, 2 * width + 2, outputs))
  for i in range(height):
    for j in range(width):
      canvas[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum(
        "bi,iohw->bhwo", x[:, i, j], weight
      )
  kernel = weight.transpose(2, 3, 0, 1)[::-1, ::-1]
  assert_close([up_conv(x, kernel)], [canvas[:, 1:-1, 1:-1]])


@pytest.mark.parametrize(
  ("function", "size", "stride"),
  [(conv_ops.conv3x3, 3, 1), (conv_ops.down_conv4x4, 4, 2)],
)
def test_convolutions_are_sums_over_windows(rng, function, size, stride):
  x, kernel = draw_inputs(rng, (6, 4, 3, 2), size)
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  expected = np.zeros((2, 6 // stride, 4 // stride, 2))
  for i in range(6 // stride):
    for j in range(4 // stride):
      top, left = i * stride, j * stride
      window = padded[:, top : top + size, left : left + size]
      expected[:, i, j] = np.einsum("bhwi,hwio->bo", window, kernel)
  assert_close([function(x, kernel)], [expected])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layer(dtype):
  layer = conv.DownConv4x4(5, use_bias=True, dtype=jnp.dtype(dtype))
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
