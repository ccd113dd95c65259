"""Writes authors_n1.pth of tests/app/export/test_torch.py, by PyTorch.

    PYTHONPATH=. python tests/data/make_torch_file.py

A state dict under the authors' names, wrapped as training programs wrap it: in
float16, but for a tensor of bfloat16, one of float64, a transposed one and a
parameter. Its values are `authors(1)` of the tests, rounded to float16.
"""

import pathlib
import runpy

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent

if __name__ == "__main__":
  script = runpy.run_path(str(FOLDER / "make_reference.py"))
  arrays = script["make_state_dict"](np.random.default_rng(0), 1)
  tensors = {
    f"module.{name}": torch.from_numpy(array).half()
    for name, array in arrays.items()
  }
  name = "module.model_layer1.1.weight"
  tensors[name] = tensors[name].transpose(0, 1).contiguous().transpose(0, 1)
  name = "module.model_layer13.1.weight"
  tensors[name] = tensors[name].to(torch.bfloat16)
  name = "module.model_out.1.bias"
  tensors[name] = tensors[name].double()
  name = "module.LD.linear.bias"
  tensors[name] = torch.nn.Parameter(tensors[name])
  checkpoint = {"netG": tensors, "epoch": 3, "rate": 1e-3, "note": None}
  torch.save(checkpoint, FOLDER / "authors_n1.pth")
