#!/usr/bin/env python3
"""Tests of openclaw_vllm.py: `python3 -m unittest` beside it.

They need no network but loopback, no GPU and nothing installed. Most call
`main` in this process; a few run the program, and then OPENCLAW_VLLM_COMMAND
(a command line, split as a shell would) can name another build of it.
"""
import collections
import contextlib
import copy
import gzip
import io
import json
import math
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

import openclaw_vllm as vllm

try:
    import sqlite3
except ImportError:
    sqlite3 = None

HERE = os.path.dirname(os.path.abspath(__file__))
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
        """Run `main` with streams in memory; `given` may hold stdin (text or bytes) and env."""
        stdin = given.get("stdin", "")
        data = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8")
        out, err = (io.TextIOWrapper(io.BytesIO(), given.get("encoding", "utf-8"), newline="") for _ in range(2))
        status = vllm.main(list(argv), self.env(given.get("env")), io.TextIOWrapper(io.BytesIO(data), "utf-8"), out, err)
        return Result(status, *[stream.buffer.getvalue().decode(stream.encoding) for stream in (out, err)])

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
        """Run the program as a process of its own; return Result. `given` goes to subprocess.Popen."""
        stdin = given.pop("stdin", "")
        with program(self.env(given.pop("env", None)), argv, **given) as process:
            out, err = process.communicate(stdin.encode("utf-8"), timeout=WAIT_S)
        return Result(process.returncode, (out or b"").decode("utf-8"), (err or b"").decode("utf-8"))

    def serve(self, *script, **given):
        """Return a Stub that ends with the test."""
        stub = Stub(script, **given)
        self.addCleanup(stub.close)
        return stub

    def demo(self, key=None):
        """Serve the file's own stand-in until the test ends; return its base URL."""
        server = vllm.demo_server(0, key)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(lambda: (server.shutdown(), server.server_close(), thread.join()))
        return "http://127.0.0.1:%d/v1" % server.server_address[1]

    def check(self, result, status, out=None, err=None):
        """Check an exit status, and that texts are in the output; never a traceback."""
        self.assertNotIn("Traceback", result.err)
        self.assertEqual(result.status, status, result)
        for wanted, stream in ((out, result.out), (err, result.err)):
            if wanted is not None:
                self.assertIn(wanted, stream)


def program(env, argv, **given):
    """Start the program (or the build OPENCLAW_VLLM_COMMAND names) and return its Popen."""
    chosen = os.environ.get("OPENCLAW_VLLM_COMMAND")
    command = shlex.split(chosen) if chosen else [sys.executable, os.path.join(HERE, "openclaw_vllm.py")]
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams.update(given)
    return subprocess.Popen(command + list(argv), env=dict(kept, **env), **streams)


# ----------------------------------------------------------------------------
# Servers
# ----------------------------------------------------------------------------

Request = collections.namedtuple("Request", "method target headers body")


class Stub(object):
    """A loopback server that answers by a script, for what no honest server does.

    Each connection takes the next step, the last one for ever: bytes to send,
    or a function of (socket, Request, Stub). Then the connection is closed.
    `requests` holds what came; `gone` is set when a step saw its client leave.
    """

    def __init__(self, script, tls=None, host="127.0.0.1"):
        self.script, self.tls, self.requests = list(script), tls, []
        self.gone, self.ending = threading.Event(), threading.Event()
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.bind((host, 0))
        self.listener.listen(16)
        self.address = self.listener.getsockname()[:2]
        self.origin = "%s://%s:%d" % ("https" if tls else "http", "[::1]" if ":" in host else host, self.address[1])
        self.url = self.origin + "/v1"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while True:
            sock = self.listener.accept()[0]
            with contextlib.closing(sock):
                if self.ending.is_set():
                    return
                sock.settimeout(WAIT_S)
                with contextlib.suppress(OSError):       # the client may leave whenever it likes
                    self._answer(sock)

    def _answer(self, sock):
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_side=True)
        with contextlib.closing(sock):
            request = read_request(sock)
            if request is None:
                return
            self.requests.append(request)
            step = self.script[min(len(self.requests), len(self.script)) - 1]
            if isinstance(step, bytes):
                sock.sendall(step)
            else:
                step(sock, request, self)

    def close(self):
        self.ending.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, WAIT_S).close()
        self.thread.join()
        self.listener.close()


def read_request(sock):
    """Return the Request a socket brings, or None when it ends before."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += sock.recv(65536)
    method, target, _ = lines[0].split(" ")
    return Request(method, target, headers, json.loads(body.decode("utf-8")) if body else None)


def reply(body, status="200 OK", **headers):
    """Return a whole HTTP answer; `body` is a JSON value, text or bytes; a header None is left out."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    body = body if isinstance(body, bytes) else body.encode("utf-8")
    lines = dict({"Content-Type": "application/json", "Content-Length": len(body)}, **headers)
    head = ["HTTP/1.1 " + status]
    head += ["%s: %s" % (name.replace("_", "-"), value) for name, value in lines.items() if value is not None]
    return "\r\n".join(head + ["", ""]).encode("latin-1") + body


def sse(*payloads, **given):
    """Return a streamed answer of JSON events, [DONE] at its end unless done=False."""
    events = ["data: %s\n\n" % (text if isinstance(text, str) else json.dumps(text)) for text in payloads]
    events += ["data: [DONE]\n\n"] if given.get("done", True) else []
    return reply("".join(events), Content_Length=None, Content_Type="text/event-stream")


