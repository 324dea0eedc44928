"""Generation of molecules to goals, around a scaffold or between fragments, and like a given molecule."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from genloom import plugins
from genloom.capabilities import ConstrainedCodec
from genloom.errors import GenloomError, format_message, is_reason
from genloom.generate.editing import LoadBlob, SamplerStart, SaveBlob, check_edit_options, list_inputs, share_option
from genloom.generate.engine import Request, get_default_max_tokens, is_left_to_right
from genloom.generate.molecule import templates
from genloom.generate.molecule.ranges import draw_conditions, find_cautions
from genloom.generate.molecule.segments import SegmentConstraint
from genloom.generate.molecule.templates import Template
from genloom.generate.selection import Judgement
from genloom.media.molecule.fingerprints import compute_fingerprint, compute_similarities
from genloom.media.molecule.goals import Goals, parse_goals
from genloom.media.molecule.hazards import screen_mol
from genloom.media.molecule.molecule import Molecule, canonicalise_molecule, parse_smiles, shorten_text, to_mol
from genloom.media.molecule.names import find_molecule
from genloom.media.molecule.properties import compute_mol_properties
from genloom.media.opening import open_limited
from genloom.model import Model
from genloom.settings import option
from genloom.types import TokenSpace

MAX_BUDGET = 100_000
MIN_NEW_TOKENS = 8  # after a prompt
DEFAULT_VARY = 0.3
MOST_ALIKE, LEAST_ALIKE = 0.7, 0.2  # similarity to a source that nearly nothing, and that nearly all of is to change
GROWING_PROPERTIES = ("mw", "heavy_atoms", "rings", "aromatic_rings")  # which no atom that is added reduces


@dataclass(frozen=True)
class EditOptions:
    """Wishes for the molecules."""

    goal: str | None = option(None, 'Goals: words, or "logp=2..3 qed>0.7".')
    scaffold: str | None = option(None, "Scaffold to keep, as SMILES; grows at each [*].")
    link: str | None = option(None, 'Two fragments to join: "[*]c1ccccc1.[*]CCN".')
    like: str | None = option(None, "Molecule to vary: a name, or SMILES.")
    source: Path | None = option(None, "File of a molecule to vary; needs --vary.")
    vary: float | None = share_option("Share of it to change.")
    similarity: float | None = option(None, "Least Tanimoto similarity. [default: by --vary]", minimum=0, maximum=1)
    budget: int | None = option(None, "Most candidates to try. [default: 20 for each]", minimum=1, maximum=MAX_BUDGET)


@dataclass(frozen=True, eq=False)
class MoleculeEdit:
    """Goals, and what every output is made from."""

    goals: Goals = field(default_factory=Goals)
    scaffold: str = ""  # SMILES, as it was given
    link: str = ""
    source: Molecule | None = None
    vary: float = 1.0
    similarity: float = 0.0
    budget: int = 0
    cautions: tuple[str, ...] = ()  # said before the search; not in the record

    @property
    def needs_start(self) -> bool:
        """Whether sampling starts from something, so that the model's sampler must be able to."""
        return bool(self.scaffold or self.link or self.source)

    def extend_request(self, model: Model, request: Request) -> Request:
        """Return the request with conditions of each row that are drawn within the ranges of the goals."""
        given = request.given or ({},) * len(request.prompts)
        rows = tuple(
            {**draw_conditions(model, self.goals, nonce), **values}
            for nonce, values in zip(request.nonces, given, strict=True)
        )
        return replace(request, given=rows) if any(rows) else request

    def prepare(self, model: Model, request: Request) -> SamplerStart:
        if not self.needs_start:
            return SamplerStart(build_constraint(model, request, len(request.prompts) * [1]))
        rngs = [np.random.default_rng([nonce, 0x65646974]) for nonce in request.nonces]
        codec: Any = model.codec
        space = codec.space
        if isinstance(space, TokenSpace) and self.source is not None and "known_ids" in list_inputs(model):
            return SamplerStart({"known_ids": mask_source(codec, self.source, self.vary, rngs)})
        if not isinstance(space, TokenSpace) or not is_left_to_right(model):
            raise GenloomError("generate.no_edit_support", objective=model.design.objective)
        if not can_write_parts(codec):
            if self.source is None:
                raise GenloomError("molecule.no_template_support", model=model.ref, codec=model.design.codec)
            prompts = [encode_beginning(codec, self.source, self.vary, rng) for rng in rngs]
            return SamplerStart(start_after(model, request, prompts))
        can_fill = can_fill_gaps(codec)
        rows = [self.draw_template(rng, can_fill) for rng in rngs]
        can_fill = can_fill and all(len(row.closings) == 1 for row in rows)
        if can_fill:
            prompts = [codec.encode_gap(row.pieces[0], close_gap(row)) for row in rows]
            return SamplerStart(start_after(model, request, prompts))
        prompts = [codec.encode_text(row.pieces[0]) for row in rows]
        return SamplerStart(start_after(model, request, prompts, rows))

    def draw_template(self, rng: np.random.Generator, can_fill: bool) -> Template:
        """Return what a row is written around; a model that fills gaps fills one."""
        if self.scaffold:
            scaffold = templates.read_scaffold(self.scaffold)
            return templates.draw_scaffold_template(scaffold, rng, 1 if can_fill else len(templates.GROWTHS))
        if self.link:
            return templates.draw_link_template(*templates.read_fragments(self.link), rng)
        assert self.source is not None
        draw = templates.draw_gap_template if can_fill else templates.draw_prefix_template
        return draw(self.source, self.vary, rng)

    def judge(self, value: Molecule) -> Judgement:
        """Return how well a molecule meets the goals, and whether it is made as was asked."""
        mol, facts = to_mol(value), dict[str, Any]()
        if self.scaffold and not mol.HasSubstructMatch(find_query(self.scaffold), useChirality=True):
            return Judgement(withheld=format_message("molecule.withheld_scaffold"))
        if self.link and not has_fragments(mol, self.link):
            return Judgement(withheld=format_message("molecule.withheld_link"))
        score = 1.0
        if self.source is not None:
            if canonicalise_molecule(value) == self.source:
                return Judgement(withheld=format_message("molecule.withheld_same"))
            score = measure_similarity(mol, self.source)
            if score < self.similarity:
                return Judgement(withheld=format_message("molecule.withheld_like"))
            facts["similarity"] = round(score, 3)
        is_met = True
        if self.goals:
            result = self.goals.check_mol(mol)
            is_met, score = result.is_met, result.score
            facts |= {"goals": str(self.goals), "values": {name: round(v, 4) for name, v in result.values.items()}}
        alerts = [str(alert) for alert in screen_mol(mol)]
        return Judgement(is_met, score, facts={**facts, **({"alerts": alerts} if alerts else {})})

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        record = {
            "goal": str(self.goals),
            "scaffold": self.scaffold,
            "link": self.link,
            "source": self.source.smiles if self.source else "",
            "vary": self.vary,
            "similarity": self.similarity,
            "budget": self.budget,
        }
        return {name: value for name, value in record.items() if value}


