"""Composites from photos, on the device: what a network is taught with."""
