"""The cost of the mark: processor time, and whether it changes the outputs.

    python bench/marks_cost.py added --models tunes icons      # what the mark adds to each token and picture
    python bench/marks_cost.py time --rounds 60                # marked and unmarked generation, in turn
    python bench/marks_cost.py quality tunes --count 200       # the outputs of one model, half of them marked
    python bench/marks_cost.py quality icons --count 100
    python bench/marks_cost.py quality smollm2 --count 100 --prompts "The sea" "Our school" --workspace W

Time is that of the processor on one thread, so that other programs on the machine matter little. `added` samples each
token of marked outputs twice, with and without the mark in turn, from the same scores and tokens before; what the mark
adds is divided by the time of a token of the whole generation. `time` compares whole outputs, which differ: the ratio
is that of the sums. All intervals are bootstrapped, over tokens or rounds.

Quality compares marked and unmarked outputs of the same prompts: the perplexity that the model gives them (tokens), the
properties that the medium's checks score and who of each pair wins, and the Fréchet distance (pictures). p-values are
of permutations within pairs; beside the distance of marked to unmarked pictures is that of random halves of both.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom.generate import engine, sampling_params
from genloom.generate.marking import mark_request
from genloom.model import Model, load_for_scoring, load_model
from genloom.noise import Noise
from genloom.store.keys import MarkingKeys, derive_noise_key
from genloom.store.workspace import Workspace
from genloom.types import TokenSpace

MODELS = {
    "tunes": {"max_tokens": 150, "temperature": 1.0},
    "molecules": {},
    "icons": {},
    "smollm2": {"max_tokens": 100, "temperature": 1.0},
}
PROMPTS = {"tunes": ["32 bars"], "molecules": [""]}
PICTURE_PROMPTS = Path(__file__).parent.parent / "genloom" / "builtin" / "icons" / "prompts.txt"
PERMUTATIONS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    timing = commands.add_parser("time")
    timing.add_argument("--rounds", type=int, default=20)
    timing.add_argument("--models", nargs="*", default=list(MODELS))
    quality = commands.add_parser("quality")
    quality.add_argument("model")
    quality.add_argument("--count", type=int, default=100, help="pairs")
    quality.add_argument("--prompts", nargs="*")
    quality.add_argument("--batch", type=int, default=16, help="outputs that are generated together")
    added = commands.add_parser("added")
    added.add_argument("--models", nargs="*", default=list(MODELS))
    added.add_argument("--count", type=int, default=8, help="outputs")
    for command in (timing, quality, added):
        command.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "genloom-marks")
        command.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    {"time": measure_time, "quality": measure_quality, "added": measure_added}[args.command](args)


def measure_added(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    for name in args.models:
        model = load_model(workspace, name)
        is_tokens = isinstance(model.codec.space, TokenSpace)
        engine.run_request(model, build_requests(workspace, model, name, 1, args.seed)[1])  # which loads everything
        timer, seconds, units = NoiseTimer(), 0.0, 0
        with timer.watch_noise():
            for number in range(args.count):
                _, marked = build_requests(workspace, model, name, 1, args.seed + number)
                started = time.process_time()
                draft = engine.run_request(model, marked)
                seconds += time.process_time() - started
                units += sum(draft.num_tokens) if is_tokens else 1
        times = np.array(timer.pairs)
        report_added(name, times, (seconds - times[:, 0].sum()) / units, "token" if is_tokens else "picture")


@dataclass
class NoiseTimer:
    """The seconds of drawing noise without and with the mark, in turn, for the same tokens and signals."""

    pairs: list[tuple[float, float]] = field(default_factory=list)
    reading: float = 0.0  # the contexts of the next token, which only marked noise needs

    @contextmanager
    def watch_noise(self) -> Generator[None]:
        originals = Noise.sample_tokens, Noise.marked_normal, engine.read_token_contexts

        def sample_tokens(noise: Noise, logits_BV: torch.Tensor, contexts: Any, token_contexts: Any = None) -> Any:
            plain = partial(originals[0], replace(noise, is_marked=False), logits_BV, contexts)
            return self.time_both(plain, partial(originals[0], noise, logits_BV, contexts, token_contexts))

        def marked_normal(noise: Noise, *arguments: Any) -> Any:
            plain = partial(originals[1], replace(noise, is_marked=False), *arguments)
            return self.time_both(plain, partial(originals[1], noise, *arguments))

        def read_token_contexts(*arguments: Any) -> Any:
            read = originals[2](*arguments)
            return None if read is None else partial(self.time_reading, read)

        Noise.sample_tokens, Noise.marked_normal = sample_tokens, marked_normal  # ty: ignore[invalid-assignment]
        engine.read_token_contexts = read_token_contexts  # ty: ignore[invalid-assignment]
        try:
            yield
        finally:
            Noise.sample_tokens, Noise.marked_normal, engine.read_token_contexts = originals

    def time_both(self, plain: Callable[[], Any], marked: Callable[[], Any]) -> Any:
        seconds, drawn = [0.0, 0.0], [None, None]
        for which in (0, 1) if len(self.pairs) % 2 else (1, 0):
            started = time.thread_time()
            drawn[which] = (plain, marked)[which]()
            seconds[which] = time.thread_time() - started
        self.pairs.append((seconds[0], seconds[1] + self.reading))
        return drawn[1]

    def time_reading(self, read: Callable[[Any], Any], contexts: Any) -> Any:
        started = time.thread_time()
        found = read(contexts)
        self.reading = time.thread_time() - started
        return found


def report_added(name: str, times: np.ndarray, total: float, unit: str) -> None:
    """Print what the mark adds: the median, the quartiles and the mean without the longest hundredth."""
    added, rng = np.sort(times[:, 1] - times[:, 0]), np.random.default_rng(0)
    # An interrupted call takes milliseconds: of both ways, the most extreme hundredth is left out.
    kept = added[len(added) // 100 : len(added) - len(added) // 100]
    means = kept[rng.integers(len(kept), size=(1000, len(kept)))].mean(1) if len(kept) > 1 else kept
    low, high = np.quantile(means, (0.025, 0.975)) / total
    quartiles = ", ".join(f"{1e6 * each:.1f}" for each in np.quantile(added, (0.25, 0.5, 0.75)))
    plain = 1e6 * np.median(times[:, 0])
    print(
        f"{name}: the mark adds {kept.mean() / total:+.2%} [{low:+.2%}, {high:+.2%}] to a {unit} "
        f"of {1e3 * total:.3g} ms; quartiles of {len(added)}: {quartiles} µs, beside {plain:.0f} µs without it",
        flush=True,
    )


def measure_time(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    for name in args.models:
        model = load_model(workspace, name)
        rows = []
        for number in range(args.rounds + 1):
            plain, marked = build_requests(workspace, model, name, 1, args.seed + number)
            rows.append(time_both(partial(engine.run_request, model), plain, marked, number))
        report_ratio(f"{name}", rows[1:])
    logits, context = 3 * torch.randn(1, 49_152), np.arange(200) * 7
    key = derive_noise_key(MarkingKeys(workspace.root).get_active().secret, "text")

    def sample(noise: Noise) -> None:
        for n in range(100):
            noise.sample_tokens(logits, [context[: 100 + n]])

    noises = [Noise(key, (5,), is_marked) for is_marked in (False, True)]
    rows = [time_both(sample, *noises, number) for number in range(args.rounds + 1)]
    report_ratio("sampling alone from 49,152 tokens", rows[1:])


def build_requests(
    workspace: Workspace, model: Model, name: str, count: int, seed: int, prompts: Sequence[str] = ()
) -> tuple[engine.Request, engine.Request]:
    """Return an unmarked request and the same one marked."""
    params = sampling_params.add_suggested_params(model, MODELS.get(name, {}))
    lines = [line.strip() for line in PICTURE_PROMPTS.read_text().splitlines() if line.strip()]
    chosen = list(prompts) or PROMPTS.get(name) or [lines[(seed + n) % len(lines)] for n in range(count)]
    chosen = [chosen[n % len(chosen)] for n in range(count)]
    request = engine.build_request(chosen, 1, seed, (), params)
    return request, mark_request(workspace, model, request)


def time_both(function: Callable[[Any], object], first: Any, second: Any, number: int) -> tuple[float, float]:
    """Return the processor seconds of both, the first of which is first in every other round; a token of tokens."""
    seconds = [0.0, 0.0]
    for which in (0, 1) if number % 2 else (1, 0):
        started = time.process_time()
        made = function((first, second)[which])
        tokens = getattr(made, "num_tokens", ())
        seconds[which] = (time.process_time() - started) / max(sum(tokens), 1)
    return seconds[0], seconds[1]


def report_ratio(name: str, rows: list[tuple[float, float]]) -> None:
    times, rng = np.array(rows), np.random.default_rng(0)
    drawn = rng.integers(len(times), size=(PERMUTATIONS, len(times)))
    ratios = times[drawn, 1].sum(1) / times[drawn, 0].sum(1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    ratio, median = times[:, 1].sum() / times[:, 0].sum(), np.median(times[:, 1] / times[:, 0])
    each = 1000 * times.mean(0)
    print(
        f"{name}: marked {ratio:.4f} times [{low:.4f}, {high:.4f}], median of the rounds {median:.4f}; "
        f"{each[0]:.3g} and {each[1]:.3g} ms; {len(times)} rounds",
        flush=True,
    )


def measure_quality(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    model = load_model(workspace, args.model)
    requests = build_requests(workspace, model, args.model, args.count, args.seed, args.prompts or ())
    # Marked and unmarked outputs have other nonces, too: equal ones would be no chance of the pool alone.
    requests = requests[0], replace(requests[1], nonces=tuple(nonce ^ 0x5EED for nonce in requests[1].nonces))
    values: list[list[Any]] = [[], []]
    ids: list[list[np.ndarray]] = [[], []]
    for which, request in enumerate(requests):
        for batch in engine.split_batches(request, args.batch):
            draft = engine.run_request(model, batch)
            values[which] += draft.values
            ids[which] += [np.array(row) for row in draft.token_ids]
    print(f"{args.model}: {args.count} pairs, unmarked and marked", flush=True)
    if isinstance(model.codec.space, TokenSpace):
        scoring = load_for_scoring(workspace, model.ref)
        prompts = requests[0].prompts
        losses = [[compute_loss(scoring, *pair) for pair in zip(prompts, rows, strict=True)] for rows in ids]
        compare_pairs("loss, nats a token (perplexity: its exponential)", losses)
        compare_pairs("tokens", [[len(row) for row in rows] for rows in ids])
    for name, measure in list_measures(model.design.medium).items():
        compare_pairs(name, [[measure(value) for value in rows] for rows in values])
    if model.design.medium == "image":
        compare_features(values)


def compute_loss(model: Model, prompt: str, ids: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the tokens after a prompt, without conditions, in nats."""
    space = model.codec.space
    assert isinstance(space, TokenSpace)
    prefix = engine.encode_prefix(model, prompt)
    row = torch.from_numpy(np.concatenate([[space.bos], prefix, ids])[: model.design.context_length or None])
    logits = model.parts["model"](row[None, :-1], cond=None)[0].float().log_softmax(1)
    return float(-logits.gather(1, row[1:, None])[len(prefix) :].mean())


