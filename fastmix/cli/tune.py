"""`fastmix tune`: profiles, and this host against them."""

import os
import sys
from pathlib import Path

from fastmix.cli.output import print_json, print_table
from fastmix.config import check_node_settings
from fastmix.errors import ConfigError
from fastmix.profile import Profile, flat, load_profile, profile_names
from fastmix.tune.apply import apply as apply_findings
from fastmix.tune.apply import apply_command, changed_by_hand, writable
from fastmix.tune.apply import revert as revert_record
from fastmix.tune.check import ABSENT_HERE, DIFFERS, OK, UNREADABLE, Finding, cost_at
from fastmix.tune.check import check as check_host
from fastmix.tune.host import Host
from fastmix.tune.record import Change

STATE = Path("/var/lib/fastmix/tune.json")
DEFAULT = "optimized"


def list_(*, json: bool = False) -> None:
    """List the profiles that come with fastmix.

    Parameters
    ----------
    json
        Print one JSON object: name to purpose.
    """
    found = {name: load_profile(name).purpose for name in profile_names()}
    if json:
        print_json(found)
    else:
        print_table(found.items(), wrap=True)


def show(name: str, /, *, json: bool = False) -> None:
    """Show a profile: what it sets, what it wants of the host, and why.

    Parameters
    ----------
    name
        Its name, or a file.
    json
        Print one JSON object.
    """
    profile = checked(name)
    if json:
        host = [{"setting": w.setting, "wanted": w.wanted, "reason": w.reason, "cost": cost_at(w)} for w in profile.host]
        print_json({"name": profile.name, "purpose": profile.purpose, "node": profile.node, "why": profile.why, "host": host})
        return
    print(f"{profile.name}: {profile.purpose}\n\nThe node, where its configuration says nothing else:")
    print_table([(setting, value, profile.why[setting]) for setting, value in flat(profile.node).items()], wrap=True)
    print("\nThe host:")
    print_table([("setting", "wanted", "why")] + [(w.setting, w.wanted, w.reason) for w in profile.host], wrap=True)


def check(name: str = DEFAULT, /, *, interface: tuple[str, ...] = (), json: bool = False) -> int:
    """Compare this host with a profile. Exit code 0 if all is as wanted, 1 if something differs or cannot be read.

    What this machine does not have is named and does not count: virtual machines and containers lack many settings.

    Parameters
    ----------
    name
        The profile's name, or a file.
    interface
        A network interface to look at, again for each; by default all that have a device.
    json
        Print one JSON object.
    """
    profile, host = checked(name), Host(only=interface)
    findings = check_host(profile, host)
    n_wrong = sum(each.state in (DIFFERS, UNREADABLE) for each in findings)
    if json:
        print_json({"profile": profile.name, "matches": not n_wrong, "settings": [each.to_dict() for each in findings]})
        return int(n_wrong > 0)
    print_findings(findings)
    n_absent = sum(each.state == ABSENT_HERE for each in findings)
    absent = f" {count(n_absent, 'setting')} not on this machine." if n_absent else ""
    wrong = f"{profile.name}: {count(n_wrong, 'setting')} not as wanted"
    print(f"\n{wrong}{advice(findings, apply_command(profile, host))}" if n_wrong else f"\nAs wanted.{absent}")
    return int(n_wrong > 0)


def apply(
    name: str,
    /,
    *,
    yes: bool = False,
    skip: tuple[str, ...] = (),
    interface: tuple[str, ...] = (),
    state: Path = STATE,
    json: bool = False,
) -> int:
    """Set this host as a profile wants it: shows the plan, asks, writes all or nothing, and records the old values.

    Only root may. The settings last until the machine is started again, or until `fastmix tune revert`.

    Parameters
    ----------
    name
        The profile's name, or a file.
    yes
        Do not ask.
    skip
        A setting to leave as it is, again for each.
    interface
        A network interface to change, again for each; by default all that have a device.
    state
        The file that records the old values.
    json
        Print one JSON object; needs --yes.
    """
    if os.geteuid() != 0:
        raise ConfigError("only root can change settings of the host: use sudo, or see `fastmix tune check` for what to change")
    if json and not yes:
        raise ConfigError("--json asks nothing: add --yes, and see the plan with `fastmix tune check --json` before")
    profile, host = checked(name), Host(only=interface)
    unknown = set(skip) - {wish.setting for wish in profile.host}
    if unknown:
        raise ConfigError(f"--skip {min(unknown)}: the profile {profile.name} does not name it: see `fastmix tune show {name}`")
    findings = [each for each in check_host(profile, host) if each.wish.setting not in skip]
    plan = writable(findings)
    by_hand = changed_by_hand(host, plan, state)
    if not json:
        print_plan(findings, plan)
        print_lost(plan, by_hand)
    if plan and not yes and not agreed(len(plan)):
        print("Nothing was changed.")
        return 1
    done = apply_findings(host, plan, profile.name, state) if plan else []
    if json:
        lost = {each.name: each.found for each in plan if each.name in by_hand}
        print_json([{"setting": c.setting, "place": c.place, "old": c.old, "new": c.new, "lost": lost.get(c.name)} for c in done])
    elif done:
        option = "" if state == STATE else f" --state {state}"
        print(f"Done. `fastmix tune revert{option}` puts the old values back; they are in {state}")
    return 0


