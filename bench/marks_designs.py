"""How often the mark in designs is found without metadata, as they were drawn and after topology optimization.

    python bench/marks_designs.py --count 24                 # the sampler as it is suggested
    python bench/marks_designs.py --count 24 --steps 20

A design is written as a document and read again, without its signature and its record. Found is p < 1e-6 after the
correction for the pool and the rounds; the workspace's outputs are not searched. Intervals are Wilson's, 95 %.
"""

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from genloom.generate import engine, sampling_params
from genloom.generate.design import EditOptions, build_edit
from genloom.generate.marking import mark_request
from genloom.media import design
from genloom.metrics.statistics import compute_wilson_interval
from genloom.model import load_model
from genloom.store.workspace import Workspace
from genloom.trust.signal_marks import MAX_P_VALUE, find_signal_marks

PROMPTS = [
    f"{part} of {width} x {height} mm, {share} % material"
    for part in ("a bridge held at both ends", "a cantilever", "a bracket", "a column")
    for width, height in ((100, 50), (120, 60), (80, 80))
    for share in (30, 40)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--steps", type=int, help="of the sampler (default: as suggested)")
    parser.add_argument("--refine", type=int, nargs="*", default=[0, 5], help="steps of topology optimization")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workspace", type=Path, default=Path(tempfile.gettempdir()) / "genloom-marks")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    workspace = Workspace(args.workspace)
    model = load_model(workspace, "structures")
    params = sampling_params.add_suggested_params(model, {"steps": args.steps} if args.steps else {})
    powers: dict[int, list[float]] = {refine: [] for refine in args.refine}
    for number in range(args.count):
        request = engine.build_request([""], 1, args.seed + number, (), params)
        request = mark_request(workspace, model, request)
        for refine in args.refine:
            edit = build_edit(EditOptions(goal=PROMPTS[number % len(PROMPTS)], refine=refine), model)
            drawn = engine.run_request(model, edit.extend_request(model, replace(request, edit=edit)))
            value = design.decode(design.encode(drawn.values[0]))
            (mark,) = find_signal_marks(model, value, [request.noise_key], is_fast=True)
            powers[refine].append(mark.log_p / math.log(10))
        shown = ", ".join(f"{refine} steps 1e{rows[-1]:.1f}" for refine, rows in powers.items())
        print(f"  {PROMPTS[number % len(PROMPTS)]}: {shown}", flush=True)
    for refine, rows in powers.items():
        found = sum(power < math.log10(MAX_P_VALUE) for power in rows)
        share = compute_wilson_interval(found, len(rows))
        print(
            f"{params}, {refine} steps of optimization: {found} of {len(rows)} [{share.low:.0%}, {share.high:.0%}]; "
            f"p = 1e{np.median(rows):.1f}, the weakest 1e{max(rows):.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
