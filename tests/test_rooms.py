import ast

import pytest
from rooms import FLOOR, ORDER, PACKAGE, imports, room_of

from repvit_nas.commands import COMMANDS


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
            # A room's own file hands out what its files hold; importing it is not a circle of files.
            if other not in {module, room_of(module)}:
                visit(other, [*path, module])
        done.add(module)

    for module in sorted(graph):
        visit(module, [])


def test_reports_load_nothing():
    loading = [
        f"{path.name} imports {alias.name}"
        for path in (PACKAGE / "report").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith(("load", "read"))
    ]

    assert not loading, "\n".join(loading)


def test_no_command_imports_another():
    commands = {f"commands.{name.replace('-', '_')}" for name in COMMANDS}
    between = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others & commands
        if module != "commands"
    ]

    assert not between, "\n".join(between)
