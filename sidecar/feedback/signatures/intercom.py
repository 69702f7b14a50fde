"""Intercom: `X-Hub-Signature: sha1=` and the hex HMAC-SHA1 of the body, keyed with the app's client
secret.

developers.intercom.com, "Signed notifications" (v1.0/reference/signed-notifications).
"""

from sidecar.feedback.signatures.hub import Hub

INTERCOM = Hub("x-hub-signature", "sha1", 40)
"""SHA-1 is Intercom's choice; as an HMAC it still holds."""
