"""Networks of either kind: their files, and what adapts them."""

import msgspec
import pytest

from repvit_nas.architecture import Architecture, Stage
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.network import create
from repvit_nas.networks import adapted, network_from, read_network, summary, told, write_network
from repvit_nas.path_units import ConvGelu, WideHead
from repvit_nas.search_space.family import family
from repvit_nas.search_space.path import path_network
from repvit_nas.units import Block, Features, Head, Listed, Stem, ends, rows

STEM, BLOCK, HEAD = Stem(16, 32), Block(16, 32, 0, 3, 8), Head(16, 10, 8)


@pytest.mark.parametrize("step", ["0", "3b", "5", "9"])
def test_a_network_told_by_its_units_comes_back_from_its_file(tmp_path, step):
    write_network(tmp_path / "n.json", path_network(step))

    assert read_network(tmp_path / "n.json") == path_network(step)
    assert len((tmp_path / "n.json").read_text().splitlines()) > len(path_network(step).units)


def test_a_network_told_by_its_stages_has_the_file_that_it_always_had(tmp_path):
    network = family()["repvit_m0_9"].architecture
    write_network(tmp_path / "n.json", network)

    assert read_network(tmp_path / "n.json") == network
    assert (tmp_path / "n.json").read_text().startswith('{"schema":1,"name":"repvit_m0_9",')


def test_what_is_no_network_is_refused(tmp_path):
    (tmp_path / "n.json").write_text('{"schema": 2, "units": [{"type": "stem"}]}')
    with pytest.raises(FileError, match="missing required field `width`"):
        read_network(tmp_path / "n.json")
    with pytest.raises(FileError, match="`schema` must be 1 or 2; got 3"):
        network_from("it", {"schema": 3})
    with pytest.raises(FileError, match="`schema` is missing; this version reads 1 or 2"):
        network_from("it", {"units": []})
    with pytest.raises(FileError, match="must hold one object"):
        network_from("it", [])


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ((), "units must be 1 to 1024; got 0"),
        ((STEM, BLOCK), r"units\[1\] must be a head; got 'Block'"),
        ((STEM, HEAD, HEAD), r"units\[1\] must be a unit of a network before its head"),
        ((STEM, Features(16, 8), HEAD), r"units\[1\] must be a unit"),
        ((STEM, Head(24, 10, 8)), r"units\[1\] must take the 16 channels at 8 px"),
        ((STEM, Head(16, 10, 7)), "got '16 at 7 px'"),
        ((Stem(16, 16), Head(16, 10, 4)), "resolution must be 32 to 4096; got 16"),
        ((ConvGelu(3, 16, 2, 2, 32), Head(16, 10, 16)), r"units\[0\].kernel must be odd; got 2"),
    ],
)
def test_units_that_make_no_network_are_refused(units, words):
    with pytest.raises(ValueError, match=words):
        Listed(units=units)


def test_a_network_is_adapted_whichever_way_it_is_told():
    architecture = family()["repvit_m0_9"].architecture

    assert rows(adapted(path_network("9"), resolution=96, num_classes=7)) == rows(
        adapted(architecture, resolution=96, num_classes=7)
    )
    other = adapted(path_network("0"), resolution=63, num_classes=2)
    assert (other.resolution, other.num_classes) == (63, 2)
    assert ends(other.units[-1]).size_in == 2  # 63 32 16 8 4 2
    assert adapted(other) == other
    with pytest.raises(RepvitNasError, match="path_0_mobilenetv3_l: resolution must be 32 to 4096"):
        adapted(path_network("0"), resolution=5)


def test_names_and_shapes():
    listed = path_network("4")

    assert summary(listed) == "15 units"
    assert summary(adapted(listed, resolution=64)) == "15 units / 64px"
    assert summary(family()["repvit_m0_9"].architecture).startswith("48-96-192-384")
    assert told(listed) == told(msgspec.structs.replace(listed, name="other"))


def test_a_network_that_no_memory_holds_is_refused_before_it_is_built():
    wide = 1 << 20  # a head between such widths is 4 TB in float32
    listed = Listed(units=(STEM, BLOCK, WideHead(16, wide, wide, 10, 8)), name="listed")
    stage = Stage(width=4096, depth=64, se="1" * 64, expansion=16, kernel=7)
    staged = Architecture(stages=(stage, stage, stage, stage), name="staged")

    for network in (listed, staged):
        with pytest.raises(
            RepvitNasError,
            match=f"{network.name}: a network of more than 1,000 million parameters is not built",
        ):
            create(network)
