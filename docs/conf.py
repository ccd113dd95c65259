"""The site, built by Sphinx of the markdown that is read on GitHub as it is."""

import re

import sphinx.application

project = "hdnet_jax"
html_title = "hdnet_jax"
extensions = ["myst_parser"]

# Sources lie in the whole repository, so that every link between pages, and
# from a page to a file of code, is right here and there. docs/build.sh makes
# warnings errors: a link to nothing, and a page that docs/index.md leaves out.
include_patterns = [
  *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
  *("docs/*.md", "benchmarks/README.md", "examples/*/README.md"),
  *("weights/README.md",),
]
exclude_patterns = [".*", "build", "runs", "**/node_modules"]
root_doc = "docs/index"
myst_heading_anchors = 4

html_theme = "alabaster"  # comes with Sphinx
html_theme_options = {"page_width": "64em"}
templates_path = ["site"]
html_sidebars = {
  "**": ["about.html", "searchfield.html", "navigation.html", "api.html"]
}
html_extra_path = ["site/index.html"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False


def setup(app: sphinx.application.Sphinx) -> None:
  app.connect("source-read", _add_navigation)


def _add_navigation(_, page: str, source: list[str]) -> None:
  """Make the menu of docs/index.md's own links, a part for each heading."""
  if page != root_doc:
    return
  for part in source[0].split("\n## ")[1:]:
    title, _, text = part.partition("\n")
    links = re.findall(r"\[([^]]+)\]\(([^):]+)\.md\)", text)
    pages = [f"{name} <{target}>" for name, target in links]
    menu = ["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages]
    source[0] += "\n".join([*menu, "```", ""])
