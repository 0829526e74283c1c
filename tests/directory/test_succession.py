"""Documents: made, signed, followed; what is refused, and how equivocation is proved."""

import dataclasses
import random
from dataclasses import dataclass, field

import msgspec
import pytest
from node_records import NETWORK, NOW, SETTINGS, Key, S, record

from fastmix.directory.authority import Member, Pen, next_document
from fastmix.directory.document import LIFE_NS, REST_NS, Document, Rule, Signed, unsigned
from fastmix.directory.records import FUTURE_NS, SIZE_MAX, Instance, Place, open_record, sign_record
from fastmix.directory.signed import Envelope
from fastmix.directory.succession import KEPT, Outcome, Succession, check_proof
from fastmix.errors import CryptoError


@dataclass
class Town:
    """A network's authorities, and their documents."""

    n: int = 3
    threshold: int = 2
    now_ns: int = NOW
    members: dict[bytes, Member] = field(default_factory=dict)
    last: Signed | None = None

    def __post_init__(self) -> None:
        self.keys = [Key(f"authority {i}") for i in range(self.n)]
        self.rule = Rule(tuple(key.public for key in self.keys), self.threshold)

    def admit(self, name: str, **changes: object) -> Key:
        key = Key(name)
        data = sign_record(record(key, self.now_ns, **changes), key)
        self.members[key.public] = Member(data, open_record(data, self.now_ns), up=True)
        return key

    def next(self, signers: int | None = None, **changes: object) -> Signed:
        """The next document, signed by so many authorities; it does not become the last one."""
        previous = self.last.hash if self.last else bytes(32)
        document = next_document(self.last, SETTINGS, self.rule, self.members, previous, self.now_ns)
        signed = unsigned(msgspec.structs.replace(document, **changes))
        for key in self.keys[: self.threshold if signers is None else signers]:
            signed = signed.signed_by(key)
        return signed

    def publish(self) -> Signed:
        self.last = self.next()
        self.now_ns += 60 * S
        return self.last


def sent(signed: Signed) -> bytes:
    return signed.envelope.to_bytes()


@pytest.fixture
def town() -> Town:
    made = Town()
    for name in "abcd":
        made.admit(name)
    return made


def test_a_chain_is_followed(town: Town) -> None:
    view = Succession(NETWORK, town.rule)
    for epoch in range(1, KEPT + 10):
        signed = town.publish()
        answer = view.offer(sent(signed), town.now_ns)
        assert (answer.outcome, view.current and view.current.document.epoch) == (Outcome.TAKEN, epoch)
        assert view.offer(sent(signed), town.now_ns).outcome is Outcome.KNOWN
    assert view.hash_of(epoch) == view.previous
    assert view.hash_of(1) is None
    assert len(view.since(0)) == KEPT


def test_who_has_missed_some_catches_up(town: Town) -> None:
    """Also over documents that are over by now; not past one that does not follow."""
    all_of_them = [sent(town.publish()) for _ in range(5)]
    town.now_ns += LIFE_NS
    all_of_them.append(sent(town.publish()))
    view = Succession(NETWORK, town.rule)
    assert view.offer(all_of_them[0], NOW).outcome is Outcome.TAKEN
    assert view.offer(all_of_them[-1], town.now_ns).outcome is Outcome.GAP
    assert view.catch_up(all_of_them[1:4] + all_of_them[5:], town.now_ns).outcome is Outcome.GAP
    assert view.current is not None
    assert view.current.document.epoch == 4
    assert view.catch_up(all_of_them[1:], town.now_ns).outcome is Outcome.TAKEN
    assert view.catch_up([], town.now_ns).outcome is Outcome.KNOWN


def refused(view: Succession, signed: Signed, now_ns: int) -> Outcome:
    """What becomes of it; nothing has changed."""
    before = view.current
    answer = view.offer(sent(signed), now_ns)
    assert view.current is before
    assert answer.text
    return answer.outcome


def test_what_is_refused(town: Town) -> None:
    view = Succession(NETWORK, town.rule)
    first = town.publish()
    assert refused(view, first, first.document.valid_until_ns) is Outcome.STALE
    assert refused(view, first, first.document.made_ns - FUTURE_NS - 1) is Outcome.FUTURE
    assert view.offer(sent(first), town.now_ns).outcome is Outcome.TAKEN
    assert refused(view, town.next(signers=1), town.now_ns) is Outcome.UNDER_SIGNED
    assert refused(view, town.next(previous=b"x" * 32), town.now_ns) is Outcome.FORKED
    assert refused(view, town.next(epoch=9), town.now_ns) is Outcome.GAP
    other = msgspec.structs.replace(SETTINGS, network=b"o" * 16)
    assert refused(view, town.next(settings=other), town.now_ns) is Outcome.FOREIGN
    town.publish()
    assert view.offer(sent(town.last or first), town.now_ns).outcome is Outcome.TAKEN
    town.publish()
    assert view.offer(sent(town.last or first), town.now_ns).outcome is Outcome.TAKEN
    late = Succession(NETWORK, town.rule)
    late.offer(sent(town.last or first), town.now_ns)
    assert refused(late, first, town.now_ns) is Outcome.ROLLED_BACK


