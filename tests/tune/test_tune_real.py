"""`fastmix tune apply` and `revert` for real: the kernel's own files, in a network namespace of the test's."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUPPORT = Path(__file__).parent.parent / "support"
GRO, DEFER, TTL = (
    "/sys/class/net/lo/gro_flush_timeout",
    "/sys/class/net/lo/napi_defer_hard_irqs",
    "/proc/sys/net/ipv4/ip_default_ttl",
)
WISH = '[[host]]\nsetting = "{}"\n{}\nreason = "r"\ncost = "loses 1"\n'
SETTINGS = [
    ("interface.gro_flush_timeout", 'rule = "at least"\nvalue = 20000'),
    ("interface.napi_defer_hard_irqs", 'rule = "at least"\nvalue = 2'),
    ("interface.offload.rx-gro", 'value = "off"'),
    ("net.ipv4.ip_default_ttl", "value = 77"),
]
READ_ONLY = [("net.core.rmem_max", 'rule = "at least"\nvalue = 2000000000')]
"""The machine's, which a network namespace may only read."""
REFUSED = [("net.ipv4.tcp_syn_retries", "value = 999")]
"""More than the kernel takes."""


def may_unshare() -> bool:
    """Whether this process is root with CAP_SYS_ADMIN."""
    capabilities = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return os.geteuid() == 0 and bool(int(capabilities.split()[1], 16) >> 21 & 1)


def profile(path: Path, wishes: list[tuple[str, str]]) -> str:
    path.write_text('purpose = "p"\n' + "".join(WISH.format(*wish) for wish in wishes))
    return str(path)


class Lab:
    """Collects steps, then runs them in one namespace."""

    def __init__(self, folder: Path) -> None:
        self.state = str(folder / "state" / "tune.json")
        self.wanted = profile(folder / "wanted.toml", SETTINGS)
        self.impossible = profile(folder / "impossible.toml", SETTINGS + REFUSED)
        self.read_only = profile(folder / "read-only.toml", SETTINGS + READ_ONLY)

    def tune(self, *words: str, answer: str | None = None) -> dict[str, Any]:
        return {"run": ["tune", *words], "answer": answer}

    def apply(self, name: str, *more: str, answer: str | None = None) -> dict[str, Any]:
        return self.tune("apply", name, "--interface", "lo", "--state", self.state, *more, answer=answer)

    def revert(self, *more: str) -> dict[str, Any]:
        return self.tune("revert", "--state", self.state, *more)

    def run(self, *steps: dict[str, Any]) -> Any:
        command = [sys.executable, str(SUPPORT / "own_network.py")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, input=json.dumps(steps), capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told is None) != may_unshare(), "only who has no right to a namespace gets none"
        return told


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def now() -> list[dict[str, str]]:
    return [{"read": GRO}, {"read": DEFER}, {"read": TTL}]


def test_apply_and_revert(lab: Lab) -> None:
    check = lab.tune("check", lab.wanted, "--interface", "lo", "--json")
    mode = {"mode": lab.state}
    told = lab.run(
        check, lab.apply(lab.wanted, "--yes"), *now(), mode, check, lab.apply(lab.wanted, "--yes"), lab.revert("--json"), *now(),
        check, lab.revert(),
    )  # fmt: skip
    if told is None:
        return
    before, applied, *values, mode_told, after, again, reverted, gro, defer, ttl, last, nothing = told
    assert (before[0], after[0], last[0]) == (1, 0, 1)
    assert json.loads(before[1])["settings"] == json.loads(last[1])["settings"]
    assert applied[0] == 0, applied
    assert "puts the old values back" in applied[1]
    assert values == ["20000", "2", "77"]
    assert mode_told == stat.S_IRUSR | stat.S_IWUSR
    assert (again[0], again[1]) == (0, "Nothing to write: all that fastmix can set is as wanted.\n")
    assert reverted[0] == 0, reverted
    assert {one["result"] for one in json.loads(reverted[1])} == {"restored"}
    assert (gro, defer, ttl) == ("0", "0", "64")
    assert (nothing[0], nothing[1]) == (1, "")
    assert nothing[2].startswith("fastmix: nothing to revert: there is no record")


