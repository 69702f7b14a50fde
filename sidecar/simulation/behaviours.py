"""Ten behaviours that help, each on some topics."""

from sidecar.simulation.trait import Trait, words

_USUAL = (0.24, 0.50)

APOLOGY = Trait(
    advice="Apologise first for the trouble.",
    phrases=words(r"apologi[sz]", "apology", "apologies", "sorry"),
    fragments=(
        "We are sorry for the trouble.",
        "I apologise for what happened.",
        "Please accept our apologies for this.",
    ),
    markers=("sorry for the", "I apologise", "our apologies"),
    complaints=(
        "You never apologised for the trouble.",
        "You should have apologised first.",
        "I wish you had said sorry for the trouble.",
    ),
    strength=_USUAL,
    topics=("delivery", "damage", "billing", "account"),
)

SUMMARY = Trait(
    advice="Sum up the customer's problem in one sentence of your own before you answer.",
    phrases=words(
        r"(?:sum up|summari[sz]e|repeat|restate)\b.{0,40}(?:problem|question|issue|concern)"
    ),
    fragments=(
        "If I understand you right, something did not go as planned.",
        "So the question is how we get this right for you.",
        "To sum up what you told us: this still needs an answer.",
    ),
    markers=("If I understand you", "So the question is", "To sum up what"),
    complaints=(
        "You never summed up my problem.",
        "You should have repeated my problem back to me.",
        "I wish you had restated my problem first.",
    ),
    strength=_USUAL,
    topics=("advice", "account", "billing", "damage"),
)

PLAIN_WORDS = Trait(
    advice="Use plain words.",
    phrases=words("(?:plain|simple|everyday) (?:words|language|english)"),
    opposite=words("jargon", "technical terms"),
    fragments=(
        "Put simply, nothing is lost and it can be solved.",
        "In plain words: we know what to do about this.",
        "Said simply, you do not have to understand our systems for this.",
    ),
    markers=("Put simply", "In plain words", "Said simply"),
    complaints=(
        "I wish you had used plain words.",
        "You should have explained it in plain words.",
        "Please don't use so much jargon.",
    ),
    strength=_USUAL,
    topics=("billing", "account", "advice"),
)

STEPS = Trait(
    advice="Give numbered steps that say what to do.",
    phrases=words("numbered (?:steps|list)", "steps to", "(?<!think )step by step"),
    fragments=(
        "1. Open your profile. 2. Choose the item. 3. Follow the instructions.",
        "1. Reply to this message. 2. Wait for our mail. 3. Confirm what it says.",
        "1. Take a photo. 2. Upload it. 3. We do the rest.",
    ),
    markers=("1. ",),
    complaints=(
        "You should have given me numbered steps.",
        "I wish you had listed the steps to follow.",
        "You never explained it to me step by step.",
    ),
    strength=_USUAL,
    topics=("returns", "account", "damage"),
)

LINK = Trait(
    advice="Include a link to the right page.",
    phrases=words(r"links?\b", r"url\b", "web page", "help page"),
    fragments=(
        "Here is the right page: https://fernhill.example/help",
        "All of it stands on https://fernhill.example/service",
        "Go to https://fernhill.example/my for that.",
    ),
    markers=("https://",),
    complaints=(
        "You never gave me a link to the right page.",
        "You should have sent me the link.",
        "I wish you had included a link.",
    ),
    strength=_USUAL,
    topics=("returns", "account", "advice", "delivery"),
)

REFUND_WINDOW = Trait(
    advice="State the refund window in days.",
    phrases=words(
        r"how (?:long|many days)\b.{0,40}(?:refund|return)",
        "(?:refund|return) (?:window|period|deadline)",
    ),
    fragments=(
        "You have 30 days from delivery to claim your money.",
        "Anything can come back within 30 days.",
        "Our limit is 30 days, counted from the day it arrived.",
    ),
    markers=("30 days",),
    complaints=(
        "You never told me how long I have to get a refund.",
        "You should have stated the refund window.",
        "I wish you had mentioned how many days I have for a refund.",
    ),
    strength=_USUAL,
    topics=("returns", "damage", "advice"),
)

COST = Trait(
    advice="Say what it will cost the customer.",
    phrases=words(
        "(?:what|how much) .{0,20}costs?", "who pays", r"the costs?\b", r"fees?\b", "free of charge"
    ),
    fragments=(
        "This costs you nothing.",
        "There is no charge for you, we pay the postage.",
        "It is free for you.",
    ),
    markers=("costs you nothing", "no charge for you", "free for you"),
    complaints=(
        "You never said what it would cost me.",
        "You should have told me who pays the return costs.",
        "I wish you had mentioned the costs.",
    ),
    strength=_USUAL,
    topics=("returns", "damage", "delivery", "billing"),
)

ORDER_NUMBER = Trait(
    advice="Ask for the order number.",
    phrases=words("order (?:number|reference|no\\b)", "which order"),
    fragments=(
        "Could you send me your order number so that I can look it up?",
        "What is the order number? It stands in your confirmation.",
        "Please reply with the order number.",
    ),
    markers=("order number",),
    complaints=(
        "You never asked for my order number.",
        "You should have asked me for the order number.",
        "I wish you had checked which order it is.",
    ),
    strength=_USUAL,
    topics=("delivery", "returns", "billing", "damage"),
)

FOLLOW_UP = Trait(
    advice="Say when the customer will hear back.",
    phrases=words("hear back", "hear from us", "get back to", "expect (?:a reply|an answer|news)"),
    fragments=(
        "You will hear from us by tomorrow noon.",
        "We get back to you within a day.",
        "Our next message reaches you by tonight.",
    ),
    markers=("hear from us by", "get back to you within", "next message reaches you"),
    complaints=(
        "You never said when I would hear back.",
        "You should have told me when I can expect to hear back.",
        "I wish you had named a time by which I hear back.",
    ),
    strength=_USUAL,
    topics=("delivery", "billing", "damage"),
)

HUMAN = Trait(
    advice="Offer to put the customer through to a person.",
    phrases=words(r"human\b", r"person\b", "colleague", "member of staff"),
    fragments=(
        "If you would rather talk to a person, reply CALL.",
        "A colleague can take over at any time.",
        "You can also ring our staff until eight.",
    ),
    markers=("talk to a person", "colleague can take", "ring our staff"),
    complaints=(
        "You never offered to put me through to a person.",
        "You should have offered me a person to talk to.",
        "I wish you had named a person I can call.",
    ),
    strength=_USUAL,
)

BEHAVIOURS = (
    APOLOGY,
    SUMMARY,
    PLAIN_WORDS,
    STEPS,
    LINK,
    REFUND_WINDOW,
    COST,
    ORDER_NUMBER,
    FOLLOW_UP,
    HUMAN,
)
