"""`recon expectations suggest`: a suite learned from the last snapshots, for somebody to review."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jobs.config import load
from pipelines import snapshots
from pipelines.tables import SnapshotRows
from pipelines.validate import Measurement, measure_rows
from reconcilers.errors import ConfigError


@dataclass(frozen=True)
class Suggestion:
    """The suite as Great Expectations saves it, and where it was written."""

    document: dict[str, object]
    path: Path | None
    snapshots: int

    def text(self) -> str:
        """Each rule with its reason, and what to do with it."""
        rules = self.document["expectations"]
        assert isinstance(rules, list)  # noqa: S101  of our own making
        lines = [f"{rule['description']}: {rule['meta']['reason']}" for rule in rules]
        if self.path is not None:
            lines += ["", f"wrote {self.path}; review it, and name it as the `suite` of the dataset's `expectations`"]
        return "\n".join(lines)


def suggest(config: Path, system: str, dataset: str, last: int, output: Path | None) -> Suggestion:
    """Profile the last snapshots of a dataset and make a suite of what they have in common.

    Raises:
        ConfigError: there is no snapshot, or `output` exists.
    """
    from expectations import suggest as suggesting

    loaded = load(config)
    loaded.system(system)
    taken = snapshots.list_snapshots(str(loaded.workspace), system)
    found = [snapshot for snapshot in taken if snapshot.manifest.dataset == dataset][-last:]
    if not found:
        others = ", ".join(sorted({snapshot.manifest.dataset for snapshot in taken}))
        hint = f"there are some of {others} (--dataset)" if others else f"`recon snapshot {system}` takes one"
        raise ConfigError(f"no snapshot of {system}/{dataset} yet; {hint}")
    if output is not None and output.exists():
        raise ConfigError(f"{output} exists; a suite is never overwritten")
    asked = [
        Measurement(f"{number:05d}", rows, suggesting.profile(rows.schema))
        for number, rows in enumerate(map(SnapshotRows, found))
    ]
    with tempfile.TemporaryDirectory(prefix="recon-suggest-") as work:
        values = measure_rows(asked, work)
    suite = suggesting.suggest(f"{system}.{dataset}", asked[-1].rows.schema, values)
    document = suite.to_json_dict()
    if output is not None:
        output.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Suggestion(document, output, len(found))
