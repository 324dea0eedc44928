"""How often the mark in tokens is found, and how often it is found wrongly; `marks_cost.py` says what it costs.

    python bench/marks.py texts --count 100          # texts of 200 tokens of known entropy, as they are and edited
    python bench/marks.py model REF --workspace W    # the same for texts of a model
    python bench/marks.py music --count 20           # scores of 256 notes, transposed and through MIDI
    python bench/marks.py wrong-keys --count 1000    # p-values without a mark: about a thousand for each

A mark is found at p < 1e-6, after all corrections. The peer of each rate is the other method in the same run: blind
detection, which knows the key only, and detection by the model's probabilities.
"""

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.generate import engine, sampling_params
from genloom.generate.marking import mark_request
from genloom.model import Model, load_model
from genloom.noise import TOKEN_POOL_SIZE, Noise, are_free, pool_token_bits, to_uniform
from genloom.store.keys import derive_noise_key
from genloom.store.workspace import Workspace
from genloom.trust.marks import MAX_P_VALUE, compute_candidates, find_mark, iter_readings
from genloom.trust.token_marks import (
    Candidates,
    TokenMark,
    compute_log_gamma_tail,
    find_blind_mark,
    find_mark_by_model,
    list_candidates,
    read_context_tokens,
)
from genloom.types import TokenSpace

VOCAB, LENGTH, KEY = 1000, 200, 0x5EED5EED5EED5EED
SETTINGS = [(0.5, 0.0), (1.0, 0.0), (1.0, 0.1), (2.0, 0.0), (2.0, 0.1)]  # nats a token, share of replaced tokens
LEVEL = math.log(MAX_P_VALUE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, default in (("texts", 20), ("model", 20), ("music", 4), ("wrong-keys", 100)):
        command = commands.add_parser(name)
        command.add_argument("--count", type=int, default=default, help=f"texts, scores or rounds (default: {default})")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "genloom-marks")
        if name == "texts":
            command.add_argument("--kind", choices=("even", "text-like"), nargs="*", default=["even", "text-like"])
            command.add_argument(
                "--setting", type=int, choices=range(len(SETTINGS)), nargs="*", help="rows of SETTINGS"
            )
        if name == "model":
            command.add_argument("ref")
            command.add_argument("--prompt", default="")
            command.add_argument("--temperature", type=float, default=1.0)
        if name == "music":
            command.add_argument("--notes", type=int, default=256)
            command.add_argument("--temperature", type=float, default=1.0)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    runs = {
        "texts": measure_texts,
        "model": measure_model,
        "music": measure_music,
        "wrong-keys": measure_wrong_keys,
    }
    runs[options.command](options)


def measure_texts(options: argparse.Namespace) -> None:
    """Texts of a language whose next token depends on the four before it, with an entropy that is set."""
    ladder = build_ladder()
    for kind in options.kind:
        for entropy, share in [SETTINGS[n] for n in options.setting or range(len(SETTINGS))]:
            marks: dict[str, list[TokenMark]] = {"blind": [], "by the model": []}
            measured = []
            for number in range(options.count):
                seed = options.seed + number
                ids, chances = write_text(seed, ladder, entropy, kind)
                measured.append(np.mean([-(p * np.log(p)).sum() for p in chances]))
                ids = replace_tokens(ids, share, seed)
                tokens = read_context_tokens(None, ids)
                # Tokens that were replaced change what the model expects, too.
                after = [get_chances(ids[:at], ladder, entropy, kind) for at in range(1, len(ids))]
                candidates: dict[int, Candidates] = {
                    at: list_candidates(p, int(ids[at])) for at, p in enumerate(after, start=1)
                }
                marks["blind"].append(find_blind_mark(tokens, KEY))
                marks["by the model"].append(find_mark_by_model(tokens, KEY, candidates))
            what = f"{kind:9} {np.mean(measured):.2f} nats, {share:.0%} replaced"
            for method, found in marks.items():
                print(f"{what:36} {method:12} {describe_rate(found)}", flush=True)


