"""Every device there is, and how far off its predictor is."""

import json
import shutil

from support import ROOT

from repvit_nas.predictors.overview import overview


def test_the_shipped_devices_are_listed_with_what_their_files_say(elsewhere):
    found = {one.device: one for one in overview()}

    assert list(found) == sorted(found)
    for name, one in found.items():
        device = json.loads((ROOT / "latency_lut" / name / "device.json").read_text())
        predictor = json.loads((ROOT / "predictors" / name / "predictor.json").read_text())
        assert (one.title, one.kind) == (device["title"], device["kind"])
        assert one.observations == predictor["fitted_on"]["observations"]
    summaries = json.loads((ROOT / "predictors/iphone12/validation.json").read_text())["summaries"]
    phone = found["iphone12"]
    assert phone.left_out_percent == summaries["repvit"]["without_family_percent"]
    assert phone.coverage_percent == summaries["all"]["coverage_percent"]
    compared = json.loads((ROOT / "predictors/cpu-epyc/validation.json").read_text())
    assert found["cpu-epyc"].left_out_percent == compared["scores"]["predictor"]["mape"]
    assert found["cpu-epyc"].coverage_percent == compared["coverage"]


def test_a_device_that_is_not_fitted_has_no_errors_yet(elsewhere):
    name = "phone-of-mine"
    home = elsewhere / "latency_lut" / name
    home.mkdir(parents=True)
    shutil.copy(ROOT / "latency_lut/iphone12/device.json", home)
    text = (home / "device.json").read_text().replace('"iphone12"', f'"{name}"')
    (home / "device.json").write_text(text)

    (one,) = (each for each in overview() if each.device == name)

    assert (one.observations, one.left_out_percent, one.coverage_percent) == (0, None, None)
