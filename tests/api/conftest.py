import pytest
from support import write_narrow

import repvit_nas


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """A search of a small space, written nowhere."""
    space = write_narrow(tmp_path_factory.mktemp("space"))
    return repvit_nas.search(1.0, space=space, trials=50)
