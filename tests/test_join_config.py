"""The [join] table: what a node without a network file needs, and what is refused."""

from pathlib import Path

import pytest
from secrets_of_tests import locked

from fastmix.config import MixnodeConfig
from fastmix.errors import ConfigError
from fastmix.keys.hierarchy import Identity
from fastmix.keys.store import create_store
from fastmix.keys.wrapping import Argon2Cost, PassphraseWrapping
from fastmix.network_of import network_of

GOOD = 'state_dir = "state"\nlisten_addr = "127.0.0.1:9000"\n[identity]\nstore = "id"\n[join]\n'


def load(path: Path, text: str) -> MixnodeConfig:
    file = path / "node.toml"
    file.write_text(text)
    return MixnodeConfig.load(file)


def test_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.network is None
    assert config.join is not None
    assert (config.number, config.join.bootstrap, config.join.admission) == (0, (), "token")
    assert config.keys is not None, "keys rotate in a network that forms itself"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[join]", "", "network: is missing"),
        ('listen_addr = "127.0.0.1:9000"\n', "", "listen_addr is missing"),
        ('[identity]\nstore = "id"\n', "", "identity] is missing"),
        ("state_dir", "number = 3\nstate_dir", "number and [join]"),
        ("state_dir", 'network = "n"\nstate_dir', "network and [join]"),
        ("[join]", "[join]\nauthorities = ['ab']", "is no identity"),
        ("[join]", "[join]\nthreshold = 2", "threshold 2 is more than the 1 authorities"),
        ("[join]", "[join]\nmean_delay = '2h'", "more than an hour"),
        ("[join]", "[join]\nadmision = 'open'", "did you mean 'admission'"),
        ("[join]", "[join]\ncontrol_addr = 'example.org:1'", "control_addr"),
        ("[join]", "[join]\nmax_connections = 1", "too small"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert words in str(caught.value)


def test_a_joiner_knows_itself_only(tmp_path: Path) -> None:
    with Identity.fresh() as identity:
        create_store(tmp_path / "id", identity, PassphraseWrapping(lambda: locked(b"x" * 12), Argon2Cost(8, 1, 1)))
        public = identity.public
    network = network_of(load(tmp_path, GOOD + 'geometry = "jumbo"\nmean_delay = "20ms"'))
    (node,) = network.nodes
    assert (node.identity, node.address, network.geometry.name, network.mean_delay_ns) == (
        public, ("127.0.0.1", 9000), "jumbo", 20_000_000
    )  # fmt: skip
    assert not network.links
