"""The delay twin and the second oracle: 2,000 published samples to the last bit, and the C tables."""

import re
from pathlib import Path

import oracle
import pytest

from fastmix.reference.delay import DELAY_MAX, TAIL_AT, ZIGGURAT_F, ZIGGURAT_X, delay

HEADER = Path(__file__).parents[2] / "ext" / "ziggurat_exp.h"


@pytest.mark.parametrize("sample", [delay, oracle.delay], ids=["twin", "oracle"])
def test_published_delays_to_the_last_bit(vectors, sample):
    samples = vectors("sphinx/delays.json")["seed_to_delay"]
    assert len(samples) == 2000
    assert [[seed, sample(bytes.fromhex(seed))] for seed, _ in samples] == samples


def test_a_long_delay_is_capped():
    assert delay(bytes.fromhex("61565441d025dfe7b9c86a56dd2709a6")) == DELAY_MAX == 10.0


def test_c_header_holds_the_same_tables():
    text = HEADER.read_text()
    numbers = [float.fromhex(number) for number in re.findall(r"-?0x[0-9a-f.]+p[+-][0-9]+", text)]
    assert numbers == [TAIL_AT, *ZIGGURAT_X, *ZIGGURAT_F]
