import json

import formats
import msgspec
import numpy as np
import pytest

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.accuracy.observations import AccuracyObservation, Circumstances
from repvit_nas.campaign.band import Band
from repvit_nas.campaign.planning import (
    SECOND_SEEDS,
    CampaignState,
    Candidates,
    candidates_of,
    learned_from,
    next_batch,
    task_of,
)
from repvit_nas.campaign.records import CampaignFile
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space.family import reference
from repvit_nas.search_space.space import load_space
from repvit_nas.shapes import shapes_of

FILE = msgspec.convert(json.loads(formats.campaign()), CampaignFile)
NETWORKS = ("repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5", "repvit_m2", "repvit_m2_3")
# What three plain openings truly lose here; more than these networks are apart.
LOST = 6.0


def plain(network):
    first, *others = network.stages
    opened = [msgspec.structs.replace(stage, downsample="plain") for stage in others]
    return msgspec.structs.replace(network, name=f"plain-{network.name}", stages=(first, *opened))


@pytest.fixture(scope="module")
def trained():
    """A campaign that has trained each of six networks with deep and with plain openings."""
    deep = [reference(name).architecture for name in NETWORKS]
    told = load_family_estimator().estimate(shapes_of(deep)).mean
    tasks, seen = [], []
    for network, top1 in zip([*deep, *map(plain, deep)], [*told, *(told - LOST)], strict=True):
        tasks.append(task_of("chosen", network, 0, inherits=False))
        seen.append(
            AccuracyObservation(
                architecture=network,
                circumstances=Circumstances(data="plants", recipe="proxy"),
                top1=float(top1),
                top1_sd=0.3,
                origin="trained here",
                source=network.name,
            )
        )
    return CampaignState(tuple(tasks), {task.name: 1.0 for task in tasks}, {}, tuple(seen))


def test_the_best_networks_get_second_seeds_whatever_opens_their_stages(trained, tmp_path):
    learned = learned_from(FILE, trained, tmp_path)
    none = Candidates(np.empty((0, 0), dtype=np.int64), shapes_of([]))

    batch = next_batch(FILE, trained, learned, none, most=trained.networks)

    again = {task.architecture.name for task in batch if task.role == "second seed"}
    assert again == set(NETWORKS)
    assert len(again) == SECOND_SEEDS


def test_the_search_so_far_knows_what_plain_openings_lose(trained, tmp_path):
    """Of equal latency they could have the compute of 0.1 ms more, about a point; they lose six."""
    space, predictor = load_space("downsample")[0], load_predictor("iphone12")[0]
    band = Band(space, [predictor], {"iphone12": 1.0}, 0.1, resolution=224, num_classes=1000)
    drawn = band.draw(400, np.random.default_rng(0)).choices
    pool = drawn[band.shapes(drawn).plain.any(axis=1)][:200]

    found = candidates_of(band, [predictor], learned_from(FILE, trained, tmp_path), pool)

    fresh = ~(found.choices[:, None] == pool).all(axis=2).any(axis=1)
    assert fresh.any()
    assert not found.shapes.plain[fresh].any()
