"""Coverage-guided fuzzing of the verifiers, by hand, with `atheris` in an environment of its own:

    PYTHONPATH=. python tests/fuzz/fuzz_signatures.py -max_total_time=300

Each input makes one delivery: a signed one of some scheme, of which some parts are then replaced,
cut, repeated or changed by a bit; or one with headers of any bytes. Found is an error other than
the two refusals, a refusal that is neither 400 nor 401, and above all a delivery that is accepted
though what was signed, or its signature, is not what the sender wrote.
"""

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["sidecar.feedback"]):
    from sidecar.errors import InvalidRequest, InvalidSignature
    from sidecar.feedback.signatures.base import Delivery
    from sidecar.feedback.signatures.verifier import Verifier
    from sidecar.settings import SourceSettings

NOW = 1_795_000_000
SECRETS = {
    "standard": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_" + "QUJD" * 10 + "QUI="],
    "basic": ["user:password-of-the-user"],
    **{
        name: ["0123456789abcdef0123456789abcdef", "another secret, in use too"]
        for name in ("slack", "stripe", "zendesk", "github", "intercom", "bearer")
    },
}
NAMES = list(SECRETS)
UNSIGNED = frozenset({"bearer", "basic"})
"""Their deliveries are not bound to a body; and `Bearer` may be written in any case."""


def _verifiers(name: str) -> list[Verifier]:
    """With either secret first, which is the one that signs; both verify."""
    orders = [SECRETS[name], SECRETS[name][::-1]]
    return [
        Verifier.of(SourceSettings(name="fuzz", signature=name, secrets=tuple(order)))
        for order in orders
    ]


VERIFIERS = {name: _verifiers(name) for name in NAMES}


def one_input(data: bytes) -> None:
    """Judge the delivery that these bytes make."""
    provider = atheris.FuzzedDataProvider(data)
    name = provider.PickValueInList(NAMES)
    verifier = VERIFIERS[name][provider.ConsumeBool()]
    body = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 64))
    written = verifier.sign(body, NOW, "msg_1")
    headers = {header: [value] for header, value in written.items()}
    sent = body
    for _ in range(provider.ConsumeIntInRange(0, 4)):
        header = provider.PickValueInList([*written, "body"])
        if header == "body":
            sent = _changed(provider, sent.decode("latin-1")).encode("latin-1", "replace")
        else:
            headers[header] = _values(provider, headers[header])
    now = NOW + provider.ConsumeIntInRange(-400, 400)
    taken = _taken(verifier, Delivery(headers, sent), now)
    same = sent == body and headers == {header: [value] for header, value in written.items()}
    if taken and not (sent == body and _holds(written, headers)) and name not in UNSIGNED:
        raise AssertionError(f"{name}: accepted what was not signed: {headers} {sent!r}")
    if not taken and same and (abs(now - NOW) <= verifier.terms.tolerance):
        raise AssertionError(f"{name}: refused what was signed: {headers} {sent!r}")


def _holds(written: dict[str, str], headers: dict[str, list[str]]) -> bool:
    """Whether all that the sender wrote is there, once; beside a signature there may be others."""
    return all(
        len(headers[header]) == 1 and _parts(value) <= _parts(headers[header][0])
        for header, value in written.items()
    )


def _parts(value: str) -> set[str]:
    separator = "," if value.startswith("t=") else " "
    return set(value.split(separator))


def _taken(verifier: Verifier, delivery: Delivery, now: float) -> bool:
    try:
        verifier.verify(delivery, now)
    except (InvalidRequest, InvalidSignature) as error:
        if error.status not in {400, 401}:
            raise AssertionError(f"refused with {error.status}") from error
        return False
    return True


def _values(provider: atheris.FuzzedDataProvider, values: list[str]) -> list[str]:
    """Other values for a header: changed, repeated, none."""
    kind = provider.ConsumeIntInRange(0, 9)
    if kind == 0:
        return []
    if kind == 1:
        return values * 2
    return [_changed(provider, value) for value in values]


def _changed(provider: atheris.FuzzedDataProvider, text: str) -> str:
    """The text, otherwise."""
    place = provider.ConsumeIntInRange(0, len(text))
    some = provider.ConsumeUnicode(provider.ConsumeIntInRange(0, 12))
    changes: list[Callable[[], str]] = [
        lambda: some,
        lambda: text[:place] + some + text[place:],
        lambda: text[:place] + text[place + 1 :],
        lambda: text[:place] + some + text[place + len(some) :],
        text.swapcase,
        lambda: f"{text[:500]} {text}",
        lambda: f"{text[:500]},{text}",
        lambda: text[:50] * 100,
        lambda: text[:place] + _flipped(text[place : place + 1]) + text[place + 1 :],
    ]
    return changes[provider.ConsumeIntInRange(0, len(changes) - 1)]()


def _flipped(letter: str) -> str:
    return chr(ord(letter) ^ 1) if letter else ""


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
