"""Documents and records, from whoever has them to whoever lacks them. Nobody believes a peer: signatures and hashes decide."""

import logging
from collections.abc import Awaitable, Callable

import msgspec

from fastmix.directory.succession import Outcome
from fastmix.errors import CryptoError, NetworkFailure
from fastmix.peers.directory_state import DirectoryState
from fastmix.peers.messages import Documents, Question, Records, read

log = logging.getLogger(__name__)
Ask = Callable[[str, bytes], Awaitable[bytes]]
"""A question of `messages`, to one peer: name and body to the answer's body."""
ROUNDS_MAX = 100
"""So many answers a peer may need until it has said all that it has."""
QUIET = (Outcome.TAKEN, Outcome.KNOWN)


async def catch_up(state: DirectoryState, ask: Ask, unix_ns: Callable[[], int]) -> bool:
    """Takes from a peer what it has and this end lacks; whether anything is new. `NetworkFailure` where it does not answer, or
    answers what is refused."""
    found = False
    for _ in range(ROUNDS_MAX):
        before, before_proof = state.since, state.succession.proof
        answered = read(await ask(Question.DOCUMENTS, msgspec.msgpack.encode(before)), Documents)
        if answered.proof and state.take_proof(answered.proof):
            return True
        answer = state.take(answered.documents, unix_ns())
        found = found or state.since != before
        if answer.outcome is Outcome.EQUIVOCATION and not before_proof:
            return True
        if answer.outcome not in QUIET:
            raise NetworkFailure(f"a document was refused: {answer.text}")
        if state.since == before or state.since.epoch >= answered.epoch:
            break
    return await fetch_records(state, ask, unix_ns) or found


async def fetch_records(state: DirectoryState, ask: Ask, unix_ns: Callable[[], int]) -> bool:
    """Asks for the records that the document names and that are not here; whether any has come."""
    found = False
    for _ in range(ROUNDS_MAX):
        missing = state.missing
        if not missing.hashes:
            break
        answered = read(await ask(Question.RECORDS, msgspec.msgpack.encode(missing)), Records)
        for data in answered.records:
            try:
                state.add_record(data, unix_ns())
            except CryptoError as error:
                log.warning("a record was refused: %s", error)
        if state.missing == missing:
            break  # the peer has no more of them
        found = True
    return found
