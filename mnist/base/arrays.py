"""The types of NumPy's arrays, as signatures name them."""

from typing import Any, Dict

from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Dict[str, Array]
