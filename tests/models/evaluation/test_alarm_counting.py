"""What `monitor evaluate alarms` counts, on made beats and alarms: no data, no detector."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.data.cinc17 import find_labelled
from models.data.readings import read_readings
from models.data.rhythms import Stretch
from models.ec57.annotators import Score
from models.evaluation.alarms.annotated import (
    AnnotatedRecord,
    AnnotatedResult,
    rates_beyond,
    reference_of,
    sum_annotated,
    ventricular_runs,
)
from models.evaluation.alarms.bootstrap import estimate, per_24_hours, percent
from models.evaluation.alarms.challenge2015 import (
    ChallengeResult,
    ChallengeRow,
    confusion,
    sum_challenge,
)
from models.evaluation.alarms.detection import Detected, DetectedBeats
from models.evaluation.alarms.episodes import RHYTHMS, EpisodeRecord, sum_episodes
from models.evaluation.alarms.evaluate import DATABASES, AlarmResult, AllLeads
from models.evaluation.alarms.false_alarms import FalseOfRecord, count_false
from models.evaluation.alarms.qrs import QrsOfRecord, sum_qrs
from models.evaluation.alarms.side_by_side import TOGETHER, false_side_by_side
from models.evaluation.alarms.spans import LETHAL, AlarmSpan, spans_of
from models.evaluation.alarms.wrong import longest_run, nearest
from models.evaluation.report.alarms.sections import TITLES, alarm_sections, wrong_lines
from models.evaluation.report.markdown import markdown
from models.measure.provenance import provenance
from models.measure.result_json import to_json
from monitor.measure.output import WIDTH, print_sections
from pipeline.alarms.settings import DEFAULTS
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.errors import InputError

FS = 100.0


def detected(
    *alarms: tuple[str, float, float, float],
    beats_s: tuple[float, ...] = (),
    labels: str = "",
    seconds: float = 3600.0,
) -> Detected:
    """Return a record with alarms (kind, beginning, raised, end) and beats."""
    machine = AlarmStateMachine("s", FS, DEFAULTS)
    alerts = []
    for kind, begin_s, sure_s, end_s in alarms:
        alerts += machine.begin(kind, round(FS * sure_s), "why", begun_at=round(FS * begin_s))
        alerts += machine.end(kind, round(FS * end_s), "over")
        alerts += machine.advance(round(FS * (end_s + 11.0)))
    samples = np.round(FS * np.array(beats_s)).astype(np.int64)
    return Detected(alerts, DetectedBeats(samples, list(labels)), FS, seconds)


def annotated(
    found: Detected, at_s: np.ndarray, symbols: str, flutter: tuple[Stretch, ...] = ()
) -> AnnotatedRecord:
    """Return a record beside its reference; every beat is found."""
    return AnnotatedRecord(
        "r",
        found,
        spans_of(found.alerts, LETHAL, found.seconds),
        reference_of(at_s, symbols, flutter),
        QrsOfRecord(record="r", score=Score(len(symbols), 0, len(symbols), 0)),
    )


def span(sure_s: float) -> AlarmSpan:
    """Return an alarm."""
    return AlarmSpan("asystole", sure_s - 4, sure_s, sure_s + 1, "")


def test_an_interval_comes_from_the_records_and_is_always_the_same() -> None:
    """More equal records make it narrower; without width there is none; nothing is no figure."""
    few = estimate([(1, 2), (2, 2), (0, 2), (2, 2)], percent)
    assert few == estimate([(1, 2), (2, 2), (0, 2), (2, 2)], percent)
    many = estimate([(1, 2), (2, 2), (0, 2), (2, 2)] * 25, percent)
    assert few.value == many.value == 62.5
    assert few.low < many.low < 62.5 < many.high < few.high
    one = estimate([(3, 4)], percent)
    assert (one.value, one.low, one.high) == (75.0, None, None)
    assert estimate([], percent).value is None
    assert estimate([(0, 0)], percent).value is None
    # Draws without any episode say nothing and do not count.
    assert estimate([(1, 2), (0, 0), (1, 1)], percent).low == 50.0


def test_the_score_of_the_challenge_weighs_a_missed_alarm_five_times() -> None:
    """TP, FN, FP, TN of whether each alarm was true and whether ours fired."""
    got = confusion([(True, True), (True, True), (True, False), (False, True), (False, False)])
    assert (got.tp, got.fn, got.fp, got.tn) == (2, 1, 1, 1)
    assert got.score.value == pytest.approx(100 * 3 / (3 + 1 + 5), abs=0.05)
    assert got.score.low < got.score.value < got.score.high
    assert confusion([]).score.value is None


def test_false_alarms_after_the_beginning_are_counted_against_the_signal_after_it() -> None:
    """Two records of 30 s, alarms at 6 s and 16 s: 40 s of signal lie after the first ten."""
    got = count_false([FalseOfRecord([span(6.0), span(16.0)], 30.0), FalseOfRecord([], 30.0)])
    assert (got.alarms, got.alarms_after_first_10_s) == (2, 1)
    assert got.in_24_h.value == pytest.approx(2 * 86400 / 60)
    assert got.in_24_h_after_first_10_s.value == pytest.approx(86400 / 40)
    assert got.of_kind_after_first_10_s == {"asystole": 1}
    assert estimate([(1, 0.5), (0, 23.5)], per_24_hours).value == 1.0


def test_runs_of_the_reference_are_three_ventricular_beats_or_more() -> None:
    """With the number of their beats; the last run ends with the record."""
    at_s = np.arange(12) * 0.5
    assert ventricular_runs(at_s, "NVVNVVVNVVEV") == [
        (Stretch("3 V", 2.0, 3.0), 3),
        (Stretch("4 V", 4.0, 5.5), 4),
    ]


def test_a_tachycardia_of_the_reference_is_long_and_fast_enough() -> None:
    """Five ventricular beats at 100 bpm: four are a short run, at 90 bpm they are too slow."""
    at_s = np.arange(12) * 0.5
    assert reference_of(at_s, "NNVVVVVNNNNN", []).required["ventricular_tachycardia"] == [
        Stretch("5 V", 1.0, 3.0)
    ]
    four = reference_of(at_s, "NNVVVVNNNNNN", [])
    assert four.required["ventricular_tachycardia"] == []
    assert four.short_runs == [Stretch("4 V", 1.0, 2.5)]
    slow = reference_of(at_s * 1.34, "NNVVVVVNNNNN", [])
    assert slow.required["ventricular_tachycardia"] == []
    assert slow.confirming["ventricular_tachycardia"] != []


def test_a_rate_is_required_beyond_its_limit_and_confirmed_near_it() -> None:
    """43 bpm confirms a slow rate and asks for none; 30 bpm asks; a pause among beats does not."""

    def slow(*intervals: float) -> tuple[int, int]:
        at_s = np.cumsum((0.0, *intervals))
        got = reference_of(at_s, "N" * at_s.size, [])
        return len(got.confirming["extreme_bradycardia"]), len(got.required["extreme_bradycardia"])

    assert slow(*[60 / 43] * 8) == (1, 0)
    assert slow(*[2.0] * 8) == (1, 1)
    assert slow(0.8, 0.8, 0.8, 5.0, 0.8, 0.8, 0.8) == (1, 0)
    assert slow(*[0.8] * 8) == (0, 0)


def test_rates_that_overlap_are_one_stretch() -> None:
    """From the first to the last beat; too few beats have no rate."""
    at_s = np.cumsum([0.0, *[1.0] * 5, *[0.4] * 20, *[1.0] * 5])
    (fast,) = rates_beyond(at_s, 17, 1, 140.0)
    assert (fast.begin_s, fast.end_s) == pytest.approx((5.0, 13.0))
    assert rates_beyond(at_s[:4], 17, 1, 140.0) == []


def test_what_lies_in_flutter_asks_for_no_other_alarm() -> None:
    """Flutter has no beats: the gap need not be an asystole, and may be called one."""
    at_s = np.concatenate((np.arange(10) * 0.8, 30.0 + np.arange(10) * 0.8))
    flutter = (Stretch("VFL", 8.0, 29.5),)
    got = reference_of(at_s, "N" * 20, flutter)
    assert got.required["asystole"] == got.required["extreme_bradycardia"] == []
    assert got.required["ventricular_fibrillation"] == [*flutter]
    assert len(got.confirming["asystole"]) == 1


def test_alarms_on_named_beats_are_counted_by_kind() -> None:
    """One tachycardia found at once, one too late, one alarm about nothing, one run found."""
    at_s = np.arange(400) * 0.5
    symbols = "N" * 20 + "V" * 10 + "N" * 70 + "V" * 60 + "N" * 60 + "VVV" + "N" * 97 + "VVVV"
    symbols += "N" * (400 - len(symbols))
    found = detected(
        ("ventricular_tachycardia", 10.0, 12.5, 15.0),
        ("ventricular_tachycardia", 64.0, 66.0, 80.0),
        ("asystole", 100.0, 104.0, 105.0),
        ("ventricular_run", 110.0, 111.5, 112.0),
        seconds=200.0,
    )
    got = sum_annotated("made", [annotated(found, at_s, symbols)])
    kind = got.kinds["ventricular_tachycardia"]
    assert (kind.own_alarm.episodes, kind.own_alarm.found_within_10_s, kind.right) == (2, 1, 2)
    assert kind.own_alarm.time_to_alarm_worst_s == 16.0
    assert (got.vt_runs, got.vt_runs_found) == (2, 2)
    assert (got.short_runs, got.short_runs_found) == (2, 1)
    assert got.false_lethal.of_kind == {"asystole": 1}
    assert got.false_lethal.in_24_h.value == 432.0
    assert [(call.record, call.at_s, call.wrong) for call in got.wrong] == [
        ("made/r", 50.0, "16.0 s late: ventricular tachycardia, 29.5 s"),
        ("made/r", 104.0, "false asystole"),
        ("made/r", 160.0, "missed run of 4 V"),
    ]
    assert got.wrong[1].ours == "asystole at 104.0 s: why"
    assert json.dumps(got.qrs.rows[0].record) == '"r"'


def test_episodes_are_found_missed_or_too_short_to_count() -> None:
    """Any lethal alarm finds an episode; beside an unclear stretch none is false."""
    named = [
        Stretch("VF", 100.0, 120.0),
        Stretch("VF", 200.0, 203.0),
        Stretch("VF", 300.0, 320.0),
        Stretch("unclear", 400.0, 420.0),
    ]
    found = detected(
        ("extreme_tachycardia", 98.0, 103.0, 110.0),
        ("ventricular_fibrillation", 405.0, 409.0, 415.0),
        ("ventricular_tachycardia", 500.0, 503.0, 505.0),
        ("extreme_bradycardia", 600.0, 603.0, 605.0),
    )
    got = sum_episodes(
        "made", [EpisodeRecord.of("r", found, named)], {"vf": RHYTHMS["vf"]}, "false"
    )
    vf = got.rhythms["vf"]
    assert (vf.any_alarm.episodes, vf.any_alarm.found_within_10_s) == (2, 1)
    assert (vf.any_alarm.time_to_alarm_median_s, vf.own_alarm.found) == (3.0, 0)
    assert (vf.shorter_episodes, vf.shorter_episodes_found) == (1, 0)
    assert got.false_of_kind == {"ventricular_tachycardia": 1}
    assert (got.false_lethal_alarms, got.rate_alarms_elsewhere) == (1, 1)
    assert [call.wrong for call in got.wrong] == [
        "missed VF, 20.0 s",
        "false ventricular tachycardia",
    ]


def test_records_that_no_rule_has_seen_are_counted_apart() -> None:
    """Where some of a database were fitted on."""
    named = [Stretch("VF", 100.0, 120.0)]
    spans = detected(("ventricular_fibrillation", 100.0, 105.0, 120.0))
    records = [EpisodeRecord.of("a", spans, named), EpisodeRecord.of("b", detected(), named)]
    vf = {"vf": RHYTHMS["vf"]}
    got = sum_episodes("made", records, vf, "false", fitted=["a"])
    assert got.unseen_records == ["b"]
    assert (got.unseen["vf"].episodes, got.unseen["vf"].found) == (1, 0)
    assert got.rhythms["vf"].any_alarm.within_10_s_percent.value == 50.0
    assert sum_episodes("made", records, vf, "false").unseen == {}
    at_s = np.arange(400) * 0.5
    alarmed = annotated(detected(("asystole", 10.0, 14.0, 15.0)), at_s, "N" * 400)
    pair = [alarmed._replace(name="a"), annotated(detected(), at_s, "N" * 400)._replace(name="b")]
    both = sum_annotated("made", pair, unseen=["b"])
    assert (both.false_lethal.alarms, both.false_lethal_unseen.alarms) == (1, 0)


def test_false_alarms_of_one_lead_and_of_all_stand_side_by_side() -> None:
    """By database and together; the challenge has no rate, and one lead stands for itself."""
    at_s = np.arange(400) * 0.5

    def svdb(*alarms: tuple[str, float, float, float]) -> AnnotatedResult:
        return sum_annotated("svdb", [annotated(detected(*alarms), at_s, "N" * 400)])

    false = ("asystole", 10.0, 14.0, 15.0), ("ventricular_tachycardia", 50.0, 53.0, 55.0)
    unsaid = [EpisodeRecord.of("r", detected(*false[:1]), [])]
    cu = sum_episodes("cu", unsaid, {"vf": RHYTHMS["vf"]}, "unconfirmed")

    def row(fired: bool) -> ChallengeRow:
        return ChallengeRow(
            record="a1",
            kind="Asystole",
            true=False,
            lead="II",
            fired=fired,
            alarm="",
            fired_in_second_lead=None,
        )

    def challenge(fired: bool) -> ChallengeResult:
        return sum_challenge([row(fired)], asked=True)

    one = {"challenge2015": challenge(True), "svdb": svdb(*false), "cu": cu}
    every = {"challenge2015": challenge(False), "svdb": svdb(false[1])}
    got = false_side_by_side(one, every)
    assert list(got) == ["challenge2015", "svdb", "cu", TOGETHER]
    assert got["challenge2015"].one_lead.in_24_h is None
    assert (got["svdb"].one_lead.in_24_h, got["svdb"].all_leads.in_24_h) == (48.0, 24.0)
    assert got["cu"].one_lead == got["cu"].all_leads
    both = got[TOGETHER]
    assert (both.one_lead.alarms, both.all_leads.alarms) == (4, 2)
    assert (both.one_lead.asystole, both.all_leads.asystole) == (3, 1)
    assert (both.one_lead.ventricular_tachycardia, both.all_leads.ventricular_tachycardia) == (1, 1)
    assert (both.hours, both.one_lead.in_24_h) == (2.0, 36.0)


def test_one_lead_and_all_stand_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Of each database a row for every figure; it fits a terminal."""
    at_s = np.arange(400) * 0.5
    false = annotated(detected(("asystole", 10.0, 14.0, 15.0)), at_s, "N" * 400)
    one = {"svdb": sum_annotated("svdb", [false])}
    every = {"svdb": sum_annotated("svdb", [annotated(detected(), at_s, "N" * 400)])}
    rates = false_side_by_side(one, every)
    result = AlarmResult(
        databases=one, all_leads=AllLeads(databases=every, false_lethal=rates), missing=[]
    )
    page = markdown(alarm_sections(result, provenance()))
    assert "| svdb | 1 | 0 | 24.0 | 0.0 | 1 | 0 | 0 | 0 |" in page
    assert "| svdb | QRS missed and false | 0 + 0 = 0 | 0 + 0 = 0 |" in page
    print_sections(alarm_sections(result, provenance())[:1])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= WIDTH