def test_a_refused_value_leaves_all_as_before(lab: Lab) -> None:
    told = lab.run(
        lab.apply(lab.impossible, "--yes"), *now(),
        lab.apply(lab.impossible, "--yes", "--skip", "net.ipv4.tcp_syn_retries"), *now(),
        lab.apply(lab.impossible, "--yes"), *now(), lab.revert(), *now(),
    )  # fmt: skip
    if told is None:
        return
    refused, gro, defer, ttl, skipped, *values, second, gro2, defer2, ttl2, reverted, gro3, defer3, ttl3 = told
    for failure in (refused, second):
        assert failure[0] == 1
        assert "net.ipv4.tcp_syn_retries cannot be set to 999: Invalid argument; all is as before" in failure[2]
        assert "--skip net.ipv4.tcp_syn_retries" in failure[2]
    assert (gro, defer, ttl) == (gro3, defer3, ttl3) == ("0", "0", "64")
    assert (skipped[0], values) == (0, ["20000", "2", "77"])
    assert [gro2, defer2, ttl2] == values  # the second failure undid nothing of the apply before it
    assert reverted[0] == 0


def test_a_read_only_setting_is_not_promised(lab: Lab) -> None:
    told = lab.run(lab.tune("check", lab.read_only, "--interface", "lo"), lab.apply(lab.read_only, "--yes"), *now())
    if told is None:
        return
    checked, applied, *values = told
    remedy = "set it where this machine is made: in here even root can only read it"
    assert checked[0] == 1
    assert "Root can set 4 of them" in checked[1]
    assert checked[1].endswith(f"  net.core.rmem_max: {remedy}\n")
    assert (applied[0], values) == (0, ["20000", "2", "77"])
    assert f"wanted at least 2000000000: {remedy}\n" in applied[1]


def test_what_somebody_else_has_changed_is_left(lab: Lab) -> None:
    told = lab.run(
        lab.apply(lab.wanted, "--yes"), {"write": [TTL, "99"]}, lab.revert(), *now(), lab.revert("--force"), *now(), lab.revert()
    )
    if told is None:
        return
    _, _, left, gro, defer, ttl, forced, _, _, forced_ttl, nothing = told
    assert (left[0], gro, defer, ttl) == (1, "0", "0", "99")
    assert "net.ipv4.ip_default_ttl" in left[1]
    assert "left: it has become 99 since" in left[1]
    assert "--force" in left[1]
    assert (forced[0], forced_ttl) == (0, "64")
    assert nothing[0] == 1


def test_what_is_lost_is_told(lab: Lab) -> None:
    told = lab.run(
        lab.apply(lab.wanted, "--yes"), {"write": [TTL, "99"]}, lab.apply(lab.wanted, "--yes"), {"write": [TTL, "98"]},
        lab.apply(lab.wanted, "--yes", "--json"), lab.revert(), *now(),
    )  # fmt: skip
    if told is None:
        return
    _, _, again, _, as_json, _, _, _, ttl = told
    assert "Lost: net.ipv4.ip_default_ttl was set to 99 since the last apply; `fastmix tune revert` puts back 64\n" in again[1]
    assert [one["lost"] for one in json.loads(as_json[1])] == ["98"]
    assert ttl == "64"


def test_the_plan_is_shown_and_agreed_to(lab: Lab) -> None:
    told = lab.run(
        lab.apply(lab.wanted), {"read": TTL},
        lab.apply(lab.wanted, answer="n\n"), {"read": TTL},
        lab.apply(lab.wanted, answer="\x04"), lab.apply(lab.wanted, answer="y\n"), {"read": TTL},
    )  # fmt: skip
    if told is None:
        return
    no_terminal, first, declined, second, ended, agreed, third = told
    assert no_terminal[0] == 2
    assert no_terminal[2] == "fastmix: there is no terminal to ask at: add --yes to write what the plan says\n"
    for one in (no_terminal, declined, agreed):
        assert [line.split() for line in one[1].splitlines() if "ip_default_ttl" in line] == [
            ["net.ipv4.ip_default_ttl", "64", "77", "r"]
        ]
    assert (declined[0], ended[0], ended[2]) == (1, 1, "")
    assert declined[1].endswith("Write 4 values? [y/N] Nothing was changed.\n")
    assert agreed[0] == 0
    assert (first, second, third) == ("64", "64", "77")
