"""Stores whose key a real PKCS#11 token or a real TPM keeps: SoftHSM2 and swtpm, each a fresh one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrets_of_tests import locked
from tokens import OFFICER_PIN, PIN, SOFTHSM, TOKEN, new_token, software_tpm

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.chainfile import ChainFile
from fastmix.keys.hierarchy import Identity
from fastmix.keys.pkcs11 import Pkcs11Wrapping
from fastmix.keys.store import create_store, open_store
from fastmix.keys.tpm import NvPlaces, TpmWrapping, chip, library, nv_index
from fastmix.keys.wrapping import Wrapping

pytestmark = pytest.mark.tokens
OTHER_TOKEN = "another"
INDEX = nv_index(b"identity")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh token; the directory that it lies in."""
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "tokens"


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[str]:
    """A fresh TPM; its TCTI string."""
    with software_tpm(tmp_path / "tpm") as tcti:
        yield tcti


@pytest.fixture
def secret() -> Iterator[LockedBytes]:
    with locked(bytes(range(32))) as found:
        yield found


def token_wrapping(pin: str = PIN, label: str = TOKEN, module: Path = SOFTHSM) -> Pkcs11Wrapping:
    return Pkcs11Wrapping(module, label, lambda: locked(pin.encode()))


def refusal(wrapping: Wrapping, blob: bytes) -> str:
    with pytest.raises(KeyStoreError) as raised:
        wrapping.unwrap(blob)
    assert PIN not in str(raised.value)
    return str(raised.value)


def flipped(blob: bytes, at: int) -> bytes:
    return blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]


def extend(tcti: str, pcr: int) -> None:
    with chip(tcti) as esys:
        esys.pcr_event(library().ESYS_TR(pcr), b"another kernel")


def reset(tcti: str, pcr: int) -> None:
    with chip(tcti) as esys:
        esys.pcr_reset(library().ESYS_TR(pcr))


def test_a_token_keeps_a_key(token: Path, secret: LockedBytes) -> None:
    wrapping = token_wrapping()
    blobs = [wrapping.wrap(secret) for _ in range(2)]
    assert [wrapping.unwrap(blob).view == secret.view for blob in blobs] == [True, True]
    assert bytes(secret.view) not in b"".join(path.read_bytes() for path in token.rglob("*") if path.is_file())
    assert wrapping.problem() is None


def test_the_tokens_key_never_leaves_it(token: Path, secret: LockedBytes) -> None:
    import pkcs11

    token_wrapping().wrap(secret)
    with pkcs11.lib(str(SOFTHSM)).get_token(token_label=TOKEN).open(user_pin=PIN) as session:
        [key] = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
        assert (key[pkcs11.Attribute.SENSITIVE], key[pkcs11.Attribute.EXTRACTABLE]) == (True, False)
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


@pytest.mark.parametrize("pin", ["1111", "1", "x" * 300])
def test_a_wrong_pin(token: Path, secret: LockedBytes, pin: str) -> None:
    blob = token_wrapping().wrap(secret)
    assert f"wrong PIN of token '{TOKEN}'" in refusal(token_wrapping(pin), blob)
    with pytest.raises(KeyStoreError, match="wrong PIN"):
        token_wrapping(pin).wrap(secret)
    assert token_wrapping().unwrap(blob).view == secret.view


def test_a_token_that_is_gone_and_comes_back(token: Path, secret: LockedBytes) -> None:
    wrapping = token_wrapping()
    blob = wrapping.wrap(secret)
    away = token.rename(token.with_name("away"))
    token.mkdir()
    assert f"token '{TOKEN}' is not there: insert it" in refusal(wrapping, blob)
    assert f"token '{TOKEN}' is not there" in str(wrapping.problem())
    token.rmdir()
    assert "cannot be used" in str(wrapping.problem())
    away.rename(token)
    assert wrapping.problem() is None
    assert wrapping.unwrap(blob).view == secret.view


