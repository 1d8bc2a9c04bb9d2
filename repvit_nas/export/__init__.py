"""Room: every form of a trained network, and how forms are compared."""
