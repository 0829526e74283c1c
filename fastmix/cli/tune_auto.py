"""`fastmix tune auto`: a profile for this machine."""

from pathlib import Path

from fastmix.cli.output import print_json, print_table
from fastmix.errors import ConfigError


def auto(*, write: Path | None = None, json: bool = False) -> None:
    """Measure this machine for a moment and propose a profile.

    Kernels of every instruction set, batch lengths, loopback, cores and memory. Run it while the machine is quiet.

    Parameters
    ----------
    write
        Write the profile to this new file, for `fastmix run --profile FILE CONFIG`.
    json
        Print one JSON object.
    """
    from fastmix.files.written import check_place, write_text
    from fastmix.tune.auto import measure, propose
    from fastmix.tune.host import Host

    check_place("--write", write)
    if write is not None and write.suffix != ".toml":
        raise ConfigError(f"--write {write}: name a file that ends in .toml, so that --profile knows it from a name")
    found = measure(Host())
    proposal = propose(found)
    text = proposal.to_toml(f"this machine: {found.machine.usable_cores} cores, {found.by_isa[found.isa]} unwraps/s each")
    if write is not None:
        write_text("--write", write, text, new=True)
    if json:
        print_json(
            {
                "cores": found.machine.usable_cores,
                "memory_mb": found.machine.memory >> 20,
                "unwraps_per_s": dict(found.by_isa),
                "unwraps_per_s_by_batch": {str(batch): rate for batch, rate in found.by_batch.items()},
                "loopback_ns": dict(found.loopback_ns),
                "io": found.io,
                "isa": found.isa,
                "batch": found.batch,
                "based_on": proposal.based_on,
                "node": dict(proposal.node),
            }
        )
        return
    rows = [(f"{name} kernels", f"{rate} unwraps/s a core") for name, rate in found.by_isa.items()]
    rows += [(f"batches of {batch}", f"{rate} unwraps/s a core") for batch, rate in found.by_batch.items()]
    rows += [(f"{name} over loopback", f"{ns} ns a datagram in and out") for name, ns in found.loopback_ns.items()]
    print_table(rows)
    print(f"\n{text}")
    print(f"Written to {write}: fastmix run --profile {write} CONFIG" if write else "Keep it with --write FILE.toml")
