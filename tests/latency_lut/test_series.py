"""Which series are combined, which one is taken as it is, and what the others add."""

import msgspec
import pytest

from repvit_nas.latency_lut.device import DeviceFile, RuntimeSpec
from repvit_nas.latency_lut.series import USUAL_OFFSET, Series, combined
from repvit_nas.latency_lut.table import Table, UnitRow
from repvit_nas.units import Ffn

UNITS = tuple(Ffn(16, 32, 7 * size) for size in range(1, 9))


def series(
    name, latencies, *, when=0.0, os="iPhone OS 18.5 (22F76)", loop="warm", imported=False,
    model="iPhone13,2", **more,
):  # fmt: skip
    rows = tuple(
        UnitRow(value, 0.01 * value, 0.98 * value, 1.02 * value, 4, unit=unit)
        for unit, value in zip(UNITS, latencies, strict=False)
    )
    table = Table(
        device="iphone12", protocol=1, statistic=0.5, across_rounds=0.5, variation={}, drift=(),
        noise_floor=None, minutes=1.0, rows=rows,
    )  # fmt: skip
    circumstances = {
        "processor": f"Apple A14 ({model})", "os": os, "loop": loop, "resolution": "224 px",
        **more,
    }  # fmt: skip
    if not imported:
        circumstances["date"] = "2026-11-01"
    file = DeviceFile(
        device="iphone12", title="iPhone 12", kind="measured", circumstances=circumstances,
        protocol=1, runtime=RuntimeSpec("coreml", target="iphone12"),
    )  # fmt: skip
    return Series(name, file, table, 0, (), when)


def four(table):
    return len(table.units) >= 4


def costs(table):
    return {row.unit: row.latency_ms for row in table.units}


@pytest.mark.parametrize("imported", [False, True])
def test_cold_calls_are_left_aside_where_anything_is_warm(imported):
    cold = series("a_cold", [3.0] * 6, loop="cold", when=9)
    warm = series("a_warm", [1.0] * 4, imported=imported)

    table, sources = combined([cold, warm], meets=four)

    assert [one.series for one in sources.sources] == ["a_warm"]
    (left,) = sources.aside
    assert (left.series, left.why) == ("a_cold", "its calls are cold, the others' warm")
    assert set(costs(table)) == set(UNITS[:4])


def test_cold_calls_alone_are_taken():
    _, sources = combined([series("a_cold", [3.0] * 6, loop="cold")])

    assert [one.series for one in sources.sources] == ["a_cold"]
    assert sources.aside == ()


OLD, NEW = "iPhone OS 18.5 (22F76)", "iPhone OS 26.0 (23A340)"


@pytest.mark.parametrize(
    ("others", "latest", "reference"),
    [
        # An update of the system: the new build, though it knows less.
        ([series("old", [1.0] * 8, when=1), series("z-new", [1.0] * 4, when=2, os=NEW)], "", "z-new"),
        # The same moment, as in a copy of the folder: the newer build.
        ([series("old", [1.0] * 8), series("z-new", [1.0] * 4, os=NEW)], "", "z-new"),
        # Too little yet.
        ([series("old", [1.0] * 8, when=1), series("z-new", [1.0] * 3, when=2)], "z-new", "old"),
        # What others timed never stands before what was timed here.
        ([series("lab", [1.0] * 8, when=9, imported=True), series("own", [1.0] * 4)], "", "own"),
        # Unless only that suffices.
        ([series("lab", [1.0] * 8, imported=True), series("own", [1.0] * 2, when=9)], "", "lab"),
        # What was measured just now.
        ([series("a", [1.0] * 8, when=9), series("b", [1.0] * 4, when=1)], "b", "b"),
        # All alike but for what they know.
        ([series("a", [1.0] * 4), series("b", [1.0] * 5)], "", "b"),
    ],
)  # fmt: skip
def test_the_reference_is_the_newest_that_suffices_here(others, latest, reference):
    _, sources = combined(others, meets=four, latest=latest)

    assert sources.sources[0].series == reference
    assert len(sources.sources) == 2


