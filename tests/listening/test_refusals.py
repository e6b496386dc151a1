"""What the study server refuses: answers unheard, forged, doubled, too large, and what is nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from timbrel.listening import invitations, server, study
from timbrel.listening.store import Store

from .taking import Listener


def test_a_rating_before_hearing_is_refused(listener: Listener, trial: dict[str, Any], store: Store) -> None:
    assert listener.rate(trial, [3], 10).status_code == 409
    listener.get(trial["recordings"][0]["url"])
    assert listener.rate(trial, [3], 10).status_code == 409
    listener.clock.pass_seconds(0.9 * trial["recordings"][0]["seconds"])
    refused = listener.rate(trial, [3], 10)
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "Hear every recording to its end before you answer.",
    )
    listener.clock.pass_seconds(10)
    assert listener.rate(trial, [3], 0.9 * trial["recordings"][0]["seconds"]).status_code == 409
    assert store.ratings() == []
    assert listener.rate(trial, [3], trial["recordings"][0]["seconds"]).status_code == 200


def test_every_recording_must_be_heard_not_one_for_long(
    listener: Listener, trial: dict[str, Any], store: Store
) -> None:
    while trial["test"] != "smos" or len(trial["recordings"]) < 2:
        trial = listener.rate(trial, [2], listener.hear(trial)).json()
    listener.get(trial["recordings"][0]["url"])
    listener.clock.pass_seconds(100)
    assert listener.rate(trial, [3], 100).status_code == 409
    listener.get(trial["recordings"][1]["url"])
    assert listener.rate(trial, [3], 100).status_code == 200


def test_a_second_submission_changes_nothing(listener: Listener, trial: dict[str, Any], store: Store) -> None:
    heard = listener.hear(trial)
    first = listener.rate(trial, [4], heard)
    assert first.status_code == 200
    assert listener.rate(trial, [4], heard).json() == first.json()
    different = listener.rate(trial, [5], heard)
    assert (different.status_code, different.json()["detail"]) == (
        409,
        "This trial was answered before; the first answer stands.",
    )
    assert store.position(store.listeners()[0].id) == 1
    assert set(store.answered(store.listeners()[0].id, 0).values()) == {4.0}


def test_submissions_at_once_count_once(listener: Listener, trial: dict[str, Any], store: Store) -> None:
    heard = listener.hear(trial)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: listener.rate(trial, [4], heard).status_code, range(16)))
    assert answers == [200] * 16
    assert len(store.answered(store.listeners()[0].id, 0)) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"answers": [0]}, 422),
        ({"answers": [6]}, 422),
        ({"answers": [-1]}, 422),
        ({"answers": [1, 2]}, 422),
        ({"answers": []}, 422),
        ({"answers": ["5"]}, 422),
        ({"answers": [4.5]}, 422),
        ({"answers": [True]}, 422),
        ({"answers": [3] * 65}, 422),
        ({"answers": None}, 422),
        ({"position": 1}, 409),
        ({"position": 999_999}, 409),
        ({"position": 10**30}, 422),
        ({"position": -1}, 422),
        ({"heard_seconds": -1}, 422),
        ({"heard_seconds": 1e9}, 422),
        ({"sample": "another"}, 422),
    ],
)
def test_what_is_no_answer_to_this_trial_is_refused(
    listener: Listener, trial: dict[str, Any], store: Store, change: dict[str, Any], status: int
) -> None:
    heard = listener.hear(trial)
    body = {"position": trial["position"], "answers": [3], "heard_seconds": heard} | change
    refused = listener.post("ratings", body)
    assert refused.status_code == status
    assert set(refused.json()) == {"detail"}
    assert store.position(store.listeners()[0].id) == 0


@pytest.mark.parametrize("text", ['{"answer": NaN}', "[]", "", "{", "\x00", '{"answer": 1e999}'])
def test_what_is_no_json_is_refused(listener: Listener, trial: dict[str, Any], text: str) -> None:
    address = f"/l/{listener.link}/ratings"
    answer = listener.client.post(address, content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_a_form_of_another_site_is_refused(listener: Listener, trial: dict[str, Any]) -> None:
    """A form can be sent from any page, as plain text; JSON cannot, unless this server allowed it."""
    heard = listener.hear(trial)
    body = f'{{"position": 0, "answers": [3], "heard_seconds": {heard}}}'
    address = f"/l/{listener.link}/ratings"
    answer = listener.client.post(address, content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    preflight = listener.client.options(address, headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in preflight.headers


def test_oversized_forms_are_refused(listener: Listener, trial: dict[str, Any]) -> None:
    body = {"position": 0, "answers": [3], "heard_seconds": 1, "more": "x" * 9000}
    refused = listener.post("ratings", body)
    assert refused.status_code == 413

    def pieces() -> Iterator[bytes]:
        yield from (b'{"position": 0, ' * 100 for _ in range(10))

    address = f"/l/{listener.link}/ratings"
    headers = {"content-type": "application/json"}
    assert listener.client.post(address, content=pieces(), headers=headers).status_code in (400, 413)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/l/",
        "/l/forged-forged-forged-forg/",
        "/l/forged-forged-forged-forg/welcome",
        "/l/forged-forged-forged-forg/audio/0/0",
        "/l/../study.json",
        "/join/forged-forged-forged-forg",
        "/static/../study.py",
        "/static/%2e%2e%2fstudy.py",
        "/static/..%5cstudy.py",
        "/static/study.html",
        "/static/",
        "/study.json",
        "/ratings.sqlite",
        "/docs",
        "/openapi.json",
    ],
)
def test_there_is_nothing_else_to_be_had(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/join/forged-forged-forged-forg", None),
        ("/l/forged-forged-forged-forg/begin", None),
        ("/l/forged-forged-forged-forg/tones/0", {"answer": 0}),
        ("/l/forged-forged-forged-forg/ratings", {"position": 0, "answers": [3], "heard_seconds": 10.0}),
    ],
)
def test_forged_links_change_nothing(client: TestClient, store: Store, path: str, body: object) -> None:
    assert client.post(path, json=body).status_code == 404
    assert store.listeners() == []


@pytest.mark.parametrize(
    "address",
    ["audio/1/0", "audio/0/1", "audio/0/-1", "audio/-1/0", "audio/0/..%2f..%2fstudy.json", "tones/6"],
)
def test_recordings_of_other_trials_are_not_sent(
    listener: Listener, trial: dict[str, Any], store: Store, address: str
) -> None:
    assert listener.get(address).status_code in (404, 422)
    assert store.servings(store.listeners()[0].id, 0) == {}


def test_the_page_is_not_told_what_it_plays(listener: Listener, trial: dict[str, Any], folder: Path) -> None:
    shown = str(trial) + listener.get("").text
    found = study.load(folder)
    assert not any(one.id in shown for one in found.samples)
    assert "baseline" not in shown and "proposed" not in shown


def test_every_answer_has_the_security_headers(listener: Listener) -> None:
    refused = listener.client.post(f"/l/{listener.link}/ratings", content=b"x" * 9000)
    for answer in (listener.get(""), listener.get("welcome"), listener.client.get("/no"), refused):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_have_no_inline_script_and_ask_nobody_else() -> None:
    folder = Path(server.__file__).with_name("pages")
    for path in folder.iterdir():
        text = path.read_text()
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "onclick" not in text and "style=" not in text and "innerHTML" not in text
        assert "<script>" not in text


def test_a_forged_cookie_is_a_new_listener(client: TestClient, folder: Path, store: Store) -> None:
    address = f"/join/{invitations.load(folder).open}"
    joined = client.post(address, headers={"cookie": "timbrel-listener=chosen"}, follow_redirects=False)
    assert "chosen" not in joined.headers["location"]
    assert len(store.listeners()) == 1
