"""Music beside peers: likelihood on Bach's chorales, controls that are kept, faults of voice leading, speed.

    python bench/music.py likelihood --data Jsb16thSeparated.json --minutes 30
    python bench/music.py samples --model tunes --count 100 --data Jsb16thSeparated.json
    python bench/music.py speed --model tunes
    python bench/music.py gallery --model tunes --out docs/tunes      # needs verovio

likelihood: the well-known split of Boulanger-Lewandowski et al. (2012), 229 chorales to train on and 77 to test, on a
grid of sixteenths with four pitches a frame. Nats of a chorale, its key and header included, over its frames, and over
four times its frames (a token, as Music Transformer and TonicNet report). Ours are bounds: a chorale has one encoding
here, and the model may give others probability. The peers work on the grid itself, from the soprano to the bass, in
twelve transpositions: an n-gram model, whose order the validation chorales choose; an LSTM, and Genloom's transformer
of about its size, which both also read the voice, the place in the bar, and the pitch that the voice holds, and for how
long. All are trained for as many processor seconds, those on the grid to their best state by the validation chorales.

samples: what was asked for against what was made, and faults of voice leading beside those of the chorales in --data.

speed: seconds and notes a second, and the same with `generate` of transformers: a Qwen3 with our weights, which it
computes alike but for the prompt and the bound of the logits, both left out, and the rules of the grammar. It writes as
many tokens as ours, turn by turn; in processor seconds, so that other work on the machine counts less.

gallery: the first output of one seed for ten prompts, engraved and as sound, with the longest run of notes of each that
a training tune also has, in any key.
"""

import argparse
import io
import itertools
import json
import random
import tempfile
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from music_grids import GridLSTM, GridTransformer, measure_grid
from paired import Spread

import genloom as gl
from genloom.codecs.notes import Codec
from genloom.evaluate.music import count_faults, count_followed
from genloom.media import music
from genloom.media.music import sound
from genloom.media.music.controls import read_words
from genloom.media.music.score import Note, Part, Score, find_key
from genloom.model.likelihood import compute_nll
from genloom.networks.kneser_ney import KneserNey
from genloom.trust.music.copied_notes import measure_copied_notes
from genloom.types import Item

FRAME = 6  # ticks of a sixteenth
PUBLISHED = "Music Transformer 0.335, CoCoNet 0.436, TonicNet 0.22 nats a token as reported (0.32 in its checkpoints)"
KEYS = ("C major", "D minor", "G major", "A minor", "Bb major", "E minor", "F major", "B minor")
METERS = ("3/4", "4/4", "6/8", "2/2")
STYLES = ("a chorale", "a folk tune", "a fiddle tune", "a madrigal")


def to_score(frames: np.ndarray) -> Score:
    """Return frames of four pitches as a score; equal neighbours are one note, since the data do not tell."""
    parts = []
    for pitches in frames.T:
        edges = [0, *(np.flatnonzero(np.diff(pitches)) + 1).tolist(), len(pitches)]
        notes = [
            Note(begin * FRAME, (end - begin) * FRAME, int(pitches[begin]))
            for begin, end in itertools.pairwise(edges)
            if pitches[begin] >= 0
        ]
        parts.append(Part(52, tuple(notes)))
    score = Score(tuple(parts), style="chorale")
    return Score(score.parts, key=find_key(score), style="chorale")


def measure_ours(scores: dict[str, list[Score]], minutes: float, network: dict[str, object]) -> tuple[float, float]:
    """Return the nats of the test chorales, and the parameters in millions."""
    with tempfile.TemporaryDirectory() as folder:
        for number, score in enumerate(scores["train"]):
            music.save(Item(score), Path(folder) / f"{number}.mid")
        workspace = gl.Workspace(Path(folder) / "workspace")
        workspace.collect(folder, name="chorales", passage_bars=64, near_duplicates=0, test=0)
        overrides = {"context_length": 1536, "batch_size": 16, "text_encoder.name": "", **network}
        model = workspace.train("chorales", minutes=minutes, overrides=overrides).load()
        nats = sum(nats for nats, _ in compute_nll(model, scores["test"]))
        return nats, sum(p.numel() for part in model.parts.values() for p in part.parameters()) / 1e6


