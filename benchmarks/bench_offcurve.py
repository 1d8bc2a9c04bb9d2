"""How well the accuracy estimator ranks networks off the curve, on Accel-NASBench.

Promise: of networks with the same MACs within 5 %, 24 shown and the others predicted, median Kendall tau
at least 0.70 and above share-weighted log MACs and parameters; 85 to 95 % inside the 90 % intervals.

python benchmarks/bench_offcurve.py [--rows FILE.csv.gz] [--draws 200] [--seed 0] [--json]
    [--picture FILE.png]
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from repvit_nas import files
from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.accuracy.offcurve import SHOWN, Ranked, rank_bands, read_trained
from repvit_nas.errors import RepvitNasError
from repvit_nas.report.pictures import png

EVIDENCE = Path(__file__).parents[1] / "search_space" / "accuracy_evidence.csv.gz"
TAU, COVERAGE = 0.70, (0.85, 0.95)


def document(ranked: list[Ranked]) -> dict[str, object]:
    """Return the medians over the bands, and every band."""

    def median(field: str) -> float:
        return round(float(np.median([getattr(band, field) for band in ranked])), 4)

    return {
        "tau": median("tau"),
        "tau_macs": median("tau_macs"),
        "tau_params": median("tau_params"),
        "tau_before": median("tau_before"),
        "coverage": round(float(np.mean([band.coverage for band in ranked])), 4),
        "error": median("error"),
        "bands": [band._asdict() for band in ranked],
    }


def draw(ranked: list[Ranked]) -> bytes:
    """Draw tau over the bands, for the estimator and for what costs nothing, as PNG."""
    from matplotlib.figure import Figure

    names = {
        "tau": f"estimator, {SHOWN} shown",
        "tau_before": "estimator, nothing shown",
        "tau_params": "parameters",
        "tau_macs": "share-weighted log MACs",
    }
    figure = Figure(figsize=(7, 2.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.boxplot(
        [[getattr(band, field) for band in ranked] for field in reversed(names)],
        orientation="horizontal",
        tick_labels=list(reversed(names.values())),
        whis=(10, 90),
        showfliers=False,
        widths=0.6,
    )
    axes.axvline(TAU, color="0.4", linestyle="--", linewidth=1)
    axes.set_xlabel(
        f"Kendall tau with the trainings, {len(ranked)} bands of equal MACs (10 to 90 %)"
    )
    axes.grid(alpha=0.25, axis="x")
    return png(figure)


def main() -> None:
    """Print the table, or one document of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rows", type=Path, default=EVIDENCE, help="other trainings, .csv or .csv.gz"
    )
    parser.add_argument("--draws", type=int, default=200, help="bands drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path, help="draw tau over the bands to this PNG")
    options = parser.parse_args()
    try:
        trained = read_trained(options.rows)
        ranked = rank_bands(trained, load_family_estimator().posterior, options.draws, options.seed)
    except RepvitNasError as error:
        sys.exit(f"error: {error}")
    if options.picture:
        files.write_bytes(options.picture, draw(ranked))
    found = document(ranked)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    low, high = np.percentile([band.tau for band in ranked], [10, 90])
    others = np.median([band.others for band in ranked])
    print(
        f"{len(trained.top1):,} networks; {len(ranked)} bands, {SHOWN} shown, {others:.0f} predicted"
    )
    print(
        f"tau, median over the bands    {found['tau']:.3f} ({low:.2f} to {high:.2f} in 8 of 10 bands)"
    )
    print(f"  with nothing shown          {found['tau_before']:.3f}")
    print(f"  share-weighted log MACs     {found['tau_macs']:.3f}")
    print(f"  parameters                  {found['tau_params']:.3f}")
    print(f"inside the 90 % interval      {found['coverage']:.1%}")
    print(f"root mean square error        {found['error']:.2f} points")
    kept = (
        float(str(found["tau"])) >= TAU
        and COVERAGE[0] <= float(str(found["coverage"])) <= COVERAGE[1]
    )
    print("promise kept" if kept else "promise not kept")


if __name__ == "__main__":
    main()
