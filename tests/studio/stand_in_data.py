"""What the stand-in shows: models, their options, outputs and pictures that nobody made."""

import io
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from PIL import Image, ImageDraw

from genloom.server.studio.shapes.models import Model, Option
from genloom.server.studio.shapes.outputs import Output, Rating

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
MEDIA = {"image": "image/png", "text": "text/plain", "music": "audio/midi"}
MODELS = [("icons", "image"), ("shakespeare", "text"), ("tunes", "music"), ("smollm2", "text")]
PROMPTS = {
    "image": [
        "a red fox reading a book under the moon",
        "three blue cups at night",
        "a house in the snow",
        "a lion",
        "a green car",
    ],
    "text": ["ROMEO:", "On the sea", "KING:"],
    "music": ["an Irish jig in D major for flute", "a chorale in G major"],
}
WORDS = [
    "the",
    "king",
    "and",
    "night",
    "of",
    "our",
    "love",
    "where",
    "every",
    "word",
    "is",
    "made",
    "gold",
    "thou",
    "art",
]


TEXTS = [" ".join(random.Random(n).choices(WORDS, k=90)) for n in range(40)]


def make_output(
    n: int,
    model: str,
    medium: str,
    prompt: str,
    *,
    created: str,
    text: str | None = None,
    job: str | None = None,
    seed: int | None = None,
) -> Output:
    """Return the output number `n`."""
    id = f"2026-11-30-{n:06d}"
    is_text = medium == "text"
    if is_text and text is None:
        text = f" {TEXTS[n % len(TEXTS)]}"
    return Output(
        id=id,
        created=created,
        medium=medium,
        model=model,
        prompt=prompt,
        seed=n * 7919 % 10**9 if seed is None else seed,
        text=text,
        mime=MEDIA[medium],
        bytes=812,
        url=f"/api/outputs/{id}/file",
        shown_mime="text/plain" if is_text else "image/png",
        shown=f"/api/outputs/{id}/file",
        thumbnail=None if is_text else f"/api/outputs/{id}/thumbnail",
        sound=f"/api/outputs/{id}/sound" if medium == "music" else None,
        job=job,
        seconds=1.4,
    )


def make_outputs(count: int) -> Sequence[Output]:
    """Return so many outputs, four of each prompt, the newest first; some are rated, starred and tagged."""
    outputs = []
    for n in range(count):
        model, medium = [("icons/1", "image"), ("shakespeare/1", "text"), ("tunes/1", "music")][n // 4 * 5 % 11 % 3]
        prompt = PROMPTS[medium][n // 12 % len(PROMPTS[medium])]
        created = (START - timedelta(minutes=n // 4 * 3, seconds=n % 4)).isoformat()
        output = make_output(n, model, medium, prompt, created=created, job=f"2026-11-30-old{n // 4:05d}")
        output.rating = Rating(up=n % 3 > 0, event="e", at=created) if n % 5 == 2 else None
        output.is_starred, output.tags = n % 17 == 3, ["sea"] if n % 9 == 4 else []
        outputs.append(output)
    return outputs


def draw_picture(id: str, size: int = 64) -> bytes:
    """Return a picture that differs by id: overlapping shapes on a plain ground."""
    chance = random.Random(id)
    image = Image.new("RGB", (size, size), tuple(chance.randrange(120, 250) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, r = chance.randrange(size), chance.randrange(size), chance.randrange(size // 8, size // 2)
        shape = chance.choice([draw.ellipse, draw.rectangle])
        shape((x - r, y - r, x + r, y + r), fill=tuple(chance.randrange(40, 240) for _ in range(3)))
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def make_models() -> list[Model]:
    models = []
    for name, medium in MODELS:
        can = [
            "generate",
            "teach",
            "tune",
            "export",
            *({"image": ["edit"], "music": ["edit", "continue"]}.get(medium, ["continue"])),
        ]
        models.append(
            Model(
                ref=f"{name}/1",
                name=name,
                version=1,
                medium=medium,
                kind="built_in" if medium != "text" else "trained",
                is_active=True,
                is_adapter=False,
                created=START.isoformat(),
                bytes=11_000_000,
                digest="9c" * 32,
                parameters=5_500_000,
                metric="bits/byte",
                value=1.92,
                licences=["CC0-1.0"],
                outputs=20,
                can=[*can, *(["chat"] if name == "smollm2" else [])],
            )
        )
    return models


def make_options(medium: str) -> list[Option]:
    if medium == "image":
        return [
            Option(
                name="steps",
                type="int",
                default=12,
                minimum=1,
                maximum=200,
                help="Number of sampling steps of an image; fewer are faster, more are finer.",
            ),
            Option(
                name="guidance_scale",
                type="float",
                default=3.0,
                minimum=0,
                maximum=20,
                is_basic=True,
                help="1 is off; higher values follow the prompt more closely, with less variety.",
            ),
            Option(name="negative_prompt", type="str", default="", help="Text that an image must not resemble."),
            Option(
                name="solver",
                type="choice",
                default="euler",
                choices=["euler", "heun", "multistep"],
                help="How the steps are computed.",
            ),
            Option(name="image", type="file", group="edit", help="Image to start from."),
            Option(name="mask", type="file", group="edit", help="White is generated, black keeps its pixels."),
            Option(name="outpaint", type="list", group="edit", help="Pixels to add as left, right, top, bottom."),
            Option(
                name="strength",
                type="float",
                minimum=0.01,
                maximum=1,
                group="edit",
                help="Strength of the change: 1 replaces the source.",
            ),
        ]
    if medium == "music":
        return [
            Option(
                name="bars",
                type="int",
                default=16,
                minimum=1,
                maximum=64,
                is_basic=True,
                help="Number of bars to generate.",
            ),
            Option(name="key", type="str", help="Key: D minor, Bb, E dorian."),
            Option(name="in_key", type="bool", default=False, help="Whether only notes of the scale are generated."),
            Option(
                name="temperature",
                type="float",
                default=0.9,
                minimum=0,
                maximum=2,
                help="Higher values give more surprising music.",
            ),
            Option(name="source", type="file", group="edit", help="Tune to start from."),
            Option(
                name="vary",
                type="float",
                minimum=0.01,
                maximum=1,
                group="edit",
                help="Share of the source's cells to rewrite.",
            ),
        ]
    return [
        Option(
            name="max_tokens",
            type="int",
            default=400,
            minimum=1,
            maximum=8000,
            is_basic=True,
            help="Maximum number of tokens to generate.",
        ),
        Option(
            name="temperature",
            type="float",
            default=0.8,
            minimum=0,
            maximum=2,
            help="Higher values give more surprising texts.",
        ),
        Option(
            name="top_p",
            type="float",
            minimum=0,
            maximum=1,
            help="Sample from the smallest set of tokens whose probability adds up to at least P.",
        ),
    ]
