"""Writes reference_n2.npz, the reference of `tests/model/test_parity.py`.

    PYTHONPATH=. python tests/data/make_reference.py

The numbers are those of this package's own network in its official form, on
random weights under the authors' names and in PyTorch's layouts. They are worth
as much as the code that writes them: write the file only while test_parity.py
passes on the activations of the authors' code (the `shared` fixture), and only
when the network is meant to change.
"""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import optax

from hdnet_jax.app.export.torch import convert_state_dict
from hdnet_jax.model.hdnet import HDNet, blend
from hdnet_jax.training.loss import foreground_loss

FILE = pathlib.Path(__file__).with_name("reference_n2.npz")
WIDTH = 2
SIZE = 32

# Layer -> width in and out, in units of n, and the kernel's size.
ENCODER = {
  "model_layer1": (1, 2, 4),
  "model_layer2": (2, 4, 3),
  "model_layer3": (4, 8, 4),
  "model_layer4": (8, 8, 3),
  "model_layer5": (8, 8, 4),
  "model_layer6": (8, 8, 3),
  "model_layer71": (8, 8, 3),
}
DECODER = {
  "model_layer72": (8, 8, 3),
  "model_layer8": (16, 8, 3),
  "model_layer9": (16, 8, 4),
  "model_layer10": (16, 8, 3),
  "model_layer11": (16, 4, 4),
  "model_layer12": (8, 2, 3),
  "model_layer13": (4, 1, 4),
}
MGD = {"model_layer11": 8, "model_layer12": 4, "model_layer13": 2}


def torch_shapes(n: int) -> dict[str, tuple[int, ...]]:
  """Name -> shape of every entry of the authors' state dict of width n."""
  shapes = {
    "model_layer0.weight": (n, 3, 3, 3),
    "LD.linear.weight": (8 * n, 16 * n, 1),
    "LD.linear.bias": (8 * n,),
    "model_out.1.weight": (2 * n, 3, 3, 3),
    "model_out.1.bias": (3,),
  }
  for name, (wide_in, wide_out, size) in ENCODER.items():
    shapes[f"{name}.1.weight"] = (wide_out * n, wide_in * n, size, size)
  for name, (wide_in, wide_out, size) in DECODER.items():
    shapes[f"{name}.1.weight"] = (wide_in * n, wide_out * n, size, size)
    for region in ("foreground", "background"):
      shapes[f"{name}norm.{region}_gamma"] = (wide_out * n,)
      shapes[f"{name}norm.{region}_beta"] = (wide_out * n,)
  for name, wide in MGD.items():
    c = wide * n
    shapes[f"{name}att.conv_kernel.1.weight"] = (4, c, 1, 1)
    shapes[f"{name}att.conv_kernel.1.bias"] = (4,)
    shapes[f"{name}att.conv_kernel.3.weight"] = (2 * c * c, 2, 1, 1)
    shapes[f"{name}att.conv_kernel.3.bias"] = (2 * c * c,)
    shapes[f"{name}att.conv_guide.weight"] = (2, c, 1, 1)
    shapes[f"{name}att.conv_guide.bias"] = (2,)
  return shapes


def make_state_dict(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
  """Random weights, all biases, gammas and betas included.

  float16 halves the file; the network computes with the rounded values.
  """
  return {
    name: (rng.normal(size=shape) * 0.2).astype(np.float16)
    for name, shape in torch_shapes(n).items()
  }


def make_masks() -> np.ndarray:
  """A disk, and two disks, one of which touches the border."""
  y, x = np.mgrid[:SIZE, :SIZE]

  def disk(cy, cx, radius):
    return (y - cy) ** 2 + (x - cx) ** 2 < radius**2

  masks = [disk(14, 17, 9), disk(6, 6, 7) | disk(25, 20, 6)]
  return np.stack(masks)[..., None].astype(np.float16)


def run_step(model: HDNet, params: dict, composite, real, mask) -> dict:
  """Loss, images, activations and gradients; the loss after a step of Adam."""

  @jax.jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def run(params):
    output, state = model.apply(
      {"params": params}, composite, mask, capture_intermediates=True
    )
    harmonized = blend(output, composite, mask)
    loss = foreground_loss(harmonized, real, mask).mean()
    return loss, (output, harmonized, state["intermediates"])

  @jax.jit
  def adam(params, gradients):
    optimizer = optax.adam(1e-3)
    updates, _ = optimizer.update(gradients, optimizer.init(params))
    return optax.apply_updates(params, updates)

  (loss, (output, harmonized, activations)), gradients = run(params)
  (loss_after, _), _ = run(adam(params, gradients))
  return {
    "loss": loss,
    "loss_after_one_adam_step": loss_after,
    "raw_output": output,
    "harmonized": harmonized,
    "activations": activations,
    "gradients": gradients,
  }


def main():
  rng = np.random.default_rng(0)
  shape = (2, SIZE, SIZE, 3)
  file = {
    "real": rng.uniform(-1, 1, shape).astype(np.float16),
    "mask": make_masks(),
  }
  other = rng.uniform(-1, 1, shape).astype(np.float16)
  file["composite"] = np.where(file["mask"], other, file["real"])
  state_dict = make_state_dict(rng, WIDTH)
  file |= {f"state_dict/{name}": w for name, w in state_dict.items()}

  config, params = convert_state_dict(state_dict)
  model = HDNet(**dataclasses.asdict(config))
  composite, real, mask = (
    file[name].astype(np.float32) for name in ("composite", "real", "mask")
  )

  step = run_step(model, params, composite, real, mask)
  gradients = step.pop("gradients")
  del step["activations"]
  file |= step
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
    name = "/".join(key.key for key in path)
    file[f"gradient_norm/{name}"] = np.linalg.norm(leaf)

  np.savez_compressed(FILE, **file)
  print(f"{FILE}: {FILE.stat().st_size} bytes, loss {file['loss']}")


if __name__ == "__main__":
  main()
