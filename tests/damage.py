"""What a disk or a cosmic ray does to a file."""

import struct

# Of a little-endian float32: its lowest bit of value, and a high one of its size.
MANTISSA, EXPONENT = (0, 1), (3, 0x40)


def flip(path, place, bit):
    """Turn a bit over in the middle of a safetensors file's numbers."""
    content = bytearray(path.read_bytes())
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    middle = begin + (len(content) - begin) // 8 * 4
    content[middle + place] ^= bit
    path.write_bytes(bytes(content))
