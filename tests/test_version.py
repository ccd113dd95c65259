"""The version stands in one place, and what tells it agrees."""

import pathlib
import re
import tomllib

import hdnet_jax

ROOT = pathlib.Path(__file__).parents[1]


def test_citation_and_changelog_tell_this_version():
  citation = (ROOT / "CITATION.cff").read_text()
  assert re.findall(r"(?m)^version: (.+)$", citation) == [hdnet_jax.__version__]
  changelog = (ROOT / "CHANGELOG.md").read_text()
  assert re.findall(r"(?m)^## \[([\d.]+)\]", changelog)[0] == (
    hdnet_jax.__version__
  )


def test_the_package_takes_its_version_from_the_code():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())
  assert "version" in project["project"]["dynamic"]
  version = project["tool"]["setuptools"]["dynamic"]["version"]
  assert version == {"attr": "hdnet_jax.__version__"}
