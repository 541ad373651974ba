"""`monitor bridge fhir`: resources that an independent library accepts, on a server or in files."""

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.observation import Observation as ObservationR5
from fhir.resources.R4B.observation import Observation as ObservationR4

from monitor.bridges.fhir import FhirServer, strips_of
from monitor.bridges.fhir_resources import resource_of
from monitor.bridges.fhir_versions import FhirVersion
from monitor.bridges.outlet import UnavailableError
from pipeline.errors import ConfigError
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.public import Alert, Gap, SignalStrip, Unrecorded, encode_json
from pipeline.schema.public import PublishedAlert as Published
from tests.monitor.cli.test_app import exit_code
from tests.support.bridges import Bridge, running_bridge
from tests.support.http_server import Answer, HttpServer
from tests.support.logs import alert as logged
from tests.support.ports import free_ports
from tests.support.running import running_hub, until

pytestmark = pytest.mark.system

PORT = free_ports()
ENDPOINT = f"tcp://127.0.0.1:{PORT}"
ALERT = Published(
    stream="s1", kind="extreme_tachycardia", category="physiological", priority="high", sample=7,
    time_s=0.1, reason="182 bpm, above 150", log_id="ab", seq=12, utc="2026-11-21T10:15:30.120Z",
    bpm=182.0, values={"bpm": 182.0, "limit_bpm": 150.0},
)  # fmt: skip
STRIP = SignalStrip(
    stream="s1", first_sample=0, fs_hz=360.0, mv=[0.5, None, -1.2345, 0.0], leads=["II", "MLII"],
    more_mv=[[0.0, 0.1, 0.2, 0.3]], lead="II",
)  # fmt: skip
VERSIONS: dict[FhirVersion, Callable[[dict[str, Any]], Any]] = {
    FhirVersion.R4: ObservationR4.model_validate,
    FhirVersion.R5: ObservationR5.model_validate,
}


def strips(strip: SignalStrip | None) -> Callable[[int], SignalStrip | None]:
    """Return a source of this strip."""
    return lambda seq: strip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("strip", [None, STRIP])
@pytest.mark.parametrize(
    "alert",
    [ALERT, logged(9, kind="no_scorer", stream="", category="technical", state="off"),
     logged(9, state="latched", bpm=None)],
)  # fmt: skip
def test_an_observation_is_valid(
    alert: Alert, strip: SignalStrip | None, version: FhirVersion
) -> None:
    """In R4 and R5, of any alert, with a strip and without."""
    resource = json.loads(encode_json(resource_of(alert, strip, version)))
    VERSIONS[version](resource)


def test_the_strip_is_sampled_data_in_microvolts_under_the_lead() -> None:
    """MDC codes of the leads, ``E`` for masked values, and each release's own interval."""
    for version, spacing in (
        (FhirVersion.R4, {"period": 2.777777778}),
        (FhirVersion.R5, {"interval": 2.777777778, "intervalUnit": "ms"}),
    ):
        resource = resource_of(ALERT, STRIP, version)
        first, second = [c for c in resource["component"] if "valueSampledData" in c]
        assert first["code"]["coding"][0]["code"] == "131330"
        assert first["code"]["coding"][0]["display"] == "MDC_ECG_ELEC_POTL_II"
        assert second["code"]["coding"][0]["code"] == "131328"
        assert second["code"]["text"] == "MLII"
        data = first["valueSampledData"]
        assert data["data"] == "500 E -1234 0"
        assert data["origin"]["code"] == "uV"
        assert {name: data[name] for name in spacing} == spacing
        assert ("period" in data) is (version is FhirVersion.R4)


def test_a_device_alert_has_the_fields_of_the_ballot() -> None:
    """R6: one to one with the alert; measured values are contained Observations."""
    resource = json.loads(encode_json(resource_of(ALERT, STRIP, FhirVersion.R6)))
    assert resource["resourceType"] == "DeviceAlert"
    assert resource["status"] == "in-progress"
    assert resource["priority"]["coding"][0]["code"] == "high"
    assert resource["acknowledged"] is False
    assert resource["signal"][0]["activationState"]["coding"][0]["code"] == "on"
    rate, *signals = resource["derivedFrom"]
    assert rate["limit"]["high"]["value"] == 150.0
    references = [d["observation"]["reference"] for d in (rate, *signals)]
    assert references == [f"#{one['id']}" for one in resource["contained"]]
    for one in resource["contained"]:
        ObservationR5.model_validate(one)
    acknowledged = Published(**{**_fields(ALERT), "state": "ack"})
    ended = Published(**{**_fields(ALERT), "state": "off"})
    assert resource_of(acknowledged, None, FhirVersion.R6)["acknowledged"] is True
    assert resource_of(ended, None, FhirVersion.R6)["status"] == "completed"


def _fields(alert: Published) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in alert.__struct_fields__}


