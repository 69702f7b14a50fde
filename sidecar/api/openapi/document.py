"""The OpenAPI document, from the groups of operations and their schemas."""

import re

from sidecar import __version__
from sidecar.api.openapi import (
    paths_calls,
    paths_feedback,
    paths_jobs,
    paths_keys,
    paths_process,
    paths_sessions,
    paths_systems,
    schemas_candidate,
    schemas_common,
    schemas_config,
    schemas_feedback,
    schemas_job,
    schemas_job_config,
    schemas_other,
    schemas_rules,
    schemas_session,
)
from sidecar.api.openapi.model import Group, Json, Key, Operation, text
from sidecar.api.openapi.parameters import IN_PATHS

GROUPS = (
    paths_calls.GROUP,
    paths_sessions.GROUP,
    paths_feedback.GROUP,
    paths_jobs.JOBS,
    paths_jobs.EVALS,
    paths_systems.DEMOS,
    paths_systems.LATER,
    paths_jobs.OTHERS,
    paths_keys.GROUP,
    paths_process.GROUP,
)

_SCHEMAS = (
    schemas_session.SCHEMAS
    | schemas_config.SCHEMAS
    | schemas_candidate.SCHEMAS
    | schemas_feedback.SCHEMAS
    | schemas_job.SCHEMAS
    | schemas_job_config.SCHEMAS
    | schemas_other.SCHEMAS
    | schemas_rules.SCHEMAS
    | schemas_common.SCHEMAS
)

_IN_TEMPLATE = re.compile(r"\{(\w+)\}")
_OURS: list[Json] = [{"bearer": []}, {"apiKey": []}]
_SECURITY = {Key.NONE: [], Key.OURS: _OURS, Key.PROXY: [{}, *_OURS]}

_DESCRIPTION = (
    "An async sidecar that makes an application's prompts better from what its users say.\n\n"
    "Routes that need a key take one of `server.api_keys`, as `Authorization: Bearer` or as "
    "`X-API-Key`; where none are configured, on one's own machine, none is needed. Fields that "
    "are not described here are allowed in requests and may come in answers, except where a schema "
    "says otherwise. Every answer that does not come from the provider carries `X-Request-Id`."
)


def document() -> Json:
    """The whole document, as plain data in a fixed order."""
    paths: dict[str, Json] = {}
    for group in GROUPS:
        for operation in group.operations:
            path = paths.setdefault(operation.path, {})
            path[operation.method.lower()] = _operation(group, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "prompt-sidecar",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This sidecar."}],
        "tags": [{"name": group.name, "description": group.description} for group in GROUPS],
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "headers": {
                "RequestId": {
                    "description": "The one that was sent, if it can be one, else one of ours.",
                    "required": True,
                    "schema": text(),
                }
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(group: Group, operation: Operation) -> Json:
    written: Json = {
        "tags": [group.name],
        "operationId": operation.name,
        "summary": operation.summary,
    }
    if operation.description:
        written["description"] = operation.description
    in_path = [IN_PATHS[name] for name in _IN_TEMPLATE.findall(operation.path)]
    if parameters := [*in_path, *operation.parameters]:
        written["parameters"] = [parameter.document() for parameter in parameters]
    if operation.body:
        written["requestBody"] = operation.body.document()
    written["responses"] = {
        str(status): reply.document() for status, reply in operation.replies.items()
    }
    written["security"] = _SECURITY[operation.key]
    return written
