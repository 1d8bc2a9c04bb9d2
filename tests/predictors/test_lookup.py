import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.predictors.lookup import read_arrays


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_unread():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("inputs.npy", bytes(70 * 2**20))
    content = buffer.getvalue()
    part = SimpleNamespace(arrays_digest=files.digest(content))

    assert len(content) < 2**20
    with pytest.raises(FileError, match="unpack to 73,400,320 bytes; at most 67,108,864 are read"):
        read_arrays("residual.npz", content, part, members=64)


def test_a_damaged_stream_is_a_file_error():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, inputs=np.arange(1000.0))
    content = bytearray(buffer.getvalue())
    content[120:140] = bytes(20)
    part = SimpleNamespace(arrays_digest=files.digest(bytes(content)))

    with pytest.raises(FileError, match="holds no arrays that can be read: .*; fit again"):
        read_arrays("residual.npz", bytes(content), part, members=64)
