"""Searches the memory of running processes."""

import re
from collections.abc import Iterator
from pathlib import Path

LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r)(.)(.)(.) \S+ \S+ (\d+)\s*(.*)")
CHUNK = 16 << 20


def areas(pid: int) -> Iterator[tuple[int, int, str]]:
    """(begin, end, name) of all memory that is not just a file's own content: anonymous, shared, or writable."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = LINE.match(line)
        if found and found[8] not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
            own = found[4] == "w" or found[7] == "0" or found[8].startswith("/memfd:")
            if own:
                yield int(found[1], 16), int(found[2], 16), found[8]


def places_of(pid: int, needles: list[bytes]) -> dict[bytes, list[str]]:
    """For each needle the names of the areas that hold it."""
    places: dict[bytes, list[str]] = {needle: [] for needle in needles}
    overlap = max(map(len, needles)) - 1
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for begin, end, name in areas(pid):
            for at in range(begin, end, CHUNK):
                try:
                    memory.seek(at)
                    data = memory.read(min(CHUNK + overlap, end - at))
                except OSError:  # not backed by pages
                    break
                for needle in needles:
                    if needle in data:
                        places[needle].append(name)
    return places
