"""Samplers of Optuna, told once what they otherwise derive from all trials at every trial."""

from typing import TYPE_CHECKING, Any

from optuna.samplers import NSGAIISampler

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


class StaticNSGAIISampler(NSGAIISampler):
    """NSGA-II over parameters that every trial has.

    Optuna intersects the parameters of all trials to find the common ones. Here they are the same
    in every trial, and the intersection would cost more than the rest of the search.
    """

    def __init__(self, distributions: "dict[str, BaseDistribution]", **options: Any) -> None:
        super().__init__(**options)
        self._distributions = distributions

    def infer_relative_search_space(
        self,
        study: "optuna.Study",  # noqa: ARG002
        trial: "optuna.trial.FrozenTrial",  # noqa: ARG002
    ) -> "dict[str, BaseDistribution]":
        """Return the parameters that every trial has."""
        return self._distributions

    def restore_parents(self, study: "optuna.Study", last: int) -> None:
        """Choose the parents of all generations up to the `last` again, as they were chosen then.

        Optuna notes its choice in the study, of which a log of trials knows nothing. Each choice
        builds on the one before, so they are made in order.
        """
        for generation in range(last + 1):
            self.get_parent_population(study, generation)
