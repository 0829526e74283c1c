"""How a node comes into its network: it goes on with what it has kept, makes a network, or asks those it was told of."""

import asyncio
import logging
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.config.join import JoinConfig
from fastmix.directory.admission import Admission
from fastmix.directory.back_off import BackOff
from fastmix.directory.bootstrap import Bootstrap, parse_bootstrap
from fastmix.directory.document import Rule, Settings
from fastmix.directory.records import FUTURE_NS, Place
from fastmix.directory.token_file import directory_folder, read_token_hash
from fastmix.errors import ConfigError, CryptoError, NetworkFailure
from fastmix.files.addresses import parse_address
from fastmix.files.durations import duration_ns
from fastmix.peers.directory_state import DirectoryState
from fastmix.peers.messages import WIRE_VERSION, Clock, Introduction, Question, read
from fastmix.tls.connection import Connection
from fastmix.tls.end import End, Handlers
from fastmix.tls.greeting import Visitor

log = logging.getLogger(__name__)
NETWORK_ID_SIZE = 16
NOWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node is reached: its datagrams, its control port; and where that port listens."""

    data: Place
    control: Place
    listens: tuple[str, int]


def folder_of(config: MixnodeConfig) -> Path:
    """Where a node keeps its directory: beside its identity's store."""
    assert config.identity is not None
    return directory_folder(config.identity.store)


def join_of(config: MixnodeConfig) -> JoinConfig:
    """The [join] of a node that has one."""
    assert config.join is not None
    return config.join


def places_of(config: MixnodeConfig) -> Places:
    """`ConfigError` where the node listens everywhere and does not say where it is reached."""
    join = join_of(config)
    assert config.listen_addr is not None
    (data_host, data_port), (host, port) = parse_address(config.listen_addr), parse_address(join.control_addr)
    reached = join.announce or next((each for each in (data_host, host) if each not in NOWHERE), None)
    if reached is None:
        raise ConfigError(
            f"listen_addr = {config.listen_addr} is everywhere: say in [join] at which address others reach this node: "
            'announce = "203.0.113.7"'
        )
    data = data_host if data_host not in NOWHERE and not join.announce else reached
    control = host if host not in NOWHERE and not join.announce else reached
    return Places(Place(data, data_port), Place(control, port), (host, port))


def settings_of(config: MixnodeConfig, network: bytes) -> Settings:
    """What all nodes of a network have in common, as a node has it."""
    join, keys = join_of(config), config.keys
    assert keys is not None
    times = keys.policy.times
    delay_ns = duration_ns(join.mean_delay)
    return Settings(network, WIRE_VERSION, join.geometry, join.classes, delay_ns, times.slot_ns, times.early_ns, times.late_ns)


def rule_of(config: MixnodeConfig, me: bytes) -> Rule:
    """Who signs the documents of a network that this node begins."""
    join = join_of(config)
    authorities = tuple(sorted({bytes.fromhex(text) for text in join.authorities} or {me}))
    if me not in authorities:
        raise ConfigError(f"[join] authorities: this node begins the network, but {me.hex()} is not among them: add it")
    return Rule(authorities, join.threshold or len(authorities) // 2 + 1)


def new_network(config: MixnodeConfig, me: bytes, now_ns: int) -> DirectoryState:
    """A network that begins with this node."""
    settings = settings_of(config, os.urandom(NETWORK_ID_SIZE))
    state = DirectoryState(Introduction(settings, rule_of(config, me), b""), now_ns, folder_of(config))
    state.save()
    log.info("this node begins network %s", settings.network.hex())
    return state


def admission_of(config: MixnodeConfig, rule: Rule) -> Admission:
    """Whom an authority lets in. `KeyStoreError` where its token's hash is damaged."""
    join = join_of(config)
    listed = {bytes.fromhex(text) for text in join.admitted} | set(rule.authorities)
    if join.admission != "token":
        return Admission(join.admission, b"", listed)
    assert config.identity is not None
    return Admission("token", read_token_hash(config.identity.store) or b"", listed)  # b"": nobody comes in until there is one


def bootstraps_of(config: MixnodeConfig) -> list[Bootstrap]:
    """The nodes that are asked first. `ConfigError` where one has no PIN, and whoever answers is not to be believed."""
    join = join_of(config)
    found = [parse_bootstrap(text) for text in join.bootstrap]
    for each in found:
        if each.pin is None and not join.trust_first:
            raise ConfigError(
                f"bootstrap {each.host}:{each.port} has no PIN behind #: take it from that node's operator, or set trust_first = "
                "true to believe whoever answers there"
            )
    return found


@dataclass(frozen=True)
class Entered:
    """A connection to a node of the network, and what that node says the network is."""

    connection: Connection
    introduction: Introduction
    bootstrap: Bootstrap
    server: bytes

    def open_to(self, handlers: Handlers) -> None:
        """Lets the other end ask, too: this end knows its network now."""
        self.connection.answer_by(handlers(Visitor(self.server, "node", is_peer=False), self.connection))


async def enter(end: End, bootstrap: Bootstrap) -> Entered:
    """Asks one node for an introduction. `NetworkFailure` says why there is none: the clocks, too, must agree."""
    connection, record = await end.join((bootstrap.host, bootstrap.port), "node", bootstrap.pin, bootstrap.token or b"")
    try:
        there = read(await connection.ask(Question.CLOCK, b""), Clock).unix_ns
        if abs(ahead_ns := there - time.time_ns()) > FUTURE_NS:
            raise NetworkFailure(f"its clock is {ahead_ns / 1e9:+.0f} s from this machine's: one of them is wrong")
        introduction = read(await connection.ask(Question.INTRODUCTION, b""), Introduction)
    except NetworkFailure as failure:
        connection.end("no introduction")
        raise NetworkFailure(f"{bootstrap.host}:{bootstrap.port}: {failure}") from None
    return Entered(connection, introduction, bootstrap, record.identity)


async def enter_any(end: End, bootstraps: list[Bootstrap]) -> Entered:
    """The first of several that answers; tried again until one does, and said so."""
    draw, back_off, said = random.SystemRandom(), BackOff(), ""
    while True:
        problems = []
        for bootstrap in draw.sample(bootstraps, len(bootstraps)):
            try:
                return await enter(end, bootstrap)
            except NetworkFailure as failure:
                problems.append(str(failure))
        if said != (said := "; ".join(sorted(problems))):
            log.warning("no way into the network yet: %s; tried again until there is one", said)
        now = asyncio.get_running_loop().time()
        back_off.failed(now, draw.random())
        await asyncio.sleep(back_off.not_before - now)


def check_agrees(config: MixnodeConfig, introduction: Introduction) -> None:
    """`ConfigError` where the network is another one than the configuration says."""
    theirs, mine = introduction.settings, settings_of(config, introduction.settings.network)
    pairs = ((name, getattr(mine, name), getattr(theirs, name)) for name in Settings.__struct_fields__)
    if said := "; ".join(f"{name} is {there} there and {here} here" for name, here, there in pairs if here != there):
        raise ConfigError(f"the network is another one than this configuration says: {said}: set [join] and [keys] alike")


def begin_state(config: MixnodeConfig, introduction: Introduction, now_ns: int) -> DirectoryState:
    """What the node knows of a network that it has been introduced to. `NetworkFailure` where that cannot be."""
    check_agrees(config, introduction)
    try:
        state = DirectoryState(introduction, now_ns, folder_of(config))
    except CryptoError as error:
        raise NetworkFailure(str(error)) from None
    state.save()
    return state
