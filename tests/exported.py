"""The manifest of an export, without converting anything."""

from repvit_nas.coreml.exporting import Manifest, ProgramEntry, planned, roles
from repvit_nas.coreml.naming import program_name
from repvit_nas.measuring.campaign import Wishes

WISHES = Wishes(units=10, calibration=4, held_out=4, isolated=False, seed=0)


def entries(plan):
    """The manifest that an export of the plan has, without converting anything."""
    purpose = roles(plan)
    made = [
        ProgramEntry(
            name=program_name(item), key=key, role=purpose[key], digest="0", size_bytes=1,
            macs=item.macs, operations={}, rms=0.001,
        )
        for key, item in planned(plan).items()
    ]  # fmt: skip
    return Manifest(
        device="iphone12", product_type="iPhone13,2", target="iOS16", coremltools="9", torch="2",
        programs=tuple(made),
    )  # fmt: skip
