"""Tests of openclaw_vllm.py: standard library only, loopback only."""
import contextlib
import copy
import difflib
import errno
import http.server
import io
import json
import math
import os
import random
import re
import shutil
import socket
import socketserver
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from unittest import mock

import openclaw_vllm as vllm


def a_model(model_id="tiny-qwen3", context_window=4096, reasoning=False, name=None):
    return vllm.Model(
        id=model_id, name=name or model_id, provider="vllm", base_url="http://127.0.0.1:8000/v1", input=("text",),
        context_window=context_window, context_tokens=None, max_tokens=None, reasoning=reasoning, source="discovered",
        parent=None, root=None, tags=(), compat={}, headers={}, params={}, thinking=None)


def a_block(*models, **options):
    return vllm.config_block(models or [a_model()], "http://127.0.0.1:8000/v1", **options)


def merge_text(text, block, **options):
    """Return (new text, Merge) of one run over a text."""
    merge = vllm.merge_provider(vllm.json5_loads(text), block, **options)
    return vllm.edited_text(text, merge.edits, "openclaw.json"), merge


def same(one, other):
    """Tell whether two parsed values are the same, types and NaN included, whatever the order of keys."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# ----------------------------------------------------------------------------
# Servers to talk to
# ----------------------------------------------------------------------------

CERTIFICATE = """\
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
# A self-signed authority and its key, made for these tests and used nowhere else; good for 127.0.0.1 until 2120.


