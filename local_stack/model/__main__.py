"""`python -m local_stack.model`: serve the local model until stopped."""

import argparse
import os
import sys
from pathlib import Path

import uvicorn

from local_stack.model.server import application
from local_stack.model.service import NOTICE
from local_stack.model.startup import open_registry


def main() -> None:
    """Read the command line, load or fit the base model, and serve."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.model", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=18200, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("OPOI_HOME", ".opoi")),
        help="opoi's folder; tuned models are kept in its local-model/ (default: $OPOI_HOME or .opoi)",
    )
    options = parser.parse_args()
    sys.stderr.write(f"{NOTICE}\n")
    sys.stderr.flush()
    options.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = options.home / "local-model"
    uvicorn.run(
        application(open_registry(folder), folder),
        host=options.host,
        port=options.port,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
