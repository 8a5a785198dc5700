"""No server could be faster: plain grpc.aio in Python that answers every call at once, and judges nothing."""

from __future__ import annotations

import asyncio
import struct
import sys

import grpc

HOST = "127.0.0.1"


async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    """As long as the answer of the eager server."""
    return struct.pack("<d", 0.0)


async def main(port: str) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server()
    handlers = {"IsSuccess": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Echo", handlers),))
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
