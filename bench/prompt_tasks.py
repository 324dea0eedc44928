"""Ten small tasks with answers that a program can check, for `assistant_prompts.py`; written for it, 60 cases or more.

A task is the prompt that a person would write first, and cases: rows as `genloom prompts improve` reads them.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

POSITIVE = [
    "The soup was hot and full of flavour.",
    "I would stay in this hotel again at once.",
    "Our guide knew every street and every joke.",
    "The new phone is fast and light.",
    "She sings better than on her records.",
    "Delivery came a day early and well packed.",
    "My children laughed from the first minute to the last.",
    "The staff found us a table although we were late.",
    "This lamp gives a warm and pleasant light.",
    "I finished the book in one night.",
    "The bed was so soft that we overslept.",
    "Finally a jacket with pockets in the right places.",
    "The teacher explains everything with patience.",
    "What a lovely garden behind the house.",
    "The bike rides smoothly even uphill.",
    "He repaired my watch for free.",
    "The view from the balcony took our breath away.",
    "These shoes are worth every cent.",
    "The film kept me on the edge of my seat.",
    "The bread is still warm when you buy it.",
    "A friendly voice answered my call after two rings.",
    "The paint dried quickly and covers well.",
    "My knee has not hurt since the treatment.",
    "Best coffee in the whole town.",
    "The museum surprised us with its clever rooms.",
    "They replaced the broken cup without a word.",
    "The train was clean, quiet and on time.",
    "I have never slept so well in a tent.",
    "The sauce tastes like my grandmother's.",
    "A brilliant evening with great actors.",
    "The app does exactly what I need.",
    "Everyone in the office thanked me for the cake.",
]

NEGATIVE = [
    "The soup was cold and had no taste.",
    "I will never stay in this hotel again.",
    "Our guide was late and bored.",
    "The new phone freezes twice a day.",
    "She forgot half of the words on stage.",
    "The parcel came late and was torn open.",
    "My children asked to go home after ten minutes.",
    "We waited an hour although we had booked.",
    "This lamp flickers and hums all evening.",
    "I stopped reading after twenty pages.",
    "The bed was hard and the sheets were dirty.",
    "The jacket fell apart in the first rain.",
    "The teacher shouts at every question.",
    "There was rubbish everywhere behind the house.",
    "The chain of the bike came off again and again.",
    "He broke my watch and charged me for it.",
    "The window looks at a grey wall.",
    "These shoes gave me blisters at once.",
    "The film was so dull that I fell asleep.",
    "The bread was stale and expensive.",
    "Nobody ever answered my calls.",
    "The paint peels off after a week.",
    "My knee hurts more since the treatment.",
    "Worst coffee in the whole town.",
    "The museum was crowded and badly lit.",
    "They refused to replace the broken cup.",
    "The train was dirty, loud and two hours late.",
    "The tent leaked on the first night.",
    "The sauce tastes of nothing but salt.",
    "A wasted evening with actors who mumbled.",
    "The app deletes my notes without asking.",
    "Everyone complained about the cake.",
]

UNITS = {
    "kg": "kilogram", "g": "gram", "km": "kilometre", "cm": "centimetre", "ml": "millilitre", "l": "litre",
    "h": "hour", "min": "minute", "W": "watt", "V": "volt", "Hz": "hertz", "°C": "degree Celsius",
}  # fmt: skip
UNIT_SENTENCES = [
    "The label says {n} {u}.", "We measured {n} {u} this morning.", "The value on the screen is {n} {u}.",
    "It was {n} {u} in the end.", "The manual allows {n} {u} at most.", "About {n} {u} are left.",
]  # fmt: skip

KINDS = {
    "animal": """horse eagle trout beetle rabbit whale lizard crow
goat spider otter wasp hamster shark pony""",
    "plant": """oak tulip moss rose birch clover daisy cactus
ivy fern maple orchid willow pine nettle""",
    "vehicle": """truck tram bicycle ferry tractor scooter bus canoe
helicopter van sledge train taxi lorry yacht""",
    "food": """cheese pasta sausage omelette yoghurt pancake noodles bread
