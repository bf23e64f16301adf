"""Engine packs and the models in them, whatever runs them."""
