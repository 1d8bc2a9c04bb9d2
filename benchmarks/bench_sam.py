"""Latency of a fused against an unfused SAM encoder, for one picture of 1024 px on one core, in turns."""

from interleaved import medians  # isort: skip  # limits threads before torch is imported

import functools

import torch

from repvit_nas import load, reparameterize

NETWORK, SIDE, ROUNDS = "repvit_m0_9", 1024, 3


def main() -> None:
    """Print milliseconds of both forms, for each neck."""
    torch.set_num_threads(1)
    image = torch.zeros(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        for output in ("sam", "sam-fused"):
            unfused = load(NETWORK, output=output)
            forms = {"unfused": unfused, "fused": reparameterize(unfused)}
            seconds = medians(
                {form: functools.partial(model, image) for form, model in forms.items()}, ROUNDS
            )
            a, b = seconds["unfused"], seconds["fused"]
            print(
                f"{NETWORK}, {output}, {SIDE} px: {1e3 * a:7.0f} ms unfused, {1e3 * b:7.0f} ms fused: "
                f"{a / b:.2f} x"
            )


if __name__ == "__main__":
    main()
