"""Several machines on one: hosts in network namespaces, what passes between them, and a mix network on them.

- `namespace.py`: a network namespace without a name, which ends with its last user.
- `lan.py`: `Lan`, hosts with addresses of their own around a router; silent cuts between them.
- `capture.py`: `Capture`, every datagram between the hosts, in a pcap file.
- `fleet.py`: `Fleet`, nodes and clients on hosts; how a node is started is one function of it, `Fleet.launch`.
- `layout.py`, `static.py`, `forming.py`: a network whose file was written beforehand, or one that forms by itself.
- `ledger.py`: `Ledger`, what became of every message that the clients sent, and since when all arrive again.
- `site.py`: all of it together, and the report. `failing.py`: drills in which something fails.
- `signs.py`: what can be read in frames without keys.
"""
