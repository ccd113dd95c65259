import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data.predictions import Predicted
from hdnet_jax.errors import UserError

NAMES = ["a_1_1", "b.c_1_2", "same"]


class Examples(list):
  def name(self, index: int) -> str:
    return NAMES[index % 3]

  def subset(self, index: int) -> str:
    return ("HCOCO", "HFlickr")[index // 3]


@pytest.fixture
def source():
  return Examples({"index": np.int32(i)} for i in range(4))


def save(path, level: int, size=(16, 8)) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new("RGB", size, (level, 0, 0)).save(path)


def test_images_belong_to_names_and_subsets(source, tmp_path):
  save(tmp_path / "a_1_1.png", 10)
  save(tmp_path / "b.c_1_2.PNG", 20)
  save(tmp_path / "HCOCO/same.png", 30)
  save(tmp_path / "HFlickr/a_1_1.webp", 0)
  (tmp_path / "notes.txt").write_text("not an image")
  found = Predicted(source, tmp_path, 8)
  assert len(found) == 4
  levels = []
  for index in range(4):
    example = found[index]
    assert example["index"] == index
    assert example["prediction"].shape == (8, 8, 3)
    levels.append(int(example["prediction"][0, 0, 0]))
    assert found.name(index) == source.name(index)
    assert found.subset(index) == source.subset(index)
  assert levels == [10, 20, 30, 0]


def test_missing_images_are_counted_and_named(source, tmp_path):
  save(tmp_path / "a_1_1.png", 10)
  with pytest.raises(
    UserError, match=r"no image for 2 of 4 examples \(b\.c_1_2, same\)"
  ):
    Predicted(source, tmp_path, 8)


def test_two_images_for_one_example(source, tmp_path):
  for name in NAMES:
    save(tmp_path / f"{name}.png", 10)
  save(tmp_path / "same.jpg", 10)
  with pytest.raises(UserError, match="both for same; keep one"):
    Predicted(source, tmp_path, 8)


def test_no_folder(source, tmp_path):
  with pytest.raises(UserError, match="is not a folder"):
    Predicted(source, tmp_path / "nowhere", 8)
