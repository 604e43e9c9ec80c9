"""Every setting: its name, its default, what it means. The reference page is made from here.

A section is what one room receives. Durations are float seconds, sizes are int bytes, paths are absolute once loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from mo_sync.settings.inbox import Inbox
from mo_sync.settings.keeping import Ledger, Retention, Store, Verify
from mo_sync.settings.section import Section
from mo_sync.settings.units import Duration, Size, TypePattern

__all__ = [
    "Application",
    "Drop",
    "Gateway",
    "Inbox",
    "Ledger",
    "Limits",
    "Log",
    "Metrics",
    "OAuth",
    "Relay",
    "Retention",
    "Retry",
    "Scan",
    "Settings",
    "Store",
    "Sync",
    "Verify",
]


class Gateway(Section):
    """Where Syniverse's API is and how patient to be with it."""

    base_url: str = Field("https://api.syniverse.com", description="The API's origin, without a path.")
    token: SecretStr | None = Field(
        None, description="The application token; better given as `token_file`.", examples=["…"]
    )
    token_file: Path | None = Field(
        None, description="A file that holds the application token, and nothing else.", examples=["token"]
    )
    connect_timeout: Duration = Field(10.0, gt=0, description="How long a connection may take to be made.")
    read_timeout: Duration = Field(30.0, gt=0, description="How long the gateway may be silent.")
    total_timeout: Duration = Field(900.0, gt=0, description="How long one attachment may take in all.")
    proxy: str | None = Field(
        None,
        description="A proxy for the gateway; the environment's is used when absent.",
        examples=["http://proxy.example.com:3128"],
    )
    ca_bundle: Path | None = Field(
        None, description="Certificates to trust instead of the usual ones (PEM).", examples=["/etc/ssl/company.pem"]
    )
    requests_per_second: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="A ceiling for each application; none when absent.", examples=[20]
    )
    refresh: bool = Field(
        False, description="Have an expired token exchanged for a new one, which is written into its `token_file`."
    )
    refresh_interval: Duration = Field(
        600.0, ge=60, description="One token is not refreshed more often than this, whatever comes of it."
    )
    consumer_key: SecretStr | None = Field(
        None, description="The application's consumer key, for `refresh`.", examples=["…"]
    )
    consumer_key_file: Path | None = Field(
        None, description="A file that holds the consumer key, and nothing else.", examples=["consumer-key"]
    )
    consumer_secret: SecretStr | None = Field(
        None, description="The application's consumer secret; better given as `consumer_secret_file`.", examples=["…"]
    )
    consumer_secret_file: Path | None = Field(
        None, description="A file that holds the consumer secret, and nothing else.", examples=["consumer-secret"]
    )


class Application(Section):
    """One SDC application; the table's name is its id, as in `[applications.17226]`."""

    token: SecretStr | None = Field(
        None, description="This application's token; better given as `token_file`.", examples=["…"]
    )
    token_file: Path | None = Field(
        None, description="A file that holds this application's token, and nothing else.", examples=["17226.token"]
    )
    workers: int | None = Field(
        None, ge=1, description="Fetches at the same time; `sync.workers` when absent.", examples=[16]
    )
    requests_per_second: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="A ceiling; the gateway's when absent.", examples=[5]
    )
    consumer_key: SecretStr | None = Field(
        None, description="Its consumer key, when it has a `token_file` of its own; else the gateway's.", examples=["…"]
    )
    consumer_key_file: Path | None = Field(
        None, description="A file that holds this consumer key, and nothing else.", examples=["17226.consumer-key"]
    )
    consumer_secret: SecretStr | None = Field(
        None, description="Its consumer secret; better given as `consumer_secret_file`.", examples=["…"]
    )
    consumer_secret_file: Path | None = Field(
        None,
        description="A file that holds this consumer secret, and nothing else.",
        examples=["17226.consumer-secret"],
    )


