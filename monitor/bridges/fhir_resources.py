"""An alert as a FHIR resource: Observation (R4, R5), or DeviceAlert (R6, its ballot of late 2025).

The code of an Observation is the kind of the alarm, its value the state of the alarm; heart rate,
measured values and the strip of signal are its components. The strip is SampledData in microvolts
under the code of the lead in ISO/IEEE 11073-10101 (MDC_ECG_ELEC_POTL, 131328, and those of the
leads). R6 is not final yet: of DeviceAlert only what the ballots agree on is written. Pure.
"""

from typing import Any, Final

from monitor.bridges.fhir_versions import FhirVersion
from monitor.bridges.outlet import record_id
from pipeline.schema.public import Alert, SignalStrip, is_signal

Resource = dict[str, Any]
"""A resource, or a part of one, as JSON has it."""

ALERTS: Final = "urn:ecg-monitor:alert"
"""System of the identifiers: their value is ``<log_id>/<seq>``."""

STREAMS: Final = "urn:ecg-monitor:stream"
"""System of the identifiers of patients: the name of the stream, or its pseudonym."""

KINDS: Final = "urn:ecg-monitor:alarm"
VALUES: Final = "urn:ecg-monitor:value"
STATES: Final = "urn:ecg-monitor:alarm-state"

_MDC: Final = "urn:iso:std:iso:11073:10101"
_LOINC: Final = "http://loinc.org"
_UCUM: Final = "http://unitsofmeasure.org"
_HL7: Final = "http://terminology.hl7.org/CodeSystem"

_POTENTIAL: Final = 131_328
"""MDC_ECG_ELEC_POTL; a lead's own code is this and the lead's number."""

_LEADS: Final = {
    "I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8,
    "III": 61, "AVR": 62, "AVL": 63, "AVF": 64,
}  # fmt: skip

_UNITS: Final = {"bpm": "/min", "s": "s", "hz": "Hz"}
"""UCUM units of measured values, by the end of their names."""


def resource_of(alert: Alert, strip: SignalStrip | None, version: FhirVersion) -> Resource:
    """Return an alert and the signal around it as a resource.

    Args:
        alert: with its number.
        strip: the signal; None, or one that no signal can be, is left out.
        version: of FHIR.
    """
    if strip is not None and not is_signal(strip):
        strip = None
    if version is FhirVersion.R6:
        return _device_alert(alert, strip)
    return _observation(alert, strip, version)


def _observation(alert: Alert, strip: SignalStrip | None, version: FhirVersion) -> Resource:
    components = [*_measurements(alert), *_signals(strip, version)]
    interpretation = "AA" if alert.priority == "high" else "A"
    return _without_empty(
        {
            "resourceType": "Observation",
            "identifier": [_identifier(alert)],
            "status": "final",
            "category": [_coded(f"{_HL7}/observation-category", "procedure")],
            "code": _kind(alert),
            "subject": _patient(alert),
            "effectiveDateTime": alert.event_utc or alert.utc,
            "issued": alert.utc,
            "valueCodeableConcept": _coded(STATES, alert.state),
            "interpretation": [_coded(f"{_HL7}/v3-ObservationInterpretation", interpretation)],
            "note": [{"text": alert.reason}, {"text": alert.notice}],
            "device": {"display": "ecg-monitor"},
            "component": components,
        }
    )


def _device_alert(alert: Alert, strip: SignalStrip | None) -> Resource:
    """Return a DeviceAlert: one to one with the fields of an alert."""
    contained, derived = [], []
    rate = _heart_rate(alert)
    if rate:
        contained.append(_contained("heart-rate", alert, rate))
        derived.append({"observation": {"reference": "#heart-rate"}, **_limit(alert)})
    for n, signal in enumerate(_signals(strip, FhirVersion.R6)):
        contained.append(_contained(f"ecg-{n}", alert, signal))
        derived.append({"observation": {"reference": f"#ecg-{n}"}})
    active = alert.state in ("on", "ack")
    signalling = {"on": "on", "latched": "on"}.get(alert.state, "off")
    return _without_empty(
        {
            "resourceType": "DeviceAlert",
            "contained": contained,
            "identifier": [_identifier(alert)],
            "status": "in-progress" if active else "completed",
            "priority": _coded("http://hl7.org/fhir/devicealert-priority", alert.priority),
            "code": _kind(alert),
            "subject": _patient(alert) or {"display": "ecg-monitor"},
            "occurrenceDateTime": alert.event_utc or alert.utc,
            "device": {"display": "ecg-monitor"},
            "acknowledged": alert.state == "ack",
            "derivedFrom": derived,
            "label": f"{alert.reason} ({alert.notice})",
            "signal": [
                {
                    "activationState": _coded(
                        "http://hl7.org/fhir/devicealert-activationState", signalling
                    )
                }
            ],
        }
    )


