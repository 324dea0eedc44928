"""What a model practises on: rated prompts, tried anew at every step, and the judges of what it tries."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genloom.generate import engine
from genloom.learn.asked import Asked, whole
from genloom.learn.rewarding import Rewarding
from genloom.model import Model
from genloom.noise import Noise
from genloom.rate.machine import named
from genloom.store.files import write_atomic
from genloom.train.attempts import Tried
from genloom.train.lessons import Rows
from genloom.types import Tokens

REWARD_MODEL = "model"  # the name of the judge that was fitted to the ratings
Scores = Callable[[Rows, Rows, Sequence[str]], np.ndarray]  # of prompts, answers and what these say


@dataclass(frozen=True)
class Exercise:
    """Prompts with their judges, by name."""

    asked: tuple[Asked, ...]
    judges: Mapping[str, Scores]
    fitted: str = ""  # the digest of the reward model, where it is a judge

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.json()).hexdigest()

    def __len__(self) -> int:
        return len(self.asked)

    def json(self) -> bytes:
        prompts = [{"before": each.before, "ends": each.request.ends, "length": length(each)} for each in self.asked]
        return json.dumps({"prompts": prompts, "judges": list(self.judges), "fitted": self.fitted}).encode()

    def save(self, folder: Path) -> None:
        write_atomic(folder / "practice.json", self.json())

    def tried(self, model: Model, chosen: Sequence[int], nonces: Sequence[int]) -> Tried:
        """Attempts drawn as the model believes, without the controls of its outputs: the gradient is of that belief."""
        asked = [self.asked[n] for n in chosen]
        longest = max(length(each) for each in asked)
        request = engine.Request(
            tuple(each.prompt for each in asked),
            tuple(nonces),
            controls={"length": longest},
            ids=tuple(each.before for each in asked),
            ends=asked[0].request.ends,
        )
        controls, _, _ = engine.prepared(model, request)
        noise = Noise(engine.KEY, request.nonces)
        *_, drawn = model.objective.sample(dict(model.parts.items()), len(asked), None, noise, controls)
        space = model.codec.space
        assert isinstance(space, Tokens), "exercise() lets no other model in"
        stops = (space.stop, *request.ends)
        rows = zip(drawn.cpu().numpy(), asked, strict=True)
        answers = tuple(whole(up_to(row[: length(each)], stops)) for row, each in rows)
        prompts = tuple(each.before for each in asked)
        texts = [model.codec.decode([n for n in answer if n not in stops]) for answer in answers]
        return Tried(prompts, answers, np.stack([judge(prompts, answers, texts) for judge in self.judges.values()]))


def length(asked: Asked) -> int:
    return int(asked.request.controls.get("length") or engine.LENGTH)


def up_to(row: np.ndarray, stops: Sequence[int]) -> np.ndarray:
    """A row with the first symbol that ends it, and nothing after."""
    ends = np.flatnonzero(np.isin(row, stops))
    return row[: ends[0] + 1] if len(ends) else row


def exercise(model: Model, asked: Sequence[Asked], rewards: Sequence[str], fitted: Rewarding | None) -> Exercise:
    """Practice on prompts with judges: "model" is the reward model, others are machine checks like "length:most=9".

    Raises ValueError for a model that cannot practise, and where the ratings hold no pairs to fit a reward model to.
    """
    if not isinstance(model.codec.space, Tokens) or not engine.left_to_right(model):
        raise ValueError("Only a model that writes from left to right can practise so far: use --method dpo or kto.")
    if not rewards:
        raise ValueError('Practice needs a judge: --reward model, or a check like --reward "length:most=20".')
    judges: dict[str, Scores] = {}
    for said in rewards:
        if said != REWARD_MODEL:
            judges[said] = checking(said)
        elif fitted is None:
            raise ValueError(
                "A reward model is fitted to pairs, and there are too few here: rate pairs (genloom arena), or let a "
                'check judge: --reward "length:most=20".'
            )
        else:
            judges[said] = fitted.of_symbols
    return Exercise(tuple(asked), judges, fitted.digest if fitted is not None and REWARD_MODEL in judges else "")


def checking(said: str) -> Scores:
    judge: Callable[[Any], Any] = named(said)[1]
    return lambda prompts, answers, texts: np.array([judge(text).score for text in texts])
