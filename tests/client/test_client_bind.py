"""Where a client's socket stands."""

import pytest

from fastmix.client.bind import bind_place
from fastmix.errors import ConfigError
from fastmix.plan import plan_network


def network(*hosts):
    return plan_network([[(host, 9000 + at)] for at, host in enumerate(hosts)], 1).network


LOCAL, WIDE = ("127.0.0.1",) * 3, ("192.0.2.1", "192.0.2.2", "192.0.2.3")
LOCAL_6, WIDE_6 = ("::1",) * 3, ("2001:db8::1", "2001:db8::2", "2001:db8::3")


@pytest.mark.parametrize(
    ("hosts", "place"),
    [(LOCAL, "127.0.0.1"), (WIDE, "0.0.0.0"), (LOCAL_6, "::1"), (WIDE_6, "::"), (("127.0.0.1", *WIDE[:2]), "0.0.0.0")],
)
def test_the_default_reaches_the_nodes(hosts, place) -> None:
    plan = network(*hosts)
    assert bind_place(plan, plan.clients[0].peer_id, None) == (place, 0)


@pytest.mark.parametrize(
    ("hosts", "bind", "told"),
    [
        (WIDE, ("127.0.0.1", 0), "reaches this machine only"),
        (WIDE, ("::", 0), "is IPv6, but the nodes of .* have IPv4"),
        (WIDE_6, ("0.0.0.0", 0), "is IPv4, but the nodes of .* have IPv6"),
        (LOCAL, ("localhost", 0), "is not an IP address"),
        (LOCAL, ("127.0.0.1", 99999), "port 99999"),
        (("192.0.2.1", "192.0.2.2", "2001:db8::3"), None, "IPv4 and of IPv6"),
    ],
)
def test_what_cannot_reach_them(hosts, bind, told) -> None:
    plan = network(*hosts)
    with pytest.raises(ConfigError, match=told):
        bind_place(plan, plan.clients[0].peer_id, bind)
