"""What a search loads, and what of that decides its outcome."""

import msgspec

from repvit_nas.searching.inputs import load_inputs
from repvit_nas.searching.settings import Settings


def test_inputs_say_what_decides_a_run(tmp_path):
    settings = Settings(budgets_ms={"iphone12": 1.0})
    inputs = load_inputs(settings)

    assert set(inputs.digests()) == {"space repvit", "accuracy family", "predictor iphone12"}
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
