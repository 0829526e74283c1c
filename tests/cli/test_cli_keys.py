"""`fastmix keys init|export|import|passwd|verify|audit` as an operator meets them: exit codes, messages, files."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fastmix_command import fastmix
from real_node import until
from secrets_of_tests import locked

from fastmix.keys.audit import head_path, log_path
from fastmix.keys.store import open_store, rewrap_store
from fastmix.keys.wrapping import Argon2Cost, PassphraseWrapping

PASSPHRASE, OTHER = "correct horse", "battery staple"


def keys(*args: str | Path, cwd: Path, limit: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """`fastmix keys …` without a terminal; `limit` is a shell command in front of it."""
    if not limit:
        return fastmix("keys", *args, cwd=cwd, COLUMNS="100", **more)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"} | more
    command = ["sh", "-c", f'{limit} exec "$@"', "sh", sys.executable, "-m", "fastmix", "keys", *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False, start_new_session=True
    )


def done(*args: str | Path, cwd: Path) -> dict[str, object]:
    ended = keys(*args, "--json", cwd=cwd)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    found = json.loads(ended.stdout)
    assert isinstance(found, dict)
    return found


def refused(*args: str | Path, cwd: Path, code: int = 78, **more: str) -> str:
    ended = keys(*args, cwd=cwd, **more)
    assert (ended.returncode, ended.stdout) == (code, ""), ended
    assert ended.stderr.startswith("fastmix: ")
    assert ended.stderr.count("\n") == 1
    assert PASSPHRASE not in ended.stderr
    return ended.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two passphrases, and a store under the first, where a guess costs next to nothing."""
    directory = tmp_path_factory.mktemp("store")
    for name, text in (("one", PASSPHRASE), ("two", OTHER)):
        (directory / name).write_text(text + "\n")
        (directory / name).chmod(0o600)
    done("init", "store", "--passphrase-file", "one", cwd=directory)
    with PassphraseWrapping(lambda: locked(PASSPHRASE.encode()), Argon2Cost(8, 1, 1)) as wrapping:
        rewrap_store(directory / "store", open_store(directory / "store", wrapping), wrapping)
    return directory


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    for name in os.listdir(made):
        (tmp_path / name).write_bytes((made / name).read_bytes())
        (tmp_path / name).chmod(0o600)
    return tmp_path


def actions(log: Path) -> list[tuple[str, str | None]]:
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [(record["action"], record.get("outcome")) for record in records]


def test_a_life_of_a_store(here: Path) -> None:
    identity = done("verify", "store", "--passphrase-file", "one", cwd=here)["identity"]
    backup = done("export", "store", "backup", "--passphrase-file", "one", "--new-passphrase-file", "two", cwd=here)
    assert backup == {"store": "backup", "identity": identity, "kept_by": "passphrase"}
    assert stat.S_IMODE((here / "backup").stat().st_mode) == 0o600
    done("passwd", "store", "--passphrase-file", "one", "--new-passphrase-file", "two", cwd=here)
    assert "wrong passphrase" in refused("verify", "store", "--passphrase-file", "one", cwd=here)
    audit = done("audit", "store", "--passphrase-file", "two", cwd=here)
    assert (audit["records"], audit["findings"]) == (6, [])
    (here / "store").unlink()
    done("import", "backup", "store", "--passphrase-file", "two", "--new-passphrase-file", "one", cwd=here)
    assert done("verify", "store", "--passphrase-file", "one", cwd=here)["identity"] == identity
    assert done("audit", "store", "--noted", str(audit["head"]), "--passphrase-file", "one", cwd=here)["records"] == 8
    acts = ["keys.init", "keys.export", "keys.passwd", "keys.import"]
    assert actions(here / "store.audit") == [(act, outcome) for act in acts for outcome in ("begun", "done")]