def can_write_parts(codec: Any) -> bool:
    """Return whether the tokens of a codec are those of SMILES, of which a part may stand before or after others."""
    part = "c1cc("
    return hasattr(codec, "encode_text") and codec.decode(codec.encode_text(part)).smiles == part


def can_fill_gaps(codec: Any) -> bool:
    """Return whether the models of a codec were trained on tasks of filling."""
    return hasattr(codec, "encode_gap") and float(getattr(codec.config, "infill", 0)) > 0


def close_gap(template: Template) -> str:
    """Return the text after the one gap of a template."""
    return (")" if template.closings[0] == "branch" else "") + template.pieces[1]


def start_after(
    model: Model, request: Request, prompts: Sequence[np.ndarray], rows: Sequence[Template] = ()
) -> dict[str, Any]:
    """Return the inputs of a sampler that continues these tokens, which it keeps to, and the pieces of templates."""
    codec: Any = model.codec
    prompt_ids = tuple(np.concatenate([[codec.space.bos], ids]).astype(np.int64) for ids in prompts)
    starts = [len(ids) for ids in prompt_ids]
    rest = max((sum(len(codec.encode_text(piece)) for piece in row.pieces[1:]) for row in rows), default=0)
    if max(starts) + rest + MIN_NEW_TOKENS > model.design.context_length:
        num_tokens = max(starts) + rest
        raise GenloomError("molecule.too_long_for_model", num_tokens=num_tokens, maximum=model.design.context_length)
    inputs = build_constraint(model, request, starts)
    if rows:
        base = inputs.get("constraint")
        inputs["constraint"] = SegmentConstraint(base, model.codec, rows, starts)
    return {"prompt_ids": prompt_ids, **inputs}


def build_constraint(model: Model, request: Request, starts: Sequence[int]) -> dict[str, Any]:
    """Return the constraint of a codec as an input of the sampler; {} if the codec or the sampler has none."""
    if not isinstance(model.codec, ConstrainedCodec) or not is_left_to_right(model):
        return {}
    max_tokens = int(request.params.get("max_tokens") or get_default_max_tokens(model))
    max_length = min(max(starts) + max_tokens, model.design.context_length)
    return {"constraint": model.codec.build_constraint(request.prompts, max_length)}


