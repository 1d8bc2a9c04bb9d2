"""Write the parts of README.md and docs/ that the code knows best; `--check` only compares.

    python tools/write_docs.py

Marked sections come from the shipped run and the shipped validations, docs/commands.md from the help
of the commands, and docs/rooms.svg from the imports, so none of them can say what the code does not.
"""

import sys
from pathlib import Path

import click
import rooms

from repvit_nas import files
from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.accuracy.priors import PRIORS, Prior
from repvit_nas.checking.seeds import SEEDS_FILE, SeedsRecord
from repvit_nas.commands import COMMANDS, cli
from repvit_nas.predictors.validation import (
    VALIDATION_FILE,
    CrossValidation,
    HeldOutComparison,
    read_validation,
)
from repvit_nas.report.checking import SEEDS_HEADER, seeds_rows
from repvit_nas.report.cross_validation import (
    PROBE_HEADER,
    SUMMARY_HEADER,
    probe_cells,
    summary_cells,
)
from repvit_nas.report.family_rows import family_rows
from repvit_nas.report.held_out import curve_table, score_table, summary
from repvit_nas.report.run_report import family_table, front_table
from repvit_nas.report.tables import Grid, markdown
from repvit_nas.searching.inputs import load_device_inputs
from repvit_nas.searching.records import FRONT_FILE, TABLE_FILE, Result, front_columns

ROOT = Path(__file__).parents[1]
RUN = ROOT / "results" / "iphone12-1.0ms"
TRAINED = ROOT / "results" / "shapes-30ms"
EXAMPLE = "cpu-epyc"
GROUPS = ("repvit", "repvit at 224 px", "repvit at 512 px and more", "repnext", "all")
FREE_GROUPS = ("repvit", "repnext", "all")


def search_sections() -> tuple[str, str]:
    """Return the winners of the shipped run, and the family beside them."""
    result = files.read_json(RUN / FRONT_FILE, Result)
    winners = markdown(front_table("", result.winning))
    loaded = load_device_inputs("iphone12")
    references = family_rows(loaded.published, loaded.predictor, load_family_estimator())
    family = markdown(family_table("", references))
    return winners, family


def validation_section() -> str:
    """Return the errors of the modelled devices on networks they did not see."""
    header = ("device", "networks", "latencies", *SUMMARY_HEADER)
    rows, probed = [], []
    for device in ("iphone12", "iphone13"):
        found = read_validation(ROOT / "predictors" / device / VALIDATION_FILE)
        if not isinstance(found, CrossValidation):
            raise TypeError(f"{device}: a cross-validation is needed; got {type(found).__name__}")
        freed = {f"{group}, rates free": found.rates_free[group] for group in FREE_GROUPS}
        for group, summary_ in ({g: found.summaries[g] for g in GROUPS} | freed).items():
            count, *shares = summary_cells(summary_)
            rows.append([device, group, count, *(f"{share} %" for share in shares)])
        for probe in found.probes:
            title, count, error, coverage, steps = probe_cells(probe)
            probed.append([device, title, count, f"{error} %", f"{coverage} %", steps])
    return (
        markdown(Grid.of("", header, rows))
        + "\n"
        + markdown(Grid.of("", ("device", *PROBE_HEADER), probed))
    )


def measured_section() -> str:
    """Return how far off the measured example's predictor is."""
    found = read_validation(ROOT / "predictors" / EXAMPLE / VALIDATION_FILE)
    if not isinstance(found, HeldOutComparison):
        raise TypeError(f"{EXAMPLE}: held-out networks are needed; got {type(found).__name__}")
    return (
        f"{found.title} (`{EXAMPLE}`):\n\n"
        + markdown(score_table(found))
        + f"\n{summary(found)}\n\n"
        + markdown(curve_table(found))
    )


def trained_section() -> str:
    """Return the winner that was trained beside the family, over its seeds."""
    found = files.read_json(TRAINED / SEEDS_FILE, SeedsRecord)
    return markdown(Grid.of("", SEEDS_HEADER, seeds_rows(found)))


def priors_section() -> str:
    """Return the priors of the accuracy estimator; features of one prior share a row."""
    grouped: dict[Prior, list[str]] = {}
    for name, prior in PRIORS.items():
        grouped.setdefault(prior, []).append(f"`{name}`")
    rows = [
        [", ".join(names), f"{prior.mean:.2f} ± {prior.std:.2f}", prior.rests_on]
        for prior, names in grouped.items()
    ]
    return markdown(Grid.of("", ("effect", "prior, points", "rests on"), rows), marked=True)


def commands_page() -> str:
    """Return the help of every command."""
    parts = ["# Commands\n", "Written by `tools/write_docs.py` from `--help`.\n"]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        if command is None:
            raise LookupError(name)
        context = click.Context(command, info_name=f"repvit-nas {name}", max_content_width=96)
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def with_sections(path: Path, sections: dict[str, str]) -> str:
    """Return the document at `path` with its marked sections replaced."""
    document = path.read_text()
    for name, section in sections.items():
        before, begin, rest = document.partition(f"<!-- begin: {name} -->\n")
        _, end, after = rest.partition(f"<!-- end: {name} -->")
        if not (begin and end):
            raise LookupError(f"{path} needs a section {name!r}")
        document = before + begin + section + end + after
    return document


def documents() -> dict[Path, str]:
    """Return each written document and what it should hold."""
    winners, family = search_sections()
    shipped = files.read_json(RUN / FRONT_FILE, Result)
    sections = {
        ROOT / "README.md": {"search": winners},
        ROOT / "docs" / "validation.md": {
            "family": family,
            "validation": validation_section(),
            "measured": measured_section(),
            "trained": trained_section(),
        },
        TRAINED / "README.md": {"trained": trained_section()},
        ROOT / "docs" / "accuracy-model.md": {"priors": priors_section()},
    }
    return {path: with_sections(path, marked) for path, marked in sections.items()} | {
        ROOT / "docs" / "commands.md": commands_page(),
        ROOT / "docs" / "rooms.svg": rooms.draw(),
        RUN / TABLE_FILE: files.encode_csv(front_columns(shipped)).decode(),
    }


def main() -> None:
    """Write the documents, or fail if they are not as written."""
    stale = [
        path
        for path, content in documents().items()
        if not path.exists() or path.read_text() != content
    ]
    if "--check" in sys.argv[1:]:
        sys.exit(f"run tools/write_docs.py: {', '.join(map(str, stale))}" if stale else 0)
    for path, content in documents().items():
        path.write_text(content)


if __name__ == "__main__":
    main()
