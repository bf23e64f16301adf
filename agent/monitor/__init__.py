"""Watches the device and the line, and says how they are."""
