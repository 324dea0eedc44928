"""Music beside peers: likelihood on Bach's chorales, controls that are kept, faults of voice leading, speed.

    python bench/music.py likelihood --data Jsb16thSeparated.json     # hours on two cores; --steps for less
    python bench/music.py samples --model tunes --count 100
    python bench/music.py speed --model tunes

likelihood: the well-known split of Boulanger-Lewandowski et al. (2012), 229 chorales to train on and 77 to test, on a
grid of sixteenths with four pitches a frame. Nats of a chorale, its key and header included, over its frames, and over
four times its frames (a token, as Music Transformer and TonicNet report). Ours are bounds: a chorale has one encoding
here, and the model may give others probability. The peer is an LSTM over the grid itself, about as large, trained in
the same run as long, in twelve transpositions.
"""

import argparse
import itertools
import json
import math
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from paired import Spread
from torch import nn

import genloom as gl
from genloom.evaluate.music import count_faults, count_followed
from genloom.media import music
from genloom.media.music.controls import read_words
from genloom.media.music.score import Note, Part, Score, find_key
from genloom.model.likelihood import compute_nll
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


def measure_ours(scores: dict[str, list[Score]], steps: int, network: dict[str, object]) -> tuple[float, float]:
    """Return the nats of the test chorales, and the parameters in millions."""
    with tempfile.TemporaryDirectory() as folder:
        for number, score in enumerate(scores["train"]):
            music.save(Item(score), Path(folder) / f"{number}.mid")
        workspace = gl.Workspace(Path(folder) / "workspace")
        workspace.collect(folder, name="chorales", passage_bars=64, near_duplicates=0, test=0)
        overrides = {"codec.name": "notes", "context_length": 1536, "batch_size": 8, "text_encoder.name": "", **network}
        model = workspace.train("chorales", steps=steps, overrides=overrides).load()
        nats = sum(nats for nats, _ in compute_nll(model, scores["test"]))
        return nats, sum(p.numel() for part in model.parts.values() for p in part.parameters()) / 1e6


class GridLSTM(nn.Module):
    """An LSTM over the pitches of the grid, frame by frame from the soprano to the bass."""

    def __init__(self, width: int):
        super().__init__()
        self.embed = nn.Embedding(129, width)
        self.voice = nn.Embedding(4, width)
        self.lstm = nn.LSTM(width, width, 2, batch_first=True, dropout=0.3)
        self.head = nn.Linear(width, 129)

    def forward(self, x_BL: torch.Tensor) -> torch.Tensor:
        """Return the logits of each token after the tokens before it, B L V; the first has only a start token."""
        previous_BL = nn.functional.pad(x_BL[:, :-1], (1, 0), value=128)
        voices_L = torch.arange(x_BL.shape[1]) % 4
        return self.head(self.lstm(self.embed(previous_BL) + self.voice(voices_L))[0])


def measure_lstm(grids: dict[str, list[np.ndarray]], seconds: float, width: int) -> tuple[float, float]:
    """Return the nats of the test chorales after training for so long, and the parameters in millions."""
    torch.manual_seed(0)
    network, rng = GridLSTM(width), random.Random(0)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.01)
    begun, best, best_state = time.perf_counter(), math.inf, network.state_dict()
    step = 0
    while (elapsed := time.perf_counter() - begun) < seconds:
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - elapsed / seconds)
        rows = []
        for frames in rng.sample(grids["train"], 8):
            shift, first = rng.randint(-6, 5), rng.randrange(max(len(frames) - 128, 1))
            piece = frames[first : first + 128]
            rows.append(np.where(piece >= 0, piece + shift, 127).ravel())
        length = max(map(len, rows))
        x = torch.from_numpy(np.stack([np.pad(row, (0, length - len(row)), constant_values=-100) for row in rows]))
        logits = network.train()(x.clamp(min=0))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0 and (nats := sum_nats(network, grids["valid"])) < best:
            best, best_state = nats, {name: t.clone() for name, t in network.state_dict().items()}
    network.load_state_dict(best_state)
    return sum_nats(network, grids["test"]), sum(p.numel() for p in network.parameters()) / 1e6


@torch.inference_mode()
def sum_nats(network: GridLSTM, pieces: list[np.ndarray]) -> float:
    network.eval()
    total = 0.0
    for frames in pieces:
        x = torch.from_numpy(np.where(frames >= 0, frames, 127).ravel())[None]
        total += nn.functional.cross_entropy(network(x).flatten(0, 1), x.flatten(), reduction="sum").item()
    return total


def run_likelihood(args: argparse.Namespace) -> None:
    data = json.loads(args.data.read_text())
    grids = {split: [np.array(piece, np.int64) for piece in pieces] for split, pieces in data.items()}
    scores = {split: [to_score(piece) for piece in pieces] for split, pieces in grids.items()}
    frames = sum(len(piece) for piece in grids["test"])
    print(f"{len(scores['train'])} chorales to train on, {frames:,} frames to test; published: {PUBLISHED}")

    def report(name: str, nats: float, size: float, seconds: float) -> None:
        print(
            f"{name}: {nats / frames:.3f} nats a frame, {nats / frames / 4:.4f} a token "
            f"({size:.2f} M parameters, {seconds / 60:.0f} min)",
            flush=True,
        )

    sizes = {"network.width": args.width, "network.depth": 4, "network.heads": 4, "network.dropout": 0.1}
    begun = time.perf_counter()
    report(
        "transformer over notes",
        *measure_ours(scores, args.steps, {"network.name": "transformer", **sizes}),
        seconds := time.perf_counter() - begun,
    )
    begun = time.perf_counter()
    gru = {"network.name": "recurrent", "network.width": round(args.width * 1.35), "network.depth": 2}
    report("gated recurrent units over notes", *measure_ours(scores, args.steps, gru), time.perf_counter() - begun)
    report("LSTM over the grid", *measure_lstm(grids, seconds, round(args.width * 1.8)), seconds)


def run_samples(args: argparse.Namespace) -> None:
    """Print how many prompts are followed, how many outputs are valid, and the faults a bar of chorales."""
    model, rng = gl.Workspace().model(args.model), random.Random(0)
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
    print("faults a bar of chorales:", {rule: round(rate, 3) for rule, rate in count_faults(chorales).items()})


def run_speed(args: argparse.Namespace) -> None:
    model, seconds, notes = gl.Workspace().model(args.model), [], []
    for seed in range(7):
        begun = time.perf_counter()
        (output,) = model.generate("a chorale in C major for choir, 16 bars", seed=seed)
        seconds.append(time.perf_counter() - begun)
        notes.append(output.value.num_notes / seconds[-1])
    print(f"16 bars of four voices: {Spread.of(seconds)} s, {Spread.of(notes)} notes/s, median [least, greatest] of 7")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("likelihood", "samples", "speed"))
    parser.add_argument("--data", type=Path, help="Jsb16thSeparated.json")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--model", default="tunes")
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    {"likelihood": run_likelihood, "samples": run_samples, "speed": run_speed}[args.what](args)


if __name__ == "__main__":
    main()
