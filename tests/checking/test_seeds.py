import shutil

import msgspec
import pytest

from repvit_nas import files
from repvit_nas.checking.check import check_run
from repvit_nas.checking.seeds import SeedsRecord, over_seeds, same_but_for_seed, settled
from repvit_nas.commands import _run
from repvit_nas.errors import RepvitNasError
from repvit_nas.report.checking import SEEDS_HEADER, seeds_rows
from repvit_nas.training.records import TRAINING_FILE, read_training


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory):
    run = tmp_path_factory.mktemp("checked") / "run"
    shutil.copytree(trained, run)
    return check_run(run)


@pytest.fixture
def runs(trained, tmp_path):
    """Three finished runs that say to have been trained with the seeds 0, 1 and 2."""
    folders = [tmp_path / f"seed-{seed}" for seed in range(3)]
    for seed, folder in enumerate(folders):
        shutil.copytree(trained, folder)
        rewrite(folder, seed=seed)
    return folders


def rewrite(folder, **changes):
    record = read_training(folder)
    asked = msgspec.structs.replace(record.asked, **changes)
    files.write_json(folder / TRAINING_FILE, msgspec.structs.replace(record, asked=asked))


def check_of(found, variant, *family):
    """What a check might have found: the accuracies of the variant and of the first of the family."""
    rows = [
        msgspec.structs.replace(row, top1=family[number] if number < len(family) else None)
        for number, row in enumerate(found.family)
    ]
    return msgspec.structs.replace(
        found, variant=msgspec.structs.replace(found.variant, top1=variant), family=tuple(rows)
    )


def test_seeds_are_paired_and_their_interval_is_students(runs, found):
    checked = [
        check_of(found, 50.0, 47.0, 49.0),
        check_of(found, 54.0, 49.0, 55.0),
        check_of(found, 52.0, 48.0),
    ]

    together = over_seeds(runs, checked)

    variant, first, second = together.networks
    assert together.seeds == (0, 1, 2)
    assert (variant.network.top1, variant.sd, variant.lead) == (52.0, pytest.approx(2.0), None)
    assert (first.network.top1, first.top1) == (48.0, (47.0, 49.0, 48.0))
    # Leads of 3, 5 and 4: mean 4, standard error 1 / sqrt(3); t at 95 % with 2 degrees is 2.920.
    assert first.lead == pytest.approx(4.0)
    assert first.lead_half == pytest.approx(2.920 / 3**0.5, abs=1e-3)
    # The small variant is faster than M0.9, and was more accurate in these.
    assert settled(first) == first.network.relation == "dominated by the variant"
    # Of the second there are two: leads of 1 and -1.
    assert second.lead == 0.0
    assert second.lead_half == pytest.approx(6.314, abs=1e-3)  # of one degree
    assert settled(second) == ""
    rows = seeds_rows(together)
    assert all(len(row) == len(SEEDS_HEADER) for row in rows)
    assert rows[1][5:] == ("3", "1.00", "+4.00 ± 1.69", "dominated by the variant")
    assert rows[2][-1] == "not settled"


def test_of_one_seed_nothing_is_settled(runs, found):
    together = over_seeds(runs[:1], [check_of(found, 50.0, 40.0)])

    assert together.networks[1].lead == 10.0
    assert together.networks[1].lead_half is None
    assert settled(together.networks[1]) == ""


def test_runs_that_differ_in_more_than_the_seed_are_refused(runs):
    assert same_but_for_seed(runs) == (0, 1, 2)
    rewrite(runs[1], seed=0)
    with pytest.raises(RepvitNasError, match="need seeds of their own; got 0, 0, 2"):
        same_but_for_seed(runs)
    recipe = msgspec.structs.replace(read_training(runs[2]).asked.recipe, lr=0.5)
    rewrite(runs[2], recipe=recipe)
    with pytest.raises(RepvitNasError, match=r"seed-2 differ in more than the seed: recipe\.lr"):
        same_but_for_seed(runs)


def test_the_command_leaves_table_and_record_beside_the_runs(runs, capsys):
    code = _run(["check", *map(str, runs)], debug=False)

    assert code == 1  # stages of 16 channels are outside the space
    record = files.read_json(runs[0].parent / "seeds.json", SeedsRecord)
    assert record.kept is False
    assert len(record.networks) == 1  # no family was trained
    assert record.networks[0].sd == 0.0
    printed = capsys.readouterr().out
    assert "Over 3 seeds, on iphone12" in printed
