#!/usr/bin/env bash
# Build the site into build/docs, or the folder given: the pages, and in api/
# the reference, from docstrings. Warnings are errors.
set -euo pipefail
cd "$(dirname "$0")/.."
site=${1:-build/docs}
python -m sphinx --quiet --fail-on-warning -d "$site/.doctrees" -c docs . "$site"
python -W error::UserWarning -m pdoc --docformat google \
  --template-directory docs/site --output-directory "$site/api" \
  hdnet_jax.config hdnet_jax.weights hdnet_jax.model.hdnet \
  hdnet_jax.inference.harmonizer hdnet_jax.inference.paste \
  hdnet_jax.composites.composites hdnet_jax.training.loop \
  hdnet_jax.evaluation.metrics hdnet_jax.evaluation.protocols
echo "$site/index.html"
