"""One round of learning: ratings, a challenger, what both versions write, the gate's decision, the receipt."""

import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from genloom.learn import measures
from genloom.learn.asked import Asked, answered, fresh, lessons_of, questions
from genloom.learn.baseline import Chooser, without_learning
from genloom.learn.measures import Answers
from genloom.learn.practice import REWARD_MODEL, exercise
from genloom.learn.rewarding import Rewarding, fitted, seen
from genloom.learn.sifting import CONTRADICTED, contradicted
from genloom.learn.telling import Told, receipt, unlearned
from genloom.model import Model, open_model, open_to_read
from genloom.rate import receipt as receipts
from genloom.rate.gate import Measure, spent
from genloom.rate.page import page
from genloom.rate.preferences import Preferences, enough, preferences
from genloom.rate.promotion import hold, promote
from genloom.rate.prompts import plain, split
from genloom.rate.ratings import standing
from genloom.store.files import write_atomic
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace
from genloom.train.attempts import Practice
from genloom.train.dial import Wishes
from genloom.train.events import Event, Finished, Stage
from genloom.train.job import read_job
from genloom.train.learning import Request, Settings, learn_model, settings_asked, settings_of
from genloom.train.lessons import Lessons
from genloom.train.log import read_log

ANSWERS = 48  # held-out prompts that both versions answer at most
BEST_OF = 4  # answers to choose among, where nothing is learned
NONE = "none"  # the method of a round that only says what can be had without learning


@dataclass(frozen=True)
class Wanted:
    """How a round shall go."""

    model: str
    method: str = "auto"  # dpo, kto, weighted, policy, none; auto: by what was rated
    judge: str = ""  # a machine that judges held-out answers beside the ratings, like "length:most=1"
    judging: measures.Judge | None = None  # one that is no check, in place of it
    prompts: tuple[str, ...] = ()  # to be answered besides those held out; what was learned from is left out
    rewards: tuple[str, ...] = (REWARD_MODEL,)  # of policy: what attempts are judged by
    best_of: int = 0  # answers of the champion from which the reward model chooses, to compare with; 0: none
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


@dataclass(frozen=True)
class Begun:
    """What is known when a round begins."""

    workspace: Workspace
    ledger: Ledger
    wanted: Wanted
    champion: Model
    prefs: Preferences
    train: Preferences  # what is learned from
    held: Preferences  # what only judges
    rewarding: Rewarding | None
    asked: Sequence[Asked]  # held-out and fresh prompts, which both versions will answer
    judge: measures.Judge | None
    clock: Clock


def learn(workspace: Workspace, ledger: Ledger, wanted: Wanted) -> Generator[Event | Learned]:
    """Yield what happens; the last is the receipt. A round that was broken off is gone on with when asked again.

    Raises ValueError where too little was rated (saying how much is missing), and for what else a person can mend.
    """
    clock = Clock()
    prefs = preferences(workspace, ledger, wanted.model)
    enough(prefs)
    champion = open_to_read(workspace, hold(workspace, ledger, wanted.model).ref)
    method = wanted.method if wanted.method != "auto" else natural(prefs, champion)
    settings = Settings(sift=False) if method == NONE else settings_asked(method, wanted.overrides)
    judge = wanted.judging or (measures.named(wanted.judge) if wanted.judge else None)
    yield Stage("Fitting a reward model to the ratings")
    with clock.over("reward model"):
        prefs, train, held, rewarding = known_from(workspace, champion, prefs, settings)
    asked = asked_again(workspace, champion, prefs, held, wanted)
    begun = Begun(workspace, ledger, wanted, champion, prefs, train, held, rewarding, asked, judge, clock)
    if method == NONE:
        yield from baseline(begun)
        return
    with clock.over("learning"):
        finished = yield from passed_on(learn_model(workspace, request_of(begun, method)))
    challenger = open_to_read(workspace, finished.ref)
    told = yield from measured(begun, finished, challenger)
    curve = read_log(workspace.run(finished.run).folder / "progress.jsonl")
    worth = begun.rewarding.worth if begun.rewarding else None
    yield recorded(workspace, ledger, prefs, receipt(told, curve, worth), finished, challenger)