def build_ladder() -> tuple[np.ndarray, np.ndarray]:
    """Return entropies in nats, and the distributions of Zipf's law that have them."""
    exponents = np.geomspace(0.05, 60, 400)[:, None]
    chances = np.exp(-exponents * np.log1p(np.arange(VOCAB)))
    chances /= chances.sum(1, keepdims=True)
    chances = np.maximum(chances, 1e-30)
    return -(chances * np.log(chances)).sum(1), chances


def get_chances(ids: np.ndarray, ladder: tuple[np.ndarray, np.ndarray], entropy: float, kind: str) -> np.ndarray:
    """Return the distribution after these tokens; in "text-like" texts its entropy is exponentially distributed."""
    rng = np.random.default_rng([9, *ids[-4:].tolist()])
    wanted = entropy if kind == "even" else rng.exponential(entropy)
    chances = np.empty(VOCAB)
    chances[rng.permutation(VOCAB)] = ladder[1][np.abs(ladder[0] - wanted).argmin()]
    return chances


def write_text(
    seed: int, ladder: tuple[np.ndarray, np.ndarray], entropy: float, kind: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    noise = Noise(KEY, (int(np.random.default_rng(seed).integers(2**53)),), is_marked=True)
    ids, chances = np.zeros(1, np.int64), []
    for _ in range(LENGTH):
        chances.append(get_chances(ids, ladder, entropy, kind))
        ids = np.append(ids, noise.sample_tokens(torch.from_numpy(np.log(chances[-1]))[None], [ids]).numpy())
    return ids, chances


def replace_tokens(ids: np.ndarray, share: float, seed: int, vocab: int = VOCAB) -> np.ndarray:
    rng = np.random.default_rng([1, seed])
    is_replaced = rng.random(len(ids)) < share
    return np.where(is_replaced, rng.integers(1, vocab, len(ids)), ids)


def describe_rate(marks: list[TokenMark]) -> str:
    """Return the share that is found, its lower bound at 95 % (Clopper–Pearson if all are), and the p-values."""
    log_ps = np.array([mark.log_p for mark in marks])
    found, tens = int((log_ps < LEVEL).sum()), log_ps / math.log(10)
    bound = f" (at least {0.05 ** (1 / len(marks)):.1%})" if found == len(marks) else ""
    return f"{found} of {len(marks)}{bound}; p = 1e{np.median(tens):.0f}, the weakest 1e{tens.max():.1f}"


def measure_model(options: argparse.Namespace) -> None:
    """Texts of a model, read as a stranger's: neither its record nor its prompt is used."""
    workspace = Workspace(options.workspace)
    model = load_model(workspace, options.ref)
    assert model.folder is not None
    assert isinstance(model.codec.space, TokenSpace), "a model of text"
    params = {
        **sampling_params.add_suggested_params(model, {}),
        "max_tokens": LENGTH,
        "temperature": options.temperature,
    }
    request = engine.build_request([options.prompt], options.count, options.seed, (), params)
    request = mark_request(workspace, model, request)
    values = [text for batch in engine.split_batches(request) for text in engine.run_request(model, batch).values]
    for share in (0.0, 0.1):
        blind, by_model, entropies = [], [], []
        for number, value in enumerate(values):
            (reading,) = list(iter_readings(model.design.medium, [model.folder], value, None))
            ids = replace_tokens(reading.encodings[0], share, number, model.codec.space.vocab_size)
            tokens = read_context_tokens(model.codec, ids)
            blind.append(find_blind_mark(tokens, request.noise_key))
            rows = compute_candidates(model, replace(reading, params=(params,)), ids)[0]
            entropies += [-(p[p > 0] * np.log(p[p > 0])).sum() for _, p in rows.values()]
            by_model.append(find_mark_by_model(tokens, request.noise_key, rows))
        what = f"{model.ref}, {np.mean(entropies):.2f} nats, {share:.0%} replaced"
        for method, marks in (("blind", blind), ("by the model", by_model)):
            print(f"{what:36} {method:12} {describe_rate(marks)}", flush=True)


def measure_music(options: argparse.Namespace) -> None:
    """Scores of the built-in model, cut to a number of notes, transposed, through MIDI, and without their key.

    The third way is what `genloom verify` does: both, with one level for both.
    """
    from genloom.media.music import cut, midi

    workspace = Workspace(options.workspace)
    model = load_model(workspace, "tunes")
    params = sampling_params.add_suggested_params(
        model, {"max_tokens": 3 * options.notes, "temperature": options.temperature}
    )
    request = engine.build_request(["64 bars"], options.count, options.seed, (), params)
    request = mark_request(workspace, model, request)
    results: dict[tuple[str, str], list[TokenMark]] = {}
    for batch in engine.split_batches(request, 8):
        for score in engine.run_request(model, batch).values:
            score = cut(score, options.notes)
            moved = midi.read_midi(midi.write_midi(score.transpose(3)))[0]
            for name, value in (("as it is", score), ("transposed, MIDI", replace(moved, key=None, style=""))):
                blind, by_model = find_score_mark(model, request.noise_key, value, params)
                p_value = max(find_mark(workspace, "music", value).p_value, 1e-300)
                found = {"blind": blind, "by the model": by_model, "verify": replace(blind, log_p=math.log(p_value))}
                for method, mark in found.items():
                    results.setdefault((name, method), []).append(mark)
                powers = ", ".join(f"{method} 1e{mark.log_p / math.log(10):.1f}" for method, mark in found.items())
                print(f"  {score.num_notes} notes, {name}: {powers}", flush=True)
    for (name, method), marks in results.items():
        print(f"{name:36} {method:12} {describe_rate(marks)}", flush=True)


def find_score_mark(model: Model, key: int, score: Any, params: dict[str, Any]) -> tuple[TokenMark, TokenMark]:
    """Return the evidence blind and by the model, the best of the keys that the score may be in."""
    assert model.folder is not None
    (reading,) = list(iter_readings("music", [model.folder], score, None))
    blind = find_blind_mark(read_context_tokens(reading.codec, reading.encodings[0]), key)
    by_model = []
    for ids in reading.encodings:
        rows = compute_candidates(model, replace(reading, params=(params,)), ids)[0]
        mark = find_mark_by_model(read_context_tokens(reading.codec, ids), key, rows)
        by_model.append(replace(mark, log_p=min(mark.log_p + math.log(len(reading.encodings)), 0.0)))
    return blind, min(by_model, key=lambda mark: mark.log_p)


def measure_wrong_keys(options: argparse.Namespace) -> None:
    """The p-values of single pool indices, which must be uniform, and those of whole texts, which must not be small."""
    rng, length = np.random.default_rng(options.seed), 60
    single, whole = [], []
    for key in range(options.count):
        tokens = read_context_tokens(None, rng.integers(0, 50_000, length))
        noise_key = derive_noise_key(key.to_bytes(32, "big"), "text")
        counted = tokens.select(~are_free(noise_key, tokens.folded))
        bits = pool_token_bits(noise_key, np.arange(TOKEN_POOL_SIZE), counted.folded, counted.hashes)
        scores = -np.log1p(-to_uniform(bits)).sum(1)
        single.append(np.exp([compute_log_gamma_tail(len(counted), float(score)) for score in scores]))
        whole.append(find_blind_mark(tokens, noise_key).p_value)
    p_values, texts = np.sort(np.concatenate(single)), np.array(whole)
    count = len(p_values)
    distance = np.abs(p_values - (np.arange(count) + 0.5) / count).max()
    print(f"{count:,} p-values of pool indices: Kolmogorov–Smirnov {distance * math.sqrt(count):.2f} (5 %: 1.36)")
    for level in (1e-2, 1e-3, 1e-4, 1e-5):
        expected = count * level
        print(f"  below {level:g}: {(p_values < level).sum()}, expected {expected:.0f} ± {math.sqrt(expected):.0f}")
    for level in (0.1, 0.01, 1e-3):
        print(
            f"{len(texts):,} texts, p < {level:g}: {(texts < level).sum()}, at most {len(texts) * level:.1f} expected"
        )


if __name__ == "__main__":
    main()
