"""Answers from the Debian handbook: what the quotes hold, and how faithful a model is to the passages that it read."""

import argparse
import json
import tempfile

from retrieval_corpora import SEED, find_handbook, load_handbook_questions

from genloom.metrics.statistics import compute_wilson_interval


def measure_answers(options: argparse.Namespace) -> None:
    """Print how often quotes hold the answer's words, and how faithful the answers of a model are to what it read.

    An answer is faithful if each of its sentences is supported by a passage; the test of support has errors of its
    own, which `bench/assistant.py support` measures.
    """
    import genloom as gl

    with tempfile.TemporaryDirectory() as place:
        workspace = gl.Workspace(options.workspace or place)
        if not options.workspace:
            workspace.import_model("smollm2")
        questions = load_handbook_questions()
        questions = questions[:: max(1, len(questions) // options.questions)][: options.questions]
        supported = sentences = answered = quoted = sourced = 0
        written, faithful = list[bool](), list[bool]()  # answers with the words of the answer, and faithful ones
        with workspace.open_knowledge(find_handbook(options.folder), name="handbook-bench", progress=False) as known:
            for question in questions:
                answer = known.ask(question.text, seed=SEED)
                phrase = question.phrase.casefold()
                answered += answer.is_supported
                quoted += any(phrase in quote.text.casefold() for quote in answer.quotes)
                sourced += any(phrase in source.text.casefold() for source in answer.sources)
                sentences += len(answer.sentences)
                supported += sum(each.is_supported for each in answer.sentences)
                if answer.sentences:
                    written.append(phrase in answer.text.casefold())
                    faithful.append(all(each.is_supported for each in answer.sentences))
                print(json.dumps(answer.to_json() | {"sources": None}, ensure_ascii=False), flush=True)
        print(
            f"answered {answered} of {len(questions)}; the words of the answer in a quote {quoted}, "
            f"in a passage {sourced}; sentences with a source {supported} of {sentences}"
        )
        for name, judged in (("faithful answers", faithful), ("answers with the right words", written)):
            share = compute_wilson_interval(sum(judged), len(judged))
            interval = f"[{100 * share.low:.0f}, {100 * share.high:.0f}]"
            print(f"{name} {sum(judged)} of {len(judged)}: {share.mean:.0%} {interval}")
        both = sum(a and b for a, b in zip(faithful, written, strict=True))
        print(f"both {both} of {len(faithful)}")
