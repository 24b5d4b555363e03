"""Who may use the API: this machine's programs and the dashboard's own pages, no other web page."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.events import Event, get_events_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)
from sqlalchemy import make_url
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from flows import at_the_prompt, deploy
from flows import server as guarded
from flows.server import content_security_policy, is_loopback, refusal, url
from pipeline.errors import PipelineError
from tests.flows.browser import Browser
from tests.flows.conftest import ROOT, ask, free_port, start_server

FOREIGN = "http://evil.example"
EMIT = """
import asyncio
from prefect.events import Event, get_events_client
async def emit(name):
    async with get_events_client(checkpoint_every=1) as client:
        await client.emit(Event(event=name, resource={"prefect.resource.id": "test"}, payload={}))
"""


def headers(**values: str | list[str]) -> list[tuple[bytes, bytes]]:
    listed = {name: [value] if isinstance(value, str) else value for name, value in values.items()}
    return [(name.replace("_", "-").encode(), item.encode()) for name, items in listed.items() for item in items]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4200", "localhost:4200", "LocalHost", "[::1]:4200", "127.0.0.2", "runs.lan:9"]
)
def test_loopback_and_the_configured_names_are_hosts(host):
    assert refusal(headers(Host=host), ["runs.lan"], []) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:4200", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example@127.0.0.1", "10.0.0.1",
        "127.0.0.1:4200, evil.example", "0.0.0.0:4200", "runs.lan.evil.example", "", "2130706433", ["127.0.0.1"] * 2,
    ],
)  # fmt: skip
def test_other_hosts_are_refused(host):
    assert "Host" in refusal(headers(Host=host), ["runs.lan"], [])


def test_a_request_without_host_is_refused():
    assert "Host" in refusal([], [], [])


@pytest.mark.parametrize(
    ("host", "origin", "passes"),
    [
        ("127.0.0.1:4200", "http://127.0.0.1:4200", True),
        ("localhost:9000", "http://localhost:9000", True),  # through ssh -L 9000:127.0.0.1:4200
        ("runs.lan", "https://runs.lan", True),  # through a proxy that speaks TLS
        ("127.0.0.1:4200", "https://other.lan", True),  # configured
        ("127.0.0.1:4200", "http://127.0.0.1:4201", False),
        ("127.0.0.1:4200", "http://localhost:4200", False),
        ("127.0.0.1:4200", "http://127.0.0.1", False),
        ("127.0.0.1:4200", "http://other.lan", False),
        ("127.0.0.1:4200", "http://127.0.0.1:4200.evil.example", False),
        ("127.0.0.1:4200", "null", False),  # a file, a frame without rights
        ("127.0.0.1:4200", "", False),
        ("127.0.0.1:4200", ["http://127.0.0.1:4200", FOREIGN], False),
    ],
)
def test_an_origin_is_the_hosts_own_or_configured(host, origin, passes):
    reason = refusal(headers(Host=host, Origin=origin), ["runs.lan"], ["https://other.lan"])
    assert (reason is None) is passes


@pytest.mark.parametrize(
    ("site", "mode", "destination", "passes"),
    [
        ("same-origin", "cors", "empty", True),
        ("none", "navigate", "document", True),
        ("cross-site", "navigate", "document", True),  # a link
        ("cross-site", "navigate", "iframe", False),
        ("cross-site", "no-cors", "image", False),
        ("same-site", "no-cors", "script", False),  # another port of this machine
    ],
)
def test_a_foreign_page_may_link_to_the_dashboard_but_not_embed_it(site, mode, destination, passes):
    sent = headers(Host="127.0.0.1", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=destination)
    assert (refusal(sent, [], []) is None) is passes


def test_every_answer_forbids_its_page_to_ask_others(server):
    home = server.removesuffix("/api")
    for address in (home, f"{home}/v2/dashboard", f"{home}/docs", f"{server}/health"):
        [policy] = httpx.get(address, follow_redirects=True).headers.get_list("content-security-policy")
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == rules["connect-src"] == "'self'"
        assert not [word for rule in rules.values() for word in rule.split() if "*" in word or "//" in word]


def test_pages_whose_api_is_elsewhere_may_ask_that_and_nobody_else():
    policy = content_security_policy("https://runs.lan:4200/api")
    assert "connect-src 'self' https://runs.lan:4200 wss://runs.lan:4200;" in policy
    assert "connect-src 'self';" in content_security_policy("/api")
    assert policy.count("//") == 2


def test_the_server_refuses_foreign_hosts_in_one_line(server):
    line = "foreframe: refused: Host is not a name of this server; FOREFRAME_HOSTS=NAME,NAME adds names\n"
    for path in ("api/health", "api/flows/filter", "", "ui-settings"):
        answer = httpx.get(f"{server.removesuffix('api')}{path}", headers={"Host": "evil.example:4200"})
        assert answer.status_code == 403
        assert answer.text == line


def test_the_server_refuses_foreign_origins_and_answers_its_own(server):
    own = server.removesuffix("/api")
    for origin, status in ((FOREIGN, 403), ("null", 403), (own.replace("127.0.0.1", "localhost"), 403), (own, 200)):
        answer = httpx.post(f"{server}/flows/filter", json={}, headers={"Origin": origin})
        assert answer.status_code == status
        assert answer.text.count("\n") == (1 if status == 403 else 0)
        assert answer.headers.get("access-control-allow-origin") is None
    blind = httpx.post(f"{server}/flows/", content=b'{"name": "blind"}', headers={"Origin": FOREIGN})  # no preflight
    assert blind.status_code == 403
    assert httpx.post(f"{server}/flows/filter", json={}).status_code == 200  # curl, Prefect's client


def test_the_server_allows_no_foreign_preflight(server):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = httpx.options(f"{server}/flows/filter", headers={"Origin": FOREIGN, **asked})
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
def test_the_server_opens_no_websocket_for_a_foreign_page(server, path):
    address = f"ws{server.removeprefix('http')}/{path}"
    rebound = socket.create_connection(("127.0.0.1", urlsplit(server).port))
    for asked, options in (
        (address, {"origin": FOREIGN}),
        (address, {"origin": "null"}),
        (address.replace("127.0.0.1", "evil.example"), {"sock": rebound}),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(asked, proxy=None, subprotocols=["prefect"], **options)
        assert refused.value.response.status_code == 403
    for options in ({"origin": server.removesuffix("/api")}, {}):
        with connect(address, proxy=None, subprotocols=["prefect"], **options) as channel:
            channel.send(json.dumps({"type": "auth", "token": None}))
            assert json.loads(channel.recv(timeout=30)) == {"type": "auth_success"}


def arrived(api: str, name: str) -> bool:
    for _ in range(100):
        if ask(api, "events/filter", filter={"event": {"name": [name]}})["total"]:
            return True
        time.sleep(0.2)
    return False


def test_prefects_client_and_its_events_pass(api):
    async def emit() -> None:
        async with get_events_client(checkpoint_every=1) as client:
            await client.emit(Event(event=name, resource={"prefect.resource.id": "test"}, payload={}))

    name = f"test.{uuid4()}"
    with get_client(sync_client=True) as client:
        assert client.api_healthcheck() is None
    asyncio.run(emit())
    assert arrived(api, name)


def test_loopback_is_never_sent_to_a_proxy(api):
    name = f"test.{uuid4()}"
    code = (
        "import flows, sys; from flows.deploy import _healthy; from prefect.client.orchestration import get_client\n"
        f"{EMIT}\n"
        "assert _healthy(sys.argv[1].removesuffix('/api'))\n"
        "with get_client(sync_client=True) as client: print(client.api_version())\n"
        "asyncio.run(emit(sys.argv[2]))"
    )
    closed = f"http://127.0.0.1:{free_port()}"
    proxies = {key: closed for name in ("http_proxy", "https_proxy", "all_proxy") for key in (name, name.upper())}
    environment = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"} | proxies
    command = [sys.executable, "-c", code, api, name]
    subprocess.run(command, cwd=ROOT, env={**environment, "NO_PROXY": "intranet.example"}, check=True, timeout=120)
    assert arrived(api, name)


@pytest.mark.parametrize(
    ("name", "value", "extended"),
    [
        ("no_proxy", "a,b", "a,b,127.0.0.1,localhost,::1"),
        ("NO_PROXY", "::1", "::1,127.0.0.1,localhost"),
        ("NO_PROXY", "*", "*"),
    ],
)
def test_what_is_kept_from_a_proxy_stays_so(name, value, extended):
    code = "import flows, os; print(*{os.environ[name] for name in ('NO_PROXY', 'no_proxy') if name in os.environ})"
    environment = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"} | {name: value}
    found = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment, text=True)
    assert found == f"{extended}\n"


def test_the_dashboard_asks_the_server_that_it_came_from(server):
    # by whatever name: 127.0.0.1, localhost, a tunnel's port
    assert httpx.get(f"{server.removesuffix('api')}ui-settings").json()["api_url"] == "/api"


def test_a_server_for_other_machines_needs_a_password_that_its_clients_know():
    for host in ("127.0.0.1", "::1", "localhost"):
        guarded.check_host(host)
    for host in ("0.0.0.0", "::", "10.0.0.5", "runs.lan"):
        with pytest.raises(
            PipelineError, match=r"opens the API to other machines: set PREFECT_SERVER_API_AUTH_STRING and"
        ):
            guarded.check_host(host)
    for expected, sent, fails in (("a:b", "a:b", False), ("a:b", None, True), ("a:b", "a:c", True), ("", None, True)):
        with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: expected, PREFECT_API_AUTH_STRING: sent}):
            if fails:
                with pytest.raises(PipelineError, match="to one user:password"):
                    guarded.check_host("0.0.0.0")
            else:
                guarded.check_host("0.0.0.0")


def test_another_machines_api_is_used_with_a_password_alone():
    for address in ("http://127.0.0.1:4200/api", "http://localhost/api", "http://[::1]:4200/api"):
        guarded.check_api_url(address)
    for address in ("http://runs.lan:4200/api", "https://10.0.0.5/api", "http://127.0.0.1.evil.example/api"):
        with pytest.raises(PipelineError, match=r"is not on this machine.* set PREFECT_SERVER_API_AUTH_STRING"):
            guarded.check_api_url(address)
        with temporary_settings({PREFECT_API_AUTH_STRING: "a:b"}):
            guarded.check_api_url(address)


def test_commands_say_in_one_line_which_password_is_missing(monkeypatch):
    remedy = "set PREFECT_SERVER_API_AUTH_STRING and PREFECT_API_AUTH_STRING to one user:password"
    monkeypatch.setattr(sys, "argv", ["flows.server", "--host", "0.0.0.0", "--port", str(free_port())])
    with pytest.raises(SystemExit, match=f"^server: --host 0.0.0.0 opens the API to other machines: {remedy}$"):
        guarded.main()
    with pytest.raises(PipelineError, match=remedy), deploy.server(free_port(), "0.0.0.0"):
        pass
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment["PREFECT_API_URL"] = "http://runs.example:4200/api"
    command = [sys.executable, "-m", "flows.deploy"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("deploy: http://runs.example:4200/api is not on this machine")
    assert remedy in result.stderr


def test_deploy_says_in_one_line_that_no_server_answers():
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"
    command = [sys.executable, "-m", "flows.deploy", "--port", str(free_port())]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"deploy: PREFECT_API_URL: no server answers at {environment['PREFECT_API_URL']} (")


def test_a_running_server_is_used_if_it_is_of_this_home_and_closed(server):
    address = server.removesuffix("/api")
    home = httpx.get(f"{server}/admin/settings").json()["home"]
    guarded.check_running(address, home)
    with pytest.raises(PipelineError, match=f"is the server of {home}"):
        guarded.check_running(address, ROOT)

    class Open(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Open) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        with pytest.raises(PipelineError, match="answers every web page"):
            guarded.check_running(f"http://127.0.0.1:{service.server_port}", home)
        service.shutdown()


def test_clients_on_this_machine_reach_a_server_for_all_interfaces_by_loopback():
    assert url("127.0.0.1", 4200) == url("0.0.0.0", 4200) == "http://127.0.0.1:4200"
    assert url("::", 1) == url("::1", 1) == "http://[::1]:1"
    assert url("runs.lan", 1) == "http://runs.lan:1"
    assert not is_loopback("localhost.evil.example")


def test_a_command_gives_its_temporary_server_a_password_of_its_own():
    def passwords() -> tuple[str | None, str | None]:
        return PREFECT_SERVER_API_AUTH_STRING.value(), PREFECT_API_AUTH_STRING.value()

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        first, second = at_the_prompt(passwords), at_the_prompt(passwords)
    assert first[0] == first[1] != second[0]
    assert len(first[0]) > 40
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        assert at_the_prompt(passwords) == (None, None)


@pytest.mark.slow
def test_a_temporary_server_answers_its_own_process_alone(tmp_path):
    code = """
