import csv
import gzip
import io

import numpy as np
import pytest
from support import ROOT

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.accuracy.features import columns
from repvit_nas.accuracy.offcurve import describe_mnasnet, rank_bands, read_trained
from repvit_nas.accuracy.priors import CURVED, SHAPE_FEATURES
from repvit_nas.errors import FileError

EVIDENCE = ROOT / "search_space" / "accuracy_evidence.csv.gz"


@pytest.fixture(scope="module")
def trained():
    return read_trained(EVIDENCE)


@pytest.fixture(scope="module")
def ranked(trained):
    return rank_bands(trained, load_family_estimator().posterior, draws=40, seed=1)


def median(ranked, field):
    return np.median([getattr(band, field) for band in ranked])


def test_networks_off_the_curve_are_ranked(ranked):
    """24 networks of a band of equal MACs shown: tau of the others at least 0.70."""
    assert median(ranked, "tau") >= 0.70
    assert median(ranked, "tau") > median(ranked, "tau_before")


def test_networks_off_the_curve_are_ranked_better_than_by_what_costs_nothing(ranked):
    assert median(ranked, "tau") > median(ranked, "tau_macs") + 0.1
    assert median(ranked, "tau") > median(ranked, "tau_params") + 0.1


def test_intervals_hold_off_the_curve(ranked):
    assert 0.85 <= np.mean([band.coverage for band in ranked]) <= 0.95


def test_usual_networks_of_the_space_are_on_its_curve(trained):
    """The adapter's constants are the space's means: no feature is off on average."""
    described = describe_mnasnet(trained)
    depth = [CURVED.index(name) for name in CURVED if not name.startswith("aspect")]

    assert described.off_curve.mean(axis=0)[depth] == pytest.approx(0.0, abs=0.06)
    assert np.exp2(described.log_macs).mean(axis=0) == pytest.approx(1.0, abs=0.15)


def test_a_network_is_described_block_by_block(trained):
    """The first row: depths 1-3-2-1-2-1-2, expansions 6-1-6-6-4-6-4, kernels 3-5-3-3-3-5-5."""
    described = describe_mnasnet(trained.of(np.array([0])))
    off = dict(zip(CURVED, described.off_curve[0], strict=True))
    mean = np.log2([1, 4, 6]).mean()

    assert off["expansion_1"] == pytest.approx(np.log2(6) - mean)
    assert off["expansion_2"] == pytest.approx((np.log2(6) + 2 * np.log2(4)) / 3 - mean)
    assert off["depth_3"] - off["depth_0"] == pytest.approx(
        np.log2(3 / 3) - (2.06 - 0.85), abs=1e-9
    )
    assert described.kernel[0] == pytest.approx(3 * np.log2(5 / 3) / 6)
    assert (described.se == -1).all()
    assert np.isfinite(columns(described, 0.6)).all()
    assert columns(described, 0.6).shape == (1, len(SHAPE_FEATURES))


def test_the_same_seed_draws_the_same_bands(trained):
    posterior = load_family_estimator().posterior

    assert rank_bands(trained, posterior, 2, seed=5) == rank_bands(trained, posterior, 2, seed=5)


def test_the_evidence_names_its_source_and_licence():
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(EVIDENCE.read_bytes()).decode())))

    assert len(rows) == 10_213
    assert all(row["source"] for row in rows)
    assert {row["licence"] for row in rows} == {"Apache-2.0", "MIT", "paper (facts)"}


def rows_of(trained_rows):
    return "\n".join(trained_rows) + "\n"


@pytest.fixture
def table():
    return gzip.decompress(EVIDENCE.read_bytes()).decode().splitlines()


def test_rows_are_read_packed_or_not(table, tmp_path):
    lines = [table[0], *(line for line in table if line.startswith("accel-nasbench,"))][:6]
    (tmp_path / "a.csv").write_text(rows_of(lines))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(rows_of(lines).encode()))

    plain, packed = read_trained(tmp_path / "a.csv"), read_trained(tmp_path / "a.csv.gz")

    assert len(plain.top1) == 5
    assert all((one == other).all() for one, other in zip(plain, packed, strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:1], "holds no row of family accel-nasbench"),
        (lambda lines: [lines[0], lines[1].replace("1-3-2-1-2-1-2", "1-3-2")], "3 of 7 numbers"),
        (lambda lines: [lines[0], lines[1].replace("61.092", "good")], "no table of trainings"),
        (lambda lines: [lines[0], lines[1].replace("61.092", "-1")], "no table of trainings"),
        (lambda lines: [lines[0], lines[1][:200]], "no table of trainings"),
        (lambda lines: [lines[0], lines[1].replace("61.092", "nan")], "no finite number"),
        (lambda lines: [line.partition(",")[2] for line in lines], "no table of trainings"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(table, tmp_path, change, said):
    first = next(line for line in table if line.startswith("accel-nasbench,result_1,"))
    path = tmp_path / "rows.csv"
    path.write_text(rows_of(change([table[0], first])))

    with pytest.raises(FileError, match=said):
        read_trained(path)


@pytest.mark.parametrize("content", [b"family,top1\n", EVIDENCE.read_bytes()[:1000]])
def test_bytes_that_are_not_packed_are_refused(tmp_path, content):
    (tmp_path / "rows.csv.gz").write_bytes(content)

    with pytest.raises(FileError, match="no table of trainings"):
        read_trained(tmp_path / "rows.csv.gz")


def test_too_few_networks_of_equal_macs_are_said(trained):
    with pytest.raises(FileError, match="48 are needed"):
        rank_bands(trained.of(np.arange(40)), load_family_estimator().posterior, 1)
