"""Letters as dots, as on a character display: what stands beside the axes of a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIZE = 2  # a dot is 2 × 2 pixels
WIDTH, HEIGHT = 6 * _SIZE, 8 * _SIZE
"""Pixels of a letter, with the space behind it."""

# Five columns of eight dots each, the lowest bit on top.
_LETTERS = "(),-./0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz?"
_DOTS = (
    "001c224100 0041221c00 0080703000 0808080808 0000606000 2010080402 3e5149453e 00427f4000 7249494946 2141494d33 "
    "1814127f10 2745454539 3c4a494931 4121110907 3649494936 464949291e 0036360000 7c1211127c 7f49494936 3e41414122 "
    "7f4141413e 7f49494941 7f09090901 3e41415173 7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f021c027f "
    "7f0408107f 3e4141413e 7f09090906 3e4151215e 7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f "
    "6314081463 0304780403 6159494d43 4040404040 2054547840 7f28444438 3844444428 384444287f 3854545418 00087e0902 "
    "18a4a49c78 7f08040478 00447d4000 2040403d00 7f10284400 00417f4000 7c04780478 7c08040478 3844444438 fc18242418 "
    "18242418fc 7c08040408 4854545424 04043f4424 3c4040207c 1c2040201c 3c4030403c 4428102844 4c9090907c 4464544c44 "
    "0201590906 "
)
_COLUMNS = dict(zip(_LETTERS, map(bytes.fromhex, _DOTS.split()), strict=True)) | {" ": bytes(5)}


def write(canvas: NDArray[np.uint8], text: str, left: int, top: int, colour: int) -> None:
    """Write on a canvas uint8 [height, width]; what does not fit is cut off, what is no letter of ours is a `?`."""
    for letter in text:
        columns = np.frombuffer(_COLUMNS.get(letter, _COLUMNS["?"]), np.uint8)
        dots = np.unpackbits(columns[None], axis=0, bitorder="little").astype(bool)  # [8, 5]
        place = canvas[top : top + HEIGHT, left : left + WIDTH - _SIZE]
        place[dots.repeat(_SIZE, axis=0).repeat(_SIZE, axis=1)[: place.shape[0], : place.shape[1]]] = colour
        left += WIDTH
