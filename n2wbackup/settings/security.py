"""Security headers and cookies for the browser, and the host names and sizes of requests that we answer."""

from n2wbackup.processes import budgets
from n2wbackup.settings import addresses
from n2wbackup.settings.env import DEBUG, words

__all__ = [
    "ALLOWED_HOSTS",
    "CONTENT_SECURITY_POLICY",
    "CSRF_COOKIE_SECURE",
    "CSRF_FAILURE_VIEW",
    "CSRF_TRUSTED_ORIGINS",
    "DATA_UPLOAD_MAX_MEMORY_SIZE",
    "FILE_UPLOAD_HANDLERS",
    "FILE_UPLOAD_MAX_MEMORY_SIZE",
    "IPWARE_META_PRECEDENCE_ORDER",
    "PERMISSIONS_POLICY",
    "SECURE_CONTENT_TYPE_NOSNIFF",
    "SECURE_CROSS_ORIGIN_OPENER_POLICY",
    "SECURE_HSTS_SECONDS",
    "SECURE_REFERRER_POLICY",
    "SESSION_COOKIE_AGE",
    "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_SAMESITE",
    "SESSION_COOKIE_SECURE",
    "X_FRAME_OPTIONS",
]

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_YEAR_SECONDS = 31_536_000

# A variable that is set and empty means the default: else the server would answer to no name at all.
ALLOWED_HOSTS = addresses.host_names(words("ALLOWED_HOSTS", "") or ["localhost", "127.0.0.1"])
# A server with its own host name is reached over a network, so it must be behind TLS; on this
# machine alone TLS is not needed.
_public_hosts = sorted(set(ALLOWED_HOSTS) - _LOOPBACK)
_behind_tls = bool(_public_hosts) and not DEBUG

SESSION_COOKIE_SECURE = _behind_tls
CSRF_COOKIE_SECURE = _behind_tls
# Who logged in again in another tab has an old token in the form: what they typed is shown again.
CSRF_FAILURE_VIEW = "policies.views.drafts.csrf_failed"
SESSION_COOKIE_HTTPONLY = True
# A working day: then everybody logs in again. Idle sessions end earlier, see N2W_SESSION_IDLE_MINUTES.
SESSION_COOKIE_AGE = 12 * 3_600
SESSION_COOKIE_SAMESITE = "Lax"
# The proxy that ends TLS speaks plain HTTP to us: trust its public host names.
CSRF_TRUSTED_ORIGINS = [
    f"https://{'*' if host.startswith('.') else ''}{host}" for host in _public_hosts if host != "*"
]
SECURE_HSTS_SECONDS = _YEAR_SECONDS if _behind_tls else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# No inline script, no inline style, nothing from elsewhere: our pages and Django's admin need none of it.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],  # Tabler's CSS has the arrow of a list, the tick of a box
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        *("accelerometer", "camera", "display-capture", "geolocation", "gyroscope"),
        *("magnetometer", "microphone", "midi", "payment", "usb"),
    )
)
# No part of a request is put into a temporary file: its disk may be frozen, or full.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = budgets.BODY_BYTES
DATA_UPLOAD_MAX_MEMORY_SIZE = budgets.BODY_BYTES
# In the logs: n2wbackup.proxies has set the address already, and every other header is a mere claim.
IPWARE_META_PRECEDENCE_ORDER = ("REMOTE_ADDR",)
