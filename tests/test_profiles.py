"""The profiles of tuning/ are configurations that a node takes; the default one says what the code does."""

import tomllib
from pathlib import Path

import pytest

from fastmix.config import MixingConfig, MixnodeConfig

TUNING = Path(__file__).parent.parent / "tuning"
WITHOUT_DEFAULT_VALUE = {"node_id", "listen_addr", "drain_timeout"}
"""Settings whose default follows from others."""


@pytest.mark.parametrize("path", sorted(TUNING.glob("*.toml")), ids=lambda path: path.name)
def test_a_node_takes_the_profile(path: Path) -> None:
    assert MixnodeConfig.load(path).network == TUNING / "network.toml"
    assert f"`{path.name}`" in (TUNING / "README.md").read_text()


def test_the_default_profile_says_every_default() -> None:
    config = MixnodeConfig.load(TUNING / "default.toml")
    required = {name for name, field in MixnodeConfig.model_fields.items() if field.is_required()}
    plain = MixnodeConfig(**{name: getattr(config, name) for name in required})
    assert config == plain
    said = tomllib.loads((TUNING / "default.toml").read_text())
    assert set(said) == set(MixnodeConfig.model_fields) - WITHOUT_DEFAULT_VALUE
    assert set(said["mixing"]) == set(MixingConfig.model_fields) - {"options", "classes"}
