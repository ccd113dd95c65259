"""How good harmonized images are: protocols, tables, pictures."""