def test_made_figures_are_written_with_their_intervals() -> None:
    """A section for each database, and one line for each wrong call, as a place to draw."""
    at_s = np.arange(400) * 0.5
    named = [Stretch("VF", 100.0, 120.0)]
    spans = detected(("ventricular_fibrillation", 100.0, 105.0, 120.0), beats_s=(1.0,), labels="N")
    episodes = [EpisodeRecord.of(name, spans, named) for name in "ab"]
    episodes.append(EpisodeRecord.of("c", detected(), named))
    false = annotated(detected(("asystole", 10.0, 14.0, 15.0)), at_s, "N" * 400)
    result = AlarmResult(
        databases={
            "vfdb": sum_episodes("vfdb", episodes, {"vf": RHYTHMS["vf"]}, "false"),
            "svdb": sum_annotated("svdb", [false, annotated(detected(), at_s, "N" * 400)]),
        },
        missing=["cu"],
    )
    page = markdown(alarm_sections(result, provenance()))
    assert "| fibrillation, flutter | any lethal one | 2 | 1 | 67 (0 to 100) | 5.0" in page
    assert "| false lethal alarms in 24 h, extreme rates too | 12.0 (0.0 to 24.0) |" in page
    assert "Not there, and not measured: cu." in page
    assert wrong_lines(result) == [
        "vfdb/c@100.0  missed VF, 20.0 s; ours: no lethal alarm; 0 beats",
        "svdb/r@14.0  false asystole; ours: asystole at 14.0 s: why",
    ]
    json.dumps(to_json(result), allow_nan=False)


