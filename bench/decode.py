"""Tokens a second of SmolLM2 read by Genloom, llama.cpp and transformers: one and many streams, and a long prompt.

The same weights, prompts and threads, greedy; all take turns in one process, a prompt of 30 tokens and 128 new ones,
the prompt's time included. Genloom is its whole sampler, token by token, and for one stream also with prompt lookup,
which its users get (how much that helps depends on how much the text repeats itself). llama.cpp is the plainest loop
over its low-level interface, all streams in one batch; transformers its `generate`. Beside the speed: bits per byte of
a text, each reader by its own logits. llama.cpp reads the file that the weights came in (Q4_1, as Genloom's int4) and
Genloom's own export (Q8_0, as int8), and is left out where llama-cpp-python is not installed. Build it without AMX,
which its kernels for it can't use on every machine:

    CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF" \
        pip install --no-binary llama-cpp-python llama-cpp-python
"""

import argparse
import ctypes
import importlib.util
import math
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genloom.collect.builtin import load_shakespeare
from genloom.exchange import catalog
from genloom.exchange.exporter import export_model
from genloom.exchange.importer import import_model
from genloom.model import Model, load_model, with_precision
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplerInputs, SamplingParams
from genloom.store.workspace import Workspace

llama_cpp: Any = importlib.import_module("llama_cpp") if importlib.util.find_spec("llama_cpp") else None

PROMPT, NEW, LONG, WINDOW = 30, 128, 512, 512


@dataclass(frozen=True)
class Reader:
    """One of those compared: how it writes after prompts, how it reads one, and what it says of each next token."""

    write: Callable[[np.ndarray], object]  # (streams, PROMPT) ids; writes NEW more for each
    read: Callable[[np.ndarray], object]  # (LONG,) ids, to the logits of the last
    logits: Callable[[np.ndarray], np.ndarray]  # (L,) ids to (L, V)


class Uncached(nn.Module):
    """A network without prefix reuse and, unless `guessing`, without the `truncate` of prompt-lookup decoding."""

    def __init__(self, network: Any, guessing: bool):
        super().__init__()
        self.network, self.init_cache = network, network.init_cache
        self.compute_last_logits = network.compute_last_logits
        if guessing:
            self.truncate = network.truncate

    def forward(self, x: Tensor, cond: None = None, cache: Any = None) -> Tensor:
        return self.network(x, cache=cache)


def build_genloom_reader(model: Model, guessing: bool = False) -> Reader:
    network: Any = model.parts["model"]
    objective = model.objective
    assert isinstance(objective, Autoregressive)

    def write(prompts: np.ndarray) -> None:
        count = len(prompts)
        stop = (objective.space.eos,)
        # Without stop tokens, so that no stream ends before the others.
        params = SamplingParams(max_tokens=NEW, temperature=0, inputs=SamplerInputs(tuple(prompts), stop))
        parts = {"model": Uncached(network, guessing)}
        *_, last = objective.sample(parts, count, None, Noise(0, (0,) * count), params)
        assert last.shape == (count, NEW)

    @torch.inference_mode()
    def read(prompt: np.ndarray) -> None:
        cache = network.init_cache(1, len(prompt))
        network.compute_last_logits(torch.from_numpy(prompt)[None], torch.tensor([len(prompt)]), cache)

    @torch.inference_mode()
    def logits(ids: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(ids)[None])[0].numpy()

    return Reader(write, read, logits)


def build_transformers_reader(model: Model) -> Reader:
    from transformers import LlamaConfig, LlamaForCausalLM

    network: Any = model.parts["model"]
    c = network.config
    config = LlamaConfig(
        vocab_size=network.spec.output.vocab_size, hidden_size=c.width, intermediate_size=c.mlp_width,
        num_hidden_layers=c.depth,
        num_attention_heads=c.heads, num_key_value_heads=c.key_heads, max_position_embeddings=8192, pad_token_id=0,
        tie_word_embeddings=c.tie_embeddings, rms_norm_eps=c.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": c.rotary_base},
    )  # fmt: skip
    theirs: Any = LlamaForCausalLM(config)
    theirs.load_state_dict(rename_tensors(network), strict=False)
    theirs = theirs.to(torch.bfloat16).eval()

    def write(prompts: np.ndarray) -> None:
        x = torch.from_numpy(prompts)
        settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}
        assert theirs.generate(x, attention_mask=torch.ones_like(x), **settings).shape[1] == PROMPT + NEW

    @torch.inference_mode()
    def read(prompt: np.ndarray) -> None:
        theirs(torch.from_numpy(prompt)[None], logits_to_keep=1, use_cache=True)

    @torch.inference_mode()
    def logits(ids: np.ndarray) -> np.ndarray:
        return theirs(torch.from_numpy(ids)[None]).logits[0].float().numpy()

    return Reader(write, read, logits)


