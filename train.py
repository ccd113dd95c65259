"""Trains HDNet and evaluates it, as `hdnet train` does; --help has examples."""

import sys

from hdnet_jax.app.cli.main import main

if __name__ == "__main__":
  main(["train", *sys.argv[1:]])
