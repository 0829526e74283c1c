"""A real node whose keys rotate every two seconds, between two neighbours that the test plays."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from real_node import RealNode, until

from fastmix import sphinx
from fastmix.descriptor import read_descriptor
from fastmix.errors import FastmixError
from fastmix.keys.slots import SlotTimes
from fastmix.packet.verdict import Verdict
from fastmix.seam.pair import open_pair, pair_files

S = 1_000_000_000
TIMES = SlotTimes(2 * S, 2 * S, 2 * S)
KEYS = {"slot": "2s", "early": "2s", "late": "2s", "interval": "1min", "overlap_period": "10s", "chain": "disk"}
BURST = 20
EVERY_S = 0.1


@dataclass(frozen=True)
class Wave:
    """Packets that were sent together: key slots, packets u8[n, P], the `kx_public` that each has after the node."""

    key_slots: list[int]
    packets: Any
    onward: list[bytes]


@dataclass
class RotatingNode(RealNode):
    """Node 1 of a row without delays. `skew_ns`: by so much is the test's clock ahead, as the node's is after `set_clock`.

    `pairs`: of every key that was seen, the replay sets that it was seen with.
    """

    mean_delay_ns: int = 0
    rotates: bool = True
    waves: list[Wave] = field(default_factory=list)
    pairs: dict[bytes, set[bytes]] = field(default_factory=dict)
    skew_ns: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.inside = self.folder / "inside"
        self.inside.mkdir()
        self.draw = random.Random(str(self.folder))
        self._after = sphinx.keypairs(1, entropy=b"the hop after")[1][0]

    @property
    def config(self) -> dict[str, Any]:
        """With keys for slots."""
        mixing = {"floor": 0, "min_batch_size": 1, "max_latency": "0ms"}
        return super().config | {"keys": KEYS, "mixing": mixing, "replay_capacity": 5000} | self.options

    def now_ns(self) -> int:
        """Unix time by the test's clock."""
        return time.time_ns() + self.skew_ns

    def wave(self) -> Wave:
        """Fresh packets for slots that a client would draw now, and on to node 2."""
        node, geometry = self.plan.network.node(1), self.plan.network.geometry
        descriptor = read_descriptor(self.plan.network.path.parent / node.descriptor, 1, node.identity, self.now_ns())
        slots = [TIMES.number(self.now_ns() - self.draw.randrange(TIMES.late_ns // 2)) for _ in range(BURST)]
        publics, kx_publics = np.zeros((BURST, 2, 32), np.uint8), np.zeros((BURST, 2, 32), np.uint8)
        keys = [descriptor.public(slot) for slot in slots]
        assert all(keys), f"no keys for {slots}: {descriptor.first_slot} and {len(descriptor.publics)} more are listed"
        publics[:, 0], publics[:, 1] = np.frombuffer(b"".join(filter(None, keys)), np.uint8).reshape(BURST, 32), self._after
        data, targets = np.zeros((BURST, geometry.data_size), np.uint8), np.full((BURST, 1), 2, np.uint16)
        packets = sphinx.build_requests(data, publics, targets, geometry=geometry, kx_publics=kx_publics)
        return Wave([TIMES.key_slot(slot) for slot in slots], packets, [row.tobytes() for row in kx_publics[:, 1]])

    def send_wave(self, wave: Wave) -> None:
        """The packets of a wave, in fresh frames."""
        packets = zip(wave.packets, wave.key_slots, strict=True)
        self.send_frames([self.upstream.frame(packet.tobytes(), key_slot=key_slot) for packet, key_slot in packets])

    def flow(self, seconds: float, stop: Callable[[], object] = bool) -> None:
        """Fresh packets, 200 a second, for so long or until `stop`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stop():
            self.waves.append(self.wave())
            self.send_wave(self.waves[-1])
            self.receive()
            self.note_pairs()
            time.sleep(EVERY_S)

    def note_pairs(self) -> None:
        """Which keys have which replay sets now."""
        for path in pair_files(self.state_dir):
            try:
                pair = open_pair(path)
            except (FastmixError, OSError):
                continue
            self.pairs.setdefault(pair.public, set()).add(pair.set_id)

    def onward(self) -> list[bytes]:
        """The `kx_public` of every packet that has come out, in order."""
        opened = self.opened()
        assert all(each.verdict == Verdict.OK for each in opened)
        return [each.packet[:32] for each in opened]

    def kill_at(self, point: str, whom: str = "control") -> None:
        """Lets control or the data plane kill itself at a point of a rotation; returns when the next one does its work."""
        assert self.inside
        order, before = self.inside / f"kill-{point}", until(lambda: self.child(whom))
        order.touch()
        self.flow(30, lambda: not order.exists())
        assert not order.exists(), f"nobody has passed {point}"
        until(lambda: self.child(whom) not in (0, before) and self.state() == "running")

    def kill_all(self) -> None:
        """kill -9 of the whole node, which then starts again over the same files."""
        os.killpg(self.pid, signal.SIGKILL)
        self.ended()
        self.start()

    def replay(self) -> int:
        """Sends everything that was sent before once more; how many packets."""
        for wave in self.waves:
            self.send_wave(wave)
        return len(self.waves) * BURST

    def set_clock(self, ahead_ns: int) -> None:
        """Sets the wall clock of the node's control, which is read at its next look."""
        assert self.inside
        fresh = self.inside / "clock.new"
        fresh.write_text(str(ahead_ns))
        fresh.replace(self.inside / "clock")