def chunk(content=None, finish=None, **delta):
    """Return one chat.completion.chunk."""
    delta = dict(delta, content=content) if content is not None else delta
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def rows(*ids, **fields):
    """Return the answer of /v1/models for some ids."""
    return reply({"object": "list", "data": [dict({"id": model_id, "max_model_len": 4096}, **fields) for model_id in ids]})


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

    ACCEPTED = (
        ("null", None), (" true\n", True), ("'a'", "a"), ('"a"', "a"), ("[]", []), ("{}", {}), ("[1,]", [1]),
        ("{a: 1, 'b': 2, \"c\": 3,}", {"a": 1, "b": 2, "c": 3}), ("{a: {b: [{}]}}", {"a": {"b": [{}]}}),
        ("// x\n1 // y", 1), ("/* a * / **/ 1 /**/", 1), ("{/* a */ a /* b */ : /* c */ 1 /* d */}", {"a": 1}),
        ("// no line end", ValueError), ("1 // no line end", 1), ("// a\r1", 1), ("// a\u20281", 1), ("/* // */1", 1),
        ("0x1F", 31), ("-0XfF", -255), ("+1", 1), ("-.5", -0.5), ("5.", 5.0), ("+.5e-1", 0.05), ("1E+2", 100.0), ("-0", 0),
        ("Infinity", math.inf), ("-Infinity", -math.inf), ("+Infinity", math.inf),
        ("'\\x41\\u0042\\b\\f\\n\\r\\t\\v\\0\\'\\\"\\\\\\/\\q'", "AB\b\f\n\r\t\x0b\0'\"\\/q"),
        ("'a\\\nb\\\r\nc\\\rd\\\u2028e'", "abcde"), ("'\u2028\u2029'", "\u2028\u2029"), ("'\"' // '", '"'),
        ("'\\uD83D\\uDE00'", "\U0001f600"), ('"\\ud83d\\ude00"', "\U0001f600"), ("'\U0001f600'", "\U0001f600"),
        ("{\u00fc: 1, $_a9: 2, \\u0061b: 3, a\u200c: 4, \u30d1: 5}", {"\u00fc": 1, "$_a9": 2, "ab": 3, "a\u200c": 4, "\u30d1": 5}),
        ("{null: 1, Infinity: 2, true: 3}", {"null": 1, "Infinity": 2, "true": 3}),
        ("{__proto__: 1, '': 2}", {"__proto__": 1, "": 2}), ("{a: 1, a: 2}", {"a": 2}),
        ("\ufeff{}", {}), ("\ufeff{a: 1}", {"a": 1}), ("\u00a0\u3000\x0b[\u2029]", []),
        ("9" * 250, int("9" * 250)), ("9" * 305, 1e305), ("[" + "9" * 5000 + "]", [math.inf]), ("[-" + "9" * 5000 + ",]", [-math.inf]),
        ("[0x" + "f" * 5000 + "]", [math.inf]), ("1e999", math.inf), ("[" * 150 + "]" * 150, None), ("[" * 150 + "]," * 149 + "]", None),
        (b'{"a": "\xc3\xbc"}', {"a": "\u00fc"}), (b"\xef\xbb\xbf{a: 1}", {"a": 1}),
    )
    REFUSED = (         # text, line, column, what the error says
        ("", 1, 1, "expected a value"), ("  // only a comment\n", 2, 1, "expected a value"), ("1 2", 1, 3, "the end of the text"),
        ("{a: 1} x", 1, 8, "the end of the text"), ("[1", 1, 3, "',' or ']'"), ("{a: 1", 1, 6, "',' or '}'"), ("{a", 1, 3, "':'"),
        ("{a:", 1, 4, "a value"), ("{", 1, 2, "a key or '}'"), ("{,}", 1, 2, "a key or '}'"), ("[,]", 1, 2, "a value or ']'"),
        ("[1,,2]", 1, 4, "a value or ']'"), ("{a: 1,,}", 1, 7, "a key"), ("{a 1}", 1, 4, "':'"), ("{1: 2}", 1, 2, "a key"),
        ("{a: }", 1, 5, "a value"), ("[}", 1, 2, "']'"), ("{]", 1, 2, "'}'"), ("]", 1, 1, "a value"), ("[1:2]", 1, 3, "',' or ']'"),
        ("{\n  a: 1\n  b: 2}", 3, 3, "',' or '}'"), ("{\r\n\r\n a: x}", 3, 5, "a value"), ("{\r\r a: x}", 3, 5, "a value"),
        ("'abc", 1, 1, "does not end"), ("'a\nb'", 1, 1, "does not end"), ("\"a'", 1, 1, "does not end"), ("[\n/* x", 2, 1, "does not end"),
        ("/", 1, 1, "'/'"), ("#", 1, 1, "'#'"), ("01", 1, 2, "the end of the text"), ("0x", 1, 2, "the end of the text"), (".", 1, 1, "'.'"),
        ("1e", 1, 2, "the end of the text"), ("- 1", 1, 1, "'-'"), ("--1", 1, 1, "'-'"), ("nul", 1, 1, "a value"), ("True", 1, 1, "a value"),
        ("'\\x4'", 1, 2, "escape"), ("'\\u12'", 1, 2, "escape"), ("'\\1'", 1, 2, "escape"), ("'\\01'", 1, 2, "escape"),
        ("'ab\\u12g4'", 1, 4, "escape"), ("{a\\u002d: 1}", 1, 2, "quotes"), ("{9a: 1}", 1, 2, "a key"), ("{a-b: 1}", 1, 3, "'-'"),
        ('["\\ud83d"]', 1, 2, "surrogate"), ("['\\uDE00 x']", 1, 2, "surrogate"), ("{'\\ud800': 1}", 1, 2, "surrogate"),
        ("{a:\0 1}", 1, 4, "NUL"), ('["\0"]', 1, 3, "NUL"), ("[1,\n" + "[" * 300, 2, 200, "nested"), ("[" * 100000, 1, 201, "nested"),
        ("{a:" * 100000, 1, 601, "nested"), (b'{"a":\n "\xff"}', 2, 3, "0xff"), (b"\xfe\xff\x00{", 1, 1, "0xfe"), (b"\xed\xa0\x80", 1, 1, "UTF-8"),
    )

    def test_accepts_json5_with_its_value(self):
        for text, value in self.ACCEPTED:
            with self.subTest(text=text[:60]):
                if value is ValueError:
                    self.assertRaises(ValueError, vllm.json5_loads, text)
                elif value is not None or text == "null":
                    self.assertEqual(repr(vllm.json5_loads(text)), repr(value))
                else:
                    self.assertIsInstance(vllm.json5_loads(text), list)
        self.assertTrue(math.isnan(vllm.json5_loads("[NaN, -NaN]")[1]))

    def test_refuses_with_line_column_and_what_was_expected(self):
        for text, line, column, words in self.REFUSED:
            with self.subTest(text=text[:60]):
                with self.assertRaises(vllm.Json5Error) as raised:
                    vllm.json5_loads(text)
                self.assertIn(words, raised.exception.problem)
                self.assertEqual((raised.exception.line, raised.exception.column), (line, column))

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
        self.assertEqual([(key, text[start:end]) for key, start, end, _ in tree.items], [("a", "a"), ("b", '"b"')])
        self.assertEqual([text[node.start:node.end] for node in tree.items[0][3].items], ["1", "'two'"])
        self.assertEqual(tree.items[1][3].value, {"c": None})

    def test_both_roads_read_plain_json_alike(self):
        for value in ({"a": [1, -2.5, 1e3, "x\\y\"\u00fc\n", None, True]}, [], "", 0, {"": {"": [[]]}}):
            with self.subTest(value=value):
                for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
                    self.assertEqual(vllm.json5_loads(text), value)
                    self.assertEqual(vllm.json5_tree(text).value, value)


# ----------------------------------------------------------------------------
# Settings
# ----------------------------------------------------------------------------