class Drop(Section):
    """The folder that takes event files from anyone."""

    path: Path | None = Field(None, description="The drop folder; without it there is no drop feed.", examples=["drop"])
    interval: Duration = Field(5.0, gt=0, description="How often it is scanned when no notification comes.")
    settle: Duration = Field(1.0, description="How long a file must stand still before it is taken.")
    keep: Literal["move", "delete"] = Field("move", description="After the commit: move to `done/`, or delete.")
    pattern: str = Field("*", description="Only files whose names match are taken (shell pattern).")


class Relay(Section):
    """The receiver of the event service's POSTs: `mo-sync relay`, and inside `mo-sync run` when it listens."""

    listen: str | None = Field(None, description="Where it listens; nowhere when absent.", examples=["127.0.0.1:8080"])
    path: str = Field("/events", description="The path that events are posted to.")
    rotate: Duration = Field(1.0, gt=0, description="How old a segment in the drop folder may become.")
    rotate_bytes: Size = Field(8_000_000, ge=1024, description="How large a segment in the drop folder may become.")
    max_body: Size = Field(1024 * 1024, ge=1024, description="Larger bodies are refused, also when they are unpacked.")
    commit_timeout: Duration = Field(
        2.0, gt=0, description="How long the ledger may take; then events go to the drop folder instead."
    )
    unreadable: Literal["keep", "refuse"] = Field(
        "keep", description="What is not understood is kept as `rejected` and acknowledged, or refused with 400."
    )
    basic: SecretStr | None = Field(
        None, description="Who may post: `USER:PASSWORD`, one a line; better given as `basic_file`.", examples=["…"]
    )
    basic_file: Path | None = Field(
        None, description="A file with `USER:PASSWORD` on each line.", examples=["relay.users"]
    )
    bearer: SecretStr | None = Field(
        None, description="Bearer tokens that may post, one a line; better given as `bearer_file`.", examples=["…"]
    )
    bearer_file: Path | None = Field(
        None, description="A file with a bearer token on each line.", examples=["relay.tokens"]
    )
    networks: tuple[str, ...] = Field(
        (), description="Only from these networks (`203.0.113.0/24`); from all when empty."
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Networks of proxies whose `X-Forwarded-For` tells who posts."
    )
    anonymous: bool = Field(
        False, description="Let anybody post, without a password or token, on a public address too."
    )
    certificate: Path | None = Field(None, description="TLS: the certificate chain (PEM).", examples=["relay.pem"])
    certificate_key: Path | None = Field(None, description="TLS: its private key (PEM).", examples=["relay.key"])
    client_ca: Path | None = Field(
        None, description="TLS: only clients with a certificate of these authorities (PEM).", examples=["ess-ca.pem"]
    )
    max_connections: int = Field(1_000, ge=1, le=100_000, description="More connections at once are refused with 503.")
    header_timeout: Duration = Field(10.0, gt=0, description="How long a request's headers may take.")
    body_timeout: Duration = Field(30.0, gt=0, description="How long a request's body may take.")


class OAuth(Section):
    """Who may post to the relay with a bearer token of an authorization server: by its keys, or by asking it."""

    issuer: str | None = Field(
        None, description="The `iss` of its tokens; needed with keys.", examples=["https://login.example.com"]
    )
    audience: str | None = Field(
        None, description="The `aud` that its tokens have when they are for us; needed with keys.", examples=["mo-sync"]
    )
    scope: str | None = Field(None, description="A scope that tokens must have.", examples=["events:write"])
    keys_url: str | None = Field(
        None,
        description="Signed tokens (JWT): where its public keys are (JWKS).",
        examples=["https://login.example.com/.well-known/jwks.json"],
    )
    keys_file: Path | None = Field(None, description="The same keys as a file.", examples=["jwks.json"])
    introspection: str | None = Field(
        None,
        description="Other tokens: where to ask about each (RFC 7662).",
        examples=["https://login.example.com/introspect"],
    )
    client_id: str | None = Field(None, description="As whom mo-sync asks there.", examples=["mo-sync"])
    client_secret: SecretStr | None = Field(
        None, description="With which secret; better given as `client_secret_file`.", examples=["…"]
    )
    client_secret_file: Path | None = Field(
        None, description="A file that holds that secret, and nothing else.", examples=["oauth.secret"]
    )
    timeout: Duration = Field(5.0, gt=0, description="How long the authorization server may be silent.")


