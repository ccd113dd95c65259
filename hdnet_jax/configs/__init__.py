"""Runs: one file a run, or a set of runs; `--config=NAME` takes one.

Each has `get_config()`, and one with `ROWS` a `get_config(row)`.
"""
