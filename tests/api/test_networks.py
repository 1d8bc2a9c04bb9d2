import pytest
from matplotlib.figure import Figure

import repvit_nas
from repvit_nas.errors import FileError, UnknownNameError, WrongTypeError


def test_a_description_adds_up_and_is_a_frame():
    found = repvit_nas.describe("repvit_m0_9")
    frame = found.to_frame()

    assert frame["params"].sum() == 5067056
    assert frame["latency_ms"].sum() + found.content.overhead_ms == pytest.approx(
        repvit_nas.predict("repvit_m0_9").latency_ms, abs=1e-3
    )
    assert len(found.plot(Figure().subplots()).patches) == len(frame)
    assert "<td" in found._repr_html_()


def test_what_is_written_is_read_back(elsewhere):
    network = repvit_nas.load_architecture("repvit_m0_9")

    repvit_nas.write("mine.json", "repvit_m0_9")

    assert repvit_nas.read("mine.json") == network
    with pytest.raises(FileError, match=r"none\.json: cannot be read"):
        repvit_nas.read("none.json")
    with pytest.raises(UnknownNameError, match="run 'none' is not known"):
        repvit_nas.read("none")
    with pytest.raises(WrongTypeError, match="path must be a path; got int: 5"):
        repvit_nas.read(5)
    with pytest.raises(WrongTypeError, match="got int: 5"):
        repvit_nas.write("five.json", 5)


def test_the_shipped_run_is_read_wherever_one_is(elsewhere):
    run = repvit_nas.read("results/iphone12-1.0ms")

    assert run.best.latency_ms <= 1.0
    assert run[0] == run.best
