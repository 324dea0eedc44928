"""Designs by a model and a few steps of the solver beside the solver alone, on goals that no model has seen.

    python bench/designs.py --model structures --count 100
    python bench/designs.py --model structures --count 50 --side 64 --candidates 8
    python bench/designs.py --model none --count 50

Goals: those of the recipe `recipes/structures` under another seed (held out), and its kind "unusual", which no training
data have (out of distribution). SIMP: `optimize` with its defaults, to its end. Ours: a draft of the model, on its own
grid, then `refine` with at most --refine steps. Beside them the same refinement of a uniform density, which shows what
the draft is worth, SIMP on half the grid before it, the usual way to save steps, and the quick draft that the model
reads as a condition, which shows what the network adds.

Compliance error: of the design against that of SIMP, minus 1, both in black and white at the volume that was asked for
(the densest elements are solid), so that grey counts for nobody. The mean leaves out errors above 1,000 % and says how
many. Volume error: of the design as it is. Floating: share of designs with a part that carries nothing. Unheld: with a
load that nothing carries to a support. Seconds: of processor time for one design, the finite elements of the model's
condition included. Faster: median over the goals of the time after which SIMP first has the same compliance, to ours;
SIMP that does not get there counts with its whole time.

Without a model: how good a draft must be. Its place is taken by designs of SIMP that are blurred with noise, or that
lack an eighth of the domain.

Several: --candidates designs of each goal in one batch, each refined. Their distance is the share of the elements in
which two differ; good are those at most 5 % worse than SIMP. The peer starts SIMP from as many random densities.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

import genloom as gl
from genloom.evaluate.design.measures import OUTLIER, DesignMeasures, choose_solid, measure_design, summarize_errors
from genloom.generate import engine
from genloom.generate.design import DesignEdit
from genloom.generate.sampling_params import list_request_params
from genloom.media.design.mechanics.drafts import draft_quickly
from genloom.media.design.mechanics.optimization import optimize
from genloom.media.design.mechanics.parts import find_parts
from genloom.media.design.mechanics.problem import EMPTY, Problem
from genloom.media.design.mechanics.refinement import refine
from genloom.media.design.mechanics.resampling import resample_density, resample_problem
from genloom.media.design.problems import build_goals
from genloom.model import Model, load_model
from recipes.structures.make import MAX_GREY, draw_problem

PUBLISHED = """\
Published, 64 x 64, on the data of TopoDiff (30,000 designs by SIMP); another solver and other goals, so it only
compares in kind. TopoDiff (Mazé and Ahmed 2023): compliance error 4.39 % mean, 0.83 % median, floating material in
5.5 %; out of distribution 18.40 % mean, 1.82 % median. NITO (Heyrani Nobari et al. 2024), a regression with a few
steps of an optimizer after it, says that its designs are under 15 % as suboptimal as those of diffusion models;
Optimize Any Topology (2025), trained on 2.2 million designs, that it lowers mean compliance by up to 90 %."""
GOOD = 0.05  # compliance error of a design that holds about as well


@dataclass
class Results:
    """The measures and times of what one way made of the goals."""

    measures: list[DesignMeasures] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    speedups: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """The run of SIMP for a problem."""

    index: int  # of the problem
    density: np.ndarray
    measures: DesignMeasures
    seconds: tuple[float, ...]  # after each step
    compliances: tuple[float, ...]  # of each step, in black and white

    def find_seconds(self, compliance: float) -> float:
        """Return the time after which SIMP first has this compliance; that of all its steps if it never has."""
        reached = (t for t, c in zip(self.seconds, self.compliances, strict=True) if c <= compliance)
        return next(reached, self.seconds[-1])


def run_simp(problem: Problem, start: np.ndarray | None = None) -> tuple[np.ndarray, list[float], list[np.ndarray]]:
    """Return the design of SIMP, and the processor seconds and density after each step."""
    seconds, densities, begin = [], [], time.process_time()
    for step in optimize(problem, start=start):
        seconds.append(time.process_time() - begin)
        densities.append(step.density)
    return densities[-1], seconds, densities


Way = Callable[[Problem, Reference], np.ndarray]


def build_reference(problem: Problem, index: int) -> Reference:
    density, seconds, densities = run_simp(problem)
    compliances = tuple(measure_design(problem, each).compliance for each in densities)
    return Reference(index, density, measure_design(problem, density), tuple(seconds), compliances)


def draw_drafts(model: Model, problem: Problem, number: int, seed: int, params: dict[str, Any]) -> list[np.ndarray]:
    """Return densities by the model on its own grid, resampled to that of the problem."""
    request = engine.build_request([""], number, seed, (), params, False)
    request = DesignEdit(build_goals(problem)).extend_request(model, request)
    return [resample_density(value.density, problem.shape) for value in engine.run_request(model, request).values]


def run_coarse(problem: Problem) -> np.ndarray:
    """Return the density of SIMP on half the grid."""
    shape = tuple(max(side // 2, 2) for side in problem.shape)
    return resample_density(run_simp(resample_problem(problem, shape))[0], problem.shape)


def iter_goals(kind: str, options: argparse.Namespace) -> Iterator[tuple[Problem, Reference]]:
    """Yield problems with the run of SIMP; without those that the recipe leaves out too, as the grid is too coarse."""
    accepted = 0
    for index in count():
        problem = draw_problem(options.seed, index, options.side, kind)
        reference = build_reference(problem, index)
        density = reference.density
        if find_parts(problem, density).is_sound and (4 * density * (1 - density)).mean() <= MAX_GREY:
            yield problem, reference
            accepted += 1
        if accepted == options.count:
            print(f"  {index + 1 - accepted} goals left out: SIMP's own design is grey or in pieces on this grid")
            return


def blur_with_noise(problem: Problem, reference: Reference) -> np.ndarray:
    """Return the design of SIMP blurred, with smooth noise, as an unsure model might draw it."""
    noise = draw_noise(problem, reference)
    return np.clip(gaussian_filter(reference.density, 0.7) + 0.35 * noise, 0, 1) * (problem.passive != EMPTY)


def cut_holes(problem: Problem, reference: Reference) -> np.ndarray:
    """Return the design of SIMP without an eighth of the domain, in patches."""
    return np.where(draw_noise(problem, reference) > 1.2, 0, reference.density)


def draw_noise(problem: Problem, reference: Reference) -> np.ndarray:
    """Return noise of deviation 1 whose patches are a few elements wide."""
    noise = gaussian_filter(np.random.default_rng(reference.index).normal(size=problem.shape), 1.5)
    return noise / noise.std()


def list_ways(model: Model | None, options: argparse.Namespace) -> dict[str, Way]:
    """Return the ways to a design beside SIMP, by what the table calls them."""
    params = {} if model is None else choose_params(model, options)

    def refine_after(start: Way) -> Way:
        return lambda problem, reference: refine(problem, start(problem, reference), options.refine).density

    starts: dict[str, Way] = {
        "uniform": lambda problem, reference: np.full(problem.shape, problem.volume),
        "half grid": lambda problem, reference: run_coarse(problem),
        "quick draft": lambda problem, reference: draft_quickly(problem).next_density,
    }
    if model is None:
        starts |= {"SIMP with noise": blur_with_noise, "SIMP with holes": cut_holes}
        return {f"{name} + {options.refine} steps": refine_after(start) for name, start in starts.items()}

    def draw_one(problem: Problem, reference: Reference) -> np.ndarray:
        return draw_drafts(model, problem, 1, options.seed, params)[0]

    starts["draft"] = draw_one
    refined = {f"{name} + {options.refine} steps": refine_after(start) for name, start in starts.items()}
    return {"draft alone": draw_one, **refined}


def choose_params(model: Model, options: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters that the sampler of the model has; those of a GAN and a VAE have no steps."""
    params = {"steps": options.steps, "guidance_scale": options.guidance}
    return {name: value for name, value in params.items() if name in list_request_params(model)}


