"""A gRPC server of raw bytes: the methods of peer.Test, which grpc_client.py calls.

grpc_server.py [CHAIN KEY]     prints the port that it listens on
"""
import sys
import threading
from concurrent import futures

import grpc

def unary(request, context):
    return b"" if not request else b"x" * 314_159


def collect(requests, context):
    total = sum(len(request) for request in requests)
    return str(total).encode()


def pieces(request, context):
    for size in request.split():
        yield b"x" * int(size)


def ping_pong(requests, context):
    for request in requests:
        yield b"pong " + request


def metadata(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata([("x-initial", sent["x-initial"])])
    context.set_trailing_metadata([("x-trailing-bin", sent["x-trailing-bin"])])
    return request


def status(request, context):
    code, message = request.decode().split(" ", 1)
    context.abort(next(known for known in grpc.StatusCode if known.value[0] == int(code)), message)


def sleep(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait()
    return b""


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Pieces": grpc.unary_stream_rpc_method_handler(pieces),
    "PingPong": grpc.stream_stream_rpc_method_handler(ping_pong),
    "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
    "Status": grpc.unary_unary_rpc_method_handler(status),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
}
server = grpc.server(futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("peer.Test", METHODS)])
if sys.argv[1:]:
    chain, key = (open(path, "rb").read() for path in sys.argv[1:])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"port {port} ", flush=True)
server.wait_for_termination()
