"""The exchange with the central broker: what is published and how it is settled, what is obeyed."""
