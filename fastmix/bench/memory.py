"""`fastmix bench memory`: what a node's processes hold while 10,000 messages wait in its pool."""

import time
from dataclasses import replace
from typing import Any

from fastmix.bench.machine import describe_machine
from fastmix.bench.node import Request
from fastmix.bench.probe import Timing
from fastmix.bench.progress import Progress, silent
from fastmix.bench.session import open_session, seconds_since
from fastmix.bench.under_test import Memory
from fastmix.errors import BatchTimeout, ConfigError
from fastmix.profile import load_profile

POOLED = 10_000
RATE = 4_000.0
HOLD = ('strategy = "timed"', 'options = { interval = "600s" }', 'max_latency = "20min"')
"""A strategy that lets nothing go while the node is measured."""
PATIENCE_S = 10.0
LIMIT_MB = 200.0


def bench_memory(request: Request, *, progress: Progress = silent) -> dict[str, Any]:
    """Measures. The result is what `--json` prints. `BatchTimeout` where the node does not take the messages in."""
    request.check()
    check_room(request.settings.profile)
    began = time.monotonic()
    settings = replace(request.settings, mixing=HOLD)
    with open_session(True, progress) as session, session.node(settings) as node:
        empty = node.memory()
        whole_s = 1.02 * POOLED / RATE
        session.offer(node, request.traffic)(RATE, Timing(0.0, whole_s, 0.0))
        give_up = time.monotonic() + PATIENCE_S
        while (pooled := node.metrics().pooled) < POOLED:
            if time.monotonic() > give_up:
                raise BatchTimeout(f"the node pooled {pooled} of {POOLED} messages in {PATIENCE_S:.0f} s: see its log and drops")
            time.sleep(0.05)
        full, n_processes = node.memory(), len(node.pids())
        workers = node.config.workers
    return {
        "bench": "memory", "machine": describe_machine(), **request.words, "workers": workers, "pooled": pooled,
        "processes": n_processes, "limit_mb": LIMIT_MB, "empty": megabytes(empty), "full": megabytes(full),
        "seconds": seconds_since(began),
    }  # fmt: skip


def check_room(profile: str | None) -> None:
    """`ConfigError` where a profile's pool is too small."""
    slots = load_profile(profile).node.get("pool_slots", POOLED) if profile else POOLED
    if slots < POOLED:
        raise ConfigError(f"--profile {profile}: {POOLED:,} messages do not fit into its pool_slots = {slots}: name another one")


def megabytes(memory: Memory) -> dict[str, float | None]:
    """`memory_mb`: Pss_Anon + Pss_Shmem of all processes, replay set aside (None where the kernel does not tell); and RSS."""
    return {
        "memory_mb": None if memory.own is None else round(memory.own / 1e6, 1),
        "replay_mb": round(memory.replay / 1e6, 1),
        "rss_mb": round(memory.rss / 1e6, 1),
    }
