"""Generate `robo_dialog/v1/*_pb2*` from the `.proto` files; run as `python protos/generate.py [OUTPUT]`.

The path under `protos/` mirrors the Python package, so that the generated imports are right as they are. The
generated files are committed: installing from git needs no compiler. The generator must be older than any protobuf
runtime in use (generated code refuses an older runtime), hence the pinned version.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
GENERATOR = "1.75.1"
"""The grpcio-tools release that writes protobuf 6.31 code, readable by every runtime from 6.31.1 to 7."""


def generate(output: Path) -> None:
    """Write the Python code of every `.proto` file below `output`, which must exist.

    Raises:
        SystemExit: another grpcio-tools than the pinned one is installed, or a `.proto` file does not compile.
    """
    if version("grpcio-tools") != GENERATOR:
        sys.exit(f"protos/generate.py needs grpcio-tools=={GENERATOR}, found {version('grpcio-tools')}")
    sources = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = [f"-I{HERE}", f"-I{well_known}", f"--python_out={output}", f"--pyi_out={output}"]
    if protoc.main(["protoc", *arguments, f"--grpc_python_out={output}", *sources]):
        sys.exit("protos/generate.py: protoc failed, see above")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent)
