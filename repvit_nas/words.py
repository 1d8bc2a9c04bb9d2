"""Numbers in what people read."""


def number_of(number: int, what: str, *, grouped: bool = False) -> str:
    """Return a number with what it counts: `1 unit`, `2 units`, `0 latencies`, `3 classes`.

    Args:
        number: How many.
        what: One of them.
        grouped: Write `12,000` instead of `12000`.
    """
    shown = f"{number:,}" if grouped else f"{number}"
    if number == 1:
        return f"{shown} {what}"
    if what.endswith("y"):
        return f"{shown} {what[:-1]}ies"
    return f"{shown} {what}{'es' if what.endswith('s') else 's'}"
