import json

import pandas as pd
import pytest
from support import write_narrow

import repvit_nas
from repvit_nas import RepvitNasError
from repvit_nas.commands import main
from repvit_nas.errors import UnknownNameError, WrongTypeError


def test_a_search_from_python_finds_what_the_command_line_finds(found, elsewhere, capsys):
    space = found.run.settings.space
    with pytest.raises(SystemExit) as end:
        main(["search", "--budget-ms", "1.0", "--space", space, "--trials", "50", "--json"])
    document = json.loads(capsys.readouterr().out)

    assert end.value.code == 0
    assert [entry["architecture"]["name"] for entry in document["front"]] == [
        entry.architecture.name for entry in found
    ]
    assert document["best"]["accuracy"] == found.best.accuracy
    assert repvit_nas.read(document["folder"]).result == found.result


def test_a_search_without_a_folder_writes_nothing(elsewhere):
    space = write_narrow(elsewhere)

    run = repvit_nas.search(1.0, space=space, trials=20)

    assert run.folder is None
    assert [path.name for path in elsewhere.iterdir()] == ["narrow.toml"]


def test_a_written_search_is_read_back_and_names_its_winners(found, elsewhere):
    found.write("mine")

    again = repvit_nas.read("mine")

    assert (again.result, again.run) == (found.result, found.run)
    assert repvit_nas.load_architecture("mine:best") == found.best.architecture
    with pytest.raises(RepvitNasError, match="another run"):
        repvit_nas.search(0.9, space=found.run.settings.space, trials=20, out="mine")


def test_a_front_as_a_frame_holds_what_front_csv_holds(found, elsewhere):
    found.write("mine")
    frame = found.to_frame()

    written = pd.read_csv(elsewhere / "mine" / "front.csv")

    assert list(written.columns) == list(frame.columns)
    assert list(written["network"]) == [entry.architecture.name for entry in found.front]
    assert list(written["iphone12_latency_ms"]) == [entry.latency_ms for entry in found.front]
    assert list(written["se"]) == list(frame["se"])
    assert written["winner"].sum() == len(found.result.winners)


def test_a_network_is_found_by_name_place_and_as_the_best(found):
    best = found.best

    assert found["best"] is best
    assert found[0] is best
    assert found[best.architecture.name] == best
    assert list(found) == list(found.front)
    assert len(found) == len(found.front)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("iphone12-9.0000ms", "network of the search 'iphone12-9.0000ms' is not known"),
        (99, r"winners; got number 99"),
    ],
)
def test_a_network_that_is_not_there_is_said(found, name, said):
    with pytest.raises(UnknownNameError, match=said):
        found[name]


def test_a_misspelt_network_gets_the_nearest_suggested(found):
    name = found.front[0].architecture.name

    with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
        found[name + "s"]


def test_a_budget_that_no_network_keeps_says_so_when_the_best_is_asked_for(elsewhere):
    run = repvit_nas.search(0.1, space=write_narrow(elsewhere), trials=20)

    with pytest.raises(RepvitNasError, match=r"keeps what was asked; the nearest, .*over the 0.1"):
        _ = run.best
    assert "over the 0.1 allowed" in run._repr_html_()


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"budget_ms": "1.0"}, WrongTypeError, "budget_ms must be a number .*; got str: '1.0'"),
        ({"trials": "many"}, WrongTypeError, "trials: .*int.*'many'"),
        ({"device": 3}, WrongTypeError, "device must be the name .*; got int: 3"),
        ({"device": "iphon12"}, UnknownNameError, "did you mean 'iphone12'"),
        ({"sampler": "nsga"}, UnknownNameError, "did you mean 'nsga2'"),
        ({"trial": 3}, UnknownNameError, "argument 'trial' is not known .did you mean 'trials'"),
        ({"trials": 0}, RepvitNasError, "trials must be 1 to"),
        ({"resume": True}, RepvitNasError, "name its folder"),
        ({"timeout_s": 0}, RepvitNasError, "above 0 seconds"),
        ({"out": 5}, WrongTypeError, "out must be a path; got int: 5"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(asked, kind, said):
    with pytest.raises(kind, match=said) as error:
        repvit_nas.search(**asked)
    assert "\n" not in str(error.value)


def test_a_search_draws_itself_on_each_device(found):
    from matplotlib.figure import Figure

    axes = Figure().subplots()

    assert found.plot(axes) is axes
    assert axes.get_xlabel() == "latency on iphone12 in ms, modelled"
    assert axes.get_ylabel() == found.result.accuracy_meaning
    with pytest.raises(UnknownNameError, match="'iphone13'"):
        found.plot(axes, device="iphone13")


def test_a_search_says_itself_in_a_line_and_in_html(found):
    best = found.best.architecture.name

    assert best in repr(found)
    assert "\n" not in repr(found)
    assert f">{best}</td>" in found._repr_html_()
