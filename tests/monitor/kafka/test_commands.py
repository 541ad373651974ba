"""`monitor gateway`, `worker`, `bridge kafka`, `alerts`: what they print, what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.kafka.alerts import print_cluster_alerts
from monitor.kafka.cluster import ClusterOptions
from monitor.kafka.gateway import run_gateway
from monitor.kafka.worker import rules_version
from monitor.run.processes import child_command
from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.client import Subscriber
from pipeline.errors import ConfigError, EndpointError
from pipeline.kafka.alerts import AlertReader
from pipeline.kafka.brokers import Cluster, failures_in_a_line, load_settings
from pipeline.kafka.figures import TEXTS
from pipeline.kafka.topics import Topics, partition_of
from pipeline.schema.public import Alert
from tests.monitor.test_metrics import scrape
from tests.support.kafka import Brokers, Command, GatewayProcess, Process
from tests.support.paths import ROOT
from tests.support.ports import free_ports
from tests.support.running import CONFIG, until

NOBODY = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def _limits_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that runs in this process leaves the memory of the other tests as it was."""
    monkeypatch.setattr("monitor.kafka.gateway.set_hub_limits", lambda: None)
    monkeypatch.setattr("monitor.kafka.gateway.return_memory", lambda: None)


def options(
    brokers: str = NOBODY, prefix: str = "ecg", config: Path | None = None
) -> ClusterOptions:
    """Return the options of a command."""
    return ClusterOptions(brokers=brokers, prefix=prefix, config=config)


def gateway(chosen: ClusterOptions, ingest: str = "tcp://127.0.0.1:0") -> None:
    """Run a gateway, which is expected to refuse."""
    run_gateway(
        chosen, ingest=ingest, partitions=None, replicas=3, linger_ms=20.0, max_streams=10,
        metrics=None, key=None, keys=None, parent=os.getppid(),
    )  # fmt: skip


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is an extra: most people need none."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigError, match=r"pip install 'ecg-monitor\[kafka\]'"):
        gateway(options())
    with pytest.raises(ConfigError, match=r"pip install 'ecg-monitor\[kafka\]'"):
        print_cluster_alerts(options(), stream=None, position=None, as_json=True)
    with pytest.raises(ConfigError, match=r"pip install 'ecg-monitor\[kafka\]'"):
        AlertReader(options().cluster())  # of a bridge


def test_an_address_off_loopback_needs_keys() -> None:
    """As everywhere else."""
    with pytest.raises(ConfigError, match="unprotected"):
        gateway(options(), "tcp://0.0.0.0:5573")


@pytest.mark.parametrize("prefix", ["", "a b", "-x", "ä", "x" * 101, "../x"])
def test_a_prefix_is_a_name(prefix: str) -> None:
    """It becomes a part of the names of topics."""
    with pytest.raises(ConfigError, match="prefix"):
        options(prefix=prefix).cluster()


