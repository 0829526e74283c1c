"""Applying is all or nothing, the record survives what may happen to it, and reverting is exact."""

import json
import os
from pathlib import Path

import pytest
from fake_host import REFUSES, make_host, write

from fastmix.errors import ConfigError, FastmixError
from fastmix.profile import HostWish, Profile, load_profile
from fastmix.tune import record
from fastmix.tune.apply import apply, apply_command, changed_by_hand, revert, writable
from fastmix.tune.check import check
from fastmix.tune.host import Host

WISHES = (
    HostWish("net.core.rmem_max", "at least", 8388608, "r", "c"),
    HostWish("cpu.governor", "equal", "performance", "r", "c"),
    HostWish("interface.irq_affinity", "equal", "spread", "r", "c"),
    HostWish("memory.swap", "equal", "none", "r", "c"),
)
LARGER = (HostWish("net.core.rmem_max", "at least", 16777216, "r", "c"),)
HEAD = b'{"format": 1, "boot_id": "one", "profile": "p", "changes": ['
REFUSED = HostWish("net.core.refused", "at least", 10**6, "r", "c")


def applied(host: Host, state: Path, *wishes: HostWish) -> int:
    findings = check(Profile("mine", Path("mine.toml"), "p", "", {}, wishes), host)
    return len(apply(host, writable(findings), "mine", state))


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text().strip() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path / "root")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "var" / "tune.json"


def test_revert_is_exact(host: Host, state: Path) -> None:
    before = tree(host.root)
    assert applied(host, state, *WISHES) == 6  # swap is for hands
    assert host.read("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor") == "performance"
    assert applied(host, state, *LARGER) == 1
    assert host.read("proc/sys/net/core/rmem_max") == "16777216"
    results = revert(host, state)
    assert [(change.old, result) for change, result in results if "rmem" in change.setting] == [("212992", "restored")]
    assert {result for _, result in results} == {"restored"}
    assert tree(host.root) == before
    assert not state.exists()


@pytest.mark.parametrize("again", [False, True])
def test_the_first_failure_undoes_all(host: Host, state: Path, again: bool) -> None:
    if again:
        applied(host, state, *LARGER)
    before, kept = tree(host.root), state.read_bytes() if again else None
    os.symlink(REFUSES, host.root / "proc/sys/net/core/refused")
    with pytest.raises(FastmixError, match=r"refused cannot be set to 1000000: .*; all is as before: .* --skip net.core.refused"):
        applied(host, state, *WISHES, REFUSED)
    (host.root / "proc/sys/net/core/refused").unlink()
    assert tree(host.root) == before
    assert json.loads(state.read_bytes()) == json.loads(kept) if kept else not state.exists()


