"""HDNet-lite on iHarmony4: `hdnet` at a quarter of the width."""

from hdnet_jax.configs.hdnet import make_config


def get_config():
  return make_config("hdnet_lite", width=8)
