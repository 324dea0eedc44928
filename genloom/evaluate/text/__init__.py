"""Evaluation of text models: bits per byte beside n-grams, diversity and copied spans of samples, the battery."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

from genloom.codecs.chat_template import is_conversation
from genloom.evaluate.battery import Battery
from genloom.evaluate.charts import draw_loss_bars, draw_training_curve
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.held_out import build_comparison_report, load_held_out_items, score_values
from genloom.evaluate.likelihood import HeldOutLoss, compare_held_out
from genloom.evaluate.report import ComparisonReport, Report, Sample
from genloom.evaluate.sampling import generate_for_items, generate_samples
from genloom.evaluate.text.answers import Question, answers_to_json, format_answers, generate_answers, load_questions
from genloom.evaluate.text.battery.run import run_battery
from genloom.evaluate.text.battery.score import TASKS
from genloom.evaluate.text.copied_spans import copied_spans_to_json, format_copied_spans
from genloom.evaluate.text.diversity import TextDiversity, measure_text_diversity
from genloom.evaluate.text.ngram_baseline import NGramBaseline, choose_order, fit_ngram_baseline
from genloom.evaluate.text.shared_text import find_shared_documents as find_shared_documents
from genloom.generate import engine
from genloom.generate.prompt_notes import count_unread_tokens
from genloom.generate.text.conversation import choose_chat
from genloom.model.likelihood import Scored, build_unit_counter
from genloom.text_format import format_count
from genloom.train.log import read_log
from genloom.trust.copied_spans import measure_copied_spans
from genloom.types import Message

DEFAULT_NUM_SAMPLES = 8
CHUNK_CHARS = 4000  # of a block of the interval

BATTERY: Battery | None = Battery(
    TASKS, "models of English text that generate from left to right; instructions need a chat template", run_battery
)


def write_copied_text(value: str, *, is_output: bool) -> str:
    """Return the text in which copies are found: the value itself."""
    return value


def evaluate(context: EvaluationContext) -> Report:
    """Measure bits per byte, and the diversity and the copied spans of samples."""
    model, options, progress = context.model, context.options, context.progress
    held_out_loss, texts = score_held_out_texts(context)
    progress.print_note("Counting n-grams")
    plain_texts, baseline = [text for text in texts if not is_conversation(text)], None
    if len(plain_texts) == len(texts):  # n-grams cannot mask the questions of a conversation
        train_texts = (item.value for item in context.dataset.iter_documents("train"))
        baseline = fit_ngram_baseline(train_texts, plain_texts, choose_order(model.design))
    num_samples = options.num_samples or DEFAULT_NUM_SAMPLES
    questions = []
    if choose_chat(context.workspace, [model], options.is_chat):
        questions = load_questions(context, num_samples)
    progress.print_note(f"Generating {format_count(len(questions) or num_samples, 'sample')}")
    answers = generate_answers(model, questions, options, progress) if questions else []
    if answers:
        samples = [each.answer for each in answers]
    elif model.conditioners:
        items = list(context.dataset.sample_documents(context.split, num_samples))
        samples = generate_for_items(model, options, items, progress)
    else:
        samples = generate_samples(model, options, num_samples, progress)
    diversity, copied_spans = measure_text_diversity(samples), None
    if context.sources.datasets:
        progress.print_note("Looking for copies")
        held_out_items = context.sources.datasets[0].iter_documents(context.split)
        copied_spans = measure_copied_spans(samples, context.sources.documents("train"), held_out_items)
    details = {
        **held_out_loss.to_json(),
        "ngram_baseline": baseline and baseline.to_json(),
        "diversity": asdict(diversity),
        "answers": answers_to_json(answers),
        "copied": copied_spans_to_json(context.sources, copied_spans),
    }
    files = {"likelihood.png": draw_loss_bars([held_out_loss], baseline.as_baseline() if baseline else None)}
    if curve := draw_run_curve(context, baseline):
        files["training.png"] = curve
    lines = [
        *format_evaluation(held_out_loss, baseline, diversity),
        *(format_answers(answers) if answers else ()),
        *format_copied_spans(context.sources, copied_spans),
    ]
    measures = {held_out_loss.metric: held_out_loss.estimate}
    return Report(model.ref, context.dataset_ref, measures, details, lines, files)


def compare(first: EvaluationContext, second: EvaluationContext) -> ComparisonReport:
    """Compare the bits per byte of two models on the same text, and show what both write."""
    first_loss, second_loss = (score_held_out_texts(context)[0] for context in (first, second))
    comparison = compare_held_out(first_loss, second_loss)
    headings = [f"{loss.model}: {loss.estimate} {loss.metric}" for loss in (first_loss, second_loss)]
    samples, unread_tokens = write_side_by_side(first, second, headings)
    report = build_comparison_report(first, second, comparison, samples)
    return replace(report, details={**report.details, "unread_tokens": unread_tokens})


def write_side_by_side(
    first: EvaluationContext, second: EvaluationContext, headings: Sequence[str]
) -> tuple[list[Sample], dict[str, int]]:
    """Return what both models write, and how many tokens of the prompt each did not read.

    Assistants answer the prompt, or a held-out question beside its reference; other models continue the prompt.
    """
    options, questions, samples, unread_tokens = first.options, list[Question](), list[Sample](), dict[str, int]()
    if choose_chat(first.workspace, [first.model, second.model], options.is_chat):
        questions = [Question((Message("user", options.prompt),), "")] if options.prompt else load_questions(first, 1)
    for question in questions:
        samples.append(Sample("Question", question.text))
        samples += [Sample("Reference", question.reference)] if question.reference else []
    for context, heading in zip((first, second), headings, strict=True):
        if questions:
            (answer,) = generate_answers(context.model, questions, options, context.progress)
            text, num_unread = answer.answer, answer.unread_tokens
        else:
            (text,) = generate_samples(context.model, options, 1, context.progress, options.prompt)
            (num_unread,) = count_unread_tokens(context.model, engine.Request((options.prompt,), (0,)))
            if num_unread:
                unread = format_count(num_unread, "token")
                context.progress.print_note(f"{context.model.ref} does not read the first {unread} of the prompt")
        samples.append(Sample(heading, str(text)))
        unread_tokens |= {context.model.ref: num_unread} if num_unread else {}
    return samples, unread_tokens


def score_held_out_texts(context: EvaluationContext) -> tuple[HeldOutLoss, list[Scored]]:
    """Measure held-out texts and return them: in chunks, or as documents with their conditions if the model has any."""
    if not context.model.conditioners:
        texts = load_held_out_texts(context)
        return score_values(context, texts), texts
    items = load_held_out_items(context)
    texts = [item.value for item in items]
    return score_values(context, texts, items), texts


def load_held_out_texts(context: EvaluationContext) -> list[Scored]:
    """Return a sample of the held-out text of up to `max_bytes`, in chunks for the interval.

    For a model with a chat template, conversations stay whole: the loss is that of the answers, given the questions.
    """
    texts: list[Scored] = []
    remaining_bytes, count_bytes = context.options.max_bytes, build_unit_counter(context.model.design.medium)
    has_roles = getattr(context.model.codec, "chat_template", None) is not None
    for item in context.dataset.iter_passages(context.split, remaining_bytes):
        turns = item.meta.get("turns") if has_roles else None
        starts = range(0, len(item.value), CHUNK_CHARS)
        for text in [turns] if turns else [item.value[start : start + CHUNK_CHARS] for start in starts]:
            texts.append(text)
            remaining_bytes -= count_bytes(text)
            if remaining_bytes < 0:
                return texts
    return texts


def draw_run_curve(context: EvaluationContext, baseline: NGramBaseline | None) -> bytes | None:
    """Draw the training curve of the model; return None if the log of the run is gone."""
    model = context.model
    assert model.folder is not None, "it was loaded from the workspace"
    try:
        run_folder = context.workspace.get_run(model.folder.card.get("run", "")).folder
    except ValueError:  # it was imported, or the run was removed
        return None
    log_rows = read_log(run_folder / "progress.jsonl")
    step_rows = [row for row in log_rows if "losses" in row]
    if not step_rows:
        return None
    is_per_byte = model.design.codec == "bytes"  # else the losses are per token
    bits = [next(iter(row["losses"].values())) / math.log(2) for row in step_rows]
    eval_points = [(row["step"], row["bits_per_byte"]) for row in log_rows if "bits_per_byte" in row]
    return draw_training_curve(
        [row["step"] for row in step_rows],
        bits,
        eval_points if is_per_byte else (),
        baseline.bits_per_byte.mean if baseline and is_per_byte else None,
        f"Training {model.ref}",
        "bits per byte" if is_per_byte else "bits per token",
    )


def format_evaluation(
    held_out_loss: HeldOutLoss, baseline: NGramBaseline | None, diversity: TextDiversity
) -> list[str]:
    """Return the likelihood and the diversity of samples as lines for people."""
    bits, num_bytes = held_out_loss.estimate, int(held_out_loss.losses.num_units.sum())
    lines = [
        f"{held_out_loss.model} on {num_bytes:,} bytes of held-out text ({held_out_loss.dataset.rpartition(':')[2]}):",
        f"  {bits.mean:.3f} bits per byte (95 % interval {bits.low:.3f} to {bits.high:.3f}); less is better",
    ]
    if baseline is not None:
        lines.append(
            f"  {baseline.bits_per_byte.mean:.3f} for the n-gram baseline (Kneser-Ney, order {baseline.order})"
        )
    distinct_1, distinct_2, distinct_3, distinct_4 = (f"{share:.0%}" for share in diversity.distinct_ratios)
    distinct_text = f"words {distinct_1}, runs of two {distinct_2}, of three {distinct_3}, of four {distinct_4}"
    repeated_within, repeated_across = f"{diversity.repetition:.1%}", f"{diversity.cross_overlap:.1%}"
    lines += [
        f"{format_count(diversity.count, 'sample')} generated:",
        f"  distinct: {distinct_text} (distinct-1 to -4)",
        f"  repeated: {repeated_within} of the runs of four in a sample; {repeated_across} are in others too",
    ]
    if diversity.longest_loop:
        lines.append(f"  longest loop: {format_count(diversity.longest_loop, 'word')}")
    return lines
