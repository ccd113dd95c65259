"""Videos harmonized frame by frame; needs the extra "video" (PyAV)."""
