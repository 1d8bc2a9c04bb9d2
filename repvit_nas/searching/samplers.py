"""Samplers of Optuna, told once what they otherwise derive from all trials at every trial."""

from typing import TYPE_CHECKING, Any

from optuna.samplers import NSGAIISampler

if TYPE_CHECKING:
    from collections.abc import Iterable

    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class Generations:
    """The finished trials of a study by generation, and the parents chosen from them.

    Optuna looks through all trials for them whenever it proposes one, so that a study takes time
    in proportion to the square of its length. A study that is gone on with builds them up again:
    each choice of parents builds on the one before and nothing else.
    """

    def __init__(self, population_size: int) -> None:
        self.population_size = population_size
        self.parents: dict[int, list[FrozenTrial]] = {0: []}
        self._members: dict[int, list[FrozenTrial]] = {}

    def add(self, finished: "Iterable[FrozenTrial]") -> None:
        """Add finished trials in the order of their numbers."""
        for trial in finished:
            generation = trial.system_attrs.get(StaticNSGAIISampler.generation_key())
            if generation is not None:  # what a study starts from has none
                self._members.setdefault(generation, []).append(trial)

    def members(self, generation: int) -> "list[FrozenTrial]":
        """Return the finished trials of a generation."""
        return self._members.get(generation, [])

    def forget(self, generation: int) -> None:
        """Drop what no generation after this one is chosen from."""
        for known in (self._members, self.parents):
            for earlier in [each for each in known if each < generation - 1]:
                del known[earlier]

    @property
    def current(self) -> int:
        """The generation of the next trial."""
        last = max(self._members, default=0)
        return last + (len(self.members(last)) >= self.population_size)


def notes_of(trial: "FrozenTrial") -> dict[str, int]:
    """Return what NSGA-II noted about a trial: its generation."""
    key = StaticNSGAIISampler.generation_key()
    return {name: value for name, value in trial.system_attrs.items() if name == key}


class StaticNSGAIISampler(NSGAIISampler):
    """NSGA-II over parameters that every trial has.

    Optuna intersects the parameters of all trials to find the common ones. Here they are the same
    in every trial, and the intersection would cost more than the rest of the search.

    Args:
        distributions: The parameters.
        generations: The study's, which outlive the sampler.
        **options: Of Optuna's sampler.
    """

    def __init__(
        self,
        distributions: "dict[str, BaseDistribution]",
        generations: Generations,
        **options: Any,
    ) -> None:
        super().__init__(population_size=generations.population_size, **options)
        self._distributions = distributions
        self._generations = generations

    @classmethod
    def generation_key(cls) -> str:
        """Return how a trial's generation is called among its system attributes."""
        return cls._get_generation_key()

    def infer_relative_search_space(
        self,
        study: "optuna.Study",  # noqa: ARG002
        trial: "FrozenTrial",  # noqa: ARG002
    ) -> "dict[str, BaseDistribution]":
        """Return the parameters that every trial has."""
        return self._distributions

    def get_trial_generation(self, study: "optuna.Study", trial: "FrozenTrial") -> int:
        """Return the generation of a new trial, and note it in the trial."""
        generation = self._generations.current
        study._storage.set_trial_system_attr(  # noqa: SLF001  # as Optuna's own samplers do
            trial._trial_id,  # noqa: SLF001
            self.generation_key(),
            generation,
        )
        return generation

    def get_population(
        self,
        study: "optuna.Study",  # noqa: ARG002
        generation: int,
    ) -> "list[FrozenTrial]":
        """Return the finished trials of a generation."""
        return self._generations.members(generation)

    def get_parent_population(self, study: "optuna.Study", generation: int) -> "list[FrozenTrial]":
        """Return the parents of a generation, chosen when they are first asked for.

        The first time they come best first, then in the order of their numbers, as from Optuna:
        which of them a random number means depends on it.
        """
        parents = self._generations.parents
        if generation in parents:
            return parents[generation]
        for earlier in range(max(parents) + 1, generation):  # of a study that is gone on with
            self.get_parent_population(study, earlier)
        chosen = self.select_parent(study, generation)
        parents[generation] = sorted(chosen, key=lambda trial: trial.number)
        self._generations.forget(generation)
        return chosen
