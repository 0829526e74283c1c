"""Counter reservations across the deaths of a control process, and without a disk."""

import shutil

import numpy as np
import pytest

from fastmix.config import MixnodeConfig
from fastmix.control.duties import Duties
from fastmix.links.reservations import BLOCK
from fastmix.network import Network
from fastmix.plan import plan_network
from fastmix.seam.memory import Region, create_memory, page_sections, secret_sections

LAYERS = [[("127.0.0.1", 1)], [("127.0.0.1", 2)], [("127.0.0.1", 3)]]


def memory(sections):
    return Region(create_memory("fastmix-test", sections), sections)


@pytest.fixture
def duties(tmp_path):
    """Makes a control process's duties over the same or new shared memory."""
    plan = plan_network(LAYERS, 2).write(tmp_path / "network")
    config = MixnodeConfig(
        number=2,
        network=plan.network.path,
        secret_file=plan.secret_path(tmp_path / "network", 2),
        state_dir=tmp_path,
        reservations_file=tmp_path / "reserved" / "counters",
    )
    (tmp_path / "reserved").mkdir()

    def make(page=None):
        page = page or memory(page_sections())
        return Duties(config, Network.load(config.network), page, memory(secret_sections()))

    return make


def numbers(page, n=3):
    words = page["links"]["send_counter"][:n].astype(object)
    return [int(word) & 0xFFFFFFFF for word in words], [int(word) >> 32 for word in words]


def test_a_successor_goes_on_where_the_links_are(duties) -> None:
    first = duties()
    first.begin()
    assert numbers(first.page) == ([0, 0, 0], [0, 0, 0])
    first.page["links"]["send_counter"][1] = 7 | 9 << 32
    second = duties(first.page)
    second.begin()
    assert numbers(second.page) == ([0, 7, 0], [0, 9, 0])
    again = duties()
    again.begin()
    assert numbers(again.page) == ([2 * BLOCK] * 3, [2 * BLOCK] * 3), "new memory: beyond all that was reserved"


@pytest.mark.parametrize("done", range(3))
def test_killed_between_two_links(duties, done) -> None:
    """A predecessor that gave counters to some links only: the others still get fresh ones, none begins at 0 again."""
    duties().begin()
    page = memory(page_sections())
    whole = duties(page)
    whole.begin()
    page["links"]["send_limit"][done:] = 0
    page["links"]["send_counter"][done + 1 :] = 0
    duties(page).begin()
    steps, seqs = numbers(page)
    assert min(steps) >= 2 * BLOCK
    assert min(seqs) >= 2 * BLOCK
    assert steps[done:] == [4 * BLOCK] * (3 - done)


def test_without_a_disk_links_go_on_as_long_as_counters_last(duties, tmp_path, caplog) -> None:
    control = duties()
    control.begin()
    shutil.rmtree(tmp_path / "reserved")
    links = control.page["links"]
    limits = links["send_limit"].copy()
    links["send_counter"][0] = (2 * BLOCK - 5) | 17 << 32
    for _ in range(3):
        control.tick()
    assert np.array_equal(links["send_limit"], limits), "nothing is promised that is not on disk"
    assert caplog.text.count("links stop when what is reserved is used up") == 1
    (tmp_path / "reserved").mkdir()
    control.tick()
    assert int(links["send_limit"][0]) & 0xFFFFFFFF > 2 * BLOCK
