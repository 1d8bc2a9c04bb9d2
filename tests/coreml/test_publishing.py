"""What the series of a Core ML device make of its folder."""

from types import SimpleNamespace

import pytest

from repvit_nas import data, files
from repvit_nas.coreml.products import product
from repvit_nas.coreml.publishing import Published, claim_folder, moved_away, take_back
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.series import Contribution, Sources


@pytest.mark.parametrize(("units", "said"), [(1, "1 unit, 2 networks"), (2, "2 units, 2 networks")])
def test_one_unit_is_not_called_units(units, said):
    source = Contribution(series="lab", units=units, networks=2)
    device = SimpleNamespace(file=SimpleNamespace(kind="measured"))
    published = Published(device, Sources(sources=(source,)), units, 2)

    assert list(published.said()) == [f"series lab: {said}"]


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "iphone12"
    home.mkdir()
    return home


def test_a_claimed_folder_has_what_is_shipped_and_keeps_what_is_there(folder):
    shipped = data.shipped_root() / "latency_lut" / "iphone12"
    (folder / "published.csv").write_text("mine")

    claim_folder(product("iphone12"), folder)

    assert (folder / "device.json").read_bytes() == (shipped / "device.json").read_bytes()
    assert (folder / "published.csv").read_text() == "mine"


def test_series_whose_folders_are_gone_are_named(folder):
    assert moved_away(folder) == []  # nothing was made of any
    sources = [Contribution(series=name, units=1, networks=1) for name in ("here", "gone")]
    files.write_json(folder / "sources.json", Sources(sources=tuple(sources)))
    (folder / "series" / "here").mkdir(parents=True)
    (folder / "series" / "here" / "visits.jsonl").write_text("")

    assert moved_away(folder) == ["gone"]


def test_without_a_series_there_is_nothing_to_take_back(folder):
    with pytest.raises(RepvitNasError, match="no series is left.*import or measure one"):
        take_back(product("iphone12"), folder)
