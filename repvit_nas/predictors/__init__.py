"""Room: what a unit costs that nobody timed. Reads and writes the folder `predictors/`."""