class Settings(Case):

    def test_config_file_is_the_one_openclaw_reads(self):
        home = os.path.join(self.home, "")[:-1]
        for env, option, expected in (
                ({}, None, "{home}/.openclaw/openclaw.json"),
                ({"OPENCLAW_HOME": "{home}/oc"}, None, "{home}/oc/.openclaw/openclaw.json"),
                ({"OPENCLAW_HOME": "~/oc"}, None, "{home}/oc/.openclaw/openclaw.json"),
                ({"OPENCLAW_STATE_DIR": "{home}/state", "OPENCLAW_HOME": "{home}/oc"}, None, "{home}/state/openclaw.json"),
                ({"OPENCLAW_CONFIG_PATH": "{home}/c.json", "OPENCLAW_STATE_DIR": "{home}/state"}, None, "{home}/c.json"),
                ({"OPENCLAW_CONFIG_PATH": "~/c.json"}, None, "{home}/c.json"),
                ({"OPENCLAW_CONFIG_PATH": "{home}/c.json"}, "{home}/d.json", "{home}/d.json"),
                ({"OPENCLAW_CONFIG_PATH": "  ", "OPENCLAW_STATE_DIR": "undefined", "OPENCLAW_HOME": "null"}, None,
                 "{home}/.openclaw/openclaw.json"),
                ({"HOME": "", "USERPROFILE": "{home}"}, None, "{home}/.openclaw/openclaw.json")):
            with self.subTest(env=env, option=option):
                env = {name: value.format(home=home) for name, value in env.items()}
                found = vllm.read_settings(option and option.format(home=home), self.env(env))
                self.assertEqual(found.path.replace(os.sep, "/"), expected.format(home=home).replace(os.sep, "/"))
                self.assertFalse(found.exists)
                self.assertEqual((found.config, found.issues), ({}, []))

    def test_without_any_home_there_is_no_config_and_no_crash(self):
        self.assertIsNone(vllm.read_settings(None, {}).path)
        self.assertEqual(vllm.main(["list"], {}, io.StringIO(), io.StringIO(), io.StringIO()), 1)

    def test_a_named_config_that_is_missing_is_a_warning(self):
        found = vllm.read_settings(self.path("none.json"), self.env())
        self.assertIn("no such file", found.warnings[0].message)

    def test_files_that_are_no_config_are_refused(self):
        with open(self.path("big.json"), "wb") as big:
            big.truncate(50 * 1024 * 1024)
        for name, content, words in (
                ("empty.json", "", "expected a value"), ("comment.json", "// nothing\n", "expected a value"),
                ("array.json", "[]", "expected an object"), ("text.json", "'x'", "expected an object"),
                ("null.json", "null", "expected an object"), ("bytes.json", b'{"a": "\xff"}', "UTF-8"),
                ("utf16.json", "{}".encode("utf-16"), "UTF-8"), ("nul.json", "{\0}", "NUL"), ("deep.json", "[" * 99999, "nested"),
                ("deepjson.json", "[" * 900 + "]" * 900, ""), ("lone.json", '{"a": "\\ud800"}', "surrogate"),
                ("cut.json", '{"models": {', "a key"), ("big.json", None, "larger than"), ("dir.json/x", "", "it is a directory")):
            with self.subTest(name=name):
                if content is not None:
                    self.write(name, content)
                path = self.path(name.split("/")[0])
                self.check(self.run_main("list", "--config", path), 3, err=words)
                result = self.run_main("config", "--check", "--json", "--config", path)
                verdict = json.loads(result.out)
                self.assertEqual((result.status, verdict["valid"]), (3, False))
                self.assertIn(words, verdict["issues"][0]["message"])

    @unittest.skipUnless(hasattr(os, "mkfifo"), "no FIFOs here")
    def test_a_fifo_and_a_device_are_refused_at_once(self):
        os.mkfifo(self.path("fifo.json"))
        for path in (self.path("fifo.json"), os.devnull):
            self.check(self.run_main("list", "--config", path), 3, err="no regular file")

    @unittest.skipIf(not hasattr(os, "geteuid") or os.geteuid() == 0, "this user may read everything")
    def test_an_unreadable_config_is_refused(self):
        path = self.configure("{}")
        os.chmod(path, 0)
        self.check(self.run_main("list"), 3, err="cannot be read")

    def test_a_config_that_cannot_be_opened_is_refused(self):
        path = self.configure("{}")
        with mock.patch("builtins.open", side_effect=PermissionError(13, "Permission denied")):
            self.check(self.run_main("list", "--config", path), 3, err="cannot be read: Permission denied")

    def test_dotenv_lines(self):
        for line, expected in (
                ("A=b", {"A": "b"}), (" export A = b # c", {"A": "b"}), ("A='b # c'", {"A": "b # c"}), ('A="b\\nc"', {"A": "b\nc"}),
                ("A='b\\nc'", {"A": "b\\nc"}), ("A=`b`", {"A": "b"}), ("A=", {"A": ""}), ("# A=b", {}), ("A: b", {"A": "b"}), ("A", {}),
                ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}), ("A=1\nA=2", {"A": "2"}), ('A="b\nc"\nD=e', {"A": "b\nc", "D": "e"}),
                ("A=b=c", {"A": "b=c"}), ("A.b-c=d", {"A.b-c": "d"}), ('A="b', {"A": '"b'})):
            with self.subTest(line=line):
                self.assertEqual(vllm.parse_dotenv(line), expected)

    def test_the_first_environment_wins_and_blank_counts_as_missing(self):
        config = {"env": {"vars": {"A": "config", "B": "config", "C": "config", "D": "${A}-${C}"}}}
        self.write(".openclaw/.env", "A=dotenv\nB=dotenv\nC= \n")
        found = self.settings(config, {"A": "process", "B": "  ", "C": ""})
        self.assertEqual([found.variables[name] for name in "ABC"], ["process", "dotenv", "config"])
        self.assertEqual([vllm.variable_source(found, name) for name in "ABCE"],
                         ["the environment", self.path(".openclaw", ".env"), "env.vars of the config", None])
        self.assertEqual(found.variables["D"], "process-${C}")

    def test_an_unreadable_dotenv_is_passed_over(self):
        self.write(".openclaw/.env", b"A=\xff\n")
        self.assertEqual(self.settings({}).issues, [])

    def test_substitution_is_one_pass(self):
        env = {"A": "1", "B": "${A}", "_C": "$${A}", "EMPTY": ""}
        for text, expected, missing in (
                ("x${A}y", "x1y", None), ("${A}${A}", "11", None), ("${B}", "${A}", None), ("${_C}", "$${A}", None),
                ("$${A}", "${A}", None), ("$$${A}", "$${A}", None), ("${lower}", "${lower}", None), ("${A:-x}", "${A:-x}", None),
                ("$A", "$A", None), ("${}", "${}", None), ("${A", "${A", None), ("${1A}", "${1A}", None),
                ("${NONE}", "${NONE}", "NONE"), ("${A}${EMPTY}", "1${EMPTY}", "EMPTY"), ("$${NONE}", "${NONE}", None)):
            with self.subTest(text=text):
                found = self.settings({"list": [{"deep": text}]}, env)
                self.assertEqual(found.config["list"][0]["deep"], expected)
                self.assertEqual(found.missing, {"list.0.deep": missing} if missing else {})
                self.assertEqual([issue.path for issue in found.warnings], ["list.0.deep"] if missing else [])

    def test_includes_merge_in_order_and_siblings_win(self):
        self.write(".openclaw/a.json5", "{x: {one: 1, both: 'a'}, list: [1], $include: './sub/b.json'}")
        self.write(".openclaw/sub/b.json", {"x": {"two": 2, "both": "b"}, "list": [2], "deep": {"$include": "c.json"}})
        self.write(".openclaw/sub/c.json", "[1, 2]")
        for text, expected in (
                ("{$include: 'sub/c.json'}", None), ("{p: {$include: 'sub/c.json'}}", {"p": [1, 2]}),
                ("{$include: 'a.json5'}", {"x": {"one": 1, "two": 2, "both": "a"}, "list": [2, 1], "deep": [1, 2]}),
                ("{$include: ['a.json5', 'sub/b.json']}",
                 {"x": {"one": 1, "two": 2, "both": "b"}, "list": [2, 1, 2], "deep": [1, 2, 1, 2]}),
                ("{$include: 'sub/b.json', x: {both: 'mine'}, list: [3]}",
                 {"x": {"two": 2, "both": "mine"}, "list": [2, 3], "deep": [1, 2]}),
                ("{$include: [], y: 1}", {"y": 1}), ("[{$include: 'a.json5'}]", None)):
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
        self.write(".openclaw/bad.json", "{\n x: }")
        self.write(".openclaw/list.json", "[1]")
        self.write(".openclaw/big.json", "[" + " " * (2 * 1024 * 1024) + "]")
        for depth in range(12):
            self.write(".openclaw/d%d.json" % depth, {"$include": "d%d.json" % (depth + 1)} if depth < 11 else {})
        with contextlib.suppress(OSError, NotImplementedError):
            os.symlink(outside, self.path(".openclaw", "link.json"))
        for include, words in (
                ("'../outside/o.json'", "lies outside"), (json.dumps(outside), "lies outside"), ("'../.openclaw-evil/e.json'", "lies outside"),
                ("'sub/../../outside/o.json'", "lies outside"), ("'loop.json'", "include each other"), ("'openclaw.json'", "include each other"),
                ("'bad.json'", "expected a value"), ("'none.json'", "cannot be read"), ("'.'", "directory"), ("'a\\0b'", "null"), ("7", "expected a path"),
                ("['bad.json', 7]", "expected a value"), ("[7]", "expected a path"), ("null", "expected a path"), ("'d0.json'", "more than 10 levels"),
                ("'list.json', beside: 1", "need an object"), ("'big.json'", "larger than")):
            with self.subTest(include=include):
                issue = self.settings("{$include: %s}" % include).issues[0]
                self.assertIn(words, issue.message)
        self.assertEqual(self.settings("{$include: 'bad.json'}").issues[0][2:], (self.path(".openclaw", "bad.json"), 2, 5))
        self.assertEqual(self.settings("{$include: 'd2.json'}").issues, [])
        if os.path.islink(self.path(".openclaw", "link.json")):
            self.assertIn("lies outside", self.settings("{$include: 'link.json'}").issues[0].message)
        allowed = self.settings("{$include: '../outside/o.json'}", {"OPENCLAW_INCLUDE_ROOTS": os.pathsep.join(["", "~/outside"])})
        self.assertEqual((allowed.config, allowed.issues), ({"o": 1}, []))

    ROW = "models.providers.vllm.models.0."
    FAULTS = (           # the vllm block, the key path of the fault (None: valid), words
        ("{}", None, ""), ("{baseUrl: 'http://h/v1', apiKey: 'k', api: 'openai-completions', timeoutSeconds: 5, models: []}", None, ""),
        ("{baseUrl: ''}", "baseUrl", "a non-empty text"), ("{baseUrl: 7}", "baseUrl", "found 7"), ("{baseUrl: 'h:8000'}", "baseUrl", "http"),
        ("{baseUrl: 'ftp://h'}", "baseUrl", "http"), ("{baseUrl: 'http://u:p@h/v1'}", "baseUrl", "password"),
        ("{baseUrl: 'http://h/v1?x'}", "baseUrl", "query"), ("{baseUrl: 'http://h:99999/v1'}", "baseUrl", "port"),
        ("{apiKey: 7}", "apiKey", "a text or {source"), ("{apiKey: {source: 'env', provider: 'default', id: 'A_B'}}", None, ""),
        ("{apiKey: {source: 'env', provider: 'default', id: 'lower'}}", "apiKey.id", "variable"), ("{apiKey: {source: 'vault'}}", "apiKey", "source"),
        ("{apiKey: {source: 'env', id: 'A'}}", "apiKey.provider", "non-empty"), ("{api: 'grpc'}", "api", "expected one of"),
        ("{timeoutSeconds: 0}", "timeoutSeconds", "above 0"), ("{timeoutSeconds: 1.5}", "timeoutSeconds", "whole number"),
        ("{timeoutSeconds: '5'}", "timeoutSeconds", "a string"), ("{timeoutSeconds: true}", "timeoutSeconds", "found true"),
        ("{models: {}}", "models", "expected an array"), ("{models: [7]}", "models.0", "expected an object"),
        ("{models: [{id: 'm', name: 'm'}]}", None, ""), ("{models: [{id: '', name: 'm'}]}", "models.0.id", "non-empty"),
        ("{models: [{name: 'm'}]}", "models.0.id", "found nothing"), ("{models: [{id: 'm'}]}", "models.0.name", "found nothing"),
        ("{models: [{id: 'm', name: 'm', contextWindow: -1}]}", "models.0.contextWindow", "above 0"),
        ("{models: [{id: 'm', name: 'm', contextWindow: 1e999}]}", "models.0.contextWindow", "above 0"),
        ("{models: [{id: 'm', name: 'm', maxTokens: %s}]}" % ("9" * 350), "models.0.maxTokens", "above 0"),
        ("{models: [{id: 'm', name: 'm', maxTokens: 0x%s}]}" % ("f" * 5000), "models.0.maxTokens", "above 0"),
        ("{models: [{id: 'm', name: 'm', input: ['text', 'smell']}]}", "models.0.input.1", "expected one of"),
        ("{models: [{id: 'm', name: 'm', reasoning: 'yes'}]}", "models.0.reasoning", "boolean"),
        ("{models: [{id: 'm', name: 'm', compat: {maxTokensField: 'max'}}]}", "models.0.compat.maxTokensField", "max_tokens"),
        ("{models: [{id: 'm', name: 'm', compat: {supportsTools: 1}}]}", "models.0.compat.supportsTools", "boolean"),
        ("{models: [{id: 'm', name: 'm', headers: {a: 1}}]}", "models.0.headers.a", "a text"), ("{headers: {a: []}}", "headers.a", "text"),
        ("{headers: []}", "headers", "expected an object"), ("{request: {auth: {mode: 'magic'}}}", "request.auth.mode", "expected one of"),
        ("{request: {auth: {mode: 'header', value: 'x'}}}", "request.auth.headerName", "nothing"), ("null", "", "expected an object"),
        ("{request: {auth: {mode: 'authorization-bearer'}}}", "request.auth.token", "nothing"), ("[]", "", "expected an object"),
    )

    def test_schema_faults_carry_path_line_and_column(self):
        for block, path, words in self.FAULTS:
            with self.subTest(block=block[:80]):
                issues = self.settings("// one\n{ models: { providers: { vllm:\n %s } } }" % block).issues
                if path is None:
                    self.assertEqual(issues, [])
                    continue
                self.assertEqual([issue.path for issue in issues], [".".join(["models.providers.vllm"] + ([path] if path else []))])
                self.assertIn(words, issues[0].message)
                self.assertEqual(issues[0].line, 3)
                if "nothing" not in words:
                    keyed = "%s" % path.split(".")[-1]
                    self.assertGreaterEqual(issues[0].column, 2 + (block.index(keyed) if keyed in block else 0))

    def test_faults_elsewhere_in_the_config(self):
        for text, path in (("{models: 7}", "models"), ("{models: {mode: 'add'}}", "models.mode"), ("{models: {mode: 0x%s}}" % ("f" * 9000), "models.mode"),
                           ("{models: {providers: []}}", "models.providers"), ("{agents: {defaults: {model: 7}}}", "agents.defaults.model"),
                           ("{agents: {defaults: {model: {primary: 7}}}}", "agents.defaults.model.primary"), ("{agents: 'x'}", "agents"),
                           ("{agents: {defaults: {model: {fallbacks: ['a', 7]}}}}", "agents.defaults.model.fallbacks.1"), ("{env: null}", "env"),
                           ("{agents: {defaults: {models: {'vllm/m': 7}}}}", "agents.defaults.models.vllm/m"), ("{env: {vars: {A: 1}}}", "env.vars.A")):
            with self.subTest(text=text[:60]):
                issues = self.settings(text).issues
                self.assertEqual([(issue.path, issue.line) for issue in issues], [(path, 1)])

    def test_columns_point_at_the_value_even_inside_included_files(self):
        self.write(".openclaw/p.json5", "{\n  vllm: {\n    baseUrl: 7 },\n  'my.gpu': { timeoutSeconds: 0 } }")
        config = "{ models: {\n providers: { $include: 'p.json5' }, mode: 'x' } }"
        found = self.settings(config).issues
        inner = self.path(".openclaw", "p.json5")
        self.assertEqual([(issue.path, issue.file, issue.line, issue.column) for issue in found],
                         [("models.providers.vllm.baseUrl", inner, 3, 14), ("models.providers.my.gpu.timeoutSeconds", inner, 4, 31),
                          ("models.mode", self.path(".openclaw", "openclaw.json"), 2, 44)])

    def test_unknown_keys_are_warnings_that_name_the_nearest(self):
        for text, path, words in (
                ("{models: {providers: {vllm: {baseURL: 'http://h'}}}}", "models.providers.vllm.baseURL", "did you mean baseUrl?"),
                ("{models: {providers: {vllm: {models: [{id: 'm', name: 'm', contextwindow: 1}]}}}}",
                 "models.providers.vllm.models.0.contextwindow", "contextWindow"),
                ("{models: {qqqq: 1}}", "models.qqqq", "does not know the key 'qqqq'"), ("{models: {$schema: 'x'}}", None, ""),
                ("{gateway: {anything: 1}, agents: {x: 1, defaults: {y: 1}}}", None, "")):
            with self.subTest(text=text):
                found = self.settings(text)
                self.assertEqual(found.issues, [])
                self.assertEqual([warning.path for warning in found.warnings], [path] if path else [])
                self.assertTrue(not path or words in found.warnings[0].message)

    def test_a_fault_in_deeply_nested_plain_json_is_still_told(self):
        found = self.settings('{"x": %s, "models": {"mode": "x"}}' % ("[" * 250 + "]" * 250))
        self.assertEqual([issue.path for issue in found.issues], ["models.mode"])

    def test_a_wrong_value_that_may_be_a_key_is_not_shown(self):
        self.configure("{models: {providers: {vllm: {api: 'sk-secret-in-the-wrong-place'}}}}")
        self.assertNotIn("secret-in", self.run_main("config", "--check").err)

    def test_config_check_contract(self):
        self.configure('{"models": {"providers": {"vllm": {\n"models": [{"id": "", "name": "m", "nmae": 1}]}}}}')
        verdict = self.run_main("config", "--check", "--json")
        value = json.loads(verdict.out)
        self.assertEqual((verdict.status, sorted(value)), (3, ["issues", "valid", "warnings"]))
        self.assertEqual((value["issues"][0]["path"], value["issues"][0]["line"], value["issues"][0]["column"]), (self.ROW + "id", 2, 19))
        self.assertEqual(value["warnings"][0]["path"], self.ROW + "nmae")
        self.check(self.run_main("config", "--check"), 3, err="openclaw.json:2:19: %sid: expected" % self.ROW)
        self.configure("{}")
        self.check(self.run_main("config", "--check"), 0, out="valid")
        self.assertEqual(json.loads(self.run_main("config", "--check", "--json").out), {"valid": True, "issues": [], "warnings": []})


