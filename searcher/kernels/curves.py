"""What kernels and the market's memory call the parts of a curve in floats."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

AMOUNT_IN: Final = 0
AMOUNT_OUT: Final = 1
RESERVE_IN: Final = 2
RESERVE_OUT: Final = 3
COLUMNS: Final = 4

DEAD: Final = -math.inf
"""The rate of an edge that must not be used: no sum with it is positive."""
