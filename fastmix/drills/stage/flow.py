"""A load that goes on for as long as a drill needs it: waves of packets, each built and sealed while the one before is sent.

Open loop: a packet has a time at which it is due, whatever the node does. The sink knows each packet of the last seconds by the
`kx_public` that it has there, and counts what comes twice.
"""

import queue
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from fastmix.bench._load import Load
from fastmix.bench.neighbours import UPSTREAMS, Neighbours, lay_out
from fastmix.drills.stage.packets import PacketMaker, Packets, step_back
from fastmix.sphinx.arrays import Bytes

WAVE_NS = 200_000_000
BURST = 16
"""Packets of one link that leave together."""
AHEAD = 5
"""Waves that are ready before they are due."""
LATE_NS = 2_000_000
SLICE_NS = 20_000_000
"""So often Ctrl-C is noticed."""
STALE_NS = 400_000_000
"""A wave that could not begin for so long is not sent: its packets' slots were chosen for another time."""
HISTORY_S = 12.0
"""So long the sink knows a packet, if not told otherwise."""
REST_S = 0.05
PATIENCE_NS = 1_500_000_000
"""After the last arrival nothing more comes."""
SECOND_NS = 300_000_000
"""After everything has come: so long a second one of something may still come."""
WHOLE_PATIENCE_NS = 20_000_000_000

Times = npt.NDArray[np.int64]
Seal = Callable[[Bytes, Bytes, Bytes], None]
"""Lays headers u8[n, 188] and key slots u8[n] out in frames u8[n, F], and seals these in bursts of one link each, the links in
turn."""


