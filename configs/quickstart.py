from hdnet_jax.configs.quickstart import get_config
