#!/usr/local/bin/python3 -IS
"""Ask the sidecar in this container: exit code 0 if a GET of the path is answered 200, else 1.

For health checks that run inside: they reach a listener on loopback, and there is no curl.
Standard library only, and no proxy of the environment. The port is that of `SIDECAR_SERVER__PORT`
or `PORT`, else 8080; a port set in `sidecar.toml` alone is not known here.
"""

import http.client
import os
import sys

TIMEOUT = 4.0
"""Seconds; an orchestrator's own limit should be longer."""


def healthy(port: int, path: str) -> bool:
    """Whether the answer is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """The exit code."""
    port = os.environ.get("SIDECAR_SERVER__PORT") or os.environ.get("PORT") or "8080"
    return 0 if healthy(int(port), sys.argv[1]) else 1


if __name__ == "__main__":
    sys.exit(main())