def measure_goals(
    model: Model | None, goals: Iterable[tuple[Problem, Reference]], options: argparse.Namespace
) -> dict[str, Any]:
    """Print the table of one set of goals, and return its figures."""
    ways = list_ways(model, options)
    results = {"SIMP": Results(), **{name: Results() for name in ways}}
    several: dict[str, list[dict[str, float]]] = {"model": [], "SIMP from random densities": []}
    for number, (problem, reference) in enumerate(goals):
        add_result(results["SIMP"], reference.measures, reference.seconds[-1], reference)
        for name, way in ways.items():
            begin = time.process_time()
            density = way(problem, reference)
            add_result(results[name], measure_design(problem, density), time.process_time() - begin, reference)
        if model is not None and options.candidates > 1 and number < options.several:
            rng = np.random.default_rng([options.seed, number])
            begin, params = time.process_time(), choose_params(model, options)
            drafts = draw_drafts(model, problem, options.candidates, options.seed, params)
            designs = [refine(problem, draft, options.refine).density for draft in drafts]
            several["model"].append(describe_several(problem, designs, reference, time.process_time() - begin))
            begin = time.process_time()
            starts = [draw_start(problem, rng) for _ in range(options.candidates)]
            designs = [run_simp(problem, start)[0] for start in starts]
            seconds = time.process_time() - begin
            several["SIMP from random densities"].append(describe_several(problem, designs, reference, seconds))
        print(f"  {number + 1} of {options.count}", end="\r", flush=True)
    return print_results(results, several)


