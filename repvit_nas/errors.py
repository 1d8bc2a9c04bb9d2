"""The errors a caller may want to catch."""


class RepvitNasError(Exception):
    """Something the user gave cannot be used; the message is one line that says what to do."""


class FileError(RepvitNasError):
    """A file cannot be read, written, or does not hold what its format asks for."""


class UnknownNameError(RepvitNasError):
    """A name (network, device, space, sampler) is not known; the message lists the known ones."""

    @classmethod
    def of(cls, kind: str, name: str, known: list[str]) -> "UnknownNameError":
        """Build the message for a `name` that is no `kind` among the `known` ones."""
        return cls(f"{kind} {name!r} is not known; known: {', '.join(known) or 'none'}")


class UnknownUnitError(RepvitNasError):
    """A unit has no price: nothing is ever priced at 0 because it was not found."""
