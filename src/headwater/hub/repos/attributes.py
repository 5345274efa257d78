"""The files a new repository begins with: which others are kept outside git, and the card of an app."""

from headwater.hub.models import RepoKind

# What tools of the field write: weights, checkpoints, arrays, archives. Clients of the public hub expect these to be large.
_EVERYWHERE = (
    "*.7z",
    "*.arrow",
    "*.bin",
    "*.bz2",
    "*.ckpt",
    "*.ftz",
    "*.gguf",
    "*.gz",
    "*.h5",
    "*.joblib",
    "*.lfs.*",
    "*.mlmodel",
    "*.model",
    "*.msgpack",
    "*.npy",
    "*.npz",
    "*.onnx",
    "*.ot",
    "*.parquet",
    "*.pb",
    "*.pickle",
    "*.pkl",
    "*.pt",
    "*.pth",
    "*.rar",
    "*.safetensors",
    "saved_model/**/*",
    "*.tar.*",
    "*.tar",
    "*.tflite",
    "*.tgz",
    "*.wasm",
    "*.xz",
    "*.zip",
    "*.zst",
    "*tfevents*",
)
_IN_DATASETS = (
    "*.lz4",
    "*.mds",
    "*.pcm",
    "*.sam",
    "*.raw",
    "*.aac",
    "*.flac",
    "*.mp3",
    "*.ogg",
    "*.wav",
    "*.bmp",
    "*.gif",
    "*.png",
    "*.tiff",
    "*.jpg",
    "*.jpeg",
    "*.webp",
    "*.mp4",
    "*.webm",
)


def default_attributes(kind: RepoKind) -> bytes:
    """The text of the first ``.gitattributes``."""
    patterns = _EVERYWHERE + (_IN_DATASETS if kind is RepoKind.DATASET else ())
    return "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns).encode()


def space_card(name: str, sdk: str) -> bytes:
    """The first README.md of a space: clients rely on its front matter naming the sdk, and never make one themselves."""
    return f"---\ntitle: {name}\nsdk: {sdk}\n---\n\n# {name}\n".encode()
