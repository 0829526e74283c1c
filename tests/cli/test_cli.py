"""The command as a user meets it: a process, its output, its exit code."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import fastmix_command
import pytest
from cyclopts import App

from fastmix.cli.app import app
from fastmix.cli.drill import figure_text
from fastmix.network import Network, NetworkClient, NetworkLink, Node
from fastmix.packet.geometry import WAN
from fastmix.packet.verdict import Verdict
from fastmix.reference.x25519 import x25519

PEER = bytes(range(32))


def commands_of(group: App, words: tuple[str, ...] = ()) -> list[list[str]]:
    """The group and all commands in it."""
    inner = [commands_of(group[name], (*words, name)) for name in group if not name.startswith("-")]
    return [list(words), *(command for commands in inner for command in commands)]


COMMANDS = commands_of(app)
HEAVY = ("numba", "numpy", "pydantic", "cryptography")


def fastmix(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return fastmix_command.fastmix(*args, cwd=cwd, COLUMNS="100", NO_COLOR="1")


def refused(*args: str | Path, cwd: Path | None = None) -> str:
    """The one message of a command that must end with code 2."""
    done = fastmix(*args, cwd=cwd)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("fastmix: ")
    return done.stderr


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The configuration of node 0 in a network of three, with its secrets."""
    made = fastmix("keys", "new", "--json", "0", "1", "2", "l01", "l12", "lc2", cwd=tmp_path)
    publics = {name: bytes.fromhex(public) for name, public in json.loads(made.stdout).items()}
    nodes = tuple(Node(n, n + 1, ("127.0.0.1", 9000 + n), publics[str(n)]) for n in range(3))
    links = (NetworkLink(0, 1, "l01"), NetworkLink(1, 2, "l12"), NetworkLink(PEER, 2, "lc2"))
    (tmp_path / "network.toml").write_text(Network(WAN, 50_000_000, 1, nodes, (NetworkClient(PEER, PEER, 2),), links).dumps())
    config = tmp_path / "node.toml"
    config.write_text('number = 0\nnetwork = "network.toml"\nsecret_file = "0"\nstate_dir = "state"\n')
    return config


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_everywhere(command: list[str]) -> None:
    done = fastmix(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: fastmix" + "".join(f" {name}" for name in command))
    assert "Exit codes" in done.stdout
    usage = done.stdout.splitlines()[0]
    assert "ARGS" not in usage
    arguments = re.findall(r"│ [ *] *([A-Z]+)  ", done.stdout) if "─ Arguments" in done.stdout else []
    capitals = [word.strip("[]") for word in usage.split() if word.strip("[]").isupper()]
    assert capitals[len(capitals) - len(arguments) :] == arguments


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("node", ["--geometry", "--workers", "--io", "--profile", "--traffic", "--json", "--html", "--quick"]),
        ("latency", ["--geometry", "--workers", "--io", "--profile", "--traffic", "--json", "--html", "--quick"]),
        ("memory", ["--geometry", "--workers", "--io", "--profile", "--json", "--html"]),
        ("table", ["--json", "--html", "--quick"]),
        ("kernels", ["--isa", "--json", "--html", "--quick"]),
    ],
)
def test_options_that_commands_share_are_documented_in_each(command: str, options: list[str]) -> None:
    rows = [line.strip("│ ").split() for line in fastmix("bench", command, "--help").stdout.splitlines()]
    documented = {row[0]: row[1:] for row in rows if row and row[0].startswith("--")}
    assert list(documented) == options
    assert all(len(words) >= 4 for words in documented.values())


def test_no_arguments_show_the_commands() -> None:
    done = fastmix()
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("demo", "run", "keys", "network", "explain", "completion", "--version"))


