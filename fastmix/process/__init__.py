"""The processes of a node: parent (sockets, no keys), data plane (forked), control (executed)."""