@dataclass
class Wave:
    """Packets that were sent or are being sent. `interval_ns` between two bursts, 0 where they were sent beside the flow. Times
    are monotonic: `place_ns` in a flow that nothing has held up, `planned_ns` for which the packets' slots were chosen."""

    packets: Packets
    load: Load
    place_ns: int
    planned_ns: int
    interval_ns: float
    copies: int
    frames: Bytes | None
    start_ns: int = 0

    @property
    def due_ns(self) -> Times:
        """When each packet had to leave, i64[n]."""
        return self.start_ns + (np.arange(len(self.packets)) // BURST * self.interval_ns).astype(np.int64)

    @property
    def arrived_ns(self) -> Times:
        """When each packet was at the sink, i64[n]; 0: not yet."""
        if not self.interval_ns:
            return self.load.arrived_ns
        return self.load.arrived_ns.reshape(-1, self.copies, BURST)[:, 0].reshape(-1)

    @property
    def end_ns(self) -> int:
        """When the next wave begins."""
        return self.start_ns + int(len(self.packets) // BURST * self.interval_ns)


class Flow:
    """Sends by `with`: `run` for a while, then `finish`. Counts go over the whole flow; `lost` only after `finish`.

    `copies`: each burst of packets leaves so many times at once, by a link and a socket of its own each.
    """

    def __init__(
        self,
        maker: PacketMaker,
        neighbours: Neighbours,
        rate: float,
        cores: tuple[int, ...],
        *,
        copies: int = 1,
        ahead: int = AHEAD,
        seal: Seal | None = None,
        history_s: float = HISTORY_S,
        recorded_s: float = 0.0,
    ) -> None:
        """`rate`: distinct packets a second; `ahead`: waves that are built before the first is sent; `seal`: makes frames;
        `recorded_s`: so long frames are kept as they were sent."""
        self._history_ns, self._recorded_ns = int(history_s * 1e9), int(recorded_s * 1e9)
        self._seal = seal or self._seal_in_turn
        self.rate, self.copies, self._ahead = rate, copies, ahead
        self._maker, self._neighbours, self._cores = maker, neighbours, cores
        self.waves: deque[Wave] = deque()
        self.sent = self.refused = self.late = self.received = self.bad = self.unknown = self.doubled = 0
        self.arrived = self.lost = self.skipped = self.expected = self.begun = self.idle_ns = 0
        self.latency_ms: list[npt.NDArray[np.float32]] = []
        self._shift_ns, self.rested = 0, False
        self._ready: queue.Queue[Wave] = queue.Queue(ahead)
        self._used: queue.SimpleQueue[Bytes] = queue.SimpleQueue()
        self._stopped, self._fault = Event(), queue.SimpleQueue[Exception]()
        self._builder = Thread(target=self._build_all, name="builder", daemon=True)
        self._counted: dict[str, int] = {}
        self._size = max(1, round(rate * WAVE_NS / 1e9 / BURST)) * BURST

    def __enter__(self) -> Self:
        guess_ns = int(self._ahead * self._size * 30_000 / len(self._cores)) + 50_000_000
        self._begin_ns = time.monotonic_ns() + guess_ns
        self._builder.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        while self._builder.is_alive():
            with suppress(queue.Empty):
                self._ready.get_nowait()
            self._builder.join(0.01)

    # Building, in a thread of its own

    def _build_all(self) -> None:
        step_back(set(self._cores))
        at_ns = self._begin_ns
        try:
            while not self._stopped.is_set():
                wave = self._build(at_ns)
                at_ns += int(self._size // BURST * wave.interval_ns)
                self._ready.put(wave)
        except Exception as error:
            self._fault.put(error)

    def _build(self, place_ns: int) -> Wave:
        planned_ns = place_ns + self._shift_ns
        unix_ns = time.time_ns() + planned_ns - time.monotonic_ns()
        packets = self._maker.headers(self._maker.slots_at(unix_ns, self._size))
        n_bursts, n = self._size // BURST, self._size * self.copies
        frames = self._neighbours.room_for(n) if self._used.empty() else self._used.get()

        def spread(column: Bytes) -> Bytes:
            """Each burst as many times as it is sent."""
            bursts = column.reshape(n_bursts, 1, BURST, -1).repeat(self.copies, 1)
            return bursts.reshape(n, -1) if column.ndim > 1 else bursts.reshape(n)

        self._seal(frames, spread(packets.headers), spread(packets.key_slots))
        onward = spread(packets.onward).reshape(n_bursts, self.copies, BURST, 32)
        onward[:, 1:] = 0  # the copies are not looked for
        load = self._load(frames, onward.reshape(n, 32))
        return Wave(packets, load, place_ns, planned_ns, BURST * 1e9 / self.rate, self.copies, frames)

    def _seal_in_turn(self, frames: Bytes, headers: Bytes, key_slots: Bytes) -> None:
        lay_out(frames, headers, key_slots)
        self._neighbours.seal(frames, BURST)

    def _load(self, frames: Bytes, onward: Bytes) -> Load:
        around = self._neighbours
        sources = [each.fileno() for each in around.sources]
        return Load(frames, onward, sources, around.sink.fileno(), around.sink_roots, BURST, False, self.copies)

    # Sending and receiving

    def run(self, seconds: float) -> None:
        """Goes on for so long."""
        if not self.waves:
            self._begin()
        end_ns = time.monotonic_ns() + int(seconds * 1e9)
        while (now_ns := time.monotonic_ns()) < end_ns:
            newest = self.waves[0]
            if now_ns < newest.end_ns:
                self._receive(min(end_ns, newest.end_ns, now_ns + SLICE_NS))
            elif self._sent_all(newest) and (wave := self._next(now_ns)) is not None:
                self._start(wave)
            else:
                self._receive(min(end_ns, now_ns + LATE_NS))
                self.idle_ns += time.monotonic_ns() - now_ns

    def _begin(self) -> None:
        """Waits until there is something to send."""
        while not self._ready.full():
            self._raise_fault()
            time.sleep(0.002)
        self._start(self._ready.get())

    def _sent_all(self, wave: Wave) -> bool:
        return wave.load.next_burst * BURST >= len(wave.packets) * wave.copies

    def _next(self, now_ns: int) -> Wave | None:
        """The wave that is due, if it is ready."""
        self._raise_fault()
        with suppress(queue.Empty):
            while True:
                wave = self._ready.get_nowait()
                if now_ns - wave.planned_ns <= STALE_NS:
                    return wave
                self._shift_ns = max(self._shift_ns, now_ns - wave.place_ns)
                self.skipped += len(wave.packets)
        return None

    def _raise_fault(self) -> None:
        if not self._fault.empty():
            raise self._fault.get()

    def _start(self, wave: Wave) -> None:
        """The newest wave from now on; the oldest are forgotten."""
        newest = self.waves[0] if self.waves else None
        wave.start_ns = max(wave.place_ns + self._shift_ns, time.monotonic_ns())
        self._shift_ns = wave.start_ns - wave.place_ns
        wave.load.schedule(wave.start_ns, wave.interval_ns, LATE_NS)
        if newest is not None:
            wave.load.follow(newest.load)
        for old in self.waves:
            if old.frames is not None and wave.start_ns - old.start_ns >= self._recorded_ns:
                self._used.put(old.frames)
                old.frames = None
        self._counted = {}
        self.waves.appendleft(wave)
        self.expected += len(wave.packets)
        self.begun += len(wave.packets)
        while wave.start_ns - self.waves[-1].start_ns > self._history_ns:
            self._forget()

    def _forget(self) -> None:
        oldest = self.waves.pop()
        if self.waves:
            self.waves[-1].load.follow(None)
        arrived = oldest.arrived_ns
        here = arrived > 0
        self.arrived += int(np.count_nonzero(here))
        self.lost += int(np.count_nonzero(~here))
        self.latency_ms.append(((arrived - oldest.due_ns)[here] / 1e6).astype(np.float32))

    def _receive(self, end_ns: int) -> None:
        """Runs the newest wave's load, and adds up what it counts."""
        self.waves[0].load.run(end_ns)
        counts = self.waves[0].load.counts()
        self._add(counts, self._counted)
        self._counted = counts

    def _add(self, counts: dict[str, int], before: dict[str, int]) -> None:
        for name, value in counts.items():
            setattr(self, name, getattr(self, name) + value - before.get(name, 0))

    @property
    def next_due_ns(self) -> int:
        """Which packets have been sent: those that were due before that time, and no others."""
        newest = self.waves[0]
        return newest.start_ns + int(newest.load.next_burst // newest.copies * newest.interval_ns)

    def rest(self) -> None:
        """Sends the rest of the wave of now, and nothing more before `run`; receives for another moment. What was built ahead is
        then stale, so the load begins anew."""
        self.rested = True
        while not self._sent_all(self.waves[0]):
            self._receive(time.monotonic_ns() + SLICE_NS)
        self._receive(time.monotonic_ns() + int(REST_S * 1e9))

    def finish(self) -> None:
        """Sends the rest of the wave of now and nothing more; returns when what can still come has come."""
        give_up_ns = time.monotonic_ns() + WHOLE_PATIENCE_NS
        quiet_ns = time.monotonic_ns() + PATIENCE_NS
        while (now_ns := time.monotonic_ns()) < min(give_up_ns, quiet_ns):
            before = self.received
            self._receive(now_ns + SLICE_NS)
            if not self._sent_all(self.waves[0]) or self.received > before:
                quiet_ns = time.monotonic_ns() + PATIENCE_NS
            elif all(wave.arrived_ns.all() for wave in self.waves):
                quiet_ns = min(quiet_ns, now_ns + SECOND_NS)
        while self.waves:
            self._forget()

    def told(self) -> dict[str, float]:
        """How late packets were at the sink, in ms. After `finish`."""
        latency = np.concatenate(self.latency_ms) if self.latency_ms else np.zeros(1, np.float32)
        quantiles = np.percentile(latency, [50, 99, 99.9])
        names = ("latency_p50_ms", "latency_p99_ms", "latency_p999_ms")
        return {name: round(float(value), 3) for name, value in zip(names, quantiles, strict=True)}

    @property
    def sent_per_s(self) -> float:
        """What it has really sent while it ran, copies too: its rate, less the times when nothing was ready or it lagged."""
        planned_ns = 1e9 * max(self.begun, 1) / self.rate
        return self.copies * self.rate * planned_ns / (planned_ns + self.idle_ns)

    # Beside the flow

    def send(self, packets: Packets, *, expected: bool = False) -> Wave | None:
        """Sends packets now, in fresh frames, by all links in turn. `expected`: they have not been sent before, and are looked
        for at the sink, as a wave of their own."""
        wave = self._expect(packets) if expected else None
        for number, first in enumerate(range(0, len(packets), BURST)):
            at = number % UPSTREAMS
            for frame in self._maker.frames(packets[first : first + BURST], self._neighbours.upstreams[at]):
                try:
                    self._neighbours.sources[at].send(frame)
                    self.sent += 1
                except OSError:  # nobody listens now
                    self.refused += 1
        return wave

    def send_again(self, packets: Packets, rate: float) -> None:
        """Sends packets of the last seconds once more, in fresh frames, at so many a second; nothing else meanwhile. Those that
        come out for the first time count as arrived, others as doubled."""
        frames = self._neighbours.room_for(len(packets))
        self._seal_in_turn(frames, packets.headers, packets.key_slots)
        self.send_frames(frames, rate)

    def send_frames(self, frames: Bytes, rate: float) -> None:
        """The same with frames as they are."""
        load = self._load(frames, np.zeros((len(frames), 32), np.uint8))
        load.follow(self.waves[0].load)
        load.schedule(time.monotonic_ns(), BURST * 1e9 / rate, LATE_NS)
        while load.next_burst * BURST < len(frames):
            load.run(time.monotonic_ns() + SLICE_NS)
        self._add(load.counts(), {})

    def _expect(self, packets: Packets) -> Wave:
        if not self.waves:
            self._begin()
        newest, now_ns = self.waves[0], time.monotonic_ns()
        frames = self._neighbours.room_for(len(packets))
        wave = Wave(packets, self._load(frames, packets.onward), now_ns, now_ns, 0.0, 1, None, now_ns)
        if len(self.waves) > 1:
            wave.load.follow(self.waves[1].load)
        newest.load.follow(wave.load)
        self.waves.insert(1, wave)
        self.expected += len(packets)
        return wave