class Sync(Section):
    """How the reconciler works."""

    workers: int = Field(64, ge=1, le=1024, description="Fetches at the same time.")
    batch: int = Field(64, ge=1, le=10_000, description="Claims and settles in one transaction, at the most.")
    interval: Duration = Field(5.0, gt=0, description="How often due attachments are looked for.")
    lease: Duration = Field(120.0, ge=1, description="How long a claim is good for without a sign of life.")
    stop_grace: Duration = Field(30.0, description="How long running fetches may finish after a stop.")


class Retry(Section):
    """When to try again, and when to give up."""

    base: Duration = Field(10.0, gt=0, description="Upper bound of the first delay; it doubles each time.")
    max_delay: Duration = Field(3600.0, gt=0, description="Upper bound of any delay.")
    max_attempts: int = Field(12, ge=1, description="Attempts before an attachment is `failed`.")
    absent_attempts: int = Field(5, ge=1, description='How often "no such attachment" is doubted before `missing`.')
    give_up_after: Duration = Field(72 * 3600.0, gt=0, description="Age at which an attachment is `failed`.")
    snooze: Duration = Field(60.0, gt=0, description="Delay when an attachment is not uploaded yet.")
    hold: Duration = Field(300.0, gt=0, description="Rest of an application whose credentials or credit are refused.")


class Limits(Section):
    """What we refuse, and how much room must be left."""

    max_bytes: Size = Field(500_000_000, ge=1, description="Larger attachments are `refused`.")
    min_free: Size = Field(1_000_000_000, description="Below this much free space nothing is fetched.")
    max_bytes_of: dict[TypePattern, Size] = Field(
        {},
        description='Other sizes for content types like `"video/*"` or `"image/png"`; the most specific counts.',
    )
    allow_types: tuple[TypePattern, ...] = Field(
        (), description="When given, other content types are `refused` (`image/*`)."
    )
    deny_types: tuple[TypePattern, ...] = Field((), description="These content types are `refused`.")
    scan_status: dict[str, Literal["fetch", "quarantine", "refuse"]] = Field(
        {"OK": "fetch", "NONE": "fetch"},
        description="What to do for each `anti_virus_scan_status`; any other is quarantined, none at all is fetched.",
    )
    max_event: Size = Field(16 * 1024 * 1024, ge=1024, description="Larger single events are rejected.")


class Scan(Section):
    """A virus scanner of your own: with it, nothing is shown that it did not see."""

    clamd: str | None = Field(
        None,
        description="Where ClamAV's clamd listens: `unix:PATH` or `tcp://HOST:PORT`. Without it nothing is scanned.",
        examples=["unix:/run/clamav/clamd.ctl"],
    )
    timeout: Duration = Field(120.0, gt=0, description="How long the scan of one file may take.")
    max_bytes: Size = Field(
        25_000_000, ge=1, description="Larger files are not scanned; at most clamd's own `StreamMaxLength`."
    )
    too_large: Literal["quarantine", "store"] = Field(
        "quarantine", description="What becomes of files that are too large to be scanned."
    )


class Metrics(Section):
    """Numbers for Prometheus, while `mo-sync run` runs."""

    listen: str | None = Field(
        None,
        description="Where they can be asked for; nowhere when absent. They hold no names, numbers or files.",
        examples=["127.0.0.1:9464"],
    )


class Log(Section):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged; when not set, `warning` beside the bar of `--sync-now`."
    )
    format: Literal["auto", "json", "console"] = Field("auto", description="`auto`: console on a terminal, else JSON.")


class Settings(Section):
    """All settings, as one tree."""

    gateway: Gateway = Gateway()
    applications: dict[str, Application] = Field({}, description="Applications with tokens of their own.")
    drop: Drop = Drop()
    relay: Relay = Relay()
    oauth: OAuth = OAuth()
    inbox: Inbox = Inbox()
    ledger: Ledger = Ledger()
    store: Store = Store()
    sync: Sync = Sync()
    retry: Retry = Retry()
    limits: Limits = Limits()
    scan: Scan = Scan()
    verify: Verify = Verify()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    log: Log = Log()
