"""A real Apache Kafka for tests, chaos and benches: one KRaft node on loopback, its jars from
Maven, killed and restarted at will.
"""

import fcntl
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.support.stack import CACHE, Server, StackMissing, die_with_parent, free_port, wait_until

_POM = Path(__file__).with_name("kafka-pom.xml")
# Any valid id does: the node's storage is its own.
_CLUSTER = "c3dpdGNoYm9hcmQtdGVzdHM"
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A worker that was killed must be missed within ten seconds.
group.min.session.timeout.ms=1000
# A killed broker that comes back waits until its own former session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
"""
# A log of a few MiB each test needs little; more heap would take memory from what is measured.
_HEAP = "-Xmx768m"


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars, fetched by Maven at first use; raises StackMissing where
    that fails.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise StackMissing(f"Kafka needs {tool}, which is not on this machine's PATH")
    folder = CACHE / "kafka-4.1.0"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "kafka.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            command = [
                "mvn",
                "-q",
                "-B",
                "-f",
                str(_POM),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={folder}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CACHE)
            if done.returncode != 0:
                raise StackMissing(
                    f"Maven could not fetch Kafka: {(done.stdout + done.stderr)[-800:]}"
                )
            (folder / ".complete").touch()
    return folder


class KafkaServer(Server):
    """One broker: `start`, `kill` (-9), `start` again on the same port with the same data, `stop`.
    Use as a context manager.
    """

    def __init__(self, folder: Path) -> None:
        self._jars = kafka_jars()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._controller = free_port()
        self._properties = folder / "server.properties"
        self._properties.write_text(
            _PROPERTIES.format(
                port=self.port, controller=self._controller, folder=folder.absolute()
            )
        )
        self._java(
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            "-t",
            _CLUSTER,
            "-c",
            str(self._properties),
        )

    @property
    def broker(self) -> str:
        """The bootstrap address, host:port."""
        return f"127.0.0.1:{self.port}"

    def _command(self, *words: str) -> list[str]:
        return ["java", _HEAP, "-cp", f"{self._jars}/*", *words]

    def _java(self, *words: str) -> None:
        done = subprocess.run(
            self._command(*words), capture_output=True, text=True, check=False, cwd=self._folder
        )
        if done.returncode != 0:
            raise StackMissing(f"{words[0]} failed: {(done.stdout + done.stderr)[-800:]}")

    def start(self) -> "KafkaServer":
        """Start the broker and return when it answers."""
        with open(self._folder / "kafka.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(self._properties)),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # it calls prctl and nothing else
            )
        # Seconds on a quiet machine; one that was killed looks through its log first.
        wait_until(f"Kafka (see {self._folder}/kafka.log)", self._answers, 180)
        return self

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise StackMissing(f"Kafka ended: {(self._folder / 'kafka.log').read_text()[-800:]}")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def wipe(self) -> None:
        """Delete every topic, and with them what groups have committed."""
        admin = AdminClient({"bootstrap.servers": self.broker})

        def topics() -> list[str]:
            return [
                name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")
            ]

        if found := topics():
            for future in admin.delete_topics(found).values():
                future.result()
        wait_until("Kafka to forget its topics", lambda: not topics())


if __name__ == "__main__":
    with KafkaServer(Path(sys.argv[1])) as server:
        print(server.broker, flush=True)
        sys.stdin.read()
