import json
import os
import re
import signal
import subprocess
import sys
import time

import optuna
import pytest
from support import ROOT, write_narrow

from repvit_nas import files
from repvit_nas.architecture import read_architecture
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.named import load_architecture, space_of
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report.run_report import render
from repvit_nas.search_space import family, load_space
from repvit_nas.searching.inputs import load_inputs
from repvit_nas.searching.records import Result, read_run
from repvit_nas.searching.run import search
from repvit_nas.searching.settings import Settings
from repvit_nas.searching.shared import Sharing
from repvit_nas.storages import open_storage


def run(folder, *, resume=False, overwrite=False, storage=None, show=render, **changes):
    changes.setdefault("budgets_ms", {"iphone12": 1.0})
    changes.setdefault("trials", 150)
    settings = Settings(**changes)
    return search(
        settings,
        load_inputs(settings),
        folder,
        show,
        resume=resume,
        overwrite=overwrite,
        sharing=None if storage is None else Sharing(storage),
    )


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    return run(folder), folder


def test_a_run_leaves_what_a_user_needs(finished):
    outcome, folder = finished
    result = files.read_json(folder / "front.json", Result)

    assert outcome.folder == folder
    assert result == outcome.result
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "| RepViT-M1.0 |" in (folder / "README.md").read_text()
    assert read_run(folder).settings == Settings(budgets_ms={"iphone12": 1.0}, trials=150)
    names = {path.stem for path in (folder / "winners").iterdir()}
    assert names == {*result.winners, "best"}
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_every_network_of_the_front_keeps_the_budget_and_is_beaten_by_none(finished):
    front = finished[0].result.front

    assert len(front) > 50
    for one in front:
        assert one.latency_ms <= 1.0
        assert one.feasible
        assert one.source == "modelled"
        assert one.low_ms < one.latency_ms < one.high_ms
        assert one.accuracy_std > 0
    bounds = [entry.accuracy - entry.accuracy_std for entry in front]
    latencies = [entry.latency_ms for entry in front]
    assert latencies == sorted(latencies)
    assert bounds == pytest.approx(sorted(bounds), abs=2e-3)


def test_the_numbers_of_the_front_are_those_of_predict_and_show(finished):
    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.report.network import describe

    predictor = load_predictor("iphone12")[0]
    for entry in finished[0].result.front[::40]:
        described = describe(entry.architecture, predictor, load_family_estimator(), "here")
        assert entry.latency_ms == pytest.approx(described.latency_ms, abs=1e-4)
        assert entry.low_ms == pytest.approx(described.low_ms, abs=1e-3)
        assert entry.high_ms == pytest.approx(described.high_ms, abs=1e-3)
        assert entry.accuracy == pytest.approx(described.accuracy, abs=1e-3)
        assert entry.accuracy_std == pytest.approx(described.accuracy_std, abs=1e-3)
        assert (entry.macs, entry.params) == (described.macs, described.params)
        assert entry.size_bytes == described.size_bytes


def test_the_best_is_the_highest_bound_and_winners_are_ranked(finished):
    outcome, folder = finished
    result = outcome.result
    bounds = {e.architecture.name: e.accuracy - e.accuracy_std for e in result.front}

    assert bounds[result.best.architecture.name] == max(bounds.values())
    assert result.winners[0] == result.best.architecture.name
    assert load_architecture(f"{folder}:best") == result.best.architecture
    assert load_architecture(f"{folder}:0") == result.best.architecture
    for name in result.winners:
        assert read_architecture(folder / "winners" / f"{name}.json").name == name
    latency = {e.architecture.name: e.latency_ms for e in result.front}
    assert sorted((latency[n] for n in result.winners), reverse=True) == [
        latency[n] for n in result.winners
    ]


def test_the_front_holds_nothing_worse_than_the_references(finished):
    """For every reference under the budget there is a network as fast with a bound as high."""
    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.shapes import shapes_of

    predictor = load_predictor("iphone12")[0]
    for network in family().values():
        latency = predictor.estimate(network.architecture).latency_ms
        if latency > 1.0:
            continue
        estimate = load_family_estimator().estimate(shapes_of([network.architecture]))
        bound = estimate.mean[0] - estimate.std[0]
        assert any(
            e.latency_ms <= latency + 1e-4 and e.accuracy - e.accuracy_std >= bound - 1e-3
            for e in finished[0].result.front
        ), network.name


