"""Names, import paths and parameters of strategies; limits; the contract test."""

import pickle
from datetime import timedelta

import numpy as np
import pytest

from fastmix.errors import ConfigError
from fastmix.mixing import (
    EMPTY,
    STRATEGIES,
    AdaptiveMix,
    ClassRule,
    MixingLimits,
    MixingStrategy,
    PoissonMix,
    PriorityMix,
    ThresholdMix,
    TimedMix,
    resolve,
)
from fastmix.mixing.contract import check_strategy
from fastmix.mixing.limits import duration_ns


class EntropyMix(MixingStrategy):
    def __init__(self, share=0.5):
        self.share = share

    def due_ns(self, pool, now_ns):
        return pool.oldest_ns

    def select(self, pool, now_ns):
        return pool.everyone()[: int(len(pool) * self.share)]


def test_names_and_class_attributes_are_the_same_strategies():
    for name, kind in STRATEGIES.items():
        assert type(resolve(name)) is kind
        assert getattr(MixingStrategy, name.capitalize()) is kind
    assert resolve("timed", interval="40ms").interval_ns == 40_000_000
    assert resolve(MixingStrategy.Size, size=7).size == 7


def test_instances_paths_and_mappings():
    mine = EntropyMix()
    assert resolve(mine) is mine
    assert resolve("test_mixing_registry:EntropyMix", share=0.25).share == 0.25
    assert resolve({"name": "adaptive", "target_set": 50}).target_set == 50
    size = {"strategy": {"name": "size", "size": 3}, "max_latency": "20ms"}
    classes = [{"strategy": "timed", "max_batch_size": 5}, size, "poisson"]
    priority = resolve({"name": "priority", "classes": classes})
    assert [type(rule.strategy) for rule in priority.rules] == [TimedMix, ThresholdMix, PoissonMix]
    assert priority.rules[0].max_batch_size == 5
    assert priority.rules[1].limits(MixingLimits()).max_latency_ns == 20_000_000
    assert priority.rules[1].limits(MixingLimits()).max_batch_size == 100


@pytest.mark.parametrize(
    ("spec", "parameters", "text"),
    [
        ("adaptve", {}, "mixing strategy 'adaptve' is not known: .* Did you mean 'adaptive'"),
        ("", {}, "mixing strategy '' is not known"),
        (17, {}, "mixing strategy 17 is not known"),
        ("no.such.module:Mix", {}, "no.such.module cannot be imported .ModuleNotFoundError"),
        (":Mix", {}, "cannot be imported"),
        ("test_mixing_registry:Nothing", {}, "test_mixing_registry has no 'Nothing'"),
        ("test_mixing_registry:resolve", {}, "is not a MixingStrategy"),
        (int, {}, "is not a MixingStrategy"),
        (MixingStrategy, {}, "MixingStrategy cannot be made"),
        ("timed", {"intervall": 3}, "TimedMix cannot be made with .'intervall'.: .*unexpected keyword"),
        ("timed", {"interval": "soon"}, "interval of the timed strategy is 'soon': use a positive duration"),
        ("timed", {"interval": -1}, "interval of the timed strategy is -1"),
        ("size", {"size": 0}, "size of the size strategy is 0"),
        ("adaptive", {"target_set": 1}, "target_set of the adaptive strategy is 1"),
        ("adaptive", {"latency_share": 2}, "latency_share of the adaptive strategy is 2"),
        ("priority", {"classes": [{"strategy": "timed", "batch": 3}]}, "a class of the priority strategy is wrong: .*'batch'"),
        ({"interval": "1s"}, {}, "a mixing strategy without a name"),
        (PoissonMix(), {"size": 1}, "parameters .'size'. for a strategy that is made already"),
    ],
)
def test_what_cannot_be_resolved_says_why(spec, parameters, text):
    with pytest.raises(ConfigError, match=text):
        resolve(spec, **parameters)


@pytest.mark.parametrize(
    ("value", "ns"),
    [(timedelta(milliseconds=250), 250_000_000), ("250ms", 250_000_000), ("1.5s", 15 * 10**8), (0.1, 10**8), ("80us", 80_000)],
)
def test_durations(value, ns):
    assert duration_ns(value, "x") == ns


@pytest.mark.parametrize("value", ["", "ms", "-1s", "1 hour", None, True, 0, float("nan"), float("inf"), timedelta(0), b"1s"])
def test_what_is_no_duration(value):
    with pytest.raises(ConfigError, match=r"x is .*: use a positive duration"):
        duration_ns(value, "x")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"floor": -1}, "mixing limit floor is -1: use a whole number from 0 on"),
        ({"max_batch_size": 0}, "mixing limit max_batch_size is 0"),
        ({"tick_ns": 0}, "mixing limit tick_ns is 0"),
        ({"max_latency_ns": 0.5}, "mixing limit max_latency_ns is 0.5"),
        ({"min_batch_size": True}, "mixing limit min_batch_size is True"),
        ({"min_batch_size": 101}, "min_batch_size 101 is larger than max_batch_size 100"),
    ],
)
def test_wrong_limits_name_the_field(fields, text):
    with pytest.raises(ConfigError, match=text):
        MixingLimits(**fields)


@pytest.mark.parametrize("name", STRATEGIES)
def test_our_strategies_keep_the_contract(name):
    check_strategy(resolve(name), classes=2)
    assert type(pickle.loads(pickle.dumps(resolve(name)))) is STRATEGIES[name]


def test_priority_of_all_kinds_keeps_the_contract():
    check_strategy(PriorityMix([ClassRule(AdaptiveMix()), TimedMix(), "size"]), classes=4)
    check_strategy(EntropyMix())


class _Broken(EntropyMix):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def select(self, pool, now_ns):
        return self.answer(pool) if callable(self.answer) else self.answer


class _Late(EntropyMix):
    def due_ns(self, pool, now_ns):
        return 0.5 + now_ns


def _fails(pool):
    raise LookupError("gone")


def _outside(pool):
    return np.array([len(pool)])


def _twice(pool):
    return np.zeros(2 if len(pool) else 0, dtype=int)


def _writes(pool):
    pool.arrival_ns[:] = 0
    return EMPTY


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (_Broken([1]), "select returned list, not an array, with 0 packets"),
        (_Broken(np.zeros((0, 2), dtype=int)), "select returned an array of 2 dimensions"),
        (_Broken(np.zeros(0)), "select returned float64, not integers"),
        (_Broken(_outside), "select named positions outside"),
        (_Broken(_twice), "select named a position twice"),
        (_Broken(_fails), "select raised LookupError: gone"),
        (_Broken(_writes), "select raised ValueError: .*read-only"),
        (_Broken(lambda pool: EMPTY), "the strategy cannot be pickled .*import path, 'test_mixing_registry:_Broken'"),
        (_Late(), "due_ns returned float, not int"),
        ("poisson", "str is not a MixingStrategy"),
    ],
)
def test_the_contract_test_finds_what_is_broken(strategy, text):
    with pytest.raises(AssertionError, match=text):
        check_strategy(strategy)
