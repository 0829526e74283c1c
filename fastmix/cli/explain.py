"""`fastmix explain`: the manual of verdicts."""

from fastmix.cli.output import print_json, print_table
from fastmix.errors import ConfigError
from fastmix.files.toml import suggestion
from fastmix.packet.verdict import Verdict


def explain(verdict: str | None = None, /, *, all_: bool = False, json: bool = False) -> None:
    """Say what a verdict means: why a packet was dropped.

    Parameters
    ----------
    verdict
        Its name as counters and logs show it, such as drop_mac; or its number.
    all_
        Explain every verdict.
    json
        Print JSON: one object a verdict.
    """
    if verdict is None and not all_:
        raise ConfigError("no verdict to explain: name one, such as `fastmix explain drop_mac`, or use --all")
    found = list(Verdict) if all_ or verdict is None else [named_verdict(verdict)]
    if json:
        print_json([{"verdict": one.label, "number": int(one), "meaning": one.sentence} for one in found])
    else:
        print_table([(one.label, one.sentence) for one in found])


def named_verdict(text: str) -> Verdict:
    """The verdict of a name, with or without `drop_`, or of a number."""
    by_name = {verdict.label: verdict for verdict in Verdict}
    by_number = {str(int(verdict)): verdict for verdict in Verdict}
    name = text.strip().lower().replace("-", "_")
    found = by_name.get(name) or by_name.get(f"drop_{name}") or by_number.get(name)
    if name in ("ok", "0"):
        found = Verdict.OK
    if found is None:
        raise ConfigError(f"{text!r} is not a verdict: {suggestion(name, by_name)}")
    return found
