"""What customers of Fernhill, an online shop for home and garden, write about.

Each topic has words of its own, so that a bag of words tells the topics apart. `{name}`-like slots
are filled from `SLOTS` by whoever plays the customer.
"""

from dataclasses import dataclass
from random import Random

SLOTS: dict[str, tuple[str, ...]] = {
    "name": (
        "Ada", "Bo", "Cleo", "Dev", "Ewa", "Finn", "Gita", "Hugo", "Ines", "Jun", "Kaya", "Lars",
    ),
    "item": (
        "rain barrel", "hedge trimmer", "oak bench", "desk lamp", "wool rug", "watering can",
        "bird feeder", "folding chair", "lantern", "herb planter", "tool belt", "patio heater",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "last week"),
    "city": ("Leeds", "Cork", "Bristol", "Glasgow", "Dover", "Cardiff", "York", "Galway"),
    "card": ("Visa", "Mastercard", "PayPal", "debit card", "gift card"),
    "colour": ("green", "grey", "red", "white", "blue", "walnut"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of question."""

    name: str
    words: tuple[str, ...]
    """By which a reader recognises the topic."""
    answer: str
    """What any reply says about it, good or bad."""
    templates: tuple[str, ...]
    follow_ups: tuple[str, ...]

    def question(self, rng: Random) -> str:
        """A customer's first message, signed: hardly ever do two customers write the same."""
        signature = f"{rng.choice(SLOTS['name'])}, customer {rng.randrange(10**6)}"
        return f"{_fill(rng.choice(self.templates), rng)} {signature}"

    def follow_up(self, rng: Random) -> str:
        """A second message, after an answer."""
        return _fill(rng.choice(self.follow_ups), rng)


def _fill(template: str, rng: Random) -> str:
    values = {slot: rng.choice(options) for slot, options in SLOTS.items()}
    return template.format(amount=rng.randrange(8, 400), number=rng.randrange(10**5), **values)


TOPICS: tuple[Topic, ...] = (
    Topic(
        "delivery",
        ("parcel", "courier", "tracking", "shipped", "delivery"),
        "The courier has the parcel and we are checking where it is.",
        (
            "My parcel with the {item} was due on {day} and the courier never came to {city}.",
            "Tracking {number} has said 'in transit' since {day}. Where is my {item}?",
            "The courier claims the parcel was left in {city}, but nothing is on my doorstep.",
            "Has the {item} been shipped yet? Delivery was promised for {day}.",
            "Parcel {number} went to {city} instead of my home. Can the courier bring it back?",
            "Hi, {name} here. The delivery slot on {day} passed and no courier rang.",
            "I paid for express delivery of a {item} and it still has not shipped.",
            "The tracking page for parcel {number} shows an error. When will the van arrive?",
        ),
        ("And if the courier misses me again on {day}?", "Can the parcel go to {city} instead?"),
    ),
    Topic(
        "returns",
        ("return", "refund", "send it back", "exchange", "money back"),
        "An item that you do not want to keep can come back to our warehouse.",
        (
            "I want to return the {item}, it does not suit my garden. Label {number} is missing.",
            "How do I send it back? The {colour} {item} is unused and still wrapped.",
            "I returned a {item} on {day} and the refund has not reached me.",
            "Can I exchange the {colour} {item} for a {number} series one and keep the box?",
            "I would like my money back for the {item} that I bought in {city}.",
            "{name} again: refund of {amount} pounds still open after my return on {day}.",
            "Is a return possible without the original box? It is the {colour} {item}.",
            "I changed my mind about the {item}. Do I get a refund or store credit of {amount}?",
        ),
        ("And can I return it in {city}?", "Does the refund go back to my {card}?"),
    ),
    Topic(
        "billing",
        ("charged", "invoice", "payment", "bank statement", "billed"),
        "We have looked at the payment and compare it with the invoice.",
        (
            "My {card} was charged {amount} pounds twice on {day}.",
            "Invoice {number} shows {amount} pounds, but I agreed to less.",
            "My bank statement lists a payment of {amount} to Fernhill that I do not know.",
            "The payment by {card} failed and yet I was billed {amount} pounds.",
            "I need a corrected invoice {number} with my company name, {name} Ltd.",
            "Why was I charged {amount} pounds before anything left the warehouse?",
            "The {card} payment hangs at 'pending' since {day}, invoice {number}.",
            "You billed me {amount} in the wrong currency, says my bank statement.",
        ),
        ("Will my {card} be charged again?", "Can the invoice carry the date of {day}?"),
    ),
    Topic(
        "account",
        ("password", "log in", "account", "e-mail address", "verification"),
        "Your account is safe and can be opened again.",
        (
            "I cannot log in since {day}, the password reset never arrives for {name}{number}.",
            "My account {number} is locked after three attempts with the wrong password.",
            "How do I change the e-mail address of my account from {name}{number} to a new one?",
            "The verification code for the login never reaches my phone ending in {number}.",
            "Somebody in {city} seems to use my account, I got a login warning on {day}.",
            "Please close account {number} and erase my profile. I have not used it since {day}.",
            "The app logs me out whenever I enter my password. User {name}{number}.",
            "I have two accounts, {name} and {name}{number}. Can the logins be merged?",
        ),
        ("And if the password mail lands in spam?", "Does that log out my phone in {city} too?"),
    ),
    Topic(
        "damage",
        ("broken", "cracked", "scratched", "faulty", "missing part"),
        "A product that arrives in this state is not what we want to sell.",
        (
            "The {item} arrived cracked right through the middle, batch {number}.",
            "One leg of the {colour} {item} is broken and the screws do not fit.",
            "The {item} is faulty: it stopped working on {day} after an hour.",
            "There is a missing part, bag {number}, so I cannot assemble the {item}.",
            "The {colour} paint of the {item} is scratched all over. Very disappointed, {name}.",
            "Glass was broken inside the box of the {item} when I opened it on {day}.",
            "The motor of the {item} smells burnt and is clearly faulty. Serial {number}.",
            "Half the {item} is bent and cracked. I have {number} photos if you need them.",
        ),
        ("Do I keep the broken one until {day}?", "And is the faulty {item} dangerous?"),
    ),
    Topic(
        "advice",
        ("recommend", "which size", "suitable", "compare", "material"),
        "That depends on where it stands and how you use it.",
        (
            "Which size of {item} is suitable for a balcony of {number} square centimetres?",
            "Can you compare the {colour} {item} with model {number}? I cannot decide.",
            "Is the material of the {item} suitable for frost in {city}?",
            "Would you recommend the {item} for two small children? Budget {amount} pounds.",
            "What material is the {colour} {item} made of, and does it fade in the sun?",
            "Which size fits under a window sill of {amount} centimetres, for my {item}?",
            "Do you recommend oil or varnish for the {item}, model {number}?",
            "Is model {number} suitable for hard water like ours in {city}?",
        ),
        ("And which size in {colour}?", "Is it suitable for winter in {city} too?"),
    ),
)


def topic_of(message: str) -> Topic | None:
    """The topic a reader takes a message to be about."""
    text = message.lower()
    return next((topic for topic in TOPICS if any(word in text for word in topic.words)), None)
