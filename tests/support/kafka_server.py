"""A real Apache Kafka for tests, chaos and benches: one KRaft node on loopback, jars from Maven.

Tests kill and restart it; `wipe` makes it as empty as a new broker within milliseconds.
"""

import fcntl
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.stack import (
    CACHE,
    Server,
    StackMissingError,
    die_with_parent,
    free_port,
    wait_until,
)

_POM = Path(__file__).with_name("kafka-pom.xml")
# Any valid id works: the node's storage is its own.
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
# Tests shorten the session of workers, so that a killed one is missed sooner.
group.min.session.timeout.ms=1000
# A broker that restarts after a kill waits until its former session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
"""
# A log of a few MiB each test needs little; more heap would take memory from what is measured.
_HEAP = "-Xmx768m"
# For a broker that lives for minutes: without the optimising compiler it starts and runs on a third
# less processor time, which the tests' own processes need. Benches leave it on.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# https://kafka.apache.org/protocol#The_Messages_LeaveGroup
_LEAVE_GROUP, _LEAVE_GROUP_VERSION = 13, 3


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars, downloaded by Maven once; raises StackMissingError."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise StackMissingError(f"Kafka needs {tool}, which is not on this machine's PATH")
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
                raise StackMissingError(
                    f"Maven could not fetch Kafka: {(done.stdout + done.stderr)[-800:]}"
                )
            (folder / ".complete").touch()
    return folder


class KafkaServer(Server):
    """One broker: `start`, `kill` (-9), `start` again on the same port with the same data, `stop`.

    Use as a context manager.
    """

    def __init__(self, folder: Path, java_options: Sequence[str] = ()) -> None:
        self._jars = kafka_jars()
        self._java_options = tuple(java_options)
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
        return ["java", _HEAP, *self._java_options, "-cp", f"{self._jars}/*", *words]

    def _java(self, *words: str) -> None:
        done = subprocess.run(
            self._command(*words), capture_output=True, text=True, check=False, cwd=self._folder
        )
        if done.returncode != 0:
            raise StackMissingError(f"{words[0]} failed: {(done.stdout + done.stderr)[-800:]}")

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
            raise StackMissingError(
                f"Kafka ended: {(self._folder / 'kafka.log').read_text()[-800:]}"
            )
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def wipe(self) -> None:
        """Delete every topic and every consumer group with its members and offsets.

        A worker's membership outlives it for its session; the next test's workers would wait that
        long for their partitions.
        """
        admin = AdminClient({"bootstrap.servers": self.broker})

        def topics() -> list[str]:
            return [
                name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")
            ]

        if names := topics():
            for future in admin.delete_topics(names).values():
                future.result()
        wait_until("Kafka to forget its groups", lambda: self._forget_groups(admin), 30)
        wait_until("Kafka to forget its topics", lambda: not topics())

    def _forget_groups(self, admin: AdminClient) -> bool:
        """Delete all groups; return False where the coordinator cannot answer yet."""
        try:
            groups = [one.group_id for one in admin.list_consumer_groups().result().valid]
            for group, described in (
                admin.describe_consumer_groups(groups).items() if groups else ()
            ):
                members = described.result().members
                self._remove_members(
                    group, [(member.member_id, member.group_instance_id) for member in members]
                )
            for deleted in admin.delete_consumer_groups(groups).values() if groups else ():
                deleted.result()
        except KafkaException:
            return False
        return True

    def _remove_members(self, group: str, members: Sequence[tuple[str, str | None]]) -> None:
        """Send LeaveGroup for members, static ones included: librdkafka has no call for it."""
        if not members:
            return
        body = _string(group) + struct.pack(">i", len(members))
        for member_id, instance in members:
            # A static member is removed by its instance alone.
            body += _string("" if instance else member_id) + _string(instance)
        request = struct.pack(">hhi", _LEAVE_GROUP, _LEAVE_GROUP_VERSION, 1) + _string("tests")
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(struct.pack(">i", len(request + body)) + request + body)
            # The answer says that it is done; what was gone already is gone.
            assert connection.recv(4, socket.MSG_WAITALL), "Kafka refused LeaveGroup"


def _string(text: str | None) -> bytes:
    """Return a string as Kafka's protocol writes it: its length in two bytes, -1 for none.

    >>> _string("ab")
    b'\\x00\\x02ab'
    """
    encoded = (text or "").encode()
    return struct.pack(">h", len(encoded) if text is not None else -1) + encoded


if __name__ == "__main__":
    with KafkaServer(Path(sys.argv[1])) as server:
        print(server.broker, flush=True)
        sys.stdin.read()