def test_another_token_or_module(token: Path, secret: LockedBytes, tmp_path: Path) -> None:
    blob = token_wrapping().wrap(secret)
    command = ["softhsm2-util", "--init-token", "--free", "--label", OTHER_TOKEN, "--so-pin", OFFICER_PIN, "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert f"token '{OTHER_TOKEN}' does not have key" in refusal(token_wrapping(label=OTHER_TOKEN), blob)
    assert "there is no PKCS#11 module" in refusal(token_wrapping(module=tmp_path / "none.so"), blob)
    (tmp_path / "text.so").write_text("no library")
    assert "cannot be used" in refusal(token_wrapping(module=tmp_path / "text.so"), blob)


def test_each_byte_of_a_tokens_blob(token: Path, secret: LockedBytes) -> None:
    blob = token_wrapping().wrap(secret)
    for at in range(0, len(blob), 5):
        assert "does not have key" in (text := refusal(token_wrapping(), flipped(blob, at))) or "refused" in text
    for size in (0, 1, len(blob) - 1):
        assert "was altered" in refusal(token_wrapping(), blob[:size])


def test_a_tpm_keeps_a_key_while_the_pcrs_stay(tpm: str, secret: LockedBytes) -> None:
    wrapping = TpmWrapping((7, 16), tpm)
    blob = wrapping.wrap(secret)
    for _ in range(4):  # more than a chip has room for, if one were left there
        assert wrapping.unwrap(blob).view == secret.view
    assert bytes(secret.view) not in blob
    extend(tpm, 16)
    assert "the PCRs have other values than when the key was sealed: boot as before, or restore with" in refusal(wrapping, blob)
    reset(tpm, 16)
    assert TpmWrapping((1,), tpm).unwrap(blob).view == secret.view  # the blob knows its PCRs
    assert wrapping.problem() is None


def test_a_tpm_that_starts_again_is_gone_or_another(tmp_path: Path, secret: LockedBytes) -> None:
    with software_tpm(tmp_path / "one") as tcti:
        blob = TpmWrapping(tcti=tcti).wrap(secret)
    assert "is not there" in refusal(TpmWrapping(tcti=tcti), blob)
    assert "is not there" in str(TpmWrapping(tcti=tcti).problem())
    with software_tpm(tmp_path / "one") as tcti:
        assert TpmWrapping(tcti=tcti).unwrap(blob).view == secret.view
    with software_tpm(tmp_path / "two") as tcti:
        assert "check that it is the chip that the file was made with" in refusal(TpmWrapping(tcti=tcti), blob)


def test_each_byte_of_a_tpms_blob(tpm: str, secret: LockedBytes) -> None:
    wrapping = TpmWrapping(tcti=tpm)
    blob = wrapping.wrap(secret)
    for at in range(0, len(blob), 7):
        refusal(wrapping, flipped(blob, at))
    for size in (0, 5, 100, len(blob) - 1):
        assert "the TPM's part is damaged" in refusal(wrapping, blob[:size])
    assert wrapping.unwrap(blob).view == secret.view


@pytest.mark.parametrize("pcrs", [(), (24,), (-1, 7)])
def test_pcrs_that_are_none(pcrs: tuple[int, ...]) -> None:
    with pytest.raises(KeyStoreError, match="name one or more of 0 to 23"):
        TpmWrapping(pcrs)


def test_nv_places_forget_the_key_before(tpm: str, secret: LockedBytes) -> None:
    places = NvPlaces(INDEX, pcrs=(16,), tcti=tpm)
    with LockedBytes(32).fill_random() as newer, LockedBytes(32) as found:
        places.write(0, secret)
        places.write(1, newer)
        for place, key in ((0, secret), (1, newer)):
            places.read(place, found)
            assert found.view == key.view
        places.write(0, newer)
        places.read(0, found)
        assert found.view == newer.view
        extend(tpm, 16)
        with pytest.raises(KeyStoreError, match=r"the PCRs have other values .* or move the chain away"):
            places.read(0, found)
        places.write(0, secret)  # closed by other PCRs, so it is made anew
        places.read(0, found)
        assert found.view == secret.view
        places.remove()
        places.remove()
        with pytest.raises(KeyStoreError, match=f"NV index {INDEX:#010x} is not there.*; move the chain away"):
            places.read(0, found)
    assert places.problem() is None
    with pytest.raises(KeyStoreError, match="is not an owner's"):
        NvPlaces(0x01000000)


def test_each_identity_has_nv_indices_of_its_own() -> None:
    """Two for each, which `NvPlaces` takes."""
    found = {nv_index(bytes([i]) * 32) for i in range(200)}
    assert len(found) == 200
    assert not any(index % 2 for index in found)
    assert all(NvPlaces(index).problem for index in found)


def test_a_chain_of_mix_keys_under_a_tpm(tmp_path: Path) -> None:
    """An old state is worth nothing, though it was copied; without the chip nothing is given out, and the state stays."""
    path = tmp_path / "mix-keys.chain"
    with LockedBytes(32) as taken:
        with software_tpm(tmp_path / "tpm") as tcti:
            file = ChainFile.create(path, 1000, NvPlaces(INDEX, tcti=tcti))
            old = path.read_bytes()
            publics = file.publics(2)
            file.take(taken)
            again = ChainFile.open(path, NvPlaces(INDEX, tcti=tcti))
            assert again is not None
            assert (again.slot, again.id) == (1001, file.id)
            assert (again.publics(1)[0] == publics[1]).all()
            newer = path.read_bytes()
            path.write_bytes(old)
            with pytest.raises(KeyStoreError, match="older than its wrapping key"):
                ChainFile.open(path, NvPlaces(INDEX, tcti=tcti))
            path.write_bytes(newer)
        with pytest.raises(KeyStoreError, match="is not there"):
            again.take(taken)
        assert (again.slot, path.read_bytes()) == (1001, newer)
        with software_tpm(tmp_path / "tpm") as tcti:
            third = ChainFile.open(path, NvPlaces(INDEX, tcti=tcti))
            assert third is not None
            third.take(taken)
            third.start_over(2000)
            assert third.slot == 2000
            path.write_bytes(newer)
            with pytest.raises(KeyStoreError, match="older than its wrapping key"):
                ChainFile.open(path, NvPlaces(INDEX, tcti=tcti))
            extend(tcti, 7)
            with pytest.raises(KeyStoreError, match="boot as before, or move the chain away"):
                ChainFile.open(path, NvPlaces(INDEX, tcti=tcti))
            path.rename(tmp_path / "away")
            assert ChainFile.open(path, NvPlaces(INDEX, tcti=tcti)) is None
            ChainFile.create(path, 3000, NvPlaces(INDEX, tcti=tcti)).take(taken)


def test_a_store_under_each(tmp_path: Path, token: Path, tpm: str) -> None:
    for wrapping in (token_wrapping(), TpmWrapping(tcti=tpm)):
        identity = Identity.fresh()
        path = tmp_path / f"{wrapping.name}.keys"
        create_store(path, identity, wrapping)
        assert open_store(path, wrapping).public == identity.public
        whole = path.read_bytes()
        for at in range(0, len(whole), 16):
            path.write_bytes(flipped(whole, at))
            with pytest.raises(KeyStoreError, match=str(path)):
                open_store(path, wrapping)


def keys(*args: str, cwd: Path, code: int = 0) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "fastmix", "keys", *args]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)
    assert ended.returncode == code, ended
    return ended.stderr or ended.stdout


