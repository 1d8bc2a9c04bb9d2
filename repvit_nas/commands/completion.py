"""What the shell completes: values of options and names of networks, looked up when asked for."""

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from repvit_nas import data
from repvit_nas.errors import RepvitNasError

Items = list[CompletionItem]


def complete_device(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete a device, or the last of several between commas."""
    from repvit_nas.latency_lut.device import device_names

    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{name}") for name in device_names() if name.startswith(last)
    ]


def complete_space(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete a search space by its name, or a file."""
    from repvit_nas.search_space.space import known_spaces

    return [*_of(known_spaces(), incomplete), _files(incomplete)]


def complete_sampler(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete a sampler."""
    from repvit_nas.searching.settings import SAMPLERS

    return _of(SAMPLERS, incomplete)


def complete_recipe(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """Complete a recipe of a training by its name, or a file."""
    from repvit_nas.training.recipe import recipes

    return [*_of(recipes(), incomplete), _files(incomplete)]


def complete_network(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete a reference network, a winner behind `RUN:`, a step behind `path:`, or a file."""
    from repvit_nas.search_space.family import family

    # bash breaks words at colons: the run is a word before, and only what follows it is completed.
    *before, last, colon = ["", "", *_words_before(ctx, parameter), incomplete][-3:]
    if colon == ":":
        return _of(_winners(last), "")
    if last == ":":
        return _of(_winners(*before), incomplete)
    run, colon, winner = incomplete.rpartition(":")
    if colon:
        return [
            CompletionItem(f"{run}:{name}") for name in _winners(run) if name.startswith(winner)
        ]
    return [*_of((*family(), *_runs()), incomplete), _files(incomplete)]


def _words_before(ctx: click.Context, parameter: click.Parameter) -> list[str]:
    given = ctx.params.get(parameter.name or "")
    words = [given] if isinstance(given, str) else [*(given or ())]
    return [*words, *ctx.args]


def _runs() -> list[str]:
    """Return the runs there are as a user names their best."""
    from repvit_nas.searching.records import BEST, RUN_FILE

    found = data.listed("results").items()
    return [f"results/{name}:{BEST}" for name, run in found if (run.path / RUN_FILE).is_file()]


def _winners(run: str) -> list[str]:
    from repvit_nas.search_space.path import PREFIX, networks
    from repvit_nas.searching.records import winners_of

    if run == PREFIX:
        return list(networks())
    try:
        return winners_of(run)
    except RepvitNasError:
        return []  # there is no such run to complete


def _of(names: Iterable[str], incomplete: str) -> Items:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _files(incomplete: str) -> CompletionItem:
    return CompletionItem(incomplete, type="file")
