"""What was accepted once is not accepted again, not even by the next process."""

import os
import random
import resource
import stat

import numpy as np
import pytest
from fake_network import make_network

from fastmix import sphinx
from fastmix.client.client import Client
from fastmix.client.events import Message
from fastmix.client.fragments import Fragment, Kind
from fastmix.client.replay_set import HEADER_SIZE, ReplayFile, ReplaySet, replay_path
from fastmix.client.session import Session
from fastmix.errors import ConfigError, CryptoError
from fastmix.packet.verdict import Verdict
from fastmix.plan import plan_network

PUBLIC = b"p" * 32
OK, REPLAY, FULL = Verdict.OK, Verdict.DROP_REPLAY, Verdict.DROP_REPLAY_FULL


@pytest.fixture
def path(tmp_path):
    return tmp_path / "client.replay"


def tags(*numbers):
    return [number.to_bytes(16, "little") for number in numbers]


def request(network, client, body=b"pay 5"):
    """One packet for a client, opened by all nodes before it."""
    fragment = Fragment(Kind.DATA, os.urandom(16), 0, 1, len(body), body=body)
    data = np.frombuffer(fragment.encode().ljust(network.geometry.data_size, b"\0"), np.uint8)[np.newaxis]
    public = np.frombuffer(client.sphinx_public, np.uint8).reshape(1, 1, 32)
    return sphinx.build_requests(data, public, np.zeros((1, 0), np.uint16))


def test_a_recorded_request_is_refused_by_the_next_process(path):
    network, _, secrets = make_network()
    me = network.clients[0]
    packet = request(network, me)
    for expected in (1, 0):
        replay_set = ReplayFile(path, me.sphinx_public)
        session = Session(network, me.peer_id, secrets[0], replay_set=replay_set)
        session.arrive(0.0, packet)
        assert sum(isinstance(event, Message) for event in session.events()) == expected
        assert session.counters.dropped[REPLAY] == 1 - expected
        replay_set.close()


async def test_a_client_keeps_its_set_beside_its_secrets(tmp_path):
    plan = plan_network([[("127.0.0.1", 1 + i)] for i in range(3)], 1).write(tmp_path / "network")
    me, network = plan.network.clients[0], plan.network
    secret_file = plan.secret_path(network.path.parent, me.peer_id)
    packet = request(network, me)
    for secret, expected in ((secret_file, OK), (plan.secrets[me.peer_id], REPLAY)):
        client = Client(network, me.peer_id, secret)
        async with client:
            client._session.arrive(0.0, packet)
            assert client.counters.dropped[REPLAY] == (expected is REPLAY)
            with pytest.raises(ConfigError, match="another client with this peer id is running"):
                await Client(network, me.peer_id, secret).start()
    assert replay_path(network, me.peer_id).parent == secret_file.parent
    assert replay_path(network, me.peer_id).exists()


def test_verdicts_and_the_limit(path):
    for replay_set in (ReplaySet(bytes(32), kept=3), ReplayFile(path, PUBLIC, kept=3)):
        assert replay_set.accept(tags(1, 2, 1)) == [OK, OK, REPLAY]
        assert replay_set.accept(tags(2, 3, 4)) == [REPLAY, OK, FULL]
        assert len(replay_set) == 3


def test_key_and_tags_live_on_and_a_torn_tail_is_cut(path):
    first = ReplayFile(path, PUBLIC)
    first.accept(tags(*range(100)))
    first.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(path.read_bytes()[:-5])
    second = ReplayFile(path, PUBLIC)
    assert (second.key, len(second)) == (first.key, 99)
    assert path.stat().st_size == HEADER_SIZE + 99 * 16
    assert second.accept(tags(1000)) == [OK]
    second.close()
    third = ReplayFile(path, PUBLIC)
    assert len(third) == 100
    assert third.accept(tags(1000)) == [REPLAY]


def test_a_header_that_was_cut_off_begins_anew(path):
    path.touch(0o600)
    path.write_bytes(b"fmcr")
    assert ReplayFile(path, PUBLIC).accept(tags(1)) == [OK]


def test_what_cannot_be_recorded_is_refused(path):
    replay_set = ReplayFile(path, PUBLIC)
    replay_set.accept(tags(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (8, 0):
        resource.setrlimit(resource.RLIMIT_FSIZE, (HEADER_SIZE + 16 + room, hard))
        try:
            assert replay_set.accept(tags(1, 2)) == [REPLAY, FULL]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.stat().st_size == HEADER_SIZE + 16
    assert replay_set.accept(tags(2)) == [OK]
    replay_set.close()
    assert replay_set.accept(tags(3)) == [FULL]
    replay_set = ReplayFile(path, PUBLIC)
    assert replay_set.accept(tags(1, 2, 3)) == [REPLAY, REPLAY, OK]


def test_files_that_are_refused(tmp_path, path):
    held = ReplayFile(path, PUBLIC)
    with pytest.raises(ConfigError, match="another client"):
        ReplayFile(path, PUBLIC)
    held.close()
    with pytest.raises(CryptoError, match="another Sphinx key"):
        ReplayFile(path, b"q" * 32)
    path.chmod(0o620)
    with pytest.raises(ConfigError, match="others can write"):
        ReplayFile(path, PUBLIC)
    path.chmod(0o600)
    path.write_bytes(random.Random(1).randbytes(200))
    with pytest.raises(CryptoError, match="not a replay file, or damaged"):
        ReplayFile(path, PUBLIC)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ConfigError, match="symbolic link"):
        ReplayFile(tmp_path / "link", PUBLIC)
    with pytest.raises(ConfigError, match="cannot open the replay file"):
        ReplayFile(tmp_path / "nowhere" / "file", PUBLIC)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="is no regular file"):
        ReplayFile(tmp_path / "pipe", PUBLIC)
