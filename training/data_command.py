"""What `python -m training data ...` does: plain functions that return JSON."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.catalog_files import load_catalog
from core.errors import InputError, NotFoundError, StorageError
from core.messages import JsonObject, JsonValue
from core.rows.json_lines import json_lines
from core.settings import Settings
from core.store import open_store
from training.datasets.audit import audit
from training.datasets.audit_page import audit_page
from training.datasets.audit_report import AuditReport
from training.datasets.curating import (
    Curation,
    Decision,
    decision_of,
    merged,
    propose,
    review_queue,
)
from training.datasets.diff import diff
from training.datasets.drafts import draft
from training.datasets.example import Kind
from training.datasets.findings import DEFECTS, Finding
from training.datasets.from_logs import Source, StoreFeedback, import_source
from training.datasets.from_votes import StoreVotes, Voices
from training.datasets.importing import import_dataset, preview
from training.datasets.leakage import read_items
from training.datasets.splitting import split
from training.datasets.tokenizers import tokenizer_of
from training.datasets.versions import (
    Version,
    check_digest,
    dataset_names,
    find_version,
    list_versions,
    read_examples,
    refused_rows,
    sync_folder,
    write_synced,
)

FINDINGS, REPORT, PAGE = "findings.jsonl", "report.json", "page.html"
SCRATCH_NAME = "audited"


def data_list(settings: Settings) -> dict[str, JsonValue]:
    """Return all dataset versions."""
    names = dataset_names(settings.home)
    found = [version for name in names for version in list_versions(settings.home, name)]
    return {"datasets": [version.to_dict() for version in found]}


def data_preview(path: Path, format: str | None = None, rows: int = 5) -> dict[str, JsonValue]:
    """Return what the first rows of a file would be; nothing is written."""
    return {"rows": preview(path, format, rows)}


def data_import(
    settings: Settings, path: Path, name: str, format: str | None = None
) -> dict[str, JsonValue]:
    """Import a file as a dataset version; the format is told from its rows when none is given."""
    return import_dataset(settings.home, path, name, format).to_dict()


def data_from_logs(
    settings: Settings,
    name: str,
    kind: Kind | None = None,
    votes: Voices | None = None,
    with_items: bool = False,
) -> dict[str, JsonValue]:
    """Make a dataset version of what people liked and corrected in chats, or of blind votes.

    `kind` is `sft` for chats and `preference` for votes where none is given. `with_items`: votes on
    items of evaluation tasks too.
    """
    store = open_store(settings.database_url)
    try:
        source: Source = StoreFeedback(store, kind or "sft")
        if votes is not None:
            source = StoreVotes(store, kind or "preference", votes, with_items=with_items)
        return import_source(settings.home, name, source).to_dict()
    finally:
        store.close()


def data_audit(
    settings: Settings,
    dataset: str,
    model: str,
    max_length: int,
    against: Path | Iterable[JsonObject] = (),
) -> dict[str, JsonValue]:
    """Audit `NAME`, `NAME@VERSION` or a file for a model; keep report, page and findings.

    They are kept in a folder of their own under `$UNDERSTUDY_HOME/audits/`, named by `audit`.
    """
    tokenizer = tokenizer_of(
        load_catalog(settings), model, settings.environment.get("HF_TOKEN") or None
    )
    items = read_items(against) if isinstance(against, Path) else against
    with _opened(settings.home, dataset) as (version, refused, reasons):
        report = audit(read_examples(version.path), tokenizer, max_length, items, refused)
        facts: dict[str, JsonValue] = {
            "dataset": dataset,
            "digest": version.digest,
            "model": model,
            "reasons": reasons,
        }
    return _keep(settings.home, report, facts)


def data_curate(
    settings: Settings, dataset: str, audit_folder: Path, decisions: Path | None = None
) -> dict[str, JsonValue]:
    """Make a new version as rules and a person's decisions say; return what was done.

    `decisions` is JSON Lines of `{"id", "action", "reason", "answer"?}`; they go before the rules.
    Rows that nobody decided on stay as they are, and are returned in `queue`.
    """
    version = find_version(settings.home, dataset)
    check_digest(version)
    findings = read_findings(audit_folder, version)
    own = read_decisions(decisions) if decisions else []
    proposed = propose(read_examples(version.path), findings)
    made = merged(proposed, own)
    new, curation = apply_decisions(settings.home, version, made)
    return {
        "dataset": new.reference,
        "path": str(new.path),
        "digest": new.digest,
        "parent": version.digest,
        "rows": new.rows,
        **curation.counts,
        "is_unchanged": new.digest == version.digest,
        "queue": [
            {"id": review.id, "findings": [each.to_dict() for each in review.findings]}
            for review in review_queue(findings, made)
        ],
        "diff": diff(version, new).to_dict(),
    }


def data_split(
    settings: Settings, dataset: str, eval_share: float = 0.1, seed: int = 1
) -> dict[str, JsonValue]:
    """Split a version by group into train and eval; the lists are written once."""
    version = find_version(settings.home, dataset)
    check_digest(version)
    done = split(version, eval_share, seed)
    return {"dataset": version.reference, "digest": version.digest, **done.to_dict()}


def data_diff(settings: Settings, before: str, after: str) -> dict[str, JsonValue]:
    """Return what changed from one version to another."""
    return diff(find_version(settings.home, before), find_version(settings.home, after)).to_dict()


def apply_decisions(
    home: Path, version: Version, decisions: tuple[Decision, ...]
) -> tuple[Version, Curation]:
    """Write the version that decisions make of another one, with the decisions beside its rows.

    Raises:
        InputError: no row is left, or a decision is on a row that isn't there.
        StorageError: a version can't be read or written.
    """
    curation = Curation(read_examples(version.path), decisions)
    with draft(home, version.name) as new:
        for example in curation:
            new.add(example)
        if not new.rows:
            raise InputError(f"no row of {version.reference} is left; change the decisions")
        new.attach("decisions.jsonl", (_line(done.to_dict()) for done in curation.done))
        how: JsonObject = {"command": "curate", "parent": version.reference, **curation.counts}
        return new.commit(how, parent=version.digest), curation


def read_findings(folder: Path, version: Version) -> list[Finding]:
    """Return the findings of an audit of these very rows.

    Raises:
        InputError: the audit is of other rows.
        NotFoundError: there is no audit in the folder.
        StorageError: it can't be read.
    """
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no audit in {str(folder)!r}") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"the audit in {str(folder)!r} can't be read: {error}") from error
    if report.get("digest") != version.digest:
        raise InputError(
            f"the audit in {str(folder)!r} is not of {version.reference}: it saw digest "
            f"{report.get('digest')}, the version has {version.digest}; audit the version first"
        )
    return [_finding(line.value) for line in json_lines(folder / FINDINGS)]


def read_decisions(path: Path) -> list[Decision]:
    """Read a person's decisions, a line each.

    Raises:
        InputError: a line is no decision.
        NotFoundError: there is no such file.
        StorageError: it can't be read.
    """
    decisions = []
    for line in json_lines(path):
        try:
            if line.problem is not None:
                raise InputError(line.problem)
            decisions.append(decision_of(line.value))
        except InputError as error:
            raise InputError(f"{path.name}, line {line.number}: {error}") from error
    return decisions


@contextmanager
def _opened(home: Path, dataset: str) -> Iterator[tuple[Version, int, JsonObject]]:
    """Yield a version, of a file a passing one, and how many rows were refused, by reason too."""
    path = Path(dataset)
    if not path.is_file():
        version = find_version(home, dataset)
        check_digest(version)
        refused, reasons = version.how.get("refused", 0), refused_rows(version).get("reasons")
        count = refused if isinstance(refused, int) else 0
        yield version, count, reasons if isinstance(reasons, dict) else {}
        return
    with tempfile.TemporaryDirectory(prefix="understudy-audit-") as scratch:
        report = import_dataset(Path(scratch), path, SCRATCH_NAME)
        yield report.version, report.refused, report.reasons


def _keep(home: Path, report: AuditReport, facts: JsonObject) -> dict[str, JsonValue]:
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-"
    try:
        (home / "audits").mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=name, dir=home / "audits"))
        folder.chmod(0o755)
        told = {**facts, "audit": str(folder), **report.to_dict()}
        write_synced(
            folder / FINDINGS, "".join(_line(finding.to_dict()) for finding in report.findings)
        )
        write_synced(folder / PAGE, audit_page(report, str(facts["dataset"])))
        write_synced(folder / REPORT, json.dumps(told, ensure_ascii=False, indent=1) + "\n")
        sync_folder(folder)
    except OSError as error:
        raise StorageError(f"the audit can't be written: {error.strerror}") from error
    return told


def _finding(row: JsonValue) -> Finding:
    given = row if isinstance(row, dict) else {}
    defect = next((each for each in DEFECTS if each == given.get("defect")), None)
    if defect is None:
        raise StorageError(f"a finding of the audit can't be read: {str(row)[:80]}")
    return Finding(str(given.get("id")), defect, str(given.get("detail")))


def _line(row: JsonObject) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
