"""Which device names are Core ML devices."""

import pytest

from repvit_nas.coreml.products import known_product, product, product_of_type, products
from repvit_nas.errors import UnknownNameError


def test_products_resolve_by_name_and_type():
    assert product("iphone12").product_type == "iPhone13,2"
    assert product_of_type("iPhone14,5").device == "iphone13"
    assert product("ipad10").family == "iPad"
    assert product("cpu") is None
    assert {row.family for row in products().values() if not row.is_mac} == {"iPhone", "iPad"}
    assert product("mac").is_called("MacBook Pro (14-inch, 2021)")
    assert not product("mac").is_called("iPhone 12")
    assert not product("macbook-air-m2").is_called("Mac mini (2023)")
    assert len(products()) > 25


def test_a_name_of_no_product_lists_those_there_are():
    assert known_product("iphone12") is product("iphone12")
    with pytest.raises(
        UnknownNameError, match="Core ML device 'cpu' is not known; known: iphone11"
    ):
        known_product("cpu")