def revert(*, force: bool = False, state: Path = STATE, json: bool = False) -> int:
    """Put back the values that `apply` has recorded, and remove the record.

    A value that somebody else has changed since is named and left, and stays in the record: exit code 1.

    Parameters
    ----------
    force
        Put back also values that somebody else has changed since.
    state
        The file that records the old values.
    json
        Print one JSON object.
    """
    if os.geteuid() != 0:
        raise ConfigError("only root can change settings of the host: use sudo")
    results = revert_record(Host(), state, force)
    if json:
        print_json([{"setting": c.setting, "place": c.place, "value": c.old, "result": result} for c, result in results])
    elif results:
        print_table([("setting", "value", "result")] + [(c.name, c.old, result) for c, result in results])
    else:
        print("The machine was started again since: the kernel's own values are back, and the record is removed.")
    n_left = sum(result.startswith("left") for _, result in results)
    if n_left and not json:
        print(f"{count(n_left, 'value')} left as somebody else has set them: --force puts back these, too.")
    return int(n_left > 0)


def checked(name: str) -> Profile:
    """The profile, once a node could be set to it."""
    profile = load_profile(name)
    check_node_settings(profile)
    return profile


def count(n: int, thing: str) -> str:
    """`1 setting`, `2 settings`."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def print_findings(findings: list[Finding]) -> None:
    """The table of `check`: one row a setting and value; CPUs and interfaces that are alike stand together."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.wish.setting, each.state, each.found), []).append(each)
    rows = [("setting", "wanted", "found", "what the mismatch costs")]
    for (setting, state, found), alike in groups.items():
        places = [each.place for each in alike if each.place]
        where = places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more" if places else ""
        shown = {OK: found, DIFFERS: found, ABSENT_HERE: ABSENT_HERE, UNREADABLE: f"unreadable: {found}"}[state]
        cost = alike[0].cost if state in (DIFFERS, UNREADABLE) else ""
        rows.append((f"{where} {setting}".strip(), alike[0].wish.wanted, shown, cost))
    print_table(rows, wrap=True)


def advice(findings: list[Finding], command: str) -> str:
    """How to set right what differs: what `apply` does, and what is to be done by hand."""
    lines = [f". Root can set {len(plan)} of them: {command}"] if (plan := writable(findings)) else ["."]
    lines += [f"  {each.name}: {each.remedy}" for each in findings if each.state == DIFFERS and each.remedy]
    return "\n".join(lines)


def print_plan(findings: list[Finding], plan: list[Finding]) -> None:
    """What `apply` will write, and what it leaves to hands."""
    if plan:
        rows = [("setting", "now", "will be", "why")]
        print_table(rows + [(each.name, each.found, each.goal, each.wish.reason) for each in plan], wrap=True)
    else:
        print("Nothing to write: all that fastmix can set is as wanted.")
    for each in findings:
        if each.state == DIFFERS and each.remedy:
            print(f"By hand: {each.name} is {each.found}, wanted {each.wish.wanted}: {each.remedy}")
        elif each.state == UNREADABLE:
            print(f"Not read: {each.name}: {each.found}")


def print_lost(plan: list[Finding], by_hand: dict[str, Change]) -> None:
    """What somebody has set since the last `apply`, and nothing will put back."""
    for each in plan:
        if each.name in by_hand:
            old = by_hand[each.name].old
            print(f"Lost: {each.name} was set to {each.found} since the last apply; `fastmix tune revert` puts back {old}")


def agreed(n: int) -> bool:
    """Whether the person at the terminal says yes. `ConfigError` where there is none."""
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask at: add --yes to write what the plan says")
    try:
        return input(f"Write {count(n, 'value')}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