def rename_tensors(network: Any) -> dict[str, Tensor]:
    """The weights under the names of transformers' Llama."""
    found = {"model.embed_tokens.weight": network.embedding.embed.weight, "model.norm.weight": network.norm.weight}
    found["lm_head.weight"] = network.head.weight
    for i, block in enumerate(network.blocks):
        at, a = f"model.layers.{i}.", block.attention
        q, k, v = a.qkv.weight.split([a.heads * a.K, a.key_heads * a.K, a.key_heads * a.K])
        gate, up = block.mlp.up.weight.chunk(2)
        found |= {at + f"self_attn.{n}_proj.weight": w for n, w in (("q", q), ("k", k), ("v", v), ("o", a.out.weight))}
        found |= {
            at + f"mlp.{n}_proj.weight": w for n, w in (("gate", gate), ("up", up), ("down", block.mlp.down.weight))
        }
        found[at + "input_layernorm.weight"] = block.norm_attention.weight
        found[at + "post_attention_layernorm.weight"] = block.norm_mlp.weight
    return found


class Llama:
    """llama.cpp's low-level interface: every stream is a sequence, all of them in one batch."""

    def __init__(self, path: Path, streams: int, threads: int):
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        context_params = llama_cpp.llama_context_default_params()
        context_params.n_ctx, context_params.n_seq_max = max(streams * 256, 2 * LONG), streams
        context_params.n_batch = context_params.n_ubatch = max(streams * PROMPT, LONG)
        context_params.n_threads = context_params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, context_params)
        self.batch = llama_cpp.llama_batch_init(context_params.n_batch, 0, 1)

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, ids: np.ndarray, first: int, every: bool = False) -> list[int]:
        """Reads (streams, n) ids from position `first` on; the places of the requested logits."""
        batch, logits_places, n = self.batch, [], 0
        for stream, row in enumerate(ids.tolist()):
            for i, token in enumerate(row):
                batch.token[n], batch.pos[n], batch.n_seq_id[n], batch.seq_id[n][0] = token, first + i, 1, stream
                batch.logits[n] = every or i == len(row) - 1
                logits_places += [n] if batch.logits[n] else []
                n += 1
        batch.n_tokens = n
        assert llama_cpp.llama_decode(self.context, batch) == 0
        return logits_places

    def at(self, place: int) -> np.ndarray:
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, place), (self.vocab,))

    def write(self, prompts: np.ndarray) -> None:
        self.clear()
        logits_places = self.decode(prompts, 0)
        for step in range(NEW - 1):
            next_ids = np.array([[int(self.at(place).argmax())] for place in logits_places])
            logits_places = self.decode(next_ids, PROMPT + step)
        for place in logits_places:
            self.at(place).argmax()

    def read(self, prompt: np.ndarray) -> None:
        self.clear()
        self.at(self.decode(prompt[None], 0)[-1])

    def logits(self, ids: np.ndarray) -> np.ndarray:
        self.clear()
        return np.stack([self.at(place) for place in self.decode(ids[None], 0, every=True)])


def bits_per_byte(reader: Reader, stream: np.ndarray, sizes: np.ndarray, windows: int) -> float:
    """Of `windows` pieces of text, each read by itself after its first token."""
    nats = size = 0.0
    for piece in stream[: windows * WINDOW].reshape(windows, WINDOW):
        logits = torch.from_numpy(reader.logits(piece)[:-1]).float()
        nats += float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(piece[1:]), reduction="sum"))
        size += sizes[piece[1:]].sum()
    return nats / math.log(2) / size


Clock = Callable[[], float]


def measure_seconds(work: Callable[[], object], clock: Clock) -> float:
    started = clock()
    work()
    return clock() - started


