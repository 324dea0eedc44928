"""One round of learning: ratings, a challenger, what both versions write, the gate's decision, the receipt."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from genloom.learn import measures
from genloom.learn.asked import answered, lessons_of, questions
from genloom.learn.measures import Answers
from genloom.learn.telling import Told, receipt
from genloom.model import Model, open_model
from genloom.rate import receipt as receipts
from genloom.rate.calibration import Calibration, calibration
from genloom.rate.gate import Measure
from genloom.rate.machine import named
from genloom.rate.page import page
from genloom.rate.preferences import Preference, Preferences, enough, preferences
from genloom.rate.promotion import hold, promote
from genloom.rate.prompts import split
from genloom.rate.ratings import standing
from genloom.store.files import write_atomic
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace
from genloom.train import judging
from genloom.train.dial import Wishes
from genloom.train.events import Event, Finished, Stage
from genloom.train.job import read_job
from genloom.train.learning import Request, learn_model, settings_of
from genloom.train.log import read_log

ANSWERS = 48  # held-out prompts that both versions answer at most


@dataclass(frozen=True)
class Wanted:
    """How a round shall go."""

    model: str
    method: str = "auto"  # dpo, kto, weighted; auto: by what was rated
    judge: str = ""  # a machine that judges held-out answers beside the ratings, like "length:most=1"
    wishes: Wishes = field(default_factory=Wishes)
    overrides: Mapping[str, str] = field(default_factory=dict)
    answers: int = ANSWERS
    precision: str = "auto"  # in which both write their answers
    save_seconds: float = 30.0


@dataclass(frozen=True)
class Learned:
    """A round has ended."""

    receipt: receipts.Receipt
    digest: str
    run: str  # whose folder holds the receipt, as JSON and as a page


@dataclass
class Clock:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def over(self, name: str) -> Generator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


def learn(workspace: Workspace, ledger: Ledger, wanted: Wanted) -> Generator[Event | Learned]:
    """Yield what happens; the last is the receipt. A round that was broken off is gone on with when asked again.

    Raises ValueError where too little was rated (saying how much is missing), and for what else a person can mend.
    """
    clock = Clock()
    prefs = preferences(workspace, ledger, wanted.model)
    enough(prefs)
    champion = open_model(workspace, hold(workspace, ledger, wanted.model).ref)
    machine_judge = named(wanted.judge) if wanted.judge else None
    method = wanted.method if wanted.method != "auto" else natural(prefs)
    train, held = halves(prefs, method)
    request = Request(
        champion.ref,
        champion.name,
        lessons_of(workspace, champion, train.pairs, train.opinions),
        method,
        wanted.wishes,
        wanted.overrides,
        wanted.save_seconds,
        frozenset(entry.body["run"] for entry in ledger.events(["round"])),
    )
    with clock.over("learning"):
        finished = yield from passed_on(learn_model(workspace, request))
    challenger = open_model(workspace, finished.ref)
    settings = settings_of(read_job(workspace.run(finished.run).folder / "job.toml"))
    yield Stage("Measuring both on held-out ratings")
    found: list[Measure] = []
    with clock.over("held-out ratings"):
        lessons = lessons_of(workspace, champion, held.pairs, held.opinions)
        prompts = [pair.prompt for pair in held.pairs] * (2 if held.opinions else 1)
        prompts += [opinion.prompt for opinion in held.opinions]
        found.append(measures.agreement(champion, challenger, lessons, prompts, settings.per_unit))
        reward = reward_model(workspace, champion, prefs) if judging.can_judge(champion) else None
    yield Stage("Both answer held-out prompts")
    with clock.over("answers"):
        writers = [open_model(workspace, model.ref, precision=wanted.precision) for model in (champion, challenger)]
        answers = both_answer(workspace, writers, held, wanted.answers, finished.run)
    yield Stage("Checking the answers, and what both know of other things")
    with clock.over("checks"):
        if machine_judge:
            found.insert(0, measures.judged(*machine_judge, answers))
        if reward:
            found.append(measures.rewarded(champion, reward[0], reward[1].temperature, answers))
        found += measures.checked(answers)
        found += measures.copied(workspace, champion, answers)
        found += measures.kept(workspace, champion, challenger)
        found.append(measures.refused(*writers, answers))
    job = read_job(workspace.run(finished.run).folder / "job.toml")
    preferred = measures.preferred(machine_judge[1], answers) if machine_judge else ()
    earlier = sum(entry.body["champion"] == champion.ref for entry in ledger.events(["round"]))
    told = Told(
        prefs,
        standing(ledger),
        finished,
        job,
        champion.ref,
        tuple(found),
        answers,
        wanted.judge,
        preferred,
        earlier,
        clock.seconds,
    )
    curve = read_log(workspace.run(finished.run).folder / "progress.jsonl")
    yield recorded(workspace, ledger, prefs, receipt(told, curve, reward[1] if reward else None), finished, challenger)


def natural(prefs: Preferences) -> str:
    """The method that fits what was rated."""
    return "dpo" if len(prefs.pairs) >= len(prefs.opinions) else "kto"


def halves(prefs: Preferences, method: str) -> tuple[Preferences, Preferences]:
    """What is learned from and what is held out; learning from pairs leaves single opinions to the judging of none."""

    def part(name: str) -> Preferences:
        return replace(
            prefs,
            pairs=tuple(p for p in prefs.pairs if split(p.prompt) == name),
            opinions=tuple(o for o in prefs.opinions if split(o.prompt) == name and method != "dpo"),
        )

    return part("train"), part("val")


def passed_on(events: Generator[Event]) -> Generator[Event, None, Finished]:
    last: Event | None = None
    for last in events:
        yield last
    assert isinstance(last, Finished)
    return last


def reward_model(workspace: Workspace, champion: Model, prefs: Preferences) -> tuple[judging.Judge, Calibration] | None:
    """A judge fitted to the training pairs, and how far it can be believed by the held-out ones; None without pairs.

    Every fifth training prompt sets how strongly it is held back and its temperature.
    """

    def rows(pairs: list[Preference]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        told = lessons_of(workspace, champion, pairs)
        win, lose = (judging.features(champion, told.prompts, side) for side in (told.answers, told.worse))
        return win, lose, np.array(told.weights)

    train = [pair for pair in prefs.pairs if split(pair.prompt) == "train"]
    held = [pair for pair in prefs.pairs if split(pair.prompt) == "val"]
    prompts = sorted({pair.prompt for pair in train})
    aside = set(prompts[::5])
    fit, tune = [p for p in train if p.prompt not in aside], [p for p in train if p.prompt in aside]
    if not (fit and tune and held):
        return None
    (win, lose, weights), (win2, lose2, _), (win3, lose3, _) = rows(fit), rows(tune), rows(held)

    def margins(judge: judging.Judge, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return judge.scores(one) - judge.scores(two)

    judges = [judging.fitted(win, lose, weights, strength) for strength in judging.STRENGTHS]
    best = min(judges, key=lambda judge: float(np.logaddexp(0, -margins(judge, win2, lose2)).mean()))
    return best, calibration(margins(best, win3, lose3), margins(best, win2, lose2))


def both_answer(workspace: Workspace, writers: Sequence[Model], held: Preferences, most: int, run: str) -> Answers:
    """What both versions write for held-out prompts."""
    outputs = [pair.win for pair in held.pairs] + [opinion.output for opinion in held.opinions]
    asked = questions(workspace, writers[0], outputs, most)
    one, two = (answered(workspace, writer, asked, {"learn": run}) for writer in writers)
    return Answers(asked, one, two)


def recorded(
    workspace: Workspace, ledger: Ledger, prefs: Preferences, told: receipts.Receipt, finished: Finished, made: Model
) -> Learned:
    """Keep the receipt beside the run, write the round into the ledger, and put the challenger into use if it may."""
    folder, digest = workspace.run(finished.run).folder, receipts.digest(told)
    write_atomic(folder / "receipt.json", receipts.to_json(told))
    write_atomic(folder / "receipt.html", page(told))
    events = sorted({event for each in (*prefs.pairs, *prefs.opinions) for event in each.events})
    assert made.folder is not None
    body = {
        "model": told.model,
        "champion": told.champion,
        "challenger": told.challenger,
        "digest": made.folder.digest,
        "receipt": digest,
        "run": finished.run,
        "promote": told.decision.promote,
        "used": events,
    }
    ledger.append("round", body, id=f"round-{finished.run}")
    if told.decision.promote:
        reason = receipts.headline(told)
        promote(workspace, ledger, told.model, made.folder.version, "gate", reason, digest)
    return Learned(told, digest, finished.run)
