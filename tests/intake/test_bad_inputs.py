"""Bad inputs, one a row: each is refused by its own clear error before anything runs, is written or takes memory."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import re
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets  # noqa: F401 - here, so that no row of the table pays for the import
import pytest

from hfcompress.errors import DataError, InputError, ModelError, RecipeError, UnsafeError
from hfcompress.intake.config import check_config
from hfcompress.models.folder import check_safe
from hfcompress.onnx_graph.file import model_file
from hfcompress.recipe import load_recipe
from hfcompress.tasks.image_classification import ImageClassification
from hfcompress.tasks.sources import SourceConfig, open_source

#: What a payload makes when it runs.
RAN = "payload-ran"


class Payload:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (RAN,)


def model(folder: Path, config: dict[str, Any] | str | None = None, **files: bytes) -> Path:
    """A model folder with weights of 4,096 elements, unless it is given others."""
    folder.mkdir()
    text = config if isinstance(config, str) else json.dumps({"hidden_size": 32, **(config or {})})
    (folder / "config.json").write_text(text)
    for name, content in ({"model__safetensors": tensors()} if "model__safetensors" not in files else {}).items():
        (folder / name.replace("__", ".")).write_bytes(content)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def tensors(length: int | None = None, data: int = 16384, **entry: Any) -> bytes:
    """A file of safetensors with one tensor."""
    entry = {"dtype": "F32", "shape": [64, 64], "data_offsets": [0, 16384], **entry}
    header = json.dumps({"weight": entry}).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + bytes(data)


def field(number: int, content: bytes | int) -> bytes:
    """A field of a protobuf message, each number below 128."""
    if isinstance(content, int):
        return bytes([number << 3]) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def graph(folder: Path, deep: bool = False, **entries: str) -> Path:
    """An ONNX graph whose weight, 4 floats, is 16 bytes of another file, unless `entries` say otherwise."""
    (folder / "model.onnx_data").write_bytes(bytes(16))
    place = {"location": "model.onnx_data", "offset": "0", "length": "16", **entries}
    external = b"".join(field(13, field(1, key.encode()) + field(2, value.encode())) for key, value in place.items())
    tensor = field(1, 4) + field(2, 1) + field(8, b"weight") + external + field(14, 1)
    # Either an initializer, or the value of a Constant node in the branch of an If.
    inner = field(5, tensor)
    if deep:
        constant = field(1, field(5, field(1, b"value") + field(5, tensor)))
        inner = field(1, field(5, field(1, b"then_branch") + field(6, constant)))
    path = folder / "model.onnx"
    path.write_bytes(field(1, 8) + field(7, inner))
    return path


def linked(folder: Path, name: str, target: Path) -> Path:
    graph(folder)
    (folder / "model.onnx_data").unlink()
    (folder / name).symlink_to(target)
    return folder / "model.onnx"


def zipped(folder: Path, name: str, content: bytes = b"text,label\n", mode: int | None = None) -> Path:
    with zipfile.ZipFile(folder / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (mode or 0o644) << 16
        archive.writestr(info, content)
    return folder


def tarred(folder: Path, name: str, **fields: Any) -> Path:
    with tarfile.open(folder / "train.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo(name)
        for key, value in fields.items():
            setattr(info, key, value)
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return folder


def bomb(folder: Path) -> Path:
    """A zip whose directory says that its kilobyte unpacks to 3.9 GB."""
    zipped(folder, "train.csv", bytes(1 << 20))
    path = folder / "train.zip"
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (0xE8000000).to_bytes(4, "little")
    path.write_bytes(content)
    return folder


def packed(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def recipe(folder: Path, text: str | bytes) -> Path:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_data(folder: Path) -> Any:
    return open_source(SourceConfig(path=str(folder)))


def billion_laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines)


def merge_bomb() -> str:
    lines = ["a0: &a0 {k1: 1, k2: 2, k3: 3}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    return "\n".join(lines)


Make = Callable[[Path], Path]
#: What is wrong -> what makes it, what opens it, the error and its words.
BAD: dict[str, tuple[Make, Callable[[Path], Any], type[InputError], str]] = {
    "weights only as a pickle": (
        lambda t: model(t / "m", model__safetensors=b"", pytorch_model__bin=pickle.dumps(Payload())),
        lambda p: ((p / "model.safetensors").unlink(), check_safe(p)),
        UnsafeError,
        r"weights as a pickle \(pytorch_model\.bin\).*safe_serialization=True",
    ),
    "a pickle that is called safetensors": (
        lambda t: model(t / "m", model__safetensors=pickle.dumps(Payload())),
        check_safe,
        UnsafeError,
        r"model\.safetensors is a pickle by its content, which runs code",
    ),
    "an empty file of weights": (
        lambda t: model(t / "m", model__safetensors=b""),
        check_safe,
        UnsafeError,
        "has 0 bytes, too few for a header",
    ),
    "a header longer than the file": (
        lambda t: model(t / "m", model__safetensors=tensors(length=2**62)),
        check_safe,
        UnsafeError,
        r"says that its header has 4611686018427387904 bytes, and \d+ are left",
    ),
    "a header that is too long to be one": (
        lambda t: model(t / "m", model__safetensors=(9_000_000).to_bytes(8, "little") + b"{" + b" " * 9_000_000),
        check_safe,
        UnsafeError,
        "has 9 MB and at most 8 MB are read",
    ),
    "a header that nests without end": (
        lambda t: model(t / "m", model__safetensors=(200_000).to_bytes(8, "little") + b"[" * 200_000),
        check_safe,
        UnsafeError,
        "the header of .* is no JSON: nests too deeply",
    ),
    "a tensor beyond the end of the file": (
        lambda t: model(t / "m", model__safetensors=tensors(shape=[2**20, 64], data_offsets=[0, 2**28])),
        check_safe,
        UnsafeError,
        "holds 16384 bytes behind its header, and its tensors take 268435456",
    ),
    "a tensor of another shape than its bytes": (
        lambda t: model(t / "m", model__safetensors=tensors(shape=[2**40, 2**40])),
        check_safe,
        UnsafeError,
        r"`weight` has the shape \[1099511627776, 1099511627776\] of F32 in 16384 bytes",
    ),
    "a tensor of a negative shape": (
        lambda t: model(t / "m", model__safetensors=tensors(shape=[-64, -64])),
        check_safe,
        UnsafeError,
        "entry for `weight` is no dtype, shape and data_offsets",
    ),
    "an index that leads out of the folder": (
        lambda t: model(
            t / "m", model__safetensors__index__json=json.dumps({"weight_map": {"w": "../other.safetensors"}}).encode()
        ),
        check_safe,
        UnsafeError,
        r"index\.json leads to '\.\./other\.safetensors', which is no file of",
    ),
    "a vocabulary of billions": (
        lambda t: model(t / "m", {"vocab_size": 3_000_000_000}),
        check_safe,
        UnsafeError,
        r"`vocab_size: 3000000000` with a width of 32 .* about 9\.6e\+10 weights, and 1\.5e\+08 are the most",
    ),
    "a million layers": (
        lambda t: model(t / "m", {"num_hidden_layers": 1_000_000}),
        check_safe,
        UnsafeError,
        "`num_hidden_layers` asks for 1000000 layers; no model has more than 10000",
    ),
    "absurd sizes in a tower of the model": (
        lambda t: model(t / "m", {"vision_config": {"hidden_size": 10**7}}),
        check_safe,
        UnsafeError,
        "config.json: vision_config: `hidden_size: 10000000`",
    ),
    "layers and sizes that are absurd only together": (
        lambda t: model(t / "m", {"num_hidden_layers": 10_000, "intermediate_size": 300_000}),
        check_safe,
        UnsafeError,
        r"`intermediate_size: 300000` with a width of 32 and 10000 layers asks for about 9\.6e\+10",
    ),
    "layers and sizes that are absurd only together, of few layers": (
        lambda t: model(t / "m", {"num_hidden_layers": 30, "intermediate_size": 200_000}),
        check_safe,
        UnsafeError,
        r"`intermediate_size: 200000` with a width of 32 and 30 layers asks for about 1\.9e\+08",
    ),
    "layers and sizes that are absurd only together, in a tower of the model": (
        lambda t: model(t / "m", {"text_config": {"n_layers": 5000, "dim": 64, "hidden_dim": 200_000}}),
        check_safe,
        UnsafeError,
        "text_config: `hidden_dim: 200000` with a width of 64",
    ),
    "experts and layers that are absurd only together": (
        lambda t: model(t / "m", {"num_hidden_layers": 500, "num_local_experts": 500, "intermediate_size": 4096}),
        check_safe,
        UnsafeError,
        "`intermediate_size: 4096` with a width of 32 and 250000 layers",
    ),
    "groups of layers that are absurd only together": (
        lambda t: model(t / "m", {"num_hidden_groups": 9000, "inner_group_num": 9000}),
        check_safe,
        UnsafeError,
        "with a width of 32 and 81000000 layers",
    ),
    "heads and their size that are absurd only together": (
        lambda t: model(t / "m", {"num_attention_heads": 100_000, "head_dim": 100_000}),
        check_safe,
        UnsafeError,
        "`heads x head size: .*asks for about 3.2e",
    ),
    "patches of absurd sizes": (
        lambda t: model(t / "m", {"patch_size": 100_000, "num_channels": 3}),
        check_safe,
        UnsafeError,
        "`patch x patch x channels: .*asks for about 9.6e",
    ),
    "many layers of a width that the config leaves to its family": (
        lambda t: model(t / "m", '{"num_hidden_layers": 5000}'),
        check_safe,
        UnsafeError,
        "with a width of 768",
    ),
    "a billion labels": (
        lambda t: model(t / "m", {"num_labels": 10**9}),
        check_safe,
        UnsafeError,
        "`num_labels` is 1000000000; at most 1000000 are read",
    ),
    "labels that are no numbers": (
        lambda t: model(t / "m", {"id2label": {"__class__": "x"}}),
        check_safe,
        UnsafeError,
        "`id2label` should map whole numbers to names",
    ),
    "images of absurd sides": (
        lambda t: model(t / "m", preprocessor_config__json=b'{"size": {"height": 1000000, "width": 1000000}}'),
        ImageClassification().load_processor,
        UnsafeError,
        r"preprocessor_config\.json: `size` asks for images of 1000000000000 pixels; at most 4194304",
    ),
    "images of which one alone takes gigabytes": (
        lambda t: model(t / "m", preprocessor_config__json=b'{"crop_size": {"height": 16384, "width": 16384}}'),
        ImageClassification().load_processor,
        UnsafeError,
        "`crop_size` asks for images of 268435456 pixels",
    ),
    "a config that nests without end": (
        lambda t: model(t / "m", '{"a":' * 100_000),
        check_safe,
        UnsafeError,
        r"config\.json is no JSON: nests too deeply",
    ),
    "a config of gigabytes": (
        lambda t: sparse(model(t / "m") / "config.json", 4 << 30).parent,
        check_safe,
        UnsafeError,
        r"config\.json is larger than 16 MB",
    ),
    "a config with a key twice": (
        lambda t: model(t / "m", '{"hidden_size": 32, "auto_map": null, "auto_map": {"AutoModel": "own.Own"}}'),
        check_safe,
        UnsafeError,
        "the key 'auto_map' is there twice",
    ),
    "code of the model's own": (
        lambda t: model(
            t / "m", {"auto_map": {"AutoModel": "own.Own"}}, own__py=f"import os; os.mkdir({RAN!r})".encode()
        ),
        check_safe,
        UnsafeError,
        r"asks to run its own code \(own\.Own\).*--trust-remote-code",
    ),
    "code of another repository, although code is trusted": (
        lambda t: model(t / "m", {"auto_map": {"AutoModel": "some/other--own.Own"}}),
        lambda p: check_safe(p, trust_remote_code=True),
        UnsafeError,
        r"code of another repository \(some/other--own\.Own\), whose revision nothing pins",
    ),
    "code of a tokenizer's own": (
        lambda t: model(t / "m", tokenizer_config__json=b'{"auto_map": {"AutoTokenizer": [null, "evil.Tok"]}}'),
        check_safe,
        UnsafeError,
        r"asks to run its own code \(evil\.Tok\)",
    ),
    "code of a tokenizer, as older versions write it": (
        lambda t: model(t / "m", tokenizer_config__json=b'{"auto_map": [null, "evil.Tok"]}'),
        check_safe,
        UnsafeError,
        r"asks to run its own code \(evil\.Tok\)",
    ),
    "code of another repository in a tokenizer, although code is trusted": (
        lambda t: model(
            t / "m",
            {"auto_map": {"AutoModel": "own.Own"}},
            tokenizer_config__json=b'{"auto_map": {"AutoTokenizer": [null, "evil/repo--evil.Tok"]}}',
        ),
        lambda p: check_safe(p, trust_remote_code=True),
        UnsafeError,
        r"code of another repository \(evil/repo--evil\.Tok\)",
    ),
    "code of another repository in a part of a processor, although code is trusted": (
        lambda t: model(
            t / "m",
            processor_config__json=b'{"image_processor": {"auto_map": {"AutoImageProcessor": "evil/repo--evil.P"}}}',
        ),
        lambda p: check_safe(p, trust_remote_code=True),
        UnsafeError,
        r"code of another repository \(evil/repo--evil\.P\)",
    ),
    "an adapter that leads to a folder nobody checked": (
        lambda t: model(t / "m", adapter_config__json=b'{"base_model_name_or_path": "../elsewhere"}'),
        check_safe,
        UnsafeError,
        r"holds an adapter \(adapter_config\.json\).*merge it first",
    ),
    "a kernel of the Hub": (
        lambda t: model(t / "m", {"_attn_implementation_internal": "some/kernel"}),
        check_safe,
        UnsafeError,
        "asks for the kernel 'some/kernel' of the Hub, which is code",
    ),
    "external data above the folder": (
        lambda t: graph(t, location="../secret"),
        model_file,
        UnsafeError,
        r"tensor `weight` leads out of the model's folder: '\.\./secret'",
    ),
    "external data above the folder, in a branch of the graph": (
        lambda t: graph(t, deep=True, location="sub/../../secret"),
        model_file,
        UnsafeError,
        r"tensor `weight` leads out of the model's folder: 'sub/\.\./\.\./secret'",
    ),
    "external data at an absolute path": (
        lambda t: graph(t, location="/etc/passwd"),
        model_file,
        UnsafeError,
        "lies at '/etc/passwd', which is no path inside",
    ),
    "external data at a path of Windows": (
        lambda t: graph(t, location="C:\\secret"),
        model_file,
        UnsafeError,
        "which is no path inside the model's folder",
    ),
    "external data through a link": (
        lambda t: linked(t, "model.onnx_data", Path("/etc/passwd")),
        model_file,
        UnsafeError,
        "leads out of the model's folder through a link: 'model.onnx_data'",
    ),
    "external data in a folder that is a link": (
        lambda t: (linked(t, "weights", Path("/etc")), graph(t, location="weights/passwd"))[1],
        model_file,
        UnsafeError,
        "leads out of the model's folder through a link: 'weights/passwd'",
    ),
    "external data that is not there": (
        lambda t: graph(t, location="absent"),
        model_file,
        UnsafeError,
        "lies in 'absent', which does not exist",
    ),
    "external data in a pipe": (
        lambda t: (os.mkfifo(t / "pipe"), graph(t, location="pipe"))[1],
        model_file,
        UnsafeError,
        "lies in 'pipe', which is no plain file",
    ),
    "external data beyond the end of its file": (
        lambda t: graph(t, offset="8"),
        model_file,
        UnsafeError,
        "ends at byte 24 of 'model.onnx_data', which has 16",
    ),
    "external data of a negative length": (
        lambda t: graph(t, length="-1"),
        model_file,
        UnsafeError,
        "has no whole numbers as offset and length: '0', '-1'",
    ),
    "external data shorter than the tensor": (
        lambda t: graph(t, length="4"),
        model_file,
        UnsafeError,
        r"has 4 bytes in 'model\.onnx_data', and \[4\] of type 1 takes 16",
    ),
    "external data without a place": (
        lambda t: graph(t, location=""),
        model_file,
        UnsafeError,
        "names no file: ''",
    ),
    "a graph whose field is longer than the file": (
        lambda t: recipe(t, varint(7 << 3 | 2) + varint(2**40) + b"x").rename(t / "model.onnx"),
        model_file,
        UnsafeError,
        "is no ONNX model: it holds a field of 1099511627776 bytes, and 1 are left",
    ),
    "a recipe of aliases without end": (
        lambda t: recipe(t, billion_laughs()),
        load_recipe,
        RecipeError,
        "unfolds to more than 50000 values",
    ),
    "a recipe of merges without end": (
        lambda t: recipe(t, merge_bomb()),
        load_recipe,
        RecipeError,
        r"merge keys \(<<\) are no YAML 1\.2",
    ),
    "a recipe that holds itself": (lambda t: recipe(t, "a: &a [*a]"), load_recipe, RecipeError, "alias"),
    "a recipe that nests without end": (lambda t: recipe(t, "[" * 200), load_recipe, RecipeError, "deeper than 40"),
    "a recipe of gigabytes": (
        lambda t: sparse(recipe(t, "name: x"), 4 << 30),
        load_recipe,
        RecipeError,
        "is larger than 1 MB",
    ),
    "a recipe that makes an object": (
        lambda t: recipe(t, f"a: !!python/object/apply:os.mkdir [{RAN}]"),
        load_recipe,
        RecipeError,
        "could not determine a constructor",
    ),
    "a zip that leaves its folder": (
        lambda t: zipped(t, f"../{RAN}"),
        read_data,
        DataError,
        f"member '../{RAN}' leaves the folder",
    ),
    "a zip with an absolute path": (
        lambda t: zipped(t, f"/tmp/{RAN}"),
        read_data,
        DataError,
        "leaves the folder that it is unpacked into",
    ),
    "a zip with a link": (
        lambda t: zipped(t, "train.csv", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
        read_data,
        DataError,
        "'train.csv' is a link",
    ),
    "a zip that unpacks to gigabytes": (bomb, read_data, DataError, "would unpack to more than 3892314112"),
    "a zip that is called csv": (
        lambda t: (zipped(t, f"../{RAN}") / "train.zip").rename(t / "train.csv"),
        read_data,
        DataError,
        r"train\.csv is compressed \(zip\).*give the plain file",
    ),
    "a zip that is called csv, in a folder": (
        lambda t: ((zipped(t, f"../{RAN}") / "train.zip").rename(t / "train.csv"), t)[1],
        read_data,
        DataError,
        r"train\.csv is compressed \(zip\)",
    ),
    "a zip that begins as text": (
        lambda t: recipe(t, b"text,label\n" + (zipped(t, "x") / "train.zip").read_bytes()).rename(t / "train.csv"),
        read_data,
        DataError,
        r"train\.csv is compressed \(zip\)",
    ),
    "a tar that is called csv": (
        lambda t: packed(t, "train.csv", gzip.decompress((tarred(t, "x") / "train.tar.gz").read_bytes())),
        read_data,
        DataError,
        r"train\.csv is compressed \(tar\)",
    ),
    "a zip without a suffix": (
        lambda t: ((zipped(t, f"../{RAN}") / "train.zip").rename(t / "train"), t)[1],
        read_data,
        DataError,
        f"member '../{RAN}' leaves the folder",
    ),
    **{
        f"rows compressed by {kind}": (
            lambda t, name=name, content=content: packed(t, name, content),
            read_data,
            DataError,
            rf"{re.escape(name)} is compressed \({kind}\)",
        )
        for kind, name, content in (
            ("gzip", "train.csv", gzip.compress(bytes(100_000))),
            ("bzip2", "train.jsonl", bz2.compress(bytes(100_000))),
            ("xz", "train.parquet", lzma.compress(bytes(100_000))),
            ("zstd", "train.json", b"\x28\xb5\x2f\xfd\x04\x00"),
        )
    },
    "rows compressed by gzip, which say so": (
        lambda t: packed(t, "train.csv.gz", gzip.compress(bytes(100_000))).parent,
        read_data,
        DataError,
        r"train\.csv\.gz is compressed \(gzip\)",
    ),
    "a tar that leaves its folder": (
        lambda t: tarred(t, f"../{RAN}"),
        read_data,
        DataError,
        f"member '../{RAN}' leaves the folder",
    ),
    "a tar with a link": (
        lambda t: tarred(t, "train.csv", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        read_data,
        DataError,
        "'train.csv' is a link",
    ),
    "a tar with a device": (
        lambda t: tarred(t, "train.csv", type=tarfile.CHRTYPE),
        read_data,
        DataError,
        "'train.csv' is a device or a pipe",
    ),
}


def sparse(path: Path, size: int) -> Path:
    """Give a file a size without taking the disk for it."""
    with path.open("r+b") as file:
        file.truncate(size)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A payload that runs leaves its mark here."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob(RAN))


def below(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize("wrong", BAD)
def test_it_is_refused_with_its_own_words_and_nothing_happens(tmp_path: Path, wrong: str) -> None:
    make, open_, kind, message = BAD[wrong]
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in")
    before = below(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=message):
            open_(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64e6, f"{peak / 1e6:.0f} MB were taken"
    if wrong != "weights only as a pickle":
        assert below(tmp_path) == before


def test_what_is_right_passes(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    check_safe(model(tmp_path / "m", {"vocab_size": 64, "num_hidden_layers": 2, "vision_config": {"image_size": 224}}))
    for deep in (False, True):
        assert model_file(graph(tmp_path / "graph", deep=deep)) == tmp_path / "graph" / "model.onnx"


#: Configs of models that people use, with the elements of their weights.
REAL: dict[str, tuple[dict[str, Any], int]] = {
    "albert-large": (
        {"hidden_size": 1024, "embedding_size": 128, "num_hidden_layers": 24, "intermediate_size": 4096,
         "vocab_size": 30000, "num_hidden_groups": 1, "inner_group_num": 1, "num_attention_heads": 16,
         "max_position_embeddings": 512}, 17_700_000,
    ),
    "llama-3.2-1b": (
        {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
         "head_dim": 64, "max_position_embeddings": 131_072, "vocab_size": 128_256}, 1_236_000_000,
    ),
    "deepseek-v3": (
        {"hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61,
         "n_routed_experts": 256, "num_attention_heads": 128, "vocab_size": 129_280}, 671_000_000_000,
    ),
    "mobilevit-xx-small": (
        {"hidden_sizes": [64, 80, 96], "image_size": 256, "patch_size": 2, "num_channels": 3,
         "neck_hidden_sizes": [16, 16, 24, 48, 64, 80, 320]}, 1_300_000,
    ),
    "vit-base": (
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "image_size": 384, "patch_size": 16,
         "num_attention_heads": 12, "num_channels": 3}, 86_000_000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_the_sizes_of_models_that_people_use_pass(name: str) -> None:
    config, elements = REAL[name]
    check_config(config, name)
    check_config(config, name, elements)


def test_every_error_of_the_table_is_one_that_the_command_line_calls_bad_input() -> None:
    assert all(kind.exit_code == InputError.exit_code for _, _, kind, _ in BAD.values())
    assert issubclass(UnsafeError, ModelError)
    assert len(BAD) >= 25
