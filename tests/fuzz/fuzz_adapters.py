"""Coverage-guided fuzzing of every adapter, by hand, with `atheris` in an environment of its own:

    PYTHONPATH=.:tests python tests/fuzz/fuzz_adapters.py -max_total_time=300 [CORPUS]

The first byte picks a documented payload's kind, options and headers; the rest is the body. A crash
is a broken law (see tests/support/adapter_laws.py). `--seed CORPUS` writes the documented payloads
there, to begin with.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sidecar.feedback"]):
    from support.adapter_laws import obeyed
    from support.webhooks import SAMPLES

    from sidecar.feedback.adapters.base import Webhook


def one_input(data: bytes) -> None:
    if not data:
        return
    sample = SAMPLES[data[0] % len(SAMPLES)]
    obeyed(sample.kind, Webhook(sample.webhook().headers, data[1:]), sample.options)


def seed(corpus: str) -> None:
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(SAMPLES):
        (folder / f"sample-{number}").write_bytes(bytes([number]) + sample.webhook().body)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seed"]:
        seed(sys.argv[2])
    else:
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
