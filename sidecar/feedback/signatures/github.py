"""GitHub's way, which many copied: `X-Hub-Signature-256: sha256=` and the hex HMAC-SHA256 of the
body.

docs.github.com/webhooks/securing, "Validating webhook deliveries". The delivery's id is in a header
that is not signed, so it counts for nothing here.
"""

from sidecar.feedback.signatures.hub import Hub

GITHUB = Hub("x-hub-signature-256", "sha256", 64)
