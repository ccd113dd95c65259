"""Evaluates a trained HDNet, or images of any method, on a config's test split.

Examples:
  python eval.py --config=configs/quickstart.py --workdir=runs/quickstart
  python eval.py --config=configs/hdnet.py --config.data.root=DIR \\
      --workdir=runs/hdnet --checkpoint=best --protocol=paper,standard
  python eval.py --config=configs/hdnet.py --config.data.root=DIR \\
      --weights=hdnet.safetensors
  python eval.py --config=configs/hdnet.py --config.data.root=DIR \\
      --predictions=other_method/results --output=runs/other_method
  python eval.py --config=configs/held_out.py --weights=hdnet-lite

The same command continues an evaluation that was interrupted.
"""

import pathlib

from absl import flags

from hdnet_jax.app import command_line

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
_WEIGHTS = flags.DEFINE_string(
  "weights",
  None,
  "A weights file (.safetensors), or a released network, such as hdnet-lite, "
  "instead of a run.",
)
_PREDICTIONS = flags.DEFINE_string(
  "predictions",
  None,
  "A folder of harmonized images made elsewhere, named as their composites.",
)
_PROTOCOL = flags.DEFINE_list(
  "protocol",
  ["standard"],
  "How images are compared: standard, paper, or both with a comma; or fullres, "
  "which takes iHarmony4's images at their own size.",
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "Folder for the results; WORKDIR/evaluation by default, or that of runs/NAME "
  "with the name of the weights' file or the predictions' folder.",
)


def main() -> None:
  config = command_line.config_from_flags()
  command_line.check_one_of("workdir", "weights", "predictions")
  evaluated = _WEIGHTS.value or _PREDICTIONS.value
  name = pathlib.Path(evaluated).stem if evaluated else config.name
  workdir = pathlib.Path(_WORKDIR.value or f"runs/{name}")
  output = pathlib.Path(_OUTPUT.value or workdir / "evaluation")

  # JAX loads after the flags were found to be right.
  from hdnet_jax import distributed, weights
  from hdnet_jax.evaluation import report
  from hdnet_jax.training import evaluate

  with distributed.initialize(config):
    protocols = report.check_protocols(_PROTOCOL.value)
    if _WEIGHTS.value:
      params, model, _ = weights.load(_WEIGHTS.value)
      file = pathlib.Path(_WEIGHTS.value).name
      evaluate.evaluate_weights(config, params, model, file, output, protocols)
    elif _PREDICTIONS.value:
      folder = pathlib.Path(_PREDICTIONS.value)
      evaluate.evaluate_predictions(config, folder, output, protocols)
    else:
      which = _CHECKPOINT.value
      evaluate.evaluate_checkpoint(config, workdir, which, output, protocols)
    if distributed.is_main():
      report.show(output)


if __name__ == "__main__":
  command_line.run(main)
