"""What an importer returns can be true."""

import pytest

from repvit_nas.coreml.importers.imported import Imported, checked
from repvit_nas.errors import FileError

REPORT = Imported("a", (1e-4, 1e6), "lab", "iPhone 12", "iOS 18", "CPU_AND_NE", (), "lab.csv")


def test_a_report_within_the_limits_is_taken_as_it_is():
    assert checked(REPORT) is REPORT
    assert checked(REPORT._replace(system="é" * 28))  # 56 bytes


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": (1.0, 9e-5)}, r"between 0\.0001 and 1e\+06 ms; got 9e-05 ms"),
        ({"samples": (1.1e6,)}, r"got 1\.1e\+06 ms: see which unit"),
        ({"system": "é" * 29}, "system must be one line of at most 56 bytes"),
        ({"tool": "a\tb"}, "tool must be one line"),
    ],
)
def test_what_cannot_be_true_is_refused_with_its_file(changed, said):
    with pytest.raises(FileError, match=f"^lab.csv: .*{said}"):
        checked(REPORT._replace(**changed))