def mask_source(codec: Any, source: Molecule, share: float, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Return the tokens of a molecule between BOS and EOS for each row, -1 where a masked model writes."""
    space, ids = codec.space, np.asarray(codec.encode(source), np.int64)
    known_ids = np.concatenate([[space.bos], ids, [space.eos]])
    if len(known_ids) > space.context_length:
        raise GenloomError("generate.source_too_long", num_tokens=len(ids), maximum=space.context_length - 2)
    rows = np.tile(known_ids, (len(rngs), 1))
    length = min(max(round(share * len(ids)), 1), len(ids))
    for row, rng in zip(rows, rngs, strict=True):
        first = 1 + int(rng.integers(len(ids) - length + 1))
        row[first : first + length] = -1
    return rows


def encode_beginning(codec: Any, source: Molecule, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the first tokens of a molecule in a random order, without about `share` of them."""
    text = templates.write_random_order(to_mol(source), rng)
    ids = np.asarray(codec.encode(Molecule(text)), np.int64)
    return ids[: min(max(round((1 - share) * len(ids)), 0), len(ids) - 1)]


@lru_cache(maxsize=64)
def find_query(scaffold: str) -> Any:
    """Return the pattern of a scaffold."""
    return templates.build_query(templates.read_scaffold(scaffold))


def has_fragments(mol: Any, link: str) -> bool:
    """Return whether a molecule contains both fragments apart from each other."""
    first, second = (templates.build_query(each) for each in templates.read_fragments(link))
    dummies = [{a.GetIdx() for a in each.GetAtoms() if a.GetAtomicNum() == 0} for each in (first, second)]
    found = []
    for query, points in zip((first, second), dummies, strict=True):
        matches = mol.GetSubstructMatches(query, useChirality=True, uniquify=False, maxMatches=200)
        found.append([{atom for at, atom in enumerate(match) if at not in points} for match in matches])
    return any(one.isdisjoint(other) for one in found[0] for other in found[1])


def measure_similarity(mol: Any, source: Molecule) -> float:
    """Return the Tanimoto similarity of Morgan fingerprints."""
    return float(compute_similarities(compute_fingerprint(to_mol(source)), [compute_fingerprint(mol)])[0])


def build_edit(options: EditOptions, model: Model) -> MoleculeEdit:
    """Return the edit that the options ask for; raise ValueError if they contradict each other."""
    check_edit_options(options)
    given = [name for name in ("scaffold", "link", "like", "source") if getattr(options, name) is not None]
    if len(given) > 1:
        raise GenloomError("molecule.edit_contradiction", first=given[0], second=given[1])
    goals = parse_goals(options.goal) if options.goal is not None else Goals()
    edit = MoleculeEdit(goals, budget=options.budget or 0, cautions=find_cautions(model, goals))
    has_source = bool(given) and given[0] in ("like", "source")
    for name in ("vary", "similarity"):
        if getattr(options, name) is not None and not has_source:
            raise GenloomError("molecule.similarity_without_source", option=name)
    if not given:
        return edit
    with name_option(given[0], str(getattr(options, given[0]))):
        source = None
        if options.scaffold is not None:
            check_growth(goals, templates.read_scaffold(options.scaffold), options.scaffold)
        elif options.link is not None:
            templates.read_fragments(options.link)
        else:
            source = read_source(options, model)
    if source is None:
        return replace(edit, scaffold=options.scaffold or "", link=options.link or "")
    vary = DEFAULT_VARY if options.vary is None else options.vary
    similarity = max(MOST_ALIKE - vary, LEAST_ALIKE) if options.similarity is None else options.similarity
    return replace(edit, source=source, vary=vary, similarity=similarity)


@contextmanager
def name_option(option: str, text: str) -> Generator[None]:
    """Name the option and its value in an error that is only a reason, or because the value is a file."""
    try:
        yield
    except GenloomError as error:
        if option != "source" and os.path.isfile(text):
            raise GenloomError("molecule.value_is_file", option=option, text=text) from error
        if not is_reason(error):
            raise
        raise GenloomError("molecule.unsuitable_value", option=option, text=shorten_text(text), reason=error) from error


def read_source(options: EditOptions, model: Model) -> Molecule:
    """Return the molecule of an option or a file, standardised."""
    if options.like is not None:
        return parse_smiles(find_molecule(options.like).smiles)
    assert options.source is not None
    opened = open_limited(plugins.find_part("medium", model.design.medium).open, options.source)
    return parse_smiles(opened.value.smiles)


def check_growth(goals: Goals, scaffold: Any, text: str) -> None:
    """Raise GenloomError for a goal below what the scaffold has by itself of a property that only grows."""
    bare = templates.remove_dummies(scaffold)
    values = compute_mol_properties(bare, [name for name in GROWING_PROPERTIES if name in goals.ranges])
    for name, value in values.items():
        if value > goals.ranges[name][1]:
            goal = goals.by_name[name]
            raise GenloomError(
                "molecule.goal_below_scaffold", name=name, text=shorten_text(text), value=value, goal=goal
            )


def unpack_edit(record: Mapping[str, Any], medium: Any, load_blob: LoadBlob) -> MoleculeEdit:
    """Return the edit of a record; raise ValueError if it was changed."""
    source, goal = str(record.get("source", "")), str(record.get("goal", ""))
    return MoleculeEdit(
        parse_goals(goal) if goal else Goals(),
        str(record.get("scaffold", "")),
        str(record.get("link", "")),
        medium.decode(source.encode()) if source else None,
        float(record.get("vary", 1.0)),
        float(record.get("similarity", 0.0)),
        int(record.get("budget", 0)),
    )
