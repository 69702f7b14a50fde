"""The recipes in the documentation give the fingerprint that we work out ourselves."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.fingerprint import fingerprint

PAGE = Path(__file__).parents[2] / "docs" / "feedback-from-pages.md"
BLOCKS = re.findall(r"```(js|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
RECIPES = {language: block for language, block in BLOCKS if "fingerprint(text)" in block}
ODD = (
    "a\t\n\v\f\r \x1c\x1f\x85\xa0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
    "e\u0301ﬁ"
)
TEXTS = ["Yes.", "  Grüße,\r\nwelt\u00a0! 😀 ", ODD, *(f" {c}b{c} " for c in ODD)]


@pytest.fixture(scope="module")
def in_python():
    names: dict[str, object] = {}
    exec(RECIPES["python"], names)
    return names["fingerprint"]


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])).filter(fingerprint))
def test_in_python(in_python, text):
    assert in_python(text) == fingerprint(text)


@pytest.mark.parametrize("text", TEXTS)
def test_in_python_with_odd_white_space(in_python, text):
    assert in_python(text) == fingerprint(text)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_in_javascript():
    program = (
        f"{RECIPES['js']}\nPromise.all({json.dumps(TEXTS)}.map(fingerprint))"
        ".then((found) => console.log(JSON.stringify(found)));"
    )
    ran = subprocess.run(
        [shutil.which("node") or "", "-e", program], capture_output=True, timeout=30, check=True
    )
    assert json.loads(ran.stdout) == [fingerprint(text) for text in TEXTS]