@pytest.mark.parametrize(
    "text",
    [
        "acks=0", "enable.idempotence=false", "nonsense", "group.id=x", "=x", "A=b",
        "delivery.timeout.ms=120000", "retries=3", "delivery.report.only.error=true",
        "auto.commit.enable=true", "enable.gapless.guarantee=true", "enable.partition.eof=true",
        "linger.ms=1000", "queue.buffering.max.kbytes=1", "test.mock.num.brokers=3",
    ],
)  # fmt: skip
def test_settings_on_which_the_delivery_rests_are_refused(tmp_path: Path, text: str) -> None:
    """So is what is no setting; the line is named."""
    path = tmp_path / "kafka.properties"
    path.write_text(f"# ours\n\n{text}\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="line 3"):
        load_settings(path)


def test_settings_that_are_open_to_others_are_refused(tmp_path: Path) -> None:
    """They hold passwords; whoever writes them chooses where the patients' signals go."""
    path = tmp_path / "kafka.properties"
    path.write_text("security.protocol=SASL_SSL\nsasl.username = me\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod"):
        load_settings(path)
    path.chmod(0o600)
    assert load_settings(path) == {"security.protocol": "SASL_SSL", "sasl.username": "me"}


def test_settings_that_the_client_refuses_are_one_line() -> None:
    """With its reason."""
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    with pytest.raises(ConfigError, match="refuses its settings"):
        Cluster(brokers=NOBODY, settings={"no.such.setting": "1"}).producer()


def test_brokers_that_are_not_there_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time in which one would have answered."""
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    monkeypatch.setattr("pipeline.kafka.brokers.ANSWER_S", 0.2)
    with pytest.raises(EndpointError, match="no Kafka broker answers at 127"):
        gateway(options())


def test_what_the_client_raises_while_it_serves_is_one_line() -> None:
    """As where no coordinator of the group answers."""
    library = pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    with pytest.raises(EndpointError, match="the cluster cannot be used"), failures_in_a_line():
        raise library.KafkaException(library.KafkaError(library.KafkaError._TIMED_OUT))


def test_topics_that_are_missing_are_named() -> None:
    """With the command that creates them."""
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    with Brokers() as brokers, pytest.raises(ConfigError, match="--partitions"):
        gateway(options(brokers.addresses, "others"))


def test_rules_of_another_name_are_other_rules() -> None:
    """A setting that changes an alert changes the name."""
    names = {
        rules_version(CONFIG, DEFAULTS, "student"),
        rules_version(CONFIG, AlarmSettings(asystole_s=5.0), "student"),
        rules_version(CONFIG, DEFAULTS, "another"),
    }
    assert len(names) == 3
    assert rules_version(CONFIG, DEFAULTS, "student") in names


def test_rules_have_one_name_in_all_processes() -> None:
    """Alerts that a worker derives again after another was killed are repeats by that name."""
    program = (
        "from monitor.kafka.worker import rules_version\n"
        "from pipeline.alarms.settings import DEFAULTS\n"
        "from tests.support.running import CONFIG\n"
        "print(rules_version(CONFIG, DEFAULTS, 'student'))\n"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert names == {rules_version(CONFIG, DEFAULTS, "student")}


def test_a_stream_has_the_same_partition_everywhere() -> None:
    """Recorded: with another function streams would lose their past."""
    assert [partition_of(name, 64) for name in ("100", "208", "ward3-bed2")] == RECORDED
    assert len({partition_of(f"bed-{n}", 64) for n in range(1_000)}) == 64
    assert Topics("x").group == "x.workers"


RECORDED = [42, 1, 61]


@pytest.mark.system
def test_a_record_goes_through_all_commands(tmp_path: Path) -> None:
    """Source, gateway, worker and bridge as commands: the alerts are those of a scan.

    What they count is served to Prometheus.
    """
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    port, served = free_ports(), ["--metrics", "0"]
    received: list[Alert] = []
    of_bridge = ["bridge", "kafka", "--port", str(port), "--log", str(tmp_path / "log"), *served]
    with (
        Brokers() as brokers,
        GatewayProcess(brokers, further=served) as gateway,
        Command(["worker", "--snapshot-s", "1", *served], brokers) as worker,
        Command(of_bridge, brokers) as bridge,
        Subscriber(f"tcp://127.0.0.1:{port}", from_seq=1) as subscriber,
    ):
        run("source", "demo", "--ingest", gateway.ingest, "--speed", "max")
        scanned = [json.loads(line) for line in run("scan", "demo", "--json").splitlines()[:-1]]
        expected = sorted((one["episode"], one["state"]) for one in scanned)

        def got_all() -> bool:
            received.extend(one for one in subscriber.receive(0.1) if isinstance(one, Alert))
            return len(received) >= len(expected)

        until(got_all)
        cluster = ["--kafka", brokers.addresses, "--prefix", brokers.topics.prefix]
        printed = ["alerts", *cluster, "--position", str(tmp_path / "read"), "--json"]
        with Process(*child_command(printed)) as alerts:
            alerts.wait_for(lambda lines: len(lines) >= len(expected))
            assert alerts.end() == 0  # by SIGTERM, as the others
        check_figures(gateway, worker, bridge, len(expected))
    assert sorted((one.episode, one.state) for one in received) == expected


def check_figures(gateway: Command, worker: Command, bridge: Command, alerts: int) -> None:
    """Scrape the three until each has counted all; each has the figures that it can have."""

    def figures(command: Command) -> dict[str, float]:
        prefix = "ecg_monitor_cluster_"
        found = scrape(command.ready["metrics"])
        return {n.removeprefix(prefix): v for (n, _), v in found.items() if n.startswith(prefix)}

    until(lambda: figures(bridge)["alerts_total"] == alerts)
    until(lambda: figures(worker)["alerts_total"] == figures(worker)["alerts_total"] == alerts)
    until(lambda: figures(worker)["messages_total"] >= figures(gateway)["messages_total"] > 0)
    of_worker, of_bridge, of_gateway = figures(worker), figures(bridge), figures(gateway)
    assert of_worker["beats_total"] > 0
    assert of_worker["streams"] == 1
    assert of_worker["lag_messages"] == of_bridge["lag_messages"] == of_gateway["lag_messages"] == 0
    assert of_worker["partitions"] == of_bridge["partitions"] == of_gateway["partitions"] == 4
    assert of_worker["message_bytes_total"] >= of_gateway["message_bytes_total"] > 1_000
    assert of_worker["snapshot_age_seconds"] < 60
    assert {n.replace("_seconds", "_s") for n in of_worker | of_bridge | of_gateway} == set(TEXTS)
    assert ("ecg_monitor_log_last_seq", ()) in scrape(bridge.ready["metrics"])


def run(*words: str) -> str:
    """Run a command to its end; return what it prints."""
    command, environment = child_command(words)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout
