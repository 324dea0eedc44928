"""Answers of an assistant to held-out questions, beside the references."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from genloom.evaluate.context import EvaluationContext, EvaluationOptions
from genloom.evaluate.progress import Progress
from genloom.evaluate.sampling import get_sampling_params
from genloom.generate import engine
from genloom.generate.text.conversation import DEFAULT_PARAMS, build_chat_batch
from genloom.model import Model
from genloom.text_format import format_count
from genloom.types import Message

MAX_SHOWN = 4  # answers among the lines for people; the report has all


@dataclass(frozen=True)
class Question:
    """The messages up to a question, and the answer that the data give."""

    messages: tuple[Message, ...]
    reference: str

    @property
    def text(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True)
class Answer:
    """The answer of a model beside the reference."""

    question: str
    answer: str
    reference: str
    unread_tokens: int = 0  # at the beginning of a conversation that is longer than the model reads

    @property
    def is_exact(self) -> bool:
        return self.answer.split() == self.reference.split()

    @property
    def word_f1(self) -> float:
        """The F1 score of the words of the answer against those of the reference (Rajpurkar et al. 2016)."""
        words, reference_words = self.answer.lower().split(), self.reference.lower().split()
        num_shared = sum((Counter(words) & Counter(reference_words)).values())
        return 2 * num_shared / max(len(words) + len(reference_words), 1)


def load_questions(context: EvaluationContext, count: int) -> list[Question]:
    """Return the last question of up to `count` held-out conversations; none of plain texts."""
    items = context.dataset.sample_documents(context.split, 4 * count)
    turns = [item.meta["turns"] for item in items if item.meta.get("turns")]
    questions = []
    for messages in islice(turns, count):
        last = max((n for n, message in enumerate(messages) if message.role == "assistant"), default=0)
        if last and messages[last - 1].role == "user":
            questions.append(Question(tuple(messages[:last]), messages[last].content))
    return questions


def generate_answers(
    model: Model, questions: Sequence[Question], options: EvaluationOptions, progress: Progress
) -> list[Answer]:
    """Answer the questions as a chat does."""
    params = {**DEFAULT_PARAMS, **get_sampling_params(options)}
    request, contexts = build_chat_batch(model, [question.messages for question in questions], options.seed, params)
    if num_cut := sum(context.num_unread > 0 for context in contexts):
        progress.print_note(f"{model.ref} reads only the end of {format_count(num_cut, 'conversation')}")
    answers: list[str] = []
    with progress.show_progress(f"{model.ref} answers {len(questions)}", len(questions)) as bar:
        for batch in engine.split_batches(request):
            answers += engine.run_request(model, batch).continuations
            bar.update(len(answers))
    return [
        Answer(question.text, text.strip(), question.reference, context.num_unread)
        for question, text, context in zip(questions, answers, contexts, strict=True)
    ]


def answers_to_json(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    return [{**asdict(each), "exact": each.is_exact, "word_f1": each.word_f1} for each in answers]


def format_answers(answers: Sequence[Answer]) -> list[str]:
    """Return the scores of the answers and the first of them as lines for people."""
    mean_f1 = sum(each.word_f1 for each in answers) / len(answers)
    num_exact = sum(each.is_exact for each in answers)
    count = format_count(len(answers), "held-out question")
    lines = [f"{count} answered in the chat template: {num_exact} word for word, {mean_f1:.0%} of the words right (F1)"]
    for each in answers[:MAX_SHOWN]:
        texts = {"question": each.question, "answer": each.answer, "reference": each.reference}
        lines += [f"  {name:<9}  {' '.join(text.split())}" for name, text in texts.items()]
    return lines
