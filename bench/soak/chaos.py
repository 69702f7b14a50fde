"""One thing after the other breaks, at random, and is repaired."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from support.fault_proxy import NONE, Fault, FaultProxy, answer

from bench.soak.parts import Parts

_ERROR = b'{"error": {"message": "boom", "type": "server_error", "code": "theirs"}}'
REDIS = {
    "black hole": Fault(black_hole=True),
    "half open": Fault(half_open=True),
    "slow": Fault(delay=0.2),
    "slices": Fault(slice=7),
    "garbage": Fault(instead=b"\0\1\2 EHLO\r\n"),
    "reset": Fault(reset_after=0),
}
PROVIDER = {
    "black hole": Fault(black_hole=True),
    "500": Fault(instead=answer("500 Internal Server Error", _ERROR, "application/json")),
    "slow": Fault(delay=0.3),
    "slices": Fault(slice=50),
    "garbage": Fault(instead=b"\0\1\2 EHLO\r\n\r\n"),
    "reset": Fault(reset_after=0),
    "cut": Fault(reset_after=600),
}
FEEDBACK = {
    "duplicate": Fault(duplicate=True),
    "reset": Fault(reset_after=0),
    "half open": Fault(half_open=True),
    "slices": Fault(slice=20),
}
KILL = "kill -9"
"""Four times as likely as each of the others."""
Action = Callable[[], Coroutine[Any, Any, None]]


class Chaos:
    """What goes wrong, and a count of it."""

    def __init__(self, parts: Parts, seed: int) -> None:
        self.now = ""
        """What is broken at the moment."""
        self.happened: Counter[str] = Counter()
        self._parts = parts
        self._chance = random.Random(f"chaos|{seed}")

    async def run(self, seconds: float, *, kills: bool) -> None:
        """For so long; all is repaired afterwards. `kills`: sidecars die too."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            faults = self._faults() | {KILL: self._killed}
            self.now = self._chance.choice([*sorted(faults.keys() - {KILL}), *[KILL] * 4 * kills])
            self.happened[self.now] += 1
            await faults[self.now]()
            self.now = ""
            await asyncio.sleep(self._chance.uniform(0.3, 1.5))

    def _faults(self) -> dict[str, Action]:
        parts = self._parts
        found: dict[str, Action] = {"Redis frozen": self._frozen}
        places = (("Redis", REDIS, [parts.redis]), ("provider", PROVIDER, [parts.provider]))
        for name, faults, proxies in (*places, ("feedback", FEEDBACK, parts.fleet.doors)):
            found[f"{name} refuse"] = lambda proxies=proxies: self._refused(proxies)
            for what, fault in faults.items():
                found[f"{name} {what}"] = lambda proxies=proxies, fault=fault: self._broken(
                    proxies, fault
                )
        return found

    async def _while(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.5, 2.0))

    async def _broken(self, proxies: list[FaultProxy], fault: Fault) -> None:
        for proxy in proxies:
            proxy.fault = fault
        try:
            await self._while()
        finally:
            for proxy in proxies:
                proxy.fault = NONE

    async def _refused(self, proxies: list[FaultProxy]) -> None:
        for proxy in proxies:
            await proxy.refuse()
        try:
            await self._while()
        finally:
            for proxy in proxies:
                await proxy.listen()

    async def _frozen(self) -> None:
        self._parts.server.freeze()
        try:
            await self._while()
        finally:
            self._parts.server.thaw()

    async def _killed(self) -> None:
        await asyncio.sleep(1.0)  # what the last fault held up is written
        replica = self._chance.choice(self._parts.fleet.up).replica
        await self._parts.fleet.kill(replica)
        await self._parts.fleet.begin(replica)
