from hdnet_jax.configs.hdnet_lite import get_config
