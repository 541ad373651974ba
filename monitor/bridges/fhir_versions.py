"""The FHIR releases that are written; light, for the command line names them."""

from enum import StrEnum


class FhirVersion(StrEnum):
    """The FHIR release that is written."""

    R4 = "r4"
    R5 = "r5"
    R6 = "r6"

    @property
    def resource_type(self) -> str:
        """The resource that stands for an alert."""
        return "DeviceAlert" if self is FhirVersion.R6 else "Observation"