def test_commands(tmp_path: Path, token: Path, tpm: str) -> None:
    """A store goes from a token to a TPM to a passphrase, and stays the same identity."""
    for name, text in (("pin", PIN), ("wrong", "0000"), ("word", "correct horse")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    at_token = ("--pkcs11-module", str(SOFTHSM), "--pkcs11-token", TOKEN)
    made = json.loads(keys("init", "s", "--kept-by", "pkcs11", *at_token, "--passphrase-file", "pin", "--json", cwd=tmp_path))
    assert made["kept_by"] == "pkcs11"
    wrong = keys("verify", "s", *at_token, "--passphrase-file", "wrong", cwd=tmp_path, code=78)
    assert wrong.startswith(f"fastmix: s: wrong PIN of token '{TOKEN}'")
    keys("passwd", "s", *at_token, "--passphrase-file", "pin", "--kept-by", "tpm", "--pcrs", "7,16", "--tpm", tpm, cwd=tmp_path)
    assert json.loads(keys("verify", "s", "--tpm", tpm, "--json", cwd=tmp_path)) == made | {"kept_by": "tpm"}
    extend(tpm, 16)
    assert "the PCRs have other values" in keys("verify", "s", "--tpm", tpm, cwd=tmp_path, code=78)
    reset(tpm, 16)
    keys("passwd", "s", "--tpm", tpm, "--new-passphrase-file", "word", cwd=tmp_path)
    shutil.rmtree(token)
    assert json.loads(keys("verify", "s", "--passphrase-file", "word", "--json", cwd=tmp_path))["identity"] == made["identity"]
