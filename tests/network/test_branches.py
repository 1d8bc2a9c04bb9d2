"""Networks trained with branches and without: the same function, the same cost, weights both ways."""

import pytest
import torch
from support import randomize
from torch import nn
from training_support import small

from repvit_nas import load, reparameterize
from repvit_nas.errors import RepvitNasError
from repvit_nas.network.branches import in_form
from repvit_nas.units import rows


def network(arch, seed=0, **form):
    torch.manual_seed(seed)
    return randomize(load(arch, num_classes=10, **form), seed).eval()


def images(side=32):
    return torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(1))


ARCHS = [small(), small(widths=(16, 16, 24, 24)), "path:1", "path:7"]


@pytest.mark.parametrize("arch", ARCHS, ids=["small", "narrow", "path:1", "path:7"])
@pytest.mark.parametrize("branches", [True, False])
def test_weights_of_either_form_are_the_same_function_in_the_other(arch, branches):
    donor = network(arch, branches=branches)
    taken = load(arch, num_classes=10, branches=not branches)

    taken.load_state_dict(in_form(donor.state_dict(), branches=not branches))

    with torch.inference_mode():
        expected = donor.double()(images().double())
        found = taken.double()(images().double())
    # In rounding only: the weights are kept in single precision.
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def calibrated(model):
    """Return a network whose batch norms have the statistics of what arrives there."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None
    with torch.no_grad():
        model.train()(images(64).double())
    return model.eval()


@pytest.mark.parametrize("branches", [True, False])
def test_statistics_taken_anew_leave_the_function_as_it_is(branches):
    """As `--init` does: a batch norm must be given the statistics of what arrives there."""
    donor = calibrated(network(small(), branches=branches).double())
    taken = load(small(), num_classes=10, branches=not branches).double()
    taken.load_state_dict(in_form(donor.state_dict(), branches=not branches))

    with torch.no_grad():
        expected, found = donor(images(64).double()), calibrated(taken)(images(64).double())

    # Deviations of few pixels are estimated one degree of freedom apart.
    assert float((found - expected).norm() / expected.norm()) < 0.05


@pytest.mark.parametrize("arch", ["repvit_m0_9", "path:8"])
def test_fused_both_forms_are_one_network(arch):
    with_branches, without = (load(arch, branches=branches) for branches in (True, False))
    shapes = [
        [tuple(value.shape) for value in reparameterize(model).state_dict().values()]
        for model in (with_branches, without)
    ]

    assert shapes[0] == shapes[1]
    fewer = [sum(p.numel() for p in model.parameters()) for model in (with_branches, without)]
    assert fewer[1] < fewer[0]
    units = rows(without.architecture)
    assert sum(unit.params for unit in units) == sum(
        value.numel() for value in reparameterize(without).parameters()
    )


def test_nothing_changes_where_the_form_is_the_wanted_one():
    state = network(small()).state_dict()

    assert in_form(state, branches=True).keys() == state.keys()


def test_the_older_form_is_refused_where_its_statistics_would_be_lost():
    older = network(small(), legacy=True).state_dict()
    plain = network(small(), branches=False).state_dict()

    assert in_form(older, branches=True, legacy=True).keys() == older.keys()
    for state, wanted in (
        (older, {"branches": False}),
        (plain, {"branches": True, "legacy": True}),
    ):
        with pytest.raises(RepvitNasError, match="older form of the branches"):
            in_form(state, **wanted)
