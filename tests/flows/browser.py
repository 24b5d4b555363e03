"""A headless Chromium spoken to through its debugging socket: open a page, wait for words on it, take a picture."""

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from PIL import Image
from websockets.sync.client import connect

from tests.flows.conftest import free_port

BIGGEST = 300_000  # bytes of a screenshot
GRAPH = "document.querySelector('canvas')?.width > 100"  # of a run's tasks
OWN = ("http://127.0.0.1", "file:", "data:", "blob:", "about:", "ws://127.0.0.1", "chrome")


class Browser:
    """Chromium, with every host but 127.0.0.1 unknown to it; what it asked of others is in `outside`."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        assert program, "the tests of the dashboard need Chromium: apt-get install chromium"
        port = free_port()
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             f"--user-data-dir={profile}", f"--remote-debugging-port={port}", "--window-size=1400,900",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.count = 0
        self.outside: list[str] = []
        for _ in range(300):
            try:
                pages = httpx.get(f"http://127.0.0.1:{port}/json").json()
                address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
                break
            except (httpx.TransportError, StopIteration):
                time.sleep(0.1)
        self.socket = connect(address, max_size=None)
        self.ask("Network.enable")
        self.ask("Page.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and give its result."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=120))
            self._note(message.get("method"), message.get("params", {}))
            if message.get("id") == self.count:
                assert "error" not in message, message
                return dict(message["result"])

    def _note(self, event: str | None, facts: dict[str, Any]) -> None:
        """Keep what is told of requests to other hosts; what a Content-Security-Policy forbids is none."""
        if event in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            url = facts["request"]["url"] if "request" in facts else facts["url"]
            if not url.startswith(OWN):
                self.outside.append(url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def open(self, address: str, *words: str, seconds: float = 40) -> str:
        """Open a page and wait until all `words` are on it; returns its text. AssertionError with the text if not."""
        self.ask("Page.navigate", url=address)
        deadline = time.monotonic() + seconds
        text = ""
        while time.monotonic() < deadline:
            text = self.run("document.body ? document.body.innerText : ''") or ""
            if all(word in text for word in words):
                return text
            time.sleep(0.3)
        raise AssertionError(f"{address}: not all of {words} in:\n{text}")

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """A screen of so many CSS pixels, a narrow one a phone's, in the light or the dark scheme."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if width < 500 else 1, mobile=width < 500,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """A key of the keyboard, such as `ArrowLeft` or a space, down and up."""
        text = {"text": key} if len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def whole_page(self, path: Path) -> None:
        """All of the page, as a PNG, beyond what the window shows too."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(picture["data"]))

    def picture(self, path: Path) -> None:
        """What the window shows, as a PNG."""
        time.sleep(1)  # transitions end
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


def keep(browser: Browser, name: str, folder: Path) -> None:
    """A screenshot in few colours, small enough for the README."""
    path = folder / f"{name}.png"
    browser.picture(path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(128).save(path, optimize=True)
    assert 10_000 < path.stat().st_size < BIGGEST