def test_every_database_has_a_title() -> None:
    """One that is added to the list is added to the tables as well."""
    assert set(TITLES) == set(DATABASES)


def test_qrs_complexes_of_all_records_weigh_alike() -> None:
    """Gross figures, as the gross line of `monitor evaluate ec57`."""
    rows = [
        QrsOfRecord(record="a", score=Score(90, 10, 90, 0)),
        QrsOfRecord(record="b", score=Score(900, 0, 900, 100)),
    ]
    got = sum_qrs(rows)
    assert (got.found, got.missed, got.false) == (990, 10, 100)
    assert got.sensitivity.value == 99.0
    assert got.positive_predictivity.value == pytest.approx(100 * 990 / 1090, abs=5e-4)


def test_what_was_nearest_is_one_line() -> None:
    """Conditions that were on, then the beats there: how many, how fast, of which class."""
    found = detected(
        ("couplet", 10.0, 11.0, 12.0),
        ("heart_rate_high", 3.0, 5.0, 8.0),
        beats_s=(9.0, 10.0, 10.4, 10.8, 12.0, 30.0),
        labels="NVVV?N",
    )
    assert nearest(found, 9.5, 12.5) == (
        "no lethal alarm; couplet; 4 beats, RR 0.40 to 1.20 s, 3 V (3 in a row), 1 not analysable"
    )
    late = detected(("asystole", 20.0, 24.0, 25.5))
    assert nearest(late, 10.0, 22.0) == "asystole at 24.0 s: why, until 25.5 s; 0 beats"
    assert longest_run("VVNVVV", "V") == 3
    assert longest_run("", "V") == 0


def test_readings_are_stretches_of_a_record(tmp_path: Path) -> None:
    """`vf` and `u` in seconds; the remark is no record."""
    (tmp_path / "readings.json").write_text(
        json.dumps({"_": "read by eye", "cu1": {"vf": [[1, 2.5]], "u": [[3, 4]]}})
    )
    (one,) = read_readings(tmp_path)
    assert one == ("cu1", [Stretch("VF", 1.0, 2.5)], [Stretch("unclear", 3.0, 4.0)])


@pytest.mark.parametrize(
    "text", ["[", "[]", '{"a": {"vf": []}}', '{"a": {"vf": [[2, 1]], "u": []}}', '{"a": 1}']
)
def test_readings_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    """With what belongs there."""
    (tmp_path / "readings.json").write_text(text)
    with pytest.raises(InputError, match="holds no readings"):
        read_readings(tmp_path)


def test_records_are_named_with_their_label(tmp_path: Path) -> None:
    """A label without a folder has none."""
    for name in ("normal/A2", "normal/A1", "af/A3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.hea").touch()
    assert find_labelled(tmp_path, "normal") == ["normal/A1", "normal/A2"]
    assert find_labelled(tmp_path) == ["normal/A1", "normal/A2", "af/A3"]
