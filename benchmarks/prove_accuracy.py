"""Does measure-accuracy find accurate networks? A proof on CIFAR-10 that anyone can repeat.

    python benchmarks/prove_accuracy.py IMAGES --out WORK benchmark campaign finals report

IMAGES is a folder with `train/` and `val/` (a folder of images for each class), or one with zip files
that unpack to such folders. Steps, of which each goes on where it was stopped, after days as well:

benchmark   random networks of a latency band and references, the whole recipe, two seeds
campaign    measure-accuracy in the same band: short trainings, none of them of a benchmark network
finals      a search by what was learned, its winner and references by the whole recipe, three seeds
report      prints everything, and writes the benchmark file and the picture into results/

The first seed of every network comes before the second of any, so whatever is finished is of use. The
band is one of predicted milliseconds of `--device`: cpu-epyc is shipped, and stands in for a table of
one's own (`repvit-nas measure-lut --device cpu --space cifar`, on a quiet machine, then `--device cpu`).
"""

import argparse
import os
import statistics
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.accuracy import trained
from repvit_nas.accuracy.held_out import (
    ESTIMATOR,
    LATENCY,
    AccuracyValidation,
    Truth,
    truth_of,
    validate,
)
from repvit_nas.accuracy.observations import (
    AccuracyObservation,
    Circumstances,
    binomial_sd,
    nameless,
)
from repvit_nas.architecture import SE_PATTERNS, Architecture, Stage, se_bits
from repvit_nas.campaign.band import Band
from repvit_nas.campaign.board import CampaignLimits
from repvit_nas.campaign.finals import FINALS_FILE, Finals, FinalsWishes, hold_finals, sentence
from repvit_nas.campaign.images import data_digest
from repvit_nas.campaign.opening import open_campaign
from repvit_nas.campaign.planning import HELD_OUT_STREAM
from repvit_nas.campaign.records import CampaignAsked
from repvit_nas.campaign.run import run_campaign
from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report.accuracy import (
    coverage_text,
    finals_table,
    validation_table,
)
from repvit_nas.report.pictures import png
from repvit_nas.report.tables import markdown
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import load_space
from repvit_nas.shapes import Floats
from repvit_nas.training.data import Opened, open_data
from repvit_nas.training.kept import kept
from repvit_nas.training.recipe import Recipe, load_recipe
from repvit_nas.training.records import Asked, TrainFile, is_training_run, read_training
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec

RESULTS: Final = Path(__file__).parents[1] / "results" / "accuracy-cifar"
BENCHMARK_FILE: Final = "benchmark.json"
NAME: Final = "cifar"
SPACE: Final = "cifar"
# Drawn at once whatever is asked for, so that asking for more keeps those that there are.
DRAWN: Final = 32
# The family by a third: widths to the nearest multiple of 8, depths to the nearest, at least 1.
FACTOR: Final = 3
FIRST: Final = ("third_m1_0", "third_m0_9")
STEPS: Final = ("benchmark", "campaign", "finals", "report")


