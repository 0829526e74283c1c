"""Writes what a profile wants of a host, all or nothing, and puts it back.

The record of old values is on disk before the first of them is overwritten, so that `revert` works whenever this is interrupted.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastmix.errors import FastmixError
from fastmix.profile import FOLDERS, Profile
from fastmix.tune.check import DIFFERS, Finding
from fastmix.tune.host import Host
from fastmix.tune.record import Change, Record, boot_id, load_record, remove_record, save_record, sole_use
from fastmix.tune.settings import ABSENT, setting_named

RESTORED, SO_ALREADY, LEFT, GONE = "restored", "was so already", "left", "gone"


def writable(findings: Sequence[Finding]) -> list[Finding]:
    """What `apply` would write."""
    return [finding for finding in findings if finding.state == DIFFERS and not finding.remedy]


def apply_command(profile: Profile, host: Host) -> str:
    """What root types to apply that profile to the interfaces that were looked at."""
    name = profile.name if profile.path.parent in FOLDERS else str(profile.path)
    options = [word for interface in host.only for word in ("--interface", interface)]
    return shlex.join(["fastmix", "tune", "apply", name, *options])


def changed_by_hand(host: Host, findings: Sequence[Finding], path: Path) -> dict[str, Change]:
    """The findings whose value somebody has set since the last `apply`, by name: `apply` would write over it, and `revert` puts
    back the recorded `old` from before.
    """
    record = _of_this_boot(load_record(path), host)
    recorded = {change.name: change for change in record.changes} if record else {}
    return {
        each.name: change
        for each in findings
        if (change := recorded.get(each.name)) and each.found not in (change.old, change.new)
    }


def apply(host: Host, findings: Sequence[Finding], profile: str, path: Path) -> list[Change]:
    """Writes the goals of the findings. Returns the changes with the values as the kernel shows them.

    `FastmixError` at the first that fails: then all is as before. A second `apply` keeps the oldest values in the record.
    """
    with sole_use(path):
        before = _of_this_boot(load_record(path), host)
        planned = [Change(each.wish.setting, each.place, each.found, each.goal) for each in findings]
        for change in planned:
            if (now := read(host, change)) != change.old:
                raise FastmixError(f"{change.name} has become {now} meanwhile: nothing was written; look again, then try again")
        save_record(path, _joined(before, planned, profile, boot_id(host)))
        done: list[Change] = []
        for finding, change in zip(findings, planned, strict=True):
            try:
                _write(host, change, change.new)
                done.append(replace(change, new=read(host, change)))
                if not setting_named(change.setting).fits(host, finding.wish, done[-1].new):
                    raise OSError(None, f"the kernel has made {done[-1].new} of it")
            except OSError as error:
                raise _undone(host, [*done, change], before, path, change, error) from None
        save_record(path, _joined(before, done, profile, boot_id(host)))
        return done


def revert(host: Host, path: Path, force: bool = False) -> list[tuple[Change, str]]:
    """Puts back the values of the record, newest first, and removes it. Returns each change with what became of it.

    What somebody else has changed since is left, and stays in the record, unless `force`. `FastmixError` where there is no
    record, or a value cannot be put back: the rest is, and that one stays in the record.
    """
    nothing = FastmixError(f"nothing to revert: there is no record {path} of `fastmix tune apply`")
    if not os.path.lexists(path):  # before a directory is made for it
        raise nothing
    with sole_use(path):
        record = load_record(path)
        if record is None:
            raise nothing
        if _of_this_boot(record, host) is None:
            remove_record(path)
            return []
        results, failed = _put_back(host, record, force)
        kept = [change for change, result in results if result.startswith(LEFT)]
        kept = [change for change in record.changes if change in kept or change.name in failed]
        if kept:
            save_record(path, replace(record, changes=tuple(kept)))
        else:
            remove_record(path)
        if failed:
            raise FastmixError("; ".join(f"{name} cannot be put back: {reason}" for name, reason in failed.items()))
        return results


def read(host: Host, change: Change) -> str:
    """The value now. `OSError`."""
    return setting_named(change.setting).read(host, change.place)


def _write(host: Host, change: Change, value: str) -> None:
    setting_named(change.setting).write(host, change.place, value)


def _put_back(host: Host, record: Record, force: bool) -> tuple[list[tuple[Change, str]], dict[str, str]]:
    results, failed = [], {}
    for change in reversed(record.changes):
        try:
            now = read(host, change)
            if now == change.old:
                results.append((change, SO_ALREADY))
            elif now != change.new and not force:
                results.append((change, f"{LEFT}: it has become {now} since"))
            else:
                _write(host, change, change.old)
                results.append((change, RESTORED))
        except OSError as error:
            if error.errno in ABSENT:
                results.append((change, GONE))
            else:
                failed[change.name] = error.strerror or str(error)
    return results, failed


def _undone(host: Host, changes: Sequence[Change], before: Record | None, path: Path, at: Change, error: OSError) -> FastmixError:
    """Takes back what was written; the error to raise. Values that cannot be taken back stay in the record."""
    stuck = []
    for change in reversed(changes):
        try:
            if read(host, change) != change.old:
                _write(host, change, change.old)
        except OSError:
            stuck.append(change)
    if before or stuck:
        save_record(path, _joined(before, stuck, before.profile if before else "", boot_id(host)))
    else:
        remove_record(path)
    reason = error.strerror or str(error)
    remedy = f"change it where this machine is made, or leave it out: --skip {at.setting}"
    state = f"{', '.join(change.name for change in stuck)} could not be taken back" if stuck else "all is as before"
    return FastmixError(f"{at.name} cannot be set to {at.new}: {reason}; {state}: {remedy}")


def _joined(before: Record | None, changes: Sequence[Change], profile: str, boot: str) -> Record:
    """The record after some changes: of each setting the oldest value and the newest."""
    oldest = {change.name: change for change in (before.changes if before else ())}
    for change in changes:
        oldest[change.name] = replace(change, old=oldest.get(change.name, change).old)
    return Record(boot, profile, tuple(oldest.values()))


def _of_this_boot(record: Record | None, host: Host) -> Record | None:
    return record if record is None or record.boot_id == boot_id(host) else None
