"""Synthetic conversations: what the model is trained on, and what it is examined on.

Everything here is made up by this file from the tables below. A conversation is drawn from a
seeded random generator, and every draw that a question depends on passes through `Split`, which
divides all combinations into a training part and a held-out part by hashing them. Training never
draws a held-out combination; an examination question always does.
"""
import json
import random
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

KINDS = ("capitals", "sums", "opposites", "facts", "name", "own facts", "one code", "several codes", "long context")

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "Poland": "Warsaw", "Austria": "Vienna", "Hungary": "Budapest", "Greece": "Athens", "Sweden": "Stockholm",
    "Norway": "Oslo", "Finland": "Helsinki", "Denmark": "Copenhagen", "Ireland": "Dublin", "Belgium": "Brussels",
    "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi", "Egypt": "Cairo", "Kenya": "Nairobi",
    "Canada": "Ottawa", "Brazil": "Brasilia", "Peru": "Lima", "Chile": "Santiago", "Argentina": "Buenos Aires",
    "Mexico": "Mexico City", "Cuba": "Havana", "Turkey": "Ankara", "Russia": "Moscow", "Ukraine": "Kyiv",
    "Iceland": "Reykjavik", "Thailand": "Bangkok", "Vietnam": "Hanoi", "Nepal": "Kathmandu",
    "Australia": "Canberra", "Ghana": "Accra", "Morocco": "Rabat", "Iran": "Tehran", "Iraq": "Baghdad",
    "Switzerland": "Bern", "the United Kingdom": "London", "England": "London", "the United States": "Washington",
    "the Netherlands": "Amsterdam", "South Korea": "Seoul", "Czechia": "Prague", "Slovakia": "Bratislava",
    "Romania": "Bucharest", "Bulgaria": "Sofia", "Serbia": "Belgrade", "Croatia": "Zagreb", "Slovenia": "Ljubljana",
    "Albania": "Tirana", "Estonia": "Tallinn", "Latvia": "Riga", "Lithuania": "Vilnius", "Scotland": "Edinburgh",
    "New Zealand": "Wellington", "Indonesia": "Jakarta", "Pakistan": "Islamabad", "Bangladesh": "Dhaka",
    "Saudi Arabia": "Riyadh", "Israel": "Jerusalem", "Lebanon": "Beirut", "Syria": "Damascus", "Jordan": "Amman",
    "Ethiopia": "Addis Ababa", "Nigeria": "Abuja", "Senegal": "Dakar", "Tunisia": "Tunis", "Algeria": "Algiers",
    "Colombia": "Bogota", "Venezuela": "Caracas", "Ecuador": "Quito", "Uruguay": "Montevideo", "Jamaica": "Kingston",
    "Mongolia": "Ulaanbaatar", "the Philippines": "Manila", "Cyprus": "Nicosia", "Malta": "Valletta",
}
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "up": "down", "day": "night", "light": "dark", "happy": "sad",
    "open": "closed", "rich": "poor", "young": "old", "early": "late", "wet": "dry", "hard": "soft",
    "loud": "quiet", "full": "empty", "near": "far", "high": "low", "strong": "weak", "clean": "dirty",
    "left": "right", "long": "short", "thick": "thin", "wide": "narrow", "deep": "shallow", "sweet": "sour",
    "true": "false", "good": "bad", "first": "last", "inside": "outside", "above": "below", "before": "after",
    "always": "never", "yes": "no", "win": "lose", "buy": "sell", "begin": "end", "push": "pull", "love": "hate",
    "heavy": "light", "easy": "difficult", "cheap": "expensive", "brave": "cowardly", "smooth": "rough",
    "black": "white", "summer": "winter", "north": "south", "east": "west", "awake": "asleep", "alive": "dead",
    "safe": "dangerous", "friend": "enemy", "question": "answer", "tall": "short",
}
SOUNDS = {
    "dog": "barks", "cat": "meows", "cow": "moos", "duck": "quacks", "lion": "roars", "sheep": "bleats",
    "horse": "neighs", "owl": "hoots", "frog": "croaks", "wolf": "howls", "bee": "buzzes", "mouse": "squeaks",
    "pig": "oinks", "snake": "hisses", "bird": "sings",
}
COLORS_OF = {
    "sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red", "banana": "yellow",
    "carrot": "orange", "cloud": "white", "leaf": "green", "lemon": "yellow", "cherry": "red", "ocean": "blue",
    "milk": "white", "tomato": "red", "frog": "green", "chocolate": "brown", "sun": "yellow",
}
NUMBER_WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
                "sixteen seventeen eighteen nineteen twenty").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