def list_measures(medium: str) -> dict[str, Callable[[Any], float]]:
    """Return the measures of values of a medium, of which more is better."""
    if medium == "music":
        from genloom.media.music.theory import measure_stepwise

        return {"share of steps in the melodies": measure_stepwise}
    if medium == "molecule":
        from genloom.media.molecule.molecule import find_mol
        from genloom.media.molecule.properties import compute_mol_properties

        def measure_likeness(value: Any) -> float:
            mol = find_mol(value)
            return 0.0 if mol is None else float(compute_mol_properties(mol, ("qed",))["qed"])

        return {"QED": measure_likeness}
    if medium == "image":
        return {"contrast of the pixels": lambda value: float(np.asarray(value, np.float32).std())}
    return {}


def compare_pairs(name: str, rows: Sequence[Sequence[float]]) -> None:
    """Print the means, the difference with its interval, a paired permutation test, and who wins."""
    plain, marked = (np.array(row, float) for row in rows)
    difference, rng = marked - plain, np.random.default_rng(0)
    signs = rng.choice((-1, 1), (PERMUTATIONS, len(difference)))
    chance = np.abs((signs * difference).mean(1))
    p = (1 + (chance >= abs(difference.mean())).sum()) / (1 + PERMUTATIONS)
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    wins = ((difference > 0) + 0.5 * (difference == 0)).mean()
    spread = 1.96 * 0.5 / np.sqrt(len(difference))
    print(
        f"  {name}: {plain.mean():.4g} and {marked.mean():.4g}, difference {difference.mean():+.4f} ± {half:.4f}, "
        f"p = {p:.2f}; marked higher in {wins:.0%} ± {spread:.0%}",
        flush=True,
    )


def compare_features(values: Sequence[Sequence[Any]]) -> None:
    """Print the Fréchet and kernel distances of marked pictures to unmarked ones, beside those of random splits."""
    from genloom.evaluate.features.efficientnet import build_extractor
    from genloom.metrics.frechet import frechet_distance, kernel_distance

    extract = build_extractor()
    plain, marked = (extract(row) for row in values)
    both, rng = np.concatenate([plain, marked]), np.random.default_rng(0)
    for name, distance, count in (("Fréchet", frechet_distance, 20), ("kernel", kernel_distance, 200)):
        found, chance = distance(plain, marked), []
        for _ in range(count):
            order = rng.permutation(len(both))
            chance.append(distance(both[order[: len(plain)]], both[order[len(plain) :]]))
        p = (1 + sum(each >= found for each in chance)) / (1 + count)
        low, high = np.quantile(chance, (0.025, 0.975))
        print(
            f"  {name} distance of marked to unmarked {found:.4g}; of random halves of both {np.mean(chance):.4g} "
            f"[{low:.4g}, {high:.4g}], p = {p:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
