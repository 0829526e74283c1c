"""fastmix.sphinx as a library: shapes, errors that name what was expected, verdicts, repeatability, no heavy imports."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routes import KINDS, build, random_routes, walk_batch

from fastmix import sphinx
from fastmix.packet.geometry import GEOMETRIES, Action
from fastmix.packet.verdict import Verdict

P_MINUS_1 = (2**255 - 20).to_bytes(32, "little")
LOW_ORDER = [bytes(32), bytes([1]) + bytes(31), P_MINUS_1]
NON_CANONICAL = [(2**255 - 19).to_bytes(32, "little"), bytes([9]) + bytes(30) + b"\x80", b"\xff" * 32]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def request(rng, n=2, hops=3, geometry="wan", **more):
    """Arguments of a good `build_requests`, changed by `more`."""
    routes = random_routes(rng, n, hops, False)
    data = np.zeros((n, GEOMETRIES[geometry].data_size), np.uint8)
    return {"data": data, "publics": routes.publics, "targets": routes.targets, "geometry": geometry} | more


def test_keypairs_are_x25519_pairs():
    secrets, publics = sphinx.keypairs(300)
    assert secrets.shape == publics.shape == (300, 32)
    assert len(np.unique(secrets, axis=0)) == len(np.unique(publics, axis=0)) == 300
    from fastmix.reference.x25519 import x25519

    assert all(publics[i].tobytes() == x25519(secrets[i].tobytes()) for i in (0, 255, 256, 299))
    assert sphinx.keypairs(0)[0].shape == (0, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_repeats_and_its_absence_does_not(kind, rng):
    routes = random_routes(rng, 3, 3, True)
    made = [build(kind, routes, "wan", np.random.default_rng(1), entropy).packets for entropy in (b"a", b"a", b"b", None, None)]
    assert (made[0] == made[1]).all()
    for other in made[2:]:
        assert (made[0][:, :188] != other[:, :188]).any(axis=1).all()
    assert (made[3] != made[4]).any(axis=1).all()


def test_rows_and_builders_of_one_entropy_differ(rng):
    routes = random_routes(rng, 300, 1, False, one_path=True)
    headers = [build(kind, routes, "wan", np.random.default_rng(1), b"x").packets[:, :32] for kind in KINDS if kind != "cover_id"]
    assert len(np.unique(np.concatenate(headers), axis=0)) == 900
    assert not (sphinx.keypairs(1, entropy=b"x")[0] == sphinx.keypairs(1, entropy=b"y")[0]).all()


def test_unused_header_bytes_are_random(rng):
    """Of a one-hop packet the last hop decrypts 138 unused bytes: they are the builder's, new each time and evenly spread."""
    from fastmix.reference.chacha20 import encrypt
    from fastmix.reference.sphinx import hop_keys
    from fastmix.reference.x25519 import x25519

    n = 60
    routes = random_routes(rng, n, 1, False, one_path=True)
    secret = routes.secrets[0, 0].tobytes()
    unused = []
    for _ in range(2):
        for packet in build("cover", routes, "wan", rng).packets:
            actions_key = hop_keys(x25519(secret, packet[:32].tobytes())).actions_key
            unused.append(encrypt(actions_key, packet[48:188].tobytes())[2:])
    seen = np.frombuffer(b"".join(unused), np.uint8).reshape(2 * n, 138)
    assert len(np.unique(seen, axis=0)) == 2 * n
    ones = np.unpackbits(seen).mean()
    assert abs(ones - 0.5) < 6 * 0.5 / np.sqrt(8 * seen.size)
    assert (np.unpackbits(seen, axis=1).mean(axis=0) != 0).all()


