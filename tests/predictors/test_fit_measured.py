"""Fitting a measured device, on a simulated one whose costs are known."""

import json
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import OVERHEAD_MS, in_chains_ms, simulated_table, true_cost_ms
from support import ROOT

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError, UnknownUnitError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.table import Table, read_table, write_table
from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.predictors.lookup import floored
from repvit_nas.predictors.predictor import load_predictor, read_predictor
from repvit_nas.predictors.predictor_file import FittedOn
from repvit_nas.search_space import family, load_space
from repvit_nas.units import Block, Features, Ffn, Head, count, rows


def truth(architecture):
    units = count(rows(architecture)).items()
    return OVERHEAD_MS + sum(times * true_cost_ms(unit) for unit, times in units)


def test_networks_that_no_fit_saw_are_predicted(table, learning):
    """Units known to 1 %, a cost that no physical form has: better than 3 %."""
    errors = [
        learning.predictor.estimate(row.architecture).latency_ms / truth(row.architecture) - 1
        for row in table.networks("held_out")
    ]

    assert np.sqrt(np.mean(np.square(errors))) < 0.03
    assert abs(np.mean(errors)) < 0.02


def test_intervals_hold_nine_times_in_ten(table, learning):
    inside = []
    for row in table.networks("held_out"):
        estimate = learning.predictor.estimate(row.architecture)
        inside.append(estimate.low_ms <= truth(row.architecture) <= estimate.high_ms)

    assert np.mean(inside) >= 0.8
    widths = [
        (e.high_ms - e.low_ms) / e.latency_ms
        for e in (learning.predictor.estimate(r.architecture) for r in table.networks("held_out"))
    ]
    assert np.median(widths) < 0.2


def test_held_out_networks_are_not_looked_at(table, learning):
    spoiled = msgspec.structs.replace(
        table,
        rows=tuple(
            msgspec.structs.replace(row, latency_ms=99.0, low_ms=98.0, high_ms=100.0)
            if getattr(row, "role", "") == "held_out"
            else row
            for row in table.rows
        ),
    )

    again = learn(spoiled, assumptions_for(spoiled)).predictor

    network = family()["repvit_m1_0"].architecture
    mine, theirs = again.estimate(network), learning.predictor.estimate(network)
    # Up to the order in which threads add up.
    assert mine[:3] == pytest.approx(theirs[:3], rel=1e-3)


def test_timed_units_are_looked_up(table, learning):
    """Whatever the models say, the mean over members is what was measured, but for what networks add."""
    predictor = learning.predictor
    timed = [row for row in table.units if not row.calls][:20]

    costs = in_chains_ms(predictor, [row.unit for row in timed])

    measured = np.array([row.latency_ms for row in timed])
    assert costs.mean(axis=1) == pytest.approx(measured, rel=0.005)
    assert costs.std(axis=1) / measured == pytest.approx(0.01, rel=0.5)


def test_sources_say_what_a_latency_rests_on(table, learning):
    predictor = learning.predictor
    timed = [row.unit for row in table.units]
    block = next(unit for unit in timed if isinstance(unit, Block))
    near = msgspec.structs.replace(block, hidden=block.hidden + 1)

    assert predictor.source(timed) == "measured"
    assert predictor.source([*timed, near]) == "interpolated"
    assert predictor.source([near, Block(2048, 8192, 0, 3, 14)]) == "modelled"
    assert predictor.source([Features(64, 28)]) == "modelled"
    assert predictor.estimate(family()["repvit_m1_0"].architecture).source == "interpolated"


def reread(learning, folder, outside):
    files.write_bytes(folder / "residual.npz", learning.arrays)
    file = learning.predictor.file(FittedOn(learning.observations, "", "", ""))
    files.write_bytes(folder / "predictor.json", files.encode_lines(file, "members"))
    return read_predictor(folder / "predictor.json", outside)


