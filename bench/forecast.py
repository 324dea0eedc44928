"""Forecasts of runs on text beside their results: bits per byte, seconds, memory; the peer counts nothing.

    python bench/forecast.py                     # Python's own library, five minutes
    python bench/forecast.py ~/notes ~/articles  # folders of one's own

Each folder is collected and trained on as a user would, by `genloom train --minutes`, and the contract stands
beside the result on held-out text. The peer is a transformer over byte pairs in the same minutes.
"""

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

GENLOOM = [sys.executable, "-c", "from genloom.cli import main; main()"]
PEER = ["--set", "network.name=transformer", "--set", "codec.name=bpe"]


def copy_library(into: Path) -> Path:
    """Return Python's own library, without the packages that are installed beside it."""
    source = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(source.rglob("*.py")):
        if "site-packages" not in path.parts:
            target = into / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return into


def train_model(workspace: str, name: str, minutes: float, *more: str) -> dict[str, Any]:
    """The figures that a run reports."""
    command = ["train", name, "--minutes", str(minutes), "--workspace", workspace, "--json", *more]
    return json.loads(subprocess.run([*GENLOOM, *command], check=True, capture_output=True, text=True).stdout)


def format_run(name: str, run: dict[str, Any]) -> str:
    before, after = run["forecast"], run["fact"]
    found, expected = after["bits_per_byte"], before.get("bits_per_byte")
    quality = f"foretold {expected:.3f} ± {before['error'] * expected:.3f}" if expected else "nothing foretold"
    off = f" ({100 * (expected / found - 1):+.1f} %)" if expected else ""
    return (
        f"{name:12s} {found:.3f} bits per byte, {quality}{off}, counting alone {before['floor']:.3f}; "
        f"{after['seconds']:.0f} s of {before['seconds']:.0f}, "
        f"{after['memory_bytes'] / 1e9:.1f} GB of {before['memory_bytes'] / 1e9:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--no-peer", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspace = str(Path(scratch, "workspace"))
        for number, folder in enumerate(args.folders or [copy_library(Path(scratch, "python"))]):
            name = f"data-{number}"
            collect = [*GENLOOM, "collect", str(folder), "--name", name, "--workspace", workspace]
            subprocess.run(collect, check=True, capture_output=True)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            print(f"{folder.name}: {size / 1e6:.1f} MB of files, {args.minutes:g} minutes each", flush=True)
            print(format_run("Genloom", train_model(workspace, name, args.minutes)), flush=True)
            if not args.no_peer:
                print(
                    format_run("byte pairs", train_model(workspace, name, args.minutes, "--name", "peer", *PEER)),
                    flush=True,
                )


if __name__ == "__main__":
    main()