def test_authorities_hand_over(town: Town) -> None:
    """The document before says who signs the next one."""
    view = Succession(NETWORK, town.rule)
    heir = Key("heir")
    old, town.rule = town.rule, Rule((heir.public,), 1)
    view.offer(sent(town.publish()), town.now_ns)
    assert refused(view, town.next(), town.now_ns) is Outcome.UNDER_SIGNED
    assert old.threshold == 2
    signed = town.next(signers=0).signed_by(heir)
    assert view.offer(sent(signed), town.now_ns).outcome is Outcome.TAKEN


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"valid_until_ns": NOW + LIFE_NS + 1}, "at most three hours"),
        ({"valid_until_ns": NOW}, "more than nothing"),
        ({"rule": Rule((b"k" * 32, b"k" * 32), 2)}, "2 signatures of 1 authorities"),
        ({"rule": Rule((b"k" * 32,), 2)}, "2 signatures of 1 authorities"),
        ({"ready": False}, "being ready"),
        ({"settings": msgspec.structs.replace(SETTINGS, geometry="round")}, "geometry 'round' is not known"),
        ({"settings": msgspec.structs.replace(SETTINGS, classes=3)}, "classes 3 is none of"),
        ({"settings": msgspec.structs.replace(SETTINGS, slot_ns=1)}, "more than two slots"),
    ],
)
def test_what_cannot_be(town: Town, changes: dict[str, object], told: str) -> None:
    answer = Succession(NETWORK, town.rule).offer(sent(town.next(**changes)), NOW)
    assert (answer.outcome, told in answer.reason) == (Outcome.MALFORMED, True), answer


def test_entries_that_cannot_be(town: Town) -> None:
    entries = town.next().document.entries
    twice = msgspec.structs.replace(entries[1], numbers=entries[0].numbers)
    unknown = msgspec.structs.replace(entries[1], layer=4)
    for wrong, told in ((twice, "names an identity or a number twice"), (unknown, "<= 3")):
        signed = town.next(entries=(entries[0], wrong, *entries[2:]))
        answer = Succession(NETWORK, town.rule).offer(sent(signed), NOW)
        assert (answer.outcome, told in answer.reason) == (Outcome.MALFORMED, True), answer


def test_bytes_that_are_no_document(town: Town) -> None:
    """Each length, each byte with a flipped bit: never taken, never another error."""
    good = sent(town.next())
    town.rule = Rule(town.rule.authorities, 3)
    draw = random.Random(6)
    damaged = [good[:size] for size in range(0, len(good), 7)] + [good + b"\0", b"\xc1" * 50, bytes(2 << 20)]
    for at in range(0, len(good), 3):
        damaged.append(good[:at] + bytes([good[at] ^ 1 << draw.randrange(8)]) + good[at + 1 :])
    view = Succession(NETWORK, Rule(town.rule.authorities[:2], 2))
    for data in damaged:
        answer = view.offer(data, NOW)
        assert answer.outcome in (Outcome.MALFORMED, Outcome.UNDER_SIGNED, Outcome.FOREIGN, Outcome.STALE, Outcome.FUTURE), answer
        assert view.current is None


def test_equivocation_is_proved_and_ends_trust(town: Town) -> None:
    view = Succession(NETWORK, town.rule)
    view.offer(sent(town.publish()), town.now_ns)
    one, other = town.next(), town.next(made_ns=town.now_ns + 1)
    assert view.offer(sent(one), town.now_ns).outcome is Outcome.TAKEN
    weak = town.next(signers=1, made_ns=town.now_ns + 1)
    assert view.offer(sent(weak), town.now_ns).outcome is Outcome.UNDER_SIGNED
    assert view.proof is None
    assert view.offer(sent(other), town.now_ns).outcome is Outcome.EQUIVOCATION
    assert view.proof is not None
    assert check_proof(view.proof, town.rule) == 2
    assert view.current is None
    town.last = one
    assert view.offer(sent(town.next()), town.now_ns).outcome is Outcome.EQUIVOCATION
    for data, told in (
        (b"", "is not one"),
        (msgspec.msgpack.encode((one.envelope, one.envelope)), "has not two documents"),
        (msgspec.msgpack.encode((one.envelope, weak.envelope)), "has not two documents"),
        (msgspec.msgpack.encode((one.envelope, town.publish().envelope)), "different networks or epochs"),
    ):
        with pytest.raises(CryptoError, match=told):
            check_proof(data, town.rule)


