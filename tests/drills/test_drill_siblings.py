"""`fastmix drill run siblings`, its short form."""

from fastmix.drills import siblings
from fastmix.drills.stage.report import Options


def test_no_sibling_passes(options: Options) -> None:
    report = siblings.run(options)
    assert report.passed, report
    figures = report.figures
    for name, canonical in (("strict_kx", "drop_kx_subgroup"), ("without_strict_kx", "drop_replay")):
        assert (figures[f"{name}_packets"], figures[f"{name}_siblings"], figures[f"{name}_low_order"]) == (40, 600, 14)
        assert figures[f"{name}_packets_before_siblings_passed"] == 20
        assert figures[f"{name}_siblings_after_{canonical}"] == 7 * 20
        assert figures[f"{name}_siblings_before_drop_kx_non_canonical"] == 8 * 20
        assert figures[f"{name}_low_order_drop_kx_low_order"] == 5
    assert figures["strict_kx_packets_after_siblings_passed"] == 20
    assert "strict_kx_siblings_before_passed" not in figures
    assert figures["without_strict_kx_siblings_before_passed"] == 20, "one for each packet, in its place"
    assert figures["without_strict_kx_packets_after_siblings_drop_replay"] == 20
