"""What the server tells those who watch it: figures, spans, lines."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import urllib.request

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from robo_dialog.errors import ConfigError
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_server.archive import Keeping
from robo_server.calls import Call, Ended
from robo_server.logs import EVENTS, BackgroundLines, JsonLines, event
from robo_server.metrics import Metrics
from robo_server.tracing import Traces
from robo_server.watching import Watching
from server_fakes import DIGEST, LONG_S, Served, png, question, serving, stub_of


def figures(served: Served) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels."""
    families = served.server._watch.metrics.registry.collect()
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def figure(served: Served, name: str, /, **labels: str) -> float:
    return figures(served).get((f"robodialog_{name}", frozenset(labels.items())), 0.0)


def test_calls_verdicts_stages_and_batches_are_counted():
    with serving() as served, stub_of(served.address) as stub:
        for image in (png(255), png(255), png(0)):
            stub.IsSuccess(question(image), timeout=LONG_S)
        with pytest.raises(grpc.RpcError):
            stub.IsSuccess(question(b"GIF89a"), timeout=LONG_S)
        list(stub.StreamIsSuccess(iter([pb.StreamIsSuccessRequest(request=question())]), timeout=LONG_S))
        assert figure(served, "requests_total", method="IsSuccess", code="OK") == 3
        assert figure(served, "requests_total", method="IsSuccess", code="INVALID_ARGUMENT") == 1
        assert figure(served, "requests_total", method="StreamIsSuccess/message", code="OK") == 1
        assert figure(served, "verdicts_total", verdict="SUCCESS") == 3
        assert figure(served, "verdicts_total", verdict="FAILURE") == 1
        assert figure(served, "probability_count") == 4
        assert figure(served, "batch_frames_sum") == 4
        assert figure(served, "request_seconds_count", method="IsSuccess") == 4
        for stage in ("decode", "queue", "inference"):
            assert figure(served, "stage_seconds_count", stage=stage) == 4
        assert figure(served, "model_info", name="fake", digest=DIGEST) == 1


def test_work_in_hand_and_readiness_are_told_as_they_are():
    with serving() as served, stub_of(served.address) as stub:
        assert figure(served, "ready") == 1
        served.scorer.gate.clear()
        call = stub.IsSuccess.future(question(png()), timeout=LONG_S)
        assert served.scorer.entered.acquire(timeout=LONG_S)
        assert figure(served, "requests_in_work") == 1
        assert figure(served, "bytes_in_work") == len(png())
        served.scorer.gate.set()
        call.result()
        assert figure(served, "requests_in_work") == 0
        served.drain()
        assert figure(served, "ready") == 0


def test_answers_from_memory_and_outcomes_are_counted(tmp_path):
    with serving(keeping=Keeping(tmp_path, rate=0), cache=8) as served, stub_of(served.address) as stub:
        for _ in range(3):
            answer = stub.IsSuccess(question(), timeout=LONG_S)
        for request_id in (answer.request_id, "unknown"):
            report = pb.ReportOutcomeRequest(request_id=request_id, success=False, source=pb.OUTCOME_SOURCE_PERSON)
            stub.ReportOutcome(report, timeout=LONG_S)
        assert figure(served, "cached_answers_total") == 2
        assert figure(served, "stage_seconds_count", stage="inference") == 1
        assert figure(served, "outcomes_total", verdict="SUCCESS", success="false") == 1
        assert figure(served, "outcomes_total", verdict="unknown", success="false") == 1


def test_events_of_the_log_are_counted_by_name():
    before = EVENTS["something_rare"]
    event("something_rare")
    (family,) = [family for family in Metrics().registry.collect() if family.name == "robodialog_events"]
    assert {sample.labels["event"]: sample.value for sample in family.samples}["something_rare"] == before + 1


