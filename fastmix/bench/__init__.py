"""The bench: what this machine makes of the kernels, and of a whole node between a load generator and a sink.

`fastmix bench kernels | node | table | latency | memory`. How it measures is in bench/README.md.
"""