class Trained(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One training: seed, percent right, cross-entropy, and seconds on the machine it was made on."""

    seed: int
    top1: float
    loss: float
    seconds: float


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network of the benchmark with what it costs and what its trainings reached."""

    architecture: Architecture
    reference: bool
    latency_ms: float
    macs: int
    params: int
    trainings: tuple[Trained, ...]


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The benchmark file: everything needed to test an estimator on it (schema 1).

    Attributes:
        about: What it is, in a sentence.
        data_digest: Of the images.
        train_images: How many there are to learn from.
        val_images: How many accuracies and losses are taken on.
        recipe: By which all were trained.
        device: Whose latencies are predicted.
        band_ms: The latency band.
        machine: What trained them.
        networks: References, then the random networks of the band.
    """

    schema: int = 1
    about: str
    data_digest: str
    train_images: int
    val_images: int
    recipe: Recipe
    device: str
    band_ms: tuple[float, float]
    machine: dict[str, str]
    networks: tuple[Network, ...]


class Proof:
    """What the steps share."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.work = Path(given.out).resolve()
        self.images = unpacked(Path(given.images).resolve(), self.work)
        self.spec = DataSpec(name=str(self.images))
        self.recipe = load_recipe("small", {"epochs": given.epochs})
        self.opened: Opened = kept(open_data(self.spec))
        self.space, _ = load_space(SPACE)
        self.predictor, _ = load_predictor(given.device, foreign=True)
        self.band = Band(
            self.space,
            [self.predictor],
            {given.device: given.budget_ms},
            given.band,
            resolution=self.space.file.resolution.default,
            num_classes=len(self.opened.classes),
        )
        rng = np.random.default_rng([0, HELD_OUT_STREAM])
        drawn = self.band.draw(DRAWN, rng)
        shapes = self.band.shapes(drawn.choices)
        self.networks = [shapes.architecture(row, f"random-{row:02d}") for row in range(DRAWN)]
        self.references = [scaled(each) for each in family() if not family()[each].legacy]

    def run_of(self, network: Architecture, seed: int) -> Path:
        """Return the folder of a training by the whole recipe."""
        return self.work / "runs" / f"{network.name}-seed-{seed}"

    def order(self) -> list[tuple[Architecture, int]]:
        """Return the trainings, those first without which the others are of no use."""
        by_name = {each.name: each for each in self.references}
        first = [by_name[name] for name in FIRST]
        others = [each for each in self.references if each.name not in FIRST]
        random = self.networks[: self.given.networks]
        found = []
        for seed in range(self.given.seeds):
            found += [(each, seed) for each in [*first, *random]]
            found += [(each, seed) for each in others if seed == 0 and self.given.all_references]
        return found

    def train(self, network: Architecture, seed: int) -> TrainFile:
        """Train a network by the whole recipe, or go on with it."""
        folder = self.run_of(network, seed)
        asked = Asked(architecture=network, recipe=self.recipe, data=self.spec, seed=seed)
        return train(asked, folder, opened=self.opened, resume=is_training_run(folder))

    def finished(self, network: Architecture) -> dict[int, TrainFile]:
        """Return the finished trainings of a network by seed."""
        found = {}
        for seed in range(20):
            folder = self.run_of(network, seed)
            if is_training_run(folder):
                record = read_training(folder)
                if record.outcome is not None and record.asked.recipe == self.recipe:
                    found[seed] = record
        return found


def unpacked(images: Path, work: Path) -> Path:
    """Return a folder with `train/` and `val/`, unpacking zip files where there is none."""
    if (images / "train").is_dir():
        return images
    zips = sorted(images.glob("*.zip"))
    if not zips:
        raise RepvitNasError(f"{images}: holds neither train/ and val/ nor zip files of them")
    target = work / "images"
    # The first shard to learn from, and the images to validate on.
    wanted = [*[each for each in zips if each.stem != "val"][:1], images / "val.zip"]
    for path in wanted:
        done = target / f".{path.stem}"
        if not done.exists():
            with zipfile.ZipFile(path) as file:
                file.extractall(target)
            done.touch()
    return target


def scaled(name: str) -> Architecture:
    """Return a reference by a third in width and depth."""
    reference = family()[name]
    stages = []
    for width, depth in zip(reference.width, reference.depth, strict=True):
        blocks = max(1, int(depth / FACTOR + 0.5))
        channels = max(8, int(width / FACTOR / 8 + 0.5) * 8)
        stages.append(
            Stage(width=channels, depth=blocks, se=se_bits(SE_PATTERNS["alternate"], blocks))
        )
    first, second, third, fourth = stages
    return Architecture(
        name=name.replace("repvit_", "third_"),
        resolution=32,
        num_classes=10,
        stages=(first, second, third, fourth),
    )


def benchmark(proof: Proof) -> None:
    """Train the networks of the benchmark, seed by seed."""
    order = proof.order()
    for number, (network, seed) in enumerate(order, start=1):
        known = proof.run_of(network, seed)
        new = not is_training_run(known) or read_training(known).outcome is None
        outcome = proof.train(network, seed).outcome
        if outcome is not None and new:
            print(
                f"{number} of {len(order)}: {network.name}, seed {seed}: top-1 {outcome.top1:.2f} %, "
                f"cross-entropy {outcome.loss:.4f}, {outcome.seconds:.0f} s",
                flush=True,
            )


def campaign(proof: Proof) -> None:
    """Run measure-accuracy in the band of the benchmark."""
    given = proof.given
    changes = {"epochs": given.proxy_epochs, "batch": proof.recipe.batch}
    by_name = {each.name: each for each in proof.references}
    asked = CampaignAsked(
        data=proof.spec,
        recipe=load_recipe("proxy", changes),
        recipe_name="proxy",
        space=SPACE,
        budgets_ms={given.device: given.budget_ms},
        band=given.band,
        references=tuple(by_name[name] for name in FIRST),
        held_out=0,
    )
    opened = open_campaign(NAME, asked, foreign=True, say=print)
    outcome = run_campaign(opened, CampaignLimits(networks=given.short), say=print)
    overhead = 1 - outcome.trained_s / outcome.seconds
    print(f"ended: {outcome.reason}; {overhead:.1%} of the time was not training", flush=True)


def searched(proof: Proof) -> Path:
    """Search by what was learned, under the budget; returns the run."""
    from repvit_nas.report.run_report import render
    from repvit_nas.searching.inputs import load_inputs
    from repvit_nas.searching.run import search
    from repvit_nas.searching.settings import Settings

    given = proof.given
    folder = proof.work / "results" / "search"
    reference = next(each for each in proof.references if each.name == FIRST[0])
    budget = proof.predictor.estimate(reference).latency_ms
    if not (folder / "front.json").is_file():
        settings = Settings(
            space=SPACE,
            budgets_ms={given.device: budget},
            accuracy=NAME,
            num_classes=len(proof.opened.classes),
        )
        search(settings, load_inputs(settings, foreign=True), folder, render)
    return folder


def finals(proof: Proof) -> None:
    """Train the winner of a search, and the references, by the whole recipe with three seeds."""
    run = searched(proof)
    by_name = {each.name: each for each in proof.references}
    wishes = FinalsWishes(
        data=proof.spec,
        recipe=proof.recipe,
        seeds=proof.given.final_seeds,
        winners=proof.given.winners,
        references=tuple(by_name[name] for name in FIRST),
    )
    # The references' runs are those of the benchmark.
    found = hold_finals(run, wishes, proof.work / "runs", foreign=True, say=print)
    files.write_json(run / FINALS_FILE, found)
    print(sentence(found))


def published(proof: Proof) -> Benchmark:
    """Put the finished trainings together as the benchmark file."""
    networks = []
    machine: dict[str, str] = {}
    for network in [*proof.references, *proof.networks]:
        records = proof.finished(network)
        if not records:
            continue
        priced = proof.band.price(proof.space.encode(network))
        machine = next(iter(records.values())).machine
        trainings = [
            Trained(
                seed=seed,
                top1=record.outcome.top1,
                loss=record.outcome.loss,
                seconds=record.outcome.seconds,
            )
            for seed, record in records.items()
            if record.outcome is not None
        ]
        networks.append(
            Network(
                architecture=network,
                reference=network in proof.references,
                latency_ms=round(float(priced.latency_ms[0, 0]), 5),
                macs=round(float(priced.macs[0])),
                params=round(float(priced.params[0])),
                trainings=tuple(trainings),
            )
        )
    given = proof.given
    return Benchmark(
        about=(
            f"Random networks of space {SPACE} in a latency band, and the family by a third, trained on "
            f"{len(proof.opened.train):,} images of CIFAR-10 for {proof.recipe.epochs} epochs"
        ),
        data_digest=data_digest(proof.spec, proof.opened),
        train_images=len(proof.opened.train),
        val_images=len(proof.opened.val),
        recipe=proof.recipe,
        device=given.device,
        band_ms=(given.budget_ms * (1 - given.band), given.budget_ms),
        machine=machine,
        networks=tuple(networks),
    )


def observations_of(found: Benchmark, networks: Sequence[Network]) -> list[AccuracyObservation]:
    """Return the trainings of a benchmark as observations that no fit has seen."""
    circumstances = Circumstances(
        data="CIFAR-10",
        data_digest=found.data_digest,
        recipe=f"small, {found.recipe.epochs} epochs",
    )
    return [
        AccuracyObservation(
            architecture=nameless(network.architecture),
            circumstances=circumstances,
            epochs=found.recipe.epochs,
            seed=each.seed,
            top1=each.top1,
            top1_sd=binomial_sd(each.top1, found.val_images),
            loss=each.loss,
            images=found.val_images,
            held_out=True,
            origin="published",
            source=BENCHMARK_FILE,
        )
        for network in networks
        for each in network.trainings
    ]


def compared(
    found: Benchmark, estimator: trained.TrainedEstimator
) -> tuple[Truth, AccuracyValidation]:
    """Compare an estimator with the random networks of a benchmark."""
    random = [network for network in found.networks if not network.reference]
    truth = truth_of(observations_of(found, random), None)
    latencies = {nameless(each.architecture): each.latency_ms for each in random}
    scores = {LATENCY: np.array([latencies[each] for each in truth.networks])}
    return truth, validate(estimator, truth, other_scores=scores, other_recipe=True)


def report(proof: Proof) -> None:
    """Print what was found, and write the benchmark file and the picture."""
    found = published(proof)
    RESULTS.mkdir(parents=True, exist_ok=True)
    files.write_bytes(RESULTS / BENCHMARK_FILE, files.encode_lines(found, "networks"))
    random = [network for network in found.networks if not network.reference]
    seeds = statistics.fmean(len(each.trainings) for each in random)
    said: list[str] = []
    said.append(
        f"{found.about}. {len(random)} random networks with {seeds:.1f} seeds each, between "
        f"{found.band_ms[0]:.3f} and {found.band_ms[1]:.3f} ms predicted on {found.device}.\n"
    )
    folder = proof.work / trained.FOLDER / NAME
    if (folder / trained.POSTERIOR_FILE).is_file():
        estimator = trained.read(folder)
        truth, validation = compared(found, estimator)
        said.append(
            f"The estimator has seen {estimator.file.observations} trainings of "
            f"{estimator.file.networks} other networks, {proof.given.proxy_epochs} epochs each.\n"
        )
        said += [
            markdown(validation_table(validation)),
            f"{coverage_text(validation)}\n",
            "![tau of each score](tau.png)\n",
        ]
        files.write_bytes(RESULTS / "tau.png", picture(truth, validation, estimator))
        files.write_json(RESULTS / "validation.json", validation)
    path = proof.work / "results" / "search" / FINALS_FILE
    if path.is_file():
        held = files.read_json(path, Finals)
        said += [markdown(finals_table(held)), sentence(held)]
        files.write_json(
            RESULTS / FINALS_FILE, msgspec.structs.replace(held, run="", data="CIFAR-10")
        )
    page = "\n".join(said)
    print(page)
    heading = "# Does measure-accuracy find accurate networks?\n\nPrinted by benchmarks/prove_accuracy.py.\n"
    files.write_bytes(RESULTS / "README.md", f"{heading}\n{page}\n".encode())


def picture(
    truth: Truth, validation: AccuracyValidation, estimator: trained.TrainedEstimator
) -> bytes:
    """Draw the tau of each score, and what was estimated against what was found."""
    from matplotlib.figure import Figure

    from repvit_nas.shapes import shapes_of

    figure = Figure(figsize=(10, 4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    names = list(validation.rankings)[::-1]
    taus = [validation.rankings[name] for name in names]
    colours = ["C0" if name == ESTIMATOR else "0.6" for name in names]
    left.barh(names, [each.tau for each in taus], color=colours)
    errors = [[each.tau - each.low for each in taus], [each.high - each.tau for each in taus]]
    left.errorbar(
        [each.tau for each in taus], names, xerr=errors, fmt="none", ecolor="0.2", capsize=3
    )
    left.axvline(0, color="0.2", linewidth=0.8)
    left.set(xlabel="Kendall's tau on networks that no fit saw, 90 % interval")
    estimate = estimator.estimate(shapes_of(truth.networks))
    moved = estimate.mean + (validation.level or 0.0)
    right.errorbar(
        moved, truth.points, xerr=1.645 * estimate.std, fmt="o", markersize=4, elinewidth=0.7
    )
    ends = _ends(moved, truth.points)
    right.plot(ends, ends, color="0.5", linewidth=0.8, linestyle="--")
    right.set(
        xlabel="estimated top-1 %, moved as a whole, 90 % interval",
        ylabel="found top-1 % (cross-entropy in points)",
    )
    for axes in (left, right):
        axes.grid(alpha=0.25)
    return png(figure)


def _ends(*values: Floats) -> list[float]:
    joined = np.concatenate(values)
    return [float(joined.min()), float(joined.max())]


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("images", help="folder with train/ and val/, or with zip files of them")
    parser.add_argument("steps", nargs="+", choices=STEPS)
    parser.add_argument("--out", default="proof", help="where trainings go")
    parser.add_argument("--device", default="cpu-epyc")
    parser.add_argument("--budget-ms", type=float, default=0.2)
    parser.add_argument("--band", type=float, default=0.1)
    parser.add_argument("--networks", type=int, default=24, choices=range(5, DRAWN + 1))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--short", type=int, default=24, help="networks that the campaign trains")
    parser.add_argument("--proxy-epochs", type=int, default=5)
    parser.add_argument("--winners", type=int, default=1)
    parser.add_argument("--final-seeds", type=int, default=3)
    parser.add_argument("--all-references", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Take the steps that are asked for, in order."""
    import torch

    given = parsed()
    torch.set_num_threads(given.threads)
    proof = Proof(given)
    os.chdir(proof.work)  # where predictors/accuracy/ is looked for
    steps: dict[str, Any] = {
        "benchmark": benchmark,
        "campaign": campaign,
        "finals": finals,
        "report": report,
    }
    for step in STEPS:
        if step in given.steps:
            steps[step](proof)


if __name__ == "__main__":
    main()
