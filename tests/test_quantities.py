import msgspec
import pytest

from repvit_nas import quantities
from repvit_nas.quantities import check_interval

NAMES = [
    name
    for name in vars(quantities)
    if name[0].isupper() and not name.isupper() and name not in ("Annotated", "Final", "TypeAlias")
]
WHOLE = {"Count", "Several", "Extent", "ExtentOrNone", "Side", "Seed", "Stride"}


@pytest.mark.parametrize("name", NAMES)
def test_no_quantity_is_infinite_or_no_number(name):
    kind = getattr(quantities, name)
    absurd = (2**63, -(2**63)) if name in WHOLE else (float("inf"), float("-inf"), float("nan"))

    for value in absurd:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)


@pytest.mark.parametrize("name", [*NAMES])
def test_a_usual_value_is_taken(name):
    usual = {"Stride": 2}.get(name, 224 if name in WHOLE else 0.5)

    assert msgspec.convert(usual, getattr(quantities, name)) == usual


def test_an_interval_holds_what_it_is_of():
    check_interval(1.0, 1.0, 1.0, "latency_ms")

    for low, value, high in ((1e20, 1.0, -1e20), (0.5, 0.4, 0.6), (0.5, 0.7, 0.6)):
        with pytest.raises(ValueError, match="latency_ms must lie in its interval; got"):
            check_interval(low, value, high, "latency_ms")