def test_the_policy_outside_the_measured_range(learning, tmp_path):
    far = Block(1024, 4096, 0, 3, 14)
    flag, clip, refuse = (reread(learning, tmp_path, o) for o in ("flag", "clip", "raise"))

    assert flag.unit_costs([far]).mean() > 0
    edge = clip.measured.ranges["block"]["channels"][1]
    assert 2**edge < 1024
    assert clip.unit_costs([far]).mean() != pytest.approx(flag.unit_costs([far]).mean(), rel=1e-6)
    with pytest.raises(UnknownUnitError, match=r"channels 1024 was measured from \d+ to \d+ only"):
        refuse.unit_costs([far])


def test_doubt_grows_away_from_what_was_measured(learning):
    predictor = learning.predictor

    def doubt(unit):
        costs = predictor.unit_costs([unit])[0]
        return costs.std() / costs.mean()

    assert doubt(Block(2048, 8192, 0, 7, 56)) > 2 * doubt(Block(224, 448, 0, 3, 14))


def test_a_predictor_survives_its_files(learning, tmp_path):
    again = reread(learning, tmp_path, "flag")

    for name in ("repvit_m0_9", "repvit_m2_3"):
        network = family()[name].architecture
        ours, theirs = learning.predictor.estimate(network), again.estimate(network)
        assert theirs.latency_ms == pytest.approx(ours.latency_ms, rel=1e-4)
        assert theirs.high_ms == pytest.approx(ours.high_ms, rel=1e-3)