def test_an_altered_audit_log(here: Path) -> None:
    log = here / "store.audit"
    log.write_text(log.read_text().replace("root", "toor").replace("uid", "gid"))
    ended = keys("audit", "store", "--passphrase-file", "one", cwd=here)
    assert ended.returncode == 1
    assert ended.stdout.startswith("line 1: was changed")
    assert "nothing is added to it" in refused("passwd", "store", "--passphrase-file", "one", cwd=here)
    found = keys("audit", "store", "--passphrase-file", "one", "--json", cwd=here)
    assert json.loads(found.stdout)["findings"][0]["line"] == 1


def test_an_audit_log_that_was_emptied_or_removed(here: Path) -> None:
    words = ["store", "--passphrase-file", "one"]
    export = ["export", "store", "backup", *words[1:], "--new-passphrase-file", "one"]
    log = here / "store.audit"
    head_path(log).unlink()
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    ended = keys("audit", *words, cwd=here)
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (1, "the head is missing: a cut end cannot be seen")
    assert "nothing is added to it" in refused(*export, cwd=here)
    log.unlink()
    assert "there is no audit log" in refused("audit", *words, cwd=here)
    made = keys(*export, cwd=here)
    assert (made.returncode, "the audit log is gone: a new one begins" in made.stderr) == (0, True)
    assert actions(log)[0] == ("audit.begun", None)
    ended = keys("audit", *words, cwd=here)
    assert (ended.returncode, "line 1: the log does not begin with the store's making" in ended.stdout) == (1, True)
    head = ended.stdout.split()[-1]
    assert done("audit", *words, "--noted", head, cwd=here)["findings"] == []


def test_stores_that_are_refused(here: Path) -> None:
    store = here / "store"
    whole = store.read_bytes()
    for damaged, words in (
        (whole[:100], "is truncated"),
        (whole[:150] + b"x" + whole[151:], "is damaged: its checksum differs"),
        (whole[:8] + b"\2" + whole[9:], "has version 2"),
    ):
        store.write_bytes(damaged)
        assert words in refused("verify", "store", "--passphrase-file", "one", cwd=here)
        assert store.read_bytes() == damaged
    store.write_bytes(whole)
    store.chmod(0o644)
    assert "store: the key store has mode 0644" in refused("verify", "store", "--passphrase-file", "one", cwd=here)
    assert "there is no key store" in refused("verify", "none", "--passphrase-file", "one", cwd=here)


def test_passphrases_that_are_refused(here: Path) -> None:
    (here / "two").chmod(0o640)
    assert "wrong passphrase" in refused("verify", "store", "--passphrase-fd", "0", cwd=here, limit="echo wrong |")
    assert "the passphrase file has mode 0640" in refused("verify", "store", "--passphrase-file", "two", cwd=here)
    assert "descriptor 9 cannot be read" in refused("verify", "store", "--passphrase-fd", "9", cwd=here)
    assert "there is no terminal to ask on" in refused("verify", "store", cwd=here)
    both = ("--passphrase-fd", "0", "--passphrase-file", "one")
    assert "give one of them" in refused("verify", "store", *both, cwd=here, code=2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--pkcs11-module", "/nope.so"),
            "--pkcs11-module /nope.so needs --kept-by pkcs11, and the key is to be kept by passphrase",
        ),
        (
            ("--pkcs11-token", "x", "--kept-by", "tpm"),
            "--pkcs11-token x needs --kept-by pkcs11, and the key is to be kept by tpm",
        ),
        (("--tpm", "swtpm:"), "--tpm swtpm: needs --kept-by tpm"),
        (("--pcrs", "7"), "--pcrs 7 needs --kept-by tpm"),
        (("--pcrs", "7,99", "--kept-by", "tpm"), "--pcrs 7,99: there is no PCR 99: name some of 0 to 23"),
        (("--pcrs", "seven", "--kept-by", "tpm"), "--pcrs seven: is no list of numbers"),
    ],
)
def test_options_that_would_be_ignored(here: Path, options: tuple[str, ...], told: str) -> None:
    """Nothing is made or changed."""
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    for words in (("init", "new"), ("passwd", "store"), ("import", "store", "new")):
        assert told in refused(*words, *options, "--passphrase-file", "one", cwd=here, code=2)
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_path_that_cannot_be_looked_at(here: Path) -> None:
    """One sentence and exit code 78, whichever command meets it first."""
    path = "x" * 300
    for words in (("verify", path), ("audit", path), ("init", path), ("import", "store", path), ("export", path, "backup")):
        assert "File name too long; check the path" in refused(*words, "--passphrase-file", "one", cwd=here)


