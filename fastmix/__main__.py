"""`python -m fastmix` is the command `fastmix`."""

import sys

from fastmix.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
