"""A node's configuration: what a file and the constructor accept, and that wrong values name file, line, key and remedy."""

import json
import pickle
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fastmix.config import STRATEGIES, ClassConfig, KeysConfig, MixingConfig, MixnodeConfig
from fastmix.errors import ConfigError
from fastmix.files.durations import duration_ns, format_duration, parse_duration
from fastmix.files.toml import toml_text
from fastmix.mixing import registry
from fastmix.mixing.limits import MixingLimits
from fastmix.mixing.registry import resolve

GOOD = """\
number = 7
network = "network.toml"
secret_file = "secrets/7"
state_dir = "/dev/shm/mix-7"
listen_addr = "0.0.0.0:9000"
drain_timeout = "2s"
allow_swap = true
log_level = "debug"

[mixing]
strategy = "adaptive"
min_batch_size = 5
max_batch_size = 50
max_latency = "250ms"
"""
NEEDED: dict[str, Any] = {"number": 1, "network": "n.toml", "secret_file": "s", "state_dir": "d"}


def load(tmp_path: Path, text: str) -> MixnodeConfig:
    (tmp_path / "node.toml").write_text(text)
    return MixnodeConfig.load(tmp_path / "node.toml")


def test_loads_with_paths_beside_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert (config.number, config.network, config.state_dir) == (7, tmp_path / "network.toml", Path("/dev/shm/mix-7"))
    assert config.mixing == MixingConfig(strategy="adaptive", min_batch_size=5, max_batch_size=50, max_latency="250ms")
    assert config.mixing.max_latency == timedelta(milliseconds=250)
    assert config.listen_address == ("0.0.0.0", 9000)


def test_defaults() -> None:
    config = MixnodeConfig(**NEEDED)
    assert (config.node_id, config.pool_slots, config.mixing.strategy) == ("mix-001", 16_384, "poisson")
    assert (config.mixing.floor, config.mixing.max_latency, config.listen_address) == (10, timedelta(seconds=0.5), None)


def test_drain_is_never_shorter_than_the_pool_needs() -> None:
    assert MixnodeConfig(**NEEDED).drain_ns(50_000_000) == 500_000_000 + 500_000_000 + 1_000_000
    assert MixnodeConfig(**NEEDED, drain_timeout="1ms").drain_ns(50_000_000) == 1_001_000_000
    assert MixnodeConfig(**NEEDED, drain_timeout=timedelta(seconds=9)).drain_ns(50_000_000) == 9_000_000_000


def test_is_frozen_and_pickles() -> None:
    config = MixnodeConfig(**NEEDED)
    with pytest.raises(ValueError, match="frozen"):
        config.number = 2  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


