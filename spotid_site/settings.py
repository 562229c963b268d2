"""Settings, read from the environment through typed readers.

`python3 spotid.py …` sets what is required. An institution sets it itself (docs/administrator.md); a start without
DATABASE_URL or SPOTID_SECRET_KEY is refused.
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

from . import api, sign_in, theme

env = Env()
BASE_DIR = Path(__file__).resolve().parent.parent


def _required(name: str) -> str:
    try:
        return env.str(name)
    except EnvError as error:
        raise ImproperlyConfigured(
            f"{name} is not set. Start through `python3 spotid.py manage …`, which sets it, or see "
            "docs/administrator.md."
        ) from error


def _database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgres:// (SpotID needs PostgreSQL with pgvector).")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **dict(parse_qsl(parts.query))},
    }


SECRET_KEY = _required("SPOTID_SECRET_KEY")
DEBUG = env.bool("SPOTID_DEBUG", False)
ALLOWED_HOSTS = env.list("SPOTID_ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("SPOTID_TRUSTED_ORIGINS", [])
DATABASES = {"default": _database(_required("DATABASE_URL"))}

# All state outside the database: crops, weights, logs. Never inside a public folder.
SPOTID_HOME = Path(env.str("SPOTID_HOME", str(BASE_DIR / "var"))).absolute()
MEDIA_ROOT = SPOTID_HOME / "media"
SPOTID_WEIGHTS_DIR = SPOTID_HOME / "weights"
SPOTID_SHARED_DATA = Path(env.str("SPOTID_SHARED_DATA", str(BASE_DIR.parent / "shared" / "data")))

# Engines. Empty: fetched when there is a network, else the next best engine does the work and says so.
SPOTID_DETECTOR_WEIGHTS = env.str("SPOTID_DETECTOR_WEIGHTS", "")
SPOTID_DETECTOR_SHA256 = env.str("SPOTID_DETECTOR_SHA256", "")
SPOTID_DETECTOR_CONFIDENCE = env.float("SPOTID_DETECTOR_CONFIDENCE", 0.25)
SPOTID_SEGMENTER_WEIGHTS = env.str("SPOTID_SEGMENTER_WEIGHTS", "")
SPOTID_OFFLINE = env.bool("SPOTID_OFFLINE", False)
# Beside RootSIFT, for evidence only: disk or aliked, each with LightGlue; empty for none. It compares each photo's best
# candidates, for at most so many seconds of a matching run (docs/decisions/0028-learned-matchers.md).
SPOTID_LEARNED_MATCHER = env.str("SPOTID_LEARNED_MATCHER", "")
SPOTID_LEARNED_SECONDS = env.float("SPOTID_LEARNED_SECONDS", 600.0)
# What computes vectors: auto (what is quickest here and agrees), torch or openvino.
SPOTID_RUNTIME = env.str("SPOTID_RUNTIME", "auto")

# Processing: what the rows say is the truth, the queue only wakes workers (docs/decisions/0004-work-in-our-tables.md).
SPOTID_MAX_ATTEMPTS = env.int("SPOTID_MAX_ATTEMPTS", 3)
SPOTID_LEASE_SECONDS = env.int("SPOTID_LEASE_SECONDS", 180)
SPOTID_BATCH_SIZE = env.int("SPOTID_BATCH_SIZE", 32)
SPOTID_REQUEUE_SECONDS = env.int("SPOTID_REQUEUE_SECONDS", 240)
SPOTID_CANDIDATES = env.int("SPOTID_CANDIDATES", 5)

# What time and place propose, in seconds: from photo to photo of one burst, between two cameras of one station; and how
# fast an animal walks from station to station before that is called impossible.
SPOTID_BURST_SECONDS = env.float("SPOTID_BURST_SECONDS", 60.0)
SPOTID_PAIR_SECONDS = env.float("SPOTID_PAIR_SECONDS", 10.0)
SPOTID_TRAVEL_KMH = env.float("SPOTID_TRAVEL_KMH", 10.0)

# Retraining runs beside the photos on a queue of its own, with low priority. 0 leaves it to another machine or to
# `retrain`. Its lease is long: it is renewed after every step, and a step on a slow machine takes a while.
SPOTID_TRAINING = env.bool("SPOTID_TRAINING", True)
SPOTID_TRAINING_THREADS = env.int("SPOTID_TRAINING_THREADS", max(1, (os.cpu_count() or 2) - 1))
SPOTID_TRAINING_NICE = env.int("SPOTID_TRAINING_NICE", 10)
SPOTID_TRAINING_LEASE_SECONDS = env.int("SPOTID_TRAINING_LEASE_SECONDS", 900)

# How long the file of an export is kept for those who asked for it.
SPOTID_EXPORT_HOURS = env.int("SPOTID_EXPORT_HOURS", 72)

# Where nginx serves the media folder internally (X-Accel-Redirect); empty: the application sends pictures itself.
SPOTID_ACCEL_PREFIX = env.str("SPOTID_ACCEL_PREFIX", "")
if SPOTID_ACCEL_PREFIX and not re.fullmatch(r"/[\w.-]+(/[\w.-]+)*/?", SPOTID_ACCEL_PREFIX):
    raise ImproperlyConfigured(f"SPOTID_ACCEL_PREFIX is no path like /protected/: {SPOTID_ACCEL_PREFIX!r}")

# Ingest from a browser. What is sent is kept in the home, below photos/; folders that may be picked are those below the
# roots, none unless an administrator names them. Limits are refusals in words, not crashes.
SPOTID_UPLOAD_DIR = SPOTID_HOME / "photos"
SPOTID_INGEST_ROOTS: list[str] = env.list("SPOTID_INGEST_ROOTS", [])
SPOTID_UPLOAD_CHUNK_KB = env.int("SPOTID_UPLOAD_CHUNK_KB", 4096)
SPOTID_UPLOAD_FILE_MB = env.int("SPOTID_UPLOAD_FILE_MB", 20_000)
SPOTID_UPLOAD_TOTAL_GB = env.int("SPOTID_UPLOAD_TOTAL_GB", 500)
SPOTID_UPLOAD_FILES = env.int("SPOTID_UPLOAD_FILES", 200_000)
SPOTID_UPLOAD_KEEP_FREE_GB = env.int("SPOTID_UPLOAD_KEEP_FREE_GB", 5)
SPOTID_UNPACK_FILE_MB = env.int("SPOTID_UNPACK_FILE_MB", 500)
SPOTID_UNPACK_TOTAL_GB = env.int("SPOTID_UNPACK_TOTAL_GB", 200)
SPOTID_UNPACK_RATIO = env.int("SPOTID_UNPACK_RATIO", 200)

# Data of other tools that a browser sends: the file waits below imports/ for its run and is deleted after it.
SPOTID_IMPORT_DIR = SPOTID_HOME / "imports"
SPOTID_IMPORT_MB = env.int("SPOTID_IMPORT_MB", 512)
# Boxes below this confidence are left out, unless an import is asked for another.
SPOTID_IMPORT_CONFIDENCE = env.float("SPOTID_IMPORT_CONFIDENCE", 0.2)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_htmx",
    "identification",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "identification.views.readable.ReadableText",
    "identification.views.hidden.HiddenNames",
    "identification.views.partial.WholePages",
]

ROOT_URLCONF = "spotid_site.urls"
WSGI_APPLICATION = "spotid_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "spotid_site.folding.Loader",
                    [
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "identification.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "survey-list"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "identification.views.sign_in.AccountAdapter"
ACCOUNT_FORMS = {"login": "identification.views.sign_in.SignInForm"}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_METHODS = {"password", "mfa"}
ACCOUNT_RATE_LIMITS = sign_in.RATE_LIMITS
MFA_ADAPTER = "identification.views.sign_in.TwoFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "SpotID"
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
SOCIALACCOUNT_ADAPTER = "identification.views.single_sign_on.SingleSignOnAdapter"
SOCIALACCOUNT_PROVIDERS = sign_in.single_sign_on(env)
SOCIALACCOUNT_ONLY = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_EMAIL_REQUIRED = False
# A link, not a form: the policy of the pages lets forms go nowhere but here.
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = ""
# Which claim finds an existing account: email (verified only), username or none; and whether unknown people get one.
SPOTID_OIDC_MATCH = env.str("SPOTID_OIDC_MATCH", "email")
SPOTID_OIDC_NEW_ACCOUNTS = env.bool("SPOTID_OIDC_NEW_ACCOUNTS", False)
if SPOTID_OIDC_MATCH not in {"email", "username", "none"}:
    raise ImproperlyConfigured("SPOTID_OIDC_MATCH must be email, username or none.")

REST_FRAMEWORK = sign_in.REST_FRAMEWORK | api.rest_framework(env)
SPECTACULAR_SETTINGS = api.SPECTACULAR_SETTINGS
# Requests to the API in each minute of an account, and of an address that nobody signed in from; 0 for no limit.
SPOTID_API_PER_MINUTE = env.int("SPOTID_API_PER_MINUTE", 600)
SPOTID_API_ANONYMOUS_PER_MINUTE = env.int("SPOTID_API_ANONYMOUS_PER_MINUTE", 60)
REST_KNOX = sign_in.REST_KNOX
KNOX_TOKEN_MODEL = "identification.ApiToken"
# knox's own table of tokens is not used, so it is not made.
MIGRATION_MODULES = {"knox": None}

# Shared by all processes and machines, without a server of its own: what counts attempts to sign in.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "spotid_cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

LANGUAGE_CODE = "en-gb"
# English is what is written in the code; every other language has its catalogue below locale/ (docs/developer.md).
LANGUAGES = [("en-gb", "English"), ("es", "Español")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
# Asked about each time, and answered by 304: after an update, scripts of before must not stand beside those of now.
WHITENOISE_MAX_AGE = 0

# retry counts from prefetch, so it must exceed timeout x (queue_limit / workers + 2); attempts are counted in our own
# tables because a task that kills its worker is otherwise run for ever (django-q2 issue 327).
_Q_WORKERS = env.int("SPOTID_WORKERS", min(2, os.cpu_count() or 1))
# A task may take as long as it needs; how long it may say nothing is not the queue's to judge (`services.silence`).
SPOTID_TASK_TIMEOUT = env.int("SPOTID_TASK_TIMEOUT", 1800)
_Q_TIMEOUT = 30 * 24 * 3600
_Q_TRAINING_TIMEOUT = env.int("SPOTID_TRAINING_TIMEOUT", 14 * 24 * 3600)
Q_CLUSTER: dict[str, Any] = {
    "name": "spotid",
    "label": "Background work",
    "orm": "default",
    "workers": _Q_WORKERS,
    "recycle": 200,
    "timeout": _Q_TIMEOUT,
    "retry": _Q_TIMEOUT * 4,
    "max_attempts": 3,
    "ack_failures": True,
    "bulk": 1,
    "queue_limit": _Q_WORKERS,
    "save_limit": -1,
    "catch_up": False,
    "poll": 0.5,
    "guard_cycle": 1,
    "ALT_CLUSTERS": {
        # One training at a time. Its worker is no daemon, so that it may have children that load pictures, and ends
        # after each task, because what torch has taken it does not give back.
        "spotid-training": {
            "label": "Training",
            "workers": 1,
            "recycle": 1,
            "timeout": _Q_TRAINING_TIMEOUT,
            "retry": _Q_TRAINING_TIMEOUT * 4,
            "max_attempts": 3,
            "ack_failures": True,
            "bulk": 1,
            "queue_limit": 1,
            "save_limit": -1,
            "catch_up": False,
            "poll": 1,
            "guard_cycle": 1,
            "scheduler": False,
            "daemonize_workers": False,
        },
    },
}

SESSION_ENGINE = "spotid_site.sessions"
SESSION_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_HTTPS = env.bool("SPOTID_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = SECURE_HTTPS
SECURE_SSL_REDIRECT = SECURE_HTTPS
# Asked from the machine itself, past the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health/$"]
SECURE_HSTS_SECONDS = 31536000 if SECURE_HTTPS else 0
SPOTID_BEHIND_PROXY = env.bool("SPOTID_BEHIND_PROXY", False)
if SPOTID_BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if SECURE_HTTPS else "http"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    # The admin's theme evaluates expressions in its markup; the pages people review on do not.
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}


UNFOLD = theme.UNFOLD

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("SPOTID_LOG_LEVEL", "WARNING")},
    "loggers": {
        "identification": {"level": "INFO"},
        "django-q": {"level": "WARNING"},
        # A page of thumbnails is a queue of some dozens; that is no news.
        "waitress.queue": {"level": "ERROR"},
    },
}