def request_of(begun: Begun, method: str) -> Request:
    wanted, champion = begun.wanted, begun.champion
    overrides = dict(wanted.overrides)
    if method == "policy":
        overrides["learning.rewards"] = json.dumps(wanted.rewards)
    return Request(
        champion.ref,
        champion.name,
        taught(begun.workspace, champion, begun.train, method, wanted.rewards, begun.rewarding),
        method,
        wanted.wishes,
        overrides,
        wanted.save_seconds,
        frozenset(entry.body["run"] for entry in begun.ledger.events(["round"])),
    )


def measured(begun: Begun, finished: Finished, challenger: Model) -> Generator[Event, None, Told]:
    """Both versions on what was held out; the next challenger of the same champion will have to show more."""
    workspace, wanted, champion, held = begun.workspace, begun.wanted, begun.champion, begun.held
    judge, rewarding, clock = begun.judge, begun.rewarding, begun.clock
    job = read_job(workspace.run(finished.run).folder / "job.toml")
    earlier = sum(entry.body["champion"] == champion.ref for entry in begun.ledger.events(["round"]))
    alpha = spent(earlier)
    yield Stage("Measuring both on held-out ratings")
    with clock.over("held-out ratings"):
        lessons = lessons_of(workspace, champion, held.pairs, held.opinions)
        prompts = [pair.prompt for pair in held.pairs] * (2 if held.opinions else 1)
        prompts += [opinion.prompt for opinion in held.opinions]
        agreement = measures.agreement(champion, challenger, lessons, prompts, settings_of(job).per_unit, alpha)
        # A judge of the answers themselves proves more than what both think of others' answers.
        found = [replace(agreement, proof=judge is None)]
    yield Stage("Both answer held-out prompts")
    with clock.over("answers"):
        writers = [open_model(workspace, model.ref, precision=wanted.precision) for model in (champion, challenger)]
        one, two = (answered(workspace, writer, begun.asked, {"learn": finished.run}) for writer in writers)
        answers = Answers(begun.asked, one, two)
    yield Stage("Checking the answers, and what both know of other things")
    with clock.over("checks"):
        if judge:
            found.insert(0, measures.judged(judge, answers, alpha))
        if rewarding:
            found.append(measures.rewarded(rewarding, answers))
        found += measures.safeguards(workspace, champion, challenger, writers, answers)
    more: tuple[Measure, ...] = ()
    if rewarding and wanted.best_of:
        yield Stage("The champion answers several times, and the reward model chooses")
        with clock.over("best of several"):
            rest = (begun.asked, one, wanted.best_of, finished.run)
            more = without_learning(workspace, writers[0], Chooser(rewarding, judge), *rest)
    return Told(
        begun.prefs,
        standing(begun.ledger),
        finished,
        job,
        champion.ref,
        tuple(found),
        answers,
        wanted.judge or (judge.name if judge else ""),
        measures.preferred(judge, answers) if judge else (),
        earlier,
        clock.seconds,
        more,
    )


def baseline(begun: Begun) -> Generator[Event | Learned]:
    """A round without learning: what the champion gains where the reward model chooses among several answers.

    No challenger comes of it, so the ledger is told nothing.
    """
    if begun.rewarding is None:
        raise ValueError(
            "Without learning, a reward model chooses. It needs pairs of more prompts (genloom arena MODEL), and a "
            "network that shows its states or a medium whose things are compared in features."
        )
    workspace, champion, wanted = begun.workspace, begun.champion, begun.wanted
    run = workspace.run(workspace.new_run(champion.name).name)
    yield Stage("The champion answers held-out prompts several times")
    with begun.clock.over("answers"):
        writer = open_model(workspace, champion.ref, precision=wanted.precision)
        first = answered(workspace, writer, begun.asked, {"learn": run.id})
        chooser, count = Chooser(begun.rewarding, begun.judge), wanted.best_of or BEST_OF
        found = without_learning(workspace, writer, chooser, begun.asked, first, count, run.id)
    stands, worth = standing(begun.ledger), begun.rewarding.worth
    told = unlearned(champion.ref, begun.prefs, stands, found, worth, begun.clock.seconds)
    yield Learned(told, filed(workspace, run.id, told), run.id)


