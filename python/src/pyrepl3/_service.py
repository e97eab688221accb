"""Where a service is, and requests to it over HTTP: those that make a session, and those that end one."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

from ._wire import Json
from .errors import BadValue, ProtocolError, Pyrepl3Error, ServiceUnreachable, from_problem

T = TypeVar("T")

REQUEST_SECONDS = 120.0
"""How long a request may take: an interpreter starts, and a checkpoint is loaded."""
LAST_WORDS = 256 << 20
_ANSWER = 64 << 20
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Service:
    """A service's address, and the token that it is shown."""

    url: str
    token: str | None = field(repr=False)
    host: str = ""
    port: int = 0
    secure: bool = False
    path: str | None = None
    """Of a Unix socket, where that is what it listens on."""
    prefix: str = ""
    """What its paths begin with, behind a proxy."""

    @classmethod
    def at(cls, url: str, token: str | None) -> Service:
        """Reads an address: `http://HOST:PORT`, `https://…`, `unix:PATH`. Raises `BadValue`."""
        how = "give the address that `pyrepl3 serve` prints: http://HOST:PORT, https://… or unix:PATH"
        if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
            raise BadValue("token is not allowed", "it is no token of a service", "give the one that the server prints")
        if url.startswith("unix:"):
            path = url.removeprefix("unix:")
            if path.startswith("//"):
                path = path[2:]
            if not path or "\0" in path:
                raise BadValue(f"url={url!r} is not allowed", "it names no socket", how)
            return cls(url, token, host="localhost", path=path)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadValue(f"url={url!r} is not allowed", str(error), how) from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise BadValue(f"url={url!r} is not allowed", "it is no address of a service", how)
        if parts.query or parts.fragment or parts.username is not None:
            raise BadValue("url is not allowed", "only scheme, host, port and path stand in it; the token is `token`", how)
        return cls(
            url,
            token,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            secure=parts.scheme == "https",
            prefix=parts.path.rstrip("/"),
        )

    @property
    def name(self) -> str:
        """The host as requests name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        plain = self.path is not None or self.port == _PORTS["https" if self.secure else "http"]
        return host if plain else f"{host}:{self.port}"

    def headers(self) -> dict[str, str]:
        """What each request shows."""
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}

    def tls(self) -> ssl.SSLContext | None:
        """How the connection is encrypted, if it is."""
        return ssl.create_default_context() if self.secure else None

    def of(self, *parts: str) -> str:
        """The path of a resource."""
        return self.prefix + "/v1/" + "/".join(quote(part, safe="") for part in parts)

    # ---- connections -------------------------------------------------------------------------------------

    async def connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """A socket that is connected, and does not block. Raises `OSError`."""
        if self.path is not None:
            return await _connected(loop, socket.AF_UNIX, self.path)
        infos = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        failure: OSError = ConnectionError("the host has no address")
        for family, _, _, _, address in infos:
            try:
                return await _connected(loop, family, address)
            except OSError as error:
                failure = error
        raise failure

    async def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Any]:
        """Makes a request; returns the status, and the answer's JSON or None.

        Raises `ServiceUnreachable`, `ProtocolError`, and what a problem document tells of. If we are cancelled, the
        request goes on.
        """
        return await in_thread(lambda: self.blocking_request(method, path, body))

    def blocking_request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Any]:
        """As `request`, in a thread that may wait."""
        return self._answer(*self._exchange(method, path, body, "application/json", _ANSWER + 1))

    def _exchange(self, method: str, path: str, body: Json | None, accept: str, most: int) -> tuple[int, bytes]:
        """Makes a request; returns the status, and so many bytes of what answers it."""
        connection = self._http()
        try:
            headers = {**self.headers(), "host": self.name, "accept": accept}
            data = None
            if body is not None:
                data = json.dumps(body).encode()
                headers["content-type"] = "application/json"
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return response.status, _body(response, most)
        except OSError as error:
            raise unreachable(self, error) from error
        except http.client.HTTPException as error:
            raise _no_service(self, f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()

    async def last_words(self, session_id: str, after: int) -> list[bytes]:
        """What is kept of a session that is not there any more, behind an event: lines of JSON, each a message.

        Raises what `request` raises. At most `LAST_WORDS` bytes are read.
        """
        return await in_thread(lambda: self._last_words(session_id, after))

    def _last_words(self, session_id: str, after: int) -> list[bytes]:
        path = self.of("sessions", session_id, "events") + f"?after={after}&follow=false"
        status, text = self._exchange("GET", path, None, "application/x-ndjson", LAST_WORDS)
        if status != 200:
            self._answer(status, text)
        return [line for line in text.split(b"\n") if line]

    def _http(self) -> http.client.HTTPConnection:
        if self.path is not None:
            return _UnixConnection(self.path)
        if context := self.tls():
            return http.client.HTTPSConnection(self.host, self.port, timeout=REQUEST_SECONDS, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=REQUEST_SECONDS)

    def _answer(self, status: int, text: bytes) -> tuple[int, Any]:
        answer: Any = None
        if len(text) > _ANSWER:
            raise _no_service(self, "its answer is too large")
        if text:
            try:
                answer = json.loads(text)
            except ValueError:
                raise _no_service(self, f"status {status}, and an answer that is no JSON") from None
        if status >= 400:
            raise self.problem(status, answer)
        return status, answer

    def problem(self, status: int, document: Any) -> Pyrepl3Error:
        """The error that a status of 400 and above tells of, with its document."""
        if not isinstance(document, dict) or not isinstance(document.get("code"), str):
            return _no_service(self, f"status {status}, without a problem document")
        return from_problem(document)


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Does what waits in a thread of its own, which ends with it: none is left behind as one of a pool would be.

    It is done to its end, also where nobody waits for it any more.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(T, result))

    def run() -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # The loop is closed: nobody waits there.
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name="pyrepl3-http", daemon=True).start()
    return done


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=REQUEST_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _body(response: http.client.HTTPResponse, most: int) -> bytes:
    """So much of an answer's body. Raises `ConnectionError` where it was cut off, which the library passes over."""
    try:
        text = response.read(most)
    except http.client.IncompleteRead as error:
        raise ConnectionResetError("the answer was cut off") from error
    # A service says how long its answers are; where that is missing, the head was cut off.
    no_length = response.length is None and not response.chunked
    if len(text) < most and (response.length or no_length):
        raise ConnectionResetError("the answer was cut off")
    return text


async def _connected(loop: asyncio.AbstractEventLoop, family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def unreachable(service: Service, error: Exception) -> ServiceUnreachable:
    """The error for a service that cannot be reached."""
    return ServiceUnreachable(
        f"the service at {service.url} cannot be reached",
        str(error) or type(error).__name__,
        "see whether `pyrepl3 serve` runs, and listens at that address",
    )


def _no_service(service: Service, why: str) -> ProtocolError:
    return ProtocolError(
        f"what answers at {service.url} is no service of pyrepl3",
        why,
        "see whether the address is the one that `pyrepl3 serve` prints",
    )
