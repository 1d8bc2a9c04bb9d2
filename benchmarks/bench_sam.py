"""Latency of a fused against an unfused SAM encoder, for one picture of 1024 px on one core, in turns."""

from bench_fused import compare  # isort: skip  # limits threads before torch is imported

from repvit_nas import load

NETWORK, SIDE, ROUNDS = "repvit_m0_9", 1024, 3


def main() -> None:
    """Print milliseconds of both forms, for each neck."""
    for output in ("sam", "sam-fused"):
        compare(f"{NETWORK}, {output}", load(NETWORK, output=output), SIDE, ROUNDS)


if __name__ == "__main__":
    main()
