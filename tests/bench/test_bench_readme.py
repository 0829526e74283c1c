"""The measured figures of README.md and docs/performance.md are those of the committed results."""

import json
import shutil
from pathlib import Path

import pytest

from fastmix.bench import bars, readme

ROOT = Path(__file__).parent.parent.parent
FILES = sorted(readme.WRITTEN)


def results_of(name: str) -> str:
    """The directory that a file's section names."""
    found = readme.named_directory((ROOT / name).read_text())
    assert found
    return found


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both files and the results that they name, in a directory of their own, which is the current one."""
    (tmp_path / "docs").mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "bench" / "results", tmp_path / "bench" / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_it_shows_the_committed_results(name: str) -> None:
    text, directory = (ROOT / name).read_text(), results_of(name)
    section = readme.section_of(name, ROOT / directory)
    assert readme.written(text, directory, section) == text, f"run: python -m fastmix.bench.readme {directory}"
    for need in readme.WRITTEN[name][0]:
        assert json.loads((ROOT / directory / f"{need}.json").read_text())["machine"]["cpu"] in text


@pytest.mark.parametrize("path", sorted((ROOT / "bench" / "results").glob("*/table.json")), ids=lambda path: path.parent.name)
def test_tables_have_all_that_a_reader_needs(path: Path) -> None:
    result = json.loads(path.read_text())
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


def test_goals_that_are_missed_are_explained() -> None:
    directory = ROOT / results_of("docs/performance.md")
    results = {name: readme.read_result(directory / f"{name}.json") for name in bars.ALL}
    explained = (ROOT / "docs" / "performance.md").read_text().partition("## Where the goal is missed")[2]
    missed = [bar.name for bar in bars.BARS if not bar.reached(results)]
    rows = [row.split("|")[1] for row in explained.splitlines() if row.startswith("| ")]
    explained_names = [name.strip() for row in rows for name in row.split(";")]
    assert [name for name in missed if name not in explained_names] == []


def test_a_goal_is_reached_by_all_its_figures_or_not() -> None:
    bar = bars.Bar("speed", True, 2, " L", lambda results: [3, results["x"]["y"]])
    assert bar.reached({"x": {"y": 2}})
    assert not bar.reached({"x": {"y": 1.99}})
    assert bar.row({"x": {"y": 1.99}}) == ("speed", "≥ 2 L", "3.00, 1.99", "**no**")


def test_one_command_writes_them(copied: Path) -> None:
    before = [Path(name).read_text() for name in FILES]
    for name in FILES:
        text = Path(name).read_text()
        Path(name).write_text(text.replace("| 1 worker", "| some workers").replace("unwrap", "enwrap"))
    assert readme.main([results_of("README.md")]) == 0
    after = [Path(name).read_text() for name in FILES]
    assert [readme.SECTION.search(text) for text in after] != [None, None]
    for was, now in zip(before, after, strict=True):
        assert readme.SECTION.search(was)[0] == readme.SECTION.search(now)[0]  # type: ignore[index]


def test_a_table_alone_writes_readme_alone(copied: Path) -> None:
    directory = Path(results_of("README.md"))
    for path in directory.glob("*.json"):
        if path.name != "table.json":
            path.unlink()
    (copied / "docs" / "performance.md").write_text("nothing to be filled in")
    assert readme.main([str(directory)]) == 0
    assert (copied / "README.md").read_text() == (ROOT / "README.md").read_text()


def test_what_cannot_be_written_is_named(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert readme.main([]) == 2
    assert readme.main(["nowhere"]) == 1
    assert "nowhere: has no results" in capsys.readouterr().err
    (copied / "README.md").write_text("nothing to be filled in")
    assert readme.main([results_of("docs/performance.md")]) == 1
    assert "no section" in capsys.readouterr().err
    assert (copied / "docs" / "performance.md").read_text() == (ROOT / "docs" / "performance.md").read_text()


@pytest.mark.parametrize("text", ["{}", "[]", "not JSON", '{"bench": "table", "rows": 1, "baseline": {}}', '{"bench": "memory"}'])
def test_what_is_no_result_is_refused(text: str, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = Path(results_of("README.md"))
    (directory / "table.json").write_text(text)
    assert readme.main([str(directory)]) == 1
    assert "table" in capsys.readouterr().err
    assert (copied / "README.md").read_text() == (ROOT / "README.md").read_text()


def test_a_quick_result_is_refused(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = Path(results_of("README.md"))
    quick = json.loads((directory / "table.json").read_text()) | {"quick": True}
    (directory / "table.json").write_text(json.dumps(quick))
    assert readme.main([str(directory)]) == 1
    assert "--quick" in capsys.readouterr().err
    assert (copied / "README.md").read_text() == (ROOT / "README.md").read_text()
