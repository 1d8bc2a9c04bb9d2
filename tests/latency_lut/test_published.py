import msgspec
import pytest
from support import ROOT

from repvit_nas import files
from repvit_nas.architecture import Architecture
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import (
    PATH_FILE,
    PUBLISHED_FILE,
    Network,
    PublishedLatency,
    foreign_networks,
    observation,
    published_architecture,
    read_observations,
    read_path,
    read_published,
)
from repvit_nas.search_space.path import path as path_steps
from repvit_nas.units import Features, Head

# Parameters of fused networks without batch norm, from the papers' tables, in millions.
PAPER_PARAMS = {
    "mobileone_s1": 4.8,
    "mobileone_s4": 14.8,
    "repvgg_a0": 8.3,
    "repvgg_b1": 51.8,
    "mobilenetv2_100": 3.5,
    "resnet50": 25.5,
    "repnext_m1": 4.8,
    "repnext_m5": 21.7,
    "starnet_s4": 7.5,
}


def row(**changes):
    values = {
        "network": "repvit_m0_9",
        "resolution": 224,
        "output": "logits",
        "latency_ms": 0.87,
        "rounding_ms": 0.01,
        "tool": "xcode-report",
        "source": "RepViT",
        "reference": "arXiv:2307.09283",
    }
    return PublishedLatency(**values | changes)


# Computed by hand from the paper's words; the first is what torchvision and timm count for
# mobilenetv3_large_100 (5.48 million parameters with batch norm, 217 million MACs).
PATH_COUNTS = {
    "path_0_mobilenetv3_l": (216_589_760, 5_470_832),
    "path_3_width": (382_274_368, 5_121_880),
    "path_6_classifier": (528_979_008, 3_734_936),
    "path_8_kernel": (815_695_680, 5_145_992),
    "repvit_m0_9": (815_617_344, 5_067_056),
}


def test_the_path_is_of_the_networks_that_the_paper_tells_of():
    path = load_device("iphone12").path(PATH_FILE)
    steps = {step.observation.name: step for step in read_path(path)}

    for name, (macs, params) in PATH_COUNTS.items():
        units = steps[name].observation.units
        assert sum(unit.macs * count for unit, count in units) == macs
        assert sum(unit.params * count for unit, count in units) == params
    assert len(steps) == 11
    assert sum(bool(step.after) for step in steps.values()) == 9


def test_latency_and_accuracy_of_a_step_are_from_the_same_section_and_in_the_same_order():
    rows = load_device("iphone12").path(PATH_FILE).read_text().splitlines()[1:]
    where = {told.network: told.reference[:11] for told in path_steps().values()}
    names = {told.step: told.network for told in path_steps().values()}

    assert len(rows) == len(where) == 11
    assert all(where[row.split(",")[0]] in row for row in rows)
    assert {row.split(",")[0]: row.split(",")[1] for row in rows} == {
        told.network: names.get(told.after, "") for told in path_steps().values()
    }


def test_a_step_from_nowhere_is_refused(tmp_path):
    lines = load_device("iphone12").path(PATH_FILE).read_text().splitlines()
    path = tmp_path / "path.csv"
    path.write_text("\n".join([lines[0], lines[2]]))

    with pytest.raises(FileError, match="a step from path_0_mobilenetv3_l, which is not in it"):
        read_path(path)


@pytest.mark.parametrize("device", ["iphone12", "iphone13"])
def test_every_published_row_becomes_an_observation_with_its_source(device):
    path = load_device(device).path(PUBLISHED_FILE)
    rows = read_published(path)

    observations = read_observations(path)

    assert len(observations) == sum(not row.excluded for row in rows)
    for published in rows:
        assert published.reference
        assert published.source
        assert observation(published).latency_ms == published.latency_ms


@pytest.mark.parametrize(("name", "millions"), PAPER_PARAMS.items())
def test_traced_networks_have_the_papers_parameters(name, millions):
    network = foreign_networks()[name, 224, "logits"]

    params = sum(item.count * item.unit.params for item in network.units) / 1e6

    assert params == pytest.approx(millions, rel=0.02)


def test_a_repvit_row_is_the_architecture_it_names():
    plain = published_architecture(row())
    gated = published_architecture(row(se="all"))
    backbone = published_architecture(row(resolution=512, output="features"))

    assert isinstance(plain, Architecture)
    assert gated.stages[2].se == "1" * 14
    assert (backbone.resolution, backbone.num_classes) == (512, 0)
    kinds = {type(unit) for unit, _ in observation(row(resolution=512, output="features")).units}
    assert Features in kinds
    assert Head not in kinds


def test_variants_of_a_network_share_its_name_and_not_their_own():
    plain, gated = observation(row()), observation(row(se="all"))

    assert plain.network == gated.network
    assert plain.name != gated.name


def test_a_rounded_figure_carries_the_deviation_of_rounding():
    """A figure printed to 0.1 ms is uniform over 0.1 ms: its deviation is 0.1/sqrt(12)."""
    assert observation(row(rounding_ms=0.1)).error_ms == pytest.approx(0.1 / 12**0.5)


def test_a_network_nobody_described_is_refused():
    with pytest.raises(FileError, match=r"alexnet at 224 px.*tools/trace_networks\.py"):
        observation(row(network="alexnet"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("latency_ms", "-1", ["latency_ms", "-1"]),
        ("latency_ms", "fast", ["latency_ms", "fast"]),
        ("output", "video", ["output", "video"]),
        ("resolution", "", ["resolution"]),
        ("se", "some", ["se", "some"]),
    ],
)
def test_a_bad_row_is_named_with_line_and_column(tmp_path, column, value, words):
    cells = {
        "network": "repvit_m0_9",
        "resolution": "224",
        "output": "logits",
        "latency_ms": "1",
        "rounding_ms": "0.1",
        "tool": "t",
        "source": "s",
        "reference": "r",
        "se": "none",
    }
    cells[column] = value
    path = tmp_path / "published.csv"
    path.write_text(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")

    with pytest.raises(FileError) as error:
        read_published(path)

    for word in ["published.csv", "line 2", *words]:
        assert word in str(error.value)


def test_networks_are_one_a_line_and_unknown_operations_are_refused():
    lines = (ROOT / "latency_lut" / "networks.jsonl").read_text().splitlines()
    assert len(lines) == len(foreign_networks())
    raw = msgspec.json.decode(lines[0].replace('"conv"', '"fold"', 1))

    with pytest.raises(FileError, match="fold"):
        files.convert("networks.jsonl", raw, Network, schema=None)
