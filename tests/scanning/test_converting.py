"""Torch files rewritten as safetensors without torch, in a child that can reach nothing; read back by safetensors' own library."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from headwater.scanning import Limits, Opened
from headwater.scanning.confined import has_namespaces
from headwater.scanning.converting import Converted, convert
from headwater.scanning.tensors import NotConvertible
from tests.scanning.samples import CALLS, MARKER, zipped

pytestmark = pytest.mark.skipif(not has_namespaces(), reason="this system gives no user namespaces")


def run(path: Path, target: Path, **options) -> Converted:
    source, out = os.open(path, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        return convert(path.name, Opened(source, path.stat().st_size), out, **options)
    finally:
        os.close(source)
        os.close(out)


@pytest.mark.models
@pytest.mark.parametrize("legacy", [False, True])
def test_every_tensor_comes_out_as_it_was(tmp_path: Path, legacy: bool):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    base = torch.randn(64, 32)
    kinds = (
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
        "complex64",
    )
    state = OrderedDict((kind, torch.ones(3, 5).to(getattr(torch, kind))) for kind in kinds)
    state |= {
        "parameter": torch.nn.Parameter(torch.randn(7, 3)),
        "turned": base.t(),
        "part": base[3:9, ::2],
        "one": torch.tensor(3.5),
        "none": torch.zeros(0, 4),
        "wide": torch.randn(1).expand(4, 4),
    }
    path = tmp_path / "pytorch_model.bin"
    torch.save({"state_dict": state, "epoch": 3}, path, _use_new_zipfile_serialization=not legacy)
    done = run(path, tmp_path / "out.safetensors")
    assert done.n_tensors == len(state)
    assert done.left_out == ("epoch",)
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach()), name


def test_what_is_not_clean_is_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(zipped(("archive/data.pkl", CALLS["os.system"])))
    with pytest.raises(NotConvertible, match="nothing was found"):
        run(path, tmp_path / "out")
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (zipped(("a.txt", b"x")), "no file of torch.save"),
        (zipped(("archive/data.pkl", b"\x80\x02K\x01.")), "no dictionary"),
        (zipped(("archive/data.pkl", b"\x80\x02}."), ("archive/byteorder", b"big")), "big-endian"),
        (zipped(("archive/data.pkl", b"\x80\x02}."), ("archive/constants.pkl", b"\x80\x02).")), "TorchScript"),
        (b"\x80\x02}.", "plain pickle"),
    ],
)
def test_what_holds_no_weights_is_refused_with_the_reason(tmp_path: Path, data: bytes, why: str):
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    with pytest.raises(NotConvertible, match=why):
        run(path, tmp_path / "out")


def torch_zip(folder: Path, n_values: int, told: int | None = None, shape: str = "K\x04") -> Path:
    """A file of torch.save, by hand: one tensor of float32."""
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuJ" + (told or n_values).to_bytes(4, "little") + b"tQ"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape.encode("latin-1") + b"\x85K\x01\x85\x89}tR"
    )
    path = folder / "model.pt"
    numbers = np.arange(n_values, dtype="<f4").tobytes()
    path.write_bytes(zipped(("archive/data.pkl", b"\x80\x02}U\x01w" + tensor + b"s."), ("archive/data/0", numbers)))
    return path


def test_a_file_by_hand_is_converted_without_torch(tmp_path: Path):
    from safetensors.numpy import load_file

    done = run(torch_zip(tmp_path, 4), tmp_path / "out.safetensors")
    assert done.n_tensors == 1
    assert load_file(tmp_path / "out.safetensors")["w"].tolist() == [0, 1, 2, 3]


def test_a_tensor_that_claims_more_than_there_is_is_refused(tmp_path: Path):
    with pytest.raises(NotConvertible, match="not whole"):
        run(torch_zip(tmp_path, 4, told=100), tmp_path / "out")
    with pytest.raises(NotConvertible, match="beyond"):
        run(torch_zip(tmp_path, 4, shape="K\x09"), tmp_path / "out")


def test_a_child_without_memory_is_told_of(tmp_path: Path):
    with pytest.raises(NotConvertible):
        run(torch_zip(tmp_path, 4), tmp_path / "out", limits=Limits(memory_bytes=1 << 20))


def test_the_child_reaches_no_network_and_no_files(tmp_path: Path):
    """What the child gives up is tried in a child of its own."""
    tmp_path.chmod(0o755)

    code = f"""
import os, socket
from headwater.scanning.confined import Limits, confine, leave_network
root = os.open({str(tmp_path)!r}, os.O_PATH)
assert leave_network()
confine(Limits(), root)
for nth, act in enumerate((
    lambda: socket.socket().connect(("127.0.0.1", 80)),
    lambda: open("/etc/passwd").read(),
    lambda: open("/new", "w").write("x"),
    lambda: os.fork(),
    lambda: os.chroot("/"),
)):
    try:
        act()
    except OSError as exc:
        continue
    raise SystemExit(f"it could {{nth}}")
assert set(os.listdir("/")) <= {{"new"}}
print("nothing")
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "nothing", done.stderr
    assert not (tmp_path / "new").exists() or (tmp_path / "new").stat().st_size == 0


def test_zip_members_that_are_compressed_are_refused(tmp_path: Path):
    path = torch_zip(tmp_path, 4)
    with zipfile.ZipFile(path) as old:
        members = [(name, old.read(name)) for name in old.namelist()]
    path.write_bytes(zipped(*members, kind=zipfile.ZIP_DEFLATED))
    with pytest.raises(NotConvertible, match="compressed"):
        run(path, tmp_path / "out")


def test_a_system_without_namespaces_converts_nothing_and_judges_all_the_same(tmp_path: Path):
    """In a namespace that allows no further ones, as some containers are set up."""
    code = f"""
import os
import subprocess
import sys
from pathlib import Path
from headwater import scanning, surroundings
from headwater.scanning.converting import convert
from headwater.scanning.tensors import NotConvertible
path = Path({str(torch_zip(tmp_path, 4))!r})
source = scanning.Opened(os.open(path, os.O_RDONLY), path.stat().st_size)
assert scanning.judge_apart(path.name, source).verdict == scanning.Verdict.CLEAN
assert surroundings.check_namespaces().verdict == surroundings.Verdict.WARNING
try:
    convert(path.name, source, os.open({str(tmp_path / "out")!r}, os.O_RDWR | os.O_CREAT))
except NotConvertible as exc:
    print(exc)
"""
    shut = 'echo 0 > /proc/sys/user/max_user_namespaces || exit 77; exec "$@"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", shut, "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("the number of namespaces cannot be set here")
    assert "user and network namespace of its own" in done.stdout, done.stderr
