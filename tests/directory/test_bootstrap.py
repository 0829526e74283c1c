"""Bootstrap texts: what is one, and what is wrong with what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmix.directory.admission import token_text
from fastmix.directory.bootstrap import Bootstrap, parse_bootstrap
from fastmix.errors import ConfigError

PIN, TOKEN = bytes(range(32)), bytes(range(16))
HEX = PIN.hex()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"192.0.2.7:9100#{HEX}", Bootstrap("192.0.2.7", 9100, PIN)),
        (f"[2001:DB8::0:7]:9100#{HEX.upper()}", Bootstrap("2001:db8::7", 9100, PIN)),
        (f" Mix1.Example.org:1#{HEX}?{token_text(TOKEN).upper()}\n", Bootstrap("mix1.example.org", 1, PIN, TOKEN)),
        ("localhost:65535", Bootstrap("localhost", 65535)),
        (f"a_b.c-d:9?{token_text(TOKEN)}", Bootstrap("a_b.c-d", 9, None, TOKEN)),
    ],
)
def test_what_is_read(text: str, read: Bootstrap) -> None:
    assert parse_bootstrap(text) == read
    assert parse_bootstrap(str(read)) == read


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no host"),
        ("9100", "has no host"),
        (":9100", "has no host"),
        ("example.org", "has no host"),
        ("example.org:", "has no port from 1 to 65535"),
        ("example.org:0", "has no port"),
        ("example.org:65536", "has no port"),
        ("example.org:٣", "has no port"),
        ("example.org:-1", "has no port"),
        ("-a.org:1", "has no host"),
        ("a..org:1", "has no host"),
        ("a\x1b[2J.org:1", "is not an IP address"),
        ("ex ample.org:1", "has no host"),
        ("1.2.3.256:1", "has no host"),
        ("1.2.3:1", "has no host"),
        ("2001:db8::7:9100", "is not an IP address|needs brackets"),
        ("[192.0.2.1]:9100", "needs brackets around an IPv6 address, and only there"),
        ("[::1]9100", "is not an IP address"),
        (f"192.0.2.7:1#{HEX[:-1]}", "a PIN of 63 characters behind #, not one of 64 hex digits"),
        (f"192.0.2.7:1#{HEX[:-1]}g", "64 hex digits"),
        ("192.0.2.7:1#", "a PIN of 0 characters"),
        (f"192.0.2.7:1#{HEX}#", "a PIN of 65"),
        (f"192.0.2.7:1#{HEX}?", "the token is not one"),
        (f"192.0.2.7:1#{HEX}?abc", "the token is not one"),
        ("a" * 600 + ":1", "longer than 512"),
        ("a." * 130 + "a:1", "has no host"),
    ],
)
def test_what_is_none(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        parse_bootstrap(text)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


def test_a_token_is_in_no_error_and_no_repr() -> None:
    token = token_text(TOKEN)
    assert token not in repr(parse_bootstrap(f"localhost:1#{HEX}?{token}"))
    for text in (f"localhost:0#{HEX}?{token}", f"localhost:1#{HEX}?{token}x", f"localhost:1#{HEX}0?{token}"):
        with pytest.raises(ConfigError) as error:
            parse_bootstrap(text)
        assert token not in str(error.value)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        read = parse_bootstrap(text)
    except ConfigError:
        return
    assert parse_bootstrap(str(read)) == read
