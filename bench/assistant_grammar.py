"""The cost of formats: tokens a second of SmolLM2 in a format and without, in turns, beside llama.cpp's grammars.

    python bench/assistant.py grammar [--rounds 5] [--precision int4]

One stream, greedy, the prompt read before the clock starts, through the sampler that users get. "mask" is the time of a
token in a format over that of one without, where the format forces nothing to be drafted; "format" includes the tokens
that the format forces, which are read together with others. The first use of a format, which builds it, is apart.
llama.cpp reads the same weights by llama-cpp-python, with its own grammars and its own baseline (not with --alone).
"""

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genloom.api.workspace import Workspace
from genloom.exchange import catalog
from genloom.generate import engine
from genloom.generate.grammar import build_matcher, list_eos_ids
from genloom.generate.output_format import build_output_format
from genloom.generate.text.conversation import build_chat_request
from genloom.objectives import autoregressive
from genloom.types import Message

PEOPLE = {
    "type": "object",
    "properties": {
        "people": {
            "type": "array",
            "minItems": 6,
            "maxItems": 6,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 30},
                    "age": {"type": "integer", "minimum": 18, "maximum": 90},
                    "city": {"type": "string", "maxLength": 30},
                    "is_member": {"type": "boolean"},
                },
                "required": ["name", "age", "city", "is_member"],
            },
        }
    },
    "required": ["people"],
}
TEXT = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "story": {"type": "string", "minLength": 500, "maxLength": 900}},
    "required": ["title", "story"],
}
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JSON, many short fields": ("List six people with name, age, city and membership as JSON.", {"schema": PEOPLE}),
    "JSON, one long text": ("Write a story about a lighthouse as JSON with title and story.", {"schema": TEXT}),
    "regex of words": ("Write a story about a lighthouse.", {"regex": r"([A-Z][a-z]+( [a-z]+){4,12}\. ?){12,20}"}),
    "regex of dates": ("List twenty dates.", {"regex": r"(\d{4}-[01]\d-[0-3]\d\n){20}"}),
    "choices": ("Is a whale a fish?", {"choices": ["yes", "no", "I do not know"]}),
}
MAX_TOKENS = 160
CLOCK: Callable[[], float] = time.perf_counter


class Writer:
    """SmolLM2 here."""

    def __init__(self, workspace: Workspace, precision: str):
        self.model = workspace.model("smollm2").load((), precision)

    def write(self, prompt: str, grammar: str, max_tokens: int) -> tuple[int, float, str]:
        """Return the tokens after the first, the seconds they took, and the text."""
        params = {"max_tokens": max_tokens, "temperature": 0.0}
        request, _ = build_chat_request(self.model, [Message("user", prompt)], 1, params)
        codec: Any = self.model.codec
        forbidden = () if grammar else tuple((token, -1e9) for token in list_eos_ids(codec, request.eos_ids))
        request = replace(request, grammar=grammar, logit_bias=forbidden, stop_loops=False)
        begin, draft = 0.0, None
        for number, draft in enumerate(engine.generate(self.model, request)):  # noqa: B007
            if number == 0:
                begin = CLOCK()
        assert draft is not None
        return draft.num_tokens[0] - 1, CLOCK() - begin, draft.continuations[0]


class LlamaWriter:
    """The same weights in llama.cpp."""

    def __init__(self, gguf: Path, threads: int):
        llama_cpp: Any = importlib.import_module("llama_cpp")
        self.library = llama_cpp
        self.llama = llama_cpp.Llama(str(gguf), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)

    def build(self, options: dict[str, Any]) -> Any:
        grammar = self.library.LlamaGrammar
        if "schema" in options:
            return grammar.from_json_schema(json.dumps(options["schema"]), verbose=False)
        if "choices" in options:
            return grammar.from_string("root ::= " + " | ".join(map(json.dumps, options["choices"])), verbose=False)
        words = r'([A-Z] [a-z]+ (" " [a-z]+){4,12} "." " "?){12,20}'
        dates = r'([0-9]{4} "-" [01] [0-9] "-" [0-3] [0-9] "\n"){20}'
        return grammar.from_string(f"root ::= {words if 'A-Z' in options['regex'] else dates}", verbose=False)

    def write(self, prompt: str, grammar: Any, max_tokens: int) -> tuple[int, float, str]:
        text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        bias = {} if grammar else {0: -1e9, 2: -1e9}
        pieces, begin = [], 0.0
        for part in self.llama.create_completion(
            text, max_tokens=max_tokens, temperature=0.0, grammar=grammar, stream=True, logit_bias=bias
        ):
            pieces.append(part["choices"][0]["text"])
            if len(pieces) == 1:
                begin = CLOCK()
        seconds = CLOCK() - begin
        return max(len(self.llama.tokenize("".join(pieces).encode(), add_bos=False)) - 1, 1), seconds, "".join(pieces)


