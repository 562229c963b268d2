"""Ports of 127.0.0.1."""

import socket
import sys


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port now. Raises PermissionError for a port that we may not use."""
    with socket.socket() as probe:
        if sys.platform != "win32":
            # A port whose last connections are still being closed is free for a server.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except PermissionError:
            raise
        except OSError:
            return False
    # Some systems allow a second server on 127.0.0.1 beside one on all addresses.
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
