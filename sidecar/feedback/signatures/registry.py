"""The schemes by the name that `signature` has in the settings."""

from collections.abc import Mapping
from types import MappingProxyType

from sidecar.feedback.signatures.base import Scheme
from sidecar.feedback.signatures.basic import Basic
from sidecar.feedback.signatures.bearer import Bearer
from sidecar.feedback.signatures.github import GITHUB
from sidecar.feedback.signatures.intercom import INTERCOM
from sidecar.feedback.signatures.slack import Slack
from sidecar.feedback.signatures.standard import Standard
from sidecar.feedback.signatures.stripe import Stripe
from sidecar.feedback.signatures.unsigned import Unsigned
from sidecar.feedback.signatures.zendesk import Zendesk

NONE = "none"

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "standard": Standard(),
        "slack": Slack(),
        "intercom": INTERCOM,
        "zendesk": Zendesk(),
        "stripe": Stripe(),
        "github": GITHUB,
        "bearer": Bearer(),
        "basic": Basic(),
        NONE: Unsigned(),
    }
)
