"""No peer: our server around a model that gives nothing but NaN and infinity, for `fuzz_requests`."""

from __future__ import annotations

import asyncio
import itertools
import sys

import numpy as np
from numpy.typing import NDArray

from robo_dialog.detect.session import Feed, OnnxSession
from robo_dialog.models import embedded_bundle
from robo_server.app import Server, run
from robo_server.model import Model, load_model
from robo_server.settings import Limits, Settings


def load() -> Model:
    """The embedded model, spoilt when its golden samples have passed."""
    model, values = load_model(embedded_bundle(), threads=1), itertools.cycle([np.nan, np.inf, -np.inf])

    def spoilt(session: OnnxSession, feed: Feed) -> NDArray[np.float32]:
        return np.full(len(feed["input_ids"]), next(values), np.float32)

    OnnxSession.run = spoilt  # type: ignore[method-assign]
    return model


if __name__ == "__main__":
    settings = Settings(port=int(sys.argv[1]), limits=Limits(cache=0, deadline_s=120))
    asyncio.run(run(lambda: Server(settings), lambda server: server.load(load), lambda *_: None))
