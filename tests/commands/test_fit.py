"""`fit`: what it writes is what is predicted with."""

import json


def test_fit_writes_what_predict_uses(invoke, elsewhere):
    code, out, err = invoke("fit", "--device", "iphone13", "--json")

    assert code == 0
    assert json.loads(out)["device"] == "iphone13"
    assert "predictors/iphone13" in err
    assert (elsewhere / "predictors" / "iphone13" / "validation.png").is_file()
    code, _, err = invoke("predict", "repvit_m1_0", "--device", "iphone13")
    assert code == 0
    assert err == "predictor: iphone13, modelled, from predictors/iphone13\n"
