"""The OpenAPI document and the page made from it: nothing forgotten, and safe to show."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from support.api import KEY, call
from support.described import described, routed
from support.whole import whole, whole_settings

from sidecar.api.openapi import schemas_common, schemas_config, schemas_job, schemas_job_config
from sidecar.api.openapi.document import document
from sidecar.api.openapi.page import page
from sidecar.core import ids
from sidecar.engine import config, config_mipro
from sidecar.jobs import eval_config, policy_config, policy_fields, policy_gepa, policy_mipro

PASSED_THROUGH = ("*", "/v1/{}")
PATHS = ["/openapi.json", "/docs"]


@pytest.fixture
async def ours():
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": [KEY]}
    async with whole(whole_settings("http://127.0.0.1:9/v1", server=server)) as ours:
        yield ours


def _nameless(route):
    """Parameters may be called otherwise in the code."""
    method, path = route
    return method, re.sub(r"\{\w+\}", "{}", path)


# -- the document says what there is -------------------------------------------------------------


async def test_every_route_is_described_and_nothing_else_is(ours):
    routes = {_nameless(route) for route in routed(ours.sidecar._web())}
    documented = {_nameless(route) for route in described(document())}
    passed_through = {route for route in documented if route[1].startswith("/v1/")}
    assert PASSED_THROUGH in routes
    assert passed_through
    assert documented - passed_through == routes - {PASSED_THROUGH}


def test_every_operation_has_a_name_of_its_own():
    names = [
        operation["operationId"]
        for methods in document()["paths"].values()
        for operation in methods.values()
    ]
    assert len(names) == len(set(names))


def test_every_schema_is_used_and_every_used_one_is_there():
    described = document()
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert used == set(described["components"]["schemas"])


@pytest.mark.parametrize(
    ("name", "pattern"), [("SessionId", ids._SESSION), ("CorrelationId", ids._CORRELATION)]
)
def test_ids_look_as_they_are_described(name, pattern):
    assert schemas_common.SCHEMAS[name]["pattern"] == f"^{pattern.pattern}$"


def test_every_key_of_an_online_config_is_described():
    assert set(schemas_config.GEPA) == config._ONLINE
    assert set(schemas_config.MIPRO) == config_mipro._ONLINE


def test_every_key_of_an_offline_config_is_described():
    parts = {name: set(part) for name, part in schemas_job_config.GEPA_PARTS.items()}
    assert parts == policy_gepa._NESTED
    assert set(schemas_job_config.GEPA) == policy_gepa._OWN | set(parts)
    assert set(schemas_job_config.MIPRO) == policy_mipro._USED
    assert set(schemas_job_config.TERMINATION) == policy_fields._LIMITS
    assert set(schemas_job_config.PROPOSER) == policy_fields.PROPOSER


def test_every_field_of_an_eval_is_described():
    described = schemas_job.SCHEMAS["EvalRequest"]["properties"]
    assert set(described) == eval_config._KNOWN | {*policy_config.KEY_NAMES, "metadata"}


# -- the routes ----------------------------------------------------------------------------------


async def test_programs_get_the_document_without_a_key(ours):
    answer = await call(ours, "GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json == json.loads(json.dumps(document()))


@pytest.mark.parametrize("path", PATHS)
async def test_who_has_it_already_is_sent_nothing(ours, path):
    tag = (await call(ours, "GET", path)).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await call(ours, "GET", path, if_none_match=known)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    for other in ('"other"', "", "garbage"):
        assert (await call(ours, "GET", path, if_none_match=other)).status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_no_settings_are_told(ours, path):
    body = (await call(ours, "GET", path)).body
    assert KEY.encode() not in body
    assert b"127.0.0.1" not in body


# -- the page ------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """What a browser would find on the page."""

    VOID = ("meta", "wbr")

    def __init__(self, html):
        super().__init__()
        self.tags, self.ids, self.links, self.open = set(), [], set(), []
        self.style = self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert not {name for name in given if name == "style" or name.startswith("on")}
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links |= {given["href"]} if "href" in given else set()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data


async def test_people_get_a_page_that_can_only_be_read(ours):
    answer = await call(ours, "GET", "/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    seen = Seen(answer.body.decode())
    style = base64.b64encode(hashlib.sha256(seen.style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", f"style-src 'sha256-{style}'"]
    assert not seen.tags & {"script", "link", "img", "iframe", "form", "object", "svg"}
    assert {link for link in seen.links if not link.startswith("#")} == {"openapi.json"}


def test_the_page_shows_every_operation_and_schema_and_links_to_nothing_else():
    described = document()
    seen = Seen(page(described))
    assert not seen.open
    assert len(seen.ids) == len(set(seen.ids))
    for path, methods in described["paths"].items():
        assert path in seen.text
        assert {operation["operationId"] for operation in methods.values()} <= set(seen.ids)
    assert {f"schema-{name}" for name in described["components"]["schemas"]} <= set(seen.ids)
    assert {link.removeprefix("#") for link in seen.links} - {"openapi.json"} <= set(seen.ids)


def test_nothing_in_the_document_can_become_markup():
    words = json.dumps(document())
    for known in ("The provider's answer.", "Feedback", "Where is my parcel?"):
        words = words.replace(known, known + "\\\"><script>alert(1)</script><img src='")
    shown = page(json.loads(words))
    assert Seen(shown).tags == Seen(page(document())).tags
    assert shown.count("alert(1)") > 10
