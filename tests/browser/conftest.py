"""A real headless Chromium. Where there is none the tests skip, aloud, unless the browser is required."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "view"))  # sample_results: one generator for both folders

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REQUIRE = "MICROTOME_REQUIRE_BROWSER"


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests; each test has a context of its own."""
    executable = shutil.which("chromium")
    if executable is None or find_spec("playwright") is None:
        lacking = "no chromium on the path" if executable is None else "playwright is not installed"
        if os.environ.get(REQUIRE):
            pytest.fail(f"{REQUIRE} is set, but {lacking}")
        pytest.skip(f"the report was not driven in a browser: {lacking}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield launched
        launched.close()


class Watched:
    """A page, and everything it did that a report must never do."""

    def __init__(self, context):
        self.page = context.new_page()
        self.requests, self.faults = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", self._refuse)

    def _refuse(self, dialog):
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path):
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(".stage canvas")
        return self.page


@pytest.fixture
def opened(browser):
    """`opened(path, …)` opens a report in a fresh context; afterwards it must have asked for nothing but itself."""
    contexts, watched = [], []

    def open_(path, **options):
        still = {"viewport": {"width": 1300, "height": 1000}, "reduced_motion": "reduce"}  # the ring does not glide
        context = browser.new_context(**(still | options))
        contexts.append(context)
        watched.append((Watched(context), path.as_uri()))
        return watched[-1][0].open(path)

    yield open_
    for one, address in watched:
        one.page.wait_for_timeout(0)  # lets what is under way be told before it is judged
        strangers = [url for url in one.requests if url != address and not url.startswith("blob:")]
        assert strangers == []
        assert one.faults == []
    for context in contexts:
        context.close()
