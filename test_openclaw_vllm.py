"""Tests of openclaw_vllm: under fire (hostile servers), fuzz targets, every Python.

Standard library only; every server is on loopback, on a port of its own.
OPENCLAW_VLLM_FUZZ=SECONDS runs the fuzz targets longer, OPENCLAW_VLLM_COMMAND
names the command to test in place of this interpreter and the file beside this one.
"""
import base64
import collections
import gzip
import io
import itertools
import json
import math
import ntpath
import os
import random
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import zipfile
import zlib
from unittest import mock

import openclaw_vllm as tool

HERE = os.path.dirname(os.path.abspath(__file__))
FILE = os.path.join(HERE, "openclaw_vllm.py")
KEY = 'sk-fire"7/Kp+Zq\\Wd=Gx9vT2~mN4'       # differs in each of its spellings: plain, JSON, URL, base64
OTHER_KEY = "hdr-8Hq2/Lw+5Rz=1Yc"             # of a header that the config adds


# ----------------------------------------------------------------------------
# Helpers
# ----------------------------------------------------------------------------

def run_main(arguments, env=None, stdin="", encoding="utf-8"):
    """Run the command line in this process: (status, standard output, standard error)."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2)]
    status = tool.main(arguments, env or {}, io.StringIO(stdin), *streams)
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))
    return (status,) + tuple(texts)


def spellings(key):
    """Every way a key might be echoed, each of which must be hidden."""
    data = key.encode("latin-1")
    return [key, json.dumps(key)[1:-1], urllib.parse.quote(key), urllib.parse.quote(key, safe=""),
            base64.b64encode(data).decode("ascii"), base64.urlsafe_b64encode(data).decode("ascii"),
            base64.b64encode(b"user:" + data).decode("ascii"), base64.b64encode(b"me:" + data).decode("ascii")]


# Any 12 characters in a row of any spelling: a key that was cut is a leak, too.
LEAKS = re.compile("|".join(sorted({re.escape(spelling[start:start + 12]) for key in (KEY, OTHER_KEY)
                                    for spelling in spellings(key)[:6] for start in range(len(spelling) - 11)})))


def leaks(text):
    """Return what of the keys stands in a text."""
    return LEAKS.findall(text)


# What must not reach a terminal: C0 but for tab and newline, C1, marks of direction, surrogates.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# ----------------------------------------------------------------------------
# Under fire: a server that misbehaves on purpose
# ----------------------------------------------------------------------------

STALL, RESET = "stall", "reset"
Drip = collections.namedtuple("Drip", "data")            # a byte at a time, for ever
Forever = collections.namedtuple("Forever", "data")      # as fast as it is taken, for ever
Ask = collections.namedtuple("Ask", "listing streamed key other elsewhere")


class FireServer(object):
    """Plays one script to every connection: bytes to send, or STALL, RESET, Drip, Forever.

    `script(ask)` returns the actions for a request (an Ask); with `unread` the
    request is not even read. `sent` counts bytes, `asked` requests.
    """

    def __init__(self, script=None, unread=False, elsewhere=""):
        self.script, self.unread, self.elsewhere = script, unread, elsewhere
        self.sent = self.asked = 0
        self.over = threading.Event()
        self.peers = []
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.origin = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        with socket.create_connection(self.listener.getsockname()):
            self.thread.join(10)
        self.listener.close()
        for peer, thread in self.peers:
            thread.join(10)
            peer.close()

    def _accept(self):
        while True:
            peer, _ = self.listener.accept()
            if self.over.is_set():
                return peer.close()
            peer.settimeout(10)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._play, args=(peer,), daemon=True)
            self.peers.append((peer, thread))
            thread.start()

    def _play(self, peer):
        try:
            self.asked += 1
            for action in self.script(None if self.unread else self._read_request(peer)):
                if action == STALL:
                    self.over.wait(60)
                elif action == RESET:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif isinstance(action, Drip):
                    for byte in itertools.cycle(action.data):
                        self._send(peer, bytes([byte]))
                        if self.over.wait(0.04):
                            return
                elif isinstance(action, Forever):
                    block = action.data * (1 + 65536 // len(action.data))
                    while not self.over.is_set():
                        self._send(peer, block)
                else:
                    self._send(peer, action)
        except OSError:
            pass                                     # the tool has hung up, as it may
        finally:
            peer.close()

    def _send(self, peer, data):
        peer.sendall(data)
        self.sent += len(data)

    def _read_request(self, peer):
        stream = peer.makefile("rb")
        try:
            line = stream.readline().decode("latin-1")
            fields = {}
            for field in iter(stream.readline, b"\r\n"):
                if not field:
                    break
                name, _, value = field.decode("latin-1").partition(":")
                fields[name.lower()] = value.strip()
            body = json.loads(stream.read(int(fields.get("content-length") or 0)).decode("utf-8") or "{}")
        finally:
            stream.close()
        return Ask(line.startswith("GET"), body.get("stream") is True, fields.get("authorization", "")[7:],
                   fields.get("x-other", ""), self.elsewhere)


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
        return json_bytes({"object": "list", "data": [{"id": "m" if text == "hello" else text, "root": text, "parent": text,
                                                       "max_model_len": 4096, "owned_by": text}]})
    call = {"index": 0, "id": text, "type": text, "function": {"name": text, "arguments": text}}
    if text == "hello":
        piece = {"content": text}
    else:
        piece = {"role": text, "content": text, "reasoning": text, "tool_calls": [call], "refusal": text}
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
    """Return an answer that is right but for its types: `value` stands in every field of every level."""
    answers = []
    call = {"index": value, "id": value, "type": value, "function": {"name": value, "arguments": value}}
    piece = {"content": value, "reasoning": value, "reasoning_content": value, "tool_calls": [call, value, {"function": value}]}
    for fields in (piece, dict(piece, tool_calls=value, function_call=value), value):
        answers.append({"id": value, "model": value, "usage": value, "error": None,
                        "choices": [{"delta": fields, "message": fields, "finish_reason": value}]})
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), value)
    answers += [dict(chunk_value(), usage=counts), dict(chunk_value(), choices=value), dict(chunk_value(), choices=[value])]
    if ask.listing:
        row = dict.fromkeys(("root", "parent", "max_model_len", "context_length", "meta", "created"), value)
        return answer(json_bytes({"object": value, "data": [dict(row, id="m"), dict(row, id=value), value]}))
    if ask.streamed:
        return answer(b"".join(event(item) for item in answers) + event(chunk_value()) + event(b"[DONE]"))
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
    events = [event(chunk_value(part)) for cut in range(1, len(ask.key)) for part in (ask.key[:cut], ask.key[cut:], " ")]
    events += [event({"choices": [{"delta": {"reasoning": letter}}]}) for letter in ask.key + " "]
    return answer(b"".join(events) + event(b"[DONE]"))


def bomb():
    """Return gzip data of 512 MB of spaces: one deflated block, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = packer.compress(b" " * 1048576) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * 1048576) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + block * 511


EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e\u2066evil\x00\x7f\x85\r\x08\ud800"
EVIL_FIELD = "\x1b]0;pwned\x07\x1b[2J\x9b31mevil\x7f\x08"
DEEP = b"[" * 100000 + b"]" * 100000
DEEP_ERROR = b'{"error": {"message": ' + b"[" * 900 + b"]" * 900 + b"}}"
ESCAPED_EVIL = json.dumps(EVIL).encode("ascii")
PADDED = [("x" * padding + "%s") for padding in range(250, 300, 8)]      # around the place where error texts are cut

