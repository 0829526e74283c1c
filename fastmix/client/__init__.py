"""Leaf of the network: sends messages of up to 1 MiB, receives them, and answers anonymously.

`Client` (client.py) is the asyncio face. Below it everything is a state machine that is given time, randomness and packets
(`session.py`): `outbox.py` and `inbox.py` are the two ends of a message, `fragments.py` its bytes (docs/wire-format.md,
section 9), `surbs.py` the blocks for answers, `routes.py` the ways, `packets.py` the batched building; `wire.py` has the links.
"""

from fastmix.client.address import Address
from fastmix.client.client import Client
from fastmix.client.events import Message, Sent
from fastmix.client.fragments import MAX_REPLY_SURBS, MESSAGE_LIMIT

__all__ = ["MAX_REPLY_SURBS", "MESSAGE_LIMIT", "Address", "Client", "Message", "Sent"]
