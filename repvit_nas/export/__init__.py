"""Room: networks and their units as files that other runtimes run. Imports `network`."""