def draw_start(problem: Problem, rng: np.random.Generator) -> np.ndarray:
    """Return a random density of coarse patches with the volume of the problem."""
    coarse = rng.random(tuple(max(side // 8, 2) for side in problem.shape))
    start = resample_density(coarse, problem.shape)
    return np.clip(start * problem.volume / start.mean(), 0, 1)


def add_result(results: Results, measures: DesignMeasures, seconds: float, reference: Reference) -> None:
    results.measures.append(measures)
    results.seconds.append(seconds)
    results.speedups.append(reference.find_seconds(measures.compliance) / seconds)


def describe_several(
    problem: Problem, designs: Sequence[np.ndarray], reference: Reference, seconds: float
) -> dict[str, float]:
    """Return figures of several designs for one problem."""
    solids = [choose_solid(problem, design) for design in designs]
    errors = [measure_design(problem, d).compliance / reference.measures.compliance - 1 for d in designs]
    good = [solid for solid, error in zip(solids, errors, strict=True) if error <= GOOD]
    distances = [float(np.abs(a - b).mean()) for a, b in combinations(solids, 2)]
    good_distances = [float(np.abs(a - b).mean()) for a, b in combinations(good, 2)]
    return {
        "good": len(good),
        "distance": float(np.mean(distances)),
        "distance of good": float(np.mean(good_distances)) if good_distances else 0.0,
        "best error": min(errors),
        "seconds": seconds,
        "simp seconds": reference.seconds[-1],
    }


def print_results(results: dict[str, Results], several: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Print the tables, and return their figures."""
    references = [each.compliance for each in results["SIMP"].measures]
    figures: dict[str, Any] = {}
    print(f"{'':26}{'error mean':>11}{'median':>9}{'> 1,000 %':>10}{'volume':>8}{'floating':>9}{'unheld':>8}"
          f"{'seconds':>9}{'faster':>8}")  # fmt: skip
    for name, result in results.items():
        errors = summarize_errors([each.compliance for each in result.measures], references)
        row = {
            "mean": errors.mean,
            "median": errors.median,
            "outliers": errors.outliers,
            "volume": float(np.mean([each.volume_error for each in result.measures])),
            "floating": float(np.mean([each.floating > 0 for each in result.measures])),
            "unheld": float(np.mean([each.unheld_loads > 0 for each in result.measures])),
            "seconds": float(np.median(result.seconds)),
            "faster": float(np.median(result.speedups)),
            "errors": [each.compliance / c - 1 for each, c in zip(result.measures, references, strict=True)],
        }
        figures[name] = row
        print(f"{name:26}{format_error(errors.mean):>11}{format_error(errors.median):>9}{errors.outliers:10}"
              f"{row['volume']:8.2%}"
              f"{row['floating']:9.1%}{row['unheld']:8.1%}{row['seconds']:9.3f}{row['faster']:7.1f}x")  # fmt: skip
    for name, rows in several.items():
        if rows:
            means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            figures[f"several by {name}"] = means
            print(f"several by {name}, means over {len(rows)} goals: "
                  + ", ".join(f"{key} {value:.3f}" for key, value in means.items()))  # fmt: skip
    return figures


def format_error(error: float) -> str:
    """Return an error in per cent; the size of one that is left out of means says nothing."""
    return f"{error:.2%}" if error <= OUTLIER else "> 1,000 %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", default=None)
    parser.add_argument("--model", default="structures", help="none: designs of SIMP that were damaged, as drafts")
    parser.add_argument("--count", type=int, default=100, help="goals of each kind")
    parser.add_argument("--kinds", default="usual,unusual", help="kinds of goals of the recipe, with commas")
    parser.add_argument("--side", type=int, default=32, help="elements on each axis")
    parser.add_argument("--steps", type=int, default=8, help="sampling steps of the model")
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--refine", type=int, default=5, help="steps of the solver after the draft")
    parser.add_argument("--candidates", type=int, default=8, help="designs of one goal for the lines on several")
    parser.add_argument("--several", type=int, default=20, help="goals that get several designs")
    parser.add_argument(
        "--seed", type=int, default=90_001, help="of the goals and the noise; the recipe trains on others"
    )
    parser.add_argument("--out", type=Path, default=None, help="JSON of all figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = None if options.model == "none" else load_model(gl.Workspace(options.workspace).store, options.model)
    ref = model.ref if model is not None else "no model"
    figures = {}
    for kind in options.kinds.split(","):
        print(f"{options.count} goals of the kind {kind}, {options.side} x {options.side}, {ref}, torch 1 thread")
        figures[kind] = measure_goals(model, iter_goals(kind, options), options)
    print(PUBLISHED)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