AS_ANOTHER = """
import os, sys
from fastmix.cli.main import main
import fastmix.keys.newstore
for command in ("verify", "audit"):  # after them all is imported
    assert main(["keys", command, "store", "--passphrase-file", "one"]) == 0
os.setuid(61000)
sys.exit(main(["keys", *sys.argv[1:]]))
"""


def test_a_directory_of_another_user(here: Path) -> None:
    """Who is not root can be nobody else."""
    here.chmod(0o700)
    for words in (("verify", "store"), ("audit", "store"), ("init", "new")) if os.geteuid() == 0 else ():
        command = [sys.executable, "-c", AS_ANOTHER, *(str(here / word) if word in ("store", "new") else word for word in words)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (78, 1), ended
        assert f"fastmix: {here / words[1]}: cannot be " in ended.stderr.replace("cannot read the key store", "cannot be read")
        assert "Permission denied; " in ended.stderr
        assert "user 61000" in ended.stderr


def test_a_descriptor_and_a_credential_open_it_too(here: Path) -> None:
    (here / "fastmix-passphrase").write_text(PASSPHRASE)
    (here / "fastmix-passphrase").chmod(0o400)
    assert keys("verify", "store", cwd=here, CREDENTIALS_DIRECTORY=str(here)).returncode == 0
    assert keys("verify", "store", "--passphrase-fd", "3", cwd=here, limit="exec 3<one;").returncode == 0


def test_nothing_is_overwritten(here: Path) -> None:
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert "exists already" in refused("init", "store", "--passphrase-file", "one", cwd=here)
    assert "exists already" in refused("import", "store", "two", "--passphrase-file", "one", cwd=here)
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before
    assert "exists already" in refused("export", "store", "two", "--passphrase-file", "one", cwd=here)
    assert (here / "two").read_bytes() == before["two"]
    assert actions(here / "store.audit")[2:] == [("keys.export", "begun"), ("keys.export", "failed")]
    (here / "store").rename(here / "moved")
    assert "line 1: was changed" in refused("init", "store", "--passphrase-file", "one", cwd=here)  # another identity's log
    assert not (here / "store").exists()


def head_of(log: Path) -> bytes:
    """Empty where it names no record yet."""
    try:
        head = head_path(log).read_bytes()
    except FileNotFoundError:
        return b""
    return b"" if head.startswith(b'{"n":0,') else head


def killed(*args: str, cwd: Path) -> None:
    """Such a command, killed when it has begun and asks for the new store's passphrase."""
    asked, never = os.pipe()
    words = ["--new-passphrase-fd" if args[0] == "import" else "--passphrase-fd", str(asked)]
    command = [sys.executable, "-m", "fastmix", "keys", *args, *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    log = log_path(cwd / args[-1 if args[0] == "init" else 2])
    ended = head_of(log)
    with subprocess.Popen(command, cwd=cwd, env=environment, pass_fds=[asked], stderr=subprocess.PIPE, text=True) as process:
        until(lambda: process.poll() is not None or head_of(log) not in (ended, b""))
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read()
    os.close(asked)
    os.close(never)


def test_a_killed_init_leaves_a_log_that_refuses_nobody(here: Path) -> None:
    """Its key is gone with the seed. The next identity has a log of its own, whose first record names the one before."""
    for _ in range(2):
        killed("init", "new", cwd=here)
        assert actions(here / "new.audit") == [("keys.init", "begun")]
        assert not (here / "new").exists()
    made = keys("init", "new", "--passphrase-file", "one", cwd=here)
    assert made.returncode == 0
    assert "never was; its log is kept as new.audit.unfinished-2" in made.stderr
    assert actions(here / "new.audit") == [("keys.init", "begun"), ("keys.init", "done")]
    assert json.loads((here / "new.audit").read_text().splitlines()[0])["unfinished_before"] == "new.audit.unfinished-2"
    assert done("audit", "new", "--passphrase-file", "one", cwd=here)["findings"] == []
    aside = ["new.audit.unfinished-1", "new.audit.unfinished-2"]
    assert sorted(path.name for path in here.glob("new.audit.un*")) == sorted([*aside, *(f"{name}.head" for name in aside)])


def test_a_killed_import(here: Path) -> None:
    """The same identity goes on with its log; another one's, where nothing was made, is set aside."""
    done("export", "store", "backup", "--passphrase-file", "one", "--new-passphrase-file", "two", cwd=here)
    words = ["import", "backup", "new", "--passphrase-file", "two"]
    killed(*words, cwd=here)
    assert actions(here / "new.audit") == [("keys.import", "begun")]
    done(*words, "--new-passphrase-file", "one", cwd=here)
    both = [("keys.import", outcome) for outcome in ("begun", "done")]
    assert actions(here / "new.audit") == [("keys.import", "begun"), *both]
    killed("init", "third", cwd=here)
    assert (
        "third.audit.unfinished-1"
        in keys("import", "backup", "third", *words[3:], "--new-passphrase-file", "one", cwd=here).stderr
    )
    assert actions(here / "third.audit") == both
    assert done("audit", "third", "--passphrase-file", "one", cwd=here)["findings"] == []


def test_a_failed_init_or_import_leaves_nothing(here: Path) -> None:
    done("export", "store", "backup", "--passphrase-file", "one", "--new-passphrase-file", "two", cwd=here)
    before = sorted(here.iterdir())
    refused("init", "new", "--passphrase-file", "none", cwd=here)
    words = ["import", "backup", "new", "--passphrase-file", "two"]
    refused(*words, "--new-passphrase-file", "none", cwd=here)
    assert sorted(here.iterdir()) == before
    (here / "store").unlink()
    refused("import", "backup", "store", *words[3:], "--new-passphrase-file", "none", cwd=here)
    assert actions(here / "store.audit")[-2:] == [("keys.import", "begun"), ("keys.import", "failed")]
    assert "nothing is added to it" in refused("init", "store", "--passphrase-file", "one", cwd=here)


def test_two_who_make_a_store_at_once(here: Path) -> None:
    """One of them does; the other's log is not taken for an unfinished one."""
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "fastmix", "keys", "init", "new", "--passphrase-file", "one"],
            cwd=here, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        process.communicate(timeout=60)
    assert sorted(process.returncode for process in both) == [0, 78]
    assert actions(here / "new.audit") == [("keys.init", "begun"), ("keys.init", "done")]
    assert done("audit", "new", "--passphrase-file", "one", cwd=here)["findings"] == []
    assert not list(here.glob("*.unfinished*"))


@pytest.mark.parametrize("command", [["init", "new"], ["passwd", "store"], ["export", "store", "backup"]], ids=lambda c: c[0])
def test_a_full_disk_leaves_the_old_state(here: Path, command: list[str]) -> None:
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    words = [*command, "--passphrase-file", "one", *(["--new-passphrase-file", "two"] if command[0] != "init" else [])]
    assert "cannot be written" in refused(*words, cwd=here, limit="ulimit -f 0;")
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["init", "new", "--kept-by", "pkcs11"], "give --pkcs11-module and --pkcs11-token"),
        (["init", "new", "--kept-by", "tpm", "--pcrs", "7;9"], "--pcrs 7;9: is no list of numbers"),
        (["audit", "store", "--noted", "3"], "--noted 3: is no head"),
        (["audit", "store", "--noted", "3:ab"], "--noted 3:ab: is no head"),
        (["init", "new", "--passphrase-fd", "-1"], "--passphrase-fd"),
        (["init"], "requires an argument"),
    ],
)
def test_wrong_usage(here: Path, args: list[str], words: str) -> None:
    assert words in refused(*args, cwd=here, code=2)
    assert not (here / "new").exists()
