"""What settings must be like together, in words a person can act on.

`wrong` stops the start. `doubtful` is said and served anyway, because it may be meant: a route can
name a session that is created later over the API.
"""

import ipaddress
import os
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from sidecar.core.ids import is_session_id
from sidecar.engine.algorithms import parse
from sidecar.errors import InvalidRequest
from sidecar.loading.complaint import Complaint
from sidecar.loading.source_rules import doubtful_sources, wrong_sources
from sidecar.settings import SessionSettings, Settings

_REDIS_OPTIONS = {"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
"""What the URL of a Redis server may say after its '?'. Certificates are always verified."""
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def wrong(settings: Settings) -> Iterator[Complaint]:
    """Everything for which we do not start."""
    yield from _server(settings)
    yield from _provider(settings)
    yield from _backend(settings)
    yield from _store(settings)
    yield from wrong_sources(settings, _may_be_open(settings))
    yield from _feedback(settings)
    yield from _routes(settings)
    yield from _sessions(settings)


def doubtful(settings: Settings) -> Iterator[Complaint]:
    """Everything that is worth a warning."""
    ids = {session.id for session in settings.sessions}
    remote = settings.backend.kind == "remote"
    yield from _doubtful_backend(settings)
    for i, route in enumerate(settings.routes):
        if route.session not in ids and not remote:
            yield Complaint(
                f"routes.{i}.session",
                f"no session {route.session!r} is configured; until one is created over the API, "
                "its calls pass through untouched",
            )
    yield from _plain_redis(settings)
    yield from doubtful_sources(settings)
    if settings.feedback.cors_origins and not settings.feedback.tokens:
        yield Complaint(
            "feedback.cors_origins",
            "pages cannot keep a key secret; feedback.tokens = true lets them do without one",
        )
    key = settings.provider.api_key or settings.engine.proposer_api_key
    if settings.sessions and key is None and not remote:
        yield Complaint(
            "provider.api_key",
            "not set, so no new prompts can be proposed; set OPENAI_API_KEY, or "
            "engine.proposer_api_key",
        )
    for i, session in enumerate(settings.sessions):
        for name in session.wildcards:
            if session.baseline and f"{{{name}}}" not in session.baseline:
                yield Complaint(
                    f"sessions.{i}.wildcards.{name}", f"{{{name}}} does not occur in the baseline"
                )


def _plain_redis(settings: Settings) -> Iterator[Complaint]:
    if settings.store.kind == "redis" and settings.store.url is not None:
        parts = urlsplit(settings.store.url.get_secret_value())
        if parts.scheme == "redis" and not is_loopback(parts.hostname or ""):
            yield Complaint(
                "store.url",
                "conversations and the password travel to another machine in the clear; "
                "rediss:// encrypts them",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _server(settings: Settings) -> Iterator[Complaint]:
    server = settings.server
    if not is_loopback(server.host) and not server.api_keys and not server.allow_open:
        yield Complaint(
            "server.host",
            f"{server.host!r} is reachable from other machines, and no key protects the session "
            "API and feedback; set server.api_keys (SIDECAR_SERVER__API_KEYS), listen on "
            "127.0.0.1, or say server.allow_open = true",
            ("server.api_keys", "server.allow_open"),
        )
    if any(not key.get_secret_value().strip() for key in server.api_keys):
        yield Complaint("server.api_keys", "an empty key; leave it out")
    if server.public_url:
        yield from _url("server.public_url", server.public_url)


def _may_be_open(settings: Settings) -> bool:
    return is_loopback(settings.server.host) or settings.server.allow_open


def _provider(settings: Settings) -> Iterator[Complaint]:
    provider = settings.provider
    yield from _url("provider.base_url", provider.base_url)
    if _is_us(settings, provider.base_url):
        yield Complaint(
            "provider.base_url",
            f"{provider.base_url!r} is this sidecar itself, so every call would go round in "
            "circles; OPENAI_BASE_URL belongs in the application's environment, not here",
            ("server.port",),
        )
    if provider.key_mode == "replace" and provider.api_key is None:
        yield Complaint(
            "provider.key_mode",
            "'replace' needs a key to put in: set provider.api_key (OPENAI_API_KEY)",
            ("provider.api_key",),
        )
    if settings.engine.proposer_base_url:
        yield from _url("engine.proposer_base_url", settings.engine.proposer_base_url)
    if settings.jobs.interceptor_url:
        yield from _url("jobs.interceptor_url", settings.jobs.interceptor_url)


def _backend(settings: Settings) -> Iterator[Complaint]:
    backend = settings.backend
    if backend.kind == "remote" and not backend.url:
        yield Complaint(
            "backend.url",
            "backend.kind is 'remote', so it needs the address of the backend",
            ("backend.kind",),
        )
    if backend.url:
        yield from _url("backend.url", backend.url)
    if backend.url and _is_us(settings, backend.url):
        yield Complaint(
            "backend.url",
            f"{backend.url!r} is this sidecar itself; the backend must be another one",
            ("server.port",),
        )
    for i, origin in enumerate(backend.allowed_origins):
        yield from _origin(f"backend.allowed_origins.{i}", origin)
    key = backend.api_key.get_secret_value() if backend.api_key else "key"
    if not (key.isascii() and key.isprintable() and " " not in key.strip()):
        yield Complaint("backend.api_key", "holds characters that no header can carry")


def _doubtful_backend(settings: Settings) -> Iterator[Complaint]:
    backend = settings.backend
    if backend.kind == "embedded" and backend.url:
        yield Complaint(
            "backend.url", "is not used while backend.kind is 'embedded'; say 'remote' to use it"
        )
    parts = urlsplit(backend.url)
    if backend.api_key and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield Complaint("backend.url", "the backend's key travels unencrypted; use https://")


def _origin(name: str, origin: str) -> Iterator[Complaint]:
    complaints = list(_url(name, origin))
    yield from complaints
    if not complaints and urlsplit(origin).path not in {"", "/"}:
        yield Complaint(name, "is more than an origin; needs only https://host, without a path")


def _is_us(settings: Settings, url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return False
    host = parts.hostname or ""
    local = is_loopback(host) or host in {"0.0.0.0", "::"}  # noqa: S104  # to recognise it
    return local and port == settings.server.port != 0


def _url(name: str, url: str) -> Iterator[Complaint]:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port out of range
    except ValueError:
        yield Complaint(name, "is not a URL; needs one like https://api.openai.com/v1")
        return
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield Complaint(name, "needs http:// or https:// and a host")
    elif parts.username is not None or parts.password is not None:
        yield Complaint(name, "holds a user or password; keys belong in the api_key settings")
    elif parts.query or parts.fragment:
        yield Complaint(name, "must end with its path; a '?' or '#' cannot be extended")


def _store(settings: Settings) -> Iterator[Complaint]:
    if settings.store.kind == "redis":
        yield from _redis(settings)
        if not _PREFIX.fullmatch(settings.store.prefix):
            yield Complaint("store.prefix", "needs 1 to 64 of the characters A-Z a-z 0-9 _ . : -")
    elif settings.store.kind == "sqlite":
        yield from _store_file(settings)


def _store_file(settings: Settings) -> Iterator[Complaint]:
    path = settings.store.path
    if path.is_dir():
        yield Complaint("store.path", f"'{path}' is a directory; needs a file's name")
    elif not path.parent.is_dir():
        yield Complaint("store.path", f"the directory '{path.parent}' does not exist; create it")
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        yield Complaint("store.path", f"'{path}' cannot be written by this user")


def _redis(settings: Settings) -> Iterator[Complaint]:
    """What is said of the URL never quotes it: it may hold a password."""
    name, example = "store.url", "one like redis://host:6379/0"
    if settings.store.url is None:
        yield Complaint(
            name,
            f"is missing; store.kind 'redis' needs {example} (SIDECAR_STORE__URL or REDIS_URL)",
            ("store.kind",),
        )
        return
    try:
        parts = urlsplit(settings.store.url.get_secret_value())
        _ = parts.port  # raises for a port out of range
    except ValueError:
        yield Complaint(name, f"is not a URL; needs {example}")
        return
    options = {option for option, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.scheme not in {"redis", "rediss", "unix"}:
        yield Complaint(name, "needs redis://, rediss:// (TLS) or unix://")
    elif parts.scheme == "unix" and not parts.path.strip("/"):
        yield Complaint(name, "needs the socket's path after unix://")
    elif parts.scheme != "unix" and not parts.hostname:
        yield Complaint(name, f"needs a host, {example}")
    elif parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", parts.path):
        yield Complaint(name, "must end with the number of a database, or with the host")
    elif parts.fragment:
        yield Complaint(name, "holds a '#'; in a password it is written %23")
    elif odd := sorted(options - _REDIS_OPTIONS):
        allowed = ", ".join(sorted(_REDIS_OPTIONS))
        yield Complaint(name, f"has options that cannot be set ({len(odd)}); only {allowed} can")


def _feedback(settings: Settings) -> Iterator[Complaint]:
    for i, origin in enumerate(settings.feedback.cors_origins):
        yield from _origin(f"feedback.cors_origins.{i}", origin)


def _routes(settings: Settings) -> Iterator[Complaint]:
    for i, route in enumerate(settings.routes):
        if "*" in route.model[:-1]:
            yield Complaint(f"routes.{i}.model", "a '*' may only stand at the end")
        if route.api_key_sha256 and not _SHA256.fullmatch(route.api_key_sha256.lower()):
            yield Complaint(
                f"routes.{i}.api_key_sha256", "needs the 64 hex digits of the key's SHA-256"
            )


def _sessions(settings: Settings) -> Iterator[Complaint]:
    counts = Counter(session.id for session in settings.sessions)
    seen: set[str] = set()
    for i, session in enumerate(settings.sessions):
        at = f"sessions.{i}"
        if session.id in seen:
            yield Complaint(f"{at}.id", f"{session.id!r} is used {counts[session.id]} times")
        seen.add(session.id)
        if not is_session_id(session.id) or session.id == "v1":
            yield Complaint(
                f"{at}.id", "needs 1 to 64 of the characters A-Z a-z 0-9 _ . - (and not 'v1')"
            )
        if settings.backend.kind == "remote":
            yield from _remote_prompt(at, session)
        else:
            yield from _prompt(at, session)


def _remote_prompt(at: str, session: SessionSettings) -> Iterator[Complaint]:
    """What a remote backend makes of the configuration is its own to say; and a session that it
    has already needs none."""
    if session.baseline and session.baseline_file is not None:
        yield Complaint(at, "has both baseline and baseline_file; keep one")
    elif session.baseline_file is not None:
        yield from _file(at, session)


def _prompt(at: str, session: SessionSettings) -> Iterator[Complaint]:
    given = [bool(session.baseline), session.baseline_file is not None]
    if "initial_prompt" not in session.config and sum(given) != 1:
        what = "has both baseline and baseline_file; keep one" if all(given) else (
            "needs the system prompt you use today: baseline, baseline_file or "
            "config.initial_prompt"
        )  # fmt: skip
        yield Complaint(at, what)
        return
    try:
        parse(session.config_body(), session.algorithm)
    except InvalidRequest as error:
        field = (error.param or "").removeprefix("config_body.prompt_learning").lstrip(".")
        yield Complaint(".".join(filter(None, (at, "config", field))), str(error))
    except (OSError, UnicodeError):
        yield from _file(at, session)


def _file(at: str, session: SessionSettings) -> Iterator[Complaint]:
    """Whether the file with the baseline can be read."""
    try:
        session.config_body()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        yield Complaint(
            f"{at}.baseline_file", f"'{session.baseline_file}' cannot be read: {reason}"
        )
