"""Clients that mean harm; see hostile.sh. Addresses are in OTLP and OFREP, as host:port.

deep     attributes of 100,000 levels    text    a name that is not UTF-8       noise    random bytes as protobuf
slow     500 connections that send a byte now and then           streams    STREAMS event streams; waits until each has two events
"""
import os
import random
import select
import socket
import sys
import time
import urllib.error
import urllib.request


def address(name):
    host, port = os.environ[name].split(":")
    return host, int(port)


def post(kind, body):
    request = urllib.request.Request(f"http://{os.environ['OTLP']}/v1/traces", body, {"Content-Type": f"application/{kind}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as problem:
        return problem.code


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def span(name, attributes=b""):
    time_field = varint(7 << 3 | 1) + (1700000000000000000).to_bytes(8, "little")
    return field(1, field(2, field(2, field(5, name) + time_field + attributes)))


def deep():
    # AnyValue { 5: ArrayValue { 1: AnyValue ... } }, from the inside: each level is a prefix of what it holds.
    prefixes, length = [], 0
    for _ in range(100_000):
        inner = varint(1 << 3 | 2) + varint(length)
        outer = varint(5 << 3 | 2) + varint(length + len(inner))
        prefixes.append(outer + inner)
        length += len(inner) + len(outer)
    value = b"".join(reversed(prefixes))
    protobuf = post("x-protobuf", span(b"deep", field(9, field(1, b"k") + field(2, value))))
    text = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"k","value":%s%s}]}]}]}]}'
    json = post("json", (text % ('{"arrayValue":{"values":[' * 100_000, "]}}" * 100_000)).encode())
    print(f"protobuf {'answered' if protobuf in (200, 400) else protobuf}, json {json}")


def text():
    print(post("x-protobuf", span(b"bad \xff end")))


def noise():
    source = random.Random(7)
    good = span(b"noise", field(9, field(1, b"k") + field(2, field(1, b"v"))))
    answered = 0
    for n in range(300):
        body = bytearray(good if n % 2 else source.randbytes(200))
        for _ in range(3):
            body[source.randrange(len(body))] = source.randrange(256)
        answered += post("x-protobuf", bytes(body)) in (200, 400)
    print(f"{answered} answered")


def slow():
    waiting = [socket.create_connection(address("OTLP")) for _ in range(500)]
    begun, closed, served = time.monotonic(), 0, True
    while waiting and time.monotonic() - begun < 30:
        for connection in waiting[:]:
            try:
                connection.send(b"P")
            except OSError:
                waiting.remove(connection)
                closed += 1
        served = served and post("json", b"{}") == 200
        for connection in select.select(waiting, [], [], 0.5)[0]:
            try:
                gone = not connection.recv(4096)
            except OSError:
                gone = True
            if gone:
                waiting.remove(connection)
                closed += 1
    print(f"{closed} closed, {'served' if served else 'not served'}")


def streams():
    request = b"GET /ofrep/v1/events HTTP/1.1\r\nHost: x\r\n\r\n"
    poll, events = select.epoll(), {}
    for _ in range(int(os.environ["STREAMS"])):
        connection = socket.create_connection(address("OFREP"))
        connection.sendall(request)
        poll.register(connection, select.EPOLLIN)
        events[connection.fileno()] = [connection, b""]
    for wanted, word in ((1, "open"), (2, "told")):
        pending = {fd for fd, (_, got) in events.items() if got.count(b"data: ") < wanted}
        while pending:
            for fd, _ in poll.poll(60):
                connection, got = events[fd]
                bytes_read = connection.recv(65536)
                if not bytes_read:
                    sys.exit("a stream was closed")
                events[fd][1] = got + bytes_read
                if events[fd][1].count(b"data: ") >= wanted:
                    pending.discard(fd)
        print(word, flush=True)


{"deep": deep, "text": text, "noise": noise, "slow": slow, "streams": streams}[sys.argv[1]]()
