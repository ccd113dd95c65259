from hdnet_jax.configs.held_out import get_config
