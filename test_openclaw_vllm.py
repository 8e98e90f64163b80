#!/usr/bin/env python3
"""Tests of openclaw_vllm.py: `python3 -m unittest` beside it.

They need no network but loopback, no GPU and nothing installed. Most call
`main` in this process; a few run the program, and then OPENCLAW_VLLM_COMMAND
(a command line, split as a shell would) can name another build of it.
"""
import base64
import collections
import contextlib
import copy
import difflib
import errno
import gzip
import hashlib
import http.client
import io
import itertools
import json
import math
import ntpath
import os
import random
import re
import select
import shlex
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import warnings
import zipfile
from unittest import mock

import openclaw_vllm as vllm

try:
    import sqlite3
except ImportError:
    sqlite3 = None

HERE = os.path.dirname(os.path.abspath(__file__))
FILE = os.path.join(HERE, "openclaw_vllm.py")
COMMAND = os.environ.get("OPENCLAW_VLLM_COMMAND")
KEY = "sk-test-0123456789"
WAIT_S = 20.0            # how long a test waits for what must come; reached only when it fails

Result = collections.namedtuple("Result", "status out err")


# ----------------------------------------------------------------------------
# Running the program
# ----------------------------------------------------------------------------

class Case(unittest.TestCase):
    """A test with a home directory of its own, and the program run in this process."""

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="openclaw-vllm-test-")
        self.addCleanup(shutil.rmtree, self.home, True)

    def path(self, *names):
        return os.path.join(self.home, *names)

    def write(self, name, content):
        """Write a file under the home directory (text, bytes or a JSON value); return its path."""
        path = self.path(*name.split("/"))
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        with open(path, "wb") as target:
            target.write(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def configure(self, config):
        """Write openclaw.json (a value or its text) where OpenClaw keeps it."""
        return self.write(".openclaw/openclaw.json", config)

    def declare(self, url, key=None, block=None, **row):
        """Configure a provider at `url` with the model "m", so that no discovery is needed."""
        row = dict({"id": "m", "name": "m", "contextWindow": 4096, "maxTokens": 256}, **row)
        block = dict({"baseUrl": url, "models": [row]}, **(block or {}))
        if key:
            block["apiKey"] = key
        return self.configure({"models": {"providers": {"vllm": block}}})

    def env(self, more=None):
        return dict({"HOME": self.home}, **(more or {}))

    def run_main(self, *argv, **given):
        """Run `main` in this process, at home; `given` may hold env, stdin and encoding."""
        return run(argv, self.env(given.pop("env", None)), **given)

    def settings(self, config=None, env=None):
        """Return what the settings files and `env` mean, faults included."""
        if config is not None:
            self.configure(config)
        return vllm.read_settings(None, self.env(env))

    def provider(self, config=None, env=None, **options):
        """Return the Provider of the settings."""
        if config is not None:
            self.configure(config)
        return vllm.resolve_provider(vllm.load_settings(None, self.env(env)), **options)

    def program(self, *argv, **given):
        """Run the program as a process of its own, at home; return Result."""
        return run_program(self.env(given.pop("env", None)), argv, **given)

    def serve(self, *script, **given):
        """Return a Stub that ends with the test."""
        stub = Stub(script, **given)
        self.addCleanup(stub.close)
        return stub

    def demo(self, key=None):
        """Serve the file's own stand-in until the test ends; return its base URL."""
        server = vllm.demo_server(0, key)
        serving = running(server)
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)
        return "http://127.0.0.1:%d/v1" % server.server_address[1]

    def check(self, result, status, out=None, err=None):
        """Check an exit status, and that texts are in the output ("": none is); no traceback."""
        self.assertNotIn("Traceback", result.err)
        self.assertEqual(result.status, status, result)
        for wanted, stream in ((out, result.out), (err, result.err)):
            if wanted == "":
                self.assertEqual(stream, "")
            elif wanted is not None:
                self.assertIn(wanted, stream)


def shown_of(secrets, *pieces):
    """Return what LiveText writes of an answer in some pieces, each flushed at once."""
    shown = []
    live = vllm.LiveText(secrets, shown.append)
    for piece in pieces:
        live.add(piece)
        live.flush()
    live.end()
    return shown


def run(argv, env=None, stdin="", encoding="utf-8"):
    """Run `main` in this process, with streams in memory; return Result. `stdin` is text or bytes.
    """
    data = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8")
    source = io.TextIOWrapper(io.BytesIO(data), "utf-8")
    out, err = [io.TextIOWrapper(io.BytesIO(), encoding, newline="") for _ in range(2)]
    status = vllm.main(list(argv), env or {}, source, out, err)
    for stream in (out, err):
        stream.flush()
    return Result(status, *[stream.buffer.getvalue().decode(encoding, "replace")
                            for stream in (out, err)])


def program_command():
    """Return the command that starts the program, or the build OPENCLAW_VLLM_COMMAND names."""
    return shlex.split(COMMAND) if COMMAND else [sys.executable, FILE]


def program(env, argv, command=None, through=None, **given):
    """Start the program and return its Popen; `through` is a redirection that a shell applies.

    `env` is its environment, but for what no process can do without; `given` goes to Popen.
    """
    command = command or program_command()
    if through is not None:
        command = ["sh", "-c", 'exec "$@" ' + through, "sh"] + command
    needed = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "TMPDIR")
    kept = {name: os.environ[name] for name in needed if name in os.environ}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams.update(given)
    return subprocess.Popen(command + list(argv), env=dict(kept, **(env or {})), **streams)


def run_program(env, argv, stdin="", encoding="utf-8", **given):
    """Run the program as a process of its own; return Result. `given` goes to `program`."""
    data = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8")
    with program(env, argv, **given) as process:
        try:
            texts = process.communicate(data, timeout=60)
        finally:
            process.kill()
    return Result(process.returncode, *[(text or b"").decode(encoding) for text in texts])


# ----------------------------------------------------------------------------
# Servers
# ----------------------------------------------------------------------------

class Request(collections.namedtuple("Request", "method target headers body")):
    """A request as a server got it: headers by lower-case name, the body's JSON value or None."""

    __slots__ = ()
    path = property(lambda self: self.target)
    key = property(lambda self: self.headers.get("authorization"))

    def json(self):
        return self.body


class Stub(object):
    """A loopback server that answers by a script, for what no honest server does.

    Each connection takes the next step, the last one for ever: bytes to send,
    or a function of (socket, Request, Stub). Then the connection is closed.
    With `unread` a step runs as soon as the client has come, its Request None.
    `requests` holds what came, `connections` counts, `sent` counts bytes;
    `gone` is set when a step saw its client leave, `ending` when the server ends.
    """

    def __init__(self, script, tls=None, host="127.0.0.1", unread=False):
        self.script, self.tls, self.unread = list(script), tls, unread
        self.requests, self.connections, self.sent = [], 0, 0
        self.gone, self.ending = threading.Event(), threading.Event()
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.bind((host, 0))
        self.listener.listen(64)
        self.address = self.listener.getsockname()[:2]
        name = "[::1]" if ":" in host else host
        self.origin = "%s://%s:%d" % ("https" if tls else "http", name, self.address[1])
        self.url = self.origin + "/v1"
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _accept(self):
        while True:
            sock = self.listener.accept()[0]
            if self.ending.is_set():
                return sock.close()
            self.connections += 1
            thread = threading.Thread(target=self._converse, args=(sock,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _converse(self, sock):
        with contextlib.closing(sock), contextlib.suppress(OSError):     # clients may leave
            sock.settimeout(WAIT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self.tls:
                return self._answer(sock)
            with contextlib.closing(self.tls.wrap_socket(sock, server_side=True)) as secured:
                self._answer(secured)

    def _answer(self, sock):
        request = None
        if not self.unread:
            request = read_request(sock)
            if request is None:
                return
        self.requests.append(request)
        step = self.script[min(len(self.requests), len(self.script)) - 1]
        if isinstance(step, bytes):
            self.send(sock, step)
        else:
            step(sock, request, self)

    def send(self, sock, data):
        sock.sendall(data)
        self.sent += len(data)

    def close(self):
        if self.ending.is_set():
            return
        self.ending.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, WAIT_S).close()
        for thread in self.threads:
            thread.join(WAIT_S)
        self.listener.close()


def read_request(sock):
    """Return the Request a socket brings, or None when it ends before; a TLS hello's says so."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
        if data[:1] == b"\x16":
            return Request("TLS", "", {}, None)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(":") for line in lines[1:]]
    headers = {name.lower(): value.strip() for name, _, value in fields}
    while len(body) < int(headers.get("content-length", 0)):
        more = sock.recv(65536)
        if not more:
            return None
        body += more
    method, target, _ = lines[0].split(" ")
    return Request(method, target, headers, json.loads(body.decode("utf-8")) if body else None)


def answering(answer):
    """Return a step for a server that is described by what it answers.

    `answer(request)` returns (status, headers, body): bytes, a JSON object, or an
    iterable of bytes that ends with the connection.
    """
    def step(sock, request, stub):
        if request.method == "TLS":                  # as uvicorn does
            return stub.send(sock, reply("Invalid HTTP request received.", "400 Bad Request"))
        status, headers, body = answer(request)
        if isinstance(body, dict):
            body = json.dumps(body).encode("ascii")
        whole = isinstance(body, bytes)
        lines = ["HTTP/1.1 %d %s" % (status, http.client.responses.get(status, "Unknown"))]
        lines += ["%s: %s" % field for field in headers.items()]
        if whole:
            lines.append("Content-Length: %d" % len(body))
        stub.send(sock, "\r\n".join(lines + ["", ""]).encode("latin-1"))
        for piece in [body] if whole else body:
            stub.send(sock, piece)
    return step


# A certificate for localhost and 127.0.0.1 that signs itself, and its key: they guard nothing.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOSrXFX7FqMbbxOP
2+mEvDPie9ln9vMDnh7z8F1gGlaRKsCozw/rsLXdRStvEYiajfLwBgX8N1lUlFn5
mRG2dvajXjBcMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKEMBoGA1Ud
EQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQUpvCp0QRc2gkULCySWR9g
SKXAOOQwCgYIKoZIzj0EAwIDSAAwRQIhAOAk0u/ueMERrScPkzpIkjlS7ky9oHNR
shFS6IowVCLlAiBSXZreB+ys/k39tdeV0bfETuS8wmUyv6tElz55O7B0pA==
-----END CERTIFICATE-----
"""
CERTIFICATE_KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7HL/Sy0EEq+QYBqp
olOGeKT9wmc7qRfGu5ptITwtNdChRANCAATkq1xV+xajG28Tj9vphLwz4nvZZ/bz
A54e8/BdYBpWkSrAqM8P67C13UUrbxGImo3y8AYF/DdZVJRZ+ZkRtnb2
-----END PRIVATE KEY-----
"""
# Another, for 127.0.0.1 alone, key and certificate together.
LOOPBACK_PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjSTWfb4QLzkGaWo1
4qycdk91Nj3HP9ot17vYY1fteZ+hRANCAATE8kuc3HI+jjiJsgwUme2X0/olXo1g
aQlirV33ZqpD4mrH46gx8zjZX/JiOIWnWwrUXq9GxeVuWtL6FKEE02ha
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBnzCCAUSgAwIBAgIBAjAKBggqhkjOPQQDAjAtMQ0wCwYDVQQKDARUZXN0MRww
GgYDVQQDDBN2bGxtIHRlc3QgYXV0aG9yaXR5MCAXDTIwMDEwMTAwMDAwMFoYDzIx
MjAwMTAxMDAwMDAwWjAtMQ0wCwYDVQQKDARUZXN0MRwwGgYDVQQDDBN2bGxtIHRl
c3QgYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExPJLnNxyPo44
ibIMFJntl9P6JV6NYGkJYq1d92aqQ+Jqx+OoMfM42V/yYjiFp1sK1F6vRsXlblrS
+hShBNNoWqNTMFEwDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMA4G
A1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUh+xgCD6aeblMeyrzRoEc0lBIOW0wCgYI
KoZIzj0EAwIDSQAwRgIhAOoyz5nPCqOpXEqBlC8hqHl48ai2OrIAJClK75n/DrSA
AiEAqRGb/+Jmmi0OKYAqt0WSMrSeSi7QoCLhHKa0upO+O2M=
-----END CERTIFICATE-----
"""


def server_context():
    """Return the TLS context of a loopback server that has the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "both.pem")
        write(path, LOOPBACK_PEM)
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def loopback(answer, tls=False):
    """Serve what `answer` says (see `answering`) on loopback; yield (origin, [Request])."""
    with Stub([answering(answer)], server_context() if tls else None) as stub:
        yield stub.origin, stub.requests


@contextlib.contextmanager
def raw_server(converse):
    """Serve sockets: `converse(socket, over)` gets each connection, `over` set at the end; yield
    the origin.
    """
    with Stub([lambda sock, _, stub: converse(sock, stub.ending)], unread=True) as stub:
        yield stub.origin


@contextlib.contextmanager
def running(server):
    """Serve with a server of http.server until the block is left."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_origin(test):
    """Return an origin that refuses connections; its port is held until the test ends."""
    held = socket.socket()
    test.addCleanup(held.close)
    held.bind(("127.0.0.1", 0))                      # bound, and nobody listens
    return "http://127.0.0.1:%d" % held.getsockname()[1]


@contextlib.contextmanager
def names(**hosts):
    """Let host names resolve: {name with _ for a dot: address, or None where it does not}."""
    table = {name.replace("_", "."): address for name, address in hosts.items()}
    real = socket.getaddrinfo

    def look_up(host, *rest, **options):
        if host in table and table[host] is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(table.get(host, host), *rest, **options)

    with mock.patch("socket.getaddrinfo", look_up):
        yield


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def write(path, text):
    with open(path, "w") as target:
        target.write(text)


def reply(body, status="200 OK", **headers):
    """Return a whole HTTP answer; `body` is a JSON value, text or bytes; a header None is left out.
    """
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    body = body if isinstance(body, bytes) else body.encode("utf-8")
    lines = dict({"Content_Type": "application/json", "Content_Length": len(body)}, **headers)
    head = ["HTTP/1.1 " + status]
    head += ["%s: %s" % (name.replace("_", "-"), value) for name,
             value in lines.items() if value is not None]
    return "\r\n".join(head + ["", ""]).encode("latin-1") + body


def sse(*payloads, **given):
    """Return a streamed answer of JSON events, [DONE] at its end unless done=False."""
    events = ["data: %s\n\n" % (text if isinstance(text, str) else json.dumps(text))
              for text in payloads]
    events += ["data: [DONE]\n\n"] if given.get("done", True) else []
    return reply("".join(events), Content_Length=None, Content_Type="text/event-stream")


def chunk(content=None, finish=None, **delta):
    """Return one chat.completion.chunk."""
    delta = dict(delta, content=content) if content is not None else delta
    return {"id": "c1", "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def rows(*ids, **fields):
    """Return the answer of /v1/models for some ids."""
    return reply(
        {"object": "list",
         "data": [dict({"id": model_id, "max_model_len": 4096}, **fields) for model_id in ids]})


def then_watch(data):
    """Return a step that sends `data`, then waits until the client leaves, and tells so."""
    def step(sock, _, stub):
        sock.sendall(data)
        with contextlib.suppress(OSError):
            while sock.recv(4096):
                pass
        stub.gone.set()
    return step


# ----------------------------------------------------------------------------
# JSON5
# ----------------------------------------------------------------------------

class Json5(unittest.TestCase):

    NESTED = "[" * 150 + "]" * 150
    ACCEPTED = (
        ("null", None), (" true\n", True), ("'a'", "a"), ('"a"', "a"), ("[]", []), ("{}", {}),
        ("[1,]", [1]), ("{a: {b: [{}]}}", {"a": {"b": [{}]}}), ("{a: 1, a: 2}", {"a": 2}),
        ("{a: 1, 'b': 2, \"c\": 3,}", {"a": 1, "b": 2, "c": 3}),
        ("{null: 1, Infinity: 2, true: 3}", {"null": 1, "Infinity": 2, "true": 3}),
        ("{__proto__: 1, '': 2}", {"__proto__": 1, "": 2}),
        ("{\u00fc: 1, $_a9: 2, \\u0061b: 3, a\u200c: 4, \u30d1: 5}",
         {"\u00fc": 1, "$_a9": 2, "ab": 3, "a\u200c": 4, "\u30d1": 5}),
        (NESTED, json.loads(NESTED)), ("[" * 150 + "]," * 149 + "]", json.loads(NESTED)),
        # comments, blanks, encodings
        ("// x\n1 // y", 1), ("1 // no line end", 1), ("// a\r1", 1), ("// a\u20281", 1),
        ("/* a * / **/ 1 /**/", 1), ("/* // */1", 1), ("'\"' // '", '"'),
        ("{/* a */ a /* b */ : /* c */ 1 /* d */}", {"a": 1}), ("\u00a0\u3000\x0b[\u2029]", []),
        ("\ufeff{}", {}), ("\ufeff{a: 1}", {"a": 1}), (b"\xef\xbb\xbf{a: 1}", {"a": 1}),
        (b'{"a": "\xc3\xbc"}', {"a": "\u00fc"}),
        # numbers
        ("0x1F", 31), ("-0XfF", -255), ("+1", 1), ("-.5", -0.5), ("5.", 5.0), ("+.5e-1", 0.05),
        ("1E+2", 100.0), ("-0", 0), ("1e999", math.inf), ("Infinity", math.inf),
        ("-Infinity", -math.inf), ("+Infinity", math.inf), ("[NaN, -NaN]", [math.nan, math.nan]),
        ("9" * 250, int("9" * 250)), ("9" * 305, 1e305), ("[" + "9" * 5000 + "]", [math.inf]),
        ("[-" + "9" * 5000 + ",]", [-math.inf]), ("[0x" + "f" * 5000 + "]", [math.inf]),
        # strings
        ("'\\x41\\u0042\\b\\f\\n\\r\\t\\v\\0\\'\\\"\\\\\\/\\q'", "AB\b\f\n\r\t\x0b\0'\"\\/q"),
        ("'a\\\nb\\\r\nc\\\rd\\\u2028e'", "abcde"), ("'\u2028\u2029'", "\u2028\u2029"),
        ("'\\uD83D\\uDE00'", "\U0001f600"), ('"\\ud83d\\ude00"', "\U0001f600"),
        ("'\U0001f600'", "\U0001f600"),
    )
    REFUSED = (          # what the error says; the texts, each with the error's line and column
        ("expected a value", ("", 1, 1), ("  // a comment\n", 2, 1), ("// no line end", 1, 15)),
        ("a value", ("]", 1, 1), ("nul", 1, 1), ("True", 1, 1), ("{a:", 1, 4), ("{a: }", 1, 5),
         ("{\r\n\r\n a: x}", 3, 5), ("{\r\r a: x}", 3, 5)),
        ("a value or ']'", ("[,]", 1, 2), ("[1,,2]", 1, 4)),
        ("the end of the text", ("1 2", 1, 3), ("{a: 1} x", 1, 8), ("01", 1, 2), ("0x", 1, 2),
         ("1e", 1, 2)),
        ("',' or ']'", ("[1", 1, 3), ("[1:2]", 1, 3)),
        ("',' or '}'", ("{a: 1", 1, 6), ("{\n  a: 1\n  b: 2}", 3, 3)),
        ("a key or '}'", ("{", 1, 2), ("{,}", 1, 2)),
        ("a key", ("{a: 1,,}", 1, 7), ("{1: 2}", 1, 2), ("{9a: 1}", 1, 2)),
        ("':'", ("{a", 1, 3), ("{a 1}", 1, 4)),
        ("']'", ("[}", 1, 2)), ("'}'", ("{]", 1, 2)), ("'/'", ("/", 1, 1)), ("'#'", ("#", 1, 1)),
        ("'.'", (".", 1, 1)), ("'-'", ("- 1", 1, 1), ("--1", 1, 1), ("{a-b: 1}", 1, 3)),
        ("does not end", ("'abc", 1, 1), ("'a\nb'", 1, 1), ("\"a'", 1, 1), ("[\n/* x", 2, 1)),
        ("escape", ("'\\x4'", 1, 2), ("'\\u12'", 1, 2), ("'\\1'", 1, 2), ("'\\01'", 1, 2),
         ("'ab\\u12g4'", 1, 4)),
        ("quotes", ("{a\\u002d: 1}", 1, 2)),
        ("surrogate", ('["\\ud83d"]', 1, 2), ("['\\uDE00 x']", 1, 2), ("{'\\ud800': 1}", 1, 2)),
        ("NUL", ("{a:\0 1}", 1, 4), ('["\0"]', 1, 3)),
        ("nested", ("[1,\n" + "[" * 300, 2, 200), ("[" * 100000, 1, 201), ("{a:" * 100000, 1, 601)),
        ("0xff", (b'{"a":\n "\xff"}', 2, 3)), ("0xfe", (b"\xfe\xff\x00{", 1, 1)),
        ("UTF-8", (b"\xed\xa0\x80", 1, 1)),
    )

    def test_accepts_json5_with_its_value(self):
        for text, value in self.ACCEPTED:
            with self.subTest(text=text[:60]):
                self.assertEqual(repr(vllm.json5_loads(text)), repr(value))

    def test_refuses_with_line_column_and_what_was_expected(self):
        for words, *places in self.REFUSED:
            for text, line, column in places:
                with self.subTest(text=text[:60]):
                    with self.assertRaises(vllm.Json5Error) as raised:
                        vllm.json5_loads(text)
                    error = raised.exception
                    self.assertIn(words, error.problem)
                    self.assertEqual((error.line, error.column), (line, column))

    def test_error_is_a_value_error_and_a_config_error_and_quotes_no_word(self):
        with self.assertRaises(ValueError) as raised:
            vllm.json5_loads("{apiKey: sk-secret}")
        self.assertIsInstance(raised.exception, vllm.ConfigError)
        self.assertEqual(raised.exception.exit_status, 3)
        self.assertNotIn("secret", str(raised.exception))

    def test_tree_gives_the_place_of_every_value(self):
        text = "{ /* x */ a: [1, 'two'], \"b\": {c: null} }"
        tree = vllm.json5_tree(text)
        self.assertEqual(text[tree.start:tree.end], text)
        keys = [(key, text[start:end]) for key, start, end, _ in tree.items]
        self.assertEqual(keys, [("a", "a"), ("b", '"b"')])
        array = tree.items[0][3]
        self.assertEqual([text[node.start:node.end] for node in array.items], ["1", "'two'"])
        self.assertEqual(tree.items[1][3].value, {"c": None})

    def test_both_readers_agree_on_plain_json(self):
        mixed = {"a": [1, -2.5, 1e3, "x\\y\"\u00fc\n", None, True]}
        for value in (mixed, [], "", 0, {"": {"": [[]]}}):
            with self.subTest(value=value):
                for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
                    self.assertEqual(vllm.json5_loads(text), value)
                    self.assertEqual(vllm.json5_tree(text).value, value)


# ----------------------------------------------------------------------------
# Settings
# ----------------------------------------------------------------------------

class Settings(Case):

    CONFIG_FILES = (     # the environment, --config, the file; ~ stands for the home directory
        ({}, None, "~/.openclaw/openclaw.json"),
        ({"HOME": "", "USERPROFILE": "<home>"}, None, "~/.openclaw/openclaw.json"),
        ({"OPENCLAW_HOME": "<home>/oc"}, None, "~/oc/.openclaw/openclaw.json"),
        ({"OPENCLAW_HOME": "~/oc"}, None, "~/oc/.openclaw/openclaw.json"),
        ({"OPENCLAW_HOME": "<home>/oc", "OPENCLAW_STATE_DIR": "<home>/state"}, None,
         "~/state/openclaw.json"),
        ({"OPENCLAW_STATE_DIR": "<home>/state", "OPENCLAW_CONFIG_PATH": "<home>/c.json"}, None,
         "~/c.json"),
        ({"OPENCLAW_CONFIG_PATH": "~/c.json"}, None, "~/c.json"),
        ({"OPENCLAW_CONFIG_PATH": "<home>/c.json"}, "<home>/d.json", "~/d.json"),
        ({"OPENCLAW_HOME": "null", "OPENCLAW_STATE_DIR": "undefined", "OPENCLAW_CONFIG_PATH": " "},
         None, "~/.openclaw/openclaw.json"),
    )

    def test_config_file_is_the_one_openclaw_reads(self):
        for env, option, expected in self.CONFIG_FILES:
            with self.subTest(env=env, option=option):
                env = {name: value.replace("<home>", self.home) for name, value in env.items()}
                option = option and option.replace("<home>", self.home)
                found = vllm.read_settings(option, self.env(env))
                self.assertEqual(found.path.replace(os.sep, "/"),
                                 expected.replace("~", self.home).replace(os.sep, "/"))
                self.assertEqual((found.exists, found.config, found.issues), (False, {}, []))

    def test_without_any_home_there_is_no_config_and_no_crash(self):
        self.assertIsNone(vllm.read_settings(None, {}).path)
        self.assertEqual(run(["list"]).status, 1)

    def test_a_named_config_that_is_missing_is_a_warning(self):
        found = vllm.read_settings(self.path("none.json"), self.env())
        self.assertIn("no such file", found.warnings[0].message)

    def test_files_that_are_not_a_config_are_refused(self):
        self.write("dir.json/x", "")
        with open(self.path("big.json"), "wb") as big:
            big.truncate(50 * 1024 * 1024)
        for name, content, words in (
                ("empty.json", "", "expected a value"),
                ("comment.json", "// nothing\n", "expected a value"),
                ("array.json", "[]", "expected an object"),
                ("text.json", "'x'", "expected an object"),
                ("null.json", "null", "expected an object"),
                ("bytes.json", b'{"a": "\xff"}', "UTF-8"),
                ("utf16.json", "{}".encode("utf-16"), "UTF-8"),
                ("nul.json", "{\0}", "NUL"),
                ("deep.json", "[" * 99999, "nested"),
                ("deepjson.json", "[" * 900 + "]" * 900, "nested"),
                ("lone.json", '{"a": "\\ud800"}', "surrogate"),
                ("cut.json", '{"models": {', "a key"),
                ("big.json", None, "larger than"),
                ("dir.json", None, "not a regular file")):
            with self.subTest(name=name):
                path = self.path(name) if content is None else self.write(name, content)
                self.check(self.run_main("list", "--config", path), 3, err=words)
                result = self.run_main("config", "--check", "--json", "--config", path)
                verdict = json.loads(result.out)
                self.assertEqual((result.status, verdict["valid"]), (3, False))
                self.assertIn(words, verdict["issues"][0]["message"])

    @unittest.skipUnless(hasattr(os, "mkfifo"), "no FIFOs here")
    def test_a_fifo_and_a_device_are_refused_at_once(self):
        os.mkfifo(self.path("fifo.json"))
        for path in (self.path("fifo.json"), os.devnull):
            self.check(self.run_main("list", "--config", path), 3, err="not a regular file")

    def test_a_config_that_cannot_be_opened_is_refused(self):
        path = self.configure("{}")
        with mock.patch("builtins.open", side_effect=PermissionError(13, "Permission denied")):
            result = self.run_main("list", "--config", path)
        self.check(result, 3, err="cannot be read: Permission denied")

    def test_dotenv_lines(self):
        for text, expected in (
                ("A=b", {"A": "b"}), ("A: b", {"A": "b"}), (" export A = b # c", {"A": "b"}),
                ("A=`b`", {"A": "b"}), ("A='b # c'", {"A": "b # c"}), ("A='b\\nc'", {"A": "b\\nc"}),
                ('A="b\\nc"', {"A": "b\nc"}), ('A="b\nc"\nD=e', {"A": "b\nc", "D": "e"}),
                ('A="b', {"A": '"b'}), ("A=", {"A": ""}), ("A", {}), ("# A=b", {}),
                ("A=b=c", {"A": "b=c"}), ("A.b-c=d", {"A.b-c": "d"}), ("A=1\nA=2", {"A": "2"}),
                ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"})):
            with self.subTest(text=text):
                self.assertEqual(vllm.parse_dotenv(text), expected)

    def test_the_first_environment_wins_and_a_blank_name_hides_the_one_in_the_file(self):
        config = {"env": {"vars": {"A": "config", "B": "config", "C": "config", "D": "${A}-${C}"}}}
        self.write(".openclaw/.env", "A=dotenv\nB=dotenv\nC= \nF=dotenv\n")
        found = self.settings(config, {"A": "process", "B": "  ", "C": ""})
        self.assertEqual([found.variables[name] for name in "ABCF"],
                         ["process", "config", "config", "dotenv"])
        self.assertEqual(found.variables["D"], "process-${C}")

    def test_an_unreadable_dotenv_is_passed_over(self):
        self.write(".openclaw/.env", b"A=\xff\n")
        self.assertEqual(self.settings({}).issues, [])

    def test_substitution_is_one_pass(self):
        env = {"A": "1", "B": "${A}", "_C": "$${A}", "EMPTY": ""}
        place = ("bindings", 0, "deep")
        for text, expected, missing in (
                ("x${A}y", "x1y", None), ("${A}${A}", "11", None), ("${B}", "${A}", None),
                ("${_C}", "$${A}", None), ("$${A}", "${A}", None), ("$$${A}", "$${A}", None),
                ("${lower}", "${lower}", None), ("${A:-x}", "${A:-x}", None), ("$A", "$A", None),
                ("${}", "${}", None), ("${A", "${A", None), ("${1A}", "${1A}", None),
                ("${NONE}", "${NONE}", "NONE"), ("${A}${EMPTY}", "1${EMPTY}", "EMPTY"),
                ("$${NONE}", "${NONE}", None)):
            with self.subTest(text=text):
                found = self.settings({"bindings": [{"deep": text}]}, env)
                self.assertEqual(found.config["bindings"][0]["deep"], expected)
                self.assertEqual(found.unset_variables, {place: missing} if missing else {})
                self.assertEqual([(issue.path, issue.cause) for issue in found.warnings],
                                 [(place, "config-missing-variable")] if missing else [])

    def test_includes_merge_in_order_and_siblings_win(self):
        self.write(".openclaw/a.json5",
                   "{x: {one: 1, both: 'a'}, list: [1], $include: './sub/b.json'}")
        self.write(".openclaw/sub/b.json",
                   {"x": {"two": 2, "both": "b"}, "list": [2], "deep": {"$include": "c.json"}})
        self.write(".openclaw/sub/c.json", "[1, 2]")
        for text, expected in (
                ("{$include: 'sub/c.json'}", None),
                ("[{$include: 'a.json5'}]", None),
                ("{$include: [], y: 1}", {"y": 1}),
                ("{p: {$include: 'sub/c.json'}}", {"p": [1, 2]}),
                ("{$include: 'a.json5'}",
                 {"x": {"one": 1, "two": 2, "both": "a"}, "list": [2, 1], "deep": [1, 2]}),
                ("{$include: ['a.json5', 'sub/b.json']}",
                 {"x": {"one": 1, "two": 2, "both": "b"}, "list": [2, 1, 2], "deep": [1, 2, 1, 2]}),
                ("{$include: 'sub/b.json', x: {both: 'mine'}, list: [3]}",
                 {"x": {"two": 2, "both": "mine"}, "list": [2, 3], "deep": [1, 2]})):
            with self.subTest(text=text):
                found = self.settings(text)
                if expected is None:
                    self.assertIn("expected an object", found.issues[0].message)
                else:
                    self.assertEqual((found.config, found.issues), (expected, []))

    def test_includes_are_confined_finite_and_named_when_wrong(self):
        outside = self.write("outside/o.json", {"o": 1})
        self.write(".openclaw-evil/e.json", {"e": 1})
        self.write(".openclaw/loop.json", {"$include": "loop2.json"})
        self.write(".openclaw/loop2.json", {"$include": "loop.json"})
        bad = self.write(".openclaw/bad.json", "{\n x: }")
        self.write(".openclaw/list.json", "[1]")
        self.write(".openclaw/big.json", "[" + " " * (2 * 1024 * 1024) + "]")
        self.write(".openclaw/d11.json", {})
        for depth in range(11):
            self.write(".openclaw/d%d.json" % depth, {"$include": "d%d.json" % (depth + 1)})
        for include, words in (
                ("'../outside/o.json'", "lies outside"),
                (json.dumps(outside), "lies outside"),
                ("'../.openclaw-evil/e.json'", "lies outside"),
                ("'sub/../../outside/o.json'", "lies outside"),
                ("'loop.json'", "include each other"),
                ("'openclaw.json'", "include each other"),
                ("'d0.json'", "more than 10 levels"),
                ("'bad.json'", "expected a value"),
                ("['bad.json', 7]", "expected a value"),
                ("'list.json', beside: 1", "need an object"),
                ("'big.json'", "larger than"),
                ("'.'", "not a regular file"),
                ("'a\\0b'", "null"),
                ("'none.json'", "cannot be read"),
                ("7", "cannot be read"),
                ("null", "cannot be read"),
                ("[{}]", "cannot be read")):
            with self.subTest(include=include):
                issue = self.settings("{$include: %s}" % include).issues[0]
                self.assertIn(words, issue.message)
        self.assertEqual(self.settings("{$include: 'bad.json'}").issues[0][2:5], (bad, 2, 5))
        self.assertEqual(self.settings("{$include: 'd2.json'}").issues, [])
        roots = os.pathsep.join(["", "~/outside"])
        allowed = self.settings("{$include: '../outside/o.json'}",
                                {"OPENCLAW_INCLUDE_ROOTS": roots})
        self.assertEqual((allowed.config, allowed.issues), ({"o": 1}, []))
        link = self.path(".openclaw", "link.json")
        with contextlib.suppress(OSError, NotImplementedError):
            os.symlink(outside, link)
        if os.path.islink(link):
            issue = self.settings("{$include: 'link.json'}").issues[0]
            self.assertIn("lies outside", issue.message)

    def test_included_files_are_capped_together(self):
        self.write(".openclaw/a.json", {"$schema": "x" * 3000})
        with mock.patch.object(vllm, "CONFIG_LIMIT", 9000):
            self.assertEqual(self.settings("{$include: ['a.json', 'a.json']}").issues, [])
            issue = self.settings("{$include: ['a.json', 'a.json', 'a.json']}").issues[0]
        self.assertIn("larger than 9000 bytes together", issue.message)

    # Tables in frames: what stands around the texts, the key path to there; then the rows, each
    # with a text, a key path from there (None: valid), and more.
    VLLM = "models.providers.vllm"
    ROW = VLLM + ".models.0"
    IN_VLLM = "// one\n{models: {providers: {vllm:\n {%s}}}}"
    IN_ROW = "// one\n{models: {providers: {vllm: {models: [\n {id: 'm', name: 'm', %s}]}}}}"

    @staticmethod
    def framed(table):
        """Yield [text, key path or None, more ...] for each row of a table in frames."""
        for frame, prefix, *rows in table:
            for text, path, *more in rows:
                if path is not None:
                    path = ".".join(filter(None, (prefix, path)))
                yield [frame % text, path] + more

    FAULTS = (           # text, the key path of the fault, words of the message
        (IN_VLLM, VLLM,
         ("", None),
         ("baseUrl: 'http://h/v1', apiKey: 'k', api: 'openai-completions', timeoutSeconds: 5, "
          "models: []", None),
         ("baseUrl: ''", "baseUrl", "not a valid base URL"),
         ("baseUrl: 7", "baseUrl", "found 7"),
         ("baseUrl: 'h:8000'", "baseUrl", "http"),
         ("baseUrl: 'ftp://h'", "baseUrl", "http"),
         ("baseUrl: 'http://u:p@h/v1'", "baseUrl", "password"),
         ("baseUrl: 'http://h/v1?x'", "baseUrl", "query"),
         ("baseUrl: 'http://h:99999/v1'", "baseUrl", "port"),
         ("apiKey: 7", "apiKey", "text or (source"),
         ("apiKey: {source: 'env', provider: 'default', id: 'A_B'}", None),
         ("apiKey: {source: 'env', provider: 'default', id: 'lower'}", "apiKey.id", "variable"),
         ("apiKey: {source: 'env', id: 'A'}", "apiKey", "(source:env,provider,id)"),
         ("apiKey: {source: 'vault'}", "apiKey", "source"),
         ("apiKey: {source: 'file', provider: 'a', id: 'value'}", None),
         ("apiKey: {source: 'file', provider: 'a', id: '/a/~1'}", None),
         ("apiKey: {source: 'file', provider: 'a', id: '/a~2'}", "apiKey.id"),
         ("apiKey: {source: 'exec', provider: 'a', id: 'a/../b'}", "apiKey.id"),
         ("apiKey: {source: 'exec', provider: 'a', id: 'a/..b/c.'}", None),
         ("api: 'grpc'", "api", "expected openai-completions or "),
         ("timeoutSeconds: 0", "timeoutSeconds", "above 0"),
         ("timeoutSeconds: 1.5", "timeoutSeconds", "whole number"),
         ("timeoutSeconds: '5'", "timeoutSeconds", "a string"),
         ("timeoutSeconds: true", "timeoutSeconds", "found true"),
         ("headers: []", "headers", "expected an object"),
         ("headers: {a: []}", "headers.a", "text"),
         ("request: {auth: {mode: 'magic'}}", "request.auth", "(mode:provider-default) or (mode:"),
         ("request: {auth: {mode: 'header', value: 'x'}}", "request.auth", "headerName,value)"),
         ("request: {auth: {mode: 'authorization-bearer'}}", "request.auth",
          "authorization-bearer,token)"),
         ("models: {}", "models", "expected an array"),
         ("models: [7]", "models.0", "expected an object"),
         ("models: [{id: 'm', name: 'm'}]", None),
         ("models: [{id: '', name: 'm'}]", "models.0.id", "non-empty"),
         ("models: [{name: 'm'}]", "models.0.id", "is missing"),
         ("models: [{id: 'm'}]", "models.0.name", "is missing"),
         ("contextWindow: 0, models: [{id: 'm', name: 'm'}]", "models.0.contextWindow"),
         ("contextWindow: 'x', models: [{id: 'm', name: 'm', contextWindow: 7}]", None),
         ("contextWindow: 'x', contextTokens: null", None)),
        (IN_ROW, ROW,
         ("baseUrl: 'h'", "baseUrl"),
         ("contextWindow: 1.5", None),
         ("contextWindow: 1e-9", None),
         ("contextWindow: 0", "contextWindow", "above 0"),
         ("contextWindow: -1", "contextWindow", "above 0"),
         ("contextWindow: 1e999", "contextWindow", "above 0"),
         ("contextWindow: NaN", "contextWindow", "NaN"),
         ("contextWindow: -Infinity", "contextWindow", "-Infinity"),
         ("contextTokens: 4.0", None),
         ("contextTokens: 9007199254740991", None),
         ("contextTokens: 9007199254740992", "contextTokens", "whole"),
         ("contextTokens: 1.5", "contextTokens", "whole"),
         ("contextTokens: true", "contextTokens", "found true"),
         ("maxTokens: 1e300", None),
         ("maxTokens: " + "9" * 350, "maxTokens", "above 0"),
         ("maxTokens: 0x" + "f" * 5000, "maxTokens", "above 0"),
         ("input: []", None),
         ("input: ['text', 'smell']", "input.1", "expected text or image or"),
         ("mediaInput: {image: {maxBytes: 0}}", "mediaInput.image.maxBytes", "above 0"),
         ("reasoning: 'yes'", "reasoning", "true or false"),
         ("thinkingLevelMap: {off: null}", None),
         ("thinkingLevelMap: {off: 1}", "thinkingLevelMap.off", "or null"),
         ("headers: {a: 1}", "headers.a", "a text"),
         ("compat: {maxTokensField: 'max'}", "compat.maxTokensField", "max_tokens"),
         ("compat: {supportsTools: 1}", "compat.supportsTools", "true or false"),
         ("compat: {reasoningEffortMap: {'': 'a'}}", "compat.reasoningEffortMap.", "non-empty"),
         ("compat: {reasoningEffortMap: {a: ''}}", "compat.reasoningEffortMap.a", "non-empty"),
         ("compat: {openRouterRouting: {max_price: {prompt: 'x', image: 2}}}", None),
         ("compat: {openRouterRouting: {sort: {by: 1}}}", "compat.openRouterRouting.sort",
          "text or (by,partition)"),
         ("cost: {input: -1}", None)),
        (IN_ROW % "cost: {tieredPricing: [%s]}", ROW + ".cost.tieredPricing.0",
         ("7", "", "found 7"),
         ("{input: 1, output: 1, cacheRead: 1, cacheWrite: 1, range: [1]}", None),
         ("{input: 1, output: 1, cacheRead: 1, cacheWrite: 1, range: []}", "range", "array")),
        ("{models: {%s}}", "models",
         ("mode: 'add'", "mode"),
         ("mode: 0x" + "f" * 9000, "mode"),
         ("providers: []", "providers"),
         ("providers: {vllm: null}", "providers.vllm", "expected an object"),
         ("providers: {vllm: []}", "providers.vllm", "expected an object"),
         ("providers: {mine: {models: []}}", "providers.mine.baseUrl"),
         ("providers: {mine: {baseUrl: 'http://h/v1'}}", "providers.mine.models"),
         ("providers: {' OpenAI ': {}}", None),
         ("catalogRefresh: {url: 'https://h'}", None),
         ("catalogRefresh: {url: ' HTTPS://h '}", None),
         ("catalogRefresh: {url: 'http://localhost:1/x'}", None),
         ("catalogRefresh: {url: 'http://h'}", "catalogRefresh.url"),
         ("catalogRefresh: {url: 'http://127.0.0.2/'}", "catalogRefresh.url"),
         ("catalogRefresh: {url: 'https://a b'}", "catalogRefresh.url")),
        ("{agents: {defaults: {%s}}}", "agents.defaults",
         ("model: 7", "model"),
         ("model: {primary: 7}", "model"),
         ("model: {fallbacks: ['a', 7]}", "model"),
         ("models: {'vllm/m': 7}", "models.vllm/m"),
         ("models: {'vllm/m': {codeMode: true}}", None),
         ("models: {'vllm/*': {codeMode: true}}", "models.vllm/*.codeMode"),
         ("models: {'vllm/m': {pickerRuntimes: ['auto']}}", "models.vllm/m.pickerRuntimes.0"),
         ("models: {m: {pickerRuntimes: []}}", "models.m.pickerRuntimes"),
         ("modelPolicy: {allow: ['vllm/*', 'vllm/m', 'q']}, models: {'vllm/m': {alias: 'Q'}}",
          None),
         ("modelPolicy: {allow: ['vllm/ns/*', 'vllm/m', 'w', 'b']}, "
          "models: {'vllm/*': {alias: 'W'}, bare: {alias: 'b'}}", None),
         ("modelPolicy: {allow: ['vllm/m', 'm']}", "modelPolicy.allow.1"),
         ("modelPolicy: {allow: ['vllm/m*']}", "modelPolicy.allow.0"),
         ("modelPolicy: {allow: ['vllm//m']}", "modelPolicy.allow.0"),
         ("modelPolicy: {allow: ['vllm/a b']}", "modelPolicy.allow.0"),
         ("systemAgent: {agentId: 'x'}", "systemAgent.agentId"),
         ("systemAgent: {agentId: ''}", "systemAgent.agentId"),
         ("systemAgent: {agentId: ' MAIN '}", None),
         ("typingMode: 'no'", "typingMode")),
        ("{agents: {%s}}", "agents",
         ("entries: {'a b': {}}", "entries.a b"),
         ("entries: {a: {name: 7}}", "entries.a.name"),
         ("entries: {a: {}, A: {default: true}}", "entries"),
         ("entries: {a: {default: true}, b: {default: true}}", "entries"),
         ("entries: {a: {}, b: {}}", "ownership"),
         ("entries: {a: {}, b: {}}, ownership: 'explicit'", None),
         ("entries: {a: {default: true}}, ownership: 'explicit'", "ownership"),
         ("entries: {a: {}}, list: 7", "list"),
         ("list: 7", "list"),
         ("list: [{id: 'a b'}]", "list.0.id"),
         ("list: [{id: 'a'}, {id: 'A', default: true}]", "entries"),
         ("list: [{id: 'a'}, {id: 'b'}]", "ownership"),
         ("list: [{id: 'a', params: 7}]", "entries.a.params"),
         ("defaults: {systemAgent: {agentId: 'A'}}, entries: {a: {}}", None),
         ("defaults: {contextTokens: null}, entries: {a: {contextTokens: []}}", None),
         ("defaults: {models: {'vllm/m': {alias: 'q'}}}, "
          "entries: {a: {models: {'vllm/m': {alias: 'z'}}, modelPolicy: {allow: ['q', 'z']}}}",
          None)),
        ("{%s}", "",
         ("models: 7", "models"),
         ("agents: 'x'", "agents"),
         ("env: null", "env"),
         ("env: {vars: {A: 1}}", "env.vars.A"),
         ("plugins: {entries: {vllm: {config: {a: 1}}}}", "plugins.entries.vllm.config.a"),
         ("plugins: {entries: {vllm: {config: {}}, other: {config: {a: 1}}}}", None),
         ("plugins: {entries: {other: {hooks: 7}}}", "plugins.entries.other.hooks"),
         ("auth: {profiles: {a: {provider: 'vllm', mode: 'key'}}}", "auth.profiles.a.mode"),
         ("auth: {order: []}", "auth.order"),
         ("secrets: {providers: []}", "secrets.providers"),
         ("logging: null", "logging"),
         ("logging: 7", "logging"),
         ("$schema: null", "$schema")),
    )

    def test_faults_carry_path_line_and_column(self):
        for text, path, *words in self.framed(self.FAULTS):
            with self.subTest(text=text[:120]):
                issues = self.settings(text).issues
                self.assertEqual([vllm.dotted(issue.path) for issue in issues],
                                 [] if path is None else [path])
                for issue in issues:
                    self.assertIn("".join(words), issue.message)
                    self.assertEqual(issue.line, text.count("\n") + 1)
                    if "is missing" not in issue.message and "list:" not in text:
                        key_at = text.rpartition("\n")[2].find(path.rpartition(".")[2])
                        self.assertGreater(issue.column, key_at)

    def test_columns_point_at_the_value_even_inside_included_files(self):
        providers = "{\n  vllm: {\n    baseUrl: 7 },\n  'my.gpu': { timeoutSeconds: 0 } }"
        inner = self.write(".openclaw/p.json5", providers)
        outer = self.configure("{ models: {\n providers: { $include: 'p.json5' }, mode: 'x' } }")
        self.assertEqual([issue[:1] + issue[2:5] for issue in sorted(self.settings().issues)],
                         [(("models", "mode"), outer, 2, 44),
                          (("models", "providers", "my.gpu", "timeoutSeconds"), inner, 4, 31),
                          (("models", "providers", "vllm", "baseUrl"), inner, 3, 14)])
        merged = "{models: {providers: {$include: 'p.json5', vllm: {}}}}"
        self.assertEqual([issue[2:5] for issue in sorted(self.settings(merged).issues)],
                         [(inner, 4, 31), (inner, 3, 14)])

    UNKNOWN = (          # text, the unknown key, where its value belongs
        (IN_VLLM, VLLM,
         ("baseURL: 'http://h'", "baseURL", VLLM + ".baseUrl"),
         ("baseURL: 'http://h', baseUrl: 'http://h'", "baseURL", VLLM + ".baseUrl"),
         ("url: 'http://h'", "url", VLLM + ".baseUrl"),
         ("reasoning: true, models: [{id: 'm', name: 'm'}]", "reasoning", ROW + ".reasoning"),
         ("request: {auth: {mode: 'provider-default', x: 1}}", "request.auth.x", None)),
        (IN_ROW, ROW,
         ("contextwindow: 1", "contextwindow", ROW + ".contextWindow"),
         ("supportsStore: false", "supportsStore", ROW + ".compat.supportsStore")),
        ("{agents: {defaults: {%s}}}", "agents.defaults",
         ("y: 1", "y", None),
         ("model: {providers: {}}", "model.providers", "models.providers"),
         ("models: {'vllm/m': {temperature: 1}}", "models.vllm/m.temperature",
          "agents.defaults.models.vllm/m.params.temperature")),
        ("{%s}", "",
         ("agents: {x: 1}", "agents.x", None),
         ("models: {qqqq: 1}", "models.qqqq", None),
         ("models: {$schema: 'x'}", "models.$schema", None),
         ("'a.b': 1", "a.b", None),
         ("providers: {vllm: {}}", "providers", "models.providers"),
         ("plugins: {entries: {vllm: {enable: false}}}", "plugins.entries.vllm.enable",
          "plugins.entries.vllm.enabled")),
    )
    LEGACY = (           # text, the legacy key, where its value belongs
        (IN_VLLM, VLLM,
         ("contextWindow: 9", "contextWindow", None),
         ("contextTokens: 9, models: [{id: 'm', name: 'm'}]", "contextTokens", None)),
        ("{agents: {%s}}", "agents",
         ("defaults: {llm: {idleTimeoutSeconds: 9}}", "defaults.llm", VLLM + ".timeoutSeconds"),
         ("defaults: {contextTokens: 'x'}", "defaults.contextTokens", None),
         ("defaults: {params: {qwenThinkingFormat: 'x'}}", "defaults.params.qwenThinkingFormat",
          None),
         ("entries: {a: {default: true}}", "entries.a.default", None),
         ("list: [{id: 'a'}]", "list", None),
         ("list: [{id: 'a'}], entries: {a: {}}", "list", None)),
    )

    def check_warning(self, text, path, cause, successor):
        """Check that the only complaint about a config is this warning; return it."""
        found = self.settings(text)
        self.assertEqual(found.issues, [])
        warning, = found.warnings
        self.assertEqual((vllm.dotted(warning.path), warning.cause), (path, cause))
        self.assertEqual(warning.successor and vllm.dotted(warning.successor), successor)
        return warning

    def test_unknown_keys_are_warnings_that_say_where_the_value_belongs(self):
        for text, path, successor in self.framed(self.UNKNOWN):
            with self.subTest(text=text):
                warning = self.check_warning(text, path, "config-unknown-key", successor)
                words = "OpenClaw 2026.9 does not start with the unknown key %r" % warning.path[-1]
                if successor:
                    words += "; did you mean %s?" % successor
                self.assertEqual(warning.message, words)
        self.assertEqual(self.settings("{gateway: {anything: 1}}").warnings, [])

    def test_legacy_keys_name_what_took_their_place(self):
        for text, path, successor in self.framed(self.LEGACY):
            with self.subTest(text=text):
                self.check_warning(text, path, "config-legacy-key", successor)
        unknown = self.settings("{agents: {alias: 1, lists: []}}").warnings
        self.assertEqual([warning.successor for warning in unknown], [None, None])

    # What a leaf of the table is in OpenClaw's JSON Schema. Its rules for the ids of secrets and
    # the like are in no schema.
    TEXT, MOST = {"type": "string"}, {"maximum": 2 ** 53 - 1}
    LEAVES = {
        "text": TEXT, "pointer": TEXT, "command": TEXT, "url": TEXT,
        "filled": dict(TEXT, minLength=1),
        "text-or-null": {"type": ["string", "null"]},
        "number-or-text": {"type": ["number", "string"]},
        "boolean": {"type": "boolean"},
        "number": {"type": "number"},
        "positive": {"type": "number", "exclusiveMinimum": 0},
        "count": dict(MOST, type="integer", minimum=0),
        "whole": dict(MOST, type="integer", exclusiveMinimum=0),
        "name": dict(TEXT, pattern="^[a-z][a-z0-9_-]{0,63}$"),
        "variable": dict(TEXT, pattern="^[A-Z][A-Z0-9_]{0,127}$"),
        "picker": dict(TEXT, minLength=1, maxLength=128, pattern="^[a-z][a-z0-9-]*$"),
        "object": {"type": "object", "propertyNames": TEXT, "additionalProperties": {}},
    }
    SHAPES = {           # the shapes of the table, and where OpenClaw's schema lists their keys
        "config": "top_level_names", "agents": "agents_names", "defaults": "agents_defaults_names",
        "entry": "agents_entries_names", "plugins": "plugins_names", "auth": "auth_names",
        "secrets": "secrets_names",
    }
    SHARED = os.path.join(HERE, os.pardir, "shared")
    SCHEMA = os.path.join(SHARED, "openclaw-schema.json")
    PAGE = os.path.join(SHARED, "openclaw-vllm-page.txt")

    @unittest.skipUnless(os.path.isfile(SCHEMA), "no ../shared/openclaw-schema.json")
    def test_the_table_is_openclaws_own_schema(self):
        with open(self.SCHEMA, encoding="utf-8") as source:
            schema = json.load(source)
        shapes = {name: vllm._shape(name) for name in vllm._SHAPES}

        def keys(shape, mark=None):
            return sorted(key for key, rule in shapes[shape].items()
                          if (rule[0] == mark if mark else rule[0] != "~"))

        for shape, name in self.SHAPES.items():
            self.assertEqual(keys(shape), sorted(set(schema[name]) - {"default"}), shape)
        for shape in ("plugin", "vllm-plugin"):
            self.assertEqual(keys(shape), sorted(schema["plugins"]["entries.*"]))
        self.assertEqual(sorted(vllm._BUILT_IN_PROVIDERS.split()),
                         sorted(schema["built_in_provider_ids"]))
        for name, shape, more in (("models.providers.*", "provider", ["models"]),
                                  ("models.providers.*.models.*", "row", ["compat"]),
                                  ("models.providers.*.models.*.compat", "compat", [])):
            stated = schema[name]
            self.assertEqual(keys(shape), sorted(list(stated["properties"]) + more), name)
            self.assertEqual(keys(shape, "!"), sorted(stated["object"].get("required", [])), name)
            for key, inner in stated["properties"].items():
                self.compare(inner, shapes[shape][key].lstrip("!"), shapes, name + "." + key)
        for key, inner in schema["agents_defaults"].items():
            self.compare(inner, shapes["defaults"][key], shapes, "agents.defaults." + key)
            if key in schema["agents_entries_names"]:
                self.assertEqual(shapes["entry"][key], shapes["defaults"][key])
        for key in ("enabled", "allow", "deny"):
            self.compare(schema["plugins"][key], shapes["plugins"][key], shapes, "plugins." + key)
        self.compare(schema["agents_ownership"], shapes["agents"]["ownership"], shapes, "ownership")
        self.compare(schema["env"], "environment", shapes, "env")
        models = dict(shapes["models"])
        del models["providers"], schema["models"]["properties"]["providers"]
        self.compare(schema["models"], "models", dict(shapes, models=models), "models")

    def compare(self, schema, rule, shapes, where):
        """Check that a rule of the table says what a JSON Schema says."""
        branches = [inner for branch in schema.get("anyOf", ())
                    for inner in branch.get("oneOf", [branch])]
        words = [branch.get("const") for branch in branches or [schema]]
        if schema.get("enum") or None not in words:
            self.assertEqual(rule.split("|"), schema.get("enum") or words, where)
        elif branches:
            self.assertEqual(len(rule.split("/")), len(branches), where)
            for branch, part in zip(branches, rule.split("/")):
                self.compare(branch, part, shapes, where)
        elif rule in ("object", "params"):
            self.assertEqual(schema, self.LEAVES["object"], where)
        elif "items" in schema:
            inner, _, bounds = rule[1:].partition("]")
            items, least, most = schema["items"], schema.get("minItems", 0), schema.get("maxItems")
            sizes = range(least, most + 1) if most else ()
            self.assertEqual(bounds, ",".join(map(str, sizes)), where)
            for item in items if isinstance(items, list) else [items]:
                self.compare(item, inner, shapes, where + "[]")
        elif rule[0] == "*":
            key, _, inner = rule[1:].partition(":")
            self.assertEqual(schema["propertyNames"], self.LEAVES[key], where)
            self.compare(schema["additionalProperties"], inner, shapes, where + ".*")
        elif rule in shapes:
            self.assertIs(schema["additionalProperties"], False, where)
            self.assertEqual(sorted(schema.get("properties", ())), sorted(shapes[rule]), where)
            for key, inner in shapes[rule].items():
                place = where + "." + key
                self.assertEqual(inner[0] == "!", key in schema.get("required", ()), place)
                self.compare(schema["properties"][key], inner.lstrip("!"), shapes, place)
        else:
            self.assertEqual(schema, self.LEAVES[rule], where)

    @unittest.skipUnless(os.path.isfile(PAGE), "no ../shared/openclaw-vllm-page.txt")
    def test_the_examples_of_openclaws_page_are_valid_and_warn_of_nothing(self):
        with open(self.PAGE, encoding="utf-8") as source:
            page = source.read()
        examples = re.findall(r"(?m)^\{ agents.*\}|^\{$(?:\n.*)*?\n\}$", page)
        self.assertEqual(len(examples), 3)
        for text in examples:
            found = self.settings(text, {"VLLM_API_KEY": "k"})
            self.assertEqual((found.issues, found.warnings), ([], []))

    def test_the_nearest_of_very_many_names_is_asked_for_few(self):
        names = ["org/model-%d" % number for number in range(60000)]
        with mock.patch("difflib.get_close_matches", return_value=[]) as asked:
            self.assertIsNone(vllm.nearest("org/model", names))
        self.assertLessEqual(len(asked.call_args[0][1]), 2000)

    def test_a_fault_in_deeply_nested_plain_json_is_still_told(self):
        found = self.settings('{"x": %s, "models": {"mode": "x"}}' % ("[" * 250 + "]" * 250))
        self.assertEqual([issue.path for issue in found.issues], [("models", "mode")])

    def test_a_wrong_value_that_may_be_a_key_is_not_shown(self):
        self.configure("{models: {providers: {vllm: {api: 'sk-secret-in-the-wrong-place'}}}}")
        self.assertNotIn("secret-in", self.run_main("config", "--check").err)

    def test_config_check_contract(self):
        self.configure('{"models": {"providers": {"vllm": {\n'
                       '"models": [{"id": "", "name": "m", "nmae": 1}]}}}}')
        result = self.run_main("config", "--check", "--json")
        verdict = json.loads(result.out)
        self.assertEqual((result.status, sorted(verdict)), (3, ["issues", "valid", "warnings"]))
        issue, warning = verdict["issues"][0], verdict["warnings"][0]
        self.assertEqual((issue["path"], issue["line"], issue["column"]), (self.ROW + ".id", 2, 19))
        self.assertEqual(warning["path"], self.ROW + ".nmae")
        self.check(self.run_main("config", "--check"), 3,
                   err="openclaw.json:2:19: %s.id: expected" % self.ROW)
        self.configure("{}")
        self.check(self.run_main("config", "--check"), 0, out="valid")
        self.assertEqual(json.loads(self.run_main("config", "--check", "--json").out),
                         {"valid": True, "issues": [], "warnings": []})


# ----------------------------------------------------------------------------
# Provider
# ----------------------------------------------------------------------------

def block(**fields):
    """Return a config with one vllm provider block; its model "m" is declared."""
    fields = dict({"models": [{"id": "m", "name": "m"}]}, **fields)
    return {"models": {"providers": {"vllm": fields}}}


class Provider(Case):

    STORE = ("create table config_machine_state"
             "(state_key TEXT PRIMARY KEY, value_json TEXT, updated_at_ms INTEGER)")
    PROFILES = ".openclaw/agents/main/agent/auth-profiles.json"
    PROFILE = {"version": 1, "profiles": {
        "vllm:default": {"type": "api_key", "provider": "vllm", "key": " sk-profile "}}}

    def store(self, profiles, strict=False, journal=None):
        """Write OpenClaw's SQLite store; return the connection, left open for a WAL."""
        self.write(".openclaw/state/x", "")
        connection = sqlite3.connect(self.path(".openclaw", "state", "openclaw.sqlite"))
        self.addCleanup(connection.close)
        if journal:
            connection.execute("pragma journal_mode=" + journal).fetchall()
        connection.execute(self.STORE + (" STRICT" if strict else ""))
        connection.execute("insert into config_machine_state values('authProfiles.store', ?, 1)",
                           (json.dumps(profiles),))
        connection.commit()
        if not journal:
            connection.close()
        return connection

    def test_opt_in(self):
        disabled = {"plugins": {"entries": {"vllm": {"enabled": False}}}}
        for config, env, base_url, cause in (
                (None, {}, None, "not-opted-in"),
                (None, {"VLLM_API_KEY": " \t"}, None, "not-opted-in"),
                (None, {"VLLM_API_KEY": "k"}, None, None),
                (None, {}, "http://127.0.0.1:1/v1", None),
                (block(), {}, None, None),
                (disabled, {"VLLM_API_KEY": "k"}, None, "provider-disabled")):
            with self.subTest(config=config, env=env, base_url=base_url):
                refusal = self.provider(config, env, base_url=base_url).refusal
                self.assertEqual(refusal and refusal.cause, cause)
        with mock.patch("socket.socket", side_effect=AssertionError("a socket was opened")):
            self.check(self.run_main("list", env={"VLLM_API_KEY": "k"}), 1,
                       err="plugins.entries.vllm.enabled is false")

    def test_discovery_and_requests_order_their_credentials_differently(self):
        profile = {"type": "token", "provider": "VLLM", "token": "sk-profile"}
        for present, discovery, request in (
                ("", None, None),
                ("config", "sk-config", "sk-config"),
                ("environment", "sk-environment", "sk-environment"),
                ("profile", "sk-profile", "sk-profile"),
                ("environment config", "sk-environment", "sk-environment"),
                ("profile config", "sk-profile", "sk-profile"),
                ("environment profile", "sk-environment", "sk-profile"),
                ("environment profile config", "sk-environment", "sk-profile")):
            with self.subTest(present=present):
                profiles = {"profiles": {"p": profile}} if "profile" in present else {}
                self.write(self.PROFILES, profiles)
                config = block(apiKey="sk-config") if "config" in present else block()
                env = {"VLLM_API_KEY": "sk-environment"} if "environment" in present else {}
                found = self.provider(config, env)
                keys = [found.discovery_key, found.request_key]
                self.assertEqual([each and each.key for each in keys], [discovery, request])
                self.assertEqual(self.provider(api_key="sk-option\n").request_key.key, "sk-option")

    def test_key_forms_of_the_config(self):
        secret = {"source": "env", "provider": "default", "id": "MY_KEY"}
        env = {"MY_KEY": " sk-mine ", "OTHER": "x"}
        for value, key, cause in (
                ("", None, None),
                (" sk-literal ", "sk-literal", None),
                ("${MY_KEY}", "sk-mine", None),
                ("$MY_KEY", "sk-mine", None),
                ("pre-${OTHER}", "pre-x", None),
                ("$${MY_KEY}", "${MY_KEY}", None),
                ("MY_KEY", "MY_KEY", None),
                ("$my_key", "$my_key", None),
                (secret, "sk-mine", None),
                (dict(secret, id="NONE"), None, "config-missing-variable"),
                ("VLLM_API_KEY", None, "config-missing-variable"),
                ("${NONE}", None, "config-missing-variable"),
                ("$NONE", None, "config-missing-variable"),
                ("a${NONE}", None, "config-missing-variable"),
                (dict(secret, source="file", id="/x"), None, "config-invalid"),
                (dict(secret, source="exec", id="x"), None, "config-invalid")):
            with self.subTest(value=value):
                found = self.provider(block(apiKey=value), env)
                self.assertEqual(found.request_key and found.request_key.key, key)
                self.assertEqual(found.refusal and found.refusal.cause, cause)
        self.assertIn("only OpenClaw resolves", found.refusal.message)
        found = self.provider(block(apiKey="VLLM_API_KEY"), {"VLLM_API_KEY": "sk-env"})
        self.assertEqual(found.request_key.key, "sk-env")

    def test_keys_that_cannot_be_sent(self):
        for key, words in (("sk-\nx", "line break"), ("a\rb", "line break"),
                           ("sk\0x", "line break"), ("sk-\u20ac", "8859")):
            with self.subTest(key=key):
                result = self.run_main("list", env={"VLLM_API_KEY": key})
                self.check(result, 3, err=words)
                self.assertNotIn(key, result.err)
        result = self.run_main("list", "--api-key-file", self.write("key", "a\nb"),
                               env={"VLLM_API_KEY": "k"})
        self.check(result, 3, err="--api-key-file")

    def test_the_source_of_the_key_is_the_layer_that_sets_it(self):
        dotenv = self.write(".openclaw/.env", "")
        for text, declared, env, source in (
                ("", {"VLLM_API_KEY": "c"}, {}, "env.vars of the config"),
                ("VLLM_API_KEY=b\n", {"VLLM_API_KEY": "c"}, {}, dotenv),
                ("VLLM_API_KEY=b\n", {}, {"VLLM_API_KEY": "a"}, "the environment")):
            with self.subTest(source=source):
                self.write(".openclaw/.env", text)
                key = self.provider({"env": {"vars": declared}}, env).request_key
                self.assertEqual(key.source, "VLLM_API_KEY (%s)" % source)

    def test_key_file(self):
        stub = self.serve(rows("m"))
        for path in (self.write("key", " sk-file\n"), "-"):
            result = self.run_main("list", "--base-url", stub.url, "--api-key-file", path,
                                   stdin="sk-stdin\n")
            self.check(result, 0)
        self.assertEqual([request.key for request in stub.requests],
                         ["Bearer sk-file", "Bearer sk-stdin"])
        for path, words in ((self.path("none"), "cannot be read"), (self.home, "directory"),
                            (self.write("blank", " \n"), "holds no key")):
            self.check(self.run_main("list", "--api-key-file", path), 2, err=words)
        result = self.run_main("request", "--api-key-file", "-", stdin=json.dumps(HI))
        self.check(result, 2, err="--api-key-file - holds no key")

    @unittest.skipIf(sqlite3 is None, "no sqlite3")
    def test_profiles_from_the_sqlite_store(self):
        new = sqlite3.sqlite_version_info >= (3, 37)         # knows STRICT
        for strict, journal in ((False, None), (new, None), (False, "wal"), (new, "wal")):
            with self.subTest(strict=strict, journal=journal):
                prefix = "a" if os.name == "nt" else "a %20#?b"
                self.home = tempfile.mkdtemp(dir=self.home, prefix=prefix)
                self.store(self.PROFILE, strict, journal)
                before = sorted(os.listdir(self.path(".openclaw", "state")))
                found = self.provider().request_key
                self.assertEqual((found.key, found.source),
                                 ("sk-profile", "auth profile vllm:default"))
                self.assertEqual(sorted(os.listdir(self.path(".openclaw", "state"))), before)

    @unittest.skipIf(sqlite3 is None, "no sqlite3")
    def test_a_store_that_cannot_be_read_is_said_or_passed_over(self):
        with contextlib.closing(sqlite3.connect(self.path("other.sqlite"))) as connection:
            connection.execute("create table other(x)")
        with open(self.path("other.sqlite"), "rb") as source:
            without_the_table = source.read()
        for content, words in ((b"", None), (without_the_table, None),
                               (b"SQLite format 3\0" + b"\xff" * 5000, "auth profiles not read"),
                               (b"no database" * 100, "SQLite")):
            with self.subTest(content=content[:20], words=words):
                self.write(".openclaw/state/openclaw.sqlite", content)
                settings = self.settings()
                self.assertEqual(vllm.resolve_provider(settings).refusal.cause, "not-opted-in")
                self.assertEqual([words in warning.message for warning in settings.warnings],
                                 [True] if words else [])

    def test_without_sqlite3_it_says_so_and_reads_the_older_files(self):
        self.write(".openclaw/state/openclaw.sqlite", b"x")
        self.write(self.PROFILES, self.PROFILE)
        with mock.patch.dict(sys.modules, {"sqlite3": None}):
            settings = self.settings()
            self.assertEqual(vllm.resolve_provider(settings).request_key.key, "sk-profile")
            self.assertIn("no sqlite3", settings.warnings[0].message)

    def test_profiles_of_older_installs(self):
        usable = {"provider": "vllm", "type": "api_key", "key": "k"}
        other = dict(usable, provider="other", key="x")
        token = {"provider": "vLLM", "type": "token", "token": "k"}
        for content, key in (
                ("", None), ("[]", None), ("{", None), ("[" * 99999, None),
                ({"profiles": []}, None),
                ({"profiles": {"a": 7}}, None),
                ({"profiles": {"a": {"provider": "vllm", "type": "api_key"}}}, None),
                ({"profiles": {"a": dict(usable, type="oauth")}}, None),
                ({"profiles": {"a": dict(usable, type=["x"])}}, None),
                ({"profiles": {"a": dict(usable, key=7)}}, None),
                ({"profiles": {"a": other, "b": token}}, "k"),
                ({"profiles": {"z": usable, "vllm:default": dict(usable, key="second")}}, "k")):
            with self.subTest(content=str(content)[:120]):
                self.write(self.PROFILES, content)
                found = self.provider().request_key
                self.assertEqual(found and found.key, key)

    def test_base_url_forms(self):
        for url, expected in (
                ("http://h:1/v1", "http://h:1/v1"), (" https://h/v1 ", "https://h/v1"),
                ("http://h/v1///", "http://h/v1"), ("http://h/a/b/v1", "http://h/a/b/v1"),
                ("HTTP://h", "HTTP://h"), ("http://[::1]:8000/v1", "http://[::1]:8000/v1")):
            self.assertEqual(self.provider(base_url=url).base_url, expected)
        for cause, *urls in (
                ("endpoint-in-base-url", "http://h/v1/models", "http://h/v1/completions",
                 "http://h/v1/chat/completions/"),
                ("bad-base-url", "", "h:8000", "ftp://h", "http://", "http://u:secretpw@h/v1",
                 "http://h/v1?key=x", "http://h/v1#x", "http://h:0/v1", "http://h:70000/v1",
                 "http://h:x/v1", "http://a b/v1", "http://h\n/v1", "http://[::1/v1",
                 "http://h\\@x/v1", "http://h:" + "1" * 9999)):
            for url in urls:
                with self.subTest(url=url[:60]):
                    with self.assertRaises(vllm.ConfigError) as raised:
                        self.provider(base_url=url)
                    error = raised.exception
                    self.assertEqual((error.cause, error.exit_status), (cause, 3))
                    self.assertNotIn("secretpw", error.message + error.hint)

    def test_base_url_sources(self):
        option, ours = "http://option/v1", {"VLLM_BASE_URL": "http://ours/v1"}
        written, hosted = block(baseUrl="http://b/v1"), block(baseUrl="http://${HOST}:8000/v1")
        default, place = vllm.DEFAULT_BASE_URL, "models.providers.vllm.baseUrl"
        for config, env, chosen, expected, where, asks_server in (
                ({}, {}, None, default, "OpenClaw's default", True),
                ({}, {"VLLM_BASE_URL": " "}, None, default, "OpenClaw's default", True),
                ({}, ours, None, "http://ours/v1", "VLLM_BASE_URL", True),
                (block(), ours, None, default, place, False),
                (written, ours, None, "http://b/v1", place, False),
                (written, ours, option, option, "--base-url", True),
                (hosted, {"HOST": "gpu"}, None, "http://gpu:8000/v1", place, False)):
            with self.subTest(where=where, expected=expected):
                found = self.provider(config, env, base_url=chosen)
                self.assertEqual((found.base_url, found.where, found.asks_server),
                                 (expected, where, asks_server))
        with self.assertRaises(vllm.Error) as raised:
            self.provider(hosted)
        self.assertEqual(raised.exception.cause, "config-missing-variable")

    def test_headers_and_request_auth(self):
        def auth(mode, **fields):
            return {"request": {"auth": dict(fields, mode=mode)}}

        env = {"VLLM_API_KEY": "sk-env", "TOKEN": "t0ken"}
        key = {"Authorization": "Bearer sk-env"}
        secret = {"source": "env", "provider": "default", "id": "TOKEN"}
        model = {"id": "m", "name": "m", "headers": {"X-A": "model"}}
        for fields, expected in (
                ({}, key),
                ({"headers": {"X-A": "1"}}, dict(key, **{"X-A": "1"})),
                ({"headers": {"authorization": "Basic ${TOKEN}"}},
                 {"authorization": "Basic t0ken"}),
                ({"headers": {"X-A": "1"}, "request": {"headers": {"x-a": "2", "X-B": secret}}},
                 dict(key, **{"x-a": "2", "X-B": "t0ken"})),
                ({"headers": {"x-a": "block"}, "models": [model]}, dict(key, **{"X-A": "model"})),
                (auth("authorization-bearer", token="$TOKEN"), {"Authorization": "Bearer t0ken"}),
                (auth("header", headerName="X-Key", value="${TOKEN}"),
                 dict(key, **{"X-Key": "t0ken"})),
                (auth("header", headerName="X-Key", value="v", prefix="Key "),
                 dict(key, **{"X-Key": "Key v"})),
                (auth("provider-default"), key),
                (auth("provider-default", token="unknown here"), key)):
            with self.subTest(fields=fields):
                found = self.provider(block(**fields), env)
                self.assertEqual(vllm.request_headers(found, vllm.find_model(found, "m")), expected)
                self.assertEqual(vllm.discovery_headers(found)["Authorization"], "Bearer sk-env")
                self.assertNotIn("authorization", vllm.discovery_headers(found))
        for headers in ({"X-A": "a\nb"}, {"X A": "1"}, {"X-A:": "1"}, {"X\r\nEvil": "1"}):
            with self.subTest(headers=headers):
                self.assertRaises(vllm.ConfigError, self.provider, block(headers=headers))
        unset = self.provider(block(headers={"X-A": "${NONE}"}))
        self.assertEqual((unset.refusal.cause, unset.headers), ("config-missing-variable", {}))

    def test_layers_of_headers(self):
        found = self.provider(block(
            headers={"A": "block", "B": "block", "Authorization": "block"},
            request={"headers": {"b": "request"},
                     "auth": {"mode": "authorization-bearer", "token": "t"}},
            models=[{"id": "m", "name": "m", "headers": {"a": "row", "B": "row", "C": "row"}}]))
        model, = vllm.declared_models(found)
        self.assertEqual(vllm.request_headers(found, model),
                         {"a": "row", "b": "request", "C": "row", "Authorization": "Bearer t"})
        keyed = found._replace(discovery_key=vllm.Credential("x", "k"))
        for provider, expected in ((found, "Bearer t"), (keyed, "Bearer k")):
            self.assertEqual(vllm.discovery_headers(provider)["Authorization"], expected)

    def test_every_verb_warns_once_of_a_key_in_the_clear(self):
        self.declare("http://vllm.example.com/v1", KEY)
        for argv in (("list",), ("request",), ("list", "--verbose")):
            result = self.run_main(*argv, stdin='{"messages": []}')
            self.check(result, 0)
            self.assertEqual(result.err.count("goes to http://vllm.example.com unencrypted"), 1)
            self.assertNotIn(KEY, result.err)

    def test_a_key_that_would_cross_the_internet_in_the_clear_is_warned_of(self):
        def warning(url, **fields):
            return vllm.key_exposed(self.provider(block(baseUrl=url, **fields)))

        private = ("127.0.0.1", "localhost", "[::1]", "gpu", "gpu.local", "gpu.lan", "10.1.2.3",
                   "172.31.0.1", "192.168.1.50", "100.100.1.1", "[fd00::1]", "[fe80::1%eth0]")
        public = ("172.32.0.1", "8.8.8.8", "[2001:4860:4860::8888]", "vllm.example.com", "1.2.3")
        for host in private + public:
            with self.subTest(host=host):
                url = "http://%s:8000/v1" % host
                said = warning(url, apiKey="sk-secret-1")
                self.assertEqual(said is not None, host in public)
                if said:
                    self.assertIn("models.providers.vllm.apiKey goes to http://%s:8000 " % host,
                                  said)
                    self.assertNotIn("sk-secret", said)
                self.assertIsNone(warning(url))
                self.assertIsNone(warning("https://" + host, apiKey="k"))

    def test_what_switches_the_plugin_off_stops_discovery_only(self):
        wildcard = {"defaults": {"models": {"vllm/*": {}}}}
        for plugins, off in (
                ({"enabled": False}, "plugins.enabled is false"),
                ({"entries": {"vllm": {"enabled": False}}},
                 "plugins.entries.vllm.enabled is false"),
                ({"entries": {"VLLM": {"enabled": False}}},
                 "plugins.entries.VLLM.enabled is false"),
                ({"deny": ["x", " VLLM "]}, "plugins.deny names vllm"),
                ({"allow": ["x"]}, "plugins.allow does not name vllm"),
                ({"allow": ["VLLM"]}, "plugins.allow does not name vllm"),
                ({"allow": []}, None),
                ({"allow": ["vllm"], "deny": ["x"]}, None),
                ({"enabled": True, "entries": {"other": {"enabled": False}}}, None)):
            with self.subTest(plugins=plugins):
                config = dict(block(apiKey="k"), plugins=plugins, agents=wildcard)
                found = self.provider(config)
                self.assertEqual((found.asks_server, found.refusal, found.plugin_off),
                                 (off is None, None, off))
                self.assertEqual([model.id for model in vllm.declared_models(found)], ["m"])
                implicit = self.provider({"plugins": plugins}, {"VLLM_API_KEY": "k"})
                cause = implicit.refusal and implicit.refusal.cause
                self.assertEqual(cause, "provider-disabled" if off else None)
                self.assertIsNone(self.provider(base_url="http://h/v1").refusal)

    def test_a_wildcard_asks_the_server_when_there_is_a_key(self):
        wildcard = {"defaults": {"models": {"vllm/*": {}}}}
        others = {"vllm/*x": {}, "other/*": {}, "vllm/ns*": {}}
        for agents, mode, key, asked in (
                (wildcard, None, {"apiKey": "k"}, True),
                (wildcard, None, {}, False),
                (wildcard, "replace", {"apiKey": "k"}, False),
                ({"defaults": {"models": {" vLLM / * ": {}}}}, "merge", {"apiKey": "k"}, True),
                ({"defaults": {"models": {"vllm/ns/*": {}}}}, None, {"apiKey": "k"}, True),
                ({"defaults": {"models": others}}, None, {"apiKey": "k"}, False),
                ({"defaults": {"modelPolicy": {"allow": ["VLLM/*"]}}}, None, {"apiKey": "k"}, True),
                ({"entries": {"a": {"models": {"vllm/*": {}}}}}, None, {"apiKey": "k"}, False)):
            with self.subTest(agents=agents, mode=mode, key=key):
                config = dict(block(**key), agents=agents)
                config["models"].update({"mode": mode} if mode else {})
                self.assertEqual(self.provider(config).asks_server, asked)
        env = {"VLLM_API_KEY": "k"}
        self.assertFalse(self.provider({"models": {"mode": "replace"}}, env).asks_server)
        self.check(self.run_main("list", env=env), 1, err='models.mode is "replace"')

    def test_blocks_whose_ids_differ_in_case_are_one(self):
        one = [{"id": "m", "name": "m", "contextWindow": 5}]
        two = [{"id": " m", "name": "n", "reasoning": True},
               {"id": "o", "name": "o", "baseUrl": "http://c/v1/"}]
        found = self.provider({"models": {"providers": {
            "vLLM": {"baseUrl": "http://a/v1/", "apiKey": "one", "timeoutSeconds": 9,
                     "models": one},
            " VLLM": {"baseUrl": "http://b/v1", "apiKey": "two", "models": two}}}})
        self.assertEqual((found.base_url, found.request_key.key, found.timeout_s),
                         ("http://b/v1", "two", 9))
        models = [(model.id, model.name, model.base_url, model.reasoning, model.context_window)
                  for model in vllm.declared_models(found)]
        self.assertEqual(models, [("m", "m", "http://a/v1", True, 5),
                                  ("o", "o", "http://c/v1", False, None)])
        option = vllm.declared_models(self.provider(base_url="http://d/v1"))
        self.assertEqual({model.base_url for model in option}, {"http://d/v1"})

    def test_a_rows_own_base_url_is_where_its_requests_go(self):
        stub = self.serve(sse(chunk("a", finish="stop")))
        self.declare("http://127.0.0.1:9/v1", baseUrl=stub.url + "/")
        self.check(self.run_main("chat", "hi"), 0, out="a\n")
        self.assertEqual(stub.requests[0].target, "/v1/chat/completions")
        self.declare("http://127.0.0.1:9/v1", baseUrl="${URL}")
        self.check(self.run_main("list"), 3, err="the baseUrl of the model m is not a valid base")

    def test_windows_of_a_block_go_to_the_rows_that_have_none(self):
        models = [{"id": "a", "name": "a"},
                  {"id": "b", "name": "b", "contextWindow": 7, "contextTokens": 6}]
        found = self.provider(block(contextWindow=9, contextTokens=8, models=models))
        windows = [(model.context_window, model.context_tokens)
                   for model in vllm.declared_models(found)]
        self.assertEqual(windows, [(9, 8), (7, 6)])

    def test_only_secrets_are_hidden(self):
        secret = {"source": "env", "provider": "default", "id": "THE_VARIABLE"}
        auth = {"mode": "header", "headerName": "X-Api-Key", "value": "value-1", "prefix": "Pre "}
        config = block(apiKey=secret, headers={"X-A": "header-secret"}, request={"auth": auth},
                       models=[{"id": "m", "name": "no-secret"}])
        config["models"]["providers"]["other"] = {
            "apiKey": "other-key", "baseUrl": "http://h", "models": [],
            "request": {"tls": {"passphrase": "phrase", "ca": "no-secret"}}}
        self.assertEqual(sorted(vllm.secret_texts(config)),
                         ["header-secret", "other-key", "phrase", "value-1"])
        self.configure(config)
        for verb in ("config", "list"):
            result = self.run_main(verb, env={"THE_VARIABLE": "resolved-key"})
            self.assertNotIn("***", result.out)

    def test_variables_are_hidden_by_their_names(self):
        value = "the-value"
        for name, hidden in (("HF_TOKEN", True), ("api_keys", True), ("API_KEY_2", True),
                             ("DB_PASSWORD_FILE", True), ("SSH_PASSPHRASE", True),
                             ("TOKENIZERS_PARALLELISM", False), ("KEYBOARD", False)):
            with self.subTest(name=name):
                result = self.run_main("list", "--provider", value, env={name: value})
                self.check(result, 2, err="no provider")
                self.assertEqual(value not in result.err, hidden)

    def test_nothing_is_resolved_from_settings_with_faults(self):
        for text in ("{models: {providers: []}}",
                     "{models: {providers: {vllm: []}}}",
                     "{models: {providers: {vllm: 'x'}}}",
                     "{models: {providers: {vllm: {models: {}}}}}",
                     "{models: {providers: {vllm: {models: ['id']}}}}",
                     "{models: {providers: {vllm: {models: [{}]}}}}",
                     "{models: {providers: {vllm: {baseUrl: 7}}}}",
                     "{agents: {entries: [], defaults: 7}}",
                     "{agents: {list: [7]}}",
                     "{plugins: 7}"):
            self.configure(text)
            for verb in ("list", "chat", "request", "doctor"):
                with self.subTest(text=text, verb=verb):
                    result = self.run_main(verb, stdin='{"messages": []}')
                    self.check(result, 3)
                    self.assertRegex(result.out + result.err,
                                     r"openclaw\.json:1:[0-9]+:\s+(models|agents|plugins)")

    def test_provider_ids(self):
        a, b, c = [[{"id": name, "name": name}] for name in "abc"]
        self.configure({"models": {"providers": {
            "vLLM": {"models": a},
            "Gpu.box": {"baseUrl": "http://h/v1", "models": b},
            "claude": {"api": "anthropic-messages", "baseUrl": "http://c/v1", "models": c}}}})
        for options, key in (({}, "vllm/a"), ({"provider": "gpu.BOX"}, "gpu.box/b")):
            found = vllm.list_models(self.provider(**options))
            self.assertEqual([model.key for model in found], [key])
        self.check(self.run_main("list", "--provider", "none"), 2,
                   err="the config has: Gpu.box, claude, vLLM")
        self.check(self.run_main("list", "--provider", "claude", "--plain"), 0, out="claude/c\n")
        self.check(self.run_main("chat", "hi", "--provider", "claude"), 3, err="anthropic-messages")
        other = self.provider(provider="gpu.box", env={"VLLM_API_KEY": "sk-env"})
        self.assertIsNone(other.request_key)

    def test_repr_hides_keys(self):
        found = self.provider(block(headers={"X": "sk-header"}), {"VLLM_API_KEY": "sk-env"})
        self.assertNotIn("sk-env", repr(found._replace(env={})))


# ----------------------------------------------------------------------------
# Models
# ----------------------------------------------------------------------------

class Models(Case):

    def discovered(self, *found):
        return vllm.discovered_models(vllm.parse_model_list({"data": list(found)}), self.provider())

    def test_a_list_of_too_many_rows_is_refused(self):
        found = [{"id": "m"}] * (vllm.MODEL_LIMIT + 1)
        self.assertEqual(len(vllm.parse_model_list({"data": found[1:]})), 1)
        with self.assertRaisesRegex(ValueError, "more than 100000 models"):
            vllm.parse_model_list({"data": found})

    def test_rows_without_a_usable_id_are_skipped_and_the_first_of_equal_ones_stays(self):
        found = self.discovered({"id": " a ", "n": 1}, {"id": "a", "max_model_len": 5}, {"id": ""},
                                {"id": " "}, {"id": 7}, {"id": None}, {}, 7, None, [], {"id": "b"})
        self.assertEqual([(model.id, model.context_window) for model in found],
                         [("a", 128000), ("b", 128000)])
        for payload in (None, [], 7, {}, {"data": None}, {"data": {}}, {"data": "x"}):
            with self.subTest(payload=payload):
                self.assertRaises(ValueError, vllm.parse_model_list, payload)
        self.assertEqual(vllm.parse_model_list({"data": []}), [])

    def test_context_windows(self):
        provider = vllm.resolve_provider(vllm.load_settings(env={}))

        def window(row):
            model, = vllm.stated_models([dict(row, id="m")], provider)
            return model.context_window

        for value, expected in ((40960, 40960), (1.9e3, 1900), ("40960", None), (True, None),
                                (0, None), (-1, None), (0.5, None), (math.inf, None),
                                (math.nan, None), (None, None)):
            self.assertEqual(window({"max_model_len": value}), expected, value)
        for row, expected in (
                ({}, None),
                ({"context_size": 3, "max_model_len": 4}, 3),
                ({"context_window": 2, "context_size": 3}, 2),
                ({"context_length": 1, "context_window": 2}, 1),
                ({"context_length": "1", "max_model_len": 4}, 4),
                ({"meta": {"n_ctx_train": 9}, "context_length": 1}, 9),
                ({"meta": {"n_ctx_train": "9"}, "context_length": 1}, 1),
                ({"meta": {"n_ctx_train": [9]}}, None),
                ({"meta": []}, None)):
            self.assertEqual(window(row), expected, row)

    def test_a_lora_row_takes_what_its_direct_parent_states_but_not_a_training_length(self):
        found = self.discovered(
            {"id": "base", "max_model_len": 4096, "meta": {"n_ctx_train": 9999}},
            {"id": "lora", "parent": " base ", "root": "/l"},
            {"id": "own", "parent": "base", "max_model_len": 99},
            {"id": "grand", "parent": "lora"},
            {"id": "self", "parent": "self"},
            {"id": "lost", "parent": "none"},
            {"id": "odd", "parent": 7, "root": 7},
            {"id": "trained", "meta": {"n_ctx_train": 9}},
            {"id": "other", "parent": "trained"})
        self.assertEqual([(model.id, model.context_window) for model in found],
                         [("base", 9999), ("lora", 4096), ("own", 99), ("grand", 128000),
                          ("self", 128000), ("lost", 128000), ("odd", 128000), ("trained", 9),
                          ("other", 128000)])
        self.assertEqual([(found[place].parent, found[place].root) for place in (1, 6)],
                         [("base", "/l"), (None, None)])

    def test_names_that_reason(self):
        for model_id, expected in (("DeepSeek-R1", True), ("Qwen3-Thinking", True),
                                   ("reasoner", True), ("qwen3-8b", False), ("QwQ", False)):
            model, = self.discovered({"id": model_id})
            self.assertEqual(model.reasoning, expected, model_id)

    def test_keys_and_tags_of_discovered_models(self):
        provider = self.provider({"agents": {"defaults": {
            "model": {"primary": "fast", "fallbacks": ["other/x", "vllm/b"]},
            "imageModel": "VLLM/c",
            "models": {"vllm/org/a": {"alias": "fast"}, "Vllm/b": {}, "vllm/*": {}}}}})
        found = vllm.discovered_models([{"id": name} for name in ("org/a", "b", "c", "vllm/d")],
                                       provider)
        self.assertEqual([(model.key, model.tags) for model in found],
                         [("vllm/org/a", ("default", "configured", "alias:fast")),
                          ("vllm/b", ("fallback#2", "configured")),
                          ("vllm/c", ("image",)),
                          ("vllm/d", ())])

    ROWS = [{"id": name, "name": name} for name in ("a", "b", "c", "ns/d", "e@20251001", "vllm/f")]
    TAGS = (             # agents, the tags of each model that has some
        ({}, {"a": "default"}),
        ({"defaults": {"model": ""}}, {"a": "default"}),
        ({"defaults": {"model": {"fallbacks": []}}}, {"a": "default"}),
        ({"defaults": {"model": " vLLM / b @work"}}, {"b": "default"}),
        ({"defaults": {"model": "vllm/e@20251001"}}, {"e@20251001": "default"}),
        ({"defaults": {"model": "vllm/ns/d@p@q"}}, {"ns/d": "default"}),
        ({"defaults": {"model": "vllm/f"}}, {"vllm/f": "default"}),
        ({"defaults": {"model": "google/gemma"}}, {}),
        ({"defaults": {"model": {"primary": "B",
                                 "fallbacks": ["b", "ghost", "vllm/c", "other/a"]}}},
         {"b": "fallback#1", "c": "fallback#3"}),
        ({"defaults": {"model": {"fallbacks": ["fast", "vllm/FAST", "google/fast", "vllm/b@fast"]},
                       "models": {"vllm/b": {"alias": " Fast "}}}},
         {"a": "default", "b": "fallback#1 fallback#2 fallback#4 configured alias:Fast"}),
        ({"defaults": {"imageModel": {"primary": "vllm/a", "fallbacks": ["c", "vllm/b"]}}},
         {"a": "default image", "c": "img-fallback#1", "b": "img-fallback#2"}),
        ({"defaults": {"models": {"b": {}, "C": {}, "ns/d": {}, "vllm/a": {"alias": "y"}},
                       "model": "vllm/c"},
          "entries": {"x": {"models": {" vllm/a": {"alias": " "}}}}},
         {"a": "configured", "b": "configured", "c": "default"}),
        ({"defaults": {"models": {"vllm/*": {"alias": "x"}, "vLLM/ a": {"alias": "y"},
                                  "vllm/a": {"alias": "z"}, "vllm/b": {"alias": " "}}}},
         {"a": "default configured alias:z", "b": "configured"}),
        ({"defaults": {"models": {"vllm/a@work": {"alias": "w"}}}},
         {"a": "default configured alias:w"}),
        ({"defaults": {"model": {"primary": "vllm/a", "fallbacks": ["vllm/b"]}},
          "entries": {"x": {"model": "vllm/c"}}},
         {"c": "default"}),
        ({"defaults": {"model": {"primary": "vllm/a", "fallbacks": ["vllm/b"]}},
          "entries": {"x": {"model": {"fallbacks": ["vllm/c"]}}}},
         {"a": "default", "c": "fallback#1"}),
        ({"defaults": {"models": {"vllm/a": {"alias": "one"}, "vllm/b": {}}},
          "entries": {"x": {"model": "TWO", "models": {"vllm/a": {"alias": "two"}, "vllm/c": {}}}}},
         {"a": "default configured alias:two", "b": "configured", "c": "configured"}),
        ({"entries": {"x": {"model": "vllm/b"}, "y": {"model": "vllm/c", "default": True}}},
         {"c": "default"}),
        ({"ownership": "explicit", "entries": {"x": {"model": "vllm/b"}, "y": {"model": "vllm/c"}}},
         {"a": "default"}),
        ({"ownership": "explicit", "defaults": {"systemAgent": {"agentId": " X "}},
          "entries": {"x": {"model": "vllm/b"}, "y": {"model": "vllm/c"}}},
         {"b": "default"}),
        ({"list": [{"id": "x", "model": "vllm/b"}]}, {"b": "default"}),
        ({"list": [{"id": "x"}, {"id": "y", "default": True, "model": "vllm/c"}]},
         {"c": "default"}),
    )

    def test_tags_follow_the_default_agent_and_what_references_mean(self):
        for agents, expected in self.TAGS:
            with self.subTest(agents=agents):
                config = dict(block(models=self.ROWS), agents=agents)
                found = vllm.declared_models(self.provider(config))
                self.assertEqual({model.id: " ".join(model.tags) for model in found if model.tags},
                                 expected)

    LAYERS = (           # the agent's settings, the defaults, the params, the level
        ({}, {}, ({}, {}, {}, {}), None),
        ({"params": {"a": 4}, "models": {"VLLM/m": {"params": {"a": 3}}}},
         {"params": {"a": 1}, "models": {" vllm/m": {"params": {"a": 2}}}},
         ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}), None),
        ({"thinkingDefault": "low"}, {"thinkingDefault": "high"}, ({}, {}, {}, {}), "low"),
        ({"models": {"vllm/m": {"params": {"thinking": False}}}},
         {"models": {"vllm/m": {"params": {"thinking": "max"}}}},
         ({}, {"thinking": "max"}, {"thinking": False}, {}), "off"),
        ({"models": {"vllm/m": {"params": {"thinking": 7}}}},
         {"models": {"vllm/m": {"params": {"thinking": "disabled"}}}, "thinkingDefault": "high"},
         ({}, {"thinking": "disabled"}, {"thinking": 7}, {}), "off"),
        ({"params": {"thinking": "low"}},
         {"params": {"thinking": "low"}, "thinkingDefault": "xhigh"},
         ({"thinking": "low"}, {}, {}, {"thinking": "low"}), "xhigh"),
    )

    def test_layers_of_params_and_the_thinking_level(self):
        for agent, defaults, params, level in self.LAYERS:
            with self.subTest(agent=agent, defaults=defaults):
                config = dict(block(), agents={"entries": {"main": agent}, "defaults": defaults})
                model, = vllm.declared_models(self.provider(config))
                self.assertEqual((model.params, model.thinking), (params, level))

    def test_references_of_the_command_line(self):
        aliases = {"agents": {"defaults": {"models": {"vllm/b": {"alias": "Fast"}}}}}
        found = vllm.declared_models(self.provider(dict(block(models=self.ROWS), **aliases)))
        for reference, expected in (
                ("b", "b"), ("VLLM/b", "b"), ("vllm/a@work", "a"), ("e@20251001", "e@20251001"),
                ("ns/d", "ns/d"), ("vllm/ns/d", "ns/d"), ("VLLM/ns/d", "ns/d"), ("f", "vllm/f"),
                ("vllm/f", "vllm/f"), ("vllm/vllm/f", "vllm/f"), ("fast", "b"), (" fast ", "b"),
                ("FAST@work", "b"), ("A", None), ("x/b", None), ("@x", None), ("", None)):
            with self.subTest(reference=reference):
                model = vllm.match_model(found, reference, "vllm")
                self.assertEqual(model and model.id, expected)

    def test_what_declared_rows_show(self):
        found = vllm.declared_models(self.provider(block(models=[
            {"id": "\ufeff a\u2003", "name": "A", "contextWindow": 1.5},
            {"id": "b", "name": "B", "contextWindow": 2 ** 53, "input": []},
            {"id": "a", "name": "other", "maxTokens": 7, "input": ["image", "text"]},
            {"id": "\u0085c", "name": "C", "contextWindow": 2 ** 53 - 1},
            {"id": " ", "name": "blank"}])))
        shown = [(model.id, model.name, model.context_window, model.max_tokens,
                  vllm.list_row(model, self.provider())["input"]) for model in found]
        self.assertEqual(shown, [("a", "A", None, 7, "image+text"),
                                 ("b", "B", None, 8192, "-"),
                                 ("\u0085c", "C", 2 ** 53 - 1, 8192, "text")])

    def test_under_a_wildcard_what_a_row_leaves_out_is_discovered(self):
        declared = [{"id": "m", "name": "M", "contextTokens": 5}, {"id": "gone", "name": "G"},
                    {"id": "half", "name": "H", "contextWindow": 0.5}]
        provider = self.provider(dict(block(apiKey="k", models=declared),
                                      agents={"defaults": {"models": {"vllm/*": {}}}}))
        served = [{"id": "m", "max_model_len": 9}, {"id": "think"}]
        merged = vllm.merge_models(vllm.discovered_models(served, provider), provider)
        windows = [(model.id, model.context_window, model.context_tokens) for model in merged]
        self.assertEqual(windows, [("m", 9, 5), ("gone", 128000, None), ("half", None, None),
                                   ("think", 128000, None)])

    def test_local_addresses(self):
        def is_local(url, **row):
            self.declare(url, **row)
            row, = json.loads(self.run_main("list", "--json").out)["models"]
            return row["local"]

        for host in ("127.0.0.1", "127.9.9.9", "LOCALHOST", "[::1]", "[::]", "0.0.0.0",
                     "gpu.local"):
            self.assertIs(is_local("https://%s/v1" % host), True, host)
        for host in ("local", "192.168.1.5", "127.0.0.1.example", "host.docker.internal"):
            self.assertIs(is_local("https://%s/v1" % host), False, host)
        self.assertIs(is_local("https://h/v1", baseUrl="http://localhost:1/v1"), True)

    def test_which_server_is_asked_and_what_is_merged(self):
        served = self.serve(rows("m", "lora", max_model_len=4096, root="/r"))
        row = {"id": "m", "name": "Mine", "maxTokens": 99}
        wildcard = {"agents": {"defaults": {"models": {"vLLM / *": {}}}}}
        alone = [("vllm/m", "Mine", None, "declared")]
        merged = [("vllm/lora", "lora", 4096, "discovered"), ("vllm/m", "Mine", 4096, "declared")]
        for mode, agents, expected in ((None, {}, alone), (None, wildcard, merged),
                                       ("merge", wildcard, merged), ("replace", wildcard, alone)):
            with self.subTest(mode=mode, agents=agents):
                config = dict(block(baseUrl=served.url, apiKey="own", models=[row]), **agents)
                config["models"].update({"mode": mode} if mode else {})
                before = len(served.requests)
                found = vllm.list_models(self.provider(config))
                shown = [(model.key, model.name, model.context_window, model.source)
                         for model in found]
                self.assertEqual(shown, expected)
                self.assertEqual(len(served.requests) - before, int(expected is merged))
                self.assertEqual(found[-1].max_tokens, 99)
        implicit = self.provider(wildcard, {"VLLM_API_KEY": "k", "VLLM_BASE_URL": served.url})
        self.assertEqual(vllm.list_models(implicit)[0].key, "vllm/lora")
        first, last = served.requests[0], served.requests[-1]
        self.assertEqual((first.target, first.key), ("/v1/models", "Bearer own"))
        self.assertEqual(last.key, "Bearer k")

    def test_unknown_reference_names_the_nearest(self):
        provider = self.provider(base_url=self.serve(rows("Qwen/Qwen3-8B", "llama")).url)
        for reference, words in (("vllm/Qwen/Qwen3-8", "did you mean --model Qwen/Qwen3-8B ?"),
                                 ("zzz", "the server has: Qwen/Qwen3-8B, llama")):
            with self.assertRaises(vllm.ServerError) as raised:
                vllm.find_model(provider, reference)
            self.assertEqual((raised.exception.cause, raised.exception.hint),
                             ("model-not-served", words))
        self.assertEqual(vllm.find_model(provider).id, "Qwen/Qwen3-8B")


class List(Case):

    def test_many_servers(self):
        one, two = self.serve(rows("a", "b")), self.serve(rows("b"))
        refusing = closed_origin(self) + "/v1"
        urls = ["--base-url", one.url, "--base-url", two.url, "--base-url", refusing]
        result = self.run_main("list", "--json", *urls)
        self.check(result, 0, err="connection refused")
        found = [(row["key"], row["server"], row["alsoOn"])
                 for row in json.loads(result.out)["models"]]
        self.assertEqual(found, [("vllm/a", one.url, []), ("vllm/b", one.url, [two.url]),
                                 ("vllm/b", two.url, [one.url])])
        self.check(self.run_main("list", "--strict", *urls), 4, two.url, "connection refused")
        self.check(self.run_main("chat", "hi", *urls), 2, err="one server")
        other = {"baseUrl": "http://h/v1", "models": [{"id": "n", "name": "n"}]}
        config = block()
        config["models"]["providers"].update({"b": other, "ollama": {"api": "ollama"}})
        self.configure(config)
        self.check(self.run_main("list", "--plain", "--provider", "all"), 0, out="b/n\nvllm/m\n")
        self.check(self.run_main("list", "--provider", "b", "--provider", "vllm", *urls), 2,
                   err="cannot be combined")
        self.declare(refusing)
        self.check(self.run_main("list", "--plain", "--base-url", refusing), 0, "vllm/m\n",
                   "connection refused")

    def test_json_contract(self):
        url = self.serve(reply({"data": [
            {"id": "Qwen/Qwen3-8B", "max_model_len": 40960, "root": "q", "parent": None},
            {"id": "l", "parent": "Qwen/Qwen3-8B"}]})).url
        self.configure({"agents": {"defaults": {"model": "vllm/Qwen/Qwen3-8B"}}})
        result = self.run_main("list", "--json", "--base-url", url)
        both = {"input": "text", "contextWindow": 40960, "local": True, "available": True,
                "source": "discovered", "maxTokens": 8192, "reasoning": False}
        self.assertEqual(json.loads(result.out), {"count": 2, "models": [
            dict(both, key="vllm/l", name="l", tags=[], parent="Qwen/Qwen3-8B"),
            dict(both, key="vllm/Qwen/Qwen3-8B", name="Qwen/Qwen3-8B", tags=["default"],
                 root="q")]})
        self.declare("http://gpu.example/v1", input=["text", "image"], contextTokens=2048)
        row = json.loads(self.run_main("list", "--json").out)["models"][0]
        self.assertEqual((row["input"], row["local"], row["contextTokens"], row["source"]),
                         ("text+image", False, 2048, "declared"))

    def test_plain_and_table(self):
        url = self.serve(rows("b", "a/x")).url
        self.assertEqual(self.run_main("list", "--plain", "--base-url", url).out,
                         "vllm/a/x\nvllm/b\n")
        self.assertEqual(self.run_main("list", "--base-url", url).out.splitlines(),
                         ["Model     Input  Ctx   Local  Auth  Tags",
                          "vllm/a/x  text   4096  yes    no",
                          "vllm/b    text   4096  yes    no"])

    def test_control_characters_are_made_visible(self):
        hostile = "a\x1b[31m\x07\r\nb\u202ec\u200b\x9b\x7f\u2028d\x00\t"
        served = {"data": [{"id": hostile}, {"id": "\ud800x"}, {"id": "ok"}]}
        url = self.serve(reply(served)).url
        for form in ("--json", "--plain", "--verbose"):
            with self.subTest(form=form):
                result = self.run_main("list", form, "--base-url", url)
                self.check(result, 0)
                self.assertNotRegex(result.out + result.err,
                                    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u200b\u2028\ud800]")
                if form == "--json":
                    self.assertEqual(len(json.loads(result.out)["models"]), 3)

    def test_ten_thousand_rows_are_listed(self):
        url = self.serve(rows(*["org/model-%d" % number for number in range(10000)])).url
        self.assertEqual(self.run_main("list", "--plain", "--base-url", url).out.count("\n"), 10000)

    def test_reasons_and_exit_statuses(self):
        for answer, status, words in (
                (reply({"data": []}), 1, "the server offers no models"),
                (reply({"data": [{"id": 7}]}), 1, "no models"),
                (reply({"error": "Unauthorized"}, "401 Unauthorized"), 5,
                 "the server requires a key; none was sent"),
                (reply("", "403 Forbidden"), 5, "403"),
                (reply({"detail": "Not Found"}, "404 Not Found"), 4, "check the base URL"),
                (reply("", "503 Service Unavailable"), 4, "it is busy, or"),
                (reply("x", "500 Oops"), 4, "HTTP 500: x"),
                (reply(b""), 4, "it is empty"),
                (reply("{}", "204 No Content"), 4, "it is empty"),
                (reply("{}", "206 Partial"), 4, 'a list under "data"'),
                (reply({"data": None}), 4, 'a list under "data"'),
                (reply("<html>hi</html>", Server="nginx"), 4, "HTML page (answered by nginx)"),
                (reply("{"), 4, "Expecting property name"),
                (reply(b"\xff{}"), 4, "codec can't decode"),
                (reply("[" * 100000), 4, "nested too deep"),
                (reply('{"data": [{"id": "m", "max_model_len": NaN}]}'), 4, "NaN"),
                (reply({"object": "error", "message": "boom", "code": 400}), 4, "boom"),
                (reply({"error": {"message": "inside", "code": 401}}), 4, "inside"),
                (reply({"data": [{"id": "m"}], "error": {"message": "x"}}, "299 Fine"), 0, ""),
                (reply({"data": [{"id": "m", "max_model_len": 10 ** 350}]}), 0, "")):
            with self.subTest(answer=answer[:60], words=words):
                url = self.serve(answer).url
                self.check(self.run_main("list", "--base-url", url), status, err=words)
        self.check(self.run_main("list"), 1, err="export VLLM_API_KEY=vllm-local")
        closed = closed_origin(self)
        self.check(self.run_main("list", "--base-url", closed + "/v1"), 4,
                   err="vllm serve MODEL --port " + closed.rpartition(":")[2])
        result = self.run_main("list", "--base-url", self.serve(reply("", "401 No")).url,
                               env={"VLLM_API_KEY": "Bearer sk-abcdef"})
        self.check(result, 5, err='it begins with "Bearer "')
        self.configure({"models": {"providers": {"vllm": {"models": []}}}})
        self.check(self.run_main("list"), 1, err="declares no models")
        self.check(self.run_main("list", "--timeout", "0"), 2)
        self.check(self.run_main("list", "--json", "--nonsense"), 2, err="--nonsense")


# ----------------------------------------------------------------------------
# Requests
# ----------------------------------------------------------------------------

URL = "http://127.0.0.1:8000/v1"
MODEL = vllm.Model(
    id="m", name="m", provider="vllm", base_url=URL, input=("text",), context_window=4096,
    context_tokens=None, max_tokens=256, reasoning=False, source="declared", parent=None, root=None,
    tags=(), compat={}, headers={}, params=(), thinking=None, thinking_level_map={})
USER = {"role": "user", "content": "hi"}
HI = {"messages": [USER]}
NO_PROPERTIES = {"type": "object", "properties": {}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
DEFAULT_BODY = {"model": "m", "messages": [USER], "stream": True,
                "stream_options": {"include_usage": True}, "max_completion_tokens": 256}


def tool(name="f", parameters=None, **fields):
    """Return a tool as it is sent; `parameters` is its schema."""
    function = dict({"name": name, "parameters": parameters or NO_PROPERTIES}, **fields)
    return {"type": "function", "function": function}


TOOL = tool()


def shape(body, level=None, **fields):
    """Return the body shaped for MODEL with some of its fields changed."""
    return vllm.shape_request(body, MODEL._replace(**fields), level).body


def added(body, level=None, **fields):
    """Return what shaping adds to DEFAULT_BODY or changes in it."""
    shaped = shape(body, level, **fields)
    return {name: value for name, value in shaped.items() if DEFAULT_BODY.get(name) != value}


class Requests(Case):

    def check_table(self, table, function):
        for row in table:
            with self.subTest(row=row):
                function(*row)

    def test_default_body(self):
        self.assertEqual(shape(HI), DEFAULT_BODY)
        self.assertEqual(shape(dict(HI, model="x")), DEFAULT_BODY)
        self.assertEqual(shape(dict(HI, stream=False)), {
            "model": "m", "messages": [USER], "stream": False, "max_completion_tokens": 256})

    def test_fields_never_sent(self):
        for field in ("store", "service_tier", "prompt_cache_key", "prompt_cache_retention",
                      "safety_identifier", "verbosity", "metadata", "reasoning"):
            shaped = vllm.shape_request(dict(HI, **{field: "x"}), MODEL)
            self.assertEqual(shaped.body, DEFAULT_BODY, field)
            self.assertIn((field, "dropped"), [change[:2] for change in shaped.changes])
        for field in ("temperature", "stop", "tool_choice", "tools", "logit_bias", "max_tokens",
                      "stream_options", "x"):
            self.assertEqual(shape(dict(HI, **{field: None})), DEFAULT_BODY, field)

    def test_harmless_fields_pass_through(self):
        fields = {"temperature": 0, "top_k": 1, "top_p": 1, "min_p": 0.1, "n": 1, "seed": 0,
                  "stop": ["a"], "user": "u", "logit_bias": {"1": 2}, "logprobs": True,
                  "structured_outputs": {"choice": ["a"]}, "chat_template_kwargs": {"a": 1},
                  "unheard_of": [1]}
        self.assertEqual(added(dict(HI, **fields)), fields)

    def test_bodies_that_are_not_requests_are_refused(self):
        for body in (None, [], 7, "x", {}, {"messages": None}, {"messages": {}}, {"messages": [7]},
                     {"messages": [None]}):
            with self.subTest(body=body):
                self.assertRaises(vllm.UsageError, vllm.shape_request, body, MODEL)
        deep = []
        for _ in range(100000):
            deep = [deep]
        with self.assertRaisesRegex(vllm.UsageError, "nested"):
            shape(dict(HI, tools=[tool(parameters={"default": deep})]))

    def test_streaming_fields(self):
        def check(fields, compat, expected):
            shaped = shape(dict(HI, **fields), compat=compat)
            self.assertEqual(shaped.get("stream_options"), expected)

        off = {"supportsUsageInStreaming": False}
        usage = {"include_usage": True}
        self.check_table((
            ({}, {}, usage),
            ({"stream": True}, {}, usage),
            ({"stream": "no"}, {}, usage),
            ({"stream": False}, {}, None),
            ({}, off, None),
            ({"stream": False, "stream_options": usage}, {}, None),
            ({"stream_options": usage}, off, None),
        ), check)
        shaped = shape(HI, params=({"extra_body": {"stream": False}},))
        self.assertEqual((shaped["stream"], "stream_options" in shaped), (False, False))

    def test_prompt_cache_key(self):
        def check(key, compat, params, expected):
            body = dict(HI, prompt_cache_key=key)
            self.assertEqual(added(body, compat=compat, params=params), expected)

        on = {"supportsPromptCacheKey": True}
        long = ({"cacheRetention": "long"},)
        self.check_table((
            ("k", {}, long, {}),
            ("k", on, (), {"prompt_cache_key": "k"}),
            ("\U0001f600" * 70, on, (), {"prompt_cache_key": "\U0001f600" * 64}),
            (7, on, (), {}),
            ("k", on, long, {"prompt_cache_key": "k", "prompt_cache_retention": "24h"}),
            ("k", on, ({"cacheRetention": "short"},), {"prompt_cache_key": "k"}),
            ("k", on, ({"cacheRetention": "none"},), {}),
            ("k", dict(on, supportsLongCacheRetention=False), long, {"prompt_cache_key": "k"}),
        ), check)

    def test_response_format(self):
        def check(value, compat, expected):
            shaped = shape(dict(HI, response_format=value), compat=compat)
            self.assertEqual(shaped.get("response_format"), expected)

        wraps = {"supportsJsonSchemaResponseFormat": True}
        schema = {"type": "json_schema", "json_schema": {"name": "r", "schema": {}}}
        bare = {"type": "object"}
        wrapped = {"type": "json_schema",
                   "json_schema": {"name": "openclaw_response", "schema": bare}}
        self.check_table((
            ({"type": "json_object"}, {}, {"type": "json_object"}),
            ({"type": "text"}, {}, {"type": "text"}),
            (schema, {}, schema),
            (schema, wraps, schema),
            ({"type": "json_schema", "json_schema": 7}, {}, None),
            (bare, {}, None),
            (bare, wraps, wrapped),
            ({}, wraps, {"type": "json_schema",
                         "json_schema": {"name": "openclaw_response", "schema": {}}}),
            ("json", wraps, None),
            ([], {}, None),
        ), check)

    def test_budget(self):
        def check(fields, model, field, expected, warned=False):
            shaped = vllm.shape_request(dict(HI, **fields), MODEL._replace(**model))
            tokens = {name: shaped.body[name] for name in (old, new) if name in shaped.body}
            self.assertEqual(tokens, {field: expected})
            self.assertEqual(bool(shaped.warnings), warned)

        new, old = "max_completion_tokens", "max_tokens"
        long = {"messages": [{"role": "user", "content": "a" * 4000}]}       # 1250 tokens
        use_old = {"compat": {"maxTokensField": "max_tokens"}}
        self.check_table((
            ({}, {}, new, 256),
            ({old: 7}, {}, new, 7),
            ({new: 7}, {}, new, 7),
            ({old: 7, new: 8}, {}, new, 8),
            ({new: 9999}, {}, new, 256),
            ({new: 7}, use_old, old, 7),
            ({}, use_old, old, 256),
            ({}, {"max_tokens": None, "context_window": 128000}, new, 8192),
            ({}, {"max_tokens": None, "context_window": None}, new, 8192),
            ({new: 0}, {}, new, 256),
            ({new: 0, old: 9}, {}, new, 9),
            ({new: "x"}, {}, new, 256),
            ({new: True}, {}, new, 256),
            ({new: 7.9}, {}, new, 7),
            ({new: math.inf}, {}, new, 256),
            ({new: 10 ** 400}, {}, new, 256),
            (long, {"max_tokens": 9999}, new, 4096 - 1250 - 1),
            (dict(long, max_tokens=5000), {"max_tokens": 9999}, new, 2845),
            (long, {}, new, 256),
            (long, {"max_tokens": 9999, "context_tokens": 2000}, new, 749),
            (long, {"context_window": 1267}, new, 16),
            (long, {"context_window": 1266}, new, 15, True),
            (long, {"context_window": 1251}, new, 1, True),
            (long, {"context_window": 100}, new, 1, True),
            (long, {"context_window": None}, new, 256),
        ), check)
        warning = vllm.shape_request(long, MODEL._replace(context_window=1260)).warnings[0]
        for words in ("about 1250", "1260", "9 are left"):
            self.assertIn(words, warning)

    def test_counted_tokens_stand_above_the_estimate(self):
        long = {"messages": [{"role": "user", "content": "a" * 8000}]}       # 2500 by estimate
        model = MODEL._replace(context_window=2048)
        for counted, budget, clamped in ((None, 1, True), (1813, 234, True), (100, 256, False)):
            shaped = vllm.shape_request(long, model, prompt_tokens=counted)
            self.assertEqual(shaped.body,
                             dict(DEFAULT_BODY, max_completion_tokens=budget, **long))
            self.assertEqual(shaped.clamped, clamped)
        self.assertFalse(vllm.shape_request(HI, model).clamped)
        with self.assertRaises(vllm.ServerError) as caught:
            vllm.shape_request(long, model, prompt_tokens=3000)
        self.assertEqual(caught.exception.cause, "context-exceeded")
        for number in ("3000", "2048"):
            self.assertIn(number, caught.exception.facts["problem"])

    def test_estimate_of_the_prompt(self):
        def check(message, extra, characters):
            tokens = vllm.estimate_tokens(dict({"messages": [message]}, **extra))
            self.assertEqual(tokens, math.ceil(characters * 1.25 / 4))

        part = {"type": "image_url", "image_url": {"url": "data:" + "x" * 999}}
        serialized = len(json.dumps([CALL], separators=(",", ":")))
        self.check_table((
            ({"content": "a" * 16}, {}, 16),
            ({"content": "\u6a21" * 4}, {}, 16),
            ({"content": "\uff21" * 4}, {}, 16),
            ({"content": "\U00020000" * 4}, {}, 16),
            ({"content": "\U0001f600" * 8}, {}, 16),
            ({"content": "\u00e9" * 16}, {}, 16),
            ({"content": "\uac00\ua000\uf900\uffe0\u2e80"}, {}, 20),
            ({"content": "\u2e7f\uff61"}, {}, 2),
            ({"content": None}, {}, 0),
            ({"content": [{"type": "text", "text": "a" * 16}, part]}, {}, 8016),
            ({"content": "", "reasoning_content": "a" * 8, "reasoning": "b" * 8}, {}, 16),
            ({"content": "", "reasoning_text": "a" * 8, "reasoning_details": [{"a": 1}]}, {}, 15),
            ({"content": "", "tool_calls": [CALL]}, {}, serialized),
            ({"content": ""}, {"tools": [CALL]}, serialized),
            ({"content": ""}, {"response_format": {"type": "x"}}, 12),
            ({"content": "\ud800" * 4}, {}, 4),
        ), check)

    def test_roles_and_messages(self):
        def check(messages, fields, expected):
            compat = {name: fields[name] for name in fields if name not in MODEL._fields}
            model = {name: fields[name] for name in fields if name in MODEL._fields}
            self.assertEqual(shape({"messages": messages}, compat=compat, **model)["messages"],
                             expected)

        developer = {"role": "developer", "content": "x"}
        system = {"role": "system", "content": "x"}
        text = {"type": "text", "text": "a"}
        image = {"type": "image_url", "image_url": {"url": "u"}}
        omitted = {"type": "text", "text": "(image omitted: model does not support images)"}
        result = {"role": "tool", "tool_call_id": "c1", "content": "r"}
        called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
        empty = dict(CALL, function={"name": "f", "arguments": ""})
        bridge = {"role": "assistant", "content": "I have processed the tool results."}
        named = {"requiresToolResultName": True}
        bridged = {"requiresAssistantAfterToolResult": True}
        joined, sees = {"requiresStringContent": True}, {"input": ("text", "image")}
        self.check_table((
            ([developer], {}, [system]),
            ([developer], {"supportsDeveloperRole": True}, [system]),
            ([developer], {"reasoning": True}, [system]),
            ([developer], {"supportsDeveloperRole": True, "reasoning": True}, [developer]),
            ([system], {"supportsDeveloperRole": True, "reasoning": True}, [developer]),
            ([dict(USER, content=[text, image, image, text])], {},
             [dict(USER, content=[text, omitted, text])]),
            ([dict(USER, content=[image, text, image])], {},
             [dict(USER, content=[omitted, text, omitted])]),
            ([dict(USER, content=[omitted, image])], {}, [dict(USER, content=[omitted])]),
            ([dict(USER, content=[text, image])], sees, [dict(USER, content=[text, image])]),
            ([dict(USER, content=[text, text])], joined, [dict(USER, content="a\na")]),
            ([dict(USER, content=[text, dict(text, type="x")])], joined,
             [dict(USER, content=[text, dict(text, type="x")])]),
            ([dict(USER, content=[text, image])], dict(joined, **sees),
             [dict(USER, content=[text, image])]),
            ([dict(USER, content=[text, image])], joined,
             [dict(USER, content="a\n" + omitted["text"])]),
            ([dict(USER, name="n", x=1), result], {"strictMessageKeys": True},
             [USER, {"role": "tool", "content": "r"}]),
            ([called, result], named, [called, dict(result, name="f")]),
            ([called, result], {}, [called, result]),
            ([called, dict(result, name="g")], named, [called, dict(result, name="g")]),
            ([dict(called, tool_calls=[{"function": {"name": "f"}}]), {"role": "tool"}], named,
             [dict(called, tool_calls=[{"function": {"name": "f"}}]), {"role": "tool"}]),
            ([called, result, USER], bridged, [called, result, bridge, USER]),
            ([called, result, called, USER], bridged, [called, result, called, USER]),
            ([called, result], bridged, [called, result]),
            ([called, result, {"role": "assistant", "content": ""}, USER], bridged,
             [called, result, bridge, USER]),
            ([{"role": "assistant", "tool_calls": [empty]}], {},
             [{"role": "assistant", "content": None, "tool_calls": [CALL]}]),
            ([{"role": "assistant", "tool_calls": [CALL]}], bridged, [called]),
            ([{"role": "assistant", "content": None}, {"role": "assistant", "content": []},
              {"role": "assistant", "content": "", "tool_calls": []}, USER], {}, [USER]),
            ([{"role": "assistant", "content": "a", "tool_calls": []}], {},
             [{"role": "assistant", "content": "a"}]),
        ), check)

    def test_earlier_reasoning(self):
        def check(message, compat, fields, expected):
            message = dict({"role": "assistant", "content": "a"}, **message)
            shaped = shape({"messages": [message]}, compat=compat, **fields)["messages"]
            self.assertEqual(shaped, [dict({"role": "assistant", "content": "a"}, **expected)])

        every = {"reasoning": "r", "reasoning_content": "c", "reasoning_text": "t",
                 "reasoning_details": [1]}
        router, reasons = {"thinkingFormat": "openrouter"}, {"reasoning": True}
        needs = {"requiresReasoningContentOnAssistantMessages": True}
        spoken = {"requiresThinkingAsText": True}
        self.check_table([
            (every, {}, {}, {}),
            (every, {}, reasons, {"reasoning_content": "c"}),
            ({"reasoning_content": ["c"]}, {}, reasons, {}),
            ({"reasoning_content": None}, needs, reasons, {"reasoning_content": ""}),
            (every, needs, {}, {"reasoning_content": "c"}),
            ({}, needs, {}, {}),
            ({}, needs, reasons, {"reasoning_content": ""}),
            ({"reasoning": "r"}, needs, reasons, {"reasoning_content": ""}),
            (every, router, {},
             {"reasoning": "r", "reasoning_content": "c", "reasoning_details": [1]}),
            ({"reasoning_text": "t"}, router, {}, {"reasoning": "t"}),
            ({"reasoning_text": "t", "reasoning": ""}, router, {}, {"reasoning": "t"}),
            ({"reasoning": "", "reasoning_content": 7, "reasoning_details": {}}, router, reasons,
             {}),
            ({}, dict(needs, **router), reasons, {}),
            ({"reasoning": "r", "content": "b"}, spoken, reasons,
             {"content": [{"type": "text", "text": "r"}, {"type": "text", "text": "b"}]}),
            ({"reasoning_text": "t", "content": None}, spoken, {},
             {"content": [{"type": "text", "text": "t"}]}),
            ({"reasoning": "r", "content": [{"type": "text", "text": "b"}]}, spoken, {},
             {"content": [{"type": "text", "text": "r"}, {"type": "text", "text": "b"}]}),
            ({"reasoning": " "}, spoken, {}, {}),
            ({"reasoning": "r", "content": "b"}, dict(spoken, requiresStringContent=True), {},
             {"content": "r\nb"}),
            ({"reasoning": "r"}, dict(spoken, **needs), reasons, {
                "content": [{"type": "text", "text": "r"}, {"type": "text", "text": "a"}],
                "reasoning_content": ""}),
        ] + [
            (every, {"thinkingFormat": form}, {}, {"reasoning_content": "c"})
            for form in ("deepseek", "zai")
        ] + [
            (every, {}, {"id": model_id}, {"reasoning_content": "c"})
            for model_id in ("x/y/DeepSeek-V4-Pro", "deepseek-v4-flash", "moonshotai/Kimi-K2.5",
                             "kimi-k2.7-code-highspeed", "kimi-k2-thinking-turbo", "kimi-k3",
                             "kimi-for-coding", "MiMo-V2.5-Pro", "mimo-v2.6-flash",
                             "kimi-k3:cloud", "x/local:kimi-k3", "kimi-k2.5-free")
        ] + [
            (every, {}, {"id": model_id}, {})
            for model_id in ("deepseek-v4-flash/x", "kimi-k2", "kimi-k2.7", "xkimi-k3", "kimi-k3-x",
                             "deepseek-v3", "kimi-for-coding-2", "kimi-k2.6-turbo",
                             "mimo-v2-flash")
        ], check)

    def test_tools(self):
        def check(tools, compat, expected):
            self.assertEqual(shape(dict(HI, tools=tools), compat=compat).get("tools"), expected)

        named = [tool(name) for name in "ab"]
        strict = {"supportsStrictMode": True}
        described = [tool("a", description=text) for text in "xy"]
        self.check_table((
            ([TOOL], {}, [TOOL]),
            (named[::-1], {}, named),
            (described[::-1], {}, described),
            ([tool("\u03a9"), tool("z"), tool("Z")], {}, [tool("Z"), tool("z"), tool("\u03a9")]),
            ([], {}, None),
            (7, {}, None),
            ([TOOL], {"supportsTools": False}, None),
            ([tool(strict=True, description=7, x=1)], {}, [TOOL]),
            ([tool(strict=True)], strict, [tool(strict=False)]),
            ([TOOL], strict, [tool(strict=False)]),
            ([{"function": {"name": "f"}}], {}, [TOOL]),
            ([{"function": {"name": "f", "parameters": None}}], {}, [TOOL]),
            ([7, {"function": 8}, tool(9), tool(""), tool("g", {"type": "array"}),
              tool("h", {"type": ["object"]}), tool("i", [1]), tool("j", {"type": None}), TOOL],
             {}, [TOOL]),
            ([tool("g", {"type": "array"})], {}, None),
        ), check)

    def test_tool_choice(self):
        def check(tools, choice, expected):
            shaped = shape(dict(HI, tools=tools, tool_choice=choice))
            self.assertEqual(shaped.get("tool_choice"), expected)

        def allowed(mode, *names):
            tools = [{"type": "function", "function": {"name": name}} for name in names]
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}

        function = {"type": "function", "function": {"name": "f"}}
        gone = {"type": "function", "function": {"name": "gone"}}
        array = [tool("g", {"type": "array"})]
        self.check_table((
            ([TOOL], None, "auto"),
            ([TOOL], "auto", "auto"),
            ([TOOL], "required", "required"),
            ([TOOL], "none", "none"),
            ([TOOL], dict(function, x=1), function),
            ([TOOL], {"type": "other"}, {"type": "other"}),
            ([TOOL], allowed("auto", "f", "gone"), allowed("auto", "f")),
            ([TOOL], allowed("required", "gone", "f"), allowed("required", "f")),
            ([TOOL], allowed("auto", "gone"), "none"),
            ([TOOL], allowed("weird", "gone"), allowed("weird", "gone")),
            (None, "required", None),
            ([], "required", None),
            (array, "auto", None),
            (array, "none", "none"),
            (array, allowed("auto", "g"), "none"),
        ), check)
        for tools, choice in ((array, "required"), (array, function), ([TOOL], gone),
                              ([TOOL], allowed("required", "gone"))):
            with self.subTest(choice=choice), self.assertRaises(vllm.UsageError):
                shape(dict(HI, tools=tools, tool_choice=choice))
        called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        without_tools = {"messages": [called, USER], "tools": array, "tool_choice": "none"}
        self.assertNotIn("tool_choice", shape(without_tools))
        required = dict(HI, tools=[TOOL], tool_choice="required")
        self.assertNotIn("tool_choice", shape(required, compat={"supportsTools": False}))

    def check_schema(self, schema, expected, keywords=()):
        compat = {"unsupportedToolSchemaKeywords": list(keywords)}
        shaped = shape(dict(HI, tools=[tool(parameters=schema)]), compat=compat)
        self.assertEqual(shaped["tools"][0]["function"]["parameters"], expected)

    def test_references_in_schemas(self):
        def holding(inner, defs=None, **fields):
            fields.update({"$defs": defs} if defs else {})
            return dict({"type": "object", "properties": {"a": inner}}, **fields)

        def ref(place, **fields):
            return dict(fields, **{"$ref": place})

        text, node = {"type": "string"}, ref("#/$defs/N")
        t, defs = ref("#/$defs/T"), {"T": text}
        own = {"T": dict(text, title="own", description="d")}
        loop = {"type": "object", "properties": {"next": node}}
        lost = holding(ref("#/$defs/gone"), defs, components={})
        data = {"enum": [t], "default": t}
        self.check_table((
            (holding(t, defs), holding(text)),
            (holding(ref("#/$defs/T", title="t", default=1, x=2), own),
             holding(dict(text, title="t", description="d", default=1))),
            (holding(ref("#/definitions/a~1b~0c"), definitions={"a/b~c": text}), holding(text)),
            (holding(ref("#/x/1/y"), x=[0, {"y": text}]), holding(text, x=[0, {"y": text}])),
            (holding(ref("#/x/0"), x=[0, text]), holding(ref("#/x/0"), x=[0, text])),
            (holding(ref("#/$defs/A"), {"A": ref("#/$defs/B"), "B": text}), holding(text)),
            (holding(node, {"N": loop}), holding({"type": "object", "properties": {"next": {}}})),
            (lost, lost),
            (holding(ref("other.json"), defs), holding(ref("other.json"))),
            (holding(ref("#")), holding(ref("#"))),
            (holding({"anyOf": [t], "items": [t], "not": t}, defs),
             holding({"anyOf": [text], "items": [text], "not": text})),
            (holding(data, defs), holding(data)),
            (ref("#/$defs/P", **{"$defs": {"P": holding(text)}}), holding(text)),
            ({"type": "object", "properties": {"$ref": text, "$defs": {"type": "array"}}},
             {"type": "object",
              "properties": {"$ref": text, "$defs": {"type": "array", "items": {}}}}),
        ), self.check_schema)

    def test_the_top_of_a_schema(self):
        a, b = {"type": "string"}, {"type": "number"}

        def merged(properties, **fields):
            return dict({"type": "object", "properties": properties, "additionalProperties": True},
                        **fields)

        def variants(*properties, **fields):
            return dict({"anyOf": [{"properties": each} for each in properties]}, **fields)

        self.check_table((
            ({}, NO_PROPERTIES),
            ({"type": "object"}, NO_PROPERTIES),
            ({"type": "object", "properties": []}, NO_PROPERTIES),
            ({"required": ["x"]}, dict(NO_PROPERTIES, required=["x"])),
            ({"properties": {"a": a}}, {"type": "object", "properties": {"a": a}}),
            ({"description": "d"}, {"description": "d"}),
            ({"allOf": [a], "properties": {"a": a}}, {"allOf": [a], "properties": {"a": a}}),
            (variants({"x": a}, {"y": b}), merged({"x": a, "y": b})),
            ({"oneOf": [{"properties": {"x": a}, "required": ["x", 7]}], "title": "t", "x": 1},
             merged({"x": a}, title="t", required=["x"])),
            ({"anyOf": [{"properties": {"x": a, "y": a}, "required": ["x", "y"]},
                        {"properties": {"x": b}, "required": ["x"]}, {"type": "null"}]},
             merged({"x": a, "y": a}, required=["x"])),
            (variants({"x": b}, properties={"x": a, "z": a}, required=["z"],
                      additionalProperties=False),
             merged({"x": a, "z": a}, required=["z"], additionalProperties=False)),
            ({"anyOf": [], "oneOf": [{"properties": {"x": a}}], "properties": {"y": a}},
             merged({"y": a})),
            (variants({"x": {"const": "p", "title": "t"}},
                      {"x": {"enum": ["q", "p"], "title": "u"}}),
             merged({"x": {"title": "t", "type": "string", "enum": ["p", "q"]}})),
            (variants({"x": a}, {"x": {"enum": [1, "1", True]}}),
             merged({"x": {"enum": [1, "1", True]}})),
            (variants({"x": {"anyOf": [{"const": 1}, {"const": 2.5}, a]}}, {"x": a}),
             merged({"x": {"type": "number", "enum": [1, 2.5]}})),
            (variants({"x": {"const": None}}, {"x": {"const": [1]}}),
             merged({"x": {"type": "object", "enum": [None, [1]]}})),
            (variants({"x": {"enum": []}}, {"x": a}), merged({"x": {"enum": []}})),
        ), self.check_schema)

    def test_items_and_unsupported_keywords_in_schemas(self):
        array, stated = {"type": "array"}, {"type": "array", "items": {}}

        def nested(inner):
            return {"type": "object", "properties": {"type": inner, "format": inner},
                    "patternProperties": {"x": inner}, "additionalProperties": inner,
                    "allOf": [{"items": [inner], "not": {"if": inner}}],
                    "enum": [{"type": "array"}],
                    "default": {"type": "array"}, "const": {"type": "array"}}

        self.check_table((
            (nested(array), nested(stated)),
            (nested(dict(array, items=None)), nested(dict(array, items=None))),
            (nested({"type": ["array"]}), nested({"type": ["array"]})),
            ({"properties": {"format": {"format": "uri", "enum": [{"format": 1}]}}, "format": "x"},
             {"type": "object", "properties": {"format": {"enum": [{"format": 1}]}}}, [" format "]),
            ({"properties": {"a": {"anyOf": [{"minLength": 1, "type": "string"}]}}},
             {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}]}}},
             ["minLength"]),
            ({"type": "object", "properties": {"a": array}}, {"type": "object"}, ["properties"]),
            ({"properties": {"a": array}}, {"type": "object", "properties": {"a": array}},
             ["items"]),
        ), self.check_schema)

    def test_thinking_formats(self):
        def template(enabled):
            return {"chat_template_kwargs": {"enable_thinking": enabled, "preserve_thinking": True}}

        off_means_low = {"reasoningEffortMap": {"off": "low"}}
        low_means_none = {"reasoningEffortMap": {"low": "None"}}
        no_effort, any_effort = [{"supportsReasoningEffort": value} for value in (False, None)]
        for form, level, fields, expected in (
                ("qwen-chat-template", None, {}, template(False)),
                ("qwen-chat-template", "none", {}, template(False)),
                ("qwen-chat-template", "on", {}, template(True)),
                ("qwen-chat-template", "off", off_means_low, template(False)),
                ("qwen", "off", {}, {"enable_thinking": False}),
                ("qwen", "low", low_means_none, {"enable_thinking": True}),
                ("together", "off", {}, {"reasoning": {"enabled": False}}),
                ("together", "low", {},
                 {"reasoning": {"enabled": True}, "reasoning_effort": "low"}),
                ("together", "low", no_effort, {"reasoning": {"enabled": True}}),
                ("together", "low", low_means_none, {"reasoning": {"enabled": False}}),
                ("openrouter", "off", {}, {"reasoning": {"effort": "none"}}),
                ("openrouter", "high", {}, {"reasoning": {"effort": "high"}}),
                ("openrouter", "high", any_effort, {"reasoning": {"effort": "high"}}),
                ("openrouter", "high", no_effort, {"reasoning": {"enabled": True}}),
                ("openrouter", "off", {"supportedReasoningEfforts": []},
                 {"reasoning": {"enabled": False}}),
                ("openrouter", "off", {"supportedReasoningEfforts": ["low"]}, {}),
                ("deepseek", "low", {}, {"reasoning_effort": "low"}),
                ("zai", "off", {}, {"reasoning_effort": "none"}),
                ("openai", "low", {}, {"reasoning_effort": "low"}),
                (None, "low", {}, {"reasoning_effort": "low"}),
                (None, "low", any_effort, {})):
            with self.subTest(form=form, level=level, fields=fields):
                compat = dict({"thinkingFormat": form, "supportsReasoningEffort": True}, **fields)
                self.assertEqual(added(HI, level, compat=compat, reasoning=True), expected)
                self.assertEqual(added(HI, level, compat=compat), {})

    def test_thinking_of_two_families(self):
        nemotron = {"enable_thinking": False, "force_nonempty_content": True}
        flash = {"thinking": True, "enable_thinking": True}
        off = {"chat_template_kwargs": nemotron}
        effort = {"supportsReasoningEffort": True}
        template = {"thinkingFormat": "qwen-chat-template"}
        for model_id, level, reasoning, compat, expected in (
                ("nvidia/Nemotron-3-Nano", "off", True, {}, off),
                ("x/nemotron-3", None, True, {}, off),
                ("x/nemotron-3", None, False, {}, off),
                ("x/nemotron-3", "off", True, effort, dict(off, reasoning_effort="none")),
                ("x/nemotron-3", "off", True, template,
                 {"chat_template_kwargs": dict(nemotron, preserve_thinking=True)}),
                ("x/nemotron-3", "high", True, {}, {}),
                ("x/nemotron-30b", "off", True, {}, {}),
                ("DeepSeek-V4-Flash", "off", True, {},
                 {"chat_template_kwargs": {"thinking": False, "enable_thinking": False}}),
                ("deepseek_v4", "high", True, effort,
                 {"chat_template_kwargs": dict(flash, reasoning_effort="high")}),
                ("deepseek_v4", "high", False, effort, {})):
            with self.subTest(model_id=model_id, level=level, compat=compat):
                shaped = added(HI, level, id=model_id, reasoning=reasoning, compat=compat)
                self.assertEqual(shaped, dict(expected, model=model_id))
        for compat in (template, {"thinkingFormat": None}):
            shaped = shape(HI, "off", id="nemotron-3", reasoning=True, compat=compat,
                           thinking_level_map={"off": None})
            self.assertIs(shaped["chat_template_kwargs"]["enable_thinking"], False)
        shaped = shape(dict(HI, chat_template_kwargs={"enable_thinking": True}), id="nemotron-3")
        self.assertEqual(shaped["chat_template_kwargs"], dict(nemotron, enable_thinking=True))

    @staticmethod
    def effort(body, level=None, compat=None, **model):
        """Return the reasoning_effort that is sent to a model that takes one."""
        compat = dict({"supportsReasoningEffort": True}, **(compat or {}))
        model = dict({"reasoning": True, "compat": compat}, **model)
        return shape(body, level, **model).get("reasoning_effort")

    def test_reasoning_effort(self):
        for level, stated, mapping, levels, expected in (
                ("high", None, {}, {}, "high"),
                ("HIGH ", None, {}, {}, "high"),
                ("off", None, {}, {}, "none"),
                ("none", None, {}, {}, "none"),
                ("off", None, {"off": "off"}, {}, "off"),
                ("high", None, {"HIGH": " max "}, {"high": "deep"}, "max"),
                ("high", None, {}, {"high": " deep "}, "deep"),
                ("low", ["low", "high"], {}, {}, "low"),
                ("medium", [" low ", "high", " "], {}, {}, "low"),
                ("minimal", ["high", "low"], {}, {}, "low"),
                ("minimal", ["LOW", "High"], {}, {}, "LOW"),
                ("high", ["LOW", "High"], {}, {}, "LOW"),
                ("low", ["high", "low"], {"low": "default"}, {}, "high"),
                ("low", ["high", "max"], {"low": "OFF"}, {}, "high"),
                ("xhigh", ["low", "high"], {}, {}, "high"),
                ("medium", ["on", "off"], {}, {}, "on"),
                ("medium", ["none"], {}, {}, None),
                ("off", ["none", "low"], {}, {}, "none"),
                ("off", ["low"], {}, {}, None),
                ("off", ["low"], {"off": "low"}, {}, "low"),
                ("none", ["low"], {}, {}, None),
                ("low", [], {}, {}, None)):
            with self.subTest(level=level, stated=stated, mapping=mapping, levels=levels):
                compat = {"supportedReasoningEfforts": stated, "reasoningEffortMap": mapping}
                sent = self.effort(HI, level, compat, thinking_level_map=levels)
                self.assertEqual(sent, expected)
        for model_id, level, expected in (
                ("gpt-5.6", "minimal", "low"), ("gpt-5.6", "max", "xhigh"),
                ("GPT-5.4-mini", "minimal", "low"), ("gpt-5", "minimal", "minimal"),
                ("openai/gpt-5.6", "minimal", "minimal")):
            self.assertEqual(self.effort(HI, level, id=model_id), expected, model_id)

    def test_levels_that_a_model_does_not_have(self):
        for level, levels, compat, expected in (
                ("low", {"low": None}, {}, "medium"),
                ("max", {}, {}, "high"),
                ("high", {"high": None}, {}, "medium"),
                ("high", {"high": None, "xhigh": "x"}, {}, "x"),
                ("xhigh", {}, {"reasoningEffortMap": {"XHigh": "y"}}, "y"),
                ("xhigh", {}, {"reasoningEffortMap": {"xhigh": " "}}, "high"),
                ("xhigh", {}, {"reasoningEffortMap": {"xhigh": "y"}, "thinkingFormat": "zai"},
                 "high"),
                ("xhigh", {"max": "m"}, {}, "m"),
                ("xhigh", {"max": "m", "xhigh": None}, {}, "high"),
                ("max", {}, {"supportedReasoningEfforts": ["low", "max"]}, "max"),
                ("off", {"off": None}, {}, "minimal"),
                (None, {}, {}, "medium"),
                (None, {"medium": None}, {}, "low"),
                (None, {"medium": None, "low": None, "minimal": None}, {}, "high"),
                ("on", {}, {}, "low"),
                ("adaptive", {}, {}, "medium"),
                ("ultra", {"max": "m"}, {}, "m"),
                ("of-my-own", {}, {}, "of-my-own")):
            with self.subTest(level=level, levels=levels, compat=compat):
                sent = self.effort(HI, level, compat, thinking_level_map=levels)
                self.assertEqual(sent, expected)

    def test_the_level_comes_from_the_option_then_the_body_then_the_settings(self):
        for option, stated, expected in (
                ("high", "low", "high"), (None, "low", "low"), ("", "low", "low"),
                (None, 7, "minimal"), (None, "disabled", "none")):
            with self.subTest(option=option, stated=stated):
                body = dict(HI, reasoning_effort=stated)
                self.assertEqual(self.effort(body, option, thinking="minimal"), expected)

        for default, params, model_params, expected in (
                ("high", {}, {}, "high"),
                ("high", {"thinking": "low"}, {}, "high"),
                ("high", {}, {"thinking": "bogus"}, "high"),
                (None, {"thinking": "low"}, {"thinking": "off"}, "off"),
                (None, {}, {"thinking": "on"}, "low"),
                (None, {}, {"thinking": "none"}, "off"),
                (None, {}, {}, None)):
            with self.subTest(default=default, params=params, model_params=model_params):
                defaults = {"params": params, "models": {"VLLM/m": {"params": model_params}}}
                defaults.update({"thinkingDefault": default} if default else {})
                config = dict(block(), agents={"defaults": defaults})
                self.assertEqual(vllm.find_model(self.provider(config)).thinking, expected)

    def test_a_level_of_the_settings_gives_way_to_a_lower_one(self):
        for default, levels, model, expected in (
                ("high", {"high": None}, {}, "medium"),
                ("medium", {"medium": None, "low": None, "minimal": None}, {}, "high"),
                ("xhigh", {"max": "m"}, {}, "high"),
                ("off", {"off": None}, {}, "minimal"),
                ("high", {}, {"id": "nemotron-3"}, "low"),
                ("high", {}, {"reasoning": False}, None)):
            with self.subTest(default=default, levels=levels, model=model):
                sent = self.effort(HI, thinking=default, thinking_level_map=levels, **model)
                self.assertEqual(sent, expected)
        nemotron = shape(HI, id="nemotron-3", reasoning=False, thinking="high")
        self.assertIs(nemotron["chat_template_kwargs"]["enable_thinking"], False)

    def test_levels_without_effect_are_said(self):
        effort = {"reasoning": True, "compat": {"supportsReasoningEffort": True}}
        for level, model, words in (
                ("high", {}, "no effect"),
                ("off", {"source": "discovered"}, "no effect"),
                ("off", {"reasoning": True}, "no effect"),
                ("max", effort, "high is used"),
                ("off", {}, None),
                (None, {}, None),
                ("high", effort, None),
                ("on", effort, None),
                ("off", {"id": "nemotron-3"}, None)):
            with self.subTest(level=level, model=model):
                warnings = vllm.shape_request(HI, MODEL._replace(**model), level).warnings
                self.assertEqual([words in warning for warning in warnings],
                                 [True] if words else [])

    def test_params(self):
        def check(layers, fields, expected):
            self.assertEqual(added(dict(HI, **fields), params=tuple(layers)), expected)

        json_object, text = {"type": "json_object"}, {"type": "text"}
        tokens = "max_completion_tokens"
        self.check_table((
            ([{"temperature": 0.5, "topP": 0.9, "seed": 0, "stop": "END"}], {},
             {"temperature": 0.5, "top_p": 0.9, "seed": 0, "stop": ["END"]}),
            ([{"top_p": 0.9, "stop": ["a", "", 7, "b"]}], {}, {"stop": ["a", "b"]}),
            ([{"stop": [""]}, {"stop": ""}], {}, {}),
            ([{"temperature": None, "topP": True, "seed": "7"}], {}, {}),
            ([{"temperature": math.nan, "seed": math.inf}], {}, {}),
            ([{"temperature": 0.5}], {"temperature": 0}, {"temperature": 0}),
            ([{"temperature": 0.5}, {"temperature": 1}], {}, {"temperature": 1}),
            ([{"temperature": 0.5}, {"temperature": "x"}], {}, {}),
            ([{"frequencyPenalty": 1}, {"frequency_penalty": 2, "presence_penalty": 3}], {},
             {"frequency_penalty": 1, "presence_penalty": 3}),
            ([{"frequencyPenalty": None, "frequency_penalty": 2}], {}, {}),
            ([{"unknown": 1, "store": True, "thinking": "low"}], {}, {}),
            ([{"chat_template_kwargs": {"a": 1}}], {"chat_template_kwargs": {"a": 2, "b": 3}},
             {"chat_template_kwargs": {"a": 1, "b": 3}}),
            ([{"chat_template_kwargs": {"a": 1}}, {"chatTemplateKwargs": {"b": 1}}], {},
             {"chat_template_kwargs": {"a": 1}}),
            ([{"extra_body": {"top_k": 1, "store": True, "temperature": 2}, "temperature": 1}], {},
             {"top_k": 1, "temperature": 2}),
            ([{"extraBody": {"chat_template_kwargs": {"x": 1}}, "chatTemplateKwargs": {"y": 2}}],
             {}, {"chat_template_kwargs": {"x": 1}}),
            ([{"extra_body": 7, "extraBody": {"a": 1}}], {}, {}),
            ([{"extra_body": {"parallel_tool_calls": True}, "parallelToolCalls": False}], {},
             {"parallel_tool_calls": False}),
            ([{"parallel_tool_calls": True}, {"parallelToolCalls": None}], {}, {}),
            ([{"parallel_tool_calls": True, "parallelToolCalls": False}], {},
             {"parallel_tool_calls": True}),
            ([{"parallel_tool_calls": True}], {"parallel_tool_calls": False},
             {"parallel_tool_calls": False}),
            ([{"response_format": json_object}, {"responseFormat": text}], {},
             {"response_format": text}),
            ([{"response_format": json_object, "responseFormat": text}], {},
             {"response_format": json_object}),
            ([{"response_format": json_object}, {"responseFormat": None}], {}, {}),
            ([{"response_format": {}}], {}, {}),
            ([{"max_tokens": 5}], {}, {tokens: 5}),
            ([{"max_tokens": 5, "max_completion_tokens": 6, "maxTokens": 7}], {}, {tokens: 7}),
            ([{"maxTokens": 7}, {"max_tokens": 5}], {}, {tokens: 5}),
            ([{"maxTokens": 7}, {"max_tokens": [], "max_completion_tokens": -1}], {}, {tokens: 7}),
            ([{"maxTokens": 7}, {"max_tokens": 0}], {}, {}),
            ([{"maxTokens": 999}], {}, {}),
            ([{"maxTokens": 7}], {"max_tokens": 9}, {tokens: 9}),
        ), check)

    def test_every_change_is_explained(self):
        schema = {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {"type": "array"}}}}}
        messages = [{"role": "developer", "content": [{"type": "input_image"}]},
                    {"role": "assistant", "content": "a", "reasoning": "r"},
                    {"role": "assistant", "content": ""}]
        body = {"messages": messages, "tools": [tool("b", schema, strict=True), tool(7)],
                "store": True, "x": None, "max_tokens": 999, "reasoning_effort": "low"}
        model = MODEL._replace(params=({"seed": 1, "extra_body": {"top_k": 1}},))
        shaped = vllm.shape_request(body, model)
        lines = ["%s %s: %s" % change for change in shaped.changes]
        for line in ("store dropped: .*OpenAI", "x dropped: .*null", "reasoning_effort dropped: ",
                     "model added: ", "stream added: ", "stream_options added: ",
                     "tool_choice added: ", "seed added: from params", "top_k added: from params",
                     "max_completion_tokens moved: from max_tokens",
                     "max_completion_tokens clamped: asked for 999",
                     "messages changed: .*developer", "messages changed: images",
                     "messages changed: earlier reasoning", "messages changed: .*without content",
                     "tools changed: strict", "tools changed: references .*, an object on top",
                     "tools changed: .*without a name"):
            self.assertEqual(sum(bool(re.match(line, each)) for each in lines), 1, line)
        self.assertEqual(vllm.shape_request(shaped.body, model).changes, [])
        sent = dict(DEFAULT_BODY, tool_choice="auto", tools=[tool("b"), TOOL])
        self.assertEqual(vllm.shape_request(sent, MODEL).changes, [])
        swapped = vllm.shape_request(dict(sent, tools=[TOOL, tool("b")]), MODEL)
        self.assertEqual([change[:2] for change in swapped.changes], [("tools", "changed")])

    def test_any_body_is_shaped_or_refused_and_settles_at_once(self):
        # A body shaped twice is the body shaped once, but for these rules of OpenClaw: an effort
        # that a map made is not a level (so the level is given again), a refused response_format
        # makes room for that of the params, a tool_choice of "none" outlives its tools only once,
        # extra_body may replace anything, strictMessageKeys leaves nothing of an assistant message
        # that only calls, the definitions beside a reference that names nothing go with it, and a
        # schema may be empty once keywords are dropped. (Here no schema has a reference on top: it
        # may name what is not an object.)
        random_source = random.Random(7)
        for number in range(int(1000 * FUZZ_S)):
            body, model = random_body(random_source), random_model(random_source)
            level = random_source.choice(vllm.THINKING_LEVELS)
            before = copy.deepcopy((body, model))
            try:
                first = vllm.shape_request(body, model, level)
            except vllm.UsageError:
                continue
            finally:
                self.assertEqual((body, model), before)
            json.dumps(first.body)
            unsettled = ("response_format" in body and "response_format" not in first.body
                         or "tool_choice" in first.body and "tools" not in first.body
                         or "strictMessageKeys" in model.compat
                         or "unsupportedToolSchemaKeywords" in model.compat
                         or re.search('"[$](ref|defs)"', json.dumps(first.body)))
            if not unsettled:
                again = vllm.shape_request(first.body, model, level)
                self.assertEqual(again.body, first.body, (number, body, model, level))


def random_value(source, depth=2):
    """Return any JSON value, words that mean something somewhere among them."""
    words = ("", "a", "text", "image_url", "function", "object", "array", "auto", "required", "f",
             "assistant", "tool", "#/$defs/a", "r", "\ud800", "\u6a21" * 9, "c1")
    kind = source.randrange(9 if depth else 7)
    if kind == 7:
        return [random_value(source, depth - 1) for _ in range(source.randrange(3))]
    if kind == 8:
        names = ("type", "text", "name", "function", "properties", "items", "anyOf", "enum",
                 "const", "$ref", "$defs", "a", "required", "arguments", "id", "content",
                 "allowed_tools")
        return {source.choice(names): random_value(source, depth - 1)
                for _ in range(source.randrange(4))}
    return (None, True, 7, -0.5, 10 ** 400, source.choice(words), source.choice(words))[kind]


def some(source, value, *others):
    """Return a sound value mostly, sometimes another one or anything."""
    return source.choice((value,) * 4 + others + (random_value(source),))


def random_schema(source, depth=3):
    """Return a JSON schema that may be wrong anywhere."""
    def inner():
        return random_schema(source, depth - 1) if depth else random_value(source, 1)

    makers = {
        "type": lambda: source.choice(("object", "array", "string")),
        "$ref": lambda: source.choice(("#/$defs/a", "#/x/0")),
        "properties": lambda: {"a": inner(), "type": inner()}, "$defs": lambda: {"a": inner()},
        "anyOf": lambda: [inner(), inner()], "oneOf": lambda: [inner()], "x": lambda: [inner()],
        "items": inner, "additionalProperties": inner, "default": lambda: {"type": "array"},
        "enum": lambda: ["a", 1], "const": lambda: "a", "required": lambda: ["a"],
        "title": lambda: "t", "format": lambda: "f"}
    names = [name for name in sorted(makers) if source.random() < 0.25]
    return some(source, {name: some(source, makers[name]()) for name in names})


def random_body(source):
    """Return a chat-completions body that may be wrong anywhere."""
    def part():
        return some(source, {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}})

    def call():
        arguments = some(source, "{}", "")
        return some(source, {"id": "c1", "type": "function",
                             "function": {"name": "f", "arguments": arguments}})

    def message():
        fields = {"content": some(source, "a", "", None, [part(), part()]), "reasoning": "r",
                  "reasoning_content": some(source, "c"), "reasoning_text": some(source, "t"),
                  "reasoning_details": some(source, [1]), "tool_calls": [call()],
                  "tool_call_id": "c1"}
        kept = {name: fields[name] for name in fields if source.random() < 0.5}
        roles = ("user", "assistant", "tool", "developer", "system")
        return dict(kept, role=some(source, source.choice(roles)))

    function = {"type": "function", "function": {"name": "f"}}
    choice = some(source, "auto", "required", "none", function, {
        "type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function, 7]}})
    schemas = [random_schema(source) for _ in range(2)]
    for schema in schemas:
        if isinstance(schema, dict):
            schema.pop("$ref", None)
    fields = {"tools": [some(source, tool(some(source, "f"), schema)) for schema in schemas],
              "tool_choice": choice, "max_tokens": some(source, 9), "stop": some(source, ["a"]),
              "response_format": some(source, {"type": "json_object"}, {"type": "object"}),
              "stream": some(source, True, False), "reasoning_effort": some(source, "low"),
              "chat_template_kwargs": some(source, {"a": 1}), "prompt_cache_key": some(source, "k"),
              "stream_options": random_value(source), "reasoning": random_value(source),
              "other": random_value(source)}
    kept = {name: fields[name] for name in fields if source.random() < 0.5}
    return dict(kept, messages=[message() for _ in range(source.randrange(5))])


def random_model(source):
    """Return a Model with any settings that are valid."""
    switches = ("supportsUsageInStreaming", "supportsTools", "supportsStrictMode",
                "strictMessageKeys", "requiresStringContent", "requiresToolResultName",
                "supportsReasoningEffort", "requiresAssistantAfterToolResult",
                "requiresThinkingAsText", "supportsDeveloperRole",
                "requiresReasoningContentOnAssistantMessages", "supportsPromptCacheKey",
                "supportsJsonSchemaResponseFormat")
    compat = {name: source.random() < 0.7 for name in switches if source.random() < 0.4}
    forms = ("qwen", "qwen-chat-template", "together", "openrouter", "deepseek", "zai", "openai")
    more = {"thinkingFormat": source.choice(forms), "maxTokensField": "max_tokens",
            "supportedReasoningEfforts": source.choice(([], ["low", "high"], ["none"], ["On"])),
            "reasoningEffortMap": {"off": "low", "HIGH": "max"},
            "unsupportedToolSchemaKeywords": source.choice((["format"], ["properties"], ["type"]))}
    compat.update((name, more[name]) for name in more if source.random() < 0.4)
    if compat.get("requiresReasoningContentOnAssistantMessages"):
        compat.pop("requiresAssistantAfterToolResult", None)      # the message added has none
    params = {"temperature": random_value(source), "stop": random_value(source),
              "maxTokens": random_value(source), "chat_template_kwargs": random_value(source),
              "extraBody": {"top_k": random_value(source, 0)},
              "parallelToolCalls": random_value(source), "responseFormat": {"type": "text"}}
    layers = [{name: params[name] for name in params if source.random() < 0.3} for _ in range(2)]
    return MODEL._replace(
        compat=compat, params=tuple(layers), reasoning=source.random() < 0.6,
        id=source.choice(("m", "nemotron-3", "deepseek-v4-pro", "kimi-k3", "gpt-5.6")),
        input=source.choice((("text",), ("text", "image"))),
        max_tokens=source.choice((None, 50, 9999)),
        context_window=source.choice((None, 60, 1000, 99999)),
        source=source.choice(("declared", "discovered")),
        thinking_level_map=source.choice(({}, {"low": None}, {"max": "deep", "off": None})))


# ----------------------------------------------------------------------------
# Requests: what vLLM's releases accept
# ----------------------------------------------------------------------------

RELEASES = """
    0.3.3 0.4.0 0.4.1 0.4.2 0.4.3 0.5.0 0.5.1 0.5.5 0.6.0 0.6.3 0.6.4 0.6.4.post1 0.6.5 0.7.3 0.8.2
    0.8.3 0.9.2 0.10.0 0.10.1 0.10.2 0.11.0 0.12.0 0.14.1 0.15.1 0.16.0 0.17.1 0.18.0 0.19.1 0.20.0
    0.20.2 0.21.0 0.24.0 0.28.0 0.31.0 0.32.0 0.33.0
""".split()


KNOWN_FIELDS = set("""
    model messages stream stream_options max_tokens max_completion_tokens n seed stop temperature
    top_p top_k min_p frequency_penalty presence_penalty repetition_penalty logit_bias user tools
    tool_choice parallel_tool_calls chat_template_kwargs reasoning_effort response_format
""".split())
KNOWN_MESSAGE_KEYS = {"role", "content", "tool_calls", "tool_call_id"}


def version(text):
    return tuple(int(part) for part in re.findall("[0-9]+", text))


def has(field):
    return lambda body: field in body


def effort_among(*efforts):
    return lambda body: body.get("reasoning_effort") in efforts


def choice_is(wanted):
    def uses(body):
        choice = body.get("tool_choice")
        return wanted == ("named" if isinstance(choice, dict) else choice)

    return uses


def format_is(kind):
    return lambda body: (body.get("response_format") or {}).get("type") == kind


def tool_with(wanted):
    return lambda body: any(wanted(each["function"]) for each in body.get("tools") or ())


def message_with(wanted):
    return lambda body: any(wanted(message) for message in body["messages"])


def call_with(wanted):
    return message_with(
        lambda message: any(wanted(call["function"]) for call in message.get("tool_calls") or ()))


# Measured on 50 releases: a use of a field, and since which release it is used, ignored or
# refused (HTTP 400).
UNKNOWN = "0 ignored, 0.4.2 refused, 0.6.5 ignored"
ACCEPTANCE = (
    ("stream_options", lambda body: "stream_options" in body and body.get("stream") is True,
     "0 ignored, 0.4.2 refused, 0.5 used"),
    ("stream_options without stream",
     lambda body: "stream_options" in body and body.get("stream") is not True,
     "0 ignored, 0.4.2 refused"),
    ("max_completion_tokens", has("max_completion_tokens"), "0 ignored, 0.4.2 refused, 0.6.4 used"),
    ("an unknown field", lambda body: set(body) - KNOWN_FIELDS, UNKNOWN),
    ("reasoning_effort", effort_among("low", "medium", "high"), UNKNOWN + ", 0.10.1 used"),
    ("reasoning_effort none", effort_among("none"), UNKNOWN + ", 0.10.1 refused, 0.18 used"),
    ("reasoning_effort minimal, xhigh, max", effort_among("minimal", "xhigh", "max"),
     UNKNOWN + ", 0.10.1 refused, 0.21 used"),
    ("parallel_tool_calls", has("parallel_tool_calls"), "0 ignored, 0.4.2 refused, 0.6 used"),
    ("chat_template_kwargs", has("chat_template_kwargs"), "0 ignored, 0.4.2 refused, 0.5.1 used"),
    ("json_object", format_is("json_object"), "0 used"),
    ("json_schema", format_is("json_schema"), "0 refused, 0.6 used"),
    ("tools", lambda body: body.get("tools"), "0 ignored, 0.4.2 refused, 0.5 used"),
    ("no tools", lambda body: body.get("tools") == [],
     "0 ignored, 0.4.2 refused, 0.5 used, 0.6 refused, 0.6.5 used, 0.20 refused"),
    ("tool_choice none", choice_is("none"),
     "0 ignored, 0.4.2 refused, 0.5 used, 0.6 refused, 0.6.4 used"),
    ("tool_choice required", choice_is("required"), "0 ignored, 0.4.2 refused, 0.8.3 used"),
    ("tool_choice named", choice_is("named"), "0 ignored, 0.4.2 refused, 0.5 used"),
    ("strict", tool_with(lambda function: "strict" in function),
     "0 ignored, 0.4.2 refused, 0.6.5 used"),
    ("an explicit null", lambda body: None in body.values(), "0 ignored, 0.4.2 refused"),
    ("developer", message_with(lambda message: message["role"] == "developer"),
     "0 used, 0.4.2 refused, 0.4.3 used"),
    ("a message key", message_with(lambda message: set(message) - KNOWN_MESSAGE_KEYS), UNKNOWN),
    ("a call without content",
     message_with(lambda message: "tool_calls" in message and "content" not in message),
     "0 refused"),
    ("arguments that are not JSON", call_with(lambda function: not function["arguments"]),
     "0 refused"),
    ("five stop texts", lambda body: len(body.get("stop") or ()) > 4, "0 used, 0.28 refused"),
    ("temperature above 2", lambda body: body.get("temperature", 0) > 2, "0 used, 0.24 refused"),
)


def verdicts(body, release):
    """Return {use: used, ignored or refused} of a body by a release."""
    found = {}
    for name, uses, history in ACCEPTANCE:
        if uses(body):
            for first, verdict in (step.split() for step in history.split(", ")):
                if version(first) <= version(release):
                    found[name] = verdict
    return found


def since(body, *words):
    """Return the first of RELEASES from which on every verdict on a body is one of `words`."""
    first = None
    for release in RELEASES:
        fits = set(verdicts(body, release).values()) <= set(words)
        first = (first or release) if fits else None
    return first


class Releases(Case):

    OLD = {"maxTokensField": "max_tokens"}
    OLDEST = dict(OLD, supportsUsageInStreaming=False)
    FIRST = RELEASES[0]

    def test_the_default_body_is_accepted_as_documented(self):
        developer = [{"role": "developer", "content": "x"}, USER]
        bodies = (HI, dict(HI, messages=developer),
                  dict(HI, store=True, verbosity="low", stop=None, tools=[], tool_choice="auto"))
        for compat, expected in (({}, "0.6.4"), (self.OLD, "0.5.0"), (self.OLDEST, self.FIRST)):
            for body in bodies:
                with self.subTest(compat=compat, body=body):
                    shaped = shape(body, compat=compat)
                    self.assertEqual(since(shaped, "used", "ignored"), expected)
        self.assertEqual(since(shape(HI), "used"), "0.6.4")

    def test_the_table_tells_the_unshaped_body_apart(self):
        found = verdicts(dict(HI, store=True, stream_options={}), "0.6.4")
        self.assertEqual(found, {"an unknown field": "refused",
                                 "stream_options without stream": "refused"})
        self.assertIsNone(since(dict(HI, tools=[]), "used", "ignored"))

    def test_sampling_fields_are_used_by_every_release(self):
        params = {"temperature": 1, "topP": 0.5, "seed": 1, "stop": "x", "frequencyPenalty": 1,
                  "presencePenalty": 1, "response_format": {"type": "json_object"}}
        body = dict(HI, top_k=1, min_p=0, repetition_penalty=1, user="u", logit_bias={}, n=1)
        shaped = shape(body, compat=self.OLDEST, params=(params,))
        self.assertEqual(since(shaped, "used"), self.FIRST)

    def test_other_fields_are_used_from_the_release_the_table_says(self):
        tools, strict = {"tools": [TOOL]}, {"tools": [tool(strict=True)]}
        named = {"type": "function", "function": {"name": "f"}}
        call = dict(CALL, function={"name": "f", "arguments": ""})
        called = [USER, {"role": "assistant", "tool_calls": [call]},
                  {"role": "tool", "tool_call_id": "c1", "content": "r"}]
        effort = dict(self.OLDEST, supportsReasoningEffort=True)
        known = dict(effort, supportedReasoningEfforts=["low", "medium", "high"])
        xhigh = dict(effort, supportedReasoningEfforts=["xhigh"])
        for fields, compat, level, accepted, used in (
                (strict, self.OLD, None, "0.5.0", "0.5.0"),
                (strict, dict(self.OLD, supportsStrictMode=True), None, "0.6.5", "0.6.5"),
                (dict(tools, messages=called), self.OLD, None, "0.5.0", "0.5.0"),
                (dict(tools, tool_choice="required"), {}, None, "0.8.3", "0.8.3"),
                (dict(tools, tool_choice="required"), dict(self.OLDEST, supportsTools=False), None,
                 self.FIRST, self.FIRST),
                (dict(tools, tool_choice="none"), {}, None, "0.6.4", "0.6.4"),
                (dict(tools, tool_choice=named), self.OLD, None, "0.5.0", "0.5.0"),
                (dict(tools, parallel_tool_calls=False), self.OLD, None, "0.6.0", "0.6.0"),
                ({"response_format": {"type": "json_schema", "json_schema": {}}}, self.OLD, None,
                 "0.6.0", "0.6.0"),
                ({}, dict(self.OLD, thinkingFormat="qwen-chat-template"), "high", "0.5.1", "0.5.1"),
                ({}, dict(self.OLDEST, thinkingFormat="qwen"), "high", "0.6.5", None),
                ({}, effort, "high", "0.6.5", "0.10.1"),
                ({}, effort, "off", "0.18.0", "0.18.0"),
                ({}, xhigh, "xhigh", "0.21.0", "0.21.0"),
                ({}, known, "xhigh", "0.6.5", "0.10.1"),
                ({"reasoning_effort": "high"}, self.OLDEST, "high", self.FIRST, self.FIRST)):
            with self.subTest(fields=fields, compat=compat, level=level):
                shaped = shape(dict(HI, **fields), level, compat=compat, reasoning=bool(level))
                self.assertEqual((since(shaped, "used", "ignored"), since(shaped, "used")),
                                 (accepted, used))


class Prepared(Case):
    """What is asked of a server before a body goes out: its tokenizer, its template's switch."""

    LONG = {"messages": [{"role": "user", "content": "a" * 8000}], "tools": [TOOL]}

    def tokenizer(self, *answers, **fields):
        """Return (provider, its model, the Stub) for a server whose /tokenize answers so."""
        stub = self.serve(*answers)
        self.declare(stub.url, KEY, contextWindow=2048, maxTokens=1000, **fields)
        provider = self.provider()
        return provider, vllm.find_model(provider), stub

    @staticmethod
    def count_or_answer(sock, request, stub):
        """Take a step of a server that counts 1813 tokens of any prompt."""
        if request.target == "/tokenize":
            stub.send(sock, reply({"count": 1813}))
        else:
            stub.send(sock, sse(chunk("Hi", "stop")))

    def test_a_cut_budget_is_counted_with_one_request(self):
        fields = {"reasoning": True, "compat": {"thinkingFormat": "qwen-chat-template"}}
        provider, model, stub = self.tokenizer(reply({"count": 1813}), **fields)
        shaped = vllm.prepare_request(provider, model, self.LONG)
        self.assertEqual(shaped.body["max_completion_tokens"], 2048 - 1813 - 1)
        request, = stub.requests
        self.assertEqual((request.method, request.target, request.key),
                         ("POST", "/tokenize", "Bearer " + KEY))
        self.assertEqual(request.body, {
            "model": "m", "messages": self.LONG["messages"], "tools": [TOOL],
            "chat_template_kwargs": shaped.body["chat_template_kwargs"]})

    def test_nobody_is_asked_where_the_estimate_leaves_room_or_an_image_is_sent(self):
        provider, model, stub = self.tokenizer(reply({"count": 1}))
        model = model._replace(input=("text", "image"))
        image = {"type": "image_url", "image_url": {"url": "u"}}
        pictured = {"messages": [dict(USER, content=[image] * 9)]}
        for body, budget in ((HI, 1000), (pictured, 1)):
            shaped = vllm.prepare_request(provider, model, body)
            self.assertEqual(shaped.body["max_completion_tokens"], budget)
        self.assertEqual(stub.requests, [])

    def test_the_estimate_stands_where_nobody_counts(self):
        for answer in (reply("Not Found", "404 Not Found"), reply({"count": 9}, "500 Oops"),
                       reply({"count": "9"}), reply({"count": True}), reply([]), reply("x"), b""):
            with self.subTest(answer=answer[:20]):
                provider, model, _ = self.tokenizer(answer)
                shaped = vllm.prepare_request(provider, model, self.LONG)
                self.assertEqual(shaped.body["max_completion_tokens"], 1)
                self.assertIn("about 2", shaped.warnings[0])

    def test_a_prompt_that_is_too_long_by_itself_is_said_with_both_numbers(self):
        provider, model, stub = self.tokenizer(reply({"count": 3001}))
        with self.assertRaises(vllm.ServerError) as caught:
            vllm.prepare_request(provider, model, self.LONG)
        error = caught.exception
        self.assertEqual((error.cause, error.exit_status), ("context-exceeded", 4))
        for number in ("3001", "2048"):
            self.assertIn(number, error.message)
        self.assertNotIn("max-tokens", error.hint)
        self.assertEqual(len(stub.requests), 1)

    def test_chat_and_the_module_count(self):
        provider, _, stub = self.tokenizer(self.count_or_answer)
        list(vllm.stream_chat(provider, self.LONG))
        self.assertEqual(vllm.chat(provider, self.LONG).content, "Hi")
        self.check(self.run_main("chat", "a" * 8000), 0, out="Hi")
        sent = [request.body for request in stub.requests if request.target != "/tokenize"]
        self.assertEqual([body["max_completion_tokens"] for body in sent], [234] * 3)
        self.assertEqual(len(stub.requests), 6)

    def test_a_model_that_nobody_declared_thinks_as_its_family_does(self):
        on, effort = {"enable_thinking": True}, {"reasoning_effort": "high"}
        qwen = {"chat_template_kwargs": dict(on, preserve_thinking=True)}
        deepseek = {"chat_template_kwargs": dict(on, thinking=True, **effort)}
        for model_id, root, expected in (
                ("Qwen/Qwen3-8B", None, qwen),
                ("served", "/models/qwen3-8b", qwen),
                ("zai-org/GLM-4.6-FP8", None, qwen),
                ("openai/gpt-oss-120b", None, effort),
                ("deepseek-ai/DeepSeek-V4-Pro", None, deepseek),
                ("nvidia/nemotron-3-super", None, {})):
            with self.subTest(model_id=model_id):
                stub = self.serve(rows(model_id, root=root, max_model_len=40960))
                provider = self.provider({}, {"VLLM_API_KEY": KEY}, base_url=stub.url)
                model = vllm.find_model(provider, thinking="high")
                shaped = vllm.prepare_request(provider, model, HI, "high").body
                more = {name: shaped[name] for name in shaped if name not in DEFAULT_BODY}
                self.assertEqual(more, expected)
                self.assertEqual(len(stub.requests), 1)

    def test_a_model_of_no_known_family_thinks_as_its_template_shows(self):
        for on, off, level, expected in (
                (9, 13, "off", False), (9, 13, "low", True), (9, 9, "low", None)):
            def answer(sock, request, stub, counts=(off, on)):
                if request.target == "/v1/models":
                    return stub.send(sock, rows("some-model"))
                enabled = request.body["chat_template_kwargs"]["enable_thinking"]
                stub.send(sock, reply({"count": counts[enabled]}))

            with self.subTest(on=on, off=off, level=level):
                stub = self.serve(answer)
                result = self.run_main("request", "--base-url", stub.url, "--thinking", level,
                                       stdin=json.dumps(HI))
                kwargs = json.loads(result.out).get("chat_template_kwargs") or {}
                self.assertEqual(kwargs.get("enable_thinking"), expected)
                self.assertEqual(result.err.count("no effect"), int(expected is None))
                self.assertEqual([request.target for request in stub.requests],
                                 ["/v1/models", "/tokenize", "/tokenize"])

    def test_a_template_is_asked_once_for_all_turns_and_by_the_doctor_too(self):
        said = []

        def answer(sock, request, stub):
            if request.target == "/tokenize":
                kwargs = request.body.get("chat_template_kwargs") or {}
                return stub.send(sock, reply({"count": 9 + kwargs.get("enable_thinking", 0)}))
            if request.target.endswith("/completions"):
                said.append(request.body.get("chat_template_kwargs"))
                return stub.send(sock, sse(chunk("Hi", "stop")))
            stub.send(sock, rows("some-model", max_model_len=40960))

        stub = self.serve(answer)
        provider = self.provider({}, {"VLLM_API_KEY": KEY}, base_url=stub.url)
        model = vllm.find_model(provider, thinking="low")
        for _ in range(2):
            shaped = vllm.prepare_request(provider, model, HI, "low")
            self.assertTrue(shaped.body["chat_template_kwargs"]["enable_thinking"])
        self.assertEqual([request.target for request in stub.requests],
                         ["/v1/models", "/tokenize", "/tokenize"])
        self.run_main("doctor", "--probe", "--thinking", "low", "--base-url", stub.url)
        self.assertTrue(said)
        for kwargs in said:
            self.assertEqual(kwargs, shaped.body["chat_template_kwargs"])

    def test_a_level_without_effect_is_said_once(self):
        self.tokenizer(self.count_or_answer)
        for argv, stdin in ((["chat", "a" * 8000], ""), (["request"], json.dumps(HI))):
            result = self.run_main(*argv + ["--thinking", "high"], stdin=stdin)
            self.check(result, 0)
            self.assertEqual(result.err.count("--thinking high has no effect on vllm/m"), 1)


# ----------------------------------------------------------------------------
# Answers
# ----------------------------------------------------------------------------

def decode(data, size=None):
    """Return the events of a stream, fed in pieces of `size` bytes."""
    decoder = vllm.EventDecoder()
    size = size or len(data) or 1
    pieces = [data[start:start + size] for start in range(0, len(data), size)]
    return [event for piece in pieces for event in decoder.feed(piece)]


def assemble(*payloads):
    """Return the Answer of some chunk objects."""
    assembler = vllm.Assembler()
    for payload in payloads:
        assembler.add(vllm.decode_delta(payload))
    return assembler.answer({})


def call_piece(index=0, call_id=None, name=None, arguments=None):
    """Return a piece of a tool call; what is None is left out."""
    def stated(**fields):
        return {name: value for name, value in fields.items() if value is not None}

    return stated(index=index, id=call_id, function=stated(name=name, arguments=arguments))


class Answers(unittest.TestCase):

    STREAMS = (          # the WHATWG rules: what comes, the events it makes
        ("", []),
        ("data: a\n\n", ["a"]),
        ("data:a\n\n", ["a"]),
        ("data:  a\n\n", [" a"]),
        ("data: a: b\n\n", ["a: b"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        ("data: a\r\n\ndata: b\n\r\ndata: c\n\n", ["a", "b", "c"]),
        ("data: a\n\n\n\n\ndata: b\n\n", ["a", "b"]),
        ("\n\r\n\n\r\ndata: a\n\n", ["a"]),
        ("data: a\ndata: b\ndata\ndata:\n\n", ["a\nb\n\n"]),
        ("data\n\n", [""]),
        ("data:\n\n", [""]),
        ("Data: a\n\n", []),
        (" data: a\n\n", []),
        ("data : a\n\n", []),
        ("data: a", []),
        ("data: a\n", []),
        ("data: a\r", []),
        ("data: a\n\ndata: unended", ["a"]),
        (": keep-alive\n\n: x\ndata: a\n: y\n\n", ["a"]),
        ("id: 1\nretry: 5\nunknown: x\nnone\ndata: a\n\n", ["a"]),
        ("event: error\ndata: a\n\ndata: b\n\n", ["a", "b"]),
        ("event: x\n\ndata: a\n\n", ["a"]),
        ("event: x\nevent: y\ndata: a\n\n", ["a"]),
        ("data: a\0b\n\n", ["a\0b"]),
        ("data: \ufeffa\n\n", ["\ufeffa"]),
        ("data: a\u2028b\u0085c\x0bd\x0ce\x1cf\n\n", ["a\u2028b\u0085c\x0bd\x0ce\x1cf"]),
        ("data: \u6a21\U0001f600\n\n", ["\u6a21\U0001f600"]),
        ("data: a\r", []),
        ("data: a\r\rdata: b\r\r", ["a", "b"]),
        ("data: a\rdata: b\n\rdata: c\r\n\r\n\r\ndata: d\r\n\r", ["a\nb", "c", "d"]),
        (": x\r\rdata: a\r\ndata: b\r\n\rdata: c\r\n\n", ["a\nb", "c"]),
        ("data: a\r\r\n", ["a"]),
        ("data\r\r", [""]),
    )

    def test_events_cut_at_every_byte(self):
        for text, expected in self.STREAMS:
            data = text.encode("utf-8")
            for size in [None] + list(range(1, len(data) + 1)):
                with self.subTest(text=text, size=size):
                    self.assertEqual(decode(data, size), expected)
            for cut in range(1, len(data)):
                decoder = vllm.EventDecoder()
                events = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
                self.assertEqual(events, expected, (text, cut))

    def test_bytes_that_are_not_utf_8_are_replaced(self):
        self.assertEqual(decode(b"data: \xff\xfe\n\n"), ["\ufffd\ufffd"])

    def peak_memory(self, act):
        """Return what `act` returns, and the most bytes of memory that it held."""
        if sys.implementation.name != "cpython":
            self.skipTest("needs tracemalloc")
        import tracemalloc
        tracemalloc.start()
        try:
            return act(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def test_an_answer_takes_little_more_memory_than_its_text(self):
        def act():
            assembler = vllm.Assembler()
            for number in range(400000):
                assembler.add(vllm.Delta(" word%d" % (number % 997)))
            return assembler.answer().content

        content, peak = self.peak_memory(act)
        self.assertTrue(content.startswith(" word0 word1"))
        self.assertEqual(content.count(" "), 400000)
        self.assertLess(peak, 2 * len(content) + 8 * 1024 * 1024)     # the pieces take 28 MB

    def test_a_long_secret_takes_little_memory(self):
        rng = random.Random(1)
        secret = "".join(rng.choice("abcdefgh/+") for _ in range(16000))
        shown, peak = self.peak_memory(
            lambda: shown_of(vllm.spellings(secret), "a", secret[1:5000], "!"))
        self.assertEqual("".join(shown), "a%s!\n" % secret[1:5000])
        self.assertLess(peak, 300 * len(secret))

    def check_linear(self, act, size):
        """Check that twice the size takes less than three times the time."""
        def best(size):
            times = []
            for _ in range(3):
                started = time.perf_counter()
                act(size)
                times.append(time.perf_counter() - started)
            return min(times)

        ratios = []
        for _ in range(3):                           # of a busy machine; quadratic is 4 each time
            ratios.append(best(2 * size) / best(size))
            if ratios[-1] < 3:
                return
        self.fail("twice the size takes %s times as long" % ratios)

    def test_cost_grows_no_faster_than_size(self):
        def event_in_small_chunks(size):
            decoder = vllm.EventDecoder()
            for _ in range(size):
                self.assertEqual(decoder.feed(b"x" * 100), [])

        def blank_bytes(size):
            exchange = mock.Mock(url="u", chunks=lambda: iter([b"\n"] * size))
            self.assertEqual(list(vllm.answer_payloads(exchange, vllm.Observed())), [])

        def arguments_in_small_pieces(size):
            piece = vllm.Delta(tool_calls=[call_piece(0, "a", "f", "x" * 100)])
            assembler = vllm.Assembler()
            for _ in range(size):
                assembler.add(piece)
            call, = assembler.answer().tool_calls
            self.assertEqual(len(call["function"]["arguments"]), 100 * size)

        def a_long_secret(size):
            rng = random.Random(size)
            secret = "".join(rng.choice("abcdefgh") for _ in range(size))
            live = vllm.LiveText(vllm.spellings(secret), str)
            for start in range(0, size, 100):
                live.add(secret[start:start + 100])
                live.flush()

        for act, size in ((event_in_small_chunks, 4000), (blank_bytes, 2000),
                          (arguments_in_small_pieces, 4000), (a_long_secret, 4000)):
            with self.subTest(act=act.__name__):
                self.check_linear(act, size)

    def test_the_parts_of_one_answer_are_bounded(self):
        assembler = vllm.Assembler()
        with self.assertRaises(vllm.ServerError):
            assembler.add(vllm.decode_delta(chunk(tool_calls=[{}] * 1000000)))
        with self.assertRaises(ValueError):
            vllm.loads_untrusted("[%s{}]" % ("{}," * 1000000))
        with self.assertRaises(vllm.ServerError):
            for index in range(2000):
                choice = {"index": index, "delta": {"content": "a"}}
                assembler.add(vllm.decode_delta({"choices": [choice]}, True))

    def test_what_is_sent_beyond_the_contract_is_kept(self):
        def choice(index, text, logprob):
            logprobs = {"content": [{"token": text, "logprob": logprob}]}
            return {"index": index, "delta": {"content": text}, "logprobs": logprobs,
                    "finish_reason": "stop"}

        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                 "prompt_tokens_details": {"cached_tokens": 1}, "odd": math.nan}
        assembler = vllm.Assembler()
        for payload in ({"choices": [choice(0, "a", -1.5)]},
                        {"choices": [choice(1, "x", -0.5)]},
                        {"choices": [choice(0, "b", -2.5), choice(1, "y", -0.25)]},
                        {"choices": [], "usage": usage}):
            assembler.add(vllm.decode_delta(payload, True))
        value = vllm.answer_json(assembler.answer({"total_s": 1.0}))
        self.assertEqual(value["content"], "ab")
        self.assertEqual([item["token"] for item in value["logprobs"]["content"]], ["a", "b"])
        other, = value["choices"]
        self.assertEqual((other["index"], other["content"], other["finish_reason"]),
                         (1, "xy", "stop"))
        self.assertEqual(len(other["logprobs"]["content"]), 2)
        self.assertEqual(value["usage"], dict(usage, odd=None))
        plain = vllm.answer_json(assemble(chunk("a"), {"choices": [choice(0, "b", -1)]}))
        self.assertNotIn("logprobs", plain)

    def test_long_numbers_in_an_event(self):
        for digits in (300, 3000, 5000, 100000):
            value = vllm.loads_untrusted('{"usage": {"completion_tokens": 1%s}}' % ("0" * digits))
            self.assertIsNone(vllm.decode_delta(value).usage.completion_tokens)
        for text in ("[" * 150 + "]" * 150, " {}\n"):
            vllm.loads_untrusted(text)
        for text in ("[" * 201 + "]" * 201, "{} {}", "", "[" * 99999):
            self.assertRaises(ValueError, vllm.loads_untrusted, text)

    def test_an_event_without_end_is_refused(self):
        with mock.patch.object(vllm, "EVENT_LIMIT", 1000):
            self.assertRaises(ValueError, decode, b"data: " + b"x" * 2000, 100)

    def test_deltas(self):
        for piece, expected in (
                ({"content": "a"}, {"content": "a"}),
                ({"content": None}, {}),
                ({"content": 7}, {}),
                ({"content": [{"text": "a"}]}, {}),
                ({"reasoning_content": "r"}, {"reasoning": "r"}),
                ({"reasoning": "r"}, {"reasoning": "r"}),
                ({"reasoning": "r", "reasoning_content": "r"}, {"reasoning": "r"}),
                ({"reasoning": {}}, {}),
                ({"tool_calls": [call_piece()]}, {"tool_calls": [call_piece()]}),
                ({"tool_calls": {}}, {}),
                ({"tool_calls": None}, {}),
                ([], {}), (7, {}), (None, {})):
            for field in ("delta", "message"):
                with self.subTest(piece=piece, field=field):
                    delta = vllm.decode_delta({"choices": [{"index": 0, field: piece}]})
                    self.assertEqual(delta, vllm.Delta(**dict({"tool_calls": ()}, **expected)))

    def test_payloads_around_a_delta(self):
        second = {"index": 1, "delta": {"content": "second"}}
        for payload in ({}, {"choices": None}, {"choices": []}, {"choices": {}}, {"choices": [7]},
                        {"choices": [{}]}, {"choices": [second]}, {"usage": 7}):
            with self.subTest(payload=payload):
                self.assertEqual(vllm.decode_delta(payload), vllm.Delta())
        finished = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        self.assertEqual(vllm.decode_delta(finished), vllm.Delta(finish_reason="stop"))
        counts = {"prompt_tokens": 1, "completion_tokens": "2", "total_tokens": 3}
        usage = vllm.decode_delta({"choices": [], "usage": counts}).usage
        self.assertEqual(usage, vllm.Usage(1, None, 3))

    def test_tool_calls_are_assembled(self):
        odd = {"index": {}, "function": {"name": [], "arguments": 9}}
        one = [("a", "f", "{}")]
        two = one + [("b", "g", "{}")]
        for name, expected, chunks in (             # of each piece: index, id, name, arguments
                ("in pieces", [("a", "f", '{"x": 1}')],
                 [[(0, "a", "f", "")], [(0, None, None, '{"x"')], [(0, None, None, ": 1}")]]),
                ("in parallel", two,
                 [[(0, "a", "f", "{")], [(1, "b", "g", "{")],
                  [(0, None, None, "}"), (1, None, None, "}")]]),
                ("same index, new id", [("a", "f", "{}"), ("b", "g", "{} ")],
                 [[(0, "a", "f", "{}")], [(0, "b", "g", "{}")], [(0, None, None, " ")]]),
                ("same id again", one, [[(0, "a", "f", "{")], [(0, "a", "f", "}")]]),
                ("late id", one, [[(0, None, "f", "{")], [(0, "a", None, "}")]]),
                ("without index", two, [[(None, "a", "f", "{}"), (None, "b", "g", "{}")]]),
                ("indices out of order", two, [[(5, "a", "f", "{}")], [(2, "b", "g", "{}")]]),
                ("odd shapes", [(None, "", "")],
                 [[{"index": [], "id": 7, "function": 8}], [odd, 7, None]])):
            with self.subTest(name=name):
                answer = assemble(*[chunk(tool_calls=[
                    call_piece(*piece) if isinstance(piece, tuple) else piece
                    for piece in pieces]) for pieces in chunks])
                calls = [(call["id"], call["function"]["name"], call["function"]["arguments"])
                         for call in answer.tool_calls]
                self.assertEqual(calls, expected)
                self.assertEqual({call["type"] for call in answer.tool_calls}, {"function"})

    def test_an_answer_is_assembled(self):
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        answer = assemble(
            chunk(role="assistant", content=""), chunk(reasoning="th"),
            chunk(reasoning_content="ink"), chunk("a"), chunk("b"), chunk(finish="stop"),
            {"choices": [], "usage": usage})
        self.assertEqual(answer[:7], ("c1", "m", "ab", "think", [], "stop", vllm.Usage(3, 2, 5)))

    def test_the_servers_words(self):
        for text, expected in (
                ('{"error": {"message": "no\\n such", "code": 404}}', "no such"),
                ('{"error": "Unauthorized"}', "Unauthorized"),
                ('{"error": {"code": 1}}', "{'code': 1}"),
                ('{"error": null, "message": "m"}', "m"),
                ('{"object": "error", "message": "m"}', "m"),
                ('{"detail": "Not Found"}', "Not Found"),
                ('{"detail": [{"loc": ["x"]}]}', "[{'loc': ['x']}]"),
                ("{}", "{}"), ("[]", "[]"), ("", ""), ('"x"', '"x"'),
                ("plain\r\ntext", "plain text"),
                ("<html><style>x</style><h1>502 Bad</h1> Gateway</html>", "Bad Gateway")):
            with self.subTest(text=text):
                self.assertEqual(vllm.excerpt(vllm.error_message(text)[0]), expected)
        vllm.error_message("[" * 99999)


def in_chunks(body):
    """Return an answer with a body in chunks (RFC 9112), which are there already."""
    return reply(body, Content_Length=None, Transfer_Encoding="chunked")


class Streams(Case):
    """Answers as they come over a connection."""

    def ask(self, step, **options):
        """Return (text of the deltas, the error that ended them or None)."""
        self.declare(self.serve(step).url)
        said, error = [], None
        try:
            for delta in vllm.stream_chat(self.provider(), HI, **options):
                said.append(delta.content)
        except vllm.Error as raised:
            error = raised
        return "".join(said), error

    def send(self, stub, **options):
        """Send a body that is ready to the model of a server; return the deltas."""
        self.declare(stub.url)
        provider = self.provider()
        return vllm.send_chat(provider, vllm.find_model(provider), DEFAULT_BODY, **options)

    def test_how_answers_end(self):
        a, stop = chunk("a"), chunk(finish="stop")
        whole = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
        died = {"error": {"message": "engine died", "code": 500}}
        old = {"object": "error", "message": "boom", "code": 400}
        for name, step, text, cause in (
                ("done", sse(a, chunk("b"), stop), "ab", None),
                ("no finish reason", sse(a), "a", None),
                ("no [DONE]", sse(a, stop, done=False), "a", None),
                ("neither", sse(a, done=False), "a", "stream-broken"),
                ("cut event", sse(a, done=False) + b"data: {", "a", "stream-broken"),
                ("no events", sse(done=False), "", "stream-broken"),
                ("only comments", sse(done=False) + b": x\n\n", "", "stream-broken"),
                ("after [DONE]", sse(stop) + b"data: nonsense\n\n", "", None),
                ("not JSON", sse(a, "nonsense"), "a", "stream-broken"),
                ("nested too deep", sse(a, "[" * 100000), "a", "stream-broken"),
                ("odd events", sse(7, [], "null", "true", a, stop), "a", None),
                ("error event", sse(a, died), "a", "stream-broken"),
                ("named error", sse(done=False) + b'event: error\ndata: "boom"\n\n', "",
                 "stream-broken"),
                ("old error", sse(a, old), "a", "stream-broken"),
                ("error that is a text", sse({"error": "boom"}), "", "stream-broken"),
                ("key refused inside", sse({"error": {"message": "x", "code": 401}}), "", "no-key"),
                ("plain JSON", reply(whole), "whole", None),
                ("plain JSON error", reply({"error": {"message": "boom", "code": 400}}), "",
                 "stream-broken"),
                ("empty", reply(b""), "", "stream-broken"),
                ("blank", reply(b"\n\n \n"), "", "stream-broken"),
                ("text", reply("hello"), "", "stream-broken"),
                ("HTML", reply("<html></html>"), "", "not-openai"),
                ("broken JSON", reply('{"choices": ['), "", "not-openai"),
                ("no choices", reply({"data": []}), "", "not-openai"),
                ("a list", reply([1]), "", "not-openai"),
                ("short by length", reply("data: {}\n\n", Content_Length=99), "", "answer-broken"),
                ("chunked and cut", in_chunks("5\r\ndata:"), "", "answer-broken")):
            with self.subTest(name=name):
                said, error = self.ask(step)
                self.assertEqual((said, error and error.cause), (text, cause))
                self.assertTrue(error is None or error.exit_status in (4, 5))
                if name == "error event":
                    self.assertIn("engine died", error.message)

    def test_a_stream_arrives_whole_however_it_is_cut(self):
        data = sse(chunk("a\u6a21"), chunk("b"), chunk(finish="stop"))
        for size in (1, 7, 64):
            def step(sock, _, __, size=size):
                for start in range(0, len(data), size):
                    sock.sendall(data[start:start + size])
            self.assertEqual(self.ask(step), ("a\u6a21b", None))
        body = data.partition(b"\r\n\r\n")[2]
        pieces = [b"%x;x=y\r\n%s\r\n" % (len(piece), piece)
                  for piece in (body[:9], body[9:40], body[40:])]
        answer = in_chunks(b"".join(pieces) + b"0\r\nTrailer: x\r\n\r\n")
        self.assertEqual(self.ask(answer), ("a\u6a21b", None))

    def test_the_first_delta_is_there_before_the_second_is_sent(self):
        first = threading.Event()

        def step(sock, _, __):
            sock.sendall(sse(chunk("a"), done=False))
            if first.wait(WAIT_S):
                sock.sendall(b"data: [DONE]\n\n")

        self.declare(self.serve(step).url)
        deltas = vllm.stream_chat(self.provider(), HI)
        self.assertEqual(next(deltas).content, "a")
        first.set()
        self.assertEqual(list(deltas), [])

    def test_dropping_the_iterator_closes_the_connection(self):
        stub = self.serve(then_watch(sse(chunk("a"), done=False)))
        self.declare(stub.url)
        deltas = vllm.stream_chat(self.provider(), HI)
        self.assertEqual(next(deltas).content, "a")
        self.assertFalse(stub.gone.is_set())
        deltas.close()
        self.assertTrue(stub.gone.wait(WAIT_S))

    def test_comments_prolong_a_silence_but_not_for_ever(self):
        def comments(data, until):
            def step(sock, _, stub):
                sock.sendall(sse(chunk("a"), done=False))
                started = time.monotonic()
                while not stub.ending.wait(0.03) and time.monotonic() - started < until:
                    sock.sendall(data)
                sock.sendall(b"data: [DONE]\n\n")
            return step

        for data in (b": alive\n\n", b"\n", b"\r\n"):
            with self.subTest(data=data):
                self.assertEqual(self.ask(comments(data, 0.5), timeout_s=0.25), ("a", None))
                said, error = self.ask(comments(data, WAIT_S), timeout_s=0.1)
                self.assertEqual((said, error.cause, error.facts["phase"]),
                                 ("a", "timeout", "comments"))
                self.assertIn("with comments only", error.message)
                self.assertGreater(error.facts["seconds"], 0.9)
        _, error = self.ask(comments(b": no line end", WAIT_S), timeout_s=0.2)
        self.assertEqual(error.facts["phase"], "read")

    def test_what_is_observed_of_an_exchange(self):
        whole = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
        pieces = chunk("a"), chunk(finish="stop")
        for name, step, done, events in (("stream", sse(*pieces), True, 3),
                                         ("no [DONE]", sse(*pieces, done=False), False, 2),
                                         ("whole", reply(whole), True, 0)):
            with self.subTest(name=name):
                observed = vllm.Observed()
                vllm.collect_answer(self.send(self.serve(step), observed=observed))
                self.assertEqual((observed.done, observed.events), (done, events))
                self.assertEqual(observed.pieces > 0, observed.events > 0)

    def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(self):
        seen, stub = [], self.serve(sse(chunk("a"), chunk("b"), done=False))
        with self.assertRaises(vllm.ServerError) as raised:
            vllm.collect_answer(self.send(stub), seen.append)
        self.assertEqual(raised.exception.partial.content, "ab")
        self.assertEqual([delta.content for delta in seen], ["a", "b"])

    def test_the_whole_exchange_can_have_a_limit(self):
        def drip(sock, _, stub):
            sock.sendall(sse(done=False))
            while not stub.ending.wait(0.02):
                sock.sendall(event(chunk("a")))

        with self.assertRaises(vllm.ServerError) as raised:
            vllm.collect_answer(self.send(self.serve(drip), total_s=0.2))
        error = raised.exception
        self.assertEqual((error.cause, error.facts["phase"]), ("timeout", "read"))

    def test_what_is_raised_before_a_wait_ends_the_exchange_as_it_is(self):
        class Stop(Exception):
            pass

        def before_wait():
            if seen:
                raise Stop()

        seen, stub = [], self.serve(then_watch(sse(chunk("a"), done=False)))
        with self.assertRaises(Stop):
            vllm.collect_answer(self.send(stub, before_wait=before_wait), seen.append)
        self.assertTrue(stub.gone.wait(WAIT_S))

    def test_module_chat(self):
        url, hello = self.demo(KEY), {"role": "user", "content": "hello there"}
        self.declare(url, KEY, id="demo-alias")
        answer = vllm.chat(self.provider(), {"messages": [hello], "stream": False})
        self.assertEqual((answer.content, answer.finish_reason), ("You said: hello there", "stop"))
        self.assertEqual(answer.usage.completion_tokens, 3)
        self.assertLessEqual(answer.timings["first_token_s"], answer.timings["total_s"])
        with self.assertRaises(vllm.UsageError):
            vllm.chat(self.provider(), {"model": "demo-alias"})
        self.declare(url, "wrong", id="demo-alias")
        with self.assertRaises(vllm.KeyRefused) as raised:
            vllm.chat(self.provider(), HI)
        self.assertEqual((raised.exception.cause, raised.exception.exit_status), ("bad-key", 5))


# ----------------------------------------------------------------------------
# Connections
# ----------------------------------------------------------------------------

class Listing(Case):
    """What becomes of `list`, the smallest of the verbs that connect."""

    def check_list(self, url, status=0, words=None, *options, **given):
        """Check how `list` of a base URL ends: with the model "m", or with `words` of an error."""
        result = self.run_main("list", "--base-url", url, *options, **given)
        self.check(result, status, out=None if status else "vllm/m", err=words)
        return result


class Transport(Listing):

    GPU = "http://gpu.example/v1"                   # which only a proxy can reach

    def test_answers_that_are_not_http(self):
        garbled, ended = "does not speak HTTP", "closed in the middle"
        for name, data, words in (
                ("nothing", b"", "the connection was closed waiting for the answer"),
                ("garbage", b"\x00\xff garbage\r\n\r\n", garbled),
                ("no version", b"HELLO 200 OK\r\n\r\n", garbled),
                ("half a status line", b"HTTP/1.1 20", garbled),
                ("bad status", b"HTTP/1.1 abc OK\r\n\r\n", garbled),
                ("status 99", b"HTTP/1.1 99 X\r\n\r\n", garbled),
                ("status 199", reply("", "199 Early"), "HTTP 199"),
                ("long line", b"HTTP/1.1 200 " + b"x" * 70000 + b"\r\n\r\n", "not valid HTTP"),
                ("long header", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n",
                 "not valid HTTP"),
                ("many headers", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
                 "not valid HTTP"),
                ("headers cut", b"HTTP/1.1 200 OK\r\nContent-Le", "is empty"),
                ("short body", reply("{}", Content_Length=10), "ended after 2 of 10 bytes"),
                ("bad length", reply('{"data": []}', Content_Length="x"), "no models"),
                ("negative length", reply('{"data": []}', Content_Length=-5), "no models"),
                ("chunk size", in_chunks("zz\r\n{}\r\n"), ended),
                ("negative chunk", in_chunks("-5\r\n{}\r\n0\r\n\r\n"), "server's log"),
                ("chunk cut", in_chunks("ff\r\n{}"), ended),
                ("no last chunk", in_chunks("2\r\n{}\r\n"), ended),
                ("TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", "use the other scheme: https")):
            with self.subTest(name=name):
                self.check_list(self.serve(data).url, 1 if words == "no models" else 4, words)

    def test_interim_answers_are_passed_over(self):
        self.check_list(self.serve(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + rows("m")).url)

    def test_byte_cap(self):
        fits = reply(rows("m").partition(b"\r\n\r\n")[2].ljust(1000))
        with mock.patch.object(vllm, "MODEL_LIST_LIMIT", 1000):
            self.check_list(self.serve(reply(b" " * 1001)).url, 4, "larger than 1000 bytes")
            self.check_list(self.serve(fits).url)

    def drip(self, data, gap_s):
        """Return a step that sends a byte at a time, forever."""
        def step(sock, _, stub):
            sock.sendall(data)
            while not stub.ending.wait(gap_s):
                sock.sendall(b" ")
        return step

    def test_a_dripping_server_is_cut_off_at_the_deadline(self):
        for name, data in (("body", reply(b"", Content_Length=9999)),
                           ("headers", b"HTTP/1.1 200 OK\r\nX: "),
                           ("status line", b"HTTP/1.1 200 ")):
            with self.subTest(name=name):
                url = self.serve(self.drip(data, 0.02)).url
                self.check_list(url, 4, "timed out", "--timeout", "0.2")

    def test_silence_is_timed_apart_from_a_slow_answer(self):
        self.declare(self.serve(self.drip(sse(chunk("a"), done=False), 9)).url)
        self.check(self.run_main("chat", "hi", "--timeout", "0.5"), 4, out="a\n",
                   err="timed out in the middle of the answer")

        def slow(sock, _, stub):
            sock.sendall(sse(done=False))
            for _ in range(22):
                stub.ending.wait(0.05)                   # 1.1 s in all, more than silence may last
                sock.sendall(event(chunk("a")))
            sock.sendall(b"data: [DONE]\n\n")

        self.declare(self.serve(slow).url)
        self.check(self.run_main("chat", "hi", "--timeout", "1"), 0, out="a" * 22)

    def test_timeouts_of_the_config(self):
        for seconds in (1, 1e9, 2 ** 53 - 1):
            self.declare(self.serve(sse(chunk("a"))).url, block={"timeoutSeconds": seconds})
            self.check(self.run_main("chat", "hi"), 0, out="a\n")

    def test_redirects_are_told_and_not_followed(self):
        target = self.serve(rows("m"))
        for status, location, right in (
                ("301 Moved", target.url + "/models", "baseUrl to " + target.url),
                ("307 X", "/gw/v1/models?x=y", "/gw/v1"),
                ("308 X", "https://h/v1/models/", "baseUrl to https://h/v1"),
                ("302 X", None, "nowhere"),
                ("303 X", "http://[", "the address the server names"),
                ("302 X", "http://h/\x1b[31m", "\\x1b[31m")):
            with self.subTest(location=location):
                url = self.serve(reply("", status, Location=location)).url
                self.check_list(url, 4, right, env={"VLLM_API_KEY": KEY})
        elsewhere = reply("", "307 X", Location=target.url + "/chat/completions")
        self.declare(self.serve(elsewhere).url, KEY)
        self.check(self.run_main("chat", "hi"), 4, err="redirects are not followed")
        self.assertEqual(target.requests, [])

    def test_requests_are_plain(self):
        stub = self.serve(rows("m"))
        self.check_list(stub.url, env={"VLLM_API_KEY": KEY})
        self.check_list(stub.origin + "/\u00fc/v1")
        plain, encoded = stub.requests
        self.assertEqual((plain.method, plain.target), ("GET", "/v1/models"))
        self.assertEqual(plain.headers, {
            "host": "127.0.0.1:%d" % stub.address[1], "connection": "close", "user-agent": "python",
            "accept": "application/json, text/event-stream", "accept-encoding": "identity",
            "authorization": "Bearer " + KEY})
        self.assertEqual(encoded.target, "/%C3%BC/v1/models")

    def test_loopback_is_never_proxied(self):
        proxy, url = self.serve(rows("evil")), self.serve(rows("m")).url
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            self.check_list(url, env={name: proxy.origin})
        self.assertEqual(proxy.requests, [])

    def test_which_proxy(self):
        for env, url, expected in (
                ({}, "http://h/v1", None),
                ({"http_proxy": "p:1"}, "http://h/v1", "http://p:1"),
                ({"http_proxy": " "}, "http://h", None),
                ({"http_proxy": "http://u:p%40w@p:1"}, "http://h/v1", "http://p:1"),
                ({"http_proxy": "a:1", "HTTP_PROXY": "b:1"}, "http://h", "http://a:1"),
                ({"http_proxy": "p:1", "NO_PROXY": "h"}, "http://h", None),
                ({"HTTP_PROXY": "http://p:1/"}, "http://h/v1", "http://p:1/"),
                ({"HTTP_PROXY": "http://p:1"}, "https://h/v1", None),
                ({"HTTP_PROXY": "p:1", "REQUEST_METHOD": "GET"}, "http://h", None),
                ({"HTTPS_PROXY": "http://p:1"}, "https://h/v1", "http://p:1"),
                ({"ALL_PROXY": "http://p:1"}, "https://h/v1", "http://p:1")):
            with self.subTest(env=env, url=url):
                self.assertEqual(vllm.proxy_for(vllm.split_url(url), env), expected)
        url = vllm.split_url("http://h/v1")
        for proxy in ("socks5://p:1", "https://p:1", "https://u:secretpw@p:1",
                      "http://u:secretpw@p:x"):
            with self.assertRaises(vllm.ConfigError) as raised:
                vllm.proxy_for(url, {"http_proxy": proxy})
            self.assertNotIn("secretpw", raised.exception.message)

    def test_no_proxy(self):
        for entries, covered, others in (
                ("", "", "h"),
                ("h", "h", "xh"),
                ("H", "h", ""),
                ("xh", "", "h"),
                ("a,h b", "h", ""),
                ("a, b", "b", ""),
                ("*", "h", ""),
                ("h:8000", "h:8000", "h:8001"),
                ("h:80", "h", ""),
                ("example.com", "gpu.example.com", "myexample.com"),
                (".example.com", "gpu.example.com example.com", ""),
                ("*.example.com", "gpu.example.com", ""),
                ("10.1.2.3", "10.1.2.3", ""),
                ("10.1.2.3/8", "10.9.9.9", ""),
                ("10.0.0.0/8", "10.1.2.3", "11.1.2.3 ten.example [fd00::1]"),
                ("10.0.0.0/99", "", "10.1.2.3"),
                ("fd00::/8", "[fd00::1]:8000", "[fe00::1]"),
                ("fd00::1", "[fd00::1]", ""),
                ("fd00:0:0:0:0:0:0:1", "[fd00:0:0:0:0:0:0:1]", ""),
                ("[fd00::1]:8000", "[fd00::1]:8000", "[fd00::1]:8001"),
                (".", "", "h"), (",", "", "h"), ("/", "", "1.2.3.4")):
            for host in covered.split() + others.split():
                with self.subTest(entries=entries, host=host):
                    url = vllm.split_url("http://" + host)
                    self.assertEqual(vllm.no_proxy_covers(entries, url), host in covered.split())

    def test_http_through_a_proxy(self):
        proxy = self.serve(rows("m"))
        self.check_list("http://gpu.example:8000/v1",
                        env={"http_proxy": proxy.origin, "VLLM_API_KEY": KEY})
        request, = proxy.requests
        self.assertEqual((request.target, request.headers["host"]),
                         ("http://gpu.example:8000/v1/models", "gpu.example:8000"))
        for answer, words in ((reply("", "502 Bad Gateway"), "NO_PROXY=gpu.example"),
                              (reply("", "407 Auth"), "put its user and password into its URL")):
            self.check_list(self.GPU, 4, words, env={"http_proxy": self.serve(answer).origin})
        self.check_list(self.GPU, 4, "refuses connections", env={"http_proxy": closed_origin(self)})

    def test_the_password_of_a_proxy_is_sent_and_never_shown(self):
        proxy = self.serve(rows("m"), reply("no, not aladdin:open%20sesame", "407 Auth"))
        env = {"http_proxy": proxy.origin.replace("//", "//aladdin:open%20sesame@")}
        self.check_list(self.GPU, 0, None, "--api-key-file", self.write("key", KEY), env=env)
        credentials = "YWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        self.assertEqual(proxy.requests[0].headers["proxy-authorization"], "Basic " + credentials)
        refused = self.check_list(self.GPU, 4, "HTTP 407 in place of the server", "--verbose",
                                  env=env)
        for secret in ("sesame", credentials.rstrip("=")):
            self.assertNotIn(secret, refused.err)

    def test_a_host_name_beyond_ascii_goes_through_a_proxy(self):
        proxy, tunnel = self.serve(rows("m")), self.serve(reply("", "403 No"))
        self.check_list("http://b\u00fccher.example:8000/v1",
                        env={"http_proxy": proxy.origin, "VLLM_API_KEY": KEY})
        self.check_list("https://b\u00fccher.example/v1", 4, "HTTP 403",
                        env={"https_proxy": tunnel.origin, "VLLM_API_KEY": KEY})
        host = "xn--bcher-kva.example"
        self.assertEqual(proxy.requests[0].target, "http://%s:8000/v1/models" % host)
        self.assertEqual(proxy.requests[0].headers["host"], host + ":8000")
        self.assertEqual(tunnel.requests[0].target, host + ":443")

    @unittest.skipIf(os.name == "nt", "no signals to send")
    def test_ctrl_c_ends_a_run_over_servers_that_hang(self):
        for verb in ("list", "doctor"):
            with self.subTest(verb=verb):
                asked = [threading.Event() for _ in range(3)]

                def hang(sock, _, stub):
                    asked[stubs.index(stub)].set()
                    stub.ending.wait(WAIT_S)

                stubs = [self.serve(hang) for _ in asked]
                argv = [verb, "--timeout", str(WAIT_S)]
                for stub in stubs:
                    argv += ["--base-url", stub.url]
                with program(self.env({"VLLM_API_KEY": KEY}), argv) as process:
                    process.stdin.close()
                    for event in asked:
                        self.assertTrue(event.wait(WAIT_S))
                    started = time.monotonic()
                    process.send_signal(signal.SIGINT)
                    self.assertEqual(process.wait(WAIT_S), 130)
                    self.assertLess(time.monotonic() - started, 1.0)
                    self.assertNotIn(b"Traceback", process.stderr.read())

    def test_calls_in_parallel(self):
        sums = vllm.in_parallel(lambda a, b: a + b, [(number, 1) for number in range(999)])
        self.assertEqual(sums, list(range(1, 1000)))
        with self.assertRaises(ZeroDivisionError):
            vllm.in_parallel(lambda a: 1 // a, [(1,), (0,), (2,)])

    def test_names_that_do_not_resolve(self):
        unknown = socket.gaierror(-2, "Name or service not known")
        with mock.patch("socket.getaddrinfo", side_effect=unknown):
            self.check_list("http://nowhere.invalid/v1", 4, "'nowhere.invalid' does not resolve")
        for host in ("a" * 64, "a..b", "\u00fc" * 70):
            self.check_list("http://%s/v1" % host, 4, None, "--timeout", "5")
        stop = threading.Event()
        self.addCleanup(stop.set)
        with mock.patch("socket.getaddrinfo", side_effect=lambda *_: stop.wait(WAIT_S)):
            self.check_list("http://slow.invalid/v1", 4, "timed out looking up the host",
                            "--timeout", "0.1")

    @unittest.skipUnless(socket.has_ipv6, "no IPv6")
    def test_ipv6(self):
        try:
            stub = self.serve(rows("m"), host="::1")
        except OSError as error:
            self.skipTest(str(error))
        self.check_list(stub.url)
        self.assertEqual(stub.requests[0].headers["host"], "[::1]:%d" % stub.address[1])


class Tls(Listing):

    def setUp(self):
        super(Tls, self).setUp()
        self.authority = self.write("ca.pem", CERTIFICATE)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.authority, self.write("key.pem", CERTIFICATE_KEY))

    def test_authorities(self):
        stub = self.serve(rows("m"), tls=self.context)
        self.check_list(stub.url, 0, None, "--ca-file", self.authority)
        self.check_list(stub.url, env={"SSL_CERT_FILE": self.authority})
        self.check_list(stub.url, 4, "--ca-file CA.pem", env={"VLLM_API_KEY": KEY})
        self.assertEqual(len(stub.requests), 2)
        for path in (self.path("none.pem"), self.write("bad.pem", "x"), self.home):
            self.check_list(stub.url, 3, "cannot be used", "--ca-file", path)

    @unittest.skipUnless(hasattr(os, "mkfifo"), "no FIFOs")
    def test_a_fifo_is_not_waited_for(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        url = "https://127.0.0.1:%d/v1" % self.serve(then_watch(b"")).address[1]
        self.check_list(url, 3, "or a FIFO", "--ca-file", fifo)
        self.check_list(url, 3, "or a FIFO", env={"SSL_CERT_FILE": fifo})

    @unittest.skipIf(sys.version_info < (3, 8) or sys.implementation.name != "cpython"
                     or sys.flags.ignore_environment, "this interpreter keeps no key log")
    def test_a_key_log_that_cannot_be_opened_is_named(self):
        stub, log = self.serve(rows("m"), tls=self.context), self.path("none", "log")
        with mock.patch.dict(os.environ, SSLKEYLOGFILE=log):
            self.check_list(stub.url, 3, log, "--ca-file", self.authority)

    def test_the_wrong_scheme(self):
        secure = self.serve(rows("m")).url.replace("http:", "https:")
        self.check_list(secure, 4, "use the other scheme: http:")
        for words in ("The plain HTTP request was sent to HTTPS port",
                      "Client sent an HTTP request to an HTTPS server.",
                      "You're speaking plain HTTP to an SSL-enabled server port."):
            url = self.serve(reply(words, "400 Bad Request")).url
            self.check_list(url, 4, "the other scheme: https:")

    def test_a_certificate_for_another_host(self):
        stub = self.serve(rows("m"), tls=self.context)
        url = stub.url.replace("127.0.0.1", "other.example")
        with names(other_example="127.0.0.1"):
            self.check_list(url, 4, "is not for other.example: it is for localhost, 127.0.0.1",
                            "--ca-file", self.authority)
        self.assertEqual(stub.requests, [])

    def test_tunnel(self):
        target = self.serve(rows("m"), tls=self.context)

        def tunnel(sock, request, _):
            self.assertEqual((request.method, request.headers), ("CONNECT", {
                "host": request.target, "proxy-authorization": "Basic dTpw",
                "accept-encoding": "identity"}))
            with contextlib.closing(socket.create_connection(target.address, WAIT_S)) as other:
                sock.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
                pairs = {sock: other, other: sock}
                while pairs:
                    for ready in select.select(list(pairs), [], [], WAIT_S)[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        pairs[ready].sendall(data)

        proxy, refusing = self.serve(tunnel), self.serve(reply("", "403 Forbidden"))
        through = {"HTTPS_PROXY": proxy.origin.replace("//", "//u:p@"), "VLLM_API_KEY": KEY}
        # The certificate is for loopback, which is never proxied: so the name is mocked away.
        with mock.patch.object(vllm, "is_loopback", return_value=False):
            self.check_list(target.url, 0, None, "--ca-file", self.authority, env=through)
            self.check_list(target.url, 4, "it answers HTTP 403 in place of the server",
                            env=dict(through, HTTPS_PROXY=refusing.origin))
        self.assertEqual(proxy.requests[0].target, "127.0.0.1:%d" % target.address[1])
        requests = proxy.requests + refusing.requests + target.requests
        self.assertEqual([request.headers.get("authorization") for request in requests],
                         [None, None, "Bearer " + KEY])


# ----------------------------------------------------------------------------
# What a server's answer means
# ----------------------------------------------------------------------------

def complaint(message, **fields):
    """Return the error body of vLLM from 0.10.1 on."""
    return {"error": dict({"message": message, "type": "BadRequestError"}, **fields)}


def flat(message):
    """Return the error body of vLLM up to 0.10.0."""
    return {"object": "error", "message": message, "type": "BadRequestError", "code": 400}


def invalid(loc, msg, kind="value_error"):
    """Return a validation error in the words of pydantic; `loc` is a tuple, from 0.32 a text."""
    return "[{'type': %r, 'loc': %r, 'msg': %r, 'input': 1}]" % (kind, loc, msg)


def extra(*loc):
    return invalid(loc, "Extra inputs are not permitted", "extra_forbidden")


CONTEXT = "This model's maximum context length is 2048 tokens. However, "
NO_TEMPLATE = ("As of transformers v4.44, default chat template is no longer allowed, so you must "
               "provide a chat template if the tokenizer does not define one.")
NO_FUNCTIONS = ("Cannot use chat template functions because tokenizer.chat_template is not set and "
                "no template argument was passed!")
ENGINE_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
NGINX_PAGE = ("<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n"
              "<center><h1>%s</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n"
              "</body>\r\n</html>\r\n")


def nginx(status, **headers):
    return reply(NGINX_PAGE % (status, status), status, Server="nginx/1.22.1",
                 Content_Type="text/html", **headers)


def bad_request(body):
    return reply(body, "400 Bad Request")


class Meaning(Case):

    def refusal(self, *script, **row):
        """Return the error that a completion of the declared model "m" ends with."""
        url = self.serve(*script).url
        self.declare(url, **row)
        with self.assertRaises(vllm.Error) as raised:
            vllm.chat(self.provider(), HI)
        return raised.exception

    def failure(self, verb, answer):
        """Return the error that `list` or `chat` ends with, of a server that answers so."""
        models = [] if verb == "list" else [{"id": "m", "name": "m"}]
        self.declare(self.serve(answer).url, block={"models": models})
        with self.assertRaises(vllm.Error) as raised:
            if verb == "list":
                vllm.discover_models(self.provider())
            else:
                vllm.chat(self.provider(), HI)
        return raised.exception

    def test_fields_that_the_server_does_not_know(self):
        for body, field, switch in (
                (flat(extra("body", "stream_options")), "stream_options",
                 '{"supportsUsageInStreaming": false}'),
                (flat(extra("body", "max_completion_tokens")), "max_completion_tokens",
                 '{"maxTokensField": "max_tokens"}'),
                (complaint(extra("body", "tools", 0, "function", "strict")), "strict",
                 '{"supportsStrictMode": false}'),
                (complaint(invalid("body.store", "Extra inputs are not permitted")), "store",
                 '{"supportsStore": false}'),
                (flat(extra("body", "top_k")), "top_k", "leave the field out")):
            for status in ("400 Bad Request", "422 Unprocessable Entity"):
                with self.subTest(field=field, status=status):
                    error = self.refusal(reply(body, status))
                    self.assertEqual(error.cause, "unknown-field-rejected")
                    self.assertEqual(error.facts["field"], field)
                    self.assertIn(switch, error.hint)

    def test_values_that_the_caller_set(self):
        bounds = "Input should be less than or equal to 2"
        content = ("body", "messages", 0, "ChatCompletionUserMessageParam", "content",
                   "function-wrap[check()]", "str")
        for message, param, field in (
                ("temperature must be in [0, 2], got 5.0.", None, "temperature"),
                ("top_p must be in (0, 1], got 7.0. (parameter=top_p, value=7.0)", "top_p",
                 "top_p"),
                ("logit_bias contains key(s) that cannot be converted", "logit_bias", "logit_bias"),
                (invalid(("body", "temperature"), bounds), None, "temperature"),
                ("1 validation error:\n  " + invalid("body.stop", "too long"), "body.stop", "stop"),
                (invalid(("body", "tools", 0, "function", "name"), "Field required"), None,
                 "tools.0.function.name"),
                (invalid(content, "Input should be"), None, "messages.0.content.str"),
                ("m is not a multimodal model None", None, "the image"),
                ("At most 0 image(s) may be provided in one prompt.", None, "the image")):
            for body in (complaint(message, param=param), dict(flat(message), param=param)):
                with self.subTest(field=field, message=message):
                    error = self.refusal(bad_request(body))
                    self.assertEqual((error.cause, error.facts["field"]), ("field-refused", field))
                    self.assertNotIn("doctor", error.next_step)

    def test_refusals_of_any_size(self):
        for message, param in (("x", "y" * 9999),
                               (invalid(("body", "y" * 9999), "bad"), None),
                               (extra("body", "y" * 9999), None),
                               (CONTEXT + "9" * 9999, None),
                               ("maximum context length is " + "9" * 9999, None),
                               ("'loc': (" * 12000, None),
                               ("'loc': ('" * 12000, None)):
            error = self.refusal(bad_request(complaint(message, param=param)))
            self.assertLess(len(error.message + error.hint), 1200)

    def test_validation_errors_that_name_no_field(self):
        causes = ("chat-failed", "field-refused", "unknown-field-rejected")
        for loc in ("()", "('body',)", "'body'", "'", "(0, 1)", "(", "('',)", "('body', 'A[b]')"):
            for message in ("[{'type': 'x', 'loc': %s, 'msg': 'Input should be'}]" % loc,
                            "[{'loc': %s, 'msg': 'Extra inputs are not permitted'}]" % loc):
                self.assertIn(self.refusal(bad_request(flat(message))).cause, causes, loc)

    def test_prompts_and_answers_that_do_not_fit(self):
        prompt, both = "the prompt does not fit", "the prompt and its answer do not fit"
        larger = "start vLLM with a larger --max-model-len"
        for message, problem, fix in (
                (CONTEXT + "you requested 3000 tokens (1000 in the messages, 2000 in the "
                 "completion). Please reduce the length of the messages or completion.",
                 "(1000 tokens of prompt, 2048 of context)", "lower --max-tokens to 1048"),
                (CONTEXT + "your request has 3000 input tokens. Please reduce the length of the "
                 "input messages.",
                 prompt + " the context of m (3000 tokens of", larger),
                ("'max_tokens' or 'max_completion_tokens' is too large: 5000. " + CONTEXT[:-9] +
                 " and your request has 13 input tokens (5000 > 2048 - 13).",
                 both + " the context of m (13 tokens", "lower --max-tokens to 2035"),
                ("The decoder prompt (length 5000) is longer than the maximum model length of "
                 "2048.",
                 prompt + " the context of m (5000 tokens of", larger),
                ("You passed 1500 input tokens and requested 1000 output tokens. However, the "
                 "model's context length is only 2048 tokens, resulting in a maximum input length "
                 "of 1048 tokens.",
                 "(1500 tokens of prompt, 2048 of context)", "lower --max-tokens to 548"),
                (CONTEXT + "your prompt contains at least 2049 input tokens, which exceeds this "
                 "limit even without any output tokens.",
                 prompt, larger),
                (CONTEXT + "your prompt contains 99999 characters (more than 40000 characters, "
                 "which is the upper bound for 2047 input tokens).",
                 prompt, larger),
                ("max_tokens must be at least 1, got -952.", prompt, larger),
                ("max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer "
                 "output tokens.",
                 "do not fit the context of m: max_tokens=5000", "lower --max-tokens")):
            for body in (flat(message), complaint(message, param="max_tokens")):
                with self.subTest(message=message):
                    error = self.refusal(bad_request(body))
                    self.assertEqual(error.cause, "context-exceeded")
                    self.assertIn(problem, error.message)
                    self.assertIn(message[-20:], error.message)
                    self.assertIn("shorten the prompt", error.hint)
                    self.assertIn(fix, error.hint)
                    self.assertEqual("--max-tokens" in error.hint, fix != larger)

    def test_servers_that_cannot_chat(self):
        page = vllm.TOOL_PARSER[2]
        no_chat = "The model does not support Chat Completions API"
        auto = ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to '
                'be set')
        required = 'tool_choice="required" requires --tool-call-parser to be set'
        for answer, cause, words, step in (
                (bad_request(complaint(NO_TEMPLATE)), "no-chat-template", "m has no chat template",
                 "--chat-template"),
                (bad_request(flat(NO_TEMPLATE + " None")), "no-chat-template", "transformers", ""),
                (reply(flat(NO_FUNCTIONS), "500 Bad"), "no-chat-template", "", "instruct"),
                (bad_request(flat(no_chat)), "not-a-chat-model", "m does not chat",
                 "serve a chat model"),
                (reply(complaint(no_chat), "501 Not"), "not-a-chat-model", "m does not chat", ""),
                (bad_request(flat(auto)), "tools-disabled", "not accept tools", page),
                (bad_request(complaint(required)), "tools-disabled", "not accept tools", page)):
            with self.subTest(cause=cause, words=words, step=step):
                error = self.refusal(answer)
                self.assertEqual(error.cause, cause, error)
                self.assertIn(words, error.message)
                self.assertIn(step, error.next_step)

    def test_whether_nothing_chats_or_the_model_is_not_there(self):
        missing = "404 Not Found"
        for listed, cause in ((rows("m"), "not-a-chat-model"),
                              (rows("n"), "http-error"),
                              (reply("", missing), "http-error")):
            error = self.refusal(reply({"detail": "Not Found"}, missing), listed)
            self.assertEqual(error.cause, cause)
        no_model = "The model `m` does not exist. Valid aliases: m2, x."
        ollama = 'model "m" not found, try pulling it first'
        litellm = "Invalid model name passed in model=m. Call `/v1/models`"
        for answer, listed, hint in (
                (reply(complaint(no_model, code=404), missing), rows("m2", "x"),
                 "did you mean --model m2 ?"),
                (reply(complaint(ollama), missing), rows("x"), "the server has: x"),
                (bad_request(complaint(litellm)), rows("x"), "the server has: x")):
            error = self.refusal(answer, listed)
            self.assertEqual((error.cause, error.hint), ("model-not-served", hint))

    def test_an_engine_that_died(self):
        for message in (ENGINE_DEAD, "Engine loop is not running. Inspect the stacktrace",
                        "Background loop has errored already.",
                        "Engine process (pid 7) died."):
            for body in (flat(message), complaint(message, code=500)):
                error = self.refusal(reply(body, "500 Internal Server Error"))
                self.assertEqual(error.cause, "engine-dead", message)
        error = self.refusal(sse(chunk("a"), complaint(ENGINE_DEAD, code=500)))
        self.assertEqual(error.cause, "engine-dead")
        error = self.refusal(bad_request(complaint("the prompt spoke of EngineCore")))
        self.assertEqual(error.cause, "chat-failed")

    def test_layers_before_the_server(self):
        busy, down, slow = "it is busy", "the server behind it is down", "proxy_read_timeout"
        unavailable, unauthorized = "503 Service Unavailable", "401 Unauthorized"
        many, own = "429 Too Many Requests", "headers.Authorization"
        haproxy = ("<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle "
                   "this request.\n</body></html>")
        for answer, cause, words, step in (
                (nginx("413 Request Entity Too Large"), "gateway",
                 "HTTP 413: Request Entity Too Large (answered by nginx/1.22.1)",
                 "client_max_body_size"),
                (nginx("502 Bad Gateway"), "gateway", "HTTP 502: Bad Gateway (answered by", down),
                (nginx("504 Gateway Time-out"), "gateway", "Gateway Time-out", slow),
                (nginx("503 Service Temporarily Unavailable"), "gateway", "503", "it is busy, or"),
                (reply("no available server", unavailable), "gateway",
                 "HTTP 503: no available server", "is down"),
                (reply("no healthy upstream", unavailable, Server="envoy"), "gateway",
                 "(answered by envoy)", "is down"),
                (reply(haproxy, unavailable), "gateway", "No server is available", "is down"),
                (reply(complaint("Server overloaded, queue is full"), "503 Busy", Retry_After="7"),
                 "gateway", "queue is full", "read their logs (Retry-After: 7)"),
                (reply(complaint("Rate limit exceeded"), many, x_litellm_version="1.70"),
                 "gateway", "(answered by litellm)", busy),
                (reply("", many), "gateway", "429: Too Many Requests", busy),
                (reply("", "524 A Timeout", Server="cloudflare"), "gateway", "cloudflare", slow),
                (reply("", "522 Unreachable", Server="cloudflare"), "gateway", "HTTP 522", down),
                (nginx("401 Authorization Required", WWW_Authenticate='Basic realm="gpu"'),
                 "gateway-auth", 'Basic realm="gpu"', own),
                (reply("", unauthorized, WWW_Authenticate='Bearer realm="sso", error="x"'),
                 "gateway-auth", '"sso"', own),
                (reply("", unauthorized, WWW_Authenticate="Bearer"), "no-key", "401", ""),
                (reply({"error": "Unauthorized"}, unauthorized), "no-key",
                 "HTTP 401: Unauthorized", "--api-key")):
            for verb in ("list", "chat"):
                with self.subTest(verb=verb, words=words):
                    error = self.failure(verb, answer)
                    self.assertEqual(error.cause, cause)
                    self.assertIn(words, error.message)
                    self.assertIn(step, error.next_step)
                    self.assertEqual(error.message.count("Gateway"), words.count("Gateway"), error)
        page = reply("x", Server="nginx", Content_Type="text/html")
        self.assertEqual([self.failure(verb, page).cause for verb in ("list", "chat")],
                         ["not-openai", "stream-broken"])

    def test_who_answered(self):
        page = (NGINX_PAGE % ("404 Not Found", "404 Not Found")).encode("ascii")
        for headers, body, words in (
                ({}, b"", ""),
                ({}, b'{"error": "<p>nginx"}', ""),
                ({}, page, " (answered by nginx)"),
                ({"Server": "uvicorn"}, b"{}", ""),
                ({"Server": "uvicorn", "Via": "1.1 proxy"}, b"", " (answered by 1.1 proxy)"),
                ({"Server": "envoy"}, b"", " (answered by envoy)"),
                ({"x-litellm-call-id": "1"}, b"{}", " (answered by litellm)")):
            self.assertEqual(vllm.layer_facts(headers, body), {"answered_by": words})

    def test_whose_limit_ended_the_wait(self):
        config = "models.providers.vllm.timeoutSeconds"
        headers, opened = b"HTTP/1.1 200 OK\r\n", sse(done=False)
        early, first = "waiting for the answer to begin", "before the first token"
        late = "in the middle of the answer"
        for seconds, timeout_s, limit, sent, words in (
                (0.1, None, config, headers, early),
                (0.1, None, config, opened, first),
                (0.1, None, config, sse(chunk("a"), done=False), late),
                (9, 0.1, "--timeout", opened, first),
                (None, 0.1, "--timeout", headers, early)):
            with self.subTest(limit=limit, words=words):
                self.declare(self.serve(then_watch(sent)).url)
                provider = self.provider()._replace(timeout_s=seconds)
                with self.assertRaises(vllm.ServerError) as raised:
                    vllm.chat(provider, HI, timeout_s=timeout_s)
                error = raised.exception
                self.assertRegex(error.message, "timed out %s after [0-9.]+ s" % words)
                self.assertIn("(limit: %s)" % limit, error.message)
                self.assertIn("to wait longer, raise " + limit, error.hint)
                self.assertEqual("queue or a long prompt" in error.hint, words != late)
        error = vllm.timeout_error("http://h", "connect", 10, config)
        self.assertNotIn(config, error.message + error.hint)
        self.assertIn("(limit: the default)", vllm.timeout_error("u", "first", 300).message)

    def test_doctor_is_named_only_where_it_knows_more(self):
        self.assertLessEqual(vllm.DOCTOR_KNOWS_MORE, set(vllm.CAUSES))
        for answer, more in (
                (reply({"error": "Unauthorized"}, "401 Unauthorized"), True),
                (reply(complaint("boom"), "500 Oops"), True),
                (nginx("504 Gateway Time-out"), False),
                (nginx("413 Request Entity Too Large"), False),
                (reply("", "429 Too Many Requests"), False),
                (bad_request(complaint("top_p must be in (0, 1].")), False),
                (bad_request(complaint(NO_TEMPLATE)), False)):
            self.declare(self.serve(answer).url)
            result = self.run_main("chat", "hi")
            self.assertEqual("more: %s doctor" % vllm.TOOL in result.err, more, result.err)
            self.assertLessEqual(len(result.err.splitlines()), 3)

    def test_commands_are_quoted_for_a_shell(self):
        error = vllm.proxy_error("http://a'b/v1", "http://p", 407)
        self.assertEqual(shlex.split(error.command), ["export", "NO_PROXY=a'b"])
        self.assertEqual(error.next_step, error.hint + ": " + error.command)
        self.assertIsNone(vllm.error_for("dns", host="h").command)

    def test_commands_that_start_a_server_with_a_parser(self):
        options, weights = "--enable-auto-tool-choice --tool-call-parser hermes", "/models/Qwen3-8B"
        for url, model_id, root, command in (
                ("http://127.0.0.1:8001/v1", "my model", weights,
                 weights + " --served-model-name 'my model' --port 8001"),
                ("https://gpu.example/v1", "my model", weights,
                 weights + " --served-model-name 'my model'"),
                ("https://gpu.example/v1", "Qwen/Qwen3-8B", None, "Qwen/Qwen3-8B")):
            model = MODEL._replace(id=model_id, root=root)
            self.assertEqual(vllm.parser_facts(url, model, vllm.TOOL_PARSER),
                             {"fix": "start vLLM with " + options,
                              "command": "vllm serve %s %s" % (command, options)})
        unknown = MODEL._replace(id="m", root="x")
        for kind in (vllm.TOOL_PARSER, vllm.REASONING_PARSER):
            facts = vllm.parser_facts("https://h/v1", unknown, kind)
            self.assertRegex(facts["fix"], ": https://docs.vllm.ai/en/latest/features/[a-z_]+/$")
            self.assertNotIn("command", facts)

    def test_model_lists(self):
        def discover(answer):
            url = self.serve(answer).url
            return vllm.discover_models(self.provider({}, {"VLLM_API_KEY": KEY}, base_url=url))

        row = {"id": "m"}
        for answer, model_id in ((reply({"data": [row]}, "206 Partial Content"), "m"),
                                 (reply({"data": [row], "error": {"message": "x"}}), "m"),
                                 (reply('{"data": [{"id": "m", "x": "is: NaN"}]}'), "m"),
                                 (reply('{"data": [{"id": "NaN"}]}'), "NaN")):
            self.assertEqual([model.id for model in discover(answer)], [model_id])
        for answer, words in (
                (reply('{"data": [{"id": "m", "x": NaN}]}'), "it holds NaN, which"),
                (reply('{"data": [{"id": "m", "x": [1,-Infinity]}]}'), "it holds -Infinity"),
                (reply({"error": {"message": "boom"}}), "boom"),
                (reply("", "204 No Content"), "it is empty")):
            with self.assertRaises(vllm.Error) as raised:
                discover(answer)
            self.assertIn(words, raised.exception.message)

    def test_answers_without_content(self):
        empty = vllm.Assembler().answer({})
        for reason, reasoning, detail, fix in (
                ("length", "Hm", "used up by reasoning", "enable_thinking"),
                ("length", "", "its budget of tokens was used up", "raise --max-tokens"),
                ("stop", "Hm", "all its text is in the reasoning field", "--reasoning-parser"),
                ("stop", "", "finish reason stop", "try again")):
            answer = empty._replace(reasoning=reasoning, finish_reason=reason)
            error = vllm.empty_answer(MODEL, answer)
            self.assertIn(detail, error.message)
            self.assertIn(fix, error.hint)
            self.assertEqual("reasoning" in error.message, bool(reasoning))

    def test_whether_a_server_chats(self):
        for paths, expected in ((["/v1/models", "/v1/chat/completions"], True),
                                (["/v1/models", "/gpu/v1/chat/completions"], True),
                                (["/v1/models", "/v1/embeddings"], False),
                                (["/v1/models"], False),
                                (["/generate"], None)):
            self.assertIs(vllm.offers_chat({"paths": dict.fromkeys(paths, {})}), expected)
        for value in ({"paths": []}, {}, [], None):
            self.assertIsNone(vllm.offers_chat(value))


# Served ids and what vLLM's pages, recipes and registries name for them: tool, reasoning.
SERVED = """
Qwen/Qwen3-8B                                     hermes           qwen3
Qwen/Qwen3-8B-AWQ                                 hermes           qwen3
qwen3:8b                                          hermes           qwen3
qwen3-30b-a3b                                     hermes           qwen3
Qwen/Qwen3-30B-A3B-Instruct-2507-FP8              hermes           -
Qwen/Qwen3-235B-A22B-Thinking-2507                hermes           qwen3
Qwen/Qwen3-Next-80B-A3B-Instruct                  hermes           -
Qwen/Qwen3-VL-8B-Instruct                         hermes           -
Qwen/Qwen3-Coder-30B-A3B-Instruct                 qwen3_xml        -
unsloth/Qwen3-Coder-480B-A35B-Instruct-GGUF       qwen3_xml        -
Qwen/Qwen3-Coder-Next                             qwen3_xml        -
Qwen/Qwen3.5-27B                                  qwen3_coder      qwen3
cyankiwi/Qwen3.5-4B-AWQ-4bit                      qwen3_coder      qwen3
qwen3_5-35b-a3b                                   qwen3_coder      qwen3
Qwen/Qwen3.6-35B-A3B                              qwen3_coder      qwen3
qwen3.8-27b                                       qwen3_coder      qwen3
Qwen/Qwen2.5-7B-Instruct                          hermes           -
Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int4         hermes           -
Qwen/QwQ-32B                                      hermes           deepseek_r1
Qwen/Qwen3-Embedding-8B                           -                -
Qwen/Qwen2-7B-Instruct                            -                -
google/gemma-4-31B-it                             gemma4           gemma4
local-gemma4-31b                                  gemma4           gemma4
google/gemma-3-27b-it                             -                -
google/gemma-3-4b-it                              -                -
google/functiongemma-270m-it                      functiongemma    -
meta-llama/Llama-3.1-8B-Instruct                  llama3_json      -
meta-llama/Meta-Llama-3.1-70B-Instruct            llama3_json      -
RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic       llama3_json      -
meta-llama/Meta-Llama-3-8B-Instruct               -                -
meta-llama/Llama-4-Scout-17B-16E-Instruct         llama4_pythonic  -
meta-llama/Llama-Guard-3-8B                       -                -
NousResearch/Hermes-3-Llama-3.1-8B                hermes           -
NousResearch/Hermes-2-Pro-Mistral-7B              hermes           -
Salesforce/Llama-xLAM-2-8b-fc-r                   xlam             -
Team-ACE/ToolACE-8B                               pythonic         -
deepseek-ai/DeepSeek-R1-0528                      deepseek_v3      deepseek_r1
deepseek-ai/DeepSeek-R1-Distill-Qwen-7B           -                deepseek_r1
deepseek-ai/DeepSeek-R1-0528-Qwen3-8B             -                deepseek_r1
deepseek-ai/DeepSeek-V3-0324                      deepseek_v3      -
deepseek-ai/DeepSeek-V3.1-Terminus                deepseek_v31     deepseek_v3
deepseek-ai/DeepSeek-V3.2-Exp                     deepseek_v32     deepseek_v3
deepseek-ai/DeepSeek-V4-Flash                     deepseek_v4      deepseek_v4
mistralai/Mistral-7B-Instruct-v0.3                mistral          -
mistralai/Mistral-7B-Instruct-v0.2                -                -
TheBloke/Mixtral-8x7B-Instruct-v0.1-AWQ           -                -
mistralai/Mistral-Small-3.2-24B-Instruct-2506     mistral          -
mistralai/Magistral-Small-2509                    mistral          mistral
mistralai/Ministral-3-8B-Reasoning-2512           mistral          mistral
mistralai/Devstral-Small-2507                     mistral          -
openai/gpt-oss-20b                                openai           openai_gptoss
gpt-oss:120b                                      openai           openai_gptoss
zai-org/GLM-4.5-Air-FP8                           glm45            glm45
zai-org/GLM-4.6                                   glm45            glm45
zai-org/GLM-4.7-Flash                             glm47            glm45
zai-org/GLM-5.1                                   glm47            glm45
zai-org/glm-4-9b-chat                             -                -
moonshotai/Kimi-K2-Instruct-0905                  kimi_k2          -
moonshotai/Kimi-K2-Thinking                       kimi_k2          kimi_k2
moonshotai/Kimi-K2.5                              kimi_k2          kimi_k2
moonshotai/Kimi-K3                                kimi_k3          kimi_k3
MiniMaxAI/MiniMax-M2.1                            minimax_m2       minimax_m2
MiniMaxAI/MiniMax-M3                              minimax_m3       minimax_m3
nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16        qwen3_coder      nemotron_v3
nvidia/Llama-3.1-Nemotron-Nano-8B-v1              -                -
nvidia/NVIDIA-Nemotron-Nano-9B-v2                 -                -
ibm-granite/granite-4.0-h-small                   granite4         -
ibm-granite/granite-3.2-8b-instruct               granite          granite
ibm-granite/granite-3.1-8b-instruct               granite          -
ibm-granite/granite-20b-functioncalling           granite-20b-fc   -
stepfun-ai/Step-3.5-Flash                         step3p5          step3p5
stepfun-ai/step3                                  step3            step3
ByteDance-Seed/Seed-OSS-36B-Instruct              seed_oss         seed_oss
baidu/ERNIE-4.5-21B-A3B-Thinking                  ernie45          ernie45
baidu/ERNIE-4.5-VL-28B-A3B-PT                     -                ernie45
tencent/Hunyuan-A13B-Instruct                     hunyuan_a13b     hunyuan_a13b
tencent/Hy3-preview                               hy_v3            hy_v3
allenai/Olmo-3-7B-Instruct                        olmo3            -
allenai/Olmo-3.1-32B-Think                        olmo3            olmo3
allenai/OLMo-2-1124-7B-Instruct                   -                -
LiquidAI/LFM2.5-1.2B-Instruct                     lfm2             -
LiquidAI/LFM2.5-1.2B-Thinking                     lfm2             qwen3
XiaomiMiMo/MiMo-V2-Flash                          qwen3_xml        qwen3
XiaomiMiMo/MiMo-V2.5-Pro                          mimo             mimo
CohereLabs/command-a-reasoning-08-2025            cohere_command3  cohere_command3
CohereLabs/c4ai-command-r-plus                    -                -
internlm/internlm2_5-7b-chat                      internlm         -
ai21labs/AI21-Jamba-1.5-Mini                      jamba            -
microsoft/Phi-4-mini-instruct                     phi4_mini_json   -
microsoft/phi-4                                   -                -
meituan-longcat/LongCat-Flash-Chat-FP8            longcat          -
ai-sage/GigaChat3-10B-A1.8B-bf16                  gigachat3        -
swiss-ai/Apertus-8B-Instruct-2509                 apertus          -
Hcompany/Holo2-8B                                 -                holo2
poolside/Laguna-XS.2                              poolside_v1      poolside_v1
HuggingFaceH4/zephyr-7b-beta                      -                -
teknium/OpenHermes-2.5-Mistral-7B                 -                -
mistralai/unheard-of                              -                -
facebook/opt-125m                                 -                -
BAAI/bge-m3                                       -                -
openai/whisper-large-v3                           -                -
"""


class Parsers(unittest.TestCase):

    def test_families(self):
        for line in SERVED.strip().splitlines():
            model_id, tool, reasoning = line.split()
            name = model_id.rpartition("/")[2]
            folder = "models--" + model_id.replace("/", "--")
            snapshot = "/data/huggingface/hub/%s/snapshots/0a1b2c3d" % folder
            for asked, root in ((model_id, None),
                                (model_id, model_id),
                                (model_id.lower(), None),
                                (name, None),
                                (name.replace("-", "_"), None),
                                ("default", "/models/" + name),
                                ("gpt-4", snapshot),
                                ("m", "C:/" + name + "-Q4_K_M.gguf")):
                with self.subTest(id=asked, root=root):
                    self.assertEqual(vllm.family_parsers(asked, root), (tool, reasoning))

    def test_root_tells_more_than_the_id(self):
        for model_id, root, parser in (("llama-3.1-8b", "Qwen/Qwen3-8B", "hermes"),
                                       ("Qwen/Qwen3-8B", "/data/weights", "hermes"),
                                       ("m", "/models/qwen3/gemma-4-31B-it", "gemma4")):
            self.assertEqual(vllm.family_parsers(model_id, root)[0], parser)


# ----------------------------------------------------------------------------
# Doctor
# ----------------------------------------------------------------------------

GEMMA_ROW = {"id": "google/gemma-3", "root": "google/gemma-3", "max_model_len": 40960}
QWEN_ROW = {"id": "qwen", "object": "model", "root": "Qwen/Qwen3-8B", "parent": None,
            "max_model_len": 40960}


def healthy(changes=None, models=(QWEN_ROW,), key=None):
    """Return an `answer` for a loopback server that behaves like a healthy vLLM.

    `changes` {path: (status, headers, body) or function of the request} replaces answers.
    """
    paths = ("/invocations", "/v1/models", "/v1/chat/completions")
    metrics = (b'vllm:num_requests_running{engine="0"} 2.0\n'
               b'vllm:num_requests_running{engine="1"} 1.0\n'
               b'vllm:num_requests_waiting{engine="0"} 0.0\n'
               b'vllm:kv_cache_usage_perc{engine="0"} 0.25\n')
    usual = {
        "/v1/models": (200, {}, {"object": "list", "data": list(models)}),
        "/version": (200, {}, {"version": "0.32.0"}),
        "/health": (200, {}, b""),
        "/metrics": (200, {}, metrics),
        "/openapi.json": (200, {}, {"paths": dict.fromkeys(paths, {})}),
        "/tokenize": (200, {}, {"count": 9, "max_model_len": 40960, "tokens": []}),
        "/v1/chat/completions": lambda request: (200, {"Content-Type": "text/event-stream"},
                                                 stream(request)),
    }
    usual.update(changes or {})

    def answer(request):
        if key and request.path.startswith("/v1") and request.key != "Bearer " + key:
            return 401, {}, {"error": "Unauthorized"}
        found = usual.get(request.path, (404, {}, {"detail": "Not Found"}))
        return found(request) if callable(found) else found

    return answer


def stream(request, texts=("1", " 2", " 3"), finish="stop", usage=True, done=True, **delta):
    """Return the pieces of a stream as vLLM sends them."""
    counts = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    chunks = [{"choices": [{"index": 0, "delta": dict({"content": text}, **delta)}]}
              for text in texts]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks += [{"choices": [], "usage": counts}] if usage else []
    pieces = [event(dict(chunk, id="c1", model="qwen")) for chunk in chunks]
    return pieces + ([event(b"[DONE]")] if done else [])


def streamed(*texts, **options):
    """Return an answer that is a stream; the options are those of `stream`."""
    return 200, {}, stream(None, **dict(options, texts=texts) if texts else options)


def refused(message, status=400):
    return status, {}, complaint(message, param=None, code=status)


def tokenizing(rule):
    """Return what answers /tokenize; `rule(messages)` returns the words of a refusal, or None."""
    def tokenize(request):
        words = rule(request.json()["messages"])
        return refused(words) if words else (200, {}, {"count": 5})
    return tokenize


def refusing(role, words):
    """Return what answers /tokenize where the template does not know a role."""
    return tokenizing(
        lambda messages: words if role in [message["role"] for message in messages] else None)


def at(url, *more):
    """Return the options that name the server of an origin, and more options."""
    return ("--base-url", url + "/v1") + more


class DoctorTest(unittest.TestCase):
    """`doctor` names each cause, and no other, against servers that truly behave so."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.env = {"OPENCLAW_STATE_DIR": self.folder, "VLLM_API_KEY": "vllm-local"}

    def configure(self, config):
        text = config if isinstance(config, str) else json.dumps(config)
        write(os.path.join(self.folder, "openclaw.json"), text)

    def provide(self, url, defaults=None, **fields):
        """Write a config whose provider is the server `url`; `fields` go into its block."""
        block = dict({"baseUrl": url + "/v1", "models": []}, **fields)
        self.configure({"models": {"providers": {"vllm": block}},
                        "agents": {"defaults": defaults or {}}})

    def declare(self, url, defaults=None, **row):
        """Write a config with one declared model at the server `url`."""
        self.provide(url, defaults, models=[dict({"id": "qwen", "name": "Qwen"}, **row)])

    def doctor(self, *argv):
        """Return (exit status, [finding]) of `doctor --json`, its shape checked."""
        status, out, err = run(["doctor", "--json"] + list(argv), self.env)
        report = json.loads(out)
        self.assertEqual(set(report), {"ok", "findings"})
        for finding in report["findings"]:
            self.assertEqual(set(finding),
                             {"check", "status", "cause", "summary", "fix", "command"})
            self.assertIn(finding["status"], ("ok", "warn", "fail", "skip"))
            self.assertEqual(finding["cause"] is None, finding["status"] == "ok", finding)
        failed = any(finding["status"] == "fail" for finding in report["findings"])
        self.assertEqual(report["ok"], not failed)
        self.assertEqual(err, "")
        return status, report["findings"]

    def assert_fails(self, cause, exit_status, *argv):
        """Assert that `cause` is the one failure named; return its finding."""
        status, findings = self.doctor(*argv)
        failed = [finding for finding in findings if finding["status"] == "fail"]
        self.assertEqual([finding["cause"] for finding in failed], [cause], failed)
        self.assertEqual(status, exit_status)
        self.assertTrue(failed[0]["fix"])
        return failed[0]

    def assert_warns(self, cause, *argv):
        """Assert that `cause` is the one warning and nothing fails; return its finding."""
        status, findings = self.doctor(*argv)
        told = [finding for finding in findings if finding["status"] in ("fail", "warn")]
        self.assertEqual([(finding["status"], finding["cause"]) for finding in told],
                         [("warn", cause)], told)
        self.assertEqual(status, 0)
        return told[0]

    def fix(self, cause, exit_status, shell=False):
        """Assert that a finding names `cause`, and that running its command ends it."""
        def findings():
            status, found = self.doctor("--probe")
            return status, [finding for finding in found
                            if finding["cause"] == cause and finding["status"] != "skip"]

        status, found = findings()
        self.assertEqual((status, len(found)), (exit_status, 1), found)
        self.assertIn(" config --write --", found[0]["command"])
        self.execute(found[0]["command"], shell)
        self.assertEqual(findings()[1], [])

    def execute(self, command, shell):
        """Run a command of the tool, in a shell or split as one would, and assert that it works."""
        if not shell:
            words, tool = shlex.split(command), shlex.split(vllm.TOOL)
            self.assertEqual(words[:len(tool)], tool)
            done = run(words[len(tool):], self.env)
            return self.assertEqual(done.status, 0, done)
        path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
        with subprocess.Popen(["sh", "-c", command], env=dict(self.env, PATH=path), cwd=HERE,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            said = process.communicate(timeout=WAIT_S)[0]
        self.assertEqual(process.returncode, 0, said)

    def checked(self, check, *argv):
        """Return the findings of one check."""
        return [finding for finding in self.doctor(*argv)[1] if finding["check"] == check]

    # healthy

    def test_a_healthy_server_has_nothing_wrong(self):
        for key in (None, "sk-secret-of-the-test"):
            self.env["VLLM_API_KEY"] = key or "vllm-local"
            for more, asked in (([], {"/tokenize"}),
                                (["--probe"], {"/tokenize", "/v1/chat/completions"})):
                with self.subTest(key=key, more=more), \
                        loopback(healthy(key=key)) as (url, requests):
                    status, findings = self.doctor(*at(url, *more))
                    self.assertEqual(status, 0, findings)
                    self.assertEqual({finding["status"] for finding in findings}, {"ok"}, findings)
                    posts = {request.path for request in requests if request.method == "POST"}
                    self.assertEqual(posts, asked)

    def test_the_server_is_described(self):
        models = [QWEN_ROW, dict(QWEN_ROW, id="alias"),
                  {"id": "sql", "root": "/adapters/sql", "parent": "qwen", "max_model_len": None}]
        with loopback(healthy(models=models)) as (url, _):
            findings = self.doctor(*at(url))[1]
        summaries = {finding["check"]: finding["summary"] for finding in findings}
        for check, words in (
                ("version", "vLLM 0.32.0"),
                ("models", "qwen: 40960 tokens, alias: 40960 tokens, sql: 40960 tokens"),
                ("template", "takes all that OpenClaw sends"),
                ("key", "VLLM_API_KEY (the environment)"),
                ("provider", "implicit")):
            self.assertIn(words, summaries[check])

    # the settings

    def test_settings_that_stop_it(self):
        def config(**fields):
            block = dict({"baseUrl": "http://127.0.0.1:9/v1", "models": []}, **fields)
            return {"models": {"providers": {"vllm": block}}}

        disabled = {"plugins": {"entries": {"vllm": {"enabled": False}}}}
        for cause, status, settings, fix in (
                ("config-invalid", 3, "{,", ""),
                ("config-invalid", 3, {"models": []}, ""),
                ("provider-disabled", 1, disabled, ""),
                ("config-missing-variable", 1, config(baseUrl="${HERE}"), "export "),
                ("config-missing-variable", 1, config(apiKey="${MINE}"), "export "),
                ("endpoint-in-base-url", 3, config(baseUrl="http://h/v1/chat/completions"),
                 "http://h/v1"),
                ("bad-base-url", 3, config(baseUrl="h:1"), "")):
            with self.subTest(cause=cause, settings=settings):
                self.configure(settings)
                self.env["VLLM_API_KEY"] = "vllm-local"
                if cause == "config-missing-variable":
                    del self.env["VLLM_API_KEY"]
                with mock.patch.object(vllm, "Exchange", side_effect=AssertionError("connects")):
                    self.assertIn(fix, self.assert_fails(cause, status)["fix"])

    def test_settings_of_any_type_are_a_finding(self):
        for providers in ([{}], "x", {"vllm": 7}, {"vllm": {"models": [None]}}):
            with self.subTest(providers=providers):
                self.configure({"models": {"providers": providers}})
                status, findings = self.doctor("--probe")
                self.assertEqual((status, findings[0]["cause"]), (3, "config-invalid"))
                skipped = {row["summary"] for row in findings if row["status"] == "skip"}
                self.assertEqual(skipped, {"not checked, because of config-invalid"})

    def test_settings_that_stop_it_hide_no_other_fault_of_them(self):
        block = {"baseUrl": "http://127.0.0.1:9/v1", "request": {"allowPrivateNetwork": False},
                 "apiKey": "VLLM_API_KEY", "api": "openai-responses", "models": []}
        self.configure({"models": {"providers": {"vllm": block}}, "plugins": {"enabled": False}})
        del self.env["VLLM_API_KEY"]
        with mock.patch.object(vllm, "Exchange", side_effect=AssertionError("a connection")):
            found = [row["cause"] for row in self.doctor()[1] if row["status"] in ("fail", "warn")]
        self.assertEqual(set(found[1:]), {"provider-disabled", "wrong-api", "private-network"})

    def test_a_config_without_a_block_of_the_provider(self):
        other = {"other": {"baseUrl": "http://h/v1", "models": [{"id": "m", "name": "M"}]}}
        with loopback(healthy()) as (url, _):
            for models in ({}, {"mode": "merge"}, {"mode": "merge", "providers": other}):
                with self.subTest(models=models):
                    self.configure({"models": models})
                    status, findings = self.doctor("--base-url", url + "/v1", "--probe")
                    self.assertEqual(
                        (status, {finding["status"] for finding in findings}), (0, {"ok"}))

    def test_a_misplaced_key_whose_place_is_taken_is_moved_by_hand(self):
        with loopback(healthy()) as (url, _):
            block = {"baseUrl": url + "/v1", "models": []}
            for key, value, place in (
                    ("providers", {"vllm": {}}, "models.providers"),
                    ("models", {"providers": {"vllm": dict(block, baseURL="http://h")}},
                     "models.providers.vllm.baseUrl"),
                    ("lighthouse", {}, "where it belongs")):
                with self.subTest(key=key):
                    right = {"models": {"providers": {"vllm": block}}}
                    self.configure(dict(right, **{key: value}))
                    found = self.assert_warns("config-unknown-key")
                    self.assertEqual(
                        found["fix"], "move what it holds to %s, or remove it" % place)
                    self.assertIsNone(found["command"])

    def test_a_legacy_thinking_format_goes_to_the_declared_row_that_has_none(self):
        legacy = {"params": {"qwenThinkingFormat": "qwen"}}
        for row, reference, moved in (
                ({}, "vllm/qwen", True),
                ({"compat": {"supportsTools": False}}, "vllm/qwen", True),
                ({"compat": {"thinkingFormat": "zai"}}, "vllm/qwen", False),
                ({}, "vllm/another", False)):
            with self.subTest(row=row, reference=reference), loopback(healthy()) as (url, _):
                self.declare(url, defaults={"models": {reference: legacy}}, **row)
                found = self.assert_warns("config-legacy-key")
                self.assertEqual(
                    "--set 'models.providers.vllm.models[0].compat.thinkingFormat=qwen'"
                    in str(found["command"]), moved)
        for agents in ({"defaults": legacy}, {"list": [dict(legacy, id="main")]}, legacy["params"]):
            with self.subTest(agents=agents):
                self.configure({"agents": agents})
                found = [row for row in self.checked("settings") if "qwen" in row["summary"]]
                self.assertEqual({row["command"] for row in found}, {None})

    def test_a_key_in_the_clear(self):
        for key, causes in (("sk-of-the-test", ["exposed"]), ("vllm-local", [])):
            self.env["VLLM_API_KEY"] = key
            with self.subTest(key=key), names(gpu_example=None):
                found = [row for row in self.checked("key", *at("http://gpu.example"))
                         if row["status"] == "warn"]
                self.assertEqual([row["cause"] for row in found], causes)
                self.assertEqual("unencrypted" in str(found), bool(causes))

    def test_without_a_key_the_default_address_is_looked_at_all_the_same(self):
        del self.env["VLLM_API_KEY"]
        with loopback(healthy()) as (url, requests), \
                mock.patch.object(vllm, "DEFAULT_BASE_URL", url + "/v1"):
            found = self.assert_fails("not-opted-in", 1)
            self.assertEqual(found["command"], "export VLLM_API_KEY=vllm-local")
            self.assertIn("qwen", self.checked("models")[0]["summary"])
            self.assertEqual({request.key for request in requests}, {None})
        with loopback(healthy(key="sk-right")) as (url, _), \
                mock.patch.object(vllm, "DEFAULT_BASE_URL", url + "/v1"):
            self.assert_fails("not-opted-in", 1)
            self.assertEqual(self.checked("auth")[0]["cause"], "no-key")
        with mock.patch.object(vllm, "DEFAULT_BASE_URL", "http://127.0.0.1:%d/v1" % free_port()):
            self.assert_fails("not-opted-in", 1)
            self.assertEqual(self.checked("connect")[0]["cause"], "connection-refused")

    # of the commands that a shell runs in every run of the tests; in the long run it runs all
    IN_A_SHELL = ("missing-v1", "wrong-provider", "usage-missing")

    def fixable(self, url):
        """Return [(cause, exit status, config, changes of the server)] that a command fixes."""
        row = {"id": "qwen", "name": "Qwen"}
        typo, base = dict(row, id="qwem"), url + "/v1"

        def config(more=(), row=row, defaults=(), **top):
            block = dict({"baseUrl": base, "models": [row]}, **dict(more))
            return dict({"models": {"providers": {"vllm": block}},
                         "agents": {"defaults": dict(defaults)}}, **top)

        def without_options(request):
            if "stream_options" in request.json():
                return refused(extra("body", "stream_options"))
            return 200, {}, stream(request)

        no_developer = {"/tokenize": refusing("developer", "Unexpected role 'developer'")}
        no_usage = {"/v1/chat/completions": streamed(usage=False)}
        no_options = {"/v1/chat/completions": without_options}
        disabled = {"entries": {"vllm": {"enabled": False}}}
        developer = dict(row, reasoning=True, compat={"supportsDeveloperRole": True})
        usage_off = dict(row, compat={"supportsUsageInStreaming": False})
        bare = {"primary": "vllm/qwen", "fallbacks": ["vllm/qwen", "google/gemma-3"]}
        gone = {"primary": "vllm/qwen", "fallbacks": ["vllm/google/gema-3"]}
        legacy = {"llm": {"idleTimeoutSeconds": 300}}
        old_format = {"params": {"qwenThinkingFormat": "qwen-chat-template"}}
        return [
            ("missing-v1", 4, config({"baseUrl": url}), {}),
            ("endpoint-in-base-url", 3, config({"baseUrl": base + "/chat/completions"}), {}),
            ("bad-base-url", 3, config({"baseUrl": base[len("http://"):]}), {}),
            ("bad-base-url", 3, config({"baseUrl": base + "?key=x"}), {}),
            ("bad-base-url", 3, config({"baseUrl": base[5:] + "/chat/completions/"}), {}),
            ("scheme-mismatch", 4, config({"baseUrl": base.replace("http:", "https:")}), {}),
            ("wrong-api", 0, config({"api": "openai-responses"}), {}),
            ("wrong-api", 0, config(row=dict(row, api="anthropic-messages")), {}),
            ("private-network", 1, config({"request": {"allowPrivateNetwork": False}}), {}),
            ("wrong-provider", 1, config({"models": []}, defaults={"model": "qwen"}), {}),
            ("wrong-provider", 1, config({"models": []}, defaults={"model": "Org/Qwen3"}), {}),
            ("wrong-provider", 1, config(defaults={"model": bare}), {}),
            ("model-not-served", 1, config(row=typo), {}),
            ("model-not-served", 1, config(row=dict(row, id="another-one-that-is-gone")), {}),
            ("model-not-served", 1, config({"models": [row, typo]}), {}),
            ("model-not-served", 1, config(defaults={"model": {"primary": "vllm/qwem"}}), {}),
            ("model-not-served", 1, config(defaults={"model": gone}), {}),
            ("context-too-large", 1, config(row=dict(row, contextWindow=131072)), {}),
            ("context-too-large", 1, config(row=dict(row, contextTokens=50000)), {}),
            ("context-too-small", 0, config(row=dict(row, contextWindow=4096)), {}),
            ("max-tokens-too-large", 1, config(row=dict(row, maxTokens=40960)), {}),
            ("config-unknown-key", 0, config({"timeoutSecond": 30}), {}),
            ("config-unknown-key", 0, config(row=dict(row, contextwindow=40960)), {}),
            ("config-unknown-key", 0, config(row=dict(row, supportsStore=False)), {}),
            ("config-unknown-key", 0, config({"supportsStore": False}), {}),
            ("config-unknown-key", 0, config({"reasoning": True}), {}),
            ("config-unknown-key", 0, config()["models"], {}),
            ("config-legacy-key", 0, config(defaults=legacy), {}),
            ("config-legacy-key", 0, config(defaults={"models": {"vllm/qwen": old_format}}), {}),
            ("usage-off", 0, config(row=usage_off), {}),
            ("usage-missing", 0, config(), no_usage),
            ("unknown-field-rejected", 1, config(), no_options),
            ("template-role", 1, config(row=developer), no_developer),
            ("provider-disabled", 0, config(plugins=disabled), {}),
            ("provider-disabled", 1, {"plugins": {"enabled": False}}, {}),
        ]

    def test_commands_fix_what_they_are_for(self):
        changes, everywhere = {}, os.environ.get("OPENCLAW_VLLM_FUZZ")
        models = [QWEN_ROW, GEMMA_ROW, dict(QWEN_ROW, id="Org/Qwen3")]

        def answer(request):
            return healthy(changes, models)(request)

        with loopback(answer) as (url, _), mock.patch.object(vllm, "DEFAULT_BASE_URL", url + "/v1"):
            for cause, status, config, changed in self.fixable(url):
                with self.subTest(cause=cause, config=config):
                    changes.clear()
                    changes.update(changed)
                    self.configure(config)
                    self.fix(cause, status, everywhere or cause in self.IN_A_SHELL)

    def test_exports_that_a_shell_takes_fix_what_they_are_for(self):
        def failures(argv):
            return [row for row in self.doctor(*argv)[1] if row["status"] == "fail"]

        def exported(cause, *argv):
            found = [row for row in failures(argv) if row["cause"] == cause]
            self.assertEqual(len(found), 1, found)
            shell = ["sh", "-c", found[0]["command"] + " && env"]
            shown = subprocess.check_output(shell, env=dict(self.env, PATH=os.environ["PATH"]))
            lines = shown.decode("utf-8").splitlines()
            self.env.update(line.split("=", 1) for line in lines if "=" in line)
            self.assertEqual(failures(argv), [])

        with loopback(healthy()) as (url, _), names(gpu_example="127.0.0.1"):
            with mock.patch.object(vllm, "DEFAULT_BASE_URL", url + "/v1"):
                del self.env["VLLM_API_KEY"]
                exported("not-opted-in")
            self.env["VLLM_BASE_URL"] = url
            exported("missing-v1")
            for name in ("NO_PROXY", "no_proxy"):
                self.env["HTTP_PROXY"] = "http://127.0.0.1:%d" % free_port()
                self.env[name] = "10.0.0.0/8"
                exported("proxy-captured", *at(url.replace("127.0.0.1", "gpu.example")))
                self.env.pop(name)

    def test_fix_shows_writes_once_and_looks_again(self):
        path = os.path.join(self.folder, "openclaw.json")
        with loopback(healthy()) as (url, _):
            row = {"id": "qwem", "name": "Qwen", "contextWindow": 131072}
            block = {"baseUrl": url, "api": "openai-responses", "models": [row]}
            text = json.dumps({"models": {"providers": {"vllm": block}}}, indent=2) + "\n"
            self.configure(text)
            status, out, err = run(["doctor", "--fix"], self.env)
            self.assertIn('"baseUrl": "%s/v1"' % url, err)
            self.assertNotIn("missing-v1", out)
            self.assertIn("model-not-served", out)   # what the right address shows comes next
            with open(path + ".bak") as kept:
                self.assertEqual(kept.read(), text)
            last = [run(["doctor", "--fix"], self.env).status for _ in range(2)]
            self.assertEqual([status] + last, [1, 1, 0])
            _, out, err = run(["doctor", "--fix", "--json"], self.env)
        self.assertTrue(json.loads(out)["ok"])
        self.assertEqual(err, "nothing to fix in %s\n" % path)

    def test_a_misspelled_key_that_holds_a_secret_is_moved_unseen(self):
        with loopback(healthy()) as (url, _):
            for key, command in (("sk-secret-of-the-test", "doctor --fix"),
                                 ("${VLLM_API_KEY}", "--set")):
                self.provide(url, apiKeys=key)
                found = self.assert_warns("config-unknown-key")
                self.assertIn(command, found["command"])
                said = run(["doctor", "--fix"], self.env)[1:]
                self.assertNotIn("sk-secret", "%s %s" % (found, said))
                with open(os.path.join(self.folder, "openclaw.json")) as written:
                    block = json.load(written)["models"]["providers"]["vllm"]
                self.assertEqual(block["apiKey"], key)

    def test_a_reference_of_another_configured_provider_is_left_alone(self):
        with loopback(healthy(models=[QWEN_ROW, GEMMA_ROW])) as (url, _):
            block = {"baseUrl": url + "/v1", "models": []}
            self.configure({"models": {"providers": {"vllm": block, "google": block}},
                            "agents": {"defaults": {"model": "google/gemma-3"}}})
            self.assertEqual(self.doctor()[0], 0)

    def test_a_key_that_a_service_does_not_see(self):
        self.env["VLLM_API_KEY"] = "sk-0123"
        for block, dotenv, told in ((None, "", True),
                                    (None, "VLLM_API_KEY=sk-0123\n", False),
                                    ({"apiKey": "${VLLM_API_KEY}"}, "", True),
                                    ({"apiKey": "sk-0123"}, "", False)):
            with self.subTest(block=block, dotenv=dotenv), loopback(healthy()) as (url, _):
                if block:
                    self.provide(url, **block)
                write(os.path.join(self.folder, ".env"), dotenv)
                found = self.checked("key", *at(url))[0]
                self.assertEqual((found["status"], ".env" in found["fix"]), ("ok", told), found)
                self.assertIn("it goes to " + url, found["summary"])

    def test_a_base_url_or_key_that_cannot_be_used(self):
        for url in ("gpu:8000/v1", "ftp://gpu/v1", "http://gpu/v1?x=1", "http://gpu/v1#x",
                    "http://me:secret@gpu/v1"):
            with self.subTest(url=url):
                found = self.assert_fails("bad-base-url", 3, "--base-url", url)
                self.assertNotIn("secret", str(found))
        self.env["VLLM_API_KEY"] = "sk-two\nlines"
        self.assertNotIn("sk-two", str(self.assert_fails("bad-key", 5)))

    def test_settings_to_be_warned_of(self):
        with loopback(healthy()) as (url, _):
            self.provide(url, apiKeys="x", models=[{"id": "qwen", "name": "Qwen"}])
            found = self.assert_warns("config-unknown-key")
            self.assertIn("openclaw.json:1:", found["summary"])
            self.assertEqual(found["fix"], "write models.providers.vllm.apiKey in its place")
            block = {"baseUrl": url + "/v1", "models": []}
            other = {"baseUrl": "http://h", "apiKey": "${OTHER}", "models": []}
            self.configure({"models": {"providers": {"vllm": block, "other": other}}})
            self.assertIn("export OTHER=", self.assert_warns("config-missing-variable")["fix"])

    def test_keys_that_disagree_are_named_and_never_shown(self):
        with loopback(healthy()) as (url, _):
            write(os.path.join(self.folder, ".env"), "VLLM_API_KEY=short-two\n")
            self.provide(url, apiKey="short-three")
            found = self.assert_warns("bad-key")
        for words in ("VLLM_API_KEY (the environment)", "models.providers.vllm.apiKey", ".env"):
            self.assertIn(words, found["summary"])
        self.assertNotIn("short-", str(found))

    def test_a_base_url_of_our_own_variable(self):
        with loopback(healthy()) as (url, _):
            self.env["VLLM_BASE_URL"] = url + "/v1"
            found = self.checked("base-url")[0]
            self.assertIn("OpenClaw does not read", found["summary"])
            self.execute(found["command"], False)
            self.env["VLLM_BASE_URL"] = "http://127.0.0.1:9/v1"
            found = self.checked("base-url")[0]
            self.assertIn(url + "/v1 (from models.providers.vllm.baseUrl)", found["summary"])
            self.assertIn("does not read VLLM_BASE_URL", found["summary"])
            self.assertIsNone(found["command"])      # as the block has a base URL of its own

    # the way to the server

    def test_a_name_that_does_not_resolve(self):
        with names(gpu_example=None):
            found = self.assert_fails("dns", 4, *at("http://gpu.example"))
        self.assertIn("gpu.example", found["summary"])

    def test_several_servers_with_what_failed_last(self):
        dead = "http://127.0.0.1:%d/v1" % free_port()
        both_dead = ["--base-url", dead, "--base-url", dead + "/"]
        for strict in ([], ["--strict"]):
            self.assertEqual(run(["doctor"] + strict + both_dead).status, 4)
        with loopback(healthy()) as (url, _):
            argv = ["doctor", "--base-url", dead, "--base-url", url + "/v1"]
            status, out, _ = run(argv)
            self.assertEqual((status, out.splitlines()[0]), (0, "1 of 2 servers failed: " + dead))
            self.assertLess(out.index("== " + url), out.index("== " + dead))
            status, out, _ = run(argv + ["--json", "--strict"])
        report = json.loads(out)
        self.assertEqual((status, report["ok"]), (4, False))
        self.assertEqual({row["server"] for row in report["findings"]}, {dead, url + "/v1"})
        self.assertEqual([row["cause"] for row in report["findings"] if row["status"] == "fail"],
                         ["connection-refused"])

    def test_nothing_listens(self):
        port = free_port()
        argv = at("http://127.0.0.1:%d" % port)
        for files, told in (((), False), (("/.dockerenv",), True), (("/run/.containerenv",), True)):
            with self.subTest(files), mock.patch.object(vllm, "_CONTAINER_FILES", files):
                with mock.patch("os.path.exists", lambda path: path in files):
                    found = self.assert_fails("connection-refused", 4, *argv)
                self.assertIn("vllm serve MODEL --port %d" % port, found["fix"])
                for words in ("host.docker.internal", "172.17.0.1", "0.0.0.0"):
                    self.assertEqual(words in found["fix"], told)

    def test_a_server_that_still_loads(self):
        with socket.socket() as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)      # as vLLM does
            bound.bind(("127.0.0.1", 0))
            url = "http://127.0.0.1:%d" % bound.getsockname()[1]
            self.assert_fails("server-loading", 4, *at(url))

    def test_an_engine_that_died(self):
        dead = complaint(ENGINE_DEAD, type="InternalServerError", code=500)
        unhealthy, completions = (503, {}, b""), "/v1/chat/completions"
        for name, status, changes in (
                ("health 503", 1, {"/health": unhealthy}),
                ("health 500", 1, {"/health": (500, {}, b"Internal Server Error")}),
                ("all but /version", 4, {"/health": unhealthy, "/v1/models": (500, {}, b"")}),
                ("a completion only", 1, {completions: (500, {}, dead)}),
                ("in the stream", 1, {completions: (200, {}, [event(dead)])})):
            with self.subTest(name), loopback(healthy(changes)) as (url, _):
                found = self.assert_fails("engine-dead", status, *at(url, "--probe"))
                self.assertIn("restart vLLM", found["fix"])

    def test_a_503_that_is_a_sign_neither_of_loading_nor_of_a_dead_engine(self):
        page = b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
        answer = (503, {"Server": "nginx"}, page)
        with loopback(lambda request: answer) as (url, _):
            found = self.assert_fails("gateway", 4, *at(url))
            self.assertEqual(found["summary"].count("Temporarily Unavailable"), 1)
        with loopback(healthy({"/health": answer})) as (url, _):
            status, findings = self.doctor(*at(url))
            health = [row["status"] for row in findings if row["check"] == "health"]
            self.assertEqual((status, health), (0, ["skip"]))

    def test_layers_between(self):
        nginx, title = {"Server": "nginx"}, "<html><title>%s</title></html>"
        reset = b"upstream connect error or disconnect/reset before headers"
        limited = {"error": {"message": "Rate limit exceeded"}}
        for status, headers, body, words in (
                (502, {"Server": "nginx/1.24.0"}, title % "502 Bad Gateway", "is down"),
                (504, nginx, title % "504 Gateway Time-out", "proxy_read_timeout"),
                (413, nginx, title % "413 Request Entity Too Large", "client_max_body_size"),
                (429, {"Retry-After": "17"}, limited, "17"),
                (503, {}, b"no available server\n", "is down"),
                (503, {}, {"detail": "queue is full"}, "later"),
                (503, {"Server": "envoy"}, reset, "is down")):
            body = body.encode("ascii") if isinstance(body, str) else body
            answer = (status, headers, body)
            with self.subTest(answer=answer), loopback(lambda request: answer) as (url, _):
                found = self.assert_fails("gateway", 4, *at(url))
                self.assertIn(words, found["fix"])
                self.assertIn(headers.get("Server", ""), found["summary"])

    def test_a_gateway_with_a_password_of_its_own(self):
        def guarded(request):
            if request.key != "Basic bWU6c2VjcmV0":
                return 401, {"WWW-Authenticate": 'Basic realm="GPU lab"', "Server": "nginx"}, b""
            return healthy()(request)

        with loopback(guarded) as (url, _):
            found = self.assert_fails("gateway-auth", 5, *at(url))
            self.assertIn("GPU lab", found["summary"])
            self.assertIn("headers.Authorization", found["fix"])
            self.provide(url, headers={"Authorization": "Basic bWU6c2VjcmV0"},
                         models=[{"id": "qwen", "name": "Qwen"}])
            self.assertEqual(self.doctor("--probe")[0], 0)

    def test_only_one_address_family_answers(self):
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        real = socket.getaddrinfo
        with loopback(healthy()) as (url, _):
            port = int(url.rpartition(":")[2])
            both = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

            def look_up(host, *rest):
                return both if host == "localhost" else real(host, *rest)

            found = self.assert_fails("wrong-address-family", 4, *at("http://[::1]:%d" % port))
            self.assertIn(url + "/v1", found["fix"])
            argv = at("http://localhost:%d" % port)
            with mock.patch("socket.getaddrinfo", look_up):
                found = self.assert_warns("wrong-address-family", *argv)
            self.assertIn(url + "/v1", found["fix"])

    def test_a_proxy_in_the_way(self):
        broken = (502, {"Via": "1.1 squid"}, b"<html>Bad Gateway</html>")
        with loopback(healthy()) as (url, _), loopback(lambda request: broken) as (squid, _), \
                names(gpu_example="127.0.0.1"):
            self.env["NO_PROXY"] = "10.0.0.0/8"
            argv = at(url.replace("127.0.0.1", "gpu.example"))
            for proxy in (squid, "http://127.0.0.1:%d" % free_port()):
                with self.subTest(proxy=proxy):
                    self.env["HTTP_PROXY"] = proxy
                    found = self.assert_fails("proxy-captured", 4, *argv)
                    value = "10.0.0.0/8,gpu.example"
                    self.assertEqual(
                        found["command"], "export NO_PROXY=%s no_proxy=%s" % (value, value))

    def test_a_proxy_that_is_needed(self):
        origin = "http://gpu.example:%d" % free_port()

        def forward(request):
            return healthy()(request._replace(target=request.path.replace(origin, "")))

        with names(gpu_example="127.0.0.1"), loopback(forward) as (proxy, _):
            for hidden, rest, more in (
                    ("10.0.0.0/8, .example", "10.0.0.0/8", {}),
                    (".example", "''", {}),
                    (".example", "''", {"no_proxy": ".example"})):
                with self.subTest(hidden=hidden, more=more):
                    self.env.update(more, HTTP_PROXY=proxy, NO_PROXY=hidden)
                    found = self.assert_fails("proxy-captured", 4, *at(origin))
                    self.assertEqual(
                        found["command"], "export NO_PROXY=%s no_proxy=%s" % (rest, rest))

    def test_no_key_takes_a_detour(self):
        self.env["VLLM_API_KEY"] = "sk-secret-of-the-test"
        taken = []

        def overheard(request):
            taken.append("%s %s" % (request.path, dict(request.headers)))
            return 502, {"Via": "1.1 squid"}, b""

        with names(gpu_example="127.0.0.1"), loopback(overheard) as (proxy, _), \
                loopback(healthy(), tls=True) as (url, asked):
            secure = url.replace("127.0.0.1", "gpu.example")
            for origin, more in (
                    ("http://gpu.example:%d" % free_port(),
                     {"HTTP_PROXY": proxy, "NO_PROXY": "gpu.example"}),
                    (secure.replace("https:", "http:"),
                     {"ALL_PROXY": proxy, "NO_PROXY": ".example"}),
                    (secure, {"HTTPS_PROXY": proxy})):
                self.env.update(more)
                self.doctor(*at(origin))
                for name in more:
                    del self.env[name]
        self.assertTrue(taken)
        self.assertNotIn("sk-secret", "\n".join(taken))
        self.assertEqual([request.key for request in asked if request.key], [])

    def test_a_proxy_that_wants_credentials(self):
        with names(gpu_example="127.0.0.1"), loopback(lambda request: (407, {}, b"")) as (proxy, _):
            self.env["HTTP_PROXY"] = proxy
            origin = "http://gpu.example:%d" % free_port()
            found = self.assert_fails("proxy-captured", 4, *at(origin))
            self.assertIn("USER:PASSWORD", found["fix"])

    def test_the_other_scheme(self):
        self.env["VLLM_API_KEY"] = "sk-secret-of-the-test"
        for tls, wrong, right, keys in ((False, "https:", "http:", {None}),
                                        (True, "http:", "https:", set())):
            with self.subTest(tls=tls), loopback(healthy(), tls=tls) as (url, requests):
                found = self.assert_fails("scheme-mismatch", 4, *at(url.replace(right, wrong)))
                self.assertIn(url + "/v1", found["fix"])
                self.assertEqual({request.key for request in requests}, keys)

    def test_the_other_scheme_of_servers_that_do_not_say_so(self):
        context = server_context()

        def patient(connection, over):
            if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                over.wait()                          # for a line to end, as many servers do
            connection.recv(4096)
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"data": []}')

        def go(connection, over):
            if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                context.wrap_socket(connection, server_side=True).close()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n"
                               b"Client sent an HTTP request to an HTTPS server.\n")

        with raw_server(patient) as url:
            argv = at(url.replace("http:", "https:"), "--timeout", "0.3")
            self.assertIn(url + "/v1", self.assert_fails("scheme-mismatch", 4, *argv)["fix"])
        with raw_server(go) as url:
            found = self.assert_fails("scheme-mismatch", 4, *at(url))
            self.assertIn(url.replace("http:", "https:") + "/v1", found["fix"])

    def test_a_certificate_that_is_not_trusted(self):
        path = os.path.join(self.folder, "ca.pem")
        write(path, LOOPBACK_PEM)
        with loopback(healthy(), tls=True) as (url, requests):
            found = self.assert_fails("tls-untrusted", 4, *at(url))
            self.assertIn("issued by vllm test authority, valid from 2020-01-01 to 2120-01-01",
                          found["summary"])
            self.assertIn("--ca-file", found["fix"])
            self.assertEqual(requests, [])
            found = self.assert_warns("tls-untrusted", *at(url, "--ca-file", path))
            self.assertIn("OpenClaw was not", found["summary"])
            self.assertEqual(found["command"], "export NODE_EXTRA_CA_CERTS=" + path)
            self.env.update(NODE_EXTRA_CA_CERTS=path, SSL_CERT_FILE=path)
            self.assertEqual({row["status"] for row in self.doctor(*at(url))[1]}, {"ok"})
            other = url.replace("127.0.0.1", "localhost")
            found = self.assert_fails("tls-wrong-host", 4, *at(other))
            self.assertIn("127.0.0.1", found["summary"])

    def test_a_certificate_that_has_expired(self):
        for reason, words in (("certificate has expired", "renewed"),
                              ("certificate is not yet valid", "renewed"),
                              ("self-signed certificate", "--ca-file")):
            message = "certificate verify failed: " + reason
            error = ssl.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] %s (_ssl.c:1000)" % message)
            found = vllm.tls_error(error, {"url": "https://h/v1", "host": "h"}, list)
            self.assertTrue(found.message.endswith(message))
            self.assertIn(words, found.hint)

    # what answers

    def test_a_redirect_is_reported_and_not_followed(self):
        def redirect(request):
            return 307, {"Location": right + request.path}, b""

        login = (302, {"Location": "https://sso.example/login?next=/v1/models"}, b"")
        with loopback(healthy()) as (right, followed), loopback(redirect) as (url, _):
            self.assertIn(right + "/v1", self.assert_fails("redirect", 4, *at(url))["fix"])
            self.assertEqual(followed, [])
        with loopback(lambda request: login) as (url, _):
            self.assertIn("a login page", self.assert_fails("redirect", 4, *at(url))["fix"])

    def test_a_base_url_without_v1(self):
        page = (200, {"Content-Type": "text/html"}, b"<html>hello</html>")
        for name, changes, path, key in (("404", {}, "", None),
                                         ("a page", {"/models": page}, "", None),
                                         ("elsewhere", {}, "/api", None),
                                         ("a key", {}, "", "sk-other")):
            with self.subTest(name), loopback(healthy(changes, key=key)) as (url, _):
                found = self.assert_fails("missing-v1", 4, "--base-url", url + path)
                self.assertIn(url + "/v1", found["fix"])

    def test_something_else_answers(self):
        for cause, answer, words in (
                ("not-openai", (200, {"Server": "nginx"}, b"<html>Welcome to nginx!</html>"),
                 "nginx"),
                ("not-openai", (200, {}, {"models": []}), "data"),
                ("http-error", (500, {"Via": "1.1 gateway"}, b"upstream is tired"), "1.1 gateway"),
                ("http-error", (404, {}, {"detail": "Not Found"}), "404")):
            with self.subTest(cause=cause, words=words), \
                    loopback(lambda request: answer) as (url, _):
                self.assertIn(words, self.assert_fails(cause, 4, *at(url))["summary"])

        def ssh(connection, over):
            connection.recv(100)
            connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        def zmq(connection, over):
            connection.sendall(b"\xff\0\0\0\0\0\0\0\x01\x7f")       # and waits for the same
            over.wait()

        for converse in (ssh, zmq):
            with self.subTest(converse.__name__), raw_server(converse) as url:
                found = self.assert_fails("not-openai", 4, *at(url, "--timeout", "0.3"))
                self.assertIn("HTTP", found["summary"])

    def test_the_demo_api_server_has_no_openai_api(self):
        def demo(request):
            missing = (404, {}, {"detail": "Not Found"})
            return (200, {}, b"") if request.path == "/health" else missing

        with loopback(demo) as (url, _):
            found = self.assert_fails("not-openai", 4, *at(url))
            self.assertIn("vllm serve", found["command"])
            self.assertIn("the OpenAI API", found["fix"])

    def test_a_base_url_is_not_said_to_be_missing_what_it_has(self):
        def gateway(request):
            if request.path != "/v1/models" or request.key:
                return 404, {}, {"detail": "Not Found"}
            return 401, {}, {"error": "Unauthorized"}

        with loopback(gateway) as (url, _):
            self.assert_fails("http-error", 4, *at(url))

    def test_keys_that_are_refused(self):
        for key, cause, words in ((None, "no-key", ""),
                                  ("vllm-local", "bad-key", "/version answers"),
                                  ("'sk-quoted'", "bad-key", "quotes"),
                                  ("Bearer sk-abcdefgh", "bad-key", "Bearer"),
                                  ("${MY_KEY}", "bad-key", "unexpanded")):
            with self.subTest(key=key), loopback(healthy(key="sk-right")) as (url, _):
                self.env.pop("VLLM_API_KEY", None)
                self.env.update({"VLLM_API_KEY": key} if key else {})
                found = self.assert_fails(cause, 5, *at(url))
                self.assertIn(words, found["summary"])
                self.assertNotIn("sk-", found["summary"])

    def test_the_key_of_requests_is_tried_too(self):
        self.env["VLLM_API_KEY"] = "sk-right-one"
        with loopback(healthy(key="sk-right-one")) as (url, _):
            self.provide(url, headers={"Authorization": "Bearer sk-wrong-one"})
            self.assertIn("Authorization header", self.assert_fails("bad-key", 5)["summary"])

    def test_a_key_that_the_server_ignores(self):
        with loopback(healthy()) as (url, _):
            self.env["VLLM_API_KEY"] = "sk-0123456789abcdef"
            self.assert_warns("key-ignored", *at(url))
            self.env["VLLM_API_KEY"] = "vllm-local"
            self.assertIn("enforces none", self.checked("auth", *at(url))[0]["summary"])

    def test_what_the_key_does_not_guard(self):
        self.env["VLLM_API_KEY"] = "sk-right-one"
        with loopback(healthy(key="sk-right-one")) as (url, requests), names(gpu_lan="127.0.0.1"):
            self.doctor(*at(url))
            found = self.assert_warns("exposed", *at(url.replace("127.0.0.1", "gpu.lan")))
        self.assertIn("/invocations", found["summary"])
        self.assertNotIn("/invocations", [request.path for request in requests])

    # models

    def test_no_models(self):
        with loopback(healthy(models=[])) as (url, _):
            self.assert_fails("no-models", 1, *at(url))

    def test_models_that_are_not_served(self):
        fallbacks = {"primary": "vllm/qwen", "fallbacks": ["vllm/other", "openai/gpt"]}
        with loopback(healthy()) as (url, _):
            for model_id, fix in (("qwem", "write qwen in place of qwem"),
                                  ("Qwen/Qwen3-8B", "write qwen in place")):
                self.declare(url, id=model_id)
                self.assertIn(fix, self.assert_fails("model-not-served", 1)["fix"])
            for choice in ({"primary": "vllm/other"}, fallbacks):
                self.declare(url, {"model": choice})
                self.assertIn("other", self.assert_fails("model-not-served", 1)["summary"])
            self.declare(url)
            found = self.assert_fails("model-not-served", 1, "--model", "other")
            self.assertIn("--model", found["summary"])

    def test_windows_that_do_not_fit(self):
        with loopback(healthy()) as (url, _):
            for cause, row, fix in (
                    ("context-too-large", {"contextWindow": 40961}, "40960"),
                    ("context-too-large", {"contextTokens": 128000}, "40960"),
                    ("max-tokens-too-large", {"maxTokens": 40960}, "8192")):
                with self.subTest(row=row):
                    self.declare(url, **row)
                    self.assertIn(fix, self.assert_fails(cause, 1)["fix"])
            self.declare(url, contextWindow=20000)
            self.assertIn("20960 tokens", self.assert_warns("context-too-small")["summary"])
            self.declare(url, contextWindow=40960, maxTokens=8192)
            self.assertEqual(self.doctor()[0], 0)
        with loopback(healthy(models=[dict(QWEN_ROW, max_model_len=16384)])) as (url, _):
            self.declare(url, contextWindow=16384)
            self.assert_warns("context-below-agent")

    def test_a_tokenizer_without_a_chat_template(self):
        for words in (NO_TEMPLATE, NO_FUNCTIONS):
            with self.subTest(words), loopback(healthy({"/tokenize": refused(words)})) as (url, _):
                found = self.assert_fails("no-chat-template", 1, *at(url, "--probe"))
                self.assertIn("--chat-template", found["fix"])

    def test_servers_that_do_not_chat(self):
        def offering(path):
            return {"/openapi.json": (200, {}, {"paths": {"/v1/models": {}, path: {}}})}

        completions, missing = "/v1/chat/completions", (404, {}, {"detail": "Not Found"})
        no_endpoint = {"/openapi.json": (404, {}, b""), completions: missing}
        no_chat = refused("The model does not support Chat Completions API")
        for name, changes, more in (
                ("embeddings", offering("/v1/embeddings"), []),
                ("speech", offering("/v1/audio/transcriptions"), []),
                ("no endpoint", no_endpoint, ["--probe"]),
                ("its words", {completions: no_chat}, ["--probe"])):
            with self.subTest(name), loopback(healthy(changes)) as (url, _):
                self.assert_fails("not-a-chat-model", 1, *at(url, *more))
        page = (404, {"Server": "nginx"}, b"<html><title>404 Not Found</title></html>")
        with loopback(healthy({completions: page})) as (url, _):
            self.assert_fails("http-error", 1, *at(url, "--probe"))

    def test_a_gateway_that_passes_v1_only(self):
        page = (200, {"Server": "nginx"}, b"<html>Welcome</html>")
        paths = ("/version", "/health", "/openapi.json", "/tokenize", "/metrics")
        for answer in ((404, {}, b"404 page not found\n"), (502, {}, b"Bad Gateway"), page):
            with self.subTest(answer), loopback(healthy(dict.fromkeys(paths, answer))) as (url, _):
                status, findings = self.doctor(*at(url, "--probe"))
                told = [row for row in findings if row["status"] in ("warn", "fail")]
                self.assertEqual((status, told), (0, []))
                self.assertEqual(findings[-1]["status"], "ok")

    def test_histories_that_a_template_refuses(self):
        def roles_of(messages):
            return [message["role"] for message in messages]

        def alternate(messages):
            roles = [role for role in roles_of(messages) if role != "system"]
            if any(role != ("user", "assistant")[index % 2] for index, role in enumerate(roles)):
                return "Conversation roles must alternate user/assistant/user/assistant/..."

        def texts(messages):
            if any(isinstance(message["content"], list) for message in messages):
                return "can only concatenate str (not \"list\") to str"

        def after_tool(messages):
            roles = roles_of(messages)
            if ("tool", "user") in zip(roles, roles[1:]):
                return "Unexpected role 'user' after role 'tool'"

        def no_tools(messages):
            if "tool" in roles_of(messages):
                return "Only user, system and assistant roles are supported!"

        def reasoned(messages):
            if any(message["role"] == "assistant" and "reasoning_content" not in message
                   and not message.get("tool_calls") for message in messages):
                return "reasoning_content is missing"

        refused_by_all = [{"role": role, "content": []}
                          for role in ("user", "assistant", "tool", "user")]
        for rule, row, words, switch in (
                (texts, {}, "list of parts", "requiresStringContent"),
                (after_tool, {}, "after a tool result", "requiresAssistantAfterToolResult"),
                (reasoned, {"reasoning": True}, "without its reasoning",
                 "requiresReasoningContentOnAssistantMessages"),
                (alternate, {}, "two user messages in a row", None),
                (no_tools, {}, "a tool call with its result", None)):
            with self.subTest(rule.__name__), \
                    loopback(healthy({"/tokenize": tokenizing(rule)})) as (url, _):
                self.declare(url, **row)
                failed = [row for row in self.doctor()[1] if row["status"] == "fail"]
                self.assertEqual({row["cause"] for row in failed}, {"template-history"})
                if rule is no_tools:                 # nor what goes on from there
                    self.assertEqual(len(failed), 1, failed)
                found = failed[0]
                self.assertIn(words, found["summary"])
                self.assertIn(rule(refused_by_all), found["summary"])
                self.assertEqual(bool(found["command"]), bool(switch))
                if switch:
                    self.assertIn(switch + ": true", found["fix"])
                    self.fix("template-history", 1)
                else:
                    self.assertIn("--chat-template", found["fix"])
                    self.assertNotIn("true", found["fix"])

    def test_a_healthy_template_costs_few_requests(self):
        with loopback(healthy()) as (url, requests):
            self.declare(url, reasoning=True)
            self.doctor()
        self.assertLessEqual([request.path for request in requests].count("/tokenize"), 4)

    def test_a_template_that_refuses_a_role(self):
        system, developer = [{"/tokenize": refusing(role, role + " role not supported")}
                             for role in ("system", "developer")]
        with loopback(healthy(system)) as (url, _):
            found = self.assert_fails("template-role", 1, *at(url))
            self.assertIn("system role not supported", found["summary"])
        with loopback(healthy(developer)) as (url, _):
            self.assert_warns("template-role", *at(url))
            self.declare(url, reasoning=True, compat={"supportsDeveloperRole": True})
            found = self.assert_fails("template-role", 1)
            self.assertIn("supportsDeveloperRole: false", found["fix"])

    def test_odd_answers_beside_the_main_ones_break_nothing(self):
        odd = [dict(QWEN_ROW, parent=["x"], root={"y": 1}),
               dict(QWEN_ROW, id="\x1b[2Jb\nc", parent=7, max_model_len=1e308)]
        metrics = b"vllm:num_requests_running 1e999\nvllm:kv_cache_usage_perc{} NaN\n"
        changes = {"/version": (200, {}, b"[1]"), "/health": (404, {}, b""),
                   "/tokenize": (200, {}, b"[[]]"), "/metrics": (200, {}, metrics)}
        with loopback(healthy(changes, models=odd)) as (url, _):
            status, findings = self.doctor(*at(url, "--probe"))
            self.assertEqual(status, 0, findings)
            self.assertNotIn("\x1b", run(["doctor"] + list(at(url)), self.env).out)

    def test_a_side_entrance_that_hangs_stops_nothing(self):
        def hanging(path, changes=None):
            usual = answering(healthy(changes))

            def step(sock, request, stub):
                if request.path == path:
                    return stub.ending.wait(WAIT_S)
                usual(sock, request, stub)

            return Stub([step])

        with hanging("/health") as stub:
            found = self.checked("health", *at(stub.origin, "--timeout", "0.2"))[0]
            self.assertEqual((found["status"], found["cause"]), ("skip", "timeout"))
            self.assertIn("/health", found["summary"])
        template = refused("default chat template is no longer allowed")
        with hanging("/openapi.json", {"/tokenize": template}) as stub:
            argv = at(stub.origin, "--timeout", "0.2")
            self.assert_fails("no-chat-template", 1, *argv)
            self.assertEqual(self.checked("chat", *argv)[0]["status"], "skip")

    # with --probe

    def probe(self, answer, tools=None):
        """Return a context manager for a server that answers completions, and tools, so.

        Both are functions of the request; without `tools` those are answered as usual.
        """
        tools = tools or (lambda request: (200, {}, stream(request)))

        def complete(request):
            return (tools if "tools" in request.json() else answer)(request)

        return loopback(healthy({"/v1/chat/completions": complete}))

    def test_completions_that_fail(self):
        whole = {"id": "c1", "choices": [{"message": {"content": "1"}, "finish_reason": "stop"}]}
        bare = b'{"choices": [{"delta": {"content": "1"}}]}\n'
        begun = stream(None)[:1]
        died = event({"error": {"message": "the engine died", "code": 500}})
        for name, cause, answer, words in (
                ("a 400", "chat-failed", refused("its own words"), "its own words"),
                ("an unknown field", "unknown-field-rejected",
                 refused(extra("body", "stream_options")), "stream_options"),
                ("an error event", "stream-broken",
                 (200, {}, begun + [died, event(b"[DONE]")]), "the engine died"),
                ("no [DONE]", "stream-broken", streamed(done=False), "[DONE]"),
                ("no finish reason", "stream-broken", streamed(finish=None), "finish reason"),
                ("ends early", "stream-broken", (200, {}, stream(None)[:2]), "[DONE]"),
                ("whole JSON", "stream-broken", (200, {}, whole), "data:"),
                ("unframed chunks", "stream-broken", (200, {}, [bare, bare]), ""),
                ("not JSON", "stream-broken", (200, {}, [b"data: hello\n\n"]), "not JSON"),
                ("cut off", "stream-broken", (200, {"Content-Length": "5000"}, begun),
                 "of 5000 bytes"),
                ("nothing", "stream-broken", (200, {}, b""), "empty"),
                ("HTTP 200 with an error", "stream-broken",
                 (200, {}, {"error": {"message": "no luck"}}), "no luck"),
                ("empty", "empty-answer", streamed(texts=()), ""),
                ("all in reasoning", "empty-answer", streamed("", reasoning="hm"), "reasoning"),
                ("<think>", "reasoning-in-content", streamed("<think>", "hm"), "<think>"),
                ("</think>", "reasoning-in-content", streamed("hm", "</think>1"), "</think>"),
                ("[THINK]", "reasoning-in-content", streamed("[THINK]", "hm"), "[THINK]")):
            with self.subTest(name), self.probe(lambda request: answer) as (url, _):
                found = self.assert_fails(cause, 1, *at(url, "--probe"))
                self.assertIn(words, found["summary"])

    def test_a_value_of_the_settings_that_the_server_refuses_is_named(self):
        def complete(request):
            if request.json().get("temperature") == 5:
                return refused("temperature must be in [0, 2], got 5.")
            return 200, {}, stream(request)

        with self.probe(complete) as (url, _):
            self.declare(url, {"params": {"temperature": 5}})
            found = self.assert_fails("field-refused", 1, "--probe")
            self.assertIn("temperature", found["summary"])
            self.declare(url, {"params": {"extra_body": {"x": math.inf}}})      # JSON5 has it
            self.assertIn("NaN", self.assert_fails("config-invalid", 1, "--probe")["fix"])

    def test_completions_to_be_warned_of(self):
        for cause, answer in (
                ("usage-missing", streamed(usage=False)),
                ("empty-answer", streamed("", finish="length", reasoning_content="hm"))):
            with self.subTest(cause), self.probe(lambda request: answer) as (url, _):
                self.assert_warns(cause, *at(url, "--probe"))

    def test_a_stream_that_something_buffers(self):
        def cut_at(count):
            def complete(request):
                pieces = stream(request, texts="123456789")
                yield b"".join(pieces[:count])
                threading.Event().wait(0.12)         # a buffer is a wait and then a burst
                yield b"".join(pieces[count:])
            return lambda request: (200, {}, complete(request))

        for count in (0, 6):                         # 6: as when a buffer of nginx is full
            with self.subTest(count), mock.patch.object(vllm, "BUFFERED_AFTER_S", 0.1), \
                    self.probe(cut_at(count)) as (url, _):
                self.assert_warns("stream-buffered", *at(url, "--probe"))

    def test_tools(self):
        def calling(arguments):
            call = {"index": 0, "id": "x",
                    "function": {"name": "get_current_time", "arguments": arguments}}
            return streamed("", tool_calls=[call], finish="tool_calls")

        def probed(answer):
            return self.probe(lambda request: streamed("1"), lambda request: answer)

        with probed(refused('"auto" tool choice requires --enable-auto-tool-choice and '
                            '--tool-call-parser to be set')) as (url, _):
            found = self.assert_warns("tools-disabled", *at(url, "--probe"))
            self.assertIn("--tool-call-parser hermes", found["fix"])
        call = '\n{"name": "get_current_time", "arguments": {"city": "Paris"}}\n'
        for text in (
                "<tool_call>%s</tool_call>" % call, call.strip(), "[TOOL_CALLS]" + call.strip(),
                "[get_current_time(city='Paris')]", "<function=get_current_time>",
                "call:get_current_time{city: Paris}", "<|tool_calls_section_begin|>",
                "<\uff5ctool\u2581calls\u2581begin\uff5c>",
                '{"type": "function", "name": "get_time", "parameters": {"city": "Paris"}}'):
            with self.subTest(text=text), probed(streamed(text)) as (url, _):
                found = self.assert_fails("tool-parser-mismatch", 1, *at(url, "--probe"))
                self.assertIn("hermes", found["fix"])
        for arguments in ('{"city": "Paris"', "{}"):
            with self.subTest(arguments=arguments), probed(calling(arguments)) as (url, _):
                self.assert_warns("tool-arguments", *at(url, "--probe"))
        with probed(calling('{"city": "Paris"}')) as (url, _):
            self.assertIn("it called one", self.doctor(*at(url, "--probe"))[1][-1]["summary"])

    def test_each_model_that_is_named_is_probed(self):
        models = [QWEN_ROW, dict(QWEN_ROW, id="second"), dict(QWEN_ROW, id="third")]
        for more, probed in (([], {"qwen", "second"}), (["--model", "third"], {"third"})):
            with self.subTest(more=more), loopback(healthy(models=models)) as (url, requests):
                self.declare(url, {"model": {"primary": "vllm/second"}})
                self.doctor("--probe", *more)
                self.assertEqual({request.json()["model"] for request in requests
                                  if request.path == "/v1/chat/completions"}, probed)

    # bounds

    def test_servers_that_hang_are_given_up(self):
        def silent(connection, over):
            over.wait()

        def drip(connection, over):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.02):
                connection.sendall(b"x")

        def endless(connection, over):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
            while not over.wait(0.02):
                connection.sendall(b" ")

        for converse, phase in ((silent, "waiting for the answer to begin"),
                                (drip, "waiting for the answer to begin"),
                                (endless, "in the middle of the answer")):
            with self.subTest(converse.__name__), raw_server(converse) as url:
                found = self.assert_fails("timeout", 4, *at(url, "--timeout", "0.2"))
                self.assertIn(phase, found["summary"])

    def test_a_stream_that_never_ends_is_given_up(self):
        def endless(request):
            while True:
                yield stream(request)[0]
                threading.Event().wait(0.02)

        with self.probe(lambda request: (200, {}, endless(request))) as (url, _):
            found = self.assert_fails("timeout", 1, *at(url, "--probe", "--timeout", "0.3"))
        self.assertIn("in the middle of the answer", found["summary"])

    def test_the_whole_diagnosis_is_bounded(self):
        with mock.patch.object(vllm, "DIAGNOSIS_S", 0.2), \
                raw_server(lambda connection, over: over.wait()) as url:
            _, findings = self.doctor(*at(url, "--probe"))
        causes = {finding["cause"] for finding in findings if finding["status"] != "ok"}
        self.assertEqual(causes, {"timeout"})

    # the report

    def test_the_report_fits_a_terminal_and_can_be_pasted(self):
        status, out, err = run(["doctor"] + list(at(closed_origin(self))), self.env)
        lines = out.splitlines()
        self.assertEqual((status, err), (4, ""))
        self.assertEqual(lines[0], "1 failure: server-loading; 0 warnings")
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertRegex(out, r"(?s)FAIL  connect .* fix: wait")
        self.assertEqual(out.count("\nskip  "), 1)
        self.assertRegex(" ".join(out.split()),
                         "auth, version.*: not checked, because of server-loading")
        command = "vllm serve %s --port 8000" % ("x" * 90)
        finding = vllm.Finding("connect", "fail", "dns", "gone", "start it; " * 9, command)
        report = vllm.format_findings([finding], width=40)
        self.assertEqual(report[-1].strip(), command)
        self.assertLessEqual(max(map(len, report[:-1])), 40)

    def test_a_probe_hides_the_key(self):
        self.env["VLLM_API_KEY"] = "sk-secret-of-the-test"
        echo = refused("no such thing as sk-secret-of-the-test \x1b[31m")
        with self.probe(lambda request: echo) as (url, _):
            _, out, err = run(["doctor"] + list(at(url, "--probe")), self.env)
        self.assertNotIn("sk-secret", out + err)
        self.assertNotIn("\x1b", out + err)

    def test_a_key_that_a_server_tells_is_hidden_before_it_is_cut(self):
        key = self.env["VLLM_API_KEY"] = "sk-secret-of-the-test"
        for padding in range(0, 120, 7):
            told = "x" * padding + key
            changes = {"/version": (200, {}, {"version": told}),
                       "/v1/chat/completions": streamed(finish=told)}
            models = [dict(QWEN_ROW, id=told), dict(QWEN_ROW, id=told + "2"),
                      dict(QWEN_ROW, id="lora", parent=told)]
            with self.subTest(padding), loopback(healthy(changes, models=models)) as (url, _):
                for more in ([], ["--json"], ["--model", "other"]):
                    _, out, err = run(["doctor"] + list(at(url, "--probe", *more)), self.env)
                    self.assertNotIn("sk-sec", out + err)

    def test_other_verbs_point_to_doctor(self):
        del self.env["VLLM_API_KEY"]
        for argv in (["list"], ["chat", "hi"],
                     ["list"] + list(at("http://127.0.0.1:%d" % free_port()))):
            with self.subTest(argv):
                status, _, err = run(argv, self.env)
                self.assertNotEqual(status, 0)
                self.assertTrue(err.splitlines()[-1].endswith("openclaw_vllm.py doctor"))


# ----------------------------------------------------------------------------
# Config editing
# ----------------------------------------------------------------------------

def a_model(model_id="tiny-qwen3", context_window=4096, reasoning=False, name=None, parent=None):
    empty = vllm.Model(*[None] * len(vllm.Model._fields))
    return empty._replace(
        id=model_id, name=name or model_id, provider="vllm", input=("text",), parent=parent,
        context_window=context_window, reasoning=reasoning, source="discovered")


Served = collections.namedtuple("Served", "models evidence")


def a_server(*models, **evidence):
    """Return what `merge` takes: some Models, {model id: (compat, reason)} of those that think."""
    models = models or [a_model()]
    found = dict.fromkeys((model.id for model in models), (None, ""))
    return Served(models, dict(found, **evidence.get("evidence") or {}))


def merge(config, served, provider="vllm", variables=None, **options):
    """Return (the merged config, ids of the rows that are not served)."""
    empty = vllm.Provider(*[None] * len(vllm.Provider._fields))
    provider = empty._replace(id=provider, base_url="http://127.0.0.1:8000/v1")
    return vllm.merge_provider(config, provider, served.models, served.evidence, variables or {},
                               **options)


def a_block(*models, **evidence):
    """Return the block that is written for some Models into an empty config."""
    wanted, _ = merge({}, a_server(*models, **evidence))
    return wanted["models"]["providers"]["vllm"]


def merge_text(text, served, **options):
    """Return (new text, ids of the rows that are not served) of one run over a text."""
    wanted, unserved = merge(vllm.json5_loads(text), served, **options)
    return vllm.edited_text(text, wanted, "openclaw.json"), unserved


def with_block(block, name="vllm"):
    """Return a config with one provider block."""
    return {"models": {"providers": {name: block}}}


def rows_of(config, provider="vllm"):
    return config["models"]["providers"][provider]["models"]


def edit_text(text, *edits):
    """Return a text with some (key path, value) edits made; the value REMOVED takes a key away."""
    edits = [vllm.Edit(*edit) for edit in edits]
    return vllm.edited_text(text, vllm.apply_edits(vllm.json5_loads(text), edits), "openclaw.json")


def same(one, other):
    """Tell whether two parsed values are the same, types and NaN included, in whatever order."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# The two explicit examples of the documentation page.
PAGE_EXAMPLE = """\
{
  models: {
    providers: {
      vllm: {
        baseUrl: "http://127.0.0.1:8000/v1",
        apiKey: "${VLLM_API_KEY}",
        api: "openai-completions",
        models: [
          {
            id: "your-model-id",
            name: "Local vLLM Model",
            reasoning: false,
            input: ["text"],
            cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
            contextWindow: 128000,
            maxTokens: 8192,
          },
        ],
      },
    },
  },
}
"""
PAGE_EXAMPLE_GAINS = """\
          {
            id: "tiny-qwen3",
            name: "tiny-qwen3",
            reasoning: false,
            input: ["text"],
            cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
            contextWindow: 4096,
            maxTokens: 2048,
          },
  agents: { defaults: { model: { primary: "vllm/tiny-qwen3" } } },
"""
PAGE_CUSTOM_URL = """\
{
  models: {
    providers: {
      vllm: {
        baseUrl: "http://192.168.1.50:9000/v1",
        apiKey: "${VLLM_API_KEY}",
        api: "openai-completions",
        models: [
          {
            id: "my-custom-model",
            name: "Remote vLLM Model",
            reasoning: false,
            input: ["text"],
            contextWindow: 64000,
            maxTokens: 4096,
          },
        ],
      },
    },
  },
}
"""


class TheBlock(unittest.TestCase):
    """The block that is written, and `render_json5`."""

    def test_is_what_the_documentation_writes(self):
        block = a_block(a_model("your-model-id", 128000, name="Local vLLM Model"))
        self.assertEqual(block.pop("timeoutSeconds"), 300)
        written = vllm.render_json5({"models": {"providers": {"vllm": block}}})
        self.assertEqual(written + "\n", PAGE_EXAMPLE)

    def test_leaves_room_for_the_prompt(self):
        for window, wanted in ((128000, 8192), (16384, 8192), (16383, 8191), (4096, 2048), (1, 1)):
            with self.subTest(window=window):
                row = a_block(a_model(context_window=window))["models"][0]
                self.assertEqual((row["contextWindow"], row["maxTokens"]), (window, wanted))

    def test_states_no_window_the_server_does_not_state(self):
        row = a_block(a_model(context_window=None))["models"][0]
        self.assertEqual(sorted(row), ["cost", "id", "input", "name", "reasoning"])

    def test_gives_the_evidence_for_thinking_as_a_comment(self):
        compat = {"thinkingFormat": "qwen-chat-template"}
        models = [a_model("plain"), a_model("some-r1", reasoning=True), a_model("qwen3")]
        evidence = {"some-r1": (None, "the name says so"),
                    "qwen3": (compat, "it\nthought */ \u2028asked")}
        text = vllm.render_json5(a_block(*models, evidence=evidence))
        self.assertIn("      // the name says so\n      reasoning: true,\n", text)
        self.assertIn("      // it thought */  asked\n      reasoning: true,\n", text)
        rows = vllm.json5_loads(text)["models"]
        self.assertEqual([(row["reasoning"], row.get("compat")) for row in rows],
                         [(False, None), (True, None), (True, compat)])

    def test_writes_no_comment_where_a_line_goes_on(self):
        wanted = {"a": {"b": 1, "c": {"d": vllm.Noted(True, "why")}}}
        for text, new in (
                ("{ a: { b: 1 } }", "{ a: { b: 1, c: { d: true } } }"),
                ('{\n  "a": {\n    "b": 1\n  }\n}',
                 '{\n  "a": {\n    "b": 1,\n    "c": { "d": true }\n  }\n}')):
            with self.subTest(text):
                self.assertEqual(vllm.edited_text(text, wanted, "f"), new)

    def test_keeps_a_hostile_id_from_naming_a_variable(self):
        variables = {"VLLM_API_KEY": "secret", "HOME": "h", "A": "a", "B": "b"}
        for model_id in ("${VLLM_API_KEY}", "$${HOME}", "a$${A}${B}$c", "${lower}", "$"):
            with self.subTest(id=model_id):
                wanted, _ = merge({}, a_server(a_model(model_id)), primary="vllm/" + model_id)
                written = rows_of(wanted)[0]["id"]
                self.assertEqual(vllm._substitute(written, variables), model_id)
                primary = wanted["agents"]["defaults"]["model"]["primary"]
                self.assertEqual(primary, "vllm/" + written)

    def test_writes_any_text_so_that_it_reads_the_same(self):
        texts = ["", "a'b\"c\\", "\u2028\u2029\ufeff\u00a0", "\x00\x01\x1b[2J\x7f\x9f\r\n\t",
                 "\u202egnp.exe", "\U0001f600 é 漢", "*/ // /*", "${X}", "\U000e0041"]
        for text in texts:
            for quote in "\"'":
                with self.subTest(text=text, quote=quote):
                    look = vllm._PAGE_LOOK._replace(quote=quote)
                    written = vllm.render_json5({text: [text]}, look)
                    self.assertEqual(vllm.json5_tree(written).value, {text: [text]})
                    self.assertTrue(re.sub("[\n\x7f]", "", written).isprintable(), written)
        self.assertEqual(json.loads(vllm.render_json5("a\ud800b")), "a\ud800b")

    def test_writes_any_number(self):
        for number in (0, -1, 1.5, 1e300, 10 ** 30, True, None, math.inf, -math.inf, math.nan):
            self.assertTrue(same(vllm.json5_loads(vllm.render_json5([number])), [number]), number)


GONE = vllm.REMOVED
# (what the README promises, before, edits, after)
LAYOUTS = [
    ("the file's indentation, line ends, byte-order mark and missing final newline",
     "\ufeff{\r\n\ta: {\r\n\t\tx: 1,\r\n\t},\r\n}", [(("a", "c"), {"d": {"e": 2}, "f": "f" * 90})],
     "\ufeff{\r\n\ta: {\r\n\t\tx: 1,\r\n\t\tc: {\r\n\t\t\td: { e: 2 },\r\n\t\t\tf: \"" + "f" * 90
     + "\",\r\n\t\t},\r\n\t},\r\n}"),
    ("its quotes, its quoted keys, no trailing comma",
     "{\n  'a': 'x'\n}\n", [(("c",), "it's")], "{\n  'a': 'x',\n  'c': 'it\\'s'\n}\n"),
    ("bare keys but for those that need quotes, and its trailing comma",
     "{\n  a: 1,\n}\n", [(("vllm/*",), {}), (("b",), 2)],
     "{\n  a: 1,\n  \"vllm/*\": {},\n  b: 2,\n}\n"),
    ("plain JSON stays plain JSON",
     '{\n    "a": 1\n}', [(("c",), {"d": [{"e": "f" * 90}]})],
     '{\n    "a": 1,\n    "c": {\n        "d": [\n            {\n                "e": "' + "f" * 90
     + '"\n            }\n        ]\n    }\n}'),
    ("a container on one line that has room",
     "{\n  a: { b: { x: 1 } }, // n\n}\n", [(("a", "b", "y"), [2])],
     "{\n  a: { b: { x: 1, y: [2] } }, // n\n}\n"),
    ("one that has none gets a line for each member",
     "{\n  a: { x: [1], /* y */ y: 1 }, // n\n}\n", [(("a", "text"), "t" * 80)],
     "{\n  a: {\n    x: [1],\n    /* y */ y: 1,\n    text: \"" + "t" * 80 + "\",\n  }, // n\n}\n"),
    ("a row that gets no more members than it had stays on its line",
     "{ // mine\n a: { b: { c: \"" + "c" * 90 + "\", rows: [ {id: 1, nme: 2} ] } } }",
     [(("a", "b", "rows", 0, "nme"), GONE), (("a", "b", "rows", 0, "names"), 2)],
     "{ // mine\n a: { b: { c: \"" + "c" * 90 + "\", rows: [ {id: 1, names: 2} ] } } }"),
    ("a row beside rows of one line",
     "{\n  a: [\n    { id: 1, b: [] },\n  ],\n}", [(("a", 1), {"id": 2, "b": {"c": 1}})],
     "{\n  a: [\n    { id: 1, b: [] },\n    { id: 2, b: { c: 1 } },\n  ],\n}"),
    ("a new member stands behind its siblings and their comments",
     "{\n  a: 1 // one\n\n  // b: 2,\n}\n", [(("c",), 3)],
     "{\n  a: 1, // one\n  c: 3\n\n  // b: 2,\n}\n"),
    ("a removed member takes its comma and its comments along",
     "{\n  // the first\n\n  // of a\n  a: 1, // a too\n  // of b\n  b: 2,\n}\n", [(("a",), GONE)],
     "{\n  // the first\n\n  // of b\n  b: 2,\n}\n"),
    ("the comma before it goes where the file ends without one",
     '{"a": 1, "b": [1, 2]}', [(("b", 1), GONE), (("b", 0), GONE)], '{"a": 1, "b": []}'),
    ("a changed value is changed in place, of equal keys the last",
     "{ a: 'x', b: 1.0 /* z */, a: 'z' }", [(("b",), 1), (("a",), "m")],
     "{ a: 'x', b: 1 /* z */, a: 'm' }"),
]
# A comment in every gap, numbered.
COMMENTED = """\
// 1
{ // 2
  /* 3 */ a /* 4 */ : /* 5 */ 1 /* 6 */ , // 7
  // 8

  // 9
  // 10
  b: { // 11
    x: 1, // 12
    // 13
    y: [1, /* 14 */ 2 /* 15 */, 3], // 16
    // 17
  }, // 18
  /* 19 */
  c: 3 // 20
  // 21
  , d: [ // 22
    // 23
  ] // 24
  // 25
} // 26
// 27
"""


class Editing(unittest.TestCase):
    """`edited_text`: the text that has the wanted value, and the proof of it."""

    def test_keeps_what_the_readme_promises(self):
        for what, before, edits, after in LAYOUTS:
            with self.subTest(what):
                self.assertEqual(edit_text(before, *edits), after)

    def test_keeps_every_byte_when_nothing_differs(self):
        for text in [COMMENTED, PAGE_EXAMPLE, "\ufeff{ a: .5, 'b': +1, c: 0x1F, a: NaN, }\r"]:
            self.assertEqual(vllm.edited_text(text, vllm.json5_loads(text), "f"), text)

    def test_takes_the_comments_of_what_is_removed_and_no_others(self):
        for value, table in (
                (GONE, {"a": "3 4 5 6 7", "b": "9 10 11 12 13 14 15 16 17 18", "b.x": "12",
                        "b.y": "13 14 15 16", "b.y[0]": "", "b.y[1]": "14 15", "b.y[2]": "",
                        "c": "19 20", "d": "22 23 24", "e": ""}),
                ({"new": [True]}, {"a": "", "b": "12 13 14 15 16", "b.x": "", "b.z": "",
                                   "b.y[3]": "", "c": "", "d[0]": "", "e": ""})):
            for path, lost in table.items():
                with self.subTest(path=path, value=value):
                    new = edit_text(COMMENTED, (vllm.parse_path(path), value))
                    kept = [str(number) for number in range(1, 28)
                            if str(number) not in lost.split()]
                    self.assertEqual(re.findall(r"(?<=/[/*] )[0-9]+", new), kept)
                    self.assertEqual(edit_text(new), new)

    def test_the_proof_sees_whatever_else_changed(self):
        wanted = {"a": 1, "b": [1, True, math.nan], "c": "1"}
        vllm.prove_edit("{ a: 1, b: [1, true, NaN], c: '1' }", wanted, "f")
        for wrong in ("{ a: 1, b: [1, true, NaN] }",
                      "{ a: 1, b: [1, true, NaN], c: 1 }",
                      "{ a: 1, b: [1, 1, NaN], c: '1' }",
                      "{ a: true, b: [1, true, NaN], c: '1' }",
                      "{ a: 1.0, b: [1, true, NaN], c: '1' }",
                      "{ a: 1, b: [1, true, NaN], c: '1', e: 5 }",
                      "{ b: [1, true, NaN], a: 1, c: '1' }",
                      "{ a: 1, b: [1, true] c: '1' }",
                      ""):
            with self.subTest(wrong):
                with self.assertRaises(vllm.ConfigError) as caught:
                    vllm.prove_edit(wrong, wanted, "the-file")
                self.assertEqual(caught.exception.cause, "config-not-written")
                self.assertIn("the-file", caught.exception.message)
                self.assertTrue(caught.exception.hint)

    def test_refuses_a_name_that_no_file_can_hold(self):
        with self.assertRaises(vllm.ConfigError) as caught:
            merge_text("{}", a_server(a_model("a\ud800b")))
        self.assertEqual(caught.exception.cause, "config-not-written")

    def time_to_refresh(self, count):
        """Return the seconds of CPU that it takes to refresh so many rows and add one."""
        models = [a_model("m%d" % number) for number in range(count)]
        text = vllm.render_json5(with_block(a_block(*models)))
        served = [model._replace(context_window=8192) for model in models] + [a_model("new")]
        start = time.process_time()
        new, _ = merge_text(text, a_server(*served), renewed=vllm.SIZES)
        taken = time.process_time() - start
        rows = rows_of(vllm.json5_loads(new))
        self.assertEqual([row["contextWindow"] for row in rows], [8192] * count + [4096])
        return taken

    def test_twice_the_rows_take_about_twice_the_time(self):
        ratios = []
        while not ratios or (ratios[-1] >= 3 and len(ratios) < 5):
            ratios.append(self.time_to_refresh(1000) / self.time_to_refresh(500))
        self.assertLess(ratios[-1], 3, ratios)


class Paths(unittest.TestCase):
    """Key paths, the edits at them, and the command that makes them."""

    def test_are_read_as_openclaw_writes_them(self):
        for text, path in (
                ("models.providers.vllm.models[0].id",
                 ("models", "providers", "vllm", "models", 0, "id")),
                ('agents.defaults.models["vllm/Qwen/Qwen2.5-7B"].params',
                 ("agents", "defaults", "models", "vllm/Qwen/Qwen2.5-7B", "params")),
                ("a['b.c'][d/e].f-g", ("a", "b.c", "d/e", "f-g")),
                ('a["\\u0041]"]', ("a", "A]")),
                ("x.0.y", ("x", "0", "y")),
                ('["a"][12]', ("a", 12))):
            with self.subTest(text):
                self.assertEqual(vllm.parse_path(text), path)
                self.assertEqual(vllm.parse_path(vllm.format_path(path)), path)
        self.assertEqual(vllm.format_path(("a", "b c", 3, "vllm/m")), 'a["b c"][3]["vllm/m"]')

    def test_what_is_not_a_path_is_refused(self):
        paths = ("", ".", "a.", ".a", "a..b", "a[", "a[]", "a[-1]", "a[1", "a]", "a.[0]", "a b",
                 'a["b]', "a[0]b", "a=1", "a[1234567890]", 'a["\\x"]')
        assignments = ("", "=1", "a", "a.=1", "a b=1")
        for read, texts in ((vllm.parse_path, paths), (vllm.parse_assignment, assignments)):
            for text in texts:
                with self.subTest(text, read=read.__name__), self.assertRaises(vllm.UsageError):
                    read(text)

    def test_values_are_json5_or_text(self):
        for text, value in (
                ("1", 1), ("true", True), ("null", None), ("'x'", "x"), ("{a:[1,]}", {"a": [1]}),
                ("x y", "x y"), ("", ""), ("http://h:1/v1", "http://h:1/v1"), ("a=b", "a=b"),
                ("{", "{")):
            with self.subTest(text):
                self.assertEqual(vllm.parse_assignment('p["="]=' + text), (("p", "="), value))

    def test_edits_make_objects_on_the_way_and_append(self):
        for before, edit, after in (
                ({}, (("a", "b", "c"), 1), {"a": {"b": {"c": 1}}}),
                ({}, (("a", 0, "b"), 1), {"a": [{"b": 1}]}),
                ({"a": [1]}, (("a", 1), 2), {"a": [1, 2]}),
                ({"a": [1]}, (("a", "0"), 2), {"a": [2]}),
                ({"a": 1}, (("a",), {"b": 2}), {"a": {"b": 2}}),
                ({"a": 1, "b": 2}, (("a",), GONE), {"b": 2}),
                ({"a": [1, 2]}, (("a", 0), GONE), {"a": [2]}),
                ({"a": 1}, (("b", "c"), GONE), {"a": 1}),
                ({"a": [1]}, (("a", 1), GONE), {"a": [1]})):
            with self.subTest(edit=edit):
                original = copy.deepcopy(before)
                self.assertEqual(vllm.apply_edits(before, [vllm.Edit(*edit)]), after)
                self.assertEqual(before, original)

    def test_edits_go_through_no_scalar_and_not_past_the_end(self):
        for config, path, where in (
                ({"a": 1}, ("a", "b"), "a: not written: there is no b in a number"),
                ({"a": {"b": []}}, ("a", "b", "c"), "a.b: not written: there is no c in an array"),
                ({"a": None}, ("a", "b", "c"), "a: not written: there is no b in null"),
                ({"a": {}}, ("a", 0), "a: not written: there is no 0 in an object"),
                ({"a": [1]}, ("a", 2), "a: not written: there is no 2 in an array"),
                ([], ("a",), "the top level: not written: there is no a in an array")):
            for value in (1, GONE):
                with self.subTest(path=path, value=value):
                    with self.assertRaises(vllm.ConfigError) as caught:
                        vllm.apply_edits(config, [vllm.Edit(path, value)])
                    self.assertIn(where, caught.exception.message)

    def test_a_command_makes_the_same_edits(self):
        values = (1, "x y", "true", "'", "it's", "", {"k": [None, "é"]}, GONE)
        edits = [vllm.Edit(("a", "b c", 0), value) for value in values]
        words = shlex.split(vllm.edit_command(edits, "/home/a b/openclaw.json"))
        start = len(words) - 2 * len(edits)
        self.assertEqual(words[start - 4:start],
                         ["config", "--write", "--config", "/home/a b/openclaw.json"])
        read = {"--set": vllm.parse_assignment, "--unset": vllm.parse_removal}
        made = [read[option](text) for option, text in zip(words[start::2], words[start + 1::2])]
        self.assertEqual(made, edits)


class Merging(unittest.TestCase):
    """`merge_provider`: what is wanted of a config."""

    def merged(self, config, served, **options):
        """Return the value of a config, written as JSON, after a merge."""
        return vllm.json5_loads(merge_text(json.dumps(config), served, **options)[0])

    def test_page_examples_change_in_what_is_lacking_or_renewed(self):
        cost = "cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },"
        gains = ["+ " + line for line in PAGE_EXAMPLE_GAINS.splitlines()]
        for what, text, model, options, lines, kept in (
                ("nothing", PAGE_EXAMPLE, a_model("your-model-id", 128000), {}, [], []),
                ("the served model and the primary", PAGE_EXAMPLE, a_model(),
                 {"primary": "vllm/tiny-qwen3"}, gains, ["your-model-id"]),
                ("the sizes", PAGE_EXAMPLE, a_model("your-model-id", 8192),
                 {"renewed": vllm.SIZES},
                 ["-             contextWindow: 128000,", "+             contextWindow: 8192,",
                  "-             maxTokens: 8192,", "+             maxTokens: 4096,"], []),
                ("the cost", PAGE_CUSTOM_URL, a_model("my-custom-model", 4096), {},
                 ["+             " + cost], [])):
            with self.subTest(what):
                new, unserved = merge_text(text, a_server(model), **options)
                diff = difflib.ndiff(text.splitlines(), new.splitlines())
                self.assertEqual([line for line in diff if line[0] in "+-"], lines)
                self.assertEqual(unserved, kept)
                self.assertEqual(merge_text(new, a_server(model), **options)[0], new)

    def test_page_example_is_pruned_of_its_row(self):
        pruned = vllm.prune_rows(vllm.json5_loads(PAGE_EXAMPLE), "vLLM", ["other"], {})
        new = vllm.edited_text(PAGE_EXAMPLE, pruned, "f")
        row = PAGE_EXAMPLE[PAGE_EXAMPLE.index("          {\n"):PAGE_EXAMPLE.index("        ],")]
        self.assertEqual(new, PAGE_EXAMPLE.replace(row, ""))

    def test_pruning_keeps_what_is_served_and_what_is_included(self):
        rows = [{"id": "old"}, {"id": " ${M} "}, {"$include": "row.json5"}, {"id": "b"}]
        for block, served, wanted in (
                ({"models": rows}, ["m", "b"], rows[1:]),
                ({"models": rows}, [], rows[2:3]),
                ({"models": {"$include": "x"}}, [], {"$include": "x"}),
                ({}, ["m"], None)):
            with self.subTest(block=block, served=served):
                pruned = vllm.prune_rows(with_block(block), "vllm", served, {"M": "m"})
                self.assertEqual(pruned["models"]["providers"]["vllm"].get("models"), wanted)
        self.assertEqual(vllm.prune_rows({}, "vllm", ["m"], {}), {})

    def test_an_adapter_takes_reasoning_and_compat_of_its_base(self):
        models = [a_model("lora-r1", reasoning=True, parent="base"), a_model("base")]
        thinking, toolless = {"thinkingFormat": "qwen"}, {"supportsTools": False}
        seen = {"base": (thinking, "seen")}
        for base, evidence, wanted in (
                (None, {}, (False, None)),
                (None, seen, (True, thinking)),
                ({"id": "base", "reasoning": True}, {}, (True, None)),
                ({"id": "base", "reasoning": False}, seen, (False, None)),
                ({"id": "base", "reasoning": True, "compat": toolless}, {}, (True, toolless))):
            with self.subTest(base=base, evidence=evidence):
                config = with_block({"models": [base]}) if base else {}
                new = self.merged(config, a_server(*models, evidence=evidence))
                adapter = [row for row in rows_of(new) if row["id"] == "lora-r1"][0]
                self.assertEqual((adapter["reasoning"], adapter.get("compat")), wanted)

    def test_pins_stay_and_what_is_lacking_fits_them(self):
        thinking = {"evidence": {"tiny-qwen3": ({"thinkingFormat": "qwen"}, "seen")}}
        refresh = {"renewed": vllm.SIZES}
        unknown = dict(refresh, model=a_model(context_window=None))
        sizes = {"contextWindow": 9, "maxTokens": 9}
        named = {"name": "Mine", "input": ["text", "image"], "cost": {}}
        compat, other = {"supportsTools": True}, {"compat": {"thinkingFormat": "zai"}}
        for what, row, given, wanted in (
                ("window", {"contextWindow": 4096}, {}, {"contextWindow": 4096, "maxTokens": 2048}),
                ("tokens", {"contextWindow": 40960, "contextTokens": 1000}, {}, {"maxTokens": 500}),
                ("answer", {"maxTokens": 7}, {}, {"maxTokens": 7, "contextWindow": 40960}),
                ("provider's window", {}, {"block": {"contextWindow": 6000}},
                 {"contextWindow": None, "maxTokens": 3000}),
                ("provider's answer", {}, {"block": {"maxTokens": 9}},
                 {"contextWindow": 40960, "maxTokens": None}),
                ("refresh", sizes, refresh, {"contextWindow": 40960, "maxTokens": 8192}),
                ("refresh, unknown", sizes, unknown, sizes),
                ("name", named, {}, named),
                ("compat", {"compat": compat}, thinking,
                 {"compat": dict(compat, thinkingFormat="qwen"), "reasoning": True}),
                ("compat pinned", other, thinking, other),
                ("no reasoning", {"reasoning": False}, thinking,
                 {"reasoning": False, "compat": None})):
            with self.subTest(what):
                model = given.get("model", a_model(context_window=40960))
                block = dict(given.get("block", {}), models=[dict(row, id="tiny-qwen3")])
                served = a_server(model, evidence=given.get("evidence"))
                new = self.merged(with_block(block), served, renewed=given.get("renewed", ()))
                found = rows_of(new)[0]
                self.assertEqual({key: found.get(key) for key in wanted}, wanted)

    def test_a_new_row_states_the_window_of_its_server(self):
        block = {"contextWindow": 128000, "maxTokens": 9}
        config = {"models": {"providers": {"vllm": block}}}
        row = rows_of(merge(config, a_server(a_model(context_window=4096)))[0])[0]
        self.assertEqual((row["contextWindow"], row.get("maxTokens")), (4096, None))
        del block["maxTokens"]
        row = rows_of(merge(config, a_server(a_model(context_window=4096)))[0])[0]
        self.assertEqual((row["contextWindow"], row.get("maxTokens")), (4096, 2048))

    def test_what_it_writes_is_valid(self):
        evidence = {"tiny-qwen3": ({"thinkingFormat": "qwen"}, "seen")}
        for text in ("{}", PAGE_EXAMPLE, PAGE_CUSTOM_URL):
            for wildcard in (False, True):
                with self.subTest(text=text, wildcard=wildcard):
                    new, _ = merge_text(text, a_server(evidence=evidence), wildcard=wildcard,
                                        primary="vllm/tiny-qwen3")
                    self.assertEqual(vllm.schema_faults(vllm.json5_loads(new)), [])

    def test_rows_no_longer_served_are_kept_and_reported(self):
        rows = [{"id": "old"}, {"id": "tiny-qwen3"}, {"id": "older"}]
        wanted, unserved = merge(with_block({"models": rows}), a_server())
        self.assertEqual([row["id"] for row in rows_of(wanted)], ["old", "tiny-qwen3", "older"])
        self.assertEqual(rows_of(wanted)[0], {"id": "old"})
        self.assertEqual(unserved, ["old", "older"])

    def test_a_row_whose_id_is_a_variable_is_known(self):
        config = with_block({"models": [{"id": "${MODEL}", "name": "x"}]})
        wanted, unserved = merge(config, a_server(), variables={"MODEL": "tiny-qwen3"})
        self.assertEqual([(row["id"], row["name"]) for row in rows_of(wanted)], [("${MODEL}", "x")])
        self.assertEqual(unserved, [])

    def test_what_the_block_says_of_the_server_stays(self):
        block = {"baseUrl": "http://other:9/v1/", "apiKey": "mine", "api": "openai-responses"}
        for renewed, url in (((), "http://other:9/v1/"), (["baseUrl"], "http://127.0.0.1:8000/v1")):
            with self.subTest(renewed=renewed):
                config = with_block(dict(block, models=[]), "vLLM")
                found = self.merged(config, a_server(), renewed=renewed)["models"]["providers"]
                self.assertEqual(list(found), ["vLLM"])
                kept = {field: found["vLLM"][field] for field in block}
                self.assertEqual(kept, dict(block, baseUrl=url))
        for same_place in ("http://127.0.0.1:8000/v1/", "${URL}"):
            with self.subTest(same_place=same_place):
                config = with_block(dict(a_block(), baseUrl=same_place))
                found, _ = merge(config, a_server(), renewed=["baseUrl"],
                                 variables={"URL": "http://127.0.0.1:8000/v1"})
                self.assertEqual(vllm._plain(found), vllm._plain(config))

    def test_no_api_key_is_added_beside_another_credential(self):
        for block, wanted in (
                ({}, True),
                ({"headers": {"X-Team": "a"}}, True),
                ({"headers": {"authorization": "Bearer x"}}, False),
                ({"request": {"auth": {"mode": "provider-default"}}}, False)):
            with self.subTest(block=block):
                found, _ = merge(with_block(block), a_server())
                self.assertEqual("apiKey" in found["models"]["providers"]["vllm"], wanted)

    def test_wildcard_asks_for_discovery_and_adds_no_rows(self):
        for config, rows in (
                ({}, []),
                (with_block({"baseUrl": "http://x/v1", "models": [{"id": "a"}]}), [{"id": "a"}]),
                ({"agents": {"defaults": {"models": {"openai/x": {}}}}}, [])):
            with self.subTest(config=config):
                new = self.merged(config, a_server(), wildcard=True)
                self.assertEqual(new["agents"]["defaults"]["models"]["vllm/*"], {})
                self.assertEqual(rows_of(new), rows)
        config = dict(with_block(vllm._plain(a_block())),
                      agents={"defaults": {"models": {"vllm/*": {"alias": "x"}}}})
        self.assertEqual(merge(config, a_server(a_model("b")), wildcard=True), (config, []))

    def test_primary_is_set_whatever_is_there(self):
        primary, fallbacks = {"primary": "vllm/m"}, {"fallbacks": ["c/d"]}
        for defaults, wanted in (
                (None, primary),
                ({"model": "openai/x"}, "vllm/m"),
                ({"model": {}}, primary),
                ({"model": dict(fallbacks, primary="a/b")}, dict(fallbacks, **primary)),
                ({"model": fallbacks}, dict(fallbacks, **primary))):
            with self.subTest(defaults=defaults):
                config = {} if defaults is None else {"agents": {"defaults": defaults}}
                new = self.merged(config, a_server(), primary="vllm/m")
                self.assertEqual(new["agents"]["defaults"]["model"], wanted)

    def test_a_second_provider_stands_beside_the_first(self):
        new, _ = merge_text(PAGE_EXAMPLE, a_server(), provider="vllm2", wildcard=True)
        new = vllm.json5_loads(new)
        self.assertEqual(list(new["models"]["providers"]), ["vllm", "vllm2"])
        self.assertEqual(new["agents"]["defaults"]["models"], {"vllm2/*": {}})

    def test_an_included_place_is_refused_and_named(self):
        base = "{ $include: 'base.json5', a: 1 }"
        block = "{ models: { providers: { vllm: { %s } } } }"
        rows = "$include: ['models.json5', 'more.json5']"
        for what, text, files, included in (
                ("the top", "{ $include: 'all.json5' }", {"all.json5": "{}"}, "all.json5"),
                ("the models", "{ models: { $include: 'm.json5' } }", {"m.json5": "{}"}, "m.json5"),
                ("beside the place", base, {"base.json5": "{ models: {} }"}, "base.json5"),
                ("elsewhere", base, {"base.json5": "{ channels: {} }"}, None),
                ("further down", base,
                 {"base.json5": "{ $include: 'b.json5', c: 1 }", "b.json5": "{ models: {} }"},
                 "base.json5"),
                ("the block", "{ models: { providers: { VLLM: { $include: 'v.json5' } } } }",
                 {"v.json5": "{}"}, "v.json5"),
                ("the key of the block", block % "$include: 'v.json5', baseUrl: 'http://x'",
                 {"v.json5": "{ apiKey: 'x' }"}, "v.json5"),
                ("the rows", block % "models: { %s }" % rows,
                 {"models.json5": "[]", "more.json5": "[]"}, "models.json5"),
                ("a row", block % "models: [{ $include: 'r.json5' }]",
                 {"r.json5": "{ id: 'x' }"}, "r.json5"),
                ("a file not read", "{ $include: 'x.json5', a: 1 }", {}, "x.json5"),
                ("no include", "{}", {}, None)):
            with self.subTest(what):
                home = os.path.join(os.sep, "home", "u")
                config = vllm.json5_loads(text)
                wanted = vllm._plain(merge(config, a_server())[0])
                sources = {os.path.join(home, name): source for name, source in files.items()}
                given = config, wanted, os.path.join(home, "openclaw.json"), sources
                if included is None:
                    vllm.refuse_included(*given)
                    continue
                with self.assertRaises(vllm.ConfigError) as caught:
                    vllm.refuse_included(*given)
                error, included = caught.exception, os.path.join(home, included)
                self.assertEqual((error.cause, error.facts["included"]),
                                 ("config-included", included))
                self.assertIn(included, error.message)
                self.assertIn("config", error.hint)


class Json5Writer:
    """Writes a value as JSON5 in a random style: comments in every gap, quotes, commas."""

    def __init__(self, chance):
        self.chance = chance
        self.newline = chance.choice(["\n", "\n", "\r\n", "\r"])
        self.wild = chance.random() < 0.4                # else as people write
        self.unit = chance.choice(["  ", "    ", "\t", " "])
        self.comments = chance.choice([0.0, 0.1, 0.4])
        self.quotes = chance.choice(["\"", "'", "\"'"])
        self.bare = chance.random()
        self.last_comma = chance.choice([0.0, 1.0, 0.5])
        self.doubles = chance.choice([0.0, 0.1])
        self.count = 0

    def text(self, value):
        bom = "\ufeff" if self.chance.random() < 0.1 else ""
        end = self.newline if self.chance.random() < 0.7 else ""
        return bom + self.gap("", True) + self.value(value, "") + self.gap("") + end

    def gap(self, indent, own_line=False):
        if self.chance.random() < self.comments:
            self.count += 1
            words = "comment %d, { not: 'it' }" % self.count
            return self.chance.choice([
                " // " + words + self.newline + indent,
                "/* " + words + " */",
                self.newline + indent + "// " + words + self.newline,
                " /* " + words + self.newline + " * more */ ",
                "//" + words + "\u2028"])
        if self.wild:
            blank_line = self.newline * 2 + indent
            return self.chance.choice(["", " ", self.newline, "\t", "\u00a0", blank_line])
        return self.newline + indent if own_line else ""

    def value(self, value, indent):
        if isinstance(value, str):
            look = vllm._PAGE_LOOK._replace(quote=self.chance.choice(self.quotes))
            return vllm.render_json5(value, look)
        if not isinstance(value, (dict, list)):
            return vllm.render_json5(value)
        left, right = "{}" if isinstance(value, dict) else "[]"
        one_line = not value or (not self.wild and self.chance.random() < 0.3)
        inner = indent + self.unit
        members = []
        for key in value:
            if isinstance(value, list):
                members.append(self.value(key, inner))
                continue
            if self.chance.random() < self.doubles:
                decoy = self.chance.choice([None, "decoy", {}])
                members.append(self.key(key) + ":" + self.value(decoy, inner))
            name = self.key(key) + self.gap(inner) + ":" + (self.gap(inner) or " ")
            members.append(name + self.value(value[key], inner))
        text = left
        for index, member in enumerate(members):
            text += (" " if one_line else self.gap(inner, True)) + member + self.gap(inner)
            if index < len(members) - 1 or self.chance.random() < self.last_comma:
                text += "," + self.gap(inner)
        return text + (" " if one_line and value else self.gap(indent, not one_line)) + right

    def key(self, key):
        if re.match(r"[A-Za-z_$][\w$]*\Z", key) and self.chance.random() < self.bare:
            return key
        return self.value(key, "")


def random_config(chance, model_ids):
    """Return a config a merge may meet: any part of what it looks at absent, there, or strange."""
    def maybe(probability, value):
        return chance.random() < probability and value or {}

    rows = []
    for model_id in chance.sample(model_ids, chance.randrange(len(model_ids))):
        row = {"id": model_id, "name": "it's \"%s\" \u2028" % model_id,
               "reasoning": chance.random() < 0.5, "input": ["text"], "cost": {"input": 1},
               "contextWindow": chance.choice([100, 4096, 1e6]),
               "maxTokens": chance.choice([1, 2048]), "compat": {"supportsTools": False},
               "params": {}}
        kept = [key for key in row if key == "id" or chance.random() < 0.6]
        rows.append({key: row[key] for key in kept})
    chance.shuffle(rows)
    block = {"baseUrl": "http://other/v1", "apiKey": "${K}", "headers": {"a": "b"}, "models": rows,
             "maxTokens": 77}
    kept = chance.sample(sorted(block), chance.randrange(len(block) + 1))
    providers = dict(maybe(0.4, {"openai": {"models": [{"id": "gpt", "name": "x"}]}}),
                     **maybe(0.6, {"VlLm": {key: block[key] for key in kept}}))
    primary = {"primary": "vllm/" + model_ids[0]}
    model = chance.choice([None, "a/b", {}, {"fallbacks": ["c"]}, primary])
    defaults = maybe(0.5, {"models": {"vllm/x": {"alias": "y"}}})
    if model is not None:
        defaults["model"] = model
    config = dict(maybe(0.7, {"models": dict(maybe(0.7, {"providers": providers}), mode="merge")}),
                  **maybe(0.6, {"agents": maybe(0.8, {"defaults": defaults})}))
    config.update(maybe(0.5, {"gateway": {"port": 18789, "empty": {}, "list": [],
                                          "deep": [[1], {"a": None}, math.inf, -0.5]}}))
    return {key: config[key] for key in chance.sample(sorted(config), len(config))}


def expected_merge(config, block, wildcard, primary, renewed):
    """Merge as plain data, written apart from the tool: what the file must hold afterwards."""
    config = copy.deepcopy(config)
    providers = config.setdefault("models", {}).setdefault("providers", {})
    block = vllm._plain(block)
    known = providers.get("VlLm")
    if known is None:
        providers["vllm"] = dict(block, models=[]) if wildcard else block
    else:
        for field in ("baseUrl", "apiKey", "api"):
            known.setdefault(field, block[field])
        rows = {row["id"]: row for row in known.get("models", [])}
        for served in () if wildcard else block["models"]:
            row = rows.get(served["id"])
            if row is None:
                if "maxTokens" in known:
                    del served["maxTokens"]
                known.setdefault("models", []).append(served)
                continue
            window = row.get("contextWindow", served["contextWindow"])
            if renewed:
                window = served["contextWindow"]
            budget = min(8192, int(window) // 2)
            pinned_off = row.get("reasoning") is False
            for field in ("name", "reasoning", "input", "cost", "contextWindow"):
                row.setdefault(field, served[field])
            if "maxTokens" not in known:
                row.setdefault("maxTokens", budget)
            if renewed:
                row["contextWindow"] = window
            if renewed and "maxTokens" in row:
                row["maxTokens"] = budget
            if "compat" in served and not pinned_off:
                row["compat"] = dict(served["compat"], **row.get("compat", {}))
    if wildcard or primary:
        defaults = config.setdefault("agents", {}).setdefault("defaults", {})
    if wildcard:
        defaults.setdefault("models", {})["vllm/*"] = {}
    if primary and isinstance(defaults.get("model"), str):
        defaults["model"] = primary
    elif primary:
        defaults.setdefault("model", {})["primary"] = primary
    return config


class AnyFile(unittest.TestCase):
    """Properties over generated files; a failure names the seed that makes it again."""

    SEEDS = range(150)
    IDS = ["m1", "Qwen/Qwen3-8B", "it's", "a\u2028b"]

    def generate(self, seed):
        chance = random.Random(seed)
        config = random_config(chance, self.IDS)
        text = Json5Writer(chance).text(config)
        self.assertTrue(same(vllm.json5_tree(text).value, config), "the generator")
        return chance, config, text

    def check_merge(self, seed):
        chance, config, text = self.generate(seed)
        ids = chance.sample(self.IDS, chance.randrange(1, len(self.IDS) + 1))
        thinking = {chance.choice(self.IDS): ({"thinkingFormat": "qwen"}, "seen */ today")}
        models = [a_model(name, chance.choice([2000, 40960])) for name in ids]
        served = a_server(*models, evidence=thinking)
        options = {"wildcard": chance.random() < 0.2,
                   "renewed": chance.choice([(), (), vllm.SIZES]),
                   "primary": chance.choice([None, "vllm/" + ids[0]])}
        new, unserved = merge_text(text, served, **options)
        block = a_block(*models, evidence=thinking)
        wanted = expected_merge(config, block, **options)
        self.assertTrue(same(vllm.json5_tree(new).value, wanted), "the merge of the parsed inputs")
        self.assertEqual([words for words in comments_of(new) if "seen" not in words],
                         comments_of(text))
        known = vllm._get(config, "models", "providers", "VlLm", "models") or []
        others = {row["id"] for row in known} - set(ids)
        self.assertEqual(set(unserved), set() if options["wildcard"] else others)
        self.assertEqual(merge_text(new, served, **options)[0], new, "a second run")

    def check_edit(self, seed):
        chance, config, text = self.generate(seed)
        path = chance.choice(paths_of(config) + [("a",)])
        value = chance.choice([GONE, GONE, 1, "it's", {"new": [True, {}]}, []])
        if value is not GONE and chance.random() < 0.5:
            objects = [found for found in paths_of(config)
                       if isinstance(vllm._get(config, *found), dict)]
            path = chance.choice(objects + [()]) + chance.choice([("new",), ("new", "er")])
        wanted = vllm.apply_edits(config, [vllm.Edit(path, value)])
        new = edit_text(text, (path, value))
        self.assertTrue(same(vllm.json5_tree(new).value, wanted))
        beside = siblings(text, path, False)
        self.assertEqual(siblings(new, path, value is GONE)[:len(beside)], beside)
        self.assertEqual(vllm.edited_text(new, wanted, "f"), new)
        if value is GONE:
            self.check_comments_gone(text, new, path)

    def check_comments_gone(self, text, new, path):
        """Check that a member took its own comments: those in it, beside it and right above."""
        node = vllm.json5_tree(text)
        for key in path[:-1]:
            node = dict(children_of(node))[key][1]
        found = [place for key, place in children_of(node) if key == path[-1]]
        if len(found) != 1:                              # absent, or there twice under its name
            return
        start, end = found[0][0], found[0][1].end
        left = comments_of(new)
        spans = [(start, end)]
        for comment in re.finditer(vllm._JSON5_TOKEN, text):
            if comment.group()[0] != "/":
                continue
            if start <= comment.start() < end:
                self.assertNotIn(comment.group(), left)
            elif comment.group() not in left:
                spans.append(comment.span())
        spans.sort()
        for (_, before), (after, _) in zip(spans, spans[1:]):
            gap = re.sub(r"//[^\r\n\u2028]*|/\*[\s\S]*?\*/", "/", text[before:after])
            gap = re.sub("\r\n|[\r\u2028]", "\n", gap)
            above = r"\A[^\S\n]*\n?[^\S\n]*\Z"           # no blank line, nothing between
            beside = r"\A[^\S\n]*\Z|,[^\S\n]*\Z"         # or behind the comma that goes with it
            self.assertRegex(gap, above if after <= start else beside)

    def check_prune(self, seed):
        chance, config, text = self.generate(seed)
        served = chance.sample(self.IDS, chance.randrange(1, len(self.IDS) + 1))
        new = vllm.edited_text(text, vllm.prune_rows(config, "vllm", served, {}), "f")
        rows = vllm._get(config, "models", "providers", "VlLm", "models")
        if rows is not None:
            rows[:] = [row for row in rows if row["id"] in served]
        self.assertTrue(same(vllm.json5_tree(new).value, config))
        self.assertEqual(vllm.edited_text(new, config, "f"), new)

    def test_is_merged_edited_and_pruned_and_otherwise_left_alone(self):
        for check in (self.check_merge, self.check_edit, self.check_prune):
            for seed in self.SEEDS:
                with self.subTest(check=check.__name__, seed=seed):
                    check(seed)


def comments_of(text):
    found = [match.group() for match in re.finditer(vllm._JSON5_TOKEN, text)]
    return [words for words in found if words.startswith(("//", "/*"))]


def children_of(node):
    """Return [(key or index, (start of the member, Node))] of a container; none for a scalar."""
    if isinstance(node.value, dict):
        return [(key, (start, child)) for key, start, _, child in node.items]
    return [(index, (child.start, child)) for index, child in enumerate(node.items or ())]


def siblings(text, path, gone):
    """Return the texts of what stands beside a path on each level; at its end all, when `gone`."""
    node, found = vllm.json5_tree(text), []
    for depth, key in enumerate(path):
        children = children_of(node)
        own = [child for name, (_, child) in children if name == key]
        last = gone and depth == len(path) - 1
        found.append([text[start:child.end] for name, (start, child) in children
                      if last or name != key])
        if not own:
            break
        node = own[-1]
    return found


def paths_of(value, path=()):
    """Return the paths of all that is in a value."""
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [found for key, item in items
            for found in [path + (key,)] + paths_of(item, path + (key,))]


class ConfigVerb(Case):
    """`config`: merging with what a server shows, setting, unsetting and pruning."""

    ROW = "models.providers.vllm.models[0]"

    def read(self):
        path = self.path(".openclaw", "openclaw.json")
        with open(path, encoding="utf-8", newline="") as source:
            return source.read()

    def test_a_home_that_cannot_be_spelled_is_no_failure(self):
        env = {"HOME": "\ud800", "OPENCLAW_INCLUDE_ROOTS": "\ud800"}
        self.check(self.run_main("config", "--set", "env.vars.A=b", env=env), 0, out="A: \"b\"")

    def test_sets_and_unsets_in_the_order_given(self):
        before = "// mine\n{ models: {} }\n"
        line = '{ models: {}, gateway: { bind: "lan" }, logging: { level: "debug" } }'
        after = "// mine\n%s\n" % line
        self.configure(before)
        argv = ["config", "--set", "gateway.port=1", "--set", "gateway.port=2",
                "--unset", "gateway.port", "--set", "gateway.bind=lan",
                "--set", "logging.level='debug'"]
        self.check(self.run_main(*argv), 0, out=after)
        self.assertEqual(self.read(), before)
        result = self.run_main(*argv + ["--dry-run"])
        self.assertEqual(result.out.splitlines()[2:],
                         ["@@ -1,2 +1,2 @@", " // mine", "-{ models: {} }", "+" + line])
        for said in ("written; the old file is", "nothing to change"):
            self.check(self.run_main(*argv + ["--write"]), 0, err=said)
            self.assertEqual(self.read(), after)

    def test_makes_the_file_that_is_not_there(self):
        self.check(self.run_main("config", "--write", "--set", "gateway.port=1"), 0, err="written")
        self.assertEqual(self.read(), "{ gateway: { port: 1 } }\n")

    def test_refuses_arguments_that_are_wrong_or_lead_nowhere(self):
        text = ("{ models: { providers: { vllm: {"
                " baseUrl: 'http://h/v1', models: [{ id: 'a', name: 'a' }] } } } }")
        self.configure(text)
        block = "models.providers.vllm."
        for argv, status, err in (
                (["--set", "a..b=1"], 2, "a..b is not a key path"),
                (["--set", "a"], 2, "not PATH=VALUE"),
                (["--unset", "a[b"], 2, "a[b is not a key path"),
                (["--set", block + "baseUrl.x=1"], 3, "there is no x in a string"),
                (["--set", block + "models[2].x=1"], 3, "there is no 2 in an array"),
                (["--set", self.ROW + ".contextWindow=-1"], 3,
                 "contextWindow: expected a number above 0"),
                (["--unset", self.ROW + ".id"], 3, block + "models.0.id"),
                (["--set", "models=text"], 3, "models: expected an object"),
                (["--check", "--write"], 2, "--write: not allowed with argument --check"),
                (["--check", "--unset", "a"], 2, "do not go together"),
                (["--set", "a=1", "--prune"], 2, "do not go together"),
                (["--set", "a=1", "--dry-run"], 2, "--write: not allowed with argument --dry-run"),
                (["--json"], 2, "--json needs --check")):
            with self.subTest(argv=argv):
                if argv[0] not in ("--check", "--json"):
                    argv = argv + ["--write"]
                result = self.run_main("config", *argv)
                self.check(result, status, err=err)
                self.assertEqual((result.out, self.read()), ("", text))
                self.assertFalse(os.path.exists(self.path(".openclaw", "openclaw.json.bak")))

    def test_fixes_a_file_with_other_faults_and_keeps_its_warnings(self):
        self.configure("{ models: { providers: { vllm: { baseUrl: 'http://h/v1', models: ["
                       "{ id: 'a', name: 'a', contextWindow: 'x' },"
                       " { id: 'b', name: 'b', maxTokens: 0 }] } } } }")
        self.check(self.run_main("config", "--write", "--unset", self.ROW), 0)
        self.assertNotIn("'a'", self.read())
        self.check(self.run_main("config", "--write", "--set", self.ROW + ".maxTokens=5"), 0)
        self.check(self.run_main("config", "--check"), 0, out="valid")
        self.check(self.run_main("config", "--set", self.ROW + ".maxTokns=5"), 0, err="warning: ")
        self.configure("{ a: ")
        result = self.run_main("config", "--set", "a=1")
        self.check(result, 3, err="openclaw.json:1:6")
        self.assertEqual(result.out, "")

    def test_refuses_a_place_that_is_included(self):
        self.write(".openclaw/vllm.json5", "{ baseUrl: 'http://h/v1', models: [] }")
        self.configure("{ models: { providers: { vllm: { $include: 'vllm.json5' } } } }")
        result = self.run_main("config", "--write", "--set", "models.providers.vllm.apiKey=x")
        self.check(result, 3, err="vllm.json5")
        self.check(self.run_main("config", "--write", "--set", "gateway.port=1"), 0)

    def test_counts_what_an_included_file_supplies(self):
        self.write(".openclaw/row.json5", "{ id: 'a', name: 'a' }")
        self.configure("{}")
        for edit, status, err in (
                (".reasoning=true", 3, "models.0.id"),
                (".$include=no.json5", 3, "no.json5"),
                (".$include=row.json5", 0, "written"),
                (".reasoning=true", 3, "row.json5")):
            before = self.read()
            result = self.run_main("config", "--write", "--set", self.ROW + edit)
            self.check(result, status, err=err)
            self.assertEqual(self.read() == before, status == 3)
        self.check(self.run_main("config", "--check"), 0, out="valid")

    def test_writes_the_difference_of_all_edits_once(self):
        self.configure("{}")
        argv = ["--set", "a.b=1", "--unset", "a.b", "--set", "a.c[0]=2", "--unset", "a.c[0]"]
        with mock.patch("openclaw_vllm.edited_text", wraps=vllm.edited_text) as edited:
            self.check(self.run_main("config", *argv), 0, out="{ a: { c: [] } }\n")
        self.assertEqual(edited.call_count, 1)

    @unittest.skipUnless(os.name == "posix", "needs symbolic links")
    def test_writes_nothing_through_a_link_to_nothing(self):
        self.configure("{}")
        path = self.path(".openclaw", "openclaw.json")
        os.unlink(path)
        os.symlink("nowhere.json", path)
        for argv in (["--set", "a=1"], ["--set", "a=1", "--write"], ["--check"]):
            with self.subTest(argv=argv):
                result = self.run_main("config", *argv)
                self.check(result, 3, err=path + ": cannot be read: No such file")
                self.assertEqual(result.out, "")
        self.assertEqual(os.listdir(os.path.dirname(path)), ["openclaw.json"])

    def test_shows_no_key(self):
        other = "sk-another-key-1"
        self.configure(with_block({"baseUrl": "http://h/v1", "apiKey": KEY, "models": []}))
        for argv in (["--set", "a.b=1"],
                     ["--dry-run", "--unset", "models.providers.vllm.apiKey"],
                     ["--set", "models.providers.vllm.apiKey=" + other]):
            with self.subTest(argv=argv):
                result = self.run_main("config", *argv)
                self.assertNotIn(KEY, result.out + result.err)
                self.assertNotIn(other, result.out + result.err)

    def test_writes_a_row_for_each_served_model_and_prunes_the_rest(self):
        old = "      // the old one\n      { id: 'old', name: 'old' },\n"
        self.configure("{\n  models: { providers: { vllm: {\n    baseUrl: %s,\n    models: [\n"
                       "%s    ],\n  } } },\n}\n" % (json.dumps(self.demo()), old))

        def merged(said, *options):
            argv = ("config", "--write") + options
            self.check(self.run_main(*argv, env={"VLLM_API_KEY": "vllm-local"}), 0, err=said)
            return self.read()

        written = merged("kept, though not served (--prune removes them): old\n")
        self.assertIn(old, written)
        self.assertIn("// by its name: Qwen3", written)
        self.assertEqual(merged("nothing to change"), written)
        pruned = merged("written", "--prune")
        self.assertEqual(pruned, written.replace(old, ""))
        self.assertEqual(merged("nothing to change", "--prune"), pruned)
        rows = rows_of(vllm.json5_loads(pruned))
        adapter = [row for row in rows if "lora" in row["id"]][0]
        base = [row for row in rows if row["id"] == "demo/Qwen3-8B"][0]
        for field in ("reasoning", "compat"):
            self.assertEqual(adapter[field], base[field])

    def test_prunes_nothing_when_the_server_cannot_be_asked_or_serves_nothing(self):
        for answer, status in (({"data": []}, 1), ({"error": "no"}, 4)):
            with self.subTest(status=status):
                self.declare(self.serve(reply(answer)).url)
                before = self.read()
                result = self.run_main("config", "--write", "--prune", env={"VLLM_API_KEY": "k"})
                self.check(result, status)
                self.assertEqual(self.read(), before)

    def test_writes_no_row_for_what_is_not_a_chat_model(self):
        chats = {"paths": {"/v1/models": {}, "/v1/chat/completions": {}}}
        embeds = {"paths": {"/v1/models": {}, "/v1/embeddings": {}}}
        no_chat = "The model does not support Chat Completions API"
        for openapi, posted, words, status in (
                (None, 400, "Field required", 0),
                (None, 404, "Not Found", 4),
                (None, 400, no_chat, 4),
                (chats, 400, "Field required", 0),
                (chats, 400, no_chat, 4),
                (embeds, 400, "Field required", 4)):
            def answer(request):
                if request.target.endswith("/models"):
                    return 200, {}, {"data": [{"id": "m", "max_model_len": 4096}]}
                if request.method == "POST":
                    return posted, {}, {"detail": words}
                return (404, {}, b"") if openapi is None else (200, {}, openapi)

            with self.subTest(openapi=openapi, words=words), loopback(answer) as (origin, _):
                env = {"VLLM_API_KEY": "k"}
                result = self.run_main("config", "--base-url", origin + "/v1", env=env)
                self.check(result, status, err="" if status == 0 else "m does not chat")
                self.assertEqual('id: "m"' in result.out, status == 0)

    def test_says_whose_id_shows_that_a_model_thinks(self):
        served = [{"id": "fast", "root": "/models/Qwen3-8B"},
                  {"id": "Qwen3-8B", "root": "/m/other"},
                  {"id": "plain", "root": "/models/Llama-3"},
                  {"id": "some-r1"}]
        url = self.serve(reply({"data": served})).url
        result = self.run_main("config", "--base-url", url, env={"VLLM_API_KEY": "k"})
        self.check(result, 0)
        notes = re.findall("(?<=// by its )[^:\n]*", result.out)
        self.assertEqual(notes, ["root, Qwen3-8B", "name", "name"])
        self.assertEqual([row["reasoning"] for row in rows_of(vllm.json5_loads(result.out))],
                         [True, True, False, True])

    def test_says_what_openclaw_needs_to_trust_an_authority(self):
        ca_file = self.write("ca's.pem", "")
        result = self.run_main("config", "--base-url", self.demo(), "--ca-file", ca_file,
                               env={"VLLM_API_KEY": "vllm-local"})
        self.check(result, 0, err="export NODE_EXTRA_CA_CERTS=" + shlex.quote(ca_file))

    def test_needs_a_home_to_write_to(self):
        self.home = ""
        result = self.run_main("config", "--write", "--set", "a=1", env={"HOME": ""})
        self.check(result, 2, err="--config PATH")


class FailingFile:
    """A file whose write takes half of the data, then fails."""

    def __init__(self, file, error):
        self.file, self.error = file, error

    def write(self, data):
        self.file.write(data[:len(data) // 2])
        raise self.error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def failing(real, call, error, wrap=None):
    """Return `real` made to fail with `error` at its `call`-th call (from 1)."""
    calls = []

    def stand_in(*args, **kwargs):
        if args[0] != "/dev/urandom":                # which PyPy opens for random names
            calls.append(args)
        if len(calls) != call:
            return real(*args, **kwargs)
        if wrap is None:
            raise error
        return wrap(real(*args, **kwargs), error)
    return stand_in


OLD = "// old\n{\n  a: 'é',\r\n}"
NEW = "// new\n{\n  a: 'é',\r\n  b: 2,\n}"


class Writing(unittest.TestCase):
    """`write_config`: the old file or the new one is there, whole."""

    def setUp(self):
        self.home = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.path = os.path.join(self.home, "openclaw.json")

    def put(self, text=OLD, mode=0o640):
        with open(self.path, "wb") as file:
            file.write(text.encode("utf-8"))
        os.chmod(self.path, mode)

    def read(self, path=None):
        """Return the text of a file, its line ends as they are; None where it is not there."""
        path = path or self.path
        if not os.path.exists(path):
            return None
        with open(path, "rb") as file:
            return file.read().decode("utf-8")

    def assert_refused(self, words="something else changed it", old_text=OLD, path=None, left=OLD):
        """Check that writing is refused in some words, and what the file holds afterwards."""
        with self.assertRaises(vllm.ConfigError) as caught:
            vllm.write_config(path or self.path, old_text, NEW)
        error = caught.exception
        self.assertEqual((error.cause, error.exit_status), ("config-not-written", 3))
        self.assertIn(path or self.path, error.message)
        self.assertIn(words, error.message)
        self.assertTrue(error.hint)
        self.assertEqual(self.read(), left)
        self.assert_tidy()
        return error

    def assert_tidy(self):
        self.assertEqual([name for name in os.listdir(self.home) if name.endswith(".tmp")], [])

    def test_replaces_every_byte_and_keeps_the_old_ones_beside(self):
        for old, new in ((OLD, NEW), ("\ufeff{}", "\ufeff{a:1}\r\n"), ("{}\r", "{\r}\u2028")):
            with self.subTest(old=old):
                self.put(old)
                vllm.write_config(self.path, old, new)
                self.assertEqual((self.read(), self.read(self.path + ".bak")), (new, old))
                self.assert_tidy()

    def test_keeps_the_mode_of_the_file_and_gives_it_to_the_copy(self):
        for mode in (0o600, 0o640, 0o664, 0o755):
            with self.subTest(mode=oct(mode)):
                self.put(mode=mode)
                vllm.write_config(self.path, OLD, NEW)
                for path in (self.path, self.path + ".bak"):
                    self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode)

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0,
                         "only root may give files away")
    def test_keeps_the_owner_of_the_file(self):
        real = os.chown
        for allowed, owner in (((12345, -1), (12345, 54321)), ((-1,), (0, 54321)), ((), (0, 0))):
            def chown(path, user, group):
                if user not in allowed:
                    raise PermissionError(errno.EPERM, "no")
                real(path, user, group)

            with self.subTest(allowed=allowed), mock.patch("os.chown", chown):
                self.put()
                real(self.path, 12345, 54321)
                vllm.write_config(self.path, OLD, NEW)
                for path in (self.path, self.path + ".bak"):
                    found = os.stat(path)
                    self.assertEqual((found.st_uid, found.st_gid), owner)

    @unittest.skipUnless(os.name == "posix", "needs symbolic links")
    def test_follows_symbolic_links(self):
        self.put()
        os.mkdir(os.path.join(self.home, "dotfiles"))
        real = os.path.join(self.home, "dotfiles", "real.json")
        os.rename(self.path, real)
        os.symlink(os.path.join("dotfiles", "real.json"), self.path)
        vllm.write_config(self.path, OLD, NEW)
        self.assertTrue(os.path.islink(self.path))
        self.assertEqual((self.read(real), self.read(real + ".bak")), (NEW, OLD))

    def test_creates_the_file_and_its_directories_for_the_owner_alone(self):
        path = os.path.join(self.home, "a", "b", "openclaw.json")
        vllm.write_config(path, None, NEW)
        self.assertEqual(self.read(path), NEW)
        self.assertEqual(os.listdir(os.path.dirname(path)), ["openclaw.json"])
        if os.name == "posix":
            for made, mode in ((os.path.dirname(path), 0o700), (path, 0o600)):
                self.assertEqual(stat.S_IMODE(os.stat(made).st_mode), mode)

    def test_refuses_a_file_changed_meanwhile(self):
        self.put("{ other: 1 }")
        self.assert_refused(left="{ other: 1 }")
        self.assert_refused(left="{ other: 1 }", old_text=None)
        os.unlink(self.path)
        self.assert_refused(left=None)
        self.assertEqual(os.listdir(self.home), [])

    def test_refuses_a_file_changed_while_it_writes(self):
        real = os.fsync

        def another_program():
            self.put("{ other: 1 }")

        def another_run():
            vllm.write_config(self.path, OLD, "{ other: 1 }")

        for meddle in (another_program, another_run):
            pending = [meddle]

            def fsync(descriptor):
                if pending:
                    pending.pop()()
                return real(descriptor)

            with self.subTest(meddle.__name__), mock.patch("os.fsync", fsync):
                self.put()
                self.assert_refused(left="{ other: 1 }")

    def test_any_fault_of_the_system_leaves_the_old_file_and_says_what_to_do(self):
        import builtins
        full, broken, denied, busy = errno.ENOSPC, errno.EIO, errno.EACCES, errno.EBUSY
        for what, module, name, call, code, wrap, hint in (
                ("opening the temporary file", os, "open", 1, denied, None, "ls -ld"),
                ("no room for it", os, "open", 1, full, None, "free some space"),
                ("half of the copy", builtins, "open", 2, full, FailingFile, "free some space"),
                ("half of it", builtins, "open", 5, full, FailingFile, "free some space"),
                ("fsync of the copy", os, "fsync", 1, broken, None, "look into that"),
                ("fsync", os, "fsync", 2, broken, None, "look into that"),
                ("the mode of the copy", os, "chmod", 1, denied, None, "ls -ld"),
                ("the mode", os, "chmod", 2, denied, None, "ls -ld"),
                ("reading the file", builtins, "open", 1, denied, None, "ls -ld"),
                ("reading back the copy", builtins, "open", 3, broken, None, "look into that"),
                ("reading the file again", builtins, "open", 4, broken, None, "look into that"),
                ("reading back", builtins, "open", 6, broken, None, "look into that"),
                ("replacing the copy", os, "replace", 1, denied, None, "ls -ld"),
                ("replacing the file", os, "replace", 2, busy, None, "instead")):
            if name == "chmod" and os.name != "posix":
                continue
            with self.subTest(what):
                self.put()
                error = OSError(code, os.strerror(code))
                stand_in = failing(getattr(module, name), call, error, wrap)
                with mock.patch.object(module, name, stand_in):
                    refused = self.assert_refused(os.strerror(code))
                self.assertIn(hint, refused.hint)
                self.assertIn("config", refused.hint)

    def test_refuses_what_reads_back_differently(self):
        self.put()
        real = open

        def lying(path, mode="r", *args, **kwargs):
            if str(path).endswith(".tmp") and mode == "r+b":
                path = os.devnull
            return real(path, mode, *args, **kwargs)

        with mock.patch("builtins.open", lying):
            self.assert_refused()

    def as_anyone(self):
        """Drop root's rights until the test ends, which root needs to see a refusal."""
        if not hasattr(os, "geteuid"):
            self.skipTest("needs POSIX modes")
        if os.geteuid() == 0:
            os.chown(self.home, 65534, -1)
            if os.path.exists(self.path):
                os.chown(self.path, 65534, -1)
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)

    def test_removes_what_a_killed_run_left_and_nothing_else(self):
        names = {".openclaw.json.vllm-1a2b3c.tmp": False, "openclaw.json.1a2b3c.tmp": True,
                 ".other.json.vllm-1a2b3c.tmp": True}
        self.put()
        for name in names:
            with open(os.path.join(self.home, name), "w"):
                pass
        vllm.write_config(self.path, OLD, NEW)
        self.assertEqual({name: os.path.exists(os.path.join(self.home, name)) for name in names},
                         names)

    @unittest.skipUnless(hasattr(os, "link"), "needs links")
    def test_leaves_the_old_file_to_other_hard_links(self):
        self.put()
        other = os.path.join(self.home, "other")
        os.link(self.path, other)
        vllm.write_config(self.path, OLD, NEW)
        self.assertEqual((self.read(), self.read(other)), (NEW, OLD))

    def test_refuses_a_directory_it_may_not_write(self):
        self.put()
        self.as_anyone()
        os.chmod(self.home, 0o500)
        self.addCleanup(os.chmod, self.home, 0o700)
        self.assertIn("ls -ld " + self.home, self.assert_refused("ermission denied").hint)
        new = os.path.join(self.home, "new", "openclaw.json")
        self.assert_refused("ermission denied", None, new)

    def test_refuses_a_write_protected_file(self):
        self.put(mode=0o400)
        self.as_anyone()
        self.assert_refused("ermission denied")

    def test_refuses_a_directory_that_is_a_file(self):
        self.put()
        self.assert_refused("", None, os.path.join(self.path, "openclaw.json"))

    def test_an_interrupt_at_any_line_leaves_one_whole_file_and_nothing_else(self):
        seen = set()
        for line in range(1, 200):
            self.put()
            interrupted = self.interrupted_at(line)
            seen.add(self.read())
            self.assert_tidy()
            if not interrupted:
                break
        self.assertEqual(seen, {OLD, NEW})
        self.assertGreater(line, 20)

    def interrupted_at(self, line):
        left = [line]

        def trace(frame, event, _):
            if frame.f_code.co_filename != vllm.write_config.__code__.co_filename:
                return None
            if event == "line":
                left[0] -= 1
                if left[0] == 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)         # between open() and its `with`
            sys.settrace(trace)
            try:
                vllm.write_config(self.path, OLD, NEW)
                return False
            except KeyboardInterrupt:
                return True
            finally:
                sys.settrace(before)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork and SIGKILL")
    def test_a_kill_at_any_moment_leaves_one_whole_file(self):
        program = os.path.join(self.home, "program.py")
        with open(program, "w") as file:
            file.write(KILLED)
        here = os.path.dirname(os.path.abspath(vllm.__file__))
        run = subprocess.run([sys.executable, program, here, self.path], timeout=120,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((run.returncode, run.stdout.decode()), (0, "whole\n"))


# Forks writers that change the file to and fro without end, and kills each at a random moment.
KILLED = r"""
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
import openclaw_vllm
path = sys.argv[2]
texts = ["// %s\n%s" % (name, name * 200000) for name in "ab"]
openclaw_vllm.write_config(path, None, texts[0])

def read(path):
    with open(path, newline="") as file:
        return file.read()

seen = set()
chance = random.Random(5)
ends = time.monotonic() + 1.5
rounds = 0
while rounds < 20 or len(seen) < 2 or (rounds < 150 and time.monotonic() < ends):
    rounds += 1
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b".")
        while True:
            old = read(path)
            openclaw_vllm.write_config(path, old, texts[old == texts[0]])
    os.read(told, 1)
    time.sleep(chance.random() * 0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told)
    os.close(tell)
    found = read(path)
    assert found in texts, "round %d: %d characters" % (rounds, len(found))
    assert not os.path.exists(path + ".bak") or read(path + ".bak") in texts
    seen.add(found[:4])
openclaw_vllm.write_config(path, read(path), texts[0])
assert not [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".tmp")]
print("whole")
"""


# ----------------------------------------------------------------------------
# Demo
# ----------------------------------------------------------------------------

class Demo(Case):
    """The stand-in server, and the verb that shows the others on it."""

    def test_it_shows_the_verbs_and_what_to_type_next(self):
        # the settings of whoever tries it stay out
        self.configure(with_block({"baseUrl": "http://h/v1", "models": []}))
        result = self.run_main("demo", env={"VLLM_API_KEY": KEY})
        self.check(result, 0, err="demo --serve --port 8000")
        url = re.search(r"http://127.0.0.1:[0-9]+/v1", result.err).group(0)
        shown = [line[2:] for line in result.err.splitlines() if line.startswith("$ ")]
        command = "python3 openclaw_vllm.py %s --base-url " + url
        verbs = ("list", "chat 'Say hi'", "doctor", "config")
        self.assertEqual(shown, [command % verb for verb in verbs])
        lines = result.out.splitlines()
        for wanted in ("vllm/demo/Qwen3-8B  text   40960  yes    yes", "You said: Say hi",
                       "nothing failed; 0 warnings"):
            self.assertIn(wanted, lines)
        config = vllm.json5_loads(result.out[result.out.index("{"):])
        self.assertEqual(config["models"]["providers"]["vllm"]["baseUrl"], url)

    def test_a_port_that_it_cannot_take(self):
        with contextlib.closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            for port in (taken.getsockname()[1], 99999, -1):
                with self.subTest(port=port):
                    result = self.run_main("demo", "--port", str(port))
                    self.check(result, 4, err="leave out --port")
                    self.assertEqual(result.out, "")

    @unittest.skipIf(os.name == "nt", "no signals to send")
    def test_it_serves_until_ctrl_c_whatever_its_clients_do(self):
        def send(data, reset=False):
            with socket.create_connection(address, WAIT_S) as sock:
                sock.sendall(data)
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return None
                sock.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: sock.recv(65536), b""))[:12]

        post = ("POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer %s\r\n"
                "Content-Length: " % KEY).encode("ascii")
        key = self.write("key", KEY)
        with program(self.env(), ["demo", "--serve", "--api-key-file", key]) as process:
            process.stdin.close()
            url = re.search(r"http://\S+", process.stdout.readline().decode("utf-8")).group(0)
            address = ("127.0.0.1", int(url.rpartition(":")[2][:-3]))
            for size in (b"-5", b"\xb2", b"9" * 5000, b"99999999999", b"1_0", b"many", b"5", b""):
                with self.subTest(size=size[:20]):
                    self.assertEqual(send(post + size + b"\r\n\r\n{"), b"HTTP/1.0 400")
            for data in (b"", b"GET /v1/models HTTP/1.1\r\n\r\n", post + b"9\r\n\r\n{",
                         post + b"2\r\n\r\n{}", b"\x16\x03\x01", b"\0" * 70000):
                with contextlib.suppress(ConnectionError):
                    send(data, reset=True)
            env = {"VLLM_API_KEY": KEY}
            listing = ("list", "--plain", "--base-url", url)
            self.check(self.run_main(*listing, env=env), 0, out="vllm/demo-sql-lora")
            self.check(self.run_main(*listing), 5)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(WAIT_S), 130)
            self.assertEqual(process.stderr.read().strip(), b"")

    def test_it_answers_as_vllm_does(self):
        asked = dict(HI, model="demo-alias")
        chat = "/v1/chat/completions"
        for path, body, status, has in (
                ("/version", None, 200, "version"),
                ("/nothing", None, 404, "detail"),
                ("/v1/models", None, 200, "data"),
                ("/tokenize", asked, 200, "count"),
                (chat, asked, 200, "choices"),
                (chat, dict(HI, model="none"), 404, "error"),
                (chat, None, 400, "error"),
                (chat, {"messages": 7}, 404, "error")):
            with self.subTest(path=path, body=body):
                answer = vllm.demo_reply(path, None, body, None)
                self.assertEqual((answer[0], has in answer[1]), (status, True))
        locked = vllm.demo_reply("/v1/models", "Bearer x", None, "k")
        self.assertEqual(locked, (401, {"error": "Unauthorized"}))
        self.assertEqual(vllm.demo_reply("/health", None, None, "k"), (200, {}))


# ----------------------------------------------------------------------------
# Console
# ----------------------------------------------------------------------------

class Redaction(Case):

    FORMS = (["list"], ["list", "--json"], ["list", "--plain"], ["chat", "x"],
             ["chat", "x", "--json"], ["chat", "x", "--no-stream"], ["request"],
             ["request", "--curl"], ["config", "--check"])

    def check_hidden(self, answer, forms=FORMS):
        """Check that no form shows the key, or most of it, when the server answers so."""
        for form in forms:
            stub = self.serve(answer)
            self.declare(stub.url, block={"apiKey": "${MY_KEY}"})
            argv = form if form[0] == "chat" else form + ["--base-url", stub.url]
            stdin = json.dumps(HI) if form[0] == "request" else ""
            for argv in (argv, argv + ["--verbose"]):
                result = self.run_main(*argv, stdin=stdin, env={"MY_KEY": KEY})
                with self.subTest(argv=argv, result=result):
                    self.assertNotIn(KEY[:10], result.out + result.err)
                    self.assertNotIn("Traceback", result.err)

    def test_a_server_that_echoes_the_key_in_every_text(self):
        bearer = "Bearer " + KEY
        for text in (KEY, bearer, "a%sb" % KEY, KEY + KEY, "%s\u2026%s" % (bearer, bearer)):
            call = {"id": text, "function": {"name": text, "arguments": text}}
            message = {"content": text, "reasoning": text, "tool_calls": [call]}
            self.check_hidden(reply({"data": [{"id": text, "root": text, "parent": text}],
                                     "id": text, "model": text,
                                     "choices": [{"finish_reason": text, "message": message}]}))
        unknown = "The model `%s` does not exist. Valid aliases: `%s`" % (KEY, KEY)
        for status in ("401 No", "404 " + KEY, "500 " + bearer, "302 X", "503 " + bearer):
            for body in ({"error": {"message": "got " + bearer}},
                         {"error": bearer},
                         {"detail": [bearer]},
                         "<p>%s</p>" % bearer,
                         {"error": {"message": unknown}}):
                answer = reply(body, status, Location="http://h/" + KEY, Server=bearer, Via=KEY)
                self.check_hidden(answer, (["list"], ["chat", "x"]))

    def test_a_key_cut_by_an_excerpt(self):
        for padding in list(range(270, 300, 4)) + [78, 70, 5990, 5985]:
            spaced = "x " * (padding // 2)
            if padding > 300:
                spaced = " " * (padding - 300) + "x" * 300
            for fill in ("x" * padding, spaced):
                answer = reply({"error": {"message": fill + KEY + " and more" * 60}},
                               "500 " + fill[:70] + KEY, Server=fill + KEY)
                self.check_hidden(answer, (["list"], ["chat", "x"]))

    def test_a_key_cut_across_chunks(self):
        forms = (["chat", "x"], ["chat", "x", "--json"], ["chat", "x", "--no-stream"])
        for pieces in ([KEY[:1], KEY[1:]], [KEY[:9], KEY[9:]], [KEY[:-1], KEY[-1:]], list(KEY),
                       ["x" + KEY[:5], KEY[5:] + KEY[:5], KEY[5:]], [KEY[:3], KEY[:3], KEY[3:]]):
            self.check_hidden(sse(*[chunk(piece, reasoning=piece) for piece in pieces]), forms)
        for pieces, shown in (
                (["a sec", "ond", " s", "ecret-1", "", "secret-"],
                 ["a ", "second", " ", "***", "***", "\n"]),
                (["a secre"], ["a ", "secre", "\n"]),
                (["a\n", ""], ["a\n"])):
            self.assertEqual(shown_of(["secret-1"], *pieces), shown)

    def test_a_key_in_the_spelling_of_this_program(self):
        for key in ('sk"\u00e9-0123456789', "sk\\'\"0123456789", "sk\u200b\u202e0123456789",
                    "sk\U0001f600\x1b0123456789"):
            env = {"MY_KEY": key, "VLLM_API_KEY": "x"}
            for text in (key, json.dumps(key), json.dumps(key, ensure_ascii=False), repr(key)):
                call = {"id": text, "function": {"name": "f", "arguments": json.dumps(text)}}
                message = {"content": text, "tool_calls": [call]}
                url = self.serve(reply({"data": [{"id": text, "root": text}],
                                        "choices": [{"message": message}]})).url
                self.declare(url)
                for form in (["list", "--json", "--base-url", url], ["list", "--base-url", url],
                             ["chat", "x", "--json"], ["chat", "x"],
                             ["chat", "--model", text, "x", "--verbose"]):
                    for encoding in ("utf-8", "ascii"):
                        with self.subTest(key=key, text=text, form=form, encoding=encoding):
                            result = self.run_main(*form, env=env, encoding=encoding)
                            self.assertNotIn("0123456789", result.out + result.err)

    def test_a_key_on_the_command_line_is_refused_and_not_repeated(self):
        refused, unknown = "--api-key-file", "error: "
        for argv, words in (
                (["list", "--api-key", KEY], refused),
                (["list", "--api-key=" + KEY], refused),
                (["--api-key", KEY, "list"], refused),
                (["demo", "--api-key", KEY], refused),
                (["chat", "--api-key", KEY, "hi"], refused),
                (["doctor", "--api-key", KEY], refused),
                (["list", "--api-key"], refused),
                (["list", "--apikey", KEY], unknown),
                (["list", "--token=" + KEY], unknown),
                (["list", KEY], unknown),
                (["chat", "x", "-H", KEY], unknown)):
            with self.subTest(argv=argv):
                result = self.run_main(*argv)
                self.check(result, 2, err=words)
                self.assertNotIn(KEY[:8], result.err)

    def test_a_key_in_the_clear_is_warned_of_once(self):
        env = {"http_proxy": self.serve(rows("m")).origin}
        for argv in (["list"], ["list", "--provider", "all"], ["chat", "x", "--model", "m"],
                     ["doctor"], ["config"], ["request"]):
            for url, warned in (("http://vllm.example.com/v1", 1),
                                ("http://10.0.0.9/v1", 0),
                                ("http://localhost:9/v1", 0)):
                with self.subTest(argv=argv, url=url):
                    self.declare(url, KEY)
                    result = self.run_main(*argv, stdin=json.dumps(HI), env=env)
                    said = result.out if argv == ["doctor"] else result.err
                    self.assertEqual(said.count("unencrypted"), warned, result)
                    self.assertNotIn(KEY, result.err)

    def test_verbose_names_the_source_of_the_key_and_where_it_is_sent(self):
        stub = self.serve(rows("m"))
        result = self.run_main("list", "--verbose", "--base-url", stub.url,
                               env={"VLLM_API_KEY": KEY})
        words = "base URL %s (--base-url) is sent the key of VLLM_API_KEY (the environment)"
        self.check(result, 0, err=words % stub.url)

    def test_no_row_can_be_forged(self):
        evil = "m\nvllm/forged  text\t\r128000"
        url = self.serve(rows(evil, "other")).url
        for form in ([], ["--plain"]):
            result = self.run_main("list", "--base-url", url, *form)
            self.check(result, 0, out="vllm/m\\x0avllm/forged  text\\x09\\x0d128000")
            self.assertEqual(len(result.out.splitlines()), 2 + (not form))
        for model in ("none" + evil, "none" + evil + "x"):
            result = self.run_main("chat", "x", "--model", model, "--base-url", url)
            self.check(result, 4)
            self.assertNotRegex(result.err, "(?m)^vllm/forged")

    def test_a_wrong_key_and_its_neighbours(self):
        url = self.serve(reply({"error": "Unauthorized"}, "401 No")).url
        for key in ("Bearer " + KEY, "'%s'" % KEY, KEY + " " + KEY, "${%s}" % KEY):
            result = self.run_main("list", "--verbose", "--base-url", url,
                                   env={"VLLM_API_KEY": key})
            self.check(result, 5, err="VLLM_API_KEY (the environment)")
            self.assertNotIn(KEY, result.err)
        self.configure(with_block({"baseUrl": "http://user:%s@h/v1" % KEY, "models": []}))
        self.assertNotIn(KEY, self.run_main("list").err + self.run_main("config", "--check").err)

    def test_the_documented_stand_in_is_not_secret(self):
        result = self.run_main("list", env={"VLLM_API_KEY": ""})
        self.check(result, 1, err="VLLM_API_KEY=vllm-local")
        self.assertEqual(vllm.redact("http://u:pw@h Bearer abcdefg secret", ["secret"]),
                         "http://***@h Bearer *** ***")


class Output(Case):

    def test_any_encoding_of_the_terminal(self):
        name = "mod\u00e8le-\u6a21\U0001f600"
        url = self.serve(rows(name)).url
        for encoding in ("ascii", "latin-1", "cp1252", "utf-8"):
            for form in ("--json", "--plain", "--verbose"):
                with self.subTest(encoding=encoding, form=form):
                    result = self.run_main("list", form, "--base-url", url, encoding=encoding)
                    self.check(result, 0, out="\u6a21" if encoding == "utf-8" else "\\u6a21")
                    if form == "--json":
                        self.assertEqual(json.loads(result.out)["models"][0]["name"], name)

    def test_colour_only_on_a_terminal_that_wants_it(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        self.declare(self.serve(sse(chunk(reasoning="hm"), chunk("Hi"))).url)
        for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            stdin, out, err = io.StringIO(), io.StringIO(), Terminal()
            self.assertEqual(vllm.main(["chat", "x"], self.env(env), stdin, out, err), 0)
            self.assertEqual("\x1b[2mhm\x1b[0m" in err.getvalue(), coloured)

    def test_no_argument_makes_main_exit(self):
        self.declare("http://h/v1")
        rows = [(["--help"], 0, ""), (["-h"], 0, ""), (["--version"], 0, ""),
                (["--version", "--verbose"], 0, ""),
                (["list", "--json", "--config", "\0"], 1, "no key")]
        for verb in vllm._VERBS:
            rows.append(([verb[0], "--help"], 0, ""))
            rows.append(([verb[0], "--nonsense"], 2, "unknown: --nonsense"))
        for argv, status, words in rows + [
                ([], 2, "name a verb"), ([""], 2, "name a verb"), (["nonsense"], 2, "name a verb"),
                (["--nonsense"], 2, "name a verb"),
                (["list", "--timeout"], 2, "expected one argument"),
                (["list", "--timeout", "0"], 2, "above 0"),
                (["list", "--timeout", "nan"], 2, "above 0"),
                (["list", "--timeout", "x"], 2, "invalid seconds value"),
                (["list", "--timeout", "inf"], 2, "below"),
                (["list", "--time", "5"], 2, "unknown: --time"),
                (["list", "--js"], 2, "unknown: --js"),
                (["list", "extra"], 2, "not an option"),
                (["list", "--json", "--plain"], 2, "not allowed with argument --json"),
                (["request", "--curl", "--explain"], 2, "not allowed with argument --curl")]:
            with self.subTest(argv=argv):
                result = self.run_main(*argv)
                self.check(result, status, err=words)
                self.assertEqual((bool(result.out), bool(result.err)), (status == 0, status != 0))
                if status == 2:
                    self.assertNotIn("_", result.err.partition("error: ")[2])

    def test_the_width_of_help(self):
        for columns in ("\u00b2", "9" * 5000, "-1", "0", "10", "24", "200", ""):
            result = self.run_main("list", "--help", env={"COLUMNS": columns})
            self.check(result, 0, out="--base-url")

    def test_the_program_itself(self):
        self.check(self.program("--version"), 0, out="openclaw_vllm " + vllm.__version__)
        self.check(self.program("nonsense"), 2)
        at = ("--base-url", self.demo(KEY))
        result = self.program("list", "--plain", "--api-key-file", "-", stdin=KEY, *at)
        self.check(result, 0, out="vllm/demo-alias\n")
        self.check(self.program("list", *at), 5, err="--api-key")
        result = self.program("chat", "--model", "demo-alias", "--quiet", stdin="hello",
                              env={"VLLM_API_KEY": KEY}, *at)
        self.check(result, 0, out="You said: hello\n")


class Module(unittest.TestCase):

    def test_importing_loads_nothing_heavy_and_reads_nothing(self):
        heavy = ("urllib.request ssl http.server http.client sqlite3 typing dataclasses tempfile "
                 "threading socket argparse concurrent.futures base64 subprocess").split()
        code = ("import sys; sys.path.insert(0, %r); before = set(sys.modules)\n"
                "import os, builtins; os.environ = None\n"
                "import openclaw_vllm\n"
                "print(sorted(set(%r) & (set(sys.modules) - before)))" % (HERE, heavy))
        loaded = subprocess.check_output([sys.executable, "-B", "-c", code])
        self.assertEqual(loaded.decode("ascii").strip(), "[]")

    def test_everything_promised_is_there_and_documented(self):
        for name in vllm.__all__:
            with self.subTest(name=name):
                self.assertTrue(getattr(vllm, name).__doc__ or sys.flags.optimize > 1)

    def test_errors_have_one_root_a_hint_and_an_exit_status(self):
        for name, row in vllm.CAUSES.items():
            error = vllm.error_for(name, seconds=1.0)
            self.assertIsInstance(error, vllm.Error)
            self.assertEqual((error.cause, error.exit_status), (name, row.exit_status or 1))
            self.assertIn(error.exit_status, (1, 2, 3, 4, 5))


class Readme(Case):
    """What the front page shows is what the program does."""

    def setUp(self):
        super(Readme, self).setUp()
        with io.open(os.path.join(HERE, "README.md"), encoding="utf-8") as source:
            self.text = source.read()

    def test_the_first_screen_is_what_is_printed(self):
        url = self.demo()
        env = {"VLLM_API_KEY": "vllm-local", "VLLM_BASE_URL": url}
        shown = [line.strip() for line in self.text.splitlines()]
        for argv in (["list"], ["chat", "Say hi"]):
            for line in self.run_main(*argv, env=env).out.splitlines():
                self.assertIn(line.strip(), shown)
        report = self.run_main("doctor", env=env)
        self.assertEqual(report.status, 0, report)
        for line in report.out.splitlines():
            if line.startswith(("nothing failed", "ok    key", "ok    version")):
                self.assertIn(line.strip(), shown)

    def test_the_request_that_is_explained(self):
        body = {"messages": [{"role": "developer", "content": "Be brief."}, USER],
                "max_tokens": 64, "store": True, "top_k": 20}
        result = self.run_main("request", "--explain", "--base-url", self.demo(),
                               stdin=json.dumps(body))
        shown = [line.strip() for line in self.text.splitlines()]
        self.assertEqual([line for line in result.err.splitlines() if line not in shown], [])

    def test_the_module_example_runs(self):
        code = self.text.split("```python\n")[1].split("```")[0]
        env = {"VLLM_API_KEY": "vllm-local", "VLLM_BASE_URL": self.demo(), "PYTHONPATH": HERE}
        result = self.program("-c", code, command=[sys.executable], env=env)
        self.check(result, 0, out="You said: Say hi")
        self.assertIn("vllm/demo/Qwen3-8B 40960\n", result.out.replace("\r", ""))
        self.assertIn("Usage(prompt_tokens=", result.out)

    def test_every_verb_option_and_status_is_told(self):
        for name, add_options, _, _ in vllm._VERBS:
            with self.subTest(verb=name):
                self.assertIn("### %s\n" % name, self.text)
                usage = self.run_main(name, "--help").out.split("\n\n")[0]
                for option in re.findall(r"--[a-z-]+", usage):
                    self.assertIn(option, self.text + "--help")
        told = dict(re.findall(r"(?m)^\| ([0-9]+) \| (.+) \|$", self.text))
        self.assertEqual(sorted(map(int, told)), [0, 1, 2, 3, 4, 5, 130])

    def test_a_copy_can_be_verified(self):
        result = self.run_main("--version", "--verbose")
        with open(os.path.join(HERE, "openclaw_vllm.py"), "rb") as source:
            digest = hashlib.sha256(source.read()).hexdigest()
        self.assertEqual(result.out.splitlines()[:2],
                         ["openclaw_vllm %s" % vllm.__version__, "sha256 %s" % digest])


# ----------------------------------------------------------------------------
# Verbs
# ----------------------------------------------------------------------------

# Each kind of character that might steer a terminal or that people write with: escapes, CRLF, C1,
# overrides, a family of emoji, Persian and Hindi joiners, marks of direction, a variation selector,
# a soft hyphen.
EXACT = ("a\x1b[2J\tb\r\nc\rd\x00\x7f\x9b\u202e\u2066e\u2069 "
         "\U0001f468\u200d\U0001f469\u200d\U0001f467 "
         "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 "
         "\u0915\u094d\u200d\u0937 \u200e\u200f\u061c \u2764\ufe0f \u00ad\u2028\ufeff.")


def completion(content):
    """Return an answer in one piece."""
    return reply({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})


class Chat(Case):

    def ask(self, *argv, **given):
        """Run `chat` against a stub with a declared model; return (Result, the body it got)."""
        stub = self.serve(*given.pop("script", (sse(chunk("Hi"), chunk(finish="stop")),)))
        self.declare(stub.url, **given.pop("row", {}))
        result = self.run_main("chat", *argv, **given)
        return result, stub.requests[0].body if stub.requests else None

    def test_prompt(self):
        for argv, stdin, expected in (
                (["Say", "hi"], "", "Say hi"),
                ([], "Say hi\n", "Say hi"),
                (["Sum up:"], "text\n", "Sum up:\n\ntext"),
                (["a"], b"\xef\xbb\xbfb", "a\n\nb"),
                ([], "\u6a21\n\nx", "\u6a21\n\nx")):
            with self.subTest(argv=argv, stdin=stdin):
                result, body = self.ask(*argv, stdin=stdin)
                self.check(result, 0, out="Hi\n")
                messages = [{"role": "user", "content": expected}]
                self.assertEqual(body, dict(DEFAULT_BODY, messages=messages))
        for stdin, words in (("", "there is no prompt"), (" \n", "there is no prompt"),
                             (b"\xff", "not UTF-8 (byte 0)")):
            result, body = self.ask(stdin=stdin)
            self.check(result, 2, err=words)
            self.assertIsNone(body)

    def test_options(self):
        image = self.write("a.png", b"\x89PNG\r\n\x1a\n")
        tools = self.write("tools.json", "[%s, // one\n]" % json.dumps(TOOL))
        schema = self.write("schema.json", {"type": "object"})
        named = {"name": "answer", "schema": {"type": "object"}}
        user, sees = dict(USER, content="x"), {"input": ["text", "image"]}
        effort = {"reasoning": True, "compat": {"supportsReasoningEffort": True}}

        def pictured(url):
            content = [{"type": "text", "text": "x"},
                       {"type": "image_url", "image_url": {"url": url}}]
            return {"messages": [dict(USER, content=content)]}

        for argv, row, expected in (
                (["--system", "Be short."], {},
                 {"messages": [{"role": "system", "content": "Be short."}, user]}),
                (["--max-tokens", "9"], {}, {"max_completion_tokens": 9}),
                (["--temperature", "0"], {}, {"temperature": 0}),
                (["--param", "top_k=20", "--param", 'stop="E=D"'], {},
                 {"top_k": 20, "stop": "E=D"}),
                (["--no-stream"], {}, {"stream": False, "stream_options": None}),
                (["--tools", tools], {}, {"tools": [TOOL], "tool_choice": "auto"}),
                (["--schema", schema], {},
                 {"response_format": {"type": "json_schema", "json_schema": named}}),
                (["--image", image], sees, pictured("data:image/png;base64,iVBORw0KGgo=")),
                (["--image", "https://h/a.png"], sees, pictured("https://h/a.png")),
                (["--thinking", "high"], effort, {"reasoning_effort": "high"}),
                (["--model", "vllm/m"], {}, {}),
                (["--model", "m"], {}, {})):
            with self.subTest(argv=argv):
                result, body = self.ask("x", *argv, row=row, script=(completion("Hi"),))
                self.check(result, 0, out="Hi\n")
                expected = dict(DEFAULT_BODY, **dict({"messages": [user]}, **expected))
                sent = [name for name, value in expected.items() if value is not None]
                self.assertEqual(body, {name: expected[name] for name in sent})
        for argv in (["--param", "x"], ["--param", "x=y"], ["--tools", schema],
                     ["--tools", self.path("none")], ["--image", image],
                     ["--schema", self.write("s", "{")], ["--max-tokens", "x"],
                     ["--max-tokens", "0"], ["--max-tokens", "-5"],
                     ["--temperature", "warm"], ["--timeout", "-1"]):
            with self.subTest(argv=argv):
                result, body = self.ask("x", *argv)
                self.check(result, 2)
                self.assertIsNone(body)
        for path in (schema, self.path("none"), self.home):
            self.check(self.ask("x", "--image", path, row=sees)[0], 2, err=path)

    def test_streams_of_output(self):
        call = chunk(tool_calls=[call_piece(0, "c1", "f", '{"x": 1}')])
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        script = (sse(chunk(reasoning="hmm"), chunk("Hi"), call, chunk(finish="tool_calls"),
                      {"choices": [], "usage": usage}),)
        result = self.ask("x", script=script)[0]
        self.assertEqual((result.status, result.out), (0, 'Hi\nf({"x": 1})\n'))
        self.assertRegex(result.err,
                         r"\Ahmm\n3 prompt \+ 2 completion tokens, first token [0-9.]+ s, "
                         r".*[0-9.]+ s in all, finish reason tool_calls\n\Z")
        self.assertEqual(self.ask("x", "--quiet", script=script)[0], (0, 'Hi\nf({"x": 1})\n', ""))
        value = json.loads(self.ask("x", "--json", script=script)[0].out)
        self.assertEqual(sorted(value.pop("timings")), ["first_token_s", "total_s"])
        called = dict(CALL, function={"name": "f", "arguments": '{"x": 1}'})
        self.assertEqual(value, {
            "id": "c1", "model": "m", "content": "Hi", "reasoning": "hmm", "tool_calls": [called],
            "finish_reason": "tool_calls", "usage": usage})
        self.assertIsNone(json.loads(self.ask("x", "--json")[0].out)["usage"])

    def test_empty_and_broken_answers(self):
        for events, status, out, words in (
                ([chunk(reasoning="hm"), chunk(finish="length")], 0, "", "used up by reasoning"),
                ([chunk(reasoning="hm"), chunk(finish="stop")], 0, "", "--reasoning-parser"),
                ([chunk(finish="stop")], 0, "", "finish reason stop"),
                ([chunk("a"), {"error": {"message": "boom"}}], 4, "a\n", "boom"),
                ([chunk("a"), "x"], 4, "a\n", "not JSON")):
            with self.subTest(events=events):
                result = self.ask("x", script=(sse(*events),))[0]
                self.check(result, status, err=words)
                self.assertEqual(result.out, out)

    def test_a_pipe_gets_the_answer_byte_for_byte(self):
        streamed = sse(*[chunk(char) for char in EXACT])
        call = chunk(tool_calls=[call_piece(0, "c", "f", '"\x1b\u200d"')])
        for argv, answer, out in (
                (["x"], streamed, EXACT),
                (["x", "--no-stream"], completion(EXACT), EXACT),
                (["x"], sse(call), 'f("\x1b\u200d")')):
            self.assertEqual(self.ask(*argv, script=(answer,))[0].out, out + "\n")
        self.declare(self.serve(streamed).url)
        self.assertEqual(self.program("chat", "x", "--quiet"), Result(0, EXACT + "\n", ""))
        result = self.ask("x", script=(sse(chunk("\xe9\u6f22\r")),), encoding="latin-1")[0]
        self.assertEqual(result.out.encode("latin-1").decode("utf-8"), "\xe9\u6f22\r\n")

    def test_reasoning_cannot_steer_the_terminal(self):
        result = self.ask("x", script=(sse(chunk("a", reasoning="\x1b]0;x\x07\u200d\u202e")),))[0]
        self.check(result, 0, out="a\n", err="\\x1b]0;x\\x07\u200d\\u202e")

    @unittest.skipIf(os.name == "nt", "no pseudo-terminals")
    def test_a_terminal_gets_what_would_steer_it_made_visible(self):
        import pty
        self.declare(self.serve(sse(*[chunk(char) for char in EXACT])).url)
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        with program(self.env({"LC_ALL": "C.UTF-8"}), ["chat", "x", "--quiet"],
                     stdout=slave) as process:
            os.close(slave)
            process.stdin.close()
            shown = b""
            with contextlib.suppress(OSError):           # the other end is closed
                for data in iter(lambda: os.read(master, 65536), b""):
                    shown += data
            self.assertEqual(process.wait(WAIT_S), 0)

        def visible(match):
            return ("\\x%02x" if match.group() < "\xff" else "\\u%04x") % ord(match.group())

        steering = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
        self.assertEqual(shown.decode("utf-8").replace("\r\n", "\n"),
                         re.sub(steering, visible, EXACT) + "\n")

    @unittest.skipIf(os.name == "nt", "no pipes to close")
    def test_a_reader_that_went_away_is_not_a_broken_server(self):
        left = threading.Event()
        second = then_watch(b"data: %s\n\n" % json.dumps(chunk("two\n")).encode("ascii"))

        def step(sock, request, stub):
            sock.sendall(sse(chunk("one\n"), done=False))
            left.wait(WAIT_S)
            second(sock, request, stub)

        for options in ([], ["--quiet"]):
            left.clear()
            self.declare(self.serve(step).url)
            with program(self.env(), ["chat", "x"] + options) as process:
                process.stdin.close()
                self.assertEqual(process.stdout.readline(), b"one\n")    # the server is silent yet
                process.stdout.close()
                left.set()
                self.assertEqual((process.wait(WAIT_S), process.stderr.read()), (0, b""))

    def test_no_speed_for_an_answer_in_one_piece(self):
        usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 2000, "total_tokens": 2003}}
        whole = dict(usage, choices=[{"message": {"content": "a b"}, "finish_reason": "stop"}])
        last = dict(usage, choices=[])

        def slowly(sock, _, stub):
            sock.sendall(sse(chunk("a"), done=False))
            stub.ending.wait(0.05)
            sock.sendall(sse(chunk("b"), last).partition(b"\r\n\r\n")[2])

        for step, speed in ((reply(whole), False), (sse(chunk("a b"), last), False),
                            (slowly, True)):
            result = self.ask("x", script=(step,))[0]
            self.check(result, 0, err="2000 completion tokens, first token")
            self.assertEqual("tokens/s" in result.err, speed, result.err)

    def test_the_c_locale_loses_no_character(self):
        c_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        self.declare(self.serve(sse(chunk("\xe9\u6f22"))).url)
        result = self.program("chat", "x", "--quiet", env=c_locale)
        self.assertEqual(result, Result(0, "\xe9\u6f22\n", ""))
        hello = "h\u00e9".encode("utf-8")      # bytes: this process may be in the C locale
        result = self.program("chat", hello, "--model", "demo-alias", "--base-url", self.demo(),
                              "--quiet", env=dict(c_locale, VLLM_API_KEY=KEY))
        self.check(result, 0, out="You said: h\u00e9\n")

    def test_arguments_in_the_c_locale_of_python_3_6(self):
        """It takes each byte that is not ASCII for a lone surrogate."""
        def fsencode(text):
            return text.encode("ascii", "surrogateescape")

        mangled = "h\u00e9 \u6f22".encode("utf-8").decode("ascii", "surrogateescape")
        with mock.patch.object(os, "fsencode", fsencode):
            result, body = self.ask(mangled, "--system", mangled)
            self.check(self.ask("a\udcff")[0], 2, err="is not valid UTF-8")
        self.check(result, 0)
        self.assertEqual([message["content"] for message in body["messages"]],
                         ["h\u00e9 \u6f22"] * 2)

    def test_errors_keep_the_servers_words_and_name_the_next_step(self):
        def bad(message, status="400 Bad"):
            return reply({"object": "error", "message": message}, status)

        def forbidden(*location, status="400 Bad"):
            return bad("[{'type': 'extra_forbidden', 'loc': %r, "
                       "'msg': 'Extra inputs are not permitted', 'input': 1}]"
                       % (("body",) + location,), status)

        too_long = bad("This model's maximum context length is 2048 tokens.")
        too_few = reply({"error": {"message": "max_tokens must be at least 1, got -5."}}, "400 Bad")
        needed = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'
        no_parser = reply({"error": {"message": needed + " to be set"}}, "400 Bad")
        for answer, status, words, step in (
                (too_long, 4, "2048 tokens", "--max-tokens"),
                (too_few, 4, "at least 1", "shorten the prompt"),
                (forbidden("stream_options"), 4, "'stream_options'",
                 'set compat: {"supportsUsageInStreaming": false}'),
                (forbidden("max_completion_tokens"), 4, "'max_completion_tokens'",
                 'set compat: {"maxTokensField": "max_tokens"}'),
                (forbidden("tools", 0, "function", "strict"), 4, "'strict'",
                 'set compat: {"supportsStrictMode": false}'),
                (forbidden("top_k", status="422 Bad"), 4, "'top_k'", "leave the field out"),
                (no_parser, 4, "requires", vllm.TOOL_PARSER[2]),
                (reply({"error": "Unauthorized"}, "401 Unauthorized"), 5, "Unauthorized",
                 "set VLLM_API_KEY to the key"),
                (reply("", "503 Service Unavailable"), 4, "503", "it is busy, or"),
                (reply({"detail": "Not Found"}, "404 Not Found"), 4, "Not Found",
                 "check the base URL"),
                (reply("<h1>Bad gateway</h1>", "502 Bad Gateway"), 4, "Bad gateway",
                 "the server behind it is down"),
                (reply({"error": {"message": "x" * 5000}}, "500 Oops"), 4, "x" * 200, "doctor")):
            with self.subTest(words=words, step=step):
                result = self.ask("x", script=(answer,))[0]
                self.check(result, status, err=words)
                self.assertIn(step, result.err)
                self.assertLess(len(result.err), 1000)

    def test_an_unknown_model_is_answered_with_the_nearest(self):
        unknown = {"object": "error", "message": "The model `m` does not exist.",
                   "type": "NotFoundError"}
        result = self.ask("x", script=(reply(unknown, "404 Not Found"), rows("m2")))[0]
        self.check(result, 4, err="did you mean --model m2 ?")
        url = self.serve(rows("m2")).url
        result = self.run_main("chat", "x", "--model", "m2x", "--base-url", url)
        self.check(result, 4, err="did you mean --model m2 ?")

    def test_ctrl_c(self):
        with mock.patch.object(vllm, "send_chat", side_effect=KeyboardInterrupt):
            self.check(self.ask("x")[0], 130)

    @unittest.skipIf(os.name == "nt", "no signals to send")
    def test_ctrl_c_stops_the_answer_of_a_process(self):
        stub = self.serve(then_watch(sse(chunk("partial"), done=False)))
        self.declare(stub.url)
        with program(self.env(), ["chat", "x"]) as process:
            process.stdin.close()
            self.assertEqual(process.stdout.read(7), b"partial")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(WAIT_S), 130)
            self.assertNotIn(b"Traceback", process.stderr.read())
        self.assertTrue(stub.gone.wait(WAIT_S))


@unittest.skipIf(os.name == "nt", "no pseudo-terminals")
class Conversation(Case):
    """`chat` without a prompt, on a pseudo-terminal."""

    SAID = sse(chunk("Yes."), chunk(finish="stop"))

    def start(self, *script):
        import pty
        stub = self.serve(*script)
        self.declare(stub.url)
        self.master, slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        process = program(self.env({"TERM": "dumb"}), ["chat", "--system", "S"], stdin=slave,
                          stdout=slave, stderr=slave)
        os.close(slave)
        self.addCleanup(process.wait, WAIT_S)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.said = b""
        self.await_text("> ")
        return process, stub

    def end(self, process, typed=b"\x04"):
        os.write(self.master, typed)
        self.assertEqual(process.wait(WAIT_S), 0)

    def await_text(self, text):
        """Read what the terminal shows until `text` comes; return it."""
        while text.encode("utf-8") not in self.said:
            self.assertTrue(select.select([self.master], [], [], WAIT_S)[0],
                            "nothing more after %r" % self.said)
            try:
                self.said += os.read(self.master, 65536)
            except OSError:                              # the other end is closed
                self.fail("ended after %r" % self.said)
        seen, _, self.said = self.said.partition(text.encode("utf-8"))
        return seen.decode("utf-8")

    def type(self, line, answer=""):
        os.write(self.master, line.encode("utf-8") + b"\n")
        for text in (answer, "> ") if answer else ("> ",):
            self.await_text(text)

    def test_history_commands_and_end(self):
        said, failed = self.SAID, reply({"error": {"message": "boom"}}, "500 Oops")
        listed = rows("m", "other", max_model_len=40960)
        process, stub = self.start(said, said, said, failed, said, listed, said)
        for line, answer in (
                ("one", "Yes."), ("two", "Yes."), ("/reset", ""), ("/system T", ""),
                ("three", "Yes."), ("four", "boom"), ("five", "Yes."),
                ("/model other", "now vllm/other"), ("/help", "Ctrl-D ends"), ("six", "Yes.")):
            self.type(line, answer)
        self.end(process, b"/exit\n")
        bodies = [request.body for request in stub.requests
                  if request.target.endswith("/chat/completions")]
        self.assertEqual([" ".join(message["content"] for message in body["messages"])
                          for body in bodies],
                         ["S one", "S one Yes. two", "T three", "T three Yes. four",
                          "T three Yes. five", "T three Yes. five Yes. six"])
        self.assertEqual(bodies[-1]["model"], "other")

    def test_what_one_turn_is(self):
        process, stub = self.start(self.SAID)
        for typed, turn in (
                ("one \\\ntwo", "one \ntwo"),
                ('"""\n a\n\n b\n"""', " a\n\n b"),
                ('"""a"""', "a"),
                ("/etc/hosts is what?", "/etc/hosts is what?"),
                ("//exit", "/exit")):
            self.type(typed, "Yes.")
            self.assertEqual(stub.requests[-1].body["messages"][-1]["content"], turn)
        self.type("/system T", "started over; the system message: T")
        self.type("/reset", "started over; the system message: T")
        self.type("/system", "started over; the system message: none")
        self.end(process)

    def test_what_is_pasted_is_one_turn(self):
        import readline
        if "GNU" not in (readline.__doc__ or "") or not hasattr(readline, "set_auto_history"):
            self.skipTest("the readline of this Python knows no bracketed paste")
        process, stub = self.start(self.SAID)
        self.type("\x1b[200~def f():\n    return 1\n\x1b[201~What is it?", "Yes.")
        self.assertEqual(stub.requests[-1].body["messages"][-1]["content"],
                         "def f():\n    return 1\nWhat is it?")
        self.end(process)

    def test_ctrl_c_stops_an_answer_and_keeps_the_conversation(self):
        process, stub = self.start(then_watch(sse(chunk("partial"), done=False)), self.SAID)
        os.write(self.master, b"one\n")
        self.await_text("partial")
        process.send_signal(signal.SIGINT)
        self.await_text("stopped")
        self.await_text("> ")
        self.assertTrue(stub.gone.wait(WAIT_S))
        self.type("two", "Yes.")
        self.end(process)
        self.assertEqual([message["content"] for message in stub.requests[1].body["messages"]],
                         ["S", "two"])


class RequestVerb(Case):

    TRICKY = "it's \"$HOME\" `id` \\ !! ring bearer abcdefgh http://u:p@h \u6a21\n%s\x1b"

    def request(self, body, *options, **given):
        """Run `request` on a body, or on one that holds a text as its message."""
        if isinstance(body, str):
            body = {"messages": [dict(USER, content=body)]}
        return self.run_main("request", *options, stdin=json.dumps(body), **given)

    def test_prints_the_body_and_opens_no_socket_for_a_declared_model(self):
        self.declare("http://gpu.local/v1", KEY)
        opened = mock.Mock(side_effect=AssertionError("a socket was opened"))
        changed = dict(HI, store=True, max_tokens=999, tools=[],
                       messages=[{"role": "developer", "content": "x"}])
        with mock.patch.multiple("socket", socket=opened, getaddrinfo=opened):
            for body in (HI, dict(HI, model="m"), dict(HI, model="vllm/m"), dict(HI, store=True)):
                result = self.request(body)
                self.assertEqual((result.status, json.loads(result.out), result.err),
                                 (0, DEFAULT_BODY, ""))
            result = self.request(changed, "--explain", "--thinking", "high")
            self.check(self.request("a" * 20000), 0, err="warning: the prompt takes about")
        self.check(result, 0)
        for line in ("store +dropped", "stream +added", "stream_options +added",
                     "max_completion_tokens +moved +from max_tokens",
                     "max_completion_tokens +clamped +asked for 999",
                     "tools +dropped", "messages +changed"):
            self.assertRegex(result.err, "(?m)^" + line)

    def test_what_is_not_a_body_is_refused(self):
        self.declare("http://gpu.example/v1")
        for stdin in ("", "x", "[]", "7", "{}", '{"messages": 7}', "[" * 99999, b"\xff",
                      '{"messages": [], "x": NaN}', '{"messages": [], "x": 1e999}'):
            with self.subTest(stdin=stdin[:40]):
                result = self.run_main("request", stdin=stdin)
                self.check(result, 2)
                self.assertEqual(result.out, "")

    def test_an_undeclared_model_is_looked_up(self):
        stub = self.serve(rows("served"))
        result = self.request(HI, "--base-url", stub.url)
        self.assertEqual((json.loads(result.out)["model"], stub.requests[0].target),
                         ("served", "/v1/models"))

    def test_curl_command_is_quoted(self):
        headers = {"X-`id`": "header-value-1", "User-Agent": "my-agent/1"}
        self.declare("http://gpu.example/v1", KEY, block={"headers": headers},
                     headers={"X-Model": "header-value-2"})
        result = self.request(self.TRICKY, "--curl")
        command, _, data = result.out.partition(" @- <<'END'\n")
        words = shlex.split(command)
        self.assertEqual(words[:3] + words[-1:], ["curl", "-sS", "-N", "--data-binary"])
        self.assertEqual(json.loads(data[:-len("\nEND\n")])["messages"][0]["content"], self.TRICKY)
        self.assertIn("-H 'Authorization: Bearer '\"$VLLM_API_KEY\"", result.out)
        for text in (KEY, "header-value", "my-agent", "***"):
            self.assertNotIn(text, result.out)
        self.assertEqual(sorted(word for word in words if word.startswith(("X-", "User-")))[1:],
                         ["X-Model: $HEADER_X_MODEL", "X-`id`: $HEADER_X__ID_"])

    @unittest.skipUnless(shutil.which("curl") and shutil.which("sh"), "no curl")
    def test_curl_command_runs_as_printed(self):
        env = {"PATH": os.environ["PATH"], "VLLM_API_KEY": KEY, "HEADER_X__ID_": "header-value-1"}
        for content, more in ((self.TRICKY, {}),
                              (self.TRICKY + "x" * 200000, {"http_proxy": "http://127.0.0.1:9"})):
            with self.subTest(characters=len(content)):
                stub = self.serve(sse(chunk("Hi")))
                self.declare(stub.url, KEY, block={"headers": {"X-`id`": "header-value-1"}},
                             contextWindow=10 ** 6)
                command = self.request(content, "--curl").out.encode("utf-8")
                said = subprocess.check_output(["sh"], input=command, env=dict(env, **more),
                                               timeout=WAIT_S)
                self.assertIn(b"[DONE]", said)
                request = stub.requests[0]
                self.assertEqual((request.target, request.body["messages"][0]["content"]),
                                 ("/v1/chat/completions", content))
                for name, value in (("authorization", "Bearer " + KEY),
                                    ("x-`id`", "header-value-1"),
                                    ("content-type", "application/json")):
                    self.assertEqual(request.headers[name], value)

    def test_what_a_curl_command_needs_is_said(self):
        team, key = {"HEADER_X_TEAM": "header-value-1"}, {"VLLM_API_KEY": KEY}
        ca_file = self.write("my ca.pem", "")
        self.declare("https://gpu.example/v1", KEY, block={"headers": {"X-Team": "header-value-1"}})
        for env, named in (({}, ["VLLM_API_KEY", "HEADER_X_TEAM"]),
                           (team, ["VLLM_API_KEY"]),
                           (dict(team, **key), [])):
            result = self.request(HI, "--curl", "--ca-file", ca_file, env=env)
            self.check(result, 0, out="--cacert '%s'" % ca_file)
            self.assertEqual(re.findall("(?m)^set ([A-Z_]+) ", result.err), named)
            self.assertEqual(len(result.err.splitlines()), len(named))
            self.assertNotIn(KEY, result.err + result.out)
        self.write(".openclaw/.env", "VLLM_API_KEY=sk-of-the-dotenv-file\n")
        self.declare("https://gpu.example/v1")
        result = self.request(HI, "--curl")
        self.assertRegex(result.err, "^set VLLM_API_KEY in this shell")
        self.assertNotIn("sk-of", result.err)
        self.assertNotIn("cacert", result.out)

    @unittest.skipUnless(hasattr(os, "openpty"), "no pseudo-terminal")
    def test_a_terminal_is_told_that_a_body_is_waited_for(self):
        self.declare("http://gpu.example/v1")
        master, slave = os.openpty()
        try:
            os.write(master, (json.dumps(HI) + "\n\x04").encode("ascii"))
            with program(self.env(), ["request"], stdin=slave) as process:
                out, err = process.communicate(timeout=WAIT_S)
        finally:
            os.close(master)
            os.close(slave)
        self.assertIn(b"waiting for a chat-completions body", err)
        self.assertEqual(json.loads(out.decode("utf-8")), DEFAULT_BODY)


# ----------------------------------------------------------------------------
# Hostile servers: keys and helpers
# ----------------------------------------------------------------------------

# differs in each of its spellings: plain, JSON, URL, base64
FIRE_KEY = 'sk-fire"7/Kp+Zq\\Wd=Gx9vT2~mN4'
OTHER_KEY = "hdr-8Hq2/Lw+5Rz=1Yc"             # of a header that the config adds

def spellings(key):
    """Every way a key might be echoed, each of which must be hidden."""
    data = key.encode("latin-1")
    return [key, json.dumps(key)[1:-1], urllib.parse.quote(key), urllib.parse.quote(key, safe=""),
            base64.b64encode(data).decode("ascii"), base64.urlsafe_b64encode(data).decode("ascii"),
            base64.b64encode(b"user:" + data).decode("ascii"),
            base64.b64encode(b"me:" + data).decode("ascii")]


# Any 12 characters in a row of any spelling: a key that was cut is a leak, too.
LEAKS = re.compile("|".join(sorted({
    re.escape(spelling[start:start + 12])
    for key in (FIRE_KEY, OTHER_KEY)
    for spelling in spellings(key)[:6]
    for start in range(len(spelling) - 11)})))


def leaks(text):
    """Return what of the keys stands in a text."""
    return LEAKS.findall(text)


# What must not reach a terminal: C0 but for tab and newline, C1, marks of direction, surrogates.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# ----------------------------------------------------------------------------
# Hostile servers
# ----------------------------------------------------------------------------

STALL, RESET = "stall", "reset"
Drip = collections.namedtuple("Drip", "data")            # a byte at a time, for ever
Forever = collections.namedtuple("Forever", "data")      # as fast as it is taken, for ever
Ask = collections.namedtuple("Ask", "listing streamed key other elsewhere")


def playing(script, elsewhere=""):
    """Return a step that plays `script(ask)`: bytes to send, or STALL, RESET, Drip, Forever."""
    def step(sock, request, stub):
        sock.settimeout(2)               # what doctor sends of TLS is no request either
        ask = None
        if request is not None:
            if request.method == "TLS":
                return                   # tried by doctor: plain servers refuse it
            streamed = (request.body or {}).get("stream") is True
            ask = Ask(request.method == "GET", streamed, (request.key or "")[7:],
                      request.headers.get("x-other", ""), elsewhere)
        for action in script(ask):
            play(action, sock, stub)
    return step


def play(action, sock, stub):
    if action is STALL:                  # not ==: with -bb bytes are not compared with a text
        stub.ending.wait(60)
    elif action is RESET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif isinstance(action, Drip):
        for byte in itertools.cycle(action.data):
            stub.send(sock, bytes([byte]))
            if stub.ending.wait(0.04):
                return
    elif isinstance(action, Forever):
        block = action.data * (1 + 65536 // len(action.data))
        while not stub.ending.is_set():
            stub.send(sock, block)
    else:
        stub.send(sock, action)


def fire_server(script, unread=False, elsewhere=""):
    return Stub([playing(script, elsewhere)], unread=unread)


def json_bytes(value, **options):
    return json.dumps(value, **options).encode("utf-8", "surrogatepass")


def chunk_value(content="hello", **more):
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": "stop"}
    return dict({"id": "c", "model": "m", "choices": [choice],
                 "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}, **more)


def event(value):
    return b"data: " + (value if isinstance(value, bytes) else json_bytes(value)) + b"\n\n"


def payload(ask, text="hello"):
    """Return the body of a good answer, with `text` in each text field of it."""
    if ask.listing:
        row = {"id": text, "root": text, "parent": text, "max_model_len": 4096, "owned_by": text}
        if text == "hello":
            row["id"] = "m"
        return json_bytes({"object": "list", "data": [row]})
    call = {"index": 0, "id": text, "type": text, "function": {"name": text, "arguments": text}}
    if text == "hello":
        piece = {"content": text}
    else:
        piece = {"role": text, "content": text, "reasoning": text, "tool_calls": [call],
                 "refusal": text}
    value = {"id": text, "object": text, "model": text, "usage": chunk_value()["usage"],
             "choices": [{"index": 0, "finish_reason": "stop" if text == "hello" else text,
                          "delta" if ask.streamed else "message": piece}]}
    return event(value) + event(b"[DONE]") if ask.streamed else json_bytes(value)


def answer(body, status="200 OK", fields=(), length=True):
    """Return the bytes of a whole HTTP answer; fields are "Name: value" texts."""
    lines = ["HTTP/1.1 " + status, "Content-Type: application/json"] + list(fields)
    lines += ["Content-Length: %d" % len(body)] if length else []
    return "\r\n".join(lines + ["", ""]).encode("utf-8", "surrogateescape") + body


def good(ask, *fields):
    return answer(payload(ask), fields=fields)


CHUNKED = answer(b"", fields=["Transfer-Encoding: chunked"], length=False)
OPEN = answer(b"", length=False)                 # a body that ends with the connection


def chunked(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def half(data):
    return data[:len(data) // 2]


def json_or_stream(ask, value):
    """Return an answer of any JSON value, as an event for who asked for a stream."""
    text = value if isinstance(value, bytes) else json_bytes(value)
    return answer(event(text) + event(b"[DONE]") if ask.streamed else text)


def wrong_types(ask, value):
    """Return an answer that is right but for its types: `value` is in every field of every level.
    """
    answers = []
    call = {"index": value, "id": value, "type": value,
            "function": {"name": value, "arguments": value}}
    piece = {"content": value, "reasoning": value, "reasoning_content": value,
             "tool_calls": [call, value, {"function": value}]}
    for fields in (piece, dict(piece, tool_calls=value, function_call=value), value):
        answers.append({"id": value, "model": value, "usage": value, "error": None,
                        "choices": [{"delta": fields, "message": fields, "finish_reason": value}]})
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), value)
    answers += [dict(chunk_value(), usage=counts), dict(chunk_value(), choices=value),
                dict(chunk_value(), choices=[value])]
    if ask.listing:
        row = dict.fromkeys(
            ("root", "parent", "max_model_len", "context_length", "meta", "created"), value)
        return answer(
            json_bytes({"object": value, "data": [dict(row, id="m"), dict(row, id=value), value]}))
    if ask.streamed:
        return answer(b"".join(event(item) for item in answers) + event(chunk_value())
                      + event(b"[DONE]"))
    return answer(json_bytes(answers[0]))


def echo(ask, status="400 Bad Request", shape="%s"):
    """Return an error that repeats, in every spelling, the keys it was sent."""
    words = " ".join(shape % text for key in (ask.key, ask.other) if key for text in spellings(key))
    fields = ["Server: " + ask.key, "Location: http://127.0.0.1:9/" + ask.key, "Via: " + ask.other]
    return answer(json_bytes({"error": {"message": words}}), status, fields)


def cut_stream(ask):
    """Return a good answer that says the key, the text of which is cut at every possible place."""
    if not ask.streamed:
        return answer(payload(ask, ask.key))
    events = [event(chunk_value(part)) for cut in range(1, len(ask.key))
              for part in (ask.key[:cut], ask.key[cut:], " ")]
    events += [event({"choices": [{"delta": {"reasoning": letter}}]}) for letter in ask.key + " "]
    return answer(b"".join(events) + event(b"[DONE]"))


EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e\u2066evil\x00\x7f\x85\r\x08\ud800"
EVIL_FIELD = "\x1b]0;pwned\x07\x1b[2J\x9b31mevil\x7f\x08"
DEEP = b"[" * 100000 + b"]" * 100000
DEEP_ERROR = b'{"error": {"message": ' + b"[" * 900 + b"]" * 900 + b"}}"
ESCAPED_EVIL = json.dumps(EVIL).encode("ascii")
# around the place where error texts are cut
PADDED = [("x" * padding + "%s") for padding in range(250, 300, 8)]

# name: (statuses promised of `list`, of `chat`, script). The tool must end, with one of them,
# whatever comes.
FIRE = collections.OrderedDict([
    # silence in each phase
    ("stall on accept", ("4", "4", lambda ask: [STALL])),
    ("stall after the request", ("4", "4", lambda ask: [STALL])),
    ("stall in the status line", ("4", "4", lambda ask: [b"HTTP/1.1 20", STALL])),
    ("stall in the headers",
     ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\nContent-Type: app", STALL])),
    ("stall before the body", ("4", "4", lambda ask: [good(ask)[:-len(payload(ask))], STALL])),
    ("stall in the body", ("4", "4", lambda ask: [good(ask)[:-9], STALL])),
    ("stall in a chunk size", ("4", "4", lambda ask: [CHUNKED, b"1", STALL])),
    ("stall in a chunk", ("4", "4", lambda ask: [CHUNKED, b"ff\r\n", payload(ask)[:9], STALL])),
    ("stall in the stream", ("4", "4", lambda ask: [OPEN, half(payload(ask)), STALL])),
    ("stall before [DONE]", ("4", "4", lambda ask: [OPEN, event(chunk_value()), STALL])),
    ("stall of an error's body", ("4", "4", lambda ask: [answer(b"{}", "500 Oops")[:-1], STALL])),
    ("stall after a 100", ("4", "4", lambda ask: [b"HTTP/1.1 100 Continue\r\n\r\n", STALL])),
    # a byte at a time
    ("drip in the status line", ("4", "4", lambda ask: [b"HTTP/1.1 200 ", Drip(b"O")])),
    ("drip in the headers", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\nX-A: ", Drip(b"b")])),
    ("drip of headers", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\n", Drip(b"A:b\r\n")])),
    ("drip in the body", ("4", "4", lambda ask: [answer(b"{", length=False), Drip(b" ")])),
    ("drip in a body of stated length",
     ("4", "4", lambda ask: [answer(b" " * 100000)[:-100000], Drip(b" ")])),
    ("drip in a chunk size", ("4", "4", lambda ask: [CHUNKED, Drip(b"0")])),
    ("drip in a chunk extension", ("4", "4", lambda ask: [CHUNKED, b"5;", Drip(b"a")])),
    ("drip of chunks", ("4", "4", lambda ask: [CHUNKED, Drip(b"1\r\n \r\n")])),
    ("drip in the stream", ("4", "4", lambda ask: [OPEN, b"data: {", Drip(b" ")])),
    ("drip in the trailers",
     ("4", "4", lambda ask: [CHUNKED, chunked(b"data: {"), b"0\r\nA: ", Drip(b"b")])),
    ("drip of an error's body",
     ("4", "4", lambda ask: [answer(b"", "500 Oops", length=False), Drip(b"a")])),
    ("drip of 1xx", ("4", "4", lambda ask: [Drip(b"HTTP/1.1 100 C\r\n\r\n")])),
    # reset and early close in each phase
    ("reset on accept", ("4", "4", lambda ask: [RESET])),
    ("reset after the request", ("4", "4", lambda ask: [RESET])),
    ("reset in the headers", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\nX-A: ", RESET])),
    ("reset in the body", ("4", "4", lambda ask: [good(ask)[:-9], RESET])),
    ("reset in the stream", ("4", "4", lambda ask: [OPEN, half(payload(ask)), RESET])),
    ("close on accept", ("4", "4", lambda ask: [])),
    ("close after the request", ("4", "4", lambda ask: [])),
    ("close in the status line", ("4", "4", lambda ask: [b"HTTP/1"])),
    ("close in the headers", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\nX-A: b"])),
    ("close in the body", ("4", "4", lambda ask: [good(ask)[:-9]])),
    ("close in a chunk", ("4", "4", lambda ask: [CHUNKED, b"ffff\r\n", half(payload(ask))])),
    ("close in the stream", ("4", "4", lambda ask: [OPEN, half(payload(ask))])),
    ("close in an event",
     ("4", "4", lambda ask: [OPEN, b'data: {"choices": [{"delta": {"content": "a"}}]}\n\nda'])),
    # no end
    ("endless headers", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\n", Forever(b"X-A: b\r\n")])),
    ("endless header line", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\nX-A: ", Forever(b"b")])),
    ("endless status line", ("4", "4", lambda ask: [b"HTTP/1.1 200 ", Forever(b"O")])),
    ("endless body", ("4", "4", lambda ask: [answer(b'{"data": [', length=False), Forever(b"1,")])),
    ("endless white space", ("4", "4", lambda ask: [OPEN, Forever(b" \n")])),
    ("endless stream",
     ("4", "4",
      lambda ask: [OPEN, Forever(event({"choices": [{"delta": {"content": "a" * 500}}]}))])),
    ("endless tool call", ("4", "4", lambda ask: [OPEN, Forever(event(
        {"choices": [
            {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "a"}}]}}]}))])),
    ("endless comments", ("4", "4", lambda ask: [OPEN, Forever(b": keep-alive\n\n")])),
    ("endless event", ("4", "4", lambda ask: [OPEN, b"data: ", Forever(b"a")])),
    ("endless lines of one event", ("4", "4", lambda ask: [OPEN, Forever(b"data: a\n")])),
    ("endless chunk", ("4", "4", lambda ask: [CHUNKED, b"ffffffffffff\r\n", Forever(b"{")])),
    ("endless small chunks",
     ("4", "4", lambda ask: [CHUNKED, chunked(b"{"), Forever(b"2\r\n  \r\n")])),
    ("endless trailers",
     ("4", "4", lambda ask: [CHUNKED, chunked(b"{"), b"0\r\n", Forever(b"A: b\r\n")])),
    ("endless error",
     ("4", "4", lambda ask: [answer(b"", "500 Oops", length=False), Forever(b"<")])),
    ("endless 401",
     ("45", "45", lambda ask: [answer(b"", "401 No", length=False), Forever(b"no ")])),
    ("storm of 100", ("4", "4", lambda ask: [Forever(b"HTTP/1.1 100 Continue\r\n\r\n")])),
    ("storm of 103", ("4", "4", lambda ask: [Forever(b"HTTP/1.1 103 Early Hints\r\n\r\n")])),
    # lies about lengths, wrong chunking
    ("one 100 first", ("0", "0", lambda ask: [b"HTTP/1.1 100 Continue\r\n\r\n", good(ask)])),
    ("length too long", ("4", "04", lambda ask: [good(ask, "Content-Length: 99999")])),
    ("length too short", ("4", "4", lambda ask: [good(ask, "Content-Length: 9")])),
    ("length zero", ("4", "4", lambda ask: [good(ask, "Content-Length: 0")])),
    ("length negative", ("04", "04", lambda ask: [good(ask, "Content-Length: -5")])),
    ("length garbage", ("04", "04", lambda ask: [good(ask, "Content-Length: many")])),
    ("length of 5000 digits",
     ("04", "04", lambda ask: [good(ask, "Content-Length: " + "9" * 5000)])),
    ("length underscored", ("04", "04", lambda ask: [good(ask, "Content-Length: 1_0")])),
    ("two lengths", ("4", "4", lambda ask: [good(ask, "Content-Length: 3", "Content-Length: 7")])),
    ("length and chunked", ("04", "04", lambda ask: [
        answer(b"", fields=["Transfer-Encoding: chunked", "Content-Length: 3"], length=False)
        + chunked(payload(ask)) + b"0\r\n\r\n"])),
    ("chunk size bad", ("4", "4", lambda ask: [CHUNKED, b"zz\r\n", payload(ask)])),
    ("chunk size empty", ("4", "4", lambda ask: [CHUNKED, b"\r\n", payload(ask)])),
    ("chunk size negative",
     ("04", "04", lambda ask: [CHUNKED, b"-5\r\n", payload(ask), b"\r\n0\r\n\r\n"])),
    ("chunk size of 5000 digits",
     ("4", "04", lambda ask: [CHUNKED, b"9" * 5000, b"\r\n", payload(ask)])),
    ("chunk size line too long", ("4", "4", lambda ask: [CHUNKED, b"5;" + b"a" * 70000, b"\r\n"])),
    ("chunk without its CRLF",
     ("04", "04", lambda ask: [CHUNKED, chunked(payload(ask))[:-2], b"0\r\n\r\n"])),
    ("no last chunk", ("4", "04", lambda ask: [CHUNKED, chunked(payload(ask))])),
    ("chunks of one byte", ("0", "0", lambda ask: [
        CHUNKED, b"".join(chunked(bytes([byte])) for byte in payload(ask)),
        b"0\r\nTrailer: a\r\n\r\n"])),
    # no HTTP, or much of it
    ("garbage", ("4", "4", lambda ask: [bytes(range(256)) * 8])),
    ("garbage status", ("4", "4", lambda ask: [b"HTTP/1.1 abc OK\r\n\r\n{}"])),
    ("status of 5000 digits",
     ("4", "4", lambda ask: [b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n"])),
    ("status 99", ("4", "4", lambda ask: [answer(payload(ask), "99 Low")])),
    ("status 999", ("4", "4", lambda ask: [answer(payload(ask), "999 High")])),
    ("HTTP/0.9", ("4", "4", lambda ask: [payload(ask)])),
    ("HTTP/2", ("4", "4", lambda ask: [b"HTTP/2.0 200 OK\r\n\r\n{}"])),
    ("SSH", ("4", "4", lambda ask: [b"SSH-2.0-OpenSSH_9.6\r\n"])),
    ("a TLS alert", ("4", "4", lambda ask: [b"\x15\x03\x01\x00\x02\x02\x46"])),
    ("a bare newline", ("4", "4", lambda ask: [b"\n\n\n"])),
    ("huge header line", ("4", "4", lambda ask: [good(ask, "X-A: " + "b" * 70000)])),
    ("200 headers",
     ("4", "4", lambda ask: [good(ask, *["X-%d: b" % number for number in range(200)])])),
    ("headers without colons",
     ("04", "04", lambda ask: [good(ask, "nonsense", ": nameless", " folded")])),
    ("unknown coding",
     ("4", "4", lambda ask: [answer(b"\x00\x01", fields=["Content-Encoding: zstd"])])),
    ("gzip though not asked",
     ("4", "4",
      lambda ask: [answer(gzip.compress(payload(ask)), fields=["Content-Encoding: gzip"])])),
    ("Set-Cookie", ("0", "0", lambda ask: [good(ask, "Set-Cookie: a=b; Domain=127.0.0.1")])),
    # statuses
    ("204", ("4", "4", lambda ask: [answer(b"", "204 No Content")])),
    ("206", ("0", "4", lambda ask: [answer(payload(ask), "206 Partial Content")])),
    ("304", ("4", "4", lambda ask: [answer(b"", "304 Not Modified")])),
    ("401", ("5", "5", lambda ask: [echo(ask, "401 Unauthorized")])),
    ("403", ("5", "5", lambda ask: [echo(ask, "403 Forbidden")])),
    ("404 in HTML",
     ("4", "4", lambda ask: [answer(b"<html><script>alert(1)</script><h1>No", "404 Not Found")])),
    ("407", ("4", "4", lambda ask: [echo(ask, "407 Proxy Authentication Required")])),
    ("429", ("4", "4", lambda ask: [echo(ask, "429 Too Many Requests")])),
    ("500 with the Authorization header",
     ("4", "4", lambda ask: [echo(ask, "500 Oops", "Authorization: Bearer %s")])),
    ("503 without a body", ("4", "4", lambda ask: [answer(b"", "503 Service Unavailable")])),
    ("redirect to another origin", ("4", "4", lambda ask: [
        answer(b"", "302 Found", ["Location: %s/v1/models" % ask.elsewhere])])),
    ("redirect 308", ("4", "4", lambda ask: [
        answer(b"", "308 Permanent Redirect",
               ["Location: %s/v1/chat/completions" % ask.elsewhere])])),
    ("redirect to a file",
     ("4", "4", lambda ask: [answer(b"", "301 Moved", ["Location: file:///etc/passwd"])])),
    ("redirect to nowhere",
     ("4", "4", lambda ask: [answer(b"", "301 Moved", ["Location: http://[::1"])])),
    ("redirect without a place", ("4", "4", lambda ask: [answer(b"", "307 Moved")])),
    ("redirect with a password",
     ("4", "4", lambda ask: [answer(b"", "302 Found", ["Location: http://u:%s@h/" % FIRE_KEY])])),
    ("redirect with 60 kB",
     ("4", "4", lambda ask: [answer(b"", "302 Found", ["Location: http://h/" + "a" * 60000])])),
    # JSON that is none, or too much
    ("an empty body", ("4", "4", lambda ask: [answer(b"")])),
    ("JSON of 100,000 levels", ("4", "4", lambda ask: [json_or_stream(ask, DEEP)])),
    ("JSON of 900 levels in an error", ("4", "4", lambda ask: [answer(DEEP_ERROR, "500 Oops")])),
    ("JSON of 900 levels in a good answer",
     ("4", "4", lambda ask: [json_or_stream(ask, DEEP_ERROR)])),
    ("JSON of 900 levels as arguments", ("4", "4", lambda ask: [json_or_stream(
        ask,
        b'{"choices": [{"%s": {"tool_calls": [{"function": {"name": "f", "arguments": %s}}]}, '
        b'"finish_reason": "stop"}]}'
        % (b"delta" if ask.streamed else b"message", DEEP[:900] + DEEP[-900:]))])),
    ("JSON of 900 levels as id", ("14", "04", lambda ask: [json_or_stream(
        ask,
        b'{"data": [], "choices": [{"finish_reason": "stop"}], "id": ' + DEEP[:900] + DEEP[-900:]
        + b"}")])),
    ("duplicate keys", ("0", "0", lambda ask: [json_or_stream(
        ask,
        b'{"data": 1, "data": [{"id": 1, "id": "m"}], "choices": 2, "choices": [{"finish_reason": '
        b'"stop"}]}')])),
    ("NaN and Infinity", ("4", "0", lambda ask: [json_or_stream(
        ask,
        b'{"data": [{"id": "m", "max_model_len": NaN}, {"id": "n", "max_model_len": Infinity}], '
        b'"id": NaN, "usage": {"prompt_tokens": NaN, "completion_tokens": -Infinity}, '
        b'"choices": [{"finish_reason": "stop"}]}')])),
    ("integers of 1 MB", ("04", "04", lambda ask: [json_or_stream(
        ask,
        b'{"data": [{"id": "m", "max_model_len": 1%s}], "choices": [{"finish_reason": "stop"}]}'
        % (b"0" * 1000000))])),
    ("integers of 350 digits", ("0", "0", lambda ask: [json_or_stream(
        ask,
        b'{"data": [{"id": "m", "max_model_len": 1%s}], "choices": [{"delta": {"content": "a"}, '
        b'"message": {"content": "a"}, "finish_reason": "stop"}], '
        b'"usage": {"completion_tokens": 1%s}}' % (b"0" * 350, b"0" * 350))])),
    ("lone surrogates", ("0", "0", lambda ask: [answer(payload(ask, "a\ud800b\udfffc"))])),
    ("no UTF-8",
     ("4", "04",
      lambda ask: [answer(payload(ask).replace(b"hello", b"h\xff\xc0\x80\xed\xa0\x80llo"))])),
    ("UTF-16", ("4", "4", lambda ask: [answer(payload(ask).decode("ascii").encode("utf-16"))])),
    ("a byte-order mark", ("0", "04", lambda ask: [answer(b"\xef\xbb\xbf" + payload(ask))])),
    ("NULs", ("4", "4", lambda ask: [answer(b"\0" * 5000)])),
    ("an HTML page", ("4", "4", lambda ask: [answer(b"<!doctype html><title>Welcome</title>")])),
    ("unclosed tags", ("4", "4", lambda ask: [answer(b"<script" * 14000, "500 Oops")])),
    ("angle brackets", ("4", "4", lambda ask: [answer(b"<" * 100000, "500 Oops")])),
    ("null", ("4", "4", lambda ask: [answer(b"null")])),
    ("an empty list", ("4", "4", lambda ask: [answer(b"[]")])),
    ("data null", ("4", "04", lambda ask: [json_or_stream(ask, {"data": None})])),
    ("no models, no choices",
     ("1", "04", lambda ask: [json_or_stream(ask, {"data": [], "choices": []})])),
    ("an error with status 200",
     ("4", "4", lambda ask: [json_or_stream(ask, {"error": {"message": EVIL, "code": 400}})])),
    ("an error with a wrong code",
     ("4", "4", lambda ask: [json_or_stream(ask, {"error": {"message": ["a"], "code": True}})])),
    ("many models", ("0", "0", lambda ask: [
        answer(json_bytes({"data": [{"id": "m%d" % number} for number in range(2000)]}))
        if ask.listing else good(ask)])),
    # types
    ("numbers in every field", ("01", "04", lambda ask: [wrong_types(ask, 7)])),
    ("null in every field", ("01", "04", lambda ask: [wrong_types(ask, None)])),
    ("lists in every field", ("01", "04", lambda ask: [wrong_types(ask, [[1], "a"])])),
    ("objects in every field", ("01", "04", lambda ask: [wrong_types(ask, {"id": {"a": 1}})])),
    ("texts in every field", ("01", "04", lambda ask: [wrong_types(ask, "text")])),
    ("booleans in every field", ("01", "04", lambda ask: [wrong_types(ask, True)])),
    ("negative numbers in every field", ("01", "04", lambda ask: [wrong_types(ask, -1.5)])),
    # the terminal
    ("escapes in every field", ("0", "0", lambda ask: [answer(payload(ask, EVIL))])),
    ("raw escapes in every field",
     ("4", "04", lambda ask: [answer(payload(ask, EVIL).replace(b"\\u001b", b"\x1b"))])),
    ("escapes in an error", ("4", "4", lambda ask: [
        answer(b'{"error": {"message": %s}}' % ESCAPED_EVIL, "500 " + EVIL_FIELD,
               ["Server: " + EVIL_FIELD])])),
    ("escapes in a refusal",
     ("5", "5", lambda ask: [answer(EVIL_FIELD.encode("latin-1"), "401 " + EVIL_FIELD)])),
    ("escapes in a redirect", ("4", "4", lambda ask: [
        answer(b"", "302 Found", ["Location: http://h/" + EVIL_FIELD, "Server: " + EVIL_FIELD])])),
    ("escapes in the status line", ("4", "4", lambda ask: [b"HTTP/1.1 200\x1b[2J OK\r\n\r\n"])),
    ("escapes in a bad event",
     ("4", "4", lambda ask: [answer(b"data: \x1b[2J\xc2\x9b31m\r\n\r\n")])),
    # the key
    ("the key in every field", ("0", "0", lambda ask: [answer(payload(ask, ask.key))])),
    ("every spelling in every field", ("0", "0", lambda ask: [
        answer(payload(ask, " ".join(spellings(ask.key)))) if ask.key else good(ask)])),
    ("the key cut across events", ("0", "0", lambda ask: [cut_stream(ask)])),
    ("the key in a bad event",
     ("4", "4", lambda ask: [answer(b"data: " + b"x" * 60 + ask.key.encode() + b"\n\n")])),
    ("the key in the status line",
     ("4", "4", lambda ask: [answer(b"", "500 " + "y" * 45 + ask.key)])),
    ("the key in no HTTP", ("4", "4", lambda ask: [ask.key.encode("latin-1") + b"\r\n\r\n"])),
    ("the key as a Location",
     ("4", "4",
      lambda ask: [answer(b"", "302 Found", ["Location: /" + urllib.parse.quote(ask.key)])])),
    ("the key as aliases", ("4", "4", lambda ask: [answer(
        b"{\"error\": {\"message\": \"The model `x` does not exist. Valid aliases: `%s`\"}}"
        % json.dumps(ask.key)[1:-1].encode(), "404 Not Found")])),
    ("a context error of 1 MB", ("4", "4", lambda ask: [answer(
        json_bytes({"message": "maximum context length is 9 tokens " + ask.key * 30000}),
        "400 Bad")])),
] + [("the key where texts are cut: %d" % len(padding), ("4", "4", lambda ask, padding=padding: [
    echo(ask, "500 Oops", padding)])) for padding in PADDED])

UNREAD = ("stall on accept", "reset on accept", "close on accept")
CAPS = {"MODEL_LIST_LIMIT": 1100000, "ANSWER_LIMIT": 1100000, "EVENT_LIMIT": 1100000,
        "STREAM_LIMIT": 1200000}
HASTY = ("stall", "drip", "endless", "storm")        # what ends by its timeout is given a short one
SLACK = 12 * 1048576                   # what the kernel holds between two sockets of one machine
PATIENCE_S = 240                       # for the whole table; a run that hangs would take for ever


# Every verb that opens a connection, with the column of its promise or the statuses it may end with
# (3: an id that no JSON5 can hold is not written).
VERBS_UNDER_FIRE = (
    (["list"], 0), (["chat", "hi"], 1), (["list", "--json"], 0), (["chat", "hi", "--no-stream"], 1),
    (["chat", "hi", "--json"], 1), (["doctor"], "0145"), (["doctor", "--probe", "--json"], "0145"),
    (["config", "--dry-run"], "01345"))


Outcome = collections.namedtuple("Outcome", "server argv promised status text unsafe sent")
Outcome.__doc__ = """A run under fire: `status` may be an exception, `unsafe` is what could harm a
terminal, `sent` how many bytes the server sent for each connection."""


class UnderFireTest(Case):
    """Every verb against every misbehaving server: status, time, memory, escapes, the key."""

    def setUp(self):
        super().setUp()
        self.outcomes = []

    def write_config(self, name, origin, listing=False):
        """Write a config that declares a model, or (`listing`) one whose server is asked for them.
        """
        block = {"baseUrl": origin + "/v1", "apiKey": FIRE_KEY, "headers": {"X-Other": OTHER_KEY},
                 "models": [{"id": "m", "name": "m", "contextWindow": 4096, "maxTokens": 64}]}
        asked = {}
        if listing:
            block["models"], asked = [], {"vllm/*": {}}
        config = {"models": {"providers": {"vllm": block}},
                  "agents": {"defaults": {"models": asked}}}
        return self.write("%s-%d.json" % (name, listing), config)

    def asked(self, number):
        """Return the rows to run against a server: two of them in turn; in a long run all."""
        if os.environ.get("OPENCLAW_VLLM_FUZZ"):
            return VERBS_UNDER_FIRE
        others = VERBS_UNDER_FIRE[2:]
        return VERBS_UNDER_FIRE[number % 2], others[number % len(others)]

    def fire(self, number, name, elsewhere):
        promises = FIRE[name]
        timeout = "0.25" if name.startswith(HASTY) else "60"
        with fire_server(promises[2], name in UNREAD, elsewhere) as server:
            for argv, column in self.asked(number):
                sent, connections = server.sent, server.connections
                path = self.write_config(number, server.origin, argv[0] == "list")
                try:
                    status, out, err = run(argv + ["--config", path, "--timeout", timeout])
                except BaseException as error:       # a traceback, for the user
                    status, out, err = error, "", ""
                promised = column if isinstance(column, str) else promises[column]
                shown = out + err
                if argv[0] == "chat" and "--json" not in argv:
                    shown = err                      # the answer is not for a terminal
                each = (server.sent - sent) / max(1, server.connections - connections)
                self.outcomes.append(Outcome(
                    name, argv, promised, status, out + err, UNSAFE.findall(shown), each))

    def test_every_verb_survives_every_server(self):
        names = collections.deque(enumerate(FIRE))

        def work():
            while names:
                number, name = names.popleft()
                self.fire(number, name, elsewhere.origin)

        with mock.patch.multiple(vllm, **CAPS), fire_server(lambda ask: [good(ask)]) as elsewhere:
            threads = [threading.Thread(target=work, daemon=True) for _ in range(24)]
            for thread in threads:
                thread.start()
            until = time.monotonic() + PATIENCE_S
            for thread in threads:
                thread.join(max(0, until - time.monotonic()))
            alive = any(thread.is_alive() for thread in threads)
        done = collections.Counter(outcome.server for outcome in self.outcomes)
        undone = [name for number, name in enumerate(FIRE) if done[name] < len(self.asked(number))]
        self.assertEqual(undone, [], "these hang" if alive else "")
        self.assertEqual(elsewhere.connections, 0, "a redirect was followed")
        for outcome in self.outcomes:
            with self.subTest(server=outcome.server, argv=outcome.argv):
                self.check_outcome(outcome)

    def check_outcome(self, outcome):
        verb, status, text = outcome.argv[0], outcome.status, outcome.text
        self.assertIn(str(status), list(outcome.promised), "%r\n%s" % (status, text[:2000]))
        self.assertEqual((leaks(text), outcome.unsafe), ([], []))
        self.assertNotIn("Traceback", text)
        if not outcome.server.startswith(("endless trailers", "storm")):     # only time bounds them
            exchanges = 4 if verb == "doctor" else 1
            self.assertLess(outcome.sent, exchanges * (max(CAPS.values()) + SLACK))
        if status in (4, 5) and verb in ("list", "chat"):
            self.assertIn("error: ", text)
            self.assertLess(len(text), 2000 if verb == "list" else CAPS["STREAM_LIMIT"])

    def test_what_the_module_raises_holds_no_key(self):
        for name in [name for name in FIRE if "key" in name or name[:3].isdigit()]:
            with self.subTest(server=name), \
                    fire_server(FIRE[name][2], elsewhere="http://127.0.0.1:9") as server:
                settings = vllm.load_settings(self.write_config(0, server.origin), {})
                provider = vllm.resolve_provider(settings)
                for act in (lambda: vllm.discover_models(provider, 5),
                            lambda: vllm.chat(provider, {"messages": []}, timeout_s=5)):
                    try:
                        act()
                    except vllm.Error as error:
                        told = (error, error.hint, list(error.facts.values()), error)
                        self.assertEqual(leaks("%s %s %s %r" % told), [])

    def test_tls_and_proxies_that_misbehave(self):
        names = ("stall on accept", "reset on accept", "close on accept", "garbage",
                 "garbage status", "HTTP/2", "SSH", "a TLS alert",
                 "drip in the headers", "endless header line", "endless headers", "storm of 100")
        for name in names:
            with fire_server(FIRE[name][2], unread=True) as server:
                proxied = {"http_proxy": server.origin, "https_proxy": server.origin}
                for url, env in (("https" + server.origin[4:], {}), ("http://192.0.2.1", proxied),
                                 ("https://192.0.2.1", proxied)):
                    with self.subTest(server=name, url=url.partition(":")[0], env=env):
                        argv = ["list", "--base-url", url + "/v1", "--timeout", "0.2"]
                        status, out, err = run(argv, dict(env, VLLM_API_KEY=FIRE_KEY))
                        self.assertEqual((status, out), (4, ""), err)
                        self.assertEqual((leaks(err), UNSAFE.findall(err)), ([], []))

    def test_the_server_itself_is_sound(self):
        with fire_server(lambda ask: [good(ask)]) as server:
            for arguments, _ in VERBS_UNDER_FIRE:
                with self.subTest(arguments=arguments):
                    path = self.write_config(0, server.origin, arguments[0] == "list")
                    self.assertEqual(run(arguments + ["--config", path])[0], 0)

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "needs the memory of one process")
    def test_memory_stays_bounded(self):
        for name, arguments in (("endless small chunks", ["list"]),
                                ("endless stream", ["chat", "hi"])):
            with self.subTest(server=name, arguments=arguments), \
                    fire_server(FIRE[name][2]) as server:
                path = self.write_config(0, server.origin, arguments == ["list"])
                code = ("import sys, openclaw_vllm as vllm\n"
                        "vllm.STREAM_LIMIT = 1 << 22\n"
                        "vllm.main(sys.argv[1:])\n"
                        "vllm.os.write(3, open('/proc/self/status', 'rb').read())")
                shell = ["sh", "-c", '"$@" 3>&1 >/dev/null 2>&1', "sh", sys.executable, "-c", code]
                argv = arguments + ["--config", path, "--timeout", "0.5"]
                status = subprocess.check_output(
                    shell + argv, cwd=HERE, stdin=subprocess.DEVNULL)
                peak_kb = int(re.search(rb"VmHWM:\s*([0-9]+) kB", status).group(1))
                self.assertLess(peak_kb, 150 * 1024)


# ----------------------------------------------------------------------------
# Fuzz targets
# ----------------------------------------------------------------------------

FUZZ_S = float(os.environ.get("OPENCLAW_VLLM_FUZZ") or 1)        # for all targets together
SETTINGS = int(os.environ.get("OPENCLAW_VLLM_SETTINGS") or 0)    # how many every verb runs on
TEXTS = ("", "a", "vllm", "m", "vllm/m", "http://h:1/v1", "${A_B}", "${", "$$", "user", "tool",
         "developer", "off", "high", "\0", "\n",
         "\ud800", "\U0001f600", "漢字", "²", "٣", "__proto__", "x" * 400, "9" * 5000,
         "$VLLM_API_KEY", "text", "image_url", "{}")
SCALARS = (None, True, False, 0, 1, -1, 7, 1.5, -0.0, 1e308, -1e308, math.inf, -math.inf, math.nan,
           10 ** 299, -10 ** 299, 2 ** 63)


def any_json(rng, words=TEXTS, depth=4):
    """Return a JSON value of any shape, its keys and texts mostly out of some words."""
    kind = rng.randrange(4 if depth else 2)
    if kind == 0:
        return rng.choice(SCALARS)
    if kind == 1:
        return rng.choice(words)
    if kind == 2:
        return [any_json(rng, words, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(words): any_json(rng, words, depth - 1) for _ in range(rng.randrange(5))}


def words_of(value):
    """Return every key and text of a JSON value, hostile texts added."""
    if isinstance(value, dict):
        return tuple(value) + sum(map(words_of, value.values()), ())
    if isinstance(value, list):
        return sum(map(words_of, value), ())
    return (value,) if isinstance(value, str) else ()


def mutated(rng, value, words, chance=0.08):
    """Return a JSON value with some of its parts replaced, dropped or added."""
    if rng.random() < chance:
        return any_json(rng, words, 3)
    if isinstance(value, list):
        return [mutated(rng, item, words, chance) for item in value
                for _ in range(rng.choice((1, 1, 1, 1, 0, 2)))]
    if isinstance(value, dict):
        kept = {key: mutated(rng, item, words, chance)
                for key, item in value.items() if rng.random() > chance / 2}
        if rng.random() < chance:
            kept[rng.choice(words)] = any_json(rng, words, 2)
        return kept
    return value


def places_of(value, path=()):
    """Yield the key path of everything in a JSON value."""
    if path:
        yield path
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from places_of(item, path + (key,))


def put(value, path, item):
    """Replace what stands at a key path, where there still is such a place."""
    for key in path[:-1]:
        value = vllm._get(value, key)
        if not isinstance(value, (dict, list)):
            return
    if isinstance(value, dict) or path[-1] in range(len(value)):
        value[path[-1]] = item


def mangled(rng, text, tokens):
    """Return a text with pieces cut out, doubled, moved or put in."""
    for _ in range(rng.randrange(1, 6)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 0, 1, 2, 9)))
        pieces = ("", text[start:end] * 2, rng.choice(tokens), chr(rng.randrange(0x300)))
        text = text[:start] + rng.choice(pieces) + text[end:]
    return text


CONFIG = {
    "models": {"mode": "merge", "providers": {
        "vllm": {"baseUrl": "http://h:8000/v1", "apiKey": "${A_B}", "api": "openai-completions",
                 "timeoutSeconds": 30,
                 "headers": {"X-A": "${A_B}",
                             "X-B": {"source": "env", "provider": "default", "id": "A_B"}},
                 "request": {
                     "auth": {"mode": "header", "headerName": "X-C", "value": "v", "prefix": "p "},
                     "headers": {"X-D": "d"}},
                 "models": [{"id": "m", "name": "M", "contextWindow": 4096, "contextTokens": 4000,
                             "maxTokens": 64, "reasoning": True,
                             "input": ["text", "image"], "headers": {"X-E": "e"},
                             "compat": {"thinkingFormat": "qwen", "supportsReasoningEffort": True,
                                        "maxTokensField": "max_tokens",
                                        "supportedReasoningEfforts": ["low", "high"],
                                        "reasoningEffortMap": {"off": "none"},
                                        "requiresToolResultName": True,
                                        "requiresStringContent": True,
                                        "requiresAssistantAfterToolResult": True,
                                        "strictMessageKeys": True}}]},
        "other": {"baseUrl": "https://h/v1", "apiKey": "VLLM_API_KEY", "models": [], "maxTokens": 9,
                  "contextWindow": 99}}},
    "agents": {
        "defaults": {
            "model": {"primary": "vllm/m", "fallbacks": ["other/n"]},
            "imageModel": "vllm/m",
            "models": {
                "vllm/m": {"alias": "a", "params": {"temperature": 1, "thinking": "high"}},
                "vllm/*": {}},
            "params": {"topP": 0.5, "stop": "x", "extra_body": {"top_k": 1}},
            "thinkingDefault": "off"}},
    "plugins": {"entries": {"vllm": {"enabled": True}}},
    "env": {"vars": {"A_B": "value", "C": "${A_B}"}}, "$include": []}
CONFIG_WORDS = words_of(CONFIG) + TEXTS + ("$include", "./a.json5", "../x", "openai-responses",
                                           "authorization-bearer", "token")

BODY = {
    "model": "m", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 9,
    "reasoning_effort": "low", "store": True,
    "temperature": 1, "stop": ["a"], "chat_template_kwargs": {"a": 1}, "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "messages": [{"role": "system", "content": "s"},
                 {"role": "developer", "content": [{"type": "text", "text": "d"}]},
                 {"role": "user",
                  "content": [{"type": "text", "text": "漢"},
                              {"type": "image_url", "image_url": {"url": "u"}}]},
                 {"role": "assistant", "content": None, "reasoning": "r",
                  "tool_calls": [
                      {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
                 {"role": "tool", "tool_call_id": "c", "content": "t"},
                 {"role": "user", "content": "u"}],
    "tools": [
        {"type": "function",
         "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}]}
BODY_WORDS = words_of(BODY) + TEXTS

JSON5_TEXTS = (json.dumps(CONFIG), json.dumps(BODY, indent=2),
               "// c\n{a: 'x\\\ny', \"b\": [+1, -0x1F, .5, 5., 1e3, Infinity, -NaN,], /* d */ "
               "$c_\\u0041: '\\x41\\v\\0',}",
               "[\"\\ud83d\\ude00\", '\\u2028', null, true, false, {}, [], {'k': {l: [{}]}}]")
JSON5_TOKENS = tuple("{}[],:\"'\\/*") + ("//", "/*", "*/", "\\u", "\\ud800", "\\x4", "0x", "1e",
                                         "+", "-", "NaN", "null", "\r\n",
                                         "\u2028", "\ufeff", "\0", "\x1b", "[" * 300, "9" * 400,
                                         "0x" + "f" * 400, "\\\r\n", "é", "\u200d")


def outcome(function, *arguments, kinds=(vllm.Error, ValueError)):
    """Return (value, None), or (None, error) for an error of the kinds that are promised."""
    try:
        return function(*arguments), None
    except kinds as error:
        return None, error


def a_provider(config=None):
    """Return (Settings, Provider) for a config, as if it stood in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "openclaw.json")
        with open(path, "w") as target:
            json.dump({} if config is None else config, target)
        settings = vllm.load_settings(path, {"VLLM_API_KEY": "vllm-local", "A_B": "value"})
    return settings, vllm.resolve_provider(settings)


def nested(levels, inside="1"):
    return "[" * levels + inside + "]" * levels


def provider_config(**block):
    return json.dumps(
        {"models": {"providers": {"vllm": dict({"baseUrl": "http://h/v1"}, **block)}}})


ROW = {"id": "m", "name": "m"}
TOOL_TURN = {"role": "tool", "tool_call_id": ["c"], "content": "t"}

REGRESSIONS = (          # (the check that found it, its input)
    ("json5", "-" + "9" * 300), ("json5", "9" * 301), ("json5", "0x" + "f" * 400),
    ("json5", nested(201)), ("json5", nested(200)),
    ("json5", nested(5000)), ("json5", '{"a": %s}' % nested(200)), ("json5", '"%s"' % ("[" * 300)),
    ("json5", "[1, '%s']" % ("{" * 300)),
    ("settings", '{"models": 1, "a": %s}' % nested(300)), ("settings", nested(300)),
    ("settings", '{"qwenThinkingFormat": 1}'), ("settings", provider_config(maxTokens=10 ** 350)),
    ("settings", provider_config(maxTokens=10 ** 299)),
    ("settings", provider_config(timeoutSeconds=10 ** 300)),
    ("settings", provider_config(models=[dict(ROW, headers={"X-A": "a\nb"})])),
    ("settings", provider_config(models=[dict(ROW, headers={"X A": "a"})])),
    ("settings", provider_config(models=[dict(ROW, headers={"X-A": "漢"})])),
    ("settings", provider_config(models=7, **{"unknown%d" % number: 1 for number in range(300)})),
    ("settings",
     '{"models": {"providers": {"vllm": {"baseUrl": "http://h:%s/v1", "models": []}}}}'
     % ("9" * 5000)),
    ("settings", '{"agents": {"defaults": [{"\u00b2": "${X}"}]}, "models": [{"\u00b2": "${X}"}]}'),
    ("profiles", '{"profiles": {"a": {"provider": "vllm", "type": ["api_key"], "key": "k"}}}'),
    ("profiles", '{"profiles": {"a": 7, "b": null}}'),
    ("profiles", '{"profiles": {"a": {"provider": ["vllm"]}}}'),
    ("models", {"data": [{"id": "m", "max_model_len": 10 ** 350}]}),
    ("models", {"data": [{"id": "m", "max_model_len": 1e308}]}),
    ("events", [b"data: a\r", b"\n", b"\n", b"data: b\n\n"]),
    ("events", [b"data: a\r", b"", b"\n\r", b"\n"]),
    ("deltas", [dict(chunk_value(), usage={"completion_tokens": 10 ** 350})]),
    ("deltas", [dict(chunk_value(), id=math.nan)]),
    ("deltas", [{"choices": [{"delta": {"tool_calls": [{"id": {}, "index": []}, {"id": [1]}]}}]}]),
    ("body",
     {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
                   TOOL_TURN]}),
    ("body", {"messages": [], "reasoning_effort": ["low"]}),
)


class FuzzTest(unittest.TestCase):
    """Seeded cases, the same in every run; a longer run adds cases. What ever crashed is a row of
    REGRESSIONS.
    """

    TARGETS = 10

    def test_what_once_failed(self):
        _, provider = a_provider(CONFIG)
        model = vllm.declared_models(provider)[0]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "openclaw.json")
            for number, (check, value) in enumerate(REGRESSIONS):
                with self.subTest(check=check, row=number):
                    if check == "settings":
                        with open(path, "w", encoding="utf-8") as target:
                            target.write(value)
                        self.check_settings(path)
                    # as it comes: through the reader of untrusted JSON
                    elif check == "models":
                        self.check_model_list(vllm.loads_untrusted(json.dumps(value)), provider)
                    elif check == "deltas":
                        self.check_deltas(
                            [vllm.loads_untrusted(json.dumps(item)) for item in value])
                    elif check == "profiles":
                        outcomes = [vllm.parse_auth_profiles(value, name)
                                    for name in ("vllm", "none")]
                        self.assertEqual(outcomes, [None, None])
                    elif check == "events":
                        self.check_events(value)
                    else:
                        {"json5": self.check_json5,
                         "body": lambda body: self.check_body(body, model)}[check](value)

    def test_a_fault_is_found_among_any_number_of_warnings(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "openclaw.json")
            fields = [("u%d" % number, 1) for number in range(500)] + [("models", 7)]
            with open(path, "w") as target:
                target.write(provider_config(**collections.OrderedDict(fields)))
            settings = vllm.read_settings(path, {})
        self.assertEqual([issue.path for issue in settings.issues],
                         [("models", "providers", "vllm", "models")])
        self.assertLessEqual(len(settings.warnings), vllm.MAX_ISSUES)

    def test_files_that_make_a_deep_config_together_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(9):
                inside = '{"$include": "./%d.json"}' % (number + 1) if number < 8 else "1"
                with open(os.path.join(folder, "%d.json" % number), "w") as target:
                    target.write('{"a": %s}' % nested(190, inside))
            settings = vllm.read_settings(os.path.join(folder, "0.json"), {})
        self.assertIn("nested", settings.issues[0].message)

    def test_headers_of_a_model_that_cannot_be_sent_are_named(self):
        for name, value in (("X-A", "a\nb"), ("X A", "a"), ("X-A", "漢")):
            with self.subTest(name=name, value=value), \
                    self.assertRaises(vllm.ConfigError) as caught:
                a_provider(json.loads(provider_config(models=[dict(ROW, headers={name: value})])))
            self.assertEqual(caught.exception.cause, "bad-key-form")

    def fuzz(self, target, case, count=0):
        """Run case(rng) for `count` seeds, else for what there is time for, and 25 at least."""
        until = time.monotonic() + FUZZ_S / self.TARGETS
        for number in itertools.count():
            if number >= (count or 25) and (count or time.monotonic() > until):
                return
            with self.subTest(target=target, case=number):
                case(random.Random("%s %d" % (target, number)))

    def test_json5(self):
        def case(rng):
            text = mangled(rng, rng.choice(JSON5_TEXTS), JSON5_TOKENS)
            self.check_json5(text)
            value = any_json(rng)
            text = json.dumps(value, indent=rng.choice((None, 2)), ensure_ascii=rng.random() < 0.5)
            read, error = outcome(vllm.json5_loads, text, kinds=vllm.Json5Error)
            if "\\ud800" in text or "\ud800" in text:
                # a lone surrogate: JSON lets it pass, JSON5 here does not
                return
            self.assertIsNone(error, text)
            self.assertEqual(repr(read), repr(json.loads(text)))

        self.fuzz("json5", case)

    def check_json5(self, text):
        value, error = outcome(vllm.json5_loads, text, kinds=vllm.Json5Error)
        tree, tree_error = outcome(vllm.json5_tree, text, kinds=vllm.Json5Error)
        if error is None and tree_error is not None and "nested" in tree_error.problem:
            return                                   # the C parser of plain JSON goes deeper
        if error is None and tree_error is None:
            self.assertEqual(repr(tree.value), repr(value), repr(text))
        else:
            self.assertEqual(str(error), str(tree_error), repr(text))

    def test_settings(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "openclaw.json")
            with open(os.path.join(folder, "a.json5"), "w") as target:
                target.write("{models: {mode: 'merge'}}")
            def case(rng):
                text = json.dumps(mutated(rng, CONFIG, CONFIG_WORDS, rng.choice((0.01, 0.05, 0.2))))
                if rng.random() < 0.2:
                    text = mangled(rng, text, JSON5_TOKENS)
                with open(path, "w", encoding="utf-8", errors="surrogatepass") as target:
                    target.write(text)
                self.check_settings(path)

            self.fuzz("settings", case)

    VERBS = (("list",), ("list", "--json", "--provider", "all"), ("doctor", "--json"),
             ("chat", "hi"),
             ("request", "--curl"), ("request", "--explain", "--thinking", "low"), ("config",),
             ("config", "--dry-run", "--primary", "m"), ("config", "--check", "--json"))
    KINDS = (None, True, False, 0, 7, -1, 1.5, "", "x", "vllm/m", [], ["x"], [[]], [{}], {},
             {"a": 1},
             {"vllm": 7}, {"x": {}}, {"x": None})

    def test_every_verb_on_settings_whose_fields_hold_every_type(self):
        origin = closed_origin(self)
        config = json.loads(json.dumps(CONFIG).replace("http://h:8000", origin))
        config["agents"]["entries"] = {"main": {
            "model": "vllm/m", "models": {"vllm/m": {"params": {}}}, "params": {},
            "thinkingDefault": "low", "default": True}}
        config["agents"]["list"] = [{"id": "a", "model": "vllm/m"}]
        config["plugins"].update(allow=["vllm"], deny=["x"], enabled=True)
        places = list(places_of(config))
        original = json.dumps(config)
        body = '{"messages": [{"role": "user", "content": "hi"}]}'

        def case(rng):
            changed = json.loads(original)
            for place in rng.sample(places, rng.choice((1, 1, 1, 2, 3))):
                put(changed, place, copy.deepcopy(rng.choice(self.KINDS)))
            argv = list(rng.choice(self.VERBS)) + ["--config", FILE]
            if argv[0] != "config":
                argv += ["--timeout", "1"]
            env = {"VLLM_BASE_URL": origin}
            if rng.random() < 0.5:
                env["VLLM_API_KEY"] = "vllm-local"
            out, err = io.StringIO(), io.StringIO()
            # From memory: to write files would take most of the time.
            with mock.patch.object(vllm, "read_text", lambda *_: json.dumps(changed)):
                status = vllm.main(argv, env, io.StringIO(body), out, err)
            self.assertIn(status, (0, 1, 2, 3, 4, 5), (argv, changed))
            self.assertNotIn("Traceback", err.getvalue())
            if status:
                self.assertTrue(out.getvalue() + err.getvalue(), argv)

        self.fuzz("every type", case, SETTINGS)

    def check_settings(self, path):
        """Read settings (which never fails), and when they are valid use all that they hold."""
        env = {"VLLM_API_KEY": "vllm-local", "OPENCLAW_STATE_DIR": os.path.dirname(path)}
        settings = vllm.read_settings(path, env)
        json.dumps([settings.issues, settings.warnings])
        provider = None
        if not settings.issues:
            provider, _ = outcome(vllm.resolve_provider, settings, kinds=vllm.Error)
        if provider is not None:
            for model in vllm.declared_models(provider):
                outcome(vllm.shape_request, BODY, model, kinds=vllm.UsageError)
                for name, header in vllm.request_headers(provider, model).items():
                    (name + header).encode("latin-1")

    def test_what_is_shown_of_a_text_in_pieces(self):
        def case(rng):
            def word(most):
                return "".join(rng.choice("ab") for _ in range(rng.randrange(most)))

            secrets = [word(20) or "a" for _ in range(rng.randrange(4))]
            text = word(30)
            begun = [size for secret in secrets for size in range(len(secret))
                     if text.endswith(secret[:size])]
            self.assertEqual(vllm.begun_secret(text, secrets), max(begun + [0]), (text, secrets))
            pieces = [word(9) for _ in range(9)]
            shown = "".join(shown_of(sorted(secrets, key=len, reverse=True), *pieces))
            for secret in secrets:
                self.assertTrue(len(secret) < 6 or secret not in shown, (shown, secret))

        self.fuzz("live text", case)

    def test_auth_profiles_and_dotenv(self):
        store = {
            "profiles": {
                "vllm:default": {"provider": "vllm", "type": "api_key", "key": "k", "token": "t"}}}
        words = words_of(store) + TEXTS + ("none", "None")
        def case(rng):
            text = json.dumps(mutated(rng, store, words, 0.2))
            for provider in ("vllm", "none"):
                found = vllm.parse_auth_profiles(text, provider)
                self.assertTrue(found is None or isinstance(found.key, vllm.Secret))
            values = vllm.parse_dotenv(
                mangled(rng, "export A=1\nB='x\ny' # c\r\nC: \"a\\nb\"\nD=`q`\n=\nE",
                        tuple("'\"`\\=:#\n\r ")))
            self.assertTrue(all(isinstance(text, str) for pair in values.items() for text in pair))

        self.fuzz("profiles", case)

    def test_model_lists(self):
        listed = {"object": "list", "data": [
            {"id": "m", "root": "m", "parent": None, "max_model_len": 4096,
             "meta": {"n_ctx_train": 1}, "context_length": 5},
            {"id": "deepseek-r1", "parent": "m", "max_model_len": None}]}
        words = words_of(listed) + TEXTS
        _, provider = a_provider({"agents": CONFIG["agents"]})
        def case(rng):
            value = mutated(rng, listed, words, rng.choice((0.02, 0.2)))
            self.check_model_list(value, provider)

        self.fuzz("models", case)

    def check_model_list(self, value, provider):
        rows, error = outcome(vllm.parse_model_list, value, kinds=ValueError)
        if error is None:
            models = vllm.discovered_models(rows, provider)
            json.dumps([vllm.list_row(model, provider) for model in models], allow_nan=False)
            vllm.format_table([(model, provider) for model in models])
            for model in models:
                if model.context_window is not None:         # None above what OpenClaw can count
                    self.assertGreaterEqual(model.context_window, 1)
                outcome(vllm.shape_request, BODY, model, kinds=vllm.UsageError)

    def test_event_streams(self):
        parts = (b"data: a", b"data:b", b"data", b": c", b"event: error", b"id: 1", b"\n", b"\n\n",
                 b"\r", b"\r\n", b"\r\n\r\n",
                  b"\xff", "é\u2028\x85".encode("utf-8"), b"\0",
                  b"data: [DONE]\n\n", b" ", b"retry: 1")
        def case(rng):
            stream = b"".join(rng.choice(parts) for _ in range(rng.randrange(30)))
            pieces = []
            while stream:
                size = rng.choice((1, 1, 2, 5, 40))
                pieces.append(stream[:size])
                stream = stream[size:]
            self.check_events(pieces)

        self.fuzz("events", case)

    def check_events(self, pieces):
        """A stream cut anywhere means the same events as one that is not cut."""
        decoder = vllm.EventDecoder()
        self.assertEqual([event for piece in pieces for event in decoder.feed(piece)],
                         vllm.EventDecoder().feed(b"".join(pieces)), pieces)

    def test_deltas(self):
        value = chunk_value(reasoning="r")
        value["choices"][0]["delta"] = {
            "content": "a", "reasoning": "r", "reasoning_content": "s",
            "function_call": {"name": "f", "arguments": "{}"},
            "tool_calls": [
                {"index": 0, "id": "c", "type": "function",
                 "function": {"name": "f", "arguments": "{}"}}]}
        words = words_of(value) + TEXTS + ("message", "error")
        def case(rng):
            self.check_deltas([mutated(rng, value, words, 0.1) for _ in range(4)])

        self.fuzz("deltas", case)

    def check_deltas(self, values):
        """Assemble some chunks, whatever they are, into an answer that JSON and the contract can
        hold.
        """
        assembler = vllm.Assembler()
        for value in values:
            if isinstance(value, dict):
                assembler.add(vllm.decode_delta(value))
                vllm.is_error_payload(value)
            vllm.error_message(json.dumps(value))
        answer = assembler.answer({"first_token_s": 0.1, "last_token_s": 0.15, "total_s": 0.2})
        vllm.statistics(answer)
        shown = vllm.answer_json(answer)
        json.dumps(shown, allow_nan=False)
        for name in ("id", "model", "finish_reason"):
            self.assertIsInstance(shown[name], (str, type(None)))
        for call in shown["tool_calls"]:
            self.assertIsInstance(call["function"]["name"] + call["function"]["arguments"]
                                  + (call["id"] or ""), str)

    def test_request_bodies(self):
        models = [vllm.declared_models(a_provider(CONFIG)[1])[0]]
        for compat in ({"thinkingFormat": "deepseek"},
                       {"thinkingFormat": "qwen-chat-template", "supportsDeveloperRole": True},
                       {"supportsTools": False, "supportsUsageInStreaming": False},
                       {"supportsStrictMode": True}):
            models.append(models[0]._replace(compat=compat, params=(), input=("text",)))
        def case(rng):
            body = mutated(rng, BODY, BODY_WORDS, rng.choice((0.02, 0.1)))
            if rng.random() < 0.1:
                body = any_json(rng, BODY_WORDS)
            self.check_body(body, rng.choice(models))

        self.fuzz("bodies", case)

    def check_body(self, body, model):
        """Shape any JSON: a UsageError or a Shaped; the input stays; shaped twice is shaped once.
        """
        before = repr(body)
        outcome(vllm.shape_request, body, model, kinds=vllm.UsageError)
        shaped, error = outcome(vllm.shape_request, body, model, "low", kinds=vllm.UsageError)
        self.assertEqual(repr(body), before)
        # of a call leaves nothing
        if error is None and not model.compat.get("strictMessageKeys"):
            again = vllm.shape_request(shaped.body, model, "low")
            self.assertEqual(json.dumps(again.body, sort_keys=True),
                             json.dumps(shaped.body, sort_keys=True))

    def test_edits(self):
        paths = [("models", "providers", "vllm", "models"), ("models", "providers", "vllm", "x"),
                 ("a",), ("b", "c"), ("k", "l"),
                 ("models", "mode"), ("agents", "defaults", "models", "vllm/*"),
                 ("new", "path", "to", "it")]

        def case(rng):
            text = json.dumps(any_json(rng))
            if rng.random() < 0.7:
                text = mangled(rng, rng.choice(JSON5_TEXTS), JSON5_TOKENS)
            edits = [(path, rng.choice(("text", {"a": [1]}, [{"id": "x"}], {}, [], 1.5, None)))
                     for path in rng.sample(paths, 2)]
            outcome(vllm.edited_text, text, edits, "file", kinds=vllm.ConfigError)

        self.fuzz("edits", case)


# What vLLM answers, release by release: (status, body); a completion as a stream and as a whole.
COUNTS = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12,
          "prompt_tokens_details": {"cached_tokens": 0}}
A_CALL = {"index": 0, "id": "call-1", "type": "function",
          "function": {"name": "f", "arguments": "{\"a\": 1}"}}
MODEL_ROW = {"id": "m", "object": "model", "created": 1, "owned_by": "vllm",
             "root": "Qwen/Qwen3-8B",
             "parent": None, "max_model_len": 4096,
             "permission": [{"id": "p", "is_blocking": False}]}
GOOD_ANSWERS = {
    "/v1/models": {"object": "list", "data": [
        MODEL_ROW, dict(MODEL_ROW, id="lora", parent="m", root="/lora", max_model_len=None)]},
    "/version": {"version": "0.32.0"},
    "/health": "",
    "/ping": "",
    "/load": {"server_load": 0},
    "/metrics": ("# TYPE vllm:num_requests_running gauge\n"
                 "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 2.0\n"
                 "vllm:num_requests_waiting{engine=\"0\"} 0.0\nvllm:kv_cache_usage_perc 0.25\n"),
    "/openapi.json": {"openapi": "3.1.0", "info": {"title": "FastAPI"}, "paths": {
        "/v1/models": {"get": {}}, "/v1/chat/completions": {"post": {}},
        "/tokenize": {"post": {}}}},
    "/tokenize": {"count": 9, "max_model_len": 4096, "tokens": [1, 2], "token_strs": None},
    "stream": [
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
         "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None,
             "finish_reason": None}]},
        chunk("Hi", reasoning="so", reasoning_content="so"),
        chunk(None, None, tool_calls=[A_CALL]),
        chunk("", "stop"),
        {"id": "chatcmpl-1", "model": "m", "choices": [], "usage": COUNTS}],
    "whole": {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
              "usage": COUNTS,
              "choices": [
                  {"index": 0, "finish_reason": "tool_calls", "stop_reason": None, "message": {
                  "role": "assistant", "content": "Hi", "reasoning": "so",
                  "tool_calls": [A_CALL]}}]},
}


def refusals(status, *messages):
    """Return an error in each shape that some release gives it."""
    found = []
    for message in messages:
        fields = {"message": message, "type": "BadRequestError", "param": None, "code": status}
        found += [(status, dict(fields, object="error")), (status, {"error": fields}),
                  (200, {"error": fields})]
    return found


BAD_ANSWERS = refusals(
    400,
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4936 "
    "in the "
    "messages, 64 in the completion). Please reduce the length of the messages or completion.",
    "max_completion_tokens=9000 cannot be greater than max_model_len=4096",
    "max_tokens must be at least 1, got -12.",
    "[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'Extra inputs are not "
    "permitted', "
    "'input': True}]",
    "[{'type': 'extra_forbidden', 'loc': (0, 1), 'msg': 'Extra inputs are not permitted'}]",
    "[{'type': 'extra_forbidden', 'loc': '0', 'msg': 'Extra inputs are not permitted'}]",
    "[{'type': 'missing', 'loc': ('body',), 'msg': 'Field required', 'input': {}}]",
    "[{'type': 'literal_error', 'loc': 'body.reasoning_effort', 'msg': \"Input should be 'low'\"}]",
    "[{'type': 'x', 'loc': (), 'msg': ''}]", "[{'type': 'x', 'loc': ('body', 0, ''), 'msg': 'b'}]",
    "[{'type': 'value_error', 'loc': '', 'msg': 'Value error'}]", "1 validation error for @KEY@",
    "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a "
    "chat "
    "template if the tokenizer does not define one.",
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "At most 0 image(s) may be provided in one prompt.", "m is not a multimodal model",
    "temperature must be non-negative, got -1.0.",
    "The model does not support Chat Completions API",
) + refusals(404, "The model `m` does not exist. Valid aliases: `@KEY@`, `n`") + refusals(
    500, "EngineCore encountered an issue. See stack trace (above) for the root cause.", "") + [
        (401, {"error": "Unauthorized"}), (404, {"detail": "Not Found"}),
        (405, {"detail": "Method Not Allowed"}),
        (403, "<html><head><title>403 Forbidden</title></head></html>"), (503, ""),
        (429, {"detail": "slow"}),
        (400, {"detail": [{"loc": [], "msg": "Field required", "type": "missing"}]}),
        (400, {"detail": [{"loc": ["body", "messages"], "msg": "@KEY@", "type": "missing"}]}),
        (500, "Internal Server Error"),
        (502, "<html><title>502 Bad Gateway</title><hr>nginx</html>"),
        (504, "<html><title>504 Gateway Time-out</title></html>"), (307, ""),
        (413, "<title>413 Request"),
        (200, "<!doctype html><title>Welcome</title>"), (204, ""), (404, "")]
ODD_HEADERS = (
    ("Content-Type", ("text/event-stream", "text/html", "application/json; charset=²", "")),
    ("Content-Encoding", ("gzip", "identity", "zstd")),
    ("Retry-After", ("1", "²", "@KEY@")),
    ("Location", ("/v1/", "http://[", "https://h/@KEY@", "//h:99999")),
    ("Server", ("nginx", "uvicorn", "@KEY@")), ("Via", ("1.1 @KEY@",)),
    ("WWW-Authenticate", ("Basic realm=\"@KEY@\"", "Basic", "Bearer", "²")),
    ("Transfer-Encoding", ("chunked", "gzip, chunked")))

LONG = "9" * 5000
ODD_URLS = ("", " ", "http://", "http:///v1", "http://[::1", "http://h:99999/v1",
            "http://127.0.0.1:²/v1", "ftp://h/v1",
            "h:8000", "http://u:p@127.0.0.1:9/v1", "https://127.0.0.1:9/v1",
            "http://\u6f22.example/v1", "http://h\n/v1",
            "http://127.0.0.1:9/v1?a=b#c", "http://127.0.0.1:%s/v1" % LONG, "²", "\ud800")
ODD_ENV = (("COLUMNS", ("²", LONG, "0", "-1", "9", "21", "40", "200", "", "8" * 20)),
           ("LINES", ("²",)),
           ("LC_ALL", ("C", "²")), ("TERM", ("dumb", "", "xterm")), ("NO_COLOR", ("1",)),
           ("HOME",
            ("", " ", "relative", "/dev/null", "/dev/null/x", "/\u6f22", "\ud800", "~", "$HOME")),
           ("OPENCLAW_CONFIG_PATH", ("", " ", "missing.json", "/dev/null", ".", "~/x", "\ud800")),
           ("OPENCLAW_STATE_DIR", ("", " ", "/dev/null", "missing", "\ud800")),
           ("OPENCLAW_HOME", ("", "~", "missing")),
           ("VLLM_API_KEY", ("", " ", "a\nb", "\u6f22", "\ud800", "k" * 9000, "²")),
           ("VLLM_BASE_URL", ODD_URLS), ("A_B", ("", " ", "\ud800", "$A_B")),
           ("A_TOKEN", ("", " ", "t" * 9000, "\ud800")),
           ("SSL_CERT_FILE", ("", "missing", ".", "/dev/null")),
           ("SSLKEYLOGFILE", ("", ".", "/dev/null/x")), ("http_proxy", ODD_URLS),
           ("HTTPS_PROXY", ODD_URLS),
           ("all_proxy", ODD_URLS),
           ("NO_PROXY", ("*", "", ",", "127.0.0.0/99", "10.0.0.0/²", "[::1", ".h", "\ud800")))
ODD_VALUES = {
    "--provider": ("vllm", "other", "all", "VLLM", "", "²", "a.b"), "--base-url": ODD_URLS,
    "--timeout": ("1", "0", "-1", "nan", "inf", "1e999", "²", LONG, "1e5"), "--model": (
        "m", "vllm/m", "lora", "other/n", "a", "", "/", "vllm/", "²", "\ud800", "x" * 5000, "m@p"),
    "--thinking": ("off", "on", "low", "high", "max", "", "²"),
    "--max-tokens": ("1", "0", "-1", "²", LONG, "1e3"),
    "--temperature": ("0", "nan", "inf", "-1", "x", "1e999"), "--param": (
        "a=1", "a", "=", "=1", "a={", "messages=1", "extra_body={\"x\": Infinity}", "model=NaN",
        "stream=false", "n=2",
        "tools=[1]", "stop=[]", "a=\"\\ud800\"", "logprobs=true", "a=" + LONG,
        "a=%s1%s" % ("[" * 490, "]" * 490)),
    "--system": ("s", "", "\ud800"), "--primary": ("m", "vllm/m", "", "²", "\ud800"),
    "--port": ("0", "-1", "99999", "²", LONG), "--set": (
        "models.providers.vllm.models[0].contextWindow=1", "a.b=1", "=", "a", "a[=1", "a[0]=1",
        "a[9]=1", "[\"a.b\"]=1", "a=",
        "models.providers.vllm.models[0].id=x", "models=7",
        "agents.defaults.models[\"vllm/m\"].params={a: 1}", "a[-1]=1",
        "a[%s]=1" % LONG, "a=\"\\ud800\"", "\ud800=1",
        "models.providers.vllm.timeoutSeconds=1e999"),
    "--unset": ("models.providers.vllm", "models", "a", "", "[", "models.providers.vllm.models[0]",
                "a[9]", "\ud800")}
FILES = ("--config", "--api-key-file", "--ca-file", "--image", "--tools", "--schema")
ODD_TYPED = (b"", b"\n", b"hi\n",
             b"/help\n/model m\n/model \xff\nhi\n/system "
             b"x\n/reset\n//x\n/nonsense\nhi\\\nyou\n/exit\n",
             b"\"\"\"\na\n\"\"\"\nhi\n", b"\xff\xfe", b"\xef\xbb\xbf{}", b"\0", b"[]", b"null",
             b"{\"messages\": 1}", b"{\"a\": 1e999}",
             b"[" * 490 + b"]" * 490, b"[" * 100000, b"1" * 5000,
             b"{\"model\": 7, \"messages\": []}")
MESSY = re.compile("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SCHEMA_FILE = os.path.join(HERE, "..", "shared", "openclaw-schema.json")


def sampled(rng, schema, depth=6):
    """Return a value that a JSON schema takes, or a near miss."""
    while isinstance(schema, dict) and ("anyOf" in schema or "oneOf" in schema):
        schema = rng.choice(schema.get("anyOf") or schema["oneOf"])
    if not isinstance(schema, dict) or not depth or rng.random() < 0.02:
        return any_json(rng, CONFIG_WORDS, 2)
    if "const" in schema or "enum" in schema:
        return rng.choice([schema.get("const")] if "const" in schema else schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        found = {}
        for name, inner in schema.get("properties", {}).items():
            if rng.random() < 0.3 or name in schema.get("required", ()):
                found[name] = sampled(rng, inner, depth - 1)
        if schema.get("additionalProperties") and rng.random() < 0.5:
            found[rng.choice(CONFIG_WORDS)] = sampled(rng, schema["additionalProperties"],
                                                      depth - 1)
        return found
    if kind == "array":
        return [sampled(rng, schema.get("items"), depth - 1) for _ in range(rng.randrange(3))]
    if kind == "boolean":
        return rng.random() < 0.5
    if kind in ("integer", "number"):
        return rng.choice(
            (schema.get("minimum", 1), schema.get("maximum", 4096), 0, 1, 4096, 1.5, -1))
    return rng.choice(CONFIG_WORDS)


def deepened(rng, text):
    """Return JSON text with one of its values nested about as deep as Python's recursion goes."""
    places = list(re.finditer(r": (true|null|[0-9.]+|\"[\w{}$]*\")", text))
    if not places:
        return text
    place = rng.choice(places)
    return text[:place.start(1)] + nested(rng.randrange(440, 500)) + text[place.end(1):]


class Screen(io.TextIOWrapper):
    """A stream in memory that says it is a terminal."""

    def isatty(self):
        return True


Scene = collections.namedtuple("Scene", "argv env config stdin screen encoding answers")


class MainFuzzTest(Case):
    """Whatever the settings, environment, arguments and answers hold: no exception, no key."""

    def setUp(self):
        super().setUp()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.home)                          # where relative paths lead
        self.answers = {}
        self.stub = self.serve(answering(self.answer))
        contents = {"key": FIRE_KEY, "empty": "", "tools": [TOOL], "deep": nested(490, ""),
                    "bytes": b"\x89PNG\r\n\x1a\n\xff"}
        self.files = [self.write(name, content) for name, content in sorted(contents.items())]
        self.files += [self.home, self.path("missing"), "-", "", "/dev/null"]
        self.options = {verb: self.options_of(verb)
                        for verb in ("list", "doctor", "chat", "request", "config", "demo")}
        self.schema = {}
        if os.path.exists(SCHEMA_FILE):
            with open(SCHEMA_FILE, encoding="utf-8") as source:
                self.schema = json.load(source)

    def options_of(self, verb):
        """Return {option: whether it takes a value}, as the verb's help has them."""
        text = self.run_main(verb, "--help").out
        lines = re.findall(r"^  (--[a-z-]+)( [A-Z{])?", text, re.M)
        found = {name: bool(value) for name, value in lines}
        found.pop("--serve", None)                   # which never ends
        return found

    def answer(self, request):
        path = request.path.partition("?")[0].replace(self.stub.origin, "")
        if path.endswith("/chat/completions"):
            path = "stream" if (request.body or {}).get("stream") is True else "whole"
        status, headers, body = self.answers.get(path, (404, {}, b'{"detail": "Not Found"}'))
        key = (request.key or "none")[7:]
        echoed = json.dumps(key).encode("ascii")[1:-1]
        headers = {name: value.replace("@KEY@", key) for name, value in headers.items()}
        return status, headers, body.replace(b"@KEY@", echoed)

    def an_answer(self, rng, path):
        """Return (status, headers, bytes): vLLM's own answer or refusal, or a mutation of it."""
        words = TEXTS + ("@KEY@", EVIL, "vllm", "m", "Qwen/Qwen3-8B", "stop", "length", "assistant",
                         "error", "detail")
        status, value = (200, GOOD_ANSWERS[path]) if rng.random() < 0.8 else rng.choice(BAD_ANSWERS)
        if rng.random() < 0.4 and not isinstance(value, str):
            value = mutated(rng, value, words, rng.choice((0.02, 0.1, 0.3)))
        headers = {"Content-Type": "application/json"}
        if isinstance(value, str):
            body = value
        elif path == "stream" and status == 200:
            events = value if isinstance(value, list) else [value]
            body = "".join("data: %s\n\n" % json.dumps(item)
                           for item in events) + "data: [DONE]\n\n"
            headers = {"Content-Type": "text/event-stream"}
        else:
            body = json.dumps(value)
        if rng.random() < 0.05:
            body = mangled(rng, body, JSON5_TOKENS)
        if rng.random() < 0.05:
            body = deepened(rng, body)
        if rng.random() < 0.1:
            name, values = rng.choice(ODD_HEADERS)
            headers[name] = rng.choice(values)
        if rng.random() < 0.02:
            status = rng.choice((100, 200, 201, 301, 400, 401, 403, 408, 422, 500, 503, 599))
        return status, headers, body.encode("utf-8", "surrogatepass")

    def a_config(self, rng):
        """Return the text of openclaw.json, valid, sampled from the schema or damaged, or None."""
        if rng.random() < 0.15:
            return None
        config = copy.deepcopy(CONFIG)
        block = config["models"]["providers"]["vllm"]
        block["baseUrl"] = self.stub.url
        block["apiKey"] = rng.choice((FIRE_KEY, "${VLLM_API_KEY}", "VLLM_API_KEY"))
        block["headers"]["X-Other"] = OTHER_KEY
        row = block["models"][0]
        parts = (("models.providers.*", block), ("models.providers.*.models.*", row),
                 ("models.providers.*.models.*.compat", row["compat"]))
        for name, target in parts:
            for field, inner in self.schema.get(name, {}).get("properties", {}).items():
                if rng.random() < 0.04 and field != "apiKey":
                    target[field] = sampled(rng, inner)
        if rng.random() < 0.2:
            params = {"extra_body": {"x": rng.choice(SCALARS)},
                      rng.choice(CONFIG_WORDS): rng.choice(SCALARS)}
            config["agents"]["defaults"]["models"]["vllm/m"]["params"] = params
        for field, inner in self.schema.get("agents_defaults", {}).items():
            if rng.random() < 0.06:
                config["agents"]["defaults"][field] = sampled(rng, inner)
        if rng.random() < 0.3:
            config = mutated(rng, config, CONFIG_WORDS, rng.choice((0.005, 0.02, 0.1)))
        text = json.dumps(config, indent=rng.choice((None, 2)))
        if rng.random() < 0.05:
            text = deepened(rng, text)
        if rng.random() < 0.1 and FIRE_KEY[:9] not in text:
            text = mangled(rng, text, JSON5_TOKENS)
        return text

    def an_argv(self, rng):
        words = ("", "--version", "--help", "--verbose", "nonsense", "-h", "\ud800", "--", "list")
        if rng.random() < 0.03:
            return [rng.choice(words) for _ in range(rng.randrange(3))]
        verb = rng.choice("list doctor doctor chat chat request config config demo".split())
        argv = [verb]
        if verb == "chat" and rng.random() < 0.7:
            argv.append(rng.choice(("hi", "", "\ud800", "/help", "\u6f22" * 99)))
        for option, takes in self.options[verb].items():
            if option in argv or rng.random() > 0.12:
                continue
            argv.append(option)
            if takes and option in FILES:
                argv.append(rng.choice(self.files))
            elif takes:
                argv.append(rng.choice(ODD_VALUES.get(option, TEXTS[:-1])).replace("\0", ""))
        if rng.random() < 0.5 and verb != "demo":
            argv += ["--base-url", self.stub.url]
        if verb == "doctor" and rng.random() < 0.5:
            argv.append("--probe")
        if rng.random() < 0.02:
            argv += ["--api-key", OTHER_KEY]         # no option, but a likely mistake
        return argv

    def a_scene(self, rng):
        argv, env = self.an_argv(rng), {"HOME": self.home, "VLLM_API_KEY": FIRE_KEY, "A_B": "value"}
        while rng.random() < 0.25:
            name, values = rng.choice(ODD_ENV)
            env[name] = rng.choice(values)
        if "--write" in argv or "--fix" in argv:     # nowhere but at home
            env["HOME"] = self.home
            for name in ("OPENCLAW_CONFIG_PATH", "OPENCLAW_STATE_DIR", "OPENCLAW_HOME"):
                env.pop(name, None)
        typed = rng.choice(ODD_TYPED)
        if rng.random() < 0.5:
            text = json.dumps(mutated(rng, BODY, BODY_WORDS, 0.03))
            typed = (deepened(rng, text) if rng.random() < 0.1 else text).encode("ascii")
        return Scene(argv, env, self.a_config(rng), typed, rng.random() < 0.2,
                     rng.choice(("utf-8", "utf-8", "ascii", "cp1252")),
                     {path: self.an_answer(rng, path) for path in sorted(GOOD_ANSWERS)})

    def look_up(self, host, port, *rest, **options):
        """Stand in for getaddrinfo: only loopback is there, and port 8000 is the Stub's."""
        if os.fsdecode(host) not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        port = self.stub.address[1] if port == 8000 else port
        return self.resolve(host, port, *rest, **options)

    resolve = staticmethod(socket.getaddrinfo)

    def play(self, scene):
        """Run `main` in a scene; return (status, standard output, standard error)."""
        for name in ("openclaw.json", "openclaw.json.bak"):
            with contextlib.suppress(OSError):
                os.unlink(self.path(".openclaw", name))
        if scene.config is not None:
            self.configure(scene.config.encode("utf-8", "surrogatepass"))
        self.answers = scene.answers
        kind = Screen if scene.screen else io.TextIOWrapper
        source = kind(io.BytesIO(scene.stdin), "utf-8")
        out, err = [kind(io.BytesIO(), scene.encoding, newline="") for _ in range(2)]
        with mock.patch("socket.getaddrinfo", self.look_up), mock.patch("sys.stdin", source), \
                mock.patch("sys.stdout", out):       # those of input(), in a conversation
            status = vllm.main(list(scene.argv), dict(scene.env), source, out, err)
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(scene.encoding, "replace"))
        return [status] + texts

    def judge(self, scene):
        """Return what is wrong with a run in a scene, or None."""
        started = time.monotonic()
        try:
            status, out, err = self.play(scene)
        except BaseException as error:               # SystemExit is none of main's ways to end, too
            return error
        if status not in (0, 1, 2, 3, 4, 5):
            return "exit status %r" % (status,)
        if leaks(out + err):
            return "the key is shown: %s" % leaks(out + err)[0]
        if MESSY.search(err.replace("\x1b[2m", "").replace("\x1b[0m", "")):
            return "standard error holds %r" % MESSY.findall(err)[0]
        if time.monotonic() - started > 30:
            return "it took %d s" % (time.monotonic() - started)
        return None

    def test_main_ends_as_documented_whatever_comes(self):
        until = time.monotonic() + FUZZ_S
        for number in itertools.count():
            if number >= 25 and time.monotonic() > until:
                return
            scene = self.a_scene(random.Random("main %d" % number))
            fault = self.judge(scene)
            if fault is not None:
                with self.subTest(case=number):
                    if isinstance(fault, Exception):
                        raise fault
                    self.fail("%s in %r" % (fault, scene._replace(answers=None)))


# ----------------------------------------------------------------------------
# Every Python, every surrounding
# ----------------------------------------------------------------------------

A_BODY = '{"messages": [{"role": "user", "content": "hi"}]}'


def without(*modules):
    """Return the command that runs the file in a Python that lacks some modules."""
    code = ("import sys, runpy; sys.modules.update(dict.fromkeys(%r)); sys.argv = sys.argv[1:]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')" % (modules,))
    return [sys.executable, "-B", "-c", code, FILE]


class FailingStream(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = BrokenPipeError(errno.EPIPE, "Broken pipe")


class EveryPythonTest(Case):
    """The file as a process: interpreter flags, locales, streams, homes, modules and places."""

    KEYS = ["vllm/demo-alias", "vllm/demo-sql-lora", "vllm/demo/Qwen3-8B"]
    ENV = {"VLLM_API_KEY": FIRE_KEY}

    def setUp(self):
        super().setUp()
        self.url = self.demo(FIRE_KEY)
        self.listing = ["list", "--plain", "--base-url", self.url]

    def check_listing(self, env=None, command=None, cwd=None, stdin="", err=""):
        """List the demo's models in a surrounding; it must work, and say nothing but `err`."""
        env = dict(self.ENV, **(env or {}))
        result = run_program(env, self.listing, stdin, command=command, cwd=cwd)
        self.assertEqual((result.status, result.out.split()), (0, self.KEYS), result)
        self.assertEqual(result.err == "", err == "", result)
        self.assertIn(err, result.err)

    @unittest.skipIf(COMMAND, "flags are the interpreter's")
    def test_interpreter_flags(self):
        for flags in (["-I", "-S"], ["-OO"], ["-O", "-E", "-s", "-u"],
                      ["-bb", "-W", "error", "-X", "dev"]):
            command = [sys.executable, "-B"] + flags + [FILE]
            with self.subTest(flags=flags):
                self.check_listing(command=command)
                chat = ["chat", "hi", "--quiet", "--base-url", self.url]
                result = run_program(self.ENV, chat, command=command)
                self.assertEqual(result, (0, "You said: hi" + os.linesep, ""))
        strict = [sys.executable, "-B", "-bb", "-W", "error", FILE]
        request = ["request", "--model", "demo-alias", "--base-url", self.url]
        result = run_program(self.ENV, request, A_BODY, command=strict)
        self.assertEqual((result.status, result.err), (0, ""))
        home = {"HOME": self.home}
        self.assertEqual(run_program(home, ["list"], command=strict).status, 1)
        self.assertEqual(run_program({}, ["nonsense"], command=strict).status, 2)

    def test_locales(self):
        said = "gr\u00fc\u00df \u6f22 \U0001f600"
        for env in ({"LC_ALL": "C"}, {"PYTHONIOENCODING": "cp1252"},
                    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
            with self.subTest(env=env):
                self.check_listing(env)
                encoding = "utf-8"
                if not COMMAND:                      # a binary knows no such variable
                    encoding = env.get("PYTHONIOENCODING", "utf-8")
                argv = ["chat", "--json", "--base-url", self.url]
                result = run_program(dict(self.ENV, **env), argv, said, encoding)
                self.assertEqual(result.status, 0, result)
                self.assertEqual(json.loads(result.out)["content"], "You said: " + said)

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_streams_that_fail(self):
        full, words = 1, "cannot write"
        if not os.path.exists("/dev/full"):
            full, words = 0, ""
        for through, status, err in (
                (">&-", 1, "cannot write to standard output"), (">/dev/full", full, words),
                (">&- 2>&-", 1, ""), (">/dev/full 2>/dev/full", full, ""),
                ("2>&-", 0, ""), ("2>/dev/full", 0, ""), ("<&-", 0, "")):
            tried = [self.listing, ["--help"]]
            if err:
                tried.append(["chat", "hi", "--base-url", self.url])
            for argv in tried:
                with self.subTest(streams=through, argv=argv):
                    result = run_program(self.ENV, argv, through=through)
                    self.check(result, status, err=err)
                    self.assertNotIn("Exception ignored", result.err)
        self.check(run_program(self.ENV, ["chat"], through="<&-"), 2, err="no prompt")

    def test_an_error_keeps_its_status_when_nobody_can_be_told(self):
        unreachable = ["list", "--base-url", "http://127.0.0.1:1"]
        for error in (FULL, BROKEN):
            stream = FailingStream(error)
            for argv, status in ((["list"], 1), (unreachable, 4)):
                with self.subTest(error=error, argv=argv):
                    ended = vllm.main(argv, {}, io.StringIO(), io.StringIO(), stream)
                    self.assertEqual(ended, status)
        for error, status in ((BROKEN, 0), (FULL, 1)):
            out = FailingStream(error)
            ended = vllm.main(["--version"], {}, io.StringIO(), out, io.StringIO())
            self.assertEqual(ended, status)

    @unittest.skipUnless(os.name == "posix", "needs POSIX pipes")
    def test_a_broken_pipe_is_no_error(self):
        for argv in (self.listing, ["chat", "hi", "--base-url", self.url], ["--help"]):
            with self.subTest(argv=argv):
                read_end, write_end = os.pipe()
                os.close(read_end)
                try:
                    result = run_program(self.ENV, argv, stdout=write_end)
                finally:
                    os.close(write_end)
                self.assertEqual(result.status, 0, result)
                self.assertNotIn("rror", result.err)

    def test_homes(self):
        file, closed = self.write("file", "x"), self.path("closed")
        os.mkdir(closed)
        os.chmod(closed, 0)
        for env in ({}, {"HOME": ""}, {"HOME": file}, {"HOME": closed}, {"HOME": "/"},
                    {"HOME": self.path("missing")}, {"HOME": "relative"},
                    {"OPENCLAW_STATE_DIR": file}, {"OPENCLAW_HOME": closed},
                    {"HOME": "/\u6f22\u00e9"}):
            with self.subTest(env=env):
                self.assertEqual(run(self.listing, dict(env, **self.ENV)).status, 0)
        self.check_listing({})
        self.check_listing({"HOME": file})

    @unittest.skipIf(COMMAND, "a binary brings its modules along")
    def test_missing_modules(self):
        self.write("state/openclaw.sqlite", "no database")
        env = {"OPENCLAW_STATE_DIR": self.home}
        self.check_listing(command=without("ssl", "_ssl"))
        self.check_listing(command=without("sqlite3", "_sqlite3"))
        self.check_listing(env, without("sqlite3", "_sqlite3"), err="no sqlite3")
        self.check_listing(env, err="auth profiles not read")
        with socket.socket() as listener:            # there the handshake would begin
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            argv = ["list", "--base-url", "https://127.0.0.1:%d/v1" % listener.getsockname()[1]]
            result = run_program(self.ENV, argv, command=without("ssl", "_ssl"))
        self.check(result, 4, err="no ssl module")
        rare = ("readline", "zlib", "gzip", "bz2", "lzma", "ctypes", "curses", "_curses", "tty",
                "pwd")
        self.check_listing(command=without(*rare))

    def test_no_writable_directory(self):
        missing = self.path("missing")
        env = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "HOME"), missing)
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        cwd = "/proc" if os.path.isdir("/proc/self") else os.path.abspath(os.sep)
        self.check_listing(env, cwd=cwd)
        self.assertEqual(os.listdir(self.home), [])

    @unittest.skipIf(COMMAND, "these are places of the file")
    def test_places_to_run_from(self):
        with open(FILE, "rb") as source:
            data = source.read()
        python = [sys.executable, "-B"]
        places = [(name, python + [self.write(name, data)])
                  for name in ("a folder/openclaw_vllm.py", "vllm-tool")]
        if sys.implementation.name != "pypy" and sys.getfilesystemencoding() != "ascii":
            odd = "-\u00e9'\"$x.py"                  # which those two cannot open
            places.append((odd, python + [self.write(odd, data)]))
        for name, command in places:
            with self.subTest(place=name):
                self.check_listing(command=command)
        archive = self.path("app.zip")
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr("__main__.py", data)
        for place, command, stdin in (
                ("a zip archive", python + [archive], ""),
                ("standard input", python + ["-"], data)):
            with self.subTest(place=place):
                self.check_listing(command=command, stdin=stdin)
                version = ["--version", "--verbose"]
                result = run_program({}, version, stdin, command=command)
                self.assertEqual((result.status, result.err), (0, ""))
        with self.subTest(place="a module run by name"):
            self.check_listing(command=python + ["-m", "openclaw_vllm"], cwd=HERE)
        with self.subTest(place="a link"):
            link = self.path("link")
            try:
                os.symlink(FILE, link)
            except (OSError, NotImplementedError):
                return
            self.check_listing(command=python + [link])

    def test_paths_as_on_windows(self):
        windows = {"path": ntpath, "sep": "\\", "pathsep": ";"}
        config = "C:\\c\\openclaw.json"
        with mock.patch.multiple(vllm.os, **windows):
            home = {"USERPROFILE": "C:\\Users\\me"}
            for more, expected in (
                    ({}, "C:\\Users\\me\\.openclaw"),
                    ({"OPENCLAW_STATE_DIR": "~\\claw"}, "C:\\Users\\me\\claw"),
                    ({"OPENCLAW_HOME": "D:\\x"}, "D:\\x\\.openclaw")):
                self.assertEqual(vllm.state_directory(dict(home, **more)), expected)
            for target, expected in (("./sub/a.json5", "C:\\c\\sub\\a.json5"),
                                     ("D:/a.json5", "D:\\a.json5")):
                self.assertEqual(vllm.include_targets({"$include": target}, config), [expected])
            for path, inside in (("C:\\c\\sub\\a.json5", True), ("c:\\C\\sub\\a.json5", True),
                                 ("C:\\cc\\a.json5", False), ("D:\\c\\a.json5", False)):
                folder = vllm._real_folder("C:\\c")
                self.assertEqual(vllm._real_folder(path).startswith(folder), inside)

    def test_consoles_as_on_windows(self):
        chat = ["chat", "\u6f22\U0001f600\u00e9", "--base-url", self.url]
        for encoding in ("cp437", "cp1252", "cp932", "ascii"):
            with self.subTest(encoding=encoding):
                result = run(self.listing, self.ENV, encoding=encoding)
                self.assertEqual((result.status, result.out.split()), (0, self.KEYS))
                result = run(chat, self.ENV, encoding=encoding)
                self.check(result, 0, out="You said: ")


if __name__ == "__main__":
    unittest.main()