soup pizza butter rice jam cake toast""",
}

CAPITALS = """\
France Paris|Spain Madrid|Italy Rome|Germany Berlin|Austria Vienna|Portugal Lisbon|Greece Athens|Poland Warsaw
Hungary Budapest|Sweden Stockholm|Norway Oslo|Denmark Copenhagen|Finland Helsinki|Ireland Dublin|Belgium Brussels
Netherlands Amsterdam|Russia Moscow|Turkey Ankara|Egypt Cairo|Kenya Nairobi|Nigeria Abuja|Ghana Accra|Morocco Rabat
Ethiopia Addis_Ababa|Uganda Kampala|Senegal Dakar|Tunisia Tunis|Algeria Algiers|Libya Tripoli|Sudan Khartoum
China Beijing|Japan Tokyo|India New_Delhi|Pakistan Islamabad|Nepal Kathmandu|Thailand Bangkok|Vietnam Hanoi
Indonesia Jakarta|Malaysia Kuala_Lumpur|Philippines Manila|Iran Tehran|Iraq Baghdad|Syria Damascus|Lebanon Beirut
Israel Jerusalem|Jordan Amman|Canada Ottawa|Mexico Mexico_City|Cuba Havana|Jamaica Kingston|Panama Panama_City
Colombia Bogota|Venezuela Caracas|Peru Lima|Chile Santiago|Argentina Buenos_Aires|Uruguay Montevideo|Bolivia La_Paz
Ecuador Quito|Brazil Brasilia|Australia Canberra|Bulgaria Sofia|Romania Bucharest|Serbia Belgrade|Croatia Zagreb
Ukraine Kyiv|Latvia Riga|Lithuania Vilnius|Estonia Tallinn|Iceland Reykjavik"""

NEGATED = [
    (subject, verb, rest)
    for subject, verb, rest in (
        line.split("/")
        for line in [
            "The door/is/open",
            "The shop/is/closed on Sunday",
            "The milk/is/fresh",
            "My keys/are/on the table",
            "The children/are/in the garden",
            "The train/was/late",
            "The tickets/were/cheap",
            "She/can/swim",
            "He/can/play the piano",
            "They/will/come tomorrow",
            "The price/will/rise",
            "We/should/wait here",
            "You/must/lock the window",
            "The dog/is/asleep",
            "The water/is/warm",
            "These apples/are/ripe",
            "Her brother/is/a doctor",
            "The answer/was/right",
            "The rooms/were/clean",
            "I/can/see the lake",
            "The bus/will/stop here",
            "Visitors/may/use the lift",
            "The road/is/safe",
            "His shoes/are/new",
            "The meeting/was/long",
            "The results/were/good",
            "It/is/cold outside",
            "The battery/is/full",
            "My parents/are/at home",
            "The film/was/sad",
            "The soup/is/hot",
            "The lights/are/on",
            "Anna/can/drive",
            "The museum/will/open on Monday",
            "We/were/at the party",
            "The letter/was/signed",
            "The bridge/is/old",
            "The windows/are/open",
            "You/should/press this button",
            "The machine/will/start by itself",
            "Guests/can/park in the yard",
            "The contract/is/valid",
            "The numbers/are/correct",
            "The winner/was/happy",
            "The seats/were/free",
            "She/will/call you",
            "The cat/is/hungry",
            "The plan/is/secret",
            "The streets/are/dry",
            "He/was/at work",
            "The bread/is/from today",
            "The medicine/is/dangerous",
            "The stairs/are/steep",
            "The river/was/deep",
            "The boxes/were/heavy",
            "They/can/hear us",
            "The garden/is/big",
            "The rules/are/clear",
            "The coffee/was/strong",
            "The neighbours/were/friendly",
            "We/will/sell the house",
            "Dogs/may/enter the shop",
        ]
    )
]

HEADLINES = [
    "The town council decided yesterday to build a new bridge over the river near the old mill.|bridge",
    "A bakery in the city gives bread that was not sold to people in need every evening.|bread",
    "Heavy rain flooded the cellars of forty houses in the village on Sunday night.|rain",
    "The zoo is happy about a young elephant that was born on Monday morning.|elephant",
    "Students of the university have invented a bicycle that folds into a backpack.|bicycle",
    "The library will stay open until midnight before the exams in June.|library",
    "A farmer found a Roman coin in his field while he was ploughing.|coin",
    "The hospital has opened a garden in which patients can plant vegetables.|garden",
    "Thieves stole a painting from the museum during a power cut.|painting",
    "The airport will close its oldest runway for repairs in August.|runway",
    "A dog saved a family from a fire by barking at night.|dog",
    "Prices of potatoes have doubled since the dry summer.|potatoes",
    "The school has replaced its bell with music that pupils choose.|school",
    "Volunteers removed two tons of rubbish from the beach on Saturday.|beach",
    "The mayor wants to plant a thousand trees along the main roads.|trees",
    "A violin that was lost for thirty years was found in an attic.|violin",
    "The swimming pool will heat its water by the sun from next year.|pool",
    "Engineers have begun to repair the clock on the church tower.|clock",
    "A baker of eighty years has won the national prize for rye bread.|baker",
    "The ferry to the island will run twice as often this summer.|ferry",
    "Firefighters rescued a cat from the top of a crane.|cat",
    "The theatre sells seats for one euro on rainy days.|theatre",
    "Bees are living on the roof of the town hall since May.|bees",
    "The old cinema will become a climbing hall.|cinema",
    "A teacher walked across the country to collect money for books.|teacher",
    "The market moves to the station square because of building works.|market",
    "Doctors warn of ticks after the mild winter.|ticks",
    "A young woman repaired a tractor and drove it to the sea.|tractor",
    "The post office tests letters that are brought by drones.|drones",
    "Snow closed the mountain pass for the third time this month.|snow",
    "A whale was seen in the harbour early on Friday.|whale",
    "The city lends umbrellas to people at bus stops.|umbrellas",
    "A chef cooks soup from vegetables that supermarkets throw away.|soup",
    "The river is clean enough for swimming again after twenty years.|river",
    "A family turned an old bus into a house.|bus",
    "The museum shows toys from ancient Egypt until October.|toys",
    "A storm tore the roof off the sports hall.|storm",
    "The railway offers free tickets to all eighteen-year-olds in July.|tickets",
    "The castle opens its cellar with its wine to visitors.|castle",
    "Astronomers of the small observatory have discovered a comet.|comet",
    "The company lets its workers bring their dogs on Fridays.|dogs",
    "A postman delivered his last letter after forty-five years.|postman",
    "The lake has frozen for the first time in ten years.|lake",
    "A robot mows the football field at night.|robot",
    "The village has elected its youngest mayor, who is twenty-one.|mayor",
    "Schoolchildren have written a cookbook with recipes of their grandparents.|cookbook",
    "The cheese of a small dairy was named the best of the country.|cheese",
    "A tunnel for toads was built under the road to the forest.|toads",
    "A tailor sews coats from old parachutes.|coats",
    "The lighthouse is for sale because ships no longer need it.|lighthouse",
    "The radio station plays only songs from the region for a week.|radio",
    "An old man gave his collection of ten thousand stamps to the school.|stamps",
    "The sports club has built a wall for climbing from recycled wood.|wall",
    "The bakers of the town have agreed to bake less sweet cakes.|cakes",
    "The police returned a stolen horse to a circus.|horse",
    "A doctor visits her patients by kayak in the flooded streets.|kayak",
    "The new tram stops at the hospital from Monday on.|tram",
    "The gardeners found an owl in the chimney of the greenhouse.|owl",
    "The orchestra gave a concert in a car park.|concert",
    "The bridge was painted by hand in six weeks.|bridge",
]

RUDE = [
    "Give me the salt.|salt",
    "Shut the door.|door",
    "Send the invoice today.|invoice",
    "Be quiet in the library.|library",
    "Move your car.|car",
    "Tell me the price.|price",
    "Don't smoke here.|smoke",
    "Wait outside.|outside",
    "Bring the menu.|menu",
    "Fix the heating.|heating",
    "Answer my e-mail.|e-mail",
    "Clean the kitchen.|kitchen",
    "Stop that music.|music",
    "Sign the contract.|contract",
    "Show me your passport.|passport",
    "Turn off the light.|light",
    "Call me back tonight.|tonight",
    "Pay the rent.|rent",
    "Take off your shoes.|shoes",
    "Return my book.|book",
    "Change the date of the meeting.|meeting",
    "Open the window.|window",
    "Check the numbers again.|numbers",
    "Keep the dog on a lead.|dog",
    "Hand in the form.|form",
    "Fill the printer with paper.|paper",
    "Let me speak.|speak",
    "Write your name here.|name",
    "Bring back the ladder.|ladder",
    "Use the other entrance.|entrance",
    "Correct the mistake in the report.|report",
    "Lower your voice.|voice",
    "Help me with the boxes.|boxes",
    "Give me a receipt.|receipt",
    "Lend me your pen.|pen",
    "Explain the rules.|rules",
    "Water the plants.|plants",
    "Come on time.|time",
    "Look after my bag.|bag",
    "Stand in the queue.|queue",
    "Share the photos.|photos",
    "Lock the bicycle.|bicycle",
    "Pass me the bread.|bread",
    "Leave the room.|room",
    "Book a table for six.|table",
    "Read the instructions.|instructions",
    "Wash your hands.|hands",
    "Put the chairs back.|chairs",
    "Repair the fence.|fence",
    "Send me the address.|address",
    "Get me a glass of water.|water",
    "Turn the page.|page",
    "Park behind the house.|house",
    "Print the tickets.|tickets",
    "Feed the cat.|cat",
    "Throw away the boxes.|boxes",
    "Pick up the children at four.|children",
    "Make less noise.|noise",
    "Cancel my order.|order",
    "Translate this letter.|letter",
]

LANGUAGES = {
    "English": """The window is open.|Where is the nearest station?|We have been waiting for an hour.
