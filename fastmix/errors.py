"""The errors that fastmix raises.

FastmixError
 ├─ ConfigError          a file or an argument is wrong; the text names thing, value and remedy
 ├─ NetworkFailure       a socket or a peer failed
 ├─ CryptoError          a key, a signature or a sealed file is wrong
 │   └─ KeyStoreError    a file of keys, its passphrase, token or TPM; the text names file, problem and remedy
 ├─ BatchTimeout         a message was not acknowledged before its deadline
 ├─ KeyRotationFailed    a rotation could not be finished
 └─ ResourceExhausted    memory, disk, ports or a bounded table ran out
"""


class FastmixError(Exception):
    """Root of all errors of fastmix."""


class ConfigError(FastmixError):
    """A configuration value, a network file or an argument is wrong."""


class NetworkFailure(FastmixError):
    """A socket could not be opened or a peer could not be reached."""


class CryptoError(FastmixError):
    """A key, a signature or a sealed file is wrong. Never carries key material."""


class KeyStoreError(CryptoError):
    """A file of keys cannot be used: the text names the file, what is wrong with it and what to do."""


class BatchTimeout(FastmixError):
    """A message was not acknowledged before its deadline."""


class KeyRotationFailed(FastmixError):
    """A key rotation could not be finished; the old keys stay in use."""


class ResourceExhausted(FastmixError):
    """Memory, disk, ports or a bounded table ran out."""
