"""One listener's browser, less the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timbrel.listening.scales import TONES_SECONDS
from timbrel.listening.store import Store

from .making import Clock

if TYPE_CHECKING:
    from starlette.testclient import TestClient


class Listener:
    """Asks and answers as the page does, and lets the clock pass for hearing."""

    def __init__(self, client: TestClient, link: str, clock: Clock) -> None:
        self.client, self.link, self.clock = client, link, clock

    def get(self, address: str) -> Any:
        return self.client.get(f"/l/{self.link}/{address}")

    def post(self, address: str, body: Any = None) -> Any:
        return self.client.post(f"/l/{self.link}/{address}", json=body)

    def begin(self) -> dict[str, Any]:
        answer = self.post("begin")
        assert answer.status_code == 200
        return dict(answer.json())

    def pass_headphones(self, store: Store) -> dict[str, Any]:
        """To the first trial."""
        state = self.begin()
        while state["phase"] == "headphones":
            assert self.get(state["url"]).status_code == 200
            self.clock.pass_seconds(TONES_SECONDS)
            tones = store.tones(str(store.find(self.link)))
            expected = next(tone.expected for tone in tones if tone.answer is None)
            state = self.post(state["url"], {"answer": expected}).json()
        return state

    def hear(self, state: dict[str, Any]) -> float:
        """Every recording of a trial to its end; how long that takes."""
        total = 0.0
        for recording in state["recordings"]:
            assert self.get(recording["url"]).status_code == 200
            self.clock.pass_seconds(recording["seconds"])
            total += recording["seconds"]
        return total

    def rate(self, state: dict[str, Any], answers: list[int], heard: float) -> Any:
        body = {"position": state["position"], "answers": answers, "heard_seconds": heard}
        return self.post("ratings", body)


def answers_to(state: dict[str, Any]) -> list[int]:
    """Something that fits the trial."""
    return [50] * (len(state["recordings"]) - 1) if state["test"] == "mushra" else [2]
