"""Secrets with known bytes, in locked memory."""

from fastmix.keys._chain import LockedBytes


def locked(data: bytes) -> LockedBytes:
    """These bytes."""
    secret = LockedBytes(len(data))
    secret.view[:] = data
    return secret