import httpx
from flows import at_the_prompt
from prefect import flow, task
from prefect.server.api.server import SubprocessASGIServer
@task
def two(): return 2
@flow
def probe():
    assert two.submit().result() == 2
    address = SubprocessASGIServer().api_url + "/flows/filter"
    print("POST", httpx.post(address, json={}).status_code)
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    print("CORS", httpx.options(address, headers=asked).headers.get("access-control-allow-origin"))
at_the_prompt(probe)
"""
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**environment, "PREFECT_HOME": str(tmp_path)}, check=True,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.stdout.splitlines() == ["POST 401", "CORS None"]
    assert "Completed()" in result.stderr
    assert "Error logging to API" not in result.stderr


@pytest.mark.parametrize("name", ["what?", "50%3F", "a b#c", "Übung"])
def test_the_database_lies_in_its_home_whatever_that_is_called(name, tmp_path):
    path = tmp_path / name / "prefect.db"
    assert make_url(guarded.database_url(path)).database == str(path)


@pytest.mark.slow
def test_with_a_password_the_api_answers_those_who_send_it_and_configured_names_pass(tmp_path, monkeypatch):
    monkeypatch.setenv("FOREFRAME_HOSTS", "runs.lan, other.lan")
    monkeypatch.setenv("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "*, https://page.lan")  # "*" opens nothing
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "someone:secret")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "someone:secret")
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    process = start_server(tmp_path / "home?", port)
    try:
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
        assert httpx.post(f"{api}/flows/filter", json={}).status_code == 401
        assert httpx.post(f"{api}/flows/filter", json={}, auth=("someone", "secret")).status_code == 200
        for host, status in (("other.lan:80", 200), ("runs.lan", 200), ("evil.example", 403)):
            assert httpx.get(f"{api}/health", headers={"Host": host}).status_code == status
        for origin, allowed in (("https://page.lan", "https://page.lan"), (FOREIGN, None)):
            answer = httpx.options(f"{api}/flows/", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert answer.headers.get("access-control-allow-origin") == allowed
        with temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: "someone:secret"}):
            with get_client(sync_client=True) as client:
                assert client.read_flows() == []
            guarded.check_running(f"http://127.0.0.1:{port}", tmp_path / "home?")
        with pytest.raises(PipelineError, match="another password"):
            guarded.check_running(f"http://127.0.0.1:{port}", tmp_path / "home?")
        assert (tmp_path / "home?/prefect.db").is_file()
    finally:
        process.terminate()
        process.wait(30)


PAGE = """<!doctype html><title>another page</title><p id=p>working</p><iframe src="HOME/"></iframe><script>
const say = [];
const tell = (name, promise) => promise.then(a => say.push(name + " passed"), e => say.push(name + " failed"));
const socket = path => new Promise((yes, no) => {
  const s = new WebSocket("HOME".replace("http", "ws") + path); s.onopen = yes; s.onerror = no;
});
Promise.all([
  tell("read", fetch("HOME/api/admin/settings")),
  tell("write", fetch("HOME/api/flows/", {method: "POST", body: JSON.stringify({name: "foreign"}),
       headers: {"content-type": "application/json"}})),
  tell("socket", socket("/api/events/in")),
  fetch("HOME/api/flows/", {method: "POST", mode: "no-cors", body: new Blob(['{"name": "foreign"}'])}),
]).then(() => { p.innerText = "done: " + say.sort().join(", "); });
</script>"""


@pytest.mark.slow
def test_in_a_browser_the_dashboard_works_and_another_page_can_do_nothing(server, tmp_path):
    home = server.removesuffix("/api")

    class Another(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.replace("HOME", home).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Another) as service, Browser(tmp_path / "profile") as browser:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        text = browser.open(f"http://127.0.0.1:{service.server_port}/", "done:")
        assert text.strip() == "done: read failed, socket failed, write failed"
        assert ask(server, "flows/filter", flows={"name": {"any_": ["foreign"]}}) == []
        httpx.post(f"{server}/flows/", json={"name": "own"}).raise_for_status()
        browser.open(f"{home}/flows", "own")
        service.shutdown()