def test_classes_of_a_priority_strategy(tmp_path: Path) -> None:
    text = (
        GOOD.replace('"adaptive"', '"priority"')
        + '[[mixing.classes]]\n[[mixing.classes]]\nstrategy = "timed"\nmax_batch_size = 30\n'
    )
    assert [inner.strategy for inner in load(tmp_path, text).mixing.classes] == ["poisson", "timed"]
    for new, words in (
        ("max_batch_size = -3", "node.toml:18: mixing.classes[1].max_batch_size: -3"),
        ("max_batch_size = 3", "node.toml:10: mixing: classes[1] has min_batch_size 5 above max_batch_size 3"),
        ("floor = 3", "node.toml:18: mixing.classes[1].floor: is not a known key: known are max_batch_size"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            load(tmp_path, text.replace("max_batch_size = 30", new))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_can_be_made_of_its_configuration(name: str) -> None:
    mixing = MixingConfig(strategy=name, max_latency="20ms")  # type: ignore[arg-type]
    assert resolve(mixing.strategy, **mixing.parameters)
    assert MixingLimits(**mixing.limits) == MixingLimits(max_latency_ns=20_000_000)
    assert set(STRATEGIES) == set(registry.STRATEGIES)


def test_priority_strategy_gets_its_classes() -> None:
    own = resolve("adaptive")
    rules = (ClassConfig(strategy="timed", max_latency="9ms", max_batch_size=70), ClassConfig(strategy=own))
    mixing = MixingConfig(strategy="priority", classes=rules)
    strategy = resolve(mixing.strategy, **mixing.parameters)
    strategy.prepare(2)
    limits = strategy.limits_of(0, MixingLimits(**mixing.limits))
    assert (limits.max_batch_size, limits.min_batch_size, limits.max_latency_ns) == (70, 10, 9_000_000)
    assert strategy.limits_of(1, MixingLimits(**mixing.limits)).max_batch_size == 100


def test_strategy_may_be_an_import_path_a_class_or_an_instance() -> None:
    class Own:
        pass

    own = Own()
    for strategy in ("my.mixers:Entropy", Own, own):
        assert MixingConfig(strategy=strategy).strategy is strategy


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("number = 7", "numbr = 7", None, ["number: is missing: add it. The node's number"]),
        ("number = 7", "numbr = 7", 1, ["numbr: is not a known key: did you mean 'number'?"]),
        ("number = 7", 'number = "7"', 1, ["number: '7' is not a whole number: write it without quotes, such as 4"]),
        ("number = 7", "number = true", 1, ["number: true is not a whole number"]),
        ("number = 7", "number = -7", 1, ["number: -7 is too small: write 0 or more"]),
        ('"network.toml"', "3", 2, ["network: 3 is not a path"]),
        ('"network.toml"', '""', 2, ["network: '' is not a path"]),
        ("0.0.0.0:9000", "mix.example:9000", 5, ["listen_addr: 'mix.example:9000' is not an IP address and a port"]),
        ('"2s"', "2", 6, ["drain_timeout: 2 is not a duration", '"250ms"']),
        ('"2s"', '"2 seconds"', 6, ["drain_timeout: '2 seconds' is not a duration"]),
        ('"2s"', '"99999999999d"', 6, ["is too long a duration"]),
        ("allow_swap = true", "allow_swap = 1", 7, ["allow_swap: 1 is neither true nor false: write one of the two"]),
        ("allow_swap = true", "enable_metrics = true", 7, ["enable_metrics: is not a known key"]),
        ("allow_swap = true", "client_rate = -1", 7, ["client_rate: -1 is too small: write 0 or more"]),
        ("allow_swap = true", "workers = 99", 7, ["workers: 99 is too large: write 16 or less"]),
        ("number = 7", "number = 65280", 1, ["number: 65280 is too large: write 65279 or less"]),
        ("allow_swap = true", "cores = 0", 7, ["cores: 0 is not an array: write one such as [0, 1]"]),
        ("allow_swap = true", 'cores = ["a"]', 7, ["cores[0]: 'a' is not a whole number"]),
        (
            "allow_swap = true",
            "nap = 200",
            7,
            ['nap: 200 is not a duration: write a number and a unit in quotes, such as "250ms"'],
        ),
        ("allow_swap = true", "node_id = 3", 7, ['node_id: 3 is not a text: write it in quotes, such as "mix-7"']),
        ("allow_swap = true", 'node_id = ""', 7, ["node_id: '' has the wrong length: write at least one character"]),
        ('"250ms"', '"250ms"\noptions = 3', 15, ["mixing.options: 3 is not a table: write one such as"]),
        ('"250ms"', '"250ms"\nclasses = [3]', 15, ["mixing.classes[0]: 3 is not a table"]),
        ('"debug"', '"loud"', 8, ["""log_level: 'loud' is not a choice: write "debug", "info", "warning" or "error\""""]),
        ("[mixing]", "[mixng]", 10, ["mixng: is not a known key: did you mean 'mixing'?"]),
        ('"adaptive"', '"adptive"', 11, ["mixing.strategy: 'adptive' is not a strategy: did you mean 'adaptive'?"]),
        ('"adaptive"', '"my mixers:X"', 11, ["mixing.strategy", "is not an import path"]),
        ('"adaptive"', "4", 11, ["mixing.strategy: 4 is not a strategy: give a name"]),
        ("min_batch_size = 5", "min_batch_size = 51", 10, ["mixing: min_batch_size 51 is above max_batch_size 50"]),
        ("max_latency", "max_latancy", 14, ["mixing.max_latancy: is not a known key: did you mean 'max_latency'?"]),
        ('"250ms"', '"-1ms"', 14, ["mixing.max_latency: '-1ms' is not a duration"]),
        ('"250ms"', '"250ms"\nfloor = 20000', None, ["mixing.floor 20000 is not below 14336, the packets"]),
        (
            '"250ms"',
            '"250ms"\n[keys]\nfollow_clock_after = 600',
            16,
            ["keys.follow_clock_after: 600 is not a duration: write a number and a unit in quotes", 'or "never"'],
        ),
        ('"250ms"', '"250ms"\n[keys]\nfollow_clock_after = "nver"', 16, ["'nver' is not a duration", 'or "never"']),
        ('"250ms"', '"250ms"\n[keys]\nfollow_clock_after = "59s"', 16, ["'59s' is less than a minute", '"1min" or more']),
        ('"250ms"', '"250ms"\n[[mixing.classes]]', 10, ["mixing: classes are only for strategy"]),
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, old: str, new: str, line: int | None, words: list[str]) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    place = f"{tmp_path}/node.toml" + (f":{line}: " if line else ": ")
    told = [text for text in str(caught.value).splitlines() if text.startswith(place)]
    assert any(all(word in text for word in words) for text in told), str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert "nput should" not in str(caught.value)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace("number", "numbr").replace("max_latency", "max_latancy").replace('"2s"', "2"))
    assert len(str(caught.value).splitlines()) == 4


