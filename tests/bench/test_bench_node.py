"""`fastmix bench node` and its kin: a real node under a small load, and the logic around it."""

import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.dom import minidom

import numpy as np
import psutil
import pytest

from fastmix.bench import cores, figures, latency, memory, node, node_report, session, table, under_test
from fastmix.bench._load import Load, table_of
from fastmix.bench.capacity import confirmed, find_capacity
from fastmix.bench.node import Request
from fastmix.bench.probe import Run, Timing, backlog_of, percentiles, run_load
from fastmix.bench.progress import silent
from fastmix.bench.session import open_session
from fastmix.bench.table import CONFIGURATIONS
from fastmix.bench.under_test import Memory, Settings, children, memory_of, part_of
from fastmix.cli.main import main
from fastmix.errors import ConfigError
from fastmix.files.temporary import SHARED_MEMORY
from fastmix.seam.lifeline import set_timer_slack
from fastmix.udp import backends

ROOT = Path(__file__).parent.parent.parent
QUIET = Run(1000.0, 1000.0, 50_000.0, 20.0, 0.0, 0.0, 1.0, dict.fromkeys(("p50", "p90", "p99", "p999", "max"), 1.0), {})


@pytest.fixture(autouse=True)
def ordinary_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run beside these."""
    monkeypatch.setattr(cores, "PRIORITY", 0)
    monkeypatch.setattr(under_test, "PRIORITY", 0)


def test_everything_that_is_sent_comes_back() -> None:
    with open_session(True, silent) as opened, opened.node(Settings("jumbo")) as under:
        for traffic in ("plain", "train"):
            run = run_load(under, opened.neighbours, 1_600, traffic, Timing(0.05, 0.25, 0.5))  # half a second for what is late
            assert run.loss == 0
            assert run.counts["bad"] == run.counts["doubled"] == run.counts["refused"] == 0
            assert run.counts["sent"] == 1280
            assert 0 < run.latency_ms["p50"] <= run.latency_ms["p99"] <= run.latency_ms["max"]
            assert 0 < run.cpu_percent < 250
        metrics = under.metrics()
        assert metrics.received == 2560
        assert not metrics.dropped_total
        assert metrics.conservation == 0


def short_runs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "QUICK_PROBE", Timing(0.05, 0.1, 0.02))
    patch.setattr(session, "QUICK_MEASURED", Timing(0.05, 0.2, 0.02))


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Any]]:
    """One short `bench node`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "PRIORITY", 0)
        patch.setattr(under_test, "PRIORITY", 0)
        patch.setattr(node, "SHARES", (0.5,))
        short_runs(patch)
        yield json.loads(json.dumps(node.bench_node(Request(Settings()), quick=True)))


def test_a_node_is_measured(measured: dict[str, Any]) -> None:
    assert measured["messages_per_s"] > 100
    assert measured["messages_per_node_cpu_s"] > 100
    assert measured["io_used"] in ("gso", "mmsg", "socket")
    assert 0.2 < measured["core_ghz"] < 10
    assert measured["loss"] <= 0.001
    assert 0 < measured["latency_ms"]["p50"] <= measured["latency_ms"]["p99"] <= measured["latency_ms"]["p999"]
    assert 0 < measured["cpu_percent"] < 250
    assert 20 < (measured["memory_mb"] or 100) < 1000
    assert measured["rss_mb"] > 50
    assert measured["overload"]["goodput_share"] < 2
    assert measured["overload"]["counts"]["received"] > 0
    stages = measured["stages_ns"]
    assert sum(ns for name, ns in stages.items() if name != "whole") == pytest.approx(stages["whole"], rel=0.01)
    assert measured["conservation"] == 0
    assert isinstance(measured["noise"], list)
    reports_are_well_formed(measured)


