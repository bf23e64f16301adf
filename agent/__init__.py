"""Fieldgate, an edge visual-inspection agent."""
