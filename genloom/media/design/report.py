"""The report of designs as one self-contained HTML page that prints: goals, stresses, safety, method and warnings."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import prod
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.media.design import report_plots
from genloom.media.design.drawing import draw_png
from genloom.media.design.facts import (
    SINGULAR_RADIUS,
    SOLID_LEVEL,
    Assessment,
    assess_structure,
    count_parts,
    describe_limits,
    find_singular_elements,
    list_faults,
    measure_mass,
)
from genloom.media.design.goals import DesignGoals
from genloom.media.design.outlines import MILLIMETRES
from genloom.media.design.problems import build_problem
from genloom.media.design.structure import Structure, build_empty

MAX_REFINED_ELEMENTS = 60_000  # of the check with a finer mesh
STYLE = Path(__file__).with_name("report.css")
ACTIONS = {
    "start": "as it was generated",
    "remove_floating": "floating parts removed",
    "step": "a step of optimization",
    "meet_volume": "volume met exactly",
}
Row = Sequence[str]


@dataclass(frozen=True)
class ReportEntry:
    """A design of a report, and how it came about."""

    name: str
    structure: Structure
    origin: str  # the model and the output, or the optimization
    gains: Sequence[Mapping[str, Any]] = ()  # action, compliance and volume after each action of the finish
    history: Sequence[float] = ()  # the compliance after each step of an optimization
    distance: float | None = None  # to the nearest other design of the report
    files: Sequence[str] = ()


@dataclass(frozen=True)
class ReportFrame:
    """Facts of the report as a whole."""

    created: str
    program: str
    method: Sequence[str]  # lines on how the designs were made
    understood: Sequence[tuple[str, str]] = ()  # phrases and what they were read as
    signature: str = ""  # who signs the files, or why they are not signed
    provenance: Mapping[str, str] = field(default_factory=dict)


def build_report(goals: DesignGoals, entries: Sequence[ReportEntry], frame: ReportFrame) -> bytes:
    """Return the page: the goals, a table of all designs, a chapter for each, then method, warnings and signatures."""
    title = goals.title or "Design"
    body = [*iter_goals(goals, frame), *iter_overview(entries)]
    for entry in entries:
        body += iter_entry(entry)
    body += [*iter_method(goals, frame), *iter_warnings(goals), *iter_provenance(frame)]
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>\n"
    ).encode()


def iter_goals(goals: DesignGoals, frame: ReportFrame) -> Iterator[str]:
    """Yield the first chapter: what was asked."""
    domain, material = goals.domain, goals.material
    size = " × ".join(f"{MILLIMETRES * x:.6g}" for x in domain.size)
    elements = " × ".join(map(str, domain.elements))
    yield f"<h1>{escape(goals.title or 'Design')}</h1>"
    yield f'<p class="soft">Structural design report · {escape(frame.created)} · {escape(frame.program)}</p>'
    yield "<h2>Goals</h2>"
    yield f'<figure class="goals">{render_image(draw_png([build_empty(goals)]), "Supports and loads")}'
    yield "<figcaption>Supports blue (triangle: held, circle: slides), loads red and brown by case; "
    yield "green must be solid, pink must be empty.</figcaption></figure>"
    thickness = [("Thickness", f"{MILLIMETRES * domain.thickness:.6g} mm (plane stress)")] if domain.axes == 2 else []
    yield render_table(
        [
            ("Domain", f"{size} mm"),
            *thickness,
            ("Mesh", f"{elements} elements of {MILLIMETRES * domain.element_size:.4g} mm"),
            ("Material", material.name),
            ("Elastic modulus", f"{material.elastic_modulus / 1e9:.5g} GPa"),
            ("Poisson's ratio", f"{material.poisson_ratio:.3g}"),
            ("Yield strength", f"{material.yield_strength / 1e6:.5g} MPa"),
            ("Density", f"{material.density:.5g} kg/m³"),
            ("Source of these", material.source or "not given"),
            *[(f"Limit of {name}", text) for name, text in describe_limits(goals)],
        ],
        is_facts=True,
    )
    yield "<h3>Supports</h3>"
    rows = [(str(n), str(each.place), ", ".join(each.hold)) for n, each in enumerate(goals.supports, start=1)]
    yield render_long_table(("No.", "Place", "Held along"), rows)
    yield "<h3>Loads</h3>"
    loads = [(each.case, str(each.place), " · ".join(f"{force:.6g}" for force in each.force)) for each in goals.loads]
    yield render_long_table(("Case", "Place", f"Force {', '.join('xyz'[: domain.axes])}, N"), loads)
    yield f'<p class="soft">The origin is the lower left{" front" if domain.axes == 3 else ""} corner; y points up.</p>'
    if frame.understood:
        yield "<h3>Read in the words</h3>"
        yield render_table([("Phrase", "Meaning"), *frame.understood])


def iter_overview(entries: Sequence[ReportEntry]) -> Iterator[str]:
    """Yield the table of all designs."""
    if len(entries) < 2:
        return
    yield "<h2>Designs</h2>"
    stiffest = min(find_compliance(entry) for entry in entries)
    rows = []
    for entry in entries:
        state = assess_structure(entry.structure)
        rows.append((
            entry.name,
            f"{1e3 * measure_mass(entry.structure):.4g}",
            f"{100 * entry.structure.volume:.2f}",
            f"{state.compliance:.4g} (+{100 * (state.compliance / stiffest - 1):.1f} %)",
            f"{MILLIMETRES * state.max_displacement:.4g}",
            f"{state.max_stress / 1e6:.4g}",
            f"{state.safety_factor:.3g}",
            "" if entry.distance is None else f"{100 * entry.distance:.0f} %",
            "no" if list_faults(entry.structure) else "yes",
        ))  # fmt: skip
    head = ("Design", "Mass, g", "Volume, %", "Compliance, J", "Displacement, mm", "Stress, MPa", "Safety", "Differs",
            "Meets goals")  # fmt: skip
    yield render_table([head, *rows])
    yield '<p class="soft">Compliance: the work of all loads; less is stiffer. Safety: yield strength over the '
    yield "greatest von Mises stress. Differs: the share of material that the design and the one most like it do not "
    yield "have in common.</p>"


def find_compliance(entry: ReportEntry) -> float:
    return assess_structure(entry.structure).compliance


def iter_entry(entry: ReportEntry) -> Iterator[str]:
    """Yield the chapter of one design."""
    structure, goals = entry.structure, entry.structure.goals
    assert goals is not None, "a report is about goals"
    state, parts, faults = assess_structure(structure), count_parts(structure), list_faults(structure)
    yield f'<section class="design"><h2>{escape(entry.name)}</h2><p class="soft">{escape(entry.origin)}</p>'
    if faults:
        yield f'<p class="alarm"><b>It does not meet its goals:</b> {escape("; ".join(faults))}.</p>'
    else:
        yield '<p class="good">It meets its goals, as far as this analysis tells.</p>'
    yield f'<div class="columns"><figure>{render_image(draw_png([structure]), entry.name)}</figure>'
    yield render_table(
        [
            ("Mass", f"{1e3 * measure_mass(structure):.4g} g"),
            (
                "Volume",
                f"{1e6 * structure.volume * goals.domain.volume:.5g} cm³, {100 * structure.volume:.2f} %",
            ),
            ("Compliance, all cases", f"{state.compliance:.5g} J"),
            ("Greatest displacement", f"{MILLIMETRES * state.max_displacement:.4g} mm"),
            ("Greatest von Mises stress", f"{state.max_stress / 1e6:.4g} MPa"),
            ("Safety factor to yield", f"{state.safety_factor:.3g}"),
            ("Parts and closed holes", f"{parts.count} and {parts.num_holes}"),
            *([("Files", ", ".join(entry.files))] if entry.files else []),
        ],
        is_facts=True,
    )
    yield "</div>"
    yield from iter_cases(structure, state, goals)
    yield from iter_mesh_check(structure, state)
    yield from iter_way(entry)
    yield "</section>"


def iter_cases(structure: Structure, state: Assessment, goals: DesignGoals) -> Iterator[str]:
    """Yield the state under each load case, with its plots."""
    limit = goals.limits.max_stress or goals.material.yield_strength
    for number, case in enumerate(state.cases):
        safety = goals.material.yield_strength / max(case.max_stress, 1e-300)
        elsewhere = goals.material.yield_strength / max(case.max_stress_elsewhere, 1e-300)
        yield f'<div class="case"><h3>Load case {escape(case.name)}</h3>'
        stress, rest = case.max_stress / 1e6, case.max_stress_elsewhere / 1e6
        length = f"{MILLIMETRES * case.max_displacement:.4g}"
        head = ("", "Displacement, mm", "Stress, MPa", "Safety factor", "Compliance, J")
        everywhere = ("everywhere", length, f"{stress:.4g}", f"{safety:.3g}", f"{case.compliance:.5g}")
        away = f"more than {SINGULAR_RADIUS} elements from loads and supports"
        yield render_table([head, everywhere, (away, "", f"{rest:.4g}", f"{elsewhere:.3g}", "")])
        yield '<div class="columns">'
        plot = report_plots.draw_stress(structure, state, number, limit)
        yield f"<figure>{render_image(plot, 'von Mises stress')}<figcaption>Von Mises stress at the centres "
        yield "of elements; × is the greatest.</figcaption></figure>"
        plot = report_plots.draw_displacement(structure, state, number)
        yield f"<figure>{render_image(plot, 'displacement')}<figcaption>Length of the displacement; × is the "
        yield "greatest.</figcaption></figure></div></div>"


def iter_mesh_check(structure: Structure, state: Assessment) -> Iterator[str]:
    """Yield how much the results change with elements half as large."""
    if structure.levels.size * 2**structure.axes > MAX_REFINED_ELEMENTS:
        yield '<p class="soft">Check of the mesh: not made, the finer one would be too large.</p>'
        return
    try:
        fine = assess_structure(report_plots.refine_mesh(structure))
    except GenloomError as error:
        yield f'<p class="soft">Check of the mesh: not made. {escape(str(error))}</p>'
        return
    goals = structure.goals
    assert goals is not None, "a report is about goals"
    is_elsewhere = (structure.density >= SOLID_LEVEL) & ~find_singular_elements(build_problem(goals))
    is_elsewhere_fine = is_elsewhere
    for axis in range(structure.axes):
        is_elsewhere_fine = is_elsewhere_fine.repeat(2, axis)
    masks = ((state, is_elsewhere), (fine, is_elsewhere_fine))
    elsewhere = [float(each.von_mises[:, mask].max(initial=0.0)) for each, mask in masks]
    changes = [
        ("displacement", fine.max_displacement / state.max_displacement),
        ("compliance", fine.compliance / state.compliance),
        ("greatest stress", fine.max_stress / state.max_stress),
        ("stress away from loads and supports", elsewhere[1] / max(elsewhere[0], 1e-300)),
    ]
    text = ", ".join(f"{name} {100 * (ratio - 1):+.1f} %" for name, ratio in changes)
    yield f"<p>Check of the mesh: the same design on elements half as large changes by {text}.</p>"


def iter_way(entry: ReportEntry) -> Iterator[str]:
    """Yield what each action of the finish gained, and the convergence of the optimization."""
    if entry.gains:
        first = entry.gains[0]["compliance"]
        rows = [
            (str(n), ACTIONS.get(gain["action"], gain["action"]), f"{gain['compliance']:.5g}",
             f"{100 * (gain['compliance'] / first - 1):+.1f} %" if first else "", f"{100 * gain['volume']:.2f} %")
            for n, gain in enumerate(entry.gains)
        ]  # fmt: skip
        yield "<h3>Finish</h3>"
        yield render_table([("Step", "What was done", "Compliance, J", "Change", "Volume"), *shorten_rows(rows)])
    if entry.history:
        last = entry.history[-1]
        late = entry.history[-min(5, len(entry.history))]
        yield "<h3>Convergence</h3>"
        yield f"<figure>{render_image(report_plots.draw_history(entry.history), 'convergence')}"
        yield f"<figcaption>{len(entry.history) - 1} steps; the last four changed the compliance by "
        yield f"{100 * (last / late - 1):+.2f} %.</figcaption></figure>"


def shorten_rows(rows: Sequence[Row], count: int = 12) -> list[Row]:
    """Return the first and the last rows of a long table, with a row of dots between."""
    if len(rows) <= count:
        return list(rows)
    half = count // 2
    return [*rows[:half], ("…",) * len(rows[0]), *rows[-half:]]


def iter_method(goals: DesignGoals, frame: ReportFrame) -> Iterator[str]:
    """Yield the chapter on the method."""
    kind = "square bilinear elements (Q4), plane stress" if goals.domain.axes == 2 else "cubic trilinear elements (H8)"
    yield '<section class="notes"><h2>Method</h2><ul>'
    yield f"<li>Linear static finite elements: {prod(goals.domain.elements):,} {kind}, full integration; "
    yield "a direct sparse solver, or conjugate gradients with multigrid for large grids.</li>"
    yield "<li>Modulus of an element of density ρ: E·(10⁻⁹ + (1 − 10⁻⁹)·ρ³) (modified SIMP). Stress is the von Mises "
    yield "stress at the centre of an element, times the square root of its density.</li>"
    for line in frame.method:
        yield f"<li>{escape(line)}</li>"
    yield "</ul></section>"


def iter_warnings(goals: DesignGoals) -> Iterator[str]:
    """Yield what the analysis does not tell."""
    plane = (
        "<li>Plane stress: the part is thin beside its height and width, and loaded in its plane. Buckling out of the "
        "plane is not computed.</li>"
        if goals.domain.axes == 2
        else ""
    )
    yield '<section class="notes"><h2>Limits and warnings</h2><ul>'
    yield "<li>Linear elasticity: small displacements, no yielding, no contact, no friction, no buckling, no fatigue, "
    yield "no temperature, no dead weight.</li>"
    yield plane
    yield "<li>At point loads, at the ends of supports and in sharp inner corners the exact stress has no bound: the "
    yield "greatest stress there depends on the mesh. Judge it by the figure away from loads and supports, and by the "
    yield "check of the mesh.</li>"
    yield "<li>The boundary of the analysed design is made of steps of one element, whose corners raise the computed "
    yield "stress; files for CAD and printing have a smoothed outline of the same area.</li>"
    yield "<li>The figures of the material are typical ones. Printed parts are weaker across their layers.</li>"
    yield "<li>This report is a computation, not an approval: have a part on which safety depends checked by a "
    yield "qualified engineer, and tested.</li></ul></section>"


def iter_provenance(frame: ReportFrame) -> Iterator[str]:
    """Yield where the designs come from and who signs the files."""
    yield '<section class="notes"><h2>Origin and signatures</h2>'
    if frame.provenance:
        yield render_table(list(frame.provenance.items()), is_facts=True)
    yield f"<p>{escape(frame.signature)}</p>" if frame.signature else ""
    yield '<table class="sign"><tr><td>Prepared by</td><td>Checked by</td><td>Date</td></tr></table></section>'


def render_table(rows: Sequence[Row], is_facts: bool = False) -> str:
    """Return rows as a table: the first is the head, or every row is a fact and its value."""
    if is_facts:
        lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
        return f'<table class="facts">{lines}</table>'
    head, *body = rows
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>{lines}</table>"


def render_long_table(head: Row, rows: Sequence[Row]) -> str:
    """Return a table of which a long middle is left out, and says so."""
    note = f'<p class="soft">{len(rows):,} in all; the document of the goals lists them.</p>' if len(rows) > 12 else ""
    return render_table([head, *shorten_rows(rows)]) + note


def render_image(data: bytes, text: str) -> str:
    """Return a PNG inside the page."""
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
