"""Improvement of a prompt: variants are chosen by one part of the examples, and the best is proved on the other.

    proposals ── screened on a few cases ── the best edits together, on all training cases ── the best against the
    present prompt, on held-out cases, once

The proof is the exact test of paired answers: among held-out cases that only one of the two prompts answers right, the
share won by the new one is above one half with the gate's error, which each further attempt on these cases halves.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from genloom.assistant.prompts import variants
from genloom.assistant.prompts.cases import Case, CaseSplit, require_enough
from genloom.assistant.prompts.prompt import Prompt
from genloom.assistant.prompts.requests import join_values
from genloom.assistant.prompts.template import Value
from genloom.assistant.prompts.variants import EDIT_KINDS, Edit, Variant, build_variant
from genloom.errors import GenloomError
from genloom.rate.gate import MIN_PROMPTS, Decision, Measure, compute_alpha_left, decide_promotion, measure_win_rate
from genloom.settings import option
from genloom.types import Message

Conversation = Sequence[Message]
AnswerFn = Callable[[Sequence[Conversation], Mapping[str, Any], Sequence[str]], list[str]]
FitFn = Callable[[Prompt, Mapping[str, Value]], Conversation]

MIN_TRAIN = 6  # cases to choose a variant by
SCREENED = 12  # training cases that every variant is tried on
SCREENING_SHARE = 0.5  # of the answers beyond those that every search takes
NUM_WORDINGS = 3  # instructions that the model is asked for, in each of two ways
PROOF = "held-out cases that only one prompt answers right"
_TOKENS_PER_WORD = 3
_WORDING_SETTINGS = {"temperature": 0.8, "top_p": 0.95, "max_tokens": 60}


@dataclass(frozen=True)
class ImproveOptions:
    """The extent of a search."""

    budget: int = option(500, "most answers that are generated", minimum=1, maximum=1_000_000)
    held_out: float = option(0.5, "share of the examples that only the proof uses", minimum=0.1, maximum=0.9)
    seed: int = option(0, "seed of the split and of the model's own wordings", minimum=0, maximum=2**31)


@dataclass(frozen=True)
class Trial:
    """A variant that was tried, and how many training cases it answered right."""

    how: str
    num_right: int
    count: int


@dataclass(frozen=True)
class Proof:
    """The present prompt and the best variant on the held-out cases."""

    current: tuple[bool, ...]
    challenger: tuple[bool, ...]
    measure: Measure | None  # None: both answer the same cases right
    decision: Decision

    @property
    def num_gained(self) -> int:
        """Held-out cases that only the variant answers right."""
        return sum(new and not old for old, new in zip(self.current, self.challenger, strict=True))

    @property
    def num_lost(self) -> int:
        """Held-out cases that only the present prompt answers right."""
        return sum(old and not new for old, new in zip(self.current, self.challenger, strict=True))


@dataclass(frozen=True)
class Improvement:
    """The result of a search: all that was tried, the best variant, and its proof."""

    prompt: Prompt  # the present one, with the settings that all were measured with
    best: Variant
    trials: tuple[Trial, ...]
    split: CaseSplit
    proof: Proof | None  # None: no variant was better on the training cases
    num_answers: int
    num_earlier: int  # attempts on the same held-out cases
    seconds: float
    examples: tuple[tuple[str, str, str], ...] = ()  # held-out inputs with the answers of both prompts

    @property
    def is_proved(self) -> bool:
        return self.proof is not None and self.proof.decision.should_promote


@dataclass
class Searcher:
    """A search within a budget of answers; an answer is generated once for each prompt and case."""

    answer: AnswerFn
    fit: FitFn
    budget: int
    report: Callable[[float, str], None]
    num_answers: int = 0
    _answers: dict[tuple[str, str], str] = field(default_factory=dict)

    def measure(self, prompt: Prompt, cases: Sequence[Case], note: str) -> list[bool]:
        """Return for each case whether the prompt's answer passes its checks."""
        texts = self.get_answers(prompt, cases, note)
        return [case.is_right(text) for case, text in zip(cases, texts, strict=True)]

    def get_answers(self, prompt: Prompt, cases: Sequence[Case], note: str) -> list[str]:
        """Return the prompt's answer to each case, those generated that are not known yet."""
        keys = [(prompt.digest, join_values(case.given)) for case in cases]
        missing = [i for i, key in enumerate(keys) if key not in self._answers]
        if missing:
            conversations = [self.fit(prompt, cases[i].given) for i in missing]
            texts = self.answer(conversations, prompt.settings, prompt.stop)
            self._answers |= {keys[i]: text for i, text in zip(missing, texts, strict=True)}
            self.count(len(missing), note)
        return [self._answers[key] for key in keys]

    def fill_answers(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """Return the cases; those without an answer have one of the model that passes their checks, if there is one.

        So a prompt whose cases have only checks can show examples, too (Khattab et al. 2023, "DSPy").
        """
        known: dict[str, list[str]] = {}
        for (_, given), text in self._answers.items():
            known.setdefault(given, []).append(text.strip())
        return tuple(
            case if case.answer.strip() else replace(case, answer=next(filter(case.is_right, texts), ""))
            for case, texts in ((case, known.get(join_values(case.given), [])) for case in cases)
        )

    def word(self, conversation: Conversation) -> list[str]:
        """Return the model's answers to a request for instructions."""
        texts = self.answer([conversation] * NUM_WORDINGS, _WORDING_SETTINGS, ())
        self.count(NUM_WORDINGS, "instructions")
        return texts

    def count(self, number: int, note: str) -> None:
        self.num_answers += number
        self.report(min(self.num_answers / self.budget, 1.0), note)


def improve_prompt(
    prompt: Prompt,
    split: CaseSplit,
    options: ImproveOptions,
    answer: AnswerFn,
    fit: FitFn,
    num_earlier: int = 0,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Improvement:
    """Search for a better prompt, and prove it on the held-out cases.

    `answer` generates a text for each conversation with these settings and stop strings, `fit` builds a conversation
    that the model can read. `num_earlier` counts the attempts on the same held-out cases since the prompt was saved.

    Raises
    ------
    GenloomError
        assistant.too_few_cases, assistant.budget_too_small.
    """
    started = time.monotonic()
    require_enough(split, MIN_TRAIN, MIN_PROMPTS)
    num_train, num_held_out = len(split.train), len(split.held_out)
    minimum = 2 * (num_held_out + num_train + NUM_WORDINGS) + 2 * min(num_train, SCREENED)
    if options.budget < minimum:
        raise GenloomError("assistant.budget_too_small", budget=options.budget, minimum=minimum)
    base = replace(prompt, settings=fill_settings(prompt, split.train))
    searcher = Searcher(answer, fit, options.budget, report)
    searcher.measure(base, split.train, "the present prompt")
    train = searcher.fill_answers(split.train)
    screened = train[:SCREENED]
    limit = minimum - 2 * num_held_out - num_train + int((options.budget - minimum) * SCREENING_SHARE)
    screening = screen_edits(searcher, base, train, screened, limit)
    best, trials = choose_best(searcher, base, train, screening, options.budget - 2 * num_held_out)
    proof, shown = None, ()
    if best.edits:
        proof = prove_variant(searcher, base, best.prompt, split.held_out, compute_alpha_left(num_earlier))
        shown = _pair_answers(searcher, base, best.prompt, split.held_out)
    seconds = time.monotonic() - started
    return Improvement(base, best, trials, split, proof, searcher.num_answers, num_earlier, seconds, shown)


def fill_settings(prompt: Prompt, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the prompt's settings; without any, it answers with the likeliest tokens, and not much more than needed.

    The bound is the same for all variants, in tokens: half the characters of the longest right answer, and some more.
    """
    longest = max((len(case.answer) // 2 for case in cases), default=0)
    longest = max([longest, *(_TOKENS_PER_WORD * case.checks.max_words for case in cases)])
    return {"temperature": 0.0, **({"max_tokens": longest + 16} if longest else {}), **prompt.settings}


def screen_edits(
    searcher: Searcher, base: Prompt, train: Sequence[Case], screened: Sequence[Case], budget: int
) -> list[tuple[Edit, list[bool]]]:
    """Return the edits with the results of each alone on a few cases, as many as the budget of answers allows.

    Where right answers are not known, the model's own that pass the checks become examples, after the other edits.
    """
    results: list[tuple[Edit, list[bool]]] = []

    def screen_edits(groups: Sequence[Sequence[Edit]], limit: int) -> None:
        for edit in interleave_edits(groups):
            if searcher.num_answers + len(screened) > limit:
                break
            variant = build_variant(base, [edit]).prompt
            results.append((edit, searcher.measure(variant, screened, edit.name)))

    searcher.measure(base, screened, "the present prompt")
    rules, wordings = variants.list_rule_edits(base, train), list_worded_edits(searcher, base, train)
    if all(case.answer.strip() for case in train):
        screen_edits([variants.list_example_edits(train), rules, wordings], budget)
    else:
        screen_edits([rules, wordings], (searcher.num_answers + budget) // 2)
        screen_edits([variants.list_example_edits(searcher.fill_answers(train))], budget)
    return results


def list_worded_edits(searcher: Searcher, base: Prompt, train: Sequence[Case]) -> list[Edit]:
    """List the edits that take an instruction in the model's own words: paraphrased, or induced from examples."""
    instruction = variants.find_instruction(base)
    wordings: list[Edit] = []
    if instruction is not None:
        answers = searcher.word(variants.build_paraphrase_request(instruction.text))
        wordings += variants.list_worded_edits(base, answers, "paraphrase")
    known = [case for case in train if case.answer.strip()]
    if len(known) > 1:
        answers = searcher.word(variants.build_induction_request(variants.choose_varied(known, 6)))
        wordings += variants.list_worded_edits(base, answers, "instruction induced")
    return wordings


def interleave_edits(groups: Sequence[Sequence[Edit]]) -> list[Edit]:
    """Return the edits of all groups in turn, so that a small budget tries some of each."""
    longest = max(map(len, groups), default=0)
    return [group[i] for i in range(longest) for group in groups if i < len(group)]


def choose_best(
    searcher: Searcher, base: Prompt, train: Sequence[Case], screening: Sequence[tuple[Edit, list[bool]]], budget: int
) -> tuple[Variant, tuple[Trial, ...]]:
    """Return the variant that answers the most training cases right, the simplest on a tie, and all trials."""
    base_results = searcher.measure(base, train, "the present prompt")
    trials = [Trial("unchanged", sum(base_results), len(train))]
    trials += [Trial(edit.name, sum(right), len(right)) for edit, right in screening]
    num_screened = len(screening[0][1]) if screening else 0
    candidates = combine_edits(base, screening, sum(base_results[:num_screened]))
    best, best_right = Variant(base), trials[0].num_right
    for candidate in candidates:
        if searcher.num_answers + len(train) > budget:
            break
        right = sum(searcher.measure(candidate.prompt, train, candidate.how))
        trials.append(Trial(candidate.how, right, len(train)))
        is_simpler = right == best_right and 0 < len(candidate.edits) < len(best.edits)
        if right > best_right or is_simpler:
            best, best_right = candidate, right
    return best, tuple(trials)


def combine_edits(base: Prompt, screening: Sequence[tuple[Edit, list[bool]]], base_right: int) -> list[Variant]:
    """Return the variants to try on all training cases, the most promising first.

    They are the best edits of each kind together and alone, other examples in their place, and all but one of them; at
    the end with the edits by rules that changed nothing. Edits that answered fewer of the screened cases right than
    the present prompt are left out, and so are the model's wordings that changed nothing.
    """
    ranked: dict[str, list[Edit]] = {}
    for edit, right in sorted(screening, key=lambda row: -sum(row[1])):
        if sum(right) > base_right:
            ranked.setdefault(edit.kind, []).append(edit)
    firsts = [edits[0] for kind in EDIT_KINDS if (edits := ranked.get(kind))]
    others = [edit for edit in firsts if edit.kind != "examples"]
    chosen = [firsts, *([edit] for edit in firsts)]
    for edit in ranked.get("examples", [])[1:3]:
        chosen += [[*others, edit], [edit]]
    chosen += [[e for e in firsts if e is not left_out] for left_out in firsts if len(firsts) > 2]
    for edit, right in screening:
        if sum(right) == base_right and edit.kind not in ("wording", "examples", *(e.kind for e in firsts)):
            chosen.append([*firsts, edit])
    unique: dict[str, Variant] = {}
    for edits in chosen:
        variant = build_variant(base, edits)
        if variant.prompt.digest != base.digest:
            unique.setdefault(variant.prompt.digest, variant)
    return list(unique.values())


def prove_variant(
    searcher: Searcher, current: Prompt, challenger: Prompt, cases: Sequence[Case], alpha: float
) -> Proof:
    """Measure both prompts on the held-out cases, and decide by the gate whether the second is better."""
    old = searcher.measure(current, cases, "proof: the present prompt")
    new = searcher.measure(challenger, cases, "proof: the best variant")
    outcomes = [1.0 if right else 0.0 for was, right in zip(old, new, strict=True) if was != right]
    measure = None
    if outcomes:  # the gate counts all cases that were measured; the interval is of those that differ
        measure = replace(measure_win_rate(PROOF, outcomes, alpha=alpha), count=len(cases))
    return Proof(tuple(old), tuple(new), measure, decide_promotion([] if measure is None else [measure]))


def _pair_answers(
    searcher: Searcher, current: Prompt, challenger: Prompt, cases: Sequence[Case]
) -> tuple[tuple[str, str, str], ...]:
    old, new = (searcher.get_answers(prompt, cases, "") for prompt in (current, challenger))
    return tuple((join_values(case.given), a, b) for case, a, b in zip(cases, old, new, strict=True))
