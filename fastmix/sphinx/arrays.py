"""Checks of what a caller hands in: the error names the argument, what was expected, and what came."""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Indices: TypeAlias = npt.NDArray[np.uint16]

_T = TypeVar("_T", np.uint8, np.uint16)
_SHORT = {"uint8": "u8", "uint16": "u16"}


def _spelled(dtype: npt.DTypeLike, shape: Sequence[int | str]) -> str:
    """`u8[n, 3, 32]`."""
    name = str(np.dtype(dtype))
    return f"{_SHORT.get(name, name)}[{', '.join(map(str, shape))}]"


def checked(name: str, value: Any, dtype: type[_T], *shape: int | str) -> npt.NDArray[_T]:
    """`value` as a C-contiguous array of `dtype` and `shape`, copied only if it is not one already.

    A string in `shape` stands for any length. Raises `TypeError` for another type or dtype, `ValueError` for another shape.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array {_spelled(dtype, shape)}, not {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{name} must be {_spelled(dtype, shape)}; it is {_spelled(value.dtype, value.shape)}")
    fits = len(value.shape) == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must be {_spelled(dtype, shape)}; it is {_spelled(dtype, value.shape)}")
    return np.ascontiguousarray(value)


def writable(name: str, value: Any, *shape: int) -> Bytes:
    """`value` if it is a C-contiguous u8 array of `shape` that can be written; else raises as `checked` does."""
    given = checked(name, value, np.uint8, *shape)
    if not (value.flags.writeable and value.flags.c_contiguous):
        raise ValueError(f"{name} is written to: it must be writable and C-contiguous")
    return given


def checked_key(name: str, value: Any) -> Bytes:
    """32 bytes, as bytes, bytearray, memoryview or u8[32]. The error never shows the value."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = np.frombuffer(value, np.uint8)
    return checked(name, value, np.uint8, 32)
