"""The scripts one after another."""


def test_what_is_measured_is_not_measured_again(tmp_path, load, stop, capsys):
  suite = load("suite")
  tiny, bad = "arithmetic --size 8 --width 2", "arithmetic --size none"
  suite.SCRIPTS = {"good": suite.Script(tiny), "bad": suite.Script(bad)}
  status, words = stop("suite", tmp_path / "new")
  assert (status, words) == (
    1,
    "failed: bad; see their .failed; run it again",
  )
  assert "invalid int value" in (tmp_path / "new/bad.failed").read_text()
  text = (tmp_path / "new/good.txt").read_text()
  assert text.startswith(f"$ python benchmarks/{tiny.split()[0]}.py --size 8")
  assert (tmp_path / "new/good.json").exists()
  tables = (tmp_path / "new/suite.md").read_text()
  assert text.rstrip() in tables
  assert "bad" not in tables

  # Those that failed alone are run by the next one.
  before = (tmp_path / "new/good.txt").stat().st_mtime_ns
  suite.SCRIPTS["bad"] = suite.SCRIPTS["good"]
  capsys.readouterr()
  suite.main()
  assert (tmp_path / "new/good.txt").stat().st_mtime_ns == before
  assert (tmp_path / "new/bad.txt").read_text() == text
  assert str(tmp_path / "new/suite.md") in capsys.readouterr().out
