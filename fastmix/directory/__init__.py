"""The directory: what nodes say of themselves, and the document of who is in the network that authorities sign.

Pure: bytes, times and keys are arguments. `records` are signed by nodes, `document` by k of n authorities, `layers` deals nodes
to layers, `succession` says which document follows which, `authority` makes the next one, `admission` says who may come in.
"""
