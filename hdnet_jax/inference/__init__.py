"""Images of any size harmonized: what a trained network is for."""
