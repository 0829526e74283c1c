"""`fastmix bench kernels`: its figures are there and sane, and the baseline does our work."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest

from fastmix import sphinx
from fastmix.bench import kernels, one_at_a_time, sodium
from fastmix.bench._packet_stages import SodiumStage, UnwrapStage
from fastmix.bench._stages import Primitive, core_ghz
from fastmix.bench.kernels_report import replay_text
from fastmix.bench.noise import Reading, complaints
from fastmix.kernels.isa import active, supported
from fastmix.packet.geometry import GEOMETRIES

ROOT = Path(__file__).parent.parent.parent


def fastmix(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastmix", *words], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """(the JSON, the HTML) of one quick run."""
    html = tmp_path_factory.mktemp("bench") / "kernels.html"
    done = fastmix("bench", "kernels", "--quick", "--json", "--html", str(html))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout), html.read_text()


def test_the_replay_set_is_as_large_as_a_real_one_where_there_is_room() -> None:
    assert kernels.replay_size(16 << 30) == 400_000_000
    assert kernels.replay_size(800_000_000) == 200_000_000
    assert kernels.replay_size(1000) == 1 << 20
    assert kernels.replay_size((1 << 30) + 7) % 64 == 0
    figures = {"ns": 50.0, "bar_ns": 80, "core_share": 0.005, "at_per_s": 100_000}
    assert replay_text(figures).startswith("replay insert: 50.0 ns"), "as results of before have it"
    assert replay_text(figures | {"set_mb": 399.9}).startswith("replay insert into a set of 400 MB: 50.0 ns")


def test_the_figures_are_there_and_positive(run: tuple[dict[str, Any], str]) -> None:
    result, _ = run
    assert result["isa"] == active().name
    assert result["isa"] in result["isas"]
    assert 0.2 < result["core_ghz"] < 10
    assert result["x25519"]["cycles"] > 1000
    assert result["shuffle_ns"] > 0
    replay = result["replay_insert"]
    assert 1 < replay["ns"] < 10_000
    assert replay["core_share"] == pytest.approx(replay["ns"] / 1e4, rel=0.01)
    assert replay["bar_ns"] == 80
    assert 1 < replay["set_mb"] <= 400
    assert all(by_hops["1"] > by_hops["3"] > 100 for by_hops in result["build_requests"].values())
    assert 200 < result["subgroup"]["cycles"] < result["x25519"]["cycles"]
    assert all(0.01 < share < 0.5 for share in result["subgroup"]["unwrap_share"].values())
    for geometry in GEOMETRIES:
        unwrap = result["unwrap"][geometry]
        assert 5_000 < unwrap["cycles"] < 10_000_000
        assert unwrap["packets_per_s"] == pytest.approx(result["core_ghz"] * 1e9 / unwrap["cycles"], rel=0.15)  # clocks differ
        assert unwrap["floor_cycles"] is None or unwrap["floor_cycles"] < 1.05 * unwrap["cycles"], "a floor that is undercut"
        assert set(unwrap["by_batch"]) == {"8", "16", "32", "64", "128", "256"}
        assert set(result["link"][geometry]) == {"open", "seal"}
        assert result["build"][geometry]["3"]["cycles"] > result["build"][geometry]["1"]["cycles"] > 0
        assert result["baseline"]["pycryptodome"][geometry]["packets_per_s"] > 0
        if sodium.find_sodium():
            assert unwrap["vs_libsodium"] > 0
            assert result["baseline"]["libsodium"][geometry]["packets_per_s"] > 0
        else:
            assert unwrap["vs_libsodium"] is None
            assert "apt install" in result["baseline"]["libsodium"]["absent"]
    assert result["machine"]["cpu"]
    assert isinstance(result["noise"], list)


def test_the_report_is_well_formed(run: tuple[dict[str, Any], str]) -> None:
    _, html = run
    page = minidom.parseString(html.partition("\n")[2])
    assert len(page.getElementsByTagName("svg")) == 3
    assert len(page.getElementsByTagName("table")) == 2


@pytest.mark.parametrize("words", [["--isa", "sse9"], ["--html", "/nowhere/at/all.html"]])
def test_wrong_words_are_refused_at_once(words: list[str]) -> None:
    done = fastmix("bench", "kernels", *words)
    assert done.returncode == 2
    assert words[1] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_way_to_unwrap_gives_the_same(geometry: str) -> None:
    inputs = kernels.make_inputs()
    packets = inputs.packets[geometry][:9].copy()
    ours = UnwrapStage("portable", packets, inputs.secrets[0]).results()
    plain = sphinx.unwrap(packets, inputs.secrets[0], geometry=geometry, replay_key=inputs.secrets[0])
    for name in ("verdict", "next_index", "delay", "tag", "packets"):
        assert np.array_equal(ours[name], getattr(plain, name)), name
    for isa in supported():
        kernels.same_results(UnwrapStage(isa, packets, inputs.secrets[0]), UnwrapStage("portable", packets, inputs.secrets[0]))
    secret = inputs.secrets[0].tobytes()
    for use in filter(None, (one_at_a_time.pynacl(), one_at_a_time.pycryptodome())):
        for i, packet in enumerate(packets):
            index, delay, tag, onward = one_at_a_time.unwrap(use, packet.tobytes(), secret, secret)
            assert (index, delay, tag, onward) == (i, ours["delay"][i], ours["tag"][i].tobytes(), ours["packets"][i].tobytes())
    assert len(kernels.sodium_stages(sodium.find_sodium(), inputs)) in (0, 2)


def test_the_baseline_drops_what_we_drop() -> None:
    found = sodium.find_sodium()
    inputs = kernels.make_inputs()
    packets = inputs.packets["wan"][:5].copy()
    packets[1, :32] = 255
    packets[2, :32] = 0
    packets[3, 40] ^= 1
    ours = UnwrapStage("portable", packets, inputs.secrets[0]).results()["verdict"]
    assert np.count_nonzero(ours) == 3
    if found:
        assert np.array_equal(SodiumStage(found.addresses, packets, inputs.secrets[0]).results()["verdict"], ours)


def test_without_libsodium_the_other_figures_still_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sodium, "NAMES", ("libnothing.so.1",))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    result = kernels.bench_kernels("portable", quick=True)
    assert "apt install" in result["baseline"]["libsodium"]["absent"]
    for geometry in GEOMETRIES:
        assert result["unwrap"][geometry]["cycles"] > 0
        assert result["unwrap"][geometry]["vs_libsodium"] is None


def test_noise_is_named() -> None:
    quiet = Reading(0, 1000, 5000.0)
    assert complaints(quiet, Reading(10, 2000, 5500.0)) == []
    assert "took 3.0%" in complaints(quiet, Reading(30, 2000, 5000.0))[0]
    assert "reference loop" in complaints(quiet, Reading(0, 2000, 5800.0))[0]
    assert "reference loop" in complaints(Reading(0, 1000, 5800.0), Reading(0, 2000, 5000.0))[0]
    assert "2.0% late" in complaints(quiet, Reading(0, 2000, 5000.0), late_share=0.02)[0]


def test_stages_refuse_nonsense() -> None:
    packets = np.zeros((0, 1200), np.uint8)
    with pytest.raises(ValueError, match="1 to 256"):
        UnwrapStage("portable", packets, bytes(32))
    with pytest.raises(ValueError, match="not a primitive"):
        Primitive("md5", "portable", 8)
    with pytest.raises(ValueError, match="not known"):
        Primitive("x25519", "sse9", 8)
    assert core_ghz() > 0
