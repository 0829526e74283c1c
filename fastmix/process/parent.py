"""The parent process: `fastmix run`. Holds sockets and memory, no keys; starts both children and starts them again.

One thread. It imports and compiles all that the data plane needs, then forks it, so that after a kill the next one is there
at once.
"""

import json
import logging
import math
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastmix.config import MixnodeConfig
from fastmix.control.ask import LAST_METRICS
from fastmix.control.duties import metrics_of
from fastmix.dataplane.plane import DataPlane
from fastmix.errors import ResourceExhausted
from fastmix.files.durable import write_durably
from fastmix.kernels.isa import active
from fastmix.network_of import network_of
from fastmix.process.data import EXIT_DRAINED, EXIT_KEYS, EXIT_REFUSED, NodeSetup, run_data_plane
from fastmix.process.environment import child_environment
from fastmix.process.jit import warm_jit
from fastmix.process.mixing import mixing_blob
from fastmix.process.placement import check_cores
from fastmix.process.state_dir import take_state_dir
from fastmix.process.swap import check_memory, check_swap
from fastmix.seam.lifeline import end_at_once, keep_unseen
from fastmix.seam.logs import configure_logs
from fastmix.seam.memory import Region, arena_sections, create_memory, kept_sections, page_sections, secret_sections, set_mixing
from fastmix.tune.admission import Room, admit
from fastmix.tune.capacity import unwraps_per_s
from fastmix.tune.host import Host
from fastmix.udp.endpoint import UdpEndpoint, open_endpoint

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MUTE = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
"""A terminal's Ctrl-C, or its end, reaches all; the parent decides. Blocked in control from its first instruction; SIGTERM until
it serves."""
EXIT_UNTOLD = 1
"""Stands for the code 0 of a data plane that has not drained: a strategy may have ended the process."""
SHORT_LIFE_S = 1.0
FAILURES = 5
"""A child that so often in a row fails before it is ready, or by itself within a second, is not started again."""
BACKOFF_S = 0.05
"""Doubled with each failure: what makes a child fail may pass."""
FAREWELL_MOST_S = 30.0
"""So long control may take to tell the network."""
END_WAIT_S = 2.0
"""So long a child that must end has to do so by itself."""


@dataclass
class Child:
    """A process that the parent keeps alive."""

    name: str
    start: Callable[[], int]
    pid: int = 0
    born: float = 0.0
    failures: int = 0

    def spawn(self) -> None:
        """Starts it."""
        self.born = time.monotonic()
        self.pid = self.start()

    def died(self, was_ready: bool, code: int) -> bool:
        """Notes its death; True if it may be started again. One that was killed when it was ready has not failed."""
        self.pid = 0
        failed = not was_ready or (code > 0 and time.monotonic() - self.born < SHORT_LIFE_S)
        self.failures = self.failures + 1 if failed else 0
        return self.failures < FAILURES


