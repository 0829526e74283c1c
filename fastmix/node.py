"""`Mixnode`: a node that a Python program starts, asks and stops. It wires, and decides nothing.

Nothing is forked in the user's program: the node is a process of its own, started with `python -m fastmix.process`. The two
hold a
socket pair; when the program ends, however it ends, the node drains and ends too.
"""

import asyncio
import base64
import json
import os
import pickle
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fastmix import errors
from fastmix.config import MixingConfig, MixnodeConfig
from fastmix.control.ask import LAST_METRICS, ask
from fastmix.errors import ConfigError, FastmixError, NetworkFailure
from fastmix.keys.policy import KeyRotationPolicy
from fastmix.mixing import MixingStrategy
from fastmix.network_of import network_of
from fastmix.process.environment import child_environment
from fastmix.process.mixing import mixing_blob, unpicklable
from fastmix.status import Health, HealthIssue, HealthStatus, Metrics, NodeState, NodeStatus

START_TIMEOUT_S = 90.0
METRICS_TIMEOUT_S = 2.0
"""`get_metrics` blocks its caller no longer."""


class Mixnode:
    """One mix node.

    ```python
    async with Mixnode(MixnodeConfig.load("node.toml")) as node:
        print(await node.get_status())
    ```
    """

    def __init__(self, config: MixnodeConfig) -> None:
        """Takes the configuration; `ConfigError` if its network file or its strategy is wrong. Nothing is started."""
        self.config = config
        self._network = network_of(config)
        self._network.node(config.number)
        self._blob(config.mixing)
        self._process: asyncio.subprocess.Process | None = None
        self._owner: socket.socket | None = None
        self._state = NodeState.STOPPED
        self._last_metrics = Metrics()

    @classmethod
    def with_mixing_strategy(cls, config: MixnodeConfig, strategy: MixingStrategy) -> Self:
        """A node with a strategy of your own. It travels pickled, so its class must be in a module that the node can import."""
        mixing = config.mixing.model_copy(update={"strategy": strategy, "options": {}, "classes": ()})
        return cls(config.model_copy(update={"mixing": mixing}))

    async def start(self) -> None:
        """Starts the node and returns once it receives.

        Raises the error that keeps it from starting: `NetworkFailure` (port), `ConfigError` (files), `ResourceExhausted`,
        `CryptoError`.
        """
        if self._process is not None and self._process.returncode is None:
            raise FastmixError(f"node {self.config.node_id} is running: stop it before starting it again")
        ours, theirs = socket.socketpair()
        config_fd = os.memfd_create("fastmix-config")
        os.write(config_fd, pickle.dumps(self.config))
        os.lseek(config_fd, 0, os.SEEK_SET)
        fds = (config_fd, theirs.fileno())
        self._state = NodeState.STARTING
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "fastmix.process", *map(str, fds), pass_fds=(*fds, *self._passphrase_fd()),
                env=child_environment(self.config.isa), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(config_fd)
            theirs.close()
        self._owner = ours
        await self._wait_until_ready(ours)
        self._state = NodeState.RUNNING

    async def stop(self, *, now: bool = False) -> None:
        """Drains the node and waits for its end; `now` drops what still waits. Does nothing on a node that is not running."""
        process, owner = self._process, self._owner
        if process is None or owner is None:
            return
        if process.returncode is None:
            self._state = NodeState.DRAINING
            try:
                await asyncio.to_thread(ask, self.config.state_dir, "stop", now=now)
            except NetworkFailure:
                process.terminate()
        code = await process.wait()
        owner.close()
        self._read_last_metrics()
        self._process = self._owner = None
        self._state = NodeState.STOPPED if code == 0 else NodeState.FAILED

    async def get_status(self) -> NodeStatus:
        """The node now. A node that has not been started, or has ended, says so."""
        if self._process is None or self._process.returncode is not None:
            code = 0 if self._process is None else self._process.returncode
            if code:
                return NodeStatus(self.config.node_id, NodeState.FAILED, reason=f"the node ended with code {code}: see its log")
            return NodeStatus(self.config.node_id, self._state)
        answer = await asyncio.to_thread(ask, self.config.state_dir, "status")
        return NodeStatus.from_dict(answer)

    def get_metrics(self) -> Metrics:
        """A consistent set of counters, of now; of its last moment if the node has ended."""
        if self._process is not None and self._process.returncode is None:
            try:
                self._last_metrics = Metrics(**ask(self.config.state_dir, "metrics", METRICS_TIMEOUT_S))
            except NetworkFailure:
                self._read_last_metrics()
        return self._last_metrics

    async def health_check(self) -> Health:
        """What is wrong with the node now, with remedies. One that does not run is unhealthy."""
        if self._process is not None and self._process.returncode is None:
            return Health.from_dict(await asyncio.to_thread(ask, self.config.state_dir, "health"))
        status = await self.get_status()
        problem = status.reason or f"the node is {status.state.value}: it takes no packets"
        return Health((HealthIssue("state", HealthStatus.UNHEALTHY, problem, "start it"),))

    async def configure_mixing(self, mixing: MixingConfig | MixingStrategy) -> None:
        """Another strategy or other limits on the running node; no packet is lost. `ConfigError`: refused, the old one stays."""
        if not isinstance(mixing, MixingConfig | MixingStrategy):
            raise ConfigError(f"configure_mixing({mixing!r}): give a MixingConfig, or an instance of a strategy")
        if isinstance(mixing, MixingStrategy):
            mixing = self.config.mixing.model_copy(update={"strategy": mixing, "options": {}, "classes": ()})
        blob = base64.b64encode(self._blob(mixing)).decode()
        await self._ask_running("configure_mixing", blob=blob)
        self.config = self.config.model_copy(update={"mixing": mixing})

    async def rotate_keys(self, compromised: bool = False) -> int:
        """Begins a new chain of mix keys, two slots from now on, and publishes the descriptor anew: the first new slot.

        `compromised`: burns all keys now instead, and begins again at once; packets under way that were built for them are lost,
        and counted. `KeyRotationFailed` says what holds now; `ConfigError` on a node whose keys do not rotate.
        """
        answer = await self._ask_running("rotate_keys", compromised=compromised)
        return int(answer["first_slot"])

    async def set_key_rotation_policy(self, policy: KeyRotationPolicy) -> None:
        """Another interval, overlap period or number of backup keys on the running node, until it ends. `ConfigError`: refused,
        the old policy stays; slots and graces are the network's, and no node changes them alone."""
        if not isinstance(policy, KeyRotationPolicy):
            raise ConfigError(f"set_key_rotation_policy({policy!r}): give a KeyRotationPolicy")
        await self._ask_running("set_key_rotation_policy", policy=policy.to_dict())

    async def _ask_running(self, op: str, **more: Any) -> Any:
        """`ask`, of a node that runs."""
        if self._process is None or self._process.returncode is not None:
            raise NetworkFailure(f"node {self.config.node_id} does not run: start it")
        return await asyncio.to_thread(lambda: ask(self.config.state_dir, op, **more))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    def _blob(self, mixing: MixingConfig) -> bytes:
        strategy = mixing.strategy
        if isinstance(strategy, MixingStrategy) and type(strategy).__module__ == "__main__":
            raise unpicklable(strategy, "its class is in the main script, which the node does not import")
        return mixing_blob(mixing, self._network, self.config.number)

    def _passphrase_fd(self) -> tuple[int, ...]:
        identity = self.config.identity
        return () if identity is None or identity.passphrase_fd is None else (identity.passphrase_fd,)

    async def _wait_until_ready(self, owner: socket.socket) -> None:
        """One line comes: the node is ready, or why it is not."""
        owner.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(owner, b'{"op": "ready"}\n')
        try:
            line = await asyncio.wait_for(read_line(loop, owner), START_TIMEOUT_S)
        except (TimeoutError, asyncio.CancelledError):
            await self._give_up(owner)
            raise
        if line and "error" not in json.loads(line):
            return
        await self._give_up(owner)
        answer = json.loads(line) if line else {"error": "the node ended before it was ready: see its log"}
        raise getattr(errors, answer.get("kind", ""), FastmixError)(answer["error"])

    async def _give_up(self, owner: socket.socket) -> None:
        owner.close()
        self._state = NodeState.FAILED
        if self._process is not None:
            if self._process.returncode is None:
                self._process.terminate()
            await self._process.wait()

    def _read_last_metrics(self) -> None:
        path: Path = self.config.state_dir / LAST_METRICS
        if path.exists():
            self._last_metrics = Metrics(**json.loads(path.read_bytes()))


async def read_line(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bytes:
    """Bytes up to the first line's end; empty if the other side ended before."""
    line = b""
    while not line.endswith(b"\n"):
        part = await loop.sock_recv(connection, 4096)
        if not part:
            return b""
        line += part
    return line
