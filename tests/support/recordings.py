"""One recording, written as every kind of file that is read: by other libraries, or by hand.

The signal is ``adc``, int [n, leads], 11 bits around 1024 with 200 steps a mV at 360 Hz: every
format holds it exactly.
"""

import base64
import struct
import warnings
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.headers import DEMO_RECORD, load_header
from replay.lead_sets.frames import read_frames

Adc = NDArray[np.int64]

RATE_HZ = 360
GAIN = 200
ZERO = 1024
NAMES = ("II", "V5")

Written = tuple[Path, dict[str, Any]]
"""A file, and what has to be stated of it, as `replay.files.stated.Stated.of` takes it."""


def demo_adc(seconds: int) -> Adc:
    """Return the first seconds of the demo record, int [n, 1]."""
    return read_frames(load_header(DEMO_RECORD), [0], 0, seconds * RATE_HZ)[0][:, np.newaxis]


def mv(adc: Adc) -> NDArray[np.float64]:
    """Return the signal in mV, float [n, leads]."""
    return (adc - ZERO) / GAIN


def wfdb_record(folder: Path, adc: Adc) -> Written:
    """Write a WFDB record by hand."""
    lines = [f"w.dat 16 {GAIN} 11 {ZERO} 0 0 0 {name}\n" for name in NAMES[: adc.shape[1]]]
    (folder / "w.hea").write_text(f"w {adc.shape[1]} {RATE_HZ} {len(adc)}\n" + "".join(lines))
    (folder / "w.dat").write_bytes(adc.astype("<i2").tobytes())
    return folder / "w.hea", {}


def _edf_signals(adc: Adc, kind: str, unit: str, scale: float) -> list[Any]:
    import edfio

    make = edfio.EdfSignal if kind == "Edf" else edfio.BdfSignal
    return [
        make.from_digital(
            lead.astype(np.int16 if kind == "Edf" else np.int32), RATE_HZ, label=name,
            physical_dimension=unit, digital_range=(0, 2047),
            physical_range=((0 - ZERO) / GAIN * scale, (2047 - ZERO) / GAIN * scale),
        )
        for name, lead in zip(NAMES, adc.T, strict=False)
    ]  # fmt: skip


def edf(folder: Path, adc: Adc) -> Written:
    """Write EDF by edfio."""
    import edfio

    edfio.Edf(_edf_signals(adc, "Edf", "mV", 1.0), data_record_duration=1).write(folder / "e.edf")
    return folder / "e.edf", {}


