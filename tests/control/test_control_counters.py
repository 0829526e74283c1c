"""Counters are read while threads write them."""

import mmap
import os
import signal

import numpy as np
import pytest

from fastmix.seam import counters
from fastmix.seam.counters import COUNTER_PAGES, CounterPage


def test_threads_that_never_rest() -> None:
    """There is no moment at which all pages stand still: a reader that waited for one would stop its control process."""
    shared = mmap.mmap(-1, COUNTER_PAGES.itemsize)
    pages = np.frombuffer(shared, COUNTER_PAGES)["page"][0, 0]
    pages["copy"][:, 0] = 3
    began = pages["generation"].copy()
    child = os.fork()
    if not child:
        generations = pages["generation"].data
        while True:
            for at in range(len(pages)):
                generations[at] += 2
    try:
        while (pages["generation"] == began).any():
            continue
        for _ in range(20):
            assert set(CounterPage(memoryview(shared)).read().values()) == {3 * len(pages)}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader takes that has found no such moment: the current copy of each page of this life."""
    record = np.zeros(1, COUNTER_PAGES)
    record["life"] = 3
    generations = np.arange(len(record["page"][0, 0]), dtype=np.uint64)
    record["page"]["generation"][0, 1] = generations
    record["page"]["copy"][0, 1, generations, generations & np.uint64(1), 0] = generations + np.uint64(1)
    record["page"]["copy"][0, 0, :, :, 0] = 999
    at_once = CounterPage(record.view(np.uint8).data).read()
    monkeypatch.setattr(counters, "TRIES", 0)
    assert CounterPage(record.view(np.uint8).data).read() == at_once
    assert at_once["received"] == 17 * 18 // 2