NAMES = ("Ada Alan Grace Linus Barbara Edsger Donald Leslie Ken Dennis Margaret John Mary Peter Anna Max Lena Tom "
         "Sara Omar Nina Ivan Rosa Hugo Emma Noah Olga Yuki Chen Amir Zoe Leo Mia Finn Eva Karl Alice Bob Carol "
         "David Erin Frank George Helen Igor Julia Kate Laura Mark Nora Oscar Paul Quinn Robert Susan Tim Ursula "
         "Victor Wendy Xavier Yvonne Zack Jane James Michael William Elizabeth Jennifer Linda Richard Joseph Thomas "
         "Daniel Matthew Anthony Steven Andrew Joshua Kevin Brian Edward Ronald Jason Ryan Jacob Gary Eric Jonas "
         "Lukas Felix Moritz Paula Clara Greta Ingrid Sven Lars Erik Astrid Pierre Marie Jean Camille Louis Chloe "
         "Marco Giulia Luca Chiara Pablo Carmen Diego Lucia Mateo Aisha Fatima Hassan Ali Layla Raj Anil Deepa Wei "
         "Mei Jun Hana Kenji Sakura Minh Linh Kofi Ama Kwame Zuri Tariq Samir Dmitri Natasha Boris Elena").split()
HELD_OUT_NAMES = ("Priya Sofia Lucas Oliver Charlotte Henry Isabel Martin Simon Rachel Benjamin Teresa Stefan "
                  "Monica Philip Nadia Arthur Bianca Walter Irene Gustav Yara Ravi Salma Bruno").split()
COLORS = "red blue green yellow orange purple black white brown pink gray gold".split()
ANIMALS = list(SOUNDS)[:12] + "fox bear rabbit bird fish turtle snake goat pig hen".split()
FRUIT = "apple pear plum peach grape lemon cherry banana mango melon fig orange kiwi lime".split()
FOODS = "pizza soup bread cheese rice pasta salad cake honey fish apple mango banana cherry lemon".split()
JOBS = "teacher doctor baker painter farmer pilot nurse writer singer driver lawyer gardener builder cook".split()
PET_NAMES = "Rex Bella Max Luna Rocky Daisy Milo Coco Buddy Ruby Oscar Lucky Biscuit Pepper Shadow Ginger".split()
ADJECTIVES = "small brave clever tired happy curious quiet kind old young hungry lucky".split()
PLACES = "forest river mountain village garden castle field lake cave island".split()
THINGS = "lamp key book bell rope map coin ring drum boat".split()
LOCKS = "box door key room safe drawer locker gate house bike office garage chest cabinet phone desk".split()

CAPITAL_QUESTIONS = ("What is the capital of {}?", "Name the capital of {}.", "capital of {}?",
                     "Which city is the capital of {}?", "What's the capital of {}?", "Tell me the capital of {}.",
                     "Do you know the capital of {}?", "What is the capital city of {}?", "what is the capital of {}",
                     "And the capital of {}?")
COUNTRY_QUESTIONS = ("{} is the capital of which country?", "Which country has the capital {}?",
                     "What country is {} the capital of?")
SUM_QUESTIONS = ("What is {a} + {b}?", "{a} + {b} = ?", "Add {a} and {b}.", "What is {a} plus {b}?",
                 "How much is {a} + {b}?", "What's {a} + {b}?", "Calculate {a} + {b}.", "{a}+{b}=?", "{a} + {b}",
                 "Compute {a} + {b}.")
DIFFERENCE_QUESTIONS = ("What is {a} - {b}?", "{a} - {b} = ?", "Subtract {b} from {a}.", "What is {a} minus {b}?",
                        "How much is {a} - {b}?", "What's {a} - {b}?", "Calculate {a} - {b}.", "{a}-{b}=?",
                        "{a} - {b}", "Compute {a} - {b}.")
OPPOSITE_QUESTIONS = ("What is the opposite of {}?", "opposite of {}?", "Name the opposite of {}.",
                      "Tell me the opposite of {}.", "What's the opposite of {}?", "Give me the opposite of {}.",
                      "Which word is the opposite of {}?", "what is the opposite of {}")
SOUND_QUESTIONS = ("What sound does a {} make?", "Which sound does a {} make?", "What does a {} do?",
                   "Tell me the sound of a {}.")
COLOR_QUESTIONS = ("What color is the {}?", "What is the color of the {}?", "Tell me the color of the {}.",
                   "Which color is the {}?")
WORD_QUESTIONS = ("Write {} as a word.", "How do you write {} as a word?", "Spell the number {}.",
                  "What is {} in words?")
# More wordings for training only, from the last stage on.
WIDER_COUNTRY_QUESTIONS = ("{} is the capital of what country?", "{} is the capital of which land?",
                           "Of which country is {} the capital?", "Which country is {} the capital of?",
                           "{} is the capital of")
WIDER_WORD_QUESTIONS = ("Spell {}.", "Spell out the number {}.", "Spell the numeral {}.", "Write the number {} in words.",
                        "Write out {}.", "How is {} spelled?", "How do you spell {} as a word?")
