"""The page of a review over HTTP: what it shows, whom it answers, and decisions that survive a kill."""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
from contextlib import contextmanager

import h5py
import pytest

import bundles
from lerobot_files import Take, write_v3
from relabel_files import lines, relabelled, write_attempts
from robo_dialog.errors import ConfigError
from robo_dialog.review.command import Review
from robo_dialog.review.decisions import Decisions
from robo_episodes.images import decode_png


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundles.write(tmp_path_factory.mktemp("review") / "bundle")


@pytest.fixture
def labels(tmp_path, bundle, capsys):
    """Two recordings of three episodes and a LeRobot dataset of two."""
    write_attempts(tmp_path / "r" / "a.hdf5", [-3.0, 0.1, 3.0], "ssf")
    write_attempts(tmp_path / "r" / "b.hdf5", [-3.0, -0.2, 3.0], instruction="open </script> it")
    write_v3(tmp_path / "r" / "bottles", [Take(5), Take(4)])
    relabelled(capsys, tmp_path / "r", out=tmp_path / "labels", bundle=bundle)
    return tmp_path / "labels"


@contextmanager
def serving(labels, **options):
    with Review(labels, browser=False, reviewer="anna", **options)._server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, method="GET", path="/", body=None, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    headers = {} if host is None else {"Host": host}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def embedded(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_shows_the_doubtful_episodes_with_all_their_frames(labels, tmp_path):
    with serving(labels) as server:
        _, page = ask(server)
    told = embedded(page)
    assert len(told["episodes"]) == 8
    first = told["episodes"][0]
    assert first["contradicts"]
    assert first["source"] == f"{tmp_path}/r/a.hdf5#/data/demo_0"
    assert {one["name"] for one in first["cameras"]} == {"agentview"}
    shown = {one["source"]: one["cameras"][0] for one in told["episodes"]}
    with h5py.File(tmp_path / "r" / "b.hdf5") as file:
        group = file["data/demo_1"]
        for key, image in (
            ("first", group["obs/agentview_image"][0]),
            ("final", group["next_obs/agentview_image"][-1]),
        ):
            png = base64.b64decode(shown[f"{tmp_path}/r/b.hdf5#/data/demo_1"][key].partition(",")[2])
            assert (decode_png(png) == image).all()


def test_only_the_most_doubtful_are_read_and_shown(labels):
    with serving(labels, episodes=2) as server:
        assert len(embedded(ask(server)[1])["episodes"]) == 2
        assert len(server.rows) == 2


def test_the_page_loads_nothing_from_anywhere(labels):
    with serving(labels) as server:
        _, page = ask(server)
    assert "default-src 'none'" in page
    markup = re.sub(r'(<script type="application/json" id="data">).*?(</script>)', r"\1\2", page, flags=re.DOTALL)
    assert not re.findall(r"https?:|//[a-z]|@import|url\(|<link|<script src|<img", markup)


def test_a_decision_is_in_the_file_before_it_is_answered(labels):
    with serving(labels) as server:
        told = embedded(ask(server)[1])
        for place, decision in enumerate(("yes", "no", "unsure")):
            body = {"secret": told["secret"], "place": place, "decision": decision}
            assert ask(server, "POST", "/decisions", body)[0] == 200
            assert len(lines(labels / "reviews.jsonl")) == place + 1
        again = embedded(ask(server)[1])
        assert [one["decision"] for one in again["episodes"]][:4] == ["yes", "no", "unsure", "none"]
    with serving(labels) as server:
        told = embedded(ask(server)[1])["episodes"]
        assert sorted(one["decision"] for one in told[-3:]) == ["no", "unsure", "yes"], "the decided come last"


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "guessed"},
        {"secret": None},
        {"place": -1},
        {"place": 8},
        {"place": "0"},
        {"place": True},
        {"decision": "maybe"},
    ],
)
def test_what_no_page_of_ours_would_send_is_refused(labels, change):
    with serving(labels) as server:
        good = {"secret": server.secret, "place": 0, "decision": "yes"}
        assert ask(server, "POST", "/decisions", {**good, **change})[0] == 400
        assert ask(server, "POST", "/decisions", [good])[0] == 400
        assert ask(server, "POST", "/elsewhere", good)[0] == 400
    assert not (labels / "reviews.jsonl").read_bytes()


def test_other_names_that_lead_here_are_not_answered(labels):
    with serving(labels) as server:
        good = {"secret": server.secret, "place": 0, "decision": "yes"}
        assert ask(server, host="evil.example")[0] == 404
        assert ask(server, "POST", "/decisions", good, host="evil.example")[0] == 400
        assert ask(server, path="/labels.jsonl")[0] == 404
        assert ask(server, host=f"localhost:{server.server_port}")[0] == 200


def test_a_full_disk_is_told_to_the_page(labels, monkeypatch):
    def full(self, row, decision):
        raise OSError(28, "No space left on device")

    with serving(labels) as server:
        monkeypatch.setattr(Decisions, "add", full)
        body = {"secret": server.secret, "place": 0, "decision": "yes"}
        status, text = ask(server, "POST", "/decisions", body)
    assert (status, json.loads(text)["error"]) == (507, "the decision cannot be saved (No space left on device)")


def test_folders_that_are_no_labels_are_refused(labels, tmp_path):
    with pytest.raises(ConfigError, match="is no folder of labels"):
        Review(tmp_path, browser=False).run()
    (labels / "labels.parquet").unlink()
    with pytest.raises(ConfigError, match="run `robo-dialog relabel` to its end"):
        Review(labels, browser=False).run()
    with pytest.raises(ConfigError, match="--episodes 0"):
        Review(labels, episodes=0).run()


def test_recordings_that_went_away_are_told(labels, tmp_path):
    (tmp_path / "r").rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match="are the recordings still where they were"):
        Review(labels, browser=False).run()
