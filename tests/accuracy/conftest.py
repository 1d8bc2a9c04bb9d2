import msgspec
import numpy as np
import pytest

from repvit_nas.accuracy.observations import AccuracyObservation, Circumstances
from repvit_nas.search_space.space import load_space

PLANTS = Circumstances(data="plants", data_digest="d1", recipe="proxy", recipe_digest="r1")


@pytest.fixture
def networks():
    """Draw networks of the space cifar."""

    def draw(count, seed=0):
        space = load_space("cifar")[0]
        rng = np.random.default_rng(seed)
        choices = space.sample(rng, 4 * count)
        shapes = space.decode(choices, num_classes=10)
        kept = np.flatnonzero(np.all(space.violations(shapes) <= 0, axis=1))[:count]
        return [shapes.architecture(int(row), f"n{row}") for row in kept]

    return draw


@pytest.fixture
def observation():
    """Build an observation of a network."""

    def build(architecture, top1=70.0, **changes):
        made = AccuracyObservation(
            architecture=architecture,
            circumstances=PLANTS,
            top1=top1,
            origin="trained here",
            source=changes.pop("source", architecture.name),
        )
        return msgspec.structs.replace(made, **changes)

    return build
