"""A real Chromium against a real server. What nobody would see fails too: faults in the console, foreign hosts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.urls import reverse
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from identification.models import User
from tests.identification import factories as make

CHROMIUM = os.environ.get("SPOTID_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}

NewPage = Callable[..., Page]
# Machines that test are slow and busy.
expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            # Decision 50: once more, and said in the summary.
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def playwright_started() -> Iterator[Playwright]:
    # Playwright's event loop runs in this thread; Django would take it for asynchronous code and refuse its queries.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as started:
        yield started
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def chromium(playwright_started: Playwright) -> Iterator[Browser]:
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    bundled = Path(playwright_started.chromium.executable_path)
    if not CHROMIUM and not bundled.exists():
        pytest.skip("no Chromium: install one (apt-get install chromium, or playwright install chromium)")
    browser = playwright_started.chromium.launch(executable_path=CHROMIUM or None, args=arguments)
    yield browser
    browser.close()


class Watch:
    """Collects everything that goes wrong in a page without being seen."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.faults: list[str] = []
        self.allowed: set[int] = set()
        self.expected: set[str] = set()

    def on(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._request)
        page.on("response", lambda r: self._status(r.status, r.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if "the server responded with a status of" in message.text:
            return  # judged by its status, below
        if any(text in message.text for text in self.expected):
            return
        self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws"} and parts.netloc != self.host:
            self.faults.append(f"leaves the host: {request.url}")

    def _status(self, status: int, url: str) -> None:
        if status >= 400 and status not in self.allowed:
            self.faults.append(f"{status}: {url}")


@pytest.fixture
def watch(live_server) -> Iterator[Watch]:  # type: ignore[no-untyped-def]
    watching = Watch(urlsplit(live_server.url).netloc)
    yield watching
    assert watching.faults == []


@pytest.fixture
def new_page(chromium: Browser, live_server, watch: Watch, media_root: Path) -> Iterator[NewPage]:  # type: ignore[no-untyped-def]
    """Opens pages; with `user` signed in, by cookie where signing in is not what the test is about."""
    contexts: list[BrowserContext] = []
    reverse("admin:index")  # imports every view, for which the first page would otherwise have to wait

    def open_page(user: User | None = None, *, viewport: dict[str, int] | None = None, **options: object) -> Page:
        context = chromium.new_context(base_url=live_server.url, viewport=viewport or WIDE, **options)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        contexts.append(context)
        if user is not None:
            from django.test import Client

            client = Client()
            client.force_login(user)
            cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        page = context.new_page()
        watch.on(page)
        return page

    yield open_page
    faults = list(watch.faults)
    for context in contexts:
        context.set_offline(True)  # what a page says when it is left would come while the tables are emptied
        context.close()
    watch.faults[:] = faults
    _quiet()


def _quiet() -> None:
    """Wait until nothing of what a page sent while it was closed is at work: the tables are emptied next."""
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(50):
        time.sleep(0.1)
        with connection.cursor() as cursor:
            cursor.execute(f"{busy} AND state <> 'idle'")
            if cursor.fetchone()[0] == 0:
                return


@pytest.fixture
def large():  # type: ignore[no-untyped-def]
    """Eight animals with two photos each: many questions that share no group."""
    return make.make_reviewable_survey(individuals=8, photos=2, name="Ridge 2024")


@pytest.fixture
def survey():  # type: ignore[no-untyped-def]
    """Three animals with three photos each, and who they are."""
    return make.make_reviewable_survey(individuals=3, photos=3, name="Valley 2024")
