"""The weight file of a package, and weights in it that are stored in fewer bits."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from repvit_nas.errors import FileError

# What expands weights of fewer bits on iOS 16: by a table, and by a scale for each channel.
_PALETTE: Final = "constexpr_lut_to_dense"
_LINEAR: Final = "constexpr_affine_dequantize"
EXPANDED: Final = (_PALETTE, _LINEAR)


class Blobs:
    """The weight file of a package."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader: Any = None

    def half(self, value: Any) -> npt.NDArray[np.float16]:
        """Return the half-precision constant that `value` points at."""
        found = self.array(value)
        if found.dtype != np.float16:
            raise FileError(f"{self.path}: holds weights that are not half precision")
        return found.reshape(declared_shape(value.type))

    def array(self, value: Any) -> npt.NDArray[Any]:
        """Return the numbers of a constant, flat: half precision or bytes, in the file or immediate.

        Raises:
            FileError: They are of another type, or not there.
        """
        from coremltools.libmilstoragepython import _BlobStorageReader

        from repvit_nas.conversion.converter import coremltools

        types = coremltools().proto.MIL_pb2.DataType
        known = {
            types.FLOAT16: (np.float16, np.uint16, "read_fp16_data"),
            types.INT8: (np.int8, np.int8, "read_int8_data"),
            types.UINT8: (np.uint8, np.uint8, "read_uint8_data"),
        }
        if value.type.tensorType.dataType not in known:
            raise FileError(f"{self.path}: holds weights that are not half precision, nor bytes")
        kind, stored, read = known[value.type.tensorType.dataType]
        if value.WhichOneof("value") == "immediateValue":
            return np.frombuffer(value.immediateValue.tensor.bytes.values, kind)
        if self._reader is None:
            if not self.path.is_file():
                raise FileError(f"{self.path}: cannot be read: no such file")
            self._reader = _BlobStorageReader(str(self.path))
        try:
            found = getattr(self._reader, read)(value.blobFileValue.offset)
        except RuntimeError as error:
            raise FileError(f"{self.path}: holds no weights: {error}") from error
        return np.array(found, dtype=stored).view(kind)


def declared_shape(declared: Any) -> tuple[int, ...]:
    """Return the shape that a value is declared with."""
    return tuple(int(item.constant.size) for item in declared.tensorType.dimensions)


def expanded(operation: Any, blobs: Blobs) -> tuple[npt.NDArray[np.float16], int]:
    """Return the weights that an operation expands, in half precision, and their bits.

    Raises:
        FileError: A table is of no number of bits, or there are not as many weights as declared.
    """
    given, shape = operation.attributes, declared_shape(operation.outputs[0].type)
    if operation.type == _LINEAR:
        stored = blobs.array(given["quantized_data"])
        _check_count(operation, len(stored), shape, blobs)
        values, bits = stored.astype(np.float32).reshape(shape), 8
        along = [1] * len(shape)
        along[int(given["axis"].immediateValue.tensor.ints.values[0])] = -1
        zero = blobs.array(given["zero_point"]).astype(np.float32).reshape(along)
        scale = blobs.array(given["scale"]).astype(np.float32).reshape(along)
        return ((values - zero) * scale).astype(np.float16), bits
    table = blobs.array(given["lut"])
    bits = len(table).bit_length() - 1
    if len(table) != 1 << bits:
        raise FileError(f"{blobs.path}: a table of weights has {len(table)} entries, no power of 2")
    count = int(np.prod(shape))
    stream = np.unpackbits(blobs.array(given["indices"]), bitorder="little")
    _check_count(operation, len(stream) // bits, shape, blobs, padded=8)
    places = stream[: count * bits].reshape(count, bits) @ (1 << np.arange(bits))
    return table[places].reshape(shape), bits


def _check_count(
    operation: Any, found: int, shape: tuple[int, ...], blobs: Blobs, *, padded: int = 1
) -> None:
    count = int(np.prod(shape))
    if not count <= found < count + padded:
        raise FileError(
            f"{blobs.path}: {operation.outputs[0].name} must hold {count} weights; got {found}"
        )