def compare_readers(
    readers: dict[str, Reader], work: Callable[[Reader], object], tokens: int, rounds: int, clock: Clock, title: str
) -> None:
    """All readers in turn, a first round that doesn't count; tokens a second and the ratio to each peer."""
    times: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name in list(readers)[:: 1 if turn % 2 else -1]:
            times[name].append(measure_seconds(lambda name=name: work(readers[name]), clock))
    times = {name: found[1:] for name, found in times.items()}
    print(f"\n{title}: tokens/s, median [least, greatest] of {rounds} rounds in turn, and times as fast as each peer")
    peers = [name for name in readers if not name.startswith("Genloom")]
    for name, found in times.items():
        line = f"{name:22s} {format_spread([tokens / t for t in found], ',.0f')}"
        if name not in peers:
            ratios = {p: [b / a for a, b in zip(found, times[p], strict=True)] for p in peers}
            line += "".join(f"   {format_spread(ratio, '.2f')} x {peer}" for peer, ratio in ratios.items())
        print(line, flush=True)


def format_spread(found: list[float], form: str) -> str:
    return f"{statistics.median(found):{form}} [{min(found):{form}}, {max(found):{form}}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[min(2, os.cpu_count() or 1)])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--windows", type=int, default=8, help="pieces of 512 tokens for bits per byte")
    parser.add_argument(
        "--busy", action="store_true", help="count the process's own time: for one thread among others' work"
    )
    parser.add_argument("--gguf", type=Path, help="the model as a file; by default smollm2 of the catalogue")
    args = parser.parse_args()
    clock = time.process_time if args.busy else time.perf_counter
    warnings.filterwarnings("ignore")
    if llama_cpp is None:
        print("llama.cpp is not compared: llama-cpp-python is not installed (see --help)")
    else:
        ignore_log = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(ignore_log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        print("llama.cpp", llama_cpp.__version__, llama_cpp.llama_print_system_info().decode())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gguf = args.gguf or stack.enter_context(catalog.open_entry(catalog.get_entry("smollm2")))
        workspace = Workspace(folder)
        import_model(workspace, str(gguf), "model", lambda *_: None)
        exported = export_model(workspace, "model", "gguf", folder / "export", "q8_0", lambda *_: None).path
        whole = load_model(workspace, "model")
        rounded = {p: with_precision(whole, p) for p in ("int8", "int4")}
        theirs = build_transformers_reader(whole)
        stream = np.asarray(whole.codec.encode(load_shakespeare()[:100_000]), np.int64)
        codec: Any = whole.codec
        sizes = np.array([len(codec.decode_bytes([i])) for i in range(codec.space.vocab_size)])

        def all_readers(streams: int, threads: int) -> dict[str, Reader]:
            torch.set_num_threads(threads)
            files = {"llama.cpp Q8_0": exported, "llama.cpp Q4_1": gguf} if llama_cpp else {}
            llamas = {name: Llama(path, streams, threads) for name, path in files.items()}
            llama_readers = {name: Reader(x.write, x.read, x.logits) for name, x in llamas.items()}
            own = {f"Genloom {p}": build_genloom_reader(model) for p, model in rounded.items()}
            if streams == 1:
                own |= {
                    f"Genloom {p}, lookup": build_genloom_reader(model, guessing=True) for p, model in rounded.items()
                }
            return {**own, **llama_readers, "transformers bf16": theirs}

        readers = all_readers(1, max(args.threads))
        print(f"\nBits per byte of {args.windows} x {WINDOW} tokens of Shakespeare")
        for name, reader in {"Genloom float32": build_genloom_reader(whole), **readers}.items():
            if "lookup" in name:
                continue
            print(f"{name:22s} {bits_per_byte(reader, stream, sizes, args.windows):.4f}", flush=True)
        for threads in args.threads:
            for streams in args.streams:
                prompts = stream[: streams * PROMPT].reshape(streams, PROMPT)
                title = f"{threads} threads, {streams} streams, {PROMPT} + {NEW} tokens"
                compare_readers(
                    all_readers(streams, threads),
                    lambda r, p=prompts: r.write(p),
                    streams * NEW,
                    args.rounds,
                    clock,
                    title,
                )
            title = f"{threads} threads, a prompt of {LONG} tokens"
            compare_readers(all_readers(1, threads), lambda r: r.read(stream[:LONG]), LONG, args.rounds, clock, title)


if __name__ == "__main__":
    main()