def test_cover_payload_is_random(rng):
    routes = random_routes(rng, 40, 2, False)
    payloads = build("cover", routes, "wan", rng).packets[:, 188:]
    assert abs(np.unpackbits(payloads).mean() - 0.5) < 6 * 0.5 / np.sqrt(8 * payloads.size)
    assert len(np.unique(payloads, axis=0)) == 40


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("at", ["first", "tag", "last"])
def test_changed_reply_is_not_ok(at, geometry, rng):
    routes = random_routes(rng, 3, 3, False, one_path=True)
    built = build("reply", routes, geometry, rng)
    size = GEOMETRIES[geometry].payload_size
    packets = built.packets
    for hop in range(3):
        packets = sphinx.unwrap(packets, routes.secrets[0, hop], geometry=geometry).packets
    payloads = packets[:, :size].copy()
    payloads[1, {"first": 0, "tag": size - 16, "last": size - 1}[at]] ^= 1
    before = payloads.copy()
    ok, data = sphinx.open_replies(payloads, built.keys, geometry=geometry)
    assert ok.dtype == np.bool_
    assert ok.tolist() == [True, False, True]
    assert (data[[0, 2]] == built.data[[0, 2]]).all()
    assert not data[1].any()
    assert (payloads == before).all()
    other_keys = np.roll(built.keys, 1, axis=0)
    assert not sphinx.open_replies(payloads, other_keys, geometry=geometry)[0].any()


def test_changed_request_payload_is_a_verdict(rng):
    routes = random_routes(rng, 2, 2, False, one_path=True)
    packets = build("request", routes, "wan", rng).packets
    packets[0, 700] ^= 4
    seen = sphinx.unwrap(sphinx.unwrap(packets, routes.secrets[0, 0]).packets, routes.secrets[0, 1])
    assert seen.verdict.tolist() == [Verdict.DROP_PAYLOAD_TAG, Verdict.OK]


def test_bad_rows_hold_zeros_and_good_ones_go_on(rng):
    routes = random_routes(rng, 6, 2, True, one_path=True)
    packets = build("request", routes, "wan", rng).packets
    packets[1, :32] = 0xFF
    packets[2, :32] = 0
    packets[3, 47] ^= 1
    packets[4, 100] ^= 0x80
    seen = sphinx.unwrap(packets, routes.secrets[0, 0].tobytes())
    wanted = ["OK", "DROP_KX_NON_CANONICAL", "DROP_KX_LOW_ORDER", "DROP_MAC", "DROP_MAC", "OK"]
    assert [Verdict(value).name for value in seen.verdict] == wanted
    for column in (seen.action, seen.next_index, seen.peer_id, seen.surb_id, seen.delay, seen.tag, seen.packets):
        assert not column[1:5].any()
    assert (seen.action[[0, 5]] == Action.FORWARD_PEER).all()
    assert (seen.peer_id[[0, 5]] == routes.peer_ids[[0, 5]]).all()
    assert (seen.delay[[0, 5]] > 0).all()


def test_unwrapped_arrays_have_the_published_types(rng):
    seen = sphinx.unwrap(np.zeros((3, 1200), np.uint8), bytes(32))
    spelled = {name: (str(getattr(seen, name).dtype), getattr(seen, name).shape) for name in seen.__slots__}
    assert spelled == {
        "verdict": ("uint8", (3,)),
        "action": ("uint16", (3,)),
        "next_index": ("uint16", (3,)),
        "peer_id": ("uint8", (3, 32)),
        "surb_id": ("uint8", (3, 16)),
        "delay": ("float64", (3,)),
        "tag": ("uint8", (3, 16)),
        "packets": ("uint8", (3, 1200)),
    }
    with pytest.raises(AttributeError):
        seen.verdict = seen.verdict


def test_tags_depend_on_packet_and_replay_key(rng):
    routes = random_routes(rng, 2, 1, False, one_path=True)
    packets, secret = build("request", routes, "wan", rng).packets, routes.secrets[0, 0]
    plain = sphinx.unwrap(packets, secret).tag
    assert (plain == sphinx.unwrap(packets, secret, replay_key=bytes(32)).tag).all()
    keyed = sphinx.unwrap(packets, secret, replay_key=b"k" * 32).tag
    assert len({row.tobytes() for row in (*plain, *keyed)}) == 4


def test_any_memory_layout_is_taken_and_none_is_written(rng):
    plain = request(rng, n=5, hops=4)
    packets = sphinx.build_requests(**plain, entropy=b"e")
    awkward = {
        "data": np.asfortranarray(plain["data"]),
        "publics": np.repeat(plain["publics"], 2, axis=0)[::2],
        "targets": plain["targets"][::-1].copy()[::-1],
    }
    for array in awkward.values():
        array.flags.writeable = False
    assert (sphinx.build_requests(**awkward, entropy=b"e") == packets).all()
    packets.flags.writeable = False
    before = packets.copy()
    sphinx.unwrap(packets, bytes(32))
    sphinx.unwrap(packets[::-1], bytearray(32))
    assert (packets == before).all()


