"""`repvit-nas doctor`: what is missing before a Core ML device can be measured."""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import tell
from repvit_nas.commands.options import debug_option, phone_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.coreml.findings import Condition

_MARKS = {True: "ok", False: "missing", None: "note"}


@click.command("doctor")
@click.option("--device", default="iphone12", show_default=True, help="A Core ML device.")
@phone_options
@answers
@debug_option
def command(device: str, team: str, udid: str) -> Answer["list[Condition]"]:
    r"""Say what is missing to measure a Core ML device, one line each, with the remedy.

    Ends with 0 if nothing is missing, and with 1 otherwise.

    \b
    Example: repvit-nas doctor --device iphone12
             repvit-nas doctor --device mac
    """
    from repvit_nas.coreml.doctor import examine
    from repvit_nas.coreml.products import known_product

    findings = examine(known_product(device), team=team, udid=udid)
    missing = any(finding.fine is False for finding in findings)
    return Answer(findings, _show, _document, code=int(missing))


def _show(findings: "Sequence[Condition]") -> None:
    for finding in findings:
        tell(f"{_MARKS[finding.fine]:8}{finding.name}: {finding.said}")


def _document(findings: "Sequence[Condition]") -> object:
    return [finding._asdict() for finding in findings]
