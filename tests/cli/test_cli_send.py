"""`fastmix send`, `listen` and `ping` in processes of their own, over a network that has formed itself."""

import asyncio
import hashlib
import json
import os
import random
import sys
from pathlib import Path

import fastmix_command
import pytest
from formed_network import FormedNetwork, formed_network

from fastmix.cli.listen import harmless, show
from fastmix.client.parcels import Parcel


class Command:
    """`fastmix WORDS` beside the test's own loop, which the network runs in."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout
        return (await asyncio.wait_for(self.process.stdout.readline(), 60)).decode().rstrip("\n")

    async def end(self, given: bytes | None = None) -> tuple[int, str, str]:
        out, err = await asyncio.wait_for(self.process.communicate(given), 90)
        assert "Traceback" not in err.decode(), err.decode()
        return self.process.returncode or 0, out.decode(), err.decode()


async def fastmix(network: FormedNetwork | None, *words: object, home: Path) -> Command:
    text = "" if network is None else str(network.nodes[0].bootstrap)
    environment = os.environ | {"FASTMIX_BOOTSTRAP": text, "HOME": str(home), "XDG_STATE_HOME": ""}
    pipe = asyncio.subprocess.PIPE
    given = [sys.executable, "-m", "fastmix", *map(str, words)]
    return Command(await asyncio.create_subprocess_exec(*given, stdin=pipe, stdout=pipe, stderr=pipe, env=environment))


async def test_a_file_and_a_text_arrive(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(100_000)
    (tmp_path / "file.bin").write_bytes(data)
    (tmp_path / "out").mkdir()
    async with formed_network(3) as network:
        listening = await fastmix(network, "listen", "--out", tmp_path / "out", "--count", 2, "--rate", 100, home=tmp_path)
        address = await listening.line()
        sending = await fastmix(network, "send", address, tmp_path / "file.bin", "--rate", 200, "--json", home=tmp_path)
        code, out, err = await sending.end()
        assert code == 0, err
        told = json.loads(out)
        assert (told["bytes"], told["sha256"], told["name"]) == (len(data), hashlib.sha256(data).hexdigest(), "file.bin")
        sending = await fastmix(network, "send", address, home=tmp_path)
        code, out, err = await sending.end(b"hello\n")
        assert (code, out.split(",")[0]) == (0, "delivered: a text"), err
        code, out, err = await listening.end()
        assert code == 0, err
        first, second = out.splitlines()
        assert first.startswith(f"file {tmp_path}/out/file.bin, 100000 bytes")
        assert second == "hello"
        assert (tmp_path / "out" / "file.bin").read_bytes() == data
        again = await fastmix(network, "listen", "--json", "--count", 1, home=tmp_path)
        assert json.loads(await again.line())["address"] == address, "its identity is kept"
        code, _, err = await (await fastmix(network, "listen", home=tmp_path)).end()
        assert (code, "another client uses this directory" in err) == (2, True), err
        again.process.terminate()
        await again.process.wait()


async def test_ping_goes_through_all_nodes(tmp_path: Path) -> None:
    async with formed_network(6) as network:
        code, out, err = await (await fastmix(network, "ping", "--json", "--count", 2, "--rate", 100, home=tmp_path)).end()
        assert code == 0, err
        told = json.loads(out)
        assert sorted(each["node"] for each in told) == list(range(6))
        assert all(each["back"] == 2 and min(each["ms"]) > 0 for each in told)
        lost = network.in_layer(3)[0]
        lost.loses = True
        words = ("ping", lost.number, network.in_layer(3)[1].number, "--timeout", 2, "--count", 1)
        code, out, err = await (await fastmix(network, *words, home=tmp_path)).end()
        assert code == 1, err
        header, *rows = out.splitlines()
        assert header.split()[:4] == ["node", "layer", "address", "identity"]
        assert ["0 of 1" in rows[0], "1 of 1" in rows[1]] == [True, True]


async def test_bootstrap_nodes_that_do_not_answer(tmp_path: Path) -> None:
    async with formed_network(3) as network:
        for node in network.nodes:
            dead = node.bootstrap
            await node.kill()
        words = ("send", "00" * 66, "--timeout", 2, "--bootstrap", dead)
        code, _, err = await (await fastmix(None, *words, home=tmp_path)).end(b"x")
        assert code == 1
        assert f"bootstrap 127.0.0.1:{dead.port}: " in err
        assert "given up after 2 s" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["send", "abc", "-"], "is not hexadecimal"),
        (["send", "00" * 66, "/nothing"], "/nothing: cannot be read"),
        (["send", "00" * 66, "--timeout", "-1"], "--timeout -1 is below 0"),
        (["send", "00" * 66, "--rate", "0"], "--rate 0 must be above 0"),
        (["send", "00" * 66], "no network is named"),
        (["send", "00" * 66, "--bootstrap", "127.0.0.1:9"], "has no PIN"),
        (["listen", "--out", "/nothing"], "is no directory"),
        (["listen", "--count", "-1"], "--count -1"),
        (["listen", "--network", "/n", "--bootstrap", "x"], "--network describes a network"),
        (["listen", "--network", "/n"], "--network needs --peer-id and --secret"),
        (["listen", "--peer-id", "00"], "belong to --network"),
        (["ping", "--count", "0"], "--count is at least 1"),
        (["ping", "--bootstrap", "x#y"], "write HOST:PORT#PIN"),
    ],
)
def test_bad_words(words: list[str], says: str, tmp_path: Path) -> None:
    done = fastmix_command.fastmix(*words, HOME=str(tmp_path), FASTMIX_BOOTSTRAP="", XDG_STATE_HOME="")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_what_strangers_write_is_harmless(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert harmless("a\x1b[2J\tb\nc\x07\n") == "a?[2J\tb\nc?"
    for _ in range(2):
        show(Parcel("x.txt", b"data"), tmp_path, json=False)
    show(Parcel("", b"\xff\x00"), None, json=True)
    show(Parcel("x.txt", b"data"), None, json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["x.txt", "x.txt.1"]
    assert json.loads(lines[2])["base64"] == "/wA="
    assert "dropped" in lines[3]
