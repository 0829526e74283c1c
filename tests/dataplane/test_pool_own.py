"""The node's own packets in the pool: their share of the floor, and how many of them it lacks."""

from pool_bench import MS, Bench

from fastmix.mixing import PoissonMix
from fastmix.packet.slots import OWN


def test_own_packets_may_be_the_whole_floor() -> None:
    bench = Bench(PoissonMix(), floor=10, upstreams=8)
    bench.add(10, delay_ns=400 * MS, ingress=OWN)
    assert bench.pool.counted == 10
    (slot,) = bench.add(1, delay_ns=MS, ingress=3)
    assert bench.release(MS) == [slot]
    bench.pool.configure(bench.pool.strategy, bench.limits)
    assert bench.pool.counted == 10


def test_an_own_packet_that_leaves_below_the_floor_is_not_counted() -> None:
    bench = Bench(PoissonMix(), floor=10, max_latency_ns=500 * MS)
    bench.add(3, delay_ns=MS, ingress=OWN)
    (other,) = bench.add(1, delay_ns=2 * MS)
    assert len(bench.release(501 * MS)) == 3
    assert bench.pool.released_below_floor == 0
    assert bench.release(502 * MS) == [other]
    assert bench.pool.released_below_floor == 1


def test_missing_residents_of_an_idle_pool() -> None:
    bench = Bench(PoissonMix(), floor=10)
    assert bench.pool.missing(0) == 10
    bench.add(4, delay_ns=MS, ingress=OWN)
    assert bench.pool.missing(0) == 6
    assert bench.pool.missing(2 * MS) == 6, "own packets alone wait for nobody"
    bench.add(6, delay_ns=MS, ingress=OWN)
    assert bench.pool.missing(2 * MS) == 0


def test_somebodys_packet_that_is_due_and_held_back_asks_for_those_that_let_all_go() -> None:
    bench = Bench(PoissonMix(), floor=10)
    bench.add(8, delay_ns=MS, ingress=OWN)
    (slot,) = bench.add(1, delay_ns=MS, ingress=3)
    assert bench.release(MS) == []
    assert bench.pool.missing(0) == 1
    assert bench.pool.missing(MS) == 1, "it may still leave in time"
    assert bench.pool.missing(21 * MS) == 10
    bench.add(10, now_ns=21 * MS, ingress=OWN)
    assert slot in bench.release(22 * MS)
    assert len(bench.pool) == 10
    assert bench.pool.missing(22 * MS) == 0


def test_a_link_beyond_its_share_asks_for_no_more_than_the_floor() -> None:
    bench = Bench(PoissonMix(), floor=10, upstreams=8, max_batch_size=1000)
    bench.add(300, delay_ns=MS, ingress=3)
    (target,) = bench.add(1, delay_ns=MS, ingress=4)
    assert bench.pool.counted == 3
    assert bench.pool.missing(0) == 7
    left = bench.release(MS)
    assert target not in left
    missing = bench.pool.missing(21 * MS)
    assert missing == 10
    own = bench.add(missing, now_ns=21 * MS, delay_ns=50 * MS, ingress=OWN)
    assert target in bench.release(23 * MS)
    assert len(bench.pool) == len(own) == bench.pool.counted


def test_a_floor_that_is_met_and_a_drain_lack_nothing() -> None:
    bench = Bench(PoissonMix(), floor=10)
    bench.add(21, delay_ns=400 * MS)
    bench.add(9, delay_ns=MS)
    assert bench.pool.missing(0) == bench.pool.missing(300 * MS) == 0, "a link that has more than its share, as ever"
    assert Bench(PoissonMix(), floor=0).pool.missing(0) == 0
    bench = Bench(PoissonMix(), floor=10)
    bench.pool.drain(100 * MS)
    assert bench.pool.missing(0) == 0
