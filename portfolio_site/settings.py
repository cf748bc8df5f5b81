"""Django settings. Every value a deployment may change is an environment variable, read and checked here
and described in docs/configuration.md; a wrong one stops the start with a sentence."""

import logging
import os
import socket

import environ

from portfolio_site.config import (
    BASE_DIR,
    EnvironmentReader,
    broker_url_from,
    embedded_database_url,
    embedded_redis_url,
    environment_load,
    var_dir_from,
)
from portfolio_site.logs import logging_config, structlog_configure
from portfolio_site.secret import sealing_key_make, secret_key_load

environment_load()
VAR_DIR = var_dir_from(environment=os.environ)
read = EnvironmentReader(environment=os.environ)
read.text("VAR_DIR", "var")

# ---------------------------------------------------------------- server
HOST = read.text("HOST", "127.0.0.1")
PORT = read.whole("PORT", 8000, low=1, high=65535)
DEBUG = read.flag("DEBUG", default=False)
SECRET_KEY = read.text("SECRET_KEY", "") or secret_key_load(path=VAR_DIR / "secret_key")
# What seals the keys of exchange accounts, newest first; the older ones still open what they sealed.
CREDENTIAL_KEYS = read.words("CREDENTIAL_KEYS", "") or [
    secret_key_load(path=VAR_DIR / "credential_key", make=sealing_key_make)
]
ALLOWED_HOSTS = read.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = read.words("CSRF_TRUSTED_ORIGINS", "")
HTTPS = read.flag("HTTPS", default=False)  # pages are reached by https: secure cookies, strict transport
LOG_LEVEL = read.choice("LOG_LEVEL", "INFO", allowed=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = read.choice("LOG_FORMAT", "console", allowed=("console", "json"))
DATABASE_URL = read.text("DATABASE_URL", "") or embedded_database_url(var_dir=VAR_DIR)
DATABASE_POOL = read.flag("DATABASE_POOL", default=False)  # asgi.py turns it on for the web process
DATABASE_POOL_MAX = read.whole("DATABASE_POOL_MAX", 10, low=1, high=200)
REDIS_URL = read.text("REDIS_URL", "") or embedded_redis_url(var_dir=VAR_DIR)
API_PERSON_PER_MINUTE = read.whole("API_PERSON_PER_MINUTE", 600, low=10, high=1000000)
API_TOKEN_PER_MINUTE = read.whole("API_TOKEN_PER_MINUTE", 300, low=10, high=1000000)
METRICS_TOKEN = read.text("METRICS_TOKEN", "")
EMAIL_URL = read.text("EMAIL_URL", "")  # empty: kept as files under VAR_DIR/mail
DEFAULT_FROM_EMAIL = read.text("DEFAULT_FROM_EMAIL", "ensemble@localhost")
EMAIL_VERIFICATION = read.choice("EMAIL_VERIFICATION", "optional", allowed=("mandatory", "optional", "none"))
# Proxies of our own in front, counted from the site outwards: which part of X-Forwarded-For is believed.
TRUSTED_PROXIES = read.whole("TRUSTED_PROXIES", 0, low=0, high=10)
LOCKOUT_FAILURES = read.whole("LOCKOUT_FAILURES", 5, low=1, high=100)
LOCKOUT_SECONDS = read.whole("LOCKOUT_SECONDS", 300, low=10, high=86400)
ADMIN_SECOND_FACTOR = read.flag("ADMIN_SECOND_FACTOR", default=HTTPS)

# ---------------------------------------------------------------- the product (SPEC.md, CFG-1)
INITIAL_PORTFOLIO_VALUE = read.number("INITIAL_PORTFOLIO_VALUE", "10000", low="1", high="1000000000")
SYNC_SHARDS = read.whole("SYNC_SHARDS", 1, low=1, high=64)
SYNC_INTERVAL_SECONDS = read.whole("SYNC_INTERVAL_SECONDS", 60, low=10, high=600)
POSITION_CACHE_SECONDS = read.whole("POSITION_CACHE_SECONDS", 10, low=0, high=600)
SNAPSHOT_RETENTION_DAYS = read.whole("SNAPSHOT_RETENTION_DAYS", 90, low=1, high=3650)
STRATEGIES_FILE = BASE_DIR / read.text("STRATEGIES_FILE", "data/strategies.yaml")
RESERVATION_TIMEOUT_SECONDS = read.whole("RESERVATION_TIMEOUT_SECONDS", 30, low=1, high=3600)
MARK_STALE_SECONDS = read.whole("MARK_STALE_SECONDS", 15, low=1, high=3600)
MAX_DAILY_LOSS_PCT = read.number("MAX_DAILY_LOSS_PCT", "5", low="0.1", high="100")
MAX_DRAWDOWN_PCT = read.number("MAX_DRAWDOWN_PCT", "20", low="0.1", high="100")
MAX_CONSECUTIVE_LOSSES = read.whole("MAX_CONSECUTIVE_LOSSES", 5, low=1, high=1000)
EMERGENCY_LOSS_PCT = read.number("EMERGENCY_LOSS_PCT", "10", low="0.1", high="100")
COPY_STOP_PCT = read.number("COPY_STOP_PCT", "20", low="0.1", high="100")
# The conservative profile's limits; the other profiles' are fixed.
MAX_POSITION_SIZE_PCT = read.number("MAX_POSITION_SIZE_PCT", "5", low="0.1", high="200")
MAX_POSITIONS = read.whole("MAX_POSITIONS", 10, low=1, high=200)
MAX_CORRELATED_PCT = read.number("MAX_CORRELATED_PCT", "20", low="0.1", high="200")
MAX_GROSS_PCT = read.number("MAX_GROSS_PCT", "50", low="0.1", high="200")
MAX_OPEN_ORDERS = read.whole("MAX_OPEN_ORDERS", 10, low=1, high=200)
DRIFT_THRESHOLD_PCT = read.number("DRIFT_THRESHOLD_PCT", "10", low="0.1", high="100")
APPROVAL_TIMEOUT_MINUTES = read.whole("APPROVAL_TIMEOUT_MINUTES", 15, low=1, high=1440)
MAX_CHASE_PCT = read.number("MAX_CHASE_PCT", "2", low="0.1", high="100")
EXIT_SHARDS = read.whole("EXIT_SHARDS", 8, low=1, high=256)
CANDLE_RETENTION_DAYS = read.whole("CANDLE_RETENTION_DAYS", 90, low=1, high=3650)
TAPE_KEPT_SECONDS = read.whole("TAPE_KEPT_SECONDS", 900, low=60, high=86400)
# What closes a position unless its portfolio or its owner says otherwise (EXT-1); 0 turns a rule off.
EXIT_STOP_LOSS_PCT = read.number("EXIT_STOP_LOSS_PCT", "8", low="0", high="99")
EXIT_TRAIL_FROM_PCT = read.number("EXIT_TRAIL_FROM_PCT", "12", low="0", high="1000")
EXIT_TRAIL_BY_PCT = read.number("EXIT_TRAIL_BY_PCT", "5", low="0", high="99")
EXIT_TIME_STOP_DAYS = read.number("EXIT_TIME_STOP_DAYS", "14", low="0", high="3650")
REPLAY_SPEED = read.number("REPLAY_SPEED", "600", low="1", high="100000")
PAPER_FEE_BPS = read.number("PAPER_FEE_BPS", "4.5", low="0", high="1000")
PAPER_SPOT_FEE_BPS = read.number("PAPER_SPOT_FEE_BPS", "7", low="0", high="1000")
PAPER_SLIPPAGE_BPS = read.number("PAPER_SLIPPAGE_BPS", "2", low="0", high="1000")
PAPER_LATENCY_MS = read.whole("PAPER_LATENCY_MS", 250, low=0, high=60000)
HYPERLIQUID_URL = read.text("HYPERLIQUID_URL", "https://api.hyperliquid.xyz").rstrip("/")
EXCHANGE_DUST_USD = read.number("EXCHANGE_DUST_USD", "1", low="0", high="1000000")
EXCHANGE_DUST_PCT = read.number("EXCHANGE_DUST_PCT", "0.01", low="0", high="10")
EGRESS_NAME = read.text("EGRESS_NAME", "") or socket.gethostname()
EVM_CHAINS_FILE = BASE_DIR / read.text("EVM_CHAINS_FILE", "data/evm_chains.yaml")
# Nodes by name of their chain; an address may hold a secret, so it is never shown or logged.
EVM_RPC = read.family(
    "EVM_RPC_", known=("ETHEREUM", "ARBITRUM", "BASE", "OPTIMISM", "POLYGON"), setting="EVM_RPC"
)
EVM_REQUESTS_PER_MINUTE = read.whole("EVM_REQUESTS_PER_MINUTE", 600, low=12, high=1000000)
EXCHANGE_GATEWAY = read.text("EXCHANGE_GATEWAY", "").rstrip("/")
INSTALLATION_KEY = read.text("INSTALLATION_KEY", "") or SECRET_KEY
LIVE_TRADING = read.flag("LIVE_TRADING", default=False)
LIVE_SHADOW_HOURS = read.whole("LIVE_SHADOW_HOURS", 24, low=1, high=8760)
LIVE_RAMP_DAYS = read.whole("LIVE_RAMP_DAYS", 3, low=0, high=365)
LIVE_RAMP_ORDERS = read.whole("LIVE_RAMP_ORDERS", 5, low=0, high=10000)
LIVE_STREAM = read.flag("LIVE_STREAM", default=True)
LIVE_SILENT_SECONDS = read.whole("LIVE_SILENT_SECONDS", 10, low=1, high=50)
HYPERLIQUID_CONNECTS_PER_MINUTE = read.whole("HYPERLIQUID_CONNECTS_PER_MINUTE", 10, low=1, high=30)
VENUE_CONNECTS_PER_MINUTE = read.whole("VENUE_CONNECTS_PER_MINUTE", 6, low=1, high=30)
VENUE_SUBSCRIPTIONS_MAX = read.whole("VENUE_SUBSCRIPTIONS_MAX", 100, low=1, high=200)
HYPERLIQUID_SUBSCRIPTIONS_MAX = read.whole("HYPERLIQUID_SUBSCRIPTIONS_MAX", 100, low=1, high=1000)
# Telling people (OPS-1).
ALERTS_REPEAT_MINUTES = read.whole("ALERTS_REPEAT_MINUTES", 15, low=1, high=1440)
ALERTS_UNKNOWN_SECONDS = read.whole("ALERTS_UNKNOWN_SECONDS", 60, low=5, high=3600)
ALERTS_TRADER_MINUTES = read.whole("ALERTS_TRADER_MINUTES", 5, low=1, high=1440)
ALERTS_RETENTION_DAYS = read.whole("ALERTS_RETENTION_DAYS", 90, low=1, high=3650)
ALERTS_ALLOW_PRIVATE = read.flag("ALERTS_ALLOW_PRIVATE", default=False)
HYPERLIQUID_WEIGHT_PER_MINUTE = read.whole("HYPERLIQUID_WEIGHT_PER_MINUTE", 1200, low=20, high=100000)

read.problems_raise()

# ---------------------------------------------------------------- Django
INSTALLED_APPS = [
    "portfolio_site",
    "accounts",
    "alerts",
    "markets",
    "traders",
    "allocation",
    "execution",
    "positions",
    "engine",
    "dashboard",
    "api",
    "accounts.admin_app.GuardedAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "channels",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_structlog",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "portfolio_site.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portfolio_site.languages.PersonLanguage",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.SessionSeen",
    "django_structlog.middlewares.RequestMiddleware",
]
ROOT_URLCONF = "portfolio_site.urls"
ASGI_APPLICATION = "portfolio_site.asgi.application"
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
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("pl", "Polski")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_AGE = 31_536_000
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

# A connection is handed back after each request or task: kept ones leak under ASGI. The pool makes that cheap
# in the web process; a Celery child has one task at a time and would rebuild the pool around each. The check
# as one is handed out (50 µs) keeps connections that died with a restarted server from being served.
DATABASES = {
    "default": environ.Env.db_url_config(DATABASE_URL) | {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True},
}
if DATABASE_POOL:
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_MAX,
        "timeout": 10,
    }
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
    },
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "ensemble"},
    },
}
if EMAIL_URL:
    locals().update(environ.Env.email_url_config(EMAIL_URL))
