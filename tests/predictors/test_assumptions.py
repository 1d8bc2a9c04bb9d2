"""What a fit takes for granted."""

import json

import msgspec
import pytest

from repvit_nas import data, files
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel

SHIPPED = data.shipped_root()


def test_the_iphone_s_own_assumptions_stay_where_it_is_measured(elsewhere):
    """A phone's name stands for one model, wherever it is measured; a processor's does not."""
    from repvit_nas.latency_lut.device import DEVICE_FILE, DeviceFile, RuntimeSpec, load_device
    from repvit_nas.predictors.fit_device import find_assumptions

    for name, runtime in (("iphone12", "coreml"), ("cpu-epyc", "onnxruntime")):
        shipped = files.read_json(SHIPPED / "latency_lut" / name / DEVICE_FILE, DeviceFile)
        measured = msgspec.structs.replace(
            shipped, kind="measured", protocol=1, runtime=RuntimeSpec(runtime)
        )
        files.write_json(elsewhere / "latency_lut" / name / DEVICE_FILE, measured)

    own = find_assumptions(load_device("iphone12"))

    assert own == SHIPPED / "predictors" / "iphone12" / "assumptions.json"
    assert find_assumptions(load_device("cpu-epyc")) is None


def test_a_name_that_nobody_listed_has_the_figure_for_the_rest():
    shipped = SHIPPED / "predictors" / "iphone12" / "assumptions.json"
    errors = files.read_json(shipped, Assumptions).errors
    written = json.loads(shipped.read_text())["errors"]

    for group in ("misfit", "shared", "offset"):
        listed = written[group]
        for name, value in listed.items():
            assert errors.of(getattr(errors, group), name) == value
        assert errors.of(getattr(errors, group), "nobody") == listed["other"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"misfit": {"repvit": 0.02}}, "misfit must have an entry `other`"),
        ({"offset": {}}, "offset must have an entry `other`"),
        ({"repeat": 1.0}, "`float` < 1.0"),
        ({"large": -0.1}, "`float` >= 0.0"),
    ],
)
def test_errors_that_are_none_are_refused(changes, said):
    shipped = json.loads((SHIPPED / "predictors/iphone12/assumptions.json").read_text())
    content = json.dumps(shipped["errors"] | changes)

    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.json.decode(content, type=ErrorModel)