def test_the_same_search_may_be_made_again_and_is_the_same(finished):
    outcome, folder = finished
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}

    again = run(folder)

    assert again.result == outcome.result
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_another_search_does_not_take_the_folder_unasked(finished):
    _, folder = finished
    before = (folder / "front.json").read_bytes()

    for changes in ({"seed": 1}, {"risk": 0.0}, {"budgets_ms": {"iphone12": 0.9}}):
        with pytest.raises(RepvitNasError, match="another.*--out.*--overwrite"):
            run(folder, **changes)
    with pytest.raises(RepvitNasError, match="--resume.*--overwrite.*--out"):
        run(folder, trials=200)

    assert (folder / "front.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "holiday.txt").write_text("sun")
    with pytest.raises(RepvitNasError, match="holds files that are no run"):
        run(tmp_path)
    with pytest.raises(RepvitNasError, match="is a file"):
        run(tmp_path / "holiday.txt")

    assert os.listdir(tmp_path) == ["holiday.txt"]


def test_what_is_no_run_is_never_replaced(tmp_path):
    """The names are those of a run's files, but no run is there."""
    files.write_bytes(tmp_path / "README.md", b"mine")
    files.write_bytes(tmp_path / "front.json", b"mine")
    files.write_bytes(tmp_path / "winners" / "precious.txt", b"mine")
    before = contents(tmp_path)

    for asked in ({"overwrite": True}, {"resume": True}, {"overwrite": True, "resume": True}):
        with pytest.raises(RepvitNasError, match="holds files that are no run"):
            run(tmp_path, **asked)

    assert contents(tmp_path) == before


def test_hidden_files_are_no_run_and_no_hindrance(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"")

    run(tmp_path, trials=60)

    assert (tmp_path / "run.json").is_file()


def test_files_of_others_stay_when_a_run_is_replaced(tmp_path):
    run(tmp_path, trials=60)
    files.write_bytes(tmp_path / "winners" / "precious.txt", b"mine")
    files.write_bytes(tmp_path / "notes.txt", b"mine")

    run(tmp_path, trials=60, budgets_ms={"iphone12": 0.8}, overwrite=True)

    assert (tmp_path / "winners" / "precious.txt").read_bytes() == b"mine"
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_run_stays_until_another_has_taken_its_place(tmp_path):
    """An impossible budget, Ctrl-C while the page is made, and a full disk."""
    import resource

    folder = tmp_path / "run"
    run(folder, trials=60)
    before = contents(folder)

    assert run(folder, budgets_ms={"iphone12": 0.3}, overwrite=True).folder is None
    assert contents(folder) == before

    with pytest.raises(KeyboardInterrupt):
        run(folder, trials=60, seed=1, overwrite=True, show=interrupted)
    assert contents(folder).items() >= before.items()

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limit[1]))
    try:
        for asked in ({"overwrite": True, "seed": 2}, {}):
            with pytest.raises(FileError, match="cannot be written: File too large"):
                run(folder, trials=60, **asked)
            assert contents(folder).items() >= before.items()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_replacement_that_was_cut_short_is_gone_on_with(tmp_path):
    folder = tmp_path / "run"
    run(folder, trials=60)
    with pytest.raises(KeyboardInterrupt):
        run(folder, trials=100, seed=1, overwrite=True, show=interrupted)

    longer = run(folder, trials=150, seed=1, overwrite=True, resume=True)

    assert longer.result == run(tmp_path / "other", trials=150, seed=1).result
    assert contents(folder).keys() == contents(tmp_path / "other").keys()
    assert run(folder, trials=200, seed=1, resume=True).result.trials == 200


def test_a_run_is_not_resumed_to_fewer_trials(tmp_path):
    run(tmp_path, trials=100)
    before = contents(tmp_path)

    with pytest.raises(RepvitNasError, match="has 100 trials already; got --trials 60"):
        run(tmp_path, trials=60, resume=True)

    assert contents(tmp_path) == before


