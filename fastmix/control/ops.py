"""What a node can be asked: each question's least role, whether it is recorded in the audit log, and the answer.

An answer is a JSON value; `FastmixError` says why there is none.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastmix.control.access import Role
from fastmix.control.duties import Duties
from fastmix.control.key_list import key_list
from fastmix.control.slot_keys import SlotKeyDuty
from fastmix.errors import ConfigError, FastmixError
from fastmix.status import NodeState

MIXING_WAIT_S = 10.0
POLL_S = 0.005
READY_WAIT_S = 60.0

Asked = dict[str, Any]


async def status(duties: Duties, asked: Asked) -> Any:
    """State and what the machine can do."""
    return duties.status().to_dict()


async def metrics(duties: Duties, asked: Asked) -> Any:
    """All counters."""
    found = duties.metrics()
    return {**found.counters, "dropped": found.dropped, "unwraps_per_s": found.unwraps_per_s}


async def health(duties: Duties, asked: Asked) -> Any:
    """What is wrong."""
    return duties.health().to_dict()


async def network(duties: Duties, asked: Asked) -> Any:
    """Who is in the network, as this node knows it."""
    if duties.member is None:
        raise ConfigError(f"{duties.network.path}: this node has its network from a file: fastmix network check shows it")
    return duties.member.shown()


async def settings(duties: Duties, asked: Asked) -> Any:
    """Every setting, and where it comes from."""
    return {name: {"value": value, "from": source} for name, (value, source) in duties.config.settings.items()}


async def ready(duties: Duties, asked: Asked) -> Any:
    """Answers when the data plane receives."""
    for _ in range(int(READY_WAIT_S / POLL_S)):
        if duties.state() is not NodeState.STARTING:
            return duties.status().to_dict()
        await asyncio.sleep(POLL_S)
    raise FastmixError(f"the data plane was not ready in {READY_WAIT_S:.0f} s: see its log")


async def stop(duties: Duties, asked: Asked) -> Any:
    """Drains, or with `now` drops what still waits."""
    duties.drain(2 if asked.get("now") else 1)
    return True


async def configure_mixing(duties: Duties, asked: Asked) -> Any:
    """Waits until the data plane has taken the strategy, or has refused it."""
    async with duties.mixing_turn:
        try:
            number = duties.ask_mixing(base64.b64decode(asked["blob"], validate=True))
        except (KeyError, ValueError, TypeError) as error:
            raise ConfigError(f"configure_mixing: {error}") from None
        for _ in range(int(MIXING_WAIT_S / POLL_S)):
            refused = duties.mixing_answer(number)
            if refused:
                raise ConfigError(refused)
            if refused is not None:
                return True
            await asyncio.sleep(POLL_S)
    raise FastmixError("the data plane did not answer in 10 s: see its log")


def slot_keys_of(duties: Duties) -> SlotKeyDuty:
    """The keys that rotate; `ConfigError` where they do not, `KeyRotationFailed` where they cannot be had now."""
    if duties.slot_keys is None:
        raise ConfigError(
            f"{duties.network.path}: its nodes have keys without an end, which do not rotate: make a network whose keys do "
            "(fastmix network new --slot 10min), or give this node a new key by hand (fastmix keys new)"
        )
    duties.slot_keys.check_begun()
    return duties.slot_keys


async def keys(duties: Duties, asked: Asked) -> Any:
    """Slots, policy, clock."""
    return key_list(slot_keys_of(duties))


async def rotate_keys(duties: Duties, asked: Asked) -> Any:
    """A new chain; `compromised`: all keys burn now."""
    compromised = asked.get("compromised", False)
    if not isinstance(compromised, bool):
        raise ConfigError(f"compromised = {compromised!r} is neither true nor false")
    async with duties.keys_turn:
        slot_keys = slot_keys_of(duties)
        first = await slot_keys.burn(duties.secret, duties.adopted) if compromised else slot_keys.renew()
        return {"first_slot": first, "opens_ns": slot_keys.policy.times.opens_ns(first)}


async def set_key_rotation_policy(duties: Duties, asked: Asked) -> Any:
    """What is named changes; the rest stays as it is in force."""
    async with duties.keys_turn:
        slot_keys = slot_keys_of(duties)
        policy = slot_keys.policy.changed(asked.get("policy"))
        slot_keys.set_policy(policy)
        duties.keep_policy(policy)
        return policy.to_dict()


async def confirm_clock(duties: Duties, asked: Asked) -> Any:
    """Follows a jump of the wall clock that waits."""
    async with duties.keys_turn:
        slot_keys = slot_keys_of(duties)
        parted_ns = slot_keys.clock.parted_ns
        slot_keys.clock.confirm()
        return {"followed_ns": parted_ns, "held_ns": slot_keys.clock.held_ns}


@dataclass(frozen=True, slots=True)
class Op:
    """A question: `act` answers whoever has the role `least`. `recorded`: in the audit log, with the values named in `shown`;
    `needed`: not done where that cannot be."""

    least: Role
    act: Callable[[Duties, Asked], Awaitable[Any]]
    recorded: bool = False
    needed: bool = False
    shown: tuple[str, ...] = ()


OPS = {
    "status": Op(Role.VIEWER, status),
    "metrics": Op(Role.VIEWER, metrics),
    "health": Op(Role.VIEWER, health),
    "settings": Op(Role.VIEWER, settings),
    "network": Op(Role.VIEWER, network),
    "ready": Op(Role.VIEWER, ready),
    "keys": Op(Role.VIEWER, keys),
    "stop": Op(Role.OPERATOR, stop, recorded=True, shown=("now",)),
    "rotate_keys": Op(Role.KEY_OFFICER, rotate_keys, recorded=True, needed=True, shown=("compromised",)),
    "set_key_rotation_policy": Op(Role.KEY_OFFICER, set_key_rotation_policy, recorded=True, needed=True, shown=("policy",)),
    "confirm_clock": Op(Role.KEY_OFFICER, confirm_clock, recorded=True, needed=True),
    "configure_mixing": Op(Role.ADMIN, configure_mixing, recorded=True, needed=True),
}
"""All that a node can be asked. A strategy is code that the node runs, so bringing one is an admin's."""
