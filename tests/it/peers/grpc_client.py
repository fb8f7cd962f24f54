"""gRPC's interop cases that make sense through a proxy, against grpc_server.py.

grpc_client.py ADDRESS [AUTHORITIES]     prints the cases that held, one a line
"""
import queue
import sys

import grpc

OPTIONS = [("grpc.enable_http_proxy", 0)]
# What never comes fails the case.
BOUND_S = 20
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

if sys.argv[2:]:
    credentials = grpc.ssl_channel_credentials(open(sys.argv[2], "rb").read())
    options = [*OPTIONS, ("grpc.ssl_target_name_override", "a.test")]
    channel = grpc.secure_channel(sys.argv[1], credentials, options)
else:
    channel = grpc.insecure_channel(sys.argv[1], [*OPTIONS, ("grpc.default_authority", "a.test")])


def method(kind, name, service="peer.Test"):
    return getattr(channel, kind)(f"/{service}/{name}")


def ask(name, request, **more):
    return method("unary_unary", name)(request, timeout=BOUND_S, **more)


def fails(code, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        return error.details()
    raise AssertionError(f"no {code}")


def empty_unary():
    assert ask("Unary", b"") == b""


def large_unary():
    assert ask("Unary", b"y" * 271_828) == b"x" * 314_159


def client_streaming():
    sizes = [27_182, 8, 1_828, 45_904]
    got = method("stream_unary", "Collect")((b"x" * size for size in sizes), timeout=BOUND_S)
    assert int(got) == sum(sizes)


def server_streaming():
    sizes = [31_415, 9, 2_653, 58_979]
    got = method("unary_stream", "Pieces")(" ".join(map(str, sizes)).encode(), timeout=BOUND_S)
    assert [len(piece) for piece in got] == sizes


def ping_pong():
    pings = queue.Queue()
    got = method("stream_stream", "PingPong")(iter(pings.get, None), timeout=BOUND_S)
    for number in range(20):
        pings.put(b"%d" % number)
        assert next(got) == b"pong %d" % number
    pings.put(None)
    assert list(got) == []


def empty_stream():
    assert list(method("stream_stream", "PingPong")(iter(()), timeout=BOUND_S)) == []


def custom_metadata():
    sent = (("x-initial", "test_initial"), ("x-trailing-bin", b"\x0a\x0b\x0a\x0b\x0a\x0b"))
    got, call = method("unary_unary", "Metadata").with_call(b"m", metadata=sent, timeout=BOUND_S)
    assert got == b"m"
    assert dict(call.initial_metadata())["x-initial"] == "test_initial"
    assert dict(call.trailing_metadata())["x-trailing-bin"] == sent[1][1]


def status_code_and_message():
    for code in list(grpc.StatusCode)[1:]:
        told = fails(code, lambda: ask("Status", f"{code.value[0]} test status".encode()))
        assert told == "test status", told


def special_status_message():
    told = fails(grpc.StatusCode.UNKNOWN, lambda: ask("Status", f"2 {SPECIAL}".encode()))
    assert told == SPECIAL, repr(told)


def unimplemented_method():
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: ask("Nothing", b""))


def unimplemented_service():
    call = method("unary_unary", "Unary", "peer.Nobody")
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: call(b"", timeout=BOUND_S))


def cancel_after_begin():
    requests = queue.Queue()
    call = method("stream_unary", "Collect").future(iter(requests.get, None), timeout=BOUND_S)
    call.cancel()
    requests.put(None)
    assert call.code() == grpc.StatusCode.CANCELLED


def cancel_after_first_response():
    pings = queue.Queue()
    got = method("stream_stream", "PingPong")(iter(pings.get, None), timeout=BOUND_S)
    pings.put(b"1")
    assert next(got) == b"pong 1"
    got.cancel()
    pings.put(None)
    fails(grpc.StatusCode.CANCELLED, lambda: next(got))


def timeout_on_sleeping_server():
    call = method("unary_unary", "Sleep")
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: call(b"", timeout=0.2))


for case in [
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
]:
    case()
    print(case.__name__, flush=True)
