"""Undoing a content encoding, never to more than a given size."""

import zlib

_GZIP = 16 + zlib.MAX_WBITS


def decoded(data: bytes, encoding: str, limit: int) -> bytes | None:
    """The plain bytes, or None when they are encoded in a way we do not read, broken, or more than
    `limit`."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return data if len(data) <= limit else None
    if name in {"gzip", "x-gzip"}:
        return _inflate(data, _GZIP, limit)
    if name == "deflate":
        # The standard means the zlib format; some senders mean the bare stream.
        plain = _inflate(data, zlib.MAX_WBITS, limit)
        return _inflate(data, -zlib.MAX_WBITS, limit) if plain is None else plain
    return None


def _inflate(data: bytes, window: int, limit: int) -> bytes | None:
    inflater = zlib.decompressobj(window)
    try:
        plain = inflater.decompress(data, limit + 1)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data
    return plain if whole and len(plain) <= limit else None
