"""Latency of fused against unfused networks, for one image on one core, in turns."""

from interleaved import medians  # isort: skip  # limits threads before torch is imported

import functools

import torch

from repvit_nas import load, reparameterize

NETWORKS = ("repvit_m0_9", "repvit_m1_5")
SIDES = (64, 224)


def main() -> None:
    """Print milliseconds of both forms."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        for name in NETWORKS:
            unfused = load(name)
            fused = reparameterize(unfused)
            for side in SIDES:
                image = torch.zeros(1, 3, side, side)
                forms = {"unfused": unfused, "fused": fused}
                seconds = medians(
                    {form: functools.partial(model, image) for form, model in forms.items()},
                    rounds=9,
                )
                a, b = seconds["unfused"], seconds["fused"]
                print(
                    f"{name} at {side} px: {1e3 * a:7.2f} ms unfused, {1e3 * b:7.2f} ms fused: "
                    f"{a / b:.2f} x"
                )


if __name__ == "__main__":
    main()
