from hdnet_jax.configs.ablation import ROWS, get_config
