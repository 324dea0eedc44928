"""Time to first token and tokens a second of the server at 1, 4 and 16 clients, beside llama.cpp's on the same weights.

SmolLM2 answers different questions of about 40 tokens with 128 new ones each (BENCH_TOKENS), greedily, streamed as
chat completions; end tokens are forbidden, so that only Genloom ends some answers before, which repeat themselves.
Both servers run as processes of their own with the same number of threads and take turns; one client process asks both.
Genloom has the weights in 4 bits as they came (Q4_1), and in 8 (Q8_0, llama.cpp by Genloom's own export). "engine
alone" is the same batch without a server: the difference is the cost of HTTP, JSON, the ledger and the pipe. The memory
of a server is what its processes hold after the round.

The peer is llama.cpp's own server (--llama-server PATH), which batches its clients; without it, that of
llama-cpp-python (--peer-python PYTHON with llama-cpp-python[server]), which answers one client after the other.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import psutil

NEW = int(os.environ.get("BENCH_TOKENS", "128"))  # of each answer
PRECISIONS = ("int4", "int8")
SUBJECTS = (
    "a river", "the moon", "old bread", "a bicycle", "the number seven", "rain", "a letter", "chess",
    "a lighthouse", "salt", "a violin", "winter", "a map", "glass", "the sea", "a clock",
)  # fmt: skip
END_TOKENS = {"0": -100, "2": -100}  # <|endoftext|> and <|im_end|> of SmolLM2


@dataclass(frozen=True)
class Target:
    """A server under test."""

    name: str
    url: str
    key: str
    precision: str = ""  # of Genloom
    pid: int = 0
    startup: float = 0.0  # seconds until it answered
    idle_bytes: int = 0  # of memory then

    def measure_memory(self) -> int:
        """Return the resident bytes of the server's processes."""
        root = psutil.Process(self.pid)
        return sum(each.memory_info().rss for each in (root, *root.children(recursive=True)))

    def count_seconds(self, is_busy: bool) -> float:
        """Return the time; on a busy machine the processor time that the server's processes have taken."""
        if not is_busy:
            return time.perf_counter()
        root = psutil.Process(self.pid)
        times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
        return sum(each.user + each.system for each in times)


@dataclass(frozen=True)
class Answer:
    first: float  # seconds to the first token
    seconds: float
    tokens: int


def build_body(target: Target, client: int, turn: int) -> dict[str, Any]:
    subject = SUBJECTS[(client + turn) % len(SUBJECTS)]
    question = f"Question {turn} of visitor {client}: what would you tell a curious child about {subject}?"
    return {
        "model": "smollm2",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": NEW,
        "temperature": 0,
        "repetition_penalty": 1,
        "repeat_penalty": 1,
        "logit_bias": END_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
        **({"precision": target.precision} if target.precision else {}),
    }


async def send_prompt(http: httpx2.AsyncClient, target: Target, client: int, turn: int) -> Answer:
    started_at, first, pieces, tokens = time.perf_counter(), 0.0, 0, 0
    headers = {"authorization": f"Bearer {target.key}"}
    body = build_body(target, client, turn)
    async with http.stream("POST", f"{target.url}/v1/chat/completions", json=body, headers=headers) as response:
        if response.status_code != 200:
            raise SystemExit(f"{target.name}: {response.status_code} {(await response.aread()).decode()}")
        async for line in response.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            chunk = json.loads(line[6:])
            if chunk.get("usage"):
                tokens = chunk["usage"]["completion_tokens"]
            if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                first = first or time.perf_counter() - started_at
                pieces += 1
    assert pieces > 1
    # A server that does not count its tokens has written all of them: nothing else ends an answer of its.
    return Answer(first, time.perf_counter() - started_at, tokens or NEW)


async def ask_together(target: Target, clients: int, turn: int, is_busy: bool) -> tuple[list[Answer], float]:
    """Ask with all clients at once; return their answers and the tokens a second of all."""
    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as http:
        started_at = target.count_seconds(is_busy)
        answers = await asyncio.gather(*(send_prompt(http, target, client, turn) for client in range(clients)))
        seconds = target.count_seconds(is_busy) - started_at
    return answers, sum(answer.tokens for answer in answers) / seconds


