"""The gap-free, hash-chained sequence of everything a device has to say: pure values and bytes."""
