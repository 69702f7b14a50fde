"""Keys, and the file list that published clients ask for."""

from sidecar.api.openapi.model import Body, Group, Key, Operation, ref, text
from sidecar.api.openapi.parameters import limit, query
from sidecar.api.openapi.replies import DETAIL, done

_FILES = "/api/files"
_FILE = _FILES + "/{file_id}"
_ENV_KEYS = "/api/v1/env-keys"
_NO_FILES = "This sidecar keeps no files."
_SEALED = "W2EgNDgtYnl0ZSBzZWFsZWQgYm94XQ=="

_KEYS = (
    Operation(
        "POST",
        "/api/demo/keys",
        "create_demo_key",
        "A short-lived key for whoever asks",
        DETAIL.replies(done("DemoKey"), 400, 403, 413, 503, keyed=False),
        "Given on the sidecar's own machine only, unless `server.demo_keys` says otherwise.",
        body=Body(ref("DemoKeyRequest"), {"ttl_hours": 4}, required=False),
        key=Key.NONE,
    ),
    Operation(
        "GET",
        "/api/v1/crypto/public-key",
        "get_public_key",
        "What to seal an environment key with",
        DETAIL.replies(done("PublicKey"), 503),
    ),
    Operation(
        "POST",
        _ENV_KEYS,
        "upload_env_key",
        "Upload an environment key in a sealed box",
        DETAIL.replies(done("KeptKey", "It is kept."), 400, 413, 503),
        "The box is libsodium's, closed with the key of `/api/v1/crypto/public-key`; in it are 1 "
        "to 8192 bytes of UTF-8.",
        body=Body(ref("SealedKey"), {"name": "ENVIRONMENT_API_KEY", "ciphertext_b64": _SEALED}),
    ),
    Operation(
        "GET",
        _ENV_KEYS,
        "list_env_keys",
        "Always refused: uploaded keys are never handed back",
        DETAIL.replies(None, 404, 503),
    ),
    Operation(
        "GET",
        _ENV_KEYS + "/verify",
        "verify_env_key",
        "Whether there is a key of that name, and since when",
        DETAIL.replies(done("KeyPresent"), 400, 404, 503),
        parameters=(query("name", "`ENVIRONMENT_API_KEY` if it is left out.", ref("KeyName")),),
    ),
)


def _refused(method: str, path: str, name: str, summary: str) -> Operation:
    return Operation(method, path, name, summary, DETAIL.replies(None, 404), _NO_FILES)


_FILE_OPERATIONS = (
    Operation(
        "GET",
        _FILES,
        "list_files",
        "The published file list, which is always empty here",
        DETAIL.replies(done("Files"), 400),
        "Sessions need no uploaded files.",
        (
            limit(20, 1000),
            query("purpose", "Not looked at.", text()),
            query("after", "Not looked at.", text()),
        ),
    ),
    _refused("POST", _FILES, "upload_file", "Always refused: upload a file"),
    _refused("GET", _FILE, "get_file", "Always refused: a file"),
    _refused("DELETE", _FILE, "delete_file", "Always refused: delete a file"),
    _refused("GET", _FILE + "/jobs", "list_file_jobs", "Always refused: the jobs of a file"),
)

GROUP = Group(
    "Keys and files",
    "Keys that are given and keys that are entrusted; files are listed for published clients.",
    _KEYS + _FILE_OPERATIONS,
)