She bought a new coat yesterday.|The children are playing in the garden.|I would like a cup of tea.
It will rain tomorrow.|My brother lives near the sea.|The shop closes at six.|He never answers his phone.""",
    "German": """Das Fenster ist offen.|Wo ist der nächste Bahnhof?|Wir warten schon seit einer Stunde.
Sie hat gestern einen neuen Mantel gekauft.|Die Kinder spielen im Garten.|Ich hätte gern eine Tasse Tee.
Morgen wird es regnen.|Mein Bruder wohnt am Meer.|Das Geschäft schließt um sechs.|Er geht nie ans Telefon.""",
    "French": """La fenêtre est ouverte.|Où est la gare la plus proche ?|Nous attendons depuis une heure.
Elle a acheté un nouveau manteau hier.|Les enfants jouent dans le jardin.|Je voudrais une tasse de thé.
Il pleuvra demain.|Mon frère habite au bord de la mer.|Le magasin ferme à six heures.
Il ne répond jamais au téléphone.""",
    "Spanish": """La ventana está abierta.|¿Dónde está la estación más cercana?|Llevamos una hora esperando.
Ella compró un abrigo nuevo ayer.|Los niños juegan en el jardín.|Quisiera una taza de té.
Mañana va a llover.|Mi hermano vive cerca del mar.|La tienda cierra a las seis.|Nunca contesta el teléfono.""",
    "Italian": """La finestra è aperta.|Dov'è la stazione più vicina?|Aspettiamo da un'ora.
