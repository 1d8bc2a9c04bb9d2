"""Which device names are Core ML devices: `latency_lut/products.csv`."""

import functools
from typing import Final

import msgspec

from repvit_nas import data, files
from repvit_nas.errors import FileError, UnknownNameError

PRODUCTS_FILE: Final = "products.csv"
# The product type of the row that stands for whichever Mac is at hand.
ANY_MAC: Final = "Mac"


class Product(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Core ML device that can be measured.

    Attributes:
        device: Its name on the command line.
        title: The name people use.
        product_type: Apple's identifier of the model, such as `iPhone13,2`.
        chip: Its processor.
    """

    device: str
    title: str
    product_type: str
    chip: str

    @property
    def family(self) -> str:
        """What kind of device Apple's tools call it: iPhone, iPad, or a kind of Mac."""
        return self.product_type.rstrip("0123456789,")

    @property
    def is_mac(self) -> bool:
        """Whether it is a Mac, which times programs itself."""
        return "Mac" in self.family

    def is_called(self, model: str) -> bool:
        """Return whether a report's name of a model may mean this device."""
        if self.product_type == ANY_MAC:
            return "mac" in model.lower()
        return model in (self.title, self.product_type)


@functools.lru_cache(maxsize=1)
def products() -> dict[str, Product]:
    """Return the Core ML devices by name.

    Raises:
        FileError: The table is not valid, or names a device or product type twice.
    """
    path = data.find("latency_lut", PRODUCTS_FILE, "table of products").path
    rows = files.read_csv(path, Product)
    for field in ("device", "product_type"):
        values = [getattr(row, field) for row in rows]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise FileError(f"{path}: {field} must be there once; got twice {sorted(twice)}")
    return {row.device: row for row in rows}


def product(device: str) -> Product | None:
    """Return the Core ML device of that name; None if the name is none of one."""
    return products().get(device)


def known_product(device: str) -> Product:
    """Return the Core ML device of that name.

    Raises:
        UnknownNameError: The name is none of one; the message lists those there are.
    """
    found = product(device)
    if found is None:
        raise UnknownNameError.of("Core ML device", device, list(products()))
    return found


def product_of_type(product_type: str) -> Product | None:
    """Return the Core ML device of a product type, if it is in the table."""
    return next((row for row in products().values() if row.product_type == product_type), None)
