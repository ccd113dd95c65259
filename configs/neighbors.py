from hdnet_jax.configs.neighbors import ROWS, get_config