# ----------------------------------------------------------------------------
# Provider
# ----------------------------------------------------------------------------

def block(**fields):
    """Return a config with one vllm provider block; its model "m" is declared."""
    return {"models": {"providers": {"vllm": dict({"models": [{"id": "m", "name": "m"}]}, **fields)}}}


class Provider(Case):

    STORE = "create table config_machine_state(state_key TEXT PRIMARY KEY, value_json TEXT, updated_at_ms INTEGER)"
    PROFILE = {"version": 1, "profiles": {"vllm:default": {"type": "api_key", "provider": "vllm", "key": " sk-profile "}}}

    def store(self, profiles, strict=False, journal=None):
        """Write OpenClaw's SQLite store; return the connection, left open for a WAL."""
        self.write(".openclaw/state/x", "")
        connection = sqlite3.connect(self.path(".openclaw", "state", "openclaw.sqlite"))
        self.addCleanup(connection.close)
        if journal:
            connection.execute("pragma journal_mode=" + journal)
        connection.execute(self.STORE + (" STRICT" if strict else ""))
        connection.execute("insert into config_machine_state values('authProfiles.store', ?, 1)", (json.dumps(profiles),))
        connection.commit()
        if not journal:
            connection.close()
        return connection

    def test_opt_in(self):
        self.assertEqual(self.provider().refusal.cause, "not-opted-in")
        self.assertEqual(self.provider(env={"VLLM_API_KEY": " \t"}).refusal.cause, "not-opted-in")
        self.assertIsNone(self.provider(env={"VLLM_API_KEY": "k"}).refusal)
        self.assertIsNone(self.provider(base_url="http://127.0.0.1:1/v1").refusal)
        self.assertIsNone(self.provider(block()).refusal)
        self.assertEqual(self.provider({"plugins": {"entries": {"vllm": {"enabled": False}}}}, {"VLLM_API_KEY": "k"}).refusal.cause,
                         "provider-disabled")
        with mock.patch("socket.socket", side_effect=AssertionError("a socket was opened")):
            self.check(self.run_main("list", env={"VLLM_API_KEY": "k"}), 1, err="plugins.entries.vllm.enabled is false")

    def test_discovery_and_requests_order_their_credentials_differently(self):
        sources = {"environment": "sk-env", "profile": "sk-profile", "config": "sk-config"}
        for present, discovery, request in (
                ("", None, None), ("config", "config", "config"), ("environment", "environment", "environment"), ("profile", "profile", "profile"),
                ("environment config", "environment", "environment"), ("profile config", "profile", "profile"),
                ("environment profile", "environment", "profile"), ("environment profile config", "environment", "profile")):
            with self.subTest(present=present):
                profiles = {"profiles": {"p": {"type": "token", "provider": "VLLM", "token": "sk-profile"}}} if "profile" in present else {}
                self.write(".openclaw/agents/main/agent/auth-profiles.json", profiles)
                found = self.provider(block(apiKey="sk-config") if "config" in present else block(),
                                      {"VLLM_API_KEY": "sk-env"} if "environment" in present else {})
                self.assertEqual([found.discovery_key and found.discovery_key.key, found.request_key and found.request_key.key],
                                 [sources.get(discovery), sources.get(request)])
                self.assertEqual(self.provider(api_key="sk-option\n").request_key.key, "sk-option")

    def test_key_forms_of_the_config(self):
        secret = {"source": "env", "provider": "default", "id": "MY_KEY"}
        env = {"MY_KEY": " sk-mine ", "OTHER": "x"}
        for value, key, cause in (
                (" sk-literal ", "sk-literal", None), ("${MY_KEY}", "sk-mine", None), ("$MY_KEY", "sk-mine", None), ("pre-${OTHER}", "pre-x", None),
                ("MY_KEY", "MY_KEY", None), ("$my_key", "$my_key", None), (secret, "sk-mine", None), (dict(secret, id="NONE"), None, "config-missing-variable"),
                ("VLLM_API_KEY", None, "config-missing-variable"), ("${NONE}", None, "config-missing-variable"), ("$NONE", None, "config-missing-variable"),
                ("a${NONE}", None, "config-missing-variable"), (dict(secret, source="file", id="/x"), None, "config-invalid"),
                (dict(secret, source="exec", id="x"), None, "config-invalid"), ("", None, None), ("$${MY_KEY}", "${MY_KEY}", None)):
            with self.subTest(value=value):
                found = self.provider(block(apiKey=value), env)
                self.assertEqual((found.request_key and found.request_key.key), key)
                self.assertEqual(found.refusal and found.refusal.cause, cause)
        self.assertEqual(self.provider(block(apiKey="VLLM_API_KEY"), {"VLLM_API_KEY": "sk-env"}).request_key.key, "sk-env")
        self.assertIn("only OpenClaw resolves", self.provider(block(apiKey=dict(secret, source="exec", id="x"))).refusal.message)

    def test_keys_that_cannot_be_sent(self):
        for key, words in (("sk-\nx", "line break"), ("sk\0x", "line break"), ("sk-\u20ac", "8859"), ("a\rb", "line break")):
            with self.subTest(key=key):
                result = self.run_main("list", env={"VLLM_API_KEY": key})
                self.check(result, 3, err=words)
                self.assertNotIn(key, result.err)
        self.check(self.run_main("list", env={"VLLM_API_KEY": "k"}, *["--api-key-file", self.write("key", "a\nb")]), 3, err="--api-key-file")

    def test_key_file(self):
        stub = self.serve(rows("m"))
        self.check(self.run_main("list", "--base-url", stub.url, "--api-key-file", self.write("key", " sk-file\n")), 0)
        self.check(self.run_main("list", "--base-url", stub.url, "--api-key-file", "-", stdin="sk-stdin\n"), 0)
        self.assertEqual([request.headers["authorization"] for request in stub.requests], ["Bearer sk-file", "Bearer sk-stdin"])
        for path, words in ((self.path("none"), "cannot be read"), (self.home, "directory"), (self.write("blank", " \n"), "holds no key")):
            self.check(self.run_main("list", "--api-key-file", path), 2, err=words)
        self.check(self.run_main("request", "--api-key-file", "-", stdin="sk-stdin"), 2, err="the body comes on standard input")

    @unittest.skipIf(sqlite3 is None, "no sqlite3")
    def test_profiles_from_the_sqlite_store(self):
        strict = sqlite3.sqlite_version_info >= (3, 37)
        for name, arguments in (("plain", {}), ("strict", {"strict": strict}), ("wal", {"journal": "wal"}), ("strict wal", {"strict": strict, "journal": "wal"})):
            with self.subTest(name=name):
                self.home = tempfile.mkdtemp(dir=self.home, prefix="a %20#?b" if os.name != "nt" else "a")
                self.store(self.PROFILE, **arguments)
                before = sorted(os.listdir(self.path(".openclaw", "state")))
                found = self.provider()
                self.assertEqual((found.request_key.key, found.request_key.source), ("sk-profile", "auth profile vllm:default"))
                self.assertEqual(sorted(os.listdir(self.path(".openclaw", "state"))), before)

    @unittest.skipIf(sqlite3 is None, "no sqlite3")
    def test_a_store_that_cannot_be_read_is_said_or_passed_over(self):
        path = self.path(".openclaw", "state", "openclaw.sqlite")
        for content, words in ((b"", None), (b"SQLite format 3\0" + b"\xff" * 5000, "auth profiles not read"), (b"no database" * 100, "SQLite"), (None, None)):
            with self.subTest(content=content and content[:20]):
                if content is None:                      # a database without the table
                    os.remove(path)
                    connection = sqlite3.connect(path)
                    connection.execute("create table other(x)")
                    connection.close()
                else:
                    self.write(".openclaw/state/openclaw.sqlite", content)
                settings = self.settings()
                found = vllm.resolve_provider(settings)
                self.assertEqual(found.refusal.cause, "not-opted-in")
                self.assertEqual([words in warning.message for warning in settings.warnings], [True] if words else [])

    def test_without_sqlite3_it_says_so_and_reads_the_older_files(self):
        self.write(".openclaw/state/openclaw.sqlite", b"x")
        self.write(".openclaw/agents/main/agent/auth-profiles.json", self.PROFILE)
        with mock.patch.dict(sys.modules, {"sqlite3": None}):
            settings = self.settings()
            self.assertEqual(vllm.resolve_provider(settings).request_key.key, "sk-profile")
            self.assertIn("no sqlite3", settings.warnings[0].message)

    def test_profiles_of_older_installs(self):
        for text, key in (
                ("", None), ("[]", None), ("{", None), ("[" * 99999, None), ('{"profiles": []}', None), ('{"profiles": {"a": 7}}', None),
                ('{"profiles": {"a": {"provider": "vllm", "type": "api_key"}}}', None), ('{"profiles": {"a": {"provider": "vllm", "type": "oauth", "key": "k"}}}', None),
                ('{"profiles": {"a": {"provider": "vllm", "type": ["x"], "key": "k"}}}', None),
                ('{"profiles": {"a": {"provider": "vllm", "type": "api_key", "key": 7}}}', None),
                ('{"profiles": {"a": {"provider": "other", "type": "api_key", "key": "x"}, "b": {"provider": "vLLM", "type": "token", "token": "k"}}}', "k"),
                ('{"profiles": {"z": {"provider": "vllm", "type": "api_key", "key": "first"}, '
                 '"vllm:default": {"provider": "vllm", "type": "api_key", "key": "second"}}}', "first")):
            with self.subTest(text=text[:90]):
                self.write(".openclaw/agents/main/agent/auth-profiles.json", text)
                found = self.provider().request_key
                self.assertEqual(found and found.key, key)

    def test_base_url_forms(self):
        for url, expected in (
                ("http://h:1/v1", "http://h:1/v1"), ("http://h/v1///", "http://h/v1"), (" https://h/v1 ", "https://h/v1"), ("HTTP://h", "HTTP://h"),
                ("http://[::1]:8000/v1", "http://[::1]:8000/v1"), ("http://h/a/b/v1", "http://h/a/b/v1"),
                ("http://h/v1/models", "endpoint-in-base-url"), ("http://h/v1/chat/completions/", "endpoint-in-base-url"),
                ("http://h/v1/completions", "endpoint-in-base-url"), ("", "bad-base-url"), ("h:8000", "bad-base-url"), ("ftp://h", "bad-base-url"),
                ("http://", "bad-base-url"), ("http://u:secretpw@h/v1", "bad-base-url"), ("http://h/v1?key=x", "bad-base-url"), ("http://h/v1#x", "bad-base-url"),
                ("http://h:0/v1", "bad-base-url"), ("http://h:70000/v1", "bad-base-url"), ("http://h:x/v1", "bad-base-url"), ("http://a b/v1", "bad-base-url"),
                ("http://h\n/v1", "bad-base-url"), ("http://[::1/v1", "bad-base-url"), ("http://h\\@x/v1", "bad-base-url"), ("http://h:%s" % ("1" * 9999), "bad-base-url")):
            with self.subTest(url=url[:60]):
                if expected.lower().startswith("http"):
                    self.assertEqual(self.provider(base_url=url).base_url, expected)
                    continue
                with self.assertRaises(vllm.ConfigError) as raised:
                    self.provider(base_url=url)
                self.assertEqual((raised.exception.cause, raised.exception.exit_status), (expected, 3))
                self.assertNotIn("secretpw", raised.exception.message + raised.exception.hint)

    def test_base_url_sources(self):
        option, variable, written = "http://option/v1", "http://variable/v1", "http://block/v1"
        for config, env, chosen, expected, where, discover in (
                ({}, {}, None, vllm.DEFAULT_BASE_URL, "OpenClaw's default", True), ({}, {"VLLM_BASE_URL": variable}, None, variable, "VLLM_BASE_URL", True),
                ({}, {"VLLM_BASE_URL": " "}, None, vllm.DEFAULT_BASE_URL, "OpenClaw's default", True),
                (block(baseUrl=written), {"VLLM_BASE_URL": variable}, None, written, "models.providers.vllm.baseUrl", False),
                (block(), {"VLLM_BASE_URL": variable}, None, vllm.DEFAULT_BASE_URL, "models.providers.vllm.baseUrl", False),
                (block(baseUrl=written), {"VLLM_BASE_URL": variable}, option, option, "--base-url", True),
                (block(baseUrl="http://${HOST}:8000/v1"), {"HOST": "gpu"}, None, "http://gpu:8000/v1", "models.providers.vllm.baseUrl", False)):
            with self.subTest(where=where, expected=expected):
                found = self.provider(config, env, base_url=chosen)
                self.assertEqual((found.base_url, found.where, found.discover), (expected, where, discover))
        with self.assertRaises(vllm.Error) as raised:
            self.provider(block(baseUrl="http://${HOST}:8000/v1"))
        self.assertEqual(raised.exception.cause, "config-missing-variable")

    def test_headers_and_request_auth(self):
        env = {"VLLM_API_KEY": "sk-env", "TOKEN": "t0ken"}
        for fields, expected in (
                ({}, {"Authorization": "Bearer sk-env"}), ({"headers": {"X-A": "1"}}, {"Authorization": "Bearer sk-env", "X-A": "1"}),
                ({"headers": {"authorization": "Basic ${TOKEN}"}}, {"authorization": "Basic t0ken"}),
                ({"headers": {"X-A": "1"}, "request": {"headers": {"x-a": "2", "X-B": {"source": "env", "provider": "default", "id": "TOKEN"}}}},
                 {"Authorization": "Bearer sk-env", "x-a": "2", "X-B": "t0ken"}),
                ({"request": {"auth": {"mode": "authorization-bearer", "token": "$TOKEN"}}}, {"Authorization": "Bearer t0ken"}),
                ({"request": {"auth": {"mode": "header", "headerName": "X-Key", "value": "${TOKEN}"}}}, {"Authorization": "Bearer sk-env", "X-Key": "t0ken"}),
                ({"request": {"auth": {"mode": "header", "headerName": "X-Key", "value": "v", "prefix": "Key "}}},
                 {"Authorization": "Bearer sk-env", "X-Key": "Key v"}),
                ({"request": {"auth": {"mode": "provider-default"}}}, {"Authorization": "Bearer sk-env"}),
                ({"models": [{"id": "m", "name": "m", "headers": {"X-A": "model"}}], "headers": {"x-a": "block"}},
                 {"Authorization": "Bearer sk-env", "X-A": "model"})):
            with self.subTest(fields=fields):
                found = self.provider(block(**fields), env)
                self.assertEqual(vllm.request_headers(found, vllm.find_model(found, "m")), expected)
                self.assertEqual(vllm.discovery_headers(found)["Authorization"], "Bearer sk-env")
                self.assertNotIn("authorization", vllm.discovery_headers(found))
        for headers in ({"X-A": "a\nb"}, {"X A": "1"}, {"X-A:": "1"}, {"": "1"}, {"X\r\nEvil": "1"}):
            with self.subTest(headers=headers):
                if headers != {"": "1"}:
                    self.assertRaises(vllm.ConfigError, self.provider, block(headers=headers))
        unset = self.provider(block(headers={"X-A": "${NONE}"}))
        self.assertEqual((unset.refusal.cause, unset.headers), ("config-missing-variable", {}))

    def test_provider_ids(self):
        config = {"models": {"providers": {"vLLM": {"models": [{"id": "a", "name": "a"}]}, "Gpu.box": {"baseUrl": "http://h/v1", "models": [{"id": "b", "name": "b"}]},
                                           "claude": {"api": "anthropic-messages", "models": []}}}}
        self.configure(config)
        self.assertEqual([model.key for model in vllm.list_models(self.provider())], ["vllm/a"])
        self.assertEqual([model.key for model in vllm.list_models(self.provider(provider="gpu.BOX"))], ["gpu.box/b"])
        self.check(self.run_main("list", "--provider", "none"), 2, err="the config has: Gpu.box, claude, vLLM")
        self.check(self.run_main("list", "--provider", "claude"), 3, err="anthropic-messages")
        self.assertIsNone(self.provider(provider="gpu.box", env={"VLLM_API_KEY": "sk-env"}).request_key)

    def test_repr_hides_keys(self):
        self.assertNotIn("sk-env", repr(self.provider(block(headers={"X": "sk-header"}), {"VLLM_API_KEY": "sk-env"})._replace(env={})))


