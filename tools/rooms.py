"""The rooms of the package, from the ground up, as the imports say; `draw` makes their picture.

A room is a folder of `repvit_nas/`, or a file beside the folders. It imports from rooms below it and
never from one above; `tests/test_rooms.py` holds that.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[1] / "repvit_nas"
# What the package itself and its entry point are called as rooms.
API: Final = "repvit_nas"
# From the ground up. Rooms of one floor do not know each other.
ORDER: Final = (
    ("errors", "quantities", "version", "words"),
    ("artifacts", "data", "files", "machine", "storages"),
    ("folders", "lines"),
    ("architecture", "operations"),
    ("counting",),
    (
        "necks",
        "path_units",
    ),
    ("units",),
    ("networks", "shapes"),
    ("search_space",),
    ("network", "programs"),
    ("conversion",),
    ("latency_lut",),
    ("predictors",),
    ("measuring",),
    ("coreml",),
    ("timing",),
    ("accuracy",),
    ("training",),
    ("decoder", "export"),
    ("searching",),
    ("named",),
    ("checking", "own_latencies", "timm_entry"),
    ("campaign",),
    ("report",),
    ("api",),
    (API,),
    ("commands",),
    ("__main__",),
)
FLOOR: Final = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}

_LEFT, _BOX, _RIGHT, _STEP = 10, 130, 240, 30
_STYLE: Final = (
    "text{font:13px sans-serif;fill:#1f2933}rect{fill:#e4ecf7;stroke:#7b93b5}"
    "path{fill:none;stroke:#5b6b82;stroke-opacity:.55}"
    "@media(prefers-color-scheme:dark){text{fill:#e4e7eb}rect{fill:#243447;stroke:#8aa4c8}"
    "path{stroke:#9fb3c8}}"
)


def room_of(module: str) -> str:
    """Return the room of a module, by its dotted name inside the package."""
    return module.partition(".")[0]


def module_name(path: Path) -> str:
    """Return a file's dotted name inside the package; the package itself is called after it."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or API


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module, by name."""
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports() -> dict[str, frozenset[str]]:
    """Return what each module imports of this package, when it is imported or when it is called."""
    return {name: frozenset(_imported(path)) for name, path in modules().items()}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: imports must be absolute; line {node.lineno} is not")
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            root, _, inner = name.partition(".")
            if root == API:
                yield inner if inner in modules() else inner.rpartition(".")[0] or API


def arrows() -> dict[str, set[str]]:
    """Return which other rooms each room imports from."""
    found: dict[str, set[str]] = {room: set() for room in FLOOR}
    for module, others in imports().items():
        found[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
    return found


def purpose(room: str) -> str:
    """Return what a room is for: the first line of its docstring."""
    text = ast.get_docstring(ast.parse(modules()[room].read_text())) or ""
    line = text.partition("\n")[0].removeprefix("Room: ")
    return line[:1].upper() + line[1:]


def _without_detours(found: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out arrows that a path over other rooms says already."""

    @cache
    def below(room: str) -> frozenset[str]:
        return frozenset(found[room]).union(*(below(other) for other in found[room]))

    return {
        room: {one for one in others if not any(one in below(other) for other in others)}
        for room, others in found.items()
    }


def draw() -> str:
    """Return the rooms as an SVG picture, the top floor first, an arc from each to what it needs."""
    order = [room for rooms in reversed(ORDER) for room in rooms]
    place = {room: _STEP * (row + 1) for row, room in enumerate(order)}
    height = _STEP * (len(order) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {height}" role="img">',
        f"<title>The rooms of repvit_nas and what each imports</title><style>{_STYLE}</style>",
    ]
    for room, others in sorted(_without_detours(arrows()).items()):
        for other in sorted(others):
            top, low = place[room], place[other]
            bend = min(30 + 0.36 * (low - top), 300)
            x = _LEFT + _BOX
            parts.append(
                f'<path d="M{x} {top}C{x + bend:.0f} {top} {x + bend:.0f} {low} {x} {low}"/>'
            )
    for room in order:
        middle = place[room]
        parts += [
            f'<rect x="{_LEFT}" y="{middle - 12}" width="{_BOX}" height="24" rx="4"/>',
            f'<text x="{_LEFT + 8}" y="{middle + 5}">{room}</text>',
            f'<text x="{_LEFT + _BOX + _RIGHT}" y="{middle + 5}">{escape(purpose(room))}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
