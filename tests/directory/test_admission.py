"""Who may come in, and the proof of who it is."""

import pytest
from node_records import Key

from fastmix.directory.admission import Admission, is_proved, prove, read_token, token_hash, token_text
from fastmix.errors import ConfigError

TOKEN = bytes(range(16))


def test_a_token_comes_back() -> None:
    text = token_text(TOKEN)
    assert (len(text), read_token(text), read_token(text.upper())) == (26, TOKEN, TOKEN)
    assert TOKEN not in token_hash(TOKEN)


@pytest.mark.parametrize("text", ["", "a", "0" * 26, "a" * 25, "a" * 28, "é" * 26, "a b"])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(ConfigError, match="give the 26 letters"):
        read_token(text)


def test_each_policy() -> None:
    one, other = b"1" * 32, b"2" * 32
    assert not Admission("open").refusal(one, b"")
    by_token = Admission("token", token_hash(TOKEN))
    assert not by_token.refusal(one, TOKEN)
    assert by_token.refusal(one, b"") == "the token is missing"
    assert by_token.refusal(one, TOKEN[::-1]) == "the token is another one"
    listed = Admission("list", listed={one})
    assert not listed.refusal(one, b"")
    assert other.hex() in listed.refusal(other, TOKEN)


def test_a_proof_is_for_one_server_one_time_and_one_role() -> None:
    key, server, nonce = Key("joiner"), b"s" * 32, b"n" * 32
    proof = prove(key, "node", server, nonce)
    assert is_proved(key.public, proof, "node", server, nonce)
    assert not is_proved(Key("other").public, proof, "node", server, nonce)
    assert not is_proved(key.public, proof, "client", server, nonce)
    assert not is_proved(key.public, proof, "node", b"t" * 32, nonce)
    assert not is_proved(key.public, proof, "node", server, b"m" * 32)
    with pytest.raises(ValueError, match="not 32 and 32"):
        prove(key, "node", server, nonce + b"n")
