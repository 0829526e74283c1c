"""Writes README's throughput table from a result of `fastmix bench table --json`.

`python -m fastmix.bench.readme bench/results/FILE.json [README.md]`
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from fastmix.bench.machine import short_name
from fastmix.bench.node_report import TABLE_HEAD, throughput_rows

SECTION = re.compile(r"(?<=<!-- written by `python -m fastmix\.bench\.readme ).*?(?=<!-- end -->)", re.DOTALL)
"""From the file's name in the first marker to the second marker."""
STRANGE = (json.JSONDecodeError, KeyError, TypeError, AttributeError)
"""What a file raises that is no result."""


def section_of(name: str, result: dict[str, Any]) -> str:
    """What stands between the markers: the file, the table, the machine."""
    lines = ["| " + " | ".join(TABLE_HEAD) + " |", "|---" + "|--:" * (len(TABLE_HEAD) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in throughput_rows(result)]
    rates = ", ".join(f"{rate:,} ({geometry})" for geometry, rate in result["baseline"].items() if rate)
    told = f"libsodium from C, one packet at a time, in the same run: {rates} unwraps a CPU-second." if rates else ""
    noisy = sum(bool(row["noise"]) for row in result["rows"])
    if "latency_is" in result:
        told += f" Latency is {result['latency_is']}."
    if noisy:
        told += f" \\* The machine was not quiet ({noisy} of {len(result['rows'])} rows); why, the result says."
    return f"{name}` -->\n" + "\n".join(lines) + f"\n\nMeasured on {short_name(result['machine'])}. {told}\n"


def named_file(readme: str) -> str | None:
    """The file from which the text's table was written; None where it has no such section."""
    found = SECTION.search(readme)
    return found[0].partition("`")[0] if found else None


def with_table(readme: str, name: str, result: dict[str, Any]) -> str:
    """The text with its section written anew; `ValueError` where it has none."""
    if not SECTION.search(readme):
        raise ValueError("there is no section `<!-- written by `python -m fastmix.bench.readme FILE` -->` to be written")
    return SECTION.sub(lambda _: section_of(name, result), readme)


def main(words: list[str]) -> int:
    """Exit code."""
    if not 1 <= len(words) <= 2:
        print("usage: python -m fastmix.bench.readme RESULT.json [README.md]", file=sys.stderr)
        return 2
    readme = Path(words[1] if len(words) > 1 else "README.md")
    try:
        result = json.loads(Path(words[0]).read_text())
        text = with_table(readme.read_text(), words[0], result)
        if result.get("quick"):
            raise ValueError("was measured with --quick: too unsure for a README")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"not a result of `fastmix bench table --json` ({error})" if isinstance(error, STRANGE) else error
        print(f"fastmix.bench.readme: {words[0]}: {problem}", file=sys.stderr)
        return 1
    readme.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
