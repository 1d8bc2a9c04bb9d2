"""Running statistics of batch norms, of several processes as of one that sees their batches in turn."""

from typing import Final

import torch
from torch import nn

from repvit_nas.training.loading import World

# The usual momentum of torch, where a batch norm has none of its own.
_MOMENTUM: Final = 0.1


class RunningStatistics:
    """The running means and variances of a network that several processes train.

    Each process follows its own batch by `kept * before + momentum * batch`. One that sees the batches in turn
    would go from `before` to `kept^n * before + sum over i of kept^(n - 1 - i) * momentum * batch_i`; the
    processes add that up together.

    Args:
        model: The network.
        world: Which of how many processes this is.
    """

    def __init__(self, model: nn.Module, world: World) -> None:
        self.world = world
        norms = [
            each
            for each in model.modules()
            if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.track_running_stats  # noqa: SLF001
        ]
        several = world.processes > 1
        self._norms = norms if several else []
        self._before = torch.empty(0)

    def begin(self) -> None:
        """Remember what they are before a batch, which is the same in all processes."""
        if self._norms:
            self._before = self._all()

    def share(self) -> None:
        """Make them the same in all processes after a batch of each."""
        if not self._norms:
            return
        processes, rank = self.world.processes, self.world.rank
        kept = 1 - self._momenta()
        added = (self._all() - kept * self._before) * kept ** (processes - 1 - rank)
        torch.distributed.all_reduce(added)
        followed = kept**processes * self._before + added
        buffers = self._buffers()
        with torch.no_grad():
            sizes = [each.numel() for each in buffers]
            for buffer, values in zip(buffers, torch.split(followed, sizes), strict=True):
                buffer.copy_(values)
            for norm in self._norms:
                if norm.num_batches_tracked is not None:
                    norm.num_batches_tracked += processes - 1

    def _buffers(self) -> list[torch.Tensor]:
        found = [each for norm in self._norms for each in (norm.running_mean, norm.running_var)]
        return [each for each in found if each is not None]

    def _all(self) -> torch.Tensor:
        return torch.cat([each.detach().double() for each in self._buffers()])

    def _momenta(self) -> torch.Tensor:
        """Return how much a batch counts in each of them."""
        each = [_MOMENTUM if one.momentum is None else one.momentum for one in self._norms]
        sizes = [2 * one.num_features for one in self._norms]
        device = self._before.device
        return torch.repeat_interleave(
            torch.tensor(each, dtype=torch.float64, device=device),
            torch.tensor(sizes, device=device),
        )
