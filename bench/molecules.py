"""Molecules by the protocol of MOSES, beside its CharRNN, and the speed of generation beside transformers.

    python bench/molecules.py moses --model molecules --data molecules --count 30000 --peer-minutes 60
    python bench/molecules.py speed --model molecules

moses: samples without conditions, with the rules of the grammar and without them (Polykovskiy et al. 2020, MOSES).
valid: share that rdkit reads. unique: of the first 1,000 and 10,000 valid ones. novel: of the different valid ones,
those that are not among the 1,584,663 training molecules. FCD: Fréchet distance of ChemNet's activations (Preuer et al.
2018, package fcd) between the valid ones and --references random molecules of a test set. SNN, Frag, Scaf, IntDiv,
filters as in MOSES, on the first --detail of them. The intervals are those of ten parts of the samples, but for FCD,
which depends on their number: MOSES uses 30,000 samples and all 176,074 and 176,225 test molecules. The peer is CharRNN
with the settings of MOSES (3 LSTM layers of 768, Adam, batches of 64), trained for --peer-minutes of one thread on the
same molecules; `--data` is the folder of the recipe, with the package molsets.

speed: molecules a second of processor time, with and without the grammar, and with `generate` of transformers: a Qwen3
of the same size with our matrices, without the condition, which writes as many tokens as ours do on average.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import Spread
from torch import nn

import genloom as gl
from genloom.evaluate.molecule import measures
from genloom.media.molecule.libraries import load_chem
from genloom.metrics.frechet import frechet_distance
from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplerInputs, SamplingParams
from recipes.molecules.fetch import fetch_wheel, iter_smiles, read_filters

MAX_TOKENS = 63  # the longest SMILES of MOSES has 57 characters
PUBLISHED = {  # valid, unique@10k, novel, FCD on test and on test scaffolds, SNN, Scaf, IntDiv, filters
    "CharRNN (MOSES)": "0.975 0.999 0.842 0.073 0.520 0.601 0.924 0.856 0.994",
    "VAE (MOSES)": "0.977 0.998 0.695 0.099 0.567 0.626 0.939 0.856 0.997",
}
ELEMENTS = {"C", "N", "S", "O", "F", "Cl", "Br", "H"}  # of MOSES
Draw = Callable[[int, int], list[str]]  # SMILES, by number and seed


def draw_ours(model: Any, has_grammar: bool, batch_size: int) -> Draw:
    """Return a function that draws SMILES of a model without conditions."""
    codec: Any = model.codec

    @torch.inference_mode()
    def draw(count: int, seed: int) -> list[str]:
        texts: list[str] = []
        while len(texts) < count:
            size = min(batch_size, count - len(texts))
            constraint = codec.build_constraint([""] * size, MAX_TOKENS + 1) if has_grammar else None
            inputs = SamplerInputs(constraint=constraint)
            noise = Noise(seed, tuple(range(len(texts), len(texts) + size)))
            params = SamplingParams(max_tokens=MAX_TOKENS, inputs=inputs)
            *_, rows = model.objective.sample(dict(model.parts.items()), size, None, noise, params)
            texts += [codec.decode(row).smiles for row in rows.numpy()]
        return texts

    return draw


class CharRNN(nn.Module):
    """The character model of MOSES: three LSTM layers of 768 over one-hot characters."""

    def __init__(self, vocab_size: int):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, vocab_size)
        self.embed.weight.data = torch.eye(vocab_size)
        self.lstm = nn.LSTM(vocab_size, 768, 3, batch_first=True, dropout=0.2)
        self.head = nn.Linear(768, vocab_size)

    def forward(self, x_BL: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        h_BLD, state = self.lstm(self.embed(x_BL), state)
        return self.head(h_BLD), state


def train_peer(smiles: Sequence[str], minutes: float) -> tuple[Draw, int]:
    """Train CharRNN for so many minutes; return a function that draws from it, and the molecules it has read."""
    characters = ["", *sorted({character for each in smiles for character in each})]  # the first begins, ends and pads
    ids, rng, num_read = {c: n for n, c in enumerate(characters)}, np.random.default_rng(0), 0
    network = CharRNN(len(characters))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        rows = [smiles[n] for n in rng.integers(len(smiles), size=64)]
        length = max(map(len, rows)) + 2
        x_BL = torch.tensor([[0, *(ids[c] for c in row), *[0] * (length - 1 - len(row))] for row in rows])
        is_counted_BL = torch.arange(1, length) <= torch.tensor(list(map(len, rows)))[:, None] + 1
        logits_BLV, _ = network(x_BL[:, :-1])
        loss = nn.functional.cross_entropy(logits_BLV[is_counted_BL], x_BL[:, 1:][is_counted_BL])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(network.parameters(), 5.0)
        optimizer.step()
        num_read += len(rows)
    network.eval()

    @torch.inference_mode()
    def draw(count: int, seed: int) -> list[str]:
        torch.manual_seed(seed)
        texts: list[str] = []
        while len(texts) < count:
            token_B, state, rows = torch.zeros(min(256, count - len(texts)), 1, dtype=torch.long), None, []
            for _ in range(MAX_TOKENS):
                logits_B1V, state = network(token_B, state)
                token_B = logits_B1V[:, 0].softmax(-1).multinomial(1)
                rows.append(token_B[:, 0])
            for row in torch.stack(rows, 1).tolist():
                texts.append("".join(characters[token] for token in row[: row.index(0) if 0 in row else None]))
        return texts

    return draw, num_read


def read_mols(texts: Sequence[str]) -> list[Any]:
    """Return the molecules that rdkit can read."""
    chem = load_chem()
    mols = (chem.MolFromSmiles(text) if text else None for text in texts)
    return [mol for mol in mols if mol is not None]


def passes_filters(mol: Any, alerts: Sequence[Any]) -> bool:
    """Return whether a molecule has no alert, charge, large ring or other element, as in MOSES."""
    atoms = list(mol.GetAtoms())
    if any(len(ring) >= 8 for ring in mol.GetRingInfo().AtomRings()):
        return False
    if any(atom.GetFormalCharge() or atom.GetSymbol() not in ELEMENTS for atom in atoms):
        return False
    with_hydrogens = load_chem().AddHs(mol)
    return not any(with_hydrogens.HasSubstructMatch(alert) for alert in alerts)


def draw_molecules(wheel: Path, split: str, count: int, seed: int = 0) -> list[str]:
    """Return random molecules of a split, whose file is not in a random order."""
    smiles = list(iter_smiles(wheel, split))
    return [smiles[n] for n in np.random.default_rng(seed).permutation(len(smiles))[:count]]


class Reference:
    """Random molecules of a test set, with what samples are compared with; the activations are kept in a file."""

    def __init__(self, wheel: Path, split: str, count: int, detail: int, activate: Callable[[list[str]], np.ndarray]):
        smiles = draw_molecules(wheel, split, count)
        mols = read_mols(smiles[:detail])
        path = wheel.parent / f"{split}-random-{count}.npy"
        if not path.exists():
            np.save(path, activate(smiles))
        self.activations_ND = np.load(path, allow_pickle=False)
        self.fingerprints = measures.build_fingerprints(mols)
        self.fragments, self.scaffolds = measures.count_fragments(mols), measures.count_scaffolds(mols)


def measure_samples(
    texts: Sequence[str],
    known: set[str],
    references: dict[str, Reference],
    activate: Callable[[list[str]], np.ndarray],
    alerts: Sequence[Any],
    detail: int,
) -> dict[str, float | Spread]:
    """Return the measures of MOSES."""
    chem = load_chem()
    groups = [read_mols(texts[n::10]) for n in range(10)]
    canonical = [[chem.MolToSmiles(mol) for mol in group] for group in groups]
    mols = [mol for group in groups for mol in group]
    valid = [text for group in canonical for text in group]
    rates = [len(group) / len(texts[n::10]) for n, group in enumerate(groups)]
    novel = [np.mean([text not in known for text in set(group)]) for group in canonical]
    found: dict[str, float | Spread] = {
        "valid": Spread.of(rates),
        "unique@1k": len(set(valid[:1000])) / len(valid[:1000]),
        "unique@10k": len(set(valid[:10_000])) / len(valid[:10_000]),
        "novel": Spread.of([float(each) for each in novel]),
    }
    activations_ND, some = activate(valid), mols[:detail]
    fingerprints = measures.build_fingerprints(some)
    fragments, scaffolds = measures.count_fragments(some), measures.count_scaffolds(some)
    for name, reference in references.items():
        found[f"FCD {name}"] = frechet_distance(activations_ND, reference.activations_ND)
        found[f"SNN {name}"] = float(measures.measure_snn(fingerprints, reference.fingerprints).mean())
        found[f"Frag {name}"] = measures.compare_counts(fragments, reference.fragments)
        found[f"Scaf {name}"] = measures.compare_counts(scaffolds, reference.scaffolds)
    found["IntDiv"] = measures.measure_internal_diversity(fingerprints[:2000])
    found["filters"] = float(np.mean([passes_filters(mol, alerts) for mol in some]))
    return found


def load_activations() -> Callable[[list[str]], np.ndarray]:
    """Return the activations of ChemNet for SMILES, N D."""
    from fcd import get_predictions, load_ref_model

    network = load_ref_model()
    return lambda smiles: get_predictions(network, smiles)


def run_moses(arguments: argparse.Namespace) -> None:
    wheel, chem = fetch_wheel(arguments.data), load_chem()
    train = list(iter_smiles(wheel, "train"))
    activate, alerts = load_activations(), [chem.MolFromSmarts(smarts) for smarts in read_filters(wheel)]
    model = gl.Workspace().model(arguments.model).load()
    draws = {"ours": draw_ours(model, True, 256), "ours, no grammar": draw_ours(model, False, 256)}
    if arguments.peer_minutes:
        draws["CharRNN"], num_read = train_peer(train, arguments.peer_minutes)
        print(f"CharRNN has read {num_read:,} molecules in {arguments.peer_minutes:g} minutes")
    references = {
        name: Reference(wheel, split, arguments.references, arguments.detail, activate)
        for name, split in (("test", "test"), ("scaffolds", "test_scaffolds"))
    }
    samples = {name: draw(arguments.count, arguments.seed) for name, draw in draws.items()}
    both = draw_molecules(wheel, "test", arguments.references + arguments.count)  # others than the references
    samples["test molecules"] = both[arguments.references :]
    for name, texts in samples.items():
        found = measure_samples(texts, set(train), references, activate, alerts, arguments.detail)
        print(f"\n{name}: {len(texts):,} samples", flush=True)
        for key, value in found.items():
            print(f"  {key:14} {value if isinstance(value, Spread) else f'{value:.4f}'}", flush=True)
        faults = Counter(text for text in texts if not read_mols([text]))
        print("  invalid:", ", ".join(text for text, _ in faults.most_common(5)) or "none")
    print("\npublished: valid, unique@10k, novel, FCD test, FCD scaffolds, SNN test, Scaf test, IntDiv, filters")
    for name, figures in PUBLISHED.items():
        print(f"  {name}: {figures}")


def build_qwen(network: Any) -> Any:
    """Return a Qwen3 of transformers of the same size with our matrices."""
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
            tie_word_embeddings=False,
        )
    )
    weights = {"model.embed_tokens.weight": network.embedding.embed.weight, "lm_head.weight": network.head.weight}
    for number, block in enumerate(blocks):
        q, k, v = block.attention.qkv.weight.chunk(3)
        gate, up = block.mlp.up.weight.chunk(2)
        layer = {"self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v}
        layer |= {"self_attn.o_proj": block.attention.out.weight, "mlp.gate_proj": gate, "mlp.up_proj": up}
        layer["mlp.down_proj"] = block.mlp.down.weight
        weights |= {f"model.layers.{number}.{name}.weight": weight for name, weight in layer.items()}
    peer.load_state_dict(weights, strict=False)
    return peer.eval()


def time_rate(run: Callable[[], int]) -> float:
    """Return what a run counts, a second of processor time."""
    start = time.process_time()
    return run() / (time.process_time() - start)


@torch.inference_mode()
def run_speed(arguments: argparse.Namespace) -> None:
    model = gl.Workspace().model(arguments.model).load()
    batch_size, num_runs = arguments.batch_size, arguments.runs
    draws = {"ours": draw_ours(model, True, batch_size), "ours, no grammar": draw_ours(model, False, batch_size)}
    codec: Any = model.codec
    length = round(np.mean([len(codec.encode_text(text)) + 1 for text in draws["ours"](batch_size, 1)]))
    peer = build_qwen(model.parts["model"])
    x_B1 = torch.zeros(batch_size, 1, dtype=torch.long)
    kept = {"min_new_tokens": length, "max_new_tokens": length, "do_sample": True, "top_k": 0, "pad_token_id": 0}
    rates: dict[str, list[float]] = {name: [] for name in (*draws, "transformers")}
    for run in range(num_runs):  # in turn, so that other work on the machine slows all of them
        for name, draw in draws.items():
            rates[name].append(time_rate(lambda draw=draw, run=run: len(draw(batch_size, 10 + run))))
        rates["transformers"].append(
            time_rate(lambda: len(peer.generate(x_B1, attention_mask=torch.ones_like(x_B1), **kept)))
        )
    print(f"batches of {batch_size}, {length} tokens a molecule, {num_runs} runs, molecules a processor second")
    for name, values in rates.items():
        print(f"  {name:18} {Spread.of(values)}")
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["transformers"], strict=True)]
    print(f"  ours / transformers {Spread.of(ratios)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    moses, speed = commands.add_parser("moses"), commands.add_parser("speed")
    moses.add_argument("--data", type=Path, required=True)
    moses.add_argument("--count", type=int, default=30_000)
    moses.add_argument("--references", type=int, default=30_000)
    moses.add_argument("--detail", type=int, default=5_000)
    moses.add_argument("--peer-minutes", type=float, default=0.0)
    moses.add_argument("--seed", type=int, default=0)
    speed.add_argument("--batch-size", type=int, default=64)
    speed.add_argument("--runs", type=int, default=5)
    for command, run in ((moses, run_moses), (speed, run_speed)):
        command.add_argument("--model", default="molecules")
        command.set_defaults(run=run)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
