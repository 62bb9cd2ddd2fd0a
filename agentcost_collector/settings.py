"""All settings: composes each folder's Config and reads them from file, environment and flags.

Lowest to highest: the defaults, a YAML file, environment variables `AGENTCOST_...` (`__` between
levels: AGENTCOST_RECEIVE__GRPC), command-line flags. The file is --config, else $AGENTCOST_CONFIG,
else agentcost/config.yaml in $XDG_CONFIG_HOME (~/.config) where it exists. Unknown keys are errors.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from agentcost_collector.access.config import Config as AccessConfig
from agentcost_collector.alert.config import Config as AlertConfig
from agentcost_collector.anchor_config import Config as AnchorConfig
from agentcost_collector.assemble.config import Config as AssembleConfig
from agentcost_collector.attribute.config import Config as AttributeConfig
from agentcost_collector.book.config import Config as BookConfig
from agentcost_collector.canary.config import Config as CanaryConfig
from agentcost_collector.decode.config import Config as DecodeConfig
from agentcost_collector.decode.keep import CONTENT
from agentcost_collector.journal.config import Config as JournalConfig
from agentcost_collector.ledger.config import Config as LedgerConfig
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.receive.address import parse
from agentcost_collector.receive.config import Config as ReceiveConfig
from agentcost_collector.report.config import Config as ReportConfig

PREFIX = "AGENTCOST_"

_FILE_VARIABLE = f"{PREFIX}CONFIG"
# Kubernetes sets these in every pod for a Service that is named "agentcost".
_INJECTED = re.compile(rf"{PREFIX}(.*_)?(PORT|SERVICE_HOST|SERVICE_PORT)(_.*)?$")
_SECRET = {("alerts", "urls"), ("alerts", "alertmanager")}  # values that errors do not show
_NOT_IN_PATHS = re.compile(r"[\[\]^|\\%\x00-\x1f\ud800-\udfff]")

Tree = Mapping[str, Any]


class Settings(BaseSettings):
    """Everything that can be set, resolved once at start."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        validate_default=True,
    )

    data: Path = Path("data")
    """Folder of the journal and the ledger; made where it is missing."""
    rate_cards: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders of rate cards that add to the bundled ones or replace them; in the environment
    variable separated as in PATH."""
    policy: Path | None = None
    """File that says where tags are found and who pays; see docs/policy.md. None: the defaults."""
    budgets: Path | None = None
    """File of budgets; see docs/budgets.md."""
    prices: Path | None = None
    """File of what tenants pay; see docs/reports.md."""
    keep: Annotated[tuple[str, ...], NoDecode] = ()
    """Prefixes of span attributes that are kept beside those that matter to cost; in the
    environment variable separated by commas."""
    read_bytes_max: int = Field(default=64 * 1024 * 1024, ge=1)
    """Bytes of spans, as stored or recorded, that are taken up at once."""
    settle_spans_max: int = Field(default=200_000, ge=1)
    """Spans that one commit of the ledger holds; a larger trace is a commit of its own."""
    poll_ms: int = Field(default=200, ge=1)
    """Pause after which the pipeline looks for new spans when there were none. Milliseconds."""
    stop_grace_s: float = Field(default=10, ge=0, le=25)
    """How long a stopping receiver waits for requests that it is taking in. Seconds."""
    metrics: str = Field(default_factory=lambda: _prometheus_address(os.environ))
    """HOST:PORT where Prometheus finds the service's own metrics; empty for none. Without it
    $OTEL_EXPORTER_PROMETHEUS_HOST and $OTEL_EXPORTER_PROMETHEUS_PORT count."""
    health: str = "127.0.0.1:13133"
    """HOST:PORT where probes ask the receiver for /healthz and /readyz, and Prometheus finds its
    metrics; empty for none."""
    self_trace: str = ""
    """HOST:PORT, or https://HOST:PORT, of another OTLP/gRPC receiver that gets spans about this
    service's own work; empty for none. Needs the extra `selftrace`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious log line that is written."""

    access: AccessConfig = AccessConfig()
    receive: ReceiveConfig = ReceiveConfig()
    decode: DecodeConfig = DecodeConfig()
    journal: JournalConfig = JournalConfig()
    assemble: AssembleConfig = AssembleConfig()
    attribute: AttributeConfig = AttributeConfig()
    ledger: LedgerConfig = LedgerConfig()
    report: ReportConfig = ReportConfig()
    anchor: AnchorConfig = AnchorConfig()
    alerts: AlertConfig = AlertConfig()
    canary: CanaryConfig = CanaryConfig()

    @property
    def journal_path(self) -> Path:
        """Folder of the journal."""
        return self.data / "journal"

    @property
    def ledger_path(self) -> Path:
        """Folder of the ledger's tables."""
        return self.data / "ledger"

    @property
    def tokens_path(self) -> Path:
        """File of the tokens that open the doors."""
        return self.access.tokens or self.data / "tokens.jsonl"

    @property
    def audit_path(self) -> Path:
        """The audit log."""
        return self.access.audit or self.data / "audit.jsonl"

    @property
    def budget_records_path(self) -> Path:
        """Who signed which budget, and who acknowledged what."""
        return self.data / "budgets.jsonl"

    @property
    def progress_path(self) -> Path:
        """Where the pipeline notes how far it is, for `agentcost status`."""
        return self.data / "progress.json"

    @property
    def pipeline_lock_path(self) -> Path:
        """File that is locked while a pipeline process lives."""
        return self.data / "pipeline.lock"

    def listening(self) -> tuple[str, str]:
        """Addresses where OTLP is received."""
        return self.receive.grpc, self.receive.http

    def rate_card_directories(self) -> list[Path]:
        """Folders of rate cards: the bundled ones, then the user's, which may replace them."""
        return [bundled_rate_cards(), *self.rate_cards]

    @property
    def book(self) -> BookConfig:
        """Booking files entries exactly as the ledger does, so it has no settings of its own."""
        return BookConfig(environments=self.ledger.environments, date_min=self.ledger.date_min)

    @field_validator("data")
    @classmethod
    def _usable(cls, value: Path) -> Path:
        unusable = _NOT_IN_PATHS.search(os.path.abspath(value))
        if unusable:
            raise ValueError(
                f"the storage library cannot keep tables in a path with {unusable[0]!r} in it;"
                " choose another folder"
            )
        return value

    @field_validator("metrics", "health")
    @classmethod
    def _address(cls, value: str) -> str:
        return str(parse(value)) if value else value

    @field_validator("rate_cards", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        return _split(value, os.pathsep)

    @field_validator("keep", mode="before")
    @classmethod
    def _prefixes(cls, value: Any) -> Any:
        return _split(value, ",")

    @field_validator("keep")
    @classmethod
    def _no_content(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in value:
            if prefix.startswith(CONTENT):
                raise ValueError(f"{prefix} holds content, which is never stored; leave it out")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `load_settings` reads the sources, to name them in errors."""
        return (init_settings,)


def load_settings(config: Path | None = None, flags: Tree | None = None) -> Settings:
    """Settings from all sources; `flags` is a tree of what the command line says.

    Raises ConfigError naming the source, the key and what is wrong with it.
    """
    path = _file(config)
    sources: list[tuple[str, Tree]] = [
        (str(path), _read(path) if path else {}),
        ("environment", _environment()),
        ("command line", flags or {}),
    ]
    merged: dict[str, Any] = {}
    for name, tree in sources:
        for key, of in _unknown(Settings, tree):
            raise ConfigError(_unknown_key(name, key, of))
        merged = _merge(merged, tree)
    try:
        return Settings.model_validate(merged)
    except ValidationError as invalid:
        raise ConfigError(_explain(invalid, sources)) from invalid


def _prometheus_address(environment: Mapping[str, str]) -> str:
    host = environment.get("OTEL_EXPORTER_PROMETHEUS_HOST") or "127.0.0.1"
    port = environment.get("OTEL_EXPORTER_PROMETHEUS_PORT") or "9464"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _file(config: Path | None) -> Path | None:
    named = config or os.environ.get(_FILE_VARIABLE)
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    usual = Path(home, "agentcost", "config.yaml")
    return usual if usual.is_file() else None


def _read(path: Path) -> Tree:
    try:
        tree = yaml.safe_load(path.read_bytes())
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read: {fault.strerror}") from fault
    except yaml.YAMLError as broken:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(broken).split())}") from broken
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: should hold settings as `key: value`, not one value")
    return tree


def _environment() -> Tree:
    fields = Settings.model_fields
    for name in sorted(os.environ):
        key = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or name == _FILE_VARIABLE or _INJECTED.match(name):
            continue
        if key.split("__")[0] not in fields:
            raise ConfigError(_unknown_key("environment", key.replace("__", "."), Settings))
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as invalid:
        raise ConfigError(f"environment: {invalid}") from invalid


def _unknown(
    model: type[BaseModel], tree: Tree, prefix: str = ""
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Dotted keys of `tree` that `model` does not have, and the model that should."""
    for key, value in tree.items():
        if key not in model.model_fields:
            yield f"{prefix}{key}", model
            continue
        inner = model.model_fields[key].annotation
        if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _unknown(inner, value, f"{prefix}{key}.")


def _unknown_key(source: str, key: str, model: type[BaseModel]) -> str:
    close = difflib.get_close_matches(key.rpartition(".")[2], model.model_fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(model.model_fields)}"
    return f"{source}: {key} is not a setting; {hint}"


def _merge(below: Tree, above: Tree) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _explain(invalid: ValidationError, sources: list[tuple[str, Tree]]) -> str:
    """The first error in one sentence, with the highest source that has the key."""
    error = invalid.errors(include_url=False)[0]
    path = [str(part) for part in error["loc"]]
    source = next((name for name, tree in reversed(sources) if _has(tree, path)), "settings")
    reason = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    value = repr(error["input"])
    secret = tuple(path[:2]) in _SECRET
    shown = not (secret or isinstance(error["input"], Mapping) or value in reason)
    given = f", not {value}" if shown else ""
    return f"{source}: {'.'.join(path) or 'settings'}: {reason}{given}"


def _split(value: Any, separator: str) -> Any:
    return [v for v in value.split(separator) if v] if isinstance(value, str) else value


def _has(tree: Any, path: list[str]) -> bool:
    for part in path:
        if not isinstance(tree, Mapping):
            return True  # the path goes on inside a value
        if part not in tree:
            return False
        tree = tree[part]
    return True
