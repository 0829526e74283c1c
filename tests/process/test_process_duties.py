"""Counter reservations across the deaths of a control process, and without a disk."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fastmix.config import MixnodeConfig
from fastmix.control.duties import Duties
from fastmix.control.identity import NodeIdentity
from fastmix.errors import CryptoError
from fastmix.links.reservations import BLOCK
from fastmix.network import Network
from fastmix.plan import plan_network
from fastmix.seam.memory import Region, ask_mixing, create_memory, kept_sections, page_sections, secret_sections, set_mixing

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
    )
    network = Network.load(config.network)
    last = []
    kept = memory(kept_sections())

    def make(page=None, secret=None):
        for dead in last:
            if dead.links.reservations:
                dead.links.reservations.close()
        page, secret = page or memory(page_sections()), secret or memory(secret_sections())
        last[:] = [Duties(config, network, page, secret, NodeIdentity(config, network, kept))]
        return last[0]

    return make


def counter_files(tmp_path):
    return sorted((tmp_path / "network" / "secrets").glob("*.node-2.counters"))


def numbers(page, n=3):
    words = page["links"]["send_counter"][:n].astype(object)
    return [int(word) & 0xFFFFFFFF for word in words], [int(word) >> 32 for word in words]


def test_a_successor_goes_on_where_the_links_are(duties) -> None:
    first = duties()
    first.begin()
    assert numbers(first.page) == ([0, 0, 0], [0, 0, 0])
    first.page["links"]["send_counter"][1] = 7 | 9 << 32
    second = duties(first.page, first.secret)
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
    control.tick()
    spoilt, *_ = counter_files(tmp_path)
    spoilt.unlink()
    spoilt.mkdir()  # no file can take its place
    links = control.page["links"]
    limits = links["send_limit"].copy()
    links["send_counter"][:2] = (2 * BLOCK - 5) | 17 << 32
    for _ in range(3):
        control.tick()
    assert links["send_limit"][0] == limits[0], "nothing is promised that is not on disk"
    assert int(links["send_limit"][1]) & 0xFFFFFFFF > 2 * BLOCK, "the other links do not suffer"
    assert caplog.text.count("links stop when what is reserved is used up") == 1
    spoilt.rmdir()
    control.tick()
    assert int(links["send_limit"][0]) & 0xFFFFFFFF > 2 * BLOCK


def test_a_new_sphinx_secret_starts_no_counter_again(duties, tmp_path) -> None:
    duties().begin()
    for path in (tmp_path / "network" / "secrets").glob("node-2*"):
        path.rename(path.with_name(f"old-{path.name}"))
    again = duties()
    new = X25519PrivateKey.generate()
    again.config.secret_file.write_bytes(new.private_bytes_raw())
    again.config.secret_file.chmod(0o600)
    nodes = [replace(node, sphinx_public=new.public_key().public_bytes_raw()) for node in again.network.nodes]
    again.network = replace(again.network, nodes=tuple(nodes))
    again.begin()
    assert numbers(again.page) == ([2 * BLOCK] * 3, [2 * BLOCK] * 3)


def test_an_end_in_order_goes_on_exactly_there(duties) -> None:
    control = duties()
    control.begin()
    control.page["links"]["send_counter"][1] = 7 | 9 << 32
    control.settle()
    again = duties()
    again.begin()
    assert numbers(again.page) == ([0, 7, 0], [0, 9, 0])


def test_a_control_that_comes_back_reads_no_secret(duties, tmp_path, caplog) -> None:
    """The files may be gone, or say something else: what is published stays, and counters are reserved for that."""
    first = duties()
    first.begin()
    assert not hasattr(first, "roots")
    published = first.secret.bytes("snapshot").tobytes()
    secrets = [path for path in (tmp_path / "network" / "secrets").iterdir() if not path.suffix]
    first.config.network.write_text("geometry")
    secrets[0].write_bytes(bytes(31))
    for path in secrets[1:]:
        path.unlink()
    second = duties(first.page, first.secret)
    second.begin()
    second.page["links"]["send_counter"][1] = 2 * BLOCK - 5
    second.tick()
    assert int(second.page["links"]["send_limit"][1]) & 0xFFFFFFFF > 2 * BLOCK
    assert second.secret.bytes("snapshot").tobytes() == published
    assert second.status().node_id == "mix-002"
    assert not caplog.text


def test_lost_counters_while_it_runs(duties, tmp_path, caplog) -> None:
    """Removed under a running control, or between two: memory knows better, and it is said."""
    first = duties()
    first.begin()
    first.page["links"]["send_counter"][:3] = (BLOCK + 5) | 17 << 32
    first.tick()
    path, *_ = counter_files(tmp_path)
    path.unlink()
    first.links.looked_at = 0.0
    first.tick()
    assert path.exists()
    assert f"{path} was removed or replaced: written anew" in caplog.text
    path.unlink()
    second = duties(first.page, first.secret)
    second.begin()
    assert "1 files of link counters were missing or old" in caplog.text
    again = duties()
    again.begin()
    assert numbers(again.page)[0] == [3 * BLOCK] * 3


def test_damaged_counters_stop_no_running_node(duties, tmp_path, caplog) -> None:
    first = duties()
    first.begin()
    path, *_ = counter_files(tmp_path)
    path.write_text("{}")
    second = duties(first.page, first.secret)
    second.begin()
    second.tick()
    assert caplog.text.count("reservations are damaged") == 1
    assert second.status().node_id == "mix-002"
    with pytest.raises(CryptoError, match="damaged"):
        duties().begin()


def test_a_secret_changed_before_anything_was_published(duties, tmp_path) -> None:
    """The page has counters of another root in that place: the new one gets its own."""
    first = duties()
    first.begin()
    first.page["links"]["send_counter"][:3] = 7 | 9 << 32
    (tmp_path / "network" / "secrets" / "link-1").write_bytes(b"x" * 32)
    second = duties(first.page)
    second.begin()
    assert numbers(second.page) == ([0, 7, 7], [0, 9, 9])


def test_one_request_at_a_time(duties) -> None:
    """The half that the data plane may be reading is not written to."""
    page = duties().page
    set_mixing(page, b"first")
    ask_mixing(page, b"second")
    with pytest.raises(ValueError, match="not yet answered"):
        ask_mixing(page, b"third")
    page["mixing"]["applied"] = page["mixing"]["generation"]
    ask_mixing(page, b"third")


def test_the_other_geometry_is_logged_once_a_minute(duties, monkeypatch, caplog) -> None:
    node = duties()
    node.begin()
    now: list[float] = []
    monkeypatch.setattr("fastmix.control.duties.time.monotonic", lambda: now[0])
    counted = node.counters.read()
    monkeypatch.setattr(node.counters, "read", lambda: counted | {"drop_other_geometry": now[1]})
    logged = []
    for now in ([1000.0, 0], [1001.0, 7], [1002.0, 9], [1060.9, 20], [1061.0, 21], [1200.0, 21], [1201.0, 22]):  # noqa: B007
        node.tick()
        logged.append([record.args[0] for record in caplog.records if "other geometry" in record.message])
    assert logged == [[], [7], [7], [7], [7, 21], [7, 21], [7, 21, 22]]
