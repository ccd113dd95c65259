from hdnet_jax.configs.photos import get_config
