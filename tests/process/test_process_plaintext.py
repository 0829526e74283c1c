"""No node's memory ever holds what a message says: all processes of a three-hop path are searched."""

import os
import random
import signal

import numpy as np
import oracle
from process_memory import places_of
from real_node import bound_socket, children, free_port, until

from fastmix.control.ask import ask
from fastmix.errors import FastmixError
from fastmix.links.channel import Channel
from fastmix.network import link_id
from fastmix.plan import plan_network
from fastmix.testing import roots_of

N = 12
MIXING = {"floor": 1, "min_batch_size": 1, "max_latency": "60s"}
"""One packet stays behind in each pool, so that there is something to find."""


def start_nodes(zygote, plan, folder):
    """The three nodes of the path; the pids of their parents."""
    pids = []
    for node in plan.network.nodes:
        config = {
            "number": node.number,
            "network": str(plan.network.path),
            "secret_file": str(plan.secret_path(folder / "network", node.number)),
            "state_dir": str(folder / f"state-{node.number}"),
            "allow_swap": True,
            "replay_capacity": 10_000,
            "pool_slots": 256,
            "mixing": MIXING,
        }
        pids.append(zygote.ask(config=config, kills=None, log=str(folder / f"log-{node.number}")))
    for node in plan.network.nodes:
        until(lambda number=node.number: state(folder, number) == "running", 20)
    return pids


def state(folder, number):
    try:
        return ask(folder / f"state-{number}", "status")["state"]
    except FastmixError:
        return None


def channels(plan, client):
    """A client's links by peer."""
    return {
        root.peer: Channel(root.recv_root, root.send_root, root.receiver_index_in, root.receiver_index_out, plan.network.geometry)
        for root in roots_of(plan, client.peer_id)
    }


def frame_of(channel, packet):
    return channel.seal(np.frombuffer(packet, np.uint8)[np.newaxis])[0].tobytes()


def send_messages(plan, sock, receiver_sock, data):
    """The receiver shows its address, the sender sends N packets along the path."""
    network = plan.network
    sender, receiver = network.clients
    publics = [node.sphinx_public for node in network.nodes]
    exit_link = channels(plan, receiver)[link_id(2)]
    receiver_sock.sendto(frame_of(exit_link, oracle.build_cover(publics[2:], [])), network.node(2).address)
    entry = channels(plan, sender)[link_id(0)]
    for _ in range(N):
        packet = oracle.build_request(data, [*publics, receiver.sphinx_public], [1, 2], peer_id=receiver.peer_id)
        sock.sendto(frame_of(entry, packet), network.node(0).address)
    return exit_link


def arrive(sock, frames):
    """Takes what has come; how many frames by now."""
    while True:
        try:
            frames.append(sock.recv(65536))
        except BlockingIOError:
            return len(frames)


def test_no_node_knows_what_a_message_says(zygote, tmp_path) -> None:
    layers = [[free_port()] for _ in range(3)]
    plan = plan_network(layers, 2, mean_delay_ns=5_000_000).write(tmp_path / "network")
    marker = random.SystemRandom().randbytes(64)
    data = (marker * 20)[: plan.network.geometry.data_size]
    sock, receiver_sock, frames, pids = bound_socket(), bound_socket(), [], []
    try:
        pids = start_nodes(zygote, plan, tmp_path)
        exit_link = send_messages(plan, sock, receiver_sock, data)
        until(lambda: arrive(receiver_sock, frames) == N - 3)
        rows = np.frombuffer(b"".join(frames), np.uint8).reshape(len(frames), -1)
        packets = exit_link.open(rows)[2]
        assert oracle.unwrap(packets[0].tobytes(), plan.secrets[plan.network.clients[1].peer_id]).packet[:996] == data
        sealed = frames[-1]
        found_sealed = []
        for parent in pids:
            family = [parent, *children(parent)]
            assert len(family) == 3
            for pid in family:
                places = places_of(pid, [marker, marker[32:], sealed[500:564]])
                assert not places[marker]
                assert not places[marker[32:]]
                found_sealed += places[sealed[500:564]]
        assert any("fastmix-arena" in name for name in found_sealed), "the search does find what is there"
        assert places_of(os.getpid(), [marker])[marker]
    finally:
        for pid in pids:
            os.killpg(pid, signal.SIGKILL)
            until(lambda pid=pid: zygote.ask(wait=pid) is not None)
        sock.close()
        receiver_sock.close()
