"""`fastmix drill run wire`: its short form, what it makes of what it sees, and that nothing stays of an interrupted one."""

import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from own_hosts import namespaces_of, on_own_hosts, users_of
from process_tree import command_of, descendants
from real_node import until

from fastmix.drills import wire
from fastmix.drills.hosts.capture import FILE_HEADER, LINKTYPE_RAW, PCAP_NS, RECORD
from fastmix.drills.hosts.lan import Host
from fastmix.drills.hosts.namespace import Namespace
from fastmix.drills.stage.report import Options

ROOT = Path(__file__).parent.parent.parent
A, B, STRANGER = "10.66.1.2", "10.66.2.2", "10.66.3.2"
UDP, ICMP = 17, 1


@on_own_hosts
def test_nothing_can_be_read_and_nobody_answers() -> None:
    report = wire.run(Options(short=True, seed=5))
    figures = json.loads(json.dumps(report.to_dict()))["figures"]
    assert report.passed, report
    assert figures["sizes"] == [1232]
    assert figures["datagrams"] > 1000
    assert figures["messages"] > 10
    assert [figures[name] for name in figures if name.endswith("_found")] == [0, 0, 0, 0]
    assert (figures["answers"], figures["answers_of_closed_ports"]) == (0, 3)
    assert figures["stranger_sent"]["seen_on_the_wire"] == 10 * 5
    assert set(figures["refused"]) >= {"drop_length", "drop_unknown_index", "drop_link_auth"}
    assert report.conservation["exact"]
    assert report.load["sent_per_s"] > 0


def packet(source: str, to: str, protocol: int, rest: bytes, fragment: int = 0) -> bytes:
    places = b"".join(bytes(map(int, each.split("."))) for each in (source, to))
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(rest), 0, fragment, 64, protocol, 0) + places + rest


def udp(source: str, to: str, payload: bytes, port: int = 9000) -> bytes:
    return packet(source, to, UDP, struct.pack("!HHHH", 9000, port, 8 + len(payload), 0) + payload)


def seen_in(path: Path, *packets: bytes) -> wire.Seen:
    head = FILE_HEADER.pack(PCAP_NS, 2, 4, 0, 0, 1 << 16, LINKTYPE_RAW)
    path.write_bytes(head + b"".join(RECORD.pack(at, 0, len(each), len(each)) + each for at, each in enumerate(packets)))
    return wire.Seen.of(path, Host(3, STRANGER, Namespace.__new__(Namespace)))


def test_every_kind_of_packet_has_its_place(tmp_path: Path) -> None:
    closed = packet(A, STRANGER, ICMP, b"\3\3" + bytes(6) + udp(STRANGER, A, b"", wire.CLOSED_PORT))
    other_port = packet(A, STRANGER, ICMP, b"\3\3" + bytes(6) + udp(STRANGER, A, b""))
    seen = seen_in(
        tmp_path / "some.pcap", udp(A, B, b"1" * 4), udp(A, B, b"2" * 4), udp(B, A, b"3" * 4), udp(B, A, b"short", 80),
        packet(A, B, UDP, bytes(100), fragment=0x2000), packet(A, B, ICMP, bytes(8)), udp(STRANGER, A, b"junk"),
        udp(A, STRANGER, b"an answer"), closed, other_port,
    )  # fmt: skip
    assert seen.sizes == {4: 3, 5: 1}
    assert [rows.tobytes() for rows in seen.rows(4)] == [b"11112222", b"3333", b""]
    assert [each.protocol for each in seen.strange] == [UDP, ICMP]
    assert [wire.is_port_unreachable(each, wire.CLOSED_PORT) for each in seen.answers] == [False, True, False]
    assert seen.to[A, 9000] == 2, "also what the stranger sent"


@on_own_hosts
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_one_leaves_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fastmix", "drill", "run", "wire", "--force", "--short"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
    try:
        until(lambda: any(b"fastmix.control" in command_of(pid) for pid in descendants(process.pid)), 100)
        family = descendants(process.pid)
        namespaces = namespaces_of(family)
        assert namespaces
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        process.kill()
        process.wait()
    until(lambda: not any(command_of(pid) for pid in family))
    until(lambda: not users_of(namespaces))
    assert b"Traceback" not in (tmp_path / "said").read_bytes()
