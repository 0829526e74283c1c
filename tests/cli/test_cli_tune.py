"""`fastmix tune` and `fastmix doctor` as a user meets them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fastmix_command
import pytest

from fastmix.profile import load_profile, profile_names

NOT_ROOT = (
    "import os, sys, fastmix.cli.app, fastmix.cli.tune; from fastmix.cli.main import main; {}; sys.exit(main(sys.argv[1:]))"
)
DROP = "os.geteuid = lambda: 65534"  # to be it would lock it out of a checkout that only root may read


def fastmix(*words: object, code: str = "pass", **more: str) -> subprocess.CompletedProcess[str]:
    """The command; in a Python of its own where `code` comes before it, or the environment names kernels."""
    if code == "pass" and "FASTMIX_ISA" not in more:
        return fastmix_command.fastmix(*words, COLUMNS="100", **more)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "100"} | more
    command = [sys.executable, "-c", NOT_ROOT.format(code), *map(str, words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=60)


def test_list_and_show() -> None:
    assert json.loads(fastmix("tune", "list", "--json").stdout) == {name: load_profile(name).purpose for name in profile_names()}
    text = fastmix("tune", "show", "many-peers").stdout
    for words in (
        "many-peers: hundreds of links",
        "mixing.max_batch_size  4096",
        "net.core.rmem_max",
        "at least 16777216",
        "why",
    ):
        assert words in text
    shown = json.loads(fastmix("tune", "show", "many-peers", "--json").stdout)
    assert (shown["node"]["pool_slots"], len(shown["host"])) == (65536, len(load_profile("many-peers").host))


def test_check_names_cost_and_remedy(tmp_path: Path) -> None:
    wish = '[[host]]\nsetting = "{}"\nvalue = {}\nreason = "r"\ncost = "it costs 7"\n'
    path = tmp_path / "mine.toml"
    path.write_text('purpose = "p"\n' + wish.format("kernel.pid_max", 3) + wish.format("net.core.no_such_thing", 1))
    done = fastmix("tune", "check", path)
    assert done.returncode == 1
    rows = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert rows[0] == ["setting", "wanted", "found", "what the mismatch costs"]
    assert (rows[1][:2], rows[1][3]) == (["kernel.pid_max", "3"], "it costs 7")
    assert rows[2] == ["net.core.no_such_thing", "1", "not", "on this machine"]
    assert done.stdout.endswith(f"mine: 1 setting not as wanted. Root can set 1 of them: fastmix tune apply {path}\n")
    again = fastmix("tune", "check", path, "--interface", "lo")
    assert again.stdout.endswith(f"Root can set 1 of them: fastmix tune apply {path} --interface lo\n")
    path.write_text('purpose = "p"\n' + wish.format("net.core.no_such_thing", 1))
    matched = fastmix("tune", "check", path, "--json")
    assert (matched.returncode, json.loads(matched.stdout)["matches"]) == (0, True)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["tune", "check", "fast"], "pass", "'fast' is not a profile (known are low-latency, many-peers, multi-threaded"),
        (["tune", "check", "./none.toml"], "pass", "none.toml: cannot read the file: No such file or directory"),
        (["tune", "check", "--interface", "wlan99"], "pass", "--interface wlan99: there is none of that name here"),
        (
            ["tune", "apply", "optimized"],
            DROP,
            "only root can change settings of the host: use sudo, or see `fastmix tune check`",
        ),
        (["tune", "revert"], DROP, "only root can change settings of the host"),
        (["tune", "apply", "optimized", "--json"], "os.geteuid = lambda: 0", "--json asks nothing: add --yes"),
        (
            ["tune", "apply", "optimized", "--skip", "net.x"],
            "os.geteuid = lambda: 0",
            "--skip net.x: the profile optimized does not",
        ),
        (["tune", "auto", "--write", "mine"], "pass", "--write mine: name a file that ends in .toml"),
        (
            ["tune", "auto", "--write", "/nonexistent/x.toml"],
            "pass",
            "/nonexistent/x.toml: there is no directory /nonexistent: name a file in",
        ),
        (["doctor", "/nonexistent.toml"], "pass", "/nonexistent.toml: cannot read the file: No such file"),
        (["doctor", "--profile", "fast"], "pass", "'fast' is not a profile"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_one_message(words: list[str], code: str, told: str) -> None:
    done = fastmix(*words, code=code)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.startswith("fastmix: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_auto_writes_a_profile_that_a_node_takes(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    done = fastmix("tune", "auto", "--write", path, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["unwraps_per_s"][told["isa"]] == max(told["unwraps_per_s"].values())
    assert load_profile(path).node == load_profile(told["based_on"]).node | told["node"]
    assert "exists already: name a new file" in fastmix("tune", "auto", "--write", path).stderr


def test_doctor() -> None:
    done = fastmix("doctor", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == int(bool(told["warnings"]))
    assert told["unwraps_per_s"] > 500
    for name in (
        "CPU",
        "kernels",
        "cores",
        "core clock",
        "memory",
        "net.core.rmem_max",
        "clock.source",
        "limit.memlock",
        "capacity",
    ):
        assert told["facts"][name]
    assert all(one["problem"] and one["remedy"] for one in told["warnings"])


def test_doctor_names_kernels_that_are_held_back() -> None:
    done = fastmix("doctor", FASTMIX_ISA="portable")
    assert done.returncode == 1
    assert "kernels                      portable (" in done.stdout
    assert "! the kernels are portable, but" in done.stdout or "! only the portable kernels run here" in done.stdout


def test_kernels_that_there_are_not_are_named_in_one_sentence() -> None:
    done = fastmix("doctor", FASTMIX_ISA="mmx")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(
        "fastmix: environment variable FASTMIX_ISA: instruction set 'mmx' is not known: use one of portable"
    )


def test_doctor_does_not_import_numba() -> None:
    code = "import atexit; atexit.register(lambda: print(*sorted({'numba', 'llvmlite'} & set(sys.modules)), file=sys.stderr))"
    assert fastmix("doctor", code=code).stderr == "\n"
    assert fastmix("tune", "check", code=code).stderr == "\n"


def test_kernels_that_a_configuration_names(tmp_path: Path) -> None:
    assert fastmix("network", "new", tmp_path / "net").returncode == 0
    node = tmp_path / "net" / "node-0.toml"
    node.write_text('isa = "portable"\n' + node.read_text())
    found = json.loads(fastmix("doctor", node, "--json", FASTMIX_ISA="").stdout)
    assert (found["isa"], found["unwraps_per_s"] > 0) == ("portable", True)
    profile = tmp_path / "mine.toml"
    profile.write_text('purpose = "one kind of kernels"\n[node]\nisa = "portable" # to compare\n')
    done = fastmix("bench", "memory", "--profile", profile, "--json", FASTMIX_ISA="")
    assert json.loads(done.stdout)["machine"]["isa"] == "portable"


def test_what_this_machine_has_not_is_counted(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    wish = '[[host]]\nsetting = "net.core.no_such_thing"\nrule = "at least"\nvalue = 4\nreason = "none"\ncost = "0 ns"\n'
    profile.write_text(f'purpose = "a word that is not there"\n{wish}')
    done = fastmix("tune", "check", profile)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "As wanted. 1 setting not on this machine.")
