"""The command line: one thin file per command; heavy imports happen inside the commands."""

import importlib
import sys
import traceback
from typing import Any, Final

import click

from repvit_nas.commands.streams import speak_plainly
from repvit_nas.errors import RepvitNasError
from repvit_nas.version import __version__
from repvit_nas.words import printable

# The commands in the order in which a user meets them, each with the first sentence of its own help: to
# list them imports none of them.
COMMANDS: Final = {
    "search": "Find the Pareto front of accuracy against latency under a budget.",
    "merge": "Merge the fronts of runs into one.",
    "predict": "Predict the latency of each ARCH on each device, and with --accuracy how accurate it would be.",
    "show": "Show the rows of each ARCH with MACs, parameters and milliseconds, and its estimated accuracy.",
    "compare": "Compare two networks or more: which is better, by how much, and is it settled?",
    "family": "Compare every reference network: published and predicted latency and accuracy.",
    "path": "Show the path from MobileNetV3-L to RepViT-M0.9 step by step: published and predicted.",
    "devices": "List the devices: how their latencies are known, and how far off predictions are.",
    "measure-lut": "Time units and networks on this machine, fit a predictor, and say how far off it is.",
    "doctor": "Say what is missing to measure a Core ML device, one line each, with the remedy.",
    "import-measurements": "Take reports of the programs in DIR into the device's table, and fit it.",
    "import-latencies": "Take latencies of whole networks into a device, and fit it.",
    "measure": "Time ARCH on a device of this machine, beside what its predictor says.",
    "validate": "Time new random networks and compare them with their predictions.",
    "fit": "Fit and validate the predictor of a device, and write it to predictors/<device>/.",
    "measure-accuracy": "Train networks of a latency band shortly, and learn which are accurate on these images.",
    "work": "Train networks of a campaign that another command began with --storage, elsewhere or here.",
    "status": "Show who trains what in a campaign, how far it is, what failed, and the time left.",
    "import-accuracy": "Add accuracies of a CSV or JSON FILE to what is known on a data set by a recipe.",
    "train": "Train ARCH, and leave weights, log and curves in a folder that export and check take.",
    "export": "Write the network of a training RUN fused, as ONNX and as a Core ML package.",
    "check": "Check the network of a training RUN: architecture, counts, forms, accuracy, latency.",
    "report": "Write one page that shows RUNs: open it in a browser, no network is needed.",
}
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130


class LazyGroup(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List the commands."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands as click does, by the sentences that stand here."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        rows = [
            (name, click.Command(name, help=sentence).get_short_help_str(limit))
            for name, sentence in COMMANDS.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"repvit_nas.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        # Help is a raw docstring, in which click's mark of lines to keep is two characters.
        command.help = (command.help or "").replace("\\b\n", "\b\n")
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="repvit-nas")
def cli() -> None:
    """Find RepViT variants under a millisecond budget.

    ARCH is a reference network (repvit_m0_9), an architecture file, a winner of a run
    (results/iphone12-1.0ms:best), or a step from MobileNetV3-L to RepViT (path:4).
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is one line on stderr, and `--debug` adds the traceback."""
    given = sys.argv[1:] if arguments is None else arguments
    speak_plainly()
    debug = "--debug" in given
    words = [word for word in given if word != "--debug"]
    sys.exit(_run(words or ["--help"], debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        code: Any = cli.main(arguments, prog_name="repvit-nas", standalone_mode=False)
    except RepvitNasError as error:
        return _fail(str(error), 1, debug=debug)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "repvit-nas"
        message = f"{error.format_message().rstrip('.')} (see {path} --help)"
        return _fail(message, USAGE_ERROR, debug=debug)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code, debug=debug)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", INTERRUPTED, debug=debug)
    except Exception as error:  # noqa: BLE001  # a traceback is for --debug, not for users
        message = f"unexpected {type(error).__name__}: {error}; --debug shows where"
        return _fail(message, 1, debug=debug)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"error: {printable(' '.join(message.split()))}", err=True)
    return code
