"""How each family's outputs are checked against the manifest and decoded, one file per family."""
