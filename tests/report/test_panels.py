"""What the interactive page shows, as plain records."""

import json

import msgspec
import pytest
from support import ROOT
from training_support import small_asked

from repvit_nas import data, files
from repvit_nas.predictors.validation import read_validation
from repvit_nas.report.panels import front_panel, training_panel, validation_panel
from repvit_nas.search_space.peers import peers
from repvit_nas.searching.records import FRONT_FILE, Result, read_run
from repvit_nas.training.records import EpochRow, TrainFile, TrainOutcome


@pytest.fixture(scope="module")
def folder():
    return data.find("results", "iphone12-1.0ms", "run").path


@pytest.fixture(scope="module")
def panel(folder):
    result = files.read_json(folder / FRONT_FILE, Result)
    costs = {"iphone12": [(("stem", float(place)),) for place in range(len(result.front))]}
    return front_panel("run", result, read_run(folder), costs=costs, family={}, peers=peers())


def test_a_front_has_its_networks_in_order_and_says_what_loads_them(folder, panel):
    written = json.loads((folder / FRONT_FILE).read_text())
    names = [entry["architecture"]["name"] for entry in written["front"]]

    assert [point.name for point in panel.networks] == names
    assert [point.name for point in panel.networks if point.best] == [
        written["best"]["architecture"]["name"]
    ]
    assert {point.load for point in panel.networks if point.load} == {
        f"run:{name}" for name in written["winners"]
    }
    assert [point.costs["iphone12"] for point in panel.networks[:2]] == [
        (("stem", 0.0),), (("stem", 1.0),),
    ]  # fmt: skip
    first = written["front"][0]["devices"]["iphone12"]
    assert panel.networks[0].latency["iphone12"].ms == first["latency_ms"]
    assert panel.said.startswith("run: within 1 ms on iphone12, 224 px. Repeat with: repvit-nas ")


def test_networks_of_others_are_shown_on_the_phone_they_were_timed_on(folder, panel):
    assert len(panel.peers) == len(peers()) > 0
    run = read_run(folder)
    elsewhere = msgspec.structs.replace(
        run, settings=msgspec.structs.replace(run.settings, budgets_ms={"cpu-epyc": 1.0})
    )

    other = front_panel(
        "run", files.read_json(folder / FRONT_FILE, Result), elsewhere, costs={}, family={},
        peers=peers(),
    )  # fmt: skip

    assert other.peers == ()


@pytest.mark.parametrize(
    ("device", "word", "given", "predicted"),
    [
        ("iphone12", "published", "published_ms", "without_network_ms"),
        ("cpu-epyc", "measured", "measured_ms", "predicted_ms"),
    ],
)
def test_a_validation_shows_fits_that_never_saw_the_network(device, word, given, predicted):
    path = ROOT / "predictors" / device / "validation.json"
    checks = json.loads(path.read_text())["checks"]

    panel = validation_panel(device, read_validation(path))

    assert panel.measured_word == word
    assert [(point.measured, point.predicted) for point in panel.points] == [
        (check[given], check[predicted]) for check in checks
    ]
    assert all(len(row) == len(panel.table.header) for row in panel.table.rows)


def test_a_training_says_what_it_reached_or_that_it_is_not_finished():
    epochs = [EpochRow(epoch=1, updates=6, lr=0.1, train_loss=3.0, loss=2.0, top1=50.0, top5=90.0)]
    record = TrainFile(
        command="repvit-nas train x", asked=small_asked(), classes=("a",), versions={}, machine={}
    )
    outcome = TrainOutcome(
        epoch=3, updates=18, top1=97.125, top5=99.0, loss=0.1, val_images=2400, seconds=2.0
    )

    begun = training_panel("run", record, epochs, None)
    done = training_panel("run", msgspec.structs.replace(record, outcome=outcome), epochs, None)

    assert begun.said == "run: shapes, not finished. Repeat with: repvit-nas train x"
    assert "top-1 97.12 % of 2,400 images after epoch 3" in done.said
    assert done.epochs == tuple(epochs)
    assert done.table.rows == ()
