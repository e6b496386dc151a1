"""A study from invitation to results in a real browser, by fifteen listeners at once.

One comes by the link for everybody, closes the tab and goes on; one does not listen and is rejected;
the server is killed and started again meanwhile. What was acknowledged is there in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from timbrel.listening import invitations, study
from timbrel.listening.building import build
from timbrel.listening.design import Trial
from timbrel.listening.invitations import Invitations
from timbrel.listening.results import of_study
from timbrel.listening.store import Store
from timbrel.listening.study import Study

from .making import material

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Response

pytest.importorskip("fastapi")
playwright = pytest.importorskip("playwright.async_api", reason="no browser: pip install playwright")

LISTENERS = 15
#: What listeners think of the systems, in all tests.
TASTE = {"baseline": 2, "proposed": 4, "natural": 5}
PATIENCE = 120_000.0  # milliseconds, on a busy machine

Start = Callable[..., "subprocess.Popen[str]"]


def browser_path() -> str | None:
    """A Chromium of the system; None lets playwright take its own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser without a window; the test is skipped where there is none."""
    async with playwright.async_playwright() as started:
        try:
            browser = await started.chromium.launch(executable_path=browser_path(), args=["--mute-audio"])
        except playwright.Error as error:
            pytest.skip(
                f"no browser: install chromium, or python -m playwright install chromium ({error.name})"
            )
        yield browser
        await browser.close()


@dataclass
class Serving:
    """The study and the process that serves it."""

    folder: Path
    start: Start
    port: int
    process: subprocess.Popen[str] | None = None
    restarted: asyncio.Event = field(default_factory=asyncio.Event)
    #: What the server has acknowledged: link, and what was sent.
    acknowledged: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self) -> None:
        """Starts the real command and waits until it answers."""
        self.process = self.start("listen", "serve", self.folder, "--port", str(self.port))
        for _ in range(600):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(urllib.request.urlopen, f"{self.url}/static/study.css", timeout=5)
                return
            await asyncio.sleep(0.2)
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def note(self, answer: Response) -> None:
        """Takes down what was acknowledged."""
        if answer.url.endswith("/ratings") and answer.ok:
            link = answer.url.split("/")[-2]
            self.acknowledged.append((link, json.loads(answer.request.post_data or "")))


@dataclass(frozen=True, slots=True)
class Person:
    """A simulated listener in front of a page."""

    found: Study
    store: Store
    heeds: bool = True

    def answer(self, link: str, position: int) -> int:
        """By taste, and by beeps; without heed always the same."""
        if not self.heeds:
            return 5
        trial = self.trial(link, position)
        if trial.kind == "attention":
            return next(check.answer for check in self.found.attention if check.id == trial.samples[0])
        return TASTE[self.found.sample(trial.samples[0]).system]

    def trial(self, link: str, position: int) -> Trial:
        return self.store.trial(str(self.store.find(link)), position)

    async def begin(self, page: Page) -> None:
        await page.get_by_role("button", name=re.compile("Begin|Go on")).click(timeout=PATIENCE)

    async def headphones(self, page: Page) -> None:
        """The right answers, as headphones would give them."""
        link = page.url.split("/")[-2]
        for number in range(6):
            await page.get_by_role("heading", name=f"Headphones: {number + 1} of 6").wait_for(
                timeout=PATIENCE
            )
            await self.hear(page)
            expected = self.store.tones(str(self.store.find(link)))[number].expected
            await page.get_by_role("radio").nth(expected).check()
            await page.get_by_role("button", name="Next").click()

    async def hear(self, page: Page) -> None:
        """Plays everything, and again what could not be played since the server was away."""
        failed = page.get_by_text("Press Play to try again.")
        for button in await page.get_by_role("button", name=re.compile("^Play")).all():
            heard = button.locator("xpath=..").get_by_text("heard", exact=True)
            while not await heard.count():
                await button.click()
                await heard.or_(failed).first.wait_for(timeout=PATIENCE)

    async def trials(self, page: Page, first: int = 0, last: int | None = None) -> None:
        """Answers from one trial up to another."""
        link = page.url.split("/")[-2]
        count = self.store.trials(str(self.store.find(link)))
        for position in range(first, count if last is None else last):
            heading = page.get_by_role("heading", name=re.compile(f": {position + 1} of {count}$"))
            await heading.wait_for(timeout=PATIENCE)
            await self.hear(page)
            await page.get_by_role("radio", name=re.compile(f"^{self.answer(link, position)}:")).check()
            await page.get_by_role("button", name="Next").click()
        if last is None:
            await page.get_by_text("All your answers are stored.").wait_for(timeout=PATIENCE)


async def faithful(context: BrowserContext, link: str, person: Person) -> None:
    page = await context.new_page()
    await page.goto(link)
    await person.begin(page)
    await person.headphones(page)
    await person.trials(page)


async def closes_the_tab(context: BrowserContext, open_link: str, person: Person, serving: Serving) -> None:
    """Comes by the link for everybody, twice: the second time the cookie knows him."""
    page = await context.new_page()
    await page.goto(open_link)
    await page.get_by_role("button", name="Take part").click()
    await person.begin(page)
    await person.headphones(page)
    await person.trials(page, 0, 4)
    await page.get_by_role("heading", name=": 5 of ").wait_for(timeout=PATIENCE)
    before = page.url
    await page.close()
    await serving.restarted.wait()
    page = await context.new_page()
    await page.goto(open_link)
    await page.get_by_role("button", name="Take part").click()
    await page.get_by_role("button", name="Go on").wait_for(timeout=PATIENCE)
    assert page.url == before
    await person.begin(page)
    await person.trials(page, 4)


async def does_not_listen(context: BrowserContext, link: str, person: Person) -> None:
    """Tries to answer at once, is refused by page and server, and goes on without heed."""
    page = await context.new_page()
    await page.goto(link)
    await person.begin(page)
    await person.headphones(page)
    await page.get_by_role("heading", name=re.compile(": 1 of ")).wait_for(timeout=PATIENCE)
    assert await page.get_by_role("radio", disabled=True).count() == 5
    await page.get_by_role("button", name="Next").click()
    await page.get_by_text("Please hear everything to its end first.").wait_for(timeout=PATIENCE)
    post = """async () => (await fetch("ratings", {
        method: "POST",
        headers: {"content-type": "application/json"},
        body: JSON.stringify({position: 0, answers: [5], heard_seconds: 60}),
    })).status"""
    assert await page.evaluate(post) == 409
    await person.trials(page)


async def kill_and_start(serving: Serving, after: int) -> int:
    """Kills the server once so many ratings, some of everyone, were acknowledged; gives how many."""
    while len(serving.acknowledged) < after or len({link for link, _ in serving.acknowledged}) < LISTENERS:
        await asyncio.sleep(0.05)
    serving.kill()
    acknowledged = len(serving.acknowledged)
    await asyncio.sleep(1)
    await serving.run()
    serving.restarted.set()
    return acknowledged


async def sit_all(serving: Serving, invited: Invitations, found: Study, store: Store) -> int:
    """Everyone at once, and the kill; gives how many ratings were acknowledged before it."""
    person, heedless = Person(found, store), Person(found, store, heeds=False)
    await serving.run()
    async with chromium() as browser:
        contexts = [await browser.new_context() for _ in range(LISTENERS)]
        for context in contexts:
            context.on("response", serving.note)
        links = list(invited.links(serving.url))
        tasks = [
            closes_the_tab(contexts[0], invited.open_link(serving.url), person, serving),
            does_not_listen(contexts[1], links[1], heedless),
            *(faithful(contexts[number], links[number], person) for number in range(2, LISTENERS)),
        ]
        results = await asyncio.gather(kill_and_start(serving, LISTENERS * 4), *tasks)
    return int(results[0] or 0)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_fifteen_listeners_a_kill_and_the_results(tmp_path: Path, start_timbrel: Start) -> None:
    folder = tmp_path / "study"
    made = build(material(tmp_path, items=2, headphones="check", attention=1), folder)
    serving, invited = Serving(folder, start_timbrel, free_port()), invitations.load(folder)
    with Store(folder / "ratings.sqlite") as store:
        before_the_kill = asyncio.run(sit_all(serving, invited, made, store))
        serving.kill()

        trials = 2 * 6 + 2  # two tests of two items of three systems, and a check of attention in each
        assert before_the_kill >= LISTENERS * 4
        assert len(serving.acknowledged) >= LISTENERS * trials
        for link, sent in serving.acknowledged:
            scores = store.answered(str(store.find(link)), sent["position"])
            assert list(scores.values()) == sent["answers"]

        listeners = store.listeners()
        assert len(listeners) == LISTENERS and all(one.finished for one in listeners)
        assert all(one.headphones_passed for one in listeners)
        assert len(store.ratings()) == LISTENERS * 12
        heedless = store.find(invited.personal[1])

    found = of_study(folder)
    assert [one.listener for one in found.rejected] == [heedless]
    assert "attention" in " ".join(found.rejected[0].reasons)
    means = {(cell.test, cell.condition, cell.system): cell.mean.value for cell in found.cells}
    assert means == {
        (test, condition, system): pytest.approx(taste)
        for test in ("mos", "smos")
        for condition in ("seen", "unseen")
        for system, taste in TASTE.items()
    }
    assert study.load(folder) == made


async def press_through(page: Page) -> None:
    """A trial of MUSHRA and all before it with nothing but the keyboard."""
    while not await page.get_by_text("All your answers are stored.").count():
        heading = await page.get_by_role("heading").inner_text()
        buttons = await page.get_by_role("button", name=re.compile("^Play")).count()
        for _ in range(buttons):
            await page.keyboard.press("Tab")
            assert str(await page.evaluate("document.activeElement.textContent")).startswith("Play")
            heard = page.get_by_text("heard", exact=True)
            before = await heard.count()
            await page.keyboard.press("Enter")
            await heard.nth(before).wait_for(timeout=PATIENCE)
        if sliders := await page.get_by_role("slider").count():
            for _ in range(sliders):
                await page.keyboard.press("Tab")
                await page.keyboard.press("ArrowRight")
        else:
            await page.keyboard.press("Tab")
            await page.keyboard.press("Space")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Next"
        await page.keyboard.press("Enter")
        await page.wait_for_function(
            "before => document.querySelector('h1').textContent !== before", arg=heading, timeout=PATIENCE
        )
        # A screen reader begins at the heading of what is new.
        assert await page.evaluate("document.activeElement.id") == "heading"


async def by_keyboard(serving: Serving, link: str) -> None:
    await serving.run()
    async with chromium() as browser:
        context = await browser.new_context(**phone())
        page = await context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(link)
        await page.get_by_role("button", name="Begin").wait_for(timeout=PATIENCE)
        await check_targets(page)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name=re.compile(": 1 of ")).wait_for(timeout=PATIENCE)
        await check_targets(page)
        assert await page.locator("[role=status][aria-live=polite]").count() == 1
        await press_through(page)
        assert problems == []


def phone() -> dict[str, Any]:
    return {"viewport": {"width": 360, "height": 740}, "reduced_motion": "reduce", "has_touch": True}


async def check_targets(page: Page) -> None:
    """What is pressed is 44 pixels high at least and has a name; nothing has to be scrolled sideways."""
    for target in await page.locator("button, label.choice, input[type=range]").all():
        box = await target.bounding_box()
        assert box is not None and box["height"] >= 44
    for control in await page.locator("button, input").all():
        assert await control.evaluate("c => (c.labels?.length ? c.labels[0] : c).textContent.trim()")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_is_enough_on_a_telephone_too(tmp_path: Path, start_timbrel: Start) -> None:
    folder = tmp_path / "study"
    build(material(tmp_path, ("mos", "ab", "mushra"), items=1, attention=0), folder)
    serving, invited = Serving(folder, start_timbrel, free_port()), invitations.load(folder)
    asyncio.run(by_keyboard(serving, next(invited.links(serving.url))))
    with Store(folder / "ratings.sqlite") as store:
        assert [one.finished for one in store.listeners()] == [True]
        assert sorted({rating.test for rating in store.ratings()}) == ["ab", "mos", "mushra"]
