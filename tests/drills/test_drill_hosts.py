"""Hosts in network namespaces: they reach each other, are cut off without a word, and leave nothing behind."""

import errno
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from own_hosts import on_own_hosts, users_of

from fastmix.drills.hosts import namespace
from fastmix.drills.hosts.lan import INTERFACE, Host, Lan, port_of
from fastmix.drills.hosts.namespace import Namespace, in_thread, refusal
from fastmix.errors import ConfigError, NetworkFailure
from fastmix.tune.ethtool import read_offload

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 20.0


def bound(host: Host) -> socket.socket:
    sock = host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host.address, 9000))
    sock.settimeout(PATIENCE_S)
    return sock


def heard(sock: socket.socket, n: int) -> set[bytes]:
    """The next n words; nothing else is there. What was lost had been sent before one of them, and would be there by now."""
    words = {sock.recv(100) for _ in range(n)}
    assert not select.select([sock], [], [], 0)[0]
    return words


def everyone_to_everyone(socks: list[socket.socket]) -> None:
    for i, one in enumerate(socks):
        for other in socks:
            one.sendto(b"from %d" % i, other.getsockname())


@on_own_hosts
def test_hosts_reach_each_other() -> None:
    with Lan(3) as lan:
        socks = [bound(host) for host in lan.hosts]
        everyone_to_everyone(socks)
        assert [heard(sock, 3) for sock in socks] == [{b"from 0", b"from 1", b"from 2"}] * 3
        listener = lan.hosts[0].namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((lan.hosts[0].address, 80))
        listener.listen()
        caller = lan.hosts[2].namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        caller.settimeout(PATIENCE_S)
        caller.connect((lan.hosts[0].address, 80))
        assert listener.accept()[1][0] == lan.hosts[2].address
        for each in (*socks, listener, caller):
            each.close()


@on_own_hosts
def test_a_cut_is_silent_and_one_way() -> None:
    with Lan(3) as lan:
        socks = [bound(host) for host in lan.hosts]
        everything = {b"from 0", b"from 1", b"from 2"}
        lan.cut(lan.hosts[:1], lan.hosts[1:2])
        for _ in range(3):
            everyone_to_everyone(socks)  # an error that came back would be raised by the next send
            assert heard(socks[1], 2) == everything - {b"from 0"}
            assert heard(socks[0], 3) == heard(socks[2], 3) == everything
        lan.cut(lan.hosts[:1], lan.hosts[1:2])
        lan.heal()  # cut twice, healed once
        everyone_to_everyone(socks)
        assert [heard(sock, 3) for sock in socks] == [everything] * 3
        for each in socks:
            each.close()


@on_own_hosts
def test_a_partition_parts_two_groups() -> None:
    with Lan(4) as lan:
        socks = [bound(host) for host in lan.hosts]
        lan.partition(lan.hosts[:2])
        everyone_to_everyone(socks)
        assert [heard(sock, 2) for sock in socks] == [{b"from 0", b"from 1"}] * 2 + [{b"from 2", b"from 3"}] * 2
        lan.heal()
        everyone_to_everyone(socks)
        assert [heard(sock, 4) for sock in socks] == [{b"from 0", b"from 1", b"from 2", b"from 3"}] * 4
        for each in socks:
            each.close()


@on_own_hosts
def test_the_machine_itself_stays_as_it_is() -> None:
    before = [socket.if_nameindex(), Path("/proc/net/route").read_text(), os.stat(namespace.OWN).st_ino]
    with Lan(2) as lan:
        assert [socket.if_nameindex(), Path("/proc/net/route").read_text(), os.stat(namespace.OWN).st_ino] == before
        assert before[-1] not in [each.inode for each in (lan.router, *(host.namespace for host in lan.hosts))]
        outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inside = bound(lan.hosts[0])
        with suppress(OSError):  # where there is no default route
            outside.sendto(b"from outside", inside.getsockname())
        assert not select.select([inside], [], [], 0.1)[0]
        outside.close()
        inside.close()
    assert [socket.if_nameindex(), Path("/proc/net/route").read_text(), os.stat(namespace.OWN).st_ino] == before


@on_own_hosts
def test_offloads_are_off_where_asked() -> None:
    with Lan(1) as plain, Lan(1, offloads=False) as single:
        for lan, value in ((plain, "on"), (single, "off")):
            (host,) = lan.hosts
            assert lan.router.within(lambda: read_offload(port_of(host), "tx-udp-segmentation")) == value  # noqa: B023
            assert host.namespace.within(lambda: read_offload(INTERFACE, "tx-udp-segmentation")) == value


@on_own_hosts
def test_a_command_runs_on_a_host_under_the_number_that_was_given() -> None:
    with Lan(2) as lan:
        done = subprocess.Popen(
            lan.hosts[1].words("sh", "-c", "readlink /proc/self/ns/net; echo $$"), stdout=subprocess.PIPE, text=True
        )
        said, _ = done.communicate(timeout=PATIENCE_S)
        assert said.split() == [f"net:[{lan.hosts[1].namespace.inode}]", str(done.pid)]


HOLDER = """
import sys
from fastmix.drills.hosts.lan import Lan
with Lan(2) as lan:
    print(*(each.inode for each in (lan.router, *(host.namespace for host in lan.hosts))), flush=True)
    sys.stdin.read()
"""


@on_own_hosts
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_who_was_killed(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as holder:
        assert holder.stdout
        inodes = {int(word) for word in holder.stdout.readline().split()}
        assert len(inodes) == 3
        assert users_of(inodes)
        holder.send_signal(number)
        holder.wait(PATIENCE_S)
    assert not users_of(inodes)


def test_who_may_not_is_told_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, remedy in ((errno.EPERM, "as root"), (errno.ENOSPC, "max_net_namespaces"), (errno.ENOSYS, "CONFIG_NET_NS")):
        assert remedy in str(refusal(number))
    assert "Permission denied" in str(refusal(errno.EACCES))
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(ConfigError, match=r"`ip` is not there.*install iproute2"), Lan(1):
        pass


def test_there_is_room_for_so_many_hosts() -> None:
    with pytest.raises(ValueError, match="1 to 250 hosts, not 251"):
        Lan(251)


@on_own_hosts
def test_what_fails_is_told() -> None:
    inside = Namespace()
    with pytest.raises(NetworkFailure, match=r"cannot be made: .*nowhere"):
        inside.ip(["link set lo up", "link set nowhere up"])
    with pytest.raises(NetworkFailure, match=r"net.ipv4.there_is_none cannot be set"):
        inside.set("ipv4/there_is_none", "1")
    inside.close()
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0)
