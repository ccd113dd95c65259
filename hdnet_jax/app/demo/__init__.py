"""The web page of `hdnet demo`."""