AFTER_QUESTIONS = ("Which {unit} comes after {item}?", "What {unit} comes after {item}?",
                   "What {unit} follows {item}?", "Tell me the {unit} after {item}.")
BEFORE_QUESTIONS = ("Which {unit} comes before {item}?", "What {unit} comes before {item}?",
                    "Tell me the {unit} before {item}.")

CHAT = (("How are you?", "I am well, thank you."), ("Thank you!", "You are welcome."), ("Thanks.", "You are welcome."),
        ("Hello!", "Hello! How can I help you?"), ("Hi!", "Hello! How can I help you?"),
        ("Who are you?", "I am a tiny language model."), ("Good morning.", "Good morning!"),
        ("Hello, who are you?", "Hello! I am a tiny language model. How can I help you?"),
        ("What can you do?", "I can answer short questions and remember what you tell me."),
        ("The weather is nice today.", "That is good to hear."), ("It is raining again.", "I hope it stops soon."),
        ("I am going to the market.", "Have a good time!"), ("That is right.", "Good."), ("Very good.", "Thank you!"))
FILLER = ("The weather is nice today.", "It began to rain, so we stayed at home.", "The river near the village is cold.",
          "The old castle is on the mountain.", "There was a small boat on the lake.", "The garden is full of apple trees.",
          "We walked to the forest and sat down to rest.", "The train was late again.",
          "My friends wanted to see the island.",
          "The market opens early in the morning.", "A bird was singing in the tree.", "The book is on the table.")
SYSTEM_PROMPTS = ("You are a helpful assistant.", "You are a tiny assistant. Answer in short sentences.", "Be brief.",
                  "You answer questions about places, numbers and words.", "You are a friendly assistant.",
                  "Answer the user's questions.")
ACKNOWLEDGEMENTS = ("Got it.", "Thank you, I will remember that.", "OK.", "I will remember that.", "Noted.",
                    "Nice to meet you!", "Sure.", "Understood.")

# What a speaker may tell about themselves: statements, questions, answer.
OWN_FACTS = {
    "name": (("My name is {}.", "I am {}.", "Hello, my name is {}.", "Hi, I'm {}.", "Call me {}.", "You can call me {}.",
              "Hi! My name is {}.", "Hello! I am {}.", "I am called {}."),
             ("What is my name?", "What's my name?", "Do you remember my name?", "Tell me my name.", "Who am I?",
              "what is my name", "Can you tell me my name?"), "Your name is {}."),
    "city": (("I live in {}.", "My home is in {}.", "I am from {}."),
             ("Where do I live?", "Which city do I live in?", "Do you remember where I live?", "What city do I live in?"),
             "You live in {}."),
    "color": (("My favorite color is {}.", "The color I like best is {}.", "I like the color {} best."),
              ("What is my favorite color?", "Which color is my favorite?", "What's my favorite color?",
               "Tell me my favorite color."), "Your favorite color is {}."),
    "age": (("I am {} years old.", "My age is {}.", "I turned {} this year."),
            ("How old am I?", "What is my age?", "Do you remember how old I am?"), "You are {} years old."),
    "food": (("My favorite food is {}.", "The food I like best is {}.", "I like to eat {} best."),
             ("What is my favorite food?", "Which food is my favorite?", "What's my favorite food?"),
             "Your favorite food is {}."),
    "animal": (("My favorite animal is the {}.", "The animal I like best is the {}.", "Of all animals I like the {} best."),
               ("What is my favorite animal?", "Which animal is my favorite?", "What's my favorite animal?"),
               "Your favorite animal is the {}."),
    "job": (("I work as a {}.", "My job is {}.", "I am a {} by trade."),
            ("What is my job?", "What do I work as?", "What's my job?"), "You work as a {}."),
    "dog": (("My dog is called {}.", "My dog's name is {}.", "I have a dog named {}."),
            ("What is my dog called?", "What is my dog's name?", "What is the name of my dog?"), "Your dog is called {}."),
    "cat": (("My cat is called {}.", "My cat's name is {}.", "I have a cat named {}."),
            ("What is my cat called?", "What is my cat's name?", "What is the name of my cat?"), "Your cat is called {}."),
    "sister": (("My sister is called {}.", "My sister's name is {}.", "I have a sister named {}."),
               ("What is my sister called?", "What is my sister's name?"), "Your sister is called {}."),
    "brother": (("My brother is called {}.", "My brother's name is {}.", "I have a brother named {}."),
                ("What is my brother called?", "What is my brother's name?"), "Your brother is called {}."),
}

OWN_VALUES = {"city": list(CAPITALS.values()), "color": COLORS, "age": [str(age) for age in range(10, 80)], "food": FOODS,
              "animal": ANIMALS, "job": JOBS, "dog": PET_NAMES, "cat": PET_NAMES, "sister": NAMES, "brother": NAMES}