def test_loading_and_predicting_imports_no_scikit_learn_and_no_torch(learning, tmp_path):
    reread(learning, tmp_path, "flag")
    program = f"""
import sys
from pathlib import Path
from repvit_nas.predictors.predictor import read_predictor
from repvit_nas.search_space import family
p = read_predictor(Path({str(tmp_path / "predictor.json")!r}))
print(p.estimate(family()["repvit_m1_0"].architecture).latency_ms)
assert not {{"torch", "sklearn", "scipy", "timm", "onnxruntime"}} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    expected = learning.predictor.estimate(family()["repvit_m1_0"].architecture).latency_ms
    assert float(done.stdout) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "residual.npz: cannot be read"),
        (lambda path: path.write_bytes(b"PK"), "belongs to another fit"),
    ],
)
def test_arrays_that_do_not_belong_are_refused(learning, tmp_path, spoil, words):
    reread(learning, tmp_path, "flag")
    spoil(tmp_path / "residual.npz")

    with pytest.raises(FileError, match=words):
        read_predictor(tmp_path / "predictor.json")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04garbage", b"\x93NUMPY"])
def test_arrays_that_are_none_are_refused(learning, tmp_path, content):
    reread(learning, tmp_path, "flag")
    (tmp_path / "residual.npz").write_bytes(content)
    document = json.loads((tmp_path / "predictor.json").read_text())
    document["measured"]["arrays_digest"] = files.digest(content)
    (tmp_path / "predictor.json").write_text(json.dumps(document))

    with pytest.raises(FileError, match="holds no arrays that can be read"):
        read_predictor(tmp_path / "predictor.json")


def test_too_few_observations_are_said(table):
    few = msgspec.structs.replace(table, rows=(*table.units[:3], *table.networks("calibration")))
    alone = msgspec.structs.replace(table, rows=tuple(table.units))

    with pytest.raises(
        RepvitNasError, match="3 timed units and 12 calibration networks are too few"
    ):
        learn(few, assumptions_for(few))
    with pytest.raises(RepvitNasError, match="80 timed units and 0 calibration networks"):
        learn(alone, assumptions_for(alone))


def test_assumptions_follow_the_speed_of_the_table(table):
    """The simulated device does 30 thousand million MACs a second at best."""
    (tmacs,) = assumptions_for(table).forms.tmacs

    assert 0.02 < tmacs < 0.04


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"latency_ms":', '"latency":', "latency"),
        ('"rounds":5', '"rounds":0', "rounds"),
        ('"protocol": 1', '"protocol": 7', "protocol 7, this version's is 1"),
        ('"schema": 1', '"schema": 2', "`schema` must be 1; got 2"),
        ('"type":"unit"', '"type":"chain"', "chain"),
    ],
)
def test_a_table_that_is_not_one_names_what_is_wrong(tmp_path, table, old, new, words):
    path = tmp_path / "table.json"
    write_table(path, table)
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(FileError, match=words) as error:
        read_table(path)

    assert "table.json" in str(error.value)


@pytest.mark.parametrize("value", ["-1.0", "0", "NaN", "1e999", '"fast"', "null"])
def test_a_latency_that_is_none_is_refused(tmp_path, table, value):
    path = tmp_path / "table.json"
    write_table(path, table)
    document = json.loads(path.read_text())
    document["rows"][0]["latency_ms"] = "HERE"
    path.write_text(json.dumps(document).replace('"HERE"', value))

    with pytest.raises(FileError, match=r"table\.json"):
        read_table(path)


def test_a_unit_that_is_there_twice_is_named(tmp_path, table):
    path = tmp_path / "table.json"
    with pytest.raises(ValueError, match="once; got 2 rows of"):
        msgspec.structs.replace(table, rows=(*table.rows, table.rows[0]))
    write_table(path, table)
    document = json.loads(path.read_text())
    document["rows"].append(document["rows"][0])
    path.write_text(json.dumps(document))

    with pytest.raises(FileError, match=r"table\.json.*once; got 2 rows of"):
        read_table(path)


def test_a_table_survives_its_file(tmp_path, table):
    write_table(tmp_path / "table.json", table)

    assert read_table(tmp_path / "table.json") == table


@settings(max_examples=60)
@given(st.data())
def test_no_mutated_table_makes_a_traceback(tmp_path_factory, table, data):
    path = tmp_path_factory.getbasetemp() / "mutated-table.json"
    small = msgspec.structs.replace(table, rows=table.rows[:3])
    write_table(path, small)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(bytes(content))

    try:
        found = read_table(path)
    except FileError as error:
        assert "\n" not in str(error).strip()
    else:
        assert isinstance(found, Table)


def test_the_shipped_example_says_whose_it_is():
    names = [path.parent.name for path in ROOT.glob("latency_lut/*/table.json")]

    assert names
    for name in names:
        device = load_device(name)
        assert device.file.kind == "measured"
        assert device.file.circumstances["processor"].split()[0] in device.file.title
        predictor, _ = load_predictor(name, foreign=True)
        assert predictor.model.fitted_on.digest == device.digest()
        assert predictor.estimate(family()["repvit_m1_0"].architecture).source == "interpolated"


def test_heads_and_ffns_are_priced_too(learning):
    assert (learning.predictor.unit_costs([Head(384, 1000, 7), Ffn(96, 192, 28)]) > 0).all()


def test_nothing_is_free_even_if_a_model_says_so():
    """Two members say 1 ms, one says nothing; and a unit that all call free."""
    costs = floored(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))

    assert (costs > 0).all()
    assert costs[0].tolist() == pytest.approx([1.0, 1.0, 0.05 * 2 / 3])


def test_a_table_of_few_and_tiny_units_is_fitted():
    """Units so small that a physical model may well call some kind free."""
    space, _ = load_space("coarse")
    table = simulated_table(space, units=12, calibration=3, held_out=3, noise=0.3)

    found = learn(table, assumptions_for(table)).predictor

    for row in table.networks("held_out"):
        assert 0 < found.estimate(row.architecture).latency_ms < 1000


def test_a_network_in_both_roles_is_refused(table):
    row = table.networks("held_out")[0]

    with pytest.raises(ValueError, match="once; got 2 rows"):
        msgspec.structs.replace(
            table, rows=(*table.rows, msgspec.structs.replace(row, role="calibration"))
        )
