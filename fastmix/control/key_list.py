"""What a node shows of its keys: slots, publics, times, how full the replay sets are. Never a secret."""

from typing import Any

from fastmix.control.slot_keys import SlotKeyDuty
from fastmix.descriptor import NOBODY
from fastmix.keys.slots import SlotTimes
from fastmix.seam.fill import replay_fills


def key_list(duty: SlotKeyDuty) -> dict[str, Any]:
    """The keys of a node that rotate, as JSON has them; times in ns of Unix time."""
    now_ns, rotation, interval = duty.now_ns(), duty.rotation, duty.interval
    policy, times, starts = interval.policy, interval.policy.times, rotation.chain.starts
    first, publics = rotation.publics(now_ns, interval.end_slot)
    fills = {fill.slot: round(100.0 * fill.tags / fill.capacity, 3) for fill in replay_fills(duty.config.state_dir)}
    slots = []
    for slot, public in enumerate(publics, first):
        pair = rotation.pairs.get(slot)
        chain = pair.chain_id if pair else max((start for start in starts if start[0] <= slot), default=(0, b""))[1]
        slots.append(
            {
                "slot": slot,
                "state": state_of(slot, now_ns, times, has_key=public != NOBODY),
                "opens_ns": times.opens_ns(slot),
                "closes_ns": times.closes_ns(slot),
                "public": public.hex() if public != NOBODY else None,
                "chain": chain.hex()[:8],
                "replay_fill_percent": fills.get(slot, 0.0),
            }
        )
    return {
        "now_ns": now_ns,
        "slots": slots,
        "descriptor": {"path": str(duty.descriptor_path), "good_until_ns": interval.until_ns, "next_ns": interval.ends_ns},
        "policy": policy.to_dict(),
        "clock": {"parted_ns": duty.clock.parted_ns, "held_ns": duty.clock.held_ns},
    }


def state_of(slot: int, now_ns: int, times: SlotTimes, *, has_key: bool = True) -> str:
    """Where a slot is: `coming`, `early` (accepted before its time), `now`, `late` (still accepted), or `lost`: it has no key."""
    if not has_key:
        return "lost"
    if now_ns < times.opens_ns(slot):
        return "coming"
    return "early" if slot > times.number(now_ns) else "now" if slot == times.number(now_ns) else "late"