def measure_ngram(grids: dict[str, list[np.ndarray]]) -> tuple[float, int]:
    """Return the nats of the test chorales, and the order that is best on the validation chorales."""

    def to_stream(pieces: list[np.ndarray], shifts: range) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens, of each voice its own, and which are no ends of pieces."""
        voices, end = 129 * np.arange(4), [4 * 129]
        rows = [np.where(piece >= 0, piece + shift, 128) + voices for shift in shifts for piece in pieces]
        stream = np.concatenate([end, *(np.append(row.ravel(), end) for row in rows)])
        return stream, stream != end[0]

    train, _ = to_stream(grids["train"], range(-6, 6))

    def sum_log_probs(order: int, split: str) -> float:
        stream, is_note = to_stream(grids[split], range(1))
        return -float(KneserNey.fit(train, 4 * 129 + 1, order).log_prob(stream)[is_note].sum())

    order = min(range(4, 9), key=lambda order: sum_log_probs(order, "valid"))
    return sum_log_probs(order, "test"), order


def run_likelihood(args: argparse.Namespace) -> None:
    data = json.loads(args.data.read_text())
    grids = {split: [np.array(piece, np.int64) for piece in pieces] for split, pieces in data.items()}
    scores = {split: [to_score(piece) for piece in pieces] for split, pieces in grids.items()}
    frames = sum(len(piece) for piece in grids["test"])
    print(f"{len(scores['train'])} chorales to train on, {frames:,} frames to test; published: {PUBLISHED}")

    def report(name: str, nats: float, size: float, seconds: float) -> None:
        print(
            f"{name}: {nats / frames:.3f} nats a frame, {nats / frames / 4:.4f} a token "
            f"({size:.2f} M parameters, {seconds / 60:.1f} core-min)",
            flush=True,
        )

    nats, order = measure_ngram(grids)
    print(f"n-gram over the grid, order {order}: {nats / frames:.3f} nats a frame, {nats / frames / 4:.4f} a token")
    torch.manual_seed(0)
    for name, network, rate in (
        ("LSTM over the grid", GridLSTM(round(args.width * 1.8)), 2e-3),
        ("Genloom's transformer over the grid", GridTransformer(args.width), 1e-3),
    ):
        report(name, *measure_grid(network, grids, args.minutes * 60, rate), args.minutes * 60)
    sizes = {"network.width": args.width, "network.depth": 4, "network.heads": 4, "network.dropout": args.dropout}
    begun = time.process_time()
    nats, size = measure_ours(scores, args.minutes, {"network.name": "transformer", **sizes})
    report("transformer over notes", nats, size, time.process_time() - begun)
    if args.recurrent:
        begun = time.process_time()
        gru = {"network.name": "recurrent", "network.width": round(args.width * 1.35), "network.depth": 2}
        report(
            "gated recurrent units over notes", *measure_ours(scores, args.minutes, gru), time.process_time() - begun
        )


def run_samples(args: argparse.Namespace) -> None:
    """Print how many prompts are followed, how many outputs are valid, and the faults a bar of chorales."""
    model, rng = gl.Workspace(args.workspace).model(args.model), random.Random(0)
    prompts = [
        f"{rng.choice(STYLES)} in {rng.choice(KEYS)}, {rng.choice(METERS)}, {rng.choice((4, 8, 12, 16))} bars"
        for _ in range(args.count)
    ]
    scores = [model.generate(prompt, seed=number)[0].value for number, prompt in enumerate(prompts)]
    for name, (kept, total) in count_followed(scores, [read_words(prompt) for prompt in prompts]).items():
        print(f"{name} as asked: {kept} of {total}")
    problems = [music.check(Item(score)) for score in scores]
    print(f"valid: {sum(not each for each in problems)} of {len(problems)}")
    chorales = [
        model.generate(f"a chorale in {key} for choir, 8 bars", seed=seed)[0].value
        for seed in range(args.count // 8)
        for key in KEYS
    ]
    bach = [to_score(np.array(piece, np.int64)) for piece in json.loads(args.data.read_text())["test"]]
    for name, pieces in (("Bach's chorales", bach), (f"{len(chorales)} chorales", chorales)):
        faults = {rule: round(rate, 3) for rule, rate in count_faults(pieces).items()}
        print(f"faults a bar of {name}: {sum(faults.values()):.3f} ({faults})")


def build_peer(network: Any) -> Any:
    """Return a Qwen3 of transformers with our weights, but for cross-attention and the bound of the logits."""
    import transformers

    config, blocks = network.config, network.blocks
    peer = transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=network.head.out_features,
            hidden_size=config.width,
            intermediate_size=blocks[0].mlp.down.in_features,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            head_dim=config.K,
            rms_norm_eps=config.norm_eps,
            rope_theta=config.rotary_base,  # ty: ignore[unknown-argument]  one of the config's free parameters
            tie_word_embeddings=False,
        )
    )
    weights = {
        "model.embed_tokens.weight": network.embedding.embed.weight,
        "model.norm.weight": network.norm.weight,
        "lm_head.weight": network.head.weight,
    }
    for number, block in enumerate(blocks):
        q, k, v = block.attention.qkv.weight.chunk(3)
        gate, up = block.mlp.up.weight.chunk(2)
        layer = {
            "self_attn.q_proj": q,
            "self_attn.k_proj": k,
            "self_attn.v_proj": v,
            "self_attn.o_proj": block.attention.out.weight,
            "self_attn.q_norm": block.attention.qk_norms[0].weight,
            "self_attn.k_norm": block.attention.qk_norms[1].weight,
            "mlp.gate_proj": gate,
            "mlp.up_proj": up,
            "mlp.down_proj": block.mlp.down.weight,
            "input_layernorm": block.norm_attention.weight,
            "post_attention_layernorm": block.norm_mlp.weight,
        }
        weights |= {f"model.layers.{number}.{name}.weight": weight for name, weight in layer.items()}
    peer.load_state_dict(weights)
    return peer.eval()


@torch.inference_mode()
def check_peer(network: Any, peer: Any) -> None:
    """Assert that the peer computes what our network does without its prompt and the bound of its logits."""
    plain = deepcopy(network)
    plain.config = replace(network.config, softcap=0.0)
    for block in plain.blocks:
        block.cross_attention = None
    x_BL = torch.arange(2, 40)[None]
    assert torch.allclose(plain(x_BL), peer(x_BL).logits, atol=1e-3, rtol=1e-3)


GALLERY = (
    "a chorale in G major for choir, 8 bars",
    "a chorale in A minor for choir, 8 bars",
    "a hymn in F major for brass quartet, 8 bars",
    "a slow chorale in D minor for string quartet, 8 bars",
    "a slow waltz in D minor for string quartet, 8 bars",
    "an Irish jig in D major for flute, 16 bars",
    "a jig in A minor for fiddle, 16 bars",
    "a reel in G major for fiddle, 16 bars",
    "a hornpipe in Bb major for accordion, 8 bars",
    "a Scottish air in E minor for oboe, 3/4, 8 bars",
)


def run_gallery(args: argparse.Namespace) -> None:
    """Write the tunes of the gallery, and print a line of Markdown for each."""
    import resvg_py
    import soundfile
    from PIL import Image

    workspace = gl.Workspace(args.workspace)
    outputs = workspace.model(args.model).generate(list(GALLERY), seed=args.seed)
    scores = [output.value for output in outputs]
    copied = None
    if args.dataset:
        dataset = workspace.store.get_dataset(args.dataset)
        held_out = [item.value for item in dataset.iter_documents("val")]
        copied = measure_copied_notes(scores, dataset.iter_documents("train"), held_out)
        print(f"held-out tunes share {copied.baseline}")
    args.out.mkdir(parents=True, exist_ok=True)
    for number, (prompt, score) in enumerate(zip(GALLERY, scores, strict=True), start=1):
        path = args.out / f"{number:02}.ogg"
        audio = sound.render_audio(score)
        with soundfile.SoundFile(path, "w", sound.RATE, 2, format="OGG", compression_level=1.0) as file:
            for begin in range(0, len(audio), sound.BLOCK):
                file.write(audio[begin : begin + sound.BLOCK])
        png = resvg_py.svg_to_bytes(svg_string=music.render(score, ".svg").decode(), background="white")
        Image.open(io.BytesIO(bytes(png))).convert("L").quantize(16).save(path.with_suffix(".png"), optimize=True)
        run = f", {copied.runs[number - 1].num_notes} notes as in {copied.runs[number - 1].source}" if copied else ""
        print(f"{number}. {prompt} ([listen]({args.out.name}/{path.name})){run}")


def run_speed(args: argparse.Namespace) -> None:
    """Print the speed of a chorale of 16 bars, and of as many tokens by transformers."""
    model, seeds = gl.Workspace(args.workspace).model(args.model), itertools.count()
    network = model.load(precision="float32").parts["model"]
    peer = build_peer(network)
    check_peer(network, peer)
    scores: list[Score] = []

    def write() -> None:
        scores.append(model.generate("a chorale in C major for choir, 16 bars", seed=next(seeds))[0].value)

    def write_with_peer() -> None:
        num_tokens = len(Codec().encode(scores[-1])) if scores else 500
        peer.generate(
            torch.zeros(1, 1, dtype=torch.long),
            min_new_tokens=num_tokens,
            max_new_tokens=num_tokens,
            do_sample=True,
            top_k=0,
        )

    write(), write_with_peer()
    seconds, speeds, ratios = [], [], []
    for _ in range(args.rounds):
        begun, cpu_begun = time.perf_counter(), time.process_time()
        write()
        seconds.append(time.perf_counter() - begun)
        ours = time.process_time() - cpu_begun
        cpu_begun = time.process_time()
        write_with_peer()
        peers = time.process_time() - cpu_begun
        speeds.append(scores[-1].num_notes / ours)
        ratios.append(peers / ours)
    print(f"16 bars of four voices: {Spread.of(seconds)} s by the clock; median [least, greatest] of {args.rounds}")
    print(f"notes a processor second: {Spread.of(speeds)}, {Spread.of(ratios)} times those of transformers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("likelihood", "samples", "speed", "gallery"))
    parser.add_argument("--data", type=Path, help="Jsb16thSeparated.json")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--recurrent", action="store_true", help="also recurrent units over notes")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", default="tunes")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("docs/tunes"))
    parser.add_argument("--dataset", default="", help="the tunes that copies are looked for in")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    runs = {"likelihood": run_likelihood, "samples": run_samples, "speed": run_speed, "gallery": run_gallery}
    runs[args.what](args)


if __name__ == "__main__":
    main()
