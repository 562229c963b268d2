"""Settings, read from the environment through typed readers.

`python3 spotid.py …` sets what is required. An institution sets it itself (docs/administrator.md); a start without
DATABASE_URL or SPOTID_SECRET_KEY is refused.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

from . import theme

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
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "spotid_site.urls"
WSGI_APPLICATION = "spotid_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
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

LANGUAGE_CODE = "en-gb"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

# retry counts from prefetch, so it must exceed timeout x (queue_limit / workers + 2); attempts are counted in our own
# tables because a task that kills its worker is otherwise run for ever (django-q2 issue 327).
_Q_WORKERS = env.int("SPOTID_WORKERS", min(2, os.cpu_count() or 1))
_Q_TIMEOUT = env.int("SPOTID_TASK_TIMEOUT", 1800)
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

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_HTTPS = env.bool("SPOTID_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_HTTPS
SECURE_SSL_REDIRECT = SECURE_HTTPS
SECURE_HSTS_SECONDS = 31536000 if SECURE_HTTPS else 0
SPOTID_BEHIND_PROXY = env.bool("SPOTID_BEHIND_PROXY", False)
if SPOTID_BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
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
