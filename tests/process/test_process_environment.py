"""Which kernels a node's processes are told to use."""

import os
from typing import get_args

import pytest

from fastmix.config import MixnodeConfig
from fastmix.errors import ConfigError
from fastmix.kernels.isa import ISAS, supported
from fastmix.process.environment import ISA, child_environment, wanted_kernels


def test_the_configuration_names_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_args(MixnodeConfig.model_fields["isa"].annotation) == ("auto", *ISAS)
    monkeypatch.delenv(ISA, raising=False)
    assert ISA not in child_environment()
    assert wanted_kernels("auto") == {}
    assert child_environment("portable")[ISA] == "portable"
    monkeypatch.setenv(ISA, supported()[-1])
    assert child_environment("portable")[ISA] == os.environ[ISA]


def test_kernels_that_do_not_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ISA, raising=False)
    for name in set(ISAS) - set(supported()) | {"mmx"}:
        with pytest.raises(ConfigError, match=f'isa = "{name}": this build and CPU have portable'):
            wanted_kernels(name)
