"""The two entries of Tools > Scripts, and what the user sees of them."""

import os
import tempfile

from krita import Extension, Krita
from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import (
  QApplication,
  QDialog,
  QDialogButtonBox,
  QDoubleSpinBox,
  QFileDialog,
  QFormLayout,
  QHBoxLayout,
  QLineEdit,
  QMessageBox,
  QProgressDialog,
  QPushButton,
)

from . import layers
from .command import Failure, Settings, Stopped, harmonize

TITLE = "Harmonize layer"
_GROUP = "hdnet_harmonize"  # of Krita's settings


class HarmonizeLayer(Extension):
  """Recolour the active layer, so that it fits what is visible under it."""

  def setup(self):
    pass

  def createActions(self, window):
    for name, text, run in (
      ("hdnet_harmonize", TITLE, self.harmonize),
      ("hdnet_harmonize_settings", f"{TITLE}: settings...", self.choose),
    ):
      action = window.createAction(name, text, "tools/scripts")
      action.triggered.connect(run)

  def harmonize(self):
    document = Krita.instance().activeDocument()
    parent = Krita.instance().activeWindow().qwindow()
    if document is None or document.activeNode() is None:
      QMessageBox.warning(parent, TITLE, "Open an image first.")
      return
    try:
      said = _harmonize(document, parent)
    except Stopped:
      return
    except Failure as failure:
      QMessageBox.warning(parent, TITLE, str(failure))
      return
    if said:
      QMessageBox.information(parent, TITLE, "\n".join(said))

  def choose(self):
    dialog = SettingsDialog(Krita.instance().activeWindow().qwindow())
    if dialog.exec_() == QDialog.Accepted:
      write_settings(dialog.settings())


def _harmonize(document, parent):
  """Harmonize the active layer; return what `hdnet` says about it."""
  layer = layers.layer_of(document.activeNode())
  progress = QProgressDialog("Harmonizing...", "Cancel", 0, 0, parent)
  progress.setWindowTitle(TITLE)
  progress.setWindowModality(Qt.WindowModal)
  progress.setMinimumDuration(0)

  def is_stopped():
    QApplication.processEvents()  # the window of the progress is drawn
    return progress.wasCanceled()

  QApplication.setOverrideCursor(Qt.BusyCursor)
  try:
    progress.show()
    with tempfile.TemporaryDirectory() as folder:
      cutout, photo, result = (
        os.path.join(folder, f"{name}.png")
        for name in ("cutout", "photo", "layer")
      )
      is_stopped()
      layers.export(document, layer, cutout, photo)
      said = harmonize(read_settings(), cutout, photo, result, is_stopped)
      layers.add(document, layer, result)
  finally:
    progress.close()
    QApplication.restoreOverrideCursor()
  return said


def read_settings():
  """Return what Krita has kept of the last time."""
  kept = {
    name: type(default)(
      Krita.instance().readSetting(_GROUP, name, str(default))
    )
    for name, default in Settings()._asdict().items()
  }
  return Settings(**kept)


def write_settings(settings):
  for name, value in settings._asdict().items():
    Krita.instance().writeSetting(_GROUP, name, str(value))


class SettingsDialog(QDialog):
  """Asks for `Settings`."""

  def __init__(self, parent):
    super().__init__(parent)
    self.setWindowTitle(f"{TITLE}: settings")
    settings = read_settings()
    self._command = QLineEdit(settings.command)
    self._command.setMinimumWidth(320)
    self._weights = QLineEdit(settings.weights)
    self._strength = _spin_box(settings.strength, 1.5, 0.05)
    self._feather = _spin_box(settings.feather, 1000.0, 1.0)
    browse = QPushButton("Browse...")
    browse.clicked.connect(self._browse)
    command = QHBoxLayout()
    command.addWidget(self._command)
    command.addWidget(browse)
    form = QFormLayout(self)
    form.addRow("hdnet command", command)
    form.addRow("Weights", self._weights)
    form.addRow("Strength", self._strength)
    form.addRow("Feather, pixels", self._feather)
    buttons = QDialogButtonBox(QDialogButtonBox.Ok | QDialogButtonBox.Cancel)
    buttons.accepted.connect(self.accept)
    buttons.rejected.connect(self.reject)
    form.addRow(buttons)

  def settings(self):
    return Settings(
      self._command.text().strip() or Settings().command,
      self._weights.text().strip() or Settings().weights,
      self._strength.value(),
      self._feather.value(),
    )

  def _browse(self):
    path, _ = QFileDialog.getOpenFileName(self, "The hdnet command")
    if path:
      self._command.setText(path)


def _spin_box(value, most, step):
  box = QDoubleSpinBox()
  box.setRange(0.0, most)
  box.setSingleStep(step)
  box.setValue(value)
  return box
