"""The seam: all that the processes of a node share, in shared memory. Known to both planes; imports only `fastmix.packet`.

Three one-way objects: `Snapshot` (control → data plane: keys and links, swapped whole), `CounterPage` (data plane → control) and
`Command` (anyone → data plane: drain, mixing).
"""
