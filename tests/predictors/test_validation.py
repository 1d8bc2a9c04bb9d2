"""`validation.json` is of one of two kinds, and says which."""

import json

import pytest
from support import ROOT

from repvit_nas.errors import FileError
from repvit_nas.predictors.validation import (
    CrossValidation,
    HeldOutComparison,
    read_validation,
    validation_bytes,
)

KINDS = {"iphone12": CrossValidation, "iphone13": CrossValidation, "cpu-epyc": HeldOutComparison}


def shipped(device):
    return ROOT / "predictors" / device / "validation.json"


@pytest.mark.parametrize(("device", "kind"), KINDS.items())
def test_the_shipped_files_state_their_kind_and_survive_it(device, kind):
    found = read_validation(shipped(device))

    assert isinstance(found, kind)
    assert found.device == device
    assert validation_bytes(found) == shipped(device).read_bytes()


@pytest.mark.parametrize(("device", "kind"), KINDS.items())
def test_a_file_from_before_kinds_were_stated_is_read(tmp_path, device, kind):
    document = json.loads(shipped(device).read_text())
    del document["kind"]
    path = tmp_path / "validation.json"
    path.write_text(json.dumps(document))

    found = read_validation(path)

    assert type(found) is kind
    assert found == read_validation(shipped(device))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "guessed"}, ["kind", "guessed"]),
        ({"kind": "held_out"}, ["unknown field", "summaries"]),
        ({"schema": 2}, ["`schema` must be 1", "got 2"]),
        ({"checks": [{}]}, ["checks", "name"]),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, change, words):
    path = tmp_path / "validation.json"
    document = json.loads(shipped("iphone12").read_text()) | change
    path.write_text(json.dumps(document))

    with pytest.raises(FileError) as error:
        read_validation(path)

    for word in ["validation.json", *words]:
        assert word in str(error.value)


def test_what_is_listed_of_a_device_is_what_its_file_says():
    """The figures of `devices`, straight from the JSON."""
    phone = json.loads(shipped("iphone12").read_text())["summaries"]
    processor = json.loads(shipped("cpu-epyc").read_text())

    modelled, measured = read_validation(shipped("iphone12")), read_validation(shipped("cpu-epyc"))

    assert modelled.unseen_percent == phone["repvit"]["without_family_percent"]
    assert modelled.coverage_percent == phone["all"]["coverage_percent"]
    assert measured.unseen_percent == processor["scores"]["predictor"]["mape"]
    assert measured.coverage_percent == processor["coverage"]
