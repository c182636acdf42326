#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Waits until a tunnel is up: wait_for_tunnel.py MAPPING [SECONDS]. MAPPING is an id or a name;
exit status 0: it is up, 1: it is not, 3: there is no daemon. Needs the module in python/."""
import asyncio
import sys

import rstun


async def main(mapping: str, seconds: str = "60") -> None:
    try:
        async with rstun.connect() as client:
            up = await client.wait_up(mapping, float(seconds))
            print(f"{up['id']} is up: {up['runtime'].get('bound', '')}")
    except rstun.RpcError as error:
        sys.exit(f"{error.message}\n{error.hint or ''}".strip())
    except ConnectionError as error:
        print(error, file=sys.stderr)
        sys.exit(3)


if len(sys.argv) not in (2, 3):
    sys.exit(__doc__)
asyncio.run(main(*sys.argv[1:]))
