"""The data-plane process: adopts sockets and memory, then receives and mixes until it has drained.

Forked by the parent, which has imported and compiled all of it. One Python thread, which mixes. With one worker it also receives;
several are threads of C that never meet the GIL.
"""

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from fastmix.config import MixnodeConfig
from fastmix.dataplane.plane import DataPlane
from fastmix.errors import FastmixError
from fastmix.files.durations import duration_ns
from fastmix.files.private import lock, open_private
from fastmix.network import Network
from fastmix.process.mixing import tick_of
from fastmix.process.placement import place_threads
from fastmix.process.state_dir import DATA_LOCK
from fastmix.seam.counters import CounterPage
from fastmix.seam.lifeline import keep_unseen, set_lifeline, set_timer_slack
from fastmix.seam.logs import configure_logs
from fastmix.seam.memory import Region, secret_sections
from fastmix.seam.pair import open_pair, pair_path, pair_size
from fastmix.tune.admission import sets_of
from fastmix.udp.endpoint import UdpEndpoint

log = logging.getLogger(__name__)
EXIT_DRAINED = 0
EXIT_REFUSED, EXIT_KEYS = 3, 78
"""Problems that a restart would not mend; the second is control's, with the node's keys."""
LOOK_NS = 50_000_000
"""Longest time without a look at the commands' effects: kernel drops, snapshot, drain."""
WAIT_S = 0.002
LOCK_PATIENCE_S = 1.0
"""Then it is said what the node waits for."""
LAST_LOOK_NS = 100_000_000
"""So long at most what still comes is counted after the drain."""
ALARM_S = 1.0
"""So long after the longest drain an orphan that still lives is ended."""
TIMER_SLACK_NS = 1_000
"""The usual 50 us would stretch a nap of 200 us by a quarter."""


@dataclass
class NodeSetup:
    """What the parent has made before it forks. `hook` (tests only) is given the data plane before it starts."""

    config: MixnodeConfig
    network: Network
    endpoint: UdpEndpoint
    arena: Region
    page: Region
    secret_fd: int
    hook: Callable[[DataPlane], None] | None = field(default=None, repr=False)


def run_data_plane(setup: NodeSetup, parent_pid: int) -> int:
    """Lives until drained. Returns the exit code."""
    page = setup.page
    configure_logs(setup.config.log_level, setup.config.node_id, "data", setup.config.log_format)
    command_signals(page, parent_pid, drain_s=setup.config.drain_ns(setup.network.mean_delay_ns) / 1e9)
    set_lifeline(parent_pid)
    keep_unseen()
    set_timer_slack(TIMER_SLACK_NS)
    try:
        held = take_lock(setup)
        if held is None:
            return EXIT_DRAINED
        snapshot = Region(setup.secret_fd, secret_sections())
        snapshot.keep_private()
        if not wait_for_snapshot(page, snapshot):
            return EXIT_DRAINED
        plane = make_plane(setup, snapshot)
        if setup.hook:
            setup.hook(plane)
        place_threads(plane.start(), threading.get_native_id(), setup.config.cores, setup.config.priority)
        page["process"]["data_pid"] = os.getpid()
        page["process"]["ready"] = 1
        carry(plane, setup)
        os.close(held)
    except (FastmixError, OSError) as error:
        log.error("%s", error)
        return EXIT_REFUSED
    return EXIT_DRAINED


def command_signals(page: Region, parent_pid: int, drain_s: float) -> None:
    """SIGTERM drains, unless control is to say farewell first; Ctrl-C and the end of a terminal reach every process there, but
    are the parent's to judge. Where the parent is gone, nobody is there to end a data plane that stands still in a strategy: then
    an alarm does, once a drain should be over.
    """

    def drain(_signal: int, _frame: object) -> None:
        if page["process"]["farewell"][0] and os.getppid() == parent_pid:
            return  # the parent has that signal, too
        page["command"]["drain"] = max(1, int(page["command"]["drain"][0]))
        page["command"]["wake"] += 1
        if os.getppid() != parent_pid:
            signal.setitimer(signal.ITIMER_REAL, drain_s + ALARM_S)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def take_lock(setup: NodeSetup) -> int | None:
    """The state directory belongs to one data plane. A predecessor that was killed has lost it; one that lives is waited for.
    None: told to end meanwhile.
    """
    fd = open_private(setup.config.state_dir / DATA_LOCK, os.O_RDWR | os.O_CREAT)
    told_at = time.monotonic() + LOCK_PATIENCE_S
    while not lock(fd, WAIT_S):
        if told_to_end(setup.page):
            return None
        if time.monotonic() > told_at:
            log.warning("%s is in use by another node: stop that one, or name another state_dir", setup.config.state_dir)
            told_at = math.inf
    return fd


