"""The directory of one node, once it has found its network: what it knows, how it hears of more, and its part as an authority."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from fastmix.directory.bootstrap import Bootstrap
from fastmix.directory.document import Entry, Signed, unsigned
from fastmix.errors import NetworkFailure
from fastmix.files.addresses import format_address
from fastmix.peers.answers import Answers
from fastmix.peers.authoring import Author
from fastmix.peers.directory_state import DirectoryState
from fastmix.peers.messages import Question
from fastmix.peers.spread import Spread
from fastmix.peers.view import View
from fastmix.status import HealthIssue, HealthStatus
from fastmix.tls.greeting import pin_of
from fastmix.tls.pool import Pool

log = logging.getLogger(__name__)
Apply = Callable[[View, Entry | None], None]
Ask = Callable[[bytes, str, bytes], Awaitable[bytes]]


class Directory:
    """`ask` asks an authority; `apply` is called with each new view, and this node's entry in it; `pass_on` takes a publication
    to an authority; `founds`: this node makes the network's first document."""

    def __init__(
        self, me: bytes, state: DirectoryState, author: Author | None, pool: Pool, *, ask: Ask,
        pass_on: Callable[[bytes], Awaitable[None]], apply: Apply, founds: bool,
    ) -> None:  # fmt: skip
        self._me, self._ask, self._apply, self._founds = me, ask, apply, founds
        self.state, self.author = state, author
        self.spread = Spread(state, pool, self.changed)
        self.answers = Answers(state, author, pass_on, self.share, self.spread.hear)
        self.view: View | None = None
        self.own: Entry | None = None

    def changed(self) -> None:
        """There is a new document, a record that one names, or a proof that none can be believed."""
        view = self.state.view()
        if view is None:
            return  # what was known goes on
        self.view = view
        self.own = next((entry for entry in view.document.entries if entry.identity == self._me), None)
        self.spread.set_peers(identity for identity in view.records if identity != self._me)
        self._apply(view, self.own)

    async def write(self) -> None:
        """An authority's next document, if one is due. `NetworkFailure` where others have to sign it, and do not."""
        author = self.author
        if author is None or not author.proposes(self._me, founds=self._founds):
            return
        document = author.due(time.time_ns())
        if document is None:
            return
        signed = await self._signed(author, author.begun or unsigned(document))
        self.state.take([signed.envelope.to_bytes()], signed.document.made_ns)
        self.changed()
        self.spread.tell()

    async def _signed(self, author: Author, proposal: Signed) -> Signed:
        """A document with enough signatures: the proposal, or what others have signed in its place."""
        others = [each for each in author.rule.authorities if each != self._me]
        problems: list[str] = []
        for other in others if author.rule.threshold > 1 else ():
            try:
                answer = author.read(await self._ask(other, Question.PROPOSE, proposal.envelope.to_bytes()))
            except NetworkFailure as failure:
                problems.append(str(failure))
                continue
            if answer.hash == proposal.hash:
                proposal = proposal.with_signatures_of(answer)
            elif answer.document.epoch == proposal.document.epoch and answer.signers(author.rule):
                return await self._signed(author, author.countersign(answer, answer.document.made_ns).with_signatures_of(answer))
            if len(proposal.signers(author.rule) | {self._me}) >= author.rule.threshold:
                break
        if len(proposal.signers(author.rule) | {self._me}) < author.rule.threshold:
            said = "; ".join(problems)
            raise NetworkFailure(f"epoch {proposal.document.epoch} lacks signatures of other authorities: {said}")
        return proposal.with_signatures_of(await asyncio.to_thread(author.sign, proposal.document))

    async def share(self, body: bytes) -> None:
        """A publication that this authority has taken, to the others, as far as they are there."""
        for other in self.author.rule.authorities if self.author else ():
            if other != self._me:
                with suppress(NetworkFailure):
                    await self._ask(other, Question.PUBLISH, body)

    def known_nodes(self) -> list[Bootstrap]:
        """Nodes that were in the network when it was last heard of: ways in for one that has left it."""
        records = self.view.records if self.view else {}
        return [
            Bootstrap(*record.control.pair, pin_of(identity), None)
            for identity, record in records.items()
            if identity != self._me
        ]

    def issues(self) -> list[HealthIssue]:
        """What is wrong with the network, as this node sees it."""
        document, degraded, found = self.state.document, HealthStatus.DEGRADED, []
        if self.state.succession.proof is not None:
            problem = "the network's authorities have signed two documents of one epoch: none is believed any more"
            remedy = "show the proof to whoever runs the network (fastmix network show), and join anew once that is settled"
            found.append(HealthIssue("equivocation", HealthStatus.UNHEALTHY, problem, remedy))
        elif document is None or document.valid_until_ns <= time.time_ns():
            problem = "there is no document" if document is None else f"the document of epoch {document.epoch} is over"
            remedy = "look whether the authorities run, and whether this node reaches them; routes stay as they were"
            found.append(HealthIssue("directory", degraded, problem, remedy))
        elif not document.ready:
            problem = f"the network has {len(document.entries)} nodes, too few for a way through three layers"
            found.append(HealthIssue("not_ready", degraded, problem, "start more nodes: fastmix network show has the command"))
        if document is not None and len(document.rule.authorities) == 1 and not self._is_local():
            problem = "one authority rules this network: it could show different networks to different clients, or end it"
            found.append(HealthIssue("one_authority", degraded, problem, "begin networks that matter with several authorities"))
        return found

    def shown(self, linked: Collection[bytes], failing: Collection[bytes]) -> dict[str, Any]:
        """What is known of the network. `linked`: nodes that packets leave to, `failing`: those that links cannot be had with."""
        document, rule, current = self.state.document, self.state.succession.rule, self.state.succession.current
        about = {"network": self.state.settings.network.hex(), "authorities": [each.hex() for each in rule.authorities],
                 "threshold": rule.threshold, "ready": bool(document and document.ready), "nodes": []}  # fmt: skip
        if document is None or current is None or self.view is None:
            return about
        nodes = [
            {
                "number": number, "layer": entry.layer, "identity": entry.identity.hex(),
                "address": format_address(self.view.place(number)),
                "control": format_address(self.view.records[entry.identity].control.pair), "up": entry.up,
                "link": "up" if entry.identity in linked else "down" if entry.identity in failing else "none",
            }
            for number, entry in sorted(self.view.entries.items())
        ]  # fmt: skip
        last = {"epoch": document.epoch, "hash": current.hash.hex(), "valid_until_ns": document.valid_until_ns}
        return about | last | {"nodes": nodes}

    def _is_local(self) -> bool:
        return all(ip_address(record.control.host).is_loopback for record in (self.view.records.values() if self.view else ()))
