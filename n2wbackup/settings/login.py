"""Login: django-allauth for second factors and sessions; the brake, the users and their names are ours."""

from n2wbackup.settings.security import SESSION_COOKIE_SECURE

__all__ = [
    "ACCOUNT_ADAPTER",
    "ACCOUNT_EMAIL_NOTIFICATIONS",
    "ACCOUNT_EMAIL_VERIFICATION",
    "ACCOUNT_FORMS",
    "ACCOUNT_LOGIN_METHODS",
    "ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE",
    "ACCOUNT_RATE_LIMITS",
    "ACCOUNT_REAUTHENTICATION_METHODS",
    "ACCOUNT_REAUTHENTICATION_TIMEOUT",
    "ACCOUNT_SESSION_REMEMBER",
    "ACCOUNT_SIGNUP_FIELDS",
    "MFA_ADAPTER",
    "MFA_ALLOW_UNVERIFIED_EMAIL",
    "MFA_FORMS",
    "MFA_PASSKEY_LOGIN_ENABLED",
    "MFA_RATE_LIMITS",
    "MFA_SUPPORTED_TYPES",
    "MFA_TOTP_ISSUER",
    "MFA_TOTP_TOLERANCE",
    "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN",
    "PASSWORD_RESET_TIMEOUT",
]

_HOUR_SECONDS = 3_600

ACCOUNT_ADAPTER = "scripts_admin.allauth_hooks.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]  # nobody signs up; the check wants the words
# The server may have no mail.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_FORMS = {"reauthenticate": "scripts_admin.forms.logins.ConfirmPasswordForm"}
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
# One brake only: services/logins.py counts in rows, so it outlives a restart and holds for all servers.
ACCOUNT_RATE_LIMITS = False
ACCOUNT_REAUTHENTICATION_METHODS = ("password", "mfa")
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_SESSION_REMEMBER = True  # until SESSION_COOKIE_AGE; the middleware ends idle ones earlier

MFA_ADAPTER = "scripts_admin.allauth_hooks.MFAAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "activate_totp": "scripts_admin.forms.second_factors.ActivateAppForm",
    "add_webauthn": "scripts_admin.forms.second_factors.AddPasskeyForm",
    "authenticate": "scripts_admin.forms.second_factors.CodeForm",
    "edit_webauthn": "scripts_admin.forms.second_factors.NamePasskeyForm",
    "reauthenticate": "scripts_admin.forms.second_factors.ConfirmCodeForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RATE_LIMITS = False
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "n2wbackup"
MFA_TOTP_TOLERANCE = 1  # a telephone's clock may be half a minute off
# Browsers allow passkeys without TLS on this machine only, and such a server answers to no other name.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SESSION_COOKIE_SECURE

# An invitation, and a link for a new password, end after so long.
PASSWORD_RESET_TIMEOUT = 72 * _HOUR_SECONDS
