import ast
from functools import cache
from pathlib import Path

import pytest

from repvit_nas.commands import COMMANDS

# From the ground up: a room imports from itself and from rooms below it, never from one above. A file
# of the package beside the rooms is a room of its own. Rooms of one line do not know each other.
ORDER = (
    ("errors", "version", "words"),
    ("data", "files", "machine"),
    ("architecture", "operations"),
    ("units",),
    ("shapes",),
    ("search_space",),
    ("network", "programs"),
    ("conversion",),
    ("latency_lut",),
    ("predictors",),
    ("measuring",),
    ("coreml",),
    ("accuracy",),
    ("training",),
    ("export",),
    ("search",),
    ("named",),
    ("checking", "timm_entry"),
    ("report",),
    ("repvit_nas",),
    ("commands",),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
PACKAGE = Path(__file__).parents[1] / "repvit_nas"


def name_of(path):
    """Return a module's dotted name inside the package; the package itself is its room's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "repvit_nas"


def room_of(module):
    return module.partition(".")[0]


@cache
def imports():
    """Return which modules of ours each module imports, at its top or when it is called."""
    files = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    found = {}
    for module, path in files.items():
        found[module] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports relatively"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                root, _, inner = name.partition(".")
                if root == "repvit_nas":
                    parent = inner.rpartition(".")[0]
                    found[module].add(inner if inner in files else parent or "repvit_nas")
    return found


def test_every_room_has_its_floor():
    assert {room_of(module) for module in imports()} == set(FLOOR)


def test_no_arrow_runs_upwards(capsys):
    upwards = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if room_of(other) != room_of(module) and FLOOR[room_of(other)] >= FLOOR[room_of(module)]
    ]

    assert not upwards, "\n".join(sorted(upwards))
    with capsys.disabled():
        print("\nrooms from the ground up:", " -> ".join("/".join(rooms) for rooms in ORDER))


def test_no_two_files_need_each_other():
    graph, done = imports(), set()

    def visit(module, path):
        if module in path:
            pytest.fail(f"a circle: {' -> '.join([*path[path.index(module) :], module])}")
        if module in done:
            return
        for other in sorted(graph.get(module, ())):
            # A package's own file hands out what its files hold; importing it is not a circle of files.
            if other not in {module, room_of(module)}:
                visit(other, [*path, module])
        done.add(module)

    for module in sorted(graph):
        visit(module, [])


def test_no_command_imports_another():
    commands = {f"commands.{name.replace('-', '_')}" for name in COMMANDS}
    between = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others & commands
        if module != "commands"
    ]

    assert not between, "\n".join(between)
