"""What the study server lets a listener do; a clock set by hand stands for listening."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI
from starlette.testclient import TestClient

from timbrel.errors import ConfigError
from timbrel.listening import invitations, routes, server, study
from timbrel.listening.hearing import recordings
from timbrel.listening.scales import SCALES, TONES_SECONDS
from timbrel.listening.store import Store

from .making import Clock
from .taking import Listener, answers_to


def test_a_listener_goes_through_all_tests(listener: Listener, store: Store, folder: Path) -> None:
    state = listener.pass_headphones(store)
    seen = []
    while state["phase"] == "trial":
        seen.append(state["test"])
        heard = listener.hear(state)
        state = listener.rate(state, answers_to(state), heard).json()
    assert state == {"phase": "done"}
    assert list(dict.fromkeys(seen)) == ["mos", "smos", "smos4", "ab", "abx", "mushra"]
    (found,) = store.listeners()
    assert found.finished and found.headphones_passed and found.attention_asked == 5
    ratings = store.ratings()
    assert all(rating.score == 2 for rating in ratings if rating.test in ("mos", "smos", "smos4"))
    assert sum(rating.test == "mushra" for rating in ratings) == 2 * 3


def test_the_addresses_that_are_told_are_those_there_are(folder: Path) -> None:
    app = FastAPI()
    session, invited = server.open_session(folder), invitations.load(folder)
    for router in (routes.pages(), routes.joining(session, invited), routes.listening(session, invited)):
        app.include_router(router)
    there = {re.sub(r"\{\w+\}", "ANY", path) for path in app.openapi()["paths"]}
    told = re.findall(r"^ +(?:GET|POST) +(\S+)", str(server.__doc__), re.MULTILINE)
    assert {re.sub(r"[A-Z]+", "ANY", path) for path in told} == there


def test_labels_are_those_of_p800(listener: Listener, trial: dict[str, Any]) -> None:
    assert trial["labels"] == [[5, "Excellent"], [4, "Good"], [3, "Fair"], [2, "Poor"], [1, "Bad"]]


@pytest.mark.parametrize("answer", [1, 2])
def test_a_preference_counts_for_the_system_that_stood_there(
    listener: Listener, store: Store, folder: Path, answer: int
) -> None:
    found, state = study.load(folder), listener.pass_headphones(store)
    expected = []
    while state["test"] != "mushra":
        heard = listener.hear(state)
        shown = store.trial(store.listeners()[0].id, state["position"])
        if state["test"] in ("ab", "abx") and shown.kind != "attention":
            chosen = shown.samples[answer - 1]
            if state["test"] == "ab":
                expected.append(float(found.sample(chosen).system == "baseline"))
            else:
                expected.append(float(chosen == shown.samples[2]))
        state = listener.rate(state, [answer], heard).json()
    paired = [rating for rating in store.ratings() if rating.test in ("ab", "abx")]
    assert [rating.score for rating in paired] == expected
    assert {rating.system for rating in paired} == {"baseline/proposed"}
    assert {found.sample(rating.sample).system for rating in paired} == {"baseline"}


def test_a_listener_hears_what_the_plan_says(
    listener: Listener, trial: dict[str, Any], store: Store, folder: Path
) -> None:
    found, identity = study.load(folder), store.listeners()[0].id
    while trial["phase"] == "trial":
        ids = recordings(found, store.trial(identity, trial["position"]))
        sent = [listener.get(recording["url"]) for recording in trial["recordings"]]
        assert [one.content for one in sent] == [study.audio_path(folder, one).read_bytes() for one in ids]
        assert {one.headers["content-type"] for one in sent} == {"audio/flac"}
        trial = listener.rate(trial, answers_to(trial), listener.hear(trial)).json()


def test_telephones_may_ask_for_a_part(listener: Listener, trial: dict[str, Any]) -> None:
    address = f"/l/{listener.link}/{trial['recordings'][0]['url']}"
    part = listener.client.get(address, headers={"range": "bytes=0-1"})
    assert (part.status_code, len(part.content)) == (206, 2)


def test_the_link_for_everybody_makes_a_listener_who_comes_back(
    client: TestClient, folder: Path, store: Store
) -> None:
    address = f"/join/{invitations.load(folder).open}"
    assert client.get(address).status_code == 200
    assert store.listeners() == []  # looking, as previews of links do, is not joining
    joined = client.post(address, follow_redirects=False)
    assert joined.status_code == 303
    cookie = joined.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie
    again = client.post(address, follow_redirects=False)
    assert again.headers["location"] == joined.headers["location"]
    assert len(store.listeners()) == 1
    client.cookies.clear()
    assert client.post(address, follow_redirects=False).headers["location"] != joined.headers["location"]
    assert client.get(joined.headers["location"]).status_code == 200


def test_a_full_study_says_so(client: TestClient, folder: Path) -> None:
    address = f"/join/{invitations.load(folder).open}"
    statuses = []
    for _ in range(31):  # ten times the three that are planned, and one
        client.cookies.clear()
        statuses.append(client.post(address, follow_redirects=False).status_code)
    assert statuses == [303] * 30 + [403]


def test_looking_at_a_personal_link_is_not_joining(listener: Listener, store: Store) -> None:
    assert listener.get("").status_code == 200
    assert listener.get("welcome").json()["answered"] == 0
    assert store.listeners() == []
    assert listener.get("audio/0/0").status_code == 404
    listener.begin()
    listener.begin()
    assert len(store.listeners()) == 1


def test_a_listener_goes_on_where_he_stopped_on_another_server(
    listener: Listener, trial: dict[str, Any], folder: Path, clock: Clock
) -> None:
    shown = listener.rate(trial, [3], listener.hear(trial)).json()
    with TestClient(server.application(folder, clock)) as restarted:
        assert Listener(restarted, listener.link, clock).begin() == shown


def test_what_was_heard_before_a_restart_counts(
    listener: Listener, trial: dict[str, Any], folder: Path, clock: Clock
) -> None:
    heard = listener.hear(trial)
    with TestClient(server.application(folder, clock)) as restarted:
        assert Listener(restarted, listener.link, clock).rate(trial, [3], heard).status_code == 200


def test_nothing_is_rated_before_the_headphone_check(listener: Listener, store: Store) -> None:
    state = listener.begin()
    assert state["phase"] == "headphones"
    assert listener.get("audio/0/0").status_code == 404
    rating = {"position": 0, "answers": [3], "heard_seconds": 9}
    assert listener.post("ratings", rating).status_code == 409


@pytest.mark.parametrize("answer", [3, -1])
def test_an_answer_about_tones_is_one_of_three(listener: Listener, answer: int) -> None:
    state = listener.begin()
    listener.get(state["url"])
    listener.clock.pass_seconds(TONES_SECONDS)
    assert listener.post(state["url"], {"answer": answer}).status_code == 409
    assert listener.post("tones/3", {"answer": 1}).status_code == 409


def test_tones_are_heard_before_they_are_answered(listener: Listener) -> None:
    state = listener.begin()
    assert listener.post(state["url"], {"answer": 1}).status_code == 409
    listener.get(state["url"])
    listener.clock.pass_seconds(3)
    assert listener.post(state["url"], {"answer": 1}).status_code == 409


def test_without_headphones_there_is_a_second_try_where_they_are_required(
    folder: Path, clock: Clock, store: Store
) -> None:
    path = folder / "study.json"
    path.write_text(path.read_text().replace('"headphones": "check"', '"headphones": "required"'))
    with TestClient(server.application(folder, clock)) as client:
        listener = Listener(client, invitations.load(folder).personal[0], clock)
        state, shown = listener.begin(), []
        while state["phase"] == "headphones":
            shown.append(state["again"])
            listener.get(state["url"])
            clock.pass_seconds(TONES_SECONDS)
            tones = store.tones(str(store.find(listener.link)))
            wrong = next((tone.expected + 1) % 3 for tone in tones if tone.answer is None)
            state = listener.post(state["url"], {"answer": wrong}).json()
        assert shown == [False] * 6 + [True] * 6
        assert state == {"phase": "turned-away"}
        assert listener.get("audio/0/0").status_code == 404


def test_a_study_without_its_recordings_is_not_served(folder: Path) -> None:
    gone = study.audio_path(folder, study.load(folder).samples[0].id)
    gone.unlink()
    with pytest.raises(ConfigError, match=f"{gone.name} is gone"):
        server.application(folder)


def test_a_folder_without_a_study_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a study"):
        server.application(tmp_path)


def test_every_scale_has_a_label_for_each_answer() -> None:
    for test, scale in SCALES.items():
        values = sorted(value for value, _ in scale.labels)
        expected = [0, 20, 40, 60, 80] if test == "mushra" else list(range(scale.least, scale.most + 1))
        assert values == expected