def test_an_interrupted_apply_can_be_reverted(host: Host, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(host.root)
    write_file = Host.write

    def stop(self: Host, name: str, text: str) -> None:
        if "irq" in name:
            raise KeyboardInterrupt
        write_file(self, name, text)

    monkeypatch.setattr(Host, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        applied(host, state, *WISHES)
    monkeypatch.setattr(Host, "write", write_file)
    assert tree(host.root) != before
    assert {result for _, result in revert(host, state)} == {"restored", "was so already"}
    assert tree(host.root) == before


def test_what_became_of_each(host: Host, state: Path) -> None:
    """Changed by somebody: left, and kept for --force. Gone with its CPU: forgotten."""
    applied(host, state, *WISHES)
    write(host.root, "proc/sys/net/core/rmem_max", "5")
    (host.root / "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor").unlink()
    results = {change.name: result for change, result in revert(host, state)}
    assert results["net.core.rmem_max"] == "left: it has become 5 since"
    assert results["cpu3 cpu.governor"] == "gone"
    assert results["cpu0 cpu.governor"] == results["eth9 interface.irq_affinity"] == "restored"
    assert [change.name for change in record.load_record(state).changes] == ["net.core.rmem_max"]
    assert [(change.old, result) for change, result in revert(host, state, force=True)] == [("212992", "restored")]
    with pytest.raises(FastmixError, match="nothing to revert: there is no record"):
        revert(host, state)


def test_what_was_set_by_hand_since_is_known(host: Host, state: Path) -> None:
    def by_hand(value: str) -> list[str]:
        write(host.root, "proc/sys/net/core/rmem_max", value)
        findings = writable(check(Profile("mine", Path("mine.toml"), "p", "", {}, LARGER), host))
        return [f"{name} {change.old}" for name, change in changed_by_hand(host, findings, state).items()]

    assert by_hand("212992") == []
    applied(host, state, *LARGER)
    assert by_hand("400") == ["net.core.rmem_max 212992"]
    assert by_hand("212992") == []  # revert would put back just that
    write(host.root, "proc/sys/kernel/random/boot_id", "two")
    assert by_hand("400") == []


def test_nothing_to_revert_makes_no_directory(host: Host, state: Path) -> None:
    with pytest.raises(FastmixError, match="nothing to revert: there is no record"):
        revert(host, state)
    assert not state.parent.exists()


def test_the_command_that_applies(tmp_path: Path) -> None:
    host = make_host(tmp_path / "root")
    assert apply_command(load_profile("optimized"), host) == "fastmix tune apply optimized"
    mine = Profile("mine", Path("/my profiles/mine.toml"), "p", "", {}, ())
    eth9 = Host(host.root, ("eth9",))
    assert apply_command(mine, eth9) == "fastmix tune apply '/my profiles/mine.toml' --interface eth9"


def test_what_cannot_be_put_back_stays_in_the_record(host: Host, state: Path) -> None:
    applied(host, state, *WISHES)
    path = host.root / "proc/sys/net/core/rmem_max"
    path.unlink()
    os.symlink(REFUSES, path)
    with pytest.raises(FastmixError, match=r"net.core.rmem_max cannot be put back: "):
        revert(host, state, force=True)
    assert [change.name for change in record.load_record(state).changes] == ["net.core.rmem_max"]
    path.unlink()
    write(host.root, "proc/sys/net/core/rmem_max", "8388608")
    assert [result for _, result in revert(host, state)] == ["restored"]


def test_a_record_of_another_boot(host: Host, state: Path) -> None:
    """After a reboot the kernel's own values are back: nothing is written, and a new apply starts afresh."""
    applied(host, state, *LARGER)
    write(host.root, "proc/sys/kernel/random/boot_id", "two")
    write(host.root, "proc/sys/net/core/rmem_max", "300")
    applied(host, state, *LARGER)
    assert [change.old for change in record.load_record(state).changes] == ["300"]
    write(host.root, "proc/sys/kernel/random/boot_id", "three")
    assert revert(host, state) == []
    assert (state.exists(), host.read("proc/sys/net/core/rmem_max")) == (False, "16777216")


def test_a_value_that_changes_meanwhile(host: Host, state: Path) -> None:
    findings = writable(check(Profile("mine", Path("m"), "p", "", {}, LARGER), host))
    write(host.root, "proc/sys/net/core/rmem_max", "7")
    with pytest.raises(FastmixError, match=r"net.core.rmem_max has become 7 meanwhile: nothing was written"):
        apply(host, findings, "mine", state)
    assert not state.exists()


def test_one_at_a_time(host: Host, state: Path) -> None:
    with record.sole_use(state), pytest.raises(FastmixError, match="another `fastmix tune` is at work"):
        applied(host, state, *LARGER)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"format": 2, "changes": []}',
        b'{"format": 1, "boot_id": "one", "profile": "p"}',
        b'{"format": 1, "boot_id": 1, "profile": "p", "changes": []}',
        HEAD + b'{"setting": "net.core.rmem_max"}]}',
        HEAD + b'{"setting": "/etc/passwd", "place": "", "old": "", "new": ""}]}',
        HEAD + b'{"setting": "cpu.governor", "place": "../x", "old": "", "new": ""}]}',
        HEAD + b'{"setting": "net.x", "place": "", "old": 1, "new": ""}]}',
    ],
)
def test_a_broken_record_changes_nothing(host: Host, state: Path, text: bytes) -> None:
    state.parent.mkdir()
    state.write_bytes(text)
    state.chmod(0o600)
    before = tree(host.root)
    for act in (lambda: revert(host, state), lambda: applied(host, state, *LARGER)):
        with pytest.raises(ConfigError) as caught:
            act()
        assert str(caught.value).startswith(f"{state}: is not a record of `fastmix tune apply` (")
        assert "remove it and set the old values by hand" in str(caught.value)
    assert (tree(host.root), state.read_bytes()) == (before, text)


def test_a_record_that_others_could_have_planted(host: Host, state: Path, tmp_path: Path) -> None:
    applied(host, state, *LARGER)
    state.chmod(0o622)
    with pytest.raises(ConfigError, match="so others can write to it"):
        revert(host, state)
    state.rename(tmp_path / "elsewhere")
    state.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a symbolic link"):
        revert(host, state)


def test_a_record_that_cannot_be_written(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = tree(host.root)
    with pytest.raises(ConfigError, match="name another with --state"):
        applied(host, tmp_path / "file" / "tune.json", *LARGER)
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match="is no regular file"):
        applied(host, tmp_path / "taken", *LARGER)
    assert tree(host.root) == before
