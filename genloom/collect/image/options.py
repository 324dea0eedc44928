"""The options of images."""

from dataclasses import dataclass

from genloom.collect.options import Options
from genloom.media.image import decoding
from genloom.settings import option


@dataclass(frozen=True)
class Config(Options):
    """The options of images; the similarity of two is 1 minus the difference of their thumbnails."""

    size: int = option(
        512,
        "Maximum length of an image's longer side, in pixels; larger images are scaled down.",
        minimum=16,
        maximum=4096,
    )
    background: str = option("white", "Background colour of transparent images: a name, or a value like #ffeedd.")

    def __post_init__(self) -> None:
        super().__post_init__()
        decoding.parse_colour(self.background)
