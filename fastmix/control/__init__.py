"""The control plane: keys, counters and the commands to a running node. Never touches a packet."""
