"""Settings are found, read and compared, on a machine made of files."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from fake_host import NO_WRITING, make_host, write

from fastmix.errors import ConfigError
from fastmix.packet.geometry import WAN
from fastmix.profile import HostWish, Profile, load_profile, profile_names
from fastmix.tune.apply import writable
from fastmix.tune.check import Finding, check, cost_at
from fastmix.tune.facts import machine_of
from fastmix.tune.host import Host
from fastmix.tune.settings import setting_named


def wish(setting: str, value: str | int | tuple[str, ...], rule: str = "equal") -> HostWish:
    return HostWish(setting, rule, value, "reason", "cost")


def profile(*wishes: HostWish) -> Profile:
    return Profile("mine", Path("mine.toml"), "p", "", {}, wishes)


def found(root: Path, *wishes: HostWish) -> list[tuple[str, str, str]]:
    return [(each.name, each.state, each.found) for each in check(profile(*wishes), make_host(root))]


def test_values_against_rules(tmp_path: Path) -> None:
    assert found(
        tmp_path,
        wish("net.core.rmem_max", 212992, "at least"),
        wish("net.core.wmem_max", 212993, "at least"),
        wish("net.core.netdev_max_backlog", 999, "at most"),
        wish("net.ipv4.udp_mem", "4096 5000 9000"),
        wish("clock.source", ("tsc", "kvm-clock"), "one of"),
        wish("memory.transparent_hugepage", "madvise"),
        wish("memory.swap", "none"),
        wish("limit.nofile", 4096, "at least"),
        wish("limit.memlock", 65537, "at least"),
        wish("process.timer_slack", 1000, "at most"),
    ) == [
        ("net.core.rmem_max", "ok", "212992"),
        ("net.core.wmem_max", "differs", "212992"),
        ("net.core.netdev_max_backlog", "differs", "1000"),
        ("net.ipv4.udp_mem", "ok", "4096 5000 9000"),
        ("clock.source", "differs", "hpet"),
        ("memory.transparent_hugepage", "differs", "always"),
        ("memory.swap", "differs", "1024 KiB"),
        ("limit.nofile", "ok", "4096"),
        ("limit.memlock", "differs", "65536"),
        ("process.timer_slack", "ok", "1000"),
    ]


def test_the_cost_is_that_of_the_value_found(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    write(tmp_path, "proc/sys/net/core/rmem_max", "1048576")
    costs = {each.wish.setting: each.to_dict()["cost"] for each in check(load_profile("single-thread"), host)}
    assert (
        costs["net.core.rmem_max"]
        == "1,048,576 bytes hold 910 packets, 9.1 ms at 100,000/s: what comes in a longer pause is lost"
    )
    assert str(costs["net.core.wmem_max"]).startswith("212,992 bytes hold 184 packets: what a batch of 256 sends")
    for name in profile_names():
        assert not any("{" in cost_at(each) for each in load_profile(name).host), name


def test_a_buffer_holds_as_many_packets_as_is_said() -> None:
    size = 65536
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        for _ in range(200):
            sender.sendto(bytes(WAN.frame_size), receiver.getsockname())
        held = 0
        with suppress(BlockingIOError):
            while receiver.recv(4096):
                held += 1
    packets = int(cost_at(HostWish("net.core.rmem_max", "at least", 1, "r", "{packets}"), size))
    assert held == pytest.approx(packets, rel=0.1)


def test_places(tmp_path: Path) -> None:
    """Each CPU, each interface with a device; neither loopback nor files that are no interfaces."""
    assert found(
        tmp_path,
        wish("cpu.governor", "performance"),
        wish("interface.gro_flush_timeout", 20000, "at least"),
        wish("interface.irq_affinity", "spread"),
    ) == [
        *((f"cpu{cpu} cpu.governor", "differs", "powersave") for cpu in range(4)),
        ("eth9 interface.gro_flush_timeout", "differs", "0"),
        ("eth9 interface.irq_affinity", "differs", "41:0-3 42:0-3"),
    ]


def test_interrupts_are_spread_and_put_back(tmp_path: Path) -> None:
    host, setting = make_host(tmp_path), setting_named("interface.irq_affinity")
    spread = wish("interface.irq_affinity", "spread")
    before, goal = setting.read(host, "eth9"), setting.goal(host, "eth9", spread)
    assert goal == "41:0 42:1"
    setting.write(host, "eth9", goal)
    assert setting.fits(host, spread, setting.read(host, "eth9"))
    assert not setting.fits(host, spread, "41:1 42:1")
    assert host.read("proc/irq/40/smp_affinity_list") == "0-3"
    setting.write(host, "eth9", before)
    assert setting.read(host, "eth9") == before
    with pytest.raises(OSError, match="no interrupt 40"):
        setting.write(host, "eth9", "40:1")


def test_what_a_machine_does_not_have_is_no_mismatch(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    write(tmp_path, "proc/self/status", "Name:\tx")
    for name in profile_names():
        findings = check(load_profile(name), Host(tmp_path))
        assert {each.state for each in findings if each.wish.setting != "process.timer_slack"} == {"not on this machine"}


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    (tmp_path / "proc/sys/net/core/rmem_max").unlink()
    (tmp_path / "proc/sys/net/core/rmem_max").mkdir()
    (told,) = check(profile(wish("net.core.rmem_max", 1)), host)
    assert told == Finding(wish("net.core.rmem_max", 1), "", "unreadable", "Is a directory")


def test_what_even_root_can_only_read_is_for_who_makes_the_machine(tmp_path: Path) -> None:
    host, wanted = make_host(tmp_path), profile(wish("net.core.rmem_max", 1, "at most"), wish("clock.source", "tsc"))
    assert [each.remedy.partition(" ")[0] for each in check(wanted, host)] == ["", "the"]
    for name in ("proc/sys/net/core/rmem_max", "sys/devices/system/clocksource/clocksource0/current_clocksource"):
        (tmp_path / name).unlink()
        os.symlink(NO_WRITING, tmp_path / name)
    for told in check(wanted, host):
        assert (told.state, told.remedy) == ("differs", "set it where this machine is made: in here even root can only read it")
        assert not writable([told])


def test_who_may_lock_any_memory_has_no_limit(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    write(tmp_path, "proc/self/status", "CapEff:\t0000000000004000")
    assert setting_named("limit.memlock").read(host, "") == "unlimited"
    assert setting_named("limit.memlock").fits(host, wish("limit.memlock", 1 << 40, "at least"), "unlimited")


@pytest.mark.parametrize("name", ["net", "net.core.", "net/core", "net.core/../x", "cpu.governer", "interface.offload.", "sys.x"])
def test_unknown_settings(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a setting of a host"):
        setting_named(name)


def test_unknown_interface(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    with pytest.raises(ConfigError, match="--interface eth0: there is none of that name here: known are eth9, lo"):
        Host(host.root, ("eth0",))
    assert Host(host.root, ("lo",)).interfaces == ["lo"]


def test_offloads_of_the_real_loopback() -> None:
    host = Host(only=("lo",))
    assert setting_named("interface.offload.rx-gro").read(host, "lo") in ("on", "off")
    (told,) = check(profile(wish("interface.offload.no-such-offload", "on")), host)
    assert told.state == "not on this machine"


def test_cores_and_memory_of_a_group(tmp_path: Path) -> None:
    """The tightest of a process's groups counts: 1.5 CPUs, 600 MB."""
    machine = machine_of(make_host(tmp_path))
    assert (machine.quota, machine.memory, machine.usable_cores) == (1.5, 600_000_000, 1)
    write(tmp_path, "proc/self/cgroup", "1:name=x:/a")
    assert machine_of(Host(tmp_path)).memory == 2_048_000_000
