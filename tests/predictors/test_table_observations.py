"""From modelled to measured: one fit of published, imported and measured latencies together."""

import math

import msgspec
import numpy as np
import pytest
from simulated import OVERHEAD_MS, in_chains_ms, simulated_table, true_cost_ms
from support import ROOT

from repvit_nas import files
from repvit_nas.coreml.products import products
from repvit_nas.coreml.publishing import claim_folder
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.series import USUAL_OFFSET
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.latency_lut.table import TABLE_FILE, NetworkRow, Table, UnitRow, write_table
from repvit_nas.measuring.design import random_networks
from repvit_nas.predictors.assumptions import Assumptions
from repvit_nas.predictors.cross_validation import ensemble_predictions, validate
from repvit_nas.predictors.ensemble import design, fit
from repvit_nas.predictors.fit_device import fit_device, write_fitted
from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.predictors.physical import member_costs
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.predictors.predictor_file import MemberRecord, Model
from repvit_nas.predictors.table_observations import (
    beside_measured,
    beside_published,
    offsets_of,
    taken_beside,
    unit_observations,
)
from repvit_nas.predictors.timed_units import PartlyMeasured
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import load_space
from repvit_nas.units import Block, count, rows

OFFSET = 1.08  # the papers' tool is slower as a whole than ours


def true_ms(network):
    return OVERHEAD_MS + sum(n * true_cost_ms(unit) for unit, n in count(rows(network)).items())


def said_of(network, members, assumptions):
    """What members say of a network on average, in milliseconds."""
    counted = count(rows(network))
    totals = np.array(list(counted.values())) @ member_costs(
        members, list(counted), assumptions.columns
    )
    return float(np.mean(totals + [member.overhead_ms for member in members]))


@pytest.fixture(scope="module")
def space():
    return load_space("repvit")[0]


@pytest.fixture(scope="module")
def table(space):
    return simulated_table(space, units=200, calibration=8, held_out=20)


@pytest.fixture(scope="module")
def published(space):
    """What papers print of the simulated phone: whole networks, off as a whole and by 2 % each."""
    rng = np.random.default_rng(3)
    networks = [entry.architecture for entry in family().values()]
    networks += random_networks(space, 20, seed=99, name="paper")
    return [
        Observation(
            name=network.name, network=network.name, family="repvit", resolution=224,
            units=tuple(count(rows(network)).items()),
            latency_ms=OFFSET * true_ms(network) * math.exp(0.02 * rng.standard_normal()),
            error_ms=0.003 * true_ms(network), tool="xcode-report", source="papers",
        )
        for network in networks
    ]  # fmt: skip


def error(predicted, networks):
    truth = np.array([true_ms(network) for network in networks])
    return float(np.sqrt(np.mean((np.array(predicted) / truth - 1) ** 2)))


@pytest.fixture(scope="module")
def errors(table, published):
    """Error on held-out networks, and half width of their intervals, by number of timed units."""
    held_out = [row.architecture for row in table.networks("held_out")]
    assumptions = assumptions_for(table)
    members = fit(design(published, assumptions))
    modelled = [said_of(network, members, assumptions) for network in held_out]
    found = {0: (error(modelled, held_out), math.nan)}
    for units in (20, 50, 100, 200):
        predictor = learn(table, assumptions, units=units, published=published).predictor
        estimates = [predictor.estimate(network) for network in held_out]
        width = float(np.mean([(e.high_ms - e.low_ms) / 2 / e.latency_ms for e in estimates]))
        found[units] = (error([e.latency_ms for e in estimates], held_out), width)
    return found


def test_measuring_moves_the_error_as_it_should(errors):
    share = {units: value for units, (value, _) in errors.items()}

    assert share[0] > 0.05  # the papers' own offset is all that is known
    assert share[20] < share[0] / 2
    assert share[50] < 1.1 * share[20]
    assert share[200] < share[20]
    assert share[100] < 0.02
    assert share[200] < 0.015


