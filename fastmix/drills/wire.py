"""What somebody who sees every link can read: each datagram between the hosts of a network is captured and looked at.

And whether anything answers a stranger: beside the clients' traffic a host that belongs to nobody sends datagrams of every kind
that no peer has sealed, and frames that it has seen on the wire.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fastmix.drills.hosts.capture import Datagram, Other, read_capture
from fastmix.drills.hosts.fleet import Fleet
from fastmix.drills.hosts.lan import Host
from fastmix.drills.hosts.layout import Layout
from fastmix.drills.hosts.member import message
from fastmix.drills.hosts.signs import UNUSUAL, Bytes, KnownWords, counter_signs, entropy_bits, uniformity, worst_column
from fastmix.drills.hosts.site import Site, open_site, repeated_while_void, report_of
from fastmix.drills.stage.report import Figures, Options, Outcome, Report
from fastmix.packet.geometry import FRAME_COUNTER_AT, FRAME_SEALED_AT, GEOMETRIES, KX_PUBLIC_SIZE
from fastmix.status import Metrics

NAME = "wire"
HELP = "Every datagram between nine nodes on hosts of their own is captured: one size, nothing readable, no answer to strangers."
FULL, SHORT = 100, 10
"""Datagrams of each kind that a stranger sends to each node and client."""
LARGE, SMALL = Layout(), Layout(widths=(1, 1, 1), clients=2)
FULL_S, SHORT_S = 20.0, 3.0
"""Of traffic before the stranger comes."""
MESSAGES_SHARE = 0.2
"""Of the clients' slots; the rest is cover and acknowledgements."""
KX_PUBLICS_MAX = 4000
"""Of so many `kx_public`s at most it is looked whether they can be seen."""
CLOSED_PORT = 7
PATIENCE_S = 30.0
FIRST = slice(FRAME_COUNTER_AT, FRAME_SEALED_AT)
"""Where the masked counter stands."""

REFUSED = ("drop_length", "drop_other_geometry", "drop_unknown_index", "drop_link_auth", "drop_link_replay", "drop_link_old")
"""What can become of a stranger's datagrams."""
Place = tuple[str, int]


def run(options: Options) -> Report:
    """Nine nodes and three clients for 20 s; three and two for 3 s."""
    layout = SMALL if options.short else LARGE
    per_client = options.rate / layout.clients if options.rate else layout.send_rate
    layout = replace(layout, send_rate=per_client)

    def once() -> Report:
        with open_site(options, layout, spare=1, offloads=False) as site:
            return perform(site)

    return repeated_while_void(once)


def perform(site: Site) -> Report:
    """Traffic, a stranger, silence; then everything that was seen is looked at."""
    fleet, options = site.fleet, site.options
    began, sent = time.monotonic(), fleet.sent()
    seconds = SHORT_S if options.short else FULL_S
    options.progress(0.2, f"{seconds:.0f} s of traffic")
    fleet.send(MESSAGES_SHARE * fleet.network.layout.send_rate)
    fleet.run(seconds)
    options.progress(0.5, "a stranger sends")
    stranger = Stranger(site)
    stranger.send_all(options.count(FULL, SHORT))
    sent_per_s = (fleet.sent() - sent) / (time.monotonic() - began)
    fleet.rest()
    fleet.until(lambda: not fleet.ledger.lost(), PATIENCE_S, "messages are missing")
    fleet.hush()
    metrics = fleet.settle()
    stranger.close()
    site.capture.settle()
    options.progress(0.7, "looking at what was seen")
    seen = Seen.of(site.capture_path, stranger.host)
    figures, checks = looked_at(seen, fleet)
    answered_figures, answered_checks = answered(site, seen, stranger, metrics)
    outcome = Outcome(figures | answered_figures, checks | answered_checks)
    return report_of(NAME, site, outcome, metrics, sent_per_s)