def test_a_run_of_a_storage_is_resumed(tmp_path):
    storage, folder = f"sqlite:///{tmp_path}/study.db", tmp_path / "run"
    run(folder, storage=storage, trials=50)

    longer = run(folder, storage=storage, trials=100, resume=True)

    assert longer.result.trials == 100
    assert read_run(folder).settings.trials == 100
    assert not (folder / "study.journal").exists()
    with pytest.raises(RepvitNasError, match="belongs to another search"):
        run(tmp_path / "other", storage=storage, trials=100, seed=1, resume=True)


def test_one_search_at_a_time_writes_into_a_folder(tmp_path):
    def meanwhile(*given):
        with pytest.raises(RepvitNasError, match="process .* is writing here"):
            run(tmp_path / "run", trials=60, overwrite=True)
        return render(*given)

    run(tmp_path / "run", trials=60, show=meanwhile)

    assert run(tmp_path / "run", trials=60).result.trials == 60


def test_a_name_too_long_for_a_folder_is_one_line(tmp_path):
    with pytest.raises(FileError, match="cannot be written: File name too long"):
        run(tmp_path / ("a" * 300) / "run")


def test_a_run_can_be_replaced_when_asked(tmp_path):
    folder = tmp_path / "run"
    run(folder, trials=60)

    replaced = run(folder, trials=60, budgets_ms={"iphone12": 0.8}, overwrite=True)

    assert max(entry.latency_ms for entry in replaced.result.front) <= 0.8
    assert {p.stem for p in (folder / "winners").iterdir()} == {*replaced.result.winners, "best"}


def test_trials_can_be_added(tmp_path):
    run(tmp_path / "run", trials=100)

    longer = run(tmp_path / "run", trials=200, resume=True)

    assert longer.result.trials == 200
    assert longer.result == run(tmp_path / "other", trials=200).result


def test_nothing_is_resumed_where_nothing_is(tmp_path):
    with pytest.raises(RepvitNasError, match="no run to resume"):
        run(tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_an_impossible_budget_answers_with_the_nearest_network(tmp_path):
    """The fastest network of the space is its smallest: all widths, depths, expansions least."""
    outcome = run(tmp_path / "run", budgets_ms={"iphone12": 0.3}, trials=60)

    assert outcome.folder is None
    assert outcome.result.best is None
    assert not (tmp_path / "run").exists()
    (entry,) = outcome.result.front
    assert not entry.feasible
    space, _ = load_space("repvit")
    smallest = space.decode(space.encode(entry.architecture))
    assert smallest.width.tolist() == [[32, 64, 128, 256]]
    assert smallest.depth.tolist() == [[1, 1, 6, 1]]
    assert smallest.se_blocks.sum() == 0
    assert set(smallest.expansion.ravel()) == {1.5}


def test_a_budget_that_only_few_networks_meet_is_not_called_impossible(tmp_path):
    """Neither the one trial nor a reference meets it; the way to the nearest network does."""
    outcome = run(tmp_path / "run", budgets_ms={"iphone12": 0.53}, trials=1)

    assert outcome.result.best.latency_ms <= 0.53


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"max_params_m": 0.1}, [r"1\.155 million parameters, .* over the 0\.1 allowed"]),
        ({"max_size_mb": 1}, [r"2\.31 MB of fp16 weights, .* over the 1 allowed"]),
        (
            {"budgets_ms": {"iphone12": 0.54}, "confidence": 0.9},
            [r"ms on iphone12 \(upper end at confidence 0\.9; .*modelled\), .* over the 0\.54 all"],
        ),
        (
            {"budgets_ms": {"iphone12": 1.0, "iphone13": 0.3}},
            [r"ms on iphone13 \(.*; modelled\), .* over the 0\.3 allowed"],
        ),
        (
            {"budgets_ms": {"iphone12": 0.3}, "max_macs_g": 0.1},
            [r"ms on iphone12 .* over the 0\.3 allowed", "thousand million MACs"],
        ),
    ],
)
def test_only_the_limits_that_are_missed_are_told(tmp_path, changes, missed):
    outcome = run(tmp_path / "run", trials=60, **changes)

    assert len(outcome.missed) == len(missed)
    for text, pattern in zip(outcome.missed, missed, strict=True):
        assert re.search(pattern, text)


