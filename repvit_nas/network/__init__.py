"""Room: networks as torch modules, fused and unfused, and weights in and out of them."""

from repvit_nas.network.fusing import reparameterize
from repvit_nas.network.loading import load
from repvit_nas.network.model import RepVitNas

__all__ = ["RepVitNas", "load", "reparameterize"]
