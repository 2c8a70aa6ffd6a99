"""`python -m local_stack.ads`: serve the local ads platform until stopped."""

import argparse

import uvicorn

from local_stack.ads.app import build
from local_stack.ads.platform import POINTS
from local_stack.ads.world import World


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.ads", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=18201, help="port to listen on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the world (default: %(default)s)")
    parser.add_argument(
        "--accounts", type=int, default=60, help="ad accounts in the world (default: %(default)s)"
    )
    parser.add_argument(
        "--campaigns", type=int, default=2, help="campaigns of each account (default: %(default)s)"
    )
    parser.add_argument(
        "--points", type=int, default=POINTS, help="an account's quota in 300 s (default: %(default)s)"
    )
    options = parser.parse_args()
    world = World.make(options.seed, accounts=options.accounts, campaigns_per_account=options.campaigns)
    # Access tokens travel in the query string, so the access log stays off.
    uvicorn.run(
        build(world, options.points),
        host=options.host,
        port=options.port,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
