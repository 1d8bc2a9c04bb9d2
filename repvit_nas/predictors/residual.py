"""What a physical model leaves of measured units: a Gaussian process over their features.

The logarithm of measured over modelled cost is a Gaussian process. Each member of the ensemble gets
one function drawn from its posterior (Matheron's rule: a draw from the prior, in random Fourier
features, corrected at the measured units). So a member stays a plain function of a unit, members
agree where units were timed, and away from them they spread to what the prior allows.

Fitting the kernel needs scikit-learn; evaluating needs numpy alone.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from repvit_nas.predictors.features import NAMES
from repvit_nas.quantities import Deviation, Factor
from repvit_nas.shapes import Floats

# Random Fourier features of a draw from the prior.
_FREQUENCIES: Final = 512
# The kernel's parameters are fitted on at most this many units; the posterior uses them all.
_KERNEL_UNITS: Final = 400
# Units are evaluated in batches, so that a whole space fits in memory.
_BATCH: Final = 4096
# A Matern kernel of smoothness 5/2 has frequencies of a Student distribution with 5 degrees.
_DEGREES: Final = 5


class Kernel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Matern 5/2 kernel.

    Attributes:
        features: Names of the features, in the order of `lengths`.
        deviation: Standard deviation of the logarithm of a cost around the physical model.
        lengths: How far each feature has to change for the residual to become another.
        noise: Standard deviation of what no smooth function of the features explains.
    """

    features: tuple[str, ...]
    deviation: Deviation
    lengths: tuple[Factor, ...]
    noise: Deviation

    def __post_init__(self) -> None:
        """Check that the features are those this version computes."""
        if self.features != NAMES or len(self.lengths) != len(NAMES):
            raise ValueError(f"features must be {', '.join(NAMES)}; got {', '.join(self.features)}")


# Before anything was measured: a residual of 30 %, smooth over about two octaves.
PRIOR_KERNEL: Final = Kernel(
    NAMES, 0.3, tuple(2.0 if name in ("channels", "inner", "size") else 3.0 for name in NAMES), 0.02
)
# What leaves everything that was not timed as the physical model has it.
NO_KERNEL: Final = msgspec.structs.replace(PRIOR_KERNEL, deviation=0.0)


class Residual(NamedTuple):
    """Posterior draws, one for each member of the ensemble.

    Attributes:
        kernel: The kernel.
        inputs: Scaled features of the measured units, `(n, d)`.
        update: Their weights in each draw, `(n, members)`.
        frequencies: Of the Fourier features, `(f, d)`.
        phases: Of the Fourier features, `(f,)`.
        amplitudes: Of each prior draw, `(f, members)`.
    """

    kernel: Kernel
    inputs: Floats
    update: Floats
    frequencies: Floats
    phases: Floats
    amplitudes: Floats

    def evaluate(self, features: Floats, batch: int = _BATCH) -> Floats:
        """Return the logarithm of each member's correction, `(n, members)`.

        Args:
            features: Of units, from :func:`~repvit_nas.predictors.features.unit_features`.
            batch: How many are evaluated at once.
        """
        batches = [
            self._evaluate(features[start : start + batch])
            for start in range(0, len(features), batch)
        ]
        return np.concatenate(batches) if batches else np.zeros((0, self.update.shape[1]))

    def _evaluate(self, features: Floats) -> Floats:
        scaled = features / np.array(self.kernel.lengths)
        prior = self._prior(scaled)
        return np.asarray(prior + covariance(self.kernel, scaled, self.inputs) @ self.update)

    def _prior(self, scaled: Floats) -> Floats:
        waves = np.cos(scaled @ self.frequencies.T + self.phases)
        return np.asarray(waves @ self.amplitudes)


