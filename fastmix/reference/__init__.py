"""Layer 1: the twins. Plain Python, one step a line, readable beside the RFC or the paper; never on the road.

Every kernel has a twin here that it is compared with byte for byte. The twins are not constant time and wipe nothing.
"""