def measure_speeds(rounds: int, writers: dict[str, Callable[[], tuple[int, float, str]]]) -> dict[str, list[float]]:
    """Return the tokens a second of each writer in each round; all take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in writers}
    for number in range(rounds + 1):
        for name, write in writers.items():
            count, seconds, _ = write()
            if number:  # the first round warms up
                speeds[name].append(count / seconds)
    return speeds


def without_drafts(write: Callable[[], tuple[int, float, str]]) -> tuple[int, float, str]:
    """Write without drafting what a format forces."""
    original = autoregressive.predict_tokens
    try:
        setattr(autoregressive, "predict_tokens", lambda constraint, contexts: [])  # noqa: B010
        return write()
    finally:
        setattr(autoregressive, "predict_tokens", original)  # noqa: B010


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--alone", action="store_true", help="without llama.cpp")
    parser.add_argument("--cpu", action="store_true", help="processor time, for a machine that is busy")
    parser.add_argument("--suite", action="store_true", help="the JSON Schema Test Suite instead")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "2")))
    options = parser.parse_args(arguments)
    if options.suite:
        importlib.import_module("schema_suite").main()
        return
    torch.set_num_threads(options.threads)
    if options.cpu:
        globals()["CLOCK"] = time.process_time
    with tempfile.TemporaryDirectory() as folder, catalog.open_entry(catalog.get_entry("smollm2")) as gguf:
        workspace = Workspace(folder, progress=False)
        workspace.import_model("smollm2")
        writer = Writer(workspace, options.precision)
        has_peer = not options.alone and importlib.util.find_spec("llama_cpp") is not None
        llama = LlamaWriter(gguf, options.threads) if has_peer else None
        columns = "".join(f"{each:>8}" for each in ("free", "mask", "format", "cost"))
        print(f"{'tokens a second':26}{columns}{'build ms':>10}   llama.cpp: free, grammar, cost")
        for name, (prompt, given) in FORMATS.items():
            print(describe_format(options.rounds, writer, llama, name, prompt, given), flush=True)


def describe_format(
    rounds: int, writer: Writer, llama: LlamaWriter | None, name: str, prompt: str, given: dict[str, Any]
) -> str:
    """Return the row of one format."""
    output_format = build_output_format(**given)
    assert output_format is not None
    begin = CLOCK()
    build_matcher(writer.model.codec, output_format.grammar, list_eos_ids(writer.model.codec, (2,)))
    build = CLOCK() - begin
    count, _, text = writer.write(prompt, output_format.grammar, MAX_TOKENS)
    size = max(count + 1, 8)
    writers: dict[str, Callable[[], tuple[int, float, str]]] = {
        "free": lambda: writer.write(prompt, "", size),
        "mask": lambda: without_drafts(lambda: writer.write(prompt, output_format.grammar, MAX_TOKENS)),
        "format": lambda: writer.write(prompt, output_format.grammar, MAX_TOKENS),
    }
    if llama is not None:
        writers["llama free"] = lambda: llama.write(prompt, None, size)
        writers["llama grammar"] = lambda: llama.write(prompt, llama.build(given), MAX_TOKENS)
    speeds = measure_speeds(rounds, writers)
    middle = {each: statistics.median(values) for each, values in speeds.items()}
    cost = statistics.median(a / b - 1 for a, b in zip(speeds["free"], speeds["mask"], strict=True))
    row = f"{name:26}{middle['free']:8.0f}{middle['mask']:8.0f}{middle['format']:8.0f}{cost:8.1%}{build * 1e3:10.0f}"
    if llama is not None:
        peer = statistics.median(a / b - 1 for a, b in zip(speeds["llama free"], speeds["llama grammar"], strict=True))
        row += f"   {middle['llama free']:.0f}, {middle['llama grammar']:.0f}, {peer:.1%}"
    return f"{row}   {count + 1} tokens: {text[:40]!r}"
