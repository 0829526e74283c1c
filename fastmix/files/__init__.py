"""Layer 0: what is read from and written to disk, with errors that name file, line, key, value and remedy.

Imports `fastmix.errors` and the standard library only.
"""
