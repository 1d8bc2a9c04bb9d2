"""The picture of a run: one panel a device, the same bytes for the same run."""

import io

import msgspec
import pytest
from PIL import Image

from repvit_nas import data, files
from repvit_nas.report.family_rows import family_rows
from repvit_nas.report.run_picture import run_picture
from repvit_nas.searching.inputs import load_inputs
from repvit_nas.searching.records import FRONT_FILE, Result, read_run
from repvit_nas.searching.run import Finding


@pytest.fixture(scope="module")
def finding():
    """The shipped run."""
    folder = data.find("results", "iphone12-1.0ms", "run").path
    run = read_run(folder)
    return Finding(load_inputs(run.settings), files.read_json(folder / FRONT_FILE, Result), run)


@pytest.fixture(scope="module")
def families(finding):
    (device,) = finding.inputs.devices
    rows = family_rows(device.published, device.predictor, finding.inputs.estimator)
    return {"iphone12": rows, "iphone13": rows}


def size(picture):
    with Image.open(io.BytesIO(picture)) as drawn:
        return drawn.size


def on_two(finding):
    """The same run as if another device had the same latencies."""

    def both(entry):
        only = entry.devices["iphone12"]
        return msgspec.structs.replace(entry, devices={"iphone12": only, "iphone13": only})

    settings = msgspec.structs.replace(
        finding.run.settings, budgets_ms={"iphone12": 1.0, "iphone13": 1.0}
    )
    return finding._replace(
        run=msgspec.structs.replace(finding.run, settings=settings),
        result=msgspec.structs.replace(
            finding.result, front=tuple(both(entry) for entry in finding.result.front)
        ),
    )


def test_a_run_has_one_picture(finding, families):
    picture = run_picture(finding, families)

    assert size(picture) == (8 * 120, 5 * 120)
    assert run_picture(finding, families) == picture


def test_every_device_has_a_panel_of_its_own(finding, families):
    assert size(run_picture(on_two(finding), families)) == (8 * 120, 2 * 5 * 120)


def test_a_budget_that_nothing_comes_near_is_not_drawn(finding, families):
    far = msgspec.structs.replace(finding.run, unbound={"iphone12": 0.5})

    assert run_picture(finding._replace(run=far), families) != run_picture(finding, families)