def taught(
    workspace: Workspace,
    champion: Model,
    train: Preferences,
    method: str,
    rewards: Sequence[str],
    rewarding: Rewarding | None,
) -> Lessons | Practice:
    """What the ratings teach, as a method takes it: rated answers, or rated prompts to practise on."""
    if method != "policy":
        return lessons_of(workspace, champion, train.pairs, train.opinions)
    outputs = [pair.win for pair in train.pairs] + [opinion.output for opinion in train.opinions]
    return exercise(champion, questions(workspace, champion, outputs, len(outputs)), rewards, rewarding)


def asked_again(
    workspace: Workspace, champion: Model, prefs: Preferences, held: Preferences, wanted: Wanted
) -> list[Asked]:
    """The held-out prompts, and those given beside them, which are asked as the first of these was.

    Raises ValueError, before anything is learned, where there are too few to tell both versions apart.
    """
    outputs = [pair.win for pair in held.pairs] + [opinion.output for opinion in held.opinions]
    known = {plain(each.prompt) for each in (*prefs.pairs, *prefs.opinions)}
    more = [prompt for prompt in dict.fromkeys(wanted.prompts) if plain(prompt) not in known]
    asked = questions(workspace, champion, outputs, wanted.answers)
    if outputs:
        asked += fresh(workspace, champion, outputs[0], more)
    if len(asked) < 2 and wanted.answers < 2:
        raise ValueError("It takes two held-out prompts to compare versions, and --answers asks for one: ask for more.")
    if len(asked) < 2:
        raise ValueError(
            f"{len(asked)} of the prompts held out can be asked again, and it takes two to compare versions: what is "
            "rated there was made from another output, which no prompt alone asks for. Rate outputs of prompts alone, "
            "or name a file of fresh prompts, one a line: --prompts FILE"
        )
    return asked


def natural(prefs: Preferences, champion: Model) -> str:
    """The method that fits what was rated; a model of several turns, as a GAN is, has no likelihood to compare."""
    if len(champion.objective.turns) > 1:
        return "weighted"
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


def known_from(
    workspace: Workspace, champion: Model, prefs: Preferences, settings: Settings
) -> tuple[Preferences, Preferences, Preferences, Rewarding | None]:
    """The preferences, what of them is learned from and what is held out, and a judge fitted to them.

    What the others contradict is not learned from, and stands among what had no effect.
    """
    train, held = halves(prefs, settings.method)
    every = seen(workspace, champion, prefs.pairs)
    told, unseen = (every.of(lambda prompt, of=of: split(prompt) == of) if every else None for of in ("train", "val"))
    rewarding = fitted(champion, told, unseen)
    if settings.sift and settings.method != "policy":  # which practises on prompts, however they were rated
        gone = contradicted(told)
        train = replace(train, pairs=tuple(pair for pair in train.pairs if pair not in gone))
        aside = {event: CONTRADICTED for pair in gone for event in pair.events}
        prefs = replace(prefs, unused={**prefs.unused, **aside})
    return prefs, train, held, rewarding


def passed_on(events: Generator[Event]) -> Generator[Event, None, Finished]:
    last: Event | None = None
    for last in events:
        yield last
    assert isinstance(last, Finished)
    return last


def recorded(
    workspace: Workspace, ledger: Ledger, prefs: Preferences, told: receipts.Receipt, finished: Finished, made: Model
) -> Learned:
    """Keep the receipt beside the run, write the round into the ledger, and put the challenger into use if it may."""
    digest = filed(workspace, finished.run, told)
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


def filed(workspace: Workspace, run: str, told: receipts.Receipt) -> str:
    """Keep the receipt beside the run; returns its digest."""
    folder = workspace.run(run).folder
    write_atomic(folder / "receipt.json", receipts.to_json(told))
    write_atomic(folder / "receipt.html", page(told))
    return receipts.digest(told)