def test_intervals_shrink(errors):
    width = {units: value for units, (_, value) in errors.items() if units}

    assert width[200] < width[20]
    assert width[200] < 0.04


def test_networks_alone_improve_the_modelled_fit(table, published):
    """Without any chain, a few timed networks show how far the papers' figures are off as a whole."""
    held_out = [row.architecture for row in table.networks("held_out")]
    assumptions = assumptions_for(table)
    # As the iPhone's own assumptions have it.
    misfit = {**assumptions.errors.misfit, "repvit": 0.015}
    errors = msgspec.structs.replace(assumptions.errors, misfit=misfit)
    timed = beside_published(table, published)[: len(table.networks("calibration"))]

    def missed(seen, errors):
        members = fit(design(seen, msgspec.structs.replace(assumptions, errors=errors)))
        totals = [said_of(network, members, assumptions) for network in held_out]
        return np.array(totals) / [true_ms(network) for network in held_out] - 1

    before = missed(published, errors)
    found = {n: missed([*published, *timed[:n]], beside_measured(errors, table)) for n in (1, 3, 8)}

    assert before.mean() > 0.05
    assert abs(found[1].mean()) < before.mean()
    assert abs(found[3].mean()) < 0.5 * before.mean()
    assert abs(found[8].mean()) < 0.02
    # What is left is what no physical form explains of the simulated device: units, not a whole.
    assert np.sqrt(np.mean(found[8] ** 2)) < 0.65 * np.sqrt(np.mean(before**2))
    assert found[8].std() < 1.1 * before.std()


def test_a_network_that_was_published_too_keeps_its_name(table, published):
    (row, *_) = table.networks("calibration")
    named = msgspec.structs.replace(row, architecture=family()["repvit_m0_9"].architecture)

    rows = (named, msgspec.structs.replace(row, series="lab"))
    both = msgspec.structs.replace(table, rows=rows, shared_sd={"lab": 0.03})
    (same, other) = beside_published(both, published)

    assert same.network == "repvit_m0_9"
    assert other.network not in {item.network for item in published}
    assert {same.family, other.family} == {"repvit"}
    assert (same.tool, other.tool) == ("table", "table lab")


def test_every_unit_that_was_timed_is_measured(table, published):
    predictor = learn(table, assumptions_for(table), units=50, published=published).predictor
    timed = [row.unit for row in table.units[:50]]

    assert {predictor.source([unit]) for unit in timed} == {"measured"}
    costs = in_chains_ms(predictor, timed).mean(axis=1)
    for row, cost in zip(table.units, costs, strict=False):
        if not row.calls:
            assert cost == pytest.approx(row.latency_ms, rel=0.02)


def test_every_source_has_its_own_offset(table):
    """A table with networks is what counts; one of units alone counts less than what is published."""
    errors = assumptions_for(table).errors
    table = msgspec.structs.replace(table, shared_sd={"lab": 0.03})
    units = msgspec.structs.replace(table, rows=tuple(table.units))

    beside = beside_measured(errors, table)

    assert offsets_of(beside, table) == {"": 0.0, "lab": 0.03}
    assert beside.offset["other"] == 0.06
    assert beside.misfit["unit"] > beside.misfit["network"]
    alone = beside_measured(errors, units)
    assert offsets_of(alone, units) == pytest.approx({"": 0.06, "lab": math.hypot(0.06, 0.03)})
    assert alone.offset["other"] == errors.offset["other"]
    # Where nothing is published, the table is all there is.
    assert offsets_of(beside_measured(errors, units, published=False), units)[""] == 0.0


def test_an_engine_is_as_far_off_as_what_is_published(table):
    """Where networks were timed; units alone say less of networks than what is known from elsewhere."""
    home = ROOT / "predictors/iphone12/assumptions.json"
    known = files.read_json(home, Assumptions)
    units = msgspec.structs.replace(table, rows=tuple(table.units))

    assert taken_beside(known, table).engine == known.engine.elsewhere(USUAL_OFFSET)
    assert taken_beside(known, units).engine == known.engine
    assert taken_beside(known, units).errors == beside_measured(known.errors, units)


