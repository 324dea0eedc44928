"""Puts a trained model into the package: `python tools/build_in.py icons/3 --workspace W [--name icons]`.

Adapters become part of the weights, and matrices are rounded to 16 bits. The log of its training goes with it.
"""

import argparse
import json
import tomllib

from genloom.model import load_model, merge_adapters, save_compact
from genloom.networks import lora
from genloom.store import built_in
from genloom.store.files import write_atomic
from genloom.store.workspace import Workspace
from genloom.train.log import read_log

SEALED = ("name", "format", "created", "digest", "files")  # what the store says of a folder itself
LINES = 500  # of the training log, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ref")
    parser.add_argument("--name", default="")
    parser.add_argument("--workspace")
    given = parser.parse_args()
    workspace = Workspace.from_option(given.workspace)
    source = workspace.get_model(given.ref)
    model = load_model(workspace, source.ref)
    model = merge_adapters(model) if model.adapters else model
    job = tomllib.loads((source.folder / "job.toml").read_text())
    job = {key: value for key, value in job.items() if key not in ("base", "adapter")}
    card = {key: value for key, value in source.card.items() if key not in SEALED}
    name = given.name or source.name
    making = built_in.create_model(name)
    with making as folder:
        save_compact(model, folder, job, {**card, "parameters": sum(p.numel() for p in model.parts.parameters())})
        if log := logged(workspace, str(card.get("run", ""))):
            write_atomic(folder / "progress.jsonl", log)
    made = load_model(Workspace(built_in.FOLDER / "none"), making.result.ref)  # where no other has its name
    for part, network in model.parts.items():
        print(f"{part}: outputs changed by {lora.measure_drift(network, made.parts[part]):.2%} of the largest")
    for inside, facts in making.result.card["files"].items():
        print(f"{facts['bytes']:>12,} {inside}")
    print(f"{making.result.ref} is in {making.result.folder}")


def logged(workspace: Workspace, run: str) -> str:
    """The lines of a run's log, thinned; looks at held-out data all stay."""
    try:
        rows = read_log(workspace.get_run(run).folder / "progress.jsonl")
    except ValueError:  # the run is not here
        return ""
    every = max(len(rows) // LINES, 1)
    kept = [row for n, row in enumerate(rows) if n % every == 0 or "losses" not in row or n == len(rows) - 1]
    return "".join(json.dumps(row) + "\n" for row in kept)


if __name__ == "__main__":
    main()
