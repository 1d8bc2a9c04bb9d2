"""A small trained network in every form."""

import pytest
from training_support import train_small

from repvit_nas.export.forms import export_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    folder = train_small(tmp_path_factory.mktemp("trained") / "run")
    export_run(folder, ("onnx", "coreml"))
    return folder
