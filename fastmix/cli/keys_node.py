"""`fastmix keys list|rotate|policy|clock`: the keys of a running node."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastmix.cli.output import print_json, print_table
from fastmix.cli.status import start_of, state_dir_of
from fastmix.control.ask import ask

COMING = 3
"""Slots to come that the table shows."""
PUBLIC_SHOWN = 16
"""Hex digits of a public key in the table."""


def list_(node: Path, /, *, json: bool = False) -> None:
    """List the keys of a running node: the slots that are live and those to come, and how full the replay sets are.

    Parameters
    ----------
    node
        The node's configuration file, or its state directory.
    json
        Print one JSON object: every slot that the descriptor lists, the policy, the clock.
    """
    found = asked(node, "keys")
    if json:
        print_json(found)
        return
    slots = found["slots"]
    live = [slot for slot in slots if slot["state"] != "coming"]
    coming = [slot for slot in slots if slot["state"] == "coming"]
    print_table([("slot", "state", "opens", "closes", "public key", "chain", "replay set"), *map(row, live + coming[:COMING])])
    if len(coming) > COMING:
        print(f"and {len(coming) - COMING} more; the descriptor is good until {moment(found['descriptor']['good_until_ns'])}")
    tell_clock(found["clock"])


def rotate(node: Path, /, *, compromised: bool = False, json: bool = False) -> None:
    """Begin a new chain of mix keys on a running node, two slots from now on, and publish the descriptor anew.

    Parameters
    ----------
    node
        The node's configuration file, or its state directory.
    compromised
        Burn all keys now, and begin again at once. Packets under way that were built for them are lost.
    json
        Print one JSON object.
    """
    done = asked(node, "rotate_keys", compromised=compromised)
    if json:
        print_json(done)
    else:
        print(f"slot {done['first_slot']}, which opens at {moment(done['opens_ns'])}, is the first with a key of the new chain")


def policy(
    node: Path, /, *, interval: str | None = None, overlap_period: str | None = None, backup_keys: int | None = None,
    json: bool = False,
) -> None:  # fmt: skip
    """Show the rotation policy of a running node, or change it until the node ends; a change publishes the descriptor anew.

    Parameters
    ----------
    node
        The node's configuration file, or its state directory.
    interval
        Publish a new descriptor so often, such as 24h.
    overlap_period
        The one before stays good for so long.
    backup_keys
        Keys that a descriptor lists besides.
    json
        Print one JSON object.
    """
    new = {"interval": interval, "overlap_period": overlap_period, "backup_keys": backup_keys}
    new = {name: value for name, value in new.items() if value is not None}
    found = asked(node, "set_key_rotation_policy", policy=new) if new else asked(node, "keys")["policy"]
    if json:
        print_json(found)
    else:
        print_table([(name.replace("_", " "), value) for name, value in found.items()])


def clock(node: Path, /, *, confirm: bool = False, json: bool = False) -> None:
    """Show the clock that a running node's keys go by, which does not follow jumps of the wall clock by itself.

    Parameters
    ----------
    node
        The node's configuration file, or its state directory.
    confirm
        The wall clock is right now: follow it.
    json
        Print one JSON object.
    """
    if confirm:
        asked(node, "confirm_clock")
    found = asked(node, "keys")["clock"]
    if json:
        print_json(found)
    elif not tell_clock(found):
        print("keys go by the wall clock")


def asked(node: Path, op: str, **more: Any) -> Any:
    """The answer of the node of a configuration file or a state directory."""
    return ask(node if node.is_dir() else state_dir_of(node), op, start=start_of(node), **more)


def row(slot: dict[str, Any]) -> tuple[object, ...]:
    """A slot in the table."""
    public = f"{slot['public'][:PUBLIC_SHOWN]}…" if slot["public"] else "none"
    fill = "" if slot["state"] == "coming" else f"{slot['replay_fill_percent']:.1f} %"
    return slot["slot"], slot["state"], moment(slot["opens_ns"]), moment(slot["closes_ns"]), public, slot["chain"], fill


def moment(unix_ns: int) -> str:
    """`2026-11-23 21:50:00Z`."""
    return datetime.fromtimestamp(unix_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def tell_clock(found: dict[str, int]) -> bool:
    """Says what is wrong with the clock, if anything is."""
    if found["parted_ns"]:
        way = "ahead of" if found["parted_ns"] > 0 else "behind"
        print(f"the wall clock is {abs(found['parted_ns']) / 1e9:.0f} s {way} the time that keys go by: if it is right,")
        print("fastmix keys clock NODE --confirm")
    if found["held_ns"]:
        print(f"the time that keys go by stands for {found['held_ns'] / 1e9:.0f} s, for the wall clock was set back")
    return bool(found["parted_ns"] or found["held_ns"])
