"""What batch norms remember of the batches of several processes."""

import copy

import torch
from torch import nn

from repvit_nas.training.batch_norms import RunningStatistics
from repvit_nas.training.loading import World


def follow(rank, folder, model, batches):
    """Show a network this process's batches, of which there are as many as of the other's."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    model = copy.deepcopy(model)  # what spawn hands over lies in memory that both share
    statistics = RunningStatistics(model, World(rank, 2))
    for batch in batches[rank::2]:
        statistics.begin()
        model(batch)
        statistics.share()
    torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_remember_what_one_does_that_sees_their_batches_in_turn(tmp_path):
    torch.manual_seed(1)
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.BatchNorm1d(2, momentum=0.3))
    batches = [(1 + 2 * i) * torch.randn(5, 3) + i for i in range(4)]
    one = copy.deepcopy(model)
    for batch in batches:
        one(batch)

    torch.multiprocessing.spawn(follow, (str(tmp_path), model, batches), nprocs=2)

    for rank in (0, 1):
        for name, value in torch.load(tmp_path / f"{rank}.pt", weights_only=True).items():
            torch.testing.assert_close(value, one.state_dict()[name], rtol=1e-6, atol=1e-6)


def test_one_process_is_left_alone():
    model, plain = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    batch = torch.arange(12.0).reshape(4, 3)
    statistics = RunningStatistics(model, World())
    statistics.begin()
    model(batch)
    statistics.share()
    plain(batch)

    assert torch.equal(model.running_mean, plain.running_mean)
    assert torch.equal(model.running_var, plain.running_var)
