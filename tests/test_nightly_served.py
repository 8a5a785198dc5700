"""Nights beside a real server of the store, and a robot that never stops asking it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import grpc

from nightly_fake import Commands, commands, nightly
from robo_dialog.detect.store import VERSION_DIGITS, ModelStore
from robo_dialog.nightly.command import Nightly
from robo_dialog.nightly.settings import ServerChoice
from robo_server.model import load_model
from server_fakes import LONG_S, listening, question, stub_of

__all__ = ["commands", "nightly"]
PUBLICATIONS = 20


class Robot:
    """Asks, one question after the other."""

    def __init__(self, address: str) -> None:
        self.errors: list[grpc.RpcError] = []
        self.models: list[str] = []
        self._address, self._over = address, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Robot:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with stub_of(self._address) as stub:
            over = False
            while not over:
                over = self._over.is_set()  # and asks once more: the last publication is to be seen
                try:
                    digest = stub.IsSuccess(question(), timeout=LONG_S).model_digest
                except grpc.RpcError as error:
                    self.errors.append(error)
                    continue
                if digest not in self.models[-1:]:
                    self.models.append(digest)


def test_a_robot_that_asks_through_twenty_publications_gets_every_verdict(nightly: Nightly, commands: Commands) -> None:
    store = ModelStore(nightly.store)
    with listening() as served:
        following = served.server.follow(store, lambda path: load_model(path, 1))
        asyncio.run_coroutine_threadsafe(following, served.loop).result(LONG_S)
        watched = replace(nightly, server=ServerChoice(address=served.address))
        published = [store.pointers().champion]
        with Robot(served.address) as robot:
            for day in range(PUBLICATIONS):
                commands.record(f"day {day}")
                assert watched.run() == 0
                published.append(store.pointers().champion)
    assert robot.errors == []
    assert [digest[:VERSION_DIGITS] for digest in robot.models] == published
    assert len(set(published)) == PUBLICATIONS + 1
