"""README says what is so: its commands, its examples, its table of verdicts, its links.

`python tests/test_readme.py` writes the table of verdicts.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from places import written_plan

from fastmix.cli.keys import x25519_public
from fastmix.files.secret import write_secret
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


@pytest.fixture
def node_directory() -> Iterator[Path]:
    """A directory with what README's node needs: README's network file, the node's configuration and its secret."""
    with TemporaryDirectory(dir="/dev/shm") as name, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        path, secret = Path(name), os.urandom(32)
        free.bind(("127.0.0.1", 0))
        (network,) = blocks("toml")
        network = network.replace("192.0.2.10:9000", f"127.0.0.1:{free.getsockname()[1]}")
        free.close()
        network = network.replace(f"09{62 * '0'}", x25519_public(secret).hex())
        (path / "network.toml").write_text(network)
        write_secret(path / "node-0.secret", secret)
        config = 'number = 0\nnetwork = "network.toml"\nsecret_file = "node-0.secret"\nstate_dir = "state"\nallow_swap = true\n'
        (path / "node-0.toml").write_text(config)
        yield path


@pytest.fixture
def network_directory(tmp_path: Path) -> Iterator[Path]:
    """A directory with a network in `net`, three nodes of which run."""
    plan = written_plan(tmp_path / "net", clients=2, mean_delay_ns=10_000_000)
    nodes = []
    for node in plan.network.nodes:
        config = tmp_path / f"node-{node.number}.toml"
        files = f'network = "net/network.toml"\nsecret_file = "net/secrets/node-{node.number}"\n'
        config.write_text(f'number = {node.number}\n{files}state_dir = "state-{node.number}"\nallow_swap = true\n')
        command = [sys.executable, "-m", "fastmix", "run", str(config)]
        nodes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    assert all("ready" in (node.stdout.readline() if node.stdout else "") for node in nodes)
    yield tmp_path
    for running in nodes:
        running.terminate()
    assert [running.wait(60) for running in nodes] == [0, 0, 0]
    for running in nodes:
        running.communicate()


def test_the_example_of_two_clients_runs(network_directory: Path) -> None:
    (example,) = (each for each in blocks("python") if "Client" in each)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", example]
    done = subprocess.run(command, cwd=network_directory, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "b'A place where order is forgotten.'\n")


@pytest.mark.parametrize("example", [each for each in blocks("python") if "Client" not in each])
def test_examples_run(example: str, node_directory: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", example]
    done = subprocess.run(command, cwd=node_directory, env=environment, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if " INFO " not in line]  # a node says how it ended
    assert (done.returncode, said) == (0, [])


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