class Parent:
    """A node. `owner_fd`: the socket of the program that started it, if one did; `on_ready` is called once; `hook`: tests
    only."""

    def __init__(
        self, config: MixnodeConfig, *, owner_fd: int | None = None, on_ready: Callable[[UdpEndpoint], None] | None = None,
        hook: Callable[[DataPlane], None] | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.owner_fd = owner_fd
        self.on_ready = on_ready
        self.failed = 0
        self.told = 0
        self.drain_signals = {signal.SIGTERM, signal.SIGINT}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not under nohup: a terminal that closes ends its node
            self.drain_signals.add(signal.SIGHUP)
        self.give_up_at = self.drain_at = math.inf
        self.network = network_of(config)
        self.network.node(config.number)
        check_cores(config.cores)
        self._prepare_state_dir()
        self._measure()
        blob = mixing_blob(config.mixing, self.network, config.number)
        host, port = config.listen_address or self.network.node(config.number).address
        self.endpoint = open_endpoint(host, port, workers=config.workers, backend=config.io, receive_buffer=config.receive_buffer)
        self._warn(self.endpoint.receive_buffer_warning)
        self._make_memory(blob, hook)
        self.data = Child("data plane", self._fork_data)
        self.control = Child("control", self._exec_control)

    def run(self) -> int:
        """Until the node has drained, or cannot go on. Returns the exit code."""
        keep_unseen()
        try:
            end_at_once()
            warm_jit()  # may compile for a while
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            self.control.spawn()
            self._tell()
            self.data.spawn()
            while self.data.pid and time.monotonic() < self.give_up_at:
                self._wait()
        finally:
            self._end()
        return self.failed

    def _prepare_state_dir(self) -> None:
        state_dir = self.config.state_dir
        self.owner_lock = take_state_dir(self.config)
        self._warn(check_swap(state_dir, self.config.allow_swap))
        self._warn(check_memory(state_dir, self.config.allow_swap) if self.network.rotates else None)

    def _make_memory(self, blob: bytes, hook: Callable[[DataPlane], None] | None) -> None:
        geometry, capacity = self.network.geometry, self.config.pool_slots
        self.arena = Region(
            create_memory("fastmix-arena", arena_sections(geometry, capacity)), arena_sections(geometry, capacity)
        )
        self.page = Region(create_memory("fastmix-page", page_sections()), page_sections())
        self.secret_fd = create_memory("fastmix-secret", secret_sections())
        self.kept_fd = create_memory("fastmix-kept", kept_sections())
        set_mixing(self.page, blob)
        self.page["process"]["started_ns"] = time.monotonic_ns()
        self.page["process"]["io"] = self.endpoint.backend.encode()
        self.config_fd = os.memfd_create("fastmix-config")
        with open(self.config_fd, "wb", closefd=False) as file:
            pickle.dump((self.config, self.network), file)
        self.setup = NodeSetup(self.config, self.network, self.endpoint, self.arena, self.page, self.secret_fd, hook)

    def _measure(self) -> None:
        """What one core can do, in some 30 ms, and so how many packets are admitted."""
        self.unwraps_per_s = unwraps_per_s(self.network.geometry, strict_kx=self.config.strict_kx)
        self.admission = admit(self.config, self.network, self.unwraps_per_s, Room.of(self.config.state_dir, Host()))
        self.config = self.config.with_replay_tags(self.admission.capacity)

    def _tell(self) -> None:
        """Notes it, and says it."""
        process, isa = self.page["process"], self.config.isa
        if isa not in ("auto", active().name):
            self._warn(f"isa = {isa} is set, but {active().name} is in use: FASTMIX_ISA is set, or kernels were imported before")
        process["unwraps_per_s"] = self.unwraps_per_s
        process["isa"] = active().name.encode()
        log.info("datagrams move by %s", self.endpoint.backend)
        log.info("%s kernels unwrap %d packets a second and core", active().name, self.unwraps_per_s)
        log.info("replay sets: %s", self.admission.text)
        self._warn(": ".join(self.admission.problem) if self.admission.problem else None)

    def _fork_data(self) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.close(self.owner_lock)  # the parent's alone: when it is killed, a successor may start
            os.close(self.kept_fd)  # control's alone
            code = run_data_plane(self.setup, parent)
        except SystemExit:  # the parent was gone already
            code = EXIT_DRAINED
        except BaseException:
            log.exception("the data plane failed")
        finally:
            os._exit(code)

    def _exec_control(self) -> int:
        fds = {
            "config": self.config_fd, "page": self.page.fd, "secret": self.secret_fd, "kept": self.kept_fd,
            "owner": self.owner_fd,
        }  # fmt: skip
        handover = json.dumps({**fds, "parent": os.getpid()})
        kept = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds.values() if fd is not None]
        arguments = [sys.executable, "-P", "-m", "fastmix.control", handover]
        return os.posix_spawn(sys.executable, arguments, child_environment(), file_actions=kept, setsigmask=MUTE)

    def _wait(self) -> None:
        """One signal, or a look whether the node is ready. Told to drop, the data plane has to end soon: a strategy may hang."""
        if self.page["command"]["drain"][0] > 1:
            self.give_up_at = min(self.give_up_at, time.monotonic() + END_WAIT_S)
        if time.monotonic() >= self.drain_at:
            self._drain_now(1)
        waiting = self.on_ready is not None
        arrived = signal.sigtimedwait(SIGNALS, 0.02 if waiting else 1.0)
        if waiting and self.on_ready and self.page["process"]["ready"][0]:
            self.on_ready(self.endpoint)
            self.on_ready = None
        if arrived is None:
            return
        if arrived.si_signo == signal.SIGCHLD:
            self._reap()
        elif arrived.si_signo in self.drain_signals:
            self._drain()

    def _drain(self) -> None:
        """The first time drains, after a farewell where there is one; the second drops. A signal to the whole group is one,
        though the data plane notes it too."""
        self.told += 1
        process = self.page["process"]
        if self.told == 1 and process["farewell"][0] and self.control.pid:
            log.info("leaving: the network is told first, so that nothing comes any more")
            process["leave"] = 1
            self.drain_at = time.monotonic() + FAREWELL_MOST_S
            return
        self._drain_now(min(self.told, 2))

    def _drain_now(self, word: int) -> None:
        log.info("draining: nothing new is taken" if word == 1 else "stopping: what still waits is dropped")
        self.drain_at = math.inf
        command = self.page["command"]
        command["drain"] = max(word, int(command["drain"][0]))
        command["wake"] += 1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            for child in (self.data, self.control):
                if child.pid == pid:
                    self._lost(child, code)

    def _lost(self, child: Child, code: int) -> None:
        word = "data_pid" if child is self.data else "control_pid"
        was_ready = int(self.page["process"][word][0]) == child.pid
        if child is self.data and code == EXIT_DRAINED:
            if self.page["process"]["drained"][0]:
                child.pid = 0
                return
            code = EXIT_UNTOLD
        restartable = child.died(was_ready, code)
        if code in (EXIT_REFUSED, EXIT_KEYS) or not restartable:
            log.error("%s ended with code %d and is not started again: the node stops", child.name, code)
            self.failed = EXIT_KEYS if code == EXIT_KEYS else 1
            self.page["command"]["drain"] = max(1, int(self.page["command"]["drain"][0]))
            self.page["command"]["wake"] += 1
            return
        if self.page["command"]["drain"][0] and child is self.control:
            return
        log.warning("%s died (%s); the next one takes over", child.name, signal_name(code))
        if child.failures:
            time.sleep(BACKOFF_S * 2**child.failures)
        if child is self.data:
            self.page["process"]["restarts"] += 1
        child.spawn()

    def _end(self) -> None:
        """No child outlives the parent's work, not even one that is stopped. Control is last: it writes down where the counters
        of the links stand, once it knows that nobody uses them any more."""
        self._kill(self.data)
        self.page["process"]["ended"] = 1
        if self.control.pid:
            os.kill(self.control.pid, signal.SIGTERM)
            give_up = time.monotonic() + END_WAIT_S
            while self.control.pid and time.monotonic() < give_up:
                signal.sigtimedwait([signal.SIGCHLD], 0.02)
                if os.waitpid(self.control.pid, os.WNOHANG)[0]:
                    self.control.pid = 0
        self._kill(self.control)
        self.endpoint.close()
        self._leave_metrics()
        os.close(self.owner_lock)

    def _kill(self, child: Child) -> None:
        if child.pid:
            log.error("%s does not end by itself", child.name)
            self.failed = self.failed or int(child is self.data)
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            child.pid = 0

    def _leave_metrics(self) -> None:
        """The last counters, for whoever asks after the end."""
        metrics = metrics_of(self.page)
        last = {**metrics.counters, "dropped": metrics.dropped, "unwraps_per_s": metrics.unwraps_per_s}
        log.info("ended: %s", metrics.account)
        try:
            write_durably(self.config.state_dir / LAST_METRICS, json.dumps(last).encode() + b"\n")
        except OSError as error:
            log.warning("%s: the last counters cannot be written: %s", self.config.state_dir, error.strerror)

    def _warn(self, text: str | None) -> None:
        if text:
            log.warning("%s", text)


def signal_name(code: int) -> str:
    """`SIGKILL` or `code 1`."""
    return signal.Signals(-code).name if code < 0 else f"code {code}"


def run(config: MixnodeConfig, *, owner_fd: int | None = None, on_ready: Callable[[UdpEndpoint], None] | None = None) -> int:
    """Runs a node until it has drained. Returns the exit code; `FastmixError` where it cannot start."""
    configure_logs(config.log_level, config.node_id, "parent", config.log_format)
    try:
        return Parent(config, owner_fd=owner_fd, on_ready=on_ready).run()
    except MemoryError:
        raise ResourceExhausted(f"no memory for pool_slots = {config.pool_slots}: lower it") from None
