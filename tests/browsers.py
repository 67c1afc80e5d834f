"""JupyterLab and a browser without a window, for the tests that click and type."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright


def find_chromium() -> str | None:
    """Returns the path of the system's Chromium or Chrome, or of Playwright's own."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) and can_start(path):
            return path
    with sync_playwright() as driver:
        path = driver.chromium.executable_path
    return path if can_start(path) else None


def can_start(path: str) -> bool:
    """Says whether this is a browser, with all libraries that it needs.

    Ubuntu has a "chromium-browser" that only says how to install one.
    """
    if not Path(path).is_file():
        return False
    return not subprocess.run([path, "--version"], capture_output=True).returncode


CHROMIUM = find_chromium()
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="They need a browser: sudo apt install chromium"
)
# No window, no sandbox (containers may not have one), and no connection to
# the browser's maker.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (1280, 360)  # pixels: a desk's screen and a phone's
MINUTE = 60_000  # milliseconds: a busy machine starts JupyterLab slowly


@contextlib.contextmanager
def start_lab(folder: Path, environment: dict[str, str], *more: str) -> Iterator[str]:
    """Runs a JupyterLab that nobody else can reach.

    Args:
        folder: Where it starts, and what it shows.
        environment: The environment variables that it gets.
        *more: Options.

    Yields:
        Its address, such as http://127.0.0.1:8888/lab.
    """
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, *more],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield read_address(server)
    finally:
        server.terminate()
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()


def read_address(server: subprocess.Popen) -> str:
    """Returns the address that the server says it runs at."""
    said = ""
    for line in server.stdout:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/lab", line):
            # Somebody has to read on, or the server waits until there is room.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return found[0]
    pytest.fail(f"JupyterLab ended at once:\n{said}")


@contextlib.contextmanager
def open_browser() -> Iterator:
    """Starts a browser; yields Playwright's object for it."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


def open_page(browser, address: str, width: int = 1180, height: int = 900):
    """Opens an address in a session of its own, without others' cookies."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(3 * MINUTE)
    page = context.new_page()
    page.goto(address)
    return page


def require_accessible(browser, address: str, width: int) -> None:
    """Fails if axe-core finds fault with a page, or it has to be scrolled sideways."""
    page = open_page(browser, address, width)
    result = Axe().run(page)
    assert not result.violations_count, result.generate_report()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    page.context.close()


def choose_pictures(root: Path, private: Path) -> Path:
    """Returns where pictures go: to docs/ if COURSEAI_SCREENSHOTS is set."""
    return root / "docs" if os.environ.get("COURSEAI_SCREENSHOTS") else private