def row_of(measured: dict[str, Any], configuration: Any, traffic: str) -> dict[str, Any]:
    document = {"messages_per_s": configuration.messages_per_s, "latency": configuration.latency, "cpu": configuration.cpu}
    names = {"configuration": configuration.name, "traffic": traffic, "document": document}
    return measured | {"geometry": "wan"} | names


def reports_are_well_formed(measured: dict[str, Any]) -> None:
    rows = [row_of(measured, each, traffic) for each in CONFIGURATIONS for traffic in ("plain", "train")]
    whole = {"bench": "table", "machine": measured["machine"], "baseline": measured["baseline"], "rows": rows, "seconds": 1.0}
    for result, plots in ((measured, 1), (whole, 2), (whole | {"baseline": {"wan": None, "jumbo": None}}, 2)):
        page = minidom.parseString(node_report.html_page(result).partition("\n")[2])
        assert len(page.getElementsByTagName("svg")) == plots
    told = node_report.throughput_rows(whole)
    assert [row[1] for row in told if "promised" in row[0]] == ["~5K", "~25K", "~50K"]
    assert len(told) == 9


def test_a_part_of_the_table_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """One node, both kinds of traffic, and what reads the result."""
    short_runs(monkeypatch)
    monkeypatch.setattr(table, "CONFIGURATIONS", CONFIGURATIONS[:1])
    monkeypatch.setattr(table, "GEOMETRIES", ["jumbo"])
    result = json.loads(json.dumps(table.bench_table(quick=True)))
    assert set(result["baseline"]) == {"wan", "jumbo"}
    assert [(row["configuration"], row["geometry"], row["traffic"], row["workers"]) for row in result["rows"]] == [
        ("single thread", "jumbo", "plain", 1),
        ("single thread", "jumbo", "train", 1),
    ]
    for row in result["rows"]:
        assert {"p50", "p99", "p999"} <= set(row["latency_ms"])
        assert row["messages_per_s"] > 100
        assert row["messages_per_node_cpu_s"] > 100
        assert row["cpu_percent"] > 0
        assert row["rss_mb"] > (row["memory_mb"] or 0)
        assert 0 <= row["loss"] <= 1
        assert 0 <= row["steal"] <= 1
    assert "| single thread, as promised | ~5K | ~50 ms | ~20 % |" in figures.table_text(result)
    assert minidom.parseString(node_report.html_page(result).partition("\n")[2])


def test_a_table_that_cannot_be_finished_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "max_segments", lambda: 0)
    with pytest.raises(ConfigError, match='io = "gso"'):
        table.bench_table()


def test_latency_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    short_runs(monkeypatch)
    monkeypatch.setattr(latency, "FIXED_RATE", 500)
    monkeypatch.setattr(latency, "FIXED_FROM", 100)
    result = json.loads(json.dumps(latency.bench_latency(Request(Settings()), quick=True)))
    assert [point["offered_per_s"] for point in result["points"]] == [pytest.approx(0.7 * result["capacity_per_s"], abs=2), 500]
    assert result["points"][0]["share_of_capacity"] == 0.7
    for point in result["points"]:
        p99 = [run["latency_ms"]["p99"] for run in point["runs"]]
        assert len(p99) == 2
        assert point["latency_ms"]["p99"] == max(p99) > 0
    assert minidom.parseString(node_report.html_page(result).partition("\n")[2])


@pytest.mark.parametrize("refused", [0, 1234])
def test_a_full_replay_set_makes_a_row_noisy(refused: int) -> None:
    told = SimpleNamespace(dropped={"drop_replay_full": refused})
    under = SimpleNamespace(memory=lambda: Memory(None, 0, 10**8), metrics=lambda: told, io=lambda: "gso")
    noise = session.figures_of(under, replace(QUIET, noise=["loud"]), QUIET)["noise"]
    assert noise == ["the replay set was full and refused 1,234 packets"] * bool(refused) + ["loud"]