class Stranger:
    """Who sends from a host that belongs to nobody, and has seen what is on the wire so far."""

    def __init__(self, site: Site) -> None:
        self._site = site
        (self.host,) = site.spare
        self._socket = self.host.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sent: Counter[Place] = Counter()
        self.kinds: Counter[str] = Counter()
        self.asked: list[str] = []

    def send_all(self, n: int) -> None:
        """n datagrams of each kind to each node and each client; and one to a closed port of each node's host, which shows that
        an answer would come and be seen."""
        frames = frames_by_receiver(self._site.capture_path)
        for to, seen in frames.items():
            for i in range(n):
                for kind, data in self._datagrams(seen[-1 - i % len(seen)]):
                    self._socket.sendto(data, to)
                    self.kinds[kind] += 1
                    self.sent[to] += 1
            self._site.fleet.run(0.01)  # at a pace that sockets hold
        for number in self._site.fleet.nodes:
            host, _ = self._site.fleet.network.node_address(number)
            self._socket.sendto(b"", (host, CLOSED_PORT))
            self.asked.append(host)

    def _datagrams(self, frame: bytes) -> Iterator[tuple[str, bytes]]:
        size = len(frame)
        for other in (0, 1, size - 1, size + 1, size + 8):
            yield "of_another_size", os.urandom(other)
        yield "random", os.urandom(size)
        yield "random_of_a_known_index", frame[:FRAME_COUNTER_AT] + os.urandom(size - FRAME_COUNTER_AT)
        at = int.from_bytes(os.urandom(2), "little") % (size - FRAME_COUNTER_AT) + FRAME_COUNTER_AT
        yield "damaged", frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]
        yield "seen_on_the_wire", frame

    def close(self) -> None:
        """Ends it."""
        self._socket.close()


def frames_by_receiver(path: Path) -> dict[Place, list[bytes]]:
    """What has been captured so far, by whom it was for."""
    found: dict[Place, list[bytes]] = {}
    for each in read_capture(path):
        if isinstance(each, Datagram):
            found.setdefault(each.to, []).append(each.payload)
    return found


@dataclass
class Seen:
    """All that was captured: of the network itself, and around the stranger."""

    sizes: Counter[int] = field(default_factory=Counter)
    links: dict[tuple[Place, Place], list[bytes]] = field(default_factory=dict)
    to: Counter[Place] = field(default_factory=Counter)
    answers: list[Datagram | Other] = field(default_factory=list)
    strange: list[Other] = field(default_factory=list)
    """Between the network's hosts, and no whole UDP datagram."""

    @classmethod
    def of(cls, path: Path, stranger: Host) -> "Seen":
        """From the file."""
        seen = cls()
        for each in read_capture(path):
            source = each.source[0] if isinstance(each, Datagram) else each.source
            to = each.to[0] if isinstance(each, Datagram) else each.to
            if isinstance(each, Datagram):
                seen.to[each.to] += 1
            if to == stranger.address:
                seen.answers.append(each)
            elif isinstance(each, Other):
                seen.strange.append(each)
            elif source != stranger.address:
                seen.sizes[len(each.payload)] += 1
                seen.links.setdefault((each.source, each.to), []).append(each.payload)
        return seen

    def rows(self, size: int) -> list[Bytes]:
        """The frames of each link, in the order in which they passed."""
        every = [b"".join(frame for frame in frames if len(frame) == size) for frames in self.links.values()]
        return [np.frombuffer(each, np.uint8).reshape(-1, size) for each in every]