# name: (statuses promised of `list`, of `chat`, script). The tool must end, with one of them, whatever comes.
FIRE = collections.OrderedDict([
    # silence in each phase
    ("stall on accept", ("4", "4", lambda ask: [STALL])),
    ("stall after the request", ("4", "4", lambda ask: [STALL])),
    ("stall in the status line", ("4", "4", lambda ask: [b"HTTP/1.1 20", STALL])),
    ("stall in the headers", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\nContent-Type: app", STALL])),
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
    ("drip in a body of stated length", ("4", "4", lambda ask: [answer(b" " * 100000)[:-100000], Drip(b" ")])),
    ("drip in a chunk size", ("4", "4", lambda ask: [CHUNKED, Drip(b"0")])),
    ("drip in a chunk extension", ("4", "4", lambda ask: [CHUNKED, b"5;", Drip(b"a")])),
    ("drip of chunks", ("4", "4", lambda ask: [CHUNKED, Drip(b"1\r\n \r\n")])),
    ("drip in the stream", ("4", "4", lambda ask: [OPEN, b"data: {", Drip(b" ")])),
    ("drip in the trailers", ("4", "4", lambda ask: [CHUNKED, chunked(b"data: {"), b"0\r\nA: ", Drip(b"b")])),
    ("drip of an error's body", ("4", "4", lambda ask: [answer(b"", "500 Oops", length=False), Drip(b"a")])),
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
    ("close in an event", ("4", "4", lambda ask: [OPEN, b'data: {"choices": [{"delta": {"content": "a"}}]}\n\nda'])),
    # no end
    ("endless headers", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\n", Forever(b"X-A: b\r\n")])),
    ("endless header line", ("4", "4", lambda ask: [b"HTTP/1.1 200 OK\r\nX-A: ", Forever(b"b")])),
    ("endless status line", ("4", "4", lambda ask: [b"HTTP/1.1 200 ", Forever(b"O")])),
    ("endless body", ("4", "4", lambda ask: [answer(b'{"data": [', length=False), Forever(b"1,")])),
    ("endless white space", ("4", "4", lambda ask: [OPEN, Forever(b" \n")])),
    ("endless stream", ("4", "4", lambda ask: [OPEN, Forever(event({"choices": [{"delta": {"content": "a" * 500}}]}))])),
    ("endless tool call", ("4", "4", lambda ask: [OPEN, Forever(event(
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "a"}}]}}]}))])),
    ("endless comments", ("4", "4", lambda ask: [OPEN, Forever(b": keep-alive\n\n")])),
    ("endless event", ("4", "4", lambda ask: [OPEN, b"data: ", Forever(b"a")])),
    ("endless lines of one event", ("4", "4", lambda ask: [OPEN, Forever(b"data: a\n")])),
    ("endless chunk", ("4", "4", lambda ask: [CHUNKED, b"ffffffffffff\r\n", Forever(b"{")])),
    ("endless small chunks", ("4", "4", lambda ask: [CHUNKED, chunked(b"{"), Forever(b"2\r\n  \r\n")])),
    ("endless trailers", ("4", "4", lambda ask: [CHUNKED, chunked(b"{"), b"0\r\n", Forever(b"A: b\r\n")])),
    ("endless error", ("4", "4", lambda ask: [answer(b"", "500 Oops", length=False), Forever(b"<")])),
    ("endless 401", ("45", "45", lambda ask: [answer(b"", "401 No", length=False), Forever(b"no ")])),
    ("storm of 100", ("4", "4", lambda ask: [Forever(b"HTTP/1.1 100 Continue\r\n\r\n")])),
    ("storm of 103", ("4", "4", lambda ask: [Forever(b"HTTP/1.1 103 Early Hints\r\n\r\n")])),
    # lies about lengths, wrong chunking
    ("one 100 first", ("0", "0", lambda ask: [b"HTTP/1.1 100 Continue\r\n\r\n", good(ask)])),
    ("length too long", ("4", "04", lambda ask: [good(ask, "Content-Length: 99999")])),
    ("length too short", ("4", "4", lambda ask: [good(ask, "Content-Length: 9")])),
    ("length zero", ("4", "4", lambda ask: [good(ask, "Content-Length: 0")])),
    ("length negative", ("04", "04", lambda ask: [good(ask, "Content-Length: -5")])),
    ("length garbage", ("04", "04", lambda ask: [good(ask, "Content-Length: many")])),
    ("length of 5000 digits", ("04", "04", lambda ask: [good(ask, "Content-Length: " + "9" * 5000)])),
    ("length underscored", ("04", "04", lambda ask: [good(ask, "Content-Length: 1_0")])),
    ("two lengths", ("4", "4", lambda ask: [good(ask, "Content-Length: 3", "Content-Length: 7")])),
    ("length and chunked", ("04", "04", lambda ask: [
        answer(b"", fields=["Transfer-Encoding: chunked", "Content-Length: 3"], length=False)
        + chunked(payload(ask)) + b"0\r\n\r\n"])),
    ("chunk size bad", ("4", "4", lambda ask: [CHUNKED, b"zz\r\n", payload(ask)])),
    ("chunk size empty", ("4", "4", lambda ask: [CHUNKED, b"\r\n", payload(ask)])),
    ("chunk size negative", ("04", "04", lambda ask: [CHUNKED, b"-5\r\n", payload(ask), b"\r\n0\r\n\r\n"])),
    ("chunk size of 5000 digits", ("4", "04", lambda ask: [CHUNKED, b"9" * 5000, b"\r\n", payload(ask)])),
    ("chunk size line too long", ("4", "4", lambda ask: [CHUNKED, b"5;" + b"a" * 70000, b"\r\n"])),
    ("chunk without its CRLF", ("04", "04", lambda ask: [CHUNKED, chunked(payload(ask))[:-2], b"0\r\n\r\n"])),
    ("no last chunk", ("4", "04", lambda ask: [CHUNKED, chunked(payload(ask))])),
    ("chunks of one byte", ("0", "0", lambda ask: [
        CHUNKED, b"".join(chunked(bytes([byte])) for byte in payload(ask)), b"0\r\nTrailer: a\r\n\r\n"])),
    # no HTTP, or much of it
    ("garbage", ("4", "4", lambda ask: [bytes(range(256)) * 8])),
    ("garbage status", ("4", "4", lambda ask: [b"HTTP/1.1 abc OK\r\n\r\n{}"])),
    ("status of 5000 digits", ("4", "4", lambda ask: [b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n"])),
    ("status 99", ("4", "4", lambda ask: [answer(payload(ask), "99 Low")])),
    ("status 999", ("4", "4", lambda ask: [answer(payload(ask), "999 High")])),
    ("HTTP/0.9", ("4", "4", lambda ask: [payload(ask)])),
    ("HTTP/2", ("4", "4", lambda ask: [b"HTTP/2.0 200 OK\r\n\r\n{}"])),
    ("SSH", ("4", "4", lambda ask: [b"SSH-2.0-OpenSSH_9.6\r\n"])),
    ("a TLS alert", ("4", "4", lambda ask: [b"\x15\x03\x01\x00\x02\x02\x46"])),
    ("a bare newline", ("4", "4", lambda ask: [b"\n\n\n"])),
    ("huge header line", ("4", "4", lambda ask: [good(ask, "X-A: " + "b" * 70000)])),
    ("200 headers", ("4", "4", lambda ask: [good(ask, *["X-%d: b" % number for number in range(200)])])),
    ("headers without colons", ("04", "04", lambda ask: [good(ask, "nonsense", ": nameless", " folded")])),
    ("unknown coding", ("4", "4", lambda ask: [answer(b"\x00\x01", fields=["Content-Encoding: zstd"])])),
    ("gzip though not asked", ("0", "0", lambda ask: [answer(gzip.compress(payload(ask)), fields=["Content-Encoding: gzip"])])),
    ("gzip damaged", ("4", "4", lambda ask: [answer(gzip.compress(payload(ask))[:12] + b"\xff" * 50,
                                                    fields=["Content-Encoding: gzip"])])),
    ("gzip cut off", ("4", "4", lambda ask: [answer(gzip.compress(payload(ask))[:-20], fields=["Content-Encoding: gzip"])])),
    ("gzip bomb", ("4", "4", lambda ask: [answer(bomb(), fields=["Content-Encoding: gzip"])])),
    ("Set-Cookie", ("0", "0", lambda ask: [good(ask, "Set-Cookie: a=b; Domain=127.0.0.1")])),
    # statuses
    ("204", ("4", "4", lambda ask: [answer(b"", "204 No Content")])),
    ("206", ("4", "4", lambda ask: [answer(payload(ask), "206 Partial Content")])),
    ("304", ("4", "4", lambda ask: [answer(b"", "304 Not Modified")])),
    ("401", ("5", "5", lambda ask: [echo(ask, "401 Unauthorized")])),
    ("403", ("5", "5", lambda ask: [echo(ask, "403 Forbidden")])),
    ("404 in HTML", ("4", "4", lambda ask: [answer(b"<html><script>alert(1)</script><h1>No", "404 Not Found")])),
    ("407", ("4", "4", lambda ask: [echo(ask, "407 Proxy Authentication Required")])),
    ("429", ("4", "4", lambda ask: [echo(ask, "429 Too Many Requests")])),
    ("500 with the Authorization header", ("4", "4", lambda ask: [echo(ask, "500 Oops", "Authorization: Bearer %s")])),
    ("503 without a body", ("4", "4", lambda ask: [answer(b"", "503 Service Unavailable")])),
    ("redirect to another origin", ("4", "4", lambda ask: [
        answer(b"", "302 Found", ["Location: %s/v1/models" % ask.elsewhere])])),
    ("redirect 308", ("4", "4", lambda ask: [
        answer(b"", "308 Permanent Redirect", ["Location: %s/v1/chat/completions" % ask.elsewhere])])),
    ("redirect to a file", ("4", "4", lambda ask: [answer(b"", "301 Moved", ["Location: file:///etc/passwd"])])),
    ("redirect to nowhere", ("4", "4", lambda ask: [answer(b"", "301 Moved", ["Location: http://[::1"])])),
    ("redirect without a place", ("4", "4", lambda ask: [answer(b"", "307 Moved")])),
    ("redirect with a password", ("4", "4", lambda ask: [answer(b"", "302 Found", ["Location: http://u:%s@h/" % KEY])])),
    ("redirect with 60 kB", ("4", "4", lambda ask: [answer(b"", "302 Found", ["Location: http://h/" + "a" * 60000])])),
    # JSON that is none, or too much
    ("an empty body", ("4", "4", lambda ask: [answer(b"")])),
    ("JSON of 100,000 levels", ("4", "4", lambda ask: [json_or_stream(ask, DEEP)])),
    ("JSON of 900 levels in an error", ("4", "4", lambda ask: [answer(DEEP_ERROR, "500 Oops")])),
    ("JSON of 900 levels in a good answer", ("4", "4", lambda ask: [json_or_stream(ask, DEEP_ERROR)])),
    ("JSON of 900 levels as arguments", ("4", "4", lambda ask: [json_or_stream(
        ask, b'{"choices": [{"%s": {"tool_calls": [{"function": {"name": "f", "arguments": %s}}]}, "finish_reason": "stop"}]}'
        % (b"delta" if ask.streamed else b"message", DEEP[:900] + DEEP[-900:]))])),
    ("JSON of 900 levels as id", ("14", "04", lambda ask: [json_or_stream(
        ask, b'{"data": [], "choices": [{"finish_reason": "stop"}], "id": ' + DEEP[:900] + DEEP[-900:] + b"}")])),
    ("duplicate keys", ("0", "0", lambda ask: [json_or_stream(
        ask, b'{"data": 1, "data": [{"id": 1, "id": "m"}], "choices": 2, "choices": [{"finish_reason": "stop"}]}')])),
    ("NaN and Infinity", ("0", "0", lambda ask: [json_or_stream(
        ask, b'{"data": [{"id": "m", "max_model_len": NaN}, {"id": "n", "max_model_len": Infinity}], "id": NaN, '
             b'"usage": {"prompt_tokens": NaN, "completion_tokens": -Infinity}, "choices": [{"finish_reason": "stop"}]}')])),
    ("integers of 1 MB", ("04", "04", lambda ask: [json_or_stream(
        ask, b'{"data": [{"id": "m", "max_model_len": 1%s}], "choices": [{"finish_reason": "stop"}]}' % (b"0" * 1000000))])),
    ("integers of 350 digits", ("0", "0", lambda ask: [json_or_stream(
        ask, b'{"data": [{"id": "m", "max_model_len": 1%s}], "choices": [{"delta": {"content": "a"}, "message": {"content": "a"},'
             b'"finish_reason": "stop"}], "usage": {"completion_tokens": 1%s}}' % (b"0" * 350, b"0" * 350))])),
    ("lone surrogates", ("0", "0", lambda ask: [answer(payload(ask, "a\ud800b\udfffc"))])),
    ("no UTF-8", ("4", "04", lambda ask: [answer(payload(ask).replace(b"hello", b"h\xff\xc0\x80\xed\xa0\x80llo"))])),
    ("UTF-16", ("4", "4", lambda ask: [answer(payload(ask).decode("ascii").encode("utf-16"))])),
    ("a byte-order mark", ("0", "04", lambda ask: [answer(b"\xef\xbb\xbf" + payload(ask))])),
    ("NULs", ("4", "4", lambda ask: [answer(b"\0" * 5000)])),
    ("an HTML page", ("4", "4", lambda ask: [answer(b"<!doctype html><title>Welcome</title>")])),
    ("unclosed tags", ("4", "4", lambda ask: [answer(b"<script" * 14000, "500 Oops")])),
    ("angle brackets", ("4", "4", lambda ask: [answer(b"<" * 100000, "500 Oops")])),
    ("null", ("4", "4", lambda ask: [answer(b"null")])),
    ("an empty list", ("4", "4", lambda ask: [answer(b"[]")])),
    ("data null", ("4", "04", lambda ask: [json_or_stream(ask, {"data": None})])),
    ("no models, no choices", ("1", "04", lambda ask: [json_or_stream(ask, {"data": [], "choices": []})])),
    ("an error with status 200", ("4", "4", lambda ask: [json_or_stream(ask, {"error": {"message": EVIL, "code": 400}})])),
    ("an error with a wrong code", ("4", "4", lambda ask: [json_or_stream(ask, {"error": {"message": ["a"], "code": True}})])),
    ("many models", ("0", "0", lambda ask: [
        answer(json_bytes({"data": [{"id": "m%d" % number} for number in range(2000)]})) if ask.listing else good(ask)])),
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
    ("raw escapes in every field", ("4", "04", lambda ask: [answer(payload(ask, EVIL).replace(b"\\u001b", b"\x1b"))])),
    ("escapes in an error", ("4", "4", lambda ask: [
        answer(b'{"error": {"message": %s}}' % ESCAPED_EVIL, "500 " + EVIL_FIELD, ["Server: " + EVIL_FIELD])])),
    ("escapes in a refusal", ("5", "5", lambda ask: [answer(EVIL_FIELD.encode("latin-1"), "401 " + EVIL_FIELD)])),
    ("escapes in a redirect", ("4", "4", lambda ask: [
        answer(b"", "302 Found", ["Location: http://h/" + EVIL_FIELD, "Server: " + EVIL_FIELD])])),
    ("escapes in the status line", ("4", "4", lambda ask: [b"HTTP/1.1 200\x1b[2J OK\r\n\r\n"])),
    ("escapes in a bad event", ("4", "4", lambda ask: [answer(b"data: \x1b[2J\xc2\x9b31m\r\n\r\n")])),
    # the key
    ("the key in every field", ("0", "0", lambda ask: [answer(payload(ask, ask.key))])),
    ("every spelling in every field", ("0", "0", lambda ask: [answer(payload(ask, " ".join(spellings(ask.key)))) if ask.key
                                                             else good(ask)])),
    ("the key cut across events", ("0", "0", lambda ask: [cut_stream(ask)])),
    ("the key in a bad event", ("4", "4", lambda ask: [answer(b"data: " + b"x" * 60 + ask.key.encode() + b"\n\n")])),
    ("the key in the status line", ("4", "4", lambda ask: [answer(b"", "500 " + "y" * 45 + ask.key)])),
    ("the key in no HTTP", ("4", "4", lambda ask: [ask.key.encode("latin-1") + b"\r\n\r\n"])),
    ("the key as a Location", ("4", "4", lambda ask: [answer(b"", "302 Found", ["Location: /" + urllib.parse.quote(ask.key)])])),
    ("the key as aliases", ("4", "4", lambda ask: [answer(
        b"{\"error\": {\"message\": \"The model `x` does not exist. Valid aliases: `%s`\"}}"
        % json.dumps(ask.key)[1:-1].encode(), "404 Not Found")])),
    ("a context error of 1 MB", ("4", "4", lambda ask: [answer(
        json_bytes({"message": "maximum context length is 9 tokens " + ask.key * 30000}), "400 Bad")])),
] + [("the key where texts are cut: %d" % len(padding), ("4", "4", lambda ask, padding=padding: [
    echo(ask, "500 Oops", padding)])) for padding in PADDED])

UNREAD = ("stall on accept", "reset on accept", "close on accept")
CAPS = {"MODEL_LIST_LIMIT": 1100000, "ANSWER_LIMIT": 1100000, "EVENT_LIMIT": 1100000, "STREAM_LIMIT": 1200000}
HASTY = ("stall", "drip", "endless", "storm")        # what ends by its timeout is given a short one
SLACK = 12 * 1048576                   # what the kernel holds between two sockets of one machine
PATIENCE_S = 90                        # for the whole table; a run that hangs would take for ever


def offers(verb, option):
    """Tell whether the command line has a verb with an option."""
    return any(row[0] == verb for row in tool._VERBS) and option in run_main([verb, "--help"])[1]


def verbs_under_fire():
    """Return [(arguments, column of the promise or the statuses themselves)] of every verb that opens a connection."""
    found = [(["list"], 0), (["list", "--json"], 0), (["chat", "hi"], 1), (["chat", "hi", "--no-stream"], 1),
             (["chat", "hi", "--json"], 1)]
    if offers("doctor", "--probe"):
        found += [(["doctor"], "0145"), (["doctor", "--probe", "--json"], "0145")]
    if offers("config", "--dry-run"):
        found.append((["config", "--dry-run"], "0145"))
    return found


class UnderFireTest(unittest.TestCase):
    """Every verb against every misbehaving server: status, time, memory, no traceback, no escape, no key."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.verbs = verbs_under_fire()
        self.outcomes = []           # (case, arguments, promise, status or exception, output, bytes sent)

    def write_config(self, name, origin, listing=False):
        """Write a config: with a declared model (its server is asked for no list), or one that only lists."""
        path = os.path.join(self.folder, "%s-%d.json" % (name, listing))
        block = {"baseUrl": origin + "/v1", "apiKey": KEY, "headers": {"X-Other": OTHER_KEY},
                 "models": [] if listing else [{"id": "m", "name": "m", "contextWindow": 4096, "maxTokens": 64}]}
        asked = {"vllm/*": {}} if listing else {}
        with open(path, "w") as target:
            json.dump({"models": {"providers": {"vllm": block}}, "agents": {"defaults": {"models": asked}}}, target)
        return path

    def asked(self, name):
        """Return the rows of `verbs` to run against a server; what it keeps busy long, only by one row a verb and form."""
        return [row for row in self.verbs if not (name.startswith(("endless", "storm")) and row[0] in (
            ["list", "--json"], ["chat", "hi", "--json"]))]

    def fire(self, number, name, elsewhere):
        promises = FIRE[name]
        with FireServer(promises[2], name in UNREAD, elsewhere) as server:
            for arguments, column in self.asked(name):
                before = server.sent
                path = self.write_config(number, server.origin, arguments[0] == "list")
                try:
                    status, out, err = run_main(arguments + ["--config", path, "--timeout", "0.25" if name.startswith(HASTY) else "60"])
                except BaseException as error:       # a traceback, for the user
                    status, out, err = error, "", ""
                promised = column if isinstance(column, str) else promises[column]
                self.outcomes.append((name, arguments, promised, status, out + err, server.sent - before))

    def test_every_verb_survives_every_server(self):
        names = collections.deque(enumerate(FIRE))

        def work():
            while names:
                number, name = names.popleft()
                self.fire(number, name, elsewhere.origin)

        with mock.patch.multiple(tool, **CAPS), FireServer(lambda ask: [good(ask)]) as elsewhere:
            threads = [threading.Thread(target=work, daemon=True) for _ in range(24)]
            for thread in threads:
                thread.start()
            until = time.monotonic() + PATIENCE_S
            for thread in threads:
                thread.join(max(0, until - time.monotonic()))
            alive = any(thread.is_alive() for thread in threads)
        done = collections.Counter(outcome[0] for outcome in self.outcomes)
        self.assertEqual([name for name in FIRE if done[name] < len(self.asked(name))], [], "these hang" if alive else "")
        self.assertEqual(elsewhere.asked, 0, "a redirect was followed")
        for name, arguments, promised, status, text, sent in self.outcomes:
            with self.subTest(server=name, arguments=arguments):
                self.assertIn(str(status), list(promised), "%r\n%s" % (status, text[:2000]))
                self.assertEqual(leaks(text), [])
                self.assertEqual(UNSAFE.findall(text), [])
                self.assertNotIn("Traceback", text)
                self.assertLess(sent, max(CAPS.values()) + SLACK)
                if status in (4, 5) and arguments[0] in ("list", "chat"):
                    self.assertIn("error: ", text)
                    self.assertLess(len(text), 2000 if arguments[0] == "list" else CAPS["STREAM_LIMIT"])

    def test_what_the_module_raises_holds_no_key(self):
        for name in [name for name in FIRE if "key" in name or name[:3].isdigit()]:
            with self.subTest(server=name), FireServer(FIRE[name][2], elsewhere="http://127.0.0.1:9") as server:
                provider = tool.resolve_provider(tool.load_settings(self.write_config(0, server.origin), {}))
                for act in (lambda: tool.discover_models(provider, 5),
                            lambda: tool.chat(provider, {"messages": []}, timeout_s=5)):
                    try:
                        act()
                    except tool.Error as error:
                        facts = [value for key, value in error.facts.items()]
                        self.assertEqual(leaks("%s %s %s %r" % (error, error.hint, facts, error)), [])

    def test_a_row_that_is_cut_to_fit_the_terminal_shows_no_part_of_the_key(self):
        rows = [{"id": "a" * padding + KEY, "max_model_len": 5} for padding in range(30)]
        with FireServer(lambda ask: [answer(json_bytes({"data": rows}))]) as server:
            with mock.patch.object(tool, "is_terminal", lambda stream: True), \
                    mock.patch.object(shutil, "get_terminal_size", lambda *_: os.terminal_size((40, 20))):
                status, out, _ = run_main(["list", "--base-url", server.origin + "/v1"], {"VLLM_API_KEY": KEY})
        self.assertEqual((status, leaks(out)), (0, []))

    def test_tls_and_proxies_that_misbehave(self):
        names = ("stall on accept", "reset on accept", "close on accept", "garbage", "garbage status", "HTTP/2", "SSH", "a TLS alert",
                 "drip in the headers", "endless header line", "endless headers", "storm of 100")
        for name in names:
            with FireServer(FIRE[name][2], unread=True) as server:
                proxied = {"http_proxy": server.origin, "https_proxy": server.origin}
                for url, env in (("https" + server.origin[4:], {}), ("http://192.0.2.1", proxied), ("https://192.0.2.1", proxied)):
                    with self.subTest(server=name, url=url.partition(":")[0], env=env):
                        status, out, err = run_main(["list", "--base-url", url + "/v1", "--timeout", "0.2"],
                                                    dict(env, VLLM_API_KEY=KEY))
                        self.assertEqual((status, out), (4, ""), err)
                        self.assertEqual((leaks(err), UNSAFE.findall(err)), ([], []))

    def test_the_server_itself_is_sound(self):
        with FireServer(lambda ask: [good(ask)]) as server:
            for arguments, _ in self.verbs:
                with self.subTest(arguments=arguments):
                    path = self.write_config(0, server.origin, arguments[0] == "list")
                    self.assertEqual(run_main(arguments + ["--config", path])[0], 0)

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "needs the memory of one process")
    def test_memory_stays_bounded(self):
        for name, arguments in (("gzip bomb", ["list"]), ("endless small chunks", ["list"]), ("endless stream", ["chat", "hi"])):
            with self.subTest(server=name, arguments=arguments), FireServer(FIRE[name][2]) as server:
                path = self.write_config(0, server.origin, arguments == ["list"])
                code = ("import sys, openclaw_vllm as tool\ntool.STREAM_LIMIT = 1 << 23\ntool.main(sys.argv[1:])\n"
                        "tool.os.write(3, open('/proc/self/status', 'rb').read())")
                status = subprocess.check_output(
                    ["sh", "-c", '"$@" 3>&1 >/dev/null 2>&1', "sh", sys.executable, "-c", code] + arguments
                    + ["--config", path, "--timeout", "1"], cwd=HERE, stdin=subprocess.DEVNULL)
                peak_kb = int(re.search(rb"VmHWM:\s*([0-9]+) kB", status).group(1))
                self.assertLess(peak_kb, 150 * 1024)


# ----------------------------------------------------------------------------
# Fuzz targets
# ----------------------------------------------------------------------------

FUZZ_S = float(os.environ.get("OPENCLAW_VLLM_FUZZ") or 1)        # for all targets together
TEXTS = ("", "a", "vllm", "m", "vllm/m", "http://h:1/v1", "${A_B}", "${", "$$", "user", "tool", "developer", "off", "high", "\0", "\n",
         "\ud800", "\U0001f600", "漢字", "²", "٣", "__proto__", "x" * 400, "9" * 5000, "$VLLM_API_KEY", "text", "image_url", "{}")
SCALARS = (None, True, False, 0, 1, -1, 7, 1.5, -0.0, 1e308, -1e308, math.inf, -math.inf, math.nan, 10 ** 299, -10 ** 299, 2 ** 63)


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
        return [mutated(rng, item, words, chance) for item in value for _ in range(rng.choice((1, 1, 1, 1, 0, 2)))]
    if isinstance(value, dict):
        kept = {key: mutated(rng, item, words, chance) for key, item in value.items() if rng.random() > chance / 2}
        if rng.random() < chance:
            kept[rng.choice(words)] = any_json(rng, words, 2)
        return kept
    return value


def mangled(rng, text, tokens):
    """Return a text with pieces cut out, doubled, moved or put in."""
    for _ in range(rng.randrange(1, 6)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 0, 1, 2, 9)))
        text = text[:start] + rng.choice(("", text[start:end] * 2, rng.choice(tokens), chr(rng.randrange(0x300)))) + text[end:]
    return text


CONFIG = {
    "models": {"mode": "merge", "providers": {
        "vllm": {"baseUrl": "http://h:8000/v1", "apiKey": "${A_B}", "api": "openai-completions", "timeoutSeconds": 30,
                 "headers": {"X-A": "${A_B}", "X-B": {"source": "env", "provider": "default", "id": "A_B"}},
                 "request": {"auth": {"mode": "header", "headerName": "X-C", "value": "v", "prefix": "p "}, "headers": {"X-D": "d"}},
                 "models": [{"id": "m", "name": "M", "contextWindow": 4096, "contextTokens": 4000, "maxTokens": 64, "reasoning": True,
                             "input": ["text", "image"], "headers": {"X-E": "e"},
                             "compat": {"thinkingFormat": "qwen", "supportsReasoningEffort": True, "maxTokensField": "max_tokens",
                                        "supportedReasoningEfforts": ["low", "high"], "reasoningEffortMap": {"off": None},
                                        "requiresToolResultName": True, "requiresStringContent": True,
                                        "requiresAssistantAfterToolResult": True, "strictMessageKeys": True}}]},
        "other": {"baseUrl": "https://h/v1", "apiKey": "VLLM_API_KEY", "models": [], "maxTokens": 9, "contextWindow": 99}}},
    "agents": {"defaults": {"model": {"primary": "vllm/m", "fallbacks": ["other/n"]}, "imageModel": "vllm/m",
                            "models": {"vllm/m": {"alias": "a", "params": {"temperature": 1, "thinking": "high"}}, "vllm/*": {}},
                            "params": {"topP": 0.5, "stop": "x", "extra_body": {"top_k": 1}}, "thinkingDefault": "off"}},
    "plugins": {"entries": {"vllm": {"enabled": True}}}, "env": {"vars": {"A_B": "value", "C": "${A_B}"}}, "$include": []}
CONFIG_WORDS = words_of(CONFIG) + TEXTS + ("$include", "./a.json5", "../x", "openai-responses", "authorization-bearer", "token")

BODY = {
    "model": "m", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 9, "reasoning_effort": "low", "store": True,
    "temperature": 1, "stop": ["a"], "chat_template_kwargs": {"a": 1}, "tool_choice": "auto", "response_format": {"type": "json_object"},
    "messages": [{"role": "system", "content": "s"}, {"role": "developer", "content": [{"type": "text", "text": "d"}]},
                 {"role": "user", "content": [{"type": "text", "text": "漢"}, {"type": "image_url", "image_url": {"url": "u"}}]},
                 {"role": "assistant", "content": None, "reasoning": "r",
                  "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
                 {"role": "tool", "tool_call_id": "c", "content": "t"}, {"role": "user", "content": "u"}],
    "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}]}
BODY_WORDS = words_of(BODY) + TEXTS

JSON5_TEXTS = (json.dumps(CONFIG), json.dumps(BODY, indent=2),
               "// c\n{a: 'x\\\ny', \"b\": [+1, -0x1F, .5, 5., 1e3, Infinity, -NaN,], /* d */ $c_\\u0041: '\\x41\\v\\0',}",
               "[\"\\ud83d\\ude00\", '\\u2028', null, true, false, {}, [], {'k': {l: [{}]}}]")
JSON5_TOKENS = tuple("{}[],:\"'\\/*") + ("//", "/*", "*/", "\\u", "\\ud800", "\\x4", "0x", "1e", "+", "-", "NaN", "null", "\r\n",
                                         "\u2028", "\ufeff", "\0", "\x1b", "[" * 300, "9" * 400, "0x" + "f" * 400, "\\\r\n", "é", "\u200d")


def outcome(function, *arguments, kinds=(tool.Error, ValueError)):
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
        settings = tool.load_settings(path, {"VLLM_API_KEY": "vllm-local", "A_B": "value"})
    return settings, tool.resolve_provider(settings)


def nested(levels, inside="1"):
    return "[" * levels + inside + "]" * levels


def provider_config(**block):
    return json.dumps({"models": {"providers": {"vllm": dict({"baseUrl": "http://h/v1"}, **block)}}})


ROW = {"id": "m", "name": "m"}
TOOL_TURN = {"role": "tool", "tool_call_id": ["c"], "content": "t"}

REGRESSIONS = (          # (the check that found it, its input)
    ("json5", "-" + "9" * 300), ("json5", "9" * 301), ("json5", "0x" + "f" * 400), ("json5", nested(201)), ("json5", nested(200)),
    ("json5", nested(5000)), ("json5", '{"a": %s}' % nested(200)), ("json5", '"%s"' % ("[" * 300)), ("json5", "[1, '%s']" % ("{" * 300)),
    ("settings", '{"models": 1, "a": %s}' % nested(300)), ("settings", nested(300)), ("settings", provider_config(maxTokens=10 ** 350)),
    ("settings", provider_config(maxTokens=10 ** 299)), ("settings", provider_config(timeoutSeconds=10 ** 300)),
    ("settings", provider_config(models=[dict(ROW, headers={"X-A": "a\nb"})])),
    ("settings", provider_config(models=[dict(ROW, headers={"X A": "a"})])),
    ("settings", provider_config(models=[dict(ROW, headers={"X-A": "漢"})])),
    ("settings", provider_config(models=7, **{"unknown%d" % number: 1 for number in range(300)})),
    ("settings", '{"models": {"providers": {"vllm": {"baseUrl": "http://h:%s/v1", "models": []}}}}' % ("9" * 5000)),
    ("settings", '{"agents": {"defaults": [{"\u00b2": "${X}"}]}, "models": [{"\u00b2": "${X}"}]}'),
    ("profiles", '{"profiles": {"a": {"provider": "vllm", "type": ["api_key"], "key": "k"}}}'),
    ("profiles", '{"profiles": {"a": 7, "b": null}}'), ("profiles", '{"profiles": {"a": {"provider": ["vllm"]}}}'),
    ("models", {"data": [{"id": "m", "max_model_len": 10 ** 350}]}), ("models", {"data": [{"id": "m", "max_model_len": 1e308}]}),
    ("events", [b"data: a\r", b"\n", b"\n", b"data: b\n\n"]), ("events", [b"data: a\r", b"", b"\n\r", b"\n"]),
    ("deltas", [dict(chunk_value(), usage={"completion_tokens": 10 ** 350})]), ("deltas", [dict(chunk_value(), id=math.nan)]),
    ("deltas", [{"choices": [{"delta": {"tool_calls": [{"id": {}, "index": []}, {"id": [1]}]}}]}]),
    ("body", {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}, TOOL_TURN]}),
    ("body", {"messages": [], "reasoning_effort": ["low"]}),
)


class FuzzTest(unittest.TestCase):
    """Seeded cases, the same in every run; a longer run adds cases. What ever crashed is a row of REGRESSIONS."""

    TARGETS = 8

    def test_what_once_failed(self):
        _, provider = a_provider(CONFIG)
        model = tool.declared_models(provider)[0]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "openclaw.json")
            for number, (check, value) in enumerate(REGRESSIONS):
                with self.subTest(check=check, row=number):
                    if check == "settings":
                        with open(path, "w", encoding="utf-8") as target:
                            target.write(value)
                        self.check_settings(path)
                    elif check == "models":              # as it comes: through the reader of untrusted JSON
                        self.check_model_list(tool.loads_untrusted(json.dumps(value)), provider)
                    elif check == "deltas":
                        self.check_deltas([tool.loads_untrusted(json.dumps(item)) for item in value])
                    elif check == "profiles":
                        outcomes = [tool.parse_auth_profiles(value, name) for name in ("vllm", "none")]
                        self.assertEqual(outcomes, [None, None])
                    elif check == "events":
                        self.check_events(value)
                    else:
                        {"json5": self.check_json5, "body": lambda body: self.check_body(body, model)}[check](value)

    def test_a_fault_is_found_among_any_number_of_warnings(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "openclaw.json")
            with open(path, "w") as target:
                target.write(provider_config(**collections.OrderedDict([("u%d" % n, 1) for n in range(500)] + [("models", 7)])))
            settings = tool.read_settings(path, {})
        self.assertEqual([issue.path for issue in settings.issues], ["models.providers.vllm.models"])
        self.assertLessEqual(len(settings.warnings), tool.MAX_ISSUES)

    def test_files_that_make_a_deep_config_together_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(9):
                inside = '{"$include": "./%d.json"}' % (number + 1) if number < 8 else "1"
                with open(os.path.join(folder, "%d.json" % number), "w") as target:
                    target.write('{"a": %s}' % nested(190, inside))
            settings = tool.read_settings(os.path.join(folder, "0.json"), {})
        self.assertIn("nested", settings.issues[0].message)

    def test_headers_of_a_model_that_cannot_be_sent_are_named(self):
        for name, value in (("X-A", "a\nb"), ("X A", "a"), ("X-A", "漢")):
            with self.subTest(name=name, value=value), self.assertRaises(tool.ConfigError) as caught:
                a_provider(json.loads(provider_config(models=[dict(ROW, headers={name: value})])))
            self.assertEqual(caught.exception.cause, "bad-key-form")

    def fuzz(self, target, case):
        """Run case(rng) for as many seeds as there is time for, and for 25 at least."""
        until = time.monotonic() + FUZZ_S / self.TARGETS
        for number in itertools.count():
            if number >= 25 and time.monotonic() > until:
                return
            with self.subTest(target=target, case=number):
                case(random.Random("%s %d" % (target, number)))

    def test_json5(self):
        def case(rng):
            text = mangled(rng, rng.choice(JSON5_TEXTS), JSON5_TOKENS)
            self.check_json5(text)
            value = any_json(rng)
            text = json.dumps(value, indent=rng.choice((None, 2)), ensure_ascii=rng.random() < 0.5)
            read, error = outcome(tool.json5_loads, text, kinds=tool.Json5Error)
            if "\\ud800" in text or "\ud800" in text:
                return                             # a lone surrogate: JSON lets it pass, JSON5 here does not
            self.assertIsNone(error, text)
            self.assertEqual(repr(read), repr(json.loads(text)))

        self.fuzz("json5", case)

    def check_json5(self, text):
        value, error = outcome(tool.json5_loads, text, kinds=tool.Json5Error)
        tree, tree_error = outcome(tool.json5_tree, text, kinds=tool.Json5Error)
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

    def check_settings(self, path):
        """Read settings (which never fails), and when they are valid use all that they hold."""
        settings = tool.read_settings(path, {"VLLM_API_KEY": "vllm-local", "OPENCLAW_STATE_DIR": os.path.dirname(path)})
        json.dumps([settings.issues, settings.warnings])
        provider, _ = outcome(tool.resolve_provider, settings, kinds=tool.Error) if not settings.issues else (None, None)
        if provider is not None:
            for model in tool.declared_models(provider):
                outcome(tool.shape_request, BODY, model, kinds=tool.UsageError)
                for name, header in tool.request_headers(provider, model).items():
                    (name + header).encode("latin-1")

    def test_auth_profiles_and_dotenv(self):
        store = {"profiles": {"vllm:default": {"provider": "vllm", "type": "api_key", "key": "k", "token": "t"}}}
        words = words_of(store) + TEXTS + ("none", "None")
        def case(rng):
            text = json.dumps(mutated(rng, store, words, 0.2))
            for provider in ("vllm", "none"):
                found = tool.parse_auth_profiles(text, provider)
                self.assertTrue(found is None or isinstance(found.key, tool.Secret))
            values = tool.parse_dotenv(mangled(rng, "export A=1\nB='x\ny' # c\r\nC: \"a\\nb\"\nD=`q`\n=\nE", tuple("'\"`\\=:#\n\r ")))
            self.assertTrue(all(isinstance(text, str) for pair in values.items() for text in pair))

        self.fuzz("profiles", case)

    def test_model_lists(self):
        listed = {"object": "list", "data": [
            {"id": "m", "root": "m", "parent": None, "max_model_len": 4096, "meta": {"n_ctx_train": 1}, "context_length": 5},
            {"id": "deepseek-r1", "parent": "m", "max_model_len": None}]}
        words = words_of(listed) + TEXTS
        _, provider = a_provider({"agents": CONFIG["agents"]})
        def case(rng):
            value = mutated(rng, listed, words, rng.choice((0.02, 0.2)))
            self.check_model_list(value, provider)

        self.fuzz("models", case)

    def check_model_list(self, value, provider):
        rows, error = outcome(tool.parse_model_list, value, kinds=ValueError)
        if error is None:
            models = tool.discovered_models(rows, provider)
            json.dumps([tool.list_row(model, provider) for model in models], allow_nan=False)
            tool.format_table([(model, provider) for model in models], None, 40)
            for model in models:
                self.assertGreaterEqual(model.context_window, 1)
                outcome(tool.shape_request, BODY, model, kinds=tool.UsageError)

    def test_event_streams(self):
        parts = (b"data: a", b"data:b", b"data", b": c", b"event: error", b"id: 1", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n",
                  b"\xef\xbb\xbf", b"\xff", "é\u2028\x85".encode("utf-8"), b"\0", b"data: [DONE]\n\n", b" ", b"retry: 1")
        def case(rng):
            stream = b"".join(rng.choice(parts) for _ in range(rng.randrange(30)))
            pieces = []
            while stream:
                size = rng.choice((0, 1, 1, 2, 5, 40))
                pieces.append(stream[:size])
                stream = stream[size:]
            self.check_events(pieces)

        self.fuzz("events", case)

    def check_events(self, pieces):
        """A stream cut anywhere means the same events as one that is not cut."""
        decoder = tool.EventDecoder()
        self.assertEqual([event for piece in pieces for event in decoder.feed(piece)],
                         tool.EventDecoder().feed(b"".join(pieces)), pieces)

    def test_deltas(self):
        value = chunk_value(reasoning="r")
        value["choices"][0]["delta"] = {
            "content": "a", "reasoning": "r", "reasoning_content": "s", "function_call": {"name": "f", "arguments": "{}"},
            "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
        words = words_of(value) + TEXTS + ("message", "error")
        def case(rng):
            self.check_deltas([mutated(rng, value, words, 0.1) for _ in range(4)])

        self.fuzz("deltas", case)

    def check_deltas(self, values):
        """Assemble some chunks, whatever they are, into an answer that JSON and the contract can hold."""
        assembler = tool.Assembler()
        for value in values:
            if isinstance(value, dict):
                assembler.add(tool.decode_delta(value))
                tool.is_error_payload(value)
            tool.server_words(json.dumps(value))
        answer = assembler.answer({"first_token_s": 0.1, "total_s": 0.2})
        tool.statistics(answer)
        shown = tool.answer_json(answer)
        json.dumps(shown, allow_nan=False)
        for name in ("id", "model", "finish_reason"):
            self.assertIsInstance(shown[name], (str, type(None)))
        for call in shown["tool_calls"]:
            self.assertIsInstance(call["function"]["name"] + call["function"]["arguments"] + (call["id"] or ""), str)

    def test_request_bodies(self):
        models = [tool.declared_models(a_provider(CONFIG)[1])[0]]
        for compat in ({"thinkingFormat": "deepseek"}, {"thinkingFormat": "qwen-chat-template", "supportsDeveloperRole": True},
                       {"supportsTools": False, "supportsUsageInStreaming": False}, {"supportsStrictMode": True}):
            models.append(models[0]._replace(compat=compat, params={}, input=("text",)))
        def case(rng):
            body = any_json(rng, BODY_WORDS) if rng.random() < 0.1 else mutated(rng, BODY, BODY_WORDS, rng.choice((0.02, 0.1)))
            self.check_body(body, rng.choice(models))

        self.fuzz("bodies", case)

    def check_body(self, body, model):
        """Shape any JSON: a UsageError or a Shaped; the input unchanged; at a given level, no second shaping."""
        before = repr(body)
        outcome(tool.shape_request, body, model, kinds=tool.UsageError)
        shaped, error = outcome(tool.shape_request, body, model, "low", kinds=tool.UsageError)
        self.assertEqual(repr(body), before)
        if error is None:
            again = tool.shape_request(shaped.body, model, "low")
            self.assertEqual(json.dumps(again.body, sort_keys=True), json.dumps(shaped.body, sort_keys=True))

    @unittest.skipUnless(hasattr(tool, "edit_json5"), "this version has no config writer")
    def test_edits(self):
        def case(rng):
            text = mangled(rng, rng.choice(JSON5_TEXTS), JSON5_TOKENS)
            outcome(tool.edit_json5, text, [(["models", "providers", "vllm"], any_json(rng))], kinds=tool.Error)

        self.fuzz("edits", case)


# ----------------------------------------------------------------------------
# Every Python, every surrounding
# ----------------------------------------------------------------------------

COMMAND = os.environ.get("OPENCLAW_VLLM_COMMAND")
A_BODY = b'{"messages": [{"role": "user", "content": "hi"}]}'


def run_tool(arguments, env=None, stdin=b"", command=None, cwd=None):
    """Run the command line as a process: (status, standard output, standard error), bytes.

    `env` is all of its environment, but for what Windows cannot do without.
    """
    command = command or (shlex.split(COMMAND) if COMMAND else [sys.executable, "-B", FILE])
    env = dict({name: os.environ[name] for name in ("SYSTEMROOT", "PATH") if name in os.environ}, **(env or {}))
    child = subprocess.Popen(command + arguments, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = child.communicate(stdin, timeout=60)
    finally:
        child.kill()
        child.wait()
    return child.returncode, out, err


def without(*modules):
    """Return the command that runs the file in a Python that lacks some modules."""
    code = ("import sys, runpy; sys.modules.update(dict.fromkeys(%r)); sys.argv = sys.argv[1:]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')" % (modules,))
    return [sys.executable, "-B", "-c", code, FILE]


class EveryPythonTest(unittest.TestCase):
    """The file as a process: interpreter flags, locales, streams, homes, modules and places it may meet."""

    @classmethod
    def setUpClass(cls):
        cls.server = tool.demo_server(0, KEY)
        cls.thread = threading.Thread(target=cls.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        cls.thread.start()
        cls.url = "http://127.0.0.1:%d/v1" % cls.server.server_address[1]
        cls.listing = ["list", "--plain", "--base-url", cls.url]
        cls.keys = b"vllm/demo-alias%svllm/demo-sql-lora%svllm/demo/qwen3-8b" % ((os.linesep.encode(),) * 2)
        cls.keys = cls.keys.replace(b"qwen3-8b", b"Qwen3-8B") + os.linesep.encode()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()
        cls.thread.join()

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def check_listing(self, env=None, command=None, cwd=None, stdin=b"", err=b""):
        """List the demo's models in a surrounding; it must work, and say nothing else than `err`."""
        result = run_tool(self.listing, dict({"VLLM_API_KEY": KEY}, **(env or {})), stdin, command, cwd)
        self.assertEqual(result[:2], (0, self.keys), result)
        self.assertEqual(result[2] == b"", err == b"", result)
        self.assertIn(err, result[2])

    @unittest.skipIf(COMMAND, "flags are the interpreter's")
    def test_interpreter_flags(self):
        for flags in (["-I", "-S"], ["-OO"], ["-O", "-E", "-s", "-u"], ["-bb", "-W", "error", "-X", "dev"]):
            command = [sys.executable, "-B"] + flags + [FILE]
            with self.subTest(flags=flags):
                self.check_listing(command=command)
                env = {"VLLM_API_KEY": KEY}
                chat = run_tool(["chat", "hi", "--quiet", "--base-url", self.url], env, command=command)
                self.assertEqual(chat, (0, b"You said: hi" + os.linesep.encode(), b""))
        command = [sys.executable, "-B", "-bb", "-W", "error", FILE]
        more = ["request", "--model", "demo-alias", "--base-url", self.url]
        self.assertEqual(run_tool(more, {"VLLM_API_KEY": KEY}, A_BODY, command)[::2], (0, b""))
        self.assertEqual(run_tool(["list"], {"HOME": self.folder}, command=command)[0], 1)
        self.assertEqual(run_tool(["nonsense"], {}, command=command)[0], 2)

    def test_locales(self):
        for env in ({"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
                    {"PYTHONIOENCODING": "cp1252"}):
            with self.subTest(env=env):
                self.check_listing(env)
                status, out, err = run_tool(["chat", "--json", "--base-url", self.url], dict(env, VLLM_API_KEY=KEY),
                                            "gr\u00fc\u00df \u6f22 \U0001f600".encode("utf-8"))
                self.assertEqual(status, 0, err)
                encoding = env.get("PYTHONIOENCODING", "utf-8")
                self.assertEqual(json.loads(out.decode(encoding))["content"], "You said: gr\u00fc\u00df \u6f22 \U0001f600")

    @unittest.skipUnless(os.name == "posix", "needs a POSIX shell")
    def test_streams_that_fail(self):
        tool_command = shlex.split(COMMAND) if COMMAND else [sys.executable, "-B", FILE]
        full = os.path.exists("/dev/full")
        for redirection, statuses, words in (
                (">&-", (1,), b"cannot write to standard output"), (">/dev/full", (1,) if full else (0,), b"cannot write" if full else b""),
                (">&- 2>&-", (1,), b""), (">/dev/full 2>/dev/full", (1,), b""), ("2>&-", (0,), b""), ("2>/dev/full", (0,), b""),
                ("<&-", (0,), b"")):
            for arguments in (self.listing, ["--help"], ["chat", "hi", "--base-url", self.url])[:3 if words else 2]:
                with self.subTest(streams=redirection, arguments=arguments):
                    status, _, err = run_tool(arguments, {"VLLM_API_KEY": KEY},
                                              command=["sh", "-c", 'exec "$@" ' + redirection, "sh"] + tool_command)
                    self.assertIn(status, statuses, err)
                    self.assertIn(words, err)
                    self.assertNotIn(b"Traceback", err)

    def test_an_error_keeps_its_status_when_nobody_can_be_told(self):
        class Full(io.StringIO):
            def write(self, text):
                raise OSError(28, "No space left on device")

        class Broken(io.StringIO):
            def write(self, text):
                raise BrokenPipeError(32, "Broken pipe")

        for stream in (Full(), Broken()):
            with self.subTest(stream=type(stream).__name__):
                self.assertEqual(tool.main(["list"], {}, io.StringIO(), io.StringIO(), stream), 1)
                self.assertEqual(tool.main(["list", "--base-url", "http://127.0.0.1:1"], {}, io.StringIO(), io.StringIO(), stream), 4)
        self.assertEqual(tool.main(["--version"], {}, io.StringIO(), Broken(), io.StringIO()), 0)
        self.assertEqual(tool.main(["--version"], {}, io.StringIO(), Full(), io.StringIO()), 1)

    @unittest.skipUnless(os.name == "posix", "needs POSIX pipes")
    def test_a_broken_pipe_is_no_error(self):
        for arguments in (self.listing, ["chat", "hi", "--base-url", self.url], ["--help"]):
            with self.subTest(arguments=arguments):
                read_end, write_end = os.pipe()
                os.close(read_end)
                command = (shlex.split(COMMAND) if COMMAND else [sys.executable, "-B", FILE]) + arguments
                try:
                    child = subprocess.Popen(command, env={"VLLM_API_KEY": KEY, "PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL,
                                             stdout=write_end, stderr=subprocess.PIPE)
                finally:
                    os.close(write_end)
                err = child.communicate(timeout=60)[1]
                self.assertEqual(child.returncode, 0, err)
                self.assertNotIn(b"rror", err)

    def test_homes(self):
        file = os.path.join(self.folder, "file")
        with open(file, "w") as target:
            target.write("x")
        closed = os.path.join(self.folder, "closed")
        os.mkdir(closed)
        os.chmod(closed, 0)
        for env in ({}, {"HOME": ""}, {"HOME": file}, {"HOME": closed}, {"HOME": os.path.join(self.folder, "missing")}, {"HOME": "/"},
                    {"HOME": "relative"}, {"OPENCLAW_STATE_DIR": file}, {"OPENCLAW_HOME": closed}, {"HOME": "/\u6f22\u00e9"}):
            with self.subTest(env=env):
                self.assertEqual(run_main(self.listing, dict(env, VLLM_API_KEY=KEY))[0], 0)
        self.check_listing({})
        self.check_listing({"HOME": file})

    @unittest.skipIf(COMMAND, "a binary brings its modules along")
    def test_missing_modules(self):
        state = os.path.join(self.folder, "state")
        os.mkdir(state)
        with open(os.path.join(state, "openclaw.sqlite"), "wb") as target:
            target.write(b"no database")
        env = {"OPENCLAW_STATE_DIR": self.folder}
        self.check_listing(command=without("ssl", "_ssl"))
        self.check_listing(command=without("sqlite3", "_sqlite3"))
        self.check_listing(env, without("sqlite3", "_sqlite3"), err=b"no sqlite3")
        self.check_listing(env, err=b"auth profiles not read")
        with socket.socket() as listener:                # there the handshake would begin
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            status, _, err = run_tool(["list", "--base-url", "https://127.0.0.1:%d/v1" % listener.getsockname()[1]],
                                      {"VLLM_API_KEY": KEY}, command=without("ssl", "_ssl"))
        self.assertEqual(status, 4, err)
        self.assertIn(b"no ssl module", err)
        self.check_listing(command=without("readline", "zlib", "gzip", "bz2", "lzma", "ctypes", "curses", "_curses", "tty", "pwd"))

    def test_no_writable_directory(self):
        missing = os.path.join(self.folder, "missing")
        env = {"TMPDIR": missing, "TEMP": missing, "TMP": missing, "HOME": missing, "PYTHONDONTWRITEBYTECODE": "1"}
        self.check_listing(env, cwd="/proc" if os.path.isdir("/proc/self") else os.path.abspath(os.sep))
        self.assertEqual(os.listdir(self.folder), [])

    @unittest.skipIf(COMMAND, "these are places of the file")
    def test_places_to_run_from(self):
        with open(FILE, "rb") as source:
            data = source.read()
        places = {"with spaces": os.path.join(self.folder, "a folder", "openclaw_vllm.py"),
                  "renamed": os.path.join(self.folder, "vllm-tool"), "odd name": os.path.join(self.folder, "-é'\"$x.py")}
        for name, path in places.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as target:
                target.write(data)
            with self.subTest(place=name):
                self.check_listing(command=[sys.executable, "-B", path])
        archive = os.path.join(self.folder, "app.zip")
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr("__main__.py", data)
        with self.subTest(place="zip"):
            self.check_listing(command=[sys.executable, "-B", archive])
            self.assertEqual(run_tool(["--version", "--verbose"], command=[sys.executable, "-B", archive])[::2], (0, b""))
        with self.subTest(place="standard input"):
            self.check_listing(command=[sys.executable, "-B", "-"], stdin=data)
            self.assertEqual(run_tool(["--version", "--verbose"], stdin=data, command=[sys.executable, "-B", "-"])[::2], (0, b""))
        with self.subTest(place="a module run by name"):
            self.check_listing(command=[sys.executable, "-B", "-m", "openclaw_vllm"], cwd=HERE)
        with self.subTest(place="a link"):
            link = os.path.join(self.folder, "link")
            try:
                os.symlink(FILE, link)
            except (OSError, NotImplementedError):
                return
            self.check_listing(command=[sys.executable, "-B", link])

    def test_paths_as_on_windows(self):
        with mock.patch.object(tool.os, "path", ntpath), mock.patch.object(tool.os, "sep", "\\"), \
                mock.patch.object(tool.os, "pathsep", ";"):
            home = {"USERPROFILE": "C:\\Users\\me"}
            self.assertEqual(tool.state_directory(home), "C:\\Users\\me\\.openclaw")
            self.assertEqual(tool.state_directory(dict(home, OPENCLAW_STATE_DIR="~\\claw")), "C:\\Users\\me\\claw")
            self.assertEqual(tool.state_directory(dict(home, OPENCLAW_HOME="D:\\x")), "D:\\x\\.openclaw")
            self.assertEqual(tool.include_target("./sub/a.json5", "C:\\c\\openclaw.json"), "C:\\c\\sub\\a.json5")
            self.assertEqual(tool.include_target("D:/a.json5", "C:\\c\\openclaw.json"), "D:\\a.json5")
            self.assertTrue(tool._inside("C:\\c\\sub\\a.json5", "C:\\c"))
            self.assertTrue(tool._inside("c:\\C\\sub\\a.json5", "C:\\c"))
            self.assertFalse(tool._inside("C:\\cc\\a.json5", "C:\\c"))
            self.assertFalse(tool._inside("D:\\c\\a.json5", "C:\\c"))

    def test_consoles_as_on_windows(self):
        for encoding in ("cp437", "cp1252", "cp932", "ascii"):
            with self.subTest(encoding=encoding):
                status, out, _ = run_main(self.listing, {"VLLM_API_KEY": KEY}, encoding=encoding)
                self.assertEqual((status, out.split()), (0, self.keys.decode().split()))
                status, out, err = run_main(["chat", "\u6f22\U0001f600\u00e9", "--base-url", self.url], {"VLLM_API_KEY": KEY}, encoding=encoding)
                self.assertEqual(status, 0, err)
                self.assertIn("You said: ", out)


if __name__ == "__main__":
    unittest.main()
