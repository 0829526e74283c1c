"""Layer 1: the C kernels. Importing this package compares the C side's constants with Python's.

Road: **here** → everything that touches packets. Never imports Numba.
"""

from typing import Any

from fastmix.kernels import _native
from fastmix.packet import geometry
from fastmix.packet.verdict import Verdict


def _python_constants() -> dict[str, Any]:
    """Python's side, under the names that `_native.constants()` uses."""
    sizes = {name: value for name, value in vars(geometry).items() if name.isupper() and isinstance(value, int)}
    for each in geometry.GEOMETRIES.values():
        sizes[f"{each.name.upper()}_DATA_SIZE"] = each.data_size
        sizes[f"{each.name.upper()}_PACKET_SIZE"] = each.packet_size
    verdicts = tuple(verdict.name for verdict in sorted(Verdict))
    return sizes | {"VERDICTS": verdicts, "ACTIONS": {action.name: int(action) for action in geometry.Action}}


def compare_constants(native: dict[str, Any], python: dict[str, Any]) -> None:
    """Raises `ImportError` with the first name, in order, on which C and Python differ."""
    for name in sorted(native.keys() | python.keys()):
        in_c, in_python = native.get(name, "nothing"), python.get(name, "nothing")
        if in_c != in_python:
            raise ImportError(
                f"C and Python disagree on {name}: ext/include says {in_c}, fastmix/packet says {in_python}; "
                "rebuild with `python setup.py build_clib build_ext --inplace`, or reinstall fastmix"
            )


compare_constants(_native.constants(), _python_constants())
