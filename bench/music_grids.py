"""Networks over the grid of chorales, the peers of `music.py`: an LSTM, and Genloom's transformer of about its size."""

import math
import random
import time

import numpy as np
import torch
from torch import nn

from genloom.networks import transformer
from genloom.types import NetworkSpec, TokenSpace

VOICES, BEATS, PITCHES = 4, 16, 129
FEATURES = VOICES + BEATS + PITCHES + 1


def read_grid(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens L of frames, and what is known before each is read, F L.

    That is its voice, its place in a bar of 16 frames, the pitch that the voice has had before, and for how long.
    """
    tokens = np.where(frames >= 0, frames, 127)
    before = np.vstack([np.full((1, VOICES), 128), tokens[:-1]])
    held = np.zeros(frames.shape)
    for n in range(2, len(frames)):
        held[n] = np.where(before[n] == before[n - 1], held[n - 1] + 1, 0)
    voices, beats = np.tile(np.arange(VOICES), len(frames)), np.repeat(np.arange(len(frames)) % BEATS, VOICES)
    features = [np.eye(VOICES)[voices], np.eye(BEATS)[beats], np.eye(PITCHES)[before.ravel()]]
    known = np.concatenate([*features, np.minimum(held.ravel(), 16)[:, None] / 16], 1)
    return tokens.ravel(), known.T.astype(np.float32)


class GridLSTM(nn.Module):
    """An LSTM over the pitches of the grid, frame by frame from the soprano to the bass."""

    def __init__(self, width: int):
        super().__init__()
        self.embed = nn.Embedding(PITCHES, width)
        self.known = nn.Linear(FEATURES, width)
        self.lstm = nn.LSTM(width, width, 2, batch_first=True, dropout=0.3)
        self.head = nn.Linear(width, PITCHES)

    def forward(self, x_BL: torch.Tensor, features_BFL: torch.Tensor) -> torch.Tensor:
        """Return the logits of each token after the tokens before it, B L V; the first has only a start token."""
        previous_BL = nn.functional.pad(x_BL[:, :-1], (1, 0), value=128)
        return self.head(self.lstm(self.embed(previous_BL) + self.known(features_BFL.mT))[0])


class GridTransformer(nn.Module):
    """Genloom's transformer over the same tokens and features."""

    def __init__(self, width: int):
        super().__init__()
        space = TokenSpace(vocab_size=PITCHES, context_length=4096, bos=128, eos=128)
        config = transformer.Config(width, 4, 4, dropout=0.2, window=4 * 128, tie_embeddings=False, softcap=15.0)
        self.network = transformer.Transformer(NetworkSpec(space, space, is_causal=True), config, FEATURES)

    def forward(self, x_BL: torch.Tensor, features_BFL: torch.Tensor) -> torch.Tensor:
        return self.network(nn.functional.pad(x_BL[:, :-1], (1, 0), value=128), features_BFL=features_BFL)


def measure_grid(
    network: nn.Module, grids: dict[str, list[np.ndarray]], seconds: float, rate: float
) -> tuple[float, float]:
    """Return the nats of the test chorales after so many processor seconds, and the parameters in millions."""
    rng = random.Random(0)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)
    begun, best, best_state = time.process_time(), math.inf, network.state_dict()
    checked = 0.0
    while (elapsed := time.process_time() - begun) < seconds:
        optimizer.param_groups[0]["lr"] = rate * (1 - elapsed / seconds)
        rows = []
        for frames in rng.sample(grids["train"], 8):
            shift, first = rng.randint(-6, 5), BEATS * (rng.randrange(max(len(frames) - 128, 1)) // BEATS)
            piece = frames[first : first + 128]
            rows.append(read_grid(np.where(piece >= 0, piece + shift, -1)))
        length = max(len(tokens) for tokens, _ in rows)
        x = torch.from_numpy(
            np.stack([np.pad(tokens, (0, length - len(tokens)), constant_values=-100) for tokens, _ in rows])
        )
        features = torch.from_numpy(np.stack([np.pad(f, ((0, 0), (0, length - f.shape[1]))) for _, f in rows]))
        logits = network.train()(x.clamp(min=0), features)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if elapsed - checked > seconds / 20:
            checked = elapsed
            if (nats := sum_nats(network, grids["valid"])) < best:
                best, best_state = nats, {name: t.clone() for name, t in network.state_dict().items()}
    if sum_nats(network, grids["valid"]) > best:
        network.load_state_dict(best_state)
    return sum_nats(network, grids["test"]), sum(p.numel() for p in network.parameters()) / 1e6


@torch.inference_mode()
def sum_nats(network: nn.Module, pieces: list[np.ndarray]) -> float:
    network.eval()
    total = 0.0
    for frames in pieces:
        tokens, features = read_grid(frames)
        x = torch.from_numpy(tokens)[None]
        logits = network(x, torch.from_numpy(features)[None])
        total += nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="sum").item()
    return total
