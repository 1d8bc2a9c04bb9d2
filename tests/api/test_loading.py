import msgspec
from support import ROOT

import repvit_nas
from repvit_nas import files
from repvit_nas.predictors.predictor_file import PredictorFile


def test_a_predictor_that_is_written_anew_is_loaded_anew(elsewhere):
    """Also one that comes to lie in the working directory after the shipped one was loaded."""
    shipped = repvit_nas.predict("repvit_m0_9")
    file = files.read_json(ROOT / "predictors" / "iphone12" / "predictor.json", PredictorFile)
    path = elsewhere / "predictors" / "iphone12" / "predictor.json"

    widths = []
    for misfit in (0.2, 0.4):
        files.write_json(path, msgspec.structs.replace(file, misfit=misfit))
        found = repvit_nas.predict("repvit_m0_9")
        widths.append(found.high_ms - found.low_ms)
        assert found.latency_ms == shipped.latency_ms

    assert shipped.high_ms - shipped.low_ms < widths[0] < widths[1]