def test_wrong_arguments_of_the_constructor() -> None:
    with pytest.raises(ConfigError, match="MixnodeConfig: numbr: is not a known key: did you mean 'number'"):
        MixnodeConfig(**NEEDED, numbr=3)
    with pytest.raises(ConfigError, match="MixingConfig: max_latency: 3 is not a duration"):
        MixingConfig(max_latency=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"MixnodeConfig: mixing\.floor: 'x'"):
        MixnodeConfig(**NEEDED, mixing={"floor": "x"})
    with pytest.raises(ConfigError, match="is negative"):
        MixingConfig(max_latency=timedelta(seconds=-1))
    with pytest.raises(ConfigError, match="a class cannot have strategy"):
        ClassConfig(strategy="priority")


def test_settings_are_values_of_json_and_of_the_file(tmp_path: Path) -> None:
    classes = '[[mixing.classes]]\n[[mixing.classes]]\nstrategy = "timed"\nmax_latency = "20ms"\noptions = { interval = "9ms" }\n'
    text = GOOD.replace('"adaptive"', '"priority"').replace("number = 7", "number = 7\nworkers = 2\ncores = [0, 3]") + classes
    settings = {name: value for name, (value, _) in load(tmp_path, text).settings.items()}
    assert json.loads(json.dumps(settings)) == settings
    assert (settings["number"], settings["cores"], settings["allow_swap"]) == (7, [0, 3], True)
    assert (settings["nap"], settings["drain_timeout"], settings["mixing.max_latency"]) == ("200us", "2s", "250ms")
    timed = {"strategy": "timed", "max_latency": "20ms", "options": {"interval": "9ms"}}
    assert settings["mixing.classes"] == [{"strategy": "poisson", "options": {}}, timed]
    told = {name: toml_text(value) for name, value in settings.items()}
    assert (told["allow_swap"], told["cores"], told["nap"], told["isa"]) == ("true", "[0, 3]", '"200us"', '"auto"')
    assert toml_text(None) == "not set"
    assert all(tomllib.loads(f"x = {told[name]}")["x"] == value for name, value in settings.items() if value is not None)
    assert MixnodeConfig(**NEEDED).settings["drain_timeout"] == (None, "default")
    assert MixnodeConfig(**NEEDED, mixing=MixingConfig(strategy=dict)).settings["mixing.strategy"][0] == "<class 'dict'>"


@pytest.mark.parametrize(
    ("text", "value"), [("never", "never"), ("10min", timedelta(minutes=10)), ("1min", timedelta(minutes=1))]
)
def test_when_a_clock_that_jumped_is_followed(tmp_path: Path, text: str, value: object) -> None:
    config = load(tmp_path, GOOD + f'[keys]\nfollow_clock_after = "{text}"\n')
    assert config.keys is not None
    assert config.keys.follow_clock_after == value
    assert config.settings["keys"][0]["follow_clock_after"] == text
    assert KeysConfig().follow_clock_after == "never"


def test_texts_of_toml_are_read_back() -> None:
    for value in ('say "no"\n\\', "é", {"a b": 1, "c": [True, 0.5, {}]}, [], -3):
        assert tomllib.loads(f"x = {toml_text(value)}")["x"] == value


@pytest.mark.parametrize("text", ["0ms", "1us", "1500us", "250ms", "90s", "10min", "36h", "30d"])
def test_durations_round_trip(text: str) -> None:
    assert parse_duration(format_duration(parse_duration(text))) == parse_duration(text)
    assert duration_ns(parse_duration(text)) == duration_ns(parse_duration(text.replace("us", " us")))


def test_durations_with_fractions() -> None:
    assert parse_duration("1.5s") == timedelta(milliseconds=1500)
    assert duration_ns(parse_duration("0.000001s")) == 1000
    for wrong in ("", "5", "ms", "1e3s", "-1s", "1.5.2s", "1s 2ms", "٣s"):
        with pytest.raises(ValueError, match="duration"):
            parse_duration(wrong)
