"""`fastmix keys init|export|import|verify|audit|passwd`: the encrypted identity of a node, its backup, its audit log."""

import logging
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastmix.cli.keys_options import Kept, KeptOptions, NewPassphraseOptions, UnlockOptions
from fastmix.cli.output import print_json, print_table
from fastmix.errors import ConfigError
from fastmix.seam.lifeline import keep_unseen

if TYPE_CHECKING:
    from fastmix.keys.audit import AuditLog, Head
    from fastmix.keys.hierarchy import Identity
    from fastmix.keys.wrapping import Wrapping

log = logging.getLogger(__name__)
UNLOCK, KEPT, NEW = UnlockOptions(), KeptOptions(), NewPassphraseOptions()
"""Nothing said."""
FAILED = 1
"""The exit code of an audit log with findings."""


def init(store: Path, /, *, unlock: UnlockOptions = UNLOCK, kept: KeptOptions = KEPT, json: bool = False) -> None:
    """Make a new identity and keep it in an encrypted store.

    A store that exists is never overwritten. Make a backup of it afterwards: `fastmix keys export`.

    Parameters
    ----------
    store
        File to make.
    json
        Print one JSON object: the store, the identity's public key.
    """
    from fastmix.keys.hierarchy import Identity
    from fastmix.keys.store import check_absent, create_store

    keep_unseen()
    check_used(unlock, kept)
    check_absent(store)
    with Identity.fresh() as identity:
        with making(store, identity, "keys.init", kept_by=kept.kept_by):
            create_store(store, identity, first_wrapping(store, unlock, kept))
        tell(store, identity, kept.kept_by, json=json)


def export(
    store: Path, backup: Path, /, *, unlock: UnlockOptions = UNLOCK, new: NewPassphraseOptions = NEW, json: bool = False
) -> None:
    """Write an encrypted backup of a store: the identity under a passphrase of its own, never a mix key.

    Parameters
    ----------
    store
        The store.
    backup
        File to make.
    json
        Print one JSON object: the backup, the identity's public key.
    """
    from fastmix.keys.store import create_store

    keep_unseen()
    with opened(store, unlock) as identity, audit_log(store, identity) as records:
        with records.recorded(actor(), "keys.export", to=str(backup)):
            create_store(backup, identity, new_wrapping(backup, "passphrase", unlock, new, KEPT))
        tell(backup, identity, "passphrase", json=json)


def import_(
    backup: Path,
    store: Path,
    /,
    *,
    unlock: UnlockOptions = UNLOCK,
    new: NewPassphraseOptions = NEW,
    kept: KeptOptions = KEPT,
    json: bool = False,
) -> None:
    """Make a store from a backup. A store that exists is never overwritten: move a damaged one away first.

    Parameters
    ----------
    backup
        File that `fastmix keys export` has made.
    store
        File to make.
    json
        Print one JSON object: the store, the identity's public key.
    """
    from fastmix.keys.store import check_absent, create_store, read_store

    keep_unseen()
    check_absent(store)
    check_used(unlock, kept, read_store(backup).wrapping)
    with opened(backup, unlock) as identity:
        with making(store, identity, "keys.import", source=str(backup), kept_by=kept.kept_by):
            create_store(store, identity, new_wrapping(store, kept.kept_by, unlock, new, kept))
        tell(store, identity, kept.kept_by, json=json)


def passwd(
    store: Path,
    /,
    *,
    unlock: UnlockOptions = UNLOCK,
    new: NewPassphraseOptions = NEW,
    kept: KeptOptions = KEPT,
    json: bool = False,
) -> None:
    """Change the passphrase of a store, or what keeps its key. The identity stays; copies of the old file stay readable.

    Parameters
    ----------
    store
        The store.
    json
        Print one JSON object: the store, the identity's public key.
    """
    from fastmix.keys.store import read_store, rewrap_store

    keep_unseen()
    check_used(unlock, kept, read_store(store).wrapping)
    with opened(store, unlock) as identity, audit_log(store, identity) as records:
        with records.recorded(actor(), "keys.passwd", kept_by=kept.kept_by):
            rewrap_store(store, identity, new_wrapping(store, kept.kept_by, unlock, new, kept))
        tell(store, identity, kept.kept_by, json=json)


def verify(store: Path, /, *, unlock: UnlockOptions = UNLOCK, json: bool = False) -> None:
    """Open a store or a backup and say whose it is; changes nothing.

    Parameters
    ----------
    store
        The store, or a backup.
    json
        Print one JSON object: the store, the identity's public key.
    """
    from fastmix.keys.store import read_store

    keep_unseen()
    with opened(store, unlock) as identity:
        tell(store, identity, read_store(store).wrapping, json=json)


def audit(
    store: Path, /, *, log: Path | None = None, noted: str | None = None, unlock: UnlockOptions = UNLOCK, json: bool = False
) -> int:
    """Verify the audit log of a store: every changed, removed or added line; exit code 1 if there is one.

    Parameters
    ----------
    store
        The store, whose identity the log belongs to.
    log
        The log. By default the store's path with .audit behind.
    noted
        A head that this command has printed before: it must still be in the log, which may then begin with something else than
        the making of the store.
    json
        Print one JSON object: number of records, head, findings.
    """
    from fastmix.keys.audit import examine, log_path

    keep_unseen()
    known = head_of(noted) if noted is not None else None
    with opened(store, unlock) as identity, identity.storage_key("audit") as key:
        findings, head = examine(log or log_path(store), key, noted=known)
    if json:
        found = [{"line": finding.line, "problem": finding.problem} for finding in findings]
        print_json({"records": head.n, "head": str(head), "findings": found})
    else:
        print("\n".join(map(str, findings)) or f"{head.n} records, all as they were written")
        print(f"head {head}")
    return FAILED if findings else 0


