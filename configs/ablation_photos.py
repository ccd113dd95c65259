from hdnet_jax.configs.ablation_photos import ROWS, get_config