class Request(object):
    """One request as a Loopback server got it."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.key = headers.get("Authorization")

    def json(self):
        return json.loads(self.body.decode("utf-8")) if self.body else None


@contextlib.contextmanager
def loopback(answer, tls=False):
    """Serve on a free port of 127.0.0.1; yield (base URL, [Request]).

    `answer(request)` returns (status, headers, body): bytes, a JSON object, or an
    iterable of bytes that ends with the connection.
    """
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, self.headers, body)
            requests.append(request)
            status, headers, body = answer(request)
            if isinstance(body, dict):
                body = json.dumps(body).encode("ascii")
            self.send_response_only(status)
            headers = dict(headers, **({"Content-Length": str(len(body))} if isinstance(body, bytes) else {}))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in [body] if isinstance(body, bytes) else body:
                self.wfile.write(piece)

        do_GET = do_POST = do_CONNECT = handle_any

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_):
            pass                                     # a client that hung up, as many here do

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = server_context().wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with running(server):
        yield "http%s://127.0.0.1:%d" % ("s" if tls else "", server.server_address[1]), requests


def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "both.pem")
        write(path, CERTIFICATE)
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def raw_server(converse):
    """Serve a socket on a free port; `converse(connection, over)` gets each connection in a thread.

    `over` is an Event that is set when the test is. Yield the base URL.
    """
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                converse(self.request, over)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    with running(server):
        try:
            yield "http://127.0.0.1:%d" % server.server_address[1]
        finally:
            over.set()


def write(path, text):
    with open(path, "w") as target:
        target.write(text)


@contextlib.contextmanager
def names(**hosts):
    """Let host names of the test resolve: {name with _ for a dot: address, or None for a name that does not}."""
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


def run(argv, env=None, stdin=""):
    """Run the command line in this process: (exit status, standard output, standard error)."""
    out, err = io.StringIO(), io.StringIO()
    status = vllm.main(argv, env or {}, io.StringIO(stdin), out, err)
    return status, out.getvalue(), err.getvalue()


MODEL = {"id": "qwen", "object": "model", "root": "Qwen/Qwen3-8B", "parent": None, "max_model_len": 40960}


def healthy(changes=None, models=(MODEL,), key=None):
    """Return an `answer` for a loopback server that behaves like a healthy vLLM.

    `changes` {path: (status, headers, body) or function of the request} replaces answers.
    """
    usual = {
        "/v1/models": (200, {}, {"object": "list", "data": list(models)}),
        "/version": (200, {}, {"version": "0.32.0"}),
        "/health": (200, {}, b""),
        "/metrics": (200, {}, b"vllm:num_requests_running{engine=\"0\"} 2.0\nvllm:num_requests_running{engine=\"1\"} 1.0\n"
                              b"vllm:num_requests_waiting{engine=\"0\"} 0.0\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n"),
        "/openapi.json": (200, {}, {"paths": {"/invocations": {}, "/v1/models": {}}}),
        "/tokenize": (200, {}, {"count": 9, "max_model_len": 40960, "tokens": []}),
        "/v1/chat/completions": lambda request: (200, {"Content-Type": "text/event-stream"}, stream(request)),
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
    chunks = [{"choices": [{"index": 0, "delta": dict({"content": text}, **delta)}]} for text in texts]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage:
        chunks.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}})
    return ([b"data: " + json.dumps(dict(chunk, id="c1", model="qwen")).encode("ascii") + b"\n\n" for chunk in chunks]
            + ([b"data: [DONE]\n\n"] if done else []))


def refused(message, status=400):
    return status, {}, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}


# ----------------------------------------------------------------------------
# Config editing
# ----------------------------------------------------------------------------

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
  agents: {
    defaults: {
      model: { primary: "vllm/tiny-qwen3" },
    },
  },
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
    """`config_block` and `render_json5`."""

    def test_is_what_the_documentation_writes(self):
        block = a_block(a_model("your-model-id", 128000, name="Local vLLM Model"))
        self.assertEqual(vllm.render_json5({"models": {"providers": {"vllm": block}}}) + "\n", PAGE_EXAMPLE)

    def test_leaves_room_for_the_prompt(self):
        for window, wanted in ((128000, 8192), (16384, 8192), (16383, 8191), (4096, 2048), (1, 1)):
            with self.subTest(window=window):
                row = a_block(a_model(context_window=window))["models"][0]
                self.assertEqual((row["contextWindow"], row["maxTokens"]), (window, wanted))

    def test_states_no_window_the_server_does_not_state(self):
        row = a_block(a_model(context_window=None))["models"][0]
        self.assertEqual(sorted(row), ["cost", "id", "input", "name", "reasoning"])

    def test_gives_the_evidence_for_thinking_as_a_comment(self):
        models = [a_model("plain"), a_model("some-r1", reasoning=True), a_model("qwen3")]
        evidence = {"some-r1": (None, "the name says so"),
                    "qwen3": ({"thinkingFormat": "qwen-chat-template"}, "it thought\nwhen */ asked\u2028to")}
        text = vllm.render_json5(a_block(*models, evidence=evidence))
        self.assertIn('      // the name says so\n      reasoning: true,\n', text)
        self.assertIn('      // it thought when * / asked to\n'
                      '      compat: { thinkingFormat: "qwen-chat-template" },\n', text)
        rows = vllm.json5_loads(text)["models"]
        self.assertEqual([row["reasoning"] for row in rows], [False, True, True])
        self.assertEqual([row.get("compat") for row in rows], [None, None, {"thinkingFormat": "qwen-chat-template"}])

    def test_can_leave_the_key_out(self):
        self.assertNotIn("apiKey", a_block(api_key_text=None))

    def test_keeps_a_hostile_id_from_naming_a_variable(self):
        for model_id in ("${VLLM_API_KEY}", "$${HOME}", "a$${A}${B}$c", "${lower}", "$"):
            with self.subTest(id=model_id):
                written = a_block(a_model(model_id))["models"][0]["id"]
                variables = {"VLLM_API_KEY": "secret", "HOME": "h", "A": "a", "B": "b"}
                self.assertEqual(vllm._substitute(written, variables, "", {}), model_id)
                merge = vllm.merge_provider({}, a_block(a_model(model_id)), primary="vllm/" + model_id)
                self.assertEqual(merge.edits[-1][1], "vllm/" + written)

    def test_writes_any_text_so_that_it_reads_the_same(self):
        texts = ["", "a'b\"c\\", "\u2028\u2029\ufeff\u00a0", "\x00\x01\x1b[2J\x7f\x9f\r\n\t", "\u202egnp.exe",
                 "\U0001f600 é 漢", "*/ // /*", "${X}", "\U000e0041"]
        for text in texts:
            for quote in "\"'":
                with self.subTest(text=text, quote=quote):
                    style = vllm._PAGE_STYLE._replace(quote=quote)
                    written = vllm.render_json5({text: [text]}, style)
                    self.assertEqual(vllm.json5_tree(written).value, {text: [text]})
                    self.assertTrue(written.replace("\n", "").isprintable(), written)
        self.assertEqual(json.loads(vllm.render_json5("a\ud800b")), "a\ud800b")

    def test_writes_any_number(self):
        for number in (0, -1, 1.5, 1e300, 10 ** 30, True, None, math.inf, -math.inf, math.nan):
            self.assertTrue(same(vllm.json5_loads(vllm.render_json5([number])), [number]), number)


# (what it is, before, edits, after): what a careful person would have typed.
PRIMARY = [(("agents", "defaults", "model", "primary"), "vllm/m")]
ADD_C = [(("c",), 3)]
CAREFUL = [
    ("an empty object", "{}", ADD_C, "{ c: 3 }"),
    ("an empty object with room", "{\n}\n", ADD_C, "{\n  c: 3,\n}\n"),
    ("objects on the way", "{}\n", PRIMARY,
     "{\n  agents: {\n    defaults: {\n      model: { primary: \"vllm/m\" },\n    },\n  },\n}\n"),
    ("the last line has its comma", "{\n  a: 1,\n  b: 2,\n}\n", ADD_C, "{\n  a: 1,\n  b: 2,\n  c: 3,\n}\n"),
    ("the last line has no comma", "{\n  a: 1,\n  b: 2\n}\n", ADD_C, "{\n  a: 1,\n  b: 2,\n  c: 3\n}\n"),
    ("plain JSON stays plain JSON",
     '{\n    "a": {\n        "x": 1\n    }\n}', [(("c",), {"d": [vllm.Noted("e", "why")]})],
     '{\n    "a": {\n        "x": 1\n    },\n    "c": {\n        "d": [\n            "e"\n        ]\n    }\n}'),
    ("minified JSON stays minified", '{"a":{"x":[1,2]}}', [(("a", "c"), {"d": [3, 4]})],
     '{"a":{"x":[1,2],"c":{"d":[3,4]}}}'),
    ("minified JSON stays minified, however long", '{"a":{"x":1}}', [(("a", "c"), "t" * 100)],
     '{"a":{"x":1,"c":"' + "t" * 100 + '"}}'),
    ("tabs", "{\n\ta: {\n\t\tx: 1,\n\t},\n}\n", [(("a", "c"), {"d": {"e": 2}})],
     "{\n\ta: {\n\t\tx: 1,\n\t\tc: {\n\t\t\td: { e: 2 },\n\t\t},\n\t},\n}\n"),
    ("CRLF", "{\r\n  a: 1,\r\n}\r\n", [(("c", "d"), {"e": 2})],
     "{\r\n  a: 1,\r\n  c: {\r\n    d: { e: 2 },\r\n  },\r\n}\r\n"),
    ("CR", "{\r a: 1,\r}", ADD_C, "{\r a: 1,\r c: 3,\r}"),
    ("a byte-order mark", "\ufeff{\n  a: 1\n}", ADD_C, "\ufeff{\n  a: 1,\n  c: 3\n}"),
    ("single quotes", "{\n  a: 'x',\n}\n", [(("c",), "it's")], "{\n  a: 'x',\n  c: 'it\\'s',\n}\n"),
    ("quoted keys", "{\n  'a': 1,\n}\n", ADD_C, "{\n  'a': 1,\n  'c': 3,\n}\n"),
    ("a key that needs quotes", "{\n  a: 1,\n}\n", [(("vllm/*",), {})], "{\n  a: 1,\n  \"vllm/*\": {},\n}\n"),
    ("a key quoted from need is no habit", "{\n  \"x/*\": {},\n}\n", ADD_C, "{\n  \"x/*\": {},\n  c: 3,\n}\n"),
    ("one line", "{ a: 1 }\n", ADD_C, "{ a: 1, c: 3 }\n"),
    ("one line without room", "{a: 1, b:2}\n", ADD_C, "{a: 1, b:2, c: 3}\n"),
    ("one line with a last comma", "{ a: 1, }\n", ADD_C, "{ a: 1, c: 3, }\n"),
    ("one line within lines", "{\n  agents: { defaults: { workspace: \"~/w\" } },\n}\n", PRIMARY,
     "{\n  agents: { defaults: { workspace: \"~/w\", model: { primary: \"vllm/m\" } } },\n}\n"),
    ("a line that would grow too long is broken up", "{\n  a: { x: { y: 1 }, z: [2] }, // n\n}\n",
     [(("a", "x", "text"), "t" * 80)],
     "{\n  a: {\n    x: {\n      y: 1,\n      text: \"" + "t" * 80 + "\",\n    },\n    z: [2],\n  }, // n\n}\n"),
    ("an empty object in a line that would grow too long", "{ a: {} }", [(("a", "text"), "t" * 100)],
     "{\n  a: {\n    text: \"" + "t" * 100 + "\",\n  },\n}"),
    ("rows of one line", "[\n  { id: 1, b: [] },\n  { id: 2, b: [] }\n]", [((2,), {"id": 3, "b": [1]})],
     "[\n  { id: 1, b: [] },\n  { id: 2, b: [] },\n  { id: 3, b: [1] }\n]"),
    ("rows that go on where the one before ends",
     "[{\n  id: 1,\n}, {\n  id: 2,\n}]", [((2,), {"id": 3, "b": {"c": 4}})],
     "[{\n  id: 1,\n}, {\n  id: 2,\n}, {\n  id: 3,\n  b: { c: 4 },\n}]"),
    ("braces that open together", "{ a: {\n  x: 1,\n} }\n", ADD_C, "{ a: {\n  x: 1,\n}, c: 3 }\n"),
    ("braces that close together", "{\n  a: {\n    x: 1 } }\n", ADD_C, "{\n  a: {\n    x: 1 },\n  c: 3 }\n"),
    ("an array packed in lines", "[\n  1, 2,\n  3, 4\n]", [((4,), 5)], "[\n  1, 2,\n  3, 4,\n  5\n]"),
    ("a comment behind the last line", "{\n  a: 1, // one\n}\n", ADD_C, "{\n  a: 1, // one\n  c: 3,\n}\n"),
    ("a comment behind the last line, no comma", "{\n  a: 1 // one\n}\n", ADD_C, "{\n  a: 1, // one\n  c: 3\n}\n"),
    ("a block comment behind the last line", "{\n  a: 1 /* one */\n}\n", ADD_C, "{\n  a: 1 /* one */,\n  c: 3\n}\n"),
    ("a comment on the opening line", "{ a: 1 // one\n}\n", ADD_C, "{ a: 1, // one\n  c: 3\n}\n"),
    ("comments before the brace stay last",
     "{\n  a: 1,\n\n  // b: 2,\n}\n", ADD_C, "{\n  a: 1,\n  c: 3,\n\n  // b: 2,\n}\n"),
    ("an empty object with a comment", "{\n    // nothing yet\n}\n", ADD_C, "{\n    // nothing yet\n    c: 3,\n}\n"),
    ("an empty object with a comment on its line", "{ // nothing yet\n}\n", ADD_C, "{ // nothing yet\n  c: 3,\n}\n"),
    ("an empty object around a comment", "{ /* nothing */ }\n", ADD_C, "{ /* nothing */\n  c: 3,\n}\n"),
    ("a comma that begins a line",
     "{\n  a: 1\n  , b: 2 // two\n}\n", ADD_C, "{\n  a: 1\n  , b: 2, // two\n  c: 3\n}\n"),
    ("a value is replaced in its own quotes", "{ a: 'x', b: \"y\" /* z */ }", [(("b",), "n"), (("a",), "m")],
     "{ a: 'm', b: \"n\" /* z */ }"),
    ("the last of equal keys counts", "{ a: 1, b: {}, a: 2 }", [(("a",), 3)], "{ a: 1, b: {}, a: 3 }"),
    ("the last of equal objects counts", "{\n  a: { x: 1 },\n  a: { y: 2 },\n}", [(("a", "z"), 3)],
     "{\n  a: { x: 1 },\n  a: { y: 2, z: 3 },\n}"),
    ("a key spelled with an escape is that key", "{ \\u0061: 1 }", [(("a",), 2)], "{ \\u0061: 2 }"),
    ("a note", "{\n  a: 1,\n}\n", [(("c",), vllm.Noted(3, "seen"))], "{\n  a: 1,\n  // seen\n  c: 3,\n}\n"),
    ("a note on one line", "{ a: 1 }\n", [(("c",), vllm.Noted(3, "seen"))], "{ a: 1, /* seen */ c: 3 }\n"),
    ("several places at once", "{\n  a: { x: 1 },\n  b: [],\n}\n",
     [(("b", 0), 1), (("a", "y"), 2), (("c",), 3), (("b", 1), 2)],
     "{\n  a: { x: 1, y: 2 },\n  b: [1, 2],\n  c: 3,\n}\n"),
]


class Editing(unittest.TestCase):
    """`edit_json5`, and the proof of what it did."""

    def test_types_what_a_careful_person_would(self):
        for what, before, edits, after in CAREFUL:
            with self.subTest(what):
                self.assertEqual(vllm.edited_text(before, edits, "f"), after)

    def test_does_nothing_when_nothing_is_to_be_done(self):
        self.assertEqual(vllm.edit_json5("{ a: 1 }", []), [])

    def test_refuses_to_go_through_what_is_no_object(self):
        for text, path, where in (("{ a: 1 }", ("a", "b"), "a"), ("{ a: { b: [] } }", ("a", "b", "c"), "a.b"),
                                  ("{ a: null }", ("a", "b", "c"), "a"), ("[]", ("a",), "the top level")):
            with self.subTest(text):
                with self.assertRaises(vllm.ConfigError) as caught:
                    vllm.edit_json5(text, [(path, 1)])
                self.assertIn(where + ": expected an object, found", caught.exception.message)

    def test_the_proof_sees_whatever_else_changed(self):
        text, edits = "{ a: 1, b: [1, true, NaN], c: '1' }", [(("d",), 4)]
        vllm.prove_edit(text, "{ a: 1, b: [1, true, NaN], c: '1', d: 4 }", edits, "f")
        for wrong in ("{ a: 1, b: [1, true, NaN], c: '1' }", "{ a: 1, b: [1, true, NaN], c: '1', d: 5 }",
                      "{ a: true, b: [1, true, NaN], c: '1', d: 4 }", "{ a: 1, b: [1, 1, NaN], c: '1', d: 4 }",
                      "{ a: 1, b: [1, true, NaN], c: 1, d: 4 }", "{ a: 1.0, b: [1, true, NaN], c: '1', d: 4 }",
                      "{ a: 1, b: [1, true, NaN], c: '1', d: 4, e: 5 }", "{ a: 1, b: [1, true, NaN] c: '1', d: 4 }",
                      "{ b: [1, true, NaN], a: 1, c: '1', d: 4 }", ""):
            with self.subTest(wrong):
                with self.assertRaises(vllm.ConfigError) as caught:
                    vllm.prove_edit(text, wrong, edits, "the-file")
                self.assertEqual(caught.exception.cause, "config-not-written")
                self.assertIn("the-file", caught.exception.message)
                self.assertTrue(caught.exception.hint)

    def test_refuses_a_name_that_no_file_can_hold(self):
        with self.assertRaises(vllm.ConfigError) as caught:
            merge_text("{}", a_block(a_model("a\ud800b")))
        self.assertEqual(caught.exception.cause, "config-not-written")

    def test_is_quick_on_a_large_file(self):
        rows = [{"id": "m%d" % index} for index in range(300)]
        text = vllm.render_json5({"models": {"providers": {"vllm": {"models": rows}}}})
        new, _ = merge_text(text, a_block(*[a_model("m%d" % index) for index in range(302)]))
        self.assertEqual(len(vllm.json5_loads(new)["models"]["providers"]["vllm"]["models"]), 302)


class Merging(unittest.TestCase):
    """`merge_provider`: what is wanted of a config."""

    def added_lines(self, text, block, **options):
        new, merge = merge_text(text, block, **options)
        diff = [line for line in difflib.ndiff(text.splitlines(), new.splitlines()) if line[0] in "+-"]
        self.assertEqual(merge_text(new, block, **options)[1].edits, [], "the second run")
        return diff, merge

    def test_page_example_is_left_alone_when_it_is_right(self):
        self.assertEqual(self.added_lines(PAGE_EXAMPLE, a_block(a_model("your-model-id", 128000)))[0], [])

    def test_page_example_gains_the_served_model_and_the_primary(self):
        diff, merge = self.added_lines(PAGE_EXAMPLE, a_block(), primary="vllm/tiny-qwen3")
        self.assertEqual(merge.unserved, ["your-model-id"])
        self.assertEqual([line[2:] for line in diff], PAGE_EXAMPLE_GAINS.splitlines())
        self.assertEqual({line[0] for line in diff}, {"+"})

    def test_page_example_is_refreshed_in_two_lines(self):
        diff, _ = self.added_lines(PAGE_EXAMPLE, a_block(a_model("your-model-id", 8192)), refresh=True)
        self.assertEqual([line for line in diff if line[0] != "?"],
                         ["-             contextWindow: 128000,", "+             contextWindow: 8192,",
                          "-             maxTokens: 8192,", "+             maxTokens: 4096,"])

    def test_page_example_with_a_row_that_lacks_its_cost(self):
        diff, _ = self.added_lines(PAGE_CUSTOM_URL, a_block(a_model("my-custom-model", 4096)))
        self.assertEqual(diff, ["+             cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },"])

    def row_after(self, row, model=None, evidence=None, block=None, **options):
        config = {"models": {"providers": {"vllm": dict(block or {}, models=[row])}}}
        new, _ = merge_text(json.dumps(config), a_block(model or a_model(), evidence=evidence), **options)
        return vllm.json5_loads(new)["models"]["providers"]["vllm"]["models"][0]

    def test_pins_stay_and_what_is_lacking_fits_them(self):
        thinking = {"tiny-qwen3": ({"thinkingFormat": "qwen"}, "seen")}
        model = a_model(context_window=40960)
        for what, row, options, wanted in (
                ("window", {"contextWindow": 4096}, {}, {"contextWindow": 4096, "maxTokens": 2048}),
                ("tokens", {"contextWindow": 40960, "contextTokens": 1000}, {}, {"maxTokens": 500}),
                ("answer", {"maxTokens": 7}, {}, {"maxTokens": 7, "contextWindow": 40960}),
                ("provider's window", {}, {"block": {"contextWindow": 6000}},
                 {"contextWindow": None, "maxTokens": 3000}),
                ("provider's answer", {}, {"block": {"maxTokens": 9}}, {"contextWindow": 40960, "maxTokens": None}),
                ("refresh", {"contextWindow": 9, "maxTokens": 9}, {"refresh": True},
                 {"contextWindow": 40960, "maxTokens": 8192}),
                ("refresh, unknown", {"contextWindow": 9, "maxTokens": 9},
                 {"refresh": True, "model": a_model(context_window=None)},
                 {"contextWindow": 9, "maxTokens": 9}),
                ("name", {"name": "Mine", "input": ["text", "image"], "cost": {}}, {},
                 {"name": "Mine", "input": ["text", "image"], "cost": {}}),
                ("compat", {"compat": {"supportsTools": True}}, {"evidence": thinking},
                 {"compat": {"supportsTools": True, "thinkingFormat": "qwen"}, "reasoning": True}),
                ("compat pinned", {"compat": {"thinkingFormat": "zai"}}, {"evidence": thinking},
                 {"compat": {"thinkingFormat": "zai"}}),
                ("no reasoning", {"reasoning": False}, {"evidence": thinking}, {"reasoning": False, "compat": None})):
            with self.subTest(what):
                found = self.row_after(dict(row, id="tiny-qwen3"), **dict({"model": model}, **options))
                self.assertEqual({key: found.get(key) for key in wanted}, wanted)

    def test_what_it_writes_is_valid(self):
        evidence = {"tiny-qwen3": ({"thinkingFormat": "qwen"}, "seen")}
        for text in ("{}", PAGE_EXAMPLE, PAGE_CUSTOM_URL):
            for wildcard in (False, True):
                with self.subTest(text=text, wildcard=wildcard):
                    new, _ = merge_text(text, a_block(evidence=evidence), wildcard=wildcard, primary="vllm/tiny-qwen3")
                    self.assertEqual(vllm._faults(vllm.json5_loads(new), vllm._SCHEMA, ""), [])

    def test_rows_no_longer_served_are_kept_and_reported(self):
        config = {"models": {"providers": {"vllm": {"models": [{"id": "old"}, {"id": "tiny-qwen3"}, {"id": "older"}]}}}}
        new, merge = merge_text(json.dumps(config), a_block())
        rows = vllm.json5_loads(new)["models"]["providers"]["vllm"]["models"]
        self.assertEqual([row["id"] for row in rows], ["old", "tiny-qwen3", "older"])
        self.assertEqual(rows[0], {"id": "old"})
        self.assertEqual(merge.unserved, ["old", "older"])

    def test_a_row_whose_id_is_a_variable_is_known(self):
        config = {"models": {"providers": {"vllm": {"models": [{"id": "${MODEL}", "name": "x"}]}}}}
        merge = vllm.merge_provider(config, a_block(), variables={"MODEL": "tiny-qwen3"})
        self.assertEqual(merge.unserved, [])
        self.assertTrue(all(path[:5] == ("models", "providers", "vllm", "models", 0) for path, _ in merge.edits
                            if "models" in path[3:]))

    def test_what_the_block_says_of_the_server_stays(self):
        block = {"baseUrl": "http://other:9/v1/", "apiKey": "mine", "api": "openai-responses", "models": []}
        config = {"models": {"providers": {"vLLM": block}}}
        for options, wanted in (({}, "http://other:9/v1/"), ({"replace_base_url": True}, "http://127.0.0.1:8000/v1")):
            with self.subTest(options=options):
                found = vllm.json5_loads(merge_text(json.dumps(config), a_block(), **options)[0])["models"]["providers"]
                self.assertEqual(list(found), ["vLLM"])
                self.assertEqual((found["vLLM"]["baseUrl"], found["vLLM"]["apiKey"], found["vLLM"]["api"]),
                                 (wanted, "mine", "openai-responses"))
        same_place = {"models": {"providers": {"vllm": dict(a_block(), baseUrl="http://127.0.0.1:8000/v1/")}}}
        self.assertEqual(vllm.merge_provider(same_place, a_block(), replace_base_url=True).edits, [])

    def test_no_api_key_is_added_beside_another_credential(self):
        for block, wanted in (({}, True), ({"headers": {"X-Team": "a"}}, True),
                              ({"headers": {"authorization": "Bearer x"}}, False),
                              ({"request": {"auth": {"mode": "provider-default"}}}, False)):
            with self.subTest(block=block):
                merge = vllm.merge_provider({"models": {"providers": {"vllm": block}}}, a_block())
                self.assertEqual("apiKey" in [path[-1] for path, _ in merge.edits], wanted)

    def test_wildcard_asks_for_discovery_and_adds_no_rows(self):
        for config in ({}, {"models": {"providers": {"vllm": {"baseUrl": "http://x/v1", "models": [{"id": "a"}]}}}},
                       {"agents": {"defaults": {"models": {"openai/x": {}}}}}):
            with self.subTest(config=config):
                text = json.dumps(config)
                new = vllm.json5_loads(merge_text(text, a_block(), wildcard=True)[0])
                self.assertEqual(new["agents"]["defaults"]["models"]["vllm/*"], {})
                rows = new["models"]["providers"]["vllm"]["models"]
                self.assertEqual(rows, [{"id": "a"}] if "models" in config else [])
        config = {"models": {"providers": {"vllm": a_block()}},
                  "agents": {"defaults": {"models": {"vLLM/*": {"alias": "x"}}}}}
        self.assertEqual(vllm.merge_provider(config, a_block(a_model("b")), wildcard=True).edits, [])

    def test_primary_is_set_whatever_is_there(self):
        for model, wanted in ((None, {"primary": "vllm/m"}), ("openai/x", "vllm/m"), ({}, {"primary": "vllm/m"}),
                              ({"primary": "a/b", "fallbacks": ["c/d"]}, {"primary": "vllm/m", "fallbacks": ["c/d"]}),
                              ({"fallbacks": ["c/d"]}, {"fallbacks": ["c/d"], "primary": "vllm/m"})):
            with self.subTest(model=model):
                config = {} if model is None else {"agents": {"defaults": {"model": model}}}
                new = vllm.json5_loads(merge_text(json.dumps(config), a_block(), primary="vllm/m")[0])
                self.assertEqual(new["agents"]["defaults"]["model"], wanted)

    def test_a_second_provider_stands_beside_the_first(self):
        new, _ = merge_text(PAGE_EXAMPLE, a_block(), provider="vllm2", wildcard=True)
        new = vllm.json5_loads(new)
        self.assertEqual(list(new["models"]["providers"]), ["vllm", "vllm2"])
        self.assertEqual(new["agents"]["defaults"]["models"], {"vllm2/*": {}})

    def test_an_included_place_is_refused_and_named(self):
        rows = "['models.json5', 'more.json5']"
        for what, text, files, included in (
                ("the top", "{ $include: 'all.json5' }", {"all.json5": "{}"}, "all.json5"),
                ("the models", "{ models: { $include: 'm.json5' } }", {"m.json5": "{}"}, "m.json5"),
                ("beside the place", "{ $include: 'base.json5', a: 1 }",
                 {"base.json5": "{ models: {} }"}, "base.json5"),
                ("elsewhere", "{ $include: 'base.json5', a: 1 }", {"base.json5": "{ channels: {} }"}, None),
                ("further down", "{ $include: 'base.json5', a: 1 }",
                 {"base.json5": "{ $include: 'b.json5', c: 1 }", "b.json5": "{ models: {} }"}, "base.json5"),
                ("the block", "{ models: { providers: { VLLM: { $include: 'v.json5' } } } }",
                 {"v.json5": "{}"}, "v.json5"),
                ("the key of the block",
                 "{ models: { providers: { vllm: { $include: 'v.json5', baseUrl: 'http://x' } } } }",
                 {"v.json5": "{ apiKey: 'x' }"}, "v.json5"),
                ("the rows", "{ models: { providers: { vllm: { models: { $include: %s } } } } }" % rows,
                 {"models.json5": "[]", "more.json5": "[]"}, "models.json5"),
                ("a row", "{ models: { providers: { vllm: { models: [{ $include: 'r.json5' }] } } } }",
                 {"r.json5": "{ id: 'x' }"}, "r.json5"),
                ("a file not read", "{ $include: 'x.json5', a: 1 }", {}, "x.json5"),
                ("no include", "{}", {}, None)):
            with self.subTest(what):
                home = os.path.join(os.sep, "home", "u")
                path = os.path.join(home, "openclaw.json")
                config = vllm.json5_loads(text)
                sources = {os.path.join(home, name): source for name, source in files.items()}
                edits = vllm.merge_provider(config, a_block()).edits
                if included is None:
                    vllm.refuse_included(config, edits, path, sources)
                    continue
                with self.assertRaises(vllm.ConfigError) as caught:
                    vllm.refuse_included(config, edits, path, sources)
                self.assertEqual(caught.exception.cause, "config-included")
                self.assertEqual(caught.exception.facts["included"], os.path.join(home, included))
                self.assertIn(os.path.join(home, included), caught.exception.message)
                self.assertIn("config", caught.exception.hint)


class Json5Writer:
    """Writes a value as JSON5 in a random style: comments in every gap, quotes, commas, line ends."""

    def __init__(self, chance):
        self.chance = chance
        self.newline = chance.choice(["\n", "\n", "\r\n", "\r"])
        self.wild = chance.random() < 0.4                # else lines and indentation, as people write
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
                " // " + words + self.newline + indent, "/* " + words + " */",
                self.newline + indent + "// " + words + self.newline,
                " /* " + words + self.newline + " * more */ ", "//" + words + "\u2028"])
        if self.wild:
            return self.chance.choice(["", " ", self.newline, "\t", "\u00a0", self.newline * 2 + indent])
        return self.newline + indent if own_line else ""

    def value(self, value, indent):
        if isinstance(value, str):
            return vllm.render_json5(value, vllm._PAGE_STYLE._replace(quote=self.chance.choice(self.quotes)))
        if not isinstance(value, (dict, list)):
            return vllm.render_json5(value)
        left, right = "{}" if isinstance(value, dict) else "[]"
        one_line = not value or (not self.wild and self.chance.random() < 0.3)
        inner = indent + self.unit
        members = []
        for key in value:
            if isinstance(value, dict) and self.chance.random() < self.doubles:
                members.append(self.key(key) + ":" + self.value(self.chance.choice([None, "decoy", {}]), inner))
            prefix = self.key(key) + self.gap(inner) + ":" + (self.gap(inner) or " ") if isinstance(value, dict) else ""
            members.append(prefix + self.value(value[key] if isinstance(value, dict) else key, inner))
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
        row = {"id": model_id, "name": "it's \"%s\" \u2028" % model_id, "reasoning": chance.random() < 0.5,
               "input": ["text"], "cost": {"input": 1}, "contextWindow": chance.choice([100, 4096, 1e6]),
               "maxTokens": chance.choice([1, 2048]), "compat": {"supportsTools": False}, "params": {}}
        rows.append({key: value for key, value in row.items() if key == "id" or chance.random() < 0.6})
    chance.shuffle(rows)
    block = {"baseUrl": "http://other/v1", "apiKey": "${K}", "headers": {"a": "b"}, "models": rows, "maxTokens": 77}
    block = {key: block[key] for key in chance.sample(sorted(block), chance.randrange(len(block) + 1))}
    providers = dict(maybe(0.4, {"openai": {"models": [{"id": "gpt", "name": "x"}]}}), **maybe(0.6, {"VlLm": block}))
    model = chance.choice([None, "a/b", {}, {"fallbacks": ["c"]}, {"primary": "vllm/" + model_ids[0]}])
    defaults = dict(maybe(0.5, {"models": {"vllm/x": {"alias": "y"}}}), **({} if model is None else {"model": model}))
    config = dict(maybe(0.7, {"models": dict(maybe(0.7, {"providers": providers}), mode="merge")}),
                  **maybe(0.6, {"agents": maybe(0.8, {"defaults": defaults})}))
    config.update(maybe(0.5, {"gateway": {"port": 18789, "empty": {}, "list": [],
                                          "deep": [[1], {"a": None}, math.inf, -0.5]}}))
    keys = chance.sample(sorted(config), len(config))
    return {key: config[key] for key in keys}


def expected_merge(config, block, wildcard, primary, refresh):
    """Merge as plain data, written apart from the tool: what the file must hold afterwards."""
    config = copy.deepcopy(config)
    providers = config.setdefault("models", {}).setdefault("providers", {})
    block = vllm._bare(block)
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
                known.setdefault("models", []).append(served)
                continue
            window = served["contextWindow"] if refresh else row.get("contextWindow", served["contextWindow"])
            budget = min(8192, int(window) // 2)
            row.setdefault("name", served["name"])
            pinned_off = row.get("reasoning") is False
            for field in ("reasoning", "input", "cost", "contextWindow"):
                row.setdefault(field, served[field])
            if "maxTokens" not in known:
                row.setdefault("maxTokens", budget)
            if refresh and "contextWindow" in row:
                row["contextWindow"] = served["contextWindow"]
            if refresh and "maxTokens" in row:
                row["maxTokens"] = budget
            if "compat" in served and not pinned_off:
                row["compat"] = dict(served["compat"], **row.get("compat", {}))
    if wildcard:
        config.setdefault("agents", {}).setdefault("defaults", {}).setdefault("models", {})["vllm/*"] = {}
    if primary:
        defaults = config.setdefault("agents", {}).setdefault("defaults", {})
        if isinstance(defaults.get("model"), str):
            defaults["model"] = primary
        else:
            defaults.setdefault("model", {})["primary"] = primary
    return config


class AnyFile(unittest.TestCase):
    """Properties over generated files; a failure names the seed that makes it again."""

    SEEDS = range(300)

    def check(self, seed):
        chance = random.Random(seed)
        ids = ["m1", "Qwen/Qwen3-8B", "it's", "a\u2028b"]
        config = random_config(chance, ids)
        text = Json5Writer(chance).text(config)
        self.assertTrue(same(vllm.json5_tree(text).value, config), "the generator")
        served = chance.sample(ids, chance.randrange(1, len(ids) + 1))
        thinking = {chance.choice(ids): ({"thinkingFormat": "qwen"}, "seen */ today")}
        block = a_block(*[a_model(name, chance.choice([2000, 40960])) for name in served], evidence=thinking)
        options = {"wildcard": chance.random() < 0.2, "refresh": chance.random() < 0.3,
                   "primary": chance.choice([None, "vllm/" + served[0]])}

        merge = vllm.merge_provider(vllm.json5_loads(text), block, **options)
        splices = vllm.edit_json5(text, merge.edits)
        new = vllm.edited_text(text, merge.edits, "f")

        wanted = expected_merge(config, block, **options)
        self.assertTrue(same(vllm.json5_tree(new).value, wanted), "the merge of the parsed inputs")
        self.check_outside(text, splices, new)
        known = vllm._get(config, "models", "providers", "VlLm", "models") or []
        unserved = {row["id"] for row in known} - set(served)
        self.assertEqual(set(merge.unserved), set() if options["wildcard"] else unserved)
        self.assertEqual(vllm.merge_provider(vllm.json5_loads(new), block, **options).edits, [], "a second run")

    def check_outside(self, text, splices, new):
        pos = shift = 0
        values = {(node.start, node.end) for node in nodes_of(vllm.json5_tree(text)) if node.items is None}
        for start, end, piece in splices:
            self.assertLessEqual(pos, start)
            self.assertEqual(new[pos + shift:start + shift], text[pos:start])
            self.assertTrue((start, end) in values or not text[start:end].strip(" \t\r\n\u00a0\u2028"), text[start:end])
            pos, shift = end, shift + len(piece) - (end - start)
        self.assertEqual(new[pos + shift:], text[pos:])
        comments, kept = comments_of(new), comments_of(text)
        self.assertEqual([words for words in comments if "seen" not in words], kept)

    def test_is_merged_and_otherwise_left_alone(self):
        for seed in self.SEEDS:
            with self.subTest(seed=seed):
                self.check(seed)


def comments_of(text):
    found = [match.group() for match in re.finditer(vllm._JSON5_TOKEN, text)]
    return [words for words in found if words.startswith(("//", "/*"))]


def nodes_of(node):
    """Return a Node and all within it."""
    found = [node]
    for item in node.items or ():
        found += nodes_of(item[3] if isinstance(node.value, dict) else item)
    return found


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

    def bytes_of(self, path):
        with open(path, "rb") as file:
            return file.read()

    def assert_refused(self, old_text=OLD, words="", path=None):
        with self.assertRaises(vllm.ConfigError) as caught:
            vllm.write_config(path or self.path, old_text, NEW)
        error = caught.exception
        self.assertEqual((error.cause, error.exit_status), ("config-not-written", 3))
        self.assertIn(path or self.path, error.message)
        self.assertIn(words, error.message)
        self.assertTrue(error.hint)
        self.assert_tidy()
        return error

    def assert_tidy(self):
        self.assertEqual([name for name in os.listdir(self.home) if name.endswith(".tmp")], [])

    def test_replaces_every_byte_and_keeps_the_old_ones_beside(self):
        for old, new in ((OLD, NEW), ("\ufeff{}", "\ufeff{a:1}\r\n"), ("{}\r", "{\r}\u2028")):
            with self.subTest(old=old):
                self.put(old)
                vllm.write_config(self.path, old, new)
                self.assertEqual(self.bytes_of(self.path), new.encode("utf-8"))
                self.assertEqual(self.bytes_of(self.path + ".bak"), old.encode("utf-8"))
                self.assert_tidy()

    @unittest.skipUnless(os.name == "posix", "needs POSIX modes")
    def test_keeps_the_mode_of_the_file_and_gives_it_to_the_copy(self):
        for mode in (0o600, 0o640, 0o664, 0o755):
            with self.subTest(mode=oct(mode)):
                self.put(mode=mode)
                vllm.write_config(self.path, OLD, NEW)
                modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (self.path, self.path + ".bak")]
                self.assertEqual(modes, [mode, mode])

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "only root may give files away")
    def test_keeps_the_owner_of_the_file(self):
        self.put()
        os.chown(self.path, 12345, 54321)
        vllm.write_config(self.path, OLD, NEW)
        for path in (self.path, self.path + ".bak"):
            self.assertEqual((os.stat(path).st_uid, os.stat(path).st_gid), (12345, 54321))
        with mock.patch("os.chown", side_effect=PermissionError(errno.EPERM, "no")):
            vllm.write_config(self.path, NEW, OLD)
        self.assertEqual(self.bytes_of(self.path), OLD.encode("utf-8"))

    @unittest.skipUnless(os.name == "posix", "needs symbolic links")
    def test_follows_symbolic_links(self):
        self.put()
        os.mkdir(os.path.join(self.home, "dotfiles"))
        real = os.path.join(self.home, "dotfiles", "real.json")
        os.rename(self.path, real)
        os.symlink(os.path.join("dotfiles", "real.json"), self.path)
        vllm.write_config(self.path, OLD, NEW)
        self.assertTrue(os.path.islink(self.path))
        self.assertEqual(self.bytes_of(real), NEW.encode("utf-8"))
        self.assertEqual(self.bytes_of(real + ".bak"), OLD.encode("utf-8"))

    def test_creates_the_file_and_its_directories_for_the_owner_alone(self):
        path = os.path.join(self.home, "a", "b", "openclaw.json")
        vllm.write_config(path, None, NEW)
        self.assertEqual(self.bytes_of(path), NEW.encode("utf-8"))
        self.assertEqual(os.listdir(os.path.dirname(path)), ["openclaw.json"])
        if os.name == "posix":
            for part, mode in (("a", 0o700), ("a/b", 0o700), ("a/b/openclaw.json", 0o600)):
                self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.home, part)).st_mode), mode)

    def test_refuses_a_file_changed_meanwhile(self):
        self.put("{ other: 1 }")
        self.assert_refused(words="changed by someone else")
        self.assertEqual(self.bytes_of(self.path), b"{ other: 1 }")
        self.assert_refused(old_text=None, words="changed by someone else")
        os.unlink(self.path)
        self.assert_refused(words="changed by someone else")
        self.assertEqual(os.listdir(self.home), [])

    def test_refuses_a_file_changed_while_it_writes(self):
        self.put()
        real = os.fsync

        def meddle(descriptor):
            self.put("{ other: 1 }")
            return real(descriptor)

        with mock.patch("os.fsync", meddle):
            self.assert_refused(words="changed by someone else")
        self.assertEqual(self.bytes_of(self.path), b"{ other: 1 }")

    def test_any_fault_of_the_system_leaves_the_old_file_and_says_what_to_do(self):
        full, broken = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EIO, os.strerror(errno.EIO))
        denied, busy = OSError(errno.EACCES, os.strerror(errno.EACCES)), OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        faults = [
            ("opening the temporary file", "os.open", 1, denied, None, "ls -ld"),
            ("no room for it", "os.open", 1, full, None, "free some space"),
            ("writing half of it", "os.fdopen", 1, full, FailingFile, "free some space"),
            ("writing half of the copy", "os.fdopen", 2, full, FailingFile, "free some space"),
            ("fsync", "os.fsync", 1, broken, None, "mend that"),
            ("fsync of the copy", "os.fsync", 2, broken, None, "mend that"),
            ("the mode", "os.chmod", 1, denied, None, "ls -ld"),
            ("the mode of the copy", "os.chmod", 2, denied, None, "ls -ld"),
            ("reading the file", "builtins.open", 1, denied, None, "ls -ld"),
            ("reading back", "builtins.open", 2, broken, None, "mend that"),
            ("reading back the copy", "builtins.open", 3, broken, None, "mend that"),
            ("reading the file again", "builtins.open", 4, broken, None, "mend that"),
            ("replacing the copy", "os.replace", 1, denied, None, "ls -ld"),
            ("replacing the file", "os.replace", 2, busy, None, "mount its directory"),
        ]
        import builtins
        for what, name, call, error, wrap, hint in faults:
            if name == "os.chmod" and os.name != "posix":
                continue
            with self.subTest(what):
                self.put()
                real = getattr({"os": os, "builtins": builtins}[name.split(".")[0]], name.split(".")[1])
                with mock.patch(name, failing(real, call, error, wrap)):
                    refused = self.assert_refused(words=os.strerror(error.errno))
                self.assertIn(hint, refused.hint)
                self.assertIn("config", refused.hint)
                self.assertEqual(self.bytes_of(self.path), OLD.encode("utf-8"))

    def test_refuses_what_reads_back_differently(self):
        self.put()
        real = open

        def lying(path, mode="r", *args, **kwargs):
            file = real(path, mode, *args, **kwargs)
            if str(path).endswith(".tmp"):
                file.close()
                file = real(os.devnull, "rb")
            return file

        with mock.patch("builtins.open", lying):
            self.assert_refused(words="reads back differently")
        self.assertEqual(self.bytes_of(self.path), OLD.encode("utf-8"))

    @unittest.skipUnless(os.name == "posix", "directories cannot be opened there")
    def test_syncs_the_directory_but_does_not_insist(self):
        self.put()
        real, synced = os.fsync, []

        def fsync(descriptor):
            synced.append(os.fstat(descriptor).st_mode)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "no")
            return real(descriptor)

        with mock.patch("os.fsync", fsync):
            vllm.write_config(self.path, OLD, NEW)
        self.assertEqual([stat.S_ISDIR(mode) for mode in synced], [False, False, True, True])
        self.assertEqual(self.bytes_of(self.path), NEW.encode("utf-8"))

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

    def test_refuses_a_directory_it_may_not_write(self):
        self.put()
        self.as_anyone()
        os.chmod(self.home, 0o500)
        self.addCleanup(os.chmod, self.home, 0o700)
        self.assertIn("ls -ld " + self.home, self.assert_refused(words="ermission denied").hint)
        self.assert_refused(None, "ermission denied", os.path.join(self.home, "new", "openclaw.json"))
        self.assertEqual(self.bytes_of(self.path), OLD.encode("utf-8"))

    def test_refuses_a_write_protected_file(self):
        self.put(mode=0o400)
        self.as_anyone()
        self.assert_refused(words="ermission denied")
        self.assertEqual(self.bytes_of(self.path), OLD.encode("utf-8"))

    def test_refuses_a_directory_that_is_a_file(self):
        self.put()
        self.assert_refused(None, "", os.path.join(self.path, "openclaw.json"))
        self.assertEqual(self.bytes_of(self.path), OLD.encode("utf-8"))

    def test_an_interrupt_at_any_line_leaves_one_whole_file_and_nothing_else(self):
        seen = set()
        for line in range(1, 200):
            self.put()
            interrupted = self.interrupted_at(line)
            self.assertIn(self.bytes_of(self.path), (OLD.encode("utf-8"), NEW.encode("utf-8")))
            seen.add(self.bytes_of(self.path))
            self.assert_tidy()
            if not interrupted:
                break
        self.assertEqual(len(seen), 2)
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
while rounds < 20 or (rounds < 150 and time.monotonic() < ends):
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
assert len(seen) == 2, "no writer got anywhere"
print("whole")
"""


