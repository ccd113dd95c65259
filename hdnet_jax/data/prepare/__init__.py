"""Checks of a data set, and its preparation."""
