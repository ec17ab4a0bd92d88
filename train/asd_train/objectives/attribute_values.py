"""Attribute strings as numbers: where the domain-invariant latent puts each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ONE_NUMBER = re.compile(r"([^_]+)_(\d+(?:\.\d+)?)")


# Fujimura et al., DCASE 2023 report, section 4.2: numbers as they are, categories as integers.
def attribute_values(names: Sequence[str]) -> list[float]:
    """Return v of each attribute string.

    Numbers where every string is one item of the same name with a number (`vel_9`, `vel_10.5`); else the integers of
    the distinct strings in sorted order: several items together are one category.
    """
    items = [_ONE_NUMBER.fullmatch(name) for name in names]
    found = [item for item in items if item is not None]
    if len(found) == len(names) and len({item[1] for item in found}) == 1:
        return [float(item[2]) for item in found]
    order = sorted(set(names))
    return [float(order.index(name)) for name in names]