else:
    EMAIL_BACKEND = "accounts.mail.KeptMail"
    EMAIL_FILE_PATH = str(VAR_DIR / "mail")
EMAIL_TIMEOUT = 10

# ---------------------------------------------------------------- files
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = (
    True  # by portfolio_site.static_files, served from where they lie: nothing to collect before a start
)
WHITENOISE_ALLOW_ALL_ORIGINS = False

# ---------------------------------------------------------------- people and safety
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "portfolio_site.operator_rights.OperatorRights",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = EMAIL_VERIFICATION
ACCOUNT_CHANGE_EMAIL = True  # one address; the new one replaces it once it is verified
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Ensemble] "
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_SESSION_REMEMBER = True
# One policy at every door: so many failures for one account lock it for so long, ten a minute one address.
ACCOUNT_RATE_LIMITS = {"login_failed": f"10/m/ip,{LOCKOUT_FAILURES}/{LOCKOUT_SECONDS}s/key"}
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
MFA_ADAPTER = "accounts.adapters.SecondFactorAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = EMAIL_VERIFICATION == "none"
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Ensemble"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "portfolio_site.error_reports.ClosedReports"

# What a token may do stands beside it, in accounts.models.tokens.
KNOX_TOKEN_MODEL = "knox.AuthToken"  # noqa: S105 - the name of a model
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_RENDERER_CLASSES": ["api.renderers.SaidRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "api.openapi.ApiSchema",
    "COERCE_DECIMAL_TO_STRING": True,
}

SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",
    "TITLE": "Ensemble",
    "VERSION": "1",
    "DESCRIPTION": (
        "Everything the pages do. Decimals are strings, times ISO-8601 UTC, percentages percent points. "
        "Errors are problem+json (RFC 9457). Lists come newest first, in pages: follow `next`."
    ),
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "AlertKind": "alerts.models.AlertKind",
        "ApprovalStatus": "positions.models.ConflictApproval.Status",
        "BreakerKind": "allocation.models.BreakerTrip.Kind",
        "CommandKind": "engine.models.Command.Kind",
        "CommandStatus": "engine.models.Command.Status",
        "ConflictKind": "api.fields.CONFLICT_KINDS",
        "ConflictRule": "accounts.models.RULE_CHOICES",
        "ExitKind": "engine.models.ExitTrigger.Kind",
        "ExitStatus": "engine.models.ExitTrigger.Status",
        "FollowStatus": "allocation.models.Follow.Status",
        "FollowWish": "api.serializers.FOLLOW_WISHES",
        "KeyPurpose": "accounts.models.Credential.Purpose",
        "LedgerKind": "allocation.models.LedgerEntry.Kind",
        "OpenSide": "api.fields.OPEN_SIDES",
        "OrderPurpose": "execution.models.Order.Purpose",
        "OrderSide": "execution.models.SIDE_CHOICES",
        "OrderStatus": "execution.models.Order.Status",
        "PortfolioStatus": "accounts.models.Portfolio.Status",
        "PositionSide": "core.types.PositionSide",
        "PositionStatus": "positions.models.Position.Status",
        "ReservationStatus": "allocation.models.Reservation.Status",
        "RiskProfile": "accounts.models.PROFILE_CHOICES",
        "SignalSide": "traders.models.SIDE_CHOICES",
        "TraderKind": "traders.models.KIND_CHOICES",
        "TraderStatus": "traders.models.Trader.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.openapi.problems_add",
    ],
}

# ---------------------------------------------------------------- background work
CELERY_BROKER_URL = broker_url_from(redis_url=REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# With the defaults a worker was still deaf a minute after a half-open connection had ended.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
CELERY_TASK_DEFAULT_QUEUE = "upkeep"
CELERY_TASK_ROUTES = {
    f"{queue}.*": {"queue": queue}
    for queue in ("sync", "plan", "orders", "live", "exits", "commands", "upkeep", "alerts")
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "run" / "beat-schedule")

# ---------------------------------------------------------------- logs
structlog_configure()
LOGGING = logging_config(format_name=LOG_FORMAT, level=LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# What goes well is told once or not at all: requests at their end, the tasks of every second when they fail.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_DEFAULT_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_SUCCESS_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_RETRY_LOG_LEVEL = logging.DEBUG  # and of ticks that expired behind a busy worker
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
