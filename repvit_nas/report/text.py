"""How numbers are written for people, the same everywhere."""


def milliseconds(value: float, low: float, high: float) -> str:
    """Write a latency with its interval."""
    return f"{value:.2f} ({low:.2f}-{high:.2f})"


def percent(value: float, std: float | None = None) -> str:
    """Write an accuracy with its standard deviation."""
    return f"{value:.1f}" if std is None else f"{value:.1f} ± {std:.1f}"


def accuracy(mean: float, std: float, source: str, observed: float | None) -> str:
    """Write an estimated accuracy with its deviation, and what was seen of the network if anything."""
    said = percent(mean, std)
    return said if observed is None else f"{said}; {source} {observed:.2f}"


def millions(value: float) -> str:
    """Write a count in millions."""
    return f"{value / 1e6:.2f}"


def thousand_millions(value: float) -> str:
    """Write a count in thousand millions."""
    return f"{value / 1e9:.2f}"
