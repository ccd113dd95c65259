import itertools

import jax
import numpy as np

from hdnet_jax import devices
from hdnet_jax.data.pipeline import Reader, open_source, training_batches
from hdnet_jax.training.batches import first_examples
from hdnet_jax.training.state import make_optimizer, make_start
from hdnet_jax.training.step import composites_of_step


def test_it_shows_what_the_steps_see(config):
  """The second step's examples, from the state that training starts with."""
  size = config.batch_size
  shown = list(itertools.islice(first_examples(config), 2 * size))
  mesh = devices.make_mesh(config.mesh, jax.devices()[:1])
  optimizer = make_optimizer(config.optimizer, 2.0)
  state = make_start(config, optimizer, mesh)()
  batches = training_batches(
    open_source(config.data, "train"),
    size,
    config.seed,
    Reader(),
    composites=config.data.composites,
  )
  second = list(itertools.islice(batches, 2))[1]
  made = composites_of_step(config.data)(second, state.key, 1)
  for place, example in enumerate(shown[size:]):
    assert set(example) == {"composite", "mask", "real"}
    for name, image in example.items():
      # Compiled and not compiled may round apart.
      difference = image.astype(int) - np.asarray(made[name][place], int)
      assert np.abs(difference).max() <= 1