def actor() -> str:
    """Who runs this command, for the audit log: `root (uid 0)`."""
    uid = os.getuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def head_of(text: str) -> "Head":
    """The head that `fastmix keys audit` has printed; `ConfigError` where the text is none."""
    from fastmix.keys.audit import Head

    n, _, mac = text.partition(":")
    try:
        found = Head(int(n), bytes.fromhex(mac))
    except ValueError:
        found = Head(-1, b"")
    if found.n < 0 or len(found.mac) != 32:
        raise ConfigError(f"--noted {text}: is no head: give what `fastmix keys audit` has printed behind the word head")
    return found


@contextmanager
def opened(store: Path, unlock: UnlockOptions) -> "Iterator[Identity]":
    """The identity of a store for the time of a `with`; what opens it is asked for after the file was checked."""
    from fastmix.keys.store import read_store, unsealed
    from fastmix.keys.unlock import asking, check_kind, wrapping_of

    sealed = read_store(store)
    ask = asking(unlock, f"passphrase of {store}")
    check_kind(sealed)
    with unsealed(sealed, wrapping_of(sealed.wrapping, unlock, ask)) as identity:
        yield identity


@contextmanager
def audit_log(store: Path, identity: "Identity", *, new: bool = False) -> "Iterator[AuditLog]":
    """The audit log beside a store, found whole before anything is done; a warning where an old store has none."""
    from fastmix.files.durable import sweep
    from fastmix.keys.audit import AuditLog, log_path

    sweep(store)
    with identity.storage_key("audit") as key:
        audit = AuditLog(log_path(store), key)
        audit.check()
        if not new and not audit.path.exists():
            log.warning("%s: the audit log is gone: a new one begins, which says so; look who has moved it away", audit.path)
        yield audit


@contextmanager
def making(store: Path, identity: "Identity", action: str, **fields: object) -> Iterator[None]:
    """Around making a store: in its audit log before and after."""
    from fastmix.keys.newstore import recorded_making

    fields |= {"identity": identity.public.hex()}
    with identity.storage_key("audit") as key, recorded_making(store, key, actor(), action, **fields):
        yield


def first_wrapping(store: Path, unlock: UnlockOptions, kept: KeptOptions) -> "Wrapping":
    """What will keep the key of a new identity's store."""
    from fastmix.keys.unlock import asking, wrapping_of

    ask = asking(unlock, f"passphrase for {store}", new=True)
    return wrapping_of(kept.kept_by, unlock, ask, pcrs=pcrs_of(kept.pcrs))


def new_wrapping(path: Path, kept_by: Kept, unlock: UnlockOptions, new: NewPassphraseOptions, kept: KeptOptions) -> "Wrapping":
    """What will keep the key of a file that is written."""
    from fastmix.keys.unlock import asking, wrapping_of

    second = UnlockOptions(passphrase_fd=new.new_passphrase_fd, passphrase_file=new.new_passphrase_file)
    ask = asking(second, f"new passphrase for {path}", as_new_option, new=True, credential=False)
    return wrapping_of(kept_by, unlock, ask, pcrs=pcrs_of(kept.pcrs))


def as_new_option(key: str) -> str:
    """`--new-passphrase-file`."""
    return "--new-" + key.replace("_", "-")


def pcrs_of(text: str | None) -> Sequence[int]:
    """PCR numbers of a list with commas; `ConfigError` where one is none."""
    from fastmix.keys.tpm import PCR_MOST, PCRS

    if text is None:
        return PCRS
    try:
        pcrs = [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--pcrs {text}: is no list of numbers: write them as 7,11") from None
    for pcr in pcrs:
        if not 0 <= pcr <= PCR_MOST:
            raise ConfigError(f"--pcrs {text}: there is no PCR {pcr}: name some of 0 to {PCR_MOST}, such as 7,11")
    return pcrs


def check_used(unlock: UnlockOptions, kept: KeptOptions, *opened: str) -> None:
    """`ConfigError` for an option that would be ignored: of a token or TPM that keeps neither what is written, nor what is
    `opened` (the names of their wrappings)."""
    needs = {
        "--pkcs11-module": (unlock.pkcs11_module, "pkcs11", opened),
        "--pkcs11-token": (unlock.pkcs11_token, "pkcs11", opened),
        "--tpm": (unlock.tpm, "tpm", opened),
        "--pcrs": (kept.pcrs, "tpm", ()),
    }
    for option, (value, kind, others) in needs.items():
        if value is not None and kind not in (kept.kept_by, *others):
            raise ConfigError(
                f"{option} {value} needs --kept-by {kind}, and the key is to be kept by {kept.kept_by}: add or remove it"
            )
    pcrs_of(kept.pcrs)


def tell(store: Path, identity: "Identity", kept_by: str, *, json: bool) -> None:
    """Prints whose file it is."""
    if json:
        print_json({"store": str(store), "identity": identity.public.hex(), "kept_by": kept_by})
    else:
        print_table([("store", store), ("identity", identity.public.hex()), ("kept by", kept_by)])
