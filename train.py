"""Trains HDNet and evaluates it.

Examples:
  python train.py --config=configs/quickstart.py --workdir=runs/quickstart
  python train.py --config=configs/photos.py --config.data.root=DIR
  python train.py --config=configs/hdnet.py --config.data.root=DIR \\
      --config.batch_size=24 --config.model.dtype=bfloat16

The same command continues a run that was stopped.
"""

import pathlib

from absl import flags

from hdnet_jax.app import command_line

flags.adopt_module_key_flags(command_line)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "The run's folder; runs/NAME of the config by default."
)


def main() -> None:
  config = command_line.config_from_flags()
  workdir = pathlib.Path(_WORKDIR.value or f"runs/{config.name}")

  # JAX loads after the flags were found to be right.
  from hdnet_jax import distributed
  from hdnet_jax.evaluation import report
  from hdnet_jax.training import loop

  with distributed.initialize(config):
    try:
      loop.train_and_evaluate(config, workdir)
    except loop.Stopped as stopped:
      print(stopped)
      return
    except loop.NonFiniteLoss as error:
      raise SystemExit(f"error: {error}") from None
    checkpoint = loop.last_checkpoint(workdir)  # a question to all processes
    if distributed.is_main():
      report.show(workdir / "evaluation")
      print(f"checkpoint  {checkpoint}")


if __name__ == "__main__":
  command_line.run(main)
