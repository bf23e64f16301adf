"""Inspection in batch, and how fast the agent is beside a loop that does nothing but run its models."""
