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


def _define_noun(
    name: str, icon: str = "", plural: str = "", colours: bool = True, body: tuple[str, ...] = ()
) -> tuple[str, Noun]:
    return name, Noun(name, icon or name.replace(" ", "-"), plural or f"{name}s", colours, body)


NOUNS: dict[str, Noun] = dict(
    (
        # Animals and similar actors, mostly faces.
        _define_noun("fox", plural="foxes"),
        _define_noun("cat", "cat-face"),
        _define_noun("dog", "dog-face"),
        _define_noun("rabbit", "rabbit-face", body=_LILAC),
        _define_noun("bear"),
        _define_noun("panda", colours=False),
        _define_noun("lion", colours=False),
        _define_noun("frog", body=("#00d26a", "#fcd53f")),
        _define_noun("pig", "pig-face"),
        _define_noun("mouse", "mouse-face", plural="mice", body=_LILAC),
        _define_noun("monkey", "monkey-face"),
        _define_noun("penguin"),
        _define_noun("owl", body=("#6d4534",)),
        _define_noun("robot", body=_LILAC),
        _define_noun("alien"),
        _define_noun("ghost", body=("#fff",)),
        _define_noun("snowman", "snowman-without-snow", plural="snowmen", colours=False),
        # Animals from the side.
        _define_noun("fish", plural="fish"),
        _define_noun("bird"),
        _define_noun("duck", colours=False),
        _define_noun("chick", "baby-chick"),
        _define_noun("turtle"),
        _define_noun("whale"),
        _define_noun("elephant"),
        _define_noun("horse"),
        _define_noun("butterfly", plural="butterflies", body=("#ff6723", "#ff822d")),
        _define_noun("octopus", plural="octopuses"),
        _define_noun("dinosaur", "sauropod"),
        _define_noun("ladybug", "lady-beetle"),
        # Vehicles.
        _define_noun("car", "automobile"),
        _define_noun("bus", plural="buses", body=("#ffb02e", "#e6e6e6", "#d3d3d3")),
        _define_noun("train", "locomotive", body=("#f92f60", "#636363")),
        _define_noun("bicycle", body=("#f92f60", "#f9c23c")),
        _define_noun("airplane", body=(*_LILAC, "#0084ce", "#00a6ed")),
        _define_noun("boat", "sailboat", body=("#fcd53f", "#ff8257", "#ff9f2e")),
        _define_noun("rocket"),
        _define_noun("truck", "delivery-truck", body=("#fcd53f", "#ff822d")),
        # Places and plants.
        _define_noun("house"),
        _define_noun("castle", body=(*_LILAC, "#998ea4")),
        _define_noun("tent"),
        _define_noun("tree", "deciduous-tree"),
        _define_noun("cactus", plural="cacti"),
        _define_noun("rose"),
        _define_noun("sunflower"),
        _define_noun("mushroom"),
        # Food.
        _define_noun("apple", "red-apple"),
        _define_noun("banana"),
        _define_noun("pear"),
        _define_noun("strawberry", plural="strawberries"),
        _define_noun("watermelon", colours=False),
        _define_noun("carrot"),
        _define_noun("pumpkin", "jack-o-lantern"),
        _define_noun("cake", "birthday-cake"),
        _define_noun("cupcake"),
        _define_noun("donut", "doughnut"),
        _define_noun("pizza", colours=False),
        _define_noun("ice cream", "soft-ice-cream"),
        _define_noun("egg"),
        # The sky.
        _define_noun("moon", "crescent-moon"),
        _define_noun("sun", colours=False),
        _define_noun("star"),
        _define_noun("cloud"),
        # Things.
        _define_noun("ball", "basketball"),
        _define_noun("balloon"),
        _define_noun("hat", "top-hat"),
        _define_noun("crown"),
        _define_noun("shirt", "t-shirt"),
        _define_noun("dress", plural="dresses"),
        _define_noun("boot", "womans-boot"),
        _define_noun("backpack"),
        _define_noun("umbrella"),
        _define_noun("book", "closed-book"),
        _define_noun("cup", "hot-beverage", body=("#d3d3d3", "#e6e6e6", "#f4f4f4", "#9b9b9b")),
        _define_noun("teapot"),
        _define_noun("bucket"),
        _define_noun("gift", "wrapped-gift"),
        _define_noun("teddy bear"),
        _define_noun("guitar"),
        _define_noun("camera"),
        _define_noun("clock", "alarm-clock", body=("#f8312f", "#f9c23c")),
        _define_noun("key"),
        _define_noun("lock", "locked"),
        _define_noun("pencil"),
        _define_noun("bell"),
        _define_noun("heart", "red-heart"),
        _define_noun("chair"),
        _define_noun("couch", "couch-and-lamp", plural="couches"),
        _define_noun("bed", body=("#533566", "#3f5fff", "#8d65c5")),
        _define_noun("anchor"),
        _define_noun("diamond", "gem-stone"),
    )
)

# Actors, and things that are worn, held, sat on and stood under.
ACTORS = tuple(NOUNS)[: tuple(NOUNS).index("snowman")]
HATS = ("hat", "crown")
HELD = (
    *("apple", "ball", "balloon", "banana", "bell", "book", "cake", "carrot", "cup", "fish", "gift", "guitar", "heart"),
    *("ice cream", "key", "pencil", "rose", "star", "sunflower", "teddy bear", "umbrella"),
)
FOODS = (
    *("apple", "banana", "pear", "strawberry", "watermelon", "carrot", "cake", "cupcake", "donut", "pizza"),
    *("ice cream", "egg", "mushroom"),
)
INSTRUMENTS = ("guitar", "bell")
MOUNTS = ("bicycle", "horse", "elephant", "dinosaur", "turtle", "whale", "boat", "rocket", "train", "car")
FLYERS = ("bird", "owl", "butterfly", "ladybug", "airplane", "rocket", "balloon", "ghost", "duck")
SEATS = ("bed", "book", "bus", "cake", "car", "castle", "chair", "couch", "gift", "house", "train", "truck")
OVERHEAD = ("cloud", "moon", "star", "sun", "tree", "umbrella")
UNIQUE = ("moon", "sun")  # with the definite article


def with_article(words: str) -> str:
    """Put "a" or "an" before words, by their sound."""
    if words.startswith(("eu", "uni", "one", "use", "hour")):  # spelling and sound differ
        return f"{'an' if words[0] == 'h' else 'a'} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
