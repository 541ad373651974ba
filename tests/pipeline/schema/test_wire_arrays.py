"""Arrays on the wire have the type of element that their field names."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.schema.wire_arrays import Float32Array, Uint8Array, to_array


@pytest.mark.parametrize(
    ("kind", "element"),
    [
        (Float32Array, np.float32),
        (Uint8Array, np.uint8),
        (NDArray[np.float32], np.float32),
        (np.ndarray[Any, np.dtype[np.float32]], np.float32),
        (np.ndarray[tuple[int], np.dtype[np.uint8]], np.uint8),
    ],
)
def test_the_element_decides_however_the_type_is_written(kind: Any, element: type) -> None:
    """Libraries write the type of an array in several ways, and none equals another."""
    read = to_array(kind, bytes(8))

    assert read.dtype == element
    assert read.nbytes == 8
