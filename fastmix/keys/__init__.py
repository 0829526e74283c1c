"""Keys of a node: the forward-secure chain of its mix keys, the slots of time that they live for, how often they change; and the
encrypted identity (`hierarchy`, `store`), what keeps it (`wrapping`, `pkcs11`, `tpm`) and its audit log.

Control's side; without Numba. Imports nothing by itself: the data plane takes `fastmix.keys.slots`, and nothing else.
"""
