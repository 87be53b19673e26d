"""The page in a real Chromium, drawn for by the model in the box: a studio, an address, a browser, pages that watch."""

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mirror import stand_in
from playwright.sync_api import Browser, Page, sync_playwright

from spt_dist import box, config
from spt_dist.serve.api import build_api
from spt_dist.serve.orders import Drawn, Found, Job, Look, Model, Replicas
from spt_dist.serve.painting import LoadedModel, draw_jobs

PATIENCE_S = 10
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Painted:
    """A studio in this process: it draws with real networks, one job after the other, and remembers the jobs."""

    def __init__(self, loaded: LoadedModel, *names: str):
        self.loaded = loaded
        folder, size = Path(box.WEIGHTS), loaded.predictor.size
        self.models = {name: Model(name, folder, loaded.digest, size) for name in names or ("box",)}
        self.jobs: list[Job] = []
        self.found = Replicas(1, 0)
        self.delay_s = 0.0
        self.inside = self.most_inside = 0
        self.brush = asyncio.Lock()

    async def draw(self, job: Job) -> Drawn:
        self.jobs.append(job)
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        try:
            await asyncio.sleep(self.delay_s)
            async with self.brush:
                (outcome,) = await asyncio.to_thread(draw_jobs, self.loaded, [job], 0.0)
        finally:
            self.inside -= 1
        if isinstance(outcome, Drawn):
            return outcome
        raise outcome

    async def annotate(self, look: Look) -> Found:
        return stand_in(look)

    async def replicas(self) -> Replicas:
        return self.found


def load_box() -> LoadedModel:
    return LoadedModel.load(Path(box.WEIGHTS), "cpu", config.Serve())


@contextmanager
def serving(studio: Any, run: Path = box.RUN, **limits: Any) -> Iterator[str]:
    """The endpoint on a free port of loopback; gives its address."""
    api = build_api(studio, run, config.Serve(**limits))
    server = uvicorn.Server(uvicorn.Config(api, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium; the test is skipped where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page that was opened, and what it did: its complaints, and the addresses that it asked."""

    def __init__(self, browser: Browser, address: str, **options: Any):
        self.address = address
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        )
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.set_default_timeout(10_000)
        self.page.goto(address)

    def until(self, condition: str) -> None:
        """Wait for a condition in JavaScript, asked from here: the page's own rules let no script evaluate text."""
        end = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(condition):
            if time.monotonic() > end:
                status = self.page.locator("#status-line").inner_text()
                pytest.fail(f"not within {PATIENCE_S} s: {condition} (the page says: {status})")
            time.sleep(0.02)

    def settled(self) -> Page:
        """The page, when the picture of its last order is there; whatever was done last was an order at once."""
        self.until(
            "document.querySelector('#result').getAttribute('aria-busy') === 'false'"
            " && document.querySelector('#hero img, #hero canvas') !== null"
        )
        return self.page

    def until_another(self, picture: str) -> None:
        """Wait until another picture than this one is shown."""
        self.until(f"document.querySelector('#hero img').src !== '{picture}'")

    def picture(self) -> str:
        """The address of the picture that is shown: another one for each that was drawn."""
        return self.page.locator("#hero img").first.get_attribute("src") or ""

    def centre(self, selector: str) -> tuple[float, float]:
        return self.pixel(selector, (1, 1), 0, 0)

    def pixel(self, selector: str, size: tuple[int, int], column: int, row: int) -> tuple[float, float]:
        """Where on the screen the centre of a pixel is, in an element that shows `size` (width, height) of them."""
        found = self.page.locator(selector).bounding_box()
        assert found
        x, y = (column + 0.5) / size[0], (row + 0.5) / size[1]
        return found["x"] + x * found["width"], found["y"] + y * found["height"]
