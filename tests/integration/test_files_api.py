"""The published file list: there, and empty."""

import pytest
from support.api import call, refusal
from support.whole import whole, whole_settings

FILES = "/api/files"


@pytest.fixture
async def ours():
    async with whole(whole_settings("http://127.0.0.1:9/v1")) as ours:
        yield ours


@pytest.mark.parametrize("query", ["", "?limit=5", "?limit=1000&purpose=train&after=file_1"])
async def test_the_list_is_empty(ours, query):
    answer = await call(ours, "GET", FILES + query)
    assert answer.status == 200
    assert answer.json == {"object": "list", "data": [], "has_more": False}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "%C2%B2", "9" * 99])
async def test_a_limit_that_is_none_is_refused(ours, limit):
    assert "1..1000" in refusal(await call(ours, "GET", f"{FILES}?limit={limit}"), 400)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("GET", "/f1"), ("DELETE", "/f1"), ("GET", "/f1/jobs")]
)
async def test_what_is_not_offered_says_so(ours, method, path):
    assert "keeps no files" in refusal(await call(ours, method, FILES + path, b"x"), 404)
