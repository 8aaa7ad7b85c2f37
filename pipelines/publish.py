"""The publish pipeline: one lane of batches a worker, a receipt part a batch.

What is to be sent is a Parquet file, a *wave*, whose row group k is batch k. A batch is sent, and when the
target has acknowledged it, its receipts are written, atomically; a batch that has receipts is never sent
again. Killed in between, it is sent again with the same idempotency keys, which is what they are for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import filesystem, lock
from pipelines.connectors import Context, Sink, open_sink
from pipelines.execution import LOCAL, pipeline
from pipelines.queries import Queries, of_size, write_rows
from reconcilers.corrections import Correction, Mode, Receipt, Status
from reconcilers.errors import Refused, Unreachable
from reconcilers.published import fates
from reconcilers.schemas import outgoing_schema, receipts_schema

#: Seconds before a batch without an answer is sent again, with the same keys.
PAUSES = (0.5, 2.0, 5.0)

#: What a target may answer to a correction.
_ANSWERS = frozenset({Status.APPLIED, Status.SENT, Status.STALE, Status.REJECTED})


@dataclass(frozen=True)
class Target:
    """A system that takes corrections: the sink to open, and how fast it may be used."""

    name: str
    connector: str
    options: Mapping[str, Any] = field(repr=False)
    context: Context
    rate: int | None = None
    concurrency: int = 1

    def open(self) -> Sink:
        """Its sink. Raises `Unreachable`."""
        return open_sink(self.connector, dict(self.options), self.context)


@dataclass(frozen=True)
class Wave:
    """The corrections of one pair that go out together: where they are, and where their receipts belong."""

    target: Target
    pair: str
    number: int
    directory: str

    @property
    def path(self) -> str:
        """The file of its corrections (`outgoing_schema`), a row group a batch."""
        return filesystem.join(self.directory, "outgoing", f"{self.pair}.wave-{self.number:03d}.parquet")

    def receipts_of(self, batch: int) -> str:
        """The file of the receipts of a batch (`receipts_schema`)."""
        name = f"{self.pair}.wave-{self.number:03d}.batch-{batch:06d}.parquet"
        return filesystem.join(self.directory, "receipts", name)

    def footer(self) -> pq.FileMetaData:
        """What says where its batches are: longer than a small batch, the more of them there are."""
        with filesystem.open_read(self.path) as file:
            return pq.read_metadata(file)

    def unanswered(self) -> list[int]:
        """The batches that have no receipts."""
        have = set(filesystem.list_files(filesystem.join(self.directory, "receipts")))
        return [batch for batch in range(self.footer().num_row_groups) if self.receipts_of(batch) not in have]

    def read(self, batch: int, footer: pq.FileMetaData) -> pa.Table:
        """The corrections of a batch."""
        with filesystem.open_read(self.path) as file:
            return pq.ParquetFile(file, metadata=footer).read_row_group(batch, use_threads=False)


@dataclass(frozen=True)
class Lane:
    """Batches that one worker sends one after another, while the lock is held under `token`.

    `clock` is the instant that a replay judges at; None: the present.
    """

    wave: Wave
    number: int
    batches: tuple[int, ...]
    pace: float
    lock: str
    token: str
    clock: datetime | None = None


def write_wave(wave: Wave, corrections: Iterable[pa.Table], batch_size: int) -> int:
    """Make a wave exist, whole or not at all, of corrections as they come; every batch but the last is full."""
    return write_rows(wave.path, of_size(corrections, batch_size))


def send(
    waves: Iterable[Wave],
    lock_path: str,
    token: str,
    clock: datetime | None = None,
    beam_args: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[str]:
    """Send every batch that has no receipts; returns what could not be reached, a line a target.

    A target that does not answer does not keep the others from being sent to.

    Raises:
        Refused: another process took over.
    """
    lanes = [lane for wave in waves for lane in _lanes(wave, lock_path, token, clock)]
    if not lanes:
        return []
    receipts = filesystem.join(lanes[0].wave.directory, "receipts")
    total = sum(len(lane.batches) for lane in lanes)
    if len(lanes) == 1 and not beam_args:
        # a pipeline would only add its own start to a single worker
        send_lane(lanes[0], lambda done: progress(done, total))
        return [told for told in (_trouble(lanes[0]),) if told is not None]
    before = len(filesystem.list_files(receipts))
    arguments = beam_args or (*LOCAL, f"--direct_num_workers={len(lanes)}")
    with pipeline(arguments, lambda: progress(len(filesystem.list_files(receipts)) - before, total)) as built:
        _ = built | "Lanes" >> beam.Create(lanes) | "Spread" >> beam.Reshuffle() | "SendLane" >> beam.Map(send_lane)
    return sorted({told for lane in lanes if (told := _trouble(lane)) is not None})


def send_lane(lane: Lane, progress: Callable[[int], None] = lambda done: None) -> None:
    """Send the batches of a lane; where the target cannot be reached, say so in a file and stop."""
    trouble = _trouble_path(lane)
    if filesystem.exists(trouble):
        filesystem.delete(trouble)
    try:
        sink = lane.wave.target.open()
        try:
            footer = lane.wave.footer()
            for done, batch in enumerate(lane.batches, 1):
                began = time.monotonic()
                lock.check(lane.lock, lane.token)
                corrections = lane.wave.read(batch, footer)
                receipts = send_batch(sink, corrections, lambda: lane.clock or datetime.now(UTC))
                write_rows(lane.wave.receipts_of(batch), [receipts])
                progress(done)
                time.sleep(max(0.0, len(corrections) * lane.pace - (time.monotonic() - began)))
        finally:
            sink.close()
    except Unreachable as error:
        filesystem.write_atomic(trouble, f"{lane.wave.target.name}: {error}".encode())


def send_batch(sink: Sink, corrections: pa.Table, clock: Callable[[], datetime]) -> pa.Table:
    """Send one batch and return its receipts, a row a correction, in their order.

    What has expired is not sent. Without an answer, the same batch goes again with the same keys. Where
    the target knows no way but an absolute number, the number is read back.

    Args:
        sink: where to.
        corrections: rows of `outgoing_schema`.
        clock: says what time it is.

    Raises:
        Unreachable: no answer to any attempt.
        Refused: the clock was set back behind the making of a correction, so nothing says what has expired.
    """
    now = clock()
    _check_clock(corrections, now)
    expired = pc.fill_null(
        pc.less_equal(corrections["expires_at"], pa.scalar(now, corrections["expires_at"].type)), False
    )
    due = corrections.filter(pc.invert(expired))
    sent = corrections_of(due)
    answers = _answers(sink, sent) if sent else []
    answers = _read_back(sink, sent, answers)
    late = [Receipt(key, Status.EXPIRED, "expired before it was sent")
            for key in corrections.filter(expired)["idempotency_key"].to_pylist()]  # fmt: skip
    return _receipts(corrections, [*answers, *late], clock())


def show_fates(ask: Queries, directory: str, scale: int) -> None:
    """Make what became of the corrections below a `publish/` directory the view `fate` (`receipts_schema`).

    Of all corrections that were ever on their way out, whether or not an answer came.
    """
    places = (("outgoing", "outgoing", outgoing_schema(scale)), ("receipt", "receipts", receipts_schema(scale)))
    for name, below, schema in places:
        files = filesystem.list_files(filesystem.join(directory, below))
        ask.show(name, [path for path in files if path.endswith(".parquet")], schema)
    fates(ask.con)


def add_receipts(directory: str, stem: str, tables: Iterable[pa.Table]) -> int:
    """Write receipts that a later look found below a `publish/` directory, a file each time; returns how many."""
    receipts = filesystem.join(directory, "receipts")
    taken = sum(path.rsplit("/", 1)[-1].startswith(f"{stem}-") for path in filesystem.list_files(receipts))
    return write_rows(filesystem.join(receipts, f"{stem}-{taken:05d}.parquet"), tables)


def last_wave(directory: str, pair: str) -> int:
    """The number of the last wave of a pair; 0 where there is none."""
    names = [path.rsplit("/", 1)[-1] for path in filesystem.list_files(filesystem.join(directory, "outgoing"))]
    numbers = [int(name.removeprefix(f"{pair}.wave-")[:3]) for name in names if name.startswith(f"{pair}.wave-")]
    return max(numbers, default=0)


def corrections_of(rows: pa.Table) -> list[Correction]:
    """The corrections that rows of `outgoing_schema` stand for."""
    told = {name: rows[name].to_pylist() for name in Correction.__dataclass_fields__}
    told |= {"sku": rows["target_sku"].to_pylist(), "mode": [Mode(mode) for mode in told["mode"]]}
    return [Correction(*values) for values in zip(*told.values(), strict=True)]


def _lanes(wave: Wave, lock_path: str, token: str, clock: datetime | None) -> list[Lane]:
    batches = wave.unanswered()
    lanes = min(wave.target.concurrency, len(batches))
    pace = lanes / wave.target.rate if wave.target.rate else 0.0
    return [Lane(wave, n, tuple(batches[n::lanes]), pace, lock_path, token, clock) for n in range(lanes)]


def _answers(sink: Sink, sent: list[Correction]) -> list[Receipt]:
    for pause in (*PAUSES, None):
        try:
            answers = sink.send(sent)
            break
        except Unreachable:
            if pause is None:
                raise
            time.sleep(pause)
    keys = [correction.idempotency_key for correction in sent]
    if [answer.idempotency_key for answer in answers] != keys:
        raise AssertionError(f"{type(sink).__module__}: {len(answers)} receipts do not answer {len(keys)} corrections")
    odd = next((answer for answer in answers if answer.status not in _ANSWERS), None)
    if odd is not None:
        raise AssertionError(f"{type(sink).__module__}: answers {odd.status}")
    return answers


def _read_back(sink: Sink, sent: list[Correction], answers: list[Receipt]) -> list[Receipt]:
    """Absolute numbers overwrite whatever is there, so an acknowledgement says too little: look."""
    doubtful = [c for c, a in zip(sent, answers, strict=True) if c.mode is Mode.ABSOLUTE and a.status is Status.APPLIED]
    shown = sink.observe([(c.sku, c.location) for c in doubtful]) if doubtful else None
    if shown is None:
        return answers
    found = {c.idempotency_key: _seen(c, shown.get((c.sku, c.location))) for c in doubtful}
    return [found.get(answer.idempotency_key, answer) for answer in answers]


def _seen(correction: Correction, observed: Any) -> Receipt:
    if observed == correction.value:
        return Receipt(correction.idempotency_key, Status.VERIFIED, "read back", observed)
    return Receipt(correction.idempotency_key, Status.SENT, "reads otherwise after the write", observed)


def _receipts(corrections: pa.Table, answers: list[Receipt], now: datetime) -> pa.Table:
    by_key = {answer.idempotency_key: answer for answer in answers}
    ordered = [by_key[key] for key in corrections["idempotency_key"].to_pylist()]
    scale = corrections.schema.field("value").type.scale
    schema = receipts_schema(scale)
    told = {
        "status": [str(answer.status) for answer in ordered],
        "message": [answer.message for answer in ordered],
        "observed": [answer.observed for answer in ordered],
        "answered_at": [now] * len(ordered),
    }
    columns = [pa.array(told[f.name], f.type) if f.name in told else corrections[f.name] for f in schema]
    return pa.table(columns, schema=schema)


def _check_clock(corrections: pa.Table, now: datetime) -> None:
    made = pc.max(corrections["created_at"]).as_py()
    if made is not None and now < made - timedelta(minutes=5):
        raise Refused(
            f"the clock says {now:%Y-%m-%d %H:%M:%S} UTC, but these corrections were made at "
            f"{made:%Y-%m-%d %H:%M:%S}; set it right, nothing was sent"
        )


def _trouble_path(lane: Lane) -> str:
    return filesystem.join(lane.wave.directory, "trouble", f"{lane.wave.target.name}.lane-{lane.number:02d}.txt")


def _trouble(lane: Lane) -> str | None:
    path = _trouble_path(lane)
    if not filesystem.exists(path):
        return None
    with filesystem.open_read(path) as file:
        return bytes(file.read()).decode()