def test_threads_may_build_at_the_same_time(rng):
    good = request(rng, n=40, hops=5)
    alone = sphinx.build_requests(**good, entropy=b"t")
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(sphinx.build_requests, **good, entropy=b"t") for _ in range(8)]
        assert all((each.result() == alone).all() for each in made)


def refused(error, text, call, *args, **named):
    with pytest.raises(error) as caught:
        call(*args, **named)
    assert text in str(caught.value), str(caught.value)


def test_wrong_arrays_are_refused_with_what_was_expected(rng):
    good = request(rng)
    for changed, error, text in [
        ({"data": np.zeros((2, 995), np.uint8)}, ValueError, "data must be u8[2, 996]; it is u8[2, 995]"),
        ({"data": np.zeros((3, 996), np.uint8)}, ValueError, "data must be u8[2, 996]; it is u8[3, 996]"),
        ({"data": np.zeros((2, 996))}, TypeError, "data must be u8[2, 996]; it is float64[2, 996]"),
        ({"data": bytes(1992)}, TypeError, "data must be a NumPy array u8[2, 996], not bytes"),
        ({"publics": np.zeros((2, 3, 31), np.uint8)}, ValueError, "publics must be u8[n, h, 32]; it is u8[2, 3, 31]"),
        ({"publics": np.zeros((2, 7, 32), np.uint8)}, ValueError, "h = 1 to 6 hops; h is 7"),
        ({"publics": np.zeros((2, 0, 32), np.uint8)}, ValueError, "h = 1 to 6 hops; h is 0"),
        ({"targets": np.zeros((2, 3), np.uint16)}, ValueError, "targets must be u16[2, 2]; it is u16[2, 3]"),
        ({"targets": np.zeros((2, 2), np.int64)}, TypeError, "targets must be u16[2, 2]; it is int64[2, 2]"),
        (
            {"targets": np.array([[1, 2], [3, 0xFF00]], np.uint16)},
            ValueError,
            "targets[1, 1] is 0xff00: a mixnode index is below",
        ),
        ({"peer_ids": np.zeros((2, 32), np.uint8)}, ValueError, "targets must be u16[2, 1]"),
        ({"peer_ids": np.zeros((2, 31), np.uint8)}, ValueError, "peer_ids must be u8[2, 32]; it is u8[2, 31]"),
        ({"geometry": "lan"}, ValueError, "geometry 'lan' is not known: use one of wan, jumbo"),
        ({"entropy": "seed"}, TypeError, "entropy must be bytes or None, not str"),
        ({"entropy": b""}, ValueError, "entropy is empty"),
        ({"kx_publics": np.zeros((2, 2, 32), np.uint8)}, ValueError, "kx_publics must be u8[2, 3, 32]"),
        ({"kx_publics": np.zeros((2, 3, 64), np.uint8)[..., ::2]}, ValueError, "writable and C-contiguous"),
    ]:
        refused(error, text, sphinx.build_requests, **(good | changed))


