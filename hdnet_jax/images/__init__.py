"""Image files as people have them, and their masks: read, turned, written."""
