"""Names of programs that say what is in them, so that a report finds its way back."""

from typing import Final

import msgspec

from repvit_nas.programs import Program
from repvit_nas.units import Block, Downsample, Features, Ffn, Foreign, Head, Stem, Unit

# Characters of a program's key in its name: enough that no two programs share them.
_KEY: Final = 8
# A program of more parts than this is a network, whose name would be a page.
_PARTS: Final = 3


def unit_name(unit: Unit) -> str:
    """Return a short name of a unit's kind and numbers, such as `block-48-96-se16-k3-56px`.

    Raises:
        TypeError: The unit is not one that a classifier is made of.
    """
    match unit:
        case Stem(width, size):
            return f"stem-{width}-{size}px"
        case Block(width, hidden, se, kernel, size):
            gate = f"-se{se}" if se else ""
            return f"block-{width}-{hidden}{gate}-k{kernel}-{size}px"
        case Downsample(c_in, c_out, kernel, size):
            return f"down-{c_in}-{c_out}-k{kernel}-{size}px"
        case Ffn(width, hidden, size):
            return f"ffn-{width}-{hidden}-{size}px"
        case Head(width, classes, size):
            return f"head-{width}-{classes}-{size}px"
        case Features() | Foreign():
            raise TypeError(f"{type(unit).__name__} cannot be timed on its own")
        case _:
            *numbers, size = msgspec.structs.astuple(unit)
            return "-".join(map(str, (unit.__struct_config__.tag, *numbers, f"{size}px")))


def program_name(timed: Program) -> str:
    """Return the name of a program: its units, how often each, and the start of its key."""
    if len(timed.units) > _PARTS:
        body = f"network-{len(timed.sequence)}-units"
    else:
        body = "+".join(
            unit_name(unit) + (f"-x{count}" if count > 1 else "") for unit, count in timed.units
        )
    return f"{body}--{timed.key[:_KEY]}"
