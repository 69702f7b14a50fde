"""`sidecar sign`: a signed test call to a feedback source, shown or sent.

It uses the source's own secret and never shows it. Where the secret itself would travel, it is sent
to the address in the settings only.
"""

import argparse
import secrets
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import orjson

from sidecar.client.http import send
from sidecar.client.wire import Request
from sidecar.commands.output import dump
from sidecar.commands.remote import address, named
from sidecar.commands.settings import settings_of
from sidecar.errors import InvalidRequest, NotFound
from sidecar.feedback.signatures.verifier import Verifier
from sidecar.loading.read import MASK
from sidecar.settings import Settings, SourceSettings

_TIMEOUT = 30.0
_GOOD = range(200, 300)
_STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class _Call:
    """A delivery of our own making."""

    url: str
    own: dict[str, str]
    """Headers that anybody may see."""
    proof: dict[str, str]
    body: bytes
    file: str
    secret_travels: bool

    def shown(self) -> dict[str, str]:
        """All headers, without a secret among them."""
        proof = dict.fromkeys(self.proof, MASK) if self.secret_travels else self.proof
        return self.own | proof


def sign(arguments: argparse.Namespace, out: TextIO) -> int:
    """Carry out `sidecar sign`; 1 when what was sent was not taken."""
    settings = settings_of(arguments).settings
    call = _call(arguments, settings, _source(settings, arguments.source))
    if not arguments.send:
        _show(arguments, call, out)
        return 0
    if call.secret_travels and named(arguments):
        raise InvalidRequest(
            "this source is sent the secret itself, which goes to the address in the settings "
            "only; leave --url and SIDECAR_URL out"
        )
    answer = send(Request("POST", call.url, call.own | call.proof, call.body, _TIMEOUT))
    text = answer.body.decode("utf-8", "replace")
    if arguments.json:
        dump(out, {"url": call.url, "status": answer.status, "body": _json_or(text)})
    else:
        out.write(f"{answer.status} {answer.reason}\n{text}\n")
    return 0 if answer.status in _GOOD else 1


def _source(settings: Settings, name: str) -> SourceSettings:
    for source in settings.sources:
        if source.name == name:
            return source
    known = ", ".join(source.name for source in settings.sources) or "none"
    raise NotFound(f"no source is called {name!r}; configured: {known}")


def _call(arguments: argparse.Namespace, settings: Settings, source: SourceSettings) -> _Call:
    """The call. Raises `InvalidRequest` for a key that cannot sign, `OSError` for the file."""
    body = _read(arguments.file)
    verifier = Verifier.of(source)
    delivery_id = arguments.id or f"msg_{secrets.token_hex(12)}"
    try:
        proof = verifier.sign(body, time.time(), delivery_id)
    except ValueError as error:
        raise InvalidRequest(f"source {source.name!r} cannot sign: {error}") from None
    own = {"content-type": "application/json"} | dict(map(_header, arguments.header or ()))
    base = named(arguments) or address(settings.server)
    return _Call(
        f"{base.rstrip('/')}/feedback/{source.name}",
        {name: value for name, value in own.items() if name not in proof},
        proof,
        body,
        arguments.file,
        verifier.scheme.sends_secret,
    )


def _read(file: str) -> bytes:
    if file == _STANDARD_INPUT:
        return sys.stdin.buffer.read()
    return Path(file).read_bytes()


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip() and text.isprintable()):
        raise InvalidRequest("--header needs the form 'Name: value'")
    return name.strip().lower(), value.strip()


def _show(arguments: argparse.Namespace, call: _Call, out: TextIO) -> None:
    command = _curl(call)
    if arguments.json:
        dump(out, {"url": call.url, "headers": call.shown(), "curl": command})
        return
    out.writelines(f"{name}: {value}\n" for name, value in call.shown().items())
    out.write(f"\n{command}\n")
    if call.secret_travels:
        out.write("\nThe secret itself is sent, so it is not shown; --send sends it.\n")


def _curl(call: _Call) -> str:
    parts = ["curl", call.url, "--data-binary", f"@{call.file}"]
    for name, value in call.shown().items():
        parts += ["-H", f"{name}: {value}"]
    return shlex.join(parts)


def _json_or(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
