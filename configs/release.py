from hdnet_jax.configs.release import get_config
