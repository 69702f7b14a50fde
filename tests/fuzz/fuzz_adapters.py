"""Coverage-guided fuzzing of every adapter, by hand, with `atheris` in an environment of its own:

    PYTHONPATH=.:tests python tests/fuzz/fuzz_adapters.py -max_total_time=300 [CORPUS]

The first byte picks a documented payload's kind, options and headers. If it is even, the rest is
the body; if it is odd, the rest says what is changed at which places of the documented one. A crash
is a broken law (see tests/support/adapter_laws.py). `--seed CORPUS` writes the documented payloads
there, to begin with.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sidecar.feedback"]):
    from support.adapter_laws import changed, obeyed, places
    from support.webhooks import SAMPLES

    from sidecar.feedback.adapters.base import Webhook


def one_input(data: bytes) -> None:
    if not data:
        return
    sample = SAMPLES[data[0] // 2 % len(SAMPLES)]
    if data[0] % 2:
        webhook = sample.webhook(mutated(sample.body, atheris.FuzzedDataProvider(data[1:])))
    else:
        webhook = Webhook(sample.webhook().headers, data[1:])
    obeyed(sample.kind, webhook, sample.options)


def mutated(body, choice):
    """The body with up to four places changed."""
    for _ in range(choice.ConsumeIntInRange(1, 4)):
        where = choice.PickValueInList(list(places(body)))
        body = changed(body, where, leaf(choice) if choice.ConsumeIntInRange(0, 5) else ...)
    return body


def leaf(choice):
    kinds = [
        lambda: choice.PickValueInList([None, True, False, [], {}, [[]], {"": 0}, [{}, None]]),
        lambda: choice.ConsumeInt(20),
        choice.ConsumeRegularFloat,
        lambda: [choice.ConsumeUnicode(4), leaf(choice)],
        lambda: {choice.ConsumeUnicode(4): leaf(choice)},
        lambda: choice.ConsumeUnicode(40),
    ]
    return choice.PickValueInList(kinds)()


def seed(corpus: str) -> None:
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(SAMPLES):
        (folder / f"sample-{number}").write_bytes(bytes([number * 2]) + sample.webhook().body)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seed"]:
        seed(sys.argv[2])
    else:
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
