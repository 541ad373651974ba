"""Which kernels are compiled, and streams that run them: for a process of its own."""

import sys

import numpy as np
from numba.core.dispatcher import Dispatcher

from pipeline.signal.samples import SampleBlock, in_blocks
from pipeline.stream.embedded import score_beats
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from pipeline.stream.strips import StripRecorder
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import CONFIG, TrivialScorer

_SECONDS = 45
_CHUNKS = (7, 360)


def signatures() -> dict[str, frozenset[str]]:
    """Return for which types each kernel of the pipeline was compiled or loaded."""
    return {
        f"{kernel.py_func.__module__}.{kernel.py_func.__name__}": frozenset(
            map(str, kernel.signatures)
        )
        for name, module in list(sys.modules.items())
        if name.startswith("pipeline.")
        for kernel in vars(module).values()
        if isinstance(kernel, Dispatcher)
    }


def use_streams() -> None:
    """Run patients of one lead and of three, each in short chunks and in long ones."""
    for fs_hz, leads in ((250.0, ("II",)), (360.0, ("I", "II", "V1"))):
        patient = PatientConfig(fs=fs_hz, leads=leads, ectopic=0.2, pause=0.05, leadoff=0.05)
        x = SyntheticPatient(patient).generate(round(_SECONDS * fs_hz)).samples
        for chunk in _CHUNKS:
            _use(x, fs_hz, leads, chunk)


def _use(x: np.ndarray, fs_hz: float, leads: tuple[str, ...], chunk: int) -> None:
    """Run one patient, with stamps, a second that is missing, and a restart from a snapshot."""
    scorer, strips = TrivialScorer(), StripRecorder("p", leads=leads)
    stream = Stream("p", fs_hz, CONFIG, lambda: 0.0, leads=leads)
    for n, block in enumerate(in_blocks(x, chunk)):
        at_s = block.end / fs_hz
        if 30 <= at_s < 31:
            continue
        if n == 20:
            state = unpack(pack(stream.state), StreamState)
            stream = Stream("p", fs_hz, CONFIG, lambda: 0.0, leads=leads, state=state)
        taken = stream.take(
            SampleBlock(block.first_sample, block.samples, stamp_s=1e9 + at_s, arrived_at=at_s)
        )
        score_beats(stream, taken.windows, scorer)
        alerts = taken.alerts + [alert for report in stream.drain() for alert in report.alerts]
        for strip in taken.strips:
            strips.add(strip)
        for alert in alerts:
            strips.want(1, alert.epoch, alert.time_s)
        strips.take()
        stream.take_trends()
    stream.finish()
    stream.close()
    strips.take(all_of_them=True)
