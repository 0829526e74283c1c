"""The account of messages: what is lost, what a failure has cost, since when all arrive again."""

from fastmix.drills.hosts.ledger import Cost, Ledger


def ledger() -> Ledger:
    """A message each ten ns from 0 to 300, 25 ns on its way; of those sent from 80 to 150 none but the one of 120 has come."""
    made = Ledger()
    made.sent((at // 10, at) for at in range(0, 300, 10))
    made.arrived((at // 10, at + 25) for at in range(0, 300, 10) if not 80 <= at <= 150 or at == 120)
    return made


def test_what_is_lost_and_what_is_under_way() -> None:
    made = ledger()
    assert (made.n_sent, made.n_arrived, made.n_unknown, made.n_doubled) == (30, 23, 0, 0)
    assert made.lost() == [8, 9, 10, 11, 13, 14, 15]
    assert made.lost(100, 140) == [10, 11, 13]
    assert made.under_way(100) == [8, 9], "7 had come at 95"
    assert made.under_way(95) == [8, 9], "at 95 itself it was there"
    assert made.under_way(94) == [7, 8, 9]
    assert made.delays_ns() == [25] * 23


def test_what_a_failure_has_cost() -> None:
    assert ledger().cost_of(94) == Cost(3, 2, 5, 150 - 94, 14, 7)
    assert ledger().cost_of(200, since_ns=160) == Cost(2, 0, 0, 0, 10, 0)
    assert ledger().cost_of(200) == Cost(9, 7, 0, 0, 10, 7), "what another failure took is under way for ever"
    assert ledger().cost_of(94, until_ns=150) == Cost(3, 2, 4, 140 - 94, 0, 6), "nothing says that delivery is back"


def test_what_is_sent_again_comes_late_and_is_missed_but_not_lost() -> None:
    made = Ledger(in_time_ns=30)
    made.sent((at // 10, at) for at in range(0, 300, 10))
    made.arrived((at // 10, at + (500 if 80 <= at <= 150 else 25)) for at in range(0, 300, 10) if at != 100)
    assert made.missed() == [8, 9, 10, 11, 12, 13, 14, 15]
    assert made.lost() == [10]
    assert made.cost_of(94) == Cost(3, 2, 6, 150 - 94, 14, 1)


def test_what_never_left_counts_as_not_sent() -> None:
    made = ledger()
    made.refused([8, 9, 15])
    assert (made.n_sent, made.n_refused) == (27, 3)
    assert made.lost() == [10, 11, 13, 14]


def test_what_comes_twice_or_from_nowhere() -> None:
    made = ledger()
    made.arrived([(1, 500), (1, 3), (99, 500)])
    assert (made.n_doubled, made.n_unknown, made.n_arrived) == (1, 1, 23)
    assert made.delays_ns(10, 20) == [-7], "the first time counts"
