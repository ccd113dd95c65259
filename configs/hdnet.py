from hdnet_jax.configs.hdnet import get_config