def fill(log: Path) -> None:
    """Write five alerts of the heart into a log, with strips."""
    with AlertLog(log) as alerts:
        alerts.append([logged(n, kind="asystole", stream="100") for n in range(1, 6)])
        strips = [
            (n, SignalStrip(stream="100", first_sample=n, fs_hz=360.0, mv=[0.1] * 20))
            for n in range(1, 6)
        ]
        alerts.commit(Commit(strips=strips))


def test_a_server_is_given_each_alert_with_its_strip_by_conditional_create(
    tmp_path: Path,
) -> None:
    """A repeated alert creates nothing; the strip is the one that the monitor logged."""
    token = tmp_path / "token"
    token.write_text("abc.def\n")
    token.chmod(0o600)
    fill(tmp_path / "log")
    with HttpServer() as server, running_hub(tmp_path / "log", port=PORT):
        server.answers = [Answer(503, {"Retry-After": "0"})]
        outlet = FhirServer(
            f"{server.url}/fhir/", FhirVersion.R5, strips_of(ENDPOINT, None), token_file=token
        )
        with running_bridge(outlet, ENDPOINT, tmp_path / "position"):
            until(lambda: len(server.requests) >= 6)
    for n, request in zip([1, 1, 2, 3, 4, 5], server.requests, strict=False):
        resource = json.loads(request.body)
        ObservationR5.model_validate(resource)
        assert request.path == "/fhir/Observation"
        assert request.headers["Content-Type"] == "application/fhir+json"
        assert request.headers["Authorization"] == "Bearer abc.def"
        identity = resource["identifier"][0]["value"]
        assert identity.endswith(f"/{n}")
        assert request.headers["If-None-Exist"].endswith(identity.replace("/", "%2F"))
        (data,) = [c["valueSampledData"]["data"] for c in resource["component"]]
        assert data == " ".join(["100"] * 20)


def test_files_are_whole_and_closed_to_others(tmp_path: Path) -> None:
    """The command writes one file an alert; SIGTERM ends it with 0."""
    fill(tmp_path / "log")
    out = tmp_path / "out"
    with running_hub(tmp_path / "log", port=PORT):
        words = ["fhir", "--out", str(out), "--version", "r6", "--endpoint", ENDPOINT,
                 "--position", str(tmp_path / "position")]  # fmt: skip
        with Bridge(*words) as bridge:
            until(lambda: len(list(out.glob("*-00000000[1-5].json"))) == 5)
            assert bridge.end(signal.SIGTERM) == 0
    for file in out.glob("*.json"):
        assert json.loads(file.read_bytes())["resourceType"] == "DeviceAlert"
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_recent_alert_waits_for_its_strip() -> None:
    """The signal behind it is not there yet; an old one, or one about the system, does not wait."""
    now = datetime.now(UTC).isoformat()
    recent = Published(**{**_fields(ALERT), "utc": now})
    with HttpServer() as server:
        found: list[SignalStrip | None] = [None, STRIP]
        outlet = FhirServer(server.url, FhirVersion.R4, lambda seq: found.pop(0))
        with pytest.raises(UnavailableError, match=r"^$") as later:
            outlet.deliver(recent)
        assert later.value.retry_s is not None
        outlet.deliver(recent)
        outlet = FhirServer(server.url, FhirVersion.R4, strips(None))
        outlet.deliver(ALERT)
        outlet.deliver(Published(**{**_fields(recent), "category": "technical"}))
    assert len(server.requests) == 3
    assert "valueSampledData" in server.requests[0].body.decode()


def test_a_monitor_that_does_not_answer_is_asked_again() -> None:
    """The resource waits; it is not sent without its signal."""
    with HttpServer() as server:
        outlet = FhirServer(
            server.url, FhirVersion.R5, strips_of(f"tcp://127.0.0.1:{free_ports()}", None)
        )
        with pytest.raises(UnavailableError, match="nothing answers"):
            outlet.deliver(ALERT)
        assert server.requests == []


def test_gaps_are_said_and_what_is_not_recorded_waits(capsys: pytest.CaptureFixture[str]) -> None:
    """A record is for alerts of the log alone; that some are missing is said on stderr."""
    with HttpServer() as server:
        outlet = FhirServer(server.url, FhirVersion.R5, strips(None))
        outlet.deliver(Unrecorded(alert=ALERT))
        outlet.deliver(Gap(log_id="ab", seq=9, from_seq=8, to_seq=9, reason="alert 9 is gone"))
        assert server.requests == []
    assert capsys.readouterr().err == "monitor: not in FHIR: alert 9 is gone\n"


@pytest.mark.parametrize(
    "arguments", [[], ["--url", "http://localhost", "--out", "x"], ["--url", "nowhere"]]
)
def test_bad_settings_are_one_line_and_exit_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is sent or written."""
    assert exit_code(monkeypatch, "bridge", "fhir", *arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_token_is_one_word(tmp_path: Path) -> None:
    """Nothing that could be another header."""
    token = tmp_path / "token"
    token.touch(0o600)
    for text in ("a b", "a\r\nX: y", "é"):
        token.write_text(text)
        with pytest.raises(ConfigError, match="bearer token"):
            FhirServer("http://localhost", FhirVersion.R5, strips(None), token_file=token)
