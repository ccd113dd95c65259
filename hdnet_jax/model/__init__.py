"""The network: jax and flax only, NHWC, images in [-1, 1], masks 0/1."""