def test_a_series_that_is_off_as_a_whole_is_seen_to_be(table):
    """Every other unit is imported, its factor off by 5 % where 4 % are allowed for."""
    off, rows = 1.05, []
    for place, row in enumerate(table.units[:100]):
        if place % 2:
            value, sd = off * row.latency_ms, math.hypot(row.sd_ms, 0.04 * row.latency_ms)
            row = msgspec.structs.replace(  # noqa: PLW2901
                row,
                latency_ms=value,
                sd_ms=sd,
                low_ms=off * row.low_ms,
                high_ms=off * row.high_ms,
                series="lab",
            )
        rows.append(row)
    networks = (*table.networks("calibration"), *table.networks("held_out"))
    mixed = msgspec.structs.replace(table, rows=(*rows, *networks), shared_sd={"lab": 0.04})
    independent = msgspec.structs.replace(
        mixed, rows=tuple(msgspec.structs.replace(row, series="") for row in mixed.rows)
    )
    timed = [row.unit for row in rows]
    lab = [place for place, row in enumerate(rows) if row.series]
    truth = np.array([row.latency_ms for row in table.units[:100]])

    def shift(seen):
        predictor = learn(seen, assumptions_for(table)).predictor
        costs = in_chains_ms(predictor, timed).mean(axis=1)
        return float(np.median(costs[lab] / truth[lab]))

    assert shift(independent) == pytest.approx(off, abs=0.012)  # each row is believed
    assert shift(mixed) < 1 + (off - 1) / 2  # units of the table that are like them say otherwise


def test_what_calibration_networks_have_in_common_widens_the_intervals(table):
    """Eight networks of one series, off by 5 % together: their agreement does not show that."""
    shared = 0.05
    rows = [
        msgspec.structs.replace(
            row, sd_ms=math.hypot(row.sd_ms, shared * row.latency_ms), series="lab"
        )
        if isinstance(row, NetworkRow)
        else row
        for row in table.rows
    ]
    imported = msgspec.structs.replace(table, rows=tuple(rows), shared_sd={"lab": shared})
    assumptions = assumptions_for(table)

    before = learn(table, assumptions, units=50).predictor.model.misfit
    after = learn(imported, assumptions, units=50).predictor.model.misfit

    taken = shared * 8 / (8 + 2)  # as far as the scale follows eight networks, two for none
    assert before < 0.02
    assert after == pytest.approx(math.hypot(before, taken), rel=0.25)


@pytest.fixture
def phone(elsewhere):
    """The shipped iPhone 12, modelled, in a folder of the user's own."""
    product = products()["iphone12"]
    folder = elsewhere / "latency_lut" / "iphone12"
    folder.mkdir(parents=True)
    claim_folder(product, folder)
    return load_device("iphone12")


def timed_of(device, predictor, networks, *, units, whole):
    """A table of some units, each 1.3 of what is modelled, and of some networks as modelled."""

    def row(kind, value, **what):
        return kind(value, 0.01 * value, 0.98 * value, 1.02 * value, 4, **what)

    counted = [count(rows(network)) for network in networks]
    named = list(dict.fromkeys(unit for one in counted for unit in one if isinstance(unit, Block)))
    costs = predictor.unit_costs(named[:units]).mean(axis=1).tolist()
    found = [row(UnitRow, 1.3 * cost, unit=u) for u, cost in zip(named, costs, strict=False)]
    for network in networks[:whole]:
        value = predictor.estimate(network).latency_ms
        found.append(row(NetworkRow, value, role="held_out", architecture=network))
    table = Table(
        device=device.name, protocol=PROTOCOL_VERSION, statistic=0.5, across_rounds=0.5,
        variation={"0.5": 0.01}, drift=(), noise_floor=None, minutes=1.0, rows=tuple(found),
    )  # fmt: skip
    write_table(device.path(TABLE_FILE), table)
    return table


