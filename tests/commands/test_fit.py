"""`fit`: what it writes is what is predicted with."""

import json

from repvit_nas import files


def test_fit_writes_what_predict_uses(invoke, elsewhere):
    code, out, err = invoke("fit", "--device", "iphone13", "--json")

    assert code == 0
    assert json.loads(out)["device"] == "iphone13"
    assert "predictors/iphone13" in err
    folder = elsewhere / "predictors" / "iphone13"
    assert (folder / "validation.png").is_file()
    fitted_on = json.loads((folder / "predictor.json").read_text())["fitted_on"]
    assert fitted_on["assumptions_digest"] == files.digest(folder / "assumptions.json")
    code, _, err = invoke("predict", "repvit_m1_0", "--device", "iphone13")
    assert code == 0
    assert err == "predictor: iphone13, modelled, from predictors/iphone13\n"
