"""The doctor: small checks of one installation, each with what was seen, the likely cause and the fix."""
