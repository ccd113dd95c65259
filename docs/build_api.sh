#!/usr/bin/env bash
# Build the API reference from docstrings into build/api, or the folder given.
set -euo pipefail
cd "$(dirname "$0")/.."
python -W error::UserWarning -m pdoc --docformat google \
  --template-directory docs/api --output-directory "${1:-build/api}" \
  hdnet_jax.config hdnet_jax.weights hdnet_jax.model.hdnet \
  hdnet_jax.inference.harmonizer hdnet_jax.inference.paste \
  hdnet_jax.composites.composites hdnet_jax.training.loop \
  hdnet_jax.evaluation.metrics hdnet_jax.evaluation.protocols