def test_version() -> None:
    done = fastmix("--version")
    assert (done.returncode, done.stdout[:8]) == (0, "fastmix ")


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["demo", "--help"], ["run", "--help"], ["explain", "mac"], ["network", "check", "x"]]
)
def test_light_commands_import_nothing_heavy(args: list[str]) -> None:
    code = f"import sys; from fastmix.cli.main import main; main({args!r}); print([n for n in {HEAVY!r} if n in sys.modules])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["rnu"], ['Unknown command "rnu"', 'Did you mean "run"?', "fastmix --help"]),
        (["demo", "--mesages", "3"], ["--mesages", "Did you mean --messages?", "Try: fastmix demo --help"]),
        (["demo", "--messages", "0"], ["--messages", ">= 1"]),
        (["demo", "--messages", "many"], ["--messages", "many"]),
        (["demo", "--geometry", "lan"], ["--geometry", "lan", "wan"]),
        (["demo", "--strategy", "posson"], ["strategy: 'posson'", "did you mean 'poisson'?"]),
        (["demo", "--seed", "-1"], ["--seed"]),
        (["demo", "--file", "/nonexistent/x"], ["/nonexistent/x: there is no such file"]),
        (["run", "/nonexistent.toml"], ["/nonexistent.toml: cannot read the file: No such file"]),
        (["network", "check", "/"], ["/: cannot read the file: Is a directory"]),
        (["keys", "show", "/dev/null"], ["/dev/null: the secret file is not a regular file"]),
        (["keys", "new", "/nonexistent/x"], ["/nonexistent/x: cannot write the secret file: No such file"]),
        (["explain"], ["--all"]),
        (["explain", "drop_mca"], ["'drop_mca' is not a verdict: did you mean 'drop_mac'?"]),
        (["completion", "tcsh"], ["tcsh", "bash"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_one_message(args: list[str], words: list[str]) -> None:
    message = refused(*args)
    for word in words:
        assert word in message
    assert message.count("\n") == 1


def test_keys(tmp_path: Path) -> None:
    made = fastmix("keys", "new", "a", "b", cwd=tmp_path)
    assert made.returncode == 0
    assert fastmix("keys", "show", "a", "b", cwd=tmp_path).stdout == made.stdout
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"] == [0o600, 0o600]
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    assert "exists already" in refused("keys", "new", "a", cwd=tmp_path)
    (tmp_path / "a").chmod(0o644)
    assert "chmod 600 a" in refused("keys", "show", "a", cwd=tmp_path)


def test_public_key_is_that_of_the_reference(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(32)))
    secret.chmod(0o600)
    assert fastmix("keys", "show", secret).stdout.split()[0] == x25519(bytes(range(32)), (9).to_bytes(32, "little")).hex()


def test_network_check(node: Path) -> None:
    path = node.parent / "network.toml"
    done = fastmix("network", "check", path)
    assert done.returncode == 0
    assert "good. 3 nodes, 1 clients, 3 links, 1 routes; geometry wan, mean delay 50 ms" in done.stdout
    found = json.loads(fastmix("network", "check", "--json", "--secrets-of", "1", path).stdout)
    assert found["nodes"][1] == {"number": 1, "layer": 2, "address": "127.0.0.1:9001", "links": 2}
    assert fastmix("network", "check", "--secrets-of", PEER.hex(), path).returncode == 0
    assert "has no node 9" in refused("network", "check", "--secrets-of", "9", path)
    assert "neither a node's number nor a peer id" in refused("network", "check", "--secrets-of", "x", path)
    (node.parent / "l12").write_bytes(b"short")
    told = "l12: the secret file has 5 bytes, not 32 raw bytes: get it again, or make a new one with `fastmix keys new`"
    assert told in refused("network", "check", "--secrets-of", "1", path)
    assert f"{path}: it names no state_dir: name the node's configuration file" in refused("keys", "list", path)
    path.write_text(path.read_text().replace("layer = 2", "layer = 7"))
    assert f"{path}:13: node[1].layer: 7 is not a layer" in refused("network", "check", path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1000, "1,000"), ({}, "none"), ({"drop_mac": 1200, "drop_replay": 1}, "drop_mac 1,200, drop_replay 1")],
)
def test_figures_of_drills_are_for_people(value: object, text: str) -> None:
    assert figure_text(value) == text


def test_run_checks_all_files_first(node: Path) -> None:
    assert fastmix("run", "--check", node).stdout.startswith(f"{node}: good. Node 0")
    text = node.read_text()
    for old, new, words in (
        ("number = 0", "number = 8", "has no node 8: its nodes are 0, 1, 2"),
        ('"0"', '"1"', "is not that of node 0: its public key is"),
        ('"0"', '"none"', "none: cannot read the secret file: No such file"),
        ('"network.toml"', '"net.toml"', "net.toml: cannot read the file: No such file"),
        ("number = 0", "number = 0\ncores = [99999]", "cores: CPU 99999 is not one that this process may use: choose from"),
        ("number", "numbr", f"{node}:1: numbr: is not a known key: did you mean 'number'?"),
    ):
        node.write_text(text.replace(old, new))
        assert words in refused("run", "--check", node)
    node.write_text(text + '[mixing]\nstrategy = "priority"\n[[mixing.classes]]\n[[mixing.classes]]\n')
    assert "mixing.classes has 2 entries, but the network has 1 classes" in refused("run", "--check", node)


def test_explain_knows_every_verdict() -> None:
    done = fastmix("explain", "--all", "--json")
    assert [one["verdict"] for one in json.loads(done.stdout)] == [verdict.label for verdict in Verdict]
    for name in ("drop_mac", "DROP_MAC", "mac", str(int(Verdict.DROP_MAC))):
        assert fastmix("explain", name).stdout.startswith("drop_mac  The header's MAC is wrong")
    assert fastmix("explain", "ok").stdout.startswith("ok  ")


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -F"), ("zsh", "#compdef fastmix"), ("fish", "complete -c fastmix")]
)
def test_completion_scripts(shell: str, word: str) -> None:
    done = fastmix("completion", shell)
    assert done.returncode == 0
    assert word in done.stdout
    assert all(name in done.stdout for name in ("demo", "--messages", "explain"))


def test_bash_can_read_its_completion_script() -> None:
    script = fastmix("completion", "bash").stdout + "\nCOMP_WORDS=(fastmix de); COMP_CWORD=1; _fastmix; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["demo"]


def test_closed_pipe_is_no_error() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "fastmix", "completion", "bash"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "words", ["tune list --json", "explain drop_mac", "--help", "--version", "run none.toml", "status .", ""]
)
def test_a_closed_output_is_one_message(words: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for closed, told in ((">&-", "fastmix: the standard output is closed: open it, or send it to /dev/null\n"), (">&- 2>&-", "")):
        script = f"{sys.executable} -m fastmix {words} {closed}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_closed_input_and_complaints_do_no_harm() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        script = f"{sys.executable} -m fastmix explain drop_mac {closed}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
        assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "drop_mac", "")
    script = f"{sys.executable} -m fastmix explain drop_mca 2>&-"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")


def test_ctrl_c_is_a_clean_end(tmp_path: Path) -> None:
    """A command that waits (for a pipe that nobody writes) ends with 130 and says nothing."""
    os.mkfifo(tmp_path / "waits")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "fastmix", "network", "check", str(tmp_path / "waits")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        fd = os.open(tmp_path / "waits", os.O_WRONLY)  # returns once the command has opened its end, and so waits
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        os.close(fd)
    assert (process.returncode, out, err) == (130, b"", b"")
