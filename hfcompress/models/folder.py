"""A model folder before anything of it is loaded: where it is, and whether it is safe to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from hfcompress.artifact import FileEntry, hash_file
from hfcompress.errors import ModelError, UnsafeError
from hfcompress.intake.config import check_config
from hfcompress.intake.json_text import read_mapping
from hfcompress.intake.remote_code import check_code, check_pinned, code_of
from hfcompress.intake.weights import check_weights
from hfcompress.recipe.schema import ModelRef
from hfcompress.recipe.tasks import TaskName

#: What a torch model folder is made of; anything else in it (other frameworks, pickles, exports) is not read.
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken")
#: What a model with code of its own is made of besides.
_CODE_FILES = ("*.py",)
_NOT_MODEL = {"manifest.json", "results.json", "trainer_state.json"}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
#: The loss and the meaning of a classification head, in Transformers' words (`config.problem_type`).
Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
_HEADS: dict[str, TaskName] = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "masked-lm",
    "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
}


def resolve(model: ModelRef, *, trust_remote_code: bool = False) -> Path:
    """The local folder of a model; a Hub id is downloaded (weights in safetensors, config, tokenizer, nothing else).

    Code of the model's own is downloaded too where the user trusts it and the recipe pins the commit.

    Raises:
        ModelError: neither a folder nor a Hub id that can be reached.
        UnsafeError: trusted code at a revision that is no commit.
    """
    folder = Path(model.id).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ModelError(f"model {model.id!r} is a file; give the folder that holds config.json and the weights")
    folder = _download(model, MODEL_FILES)
    code = code_of(folder) if trust_remote_code else ()
    if code:
        check_pinned(model.id, model.revision, code)
        return _download(model, (*MODEL_FILES, *_CODE_FILES))
    return folder


def _download(model: ModelRef, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # README.md says the license, which what is made from the model inherits.
        wanted = [*patterns, "README.md"]
        return Path(snapshot_download(model.id, revision=model.revision, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"model {model.id!r} is no local folder and could not be had from the Hub: {reason}; "
            "check the spelling, the network, or log in with `hf auth login` where the model is gated"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder, as plain data.

    Raises:
        ModelError: it is missing or no JSON.
        UnsafeError: it asks for code from the Hub, or for sizes that no model has.
    """
    path = folder / "config.json"
    try:
        config = read_mapping(path)
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no config.json, so it is no model folder") from error
    check_config(config, str(path))
    return config


def check_safe(folder: Path, *, trust_remote_code: bool = False) -> None:
    """Refuse a folder that must not be loaded: pickled weights, code of its own, adapters, headers and sizes not true.

    Raises:
        UnsafeError: with the file or the class, and the way out.
        ModelError: there are no weights.
    """
    config = read_config(folder)
    if (folder / "adapter_config.json").exists():
        raise UnsafeError(
            f"{folder} holds an adapter (adapter_config.json), which loaders follow to a base model elsewhere that "
            "nobody checked; merge it first: "
            "AutoPeftModel.from_pretrained(folder).merge_and_unload().save_pretrained(merged)"
        )
    check_code(folder, trust_remote_code=trust_remote_code)
    if any(folder.glob("*.safetensors")):
        check_config(config, str(folder / "config.json"), check_weights(folder))
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise UnsafeError(
            f"{folder} holds weights as a pickle ({', '.join(pickles)}) and no safetensors; a pickle can run code when "
            "it is loaded, so convert it first where you trust it: "
            "AutoModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)"
        )
    raise ModelError(f"{folder} holds no *.safetensors, so it has no weights to load")


def task_of(config: dict[str, Any]) -> TaskName | None:
    """The task of a model by the head that its config names; a bare encoder of text is for feature extraction.

    None for a head that is none of ours, and for a bare encoder of images.
    """
    for name in config.get("architectures") or []:
        for head, task in _HEADS.items():
            if str(name).endswith(head):
                return task
        if str(name).endswith("Model") and "vocab_size" in config:
            return "feature-extraction"
    return None


def problem_of(config: Mapping[str, Any]) -> Problem:
    """What the classification head of a model answers: one class, several classes, or a number."""
    named = config.get("problem_type")
    for problem in get_args(Problem):
        if named == problem:
            return problem  # type: ignore[no-any-return]
    return "regression" if len(label_names(config)) == 1 else "single_label_classification"


def label_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """A model's class names in the order of their ids, `LABEL_0`... where its config names none."""
    names = config.get("id2label") or {}
    if not names:
        return tuple(f"LABEL_{index}" for index in range(int(config.get("num_labels", 2))))
    return tuple(str(names[key]) for key in sorted(names, key=int))


def files_of(folder: Path, patterns: Sequence[str] = MODEL_FILES) -> dict[str, FileEntry]:
    """sha256 and size of the files that make a torch model; what a stage key says of a model from outside the run."""
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.name not in _NOT_MODEL}
    return {path.name: hash_file(path) for path in sorted(paths)}
