"""What the doctor finds wrong, on a machine made of files."""

import os
from pathlib import Path
from typing import Any

from fake_host import NO_WRITING, make_host, write

from fastmix.config import MixnodeConfig
from fastmix.plan import plan_network
from fastmix.profile import load_profile
from fastmix.tune.doctor import Report, look_over
from fastmix.tune.host import Host


def report(host: Host, folder: Path, **settings: Any) -> Report:
    plan = plan_network([[("127.0.0.1", port)] for port in (9001, 9002, 9003)], 0).write(folder / "net")
    config = MixnodeConfig(number=0, network=plan.network.path, secret_file="s", state_dir="state", **settings)
    return look_over(load_profile("single-thread"), config, host)


def test_warnings_have_remedies(tmp_path: Path) -> None:
    found = report(make_host(tmp_path / "root"), tmp_path, replay_capacity=100_000_000)
    told = {each.problem.partition(":")[0]: each.remedy for each in found.warnings}
    assert told["pool and replay sets take 630 MB of the 572 MB that are free"].startswith("lower pool_slots")
    assert "grant the node CAP_NET_ADMIN" in told["receive_buffer is 8388608, but the kernel gives 212992 bytes at most"]
    assert told["net.core.rmem_max is 212992, wanted at least 8388608"] == "as root: fastmix tune apply single-thread"
    assert told["memory.swap is 1024 KiB, wanted none"].startswith("swapoff -a")
    assert told["limit.memlock is 65536, wanted at least 4194304"].startswith("`ulimit -l`")
    assert found.facts["cores"].endswith("of which the cgroup pays for 1.5")
    assert found.facts["cpu.governor"] == "powersave"


def test_buffers_do_not_matter_to_who_may_have_any(tmp_path: Path) -> None:
    host = make_host(tmp_path / "root")
    write(host.root, "proc/self/status", "CapEff:\t0000000000001000")
    told = " ".join(each.problem for each in report(host, tmp_path, pool_slots=1000).warnings)
    assert "mem_max" not in told
    assert "receive_buffer" not in told
    assert "pool and replay" not in told


def test_apply_is_not_promised_where_root_can_only_read(tmp_path: Path) -> None:
    host = make_host(tmp_path / "root")
    path = host.root / "proc/sys/net/core/rmem_max"
    path.unlink()
    os.symlink(NO_WRITING, path)
    told = [each.remedy for each in report(host, tmp_path).warnings if "net.core.rmem_max" in each.problem + each.remedy]
    assert told
    assert all(remedy.startswith("set it where this machine is made") for remedy in told)


def test_cores_that_are_not_there_or_named_twice(tmp_path: Path) -> None:
    found = report(make_host(tmp_path / "root"), tmp_path, workers=3, cores=(0, 0, 4095))
    told = {each.problem: each.remedy for each in found.warnings}
    assert told["cores names CPU 4095, which this process may not use, so the node does not start"].startswith("correct cores")
    assert told["cores names a CPU twice: its workers take turns there"] == "give each worker a CPU of its own"
