"""The profiles of tuning/ are settings that a node takes; the default configuration says what the code does."""

import pickle
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fastmix.config import CoverConfig, MixingConfig, MixnodeConfig, check_node_settings
from fastmix.errors import ConfigError
from fastmix.profile import flat, load_profile, profile_names

ROOT = Path(__file__).parent.parent
TUNING = ROOT / "tuning"
NAMES = ["low-latency", "many-peers", "multi-threaded", "optimized", "single-thread", "small-host"]
WITHOUT_DEFAULT_VALUE = {"node_id", "listen_addr", "drain_timeout", "replay_capacity", "keys", "identity", "join"}
"""Settings whose default follows from others, or that only some networks have."""
NODE = 'number = 0\nnetwork = "network.toml"\nsecret_file = "s"\nstate_dir = "state"\n'


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_default_configuration_says_every_default() -> None:
    config = MixnodeConfig.load(TUNING / "default.toml")
    assert config.network == TUNING / "network.toml"
    required = {name for name, field in MixnodeConfig.model_fields.items() if field.is_required()} | {"secret_file"}
    plain = MixnodeConfig(**{name: getattr(config, name) for name in required})
    assert config == plain
    said = tomllib.loads((TUNING / "default.toml").read_text())
    assert set(said) == set(MixnodeConfig.model_fields) - WITHOUT_DEFAULT_VALUE
    assert set(said["mixing"]) == set(MixingConfig.model_fields) - {"options", "classes"}
    assert set(said["cover"]) == set(CoverConfig.model_fields)


def test_the_profiles_have_names() -> None:
    assert profile_names() == NAMES
    told = (TUNING / "README.md").read_text()
    assert all(f"`{name}.toml`" in told for name in (*NAMES, "default"))


@pytest.mark.parametrize("name", NAMES)
def test_a_node_takes_the_profile(name: str, tmp_path: Path) -> None:
    profile = load_profile(name)
    check_node_settings(profile)
    config = MixnodeConfig.load(written(tmp_path / "node.toml", NODE), name)
    sources = {key: source for key, (_, source) in config.settings.items() if source != "default"}
    assert sources == dict.fromkeys(("number", "network", "secret_file", "state_dir"), "file") | dict.fromkeys(
        flat(profile.node), f"profile {name}"
    )
    assert profile.why.keys() == flat(profile.node).keys()
    assert all(profile.why.values()), "a node setting without its reason beside it"
    for wish in profile.host:
        assert wish.reason, wish.setting
        assert re.search(r"[0-9]|does not start", wish.cost), f"{wish.setting}: what does a mismatch cost, in numbers?"


def test_the_file_lies_over_the_profile(tmp_path: Path) -> None:
    path = written(tmp_path / "node.toml", NODE + "receive_buffer = 70000\n[mixing]\nfloor = 3\n")
    config = MixnodeConfig.load(path, "optimized")
    settings = pickle.loads(pickle.dumps(config)).settings
    assert settings["receive_buffer"] == (70000, "file")
    assert settings["mixing.floor"] == (3, "file")
    assert settings["mixing.max_batch_size"] == (256, "profile optimized")
    assert settings["mixing.max_latency"] == ("500ms", "default")
    assert (config.profile, MixnodeConfig.load(path).profile) == ("optimized", "")


def test_a_profile_of_ones_own_lies_over_another(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.toml", 'purpose = "mine"\nbased_on = "optimized"\n[node]\npool_slots = 128\n')
    mine, base = load_profile(str(path)), load_profile("optimized")
    assert mine.node == base.node | {"pool_slots": 128}
    assert (mine.host, mine.name) == (base.host, "mine")
    wish = '[[host]]\nsetting = "memory.swap"\nvalue = "none"\nreason = "r"\ncost = "c"\n'
    other = load_profile(written(tmp_path / "other.toml", 'purpose = "p"\nbased_on = "mine.toml"\n' + wish))
    assert [one.cost for one in other.host if one.setting == "memory.swap"] == ["c"]
    assert len(other.host) == len(base.host)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "purpose is missing"),
        ("purpose = 3", "purpose: 3 is not a text in quotes"),
        ('purpose = "p"\nnodes = 1', "nodes: is not a known key: did you mean 'node'?"),
        ('purpose = "p"\nbased_on = "optimised"', "'optimised' is not a profile (known are low-latency, many-peers"),
        ('purpose = "p"\nbased_on = "bad.toml"', "remove one of the two lines"),
        ('purpose = "p"\n[node]\nnumber = 3', "bad.toml:3: node.number: is not a profile's to set"),
        ('purpose = "p"\n[node]\nmixing.floor = 0', "bad.toml:3: node.mixing.floor: is not a profile's to set"),
        ('purpose = "p"\n[node]\npool_slot = 100', "bad.toml:3: pool_slot: is not a known key: did you mean 'pool_slots'?"),
        ('purpose = "p"\n[[host]]\nsetting = "a"\nrule = "atleast"\nvalue = 1', "'atleast' is not a rule"),
        ('purpose = "p"\n[[host]]\nsetting = "a"\nrule = "at least"\nvalue = "1"', "does not fit the rule 'at least'"),
        ('purpose = "p"\n[[host]]\nsetting = "a"\nrule = "one of"\nvalue = [1]', "is not an array of texts"),
        ('purpose = "p"\n[[host]]\nsetting = "a"\nvalue = "1"\nreason = "r"', "cost is missing"),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path / "bad.toml", text)
    with pytest.raises(ConfigError) as caught:
        check_node_settings(load_profile(path))
    assert words in str(caught.value)


def test_errors_name_the_file_that_holds_the_value(tmp_path: Path) -> None:
    node = written(tmp_path / "node.toml", NODE + "pool_slots = 1\n")
    mine = written(tmp_path / "mine.toml", 'purpose = "p"\n[node]\nreceive_buffer = 1\n')
    with pytest.raises(ConfigError) as caught:
        MixnodeConfig.load(node, mine)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{node}:5: pool_slots: 1 is too small: write 64 or more")
    assert lines[1].startswith(f"{mine}: node: receive_buffer: 1 is too small: write 65536 or more")


def test_an_installed_package_brings_its_profiles(tmp_path: Path) -> None:
    """As `pip install` copies it: no tuning/ beside it, the files inside."""
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    code = "from fastmix import profile; print(*profile.profile_names()); print(profile.load_profile('optimized').path)"
    told = subprocess.run([sys.executable, "-P", "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert told.stdout.splitlines() == [" ".join(NAMES), str(tmp_path / "fastmix" / "profiles" / "optimized.toml")], told.stderr
