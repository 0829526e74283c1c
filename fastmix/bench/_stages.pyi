"""Types of `_stages.pyx`."""

PRIMITIVES: tuple[str, ...]

def core_ghz() -> float: ...

class Stage:
    n: int
    repeats: int
    isa: str
    def sample(self) -> tuple[float, float]: ...
    def repeat(self, repeats: int) -> None: ...

class Primitive(Stage):
    def __init__(self, name: str, isa: str, n: int, size: int = 0) -> None: ...
