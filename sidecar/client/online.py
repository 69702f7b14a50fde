"""Online sessions for applications, with the methods and arguments of the published client.

Every method has two forms that send the same request: `status` waits in its thread, whether an
event loop runs there or not, and `status_async` is awaited.
"""

import asyncio
from typing import Any, ClassVar, Self, Unpack, cast

from sidecar.client.errors import ApiError
from sidecar.client.http import Connections, send
from sidecar.client.payloads import Connection, NewSession, RewardUpdate, create_body, reward_body
from sidecar.client.target import Target, segment
from sidecar.client.wire import Request, record


class OnlineSession:
    """A session on a server. Made by `create`, or around the id of one that exists, without a
    request. Raises `ConfigError` before anything is sent, `ApiError` when the server refuses, does
    not answer, or answers with something else.

    As an async context it keeps its connection from one awaited call to the next. There is nothing
    to close otherwise.
    """

    _algorithm: ClassVar[str]

    def __init__(
        self,
        session_id: str,
        *,
        correlation_id: str | None = None,
        proxy_url: str | None = None,
        online_url: str | None = None,
        chat_completions_url: str | None = None,
        **connection: Unpack[Connection],
    ) -> None:
        """`connection` is as in `create`. URLs that are not given stay None; `get_prompt_urls`
        knows them."""
        self._target = Target.of(**connection)
        self._path = f"{_sessions(self._algorithm)}/{segment(session_id)}"
        self._http = Connections()
        self.session_id = session_id
        self.correlation_id = correlation_id
        """The conversation that rewards and URLs are about unless the call names another."""
        self.proxy_url = proxy_url
        """The older name of `online_url`."""
        self.online_url = online_url
        """The base URL for an OpenAI client."""
        self.chat_completions_url = chat_completions_url
        """Where chat completions are posted."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r}, backend_url={self._target.base!r})"

    async def __aenter__(self) -> Self:
        self._http.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close a connection that was kept. The object stays usable."""
        await self._http.close()

    @classmethod
    def create(cls, **options: Unpack[NewSession]) -> Self:
        """A new session, or the one that has the `session_id` already."""
        request = cls._creation(options)
        return cls._created(options, record(request, send(request)))

    @classmethod
    async def create_async(cls, **options: Unpack[NewSession]) -> Self:
        """As `create`."""
        request = await asyncio.to_thread(cls._creation, options)  # it may read a file
        return cls._created(options, record(request, await Connections().send(request)))

    @classmethod
    def get_online_url(
        cls, session_id: str, *, correlation_id: str | None = None, **connection: Unpack[Connection]
    ) -> str:
        """The URL of a session of which only the id is known."""
        session = cls(session_id, correlation_id=correlation_id, **connection)
        return _known(_online_url(session.get_prompt_urls()))

    @classmethod
    async def get_online_url_async(
        cls, session_id: str, *, correlation_id: str | None = None, **connection: Unpack[Connection]
    ) -> str:
        """As `get_online_url`."""
        session = cls(session_id, correlation_id=correlation_id, **connection)
        return _known(_online_url(await session.get_prompt_urls_async()))

    def status(self) -> dict[str, Any]:
        """The session, its candidates and what they earned."""
        return self._call("GET", "")

    async def status_async(self) -> dict[str, Any]:
        """As `status`."""
        return await self._call_async("GET", "")

    get_status = status
    get_status_async = status_async

    def pause(self) -> dict[str, Any]:
        """No new proposals; calls go on being served."""
        return self._call("POST", "/pause", {})

    async def pause_async(self) -> dict[str, Any]:
        """As `pause`."""
        return await self._call_async("POST", "/pause", {})

    def resume(self) -> dict[str, Any]:
        """Go on after a pause."""
        return self._call("POST", "/resume", {})

    async def resume_async(self) -> dict[str, Any]:
        """As `resume`."""
        return await self._call_async("POST", "/resume", {})

    def cancel(self) -> dict[str, Any]:
        """End the session for good."""
        return self._call("POST", "/cancel", {})

    async def cancel_async(self) -> dict[str, Any]:
        """As `cancel`."""
        return await self._call_async("POST", "/cancel", {})

    def update_reward(
        self, *, reward_info: dict[str, Any], **options: Unpack[RewardUpdate]
    ) -> dict[str, Any]:
        """Tell how well a rollout went: `reward_info` holds a `score` or an `outcome_reward` from
        0 to 1, and what else is to be known."""
        body = reward_body(reward_info, self.correlation_id, options)
        return self._call("POST", "/reward", body)

    async def update_reward_async(
        self, *, reward_info: dict[str, Any], **options: Unpack[RewardUpdate]
    ) -> dict[str, Any]:
        """As `update_reward`."""
        body = reward_body(reward_info, self.correlation_id, options)
        return await self._call_async("POST", "/reward", body)

    def get_prompt_urls(self, *, correlation_id: str | None = None) -> dict[str, Any]:
        """The session's URLs, those of one conversation if it or the session names one."""
        return self._call("GET", "/prompt", correlation_id=correlation_id or self.correlation_id)

    async def get_prompt_urls_async(self, *, correlation_id: str | None = None) -> dict[str, Any]:
        """As `get_prompt_urls`."""
        conversation = correlation_id or self.correlation_id
        return await self._call_async("GET", "/prompt", correlation_id=conversation)

    def _call(
        self, method: str, path: str, body: Any = None, **query: str | None
    ) -> dict[str, Any]:
        request = self._request(method, path, body, query)
        return record(request, send(request))

    async def _call_async(
        self, method: str, path: str, body: Any = None, **query: str | None
    ) -> dict[str, Any]:
        request = self._request(method, path, body, query)
        return record(request, await self._http.send(request))

    def _request(self, method: str, path: str, body: Any, query: dict[str, str | None]) -> Request:
        given = {name: value for name, value in query.items() if value}
        return self._target.request(method, self._path + path, body, given)

    @classmethod
    def _creation(cls, options: NewSession) -> Request:
        body = create_body(cls._algorithm, options)
        target = Target.of(**_connection(options))
        return target.request("POST", _sessions(cls._algorithm), body)

    @classmethod
    def _created(cls, options: NewSession, created: dict[str, Any]) -> Self:
        if not created.get("session_id"):
            raise ApiError("no session was created: the answer holds no session_id")
        online_url = _online_url(created)
        given = options.get("correlation_id") or options.get("agent_id")
        return cls(
            str(created["session_id"]),
            correlation_id=created.get("correlation_id") or given,
            proxy_url=created.get("proxy_url"),
            online_url=online_url,
            chat_completions_url=created.get("chat_completions_url")
            or (online_url and f"{online_url}/chat/completions"),
            **_connection(options),
        )


class GepaOnlineSession(OnlineSession):
    """An online session that improves a prompt by GEPA: rewrites from what went badly."""

    _algorithm = "gepa"


class MiproOnlineSession(OnlineSession):
    """An online session that improves a prompt by MIPRO: instructions and demonstrations, chosen
    together."""

    _algorithm = "mipro"


def _sessions(algorithm: str) -> str:
    return f"/api/prompt-learning/online/{algorithm}/sessions"


def _connection(options: NewSession) -> Connection:
    names = Connection.__annotations__
    return cast("Connection", {name: v for name, v in options.items() if name in names})


def _online_url(urls: dict[str, Any]) -> str | None:
    """Servers that know no `online_url` say it under its older name."""
    return urls.get("online_url") or urls.get("proxy_url")


def _known(url: str | None) -> str:
    if not url:
        raise ApiError("the answer holds no online_url")
    return url
