import shutil
import struct

import msgspec
import pytest
from support import ROOT, write_narrow

from repvit_nas.files import read_json, write_json
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.predictors.predictor_file import PredictorFile
from repvit_nas.report.run_report import disputes, render, run_tables
from repvit_nas.report.text import milliseconds
from repvit_nas.search_space import family
from repvit_nas.searching.inputs import load_inputs
from repvit_nas.searching.run import search
from repvit_nas.searching.settings import Settings


@pytest.fixture
def find(elsewhere):
    """Return a function that searches a small space in an empty folder."""

    def found(**asked):
        space = write_narrow(elsewhere)
        asked = {"budgets_ms": {"iphone12": 1.0}, "space": space, "trials": 50} | asked
        settings = Settings(**asked)
        return search(settings, load_inputs(settings), elsewhere / "run", render)

    return found


def predicted(name, device, **changes):
    """Return the cell of a reference network's predicted latency."""
    network = msgspec.structs.replace(family()[name].architecture, **changes)
    return milliseconds(*load_predictor(device)[0].estimate(network)[:3])


def titles(outcome):
    return [table.title for table in run_tables(outcome.finding)]


def test_a_report_shows_what_was_loaded(elsewhere):
    """The predictor that the search used is gone when its report is made."""
    own = elsewhere / "predictors" / "iphone12"
    shutil.copytree(ROOT / "predictors" / "iphone12", own)
    file = read_json(own / "predictor.json", PredictorFile)
    write_json(own / "predictor.json", msgspec.structs.replace(file, misfit=0.3))
    settings = Settings(budgets_ms={"iphone12": 1.0}, space=write_narrow(elsewhere), trials=50)
    inputs, cell = load_inputs(settings), predicted("repvit_m1_0", "iphone12")
    shutil.rmtree(elsewhere / "predictors")

    search(settings, inputs, elsewhere / "run", render)

    assert cell != predicted("repvit_m1_0", "iphone12")
    assert cell in (elsewhere / "run" / "README.md").read_text()


def test_the_family_is_shown_at_the_resolution_of_the_search(find, elsewhere):
    outcome = find(budgets_ms={"iphone12": 6.0}, resolution=512)

    page = (elsewhere / "run" / "README.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| RepViT-M1.0"))
    _, _, published, latency, top1, _, _ = map(str.strip, row.split("|"))
    assert latency == predicted("repvit_m1_0", "iphone12", resolution=512)
    assert published == top1 == ""  # both are published at 224 px only
    words = "The reference family on iphone12 at 512 px, of which nothing is published"
    assert words in page
    assert words in titles(outcome)[1]


def test_the_family_at_224_px_is_shown_as_published(find, elsewhere):
    outcome = find()

    page = (elsewhere / "run" / "README.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| RepViT-M0.9"))
    assert row.split("|")[2].strip() == "0.87"
    assert titles(outcome)[1] == "The reference family on iphone12 (predictions modelled)"


def test_every_device_has_its_milliseconds_its_family_and_its_picture(find, elsewhere):
    outcome = find(budgets_ms={"iphone12": 0.9, "iphone13": 0.8})

    page = (elsewhere / "run" / "README.md").read_text()
    best = outcome.result.winning[0]
    row = next(line for line in page.splitlines() if best.architecture.name in line)
    cells = [cell.strip() for cell in row.split("|")]
    for place, device in enumerate(("iphone12", "iphone13"), start=2):
        on = best.devices[device]
        assert cells[place] == milliseconds(on.latency_ms, on.low_ms, on.high_ms)
        assert f"| ms on {device} (90 % interval) |" in page
        assert f"The reference family on {device}, predictions modelled" in page
        assert predicted("repvit_m0_9", device) in page
    assert len(titles(outcome)) == 3
    single = struct.unpack(">II", (ROOT / "results/iphone12-1.0ms/front.png").read_bytes()[16:24])
    both = struct.unpack(">II", (elsewhere / "run" / "front.png").read_bytes()[16:24])
    assert both == (single[0], 2 * single[1])


def test_a_budget_that_does_not_bind_is_said_and_the_winners_are_spread(find, elsewhere):
    outcome = find(budgets_ms={"iphone12": 100.0})

    slowest = outcome.result.front[-1].latency_ms
    assert outcome.finding.run.unbound == {"iphone12": pytest.approx(slowest, abs=1e-3)}
    assert (
        "The budget of 100 ms on iphone12 does not bind"
        in (elsewhere / "run" / "README.md").read_text()
    )
    latencies = [entry.latency_ms for entry in outcome.result.winning]
    assert len(latencies) >= 8
    assert latencies[0] == slowest
    assert latencies[-1] < 1.2 * outcome.result.front[0].latency_ms


def test_a_winner_whose_rank_depends_on_the_model_is_named(find):
    result = find().result
    name = result.winners[-1]

    (said,) = disputes(msgspec.structs.replace(result, disputed={name: 0.25}))

    assert name in said
    assert "for 25% of the ensemble's models" in said
    assert disputes(msgspec.structs.replace(result, disputed={})) == []


def test_of_a_budget_that_binds_nothing_is_said(find, elsewhere):
    assert find().finding.run.unbound == {}
    assert "does not bind" not in (elsewhere / "run" / "README.md").read_text()
