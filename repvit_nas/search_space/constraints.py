"""Constraints of a space, written in its file: comparisons of arithmetic over the shape arrays.

`"width[0] <= width[1]"` becomes a function of :class:`~repvit_nas.shapes.Shapes` that returns how
far each network is from fulfilling it (0 or less where it does).
"""

import ast
import operator
from collections.abc import Callable
from typing import Final

import numpy as np

from repvit_nas.shapes import Floats, Shapes

# What a constraint may name, each indexed by stage.
NAMES: Final[dict[str, Callable[[Shapes], Floats]]] = {
    "width": lambda shapes: shapes.width.astype(np.float64),
    "depth": lambda shapes: shapes.depth.astype(np.float64),
    "expansion": lambda shapes: shapes.expansion,
    "kernel": lambda shapes: shapes.kernel.astype(np.float64),
    "se": lambda shapes: shapes.se_blocks.astype(np.float64),
}
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Floats, Floats], Floats]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Floats, Floats], Floats]]] = {
    ast.LtE: operator.sub,
    ast.GtE: lambda left, right: right - left,
    ast.Eq: lambda left, right: np.abs(left - right),
}
_LARGEST: Final = 1e9
_LONGEST: Final = 200
_RULE: Final = (
    "a constraint is one comparison (<=, >=, ==) of width[i], depth[i], expansion[i], kernel[i] "
    f"or se[i] with i from 0 to 3, numbers up to {_LARGEST:g}, + - * / and brackets, in at most "
    f"{_LONGEST} characters"
)

Violation = Callable[[Shapes], Floats]


def parse(text: str) -> Violation:
    """Return the violation `(n,)` of the constraint `text` as a function of shapes.

    Where its arithmetic has no result, as in a division by 0, the constraint is broken.

    Raises:
        ValueError: The text is not such a comparison.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"{_RULE}; got {len(text)} characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{_RULE}; got {text!r}") from error
    if not (isinstance(tree, ast.Compare) and len(tree.ops) == 1):
        raise ValueError(f"{_RULE}; got {text!r}")
    compare = _COMPARISONS.get(type(tree.ops[0]))
    if compare is None:
        raise ValueError(f"{_RULE}; got {text!r}")
    left, right = _term(tree.left, text), _term(tree.comparators[0], text)

    def violation(shapes: Shapes) -> Floats:
        with np.errstate(all="ignore"):
            distance = compare(left(shapes), right(shapes))
        return np.where(np.isfinite(distance), np.clip(distance, -_LARGEST, _LARGEST), _LARGEST)

    return violation


def _term(node: ast.expr, text: str) -> Violation:
    match node:
        case ast.Constant(value=int() | float() as value) if (
            not isinstance(value, bool) and value <= _LARGEST
        ):
            return lambda shapes: np.full(len(shapes.width), float(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _term(operand, text)
            return lambda shapes: -inner(shapes)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            combine = _ARITHMETIC[type(op)]
            first, second = _term(left, text), _term(right, text)
            return lambda shapes: combine(first(shapes), second(shapes))
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int() as stage)) if (
            name in NAMES and 0 <= stage < 4
        ):
            pick = NAMES[name]
            return lambda shapes: pick(shapes)[:, stage]
        case _:
            raise ValueError(f"{_RULE}; got {text!r}")
