#!/usr/bin/env python3
"""SpotID's one command: `python3 spotid.py up` runs everything, `python3 spotid.py test` tests everything.

Needs nothing but Python 3.11 or newer. This file itself must be readable by much older Pythons, so that they
can say what is wrong instead of showing a syntax error.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python is exactly what this line is for
    sys.exit(
        "SpotID needs Python 3.11 or newer; this is Python %s (%s).\n"  # noqa: UP031
        "Install a newer one from https://www.python.org/downloads/ or your system's packages, and call it by name, "
        "for example: python3.12 spotid.py up" % (sys.version.split()[0], sys.executable)
    )

from launcher.cli import main

if __name__ == "__main__":
    sys.exit(main())