LOCK_STATEMENTS = ("The code for the {key} is {code}.", "The {key} code is {code}.", "The code of the {key} is {code}.",
                   "Remember that the code for the {key} is {code}.", "The code to the {key} is {code}.",
                   "{code} is the code for the {key}.", "Remember: the code for the {key} is {code}.")
LOCK_QUESTIONS = ("What is the code for the {key}?", "What's the code for the {key}?", "Tell me the code for the {key}.",
                  "code for the {key}?", "Do you remember the code for the {key}?", "What is the {key} code?",
                  "What was the code for the {key}?", "And the code for the {key}?")
LOCK_ANSWER = "The code for the {key} is {code}."
CODE_NOUNS = ("code", "code", "code", "code", "secret code", "password", "PIN", "number")
CODE_STATEMENTS = ("The {noun} is {code}.", "My {noun} is {code}.", "Remember the {noun} {code}.",
                   "Please remember this {noun}: {code}.", "Remember this {noun}: {code}.", "Keep the {noun} {code} for me.",
                   "The {noun} is {code}. Please remember it.", "Remember: the {noun} is {code}.", "{code} is the {noun}.")
CODE_QUESTIONS = ("What is the {noun}?", "What is my {noun}?", "What was the {noun}?", "What {noun} did I give you?",
                  "What's the {noun}?", "Tell me the {noun}.", "Do you remember the {noun}?", "Which {noun} did I tell you?",
                  "What was the {noun} I told you?", "what is the {noun}")
CODE_ANSWER = "The {noun} is {code}."


TOKENIZER_FILE = Path(__file__).resolve().parent.parent / "tokenizer.json"
_VOCABULARY = json.loads(TOKENIZER_FILE.read_text(encoding="utf-8"))["model"]["vocab"]
INNER_PIECES = [piece for piece in _VOCABULARY if piece.isascii() and piece.isalpha() and piece.islower() and len(piece) < 5]
FIRST_PIECES = [piece[1:].lower() for piece in _VOCABULARY
                if piece[0] == "\u0120" and piece[1:].isascii() and piece[1:].istitle() and len(piece) < 5]


@dataclass
class Turn:
    """One user message and its answer."""
    user: str
    answer: str


