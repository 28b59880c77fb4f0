"""Django's own settings: applications, middleware, templates, users, static files."""

from typing import Any

from django.contrib.messages import constants as messages

from n2wbackup.lib import programs
from n2wbackup.settings.env import BASE_DIR

__all__ = [
    "ANONYMOUS_USER_NAME",
    "AUTHENTICATION_BACKENDS",
    "AUTH_PASSWORD_VALIDATORS",
    "AUTH_USER_MODEL",
    "DEFAULT_AUTO_FIELD",
    "FORMAT_MODULE_PATH",
    "GUARDIAN_MONKEY_PATCH_USER",
    "INSTALLED_APPS",
    "LANGUAGE_CODE",
    "LOGIN_REDIRECT_URL",
    "LOGIN_URL",
    "LOGOUT_REDIRECT_URL",
    "MESSAGE_TAGS",
    "MIDDLEWARE",
    "ROOT_URLCONF",
    "STATICFILES_DIRS",
    "STATIC_URL",
    "TEMPLATES",
    "TIME_ZONE",
    "USE_I18N",
    "USE_TZ",
    "WHITENOISE_USE_FINDERS",
    "WSGI_APPLICATION",
]

INSTALLED_APPS = [
    "scripts_admin.apps.ScriptsAdminConfig",
    "policies.apps.PoliciesConfig",
    *(["n2wbackup.apps.AdministrationConfig"] if programs.has_pages else []),  # Django's admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_structlog",
    "django_htmx",
    "guardian",
]
if programs.has_pages:
    INSTALLED_APPS += ["allauth.account", "allauth.mfa", "allauth.usersessions"]
    # Whether a provider is set or not: so its tables are there before it is.
    INSTALLED_APPS += ["allauth.socialaccount", "allauth.socialaccount.providers.openid_connect"]

MIDDLEWARE = [
    "n2wbackup.middleware.add_headers",
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "n2wbackup.middleware.pack_pages",
    "n2wbackup.middleware.refuse_methods",
    "n2wbackup.middleware.refuse_null",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "n2wbackup.middleware.end_idle_sessions",
    "n2wbackup.middleware.tell_open_pages",
    "n2wbackup.middleware.say_who",
    "n2wbackup.middleware.share_threads",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "n2wbackup.urls"
WSGI_APPLICATION = "n2wbackup.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "policies.views.frozen.on_every_page",
                "policies.views.drafts.on_every_page",
            ],
            "libraries": {
                "charts": "n2wbackup.lib.charts",
                "components": "n2wbackup.lib.components",
                "timelines": "n2wbackup.lib.timelines",
            },
        },
    },
]

AUTH_USER_MODEL = "scripts_admin.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Guardian creates no user for people who are not logged in.
ANONYMOUS_USER_NAME = None
# Permissions are checked in the permissions modules, not with methods of the user.
GUARDIAN_MONKEY_PATCH_USER = False
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FORMAT_MODULE_PATH = "n2wbackup.formats"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [path for path in [BASE_DIR / "static"] if path.is_dir()]
# Files are served from their own folders, so there is no `collectstatic` to forget.
WHITENOISE_USE_FINDERS = True
# Django's word for an error is "error", Bootstrap's is "danger".
MESSAGE_TAGS = {messages.ERROR: "danger"}
