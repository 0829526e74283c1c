"""The control plane's channel: TLS 1.3 only, both ends with certificates of their own making, pinned to identities.

`certificate` makes them, `context` says which are trusted, `frames` cuts the stream into messages, `connection` says hello and
lets many questions share a channel, `server` bounds who comes, `pool` keeps a connection to each peer.
"""
