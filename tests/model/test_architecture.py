import itertools

import jax
import jax.numpy as jnp
import pytest

from hdnet_jax.config import ModelConfig
from hdnet_jax.model.architecture import REDUCTION, Size, parameter_shapes
from hdnet_jax.model.hdnet import (
  DECODER,
  ENCODER,
  GLOBAL_DYNAMICS,
  LOCAL_DYNAMICS,
  HDNet,
)
from hdnet_jax.weights import flatten


@pytest.mark.parametrize(
  ("local", "by"), list(itertools.product(LOCAL_DYNAMICS, GLOBAL_DYNAMICS))
)
def test_parameters_are_those_of_the_network(local, by):
  network = HDNet(width=3, local_dynamics=local, global_dynamics=by)
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  tree = jax.eval_shape(network.init, jax.random.key(0), image, mask)
  expected = {
    name: leaf.shape for name, leaf in flatten(tree["params"]).items()
  }
  settings = ModelConfig(width=3, local_dynamics=local, global_dynamics=by)
  assert parameter_shapes(settings) == expected
  assert parameter_shapes(network) == expected


def test_the_decoder_undoes_what_the_encoder_reduces():
  halved = [stage for stage in ENCODER if stage.size is Size.HALVED]
  doubled = [stage for stage in DECODER if stage.size is Size.DOUBLED]
  assert 2 ** len(halved) == 2 ** len(doubled) == REDUCTION
