"""The demo: a whole mix network on one machine, each node and client a process of its own, with real messages through it."""
