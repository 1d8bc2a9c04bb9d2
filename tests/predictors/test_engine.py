import json
import math

import msgspec
import numpy as np
import pytest
from support import ROOT

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.operations import Conv
from repvit_nas.predictors.assumptions import Assumptions
from repvit_nas.predictors.ensemble import expected
from repvit_nas.predictors.physical import features, tabulate
from repvit_nas.units import Foreign

PHONES = {
    name: files.read_json(ROOT / "predictors" / name / "assumptions.json", Assumptions)
    for name in ("iphone12", "iphone13")
}
A14, A15 = (PHONES[name].engine for name in ("iphone12", "iphone13"))


def test_the_rates_are_those_that_are_known():
    """4096 multiply-accumulates a cycle at 1.428 GHz: 5.85 a picosecond, 90 % of them; 0.89 x 34.1."""
    forms = A14.forms()

    def middle(name):
        return math.exp(np.mean([math.log(getattr(form, name)) for form in forms]))

    assert A14.peak_tmacs == pytest.approx(5.85, abs=0.005)
    assert middle("tmacs") == pytest.approx(5.27, rel=0.005)
    assert middle("memory_gbps") == pytest.approx(30.4, rel=0.005)
    assert middle("chip_gbps") == pytest.approx(64 * 1.428, rel=0.005)
    assert np.std([math.log(form.memory_gbps) for form in forms]) == pytest.approx(0.065, rel=0.05)


def test_every_choice_is_drawn_equally_often():
    seen = {}
    for form in A14.forms():
        choice = (form.overlap, form.spill, form.depthwise)
        seen[choice] = seen.get(choice, 0) + 1

    assert len(seen) == len(A14.overlap) * len(A14.spill) * len(A14.depthwise)
    assert len(set(seen.values())) == 1


def test_what_is_known_with_other_tools_is_wider_by_their_offset():
    """0.05 of 0.42 ms and 6 % of them: 0.056; all else of the engine stays."""
    beside = A14.elsewhere(0.06)

    assert beside.expected["overhead"].deviation == pytest.approx(0.056, abs=0.0001)
    assert beside.expected["convolution"].deviation == pytest.approx(0.06, abs=0.0001)
    assert msgspec.structs.replace(beside, expected=A14.expected) == A14


def test_a_million_parameters_take_66_microseconds():
    """2 MB at 30.4 GB/s, whatever kind of convolution has them and however small the map is."""
    form = msgspec.structs.replace(A14.forms()[0], memory_gbps=30.4)
    wide = Foreign(Conv(1000, 1000, 1, 1, 7, 7)), Foreign(Conv(250, 250, 16, 1, 7, 7))

    assert features(form, tabulate(wide), ("convolution",)) == pytest.approx(2 / 30.4, rel=1e-6)


def test_input_and_output_share_the_chip_and_have_a_port_each():
    """64 to 128 channels at 56 px are 0.40 and 0.80 MB; 256 to 256 at 56 px are 1.61 each."""
    base = msgspec.structs.replace(
        A14.forms()[0], tmacs=1e9, memory_gbps=1e9, chip_gbps=100.0, spill_gbps=50.0,
        overlap="spill-apart", spill="excess",
    )  # fmt: skip

    def cost(c_in, c_out, **changes):
        table = tabulate([Foreign(Conv(c_in, c_out, 1, 1, 56, 56))])
        return features(msgspec.structs.replace(base, **changes), table, ("convolution",))[0, 0]

    mb = 56 * 56 * 2 / 1e6
    assert cost(64, 128) == pytest.approx(128 * mb / 100)
    assert cost(256, 256) == pytest.approx(256 * mb / 100 + (512 * mb - 2.097) / 50)
    assert cost(256, 256, spill="whole") == pytest.approx(256 * mb / 100 + 512 * mb / 50)
    assert cost(256, 256, spill="none") == pytest.approx(256 * mb / 100)
    assert cost(256, 256, overlap="all") == pytest.approx(256 * mb / 100 + (512 * mb - 2.097) / 50)


def test_another_engine_changes_its_own_limits_alone():
    form = A14.forms()[0]
    moved = A15.moved(form, A14)

    assert moved.tmacs / form.tmacs == pytest.approx(1.93 / 1.428)
    assert moved.chip_gbps / form.chip_gbps == pytest.approx(1.93 / 1.428)
    assert moved.memory_gbps == form.memory_gbps  # the same DRAM
    assert moved.depthwise == form.depthwise
    assert A14.moved(form, A14).tmacs == pytest.approx(form.tmacs)


def test_freed_of_what_is_known_rates_differ_by_half_and_coefficients_are_open():
    freed = PHONES["iphone12"].freed()
    rates = [math.log(form.memory_gbps) for form in freed.listed()]

    assert np.std(rates) == pytest.approx(0.5, rel=0.05)
    assert (expected(freed).mean == 0).all()
    assert expected(PHONES["iphone12"]).mean[0] * 0.45 == pytest.approx(0.42)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("engine", "clock_ghz", 0), "clock_ghz"),
        (("engine", "memory_gbps", -34.1), "memory_gbps"),
        (("engine", "overlap", ["sometimes"]), "overlap"),
        (("engine", "depthwise", []), "depthwise"),
        (("engine", "expected", {"luck": {"nominal": 1, "deviation": 1, "source": ""}}), "expected"),
        (
            ("engine", "expected", {"dense": {"nominal": 1, "deviation": 1, "source": ""}}),
            "columns or the overhead; got 'dense'",
        ),
        (("columns", None, ["convolutions"]), "columns"),
        (("forms", None, {}), "forms"),
    ],
)  # fmt: skip
def test_bad_assumptions_are_one_line(tmp_path, change, said):
    section, name, value = change
    document = json.loads((ROOT / "predictors/iphone12/assumptions.json").read_text())
    if name is None:
        document[section] = value
    else:
        document[section][name] = value
    path = tmp_path / "assumptions.json"
    path.write_text(json.dumps(document))

    with pytest.raises(FileError, match=said) as error:
        files.read_json(path, Assumptions)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_clock_that_is_no_number_is_refused(tmp_path, value):
    text = (ROOT / "predictors/iphone12/assumptions.json").read_text()
    path = tmp_path / "assumptions.json"
    path.write_text(text.replace('"clock_ghz": 1.428', f'"clock_ghz": {value}'))

    with pytest.raises(FileError):
        files.read_json(path, Assumptions)


def test_either_forms_or_an_engine(tmp_path):
    document = json.loads((ROOT / "predictors/iphone12/assumptions.json").read_text())
    del document["engine"]
    path = tmp_path / "assumptions.json"
    path.write_text(json.dumps(document))

    with pytest.raises(FileError, match="either forms or engine must be given"):
        files.read_json(path, Assumptions)
