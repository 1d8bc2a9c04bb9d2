"""Room: finding the Pareto front of accuracy against latency. Writes the folder `results/`."""