Ieri ha comprato un cappotto nuovo.|I bambini giocano in giardino.|Vorrei una tazza di tè.
Domani pioverà.|Mio fratello abita vicino al mare.|Il negozio chiude alle sei.|Non risponde mai al telefono.""",
    "Dutch": """Het raam staat open.|Waar is het dichtstbijzijnde station?|We wachten al een uur.
Ze heeft gisteren een nieuwe jas gekocht.|De kinderen spelen in de tuin.|Ik wil graag een kopje thee.
Morgen gaat het regenen.|Mijn broer woont aan zee.|De winkel sluit om zes uur.|Hij neemt nooit de telefoon op.""",
}

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DATE_SENTENCES = [
    "The meeting on {d} {m} {y} starts at nine.", "Please pay before {m} {d}, {y}.",
    "She was born on {d} {m} {y} in Graz.",
    "The offer ends on {m} {d}, {y}, at midnight.", "Our contract of {d} {m} {y} is still valid.",
    "On {m} {d}, {y} the museum opens again.",
]  # fmt: skip
FIRST_NAMES = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Frank",
    "Greta",
    "Hugo",
    "Ida",
    "Jonas",
    "Karin",
    "Leo",
    "Mona",
    "Nils",
    "Olga",
    "Paul",
    "Rosa",
    "Simon",
    "Tina",
    "Viktor",
]
LAST_NAMES = [
    "Berger",
    "Novak",
    "Schmidt",
    "Rossi",
    "Meyer",
    "Dubois",
    "Larsen",
    "Kovacs",
    "Silva",
    "Brown",
    "Fischer",
    "Moreau",
    "Jensen",
    "Ricci",
    "Wagner",
]
CONTACT_SENTENCES = [
    "Please call {name} at {phone} about the order.", "{name} is in the office until five, phone {phone}.",
    "For questions ask {name} ({phone}).", "My new number is {phone}. Best wishes, {name}",
    "{name} wants you to ring {phone} before noon.",
]  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A first prompt with the variable `text`, and its cases."""

    name: str
    prompt: str
    cases: list[Row]
    judge: str = "exact"


