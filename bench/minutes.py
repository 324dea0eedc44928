"""Character-level Shakespeare in a minute and in five: nats per character on held-out text, beside counts.

Two ways to hold text back: the well-known one, the last 10 % (here mostly one play that training never saw), and the
one of `genloom collect`, whole pieces drawn by chance, which is what a user's run reports. The second is a real
`genloom train --minutes`; the first trains the same job on the first 90 %, cut into pieces and mixed in the same way.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from genloom.capabilities import CountingNetwork
from genloom.collect.builtin import load_shakespeare
from genloom.collect.text.chunk import choose_chunk_chars, iter_chunks
from genloom.model import Model
from genloom.model.likelihood import compute_nll
from genloom.networks.kneser_ney import KneserNey
from genloom.store.workspace import Workspace
from genloom.train.data.token_stream import TokenBlocks, get_num_folds, shuffle_documents
from genloom.train.job import read_job
from genloom.train.loop import TrainState, train


def run_command(workspace: Path, minutes: float) -> dict[str, float]:
    """A run as a user starts it; its own report."""
    command = [sys.executable, "-c", "from genloom.cli import main; main()", "train", "shakespeare"]
    begun = time.perf_counter()
    out = subprocess.run(
        [*command, "--minutes", str(minutes), "--json", "--workspace", str(workspace)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    result = json.loads(out.stdout)
    return {
        "bits": result["fact"]["bits_per_byte"],
        "forecast": result["forecast"]["bits_per_byte"],
        "floor": result["forecast"]["floor"],
        "training": result["fact"]["seconds"],
        "process": time.perf_counter() - begun,
    }


def measure_well_known(workspace: Path) -> tuple[float, float, float]:
    """The newest run's job on the first 90 %, judged on the rest: nats a character, seconds, and the counts' nats."""
    run = Workspace.from_option(str(workspace)).get_run("shakespeare")
    job = read_job(run.folder / "job.toml")
    from genloom import plugins
    from genloom.model import build_networks, build_objective, resolve_space

    codec = plugins.find_part("codec", job.design.codec).Codec.load(run.folder / "codec")
    text = load_shakespeare()
    num_train = int(0.9 * len(text))
    known = iter_chunks([text[:num_train]], choose_chunk_chars(num_train))
    stream = codec.encode("".join(shuffle_documents(known, job.digest)))
    begun = time.perf_counter()
    objective = build_objective(job.design, resolve_space(job.design, codec))
    torch.manual_seed(0)
    parts = build_networks(job.design, objective)
    for part in parts.values():
        if isinstance(part, CountingNetwork):
            part.fit(stream)
    blocks = TokenBlocks(stream, job.batch_size, job.design.context_length, 0, get_num_folds(parts))
    state = TrainState.from_parts(parts, objective, job.plan)
    for _ in train(objective, blocks, job.plan, state):
        pass
    seconds = time.perf_counter() - begun
    model = Model("bench", codec, objective, state.eval_parts.eval(), job.design)
    ((nats, size),) = compute_nll(model, [text[num_train:]])
    counts = KneserNey.fit(stream, codec.space.vocab_size, 5).log_prob(codec.encode(text))
    return nats / size, seconds, float(-counts[num_train:].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5])
    parser.add_argument("--only-product", action="store_true", help="leave out the well-known split")
    args = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; nats a character; counts: 8-grams alone, on the last 10 % 5-grams")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        collect = [sys.executable, "-c", "from genloom.cli import main; main()", "collect", "builtin:shakespeare"]
        subprocess.run([*collect, "--workspace", folder], check=True, capture_output=True)
        for minutes in args.minutes:
            own = run_command(workspace, minutes)
            bits = math.log(2)
            print(
                f"{minutes:g} min, pieces held back by chance: {own['bits'] * bits:.3f} "
                f"(forecast {own['forecast'] * bits:.3f}, counts {own['floor'] * bits:.3f}); "
                f"training {own['training']:.0f} s, process {own['process']:.0f} s",
                flush=True,
            )
            if not args.only_product:
                nats, seconds, floor = measure_well_known(workspace)
                print(
                    f"{minutes:g} min, last 10 %: {nats:.4f} (counts {floor:.3f}); training {seconds:.0f} s", flush=True
                )


if __name__ == "__main__":
    main()
