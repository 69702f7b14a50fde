"""Any other JSON, by paths in the options. The example is Help Scout's rating, after
developer.helpscout.com/webhooks/objects/rating; paths are a subset of RFC 9535."""

import pytest
from support.webhooks import HELP_SCOUT, HELP_SCOUT_OPTIONS, MANY, MANY_OPTIONS, read

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.path import MAX_FOUND, PathError, View, compiled
from sidecar.feedback.adapters.registry import ADAPTERS

check = ADAPTERS["declared"].check


def test_a_product_that_nobody_wrote_an_adapter_for():
    assert read("declared", HELP_SCOUT, HELP_SCOUT_OPTIONS).events == (
        {
            "correlation_id": "1560011",
            "comment": "she was really helpful",
            "score": 1.0,
            "actor": "449379",
            "event_id": "helpscout:5434/2015-04-14T20:18:33Z",
        },
    )


def test_many_events_conditions_and_retractions():
    reading = read("declared", MANY, MANY_OPTIONS)
    assert reading.events == (
        {
            "rollout_id": "trace_1",
            "comment": "good",
            "rating": {"value": 7.0, "min": 0, "max": 10},
            "actor": "u1",
            "event_id": "app:e1",
        },
        {"rollout_id": "trace_2", "retracts": "app:e0", "actor": "u1", "event_id": "app:e2"},
    )
    assert reading.ignored == ("where: @.what is not what the options ask for",)


def test_without_an_event_to_take_back_all_of_the_actors_are():
    options = {k: v for k, v in MANY_OPTIONS.items() if k != "retracts"}
    assert read("declared", MANY, options).events[1]["retract"] is True


@pytest.mark.parametrize(
    ("given", "counted"), [(1, True), (1.0, True), (True, False), ("1", False)]
)
def test_a_condition_does_not_take_true_for_one(given, counted):
    options = {**HELP_SCOUT_OPTIONS, "where": {"path": "@.open", "equals": 1}}
    assert bool(read("declared", {**HELP_SCOUT, "open": given}, options).events) is counted


def test_a_correction_may_be_an_object():
    options = {
        "id_path": "$.id",
        "id_kind": "rollout_id",
        "event_prefix": "x",
        "correction": "$.fix",
    }
    [event] = read("declared", {"id": 7, "fix": {"a": 1}}, options, webhook_id="m").events
    assert event == {"rollout_id": "7", "correction": '{"a":1}', "event_id": "x:m/0"}


@pytest.mark.parametrize("body", [{}, [], 3, {"data": {"items": []}}, {"data": {"items": [3]}}])
def test_where_nothing_is_found_nothing_is_made_up(body):
    reading = read("declared", body, MANY_OPTIONS)
    assert reading.events == ()
    assert reading.ignored


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rating": "Superb"}, "declared values"),
        ({"id": None}, "@.id"),
        ({"id": {}}, "text"),
        ({"ticketId": 1.5}, "text"),
        ({"comments": 3}, "text"),
    ],
)
def test_what_does_not_fit_its_declaration_is_refused(fields, words):
    with pytest.raises(InvalidFeedback, match=words):
        read("declared", {**HELP_SCOUT, **fields}, HELP_SCOUT_OPTIONS)


def test_more_events_than_one_request_may_hold_are_refused():
    items = [{"ref": "r", "what": "vote", "n": 1, "v": n} for n in range(MAX_FOUND + 1)]
    with pytest.raises(InvalidFeedback, match="more than"):
        read("declared", {"data": {"items": items}}, MANY_OPTIONS)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [{"a": {"b": [1, 2, {"c d": 3}]}, "é": 5, "x'": 6}]),
        ("$.a.b[0]", [1]),
        ("$.a.b[-1]['c d']", [3]),
        ('$.a["b"][*]', [1, 2, {"c d": 3}]),
        ("$.a.*", [[1, 2, {"c d": 3}]]),
        ("$.é", [5]),
        (r"$['x\'']", [6]),
        ("$.a.b.c", []),
        ("$.a[0]", []),
        ("$.a.b['0']", []),
        ("$.a.b[9]", []),
        ("$.a.b[-4]", []),
    ],
)
def test_paths_find_what_rfc_9535_says(path, found):
    body = {"a": {"b": [1, 2, {"c d": 3}]}, "é": 5, "x'": 6}
    assert View(body, None).all(path) == found


@pytest.mark.parametrize(
    "path",
    ["", "a", "$a", "$.", "$..a", "$[?@.a]", "$[1:2]", "$[01]", "$[-0]", "$['a", "$.a b", "$.1",
     "$[9999999]", "$" + ".a" * 17, "$." + "a" * 300, "$.a ", "$['a'", "$[0, 1]"],
)  # fmt: skip
def test_what_is_outside_the_subset_is_not_a_path(path):
    with pytest.raises(PathError):
        compiled(path)


def test_a_path_never_finds_more_than_an_array_may_hold():
    wide = [[0] * 2000] * 2000
    assert len(View(wide, None).all("$[*][*]")) == MAX_FOUND + 1


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"id_path": "ref"}, "id_path"),
        ({"id_path": ["@.a", "@..b"]}, "id_path[1]"),
        ({"id_path": 3}, "id_path"),
        ({"id_kind": "trace"}, "id_kind"),
        ({"event_prefix": "a b"}, "event_prefix"),
        ({"score": {"path": "@.n"}}, "score"),
        ({"score": {"path": "@.n", "min": 0}}, "score"),
        ({"score": {"path": "@.n", "min": 1, "max": 1}}, "score.min"),
        ({"score": {"path": "@.n", "min": 0, "max": True}}, "score.max"),
        ({"score": {"path": "@.n", "min": 0, "max": 10**400}}, "score.max"),
        ({"score": {"path": "@.n", "boolean": True, "min": 0, "max": 1}}, "score"),
        ({"score": {"path": "@.n", "text": "comment"}}, "score.text"),
        ({"score": {"path": "@.n", "values": {"a": 1}, "optimize": "min"}}, "score.optimize"),
        ({"score": {"min": 0, "max": 1}}, "score.path"),
        ({"score": 3}, "score"),
        ({"where": {"path": "@.a"}}, "where"),
        ({"where": {"path": "@.a", "equals": []}}, "where.equals"),
        ({"where": [{"path": "@.a", "in": []}]}, "where[0].in"),
        ({"evnets": "$"}, "evnets"),
    ],
)
def test_options_that_cannot_work_are_named_by_their_place(changed, where):
    assert [p.option for p in check({**MANY_OPTIONS, **changed})] == [where]


@pytest.mark.parametrize("name", ["id_path", "id_kind", "event_prefix", "retract"])
def test_some_options_must_be_there(name):
    options = {key: value for key, value in MANY_OPTIONS.items() if key != name}
    assert [p.option for p in check(options)] == [name]


def test_something_must_be_declared_to_be_said():
    options = {"id_path": "@.a", "id_kind": "rollout_id", "event_prefix": "x"}
    assert [p.option for p in check(options)] == ["score"]
