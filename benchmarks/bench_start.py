"""Start-up: whole commands against a bare interpreter.

Promises: `import repvit_nas` takes less than 150 ms; `--help` imports none of torch, optuna, pandas and scikit-learn (tests/test_import.py).
"""

import subprocess
import sys

from interleaved import medians

ROUNDS = 7


def command(*arguments: str) -> None:
    """Run a command of this interpreter."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def main() -> None:
    """Print the time of each command and its ratio to a bare start."""
    took = medians(
        {
            "python -c pass": lambda: command("-c", "pass"),
            "import repvit_nas": lambda: command("-c", "import repvit_nas"),
            "repvit-nas --help": lambda: command("-m", "repvit_nas", "--help"),
            "repvit-nas predict": lambda: command("-m", "repvit_nas", "predict", "repvit_m1_0"),
        },
        ROUNDS,
    )
    bare = took["python -c pass"]
    for name, seconds in took.items():
        print(f"{name:<20} {1e3 * seconds:5.0f} ms, {seconds / bare:4.1f} x a bare interpreter")


if __name__ == "__main__":
    main()