def find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def run_process(command: list[str], log: Path, **environment: str) -> Generator[subprocess.Popen]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=output, text=True, env={**os.environ, **environment}
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def wait_for_server(target: Target, process: subprocess.Popen, started_at: float) -> Target:
    """Wait until the server answers; return the target with its start-up and its idle memory."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"{target.url}/v1/models", headers={"authorization": f"Bearer {target.key}"}).is_success:
                return replace(target, startup=time.perf_counter() - started_at, idle_bytes=target.measure_memory())
        time.sleep(0.2)
    raise SystemExit(f"{target.name} did not start")


@contextlib.contextmanager
def serve_genloom(workspace: Path, threads: int) -> Generator[list[Target]]:
    """Start this file as a server, which prints its address and a key."""
    command, started_at = [sys.executable, __file__, "--serve", str(workspace)], time.perf_counter()
    with run_process(command, workspace / "serve.log", OMP_NUM_THREADS=str(threads)) as process:
        assert process.stdout is not None
        url, key = process.stdout.readline().split()
        target = wait_for_server(Target("Genloom", url, key, pid=process.pid), process, started_at)
        yield [replace(target, name=f"Genloom {precision}", precision=precision) for precision in PRECISIONS]


@contextlib.contextmanager
def serve_llama(args: argparse.Namespace, gguf: Path, name: str, slots: int, log: Path) -> Generator[Target]:
    port = find_port()
    if args.llama_server:
        sizes = ["-c", str(slots * 512), "-np", str(slots), "-t", str(args.threads), "-tb", str(args.threads)]
        command = [args.llama_server, "-m", str(gguf), "--port", str(port), *sizes, "--no-webui"]
    else:
        sizes = ["--n_ctx", "512", "--n_threads", str(args.threads), "--n_threads_batch", str(args.threads)]
        command = [args.peer_python, "-m", "llama_cpp.server", "--model", str(gguf), "--port", str(port), *sizes]
        command += ["--interrupt_requests", "false"]  # else a new client ends the answer to another
    started_at = time.perf_counter()
    with run_process(command, log) as process:
        target = Target(name, f"http://127.0.0.1:{port}", "none", pid=process.pid)
        yield wait_for_server(target, process, started_at)


def serve_workspace(folder: str) -> None:
    """Be the server of a workspace until the parent ends this process."""
    from genloom.api.workspace import Workspace
    from genloom.server.access import SCOPES
    from genloom.server.app import build_app
    from genloom.server.config import Config
    from genloom.server.run import build_http_server, open_sockets

    sockets, config = open_sockets(replace(Config(), port=0))
    guard = build_app(Workspace(folder), config)
    print(f"http://127.0.0.1:{config.port}", guard.keys.create_key("bench", "local", SCOPES)[1], flush=True)
    build_http_server(guard, config, lambda: None).run(sockets=sockets)


def write_alone(folder: str, precision: str, clients: int, rounds: int) -> None:
    """Print the tokens a second of the engine's batch in this process, once a round; the first does not count."""
    from genloom.codecs.chat_template import get_eos_ids, render_chat
    from genloom.generate.continuous_batching import ContinuousBatch
    from genloom.generate.engine import Request
    from genloom.generate.text.conversation import get_chat_codec
    from genloom.model import load_model
    from genloom.store.workspace import Workspace
    from genloom.types import Message

    loaded = load_model(Workspace(Path(folder)), "smollm2", precision=precision)
    codec, target = get_chat_codec(loaded), Target("", "", "")
    params = {"max_tokens": NEW, "temperature": 0}
    clock = time.process_time if "BENCH_BUSY" in os.environ else time.perf_counter
    bias = tuple((int(token), float(value)) for token, value in END_TOKENS.items())
    for turn in range(rounds + 1):
        batch = ContinuousBatch(loaded)
        started_at = clock()
        for client in range(clients):
            message = Message("user", build_body(target, client, turn)["messages"][0]["content"])
            ids = tuple(render_chat(codec, [message], add_generation_prompt=True)[0].tolist())
            rows: Any = {"prompt_ids": (ids,), "eos_ids": get_eos_ids(codec), "logit_bias": bias}
            batch.add_sequence(Request(("",), (client,), params=params, **rows))
        while batch.sequences:
            batch.step()
        if turn:
            print(clients * NEW / (clock() - started_at), flush=True)


