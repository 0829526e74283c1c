"""Datagrams: the sockets of a node or client, and their stand-in in memory. The only package that makes packet system calls."""
