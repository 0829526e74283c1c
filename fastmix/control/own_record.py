"""What a node says of itself: its signed record, made anew when its keys, its place or its certificate change."""

import time

from fastmix.control.entry import Places
from fastmix.descriptor import Descriptor
from fastmix.directory.document import Settings
from fastmix.directory.records import LIFE_MAX_NS, Instance, NodeRecord, record_hash, sign_record
from fastmix.directory.signed import Signer
from fastmix.peers.messages import WIRE_VERSION


class OwnRecord:
    """`data`: the signed record of `issued_ns`, empty as long as there is none; `certificate`: of the node's TLS key, DER."""

    def __init__(self, signer: Signer, places: Places, capacity: int) -> None:
        self._signer, self._places, self._capacity = signer, places, capacity
        self._descriptor: Descriptor | None = None
        self._is_due = False
        self.certificate = b""
        self.data = b""
        self.issued_ns = 0

    @property
    def hash(self) -> bytes:
        """By which documents name it."""
        return record_hash(self.data)

    def set_descriptor(self, descriptor: Descriptor) -> bool:
        """What the node says of its keys from now on; whether that is another thing than before."""
        if descriptor == self._descriptor:
            return False
        self._descriptor, self._is_due = descriptor, True
        return True

    def make(self, settings: Settings) -> bool:
        """Signs it where that is due; whether there is a new one. `KeyStoreError` where the identity is not to be had now."""
        descriptor = self._descriptor
        if descriptor is None or not self._is_due:
            return False
        now_ns = time.time_ns()
        record = NodeRecord(
            network=settings.network, identity=self._signer.public, issued_ns=now_ns,
            valid_until_ns=min(descriptor.valid_until_ns, now_ns + LIFE_MAX_NS), wire=WIRE_VERSION, geometry=settings.geometry,
            control=self._places.control, capacity=self._capacity, certificate=self.certificate,
            slot_ns=descriptor.times.slot_ns, early_ns=descriptor.times.early_ns, late_ns=descriptor.times.late_ns,
            instances=(Instance(self._places.data, descriptor.first_slot, b"".join(descriptor.publics)),),
        )  # fmt: skip
        self.data, self.issued_ns = sign_record(record, self._signer), now_ns
        self._is_due = descriptor != self._descriptor
        return True
