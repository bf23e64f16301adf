"""Fieldgate, an edge visual-inspection agent."""

__version__ = "0.1.0"
