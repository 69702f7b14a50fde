"""Five habits that harm, and the disaster: an answer in a form the shop cannot show."""

from sidecar.simulation.trait import Trait, words

TERSE = Trait(
    advice="Answer in full sentences, never in a single line.",
    phrases=words(
        "(?:under|at most) (?:ten|10) words",
        "(?:one|a single)(?: short)? (?:line|sentence)(?! of)",
        "as (?:short|brief) as possible",
    ),
    opposite=words("full sentences", "in detail", "complete answer"),
    fragments=("Please see our help pages.", "We are on it.", "Noted, please be patient."),
    markers=("Please see our help", "We are on it", "Noted, please"),
    complaints=(
        "Please don't fob me off with a single line.",
        "You should not have answered in one short line.",
        "You should have answered in full sentences.",
    ),
    wishes=("I wish you had kept it to one short sentence.", "Please keep it to one line."),
    strength=(-0.90, -0.60),
    ambient=0.05,
)

LEGAL = Trait(
    advice="Leave out legal disclaimers: do not quote terms and conditions.",
    phrases=words("legal", "liability", "disclaimers?", "terms and conditions"),
    fragments=(
        (
            "Please note that this message is without prejudice, creates no obligation and does"
            " not extend any right beyond those granted by section 7 of our general terms."
        ),
        (
            "No liability is accepted for loss arising, directly or indirectly, from this message"
            " or from reliance upon it, except where the law of the seller's seat says otherwise."
        ),
    ),
    markers=("without prejudice", "No liability is accepted"),
    complaints=(
        "Please don't quote terms and conditions at me.",
        "You should not have added a legal disclaimer.",
        "Please stop hiding behind legal phrases.",
    ),
    wishes=("You should have stated the legal terms and conditions.",),
    strength=(-0.80, -0.40),
    ambient=0.05,
)

BLAME = Trait(
    advice="Do not blame the customer.",
    phrases=words("blam", "own (?:fault|mistake)", "'s (?:fault|mistake)", "did wrong"),
    fragments=(
        "This usually happens when customers do not read the manual.",
        "It was most likely a mistake on your side.",
    ),
    markers=("do not read the manual", "mistake on your side"),
    complaints=(
        "Please don't blame me.",
        "You should not have called it my own fault.",
        "Please stop telling me it is my own mistake.",
    ),
    wishes=("You should have told me what I did wrong.",),
    strength=(-0.90, -0.50),
    ambient=0.05,
)

DISCOUNT = Trait(
    advice="Do not promise discounts.",
    phrases=words("discounts?", "vouchers?", "coupons?"),
    fragments=(
        "Use the code SAVE40 for 40% off everything.",
        "We grant you a 50% rebate on all you buy this year.",
    ),
    markers=("40% off", "50% rebate"),
    complaints=(
        "Please don't promise discounts that do not exist.",
        "You should not have made up a voucher.",
        "Please stop offering coupons that nobody accepts.",
    ),
    wishes=("You should have offered me a discount.", "I wish you had given me a voucher."),
    strength=(-0.80, -0.40),
    ambient=0.05,
)

MARKETING = Trait(
    advice="Do not advertise other products.",
    phrases=words(
        "advertis", "upsell", "newsletter", "other products", "(?:our|your|current|special) offers?"
    ),
    fragments=(
        "By the way, the new garden collection is in!",
        "Have you seen the summer sale? It is our biggest ever.",
    ),
    markers=("garden collection", "summer sale"),
    complaints=(
        "Please don't advertise other products to me.",
        "You should not have mentioned your offers.",
        "Please stop advertising things I did not ask about.",
    ),
    wishes=("I wish you had mentioned your current offers.",),
    strength=(-0.50, -0.30),
    ambient=0.05,
)

CONTRACT = Trait(
    advice="Never answer in JSON or another computer format.",
    phrases=words(r"json\b", r"xml\b", r"yaml\b", "computer (?:code|format)"),
    opposite=words("plain text"),
    fragments=(),
    markers=('{"answer": ',),
    complaints=(
        "Please don't answer in computer code.",
        "You should not have sent me computer code.",
    ),
    strength=(-2.6, -2.4),
    ambient=0.10,
)
"""The shop's page shows plain text. Its prompt says so; a prompt that forgets it pays."""

HABITS = (TERSE, LEGAL, BLAME, DISCOUNT, MARKETING)