# ----------------------------------------------------------------------------
# Models and list
# ----------------------------------------------------------------------------

class Models(Case):

    def discovered(self, *found):
        return vllm.discovered_models(vllm.parse_model_list({"data": list(found)}), self.provider())

    def test_rows_without_a_usable_id_are_skipped_and_the_first_of_equal_ones_stays(self):
        found = self.discovered({"id": " a ", "n": 1}, {"id": "a", "max_model_len": 5}, {"id": ""}, {"id": " "}, {"id": 7}, {"id": None}, {}, 7, None, [], {"id": "b"})
        self.assertEqual([(model.id, model.context_window) for model in found], [("a", 128000), ("b", 128000)])
        for payload in (None, [], 7, {}, {"data": None}, {"data": {}}, {"data": "x"}):
            with self.subTest(payload=payload):
                self.assertRaises(ValueError, vllm.parse_model_list, payload)
        self.assertEqual(vllm.parse_model_list({"data": []}), [])

    def test_context_windows(self):
        for row, expected in (
                ({"max_model_len": 40960}, 40960), ({"max_model_len": 1.9e3}, 1900), ({"max_model_len": "40960"}, None), ({"max_model_len": True}, None),
                ({"max_model_len": 0}, None), ({"max_model_len": -1}, None), ({"max_model_len": 0.5}, None), ({"max_model_len": math.inf}, None), ({"max_model_len": math.nan}, None),
                ({"max_model_len": None}, None), ({}, None), ({"context_size": 3, "max_model_len": 4}, 3), ({"context_window": 2, "context_size": 3}, 2),
                ({"context_length": 1, "context_window": 2}, 1), ({"context_length": "1", "max_model_len": 4}, 4), ({"meta": {"n_ctx_train": 9}, "context_length": 1}, 9),
                ({"meta": {"n_ctx_train": "9"}, "context_length": 1}, 1), ({"meta": []}, None), ({"meta": {"n_ctx_train": [9]}}, None)):
            with self.subTest(row=row):
                self.assertEqual(vllm.row_context(row), expected)

    def test_a_lora_row_takes_its_direct_parents_context(self):
        found = self.discovered({"id": "base", "max_model_len": 4096}, {"id": "lora", "parent": " base ", "root": "/l"}, {"id": "own", "parent": "base", "max_model_len": 99},
                                {"id": "grand", "parent": "lora"}, {"id": "self", "parent": "self"}, {"id": "lost", "parent": "none"}, {"id": "odd", "parent": 7, "root": 7})
        self.assertEqual([(model.id, model.context_window) for model in found],
                         [("base", 4096), ("lora", 4096), ("own", 99), ("grand", 128000), ("self", 128000), ("lost", 128000), ("odd", 128000)])
        self.assertEqual([(model.parent, model.root) for model in found][1::5], [("base", "/l"), (None, None)])

    def test_names_that_reason(self):
        for model_id, expected in (("DeepSeek-R1", True), ("Qwen3-Thinking", True), ("reasoner", True), ("qwen3-8b", False), ("QwQ", False)):
            self.assertEqual(self.discovered({"id": model_id})[0].reasoning, expected, model_id)

    def test_keys_and_tags(self):
        config = {"agents": {"defaults": {
            "model": {"primary": "fast", "fallbacks": ["other/x", "vllm/b"]}, "imageModel": "VLLM/c",
            "models": {"vllm/org/a": {"alias": "fast"}, "Vllm/b": {}, "vllm/*": {}}}}}
        provider = self.provider(config, {"VLLM_API_KEY": "k"})
        rows_found = vllm.parse_model_list({"data": [{"id": name} for name in ("org/a", "b", "c", "vllm/d")]})
        found = vllm.discovered_models(rows_found, provider)
        self.assertEqual([(model.key, model.tags) for model in found], [
            ("vllm/org/a", ("default", "configured", "alias:fast")), ("vllm/b", ("fallback#2", "configured")), ("vllm/c", ("image",)), ("vllm/d", ())])
        for reference, expected in (("vllm/org/a", "org/a"), ("org/a", "org/a"), ("fast", "org/a"), ("b", "b"), ("VLLM/b", "b"), ("d", "vllm/d"), ("vllm/d", "vllm/d"),
                                    ("vllm/vllm/d", None), ("B", None), ("x/b", None), ("", None)):
            model = vllm.match_model(found, reference, "vllm")
            self.assertEqual(model and model.id, expected, reference)
        for defaults, expected in (({"model": "vllm/m2"}, ["vllm/m2"]), ({}, ["vllm/m1"]), ({"model": {"fallbacks": []}}, ["vllm/m1"])):
            self.configure({"models": {"providers": {"vllm": {"models": [{"id": "m1", "name": "1"}, {"id": "m2", "name": "2"}]}}}, "agents": {"defaults": defaults}})
            self.assertEqual([model.key for model in vllm.list_models(self.provider()) if "default" in model.tags], expected)

    def test_which_server_is_asked_and_what_is_merged(self):
        served = self.serve(rows("m", "lora", max_model_len=4096, root="/r"))
        row = {"id": "m", "name": "Mine", "maxTokens": 99}
        wildcard = {"agents": {"defaults": {"models": {"vLLM/*": {}}}}}
        for mode, name, extra, expected in (
                (None, "explicit", {}, [("vllm/m", "Mine", None, "declared")]),
                (None, "wildcard", wildcard, [("vllm/lora", "lora", 4096, "discovered"), ("vllm/m", "Mine", 4096, "declared")]),
                ("merge", "merge", wildcard, [("vllm/lora", "lora", 4096, "discovered"), ("vllm/m", "Mine", 4096, "declared")]),
                ("replace", "replace", wildcard, [("vllm/m", "Mine", None, "declared")])):
            with self.subTest(name=name):
                config = dict(block(baseUrl=served.url, models=[row]), **extra)
                config["models"].update({"mode": mode} if mode else {})
                before = len(served.requests)
                found = vllm.list_models(self.provider(config))
                self.assertEqual([(model.key, model.name, model.context_window, model.source) for model in found], expected)
                self.assertEqual(len(served.requests) - before, 1 if len(expected) > 1 else 0)
                self.assertEqual(found[-1].max_tokens, 99)
        self.assertEqual(vllm.list_models(self.provider(dict(config, models={}), {"VLLM_API_KEY": "k", "VLLM_BASE_URL": served.url}))[0].key, "vllm/lora")
        self.assertEqual((served.requests[0].target, served.requests[0].headers.get("authorization")), ("/v1/models", None))
        self.assertEqual(served.requests[-1].headers["authorization"], "Bearer k")

    def test_unknown_reference_names_the_nearest(self):
        url = self.serve(rows("Qwen/Qwen3-8B", "llama")).url
        provider = self.provider(base_url=url)
        for reference, words in (("vllm/Qwen/Qwen3-8", "did you mean --model Qwen/Qwen3-8B ?"), ("zzz", "the server has: Qwen/Qwen3-8B, llama")):
            with self.assertRaises(vllm.ServerError) as raised:
                vllm.find_model(provider, reference)
            self.assertEqual((raised.exception.cause, raised.exception.hint), ("model-not-served", words))
        self.assertEqual(vllm.find_model(provider).id, "Qwen/Qwen3-8B")


