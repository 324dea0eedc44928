"""Captions of pieces from their metadata: style, key, meter, tempo, instruments."""

import random

from genloom.codecs.notes_scores import measure_density
from genloom.media.music.controls import ENSEMBLES, name_program
from genloom.media.music.score import Score

NAMES = {
    "chorale": ("a chorale", "a hymn", "a chorale in the style of Bach", "a four-part chorale"),
    "folk tune": ("an Irish tune", "a folk tune", "a traditional melody"),
    "fiddle tune": ("a fiddle tune", "a dance for fiddle", "an American fiddle tune"),
    "air": ("a Scottish air", "an air", "an old Scottish tune"),
    "mass": ("a mass movement", "renaissance polyphony", "a motet in the style of Palestrina"),
    "madrigal": ("a madrigal", "an Italian madrigal", "a madrigal in the style of Monteverdi"),
    "ballata": ("a medieval ballata", "medieval polyphony", "a song of the fourteenth century"),
    "string quartet": ("a movement for string quartet", "classical chamber music", "a classical string quartet"),
}
DANCES = {
    (6, 8): ("a jig",),
    (9, 8): ("a slip jig",),
    (2, 4): ("a polka", "a march"),
    (2, 2): ("a reel", "a hornpipe"),
    (4, 4): ("a reel", "a hornpipe", "a march"),
    (3, 4): ("a waltz",),
}
MOODS = {"major": ("cheerful", "bright", "happy"), "minor": ("sad", "dark", "melancholy")}


def describe_ensemble(score: Score) -> str:
    programs = tuple(part.program for part in score.parts)
    names = {value: name for name, value in reversed(list(ENSEMBLES.items()))}
    if set(programs) == {52}:
        return "choir"
    if programs in names:
        return names[programs]
    counts = dict.fromkeys(map(name_program, programs), 0)
    for program in programs:
        counts[name_program(program)] += 1
    words = {1: "", 2: "two ", 3: "three ", 4: "four "}
    texts = [f"{words.get(count, f'{count} ')}{name}{'s' * (count > 1)}" for name, count in counts.items()]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def describe_piece(score: Score, rng: random.Random) -> str:
    """Return a caption that names the style or dance, and each other fact in two thirds of all cases."""
    names = NAMES.get(score.style, ("a piece",))
    meter = score.meters[0][1:]
    if score.style in ("folk tune", "fiddle tune", "air") and meter in DANCES and rng.random() < 0.5:
        names = DANCES[meter]
    text = rng.choice(names)
    adjectives, bpm = [], score.tempos[0].bpm
    if bpm <= 72 and rng.random() < 0.6:
        adjectives.append("slow")
    if bpm >= 144 and rng.random() < 0.25:
        adjectives.append(rng.choice(("fast", "quick", "lively")))
    if score.key is not None and rng.random() < 0.3:
        adjectives += [rng.choice(MOODS[score.key.mode])] if score.key.mode in MOODS else []
    density = measure_density(score)
    if density <= 2 and rng.random() < 0.4:
        adjectives.append(rng.choice(("calm", "sparse")))
    if density >= 6 and rng.random() < 0.4:
        adjectives.append("busy")
    if adjectives:
        article, _, rest = text.partition(" ")
        text = f"{'a' if article in ('a', 'an') else article} {' '.join(adjectives)} {rest}"
    if score.key is not None and rng.random() < 0.66:
        text += f" in {score.key}"
    if rng.random() < 0.4:
        text += f", {score.meters[0]}"
    if rng.random() < 0.5:
        text += f" for {describe_ensemble(score)}"
    return text
