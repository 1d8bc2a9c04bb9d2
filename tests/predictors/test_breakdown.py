import pytest

from repvit_nas.predictors.breakdown import breakdown, parts_of
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import family
from repvit_nas.units import rows


@pytest.mark.parametrize("name", ["repvit_m0_9", "repvit_m2_3"])
@pytest.mark.parametrize("device", ["iphone12", "cpu-epyc"])
def test_the_parts_of_a_network_are_its_latency(name, device):
    predictor, _ = load_predictor(device, foreign=True)
    architecture = family()[name].architecture

    (parts,) = breakdown([architecture], predictor)

    assert sum(ms for _, ms in parts) == pytest.approx(
        predictor.estimate(architecture).latency_ms, rel=1e-3
    )
    assert [label for label, _ in parts][:4] == ["a call", "stem", "stage 1", "into stage 2"]
    assert parts[-1][0] == "head"


def test_every_unit_has_a_part():
    for reference in family().values():
        assert len(parts_of(reference.architecture)) == len(rows(reference.architecture))


def test_no_networks_have_no_parts():
    predictor, _ = load_predictor("iphone12")

    assert breakdown([], predictor) == []
