"""Read and write image files, their metadata, and masks."""
