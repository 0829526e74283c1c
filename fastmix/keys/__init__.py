"""Keys of a node: the forward-secure chain of its mix keys, the slots of time that they live for, and how often they change.

Control's side; without Numba. Imports nothing by itself: the data plane takes `fastmix.keys.slots`, and nothing else.
"""
