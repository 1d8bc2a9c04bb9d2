"""A trained network as a folder that timm loads: weights, and what they are weights of."""

from pathlib import Path
from typing import Any, Final

import msgspec
from torch import nn

from repvit_nas import files
from repvit_nas.architecture import Architecture
from repvit_nas.errors import FileError
from repvit_nas.training.checkpoint import write_tensors
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.records import WEIGHTS_FILE, MatchOutcome, TrainFile
from repvit_nas.words import markdown, number_of, printable

CONFIG_FILE: Final = "config.json"
CARD_FILE: Final = "README.md"


def write_timm_folder(
    folder: Path, model: nn.Module, recipe: Recipe, classes: tuple[str, ...]
) -> None:
    """Write the two files that `timm.create_model("local-dir:FOLDER")` and model hubs read.

    Args:
        folder: Where.
        model: The network, in training form, from :func:`repvit_nas.load`.
        recipe: How it was trained; says how images are prepared.
        classes: Names of its classes, by number.

    Raises:
        FileError: The folder cannot be written.
    """
    from timm.models._hub import save_config_for_hf

    known: Any = model
    size = known.architecture.resolution
    write_tensors(folder / WEIGHTS_FILE, model.state_dict())
    try:
        save_config_for_hf(
            model,
            str(folder / CONFIG_FILE),
            # A reference network comes with timm's own name; our entry is what knows `architecture`.
            model_config={
                "label_names": list(classes),
                "pretrained_cfg": {"architecture": "repvit_nas", "tag": None},
            },
            model_args={
                "architecture": msgspec.to_builtins(known.architecture),
                "distillation": known.head.distillation,
                "legacy": known.legacy,
                "branches": known.branches,
            },
            data_config={
                "input_size": (3, size, size),
                "interpolation": recipe.interpolation,
                "crop_pct": recipe.crop,
            },
        )
    except OSError as error:
        raise FileError(f"{folder / CONFIG_FILE}: cannot be written: {error.strerror}") from error


def write_card(folder: Path, record: TrainFile) -> None:
    """Write the page that model hubs show of a network, and that says how to load it.

    Args:
        folder: Where; its name is what the page tells to load.
        record: The finished run.

    Raises:
        FileError: The folder cannot be written.
    """
    asked, outcome = record.asked, record.outcome
    if record.matched is not None:
        files.write_bytes(folder / CARD_FILE, _encoder_card(folder, record, record.matched))
    if outcome is None:
        return
    name, side = markdown(asked.architecture.name or "network"), asked.architecture.resolution
    files.write_bytes(
        folder / CARD_FILE,
        f"""---
library_name: timm
pipeline_tag: image-classification
tags:
- image-classification
- timm
- repvit-nas
---
# {name}

A {"RepViT " if isinstance(asked.architecture, Architecture) else ""}network for {len(record.classes)} classes at {side} px, trained on {markdown(asked.data.name)} for
{number_of(asked.recipe.epochs, "epoch")}: top-1 {outcome.top1:.2f} % and top-5 {outcome.top5:.2f} % of
{outcome.val_images:,} validation images, measured. What it was asked, and with which versions:
`training.json`.

```python
import repvit_nas  # timm knows this network once both are imported
import timm

model = timm.create_model("local-dir:{printable(folder.name)}", pretrained=True)
```

    {printable(record.command)}
""".encode(),
    )


def _encoder_card(folder: Path, record: TrainFile, matched: MatchOutcome) -> bytes:
    """Return the page of a network that learned a teacher's map."""
    asked = record.asked
    name, side = markdown(asked.architecture.name or "network"), asked.architecture.resolution
    teacher = markdown("" if asked.matching is None else asked.matching.teacher)
    return f"""---
library_name: timm
tags:
- timm
- repvit-nas
---
# {name}

A RepViT encoder ({asked.architecture.output}) at {side} px that learned the map of {teacher} on {markdown(asked.data.name)}
for {number_of(asked.recipe.epochs, "epoch")}: mean squared error {matched.mse:.4g} and cosine similarity
{matched.cosine:.4f} on {matched.val_images:,} validation pictures, measured. What it was asked, and with which
versions: `training.json`.

```python
import repvit_nas

encoder = repvit_nas.load("{printable(folder.name)}")
```

    {printable(record.command)}
""".encode()
