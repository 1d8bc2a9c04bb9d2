"""Latency of fused against unfused networks, for one image on one core, in turns."""

from interleaved import medians  # isort: skip  # limits threads before torch is imported

import functools

import torch
from torch import nn

from repvit_nas import load, reparameterize

NETWORKS = ("repvit_m0_9", "repvit_m1_5")
SIDES = (64, 224)


def compare(what: str, unfused: nn.Module, side: int, rounds: int) -> None:
    """Print milliseconds of both forms of a network."""
    torch.set_num_threads(1)
    image = torch.zeros(1, 3, side, side)
    forms = {"unfused": unfused, "fused": reparameterize(unfused)}
    with torch.inference_mode():
        seconds = medians(
            {form: functools.partial(model, image) for form, model in forms.items()}, rounds
        )
    a, b = seconds["unfused"], seconds["fused"]
    print(f"{what} at {side} px: {1e3 * a:7.2f} ms unfused, {1e3 * b:7.2f} ms fused: {a / b:.2f} x")


def main() -> None:
    """Print milliseconds of both forms, for each network and size."""
    for name in NETWORKS:
        for side in SIDES:
            compare(name, load(name), side, rounds=9)


if __name__ == "__main__":
    main()
