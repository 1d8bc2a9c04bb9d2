"""Tables of accuracy."""

import msgspec
import pytest

from repvit_nas.accuracy.comparison import Ranking
from repvit_nas.accuracy.held_out import SEEDS, AccuracyValidation
from repvit_nas.accuracy.observations import AccuracyObservation, Circumstances
from repvit_nas.campaign.finals import FinalRow, Finals, sentence
from repvit_nas.report.accuracy import (
    FINALS_HEADER,
    VALIDATION_HEADER,
    coverage_text,
    finals_rows,
    trained_table,
    validation_cells,
)
from repvit_nas.search_space.family import family
from repvit_nas.training.recipe import load_recipe

M0_9 = family()["repvit_m0_9"].architecture


def ranking(tau):
    return Ranking(tau=tau, low=tau - 0.1, high=tau + 0.1, precision=2 / 3, regret=0.125)


VALIDATION = AccuracyValidation(
    name="plants", meaning="", networks=20, trainings=40, coverage=0.85, coverage_family=0.5,
    rankings={"estimator": ranking(0.71), SEEDS: ranking(0.9)}, picked=3,
)  # fmt: skip


def test_a_score_says_how_it_ranks_and_what_it_loses():
    one, other = (
        dict(zip(VALIDATION_HEADER, cells, strict=True)) for cells in validation_cells(VALIDATION)
    )

    assert one == {
        "ranked by": "estimator",
        "tau (90 % interval)": "0.71 (0.61 to 0.81)",
        "best 3 found": "2 of 3",
        "behind the best": "0.12 points",
    }
    assert other["behind the best"] == ""  # another seed chooses nothing


@pytest.mark.parametrize(
    ("level", "said"), [(None, "85% of them; of"), (-1.25, "moved by -1.2 points as a whole; of")]
)
def test_coverage_says_whether_the_level_was_moved(level, said):
    assert said in coverage_text(msgspec.structs.replace(VALIDATION, level=level))


def test_finals_say_by_how_much_the_winner_leads():
    rows = (
        FinalRow(name="mine", architecture=M0_9, reference=False, latency_ms=0.9, top1=(80.0, 82.0)),
        FinalRow(
            name="m0.9", architecture=M0_9, reference=True, latency_ms=0.87, top1=(79.0,), lead=1.5,
            lead_half=0.25,
        ),
    )  # fmt: skip
    finals = Finals(
        run="r", device="iphone12", data="plants", recipe=load_recipe("quick"), seeds=(0, 1),
        best="mine", networks=rows,
    )  # fmt: skip

    mine, other = (dict(zip(FINALS_HEADER, cells, strict=True)) for cells in finals_rows(finals))

    assert (mine["top-1 %"], mine["by seed"]) == ("81.00", "80.00 82.00")
    assert mine["the winner leads by"] == ""
    assert (other["network"], other["the winner leads by"]) == ("reference m0.9", "+1.50 ± 0.25")
    assert other["ms predicted"] == "0.870"
    assert sentence(finals) == (
        "The winner mine (0.900 ms predicted on iphone12, 81.00 %, 2 seeds): "
        "+1.50 ± 0.25 points to m0.9, 0.870 ms predicted (it leads)."
    )


def test_trainings_stand_best_first_and_no_more_than_asked_for():
    where = Circumstances(data="plants", data_digest="d", recipe="proxy", recipe_digest="r")
    seen = [
        AccuracyObservation(
            architecture=M0_9, circumstances=where, top1=top1, origin="trained here",
            source=f"t{top1:.0f}",
        )
        for top1 in (70.0, 90.0, 80.0)
    ]  # fmt: skip

    table = trained_table(seen, most=2)

    assert list(table.columns[0].cells) == ["t90", "t80"]
    assert list(table.columns[1].cells) == ["90.00", "80.00"]
