import numpy as np
import pytest

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.named import load_architecture
from repvit_nas.report.run_report import render
from repvit_nas.searching.front import non_dominated
from repvit_nas.searching.inputs import load_inputs
from repvit_nas.searching.merge import merge
from repvit_nas.searching.records import Result, read_run
from repvit_nas.searching.run import search
from repvit_nas.searching.settings import Settings


def run(folder, **changes):
    changes.setdefault("budgets_ms", {"iphone12": 1.0})
    settings = Settings(space="coarse", trials=20, **changes)
    # Stopped before it is improved to the end, so that runs differ.
    search(settings, load_inputs(settings), folder, render, timeout_s=0.3)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [run(folder / f"seed-{seed}", seed=seed) for seed in (1, 2)]


def front_of(folder):
    return files.read_json(folder / "front.json", Result).front


def test_nothing_on_any_front_beats_the_merged_one(runs, tmp_path):
    merged = merge(runs, tmp_path / "merged", render, command="repvit-nas merge one two")

    entries = front_of(tmp_path / "merged")
    bounds = np.array([(e.latency_ms, e.accuracy_std - e.accuracy) for e in entries])
    for part, folder in zip(merged.parts, runs, strict=True):
        assert part.networks == len(front_of(folder))
        assert 0 <= part.kept <= part.networks
        for entry in front_of(folder):
            # To the digits that are written.
            most = [entry.latency_ms + 1e-4, entry.accuracy_std - entry.accuracy + 2e-3]
            assert (bounds <= most).all(axis=1).any()
    assert len(non_dominated(bounds)) > 0.9 * len(bounds)
    assert read_run(tmp_path / "merged").settings.trials == 40
    best = load_architecture(f"{tmp_path / 'merged'}:best")
    assert best.stages == merged.finding.result.best.architecture.stages


def test_merging_the_merged_run_again_changes_nothing(runs, tmp_path):
    merge(runs, tmp_path / "one", render)

    again = merge([tmp_path / "one", runs[0]], tmp_path / "two", render)

    kept, _ = again.parts
    assert kept.kept == kept.networks == len(again.finding.result.front)


def test_runs_of_other_searches_are_refused(runs, tmp_path):
    other = run(tmp_path / "other", budgets_ms={"iphone12": 0.9})

    with pytest.raises(RepvitNasError, match=r"not of one search: budgets_ms .*1\.0.*0\.9"):
        merge([runs[0], other], tmp_path / "merged", render)
    with pytest.raises(FileError, match="holds no finished run"):
        merge([runs[0], tmp_path], tmp_path / "merged", render)


def test_a_run_of_data_that_changed_is_refused(runs, tmp_path):
    known = files.read_json(runs[0] / "run.json", dict)
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "front.json").write_bytes((runs[0] / "front.json").read_bytes())
        changed = known["inputs"] | {"predictor iphone12": "0000"}
        files.write_json(folder / "run.json", known | {"inputs": changed})

    with pytest.raises(RepvitNasError, match="another predictor iphone12 than is known now"):
        merge([tmp_path / "one", tmp_path / "two"], tmp_path / "merged", render)


def test_another_run_in_the_folder_stays(runs, tmp_path):
    other = run(tmp_path / "other", seed=7)

    with pytest.raises(RepvitNasError, match="--overwrite"):
        merge(runs, other, render)

    assert read_run(other).settings.seed == 7
