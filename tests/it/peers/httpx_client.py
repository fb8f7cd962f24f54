"""httpx as a client of an endpoint that sends back what it is sent.

httpx_client.py URL VERSION [AUTHORITIES]     prints the cases that held, one a line
"""
import asyncio
import ssl
import sys

import httpx

URL, VERSION = sys.argv[1:3]
CONTEXT = ssl.create_default_context(cafile=sys.argv[3]) if sys.argv[3:] else True
LARGE = bytes(range(251)) * 12_000
OPTIONS = {
    "base_url": URL,
    # Without TLS nothing is agreed on: what is spoken is known beforehand.
    "http1": VERSION == "HTTP/1.1",
    "http2": VERSION == "HTTP/2",
    "verify": CONTEXT,
    "trust_env": False,
    "timeout": 20,
}


def pieces():
    for place in range(0, len(LARGE), 100_000):
        yield LARGE[place : place + 100_000]


def get(client):
    answer = client.get("/")
    assert (answer.status_code, answer.content) == (200, b""), answer
    assert answer.http_version == VERSION, answer.http_version


def post(client):
    for body in (b"", b"hello", LARGE):
        assert client.post("/", content=body).content == body


def stream(client):
    with client.stream("PUT", "/", content=pieces()) as answer:
        assert b"".join(answer.iter_bytes()) == LARGE


def head(client):
    answer = client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


def refusal(client):
    answer = client.get("/", headers={"host": "nobody.test"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "no_service"), answer


def forms(client):
    answer = client.post("/", files={"file": ("a.bin", LARGE)})
    assert LARGE in answer.content


for case in (get, post, stream, head, refusal, forms):
    with httpx.Client(**OPTIONS) as client:
        for _ in range(3):
            case(client)
    print(case.__name__)


async def many():
    limits = httpx.Limits(max_connections=4)
    async with httpx.AsyncClient(**OPTIONS, limits=limits) as client:
        bodies = [bytes([number]) * 1_000 for number in range(100)]
        answers = await asyncio.gather(*(client.post("/", content=body) for body in bodies))
        assert [answer.content for answer in answers] == bodies


asyncio.run(many())
print("many")