def measure_alone(workspace: Path, precision: str, args: argparse.Namespace, clients: int) -> list[float]:
    command = [sys.executable, __file__, "--alone", str(workspace), precision, str(clients), str(args.rounds)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), **({"BENCH_BUSY": "1"} if args.busy else {})}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return [float(line) for line in done.stdout.split()]


def format_spread(found: list[float], form: str) -> str:
    return f"{statistics.median(found):{form}} [{min(found):{form}}, {max(found):{form}}]"


def compare_servers(
    targets: list[Target], alone: dict[str, list[float]], clients: int, args: argparse.Namespace
) -> None:
    """All servers in turn, a first round that does not count; tokens a second, time to first token, and ratios."""
    rates: dict[str, list[float]] = {target.name: [] for target in targets}
    firsts: dict[str, list[float]] = {target.name: [] for target in targets}
    for turn in range(args.rounds + 1):
        for target in targets[:: 1 if turn % 2 else -1]:
            answers, rate = asyncio.run(ask_together(target, clients, turn, args.busy))
            # Genloom ends an answer that repeats itself, so that some are shorter.
            assert sum(answer.tokens for answer in answers) > 0.4 * NEW * clients, answers
            if turn:
                rates[target.name].append(rate)
                firsts[target.name] += [answer.first for answer in answers]
    unit = "tokens per processor-second" if args.busy else "tokens/s"
    print(f"\n{clients} clients: {unit} of all, median [least, greatest] of {args.rounds} rounds in turn")
    peers = [target.name for target in targets if not target.name.startswith("Genloom")]
    for target in targets:
        first = sorted(firsts[target.name])
        late = first[math.ceil(0.95 * len(first)) - 1]
        line = f"{target.name:16s} {format_spread(rates[target.name], ',.0f')}"
        line += f"   first token {statistics.median(first):.3f} s, 95 % within {late:.3f} s"
        line += f"   {target.measure_memory() / 1e6:,.0f} MB"
        if target.name in alone:
            share = statistics.median(rates[target.name]) / statistics.median(alone[target.name])
            line += f"   engine alone {format_spread(alone[target.name], ',.0f')}: the server loses {1 - share:.1%}"
            ratios = {peer: statistics.median(rates[target.name]) / statistics.median(rates[peer]) for peer in peers}
            line += "".join(f"   {ratio:.2f} x {peer}" for peer, ratio in ratios.items())
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--busy", action="store_true", help="count processor time, with one thread: among others' work")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--llama-server", default="", help="path of llama.cpp's server")
    parser.add_argument("--peer-python", default=sys.executable, help="Python with llama-cpp-python and its server")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.threads = 1 if args.busy else args.threads
    if args.serve:
        return serve_workspace(args.serve)
    if args.alone:
        folder, precision, clients, rounds = args.alone
        return write_alone(folder, precision, int(clients), int(rounds))

    from genloom.exchange import catalog
    from genloom.exchange.exporter import export_model
    from genloom.exchange.importer import import_model
    from genloom.store.workspace import Workspace

    print(f"load before: {' '.join(f'{each:.1f}' for each in os.getloadavg())}, {os.cpu_count()} processors")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gguf = stack.enter_context(catalog.open_entry(catalog.get_entry("smollm2")))
        workspace = Workspace(folder)
        import_model(workspace, str(gguf), "smollm2", lambda *_: None)
        exported = export_model(workspace, "smollm2", "gguf", folder / "export", "q8_0", lambda *_: None).path
        slots = max(args.clients)
        targets = stack.enter_context(serve_genloom(folder, args.threads))
        if not args.no_peer:
            for name, path in (("llama.cpp Q4_1", gguf), ("llama.cpp Q8_0", exported)):
                log = folder / f"{name.replace(' ', '-')}.log"
                targets.append(stack.enter_context(serve_llama(args, path, name, slots, log)))
        for target in targets:
            idle = f"idle {target.idle_bytes / 1e6:,.0f} MB"
            print(f"{target.name:16s} answers {target.startup:.2f} s after its start, {idle}")
        for clients in args.clients:
            alone = {f"Genloom {p}": measure_alone(folder, p, args, clients) for p in PRECISIONS}
            compare_servers(targets, alone, clients, args)
    print(f"load after: {' '.join(f'{each:.1f}' for each in os.getloadavg())}")
    return None


if __name__ == "__main__":
    main()
