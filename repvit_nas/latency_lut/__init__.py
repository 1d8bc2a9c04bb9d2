"""Room: what is known of devices. Reads and writes the folder `latency_lut/`."""
