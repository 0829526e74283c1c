"""README says what is so: its commands, its examples, its table of verdicts, its links.

`python tests/test_readme.py` writes the table of verdicts.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastmix.packet.verdict import Verdict

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TABLE = re.compile(r"(?<=tests/test_readme.py` -->\n).*?(?=<!-- end -->)", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def verdict_table() -> str:
    """All verdicts as a table."""
    rows = "".join(f"| {int(verdict)} | `{verdict.label}` | {verdict.sentence} |\n" for verdict in Verdict)
    return f"| | | |\n|---|---|---|\n{rows}"


def test_the_two_commands_are_the_first_sh_blocks_of_one_line_each() -> None:
    install, test = blocks("sh")[:2]
    assert install == "sh install.sh && .venv/bin/fastmix demo\n"
    assert re.fullmatch(r"\.venv/bin/python -m pytest.*\n", test)
    assert README.read_text().index(test) < README.read_text().index("\n## ")


@pytest.mark.parametrize("example", blocks("python"))
def test_examples_run(example: str) -> None:
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_network_file_is_one(tmp_path: Path) -> None:
    from fastmix.network import Network

    (example,) = blocks("toml")
    (tmp_path / "network.toml").write_text(example)
    assert len(Network.load(tmp_path / "network.toml").nodes) == 1


def test_the_commands_exist() -> None:
    from fastmix.cli.app import app

    named = re.findall(r"^\$ fastmix (\w+)", "".join(blocks("console")), re.MULTILINE)
    assert named
    assert set(named) <= set(app)


def test_the_table_of_verdicts_is_the_code() -> None:
    (table,) = TABLE.findall(README.read_text())
    assert table == verdict_table(), "run: python tests/test_readme.py"


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "SECURITY.md", "bench/README.md", "docs/wire-format.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#[^)\s]*)?\)", page.read_text())
    gone = [link for link in links if link and not (page.parent / link).exists()]
    assert not gone


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: verdict_table(), README.read_text()))
