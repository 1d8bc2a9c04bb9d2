"""Networks as the entries of a front."""

from collections import Counter

from repvit_nas.operations import BYTES_PER_ELEMENT
from repvit_nas.search_space.space import Choices
from repvit_nas.searching.front import Front
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.records import DeviceLatency, FrontEntry
from repvit_nas.units import rows as unit_rows


def names_of(problem: Problem, front: Front) -> list[str]:
    """Name networks by their latency on the first device; equal ones get a number."""
    names: list[str] = []
    taken: Counter[str] = Counter()
    for latency in front.objectives[:, 0]:
        name = f"{problem.devices[0]}-{latency:.4f}ms"
        taken[name] += 1
        names.append(f"{name}-{taken[name]}" if taken[name] > 1 else name)
    return names


def entries_of(
    problem: Problem, choices: Choices, names: list[str], *, feasible: bool = True
) -> list[FrontEntry]:
    """Return rows of choices as entries of a front."""
    scores = problem.score(choices)
    shapes = problem.decode(choices)
    entries = []
    for row, name in enumerate(names):
        architecture = shapes.architecture(row, name)
        units = set(unit_rows(architecture))
        devices = {
            device: DeviceLatency(
                round(float(scores.latency_ms[row, index]), 4),
                round(float(scores.low_ms[row, index]), 4),
                round(float(scores.high_ms[row, index]), 4),
                problem.predictors[index].source(units),
            )
            for index, device in enumerate(problem.devices)
        }
        first = devices[problem.devices[0]]
        seen = problem.estimator.observed(architecture)
        params = round(float(scores.params[row]))
        entries.append(
            FrontEntry(
                architecture=architecture,
                latency_ms=first.latency_ms,
                low_ms=first.low_ms,
                high_ms=first.high_ms,
                source=first.source,
                # Far outside what was trained, a line through it leaves what an accuracy can be.
                accuracy=round(min(max(float(scores.accuracy[row]), 0.0), 100.0), 3),
                accuracy_std=round(float(scores.accuracy_std[row]), 3),
                params=params,
                macs=round(float(scores.macs[row])),
                size_bytes=BYTES_PER_ELEMENT * params,
                devices=devices,
                feasible=feasible,
                accuracy_source="estimated" if seen is None else seen.source,
                observed=None if seen is None else round(seen.top1, 3),
            )
        )
    return entries
