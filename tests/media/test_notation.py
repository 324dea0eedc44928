"""Scores in notation are read as they sound: with repeats, endings, jumps, keys and accidentals, note by note."""

import pytest

from genloom.media import music
from genloom.media.music.abc import write_abc
from genloom.media.music.score import Meter, Note, Part, Score, Tempo
from tests.errors import raises_code

ABC_HEAD = "X:1\nM:4/4\nL:1/4\nK:C\n"


@pytest.mark.parametrize(
    ("body", "letters"),
    [
        ("C D E F | G2 A2 | |: c2 d2 |1 e4 :|2 f4 |]", "CDEFGAcdecdf"),
        ("|: C D E F | G4 :| A4 |]", "CDEFGCDEFGA"),
        ("|: C | D2 E F | G3 :|: A | c4 | d3 :|", "CDEFGCDEFGAcdAcd"),
        ("V:1\n|: c4 | d4 | e4 :| f4 |]\nV:2\n|: C4 | D4 | E4 :| F4 |]", "cdecdef"),
    ],
)
def test_repeats_and_endings_of_abc_are_played(body: str, letters: str) -> None:
    ((score, _),) = music.read(f"{ABC_HEAD}{body}\n".encode(), ".abc")
    pitches = {**dict(zip("CDEFGAB", (60, 62, 64, 65, 67, 69, 71), strict=True)), "c": 72, "d": 74, "e": 76, "f": 77}
    assert [note.pitch for note in score.parts[0].notes] == [pitches[letter] for letter in letters]


@pytest.mark.parametrize(
    ("body", "pitches"),
    [
        ("^C C =C C | C4 |", [61, 61, 60, 60, 60]),
        ("^C c C2 | c4 |", [61, 73, 61, 72]),
        ("F2 B2 | [K:D] F2 c2 |", [65, 71, 66, 73]),
        ("[K:clef=bass] F2 B2 | F4 |", [65, 71, 65]),
        ("%abc-1.6\n^C C2 C | C4 |", [61, 61, 61, 60]),
    ],
)
def test_accidentals_and_keys_of_abc_hold_as_in_its_standard(body: str, pitches: list[int]) -> None:
    ((score, _),) = music.read(f"{ABC_HEAD}{body}\n".encode(), ".abc")
    assert [note.pitch for note in score.parts[0].notes] == pitches


def test_accidentals_of_written_abc_do_not_depend_on_the_reader() -> None:
    """In one standard they hold in all octaves to the end of the bar, in others in their own, or not at all."""
    notes = tuple(Note(n * 24, 24, pitch) for n, pitch in enumerate((61, 72, 60, 73, 66, 78, 77, 65)))
    written = write_abc(Score((Part(0, notes),), (Meter(0, 4, 4),), (Tempo(0, 120.0),)))
    for rule in ("pitch", "octave", "not"):
        directive = f"%abc-2.1\nI:propagate-accidentals {rule}\n".encode()
        ((score, _),) = music.read(directive + written, ".abc")
        assert [note.pitch for note in score.parts[0].notes] == [note.pitch for note in notes]


MUSICXML = """<?xml version="1.0"?><score-partwise version="3.1"><part-list><score-part id="P1"><part-name>P</part-name>
</score-part></part-list><part id="P1">{}</part></score-partwise>"""


def write_measures(*measures: tuple[str, str, str]) -> bytes:
    """A MusicXML file of whole notes: what comes before each, its step, and what comes after it."""
    head = "<attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
    return MUSICXML.format(
        "".join(
            f'<measure number="{number}">{before}{head if number == 1 else ""}<note><pitch><step>{step}</step>'
            f"<octave>4</octave></pitch><duration>4</duration><type>whole</type></note>{after}</measure>"
            for number, (before, step, after) in enumerate(measures, 1)
        )
    ).encode()


def direct(words: str, sound: str) -> str:
    return f"<direction><direction-type>{words}</direction-type><sound {sound}/></direction>"


FORWARD = '<barline location="left"><repeat direction="forward"/></barline>'
BACKWARD = '<barline location="right"><repeat direction="backward"{}/></barline>'
ENDING = '<barline location="{}"><ending number="{}" type="{}"/>{}</barline>'


@pytest.mark.parametrize(
    ("measures", "letters"),
    [
        ([(FORWARD, "C", BACKWARD.format("")), ("", "D", "")], "CCD"),
        ([(FORWARD, "C", BACKWARD.format(' times="3"')), ("", "D", "")], "CCCD"),
        (
            [
                (FORWARD, "C", ""),
                (
                    ENDING.format("left", 1, "start", ""),
                    "D",
                    ENDING.format("right", 1, "stop", '<repeat direction="backward"/>'),
                ),
                (ENDING.format("left", 2, "start", ""), "E", ENDING.format("right", 2, "discontinue", "")),
                ("", "F", ""),
            ],
            "CDCEF",
        ),
        (
            [
                ("", "C", ""),
                ("", "D", direct("<words>Fine</words>", 'fine="yes"')),
                ("", "E", direct("<words>D.C. al Fine</words>", 'dacapo="yes"')),
            ],
            "CDECD",
        ),
        (
            [
                ("", "C", ""),
                (direct("<segno/>", 'segno="s"'), "D", ""),
                ("", "E", direct("<words>To Coda</words>", 'tocoda="c"')),
                ("", "F", direct("<words>D.S. al Coda</words>", 'dalsegno="s"')),
                (direct("<coda/>", 'coda="c"'), "G", ""),
            ],
            "CDEFDEG",
        ),
    ],
)
def test_repeats_and_jumps_of_musicxml_are_played(measures: list[tuple[str, str, str]], letters: str) -> None:
    ((score, repairs),) = music.read(write_measures(*measures), ".musicxml")
    pitches = dict(zip("CDEFG", (60, 62, 64, 65, 67), strict=True))
    assert [(note.onset, note.pitch) for note in score.parts[0].notes] == [
        (n * 96, pitches[letter]) for n, letter in enumerate(letters)
    ]
    assert repairs.unread == 0