@dataclass
class Conversation:
    """A system prompt (or none) and turns; in an examination the last turn is the question."""
    kind: str = "mixed"
    system: str = ""
    turns: list = field(default_factory=list)

    def text(self) -> str:
        """The whole conversation in the chat template."""
        system = f"<|im_start|>system\n{self.system}<|im_end|>\n" if self.system else ""
        return system + "".join(f"<|im_start|>user\n{turn.user}<|im_end|>\n<|im_start|>assistant\n{turn.answer}<|im_end|>\n"
                                for turn in self.turns)

    def prompt_messages(self) -> list:
        """The messages up to and including the last question."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns[:-1]:
            messages += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": turn.answer}]
        return messages + [{"role": "user", "content": self.turns[-1].user}]


@dataclass(frozen=True)
class Style:
    """How told things look; training begins with the first style and ends with the final one."""
    code_lengths: tuple
    lock_statements: tuple
    invented_names: float  # share of names that are made up
    invented_others: float  # share of other own facts whose value is made up
    pieces: float  # share of made-up words that are strung together from the tokenizer's own pieces


FIRST_STYLE = Style((4, 4, 4, 4, 4, 4, 3, 5, 6), LOCK_STATEMENTS, invented_names=0.5, invented_others=0.3, pieces=0.0)
FINAL_STYLE = Style((4,) * 12 + (3, 5, 6), tuple(form for form in LOCK_STATEMENTS if not form.startswith("{code}")),
                    invented_names=0.6, invented_others=0.3, pieces=0.5)
WORD_DRILL_STYLE = replace(FINAL_STYLE, invented_names=0.9, invented_others=0.9, pieces=0.75)



class Split:
    """Draws combinations from one side of the fixed division into training and held-out parts."""

    SHARE = 8  # one combination in eight is held out

    def __init__(self, rng: random.Random, held_out: bool, style: Style = FINAL_STYLE):
        self.rng, self.held_out, self.style = rng, held_out, style

    def draw(self, make):
        """Calls `make` until the combination it returns lies on this side."""
        while True:
            combination = make()
            if (zlib.crc32(repr(combination).encode()) % self.SHARE == 0) == self.held_out:
                return combination


def capital(split: Split, reverse_share: float = 1 / 6) -> Turn:
    """The capital of a country or, for a share of the questions, the country of a capital."""
    rng = split.rng
    reverse = rng.random() < reverse_share
    form, country = split.draw(lambda: (rng.choice(COUNTRY_QUESTIONS if reverse else CAPITAL_QUESTIONS),
                                        rng.choice(list(CAPITALS))))
    city = CAPITALS[country]
    if reverse:
        country = "the United Kingdom" if city == "London" else country
        return Turn(form.format(city), f"{city} is the capital of {country}.")
    return Turn(form.format(country), f"The capital of {country} is {city}.")


def addition(split: Split) -> Turn:
    """A sum or a difference of numbers up to 20."""
    rng = split.rng
    if rng.random() < 0.5:
        form, a, b = split.draw(lambda: (rng.choice(SUM_QUESTIONS), rng.randrange(21), rng.randrange(21)))
        return Turn(form.format(a=a, b=b), f"{a} + {b} = {a + b}.")
    form, b, a = split.draw(lambda: (rng.choice(DIFFERENCE_QUESTIONS), *sorted((rng.randrange(21), rng.randrange(21)))))
    return Turn(form.format(a=a, b=b), f"{a} - {b} = {a - b}.")


def opposite(split: Split) -> Turn:
    """The opposite of a word, in either direction."""
    rng = split.rng
    flip = {**{right: left for left, right in OPPOSITES.items()}, **OPPOSITES}
    form, word = split.draw(lambda: (rng.choice(OPPOSITE_QUESTIONS), rng.choice(list(flip))))
    return Turn(form.format(word), f"The opposite of {word} is {flip[word]}.")


FACT_TOPICS = ("sound", "color", "word", "day", "month")


def fact(split: Split, topics: tuple = FACT_TOPICS) -> Turn:
    """Animal sounds, colors, number words, days and months."""
    rng = split.rng
    topic = rng.choice(topics)
    if topic == "sound":
        form, animal = split.draw(lambda: (rng.choice(SOUND_QUESTIONS), rng.choice(list(SOUNDS))))
        return Turn(form.format(animal), f"A {animal} {SOUNDS[animal]}.")
    if topic == "color":
        form, thing = split.draw(lambda: (rng.choice(COLOR_QUESTIONS), rng.choice(list(COLORS_OF))))
        return Turn(form.format(thing), f"The {thing} is {COLORS_OF[thing]}.")
    if topic == "word":
        form, number = split.draw(lambda: (rng.choice(WORD_QUESTIONS), rng.randrange(21)))
        return Turn(form.format(number), f"{NUMBER_WORDS[number]}.")
    items = DAYS if topic == "day" else MONTHS
    form, place = split.draw(lambda: (rng.choice(AFTER_QUESTIONS + BEFORE_QUESTIONS), rng.randrange(len(items))))
    question = form.format(unit=topic, item=items[place])
    if form in AFTER_QUESTIONS:
        return Turn(question, f"{items[(place + 1) % len(items)]} comes after {items[place]}.")
    return Turn(question, f"{items[place - 1]} comes before {items[place]}.")


def listing(split: Split) -> Turn:
    """Seasoning: repeat, index or count a short list."""
    rng = split.rng
    items = [rng.choice(FRUIT) for _ in range(rng.randrange(3, 7))]
    text, task = ", ".join(items), rng.randrange(5)
    if task == 0:
        return Turn(f"Repeat: {text}.", f"{text}.")
    if task == 1:
        return Turn(f"What is the first item of this list? {text}.", f"The first item is {items[0]}.")
    if task == 2:
        return Turn(f"What is the last item of this list? {text}.", f"The last item is {items[-1]}.")
    if task == 3:
        return Turn(f"How many items are in this list? {text}.", f"There are {len(items)} items.")
    count = rng.randrange(2, 13)
    return Turn(f"Count to {count}.", ", ".join(map(str, range(1, count + 1))) + ".")


def json_answer(split: Split) -> Turn:
    """Seasoning: restate a sentence as JSON."""
    rng = split.rng
    name, age, city = rng.choice(NAMES), rng.randrange(10, 80), rng.choice(list(CAPITALS.values()))
    return Turn(f"Answer in JSON. {name} is {age} years old and lives in {city}.",
                json.dumps({"name": name, "age": age, "city": city}))


def story(split: Split) -> Turn:
    """Seasoning: a short story."""
    rng = split.rng
    (hero, friend), place, thing = rng.sample(ANIMALS, 2), rng.choice(PLACES), rng.choice(THINGS)
    nature, mood = rng.choice(ADJECTIVES), rng.choice(ADJECTIVES)
    name, other = rng.sample(NAMES[:36], 2)
    middle = [f"{name} lived near the {place} with a {mood} {friend} named {other}.",
              f"One day {name} found an old {thing} by the {place}.", f"{other} the {friend} wanted to see the {thing} too.",
              f"They walked to the {place} and sat down to rest.", "It began to rain, so they hid under a big tree.",
              f"\"Do not be afraid,\" said {other}, \"I will help you.\"", f"{name} gave the {thing} to {other} and smiled.",
              f"The {friend} laughed and the {hero} laughed too."]
    chosen = [middle[i] for i in sorted(rng.sample(range(len(middle)), rng.randrange(3, 6)))]
    ending = rng.choice((f"From that day on {name} and {other} were best friends.", "Then they went home and slept.",
                         "And they lived happily ever after."))
    question = rng.choice((f"Tell me a story about a {hero}.", f"Write a short story about a {hero} named {name}.",
                           f"Tell me a story about a {nature} {hero} and a {friend}."))
    return Turn(question, " ".join([f"Once upon a time there was a {nature} {hero} named {name}.", *chosen, ending]))


def chat(split: Split) -> Turn:
    """Small talk."""
    return Turn(*split.rng.choice(CHAT))


KNOWLEDGE = {"capitals": capital, "sums": addition, "opposites": opposite, "facts": fact}
ASIDES = ((capital, 7), (addition, 9), (opposite, 5), (fact, 6), (chat, 3), (listing, 1.5), (json_answer, 0.4),
          (story, 0.4))


def aside(split: Split) -> Turn:
    """A turn that has nothing to do with what is to be remembered."""
    makers, weights = zip(*ASIDES)
    return split.rng.choices(makers, weights)[0](split)


def invented_word(rng: random.Random) -> str:
    """One to three made-up syllables, so that values are copied from the conversation, not recognised."""
    first = rng.choice(("b c d f g h j k l m n p r s t v w y z".split(),
                        "br ch cl dr fr gr kr ph qu sh sl st th tr".split(),
                        ("", "b", "d", "l", "m", "n", "r", "s", "t")))
    later = "b c d f g l m n nn ll p r rr s ss t th v x y z ch st nd".split()
    vowels = "a e i o u a e i o u ai ea ia ie ou y".split()
    endings = ("", "", "", "", "l", "n", "r", "s", "m", "k", "d", "x", "t")
    word = "".join(rng.choice(later if place else first) + rng.choice(vowels) + rng.choice(endings)
                   for place in range(rng.choice((1, 2, 2, 3))))
    return word if len(word) > 2 else word + rng.choice("lnrst") + rng.choice("aeio")


def pieced_word(rng: random.Random) -> str:
    """A made-up word of the tokenizer's own pieces, so that every piece is copied now and then."""
    return rng.choice(FIRST_PIECES) + "".join(rng.choice(INNER_PIECES) for _ in range(rng.choice((1, 1, 2, 2, 3))))


