"""`fastmix demo`, from its options to its exit code."""

import asyncio
import contextlib
import json
import signal
import sys

from fastmix.demo.course import Course, Screen, relayed_nodes
from fastmix.demo.options import DemoOptions
from fastmix.demo.results import Results
from fastmix.demo.screen import make_screen, print_results
from fastmix.demo.site import Site
from fastmix.errors import ConfigError

TERMINATED = 128 + signal.SIGTERM


def run(options: DemoOptions) -> int:
    """Runs the demo; prints what it came to. 0 only if every message arrived unchanged and every packet is accounted for."""
    if options.file is not None:
        try:
            options.file.open("rb").close()
        except OSError as error:
            raise ConfigError(f"--file {options.file}: cannot be read: {error.strerror}") from None
    try:
        results = asyncio.run(perform(options))
    except asyncio.CancelledError:
        return TERMINATED
    if options.json:
        print(json.dumps(results.to_dict(), indent=2))
    else:
        print_results(results)
    return 0 if results.good() else 1


async def perform(options: DemoOptions) -> Results:
    """The whole run, with nothing left behind."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with Site(options, relayed_nodes()) as site, contextlib.ExitStack() as stack:
        warning = site.warning()
        if warning:
            print(f"fastmix: {warning}", file=sys.stderr)
        screen: Screen = stack.enter_context(make_screen(options))
        course = Course(options, site, screen)
        try:
            return await course.run()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what follows is short, and must not be cut
            course.close()
