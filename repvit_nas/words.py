"""Numbers in what people read."""


def number_of(number: int, what: str) -> str:
    """Return a number with what it counts: `1 unit`, `2 units`, `0 latencies`.

    Args:
        number: How many.
        what: One of them.
    """
    if number == 1:
        return f"{number} {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}s"
