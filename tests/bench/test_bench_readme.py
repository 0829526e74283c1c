"""README's throughput table is that of the committed result."""

import json
from pathlib import Path

import pytest

from fastmix.bench import readme

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"


def test_readme_shows_the_committed_result() -> None:
    text = README.read_text()
    name = readme.named_file(text)
    assert name
    result = json.loads((ROOT / name).read_text())
    assert readme.with_table(text, name, result) == text, f"run: python -m fastmix.bench.readme {name}"
    assert result["machine"]["cpu"] in text


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "bench" / "results").glob("*.json")))
def test_results_have_all_that_a_reader_needs(name: str) -> None:
    result = json.loads((ROOT / "bench" / "results" / name).read_text())
    assert result["machine"]["cpu"]
    assert set(result["baseline"]) == {"wan", "jumbo"}
    places = {(row["configuration"], row["geometry"], row["traffic"]) for row in result["rows"]}
    assert len(places) == len(result["rows"]) == 12
    for row in result["rows"]:
        assert row["loss"] <= 0.001
        assert row["messages_per_s"] > 0
        assert row["messages_per_node_cpu_s"] > 0
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p99"] <= row["latency_ms"]["p999"]
        assert 0 < row["memory_mb"] <= row["rss_mb"]
        assert row["workers"] >= 1


def test_one_command_writes_it(tmp_path: Path) -> None:
    text = README.read_text()
    name = readme.named_file(text)
    assert name
    copy = tmp_path / "README.md"
    copy.write_text(text.replace("as promised", "as hoped"))
    assert readme.main([str(ROOT / name), str(copy)]) == 0
    assert copy.read_text().replace(str(ROOT) + "/", "") == text
    copy.write_text("nothing to be filled in")
    assert readme.main([str(ROOT / name), str(copy)]) == 1
    assert readme.main([str(tmp_path / "none.json"), str(copy)]) == 1
    assert readme.main([]) == 2


@pytest.mark.parametrize("text", ["{}", "[]", "not JSON", '{"rows": 1, "baseline": {}}'])
def test_what_is_no_result_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text(text)
    copy = tmp_path / "README.md"
    copy.write_text(README.read_text())
    assert readme.main([str(tmp_path / "result.json"), str(copy)]) == 1
    assert "result.json: not a result of `fastmix bench table --json`" in capsys.readouterr().err
    assert copy.read_text() == README.read_text()


def test_a_quick_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = readme.named_file(README.read_text())
    assert name
    quick = json.loads((ROOT / name).read_text()) | {"quick": True}
    (tmp_path / "result.json").write_text(json.dumps(quick))
    copy = tmp_path / "README.md"
    copy.write_text(README.read_text())
    assert readme.main([str(tmp_path / "result.json"), str(copy)]) == 1
    assert "--quick" in capsys.readouterr().err
    assert copy.read_text() == README.read_text()