def covariance(kernel: Kernel, one: Floats, other: Floats) -> Floats:
    """Return the kernel between scaled features, `(n, m)`."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :]
    distance = np.sqrt(_DEGREES * np.maximum(squares - 2 * one @ other.T, 0.0))
    smooth = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return np.asarray(kernel.deviation**2 * smooth)


def fit_kernel(features: Floats, log_ratio: Floats, noise: Floats, *, seed: int = 0) -> Kernel:
    """Fit the kernel by marginal likelihood.

    Args:
        features: Of the measured units, `(n, d)`.
        log_ratio: Logarithm of measured over modelled cost, `(n,)`.
        noise: Relative standard deviation of each measurement, `(n,)`.
        seed: Of the choice of units where there are many.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(features))[:_KERNEL_UNITS])
    start = PRIOR_KERNEL
    shape = ConstantKernel(start.deviation**2, (1e-5, 4.0)) * Matern(
        np.array(start.lengths), (0.3, 30.0), nu=_DEGREES / 2
    )
    model = GaussianProcessRegressor(
        shape + WhiteKernel(start.noise**2, (1e-8, 0.1)),
        alpha=noise[rows] ** 2,
        optimizer="fmin_l_bfgs_b",
    )
    with warnings.catch_warnings():
        # A feature that does not matter runs to the end of its range, which is as it should be.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[rows], log_ratio[rows])
    fitted = model.kernel_
    return Kernel(
        NAMES,
        float(np.sqrt(fitted.k1.k1.constant_value)),
        tuple(float(length) for length in fitted.k1.k2.length_scale),
        float(np.sqrt(fitted.k2.noise_level)),
    )


def fit_residual(
    kernel: Kernel,
    features: Floats,
    log_ratio: Floats,
    noise: Floats,
    *,
    offsets: Sequence[tuple[Floats, float]] = (),
    seed: int = 0,
) -> tuple[Residual, Floats]:
    """Draw one function from the posterior for each member, and by how much measurements are off.

    Args:
        kernel: The kernel.
        features: Of the measured units, `(n, d)`.
        log_ratio: Logarithm of measured cost over what each member says, `(n, members)`.
        noise: Relative standard deviation of each measurement, `(n,)`.
        offsets: For each group of measurements that may be off in common, 1 where one belongs to
            it and 0 elsewhere, `(n,)`, and the relative standard deviation of that.
        seed: Of the draws.

    Returns:
        The draws, and what of `log_ratio` is the common error of a group, `(n, members)`. Groups
        are told apart by what they say of like units; without a kernel they are not.
    """
    rng = np.random.default_rng(seed)
    lengths = np.array(kernel.lengths)
    scaled = features / lengths
    members = log_ratio.shape[1]
    frequencies = rng.standard_normal((_FREQUENCIES, len(lengths))) / np.sqrt(
        rng.chisquare(_DEGREES, (_FREQUENCIES, 1)) / _DEGREES
    )
    phases = rng.uniform(0, 2 * np.pi, _FREQUENCIES)
    amplitudes = (
        kernel.deviation * np.sqrt(2 / _FREQUENCIES) * rng.standard_normal((_FREQUENCIES, members))
    )
    draws = Residual(
        kernel, scaled, np.zeros((len(features), members)), frequencies, phases, amplitudes
    )
    error = np.sqrt(noise**2 + kernel.noise**2)
    shared = np.zeros((len(features), len(features)))
    common = np.zeros((len(features), members))
    for inside, deviation in offsets:
        shared += deviation**2 * np.outer(inside, inside)
        drawn = rng.standard_normal((1, members))
        # Centred, so that the members' mean is what was measured.
        common += deviation * np.outer(inside, drawn - drawn.mean())
    total = covariance(kernel, scaled, scaled) + np.diag(error**2) + shared
    noisy = draws._prior(scaled) + error[:, None] * rng.standard_normal((len(features), members))  # noqa: SLF001
    update = np.asarray(np.linalg.solve(total, log_ratio - noisy - common))
    if kernel.deviation:
        common += shared @ update
    return draws._replace(update=update), common


def leave_one_out(kernel: Kernel, features: Floats, log_ratio: Floats, noise: Floats) -> Floats:
    """Return by how much each unit's logarithm misses the prediction of all others, `(n,)`."""
    scaled = features / np.array(kernel.lengths)
    total = covariance(kernel, scaled, scaled) + np.diag(noise**2 + kernel.noise**2)
    inverse = np.linalg.inv(total)
    return np.asarray((inverse @ log_ratio) / np.diag(inverse))