def test_a_constraint_that_no_network_keeps_is_told(tmp_path):
    text = (ROOT / "search_space" / "coarse.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("width[0] <= width[1]", "width[0] >= 500"))

    outcome = run(tmp_path / "run", trials=60, space=str(tmp_path / "mine.toml"))

    assert outcome.missed == ("436 away from 'width[0] >= 500'",)


def test_limits_that_exclude_each_other_name_the_nearest(tmp_path):
    outcome = run(tmp_path / "run", max_params_m=0.2, trials=60)

    assert outcome.result.best is None
    assert outcome.result.front[0].params == min(e.params for e in outcome.result.front)


def test_limits_hold_for_the_whole_front(tmp_path):
    outcome = run(
        tmp_path / "run", max_params_m=4.0, max_macs_g=0.8, max_size_mb=7.5, confidence=0.9
    )

    for entry in outcome.result.front:
        assert entry.params <= 4.0e6
        assert entry.macs <= 0.8e9
        assert entry.size_bytes <= 7.5e6
        assert entry.high_ms <= 1.0 + 1e-3


def test_several_devices_are_searched_at_once(tmp_path):
    budgets = {"iphone12": 0.8, "iphone13": 0.65}
    outcome = run(tmp_path / "run", budgets_ms=budgets, space="coarse")

    assert len(outcome.result.front) > 10
    for entry in outcome.result.front:
        assert list(entry.devices) == list(budgets)
        for device, budget in budgets.items():
            assert entry.devices[device].latency_ms <= budget
        assert entry.latency_ms == entry.devices["iphone12"].latency_ms


def test_an_enumerable_space_states_its_share_of_the_exact_front(tmp_path):
    outcome = run(tmp_path / "run", space="coarse", trials=300)

    assert 0.999 <= outcome.result.exact_share <= 1.0
    assert 0.5 < outcome.result.exact_optuna_share < outcome.result.exact_share


def test_resolution_is_searched_within_the_spaces_range(tmp_path):
    outcome = run(tmp_path / "run", resolution=160, trials=60)
    assert {entry.architecture.resolution for entry in outcome.result.front} == {160}

    for resolution in (128, 2048):
        with pytest.raises(RepvitNasError, match="160 to 1024"):
            run(tmp_path / "other", resolution=resolution)


def test_search_by_sampler_and_seed_is_reproducible(tmp_path):
    for sampler in ("random", "tpe"):
        first = run(tmp_path / f"{sampler}1", sampler=sampler, trials=60, seed=5)
        second = run(tmp_path / f"{sampler}2", sampler=sampler, trials=60, seed=5)
        assert first.result == second.result


def test_a_write_that_fails_leaves_no_run_behind(tmp_path):
    """The disk is full when the results are written: the study stays, to be gone on with."""
    import resource

    folder = tmp_path / "run"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limit[1]))
    try:
        with pytest.raises(FileError, match="cannot be written: File too large"):
            run(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)

    assert not (folder / "run.json").exists()
    assert not [name for name in os.listdir(folder) if name.startswith(".")]
    assert run(folder, resume=True).result.trials == 150


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(FileError, match="Permission denied"):
        run(tmp_path / "locked" / "run")


def test_a_run_folder_whose_run_is_broken_says_how_to_go_on(tmp_path):
    folder = tmp_path / "run"
    run(folder, trials=60)
    (folder / "run.json").write_text("{")

    with pytest.raises(FileError, match=r"run\.json.*--overwrite"):
        run(folder, trials=60)


COMMAND = [sys.executable, "-m", "repvit_nas", "search", "--budget-ms", "1.0", "--trials", "2000"]


