"""The meaning of an inspection: pure functions and frozen values, numpy only."""