def build_tasks() -> list[Task]:
    """Return the ten tasks; the same cases each time."""
    return [
        Task("sentiment", "Is the opinion positive or negative?\n\n{text}", list(_iter_opinions())),
        Task("date", "Find the date in the text.\n\n{text}", list(_iter_dates())),
        Task("unit", "Which unit is in the text?\n\n{text}", list(_iter_units())),
        Task("contact", "Extract the contact from the text.\n\n{text}", list(_iter_contacts()), "json"),
        Task("kind", "Which kind of thing is this?\n\n{text}", list(_iter_kinds())),
        Task("capital", "Which city is the capital of this country?\n\n{text}", list(_iter_capitals())),
        Task("negation", "Say the opposite.\n\n{text}", list(_iter_negations())),
        Task("headline", "Write a headline for the text.\n\n{text}", list(_iter_headlines())),
        Task("polite", "Make this polite.\n\n{text}", list(_iter_requests())),
        Task("language", "Which language is this?\n\n{text}", list(_iter_languages())),
    ]


def _build_rows(pairs: Any) -> list[Row]:
    return [{"input": text, "answer": answer} for text, answer in pairs]


def _iter_opinions() -> Iterator[Row]:
    yield from _build_rows((text, "positive") for text in POSITIVE)
    yield from _build_rows((text, "negative") for text in NEGATIVE)


def _iter_dates() -> Iterator[Row]:
    rng = random.Random(1)
    for number in range(64):
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1950, 2029)
        text = DATE_SENTENCES[number % len(DATE_SENTENCES)].format(d=day, m=MONTHS[month - 1], y=year)
        yield {"input": text, "answer": f"{year}-{month:02}-{day:02}"}


def _iter_units() -> Iterator[Row]:
    rng = random.Random(2)
    for sentence in UNIT_SENTENCES:
        for symbol, word in UNITS.items():
            yield {"input": sentence.format(n=rng.randint(2, 90), u=symbol), "answer": word}


def _iter_contacts() -> Iterator[Row]:
    rng = random.Random(3)
    for number in range(64):
        name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
        phone = f"0{rng.randint(100, 999)} {rng.randint(10000, 99999)}"
        text = CONTACT_SENTENCES[number % len(CONTACT_SENTENCES)].format(name=name, phone=phone)
        yield {"input": text, "answer": json.dumps({"name": name, "phone": phone})}


def _iter_kinds() -> Iterator[Row]:
    for kind, words in KINDS.items():
        yield from _build_rows((word, kind) for word in words.split())


def _iter_capitals() -> Iterator[Row]:
    for pair in CAPITALS.replace("\n", "|").split("|"):
        country, capital = pair.split(" ")
        yield {"input": country, "answer": capital.replace("_", " ")}


def _iter_negations() -> Iterator[Row]:
    for subject, verb, rest in NEGATED:
        negated = f"{subject} {'cannot' if verb == 'can' else f'{verb} not'} {rest}."
        yield {"input": f"{subject} {verb} {rest}.", "answer": negated}


def _iter_headlines() -> Iterator[Row]:
    for line in HEADLINES:
        text, word = line.split("|")
        yield {"input": text, "contains": [word], "max_words": 7}


def _iter_requests() -> Iterator[Row]:
    for line in RUDE:
        text, word = line.split("|")
        yield {
            "input": text,
            "regex": r"\b(please|could you|would you|may I|kindly)\b",
            "contains": [word],
            "max_words": 16,
        }


def _iter_languages() -> Iterator[Row]:
    for language, sentences in LANGUAGES.items():
        yield from _build_rows((text, language) for text in sentences.replace("\n", "|").split("|"))