def told_to_end(page: Region) -> bool:
    """True, and noted as drained, if the node must end before it has begun."""
    if page["command"]["drain"][0]:
        page["process"]["drained"] = 1
    return bool(page["command"]["drain"][0])


def wait_for_snapshot(page: Region, snapshot: Region) -> bool:
    """True once control has published keys and links; False if the node is told to end before."""
    while not snapshot["snapshot"]["generation"][0]:
        if told_to_end(page):
            return False
        time.sleep(WAIT_S)
    return True


def make_plane(setup: NodeSetup, snapshot: Region) -> DataPlane:
    """The data plane over what the parent made and control published, in whatever state it was left."""
    counters = CounterPage(setup.page.bytes("counters")).read()
    config, geometry = setup.config, setup.network.geometry
    ios = [setup.endpoint.io(row_size=geometry.frame_size, batch=config.receive_batch, worker=i) for i in range(config.workers)]
    plane = DataPlane(
        geometry, setup.arena, setup.page, snapshot, ios,
        lambda pair_id: open_pair(pair_path(config.state_dir, pair_id)), batch=config.receive_batch,
        tick_ns=tick_of(setup.network.mean_delay_ns), nap_ns=duration_ns(config.nap),
        lookup_seed=int.from_bytes(os.urandom(8), "little"), strict_kx=config.strict_kx,
    )  # fmt: skip
    plane.recover(counters)
    plane.look(time.monotonic_ns(), boot_time_ns())
    tell_memory(plane, setup, snapshot)
    return plane


def boot_time_ns() -> int:
    """The clock that keys end by: it goes on while the machine sleeps, and nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def tell_memory(plane: DataPlane, setup: NodeSetup, snapshot: Region) -> None:
    """One line with all that was allocated: there will not be more."""
    config = setup.config
    log.info(
        "memory, all of it from the start: arena of %d slots %.1f MB, receive rings up to %.1f MB, keys and scratch %.1f MB, "
        "lists %.1f MB, replay sets %.1f MB now (up to %d of %.1f MB, for %d packets each), socket buffers up to %.1f MB",
        config.pool_slots, setup.arena.size / 1e6, sum(io.ring_size for io in plane.ios) / 1e6,
        (snapshot.size + plane.scratch_size) / 1e6, plane.road.private_size / 1e6, plane.keys.size / 1e6,
        sets_of(setup.network), pair_size(config.replay_tags) / 1e6, config.replay_tags,
        2 * config.workers * config.receive_buffer / 1e6,
    )  # fmt: skip


def carry(plane: DataPlane, setup: NodeSetup) -> None:
    """The loop: receive, mix, look at the commands."""
    command = setup.page["command"]
    draining = False
    look_at_ns = 0
    while True:
        now_ns = time.monotonic_ns()
        if now_ns >= look_at_ns:
            plane.look(now_ns, boot_time_ns())
            plane.kernel_drop_events = setup.endpoint.kernel_drop_events()
            look_at_ns = now_ns + LOOK_NS
        word = int(command["drain"][0])
        if word and not draining:
            plane.drain(now_ns, setup.config.drain_ns(setup.network.mean_delay_ns))
            draining = True
        if word > 1:
            plane.drop_rest()
        if plane.mix(now_ns):
            setup.page["process"]["last_batch_ns"] = time.time_ns()
        if draining and not len(plane.pool) and plane.stop():
            finish(plane, setup)
            return
        plane.road.run(min(plane.next_due_ns(now_ns), now_ns + LOOK_NS))


def finish(plane: DataPlane, setup: NodeSetup) -> None:
    """Counts what still lies in the socket, so that sums over a network close; a flood does not keep the node alive."""
    end_ns = time.monotonic_ns() + LAST_LOOK_NS
    with suppress(OSError):  # a socket that fails now has no more to say, and the node has drained all the same
        while plane.road.receive(time.monotonic_ns()) > 0 and time.monotonic_ns() < end_ns:
            continue
    plane.kernel_drop_events = setup.endpoint.kernel_drop_events()
    plane.publish()
    setup.page["process"]["drained"] = 1
