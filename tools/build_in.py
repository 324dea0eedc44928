"""Build a trained model into the package: `python tools/build_in.py icons/3 --workspace W [--name icons]`.

Adapters are merged into the weights, and matrices are rounded to 16 bits. The training log is included.
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

STORE_KEYS = ("name", "format", "created", "digest", "files")  # written by the store itself
MAX_LOG_LINES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ref")
    parser.add_argument("--name", default="")
    parser.add_argument("--workspace")
    arguments = parser.parse_args()
    workspace = Workspace.from_option(arguments.workspace)
    source = workspace.get_model(arguments.ref)
    model = load_model(workspace, source.ref)
    model = merge_adapters(model) if model.adapters else model
    job = tomllib.loads((source.folder / "job.toml").read_text())
    job = {key: value for key, value in job.items() if key not in ("base", "adapter")}
    card = {key: value for key, value in source.card.items() if key not in STORE_KEYS}
    name = arguments.name or source.name
    staged = built_in.create_model(name)
    with staged as folder:
        save_compact(model, folder, job, {**card, "parameters": sum(p.numel() for p in model.parts.parameters())})
        if log := thin_log(workspace, str(card.get("run", ""))):
            write_atomic(folder / "progress.jsonl", log)
    # An empty workspace, in which no other model has this name.
    built_in_model = load_model(Workspace(built_in.FOLDER / "none"), staged.result.ref)
    for part, network in model.parts.items():
        print(
            f"{part}: outputs changed by {lora.measure_drift(network, built_in_model.parts[part]):.2%} of the largest"
        )
    for file_name, entry in staged.result.card["files"].items():
        print(f"{entry['bytes']:>12,} {file_name}")
    print(f"{staged.result.ref} is in {staged.result.folder}")


def thin_log(workspace: Workspace, run: str) -> str:
    """Return the log of a run with fewer training steps; evaluations all stay."""
    try:
        rows = read_log(workspace.get_run(run).folder / "progress.jsonl")
    except ValueError:  # the run is not here
        return ""
    interval = max(len(rows) // MAX_LOG_LINES, 1)
    kept_rows = [row for n, row in enumerate(rows) if n % interval == 0 or "losses" not in row or n == len(rows) - 1]
    return "".join(json.dumps(row) + "\n" for row in kept_rows)


if __name__ == "__main__":
    main()
