"""What one image takes on this machine."""

import time

import torch
from torch import nn

from repvit_nas.export.here import latencies_here


class Slow(nn.Module):
    """Takes a known time, and keeps on how many threads it ran."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.threads = set()

    def forward(self, x):
        self.threads.add(torch.get_num_threads())
        time.sleep(self.seconds)
        return x


def test_networks_are_timed_in_milliseconds_on_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    networks = [Slow(0.01), Slow(0.03)]

    try:
        short, long = latencies_here(networks, 32, rounds=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

    assert 10 <= short < 30 <= long
    assert all(each.threads == {1} for each in networks)