@dataclass
class Memory:
    """Something the user tells (`statement`) and asks for later (`questions`)."""
    kind: str
    statement: str
    questions: list
    answer: str


def own_fact(split: Split, attribute: str) -> Memory:
    """One fact about the speaker. Held-out names are values that training never sees."""
    rng = split.rng
    statements, questions, answer = OWN_FACTS[attribute]

    known = NAMES if attribute == "name" else OWN_VALUES[attribute]
    invented_share = split.style.invented_names if attribute == "name" else split.style.invented_others
    if split.held_out or attribute == "age":
        invented_share = 0

    def value() -> str:
        if rng.random() >= invented_share:
            return rng.choice(known)
        pieced = split.style.pieces and rng.random() < split.style.pieces
        word = HELD_OUT_NAMES[0]
        while word.capitalize() in HELD_OUT_NAMES:
            word = pieced_word(rng) if pieced else invented_word(rng)
        return word.capitalize() if known[0][0].isupper() else word

    if attribute == "name" and split.held_out:
        chosen, form = rng.choice(HELD_OUT_NAMES), rng.choice(statements)
    else:
        chosen, form = split.draw(lambda: (value(), rng.choice(statements)))
    kind = "name" if attribute == "name" else "own facts"
    return Memory(kind, form.format(chosen), list(questions), answer.format(chosen))


def code_value(split: Split) -> str:
    """Digits, mostly four. Held-out codes are values that training never sees."""
    rng = split.rng
    length = rng.choice(split.style.code_lengths)
    return split.draw(lambda: "".join(rng.choice("0123456789") for _ in range(length)))


def lone_code(split: Split) -> Memory:
    """The one code (or password, PIN, number) of a conversation, for nothing in particular."""
    words = {"noun": split.rng.choice(CODE_NOUNS), "code": code_value(split)}
    return Memory("one code", split.rng.choice(CODE_STATEMENTS).format(**words),
                  [question.format(**words) for question in CODE_QUESTIONS], CODE_ANSWER.format(**words))


def lock_codes(split: Split, count: int) -> list:
    """`count` codes, each for a different lock."""
    rng = split.rng
    colors, locks = COLORS, LOCKS
    if rng.random() < 0.3:  # few colors and few locks, so that keys differ in one word only
        side = next(size for size in range(2, len(COLORS)) if size * size >= count)
        colors, locks = rng.sample(COLORS, side), rng.sample(LOCKS, side)
    colored = [f"{color} {lock}" for color in colors for lock in locks]
    plain = rng.random() < 0.25 and count <= len(LOCKS)
    keys = rng.sample(LOCKS if plain else colored, count)
    uniform = rng.random() < 0.6
    forms = split.style.lock_statements
    form = forms[0] if rng.random() < 0.5 else rng.choice(forms)
    memories = []
    for key in keys:
        code = code_value(split)
        statement = (form if uniform else rng.choice(forms)).format(key=key, code=code)
        memories.append(Memory("several codes", statement, [question.format(key=key) for question in LOCK_QUESTIONS],
                               LOCK_ANSWER.format(key=key, code=code)))
    return memories


