"""Evaluates a trained HDNet on its config's test split.

Examples:
  python eval.py --config=configs/quickstart.py --workdir=runs/quickstart
  python eval.py --config=configs/photos.py --workdir=runs/photos \\
      --config.data.root=DIR --checkpoint=best --output=best_table
"""

import pathlib

from absl import flags

from hdnet_jax import command_line

flags.adopt_module_key_flags(command_line)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "A training run's folder; runs/NAME of the config by default.",
)
_CHECKPOINT = flags.DEFINE_enum(
  "checkpoint",
  "last",
  ["last", "best"],
  "The last checkpoint, or the best on the validation split.",
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "Folder for the results; WORKDIR/evaluation by default."
)


def main() -> None:
  config = command_line.config_from_flags()
  workdir = pathlib.Path(_WORKDIR.value or f"runs/{config.name}")
  output = pathlib.Path(_OUTPUT.value or workdir / "evaluation")

  # JAX loads after the flags were found to be right.
  from hdnet_jax import hosts
  from hdnet_jax.evaluation import run as evaluation
  from hdnet_jax.training.evaluate import evaluate_checkpoint

  with hosts.joined(config):
    evaluate_checkpoint(config, workdir, _CHECKPOINT.value, output)
    if hosts.is_main():
      evaluation.show(output)


if __name__ == "__main__":
  command_line.run(main)
