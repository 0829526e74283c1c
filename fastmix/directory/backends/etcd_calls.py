"""What of etcd's version 3 API is used, over the stubs that aetcd brings: keys by prefix, leases, transactions, watches.

The channel is this module's own, for aetcd's client knows neither TLS nor limits. Every failure is a `NetworkFailure` that names
etcd's addresses.
"""

import asyncio
import importlib
import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastmix.directory import document
from fastmix.errors import ConfigError, NetworkFailure
from fastmix.files.addresses import parse_address

CALL_S = 5.0
"""So long an answer is waited for."""
PAGE = 16
"""So many values are asked for at a time: an answer has a limit, too."""
OPTIONS = (
    ("grpc.max_receive_message_length", PAGE * (document.SIZE_MAX + (1 << 19))),
    ("grpc.max_send_message_length", 2 * document.SIZE_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),  # so long a connection may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),  # etcd lets go of who asks more often than every 5 s
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM: whose signature etcd's certificate needs, and this end's certificate with its key, where etcd asks for one."""

    authority: bytes
    certificate: bytes | None = None
    key: bytes | None = None

    def __repr__(self) -> str:
        return "EtcdTls()"


def end_of(prefix: bytes) -> bytes:
    """The first key behind all that begin with an ASCII prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


class Etcd:
    """An etcd, or a cluster of them. `places`: IP addresses with ports, of which one that answers is asked."""

    def __init__(self, places: tuple[str, ...], tls: EtcdTls | None = None, call_s: float = CALL_S) -> None:
        """`ConfigError` for what is no address, or without aetcd. To be made in a running loop."""
        try:
            self._rpc: Any = importlib.import_module("aetcd.rpc")
            self._grpc: Any = importlib.import_module("grpc")
        except ImportError:
            raise ConfigError("etcd is spoken to with aetcd: pip install 'fastmix[etcd]'") from None
        self.name, self._call_s = f"etcd at {', '.join(places)}", call_s
        self._closed = False
        self._channel = self._open(_target(places), tls)
        self._keys, self._leases = self._rpc.KVStub(self._channel), self._rpc.LeaseStub(self._channel)
        self._watches = self._rpc.WatchStub(self._channel)

    async def get(self, key: bytes) -> bytes | None:
        """The value; None where there is none."""
        found = await self._call(self._keys.Range, self._rpc.RangeRequest(key=key))
        return bytes(found.kvs[0].value) if found.kvs else None

    async def last_keys(self, prefix: bytes, n: int) -> list[bytes]:
        """The last `n` keys that begin so, in order."""
        request = self._rpc.RangeRequest(
            key=prefix, range_end=end_of(prefix), keys_only=True, limit=n,
            sort_order=self._rpc.RangeRequest.DESCEND, sort_target=self._rpc.RangeRequest.KEY,
        )  # fmt: skip
        found = await self._call(self._keys.Range, request)
        return [bytes(each.key) for each in reversed(found.kvs)]

    async def page(self, first: bytes, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Up to `PAGE` keys of that prefix with their values, from one on, in order."""
        request = self._rpc.RangeRequest(key=first, range_end=end_of(prefix), limit=PAGE)
        found = await self._call(self._keys.Range, request)
        return [(bytes(each.key), bytes(each.value)) for each in found.kvs]

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> bool:
        """False where the lease is over."""
        try:
            await self._call(self._keys.Put, self._rpc.PutRequest(key=key, value=value, lease=lease))
        except _NotFound:
            return False
        return True

    async def delete_before(self, prefix: bytes, first_kept: bytes) -> None:
        """All keys of a prefix in front of one."""
        await self._call(self._keys.DeleteRange, self._rpc.DeleteRangeRequest(key=prefix, range_end=first_kept))

    async def create(self, key: bytes, value: bytes, lease: int) -> int | None:
        """Puts a key that is not there, under a lease. The revision that made it; None where it is there."""
        compare = self._rpc.Compare(key=key, target=self._rpc.Compare.CREATE, result=self._rpc.Compare.EQUAL, create_revision=0)
        put = self._rpc.RequestOp(request_put=self._rpc.PutRequest(key=key, value=value, lease=lease))
        done = await self._call(self._keys.Txn, self._rpc.TxnRequest(compare=[compare], success=[put]))
        return int(done.header.revision) if done.succeeded else None

    async def made_by(self, key: bytes) -> int | None:
        """The revision that has made a key; None where it is not there."""
        found = await self._call(self._keys.Range, self._rpc.RangeRequest(key=key, keys_only=True))
        return int(found.kvs[0].create_revision) if found.kvs else None

    async def grant(self, ttl_s: float) -> tuple[int, float]:
        """A new lease, and the seconds that it has been given: whole ones, and no fewer than etcd gives anyone."""
        done = await self._call(self._leases.LeaseGrant, self._rpc.LeaseGrantRequest(TTL=math.ceil(ttl_s)))
        return int(done.ID), float(done.TTL)

    async def keep_alive(self, lease: int, call_s: float | None = None) -> bool:
        """Renews a lease; False where it is over."""
        with self._named():
            async with asyncio.timeout(call_s or self._call_s):
                call = self._leases.LeaseKeepAlive()
                try:
                    await call.write(self._rpc.LeaseKeepAliveRequest(ID=lease))
                    answer = await call.read()
                finally:
                    call.cancel()
        if answer is self._grpc.aio.EOF:
            raise self._failure("it has ended the call")
        return bool(answer.TTL > 0)

    async def revoke(self, lease: int) -> None:
        """Ends a lease, and with it its keys."""
        with suppress(_NotFound):
            await self._call(self._leases.LeaseRevoke, self._rpc.LeaseRevokeRequest(ID=lease))

    async def changes(self, prefix: bytes) -> AsyncGenerator[None, None]:
        """Yields once the watch has begun, and at each change of a key of that prefix. Ends by `NetworkFailure` only."""
        watch = self._rpc.WatchCreateRequest(key=prefix, range_end=end_of(prefix))
        with self._named():
            call = self._watches.Watch()
            try:
                async with asyncio.timeout(self._call_s):
                    await call.write(self._rpc.WatchRequest(create_request=watch))
                    answer = await call.read()
                while answer is not self._grpc.aio.EOF and not answer.canceled:
                    yield
                    answer = await call.read()
            finally:
                call.cancel()
        raise self._failure("it has ended the watch")

    async def close(self) -> None:
        """Ends the channel, and what waits on it."""
        self._closed = True
        await self._channel.close(None)

    def _open(self, target: str, tls: EtcdTls | None) -> Any:
        if tls is None:
            return self._grpc.aio.insecure_channel(target, options=OPTIONS)
        credentials = self._grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
        return self._grpc.aio.secure_channel(target, credentials, options=OPTIONS)

    async def _call(self, call: Any, request: Any) -> Any:
        with self._named():
            return await call(request, timeout=self._call_s)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Failures of gRPC by their names here. A closed channel cancels what waits on it, which is no cancellation of the
        waiting task."""
        task = asyncio.current_task()
        try:
            yield
        except self._grpc.RpcError as error:
            failure = self._failure(_details(error))
            raise (_NotFound(str(failure)) if error.code() is self._grpc.StatusCode.NOT_FOUND else failure) from None
        except TimeoutError:
            raise self._failure("no answer in time") from None
        except asyncio.CancelledError:
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise self._failure("the connection was closed here") from None
        except (self._grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise self._failure("the connection was closed here" if self._closed else _details(error)) from None

    def _failure(self, why: str) -> NetworkFailure:
        return NetworkFailure(f"{self.name}: {why}: look whether it runs there, and can be reached from here")


class _NotFound(NetworkFailure):
    """A lease is over."""


def _details(error: Any) -> str:
    """The words of a failure, without what gRPC adds for its developers."""
    text = error.details() if hasattr(error, "details") else str(error)
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text or type(error).__name__).split())[:300]


def _target(places: tuple[str, ...]) -> str:
    """As gRPC names several addresses of one service."""
    try:
        parsed = [parse_address(place) for place in places]
    except ValueError as error:
        raise ConfigError(f"etcd {', '.join(places)}: {error}") from None
    if not parsed or len({":" in host for host, _ in parsed}) > 1:
        raise ConfigError(f"etcd {', '.join(places) or 'without an address'}: give addresses of one kind, all IPv4 or all IPv6")
    family = "ipv6" if ":" in parsed[0][0] else "ipv4"
    return f"{family}:" + ",".join(f"[{host}]:{port}" if family == "ipv6" else f"{host}:{port}" for host, port in parsed)
