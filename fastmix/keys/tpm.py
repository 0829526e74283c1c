"""A TPM 2.0 keeps the key: sealed to PCRs, or in NV indices that each write overwrites (tpm2-pytss, `fastmix[tpm]`).

Both open only while the chosen PCRs have the values of the day they were made (TPM2_PolicyPCR). Sessions are salted and encrypt
what they carry, so that a listener on the chip's bus learns nothing; one that answers in the chip's place is not kept out. What
the chip gives back passes through `bytes` of tpm2-pytss, which cannot be locked.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.wrapping import KEY_SIZE

DEVICE = "device:/dev/tpmrm0"
"""The kernel's device with its resource manager, as a TCTI string."""
PCRS = (7,)
"""Secure boot's state: which keys may boot, no versions. More PCRs are stricter and close at each update."""
PCR_MOST = 23
PRIMARY = "ecc256:aes128cfb"
"""Template of the storage primary; the owner hierarchy makes the same key of it each time."""
SIZES = struct.Struct("<IHH")
"""Of a sealed blob: PCRs as bits, sizes of the private and the public part."""
NV_FIRST, NV_END = 0x01800000, 0x01C00000
"""NV indices that owners may use freely."""
RESTORE = "restore with `fastmix keys import`"
CHAIN_ANEW = "move the chain away (mix-keys.chain-N beside the store), and the next start begins a new one"
"""The remedy where the NV indices of a chain's wrapping keys are of no use: it has no backup, and no file (.wrap) beside it."""
ALTERED = "the TPM's part is damaged: the file was altered; restore it with `fastmix keys import`"


class TpmWrapping:
    """Keys sealed by a TPM under its storage primary and a policy of PCRs."""

    name = "tpm"

    def __init__(self, pcrs: Sequence[int] = PCRS, tcti: str = DEVICE) -> None:
        """`pcrs` of the SHA-256 bank are for new blobs, an old one knows its own; `tcti` names the chip."""
        self._pcrs, self._tcti = pcr_bits(pcrs), tcti

    def wrap(self, secret: LockedBytes) -> bytes:
        """Sealed to the values that the PCRs have now."""
        tpm = library()
        with chip(self._tcti) as esys, primary(esys) as parent:
            template = tpm.TPM2B_PUBLIC(
                tpm.TPMT_PUBLIC(
                    type=tpm.TPM2_ALG.KEYEDHASH,
                    nameAlg=tpm.TPM2_ALG.SHA256,
                    objectAttributes=tpm.TPMA_OBJECT.FIXEDTPM | tpm.TPMA_OBJECT.FIXEDPARENT | tpm.TPMA_OBJECT.NODA,
                    authPolicy=policy_digest(esys, self._pcrs),
                )
            )
            template.publicArea.parameters.keyedHashDetail.scheme.scheme = tpm.TPM2_ALG.NULL
            sensitive = tpm.TPM2B_SENSITIVE_CREATE(tpm.TPMS_SENSITIVE_CREATE(data=bytes(secret.view)))
            with session(esys, parent, tpm.TPM2_SE.HMAC) as carrier:
                private, public, *_ = esys.create(parent, sensitive, template, session1=tpm.ESYS_TR.PASSWORD, session2=carrier)
        parts = private.marshal(), public.marshal()
        return SIZES.pack(self._pcrs, *map(len, parts)) + b"".join(parts)

    def unwrap(self, blob: bytes) -> LockedBytes:
        """`KeyStoreError` where PCRs differ, or the chip is another."""
        tpm = library()
        if len(blob) < SIZES.size:
            raise KeyStoreError(ALTERED)
        pcrs, n_private, n_public = SIZES.unpack_from(blob)
        if len(blob) != SIZES.size + n_private + n_public:
            raise KeyStoreError(ALTERED)
        with chip(self._tcti) as esys, primary(esys) as parent:
            private, _ = tpm.TPM2B_PRIVATE.unmarshal(blob[SIZES.size : SIZES.size + n_private])
            public, _ = tpm.TPM2B_PUBLIC.unmarshal(blob[SIZES.size + n_private :])
            with flushed(esys, esys.load(parent, private, public)) as sealed, policy(esys, parent, pcrs) as opened:
                return locked(esys.unseal(sealed, session1=opened))

    def problem(self) -> str | None:
        """Why the chip cannot be used now; None where it answers."""
        return chip_problem(self._tcti)


