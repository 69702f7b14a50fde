"""The real sidecar in a process of its own: started with settings by environment, asked over its
socket, ended by signals.

Importing takes most of a start, so a test that restarts many times has its processes forked from a
nursery: an interpreter that has imported everything, holds no sidecar, and forks one for each line
it is sent. What is forked runs the same `serve` command.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
STOP_SECONDS = 60.0
_URL = re.compile(r"^sidecar: listening on (http://\S+)$", re.MULTILINE)


@dataclass
class Process:
    """A running sidecar."""

    pid: int
    url: str
    log: Path
    started_in: float
    """Seconds from its start until it listened."""
    child: subprocess.Popen[bytes] | None = None
    nursery: "Nursery | None" = None

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """The exit code (negative: the signal that ended it)."""
        async with asyncio.timeout(seconds):
            if self.child is not None:
                return await asyncio.to_thread(self.child.wait)
            assert self.nursery is not None
            return (await asyncio.to_thread(self.nursery.ask, {"wait": self.pid}))["code"]

    async def kill(self) -> None:
        """End it as `kill -9` does; gone when this returns."""
        self.signal(signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL

    @property
    def said(self) -> str:
        """Everything it wrote."""
        return self.log.read_text(encoding="utf-8")


def environment(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings by dotted name as variables; nothing of this process's own."""
    ours = {
        "server.port": 0,
        "store.path": folder / "sidecar.db",
        "log.level": "info",
        **settings,
    }
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {
        **plain,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **{"SIDECAR_" + k.upper().replace(".", "__"): _text(v) for k, v in ours.items()},
    }


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


class Nursery:
    """Forks sidecars on demand."""

    def __init__(self, folder: Path) -> None:
        with (folder / "nursery.log").open("ab") as log:
            self._parent = subprocess.Popen(  # one write and one line back at a time
                [sys.executable, "-W", "error", "-m", "support.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(folder, {}),
            )
        self._answer()  # it has imported everything: from now on, what takes time is the sidecar

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._parent.stdout is not None
        return json.loads(self._parent.stdout.readline())

    def close(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.stdout.close()
        self._parent.wait(STOP_SECONDS)


@contextlib.contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """A nursery, closed afterwards."""
    made = Nursery(folder)
    try:
        yield made
    finally:
        made.close()


async def spawn(
    folder: Path,
    settings: Mapping[str, Any],
    parent: Nursery | None = None,
    *,
    within: Sequence[str] = (),
) -> Process:
    """`python -m sidecar serve` with these settings, which has only just begun. `within`: a command
    that runs the one that follows its own words."""
    env = environment(folder, settings)
    log = folder / f"sidecar-{time.monotonic()}.log"
    if parent is not None:
        answer = await asyncio.to_thread(parent.ask, {"log": str(log), "env": env})
        return Process(answer["pid"], "", log, 0.0, nursery=parent)
    with log.open("ab") as out:
        command = [*within, sys.executable, "-W", "error", "-m", "sidecar", "serve"]
        child = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=folder
        )
    return Process(child.pid, "", log, 0.0, child=child)


async def start(
    folder: Path, settings: Mapping[str, Any], parent: Nursery | None = None
) -> Process:
    """The same, once it listens."""
    began = time.monotonic()
    process = await spawn(folder, settings, parent)
    log = process.log
    async with asyncio.timeout(START_SECONDS):
        while not (found := _URL.search(process.said if log.exists() else "")):
            assert _alive(process), f"it did not start: {process.said}"
            await asyncio.sleep(0.01)
    process.url, process.started_in = found[1], time.monotonic() - began
    return process


def _alive(process: Process) -> bool:
    return process.child is None or process.child.poll() is None


@contextlib.asynccontextmanager
async def serving(
    folder: Path, settings: Mapping[str, Any], parent: Nursery | None = None
) -> AsyncIterator[Process]:
    """A sidecar that is killed at the end if it still runs."""
    process = await start(folder, settings, parent)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.signal(signal.SIGKILL)
        if process.child is not None:
            process.child.wait()


# -- in the nursery's own process ----------------------------------------------------------------


def _fork(log: str, env: Mapping[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for own, given in ((0, nothing), (1, out), (2, out)):
        os.dup2(given, own)
    os.environ.clear()
    os.environ.update(env)
    from sidecar.cli import main  # noqa: PLC0415 - only what is forked serves

    try:
        os._exit(main(["serve"]))
    finally:
        os._exit(70)


def _nurse() -> None:
    import_module("sidecar.app")  # what takes long
    import_module("sidecar.commands.serve")
    import_module("sidecar.store.redis.store")
    _say({})
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            answer = {"pid": _fork(request["log"], request["env"])}
        _say(answer)


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _nurse()
