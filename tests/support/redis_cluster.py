"""A real cluster of three nodes, each with a third of the keys."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.redis_server import START_SECONDS, RedisServer, running

NODES = 3
SLOTS = 16384


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of one of the nodes while the block runs."""
    ports, buses = free_ports(NODES), free_ports(NODES)
    with ExitStack() as stack:
        nodes = []
        for place, (port, bus) in enumerate(zip(ports, buses, strict=True)):
            home = folder / f"node-{place}"
            home.mkdir()
            options = ("--port", str(port), "--cluster-port", str(bus), "--cluster-enabled", "yes")
            nodes.append(stack.enter_context(running(home, *options)))
            say(nodes[-1], "CLUSTER ADDSLOTSRANGE", *share(place))
        for port, bus in zip(ports[1:], buses[1:], strict=True):
            say(nodes[0], "CLUSTER MEET", "127.0.0.1", port, bus)
        wait_until_whole(nodes)
        yield f"redis://127.0.0.1:{ports[0]}"


def share(place: int) -> tuple[int, int]:
    """First and last slot of a node."""
    return place * SLOTS // NODES, (place + 1) * SLOTS // NODES - 1


def say(node: RedisServer, *command: object) -> object:
    with node.client() as client:
        return client.execute_command(*command)


def wait_until_whole(nodes: list[RedisServer]) -> None:
    end = time.monotonic() + START_SECONDS
    whole = {"cluster_state": "ok", "cluster_known_nodes": str(NODES), "cluster_size": str(NODES)}
    while not all(whole.items() <= say(node, "CLUSTER INFO").items() for node in nodes):
        assert time.monotonic() < end, "the nodes do not find each other"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
