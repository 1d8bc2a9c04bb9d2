"""Room: what a person calls from Python; the commands are a thin layer over it."""
