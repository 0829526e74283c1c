"""What a node answers to whom: newcomers, peers, clients. The questions are those of `messages`."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from fastmix.errors import NetworkFailure
from fastmix.peers.authoring import Author
from fastmix.peers.directory_state import DirectoryState
from fastmix.peers.messages import Clock, Publication, Question, Records, Since, Wanted, read
from fastmix.tls.connection import Handler
from fastmix.tls.greeting import Visitor

Pass = Callable[[bytes], Awaitable[None]]


class Answers:
    """One node's. `pass_on`: takes a publication to an authority; `news`: is called with whom there is something new."""

    def __init__(self, state: DirectoryState, author: Author | None, pass_on: Pass, news: Callable[[bytes], None]) -> None:
        self._state, self._author, self._pass_on, self._news = state, author, pass_on, news
        self.published = asyncio.Event()
        """A record has come that the next document is to name."""

    def to(self, visitor: Visitor) -> Mapping[str, Handler]:
        """What that visitor may ask of the directory. `NetworkFailure` where it may not come in at all."""
        answers: dict[str, Handler] = {
            Question.INTRODUCTION: self._introduction,
            Question.DOCUMENTS: self._documents,
            Question.RECORDS: self._records,
            Question.CLOCK: self._clock,
        }
        if visitor.role == "client":
            return answers
        if self._author is not None and not visitor.is_peer:
            self._author.check(visitor.identity, visitor.token)

        async def publish(body: bytes) -> bytes:
            return await self._publish(visitor, body)

        async def news(_: bytes) -> bytes:
            self._news(visitor.identity)
            return b""

        answers[Question.PUBLISH] = publish
        if visitor.is_peer:
            answers[Question.NEWS] = news
        if self._author is not None and visitor.identity in self._author.rule.authorities:
            answers[Question.PROPOSE] = self._propose
        return answers

    async def _introduction(self, _: bytes) -> bytes:
        return msgspec.msgpack.encode(self._state.introduction)

    async def _documents(self, body: bytes) -> bytes:
        return msgspec.msgpack.encode(self._state.documents(read(body, Since)))

    async def _records(self, body: bytes) -> bytes:
        return msgspec.msgpack.encode(Records(self._state.records(read(body, Wanted))))

    async def _clock(self, _: bytes) -> bytes:
        return msgspec.msgpack.encode(Clock(time.time_ns()))

    async def _publish(self, visitor: Visitor, body: bytes) -> bytes:
        """An authority takes it; another node passes it on. Newcomers speak for themselves only."""
        if self._author is None:
            await self._pass_on(body)
            return b""
        publication = read(body, Publication)
        record = self._author.publish(publication.record, time.time_ns(), publication.token)
        if not visitor.is_peer and record.identity != visitor.identity:
            self._state.drop(publication.record)
            raise NetworkFailure("that is another node's record: each publishes its own")
        self.published.set()
        return b""

    async def _propose(self, body: bytes) -> bytes:
        assert self._author is not None
        return self._author.countersign(body, time.time_ns()).envelope.to_bytes()