@pytest.mark.parametrize(
    "measures",
    [
        [(FORWARD, "C", BACKWARD.format(' times="1000000"')), ("", "D", "")],
        [("", "C", direct("<words>D.S. al Fine</words>", 'dalsegno="s"')), ("", "D", "")],
    ],
)
def test_repeats_that_cannot_be_played_are_counted(measures: list[tuple[str, str, str]]) -> None:
    ((score, repairs),) = music.read(write_measures(*measures), ".musicxml")
    assert [note.pitch for note in score.parts[0].notes] == [60, 62]
    assert repairs.unread > 0


@pytest.mark.parametrize(
    ("body", "letters"),
    [
        ("C4 | D4 !fine! | E4 !D.C.alfine! |]", "CDECD"),
        ("C4 | D4 !fine!|| E4 | F4 !D.C.!|]", "CDEFCD"),  # to the end of a tune that says where it ends
        ('C4 | "^Fine"D4 | E4 |]"D.C. al Fine"', "CDECD"),
        ("C4 |: D4 | E4 :| F4 !dacapo! |]", "CDEDEFCDEF"),
        ("C4 | !segno!D4 | E4 | F4 !D.S.!|]", "CDEFDEF"),
        ("C4 !segno!|\nD4 | E4 | F4 |!dalsegno!", "CDEFDEF"),
        ("C4 | !segno!D4 | E4 !dacoda!| F4 !D.S.alcoda!|| !coda!G4 |]", "CDEFDEG"),
        ("C4 | !coda!D4 | E4 !D.C.alcoda!| !coda!F4 | G4 |]", "CDECDFG"),
        ("V:1\nC4 | D4 !fine!| E4 !D.C.!|]\nV:2\nC,4 | D,4 | E,4 |]", "CDECD"),
        ('"Dm"C4 | !trill!D4 | E4 |]', "CDE"),
    ],
)
def test_jumps_of_abc_are_played(body: str, letters: str) -> None:
    ((score, repairs),) = music.read(f"{ABC_HEAD}{body}\n".encode(), ".abc")
    pitches = dict(zip("CDEFG", (60, 62, 64, 65, 67), strict=True))
    for part in score.parts:
        lowest = min(note.pitch for note in part.notes) // 60 - 1
        assert [(note.onset, note.pitch) for note in part.notes] == [
            (n * 96, pitches[letter] + 12 * lowest) for n, letter in enumerate(letters)
        ]
    assert repairs.unread == 0


@pytest.mark.parametrize(
    "body",
    [
        "C4 | D4 !D.S.! | E4 |]",  # to a sign that is not there
        "C4 !D.C.! | D4 | E4 !D.C.! |]",
        "C4 | D4 | [M:3/4] E3 !D.C.! |]",  # out of the passage in its meter
    ],
)
def test_jumps_of_abc_that_cannot_be_played_are_counted(body: str) -> None:
    ((score, repairs),) = music.read(f"{ABC_HEAD}{body}\n".encode(), ".abc")
    assert [note.pitch for note in score.parts[0].notes] == [60, 62, 64]
    assert repairs.unread > 0


@pytest.mark.parametrize(
    "words", ["w:la la la la\n", "w: la-la la_ *\nw: a second verse\n", "W: at the end\n", "s: * * !f!\n"]
)
def test_words_below_the_notes_of_abc_change_nothing(words: str) -> None:
    ((score, repairs),) = music.read(f"{ABC_HEAD}|:C D E F|G A G F:|\n{words}".encode(), ".abc")
    assert len(score.parts[0].notes) == 16
    assert repairs.unread == 0


def test_abc_without_a_key_is_told() -> None:
    with raises_code("music.no_key_field"):
        music.read(b"X:1\nT:Tune\nCDEF|GABc|\n", ".abc")


def test_transposing_instruments_are_read_as_they_sound() -> None:
    """A clarinet in B flat beside a flute: both sound C, and the key is that of the flute."""
    transposition = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    notes = "".join(
        f'<measure number="{n}">{"{head}" if n == 1 else ""}<note><pitch><step>{{step}}</step><octave>5</octave>'
        "</pitch><duration>4</duration></note></measure>"
        for n in range(1, 4)
    )
    head = "<attributes><divisions>1</divisions><key><fifths>{}</fifths></key><time><beats>4</beats><beat-type>4"
    head += "</beat-type></time>{}</attributes>"
    names = [("P1", "Clarinet in Bb"), ("P2", "Flute"), ("P3", "Posaune"), ("P4", "P4")]
    listed = "".join(f'<score-part id="{id}"><part-name>{name}</part-name></score-part>' for id, name in names)
    written = [(head.format(2, transposition), "D"), *[(head.format(0, ""), "C")] * 3]
    parts = "".join(
        f'<part id="{id}">{notes.format(head=begin, step=step)}</part>'
        for (id, _), (begin, step) in zip(names, written, strict=True)
    )
    content = f'<?xml version="1.0"?><score-partwise><part-list>{listed}</part-list>{parts}</score-partwise>'
    ((score, _),) = music.read(content.encode(), ".musicxml")
    assert {note.pitch for part in score.parts for note in part.notes} == {72}
    assert [part.program for part in score.parts] == [71, 73, 57, 0]
