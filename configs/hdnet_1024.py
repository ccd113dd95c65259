from hdnet_jax.configs.hdnet_1024 import get_config
