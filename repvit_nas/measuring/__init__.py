"""Room: taking latencies: visits, sessions, which units next, networks on a known device."""
