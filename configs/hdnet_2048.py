from hdnet_jax.configs.hdnet_2048 import get_config
