"""The errors a caller may want to catch."""

from typing import Final

# How much of what arrived is looked at or shown.
_LONGEST = 80
# How many known names are listed.
_MOST = 40
# A message quotes what arrived, which may be of any length; it begins with where, and ends with what to do.
_HEAD: Final = 1_200
_TAIL: Final = 400


class RepvitNasError(Exception):
    """Something the user gave cannot be used; the message is one line that says what to do."""

    def __init__(self, message: str = "") -> None:
        if len(message) > _HEAD + _TAIL:
            message = f"{message[:_HEAD]} … {message[-_TAIL:]}"
        super().__init__(message)


class FileError(RepvitNasError):
    """A file cannot be read, written, or does not hold what its format asks for."""


class ContradictionError(RepvitNasError):
    """Latencies contradict each other: no model of a device fits all of them."""


class UnknownNameError(RepvitNasError):
    """A name (network, device, space, sampler) is not known; the message lists the known ones."""

    @classmethod
    def of(cls, kind: str, name: str, known: list[str]) -> "UnknownNameError":
        """Build the message for a `name` that is no `kind` among the `known` ones."""
        import difflib  # of no use as long as nothing is wrong

        near = difflib.get_close_matches(name[:_LONGEST], known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        listed = ", ".join(known[:_MOST]) or "none"
        more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
        return cls(f"{kind} {name!r} is not known{hint}; known: {listed}{more}")


class WrongTypeError(RepvitNasError, TypeError):
    """An argument is of a type that has no meaning there; the message says which arrived."""

    @classmethod
    def of(cls, what: str, wanted: str, arrived: object) -> "WrongTypeError":
        """Build the message for `what`, which must be a `wanted`."""
        shown = repr(arrived)
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
        return cls(f"{what} must be {wanted}; got {type(arrived).__name__}: {shown}")


class UnknownUnitError(RepvitNasError):
    """A unit has no price: nothing is ever priced at 0 because it was not found."""