def test_prometheus_can_ask_over_http_until_the_server_has_stopped(caplog):
    with (
        caplog.at_level("INFO", "robo_server"),
        serving(watching=Watching(metrics_port=0)) as served,
        stub_of(served.address) as stub,
    ):
        (port,) = [one.fields["port"] for one in caplog.records if one.getMessage() == "metrics_listening"]
        stub.IsSuccess(question(), timeout=LONG_S)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S) as answer:
            text = answer.read().decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"robodialog_requests", "robodialog_batch_seconds", "process_resident_memory_bytes"} <= names
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S)


def test_a_taken_port_of_the_figures_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--metrics-port {port}: cannot be listened on"):
            Watching(metrics_port=port).begin()
    with pytest.raises(ConfigError, match="--metrics-port 70000 is out of range"):
        Watching(metrics_port=70000)


def test_the_dashboard_shows_only_figures_that_there_are(repository):
    text = (repository / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8")
    dashboard = json.loads(text)
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    shown = {name for one in expressions for name in re.findall(r"\b(robodialog_\w+|process_\w+)", one)}
    metrics = Metrics()
    metrics.watch("requests_in_work", "", lambda: 0)
    ended = Ended(Call("IsSuccess"), grpc.StatusCode.OK, 0.1)
    metrics.call_ended(ended)
    known = {"robodialog_requests_total"}
    for family in metrics.registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"]}
        known |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    assert shown <= known
    assert len(shown) > 8
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["title"] for panel in dashboard["panels"])


def test_a_call_is_a_span_of_its_client_with_its_stages_inside():
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with serving() as served, stub_of(served.address) as stub:
        traces = Traces(exporter)
        served.server._calls._observers.append(traces.call_ended)
        request = question(request_id="seen-1")
        stub.IsSuccess(request, timeout=LONG_S, metadata=[("traceparent", parent)])
        with pytest.raises(grpc.RpcError):
            stub.IsSuccess(question(b"x"), timeout=LONG_S)
        traces.close()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["decode", "queue", "inference", "IsSuccess", "IsSuccess"]
    call, refused = spans[3], spans[4]
    assert (f"{call.context.trace_id:032x}", f"{call.parent.span_id:016x}") == (parent[3:35], parent[36:52])
    assert refused.parent is None
    assert call.attributes["robodialog.request_id"] == "seen-1"
    assert call.attributes["robodialog.verdict"] == "SUCCESS"
    assert refused.attributes["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert all(stage.parent.span_id == call.context.span_id for stage in spans[:3])
    assert all(stage.start_time >= call.start_time and stage.end_time <= call.end_time for stage in spans[:3])


def test_without_the_packages_of_opentelemetry_the_extra_is_named():
    code = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from robo_server.watching import Watching\n"
        "try: Watching(traces=True).begin()\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'robo-dialog[serve,otel]'" in done.stdout


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("robo_server", logging.INFO, "", 0, text, None, None)


def test_lines_are_written_in_order_and_all_of_them_before_the_end():
    stream = io.StringIO()
    handler = BackgroundLines(stream)
    handler.setFormatter(JsonLines())
    for number in range(100):
        handler.handle(record(f"event-{number}"))
    handler.close()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [f"event-{k}" for k in range(100)]


class Stuck(io.StringIO):
    """A pipe that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()

    def write(self, text: str) -> int:
        assert self.reading.wait(LONG_S)
        return super().write(text)


def test_a_log_that_nobody_reads_holds_up_nobody_and_counts_what_it_drops(monkeypatch):
    monkeypatch.setattr("robo_server.logs.QUEUE", 5)
    monkeypatch.setattr("robo_server.logs.FAREWELL_S", 0.01)
    stream = Stuck()
    handler = BackgroundLines(stream)
    dropped = EVENTS["lines_dropped"]
    for number in range(20):
        handler.handle(record(f"event-{number}"))
    handler.close()
    assert EVENTS["lines_dropped"] - dropped >= 10  # five in the stuck thread, five that wait
    stream.reading.set()


def test_a_log_whose_reader_has_gone_holds_up_nobody():
    stream = io.StringIO()
    stream.close()
    handler = BackgroundLines(stream)
    dropped = EVENTS["lines_dropped"]
    handler.handle(record("one"))
    handler.close()
    assert EVENTS["lines_dropped"] > dropped
