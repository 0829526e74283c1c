"""What a node answers to whom: newcomers, peers, clients. The questions are those of `messages`."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec

from fastmix.errors import NetworkFailure
from fastmix.peers.authoring import Author
from fastmix.peers.directory_state import DirectoryState
from fastmix.peers.gossip import Ask
from fastmix.peers.messages import RECORDS_AT_ONCE, Clock, Publication, Question, Records, Since, Wanted, read
from fastmix.tls.connection import Connection, Handler
from fastmix.tls.greeting import Visitor

Pass = Callable[[bytes], Awaitable[None]]


class Answers:
    """One node's. `pass_on`: takes a publication to an authority; `share`: an authority's, to the others; `news`: is called with
    whom there is something new."""

    def __init__(
        self, state: DirectoryState, author: Author | None, pass_on: Pass, share: Pass, news: Callable[[bytes], None]
    ) -> None:
        self._state, self._author, self._pass_on, self._share, self._news = state, author, pass_on, share, news

    def to(self, visitor: Visitor, connection: Connection) -> Mapping[str, Handler]:
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
        if self._author is not None and visitor.is_peer:
            answers[Question.LEAVING] = partial(self._leaving, visitor.identity)
        if self._author is not None and visitor.identity in self._author.rule.authorities:
            answers[Question.PROPOSE] = partial(self._propose, connection.ask)
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
        vouched = visitor.is_peer and visitor.identity in self._author.rule.authorities
        record = self._author.publish(publication.record, time.time_ns(), publication.token, vouched=vouched)
        if not visitor.is_peer and record.identity != visitor.identity:
            self._state.drop(publication.record)
            raise NetworkFailure("that is another node's record: each publishes its own")
        if not vouched:
            await self._share(body)
        return b""

    async def _leaving(self, identity: bytes, _: bytes) -> bytes:
        assert self._author is not None
        self._author.leaving.add(identity)
        return b""

    async def _propose(self, ask: Ask, body: bytes) -> bytes:
        """Records that the proposal names and that are not here come from who proposes."""
        assert self._author is not None
        proposal = self._author.read(body)
        lacking = [each.record for each in proposal.document.entries if self._state.record(each.record) is None]
        if lacking:
            wanted = Wanted(tuple(lacking[:RECORDS_AT_ONCE]))
            for data in read(await ask(Question.RECORDS, msgspec.msgpack.encode(wanted)), Records).records:
                self._state.add_record(data, time.time_ns())
        return self._author.countersign(proposal, time.time_ns()).envelope.to_bytes()
