"""How many ratings a second the study server takes from many listeners at once, and whether one is lost.

    python benchmarks/listen.py
    python benchmarks/listen.py --clients 10 --trials 20

Prints a table in Markdown. Every client is a connection on loopback that fetches each recording and rates
it then. The server, the one of `timbrel listen serve`, is a process of its own; its clock runs ahead, so
that nobody waits for a recording to end. Each rating is a transaction that is on the disk before it is
acknowledged. In the end the database is compared with what was acknowledged.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import tempfile
import threading
import time
from itertools import count
from pathlib import Path

import numpy as np

from timbrel.listening import invitations, server, study
from timbrel.listening.invitations import Invitations
from timbrel.listening.store import Store
from timbrel.listening.study import Sample, Study, System

_HOST = "127.0.0.1"
#: Bytes of a recording: 4 s at 16 kHz in FLAC. The server does not look into it.
_RECORDING = 64_000


def main() -> None:
    options = arguments()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        invited = make(Path(folder), options.clients, options.trials)
        port = free_port()
        serving = multiprocessing.Process(target=serve, args=(Path(folder), port), daemon=True)
        serving.start()
        wait_for(port)
        started = time.perf_counter()
        waits = rate_all(port, invited, options.trials)
        seconds = time.perf_counter() - started
        serving.kill()
        serving.join()
        with Store(Path(folder) / "ratings.sqlite") as store:
            stored = len(store.ratings())
    print("| figure | value |\n|---|--:|")
    print(f"| ratings a second, {options.clients} clients | {len(waits) / seconds:.0f} |")
    print(f"| requests a second, recordings included | {2 * len(waits) / seconds:.0f} |")
    print(f"| a rating is acknowledged after, median, ms | {1000 * float(np.median(waits)):.0f} |")
    print(f"| 95 % of them after, ms | {1000 * float(np.quantile(waits, 0.95)):.0f} |")
    print(f"| acknowledged, and in the database after a kill | {len(waits)}, {stored} |")
    print(f"\nLoad average over 1 minute: {load_before:.2f} before, {os.getloadavg()[0]:.2f} after.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the study server.")
    parser.add_argument("--clients", type=int, default=50, help="at once (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=60, help="that each rates (default: %(default)s)")
    return parser.parse_args()


def make(folder: Path, clients: int, trials: int) -> Invitations:
    """A MOS study of one system."""
    samples = tuple(Sample(f"s{number}", f"item {number}", "a", "all", 4.0) for number in range(trials))
    made = Study("Benchmark", ("mos",), (System("a"),), samples, headphones="off", listeners=clients)
    study.save(made, folder)
    (folder / "audio").mkdir()
    for sample in samples:
        study.audio_path(folder, sample.id).write_bytes(os.urandom(_RECORDING))
    return invitations.create(folder, clients)


def serve(folder: Path, port: int) -> None:
    """In a process of its own, with a clock that goes on by 10 s whenever it is read."""
    ticks = count(0, 10)
    server.serve(server.application(folder, lambda: float(next(ticks))), _HOST, port)


def free_port() -> int:
    with socket.socket() as found:
        found.bind((_HOST, 0))
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection((_HOST, port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The server does not start.")


def rate_all(port: int, invited: Invitations, trials: int) -> list[float]:
    """Seconds from sending each rating to its acknowledgement."""
    waits: list[list[float]] = [[] for _ in invited.personal]
    threads = [
        threading.Thread(target=rate, args=(port, link, trials, own))
        for link, own in zip(invited.personal, waits, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [wait for own in waits for wait in own]


def rate(port: int, link: str, trials: int, waits: list[float]) -> None:
    """One listener from joining to the end."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=120)
    ask(connection, "POST", f"/l/{link}/begin")
    for position in range(trials):
        ask(connection, "GET", f"/l/{link}/audio/{position}/0")
        body = {"position": position, "answers": [1 + position % 5], "heard_seconds": 4.0}
        started = time.perf_counter()
        ask(connection, "POST", f"/l/{link}/ratings", json.dumps(body))
        waits.append(time.perf_counter() - started)


def ask(connection: http.client.HTTPConnection, method: str, address: str, body: str | None = None) -> None:
    connection.request(method, address, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise SystemExit(f"{method} {address}: {answer.status} {text!r}")


if __name__ == "__main__":
    main()