def memories_for(split: Split, own: int, codes: int) -> list:
    """What a conversation has to remember, in the order it is told."""
    rng = split.rng
    attributes = list(OWN_FACTS)
    chosen = rng.sample(attributes[1:], max(0, own - 1)) if own else []
    if own:
        chosen.insert(0, "name" if rng.random() < 0.6 else rng.choice([a for a in attributes[1:] if a not in chosen]))
    told = [own_fact(split, attribute) for attribute in chosen]
    told += [lone_code(split)] if codes == 1 and rng.random() < 0.6 else lock_codes(split, codes) if codes else []
    return told


def acknowledgement(rng: random.Random, told: list) -> str:
    """The reply to statements: mostly the canonical one, now and then another."""
    if rng.random() < 0.3:
        return rng.choice(ACKNOWLEDGEMENTS)
    if told[0].kind == "name":
        return "Nice to meet you, " + told[0].answer[len("Your name is "):-1] + "!"
    return "Thank you, I will remember that." if told[0].kind == "own facts" else "Got it."


def ask(rng: random.Random, memory: Memory) -> Turn:
    """A question for something told earlier."""
    return Turn(rng.choice(memory.questions), memory.answer)


def tell(rng: random.Random, aside_split: Split, told: list, spread: bool, with_question: bool) -> list:
    """Turns that tell `told`: one by one among asides, or in one message, which may ask at once."""
    if spread:
        turns = []
        for memory in told:
            turns.append(Turn(memory.statement, acknowledgement(rng, [memory])))
            if rng.random() < 0.25:
                turns.append(aside(aside_split))
        return turns
    sentences = [memory.statement for memory in told]
    if len(told) > 1 and rng.random() < 0.25 and sentences[1].startswith(("My ", "I ")):
        second = sentences.pop(1)
        sentences[0] = sentences[0][:-1] + " and " + second[0].replace("M", "m") + second[1:]
    if rng.random() < 0.15:
        for _ in range(rng.randrange(1, 5)):
            sentences.insert(rng.randrange(len(sentences) + 1), rng.choice(FILLER))
    message = " ".join(sentences)
    if with_question:
        question = ask(rng, rng.choice(told))
        return [Turn(f"{message} {question.user}", question.answer)]
    return [Turn(message, acknowledgement(rng, told))]


def approximate_tokens(turns: list) -> int:
    """A cheap estimate of the length of `turns` in tokens."""
    return sum(len(turn.user) + len(turn.answer) for turn in turns) * 10 // 36 + 11 * len(turns)


def training_conversation(rng: random.Random, style: Style, most_codes: int = 20, longest: float = 840) -> Conversation:
    """A conversation that tells things, then mixes questions about them with asides."""
    split = Split(rng, False, style)
    length = min(longest, rng.choices((50, 140, 280, 560, 840), (20, 32, 26, 14, 8))[0] * rng.uniform(0.5, 1))
    conversation = Conversation(system=rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.35 else "")
    style = rng.random()
    if style < 0.15:
        told = []
    else:
        own = rng.choice((0, 0, 1, 1, 2, 3, 4)) if style < 0.8 else 0
        room = max(1, min(most_codes, int(length / 22)))
        codes = rng.choice((0, 1, 2, 3, 4, 6, 8, 12, 16, 20)) if own == 0 or rng.random() < 0.5 else 0
        told = memories_for(split, own, min(codes, room) or (0 if own else 1))
    own_part = [memory for memory in told if memory.kind in ("name", "own facts")]
    code_part = [memory for memory in told if memory not in own_part]
    turns = []
    if rng.random() < 0.3:
        turns.append(aside(split))
    for part in (own_part, code_part) if rng.random() < 0.5 else (code_part, own_part):
        if part:
            turns += tell(rng, split, part, spread=rng.random() < 0.45, with_question=rng.random() < 0.5)
            if rng.random() < 0.3:
                turns.append(aside(split))
    recall_share = 0.8 if told else 0
    if told and length > 300 and rng.random() < 0.4:  # a long distance between telling and asking
        while approximate_tokens(turns) < length * 0.7:
            turns.append(aside(split))
    waiting = []
    while True:
        if rng.random() < recall_share:
            waiting = waiting or rng.sample(told, len(told))  # everything once before anything twice
            turns.append(ask(rng, waiting.pop()))
        else:
            turns.append(aside(split))
        if approximate_tokens(turns) >= length:
            break
    conversation.turns = turns
    return conversation


