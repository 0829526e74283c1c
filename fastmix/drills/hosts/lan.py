"""`Lan`: hosts with addresses of their own around one router, all in namespaces of their own. The machine's own interfaces and
routes are in none of them, so no address can collide, and nothing reaches a host from outside or leaves from there.

A router and not a bridge, since its policy rules (ip-rule(8)) drop without a word what one host sends to another, one way,
for any pair, and nearly every kernel has them; a bridge would need filters, which many kernels lack. iproute2 does it all: a
page of its commands, which anyone can read and try, in place of a netlink library that only drills would use.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from types import TracebackType
from typing import Self

from fastmix.drills.hosts.namespace import Namespace, check_possible
from fastmix.tune.ethtool import write_offload

NETWORK = "10.66"
HOSTS_MAX = 250
MTU = 1500
CUT = 100
"""Priority of the rules of cuts: behind the router's own addresses, before its routes."""
INTERFACE = "eth0"
OFFLOADS = (
    "tx-udp-segmentation",
    "tx-tcp-segmentation",
    "tx-generic-segmentation",
    "rx-gro",
    "rx-gro-list",
    "rx-udp-gro-forwarding",
)
"""What carries several datagrams as one, in the names of `ethtool -k`."""


@dataclass(frozen=True)
class Host:
    """One machine: `number` from 1, IPv4 `address`, which only the hosts of its Lan can reach."""

    number: int
    address: str
    namespace: Namespace

    def words(self, *command: str) -> list[str]:
        """The command as it runs on this host."""
        return [*self.namespace.words(), *command]


class Lan:
    """`with Lan(9) as lan`: hosts `lan.hosts`, all of which reach each other; gone at the end or with this process."""

    def __init__(self, n: int, *, offloads: bool = True, mtu: int = MTU) -> None:
        """n hosts; without `offloads` every datagram crosses every link by itself, as on the wire."""
        if not 1 <= n <= HOSTS_MAX:
            raise ValueError(f"a Lan has 1 to {HOSTS_MAX} hosts, not {n}")
        self._n, self._offloads, self._mtu = n, offloads, mtu
        self._rules: list[str] = []
        self._namespaces: list[Namespace] = []
        self.hosts: tuple[Host, ...] = ()

    def __enter__(self) -> Self:
        check_possible()
        try:
            self.router = self._namespace()
            self.hosts = tuple(Host(i, f"{NETWORK}.{i}.2", self._namespace()) for i in range(1, self._n + 1))
            self._wire()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for each in self._namespaces:
            each.close()
        self._namespaces.clear()

    def _namespace(self) -> Namespace:
        self._namespaces.append(Namespace())
        return self._namespaces[-1]

    def _wire(self) -> None:
        """A cable from the router to each host, addresses at both ends, a way to all others."""
        lines = ["link set lo up"]
        for host in self.hosts:
            port = port_of(host)
            lines += [
                f"link add {port} mtu {self._mtu} type veth peer name {INTERFACE} mtu {self._mtu} netns {host.namespace.path}",
                f"addr add {gateway_of(host)}/24 dev {port}",
                f"link set {port} up",
            ]
        self.router.ip(lines)
        self.router.set("ipv4/ip_forward", "1")
        for host in self.hosts:
            host.namespace.ip((
                "link set lo up", f"addr add {host.address}/24 dev {INTERFACE}", f"link set {INTERFACE} up",
                f"route add default via {gateway_of(host)}",
            ))  # fmt: skip
        if not self._offloads:
            self._switch_offloads_off()

    def _switch_offloads_off(self) -> None:
        self.router.within(lambda: single_datagrams(*map(port_of, self.hosts)))
        for host in self.hosts:
            host.namespace.within(lambda: single_datagrams(INTERFACE))

    def cut(self, senders: Iterable[Host], receivers: Iterable[Host]) -> None:
        """What senders send to receivers vanishes from now on, without an error or an answer. The other way stays open."""
        rules = [
            f"from {one.address} to {other.address} priority {CUT} blackhole" for one, other in product(senders, list(receivers))
        ]
        new = [rule for rule in rules if rule not in self._rules]
        self._rules += new
        self.router.ip(f"rule add {rule}" for rule in new)

    def partition(self, some: Iterable[Host]) -> None:
        """Between these hosts and all others nothing passes any more."""
        inside = list(some)
        others = [host for host in self.hosts if host not in inside]
        self.cut(inside, others)
        self.cut(others, inside)

    def heal(self) -> None:
        """Everything passes again."""
        rules, self._rules = self._rules, []
        self.router.ip(f"rule del {rule}" for rule in rules)


def port_of(host: Host) -> str:
    """The router's interface to a host."""
    return f"host{host.number}"


def gateway_of(host: Host) -> str:
    """The router's address for a host."""
    return f"{NETWORK}.{host.number}.1"


def single_datagrams(*interfaces: str) -> None:
    """Switches off, in this thread's namespace, whatever the interfaces have of `OFFLOADS`."""
    for interface, name in product(interfaces, OFFLOADS):
        with suppress(OSError):  # an offload that this kernel does not know, or never has on
            write_offload(interface, name, "off")