def test_wrong_arguments_of_the_other_functions(rng):
    routes = random_routes(rng, 2, 1, False)
    u8, surbs = np.zeros((2, 16), np.uint8), np.zeros((2, 222), np.uint8)
    first = np.array([1, 0xFFFF], np.uint16)
    refused(
        ValueError, "at least 2 hops", sphinx.build_covers, routes.publics, routes.targets, peer_ids=np.zeros((2, 32), np.uint8)
    )
    refused(ValueError, "ids must be u8[2, 16]", sphinx.build_covers, routes.publics, routes.targets, ids=u8[:1])
    refused(ValueError, "first[1] is 0xffff", sphinx.build_surbs, routes.publics, routes.targets, first, u8)
    refused(ValueError, "surb_ids must be u8[2, 16]", sphinx.build_surbs, routes.publics, routes.targets, first % 9, u8[:, 1:])
    refused(ValueError, "surbs must be u8[n, 222]", sphinx.build_replies, np.zeros((2, 996), np.uint8), surbs[:, :221])
    refused(ValueError, "data must be u8[2, 2048]", sphinx.build_replies, np.zeros((2, 996), np.uint8), surbs, geometry="jumbo")
    keys = np.zeros((2, 3, 192), np.uint8)
    refused(ValueError, "payloads must be u8[2, 1012]", sphinx.open_replies, np.zeros((2, 996), np.uint8), keys)
    refused(ValueError, "keys must be u8[n, h, 192]", sphinx.open_replies, np.zeros((2, 1012), np.uint8), keys[..., :191])
    refused(
        ValueError, "h = 1 to 6 hops; h is 7", sphinx.open_replies, np.zeros((2, 1012), np.uint8), np.zeros((2, 7, 192), np.uint8)
    )
    refused(ValueError, "packets must be u8[n, 1200]; it is u8[2, 2252]", sphinx.unwrap, np.zeros((2, 2252), np.uint8), bytes(32))
    refused(ValueError, "secret must be u8[32]; it is u8[31]", sphinx.unwrap, np.zeros((2, 1200), np.uint8), bytes(31))
    refused(TypeError, "secret must be a NumPy array u8[32], not str", sphinx.unwrap, np.zeros((2, 1200), np.uint8), "s" * 32)
    refused(ValueError, "n must not be negative", sphinx.keypairs, -1)
    refused(TypeError, "n must be an int, not float", sphinx.keypairs, 1.0)


@pytest.mark.parametrize("hop", [0, 1, 3])
@pytest.mark.parametrize(("points", "reason"), [(LOW_ORDER, "has low order"), (NON_CANONICAL, "is not the canonical encoding")])
def test_unusable_publics_are_refused_by_row_and_hop(points, reason, hop, rng):
    for point in points:
        for row in (0, 66):  # in the first chunk of rows, and in the second
            good = request(rng, n=70, hops=4)
            publics = good["publics"].copy()
            publics[row, hop] = np.frombuffer(point, np.uint8)
            refused(
                ValueError,
                f"publics[{row}, {hop}] (row {row}, hop {hop}) {reason}",
                sphinx.build_requests,
                **(good | {"publics": publics}),
            )


def test_unusable_publics_in_surbs_and_covers(rng):
    routes = random_routes(rng, 2, 2, False)
    publics = routes.publics.copy()
    publics[1, 1] = 0
    refused(ValueError, "publics[1, 1]", sphinx.build_covers, publics, routes.targets)
    refused(ValueError, "publics[1, 1]", sphinx.build_surbs, publics, routes.targets, routes.first, routes.ids)


def test_surbs_of_strangers_never_raise(rng):
    surbs = rng.integers(0, 256, (50, 222), dtype=np.uint8)
    first, packets = sphinx.build_replies(np.zeros((50, 996), np.uint8), surbs)
    assert (first == surbs[:, :2].copy().view("<u2")[:, 0]).all()
    assert (packets[:, :188] == surbs[:, 2:190]).all()
    assert (sphinx.unwrap(packets, bytes(32)).verdict != Verdict.OK).all()


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(KINDS), st.integers(1, 6), st.booleans(), st.sampled_from(list(GEOMETRIES)), st.integers(0, 9), st.integers()
)
def test_any_route_of_any_kind_arrives(kind, hops, with_peers, geometry, n, seed):
    rng = np.random.default_rng(seed % 2**32)
    routes = random_routes(rng, n, hops, with_peers and hops > 1, one_path=True)
    walk_batch(build(kind, routes, geometry, rng), routes)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1199), st.integers(1, 255))
def test_any_changed_byte_is_a_verdict_at_one_of_the_hops(at, change):
    rng = np.random.default_rng(3)
    routes = random_routes(rng, 1, 3, False, one_path=True)
    packets = build("request", routes, "wan", rng, entropy=b"changed").packets
    packets[0, at] ^= change
    verdicts = []
    for hop in range(3):
        seen = sphinx.unwrap(packets, routes.secrets[0, hop])
        verdicts.append(seen.verdict[0])
        packets = seen.packets
    assert any(verdicts)
    assert at >= 188 or verdicts[0] != Verdict.OK


def test_import_is_light():
    heavy = "{'numba', 'pydantic', 'cyclopts', 'rich', 'uvloop', 'cryptography', 'Crypto', 'asyncio'}"
    program = f"import sys, fastmix.sphinx; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
