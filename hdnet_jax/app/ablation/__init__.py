"""An ablation: the rows of a config file trained, read back, and compared.

A config file of rows has `ROWS`, from a row's name to the fields of
ModelConfig in which it differs, and `get_config(row)`. Its runs are in
WORKDIR/ROW for seed 0 and WORKDIR/ROW_seedN for another.
"""
