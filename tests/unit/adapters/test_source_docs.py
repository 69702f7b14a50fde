"""The page on sources: every kind has a section, and every example passes its check."""

import re
import tomllib
from pathlib import Path

import pytest

from sidecar.feedback.adapters.registry import ADAPTERS

PAGE = (Path(__file__).parents[3] / "docs" / "feedback-sources.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_example_of_every_kind_passes_its_check(kind):
    [example] = re.findall(r"```toml\n(.*?)```", SECTIONS[kind], re.DOTALL)
    assert ADAPTERS[kind].check(tomllib.loads(example)) == []