def test_after_kill_9_the_run_goes_on_to_the_same_front(tmp_path):
    """Killed in the middle without warning: at most one batch of 50 trials is lost."""
    killed = tmp_path / "killed"
    process = subprocess.Popen([*COMMAND, "--out", str(killed)], stderr=subprocess.DEVNULL)
    log = killed / "study.journal"
    end = time.monotonic() + 60
    while time.monotonic() < end and (not log.exists() or log.read_bytes().count(b"\n") < 6):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    batches = log.read_bytes().count(b"\n") - 1
    assert 5 <= batches < 40

    again = subprocess.run([*COMMAND, "--out", str(killed)], capture_output=True, text=True)
    assert again.returncode == 1
    assert "--resume" in again.stderr
    resumed = subprocess.run(
        [*COMMAND, "--out", str(killed), "--resume", "--json"], capture_output=True, text=True
    )
    whole = subprocess.run(
        [*COMMAND, "--out", str(tmp_path / "whole"), "--json"], capture_output=True, text=True
    )

    assert resumed.returncode == whole.returncode == 0, resumed.stderr
    first, second = json.loads(resumed.stdout), json.loads(whole.stdout)
    assert first["front"] == second["front"]
    assert first["trials"] == second["trials"] == 2000


@pytest.mark.parametrize("budget", [0.7, 1.5])
@pytest.mark.parametrize("risk", [0.0, 1.0])
def test_the_search_does_not_pour_channels_into_the_last_stage(tmp_path, budget, risk):
    """The trap: they cost few milliseconds there. The family's last stage is 8 times its first."""
    outcome = run(tmp_path / "run", budgets_ms={"iphone12": budget}, risk=risk)

    for entry in outcome.result.front:
        first, *_, last = entry.architecture.stages
        assert last.width <= 10 * first.width


def test_the_number_of_classes_is_searched_with(tmp_path):
    """A head of 1000 classes is 257,000 parameters of the smallest network: too many for 1.0 M."""
    outcome = run(tmp_path / "run", max_params_m=1.0, num_classes=10, trials=60)

    assert outcome.result.front
    for entry in outcome.result.front:
        assert entry.architecture.num_classes == 10
        assert entry.params <= 1e6
    assert run(tmp_path / "other", max_params_m=1.0, trials=60).folder is None


def test_a_run_keeps_the_space_it_was_made_in(tmp_path):
    space = write_narrow(tmp_path)
    run(tmp_path / "run", space=space, trials=60)
    digest = load_space(space)[0].digest
    (tmp_path / "narrow.toml").unlink()

    kept = space_of(f"{tmp_path / 'run'}:best")

    assert (kept.name, kept.digest) == ("narrow", digest)


def test_a_time_out_binds_the_improvement_and_is_noted(tmp_path):
    settings = Settings(budgets_ms={"iphone12": 1.0}, trials=50)

    outcome = search(
        settings,
        load_inputs(settings),
        tmp_path / "run",
        render,
        timeout_s=0.01,
    )

    assert not read_run(tmp_path / "run").complete
    whole = run(tmp_path / "whole", trials=50)
    assert len(outcome.result.front) < len(whole.result.front)
    assert read_run(tmp_path / "whole").complete


def test_searches_that_share_a_study_may_share_the_folder(tmp_path):
    """The same line on each machine: whoever ends last finds the run there, and it is the same."""
    url = f"journal:///{tmp_path}/study.log?password=geheim"
    first = run(tmp_path / "run", storage=url, trials=60, resume="auto")
    before = contents(tmp_path / "run")

    second = run(tmp_path / "run", storage=url, trials=60, resume="auto")

    assert second.result == first.result
    assert contents(tmp_path / "run") == before
    assert b"geheim" not in b"".join(before.values())
    storage = open_storage(url)
    [summary] = optuna.get_all_study_summaries(storage)
    loads = summary.user_attrs["winners are loaded with"]
    assert loads["best"] == f'repvit_nas.load("{tmp_path}/run:best")'
    assert set(loads) == {"best", *first.result.winners}


def test_one_line_starts_a_run_goes_on_with_it_and_repeats_it(tmp_path):
    run(tmp_path / "auto", resume="auto", trials=50)
    run(tmp_path / "auto", resume="auto", trials=100)
    longer = run(tmp_path / "auto", resume="auto", trials=100)

    assert longer.result == run(tmp_path / "at once", trials=100).result
