"""Room: whether a trained network is what was promised."""
