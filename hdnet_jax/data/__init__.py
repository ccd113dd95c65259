"""Examples on the host: NumPy, Pillow and Grain; neither jax nor flax."""