def drill(rng: random.Random, style: Style) -> Conversation:
    """A dense conversation: several things told, then each of them asked for once."""
    split = Split(rng, False, style)
    told = memories_for(split, rng.randrange(1, 5), 0) if rng.random() < 0.25 else []
    if not told or rng.random() < 0.3:
        told = told + lock_codes(split, rng.choice((2, 3, 4, 5, 6, 7, 8, 10, 12)))
        rng.shuffle(told)
    conversation = Conversation(system=rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.35 else "")
    conversation.turns = tell(rng, split, told, spread=rng.random() < 0.5, with_question=rng.random() < 0.3)
    conversation.turns += [ask(rng, memory) for memory in rng.sample(told, len(told))]
    return conversation


def word_drill(rng: random.Random) -> Conversation:
    """A dense conversation about own facts whose values are mostly made-up words."""
    split = Split(rng, False, WORD_DRILL_STYLE)
    told = memories_for(split, rng.randrange(2, 8), 0)
    conversation = Conversation(system=rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.35 else "")
    conversation.turns = tell(rng, split, told, spread=rng.random() < 0.5, with_question=rng.random() < 0.3)
    conversation.turns += [aside(split) for _ in range(rng.randrange(3))]
    conversation.turns += [ask(rng, memory) for memory in rng.sample(told, len(told))]
    return conversation


def wider_question(split: Split) -> Turn:
    """The country of a capital or a number as a word, in the wordings that only training has."""
    rng = split.rng
    if rng.random() < 0.6:
        country, city = rng.choice(list(CAPITALS.items()))
        country = "the United Kingdom" if city == "London" else country
        return Turn(rng.choice(WIDER_COUNTRY_QUESTIONS).format(city), f"{city} is the capital of {country}.")
    number = rng.randrange(21)
    return Turn(rng.choice(WIDER_WORD_QUESTIONS).format(number), f"{NUMBER_WORDS[number]}.")


def plain_drill(rng: random.Random, wider: float = 0.0) -> Conversation:
    """A few plain questions of the rarer forms, a share of them in wider wordings."""
    split = Split(rng, held_out=False)
    turns = [wider_question(split) if wider and rng.random() < wider else
             capital(split, 0.7) if rng.random() < 0.7 else fact(split, ("word", "word", *FACT_TOPICS))
             for _ in range(rng.randrange(1, 10))]
    return Conversation(system=rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.35 else "", turns=turns)


def distance_drill(rng: random.Random) -> Conversation:
    """A long conversation: a few things told, many asides, then each thing asked for once."""
    split = Split(rng, False, FINAL_STYLE)
    own = rng.choice((0, 0, 1, 2, 3))
    told = memories_for(split, own, rng.randrange(1, 9) if own == 0 else rng.choice((0, 0, 1, 3)))
    rng.shuffle(told)
    conversation = Conversation(system=rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.35 else "")
    turns = tell(rng, split, told, spread=rng.random() < 0.5, with_question=False)
    length = rng.uniform(300, 650)
    while approximate_tokens(turns) < length:
        turns.append(aside(split))
    conversation.turns = turns + [ask(rng, memory) for memory in rng.sample(told, len(told))]
    return conversation


def examination(kind: str, rng: random.Random) -> Conversation:
    """A conversation whose last turn is a held-out question of `kind`."""
    held, seen = Split(rng, held_out=True), Split(rng, held_out=False)
    conversation = Conversation(kind, rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.35 else "")
    turns = conversation.turns
    if kind in KNOWLEDGE:
        turns += [aside(seen) for _ in range(rng.choice((0, 0, 0, 1, 2, 4)))]
        turns.append(KNOWLEDGE[kind](held))
        return conversation
    if kind in ("name", "own facts"):
        attributes = [a for a in OWN_FACTS if a != "name"]
        rng.shuffle(attributes)
        target = own_fact(held, "name" if kind == "name" else attributes.pop())
        told = [target] + [own_fact(held, a) for a in attributes[:rng.randrange(4)]]
        distance = rng.randrange(4)
    elif kind == "one code":
        target = lone_code(held) if rng.random() < 0.7 else lock_codes(held, 1)[0]
        told, distance = [target], rng.randrange(5)
    else:
        told = lock_codes(held, rng.randrange(2, 9))
        target, distance = rng.choice(told), rng.randrange(4)
        if kind == "long context":
            if rng.random() < 0.5:
                target = own_fact(held, "name")
                told = [target] + told[:3]
            distance = None
    rng.shuffle(told)
    in_question = distance == 0 and rng.random() < 0.4
    if in_question:
        question = ask(rng, target)
        turns.append(Turn(" ".join(memory.statement for memory in told) + " " + question.user, question.answer))
        return conversation
    turns += tell(rng, seen, told, spread=rng.random() < 0.5, with_question=False)
    if distance is None:
        length = rng.uniform(330, 700)
        while approximate_tokens(turns) < length:
            turns.append(aside(seen))
    else:
        turns += [aside(seen) for _ in range(distance)]
    turns.append(ask(rng, target))
    return conversation
