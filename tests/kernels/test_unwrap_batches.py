"""Batches of every size and slots of an arena: each row comes out as it does alone, and nothing else is touched."""

import numpy as np
import pytest
from crafted import mixed_packets
from published import BATCH_SIZES, random_rows

from fastmix.kernels import _unwrap, isa
from fastmix.packet.geometry import FRAME_PACKET_AT, HEADER_SIZE, JUMBO, WAN
from fastmix.packet.verdict import Verdict
from fastmix.reference import sphinx_unwrap

SECRET, REPLAY_KEY = bytes(range(1, 33)), bytes(range(64, 96))


@pytest.fixture(scope="module", params=[WAN, JUMBO], ids=["wan", "jumbo"])
def geometry(request):
    return request.param


@pytest.fixture(scope="module")
def packets(geometry):
    return mixed_packets(geometry, SECRET, 64)


@pytest.fixture(scope="module")
def alone(packets):
    """Each packet unwrapped in a batch of its own, as columns of 64."""
    got = [_unwrap.unwrap_batch(packets[i : i + 1], SECRET, REPLAY_KEY, isa="portable") for i in range(len(packets))]
    return {name: np.concatenate([each[name] for each in got]) for name in got[0]}


def test_alone_equals_the_twin(packets, alone, geometry):
    for i in range(24):
        twin = sphinx_unwrap.unwrap(packets[i].tobytes(), SECRET, geometry, replay_key=REPLAY_KEY)
        assert alone["verdict"][i] == twin.verdict == Verdict.OK
        assert (alone["action"][i], alone["next_index"][i], alone["delay"][i]) == (twin.action, twin.next_index, twin.delay)
        assert alone["peer_id"][i].tobytes() == twin.peer_id
        assert alone["surb_id"][i].tobytes() == twin.surb_id
        assert alone["tag"][i].tobytes() == twin.tag
        assert alone["packets"][i].tobytes() == twin.packet.ljust(geometry.packet_size, b"\0")


@pytest.mark.parametrize("name", isa.supported())
@pytest.mark.parametrize("n", [*BATCH_SIZES, 257])
def test_a_batch_equals_its_rows_alone(packets, alone, name, n):
    order = np.random.default_rng(n).permutation(n) % len(packets)
    given = packets[order]
    kept = given.copy()
    got = _unwrap.unwrap_batch(given, SECRET, REPLAY_KEY, isa=name)
    assert np.array_equal(given, kept)
    assert set(got) == {*_unwrap.COLUMNS, "packets"}
    for column, values in got.items():
        assert np.array_equal(values, alone[column][order]), column


@pytest.mark.parametrize("name", isa.supported())
def test_slots_of_an_arena(packets, alone, geometry, name):
    rows = random_rows(1, 40, geometry.row_stride)
    slots = np.random.default_rng(2).permutation(40)[:17].astype(np.uint32)
    place = slice(FRAME_PACKET_AT, FRAME_PACKET_AT + geometry.packet_size)
    rows[slots, place] = packets[:17]
    before = rows.copy()
    columns = _unwrap.columns_for(40)
    for array in columns.values():
        array[:] = 77
    columns["verdict"][:] = Verdict.DROP_CRASH
    arena = _unwrap.Unwrap(rows, columns, geometry.packet_size, SECRET, REPLAY_KEY, FRAME_PACKET_AT, name)

    arena.check(slots)
    assert np.array_equal(rows, before), "check changes no packet"
    assert not arena.scratch_is_wiped()
    arena.apply(slots)
    assert arena.scratch_is_wiped()

    for column in _unwrap.COLUMNS:
        assert np.array_equal(columns[column][slots], alone[column][:17]), column
    assert np.array_equal(rows[slots, place], alone["packets"][:17])
    untouched = np.setdiff1d(np.arange(40), slots)
    assert np.array_equal(rows[untouched], before[untouched])
    assert all((columns[column][untouched] == 77).all() for column in _unwrap.COLUMNS if column != "verdict")
    assert (columns["verdict"][untouched] == Verdict.DROP_CRASH).all()
    rows[:, place] = before[:, place]
    assert np.array_equal(rows, before), "nothing outside the packets is written"