def looked_at(seen: Seen, fleet: Fleet) -> tuple[Figures, dict[str, bool]]:
    """What an observer can tell of the network's own datagrams."""
    size = GEOMETRIES[fleet.network.layout.geometry].frame_size
    links = seen.rows(size)
    every = np.concatenate(links)
    signs = counter_signs([rows[:, FIRST] for rows in links])
    sealed = np.ascontiguousarray(every[:, FRAME_COUNTER_AT:])
    column, whole, words = worst_column(sealed), uniformity(sealed), known_words(fleet)
    found = {what: known.found(every) for what, known in words.items()}
    return {
        "datagrams": seen.sizes.total(), "sizes": sorted(seen.sizes), "links": len(seen.links), "messages": fleet.ledger.n_sent,
        **{f"{what}_found": n for what, n in found.items()},
        "entropy_bits_per_byte": round(entropy_bits(sealed), 6), "deviation_of_bytes": round(whole, 2),
        "deviation_of_worst_byte": round(column, 2), "counter_repeats": signs.repeats, "counter_rising": round(signs.rising, 2),
        "counter_near": round(signs.near, 2), "counter_bits": round(signs.bits, 2),
    }, {
        "all datagrams have one size, that of a frame": set(seen.sizes) == {size},
        "nothing else passed between the network's hosts": not seen.strange,
        "no known byte of any message, key or packet was seen": not any(found.values()),
        "the counters cannot be read": not signs.any,
        "all bytes but the receiver index are uniform": max(column, whole) < UNUSUAL,
    }  # fmt: skip


def known_words(fleet: Fleet) -> dict[str, KnownWords]:
    """What must never be seen, by kind."""
    records = [np.fromfile(fleet.network.record_path(at), np.uint8) for at in range(fleet.network.layout.clients)]
    kx = np.concatenate([each[: len(each) // KX_PUBLIC_SIZE * KX_PUBLIC_SIZE] for each in records]).reshape(-1, KX_PUBLIC_SIZE)
    chosen = kx[:: -(-len(kx) // KX_PUBLICS_MAX)]
    unit = message(0, fleet.mark, 64)
    words = {
        "messages": [fleet.mark, fleet.mark[8:], unit[4:12], unit[12:20]],
        **fleet.network.words(),
        "kx_publics": [row.tobytes() for row in chosen],
    }
    return {kind: KnownWords(each) for kind, each in words.items()}


def answered(site: Site, seen: Seen, stranger: Stranger, metrics: dict[int, Metrics]) -> tuple[Figures, dict[str, bool]]:
    """What came back to the stranger, and what the nodes say that became of what it sent."""
    nodes = {number: site.fleet.network.node_address(number) for number in site.fleet.nodes}
    of_closed = [each for each in seen.answers if is_port_unreachable(each, CLOSED_PORT)]
    drops: Counter[str] = sum((Counter(each.dropped) for each in metrics.values()), Counter())
    to_nodes = sum(stranger.sent[address] for address in nodes.values())
    to_nodes_seen = {number: seen.to[address] for number, address in nodes.items()}
    client_drops = sum((Counter(each["dropped"]) for each in site.fleet.reports().values()), Counter[str]())
    return {
        "stranger_sent": {**stranger.kinds}, "refused": {reason: n for reason, n in sorted(drops.items()) if n},
        "refused_by_clients": {reason: n for reason, n in sorted(client_drops.items()) if n},
        "answers": len(seen.answers) - len(of_closed), "answers_of_closed_ports": len(of_closed),
        "capture_lost": site.capture.lost(),
    }, {
        "nothing answers a stranger": len(seen.answers) == len(of_closed),
        "an answer would have been seen": {each.source for each in of_closed if isinstance(each, Other)} == set(stranger.asked),
        "the nodes refused all that the stranger sent, and nothing else": sum(drops[reason] for reason in REFUSED)
        == drops.total() == to_nodes,
        "the nodes received every datagram that was seen": to_nodes_seen == {n: each.received for n, each in metrics.items()},
        "the clients refused all that the stranger sent": client_drops.total() == stranger.sent.total() - to_nodes,
        "the capture saw everything": site.capture.lost() == 0,
    }  # fmt: skip


def is_port_unreachable(seen: Datagram | Other, port: int) -> bool:
    """Whether it is ICMP's word (RFC 792) that this port is closed: type 3, code 3, and the header of what was sent to it."""
    if isinstance(seen, Datagram) or seen.protocol != socket.IPPROTO_ICMP:
        return False
    icmp = seen.packet[(seen.packet[0] & 15) * 4 :]
    about = icmp[8:]
    to = about[(about[0] & 15) * 4 + 2 :][:2]
    return icmp[:2] == b"\3\3" and to == port.to_bytes(2, "big")