def test_an_older_build_gives_only_what_the_newer_has_not_timed():
    old = series("old", [1.25, 2.5, 3.75, 5.0, 6.25, 7.5], when=1, os=OLD)
    new = series("new", [1.0, 2.02, 2.98, 4.0], when=2, os=NEW)

    table, sources = combined([old, new], meets=four)

    found = costs(table)
    assert [found[unit] for unit in UNITS[:4]] == [1.0, 2.02, 2.98, 4.0]
    assert sources.sources[1].factor == pytest.approx(1.25, rel=0.01)
    assert found[UNITS[5]] == pytest.approx(6.0, rel=0.01)


def test_what_a_series_has_in_common_is_told_from_each_row_s_own_error():
    """The older build's rows were brought to the newer one by one factor, off by 3 % or so."""
    old = series("old", [1.25, 2.5, 3.75, 5.0, 6.25, 7.5], when=1, os=OLD)
    new = series("new", [1.0, 2.02], when=2, os=NEW)

    table, sources = combined([old, new])

    (factor_sd,) = table.shared_sd.values()
    assert table.shared_sd == {"old": sources.sources[1].factor_sd}
    by_unit = {row.unit: row for row in table.units}
    assert [by_unit[unit].series for unit in UNITS[:6]] == ["", "", "old", "old", "old", "old"]
    row = by_unit[UNITS[5]]
    # 1 % is its own, as the series has it; the rest is the factor's.
    assert table.own_sd_ms(row) == pytest.approx(0.01 * row.latency_ms, rel=1e-3)
    assert row.sd_ms == pytest.approx(row.latency_ms * (0.01**2 + factor_sd**2) ** 0.5, rel=1e-3)
    assert table.own_sd_ms(by_unit[UNITS[0]]) == pytest.approx(0.01)


def test_what_a_series_between_is_off_is_carried_on():
    """The third shares nothing with the reference: five units of the second do not pin it down."""
    first = series("first", [1.0], when=3)
    second = series("second", [9.0, 2.0, 2.0, 2.0, 2.0, 2.0], when=2)
    without = msgspec.structs.replace(second.table, rows=second.table.rows[1:])
    third = series("third", [9.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], when=1)
    alone = msgspec.structs.replace(third.table, rows=third.table.rows[1:])

    table, _ = combined([first, second._replace(table=without), third._replace(table=alone)])

    assert table.shared_sd["second"] == pytest.approx(USUAL_OFFSET)
    assert table.shared_sd["third"] == pytest.approx(USUAL_OFFSET, rel=0.05)


def test_a_unit_that_a_factor_s_error_drowns_is_unresolved():
    first = series("first", [1.0], when=3)
    rows = (UnitRow(1.0, 0.9985, 0.0, 2.0, 4, unit=UNITS[1]),)
    table = msgspec.structs.replace(first.table, rows=rows)

    found, _ = combined([first, first._replace(name="second", table=table, when=1)])

    assert [row.unit for row in found.units] == [UNITS[0]]
    assert found.unresolved == (UNITS[1],)


def test_a_row_of_a_series_that_nobody_knows_is_refused():
    table, _ = combined([series("own", [1.0, 2.0])])
    row = msgspec.structs.replace(table.units[0], series="elsewhere")

    with pytest.raises(ValueError, match=r"shared_sd must name every series.*elsewhere"):
        msgspec.structs.replace(table, rows=(row,))


def test_two_series_of_one_build_are_averaged():
    table, _ = combined([series("a", [1.0, 2.0, 2.0, 2.0]), series("b", [1.1, 2.0, 2.0, 2.0])])

    assert 1.0 < costs(table)[UNITS[0]] < 1.1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"model": "iPhone14,5"}, "it is of iPhone14,5, and own of iPhone13,2"),
        ({"resolution": "256 px"}, "its networks take 256 px, the others' 224 px"),
        ({"output": "sam"}, "its networks hand back sam, the others' logits"),
    ],
)
def test_another_model_resolution_or_output_is_left_aside(changed, why):
    other = series("other", [9.0] * 8, when=-1, **changed)

    table, sources = combined([other, series("own", [1.0] * 4)], meets=four)

    assert msgspec.to_builtins(sources.aside) == ({"series": "other", "why": why},)
    assert len(table.units) == 4
