"""What a server says about itself: whether it answers, and how it keeps what it is told."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import BusyLoadingError, ReadOnlyError, ResponseError

Client = Redis | RedisCluster


@dataclass(frozen=True, slots=True)
class Health:
    """How what was acknowledged fares on this server."""

    durable: bool = False
    """Whether it is written to a file before, or soon after, it is acknowledged (AOF)."""
    fsync: str = ""
    """When that file is forced onto the disk: `always`, `everysec` or `no`; empty when the server
    does not tell."""
    evicts: bool = False
    """Whether a server that is short of memory drops what it likes."""


async def is_cluster(client: Redis) -> bool:
    """Whether the server is one node of a cluster."""
    return any(facts.get("cluster_enabled") for facts in await _info(client, "cluster"))


async def is_durable(client: Client) -> bool:
    """Whether all who keep data write it to their files."""
    return _durable(await _info(client, "persistence"))


async def look(client: Client) -> Health:
    """Ask all who keep data. Raises what redis-py raises when one of them does not answer, or does
    so without being able to keep anything yet."""
    await client.ping(**_everywhere(client))
    nodes = await _info(client, "persistence")
    if any(node.get("loading") or node.get("async_loading") for node in nodes):
        raise BusyLoadingError("it is reading its files")
    if any(node.get("role") == "slave" for node in await _info(client, "replication")):
        raise ReadOnlyError("it is a copy of another server, and takes no writes")
    memory = await _info(client, "memory")
    return Health(
        durable=_durable(nodes),
        fsync=await _fsync(client),
        evicts=any(node.get("maxmemory_policy", "noeviction") != "noeviction" for node in memory),
    )


def _durable(nodes: Sequence[Mapping[str, Any]]) -> bool:
    return bool(nodes) and all(node.get("aof_enabled") for node in nodes)


async def _info(client: Client, section: str) -> list[dict[str, Any]]:
    """What every node says in a section; empty when we are not allowed to ask."""
    with contextlib.suppress(ResponseError):
        facts: dict[str, Any] = await client.info(section, **_everywhere(client))
        several = facts and all(isinstance(of_node, dict) for of_node in facts.values())
        return list(facts.values()) if several else [facts]
    return []


async def _fsync(client: Client) -> str:
    with contextlib.suppress(ResponseError):
        found = await client.config_get("appendfsync")
        return str(found.get("appendfsync", ""))
    return ""


def _everywhere(client: Client) -> dict[str, str]:
    return {"target_nodes": RedisCluster.PRIMARIES} if isinstance(client, RedisCluster) else {}
