"""`fastmix doctor`: this machine, looked over."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fastmix.cli.output import print_json, print_table
from fastmix.cli.status import replay_rows

if TYPE_CHECKING:
    from fastmix.config import MixnodeConfig
    from fastmix.tune.doctor import Caution


def doctor(
    config: Path | None = None, /, *, profile: str | None = None, interface: tuple[str, ...] = (), json: bool = False
) -> int:
    """Look this machine over: what it can do, what slows a node or keeps it from starting, each with a remedy.

    Exit code 0 if there is nothing to warn of, 1 if there is.

    Parameters
    ----------
    config
        A node's configuration: also look whether this node fits the machine.
    profile
        The profile to compare with, a name of `fastmix tune list` or a file; by default single-thread. It also lies under the
        configuration.
    interface
        A network interface to look at, again for each; by default all that have a device.
    json
        Print one JSON object.
    """
    from fastmix.config import MixnodeConfig, check_node_settings
    from fastmix.kernels.isa import supported
    from fastmix.process.environment import use_kernels
    from fastmix.profile import load_profile
    from fastmix.tune.host import Host

    wanted = load_profile(profile or "single-thread")
    check_node_settings(wanted)
    node = MixnodeConfig.load(config, profile) if config else None
    if node and node.isa in supported():
        use_kernels(node.isa)
    from fastmix.seam.fill import replay_fills
    from fastmix.tune.doctor import look_over

    report = look_over(wanted, node, Host(only=interface))
    cautions = [*report.warnings, *(replay_cautions(node) if node else [])]
    fills = replay_fills(node.state_dir) if node else []
    if json:
        warnings = [{"problem": each.problem, "remedy": each.remedy} for each in cautions]
        numbers = {"isa": report.isa, "core_ghz": report.core_ghz, "unwraps_per_s": report.unwraps_per_s}
        sets = [asdict(each) for each in fills]
        print_json({**numbers, "facts": dict(report.facts), "replay_sets": sets, "warnings": warnings})
        return int(bool(warnings))
    print_table([*report.facts.items(), *replay_rows(fills)], wrap=True)
    print()
    for each in cautions:
        print(f"! {each.problem}\n  remedy: {each.remedy}")
    print(f"Warnings: {len(cautions)}" if cautions else "Nothing to warn of.")
    return int(bool(cautions))


def replay_cautions(node: "MixnodeConfig") -> "list[Caution]":
    """Whether the node's replay set, where it has one, was made for another capacity: then it does not start."""
    from fastmix.control.fixed_pair import misfit
    from fastmix.network_of import network_of
    from fastmix.seam.pair import fixed_id, pair_path
    from fastmix.tune.doctor import Caution

    public = network_of(node).node(node.number).sphinx_public
    if not public or node.replay_capacity is None:
        return []
    problem = misfit(pair_path(node.state_dir, fixed_id(public)), node.replay_capacity)
    return [Caution(*problem)] if problem else []
