"""RunLocal's results: the run on the Neural Engine counts, and what is not known is refused."""

import pytest
from service_reports import runlocal, write

from repvit_nas.coreml.importers.runlocal import read_result
from repvit_nas.errors import FileError


def test_the_run_that_may_use_the_neural_engine_counts(tmp_path):
    document = runlocal()
    document["benchmark_data"].insert(0, runlocal((5.0,), "CPU_ONLY")["benchmark_data"][0])

    found = read_result(write(tmp_path / "block-x2--12345678.runlocal.json", document))

    assert found.name == "block-x2--12345678"
    assert found.samples == (0.87, 0.89)
    assert (found.tool, found.model, found.system) == ("runlocal", "iPhone 12", "iOS 17.5")
    assert (found.compute_units, found.runtime) == ("CPU_AND_NE", "coreml")


def without(field):
    document = runlocal()
    del document["benchmark_data"][0][field]
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (without("ComputeUnit"), "missing required field `ComputeUnit`"),
        (without("InferenceMsArray"), "must be a success with `InferenceMsArray`"),
        ({"benchmark_data": []}, "missing required field `device`"),
        (runlocal(InferenceUsArray=[870.0]), "unknown field `InferenceUsArray`"),
        (runlocal(samples=(870000000.0,)), "see which unit they are in"),
        (runlocal(units="CPU_ONLY"), "one run with ComputeUnit CPU_AND_NE; got CPU_ONLY"),
        (runlocal(Success=False, Status="Failed"), "must be a success"),
        (runlocal(device={"Name": "iPhone 12 Simulator"}), "was made on a simulator"),
        ([runlocal()], "Expected `object`, got `array`"),
    ],
)
def test_what_is_missing_or_not_known_is_one_line(tmp_path, document, said):
    with pytest.raises(FileError, match=said) as caught:
        read_result(write(tmp_path / "a.runlocal.json", document))
    assert "\n" not in str(caught.value)