@pytest.mark.parametrize(("units", "whole"), [(5, 0), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_a_few_units_take_the_place_of_their_modelled_figures(
    phone, elsewhere, space, units, whole
):
    before, _ = load_predictor("iphone12")
    networks = random_networks(space, 4, seed=5)
    table = timed_of(phone, before, networks, units=units, whole=whole)
    named = [row.unit for row in table.units]

    fitted = fit_device(phone)
    write_fitted(elsewhere / "predictors" / "iphone12", fitted, picture=b"png")
    after, _ = load_predictor("iphone12")

    assert {after.source([unit]) for unit in named} == {"measured"}
    costs = after.unit_costs(named).mean(axis=1)
    assert costs == pytest.approx([row.latency_ms for row in table.units], rel=0.02)
    # The others stay modelled, and so does a network that has any of them.
    others = [unit for unit in count(rows(networks[0])) if unit not in named]
    assert {after.source([unit]) for unit in others} == {"modelled"}
    estimate = after.estimate(networks[0])
    assert estimate.source == "modelled"
    was = before.estimate(networks[0])
    gained = sum(n * 0.3 / 1.3 * cost for unit, cost in zip(named, costs, strict=True)
                 for n in [count(rows(networks[0])).get(unit, 0)])  # fmt: skip
    assert estimate.latency_ms == pytest.approx(was.latency_ms + gained, rel=0.03)


def test_intervals_of_a_modelled_phone_shrink_with_units_and_networks(table, published):
    """Simulated truth: as few units and networks as are not enough for a measured device."""
    held_out = [row.architecture for row in table.networks("held_out")]
    assumptions = assumptions_for(table)
    misfit = {**assumptions.errors.misfit, "repvit": 0.015}
    errors = msgspec.structs.replace(assumptions.errors, misfit=misfit)

    def checked(units, networks):
        kept = (*table.units[:units], *table.networks("calibration")[:networks])
        part = msgspec.structs.replace(table, rows=kept)
        model = beside_measured(errors, part) if kept else errors
        seen = [*published, *beside_published(part, published)]
        added = unit_observations(part, part.units)
        problem = design([*seen, *added], msgspec.structs.replace(assumptions, errors=model))
        members = fit(problem)
        timed = PartlyMeasured(part, assumptions.columns, model) if units else None
        learned = timed.refined(members).learned if timed else None
        predict = (
            timed.predictions([*seen, *added], learned.part.kernel)
            if timed
            else ensemble_predictions
        )
        _, quantile = validate("x", seen, problem, members, model, predict=predict)
        model = Model(
            device="x", source="modelled", columns=assumptions.columns,
            members=tuple(
                MemberRecord(m.form, float(m.overhead_ms), tuple(map(float, m.coefficients)))
                for m in members
            ),
            misfit=0.015, large_misfit=0.0, quantile=quantile,
        )  # fmt: skip
        predictor = Predictor(model, learned)
        estimates = [predictor.estimate(network) for network in held_out]
        truth = np.array([true_ms(network) for network in held_out])
        inside = [one.low_ms <= true <= one.high_ms
                  for one, true in zip(estimates, truth, strict=True)]  # fmt: skip
        missed = np.array([one.latency_ms for one in estimates]) / truth - 1
        width = np.mean([(one.high_ms - one.low_ms) / 2 / one.latency_ms for one in estimates])
        error, spread = np.sqrt(np.mean(missed**2)), missed.std()
        return float(error), float(width), float(np.mean(inside)), float(spread)

    nothing, alone, few, more = (checked(*n) for n in ((0, 0), (5, 0), (5, 2), (50, 2)))

    # Units alone tell networks apart; by how much all are off is what the papers say.
    assert alone[3] < 0.8 * nothing[3]
    assert alone[1] == pytest.approx(nothing[1], rel=0.1)

    assert few[0] < 0.7 * nothing[0]
    assert more[0] < 0.3 * nothing[0]
    assert more[1] < 0.85 * nothing[1]
    assert few[1] < 1.1 * nothing[1]
    assert min(few[2], more[2]) >= 0.85
