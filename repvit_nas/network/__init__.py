"""Room: networks as torch modules, fused and unfused, and weights in and out; knows no training."""

from repvit_nas.network.creating import create
from repvit_nas.network.fusing import reparameterize
from repvit_nas.network.listed import ListedNetwork
from repvit_nas.network.model import RepVitNas

__all__ = ["ListedNetwork", "RepVitNas", "create", "reparameterize"]