def _contained(name: str, alert: Alert, component: Resource) -> Resource:
    return _without_empty(
        {
            "resourceType": "Observation",
            "id": name,
            "status": "final",
            "subject": _patient(alert),
            "effectiveDateTime": alert.event_utc or alert.utc,
            **component,
        }
    )


def _limit(alert: Alert) -> Resource:
    """Return the limit of the heart rate that was crossed, as a Range; empty without one."""
    values = alert.values or {}
    rate, limit = values.get("bpm"), values.get("limit_bpm")
    if rate is None or limit is None:
        return {}
    return {"limit": {"low" if rate < limit else "high": _quantity(limit, "/min")}}


def _measurements(alert: Alert) -> list[Resource]:
    found = [_heart_rate(alert)] if alert.bpm is not None else []
    for name, value in sorted((alert.values or {}).items()):
        unit = _UNITS.get(name.rpartition("_")[2])
        found.append({"code": _coded(VALUES, name), "valueQuantity": _quantity(value, unit)})
    return found


def _heart_rate(alert: Alert) -> Resource:
    if alert.bpm is None:
        return {}
    return {"code": _coded(_LOINC, "8867-4", "Heart rate"),
            "valueQuantity": _quantity(alert.bpm, "/min")}  # fmt: skip


def _signals(strip: SignalStrip | None, version: FhirVersion) -> list[Resource]:
    """Return the signal of each lead."""
    if strip is None:
        return []
    names = strip.leads or [""]
    return [
        {"code": _lead(name), "valueSampledData": _sampled(mv, strip.fs_hz, version)}
        for name, mv in zip(names, strip.signals, strict=True)
    ]


def _lead(name: str) -> Resource:
    number = _LEADS.get(name.upper(), 0)
    display = "MDC_ECG_ELEC_POTL" + (f"_{name.upper()}" if number else "")
    concept = _coded(_MDC, str(_POTENTIAL + number), display)
    return concept | ({"text": name} if name else {})


def _sampled(mv: list[float | None], fs_hz: float, version: FhirVersion) -> Resource:
    """Return values in mV as SampledData: whole microvolts, ``E`` where the signal is masked."""
    period_ms = round(1000.0 / fs_hz, 9)
    data = " ".join("E" if value is None else str(round(1000.0 * value)) for value in mv)
    spacing = (
        {"period": period_ms}
        if version is FhirVersion.R4
        else {"interval": period_ms, "intervalUnit": "ms"}
    )
    return {"origin": _quantity(0, "uV"), **spacing, "dimensions": 1, "data": data}


def _quantity(value: float, unit: str | None) -> Resource:
    coded = {} if unit is None else {"unit": unit, "system": _UCUM, "code": unit}
    return {"value": value, **coded}


def _kind(alert: Alert) -> Resource:
    words = alert.kind.replace("_", " ")
    return {"coding": [{"system": KINDS, "code": alert.kind}], "text": words}


def _identifier(alert: Alert) -> Resource:
    return {"system": ALERTS, "value": record_id(alert)}


def _patient(alert: Alert) -> Resource:
    """Return whom the alert is about; empty where it is about the system itself."""
    if not alert.stream:
        return {}
    return {"type": "Patient", "identifier": {"system": STREAMS, "value": alert.stream}}


def _coded(system: str, code: str, display: str = "") -> Resource:
    named = {"display": display} if display else {}
    return {"coding": [{"system": system, "code": code, **named}]}


def _without_empty(resource: Resource) -> Resource:
    """Return a resource without empty elements, which FHIR does not allow."""
    return {name: value for name, value in resource.items() if value not in ("", [], {}, None)}
