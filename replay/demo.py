"""The bundled demo record: two minutes of a synthetic patient, made from a fixed seed.

`write_demo` writes exactly the bytes that are bundled in ``replay/demo``, as a test verifies.
Samples are rounded to ADC units, which hides the last bits in which platforms differ.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from replay.devices.synthetic import Noise, PatientConfig, SyntheticPatient
from replay.records import write_beats

SEED: Final = 20031
SECONDS: Final = 120
RATE_HZ: Final = 360
GAIN: Final = 200
"""ADC units per mV, 11 bits around 1024: the converter of the MIT-BIH records."""
ADC_ZERO: Final = 1024
ADC_HIGHEST: Final = 2047

SCRIPT: Final = (
    (30.0, "V"),
    (36.0, "A"),
    (42.0, "V"),
    (48.0, "VV"),
    (54.0, "pause"),
    (92.0, "V"),
    (97.0, "A"),
    (102.0, "VV"),
    (108.0, "V"),
)
NOISE_S: Final = (63.0, 72.0)
NOISE_MV: Final = 0.9
LEAD_OFF_S: Final = (80.0, 86.0)


def write_demo(folder: Path, further: Sequence[str] = ()) -> Path:
    """Write ``demo.hea``, ``demo.dat`` and ``demo.atr`` into ``folder``; return the header.

    With ``further`` leads of the patient (`replay.lead_sets.dipole`) the record has these beside
    the first, which alone is noisy and off.
    """
    leads = ("II", *further)
    config = PatientConfig(noise=0.015, seed=SEED, fs=RATE_HZ, leads=leads)
    signal = SyntheticPatient(config, SCRIPT).generate(SECONDS * RATE_HZ)
    mv = np.atleast_2d(signal.samples).astype(np.float64)
    noisy = slice(*(round(s * RATE_HZ) for s in NOISE_S))
    bad = Noise(PatientConfig(noise=NOISE_MV, fs=RATE_HZ), np.random.default_rng(SEED))
    mv[0, noisy] += bad.make(0, noisy.stop - noisy.start)
    off = slice(*(round(s * RATE_HZ) for s in LEAD_OFF_S))
    adc = np.rint(mv * GAIN).astype(np.int64) + ADC_ZERO
    adc = np.clip(adc, 0, ADC_HIGHEST)
    adc[0, off] = ADC_HIGHEST  # a record has no flags: the input drifts to the converter's rail
    (folder / "demo.dat").write_bytes(adc.T.astype("<i2").tobytes())
    signals = [
        f"demo.dat 16 {GAIN} 11 {ADC_ZERO} {lead[0]} {lead.astype('<i2').sum(dtype='<i2')} 0 {name}"
        for name, lead in zip(("MLII", *further), adc, strict=True)
    ]
    header = folder / "demo.hea"
    header.write_text(
        "\n".join([f"demo {len(adc)} {RATE_HZ} {adc.shape[1]}", *signals]) + "\n"
        "# synthetic patient after McSharry et al. 2003, made by replay/demo.py\n",
        newline="\n",
    )
    # A beat while the lead is off is not annotated.
    visible = (signal.beats < off.start) | (signal.beats >= off.stop)
    symbols = [s for s, kept in zip(signal.symbols, visible, strict=True) if kept]
    write_beats(folder, "demo", "atr", signal.beats[visible], symbols, RATE_HZ)
    return header
