"""Evaluates HDNet, as `hdnet evaluate` does; --help has examples."""

import sys

from hdnet_jax.app.cli.main import main

if __name__ == "__main__":
  main(["evaluate", *sys.argv[1:]])
