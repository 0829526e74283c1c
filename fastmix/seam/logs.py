"""Where a process of a node logs: lines on standard error, with the node's and the process's name; and how it tells its owner.

Set up once in each process. Code logs by `logging.getLogger(__name__)`, with fields as `extra`, or by `structlog.get_logger()`:
both come out alike, in the form that the configuration names. Bytes are never shown, for they may be of a key; control
characters, which could forge lines, are escaped.
"""

import json
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level

Event = MutableMapping[str, Any]
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
FIRST = ("timestamp", "level", "node", "process", "event", "exception")
"""What a line on a console has in places of their own."""


def configure_logs(level: str, node_id: str, process: str, form: str = "console") -> None:
    """One handler for the whole process. `form`: `console`, lines for people, or `json`, an object a line."""

    def named(_logger: object, _method: str, event: Event) -> Event:
        return {**event, "node": node_id, "process": process}

    utc = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [add_log_level, ExtraAdder(), named, utc, without_bytes]
    renderer = json_line if form == "json" else console_line
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, renderer],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def without_bytes(_logger: object, _method: str, event: Event) -> Event:
    """No bytes, in whatever field: they may be of a key."""
    return {name: shown(value) for name, value in event.items()}


def shown(value: object) -> object:
    """Bytes by their number; anything else as it is."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return value


def json_line(_logger: object, _method: str, event: Event) -> str:
    """One JSON object."""
    return orjson.dumps(dict(event), default=str).decode()


def console_line(_logger: object, _method: str, event: Event) -> str:
    """`2026-01-31 12:00:00.123456Z INFO    mix-001 control: words name=value`, and then an exception's lines."""
    at = str(event["timestamp"]).replace("T", " ")
    rest = "".join(f" {name}={value}" for name, value in event.items() if name not in FIRST)
    head = f"{at} {event['level'].upper():7} {event['node']} {event['process']}: {event['event']}{rest}"
    told = CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), head)
    return f"{told}\n{event['exception']}" if event.get("exception") else told


def tell_owner(owner_fd: int | None, error: Exception) -> None:
    """Sends the error that ends the node to the program that started it, if one did."""
    if owner_fd is not None:
        os.write(owner_fd, json.dumps({"error": str(error), "kind": type(error).__name__}).encode() + b"\n")
