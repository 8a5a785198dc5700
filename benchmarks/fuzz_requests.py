"""Mutated requests to a real server: it must live through all of them, say nothing but its own fixed texts, and give no
probability that a model did not give.

    nice -n 19 python benchmarks/fuzz_requests.py --cases 100000 --work runs/fuzz-requests

A case is made from its number alone. Run it again to go on where it stopped; `--case N` repeats one. Most cases go to
the server with the embedded model, some to one whose model gives only NaN and infinity. Violations are listed in
WORK/findings.jsonl.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import tyro
from rich.progress import Progress

from fuzz_messages import Case, case_of
from robo_dialog.v1 import success_detector_pb2 as pb
from robo_episodes.pool import write_json
from serving_ways import Running, Way, images, ours, running

BATCH = 64
LEAK = re.compile(r"/|0x|\\|Traceback|Error|Exception|\.py|cv2|onnx|None|zebra|quartz|nan", re.IGNORECASE)
DETECTOR = "/robo_dialog.v1.SuccessDetectorService/"
ADMIN = "/robo_dialog.v1.ModelAdminService/"
ALLOWED = {
    "real": {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "NOT_FOUND", "FAILED_PRECONDITION"},
    "broken": {"INTERNAL", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "NOT_FOUND", "FAILED_PRECONDITION"},
}
"""Codes that a mutated request may get from the server with a good model, and from the one without."""


@dataclass(frozen=True)
class Options:
    """How much is tried."""

    cases: int = 1000
    """Total number of cases, those of earlier runs included."""
    work: Path = Path("runs/fuzz-requests")
    """Keeps the count and the findings."""
    case: int | None = None
    """Repeat this case alone and say what came of it."""


def main(options: Options) -> None:
    """Go on from the last case, or repeat one."""
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        ways = {"real": ours("--log-level", "error", "--deadline", "120"), "broken": broken()}
        servers = {name: stack.enter_context(running(way, work)) for name, way in ways.items()}
        if options.case is not None:
            one = case_of(options.case)
            print(one.server, one.method, one.data[:200], asyncio.run(asked(servers, [one])))
            return
        search(options, work, servers)


def broken() -> Way:
    """A server whose model gives nothing but NaN and infinity."""
    script = str(Path(__file__).parent / "peer_servers" / "with_nan.py")
    honest = ours()
    return replace(
        honest,
        name="nan",
        command=lambda port: [sys.executable, script, str(port)],
        probability=lambda _: math.nan,
        code="INTERNAL",
    )


def search(options: Options, work: Path, servers: dict[str, Running]) -> None:
    """Try case after case; what was done survives the end of this program."""
    path = work / "state.json"
    state = json.loads(path.read_text()) if path.exists() else {"cases": 0, "outcomes": {}}
    outcomes = Counter(state["outcomes"])
    with Progress(disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("cases", total=options.cases, completed=state["cases"])
        for first in range(state["cases"], options.cases, BATCH):
            cases = [case_of(number) for number in range(first, min(first + BATCH, options.cases))]
            for case, (outcome, finding) in zip(cases, asyncio.run(asked(servers, cases)), strict=True):
                outcomes[outcome] += 1
                if finding is not None:
                    keep(work, case, finding)
            write_json(path, {"cases": first + len(cases), "outcomes": dict(sorted(outcomes.items()))})
            progress.update(bar, completed=first + len(cases))
    print(json.dumps({"cases": sum(outcomes.values()), "outcomes": dict(sorted(outcomes.items()))}))


async def asked(servers: dict[str, Running], cases: Sequence[Case]) -> list[tuple[str, str | None]]:
    """Outcome of each case, and what is wrong with it; every server must answer an honest request afterwards."""
    options = [("grpc.enable_retries", 0)]
    channels = {name: grpc.aio.insecure_channel(one.address, options=options) for name, one in servers.items()}
    judged = await asyncio.gather(*(judge(channels[case.server], case) for case in cases))
    for name, channel in channels.items():
        if not servers[name].process.is_running():
            raise SystemExit(f"a server has died within cases {cases[0].number} to {cases[-1].number}")
        code, _ = await answer_of(channel, Case(0, name, "IsSuccess", ours().message(images(1)[0])))
        if code != servers[name].way.code:
            raise SystemExit(f"an honest request gets {code} after cases {cases[0].number} to {cases[-1].number}")
        await channel.close()
    return list(judged)


async def judge(channel: grpc.aio.Channel, case: Case) -> tuple[str, str | None]:
    """Name the outcome, and say what is wrong with it."""
    code, body = await answer_of(channel, case)
    if code not in ALLOWED[case.server] and not (code == "OK" and case.method != "IsSuccess"):
        return "violation", f"{code}: {body!r:.200}"
    if code == "OK":
        return ("violation", problem) if (problem := wrong_answer(case, body)) else (code, None)
    if LEAK.search(text := body.decode(errors="replace")) and "internal error; the server's log" not in text:
        return "violation", f"{code} says {text!r:.200}"
    return code, None


async def answer_of(channel: grpc.aio.Channel, case: Case) -> tuple[str, bytes]:
    """Code and answer, or code and text."""
    method = (ADMIN if case.method in ("LoadModel", "ListModels") else DETECTOR) + case.method
    try:
        if case.method == "StreamIsSuccess":
            parts = [bytes(one) async for one in channel.stream_stream(method)(iter([case.data]), timeout=300)]
            return "OK", b"".join(parts)
        return "OK", await channel.unary_unary(method)(case.data, timeout=300)
    except grpc.aio.AioRpcError as error:
        return error.code().name, str(error.details()).encode()


def wrong_answer(case: Case, body: bytes) -> str | None:
    """What is wrong with a good answer."""
    if case.method == "StreamIsSuccess":
        answer = pb.StreamIsSuccessResponse.FromString(body)
        if answer.WhichOneof("outcome") == "failure":
            code = next(status.name for status in grpc.StatusCode if status.value[0] == answer.failure.code)
            is_bad = code not in ALLOWED[case.server] or (code != "INTERNAL" and LEAK.search(answer.failure.message))
            return f"{code} in a stream says {answer.failure.message!r:.200}" if is_bad else None
        return wrong_verdict(case, answer.response)
    return wrong_verdict(case, pb.IsSuccessResponse.FromString(body)) if case.method == "IsSuccess" else None


def wrong_verdict(case: Case, answer: pb.IsSuccessResponse) -> str | None:
    """A probability must be one, and come from a model that gives any."""
    numbers = [answer.probability, *(one.probability for one in answer.frame_probabilities)]
    if case.server == "broken":
        return f"a verdict from NaN: {answer.probability}"
    if not all(math.isfinite(one) and 0 <= one <= 1 for one in numbers) or not answer.verdict:
        return f"probabilities {numbers}"
    return None


def keep(work: Path, case: Case, finding: str) -> None:
    """List a finding; `--case` makes its request again."""
    line = {"case": case.number, "server": case.server, "method": case.method, "text": finding}
    with (work / "findings.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
