"""Settings come from file, environment and flags in that order, and errors name the culprit."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "set.yaml"
    path.write_text(text)
    return path


def test_the_defaults_need_nothing() -> None:
    """With nothing set anywhere the collector listens on loopback and keeps ./data."""
    settings = load_settings()
    assert settings == Settings()
    assert settings.data == Path("data")
    assert settings.receive.grpc == "127.0.0.1:4317"


def test_each_source_beats_the_one_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag over environment over file over default, key by key also inside a folder's settings."""
    path = _file(tmp_path, "data: a\nlog_level: debug\nreceive: {grpc: f:1, http: f:2}\n")
    assert load_settings(path).receive.http == "f:2"
    monkeypatch.setenv("AGENTCOST_RECEIVE__GRPC", "e:1")
    monkeypatch.setenv("AGENTCOST_DATA", "b")
    settings = load_settings(path, {"data": Path("c")})
    assert (settings.data, settings.log_level) == (Path("c"), "debug")
    assert (settings.receive.grpc, settings.receive.http) == ("e:1", "f:2")
    assert load_settings(path).data == Path("b")


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, else AGENTCOST_CONFIG, else the usual place where it exists."""
    (tmp_path / "config/agentcost").mkdir(parents=True)
    (tmp_path / "config/agentcost/config.yaml").write_text("data: usual")
    assert load_settings().data == Path("usual")
    (tmp_path / "named.yaml").write_text("data: named")
    monkeypatch.setenv("AGENTCOST_CONFIG", str(tmp_path / "named.yaml"))
    assert load_settings().data == Path("named")
    assert load_settings(_file(tmp_path, "data: flag")).data == Path("flag")
    assert load_settings(_file(tmp_path, "")).data == Path("data")


def test_lists_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several folders are written in one variable as in PATH, several prefixes with commas."""
    monkeypatch.setenv("AGENTCOST_RATE_CARDS", "one:two/three")
    monkeypatch.setenv("AGENTCOST_KEEP", "app.,shop.")
    settings = load_settings()
    assert settings.rate_cards == (Path("one"), Path("two/three"))
    assert settings.rate_card_directories()[1:] == list(settings.rate_cards)
    assert settings.keep == ("app.", "shop.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dta: x", r"set\.yaml: dta is not a setting; did you mean data\?"),
        ("receive: {grcp: x}", r"set\.yaml: receive\.grcp is not a setting; did you mean grpc\?"),
        ("zzz: 1", r"zzz is not a setting; known are data, rate_cards"),
        ("1: 1", "1 is not a setting"),
        ("log_level: loud", r"set\.yaml: log_level: .*'debug'.*not 'loud'"),
        ("receive: {bytes_in_flight_max: many}", r"set\.yaml: receive\.bytes_in_flight_max: .*int"),
        ("data: 'a[1]'", r"set\.yaml: data: .*a path with '\['.* another folder"),
        ("book: {date_min: 2020-01-01}", "book is not a setting"),
        ("receive: 4317", r"set\.yaml: receive: .*not 4317"),
        ("- a\n- b", "should hold settings"),
        ("a: [", "not valid YAML"),
        ("a: \0", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    """One sentence says which file and key is wrong and what it should be."""
    with pytest.raises(ConfigError, match=says) as error:
        load_settings(_file(tmp_path, text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AGENTCOST_DTA", "x", "environment: dta is not a setting; did you mean data"),
        ("AGENTCOST_RECEIVE__GRCP", "x", r"environment: receive\.grcp is not a setting"),
        ("AGENTCOST_RECEIVE", "{", "environment: .*receive"),
        ("AGENTCOST_LOG_LEVEL", "loud", "environment: log_level: "),
        ("AGENTCOST_CONFIG", "gone.yaml", r"gone\.yaml: cannot be read: No such file"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    """One sentence says that the environment is wrong, and where."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=says):
        load_settings()


def test_variables_of_an_orchestrator_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kubernetes injects for a Service named agentcost does not stop the start."""
    for name in ("PORT", "SERVICE_HOST", "SERVICE_PORT_GRPC", "PORT_4317_TCP_ADDR", "WEB_PORT"):
        monkeypatch.setenv(f"AGENTCOST_{name}", "tcp://10.0.0.1:4317")
    assert load_settings() == Settings()


def test_settings_survive_the_way_to_a_child_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written as JSON and read back they are the same, whatever the environment says then."""
    settings = load_settings(flags={"data": Path("/x"), "rate_cards": [Path("a"), Path("b")]})
    monkeypatch.setenv("AGENTCOST_DATA", "/other")
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_booking_and_ledger_file_alike(tmp_path: Path) -> None:
    """What is set for the ledger holds for booking too: they could not disagree."""
    settings = load_settings(
        _file(tmp_path, "ledger: {environments: [live], date_min: 2024-02-03}")
    )
    assert settings.book.environments == settings.ledger.environments == ("live",)
    assert settings.book.date_min == settings.ledger.date_min == date(2024, 2, 3)


def test_where_metrics_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our setting, else the variables of OpenTelemetry, else the usual port; empty is nowhere."""
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_PROMETHEUS_{name}", raising=False)
    assert load_settings().metrics == "127.0.0.1:9464"
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "::1")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "9000")
    assert load_settings().metrics == "[::1]:9000"
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "many")
    with pytest.raises(ConfigError, match=r"metrics: .*many.*HOST:PORT"):
        load_settings()
    monkeypatch.setenv("AGENTCOST_METRICS", "")
    assert load_settings().metrics == ""