def test_memory_of_ten_thousand_messages() -> None:
    result = memory.bench_memory(Request(Settings()))
    assert result["pooled"] >= 10_000
    assert result["processes"] == 3
    full = result["full"]
    if full["memory_mb"] is not None:
        assert result["empty"]["memory_mb"] < full["memory_mb"] <= result["limit_mb"]
        assert full["replay_mb"] > 0
    assert minidom.parseString(node_report.html_page(result).partition("\n")[2])


def offered(capacity: float, noisy: bool = False) -> Any:
    """A node that carries `capacity`; with `noisy` every third run fails for no reason."""
    calls = []

    def offer(rate: float, timing: Timing) -> Run:
        calls.append(rate)
        carries = rate <= capacity and not (noisy and len(calls) % 3 == 0)
        return replace(QUIET, offered_per_s=rate, messages_per_s=min(rate, capacity), loss=0.0 if carries else 0.1)

    return offer


@pytest.mark.parametrize("capacity", [900.0, 12_345.0, 250_000.0])
@pytest.mark.parametrize("guess", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("noisy", [False, True])
def test_capacity_is_found(capacity: float, guess: float, noisy: bool) -> None:
    found = find_capacity(offered(capacity, noisy), guess * capacity, Timing())
    assert found.sustained
    assert found.rate <= capacity
    assert found.rate > capacity * (0.8 if noisy else 0.95)
    assert len(found.tried) < 20


@pytest.mark.parametrize(("lasting", "confirms"), [(95.0, True), (80.0, True), (60.0, False)])
def test_what_a_longer_run_does_not_confirm_is_no_capacity(lasting: float, confirms: bool) -> None:
    found = find_capacity(offered(100.0), 100.0, Timing())
    last = confirmed(offered(lasting), found, Timing())
    assert last.sustained == confirms
    assert last.rate <= lasting or not confirms
    assert last.run is last.tried[-1]


def test_a_node_that_carries_nothing_is_said_to() -> None:
    assert not find_capacity(offered(0.0), 1000.0, Timing()).sustained


def test_a_growing_backlog_is_no_capacity() -> None:
    n = 1000
    here = np.ones(n, np.bool_)
    assert backlog_of(np.full(n, 2_000_000), here) == 0
    late = backlog_of(np.linspace(0, 50_000_000, n).astype(np.int64), here)
    assert late == pytest.approx(45, rel=0.02)
    assert not replace(QUIET, backlog_ms=late).sustained
    assert backlog_of(np.zeros(n, np.int64), ~here) > 100
    assert not replace(QUIET, loss=0.0011).sustained
    assert not replace(QUIET, messages_per_s=985.0).sustained, "15 ms of a second have not arrived"
    assert replace(QUIET, messages_per_s=995.0).sustained
    assert replace(QUIET, loss=0.001, backlog_ms=9.9).sustained


def test_percentiles() -> None:
    values = percentiles(np.arange(1_000_000, 1_001_000_000, 1_000_000))
    assert (values["p50"], values["max"]) == (500.5, 1000.0)
    assert values["p50"] < values["p90"] < values["p99"] < values["p999"] < values["max"]
    assert set(percentiles(np.zeros(0, np.int64)).values()) == {0.0}


def test_the_table_of_packets() -> None:
    kx_publics = np.random.default_rng(1).integers(0, 256, (500, 32), np.uint8)
    keys, packets = table_of(kx_publics)
    first = kx_publics[:, :8].copy().view(np.uint64)[:, 0]
    assert {int(key): int(packet) for key, packet in zip(keys, packets, strict=True) if key} == {
        int(key): i for i, key in enumerate(first)
    }
    with pytest.raises(ValueError, match="distinct"):
        table_of(np.repeat(kx_publics, 2, 0))


def test_the_load_refuses_nonsense() -> None:
    frames, keys = np.zeros((4, 1232), np.uint8), np.zeros((3, 32), np.uint8)
    with pytest.raises(ValueError, match="as many"):
        Load(frames, keys, [0], 0, [], 16, False)
    with pytest.raises(ValueError, match="at most"):
        Load(frames, np.ones((4, 32), np.uint8), [0], 0, [], 65, False)


def test_memory_is_told_apart() -> None:
    smaps = (
        "7f00-7f10 rw-s 00000000 00:19 5 /dev/shm/x/state/replay-0\nRss: 90 kB\nPss: 45 kB\n7f20-7f30 rw-p 0 00:00 0\nPss: 9 kB\n"
    )
    assert part_of(smaps, "/dev/shm/x/state") == 45 << 10
    mine = memory_of([os.getpid()], "/nowhere")
    assert mine.own is None or 0 < mine.own < mine.rss
    assert memory_of([0x7FFFFFFF], "/nowhere").rss == 0


@pytest.mark.parametrize("place", [SHARED_MEMORY, None], ids=["in memory", "on a disk"])
def test_a_replay_set_is_apart_wherever_it_lies(place: Path | None, tmp_path: Path) -> None:
    """The kernel counts its pages as shared memory on a tmpfs, as those of a file elsewhere."""
    size = 64 << 20
    with tempfile.TemporaryDirectory(dir=place or tmp_path) as folder:
        before = memory_of([os.getpid()], folder)
        with (Path(folder) / "replay").open("w+b") as file:
            file.truncate(size)
            with mmap.mmap(file.fileno(), size) as mapping:
                mapping[::4096] = bytes(size // 4096)
                during = memory_of([os.getpid()], folder)
    assert (before.replay, during.replay) == (0, size)
    if before.own is not None:
        assert during.own == pytest.approx(before.own, abs=8 << 20)


def test_the_process_is_as_before_when_it_was_measured() -> None:
    """Also where it had been set to something unusual."""
    usual_ns, affinity = set_timer_slack(77_000), os.sched_getaffinity(0)
    try:
        with cores.quiet_process() as found:
            assert os.sched_getaffinity(0) == {found.load}
            assert set_timer_slack(1_000) == 1_000
        assert os.sched_getaffinity(0) == affinity
        assert set_timer_slack(usual_ns) == 77_000
    finally:
        set_timer_slack(usual_ns)


def test_one_core_is_too_few() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with pytest.raises(ConfigError, match="a core each"):
            latency.bench_latency(Request(Settings()))
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    "words",
    [
        ["node", "--geometry", "lan"],
        ["latency", "--traffic", "trams"],
        ["node", "--workers", "9999"],
        ["node", "--io", "pigeon"],
        ["node", "--workers", "0"],
        ["memory", "--workers", "0"],
        ["memory", "--profile", "warp"],
        ["memory", "--profile", "small-host"],
        ["table", "--html", "/nowhere/at/all.html"],
    ],
    ids=" ".join,
)
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    told = capsys.readouterr().err
    assert words[-1] in told
    assert words[-1] == "warp" or words[-2] in told
    assert ".toml" not in told


def directories(family: list[int]) -> list[Path]:
    """A bench's directories that command lines of processes name."""
    words = [word for pid in family for word in psutil.Process(pid).cmdline() if not word.endswith(".toml")]
    return [Path(word) for word in words if word.rpartition("/")[2].startswith("fastmix-bench-")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_interrupted_it_leaves_nothing(number: signal.Signals) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "fastmix", "bench", "memory"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    give_up = time.monotonic() + 60
    # the node, and who will remove its directory and names it: once executed, for a forked child says what its parent says
    while len(family := children(running.pid)) < 2 or not (named := directories(family)):
        assert time.monotonic() < give_up
        assert running.poll() is None
        time.sleep(0.01)
    [place] = named
    assert place.is_dir()
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == (-number if number is signal.SIGKILL else 128 + number)
    assert b"Traceback" not in said
    give_up = time.monotonic() + 20
    while place.exists() or [pid for pid in family if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < give_up
        time.sleep(0.01)
