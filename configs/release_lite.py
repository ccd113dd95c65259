from hdnet_jax.configs.release_lite import get_config
