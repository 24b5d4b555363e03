"""Prefect's server, closed to web pages of other origins: `python -m flows.server` in place of `prefect server start`.

Whoever can create flow runs can run commands as the server's owner, and Prefect's server answers every web page: it
allows all origins (CORS), accepts any Host (DNS rebinding), looks at no Origin (cross-site requests, WebSockets).
The other way round, its newer interface asks an analytics host at every page, whatever its settings say; a
Content-Security-Policy keeps both interfaces from asking anybody but this server.
"""

import ipaddress
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_API_KEY,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS,
    PREFECT_UI_API_URL,
    get_current_settings,
    temporary_settings,
)

from flows import command_line
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = "FOREFRAME_HOSTS"  # environment variable: names beside loopback's by which the server may be called, a,b,c
PASSWORD = "PREFECT_SERVER_API_AUTH_STRING and PREFECT_API_AUTH_STRING to one user:password"  # noqa: S105 -- a text
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^][:/@\s]+)(?::\d{1,5})?")  # host[:port], RFC 3986 without user
# what a page of this server may load and ask; the graph of a run is drawn by code that is made on the way (pixi.js)
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'{api}; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class OwnPagesOnly:
    """ASGI middleware: answers 403 in one line to requests, WebSockets among them, that another web page caused.

    What it lets through is answered with `policy`, a Content-Security-Policy.
    """

    def __init__(self, app: "ASGIApp", hosts: Sequence[str], origins: Sequence[str], policy: str) -> None:
        self.app = app
        self.hosts = hosts
        self.origins = origins
        self.header = (b"content-security-policy", policy.encode("latin-1"))

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_with_policy(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self.header]
            await send(message)

        reason = None if scope["type"] == "lifespan" else refusal(scope["headers"], self.hosts, self.origins)
        if reason is None:
            await self.app(scope, receive, send_with_policy)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: 403 too
        else:
            from starlette.responses import PlainTextResponse

            await PlainTextResponse(f"foreframe: refused: {reason}\n", status_code=403)(scope, receive, send)


def refusal(headers: Sequence[tuple[bytes, bytes]], hosts: Sequence[str], origins: Sequence[str]) -> str | None:
    """Returns why a request with these headers is refused, None if it is not.

    `hosts` are names, without port, by which the server may be called beside loopback's; `origins` are those whose
    pages may use it beside its own. No port is compared with the server's: `ssh -L` calls it by another one.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip().lower())
    host = _one(values, "host")
    authority = _AUTHORITY.fullmatch(host)
    if authority is None or not (is_loopback(authority[1]) or authority[1].strip("[]") in hosts):
        return f"Host is not a name of this server; {HOSTS}=NAME,NAME adds names"
    if "origin" in values:
        # a page's scripts cannot leave Origin out of what changes something, nor out of a WebSocket's opening
        origin = _one(values, "origin")
        if origin not in (f"http://{host}", f"https://{host}", *origins):
            return "Origin is another web page's; PREFECT_SERVER_CORS_ALLOWED_ORIGINS=ORIGIN,ORIGIN allows more"
        return None
    # without Origin come a page's pictures, scripts, frames (a click in one is a click on the dashboard), and links
    is_link = (_one(values, "sec-fetch-mode"), _one(values, "sec-fetch-dest")) == ("navigate", "document")
    if _one(values, "sec-fetch-site") in ("cross-site", "same-site") and not is_link:
        return "another web page embeds this one; open it by itself"
    return None


def content_security_policy(api_url: str) -> str:
    """The policy for pages whose API is at `api_url`: relative, or another origin's, which pages then may ask too."""
    parts = urlsplit(api_url)
    other = f" {parts.scheme}://{parts.netloc} ws{parts.scheme[4:]}://{parts.netloc}" if parts.netloc else ""
    return POLICY.format(api=other)


