"""Writes the measured figures of README.md and docs/performance.md from a directory of results of `fastmix bench`.

`python -m fastmix.bench.readme bench/results/MACHINE`
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmix.bench.bars import ALL
from fastmix.bench.figures import performance_text, table_text

SECTION = re.compile(r"(?<=<!-- written by `python -m fastmix\.bench\.readme ).*?(?=<!-- end -->)", re.DOTALL)
"""From the directory's name in the first marker to the second marker."""
Results = dict[str, dict[str, Any]]
WRITTEN: dict[str, tuple[tuple[str, ...], Callable[[Results], str]]] = {
    "README.md": (("table",), lambda results: table_text(results["table"])),
    "docs/performance.md": (ALL, performance_text),
}
"""The files with such a section: from which results (`NAME.json`), and what stands in it."""


def read_result(path: Path) -> dict[str, Any]:
    """What a bench said. `ValueError` where it is not what the file's name tells, or was measured with --quick."""
    bench = path.stem.partition("-")[0]
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        if result["bench"] != bench:
            raise ValueError("another bench")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a result of `fastmix bench {bench} --json` ({error})") from None
    if result.get("quick"):
        raise ValueError(f"{path}: was measured with --quick: too unsure to be published")
    return result


def section_of(name: str, directory: Path) -> str:
    """The section of one of the files. `ValueError` as `read_result`."""
    needed, text = WRITTEN[name]
    results = {need: read_result(directory / f"{need}.json") for need in needed}
    try:
        return text(results)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{directory}: {', '.join(needed)}: not results of this fastmix ({error!r})") from None


def named_directory(text: str) -> str | None:
    """The directory of results from which the text's section was written; None where it has no such section."""
    found = SECTION.search(text)
    return found[0].partition("`")[0] if found else None


def written(text: str, name: str, section: str) -> str:
    """The text with its section written anew; `ValueError` where it has none."""
    if not SECTION.search(text):
        raise ValueError("there is no section `<!-- written by `python -m fastmix.bench.readme DIRECTORY` -->` to be written")
    return SECTION.sub(lambda _: f"{name}` -->\n{section}", text)


def main(words: list[str]) -> int:
    """Exit code."""
    if len(words) != 1:
        print("usage: python -m fastmix.bench.readme DIRECTORY", file=sys.stderr)
        return 2
    directory = Path(words[0])
    try:
        missing = {
            name: [need for need in needed if not (directory / f"{need}.json").exists()] for name, (needed, _) in WRITTEN.items()
        }
        names = [name for name, needed in missing.items() if not needed]
        if not names:
            raise ValueError(f"{directory}: has no results: write `fastmix bench table --json > {directory}/table.json` first")
        texts = {name: written(Path(name).read_text(), words[0], section_of(name, directory)) for name in names}
    except (OSError, ValueError) as error:
        print(f"fastmix.bench.readme: {error}", file=sys.stderr)
        return 1
    for name, text in texts.items():
        Path(name).write_text(text)
    for name in set(WRITTEN) - set(texts):
        print(f"{name} was not written: {directory} has no result of {', '.join(missing[name])}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