# ----------------------------------------------------------------------------
# Doctor
# ----------------------------------------------------------------------------

class DoctorTest(unittest.TestCase):
    """`doctor` names each cause, and no other, against servers that truly behave so."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.env = {"OPENCLAW_STATE_DIR": self.folder, "VLLM_API_KEY": "vllm-local"}

    def configure(self, config):
        write(os.path.join(self.folder, "openclaw.json"), config if isinstance(config, str) else json.dumps(config))

    def declare(self, url, defaults=None, **row):
        """Write a config with one declared model at the server `url`."""
        block = {"baseUrl": url + "/v1", "models": [dict({"id": "qwen", "name": "Qwen"}, **row)]}
        self.configure({"models": {"providers": {"vllm": block}}, "agents": {"defaults": defaults or {}}})

    def doctor(self, *argv):
        """Return (exit status, [finding]) of `doctor --json`, its shape checked."""
        status, out, err = run(["doctor", "--json"] + list(argv), self.env)
        report = json.loads(out)
        self.assertEqual(set(report), {"ok", "findings"})
        self.assertEqual(report["ok"], all(finding["status"] != "fail" for finding in report["findings"]))
        for finding in report["findings"]:
            self.assertEqual(set(finding), {"check", "status", "cause", "summary", "fix"})
            self.assertIn(finding["status"], ("ok", "warn", "fail", "skip"))
            self.assertEqual(finding["cause"] is None, finding["status"] == "ok", finding)
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
        warned = [finding for finding in findings if finding["status"] in ("fail", "warn")]
        self.assertEqual([(finding["status"], finding["cause"]) for finding in warned], [("warn", cause)], warned)
        self.assertEqual(status, 0)
        return warned[0]

    def checked(self, check, *argv):
        """Return the findings of one check."""
        return [finding for finding in self.doctor(*argv)[1] if finding["check"] == check]

    # healthy

    def test_a_healthy_server_has_nothing_wrong(self):
        for key in (None, "sk-secret-of-the-test"):
            self.env["VLLM_API_KEY"] = key or "vllm-local"
            for more in ([], ["--probe"]):
                with self.subTest(key=key, more=more), loopback(healthy(key=key)) as (url, requests):
                    status, findings = self.doctor("--base-url", url + "/v1", *more)
                    self.assertEqual((status, {finding["status"] for finding in findings}), (0, {"ok"}), findings)
                    posts = {request.path for request in requests if request.method == "POST"}
                    self.assertEqual(posts, {"/tokenize", "/v1/chat/completions"} if more else {"/tokenize"})

    def test_the_server_is_described(self):
        models = [MODEL, dict(MODEL, id="alias"),
                  {"id": "sql", "root": "/adapters/sql", "parent": "qwen", "max_model_len": None}]
        with loopback(healthy(models=models)) as (url, _):
            findings = {finding["check"]: finding["summary"] for finding in self.doctor("--base-url", url + "/v1")[1]}
        for check, words in (("version", "vLLM 0.32.0"), ("models", "qwen (also alias), 40960 tokens; LoRA: sql on qwen"),
                             ("template", "system and developer; a prompt of one word is 9 tokens"),
                             ("load", "3 requests running, 0 requests waiting, KV cache 25 % full"),
                             ("key", "VLLM_API_KEY (the environment)"), ("provider", "implicit")):
            self.assertIn(words, findings[check])

    # the settings

    def test_settings_that_stop_it(self):
        provider = {"baseUrl": "http://127.0.0.1:9/v1", "models": []}
        config = {"models": {"providers": {"vllm": provider}}}
        for cause, status, changes in (
                ("config-invalid", 3, "{,"),
                ("config-invalid", 3, {"models": []}),
                ("provider-disabled", 1, {"plugins": {"entries": {"vllm": {"enabled": False}}}}),
                ("config-missing-variable", 1, dict(config, models={"providers": {"vllm": dict(provider, baseUrl="${HERE}")}})),
                ("config-missing-variable", 1, dict(config, models={"providers": {"vllm": dict(provider, apiKey="${MINE}")}})),
                ("endpoint-in-base-url", 3,
                 dict(config, models={"providers": {"vllm": dict(provider, baseUrl="http://h/v1/chat/completions")}})),
                ("not-opted-in", 1, {})):
            with self.subTest(cause=cause, changes=changes):
                self.configure(changes)
                if cause in ("config-missing-variable", "not-opted-in"):
                    self.env.pop("VLLM_API_KEY", None)
                else:
                    self.env["VLLM_API_KEY"] = "vllm-local"
                with mock.patch.object(vllm, "Exchange", side_effect=AssertionError("a connection")):
                    found = self.assert_fails(cause, status)
                if cause == "endpoint-in-base-url":
                    self.assertIn("http://h/v1", found["fix"])
                if cause == "config-missing-variable":
                    self.assertIn("export ", found["fix"])

    def test_a_base_url_or_key_that_cannot_be_used(self):
        for url in ("gpu:8000/v1", "ftp://gpu/v1", "http://gpu/v1?x=1", "http://gpu/v1#x", "http://me:secret@gpu/v1"):
            with self.subTest(url=url):
                self.assertNotIn("secret", str(self.assert_fails("bad-base-url", 3, "--base-url", url)))
        self.env["VLLM_API_KEY"] = "sk-two\nlines"
        self.assertNotIn("sk-two", str(self.assert_fails("bad-key", 5)))

    def test_settings_to_be_warned_of(self):
        with loopback(healthy()) as (url, _):
            block = {"baseUrl": url + "/v1", "apiKeys": "x", "models": [{"id": "qwen", "name": "Qwen"}]}
            self.configure({"models": {"providers": {"vllm": block}}})
            found = self.assert_warns("config-unknown-key")
            self.assertIn("openclaw.json:1:", found["summary"])
            self.assertEqual(found["fix"], "rename it to apiKey")
            self.configure({"models": {"providers": {"vllm": {"baseUrl": url + "/v1", "models": []},
                                                     "other": {"baseUrl": "http://h", "apiKey": "${OTHER}"}}}})
            self.assertIn("export OTHER=", self.assert_warns("config-missing-variable")["fix"])

    def test_keys_that_disagree_are_named_and_never_shown(self):
        with loopback(healthy()) as (url, _):
            write(os.path.join(self.folder, ".env"), "VLLM_API_KEY=short-two\n")
            self.configure({"models": {"providers": {"vllm": {"baseUrl": url + "/v1", "apiKey": "short-three", "models": []}}}})
            found = self.assert_warns("bad-key")
        for words in ("VLLM_API_KEY (the environment)", "models.providers.vllm.apiKey", ".env"):
            self.assertIn(words, found["summary"])
        self.assertNotIn("short-", str(found))

    def test_a_base_url_of_our_own_variable(self):
        with loopback(healthy()) as (url, _):
            self.env["VLLM_BASE_URL"] = url + "/v1"
            self.assertIn("OpenClaw does not read", self.checked("base-url")[0]["summary"])
            self.declare(url)
            self.env["VLLM_BASE_URL"] = "http://127.0.0.1:9/v1"
            self.assertIn("stands above VLLM_BASE_URL", self.checked("base-url")[0]["summary"])

    # the way to the server

    def test_a_name_that_does_not_resolve(self):
        with names(gpu_example=None):
            self.assertIn("gpu.example", self.assert_fails("dns", 4, "--base-url", "http://gpu.example/v1")["summary"])

    def test_nothing_listens(self):
        port = free_port()
        found = self.assert_fails("connection-refused", 4, "--base-url", "http://127.0.0.1:%d/v1" % port)
        self.assertIn("vllm serve MODEL --port %d" % port, found["fix"])

    def test_a_server_that_still_loads(self):
        with socket.socket() as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)      # as vLLM does
            bound.bind(("127.0.0.1", 0))
            self.assert_fails("server-loading", 4, "--base-url", "http://127.0.0.1:%d/v1" % bound.getsockname()[1])
        for models in ((200, {}, {"data": [MODEL]}), (503, {}, b"")):
            with self.subTest(models=models[0]), loopback(healthy({"/health": (503, {}, b""), "/v1/models": models})) as (url, _):
                self.assert_fails("server-loading", 1 if models[0] == 200 else 4, "--base-url", url + "/v1")

    def test_only_one_address_family_answers(self):
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        with loopback(healthy()) as (url, _):
            found = self.assert_fails("wrong-address-family", 4, "--base-url", url.replace("127.0.0.1", "[::1]") + "/v1")
            self.assertIn(url + "/v1", found["fix"])
            both = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", int(url.rsplit(":", 1)[1]), 0, 0)),
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(url.rsplit(":", 1)[1])))]
            real = socket.getaddrinfo
            with mock.patch("socket.getaddrinfo", lambda host, *rest: both if host == "localhost" else real(host, *rest)):
                found = self.assert_warns("wrong-address-family", "--base-url", url.replace("127.0.0.1", "localhost") + "/v1")
            self.assertIn(url + "/v1", found["fix"])

    def test_a_proxy_in_the_way(self):
        broken = (502, {"Via": "1.1 squid"}, b"<html>Bad Gateway</html>")
        for proxy_answer in (lambda request: broken, None):
            with self.subTest(proxy=proxy_answer), loopback(healthy()) as (url, _), names(gpu_example="127.0.0.1"):
                with loopback(proxy_answer or healthy()) as (proxy, _):
                    self.env["HTTP_PROXY"] = proxy if proxy_answer else "http://127.0.0.1:%d" % free_port()
                    self.env["NO_PROXY"] = "10.0.0.0/8"
                    there = url.replace("127.0.0.1", "gpu.example") + "/v1"
                    found = self.assert_fails("proxy-captured", 4, "--base-url", there)
                    self.assertIn("NO_PROXY=10.0.0.0/8,gpu.example", found["fix"])

    def test_a_proxy_that_is_needed(self):
        with names(gpu_example="127.0.0.1"), loopback(lambda request: healthy()(
                Request(request.method, request.path.replace("http://gpu.example:%d" % port, ""), request.headers, b""))) as (
                    proxy, _):
            port = free_port()
            self.env.update(HTTP_PROXY=proxy, NO_PROXY="10.0.0.0/8, .example")
            found = self.assert_fails("proxy-captured", 4, "--base-url", "http://gpu.example:%d/v1" % port)
            self.assertIn("export NO_PROXY=10.0.0.0/8", found["fix"])
            self.assertNotIn(".example", found["fix"])

    def test_the_other_scheme(self):
        with loopback(healthy()) as (url, requests):
            self.env["VLLM_API_KEY"] = "sk-secret-of-the-test"
            found = self.assert_fails("scheme-mismatch", 4, "--base-url", url.replace("http:", "https:") + "/v1")
            self.assertIn(url + "/v1", found["fix"])
            self.assertEqual({request.key for request in requests}, {None})
        with loopback(healthy(), tls=True) as (url, requests):
            found = self.assert_fails("scheme-mismatch", 4, "--base-url", url.replace("https:", "http:") + "/v1")
            self.assertIn(url + "/v1", found["fix"])
            self.assertEqual(requests, [])

    def test_a_certificate_that_is_not_trusted(self):
        with loopback(healthy(), tls=True) as (url, requests):
            found = self.assert_fails("tls-untrusted", 4, "--base-url", url + "/v1")
            self.assertIn("issued by vllm test authority, valid from 2020-01-01 to 2120-01-01", found["summary"])
            self.assertIn("--ca-file", found["fix"])
            self.assertEqual(requests, [])
            path = os.path.join(self.folder, "ca.pem")
            write(path, CERTIFICATE)
            self.assertEqual(self.doctor("--base-url", url + "/v1", "--ca-file", path)[0], 0)
            self.assert_fails("tls-untrusted", 4, "--base-url", url.replace("127.0.0.1", "localhost") + "/v1", "--ca-file", path)

    # what answers

    def test_a_redirect_is_reported_and_not_followed(self):
        with loopback(healthy()) as (right, followed):
            with loopback(lambda request: (307, {"Location": right + request.path}, b"")) as (url, _):
                found = self.assert_fails("redirect", 4, "--base-url", url + "/v1")
        self.assertIn(right + "/v1", found["fix"])
        self.assertEqual(followed, [])

    def test_a_base_url_without_v1(self):
        page = (200, {"Content-Type": "text/html"}, b"<html>hello</html>")
        for name, changes, base, key in (("404", {}, "", None), ("a page", {"/models": page}, "", None),
                                         ("elsewhere", {}, "/api", None), ("a key", {}, "", "sk-other")):
            with self.subTest(name), loopback(healthy(changes, key=key)) as (url, _):
                self.assertIn(url + "/v1", self.assert_fails("missing-v1", 4, "--base-url", url + base)["fix"])

    def test_something_else_answers(self):
        for cause, answer, words in (
                ("not-openai", (200, {"Server": "nginx"}, b"<html>Welcome to nginx!</html>"), "nginx"),
                ("not-openai", (200, {}, {"models": []}), "data"),
                ("http-error", (500, {"Via": "1.1 gateway"}, b"upstream is tired"), "1.1 gateway"),
                ("http-error", (404, {}, {"detail": "Not Found"}), "404")):
            with self.subTest(cause=cause, words=words), loopback(lambda request: answer) as (url, _):
                self.assertIn(words, self.assert_fails(cause, 4, "--base-url", url + "/v1")["summary"])

        def speak(connection, over):
            connection.recv(100)
            connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        with raw_server(speak) as url:
            self.assert_fails("not-openai", 4, "--base-url", url + "/v1")

    def test_keys_that_are_refused(self):
        for key, words in ((None, ""), ("vllm-local", "/version answers"), ("'sk-quoted'", "quotes"),
                           ("Bearer sk-abcdefgh", "Bearer"), ("${MY_KEY}", "unexpanded")):
            with self.subTest(key=key), loopback(healthy(key="sk-right")) as (url, requests):
                self.env.pop("VLLM_API_KEY", None)
                self.env.update({"VLLM_API_KEY": key} if key else {})
                found = self.assert_fails("bad-key" if key else "no-key", 5, "--base-url", url + "/v1")
                self.assertIn(words, found["summary"])
                self.assertNotIn("sk-", found["summary"])

    def test_the_key_of_requests_is_tried_too(self):
        with loopback(healthy(key="sk-right-one")) as (url, _):
            self.env["VLLM_API_KEY"] = "sk-right-one"
            block = {"baseUrl": url + "/v1", "headers": {"Authorization": "Bearer sk-wrong-one"}, "models": []}
            self.configure({"models": {"providers": {"vllm": block}}})
            self.assertIn("Authorization header", self.assert_fails("bad-key", 5)["summary"])

    def test_a_key_that_the_server_ignores(self):
        with loopback(healthy()) as (url, _):
            self.env["VLLM_API_KEY"] = "sk-0123456789abcdef"
            self.assert_warns("key-ignored", "--base-url", url + "/v1")
            self.env["VLLM_API_KEY"] = "vllm-local"
            self.assertIn("enforces none", self.checked("auth", "--base-url", url + "/v1")[0]["summary"])

    def test_what_the_key_does_not_guard(self):
        self.env["VLLM_API_KEY"] = "sk-right-one"
        with loopback(healthy(key="sk-right-one")) as (url, requests), names(gpu_example="127.0.0.1"):
            self.doctor("--base-url", url + "/v1")
            self.assertNotIn("/openapi.json", [request.path for request in requests])
            found = self.assert_warns("exposed", "--base-url", url.replace("127.0.0.1", "gpu.example") + "/v1")
            self.assertIn("/invocations", found["summary"])
            self.assertNotIn("/invocations", [request.path for request in requests])

    # models

    def test_no_models(self):
        with loopback(healthy(models=[])) as (url, _):
            self.assert_fails("no-models", 1, "--base-url", url + "/v1")

    def test_models_that_are_not_served(self):
        with loopback(healthy()) as (url, _):
            self.declare(url, id="qwem")
            self.assertIn("write qwen in place of qwem", self.assert_fails("model-not-served", 1)["fix"])
            self.declare(url, id="Qwen/Qwen3-8B")
            self.assertIn("write qwen in place", self.assert_fails("model-not-served", 1)["fix"])
            for choice in ({"primary": "vllm/other"}, {"primary": "vllm/qwen", "fallbacks": ["vllm/other", "openai/gpt"]}):
                self.declare(url, {"model": choice})
                self.assertIn("other", self.assert_fails("model-not-served", 1)["summary"])
            self.declare(url)
            self.assertIn("--model", self.assert_fails("model-not-served", 1, "--model", "other")["summary"])

    def test_windows_that_do_not_fit(self):
        for cause, row in (("context-too-large", {"contextWindow": 40961}), ("context-too-large", {"contextTokens": 128000}),
                           ("max-tokens-too-large", {"maxTokens": 40960})):
            with self.subTest(row=row), loopback(healthy()) as (url, _):
                self.declare(url, **row)
                self.assertIn("40960" if "context" in cause else "8192", self.assert_fails(cause, 1)["fix"])
        with loopback(healthy()) as (url, _):
            self.declare(url, contextWindow=20000)
            self.assertIn("20960 tokens", self.assert_warns("context-too-small")["summary"])
            self.declare(url, contextWindow=40960, maxTokens=8192)
            self.assertEqual(self.doctor()[0], 0)
        with loopback(healthy(models=[dict(MODEL, max_model_len=16384)])) as (url, _):
            self.declare(url, contextWindow=16384)
            self.assert_warns("context-below-agent")

    def test_a_template_that_refuses_a_role(self):
        def refuse(role):
            def tokenize(request):
                roles = [message["role"] for message in request.json()["messages"]]
                return refused("%s role not supported" % role) if role in roles else (200, {}, {"count": 5})
            return tokenize

        with loopback(healthy({"/tokenize": refuse("system")})) as (url, _):
            self.assertIn("system role not supported", self.assert_fails("template-role", 1, "--base-url", url + "/v1")["summary"])
        with loopback(healthy({"/tokenize": refuse("developer")})) as (url, _):
            self.assert_warns("template-role", "--base-url", url + "/v1")
            self.declare(url, reasoning=True, compat={"supportsDeveloperRole": True})
            self.assertIn("supportsDeveloperRole: false", self.assert_fails("template-role", 1)["fix"])

    def test_odd_answers_beside_the_main_ones_break_nothing(self):
        odd = [dict(MODEL, parent=["x"], root={"y": 1}), dict(MODEL, id="\x1b[2Jb\nc", parent=7, max_model_len=1e308)]
        changes = {"/version": (200, {}, b"[1]"), "/health": (404, {}, b""), "/tokenize": (200, {}, b"[[]]"),
                   "/metrics": (200, {}, b"vllm:num_requests_running 1e999\nvllm:kv_cache_usage_perc{} NaN\n")}
        with loopback(healthy(changes, models=odd)) as (url, _):
            status, findings = self.doctor("--base-url", url + "/v1", "--probe")
            self.assertEqual(status, 0, findings)
            self.assertNotIn("\x1b", run(["doctor", "--base-url", url + "/v1"], self.env)[1])

    def test_a_side_entrance_that_hangs_stops_nothing(self):
        def hang(request):
            over.wait(10)
            return 200, {}, b""

        over = threading.Event()
        with loopback(healthy({"/metrics": hang})) as (url, _):
            found = self.assert_warns("timeout", "--base-url", url + "/v1", "--timeout", "0.2")
            over.set()
        self.assertIn("/metrics", found["summary"])

    # with --probe

    def probe(self, answer, tools=None, **row):
        """Return a context manager for a server whose completions, and those with tools, are answered so."""
        def complete(request):
            with_tools = "tools" in request.json()
            return (tools or (lambda request: (200, {}, stream(request))))(request) if with_tools else answer(request)

        return loopback(healthy({"/v1/chat/completions": complete}, **row))

    def test_completions_that_fail(self):
        extra = ("[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), "
                 "'msg': 'Extra inputs are not permitted', 'input': {}}]")
        whole = {"id": "c1", "choices": [{"message": {"content": "1"}, "finish_reason": "stop"}]}
        chunk = b'{"choices": [{"delta": {"content": "1"}}]}\n'
        error = b'data: {"error": {"message": "the engine died", "code": 500}}\n\n'
        for name, cause, answer, words in (
                ("a 400", "chat-failed", refused("the server's own words"), "the server's own words"),
                ("an unknown field", "unknown-field-rejected", refused(extra), "stream_options"),
                ("an error event", "stream-broken", (200, {}, stream(None, finish=None)[:1] + [error, b"data: [DONE]\n\n"]),
                 "the engine died"),
                ("no [DONE]", "stream-broken", (200, {}, stream(None, done=False)), "[DONE]"),
                ("no finish reason", "stream-broken", (200, {}, stream(None, finish=None)), "finish reason"),
                ("ends early", "stream-broken", (200, {}, stream(None)[:2]), "[DONE]"),
                ("whole JSON", "stream-broken", (200, {}, whole), "data:"),
                ("unframed chunks", "stream-broken", (200, {}, [chunk, chunk]), ""),
                ("no JSON", "stream-broken", (200, {}, [b"data: hello\n\n"]), "no JSON"),
                ("cut off", "stream-broken", (200, {"Content-Length": "5000"}, stream(None)[:1]), "of 5000 bytes"),
                ("nothing", "stream-broken", (200, {}, b""), "empty"),
                ("HTTP 200 with an error", "stream-broken", (200, {}, {"error": {"message": "no luck"}}), "no luck"),
                ("empty", "empty-answer", (200, {}, stream(None, texts=())), ""),
                ("all in reasoning", "empty-answer", (200, {}, stream(None, texts=("",), reasoning="hm")), "reasoning")):
            with self.subTest(name), self.probe(lambda request: answer) as (url, requests):
                self.assertIn(words, self.assert_fails(cause, 1, "--base-url", url + "/v1", "--probe")["summary"])

    def test_completions_to_be_warned_of(self):
        for cause, answer in (
                ("usage-missing", (200, {}, stream(None, usage=False))),
                ("empty-answer", (200, {}, stream(None, texts=("",), finish="length", reasoning_content="hm")))):
            with self.subTest(cause), self.probe(lambda request: answer) as (url, _):
                self.assert_warns(cause, "--base-url", url + "/v1", "--probe")

    def test_a_stream_that_something_buffers(self):
        def late(request):
            threading.Event().wait(vllm.BUFFERED_AFTER_S + 0.02)     # a buffer is a wait and then a burst
            return 200, {}, b"".join(stream(request, texts="123456789"))

        with mock.patch.object(vllm, "BUFFERED_AFTER_S", 0.1), self.probe(late) as (url, _):
            self.assert_warns("stream-buffered", "--base-url", url + "/v1", "--probe")

    def test_tools(self):
        no_tools = refused('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
        call = {"index": 0, "id": "x", "function": {"name": "get_current_time", "arguments": '{"city": "Paris"}'}}
        halved = dict(call, function=dict(call["function"], arguments='{"city": "Paris"'))
        as_text = '<tool_call>\n{"name": "get_current_time", "arguments": {"city": "Paris"}}\n</tool_call>'

        def answered(*texts, **delta):
            return lambda request: (200, {}, stream(request, texts=texts, **delta))

        plain = answered("1")
        with self.probe(plain, lambda request: no_tools) as (url, _):
            self.assertIn("--tool-call-parser hermes", self.assert_warns("tools-disabled", "--base-url", url + "/v1", "--probe")["fix"])
        for text in (as_text, as_text[12:-13], "[TOOL_CALLS]" + as_text[12:-13], "[get_current_time(city='Paris')]"):
            with self.subTest(text=text), self.probe(plain, answered(text)) as (url, _):
                self.assertIn("hermes", self.assert_fails("tool-parser-mismatch", 1, "--base-url", url + "/v1", "--probe")["fix"])
        with self.probe(plain, answered("", tool_calls=[halved], finish="tool_calls")) as (url, _):
            self.assert_fails("tool-parser-mismatch", 1, "--base-url", url + "/v1", "--probe")
        with self.probe(plain, answered("", tool_calls=[call], finish="tool_calls")) as (url, _):
            status, findings = self.doctor("--base-url", url + "/v1", "--probe")
            self.assertIn("it called one", findings[-1]["summary"])

    def test_each_model_that_is_named_is_probed(self):
        models = [MODEL, dict(MODEL, id="second"), dict(MODEL, id="third")]
        with loopback(healthy(models=models)) as (url, requests):
            self.declare(url, {"model": {"primary": "vllm/second"}})
            self.doctor("--probe")
            probed = {request.json()["model"] for request in requests if request.path == "/v1/chat/completions"}
            self.assertEqual(probed, {"qwen", "second"})
            del requests[:]
            self.doctor("--probe", "--model", "third")
            probed = {request.json()["model"] for request in requests if request.path == "/v1/chat/completions"}
            self.assertEqual(probed, {"third"})

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

        for converse, phase in ((silent, "waiting for the answer to begin"), (drip, "waiting for the answer to begin"),
                                (endless, "in the middle of the answer")):
            with self.subTest(converse.__name__), raw_server(converse) as url:
                found = self.assert_fails("timeout", 4, "--base-url", url + "/v1", "--timeout", "0.2")
                self.assertIn(phase, found["summary"])

    def test_a_stream_that_never_ends_is_given_up(self):
        def endless(request):
            while True:
                yield stream(request)[0]
                threading.Event().wait(0.02)

        with self.probe(lambda request: (200, {}, endless(request))) as (url, _):
            found = self.assert_fails("timeout", 1, "--base-url", url + "/v1", "--probe", "--timeout", "0.3")
        self.assertIn("in the middle of the answer", found["summary"])

    def test_the_whole_diagnosis_is_bounded(self):
        with mock.patch.object(vllm, "DIAGNOSIS_S", 0.2), raw_server(lambda connection, over: over.wait()) as url:
            status, findings = self.doctor("--base-url", url + "/v1", "--probe")
        self.assertEqual({finding["cause"] for finding in findings if finding["status"] != "ok"}, {"timeout"})

    # the report

    def test_the_report_fits_a_terminal_and_can_be_pasted(self):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            status, out, err = run(["doctor", "--base-url", "http://127.0.0.1:%d/v1" % bound.getsockname()[1]], self.env)
        lines = out.splitlines()
        self.assertEqual((status, err), (4, ""))
        self.assertEqual(lines[0], "1 failure: server-loading; 0 warnings")
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertTrue(re.search(r"(?s)FAIL  connect .* fix: wait", out))
        command = "vllm serve %s --port 8000" % ("x" * 90)
        report = vllm.format_findings([vllm.Finding("connect", "fail", "dns", "gone", "start it: %s    (soon)" % command)], str)
        self.assertEqual(report[-2:], [" " * 18 + "fix: start it; soon", " " * 23 + command])

    def test_a_probe_shows_progress_and_hides_the_key(self):
        self.env["VLLM_API_KEY"] = "sk-secret-of-the-test"
        echo = refused("no such thing as sk-secret-of-the-test \x1b[31m")
        with self.probe(lambda request: echo) as (url, _):
            status, out, err = run(["doctor", "--probe", "--base-url", url + "/v1"], self.env)
        self.assertIn("probe: ", err)
        for text in (out, err):
            self.assertNotIn("sk-secret", text)
            self.assertNotIn("\x1b", text)

    def test_other_verbs_point_to_doctor(self):
        for argv in (["list"], ["chat", "hi"], ["list", "--base-url", "http://127.0.0.1:%d/v1" % free_port()]):
            with self.subTest(argv):
                self.env.pop("VLLM_API_KEY", None)
                status, _, err = run(argv, self.env)
                self.assertNotEqual(status, 0)
                self.assertTrue(err.splitlines()[-1].endswith("openclaw_vllm.py doctor"))


if __name__ == "__main__":
    unittest.main()
