"""Results in a model card: the `model-index` that the Hugging Face Hub shows beside a model.

Written with huggingface_hub and not with `evaluate.push_to_hub`: that one takes no token, and
0.4.6 fails with huggingface_hub 2 where a data set is not on the Hub.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import AppError, InputError, NotFoundError, StorageError, UnavailableError
from core.messages import JsonObject

TASK_TYPE = "text-generation"
COMMIT = "Add results of Understudy"
NEW_CARD = "---\n{}\n---\n"
ESTIMATE_FACTS = ("n", "low", "high")
RUN_FACTS = ("run", "missing", "task_digest", "grader_version", "model_digest", "adapter_digest")


def write_card(path: Path, summaries: Sequence[JsonObject]) -> None:
    """Put the results of runs into a README.md, which is made where it is missing.

    What else stands in it is kept; results of the same task, data and metric are replaced.

    Raises:
        InputError: a run is not completed, or the file's header is no card's.
        StorageError: the file can't be read or written.
    """
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else NEW_CARD
        card = with_results(text, summaries)
        draft = path.with_name(f".{path.name}.part")
        draft.write_text(str(card), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read or written: {error.strerror}") from error


def push_card(repo: str, summaries: Sequence[JsonObject], token: str) -> str:
    """Put the results of runs into the card of a model on the Hub; return the commit's address.

    Raises:
        InputError: a run is not completed, or name or card are none that the Hub accepts.
        NotFoundError: there is no such model, or the token may not see it.
        UnavailableError: the Hub is out of reach or refuses the token.
    """
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError

    try:
        card = with_results(_hub_card(repo, token), summaries)
        return str(card.push_to_hub(repo, token=token, commit_message=COMMIT))
    except AppError:
        raise
    except RepositoryNotFoundError as error:
        raise NotFoundError(f"no model {repo!r} on the Hub that this token may see") from error
    except (HTTPError, OSError) as error:
        raise UnavailableError(
            f"the card of {repo!r} can't be written: the Hub is out of reach or refuses; check "
            "the connection, and that HF_TOKEN may write to this model"
        ) from error
    except ValueError as error:
        raise InputError(f"the Hub does not accept {repo!r} or its card: {error}") from error


def with_results(text: str, summaries: Sequence[JsonObject]) -> Any:
    """Return a card, a `huggingface_hub.ModelCard`, with the results of runs in it.

    Raises:
        InputError: there is no run, one is not completed, or the text's header is no card's.
    """
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    if not summaries:
        raise InputError("name at least one run")
    new = [result for summary in summaries for result in eval_results(summary)]
    try:
        card = ModelCard(text)
    except (ValueError, TypeError, KeyError, YAMLError) as error:
        raise InputError(f"the header of the card can't be read: {error}") from error
    keys = {_key(result) for result in new}
    kept = [result for result in card.data.eval_results or [] if _key(result) not in keys]
    card.data.eval_results = [*kept, *new]
    card.data.model_name = card.data.model_name or str(summaries[0]["model"])
    return card


def eval_results(summary: JsonObject) -> list[Any]:
    """Return a run's metrics as the Hub has them, `huggingface_hub.EvalResult`, as shares of 1.

    Interval, number of samples and digests go along as the metric's arguments.

    Raises:
        InputError: the run is not completed, so its numbers are not to be published.
    """
    from huggingface_hub import EvalResult

    status, metrics = summary.get("status"), summary.get("metrics")
    if status != "completed" or not isinstance(metrics, Mapping) or not metrics:
        raise InputError(
            f"run {summary.get('run')!r} is {status!r}; only a completed run with metrics can go "
            "into a model card"
        )
    task, facts = str(summary["task"]), {name: summary.get(name) for name in RUN_FACTS}
    return [
        EvalResult(
            task_type=TASK_TYPE,
            dataset_type=task,
            dataset_name=task,
            dataset_revision=str(summary["data_digest"]),
            metric_type=name,
            metric_name=name,
            metric_value=found["value"],
            metric_args={**{key: found.get(key) for key in ESTIMATE_FACTS}, **facts},
        )
        for name, found in metrics.items()
        if isinstance(found, Mapping)
    ]


def _hub_card(repo: str, token: str) -> str:
    """Return the README.md of a model on the Hub, or an empty one."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        path = hf_hub_download(repo, "README.md", token=token)
    except RemoteEntryNotFoundError:
        return NEW_CARD
    return Path(path).read_text(encoding="utf-8-sig")


def _key(result: Any) -> tuple[str, ...]:
    """Return what two results of the same measurement share."""
    return (
        result.task_type,
        result.dataset_type,
        result.dataset_revision or "",
        result.metric_type,
    )
