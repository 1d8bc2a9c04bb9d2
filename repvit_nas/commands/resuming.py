"""`--resume`, which takes `auto` or nothing."""

import itertools
from typing import Final

import click

# What `--resume` takes to go on with what is there, or to start where nothing is.
AUTO: Final = "auto"


class ResumingCommand(click.Command):
    """A command whose `--resume` takes `auto` or nothing: click would take whatever follows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write out what a lone `--resume` stands for."""
        rest, resume = split_resume(args)
        return super().parse_args(ctx, rest if resume is None else [f"--resume={resume}", *rest])


def split_resume(words: list[str]) -> tuple[list[str], str | None]:
    """Return the words of a command line without `--resume`, and what it takes: `yes` or `auto`."""
    rest: list[str] = []
    resume = None
    for before, word in itertools.pairwise(["", *words]):
        if word == "--resume":
            resume = "yes"
        elif word.startswith("--resume="):
            resume = word.removeprefix("--resume=")
        elif word == AUTO and before == "--resume":
            resume = AUTO
        else:
            rest.append(word)
    return rest, resume