def test_a_replay_between_check_and_apply_stays_as_it_came(packets, alone):
    rows, columns = packets[:9].copy(), _unwrap.columns_for(9)
    arena = _unwrap.Unwrap(rows, columns, rows.shape[1], SECRET, REPLAY_KEY)
    slots = np.arange(9, dtype=np.uint32)
    arena.check(slots)
    columns["verdict"][3] = Verdict.DROP_REPLAY
    arena.apply(slots)
    assert columns["verdict"].tolist() == [Verdict.OK] * 3 + [Verdict.DROP_REPLAY] + [Verdict.OK] * 5
    assert np.array_equal(rows[3], packets[3])
    others = np.delete(np.arange(9), 3)
    assert np.array_equal(rows[others], alone["packets"][others])
    assert arena.scratch_is_wiped()


def test_the_replay_tag_depends_on_its_key_and_the_shared_secret_only(packets, alone):
    again = _unwrap.unwrap_batch(packets[:8], SECRET, bytes(32))
    assert not (again["tag"] == alone["tag"][:8]).all(axis=1).any()
    assert len(np.unique(alone["tag"], axis=0)) == len(packets)
    changed = packets[:1].copy()
    changed[0, HEADER_SIZE:] ^= 1
    assert np.array_equal(_unwrap.unwrap_batch(changed, SECRET, REPLAY_KEY)["tag"], alone["tag"][:1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.zeros((2, 1200), np.int8)}, r"rows is int8\[2, 1200\]: expected uint8\[any, any\]"),
        ({"rows": np.zeros((2, 2400), np.uint8)[:, ::2]}, "rows is not C-contiguous"),
        ({"secret": bytes(31)}, "secret has 31 bytes"),
        ({"packet_size": 1201}, "packet of 1201 bytes at 0 does not fit a row of 1200 bytes"),
        ({"packet_at": 1}, "does not fit"),
        ({"columns": _unwrap.columns_for(3)}, r"column verdict is uint8\[3\]: expected uint8\[2\]"),
        ({"columns": {}}, "column verdict is NoneType"),
        ({"isa": "sse9"}, "'sse9' is not known"),
    ],
)
def test_wrong_arrays_are_refused(change, message):
    good = {"rows": np.zeros((2, 1200), np.uint8), "columns": _unwrap.columns_for(2), "packet_size": 1200}
    with pytest.raises(ValueError, match=message):
        _unwrap.Unwrap(**(good | {"secret": SECRET, "replay_key": REPLAY_KEY} | change))


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (np.arange(257, dtype=np.uint32), "at most 256"),
        (np.array([2], np.uint32), "slot 2 is out of range: there are 2 rows"),
        (np.array([1, 1], np.uint32), "named twice"),
        (np.array([1], np.int64), "uint32 vector"),
    ],
)
def test_wrong_slots_are_refused(slots, message):
    arena = _unwrap.Unwrap(np.zeros((2, 1200), np.uint8), _unwrap.columns_for(2), 1200, SECRET, REPLAY_KEY)
    with pytest.raises(ValueError, match=message):
        arena.check(slots)
    with pytest.raises(ValueError, match=message):
        arena.apply(slots)


def test_wrong_shapes_of_the_other_faces_are_refused():
    with pytest.raises(ValueError, match="expected more than 32"):
        _unwrap.lioness_encrypt(np.zeros((1, 32), np.uint8), np.zeros((1, 192), np.uint8))
    with pytest.raises(ValueError, match=r"expected uint8\[any, 192\]"):
        _unwrap.lioness_decrypt(np.zeros((1, 64), np.uint8), np.zeros((1, 191), np.uint8))
    with pytest.raises(ValueError, match=r"seeds is uint8\[1, 15\]: expected uint8\[any, 16\]"):
        _unwrap.delays(np.zeros((1, 15), np.uint8))
