"""The tests mirror the tree: a module is tested in the file of its name, in the folder of its room."""

from support import ROOT

PACKAGE = ROOT / "repvit_nas"
TESTS = ROOT / "tests"
# A shorter module has too little in it for a file of tests.
SHORT = 30
LEAST_SHARE = 0.9
# What tests several modules of a room together, and why that is one suite.
TOGETHER = {
    "commands/test_commands.py",  # what all commands have: help, one line for nonsense, a traceback
    "commands/test_output.py",  # what any of them prints fits every stream
    "measuring/runners/test_contract.py",  # every runner keeps the same contract
}


def place_of(module):
    """Return where a module's tests belong; a private module's name loses its underscore."""
    inside = module.relative_to(PACKAGE)
    return TESTS / inside.parent / f"test_{inside.stem.removeprefix('_')}.py"


def modules():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.stem != "__init__"]


def test_nine_modules_in_ten_have_a_test_file_of_their_name():
    long = [path for path in modules() if len(path.read_text().splitlines()) > SHORT]
    without = [path for path in long if not place_of(path).is_file()]

    share = 1 - len(without) / len(long)

    said = ", ".join(str(path.relative_to(PACKAGE)) for path in without)
    assert share >= LEAST_SHARE, f"{share:.1%} of {len(long)} modules; without: {said}"


def test_the_tests_of_a_room_are_called_after_its_modules():
    """And not after an episode: who reads a module finds its tests, and who reads a test its module."""
    known = {place_of(path) for path in modules()}
    rooms = [path for path in sorted(PACKAGE.rglob("*")) if (path / "__init__.py").is_file()]
    listed = [
        path for room in rooms for path in (TESTS / room.relative_to(PACKAGE)).glob("test_*.py")
    ]

    strange = {str(path.relative_to(TESTS)) for path in listed if path not in known}

    assert len(listed) > 100
    assert strange == TOGETHER
