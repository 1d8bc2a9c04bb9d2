"""Room: how accurate a network would be."""