def test_an_authority_signs_one_document_of_an_epoch(town: Town) -> None:
    """Also after a kill: what it has signed is written down before the signature leaves."""
    kept: list[tuple[int, bytes]] = []
    document: Document = town.next().document
    pen = Pen(town.keys[0], None, kept.append)
    signed = pen.sign(document)
    assert signed.signers(town.rule) == {town.keys[0].public}
    other = msgspec.structs.replace(document, made_ns=NOW + 1)
    for again in (pen, Pen(town.keys[0], kept[-1], kept.append)):
        assert again.sign(document).hash == signed.hash
        with pytest.raises(CryptoError, match="has signed another document of epoch 1"):
            again.sign(other)
    assert len(kept) == 1

    def full(*_: object) -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        Pen(town.keys[1], None, full).sign(document)


def test_authorities_make_the_same_document_and_put_signatures_together(town: Town) -> None:
    one = unsigned(town.next(signers=0).document).signed_by(town.keys[0])
    two = unsigned(town.next(signers=0).document).signed_by(town.keys[2])
    assert one.hash == two.hash
    assert not one.is_signed(town.rule)
    both = one.with_signatures_of(two)
    assert both.is_signed(town.rule)
    assert both == two.with_signatures_of(one)


def test_numbers_rest_when_a_node_leaves(town: Town) -> None:
    town.publish()
    gone = town.admit("gone")
    (number,) = next(entry.numbers for entry in town.publish().document.entries if entry.identity == gone.public)
    del town.members[gone.public]
    document = town.publish().document
    assert [each for each, _ in document.resting] == [number]
    town.admit("new")
    assert number not in {each for entry in town.publish().document.entries for each in entry.numbers}
    town.now_ns += REST_NS
    town.admit("newer")
    document = town.publish().document
    assert number in {each for entry in document.entries for each in entry.numbers}
    assert not document.resting


def test_below_three_nodes_a_network_is_not_ready() -> None:
    town = Town(1, 1)
    for n in range(5):
        assert town.publish().document.ready == (n >= 3)
        town.admit(f"node {n}")


def test_signatures_of_others_do_not_count(town: Town) -> None:
    """Of strangers, of one authority twice, of another thing."""
    stranger, signed = Key("stranger"), town.next(signers=1)
    twice = Envelope(signed.envelope.body, signed.envelope.signatures * 2)
    for wrong in (signed.signed_by(stranger), dataclasses.replace(signed, envelope=twice)):
        assert refused(Succession(NETWORK, town.rule), wrong, NOW) is Outcome.UNDER_SIGNED
    elsewhere = signed.envelope.signed_by(b"fastmix node record 1", town.keys[1])
    wrong = dataclasses.replace(signed, envelope=elsewhere)
    assert refused(Succession(NETWORK, town.rule), wrong, NOW) is Outcome.UNDER_SIGNED


def test_a_record_comes_back() -> None:
    key = Key("node")
    wanted = record(key)
    assert open_record(sign_record(wanted, key), NOW) == wanted
    assert wanted.instances[0].public(3_000_001) == bytes(32)
    assert wanted.instances[0].public(3_000_002) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"valid_until_ns": NOW, "issued_ns": NOW - 1}, "is over"),
        ({"issued_ns": NOW + FUTURE_NS + S}, "issued in the future"),
        ({"valid_until_ns": NOW + 32 * 86_400 * S}, "within 31 days"),
        ({"geometry": "round"}, "geometry 'round' is not known"),
        ({"geometry": "wan\n"}, "geometry 'wan\\n' is not known"),
        ({"control": Place("example.org", 1)}, "'example.org' is not an IP address"),
        ({"control": Place("192.0.2.1\x1b[2J", 1)}, "is not an IP address"),
        ({"control": Place("::ffff:0:1%eth0", 1)}, "is not an IP address"),
        ({"instances": (Instance(Place("192.0.2.1", 1), 0, bytes(33)),)}, "keys that is cut off"),
        ({"slot_ns": 1}, "more than two slots"),
        ({"identity": b"short"}, "is not one"),
        ({"certificate": bytes(2049)}, "is not one"),
        ({"control": Place("192.0.2.1", 0)}, "is not one"),
        ({"instances": ()}, "is not one"),
    ],
)
def test_records_that_cannot_be(changes: dict[str, object], told: str) -> None:
    key = Key("node")
    with pytest.raises(CryptoError) as error:
        open_record(sign_record(record(key, **changes), key), NOW)
    assert told in str(error.value)
    assert str(error.value).isprintable()


def test_records_that_nobody_has_signed() -> None:
    key, other = Key("node"), Key("other")
    with pytest.raises(CryptoError, match="not signed by that identity"):
        open_record(sign_record(record(key), other), NOW)
    good = sign_record(record(key), key)
    for at in range(0, len(good), 5):
        with pytest.raises(CryptoError):
            open_record(good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :], NOW)
    with pytest.raises(CryptoError, match="at most"):
        open_record(bytes(SIZE_MAX + 1), NOW)