class List(Case):

    def test_json_contract(self):
        url = self.serve(reply({"data": [{"id": "Qwen/Qwen3-8B", "max_model_len": 40960, "root": "q", "parent": None}, {"id": "l", "parent": "Qwen/Qwen3-8B"}]})).url
        self.configure({"agents": {"defaults": {"model": "vllm/Qwen/Qwen3-8B"}}})
        result = self.run_main("list", "--json", "--base-url", url)
        self.assertEqual(json.loads(result.out), {"count": 2, "models": [
            {"key": "vllm/l", "name": "l", "input": "text", "contextWindow": 40960, "local": True, "available": True, "tags": [], "source": "discovered",
             "maxTokens": 8192, "reasoning": False, "parent": "Qwen/Qwen3-8B"},
            {"key": "vllm/Qwen/Qwen3-8B", "name": "Qwen/Qwen3-8B", "input": "text", "contextWindow": 40960, "local": True, "available": True, "tags": ["default"],
             "source": "discovered", "maxTokens": 8192, "reasoning": False, "root": "q"}]})
        self.declare("http://gpu.example/v1", input=["text", "image"], contextTokens=2048)
        row = json.loads(self.run_main("list", "--json").out)["models"][0]
        self.assertEqual((row["input"], row["local"], row["contextTokens"], row["source"]), ("text+image", False, 2048, "declared"))

    def test_plain_and_table(self):
        url = self.serve(rows("b", "a/x")).url
        self.assertEqual(self.run_main("list", "--plain", "--base-url", url).out, "vllm/a/x\nvllm/b\n")
        self.assertEqual(self.run_main("list", "--base-url", url).out.splitlines(),
                         ["Model     Input  Ctx   Local  Auth  Tags", "vllm/a/x  text   4096  yes    no", "vllm/b    text   4096  yes    no"])

    def test_table_fits_and_aligns_wide_characters(self):
        provider = self.provider()
        names = ["\u6a21\u578b" * 20, "e\u0301" * 30, "plain", "\U0001f600x", "x" * 200]
        models = vllm.discovered_models([{"id": name, "max_model_len": 4096} for name in names], provider)
        for width in (None, 40, 60, 80, 120):
            lines = vllm.format_table(models, provider, width)
            widths = [vllm.display_width(line) for line in lines]
            with self.subTest(width=width):
                self.assertEqual(len(lines), 6)
                self.assertTrue(width is None or max(widths) <= width, widths)
                starts = {vllm.display_width(line[:line.index("text")]) for line in lines[1:] if "text" in line}
                self.assertEqual(len(starts), 1)
        for text, width in (("abc", 3), ("\u6a21", 2), ("e\u0301", 1), ("\uff21", 2), ("", 0), ("\u00fc", 1)):
            self.assertEqual(vllm.display_width(text), width)

    def test_control_characters_are_made_visible(self):
        hostile = "a\x1b[31m\x07\r\nb\u202ec\u200b\x9b\x7f\u2028d\x00\t"
        url = self.serve(reply(json.dumps({"data": [{"id": hostile}, {"id": "\ud800x"}, {"id": "ok"}]}))).url
        for form in ("--json", "--plain", "--verbose"):
            with self.subTest(form=form):
                result = self.run_main("list", form, "--base-url", url)
                self.check(result, 0)
                self.assertIsNone(re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u200b\u2028\ud800]", result.out + result.err))
                self.assertEqual(len(json.loads(result.out)["models"]) if form == "--json" else 3, 3)

    def test_ten_thousand_rows_are_listed(self):
        url = self.serve(reply({"data": [{"id": "org/model-%d" % number, "max_model_len": 4096} for number in range(10000)]})).url
        self.assertEqual(self.run_main("list", "--plain", "--base-url", url).out.count("\n"), 10000)

    def test_reasons_and_exit_statuses(self):
        closed = self.serve(b"")
        closed.close()
        for answer, status, words in (
                (reply({"data": []}), 1, "the server offers no models"), (reply({"data": [{"id": 7}]}), 1, "no models"),
                (reply({"error": "Unauthorized"}, "401 Unauthorized"), 5, "the server wants a key and none was sent"), (reply("", "403 Forbidden"), 5, "403"),
                (reply({"detail": "Not Found"}, "404 Not Found"), 4, "check the base URL"), (reply("", "503 Service Unavailable"), 4, "not ready"),
                (reply("x", "500 Oops"), 4, "HTTP 500 Oops: x"), (reply(b""), 4, "it is empty"), (reply("<html>hi</html>", Server="nginx"), 4, "HTML page (answered by nginx)"),
                (reply("{"), 4, "it is no JSON"), (reply({"data": None}), 4, 'a list under "data"'), (reply(b"\xff{}"), 4, "not UTF-8"), (reply("[" * 100000), 4, "nested too deep"),
                (reply({"object": "error", "message": "boom", "code": 400}), 4, "boom"), (reply({"error": {"message": "inside", "code": 401}}), 4, "inside"),
                (reply("{}", "204 No Content"), 4, "204"), (reply({"data": [{"id": "m", "max_model_len": 10 ** 350}]}), 0, "")):
            with self.subTest(answer=answer[:60], words=words):
                self.check(self.run_main("list", "--base-url", self.serve(answer).url), status, err=words)
        self.check(self.run_main("list"), 1, err="export VLLM_API_KEY=vllm-local")
        self.check(self.run_main("list", "--base-url", closed.url), 4, err="vllm serve MODEL --port %d" % closed.address[1])
        self.check(self.run_main("list", "--base-url", self.serve(reply("", "401 No")).url, env={"VLLM_API_KEY": "Bearer sk-abcdef"}), 5, err='it begins with "Bearer "')
        self.configure({"models": {"providers": {"vllm": {"models": []}}}})
        self.check(self.run_main("list"), 1, err="declares no models")
        self.check(self.run_main("list", "--timeout", "0"), 2)
        self.check(self.run_main("list", "--json", "--nonsense"), 2, err="--nonsense")


if __name__ == "__main__":
    unittest.main()