def edf_plus(folder: Path, adc: Adc) -> Written:
    """Write EDF+ by edfio: with annotations, a start, and a signal of another rate."""
    import edfio

    breath = edfio.EdfSignal(np.sin(np.arange(len(adc) // 36) / 9), 10, label="Resp nasal")
    edfio.Edf(
        [breath, *_edf_signals(adc, "Edf", "uV", 1e3)],
        data_record_duration=2, annotations=[edfio.EdfAnnotation(1, None, "asleep")],
        recording=edfio.Recording(startdate=date(2021, 3, 4)),
        starttime=datetime(2021, 3, 4, 5, 6, 7).time(),
    ).write(folder / "p.edf")  # fmt: skip
    return folder / "p.edf", {}


def bdf(folder: Path, adc: Adc) -> Written:
    """Write BDF by edfio."""
    import edfio

    edfio.Bdf(_edf_signals(adc, "Bdf", "uV", 1e3), data_record_duration=1).write(folder / "b.bdf")
    return folder / "b.bdf", {}


def edf_bytes(
    adc: Adc,
    *,
    onsets: list[float] | None = None,
    records: int | None = None,
    duration: str = "1",
    unit: str = "mV",
    physical: tuple[str, str] = ("-5.12", "5.115"),
) -> bytes:
    """Return EDF made by hand, EDF+D where ``onsets`` of its data records are given."""
    count = len(adc) // RATE_HZ
    leads = adc.shape[1]
    marked = onsets is not None

    def of_each(width: int, ecg: list[str], annotations: str) -> bytes:
        texts = [*ecg, *([annotations] if marked else [])]
        return b"".join(text.encode().ljust(width) for text in texts)

    head = b"0".ljust(8) + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80)
    head += b"04.03.2105.06.07" + str(256 * (1 + leads + marked)).encode().ljust(8)
    head += (b"EDF+D" if marked else b"").ljust(44)
    head += str(count if records is None else records).encode().ljust(8)
    head += duration.encode().ljust(8) + str(leads + marked).encode().ljust(4)
    head += of_each(16, [f"ECG {name}" for name in NAMES[:leads]], "EDF Annotations")
    head += of_each(80, ["electrode"] * leads, "")
    head += of_each(8, [unit] * leads, "")
    head += of_each(8, [physical[0]] * leads, "-1") + of_each(8, [physical[1]] * leads, "1")
    head += of_each(8, ["0"] * leads, "-32768") + of_each(8, ["2047"] * leads, "32767")
    head += of_each(80, [""] * leads, "")
    head += of_each(8, [str(RATE_HZ)] * leads, "20") + of_each(32, [""] * leads, "")
    body = b""
    for n in range(count):
        piece = adc[n * RATE_HZ : (n + 1) * RATE_HZ]
        body += piece.T.astype("<i2").tobytes()
        if onsets is not None:
            body += b"+%.12g\x14\x14\0" % onsets[n] + bytes(40)
            body = body[: (n + 1) * 2 * (leads * RATE_HZ + 20)]
    return head + body


def edf_by_hand(folder: Path, adc: Adc) -> Written:
    """Write EDF as the format's text says."""
    (folder / "h.rec").write_bytes(edf_bytes(adc))
    return folder / "h.rec", {}


def _lines(adc: Adc, line: Callable[[float, NDArray[np.float64]], str]) -> str:
    return "".join(line(n / RATE_HZ, row) for n, row in enumerate(mv(adc)))


def csv_with_times(folder: Path, adc: Adc) -> Written:
    """Write CSV with names, units and times."""
    names = ",".join(f"{name} [mV]" for name in NAMES[: adc.shape[1]])
    text = f"time [s],{names}\n" + _lines(
        adc, lambda t, row: f"{t:.6f}," + ",".join(f"{v:.3f}" for v in row) + "\n"
    )
    (folder / "t.csv").write_text(text)
    return folder / "t.csv", {}


def csv_without_names(folder: Path, adc: Adc) -> Written:
    """Write CSV of numbers alone."""
    text = _lines(adc, lambda t, row: ",".join(f"{1e3 * v:.0f}" for v in row) + "\n")
    (folder / "n.csv").write_text(text)
    return folder / "n.csv", {
        "fs_hz": 360.0,
        "unit": "uV",
        "columns": "0,1"[: 2 * adc.shape[1] - 1],
    }


def csv_of_a_spreadsheet(folder: Path, adc: Adc) -> Written:
    """Write what a spreadsheet in German saves: semicolons, decimal commas, a byte order mark."""
    names = ";".join(f"{name} (mV)" for name in NAMES[: adc.shape[1]])
    text = f"Zeit (ms);{names};Bemerkung\r\n" + _lines(
        adc,
        lambda t, row: (
            ";".join([f"{1e3 * t:.3f}", *(f"{v:.3f}" for v in row)]).replace(".", ",") + ";gut\r\n"
        ),
    )
    (folder / "Zoë Müller.csv").write_text(text, encoding="utf-8-sig", newline="")
    return folder / "Zoë Müller.csv", {}


def tsv(folder: Path, adc: Adc) -> Written:
    """Write TSV with a date in each row."""
    names = "\t".join(f"{name}_mV" for name in NAMES[: adc.shape[1]])
    text = f"timestamp\t{names}\n" + _lines(
        adc,
        lambda t, row: (
            f"2021-03-04T05:{6 + int(t) // 60:02d}:{t % 60:09.6f}\t"
            + "\t".join(f"{v:.3f}" for v in row)
            + "\n"
        ),
    )
    (folder / "d.tsv").write_text(text)
    return folder / "d.tsv", {}


def physionet_csv(folder: Path, adc: Adc) -> Written:
    """Write what PhysioNet's ``rdsamp -c -v -p`` writes: names and units in two lines."""
    names = ",".join(f"'{name}'" for name in NAMES[: adc.shape[1]])
    units = ",".join(["'mV'"] * adc.shape[1])
    text = f"'Elapsed time',{names}\n'hh:mm:ss.mmm',{units}\n" + _lines(
        adc,
        lambda t, row: (
            f"'{int(t) // 60}:{t % 60:06.3f}'," + ",".join(f"{v:.3f}" for v in row) + "\n"
        ),
    )
    (folder / "r.csv").write_text(text)
    return folder / "r.csv", {}


def apple_health(folder: Path, adc: Adc) -> Written:
    """Write what Apple's Health app exports; in one lead, whatever there are."""
    values = "".join(f"{1e3 * v:.3f}\n" for v in mv(adc)[:, 0])
    (folder / "ecg_2021-03-04.csv").write_text(
        'Name,Zoë Müller\nDate of Birth,"1 Jan 1970"\nRecorded Date,2021-03-04 05:06:07 +0100\n'
        "Classification,Sinus Rhythm\nSymptoms,\nSoftware Version,1.90\n"
        'Device,"Watch6,1"\nSample Rate,360 hertz\n\n\nLead,Lead II\nUnit,µV\n\n' + values,
        encoding="utf-8",
    )
    return folder / "ecg_2021-03-04.csv", {}


def npy(folder: Path, adc: Adc) -> Written:
    """Write an array by numpy."""
    np.save(folder / "a.npy", mv(adc))
    return folder / "a.npy", {"fs_hz": 360.0, "unit": "mV"}


def matlab(folder: Path, adc: Adc) -> Written:
    """Write variables by scipy, the rate among them."""
    from scipy import io

    values = {"ecg": 1e3 * mv(adc).T, "fs": 360.0, "patient": "x", "beats": np.arange(3.0)}
    io.savemat(folder / "m.mat", values, do_compression=True)
    return folder / "m.mat", {"unit": "uV", "columns": "ecg"}


def parquet(folder: Path, adc: Adc) -> Written:
    """Write a table by pyarrow."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    columns = {f"{name}_mV": lead for name, lead in zip(NAMES, mv(adc).T, strict=False)}
    times = np.arange(len(adc)) / RATE_HZ
    pq.write_table(pa.table({"time": times, **columns}), folder / "q.parquet")
    return folder / "q.parquet", {}


def ishne(folder: Path, adc: Adc) -> Written:
    """Write an ISHNE Holter file as Badilini 1998 has it."""
    head = bytearray(522)
    head[:8] = b"ISHNE1.0"
    struct.pack_into("<iiiih", head, 10, 0, len(adc), 522, 522, 1)
    struct.pack_into("<9h", head, 138, 4, 3, 2021, 4, 3, 2021, 5, 6, 7)
    struct.pack_into("<h", head, 156, adc.shape[1])
    struct.pack_into("<2h", head, 158, 6, 15)  # II and V5
    struct.pack_into("<2h", head, 206, 5000, 5000)  # nV a step
    struct.pack_into("<h", head, 272, RATE_HZ)
    (folder / "i.ecg").write_bytes(bytes(head) + (adc - ZERO).astype("<i2").tobytes())
    return folder / "i.ecg", {}


def scp(folder: Path, adc: Adc) -> Written:
    """Write SCP-ECG (EN 1064) without compression, its check sums left out."""
    leads = struct.pack("<BB", adc.shape[1], 4 | adc.shape[1] << 3)
    for code in (2, 7)[: adc.shape[1]]:  # II and V5
        leads += struct.pack("<IIB", 1, len(adc), code)
    rhythm = struct.pack("<HHBB", 5000, round(1e6 / RATE_HZ), 0, 0)
    rhythm += struct.pack("<H", 2 * len(adc)) * adc.shape[1]
    rhythm += (adc - ZERO).T.astype("<i2").tobytes()
    sections = {3: leads, 6: rhythm}
    at, pointers, bodies = 6 + 16 + 30, b"", b""
    for number, body in sections.items():
        body += bytes(len(body) % 2)
        bodies += struct.pack("<HHIBB6x", 0, number, 16 + len(body), 20, 20) + body
        pointers += struct.pack("<HII", number, 16 + len(body), at + 1)
        at += 16 + len(body)
    first = struct.pack("<HHIBB6s", 0, 0, 46, 20, 20, b"SCPECG")
    first += struct.pack("<HII", 0, 46, 7) + pointers
    whole = first + bodies
    (folder / "s.scp").write_bytes(struct.pack("<HI", 0, 6 + len(whole)) + whole)
    return folder / "s.scp", {}


def aecg(folder: Path, adc: Adc) -> Written:
    """Write HL7 annotated ECG, the version of 2003, by hand."""
    sequences = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{name}"/>'
        '<value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="5" unit="uV"/>'
        f"<digits>{' '.join(map(str, lead - ZERO))}</digits></value></sequence></component>"
        for name, lead in zip(NAMES, adc.T, strict=False)
    )
    (folder / "a.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><component><series>'
        '<code code="RHYTHM"/><component><sequenceSet><component><sequence>'
        '<code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS"><head value="20210304050607"/>'
        f'<increment value="{1 / RATE_HZ}" unit="s"/></value></sequence></component>'
        f"{sequences}</sequenceSet></component></series></component></AnnotatedECG>"
    )
    return folder / "a.xml", {}


def muse(folder: Path, adc: Adc) -> Written:
    """Write the XML of GE MUSE by hand."""
    leads = "".join(
        f"<LeadData><LeadID>{name}</LeadID><LeadAmplitudeUnitsPerBit>5</LeadAmplitudeUnitsPerBit>"
        "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadSampleSize>2</LeadSampleSize>"
        f"<WaveFormData>{base64.b64encode((lead - ZERO).astype('<i2').tobytes()).decode()}"
        "</WaveFormData></LeadData>"
        for name, lead in zip(NAMES, adc.T, strict=False)
    )
    (folder / "m.xml").write_text(
        '<?xml version="1.0"?><RestingECG><MuseInfo><MuseVersion>9</MuseVersion></MuseInfo>'
        f"<Waveform><WaveformType>Rhythm</WaveformType><SampleBase>{RATE_HZ}</SampleBase>"
        f"<SampleExponent>0</SampleExponent>{leads}</Waveform></RestingECG>"
    )
    return folder / "m.xml", {}


def dicom(folder: Path, adc: Adc) -> Written:
    """Write a DICOM waveform by pydicom."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    channels = []
    for name in NAMES[: adc.shape[1]]:
        source, unit, channel = Dataset(), Dataset(), Dataset()
        source.CodeValue = {"II": "2:2", "V5": "2:7"}[name]
        source.CodingSchemeDesignator, source.CodeMeaning = "MDC", f"Lead {name}"
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "uV", "UCUM", "microvolt"
        channel.ChannelSourceSequence = [source]
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = "5", "1"
        channel.ChannelBaseline, channel.WaveformBitsStored = "0", 16
        channel.ChannelSensitivityUnitsSequence = [unit]
        channels.append(channel)
    group = Dataset()
    group.WaveformOriginality, group.NumberOfWaveformChannels = "ORIGINAL", adc.shape[1]
    group.NumberOfWaveformSamples, group.SamplingFrequency = len(adc), str(RATE_HZ)
    group.ChannelDefinitionSequence = channels
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = (adc - ZERO).astype("<i2").tobytes()
    whole = Dataset()
    whole.SOPClassUID, whole.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.9.1.2", generate_uid()
    whole.Modality, whole.WaveformSequence = "ECG", [group]
    whole.AcquisitionDateTime = "20210304050607"
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.save_as(folder / "d.dcm", enforce_file_format=True)
    return folder / "d.dcm", {}


WRITERS: dict[str, Callable[[Path, Adc], Written]] = {
    "WFDB": wfdb_record,
    "EDF": edf,
    "EDF by hand": edf_by_hand,
    "EDF+": edf_plus,
    "BDF": bdf,
    "CSV with times": csv_with_times,
    "CSV without names": csv_without_names,
    "CSV of a spreadsheet": csv_of_a_spreadsheet,
    "CSV of PhysioNet": physionet_csv,
    "TSV": tsv,
    "Apple Health": apple_health,
    "NumPy": npy,
    "MATLAB": matlab,
    "Parquet": parquet,
    "ISHNE": ishne,
    "SCP-ECG": scp,
    "HL7 aECG": aecg,
    "GE MUSE": muse,
    "DICOM": dicom,
}
"""By the names that docs/files.md has."""