def nv_index(identity: bytes) -> int:
    """The first of the two NV indices of a node's chain, by its identity's public key: an even one of the two million that are an
    owner's, so that nodes of whatever networks share a chip."""
    return NV_FIRST + 2 * (int.from_bytes(hashlib.sha256(identity).digest()[:8], "big") % ((NV_END - NV_FIRST) // 2))


class NvPlaces:
    """The two places of a chain's wrapping keys (`chainfile.KeyPlaces`) in two NV indices of a TPM: a write overwrites for good.

    A disk tells nothing of the past then, whatever its flash retains. An advance writes each index once; a poor chip takes some
    100,000 writes in its life, which is two years of ten-minute slots.
    """

    def __init__(self, index: int, pcrs: Sequence[int] = PCRS, tcti: str = DEVICE) -> None:
        """`index` and the next one are used: see `nv_index`."""
        if not NV_FIRST <= index < NV_END - 1:
            raise KeyStoreError(f"NV index {index:#010x} is not an owner's: use one of 0x01800000 to 0x01bffffe")
        self._index, self._pcrs, self._tcti = index, pcr_bits(pcrs), tcti

    def read(self, place: int, into: LockedBytes) -> None:
        """The key of a place; `KeyStoreError` where there is none, or PCRs differ."""
        index = self._index + place
        with chip(self._tcti, CHAIN_ANEW) as esys, primary(esys) as parent:
            handle = self._find(esys, index)
            if handle is None:
                raise KeyStoreError(f"NV index {index:#010x} is not there: the TPM was cleared, or is another; {CHAIN_ANEW}")
            with policy(esys, parent, self._pcrs) as opened, locked(esys.nv_read(handle, KEY_SIZE, session1=opened)) as key:
                into.view[:] = key.view

    def write(self, place: int, key: LockedBytes) -> None:
        """Overwrites a place. An index that is missing, or closed by other PCRs, is made anew; the key in it is gone, too."""
        with chip(self._tcti, CHAIN_ANEW) as esys, primary(esys) as parent:
            handle = self._open_index(esys, self._index + place)
            with policy(esys, parent, self._pcrs, library().TPMA_SESSION.DECRYPT) as opened:
                esys.nv_write(handle, bytes(key.view), session1=opened)

    def close(self) -> None:
        """Nothing is held: each use connects by itself."""

    def remove(self) -> None:
        """Ends both indices, and with them the keys."""
        with chip(self._tcti) as esys:
            for index in (self._index, self._index + 1):
                handle = self._find(esys, index)
                if handle is not None:
                    esys.nv_undefine_space(handle, auth_handle=library().ESYS_TR.OWNER)

    def problem(self) -> str | None:
        """Why the chip cannot be used now; None where it answers."""
        return chip_problem(self._tcti)

    def _find(self, esys: Any, index: int) -> Any:
        """An index's handle; None where it is not defined."""
        tpm = library()
        try:
            return esys.tr_from_tpmpublic(index)
        except tpm.TSS2_Exception as error:
            if error.error == tpm.TPM2_RC.HANDLE:
                return None
            raise

    def _open_index(self, esys: Any, index: int) -> Any:
        """An index of 32 bytes that the PCRs as they are now open for reading and writing."""
        tpm = library()
        digest = policy_digest(esys, self._pcrs)
        handle = self._find(esys, index)
        if handle is not None:
            if bytes(esys.nv_read_public(handle)[0].nvPublic.authPolicy) == bytes(digest):
                return handle
            esys.nv_undefine_space(handle, auth_handle=tpm.ESYS_TR.OWNER)
        public = tpm.TPM2B_NV_PUBLIC(
            tpm.TPMS_NV_PUBLIC(
                nvIndex=index,
                nameAlg=tpm.TPM2_ALG.SHA256,
                attributes=tpm.TPMA_NV.POLICYREAD | tpm.TPMA_NV.POLICYWRITE | tpm.TPMA_NV.NO_DA,
                authPolicy=digest,
                dataSize=KEY_SIZE,
            )
        )
        return esys.nv_define_space(None, public, auth_handle=tpm.ESYS_TR.OWNER)


def pcr_bits(pcrs: Sequence[int]) -> int:
    """PCR numbers as bits; `KeyStoreError` where there are none or one is not 0 to 23."""
    wrong = [pcr for pcr in pcrs if not 0 <= pcr <= PCR_MOST]
    if wrong or not pcrs:
        named = f"PCR {wrong[0]} is none" if wrong else "no PCR is named"
        raise KeyStoreError(f"{named}: name one or more of 0 to {PCR_MOST}, such as {PCRS[0]}")
    return sum({1 << pcr for pcr in pcrs})


def selection(bits: int) -> str:
    """PCRs in the words of tpm2-tools: `sha256:7,16`."""
    return "sha256:" + ",".join(str(pcr) for pcr in range(24) if bits >> pcr & 1)


@contextmanager
def chip(tcti: str, instead: str = RESTORE) -> Iterator[Any]:
    """A connection to the chip (an `ESAPI`); every error of it becomes a `KeyStoreError`. `instead`: what to do where the PCRs
    are not to be as before."""
    tpm = library()
    try:
        esys = tpm.ESAPI(tcti)
    except (tpm.TSS2_Exception, RuntimeError) as error:
        raise KeyStoreError(f"TPM {tcti}: is not there: {error}; check device, driver and permissions") from None
    try:
        with esys:
            yield esys
    except tpm.TSS2_Exception as error:
        if error.error == tpm.TPM2_RC.POLICY_FAIL:
            raise KeyStoreError(
                f"TPM {tcti}: the PCRs have other values than when the key was sealed: boot as before, or {instead}"
            ) from None
        raise KeyStoreError(
            f"TPM {tcti}: refused: {error}; check that it is the chip that the file was made with, and was not cleared"
        ) from None


def chip_problem(tcti: str) -> str | None:
    """Why a chip cannot be used now; None where it answers."""
    try:
        with chip(tcti) as esys:
            esys.get_random(1)
    except KeyStoreError as error:
        return str(error)
    return None


@contextmanager
def flushed(esys: Any, handle: Any) -> Iterator[Any]:
    """A transient object or session for the time of a `with`; chips have room for three."""
    try:
        yield handle
    finally:
        esys.flush_context(handle)


@contextmanager
def primary(esys: Any) -> Iterator[Any]:
    """The storage primary of the owner hierarchy."""
    with flushed(esys, esys.create_primary(None, PRIMARY)[0]) as handle:
        yield handle


@contextmanager
def session(esys: Any, parent: Any, kind: Any, attributes: Any = None) -> Iterator[Any]:
    """A salted session that encrypts what goes to the chip, or as `attributes` say."""
    tpm = library()
    handle = esys.start_auth_session(parent, tpm.ESYS_TR.NONE, kind, "aes128cfb", tpm.TPM2_ALG.SHA256)
    with flushed(esys, handle):
        wanted = tpm.TPMA_SESSION.CONTINUESESSION | (tpm.TPMA_SESSION.DECRYPT if attributes is None else attributes)
        esys.trsess_set_attributes(handle, wanted)
        yield handle


@contextmanager
def policy(esys: Any, parent: Any, pcrs: int, attributes: Any = None) -> Iterator[Any]:
    """A session that has shown the PCRs; it encrypts what comes from the chip, or as `attributes` say."""
    tpm = library()
    with session(esys, parent, tpm.TPM2_SE.POLICY, tpm.TPMA_SESSION.ENCRYPT if attributes is None else attributes) as handle:
        esys.policy_pcr(handle, None, selection(pcrs))
        yield handle


def policy_digest(esys: Any, pcrs: int) -> Any:
    """The policy that the PCRs have the values that they have now."""
    tpm = library()
    trial = esys.start_auth_session(tpm.ESYS_TR.NONE, tpm.ESYS_TR.NONE, tpm.TPM2_SE.TRIAL, None, tpm.TPM2_ALG.SHA256)
    with flushed(esys, trial):
        esys.policy_pcr(trial, None, selection(pcrs))
        return esys.policy_get_digest(trial)


def locked(data: Any) -> LockedBytes:
    """The bytes of a TPM2B in locked memory; `KeyStoreError` where they are not a key's."""
    given = bytes(data)
    if len(given) != KEY_SIZE:
        raise KeyStoreError(ALTERED)
    secret = LockedBytes(KEY_SIZE)
    secret.view[:] = given
    return secret


def library() -> Any:
    """tpm2-pytss; `KeyStoreError` names the extra where it is not installed. Its C library is told not to write on stderr."""
    os.environ.setdefault("TSS2_LOG", "all+none")
    try:
        import tpm2_pytss
    except ImportError:
        raise KeyStoreError(
            "a TPM needs tpm2-pytss: install libtss2-dev, pkg-config and a C compiler, then pip install 'fastmix[tpm]'"
        ) from None
    return tpm2_pytss