def _one(values: dict[str, list[str]], name: str) -> str:
    """The only value of a header; empty where there is none, or more than one."""
    found = values.get(name, [])
    return found[0] if len(found) == 1 else ""


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL or an option, is this machine's loopback interface."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def url(host: str, port: int) -> str:
    """Where clients on this machine reach a server that listens on `host`, which may be all interfaces."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}" if address.version == 4 else f"http://[::1]:{port}"
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"


def database_url(path: Path) -> str:
    """SQLAlchemy's URL of the SQLite database at `path`, whatever its name; Prefect's own would end at a "?"."""
    from sqlalchemy import URL

    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string(hide_password=False)


def check_host(host: str) -> None:
    """PipelineError if a server on `host` would let other machines in without a password, or its own clients not."""
    expected, sent = PREFECT_SERVER_API_AUTH_STRING.value(), PREFECT_API_AUTH_STRING.value()
    if not expected and not is_loopback(host):
        raise PipelineError(f"--host {host} opens the API to other machines: set {PASSWORD}")
    if expected and expected != sent:
        raise PipelineError(f"the server asks for a password that its clients do not send: set {PASSWORD}")


def check_api_url(api_url: str) -> None:
    """PipelineError if the API at `api_url` is another machine's and this one would use it without a password."""
    if is_loopback(urlsplit(api_url).hostname or "") or PREFECT_API_AUTH_STRING.value() or PREFECT_API_KEY.value():
        return
    raise PipelineError(
        f"{api_url} is not on this machine, and whoever reaches it runs commands here: set {PASSWORD} there and here "
        "(or PREFECT_API_KEY for Prefect Cloud)"
    )


def check_answers(api_url: str) -> None:
    """PipelineError if no server answers at `api_url`, or one that asks for another password."""
    name, _, password = (PREFECT_API_AUTH_STRING.value() or "").partition(":")
    try:
        answer = httpx.get(f"{api_url}/admin/version", auth=(name, password), timeout=20)
    except httpx.TransportError as error:
        raise PipelineError(
            f"PREFECT_API_URL: no server answers at {api_url} ({error}); start it (`python -m flows.deploy` is one), "
            "or unset PREFECT_API_URL and PREFECT_PROFILE for a temporary one"
        ) from error
    if answer.status_code == 401 and not PREFECT_API_KEY.value():
        raise PipelineError(
            f"{api_url} asks for a password: set PREFECT_API_AUTH_STRING=user:password, as it was started"
        )


def check_running(address: str, home: Path) -> None:
    """PipelineError if the server that already runs at `address` is not of this home, or is open to web pages."""
    if httpx.get(f"{address}/api/health", headers={"Host": "foreframe.invalid"}).status_code != 403:
        raise PipelineError(f"{address} answers every web page (`prefect server start`?); stop it or choose --port")
    name, _, password = (PREFECT_API_AUTH_STRING.value() or "").partition(":")
    answer = httpx.get(f"{address}/api/admin/settings", auth=(name, password))
    if answer.status_code == 401:
        raise PipelineError(f"{address} asks for another password than PREFECT_API_AUTH_STRING; choose another --port")
    found = answer.raise_for_status().json()["home"]
    if found != str(home):
        raise PipelineError(f"{address} is the server of {found}; choose another --port, or set PREFECT_API_URL")


def run(host: str, port: int) -> None:
    """Serve API, dashboard and background services until SIGTERM or Ctrl-C."""
    settings = get_current_settings().server
    origins = [text.strip().lower() for text in settings.api.cors_allowed_origins.split(",")]
    origins = [origin for origin in origins if origin not in ("", "*")]  # "*" is Prefect's default
    hosts = [name.strip(" []").lower() for name in [host, *os.environ.get(HOSTS, "").split(",")] if name.strip()]
    with temporary_settings(
        {PREFECT_SERVER_CORS_ALLOWED_ORIGINS: ",".join(origins)},
        # relative, so that the dashboard is of one origin with its API by whatever name it is opened
        set_defaults={
            PREFECT_UI_API_URL: settings.api.base_path or "/api",
            PREFECT_API_DATABASE_CONNECTION_URL: database_url(PREFECT_HOME.value() / "prefect.db"),
        },
    ):
        import uvicorn
        from prefect.server.api.server import create_app  # which looks where the database is

        uvicorn.run(  # as `prefect server start` does
            OwnPagesOnly(create_app(final=True), hosts, origins, content_security_policy(PREFECT_UI_API_URL.value())),
            host=host,
            port=port,
            timeout_keep_alive=settings.api.keepalive_timeout,
            ws_ping_interval=settings.api.websocket_ping_interval,
            ws_ping_timeout=settings.api.websocket_ping_timeout,
            log_level=settings.logging_level.lower(),
        )


def main() -> None:
    """Start the server."""
    parser = command_line.parser("flows.server", (__doc__ or "").splitlines()[0], "", "--port 4300")
    settings = get_current_settings().server.api
    parser.add_argument("--host", default=settings.host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=settings.port, help="(default: %(default)s)")
    arguments = parser.parse_args()
    try:
        check_host(arguments.host)
    except PipelineError as error:
        sys.exit(f"server: {error}")
    run(arguments.host, arguments.port)


if __name__ == "__main__":
    main()
