"""The closed vocabulary of composed scenes: nouns, their icons, and their possible roles."""

from dataclasses import dataclass

_LILAC = ("#cdc4d6", "#b4acbc")  # of things that are white or grey in Fluent


@dataclass(frozen=True)
class Noun:
    """A thing in scenes: its singular and plural, the name of its Fluent icon, and whether it can be recoloured.

    `body` lists the fills that a colour replaces; (): those of the icon's main hue.
    """

    name: str
    icon: str
    plural: str
    colours: bool = True
    body: tuple[str, ...] = ()


def _noun(
    name: str, icon: str = "", plural: str = "", colours: bool = True, body: tuple[str, ...] = ()
) -> tuple[str, Noun]:
    return name, Noun(name, icon or name.replace(" ", "-"), plural or f"{name}s", colours, body)


NOUNS: dict[str, Noun] = dict(
    (
        # Animals and similar actors, mostly faces.
        _noun("fox", plural="foxes"),
        _noun("cat", "cat-face"),
        _noun("dog", "dog-face"),
        _noun("rabbit", "rabbit-face", body=_LILAC),
        _noun("bear"),
        _noun("panda", colours=False),
        _noun("lion", colours=False),
        _noun("frog", body=("#00d26a", "#fcd53f")),
        _noun("pig", "pig-face"),
        _noun("mouse", "mouse-face", plural="mice", body=_LILAC),
        _noun("monkey", "monkey-face"),
        _noun("penguin"),
        _noun("owl", body=("#6d4534",)),
        _noun("robot", body=_LILAC),
        _noun("alien"),
        _noun("ghost", body=("#fff",)),
        _noun("snowman", "snowman-without-snow", plural="snowmen", colours=False),
        # Animals from the side.
        _noun("fish", plural="fish"),
        _noun("bird"),
        _noun("duck", colours=False),
        _noun("chick", "baby-chick"),
        _noun("turtle"),
        _noun("whale"),
        _noun("elephant"),
        _noun("horse"),
        _noun("butterfly", plural="butterflies", body=("#ff6723", "#ff822d")),
        _noun("octopus", plural="octopuses"),
        _noun("dinosaur", "sauropod"),
        _noun("ladybug", "lady-beetle"),
        # Vehicles.
        _noun("car", "automobile"),
        _noun("bus", plural="buses", body=("#ffb02e", "#e6e6e6", "#d3d3d3")),
        _noun("train", "locomotive", body=("#f92f60", "#636363")),
        _noun("bicycle", body=("#f92f60", "#f9c23c")),
        _noun("airplane", body=(*_LILAC, "#0084ce", "#00a6ed")),
        _noun("boat", "sailboat", body=("#fcd53f", "#ff8257", "#ff9f2e")),
        _noun("rocket"),
        _noun("truck", "delivery-truck", body=("#fcd53f", "#ff822d")),
        # Places and plants.
        _noun("house"),
        _noun("castle", body=(*_LILAC, "#998ea4")),
        _noun("tent"),
        _noun("tree", "deciduous-tree"),
        _noun("cactus", plural="cacti"),
        _noun("rose"),
        _noun("sunflower"),
        _noun("mushroom"),
        # Food.
        _noun("apple", "red-apple"),
        _noun("banana"),
        _noun("pear"),
        _noun("strawberry", plural="strawberries"),
        _noun("watermelon", colours=False),
        _noun("carrot"),
        _noun("pumpkin", "jack-o-lantern"),
        _noun("cake", "birthday-cake"),
        _noun("cupcake"),
        _noun("donut", "doughnut"),
        _noun("pizza", colours=False),
        _noun("ice cream", "soft-ice-cream"),
        _noun("egg"),
        # The sky.
        _noun("moon", "crescent-moon"),
        _noun("sun", colours=False),
        _noun("star"),
        _noun("cloud"),
        # Things.
        _noun("ball", "basketball"),
        _noun("balloon"),
        _noun("hat", "top-hat"),
        _noun("crown"),
        _noun("shirt", "t-shirt"),
        _noun("dress", plural="dresses"),
        _noun("boot", "womans-boot"),
        _noun("backpack"),
        _noun("umbrella"),
        _noun("book", "closed-book"),
        _noun("cup", "hot-beverage", body=("#d3d3d3", "#e6e6e6", "#f4f4f4", "#9b9b9b")),
        _noun("teapot"),
        _noun("bucket"),
        _noun("gift", "wrapped-gift"),
        _noun("teddy bear"),
        _noun("guitar"),
        _noun("camera"),
        _noun("clock", "alarm-clock", body=("#f8312f", "#f9c23c")),
        _noun("key"),
        _noun("lock", "locked"),
        _noun("pencil"),
        _noun("bell"),
        _noun("heart", "red-heart"),
        _noun("chair"),
        _noun("couch", "couch-and-lamp", plural="couches"),
        _noun("bed", body=("#533566", "#3f5fff", "#8d65c5")),
        _noun("anchor"),
        _noun("diamond", "gem-stone"),
    )
)

# Actors, and things that are worn, held, sat on and stood under.
ACTORS = tuple(NOUNS)[: tuple(NOUNS).index("snowman")]
HATS = ("hat", "crown")
HELD = (
    *("apple", "ball", "balloon", "banana", "bell", "book", "cake", "carrot", "cup", "fish", "gift", "guitar", "heart"),
    *("ice cream", "key", "pencil", "rose", "star", "sunflower", "teddy bear", "umbrella"),
)
SEATS = ("bed", "book", "bus", "cake", "car", "castle", "chair", "couch", "gift", "house", "train", "truck")
OVERHEAD = ("cloud", "moon", "star", "sun", "tree", "umbrella")
UNIQUE = ("moon", "sun")  # with the definite article


def with_article(words: str) -> str:
    """Put "a" or "an" before words, by their sound."""
    if words.startswith(("eu", "uni", "one", "use", "hour")):  # spelling and sound differ
        return f"{'an' if words[0] == 'h' else 'a'} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
