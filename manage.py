#!/usr/bin/env python
"""Django's command line. `python3 spotid.py manage …` calls it with the database running."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotid_site.settings")
    # Work is spread over processes. Threads of each that wait for one another by spinning made it four times slower on
    # two busy cores; training sets its own number.
    for name, value in (("OMP_WAIT_POLICY", "PASSIVE"), ("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")):
        os.environ.setdefault(name, value)
    # onnxruntime otherwise keeps a device id and a queue of reports in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
