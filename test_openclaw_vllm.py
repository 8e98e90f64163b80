"""Tests of openclaw_vllm.py: python3 -m unittest test_openclaw_vllm"""
import contextlib
import http.server
import io
import json
import os
import re
import socket
import socketserver
import ssl
import tempfile
import threading
import unittest
from unittest import mock

import openclaw_vllm as tool

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
    status = tool.main(argv, env or {}, io.StringIO(stdin), out, err)
    return status, out.getvalue(), err.getvalue()


MODEL = {"id": "qwen", "object": "model", "root": "Qwen/Qwen3-8B", "parent": None, "max_model_len": 40960}


def vllm(changes=None, models=(MODEL,), key=None):
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
                with self.subTest(key=key, more=more), loopback(vllm(key=key)) as (url, requests):
                    status, findings = self.doctor("--base-url", url + "/v1", *more)
                    self.assertEqual((status, {finding["status"] for finding in findings}), (0, {"ok"}), findings)
                    posts = {request.path for request in requests if request.method == "POST"}
                    self.assertEqual(posts, {"/tokenize", "/v1/chat/completions"} if more else {"/tokenize"})

    def test_the_server_is_described(self):
        models = [MODEL, dict(MODEL, id="alias"),
                  {"id": "sql", "root": "/adapters/sql", "parent": "qwen", "max_model_len": None}]
        with loopback(vllm(models=models)) as (url, _):
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
                with mock.patch.object(tool, "Exchange", side_effect=AssertionError("a connection")):
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
        with loopback(vllm()) as (url, _):
            block = {"baseUrl": url + "/v1", "apiKeys": "x", "models": [{"id": "qwen", "name": "Qwen"}]}
            self.configure({"models": {"providers": {"vllm": block}}})
            found = self.assert_warns("config-unknown-key")
            self.assertIn("openclaw.json:1:", found["summary"])
            self.assertEqual(found["fix"], "rename it to apiKey")
            self.configure({"models": {"providers": {"vllm": {"baseUrl": url + "/v1", "models": []},
                                                     "other": {"baseUrl": "http://h", "apiKey": "${OTHER}"}}}})
            self.assertIn("export OTHER=", self.assert_warns("config-missing-variable")["fix"])

    def test_keys_that_disagree_are_named_and_never_shown(self):
        with loopback(vllm()) as (url, _):
            write(os.path.join(self.folder, ".env"), "VLLM_API_KEY=short-two\n")
            self.configure({"models": {"providers": {"vllm": {"baseUrl": url + "/v1", "apiKey": "short-three", "models": []}}}})
            found = self.assert_warns("bad-key")
        for words in ("VLLM_API_KEY (the environment)", "models.providers.vllm.apiKey", ".env"):
            self.assertIn(words, found["summary"])
        self.assertNotIn("short-", str(found))

    def test_a_base_url_of_our_own_variable(self):
        with loopback(vllm()) as (url, _):
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
            with self.subTest(models=models[0]), loopback(vllm({"/health": (503, {}, b""), "/v1/models": models})) as (url, _):
                self.assert_fails("server-loading", 1 if models[0] == 200 else 4, "--base-url", url + "/v1")

    def test_only_one_address_family_answers(self):
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        with loopback(vllm()) as (url, _):
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
            with self.subTest(proxy=proxy_answer), loopback(vllm()) as (url, _), names(gpu_example="127.0.0.1"):
                with loopback(proxy_answer or vllm()) as (proxy, _):
                    self.env["HTTP_PROXY"] = proxy if proxy_answer else "http://127.0.0.1:%d" % free_port()
                    self.env["NO_PROXY"] = "10.0.0.0/8"
                    there = url.replace("127.0.0.1", "gpu.example") + "/v1"
                    found = self.assert_fails("proxy-captured", 4, "--base-url", there)
                    self.assertIn("NO_PROXY=10.0.0.0/8,gpu.example", found["fix"])

    def test_a_proxy_that_is_needed(self):
        with names(gpu_example="127.0.0.1"), loopback(lambda request: vllm()(
                Request(request.method, request.path.replace("http://gpu.example:%d" % port, ""), request.headers, b""))) as (
                    proxy, _):
            port = free_port()
            self.env.update(HTTP_PROXY=proxy, NO_PROXY="10.0.0.0/8, .example")
            found = self.assert_fails("proxy-captured", 4, "--base-url", "http://gpu.example:%d/v1" % port)
            self.assertIn("export NO_PROXY=10.0.0.0/8", found["fix"])
            self.assertNotIn(".example", found["fix"])

    def test_the_other_scheme(self):
        with loopback(vllm()) as (url, requests):
            self.env["VLLM_API_KEY"] = "sk-secret-of-the-test"
            found = self.assert_fails("scheme-mismatch", 4, "--base-url", url.replace("http:", "https:") + "/v1")
            self.assertIn(url + "/v1", found["fix"])
            self.assertEqual({request.key for request in requests}, {None})
        with loopback(vllm(), tls=True) as (url, requests):
            found = self.assert_fails("scheme-mismatch", 4, "--base-url", url.replace("https:", "http:") + "/v1")
            self.assertIn(url + "/v1", found["fix"])
            self.assertEqual(requests, [])

    def test_a_certificate_that_is_not_trusted(self):
        with loopback(vllm(), tls=True) as (url, requests):
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
        with loopback(vllm()) as (right, followed):
            with loopback(lambda request: (307, {"Location": right + request.path}, b"")) as (url, _):
                found = self.assert_fails("redirect", 4, "--base-url", url + "/v1")
        self.assertIn(right + "/v1", found["fix"])
        self.assertEqual(followed, [])

    def test_a_base_url_without_v1(self):
        page = (200, {"Content-Type": "text/html"}, b"<html>hello</html>")
        for name, changes, base, key in (("404", {}, "", None), ("a page", {"/models": page}, "", None),
                                         ("elsewhere", {}, "/api", None), ("a key", {}, "", "sk-other")):
            with self.subTest(name), loopback(vllm(changes, key=key)) as (url, _):
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
            with self.subTest(key=key), loopback(vllm(key="sk-right")) as (url, requests):
                self.env.pop("VLLM_API_KEY", None)
                self.env.update({"VLLM_API_KEY": key} if key else {})
                found = self.assert_fails("bad-key" if key else "no-key", 5, "--base-url", url + "/v1")
                self.assertIn(words, found["summary"])
                self.assertNotIn("sk-", found["summary"])

    def test_the_key_of_requests_is_tried_too(self):
        with loopback(vllm(key="sk-right-one")) as (url, _):
            self.env["VLLM_API_KEY"] = "sk-right-one"
            block = {"baseUrl": url + "/v1", "headers": {"Authorization": "Bearer sk-wrong-one"}, "models": []}
            self.configure({"models": {"providers": {"vllm": block}}})
            self.assertIn("Authorization header", self.assert_fails("bad-key", 5)["summary"])

    def test_a_key_that_the_server_ignores(self):
        with loopback(vllm()) as (url, _):
            self.env["VLLM_API_KEY"] = "sk-0123456789abcdef"
            self.assert_warns("key-ignored", "--base-url", url + "/v1")
            self.env["VLLM_API_KEY"] = "vllm-local"
            self.assertIn("enforces none", self.checked("auth", "--base-url", url + "/v1")[0]["summary"])

    def test_what_the_key_does_not_guard(self):
        self.env["VLLM_API_KEY"] = "sk-right-one"
        with loopback(vllm(key="sk-right-one")) as (url, requests), names(gpu_example="127.0.0.1"):
            self.doctor("--base-url", url + "/v1")
            self.assertNotIn("/openapi.json", [request.path for request in requests])
            found = self.assert_warns("exposed", "--base-url", url.replace("127.0.0.1", "gpu.example") + "/v1")
            self.assertIn("/invocations", found["summary"])
            self.assertNotIn("/invocations", [request.path for request in requests])

    # models

    def test_no_models(self):
        with loopback(vllm(models=[])) as (url, _):
            self.assert_fails("no-models", 1, "--base-url", url + "/v1")

    def test_models_that_are_not_served(self):
        with loopback(vllm()) as (url, _):
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
            with self.subTest(row=row), loopback(vllm()) as (url, _):
                self.declare(url, **row)
                self.assertIn("40960" if "context" in cause else "8192", self.assert_fails(cause, 1)["fix"])
        with loopback(vllm()) as (url, _):
            self.declare(url, contextWindow=20000)
            self.assertIn("20960 tokens", self.assert_warns("context-too-small")["summary"])
            self.declare(url, contextWindow=40960, maxTokens=8192)
            self.assertEqual(self.doctor()[0], 0)
        with loopback(vllm(models=[dict(MODEL, max_model_len=16384)])) as (url, _):
            self.declare(url, contextWindow=16384)
            self.assert_warns("context-below-agent")

    def test_a_template_that_refuses_a_role(self):
        def refuse(role):
            def tokenize(request):
                roles = [message["role"] for message in request.json()["messages"]]
                return refused("%s role not supported" % role) if role in roles else (200, {}, {"count": 5})
            return tokenize

        with loopback(vllm({"/tokenize": refuse("system")})) as (url, _):
            self.assertIn("system role not supported", self.assert_fails("template-role", 1, "--base-url", url + "/v1")["summary"])
        with loopback(vllm({"/tokenize": refuse("developer")})) as (url, _):
            self.assert_warns("template-role", "--base-url", url + "/v1")
            self.declare(url, reasoning=True, compat={"supportsDeveloperRole": True})
            self.assertIn("supportsDeveloperRole: false", self.assert_fails("template-role", 1)["fix"])

    # with --probe

    def probe(self, answer, tools=None, **row):
        """Return a context manager for a server whose completions, and those with tools, are answered so."""
        def complete(request):
            with_tools = "tools" in request.json()
            return (tools or (lambda request: (200, {}, stream(request))))(request) if with_tools else answer(request)

        return loopback(vllm({"/v1/chat/completions": complete}, **row))

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
            threading.Event().wait(tool.BUFFERED_AFTER_S + 0.02)     # a buffer is a wait and then a burst
            return 200, {}, b"".join(stream(request, texts="123456789"))

        with mock.patch.object(tool, "BUFFERED_AFTER_S", 0.1), self.probe(late) as (url, _):
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
        with loopback(vllm(models=models)) as (url, requests):
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
        with mock.patch.object(tool, "DIAGNOSIS_S", 0.2), raw_server(lambda connection, over: over.wait()) as url:
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
        report = tool.format_findings([tool.Finding("connect", "fail", "dns", "gone", "start it: %s    (soon)" % command)], str)
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
