"""The pictures of training: the curves of one run, and networks beside each other."""

from typing import TYPE_CHECKING, Any

from repvit_nas.report.pictures import png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repvit_nas.training.records import EpochRow


def curves_picture(rows: "Sequence[EpochRow]", title: str = "") -> bytes:
    """Return loss and accuracy against the epoch as a PNG."""
    figure = _figure((9, 3.6))
    left, right = figure.subplots(1, 2)
    epochs = [row.epoch for row in rows]
    left.plot(epochs, [row.train_loss for row in rows], marker=".", label="training, as augmented")
    left.plot(epochs, [row.loss for row in rows], marker=".", label="validation")
    left.set(xlabel="epoch", ylabel="loss")
    right.plot(epochs, [row.top1 for row in rows], marker=".", label="weights")
    averaged = [(row.epoch, row.ema_top1) for row in rows if row.ema_top1 is not None]
    if averaged:
        right.plot(*zip(*averaged, strict=True), marker=".", label="their average")
    right.set(xlabel="epoch", ylabel="top-1 on the validation images, %", title=title)
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    return png(figure)


def family_picture(points: "Mapping[str, Sequence[tuple[float, float]]]", x: str) -> bytes:
    """Return accuracy against cost as a PNG.

    Args:
        points: For each network cost and accuracy in percent of each of its trainings.
        x: What the cost is.
    """
    figure = _figure((6, 4.2))
    axes = figure.subplots()
    for name, trained in points.items():
        costs, accuracies = zip(*trained, strict=True)
        axes.scatter(costs, accuracies, label=name)
        mean = sum(accuracies) / len(accuracies)
        axes.annotate(name, (costs[0], mean), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.set(xlabel=x, ylabel="top-1 on the validation images, %")
    axes.margins(x=0.22)  # for the last network's name
    axes.grid(alpha=0.3)
    return png(figure)


def _figure(size: tuple[float, float]) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=110, layout="constrained")
