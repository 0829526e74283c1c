"""The capture between hosts: exactly what was sent, once each, in order, and single datagrams where trains were sent."""

import os
import socket
import struct
import time
from pathlib import Path

import pytest
from own_hosts import on_own_hosts

from fastmix.drills.hosts.capture import UDP, Capture, Datagram, Other, read_capture
from fastmix.drills.hosts.lan import Lan
from fastmix.errors import NetworkFailure

SOL_UDP, UDP_SEGMENT = 17, 103
ICMP, UNREACHABLE, PORT = 1, 3, 3


@on_own_hosts
def test_it_sees_exactly_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "all.pcap"
    with Lan(3) as lan:
        socks = [host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) for host in lan.hosts]
        for sock, host in zip(socks, lan.hosts, strict=True):
            sock.bind((host.address, 7000 + host.number))
        before = time.time_ns()
        with Capture(lan, path) as capture:
            sent = []
            for i in range(2000):
                one, other = socks[i % 3], socks[(i + 1 + i // 3 % 2) % 3]
                payload = os.urandom(i % 1400)
                one.sendto(payload, other.getsockname())
                sent.append((one.getsockname(), other.getsockname(), payload))
            lan.cut(lan.hosts[:1], lan.hosts[1:2])
            socks[0].sendto(b"never arrives", socks[1].getsockname())
            assert capture.settle() == 2001
        seen = list(read_capture(path))
        assert capture.lost() == 0
        assert all(isinstance(each, Datagram) for each in seen)
        assert sorted(tuple(each[1:]) for each in seen) == sorted([*sent, (*sent[0][:2], b"never arrives")])
        assert all(before < each.at_ns < time.time_ns() for each in seen)
        for sock in socks:
            sock.close()


@on_own_hosts
def test_trains_are_single_datagrams_without_offloads(tmp_path: Path) -> None:
    for offloads, sizes in ((True, [10 * 1232]), (False, [1232] * 10)):
        path = tmp_path / f"{offloads}.pcap"
        with Lan(2, offloads=offloads) as lan:
            one, other = (host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) for host in lan.hosts)
            other.bind((lan.hosts[1].address, 7000))
            one.setsockopt(SOL_UDP, UDP_SEGMENT, 1232)
            with Capture(lan, path) as capture:
                one.sendto(bytes(10 * 1232), other.getsockname())
                capture.settle()
            assert [len(each.payload) for each in read_capture(path) if isinstance(each, Datagram)] == sizes
            one.close()
            other.close()


@on_own_hosts
def test_an_answer_of_the_kernel_is_seen_too_and_fragments_are_no_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "all.pcap"
    with Lan(2) as lan, Capture(lan, path) as capture:
        sock = lan.hosts[0].namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.sendto(b"to nobody", (lan.hosts[1].address, 7000))
        sock.sendto(bytes(2000), (lan.hosts[1].address, 7000))
        capture.settle()
        sock.close()
    first, *others = read_capture(path)
    assert isinstance(first, Datagram)
    assert first.payload == b"to nobody"
    assert all(isinstance(each, Other) for each in others)
    answers = [each for each in others if isinstance(each, Other) and each.protocol == ICMP]
    assert [(each.source, each.to) for each in answers] == [(lan.hosts[1].address, lan.hosts[0].address)] * 2
    assert {struct.unpack_from("BB", each.packet, 20) for each in answers} == {(UNREACHABLE, PORT)}
    assert [each.protocol for each in others].count(UDP) == 2


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(100))
    with pytest.raises(NetworkFailure, match="is no capture"):
        next(read_capture(tmp_path / "other"))
