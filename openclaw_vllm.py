#!/usr/bin/env python3
"""OpenClaw's vLLM provider in one file: list, chat, doctor and config for vLLM servers.

    python3 openclaw_vllm.py list                  the models a server offers
    python3 openclaw_vllm.py chat "Say hi"         talk to one of them
    python3 openclaw_vllm.py doctor                what is wrong, and what to type to fix it

It reads the settings OpenClaw reads (openclaw.json, VLLM_API_KEY, auth
profiles), sends vLLM the requests OpenClaw would send, and needs nothing but
Python 3.6 or newer. As a module it offers what `__all__` names; importing it
reads nothing and opens nothing.
"""
import collections
import errno
import io
import itertools
import json
import math
import os
import re
import sys
import time
__version__ = "1.1.0"
__all__ = [
    "Answer", "ConfigError", "Delta", "Error", "Finding", "KeyRefused", "Model", "NothingToShow",
    "Provider", "ServerError", "Settings", "Usage", "UsageError",
    "chat", "diagnose", "discover_models", "json5_loads", "list_everywhere", "list_models",
    "load_settings", "resolve_provider", "resolve_providers", "shape_request", "stream_chat",
]
TOOL = "python3 openclaw_vllm.py"    # in commands to paste
if getattr(sys, "frozen", False):
    TOOL = "openclaw_vllm"
DEFAULT_PROVIDER = "vllm"
DEFAULT_BASE_URL = "http://127.0.0.1:8000/v1"
DEFAULT_CONTEXT_WINDOW = 128000      # tokens; what OpenClaw assumes of a row that states none
DEFAULT_MAX_TOKENS = 8192            # tokens
DISCOVERY_TIMEOUT_S = 5.0            # the whole exchange, as OpenClaw has it
CONNECT_TIMEOUT_S = 10.0             # one connection for a completion
SILENCE_TIMEOUT_S = 300.0            # between two events: a slow model has not failed
LONGEST_TIMEOUT_S = 1e6              # what every platform's sockets can count
MODEL_LIST_LIMIT = 16 * 1024 * 1024  # bytes of /v1/models, as OpenClaw has it
MODEL_LIMIT = 100000                 # rows of it; more would take hundreds of megabytes
ANSWER_LIMIT = 64 * 1024 * 1024      # bytes of one unstreamed completion
EVENT_LIMIT = 16 * 1024 * 1024       # bytes of one server-sent event
ANSWER_PARTS = 1000                  # tool calls of one answer, and choices
STREAM_LIMIT = 256 * 1024 * 1024     # bytes of one streamed completion: a million tokens and more
CONFIG_LIMIT = 8 * 1024 * 1024       # bytes of openclaw.json
INCLUDE_LIMIT = 2 * 1024 * 1024      # bytes of an included file, as OpenClaw has it
INCLUDE_DEPTH = 10
JSON_DEPTH = 200                     # levels of nesting in a JSON5 text
JSON_CONTAINERS = 500000             # objects and lists of a server's JSON: 60 bytes each and more
CONFIG_DEPTH = 320                   # levels of nesting in a config, its included files together
MAX_ISSUES = 100                     # faults named of one file; more help nobody


# ----------------------------------------------------------------------------
# Errors and exit statuses
# ----------------------------------------------------------------------------
# Every failure the outside world can cause is a row of CAUSES, worded there and nowhere else.
# Nothing here looks at a server, a file or the environment.

class Error(Exception):
    """Root of every error the outside world can cause.

    `cause` is a code of CAUSES, `hint` the next step in words (may be empty), `command` the
    next step as a shell takes it, or None; `exit_status` is what the command line exits with,
    `facts` what the words were filled in with.
    """

    exit_status = 1

    def __init__(self, message, hint="", cause=None, command=None, **facts):
        super(Error, self).__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause
        self.command = command
        self.facts = facts

    @property
    def next_step(self):
        """The next step in one line: the words, then the command."""
        return ": ".join(filter(None, (self.hint, self.command)))


class NothingToShow(Error):
    """Nothing is wrong with the server, yet there is nothing to show: not opted in, no models."""

    exit_status = 1


class UsageError(Error):
    """An argument, or what came on standard input, cannot be used."""

    exit_status = 2


class ConfigError(Error):
    """The settings cannot be read, or are invalid; `facts` may hold `issues`."""

    exit_status = 3


class ServerError(Error):
    """The server cannot be reached, or its answer cannot be used."""

    exit_status = 4


class KeyRefused(Error):
    """The server, or a proxy before it, answered 401 or 403."""

    exit_status = 5


_ERRORS = {kind.exit_status: kind for kind in Error.__subclasses__()}

Cause = collections.namedtuple("Cause", "exit_status summary fix")
Cause.__doc__ = """How a cause is said: templates whose names in braces are facts of the moment.

`exit_status` 0 is that of a warning.
"""
# The codes are those of `doctor --json`; those it does not have are told there as a wider one.
CAUSES = {
    # Settings
    "not-opted-in": Cause(
        1, "no key for {provider}, so OpenClaw does not use it: {variable} is not set, "
           "and no auth profile holds one",
        "set one; any value does when the server enforces none"),
    "config-invalid": Cause(
        3, "{where}: {problem}", "fix it, then check: {tool} config --check"),
    "config-unknown-key": Cause(0, "{where}: {path}: {problem}", "{fix}"),
    "config-legacy-key": Cause(0, "{where}: {path}: {problem}", "{fix}"),
    "config-not-written": Cause(3, "{where}: not written: {problem}", "{fix}"),
    "config-included": Cause(
        3, "{where}: {place} comes from the included file {included}, which is never edited",
        "put the block into {included} by hand; this prints it: {tool} config"),
    "config-missing-variable": Cause(
        1, "{path} uses ${{{variable}}}, which is not set",
        "set it: export {variable}=VALUE, or the same line in {dotenv}"),
    "provider-disabled": Cause(
        1, "{problem} in {file}, so OpenClaw asks no vLLM server", "switch the plugin on again"),
    "bad-base-url": Cause(
        3, "{where} is not a valid base URL: {problem}", "use something like {example}"),
    "endpoint-in-base-url": Cause(
        3, "{where} ends in {suffix}, which is an endpoint, not a base URL",
        "set baseUrl to {right}"),
    "bad-key-form": Cause(
        3, "the key from {source} cannot be sent: {problem}", "set the key again, without {what}"),
    "wrong-api": Cause(
        0, "{path} is {api}, so OpenClaw posts to another endpoint than /chat/completions",
        "set it to openai-completions, or remove it"),
    "wrong-provider": Cause(
        1, "{path} is {reference}: OpenClaw asks another provider for it, though it is served here",
        "write {right}"),
    "private-network": Cause(
        1, "{path} is false, so OpenClaw refuses to connect to {url}: it is not a public address",
        "remove it, or set it to true"),
    "key-in-shell-only": Cause(
        0, "{variable} is set in this shell only: a gateway that runs as a service does not see it",
        "put {variable}=… into {dotenv}"),
    "usage-off": Cause(
        0, "{path} is false, though the server sends usage: OpenClaw then counts no context "
           "and never compacts it",
        "remove it, or set it to true"),
    # The way to the server
    "dns": Cause(
        4, "{url}: the host name {host!r} does not resolve ({detail})",
        "check the spelling of the host, or use its address: getent hosts {host}"),
    "connection-refused": Cause(
        4, "{url}: connection refused, nothing listens there",
        "start the server: vllm serve MODEL --port {port}"),
    "server-loading": Cause(
        4, "{url}: {detail}: the server is still loading its model",
        "wait until its log says that startup is complete; if it never does, the log says why"),
    "engine-dead": Cause(
        4, "{url}: the API answers, but the engine behind it has died: HTTP {status}{words}",
        "restart vLLM; its log says why the engine died"),
    "wrong-address-family": Cause(
        4, "{url}: only {answers} answers, {refuses} does not",
        "use the address that answers: {right}"),
    "unreachable": Cause(
        4, "{url}: {detail}", "check the address, the route to it and the firewall"),
    "timeout": Cause(4, "{url}: timed out {when} after {seconds:g} s{limit}", "{fix}"),
    "proxy-captured": Cause(
        4, "{url}: the proxy {proxy} of the environment {way} ({detail})",
        "{advice}let the host bypass the proxy"),
    "gateway": Cause(4, "{url}: HTTP {status}{words}{answered_by}", "{fix}"),
    "gateway-auth": Cause(
        5, "{url}: HTTP {status}: a layer before the server wants credentials: {challenge}"
           "{answered_by}",
        "put them into headers.Authorization of the provider's block in openclaw.json"),
    "scheme-mismatch": Cause(
        4, "{url}: the port does not speak {scheme}", "use the other scheme: {right}"),
    "tls-untrusted": Cause(
        4, "{url}: the certificate of {host} is not trusted: {detail}",
        "name the authority that signed it: --ca-file CA.pem, or SSL_CERT_FILE; OpenClaw itself "
        "reads NODE_EXTRA_CA_CERTS"),
    "tls-wrong-host": Cause(
        4, "{url}: the certificate is not for {host}: {detail}",
        "use a name that it is for in the base URL, or have it issued for {host}"),
    "tls-failed": Cause(
        4, "{url}: TLS failed: {detail}", "check the scheme and port of the base URL"),
    "redirect": Cause(
        4, "{url}: HTTP {status} points to {location}; redirects are not followed",
        "set baseUrl to {right}"),
    "missing-v1": Cause(
        4, "{url}: not found there, but {right}/models answers", "set baseUrl to {right}"),
    "not-openai": Cause(
        4, "{url}: the answer is not OpenAI-style JSON: {detail}{answered_by}",
        "check that the base URL is that of a vLLM server and ends in /v1"),
    "http-error": Cause(4, "{url}: HTTP {status}{words}{answered_by}", "{fix}"),
    "answer-broken": Cause(
        4, "{url}: {detail}", "try again; if it happens again, look at the server's log"),
    "answer-too-large": Cause(
        4, "{url}: the answer is larger than {limit} bytes",
        "check that the base URL is that of a vLLM server"),
    "no-key": Cause(
        5, "{url}: HTTP {status}{words}: the server wants a key and none was sent{answered_by}",
        "set {variable} to the key the server was started with (--api-key)"),
    "bad-key": Cause(
        5, "{url}: HTTP {status}{words}: the server refused the key from {source}{suspect}"
           "{answered_by}",
        "set {variable} to the key the server was started with (--api-key)"),
    "key-ignored": Cause(
        0, "{url} answers without the key too: the server enforces none",
        "to enforce one, start vLLM with --api-key"),
    # Models and templates
    "no-models": Cause(1, "{where}: {problem}", "{fix}"),
    "model-not-served": Cause(4, "{url}: the server has no model {model!r}{words}", "{fix}"),
    "context-exceeded": Cause(4, "{url}: {problem}{words}", "{fix}"),
    "context-too-large": Cause(
        1, "{model}: {field} is {declared}, the server's max_model_len is {served}",
        "set {field} to {served}"),
    "context-too-small": Cause(
        0, "{model}: {field} is {declared}, less than half of the server's {served}: "
           "{lost} tokens of context go unused",
        "set {field} to {served}"),
    "max-tokens-too-large": Cause(
        1, "{model}: maxTokens {declared} leaves no room for a prompt in {served}",
        "set maxTokens to {right} or less"),
    "context-below-agent": Cause(
        0, "{model}: max_model_len {served} is small: OpenClaw's own agent prompt takes "
           "about 32000 tokens",
        "start vLLM with a larger --max-model-len"),
    "no-chat-template": Cause(
        4, "{url}: {model} has no chat template{words}",
        "start vLLM with --chat-template FILE, or serve the instruct version of the model"),
    "not-a-chat-model": Cause(
        4, "{url}: {model} does not chat: the server offers no chat completions for it{words}",
        "serve a chat model (one that embeds, ranks or transcribes needs no row in openclaw.json), "
        "or let what stands before the server pass /v1/chat/completions"),
    "template-role": Cause(
        1, "{model}: the chat template refuses the role {role!r}{words}", "{fix}"),
    "template-history": Cause(
        1, "{model}: the chat template refuses {history}{words}", "{fix}"),
    "exposed": Cause(
        0, "{url}: the key guards /v1 only; {paths} answer to anyone who reaches the port",
        "let only a reverse proxy reach the port, or close it in the firewall"),
    # Completions
    "chat-failed": Cause(
        4, "{url}: HTTP {status}{words}", "the words are the server's own; its log says more"),
    "unknown-field-rejected": Cause(
        4, "{url}: the server does not know the field {field!r}{words}", "{fix}"),
    "field-refused": Cause(4, "{url}: the server refuses {field}{words}", "{fix}"),
    "empty-answer": Cause(1, "{model}: the answer has no content: {detail}", "{fix}"),
    "reasoning-in-content": Cause(
        1, "{model}: the reasoning comes inside the answer ({detail})", "{fix}"),
    "stream-broken": Cause(
        4, "{url}: the stream broke off: {detail}",
        "try again; if it happens again, look at the server's log and at proxies in between"),
    "stream-buffered": Cause(
        0, "{model}: {events} chunks came in bursts, {pieces} within {seconds:.1f} s: something in "
           "between buffers",
        "turn that off there; in nginx: proxy_buffering off; gzip off;"),
    "usage-missing": Cause(
        0, "{model}: the stream carried no usage",
        "set compat.supportsUsageInStreaming to false for this model"),
    "tools-disabled": Cause(4, "{url}: the server takes no tools{words}", "{fix}"),
    "tool-parser-mismatch": Cause(
        1, "{model}: a tool call came back as text ({detail})", "{fix}"),
    "tool-arguments": Cause(
        0, "{model}: a tool call came with {detail}",
        "upgrade vLLM, whose streaming parser may cut arguments, or use a larger model"),
}
# The causes of which `doctor` finds out more than the request that failed of them.
DOCTOR_KNOWS_MORE = frozenset(
    "not-opted-in dns connection-refused unreachable timeout proxy-captured scheme-mismatch "
    "tls-untrusted tls-failed not-openai http-error no-key bad-key chat-failed "
    "unknown-field-rejected stream-broken".split())


def error_for(cause, command=None, **facts):
    """Return the error for a row of CAUSES, worded with `facts`; raise what it returns.

    A fact that nobody stated is left empty. `command` is the next step for a shell.
    """
    row = CAUSES[cause]
    facts.setdefault("tool", TOOL)
    facts.setdefault("variable", "VLLM_API_KEY")
    known = collections.defaultdict(str, facts)
    kind = _ERRORS.get(row.exit_status, NothingToShow)
    return kind(row.summary.format_map(known), row.fix.format_map(known), cause, command, **facts)


# ----------------------------------------------------------------------------
# Secrets, and text from outside
# ----------------------------------------------------------------------------
# One rule: text from outside is redacted, then cut (`excerpt`), then made visible. A cut or an
# escape inside a key would leave a half that no redaction finds. Nothing here does I/O.

class Secret(str):
    """A text to send and never to show: its repr, and so every traceback, hides it."""

    def __repr__(self):
        return "Secret('***')"


_SHORTEST_SECRET = 6                 # characters; hiding shorter keys would garble ordinary words
_PUBLIC_KEYS = ("vllm-local", "VLLM_API_KEY")        # stand-ins of the documentation are no secrets
_URL_SAFE = ("~", "~/", "~!'()*")    # what various languages leave unquoted in a URL beside -._


def spellings(secret):
    """Return the texts by which a secret may be echoed, longest first; none for a short one.

    Plain, URL-quoted, in base64 (inside more text, too), in Python, in JSON, and each of
    these in JSON once more; of a header's value such as "Bearer KEY" also those of "KEY".
    """
    import binascii
    from urllib.parse import quote
    found = set()
    for text in {str(secret)}.union(secret.split(None, 1)[-1:]):
        if len(text) < _SHORTEST_SECRET or text in _PUBLIC_KEYS:
            continue
        found.update((text, repr(text)[1:-1], json.dumps(text)[1:-1].replace("/", "\\/")))
        found.update(_in_json(text))
        data = text.encode("utf-8", "surrogatepass")
        for safe in _URL_SAFE:
            url = quote(data, safe)
            for url in (url, url.replace("~", "%7E")):       # as older Pythons quote it
                found.update((url, re.sub("%..", lambda match: match.group(0).lower(), url)))
        for before in range(3):                      # bytes of other text in its first three
            coded = binascii.b2a_base64(b"\0" * before + data).decode("ascii")
            coded = coded[(before * 8 + 5) // 6:(before + len(data)) * 8 // 6]
            found.update((coded, coded.replace("+", "-").replace("/", "_")))
    found.update(*map(_in_json, found.copy()))
    return sorted(found, key=len, reverse=True)


def _in_json(text):
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def redact(text, secrets):
    """Return a text with every known secret, bearer token and URL password replaced by ***."""
    text = redact_known(text, secrets)
    text = re.sub(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{6,}", r"\1***", text)
    return re.sub(r"(://)[^/\s@]+@", r"\1***@", text)


def redact_known(text, secrets):
    """Return a text with every whole secret replaced by ***."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def redact_value(value, secrets):
    """Return a JSON value with every whole secret in its keys and texts replaced by ***."""
    if isinstance(value, str):
        return redact_known(value, secrets)
    if isinstance(value, dict):
        return {redact_known(name, secrets): redact_value(item, secrets)
                for name, item in value.items()}
    if isinstance(value, list):
        return [redact_value(item, secrets) for item in value]
    return value


def begun_secret(text, secrets):
    """Return how many characters at the end of a text begin a secret that they do not complete."""
    most = 0
    for secret in secrets:
        start = text.find(secret[0], max(0, len(text) - len(secret) + 1))
        while start >= 0 and not secret.startswith(text[start:]):
            start = text.find(secret[0], start + 1)
        if start >= 0:
            most = max(most, len(text) - start)
    return most


def excerpt(text, limit=300):
    """Return a text in one line of at most `limit` characters: errors can echo a whole request."""
    start = text[:20 * limit]
    line = " ".join(start.split())
    if start == text and len(line) <= limit:
        return line
    return line[:limit - 1] + "…"


# What could move the cursor, hide or reorder text: C0 and C1 controls, marks of direction, lone
# surrogates. Ids and words of a server stay on one line as well, or a row could be forged.
UNSAFE = ("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
          "\ud800-\udfff]")
UNSAFE_LINE = "[\t\n" + UNSAFE[1:]
# Of an answer less: people write with joiners, marks of direction and variation selectors.
UNSAFE_ANSWER = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def visible(text, unsafe=UNSAFE):
    """Return a text with control, direction and surrogate characters made visible as escapes."""
    if text.isprintable():                           # spares compiling the pattern
        return text
    return re.sub(unsafe, _escape, text)


def _escape(match):
    code = ord(match.group(0))
    if code < 256:
        return "\\x%02x" % code
    return "\\u%04x" % code


# ----------------------------------------------------------------------------
# Value types
# ----------------------------------------------------------------------------

Issue = collections.namedtuple("Issue", "path message file line column cause successor")
Issue.__doc__ = """One fault of a settings file.

`path` is its key path, a tuple of keys and indexes; line and column count from
1 or are None; `cause` is a code of CAUSES or None; `successor` the key path
where the value of an unknown or legacy key belongs.
"""
Issue.__new__.__defaults__ = (None,) * 5

Fault = collections.namedtuple("Fault", "path problem severe cause successor")
Fault.__doc__ = "An Issue before its place is known; OpenClaw refuses a severe one, and so do we."
Fault.__new__.__defaults__ = (True, "config-invalid", None)

Settings = collections.namedtuple(
    "Settings", "path exists config variables layers unset_variables state_dir sources issues "
                "warnings")
Settings.__doc__ = """What OpenClaw would know at this moment.

`config` is the object of openclaw.json, included and substituted; `variables`
the merged environment; `layers` the same as [(label, {name: value})], first
one wins; `unset_variables` {key path: variable name}; `sources` {file: text}.
"""

Credential = collections.namedtuple("Credential", "source key")
Credential.__doc__ = "Where a key was found (a name to show) and the key (a Secret, never shown)."

Provider = collections.namedtuple(
    "Provider", "id base_url api explicit asks_server discovery_key request_key credentials "
                "refusal headers last_headers models max_tokens timeout_s layers references tags "
                "primary plugin_off env ca_file where file")
Provider.__doc__ = """One OpenAI-style server and how to talk to it; made by `resolve_provider`.

`explicit`: a models.providers block exists; `asks_server`: its server is asked for
models; the keys are Credentials or None; `refusal` is the Error that keeps it
from being asked, or None; `headers` go with completions, below a model's own,
`last_headers` above them; `models` are the declared rows, ids trimmed;
`timeout_s` is the provider's own or None; `layers` are agents.defaults and the
default agent's entry; `references` [(tag, key)] are the default model,
fallbacks, image models and configured ones, `tags` {key: [tag]}, `primary` the
default model or None;
`plugin_off` says what switches OpenClaw's plugin off, or is None; `env` names
proxies and authorities; `where` says where the base URL comes from, `file` is
the config.
"""

Model = collections.namedtuple(
    "Model", "id name provider base_url input context_window context_tokens max_tokens reasoning "
             "source parent root tags compat headers params thinking thinking_level_map")
Model.__doc__ = """One model: declared in the config, discovered on the server, or both merged.

Windows are in tokens, None where unset; `input` is a tuple of modalities;
`source` is "declared" or "discovered"; `params` are the layers of params that apply to
it, lowest first; `thinking` is the level that the settings choose, or None.
"""
Model.__new__.__defaults__ = ({},)
Model.key = property(lambda self: model_key(self.provider, self.id),
                     doc="The reference that OpenClaw prints: vllm/<id>.")

Change = collections.namedtuple("Change", "field action reason")
Change.__doc__ = "What `shape_request` did: action is dropped, added, moved, changed or clamped."

Shaped = collections.namedtuple("Shaped", "body changes warnings clamped")
Shaped.__doc__ = """What `shape_request` returns: the finished body, a list of Change, a list of
texts, and whether the context leaves less room for the answer than was wanted."""

Usage = collections.namedtuple("Usage", "prompt_tokens completion_tokens total_tokens")
Usage.__doc__ = "Token counts of one completion, each an integer or None."

Delta = collections.namedtuple(
    "Delta", "content reasoning tool_calls finish_reason usage id model extra")
Delta.__doc__ = """One piece of an answer: texts ("" when none), raw tool-call pieces (a list), and
finish_reason, usage (Usage), id, model or None; `extra` as in Answer, of this piece, or None."""
Delta.__new__.__defaults__ = ("", "", (), None, None, None, None, None)

Answer = collections.namedtuple(
    "Answer", "id model content reasoning tool_calls finish_reason usage timings extra")
Answer.__doc__ = """One whole completion.

`tool_calls` is a list of {"id", "type", "function": {"name", "arguments"}}; `timings`
{"first_token_s", "last_token_s", "total_s"} in seconds; `extra` what the server sent beyond
that: {"usage": its own object, "logprobs": {…}, "choices": [further ones]}.
"""

Edit = collections.namedtuple("Edit", "path value")
Edit.__doc__ = "A value, or REMOVED, for a key path (a tuple of names and indices)."
REMOVED = object()                   # the value of an Edit that takes a key away

Finding = collections.namedtuple("Finding", "check status cause summary fix command edits")
Finding.__doc__ = """What one check of `diagnose` found; status is ok, warn, fail or skip.

`cause` is a code of CAUSES, or None for what is ok; `fix` words; `command` what a shell takes
as it is, or None; `edits` the Edits of openclaw.json that fix it.
"""
Finding.__new__.__defaults__ = ("ok", None, "", "", None, ())


# ----------------------------------------------------------------------------
# JSON5
# ----------------------------------------------------------------------------
# Reads a text into its value, or into the tree of its values and their places. Pure.

class Json5Error(ConfigError, ValueError):
    """A text that is not JSON5: `pos` counts characters from 0, `line` and `column` from 1."""

    def __init__(self, problem, text, pos):
        self.problem = problem
        self.pos = pos
        self.line, self.column = line_and_column(text, pos)
        where = "%s at line %d, column %d" % (problem, self.line, self.column)
        super(Json5Error, self).__init__(where, cause="config-invalid")


Node = collections.namedtuple("Node", "start end value items")
Node.__doc__ = """One value of a JSON5 text and where it stands: text[start:end].

`items` is [(key, key start, key end, Node)] for an object, [Node] for an
array, None for a scalar.
"""
# White space of ECMA-262, also what JavaScript trims: with U+FEFF, without U+0085 and U+001C.
JS_SPACE = ("\t\n\x0b\x0c\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
            "\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff")
_JSON5_TOKEN = (
    "(?P<trivia>[" + JS_SPACE + "]+"
    "|//[^\n\r\u2028\u2029]*"
    r"|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)"
    r"|(?P<mark>[{}\[\]:,])"
    r'|(?P<string>"[^"\\\n\r]*(?:\\(?:\r\n|[\s\S])[^"\\\n\r]*)*"'
    r"|'[^'\\\n\r]*(?:\\(?:\r\n|[\s\S])[^'\\\n\r]*)*')"
    r"|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+"
    r"|(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|[+-](?:Infinity|NaN))"
    r"|(?P<word>(?:[\w$]|\\u[0-9a-fA-F]{4}|[^\x00-\x7f" + JS_SPACE + "])+)"
)
_JSON5_ESCAPE = r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|[\s\S])"
_JSON5_ESCAPED = dict(zip("bfnrtv0", "\b\f\n\r\t\x0b\0"))
_JSON5_ESCAPED.update(dict.fromkeys(("\n", "\r", "\r\n", "\u2028", "\u2029"), ""))
_JSON5_WORDS = {
    "null": None,
    "true": True,
    "false": False,
    "Infinity": math.inf,
    "NaN": math.nan,
}
# What the parser expects next, and the words for it.
_VALUE, _ITEM, _KEY, _COLON, _NEXT_ITEM, _NEXT_KEY, _END = range(7)
_EXPECTED = ("a value", "a value or ']'", "a key or '}'", "':' after the key", "',' or ']'",
             "',' or '}'", "the end of the text")
_OPENING = {"{": (dict, _KEY), "[": (list, _ITEM)}
_AFTER_COMMA = {_NEXT_ITEM: _ITEM, _NEXT_KEY: _KEY}
_CLOSING = ("", "]", "}", "", "]", "}", "")          # by what is expected
# Words for what was found, by how it begins.
_JSON5_FOUND = (
    (r"\Z", "the end of the text"),
    (r"/\*", "a comment that does not end"),
    (r"[\"'].", "a string"),
    (r"[\"']", "a string that does not end"),
    (r"[-+.0-9].", "a number"),
    ("..", "a word without quotes"),
)


def trimmed(text):
    """Return a text without the white space that JavaScript's trim() takes away."""
    return text.strip(JS_SPACE)


def line_and_column(text, pos):
    """Return (line, column) of a character position, both from 1; CR, LF and CRLF end lines."""
    before = text[:pos].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def json_number(digits):
    """Return the integer of a JSON text; past 300 digits the float (int() is quadratic there).

    So every integer read is also a finite float.
    """
    if len(digits.lstrip("-")) > 300:
        return float(digits)
    return int(digits)


def json5_loads(text):
    """Return the value of a JSON5 text (str, or UTF-8 bytes).

    The text goes to `json.loads`; only what that rejects is parsed here. Raises
    Json5Error, which is a ValueError, with line and column.
    Source: https://spec.json5.org
    """
    if isinstance(text, (bytes, bytearray)):
        text = _decode_utf8(bytes(text))
    if "\\ud" not in text and "\\uD" not in text:     # json.loads accepts a lone surrogate
        start = text.startswith("\ufeff")
        try:
            return json.loads(text[start:], parse_int=json_number)
        except (ValueError, RecursionError):
            pass
    return json5_tree(text).value


def json5_tree(text):
    """Parse a JSON5 text into the Node of its value; every edit and every position stands on it.

    Iterative, so that nesting costs no stack. Raises Json5Error.
    """
    if "\0" in text:
        raise Json5Error("a NUL character", text, text.index("\0"))
    # The text itself, then the open containers: [start, value, items, key in waiting].
    frames = [[0, [], [], None]]
    expected = _VALUE
    for kind, token, start, end in _json5_tokens(text):
        if expected in (_VALUE, _ITEM) and kind != "mark":
            value = _json5_scalar(text, kind, token, start, expected)
            expected = _json5_attach(frames, Node(start, end, value, None))
        elif expected in (_VALUE, _ITEM) and token in _OPENING:
            if len(frames) > JSON_DEPTH:
                raise Json5Error("nested more than %d levels deep" % JSON_DEPTH, text, start)
            container, expected = _OPENING[token]
            frames.append([start, container(), [], None])
        elif expected == _KEY and kind in ("string", "word"):
            read = _json5_string if kind == "string" else _json5_identifier
            frames[-1][3] = (read(text, token, start), start, end)
            expected = _COLON
        elif expected == _COLON and token == ":":
            expected = _VALUE
        elif expected in _AFTER_COMMA and token == ",":
            expected = _AFTER_COMMA[expected]
        elif token == _CLOSING[expected]:
            opened, value, items, _ = frames.pop()
            expected = _json5_attach(frames, Node(opened, end, value, items))
        else:
            raise _json5_unexpected(text, start, end, expected)
    if expected != _END:
        raise _json5_unexpected(text, len(text), len(text), expected)
    return frames[0][2][0]


def json5_children(node):
    """Return [(start of the member, Node of its value)] of a Node."""
    if isinstance(node.value, dict):
        return [(start, child) for _, start, _, child in node.items]
    return [(child.start, child) for child in node.items or ()]


def _json5_attach(frames, node):
    """Give a finished Node to the container around it; return what is expected next."""
    _, value, items, key = frames[-1]
    if isinstance(value, dict):
        value[key[0]] = node.value
        items.append(key + (node,))
        return _NEXT_KEY
    value.append(node.value)
    items.append(node)
    return _NEXT_ITEM if len(frames) > 1 else _END


def _json5_tokens(text):
    """Yield (kind, token, start, end) of everything but white space and comments."""
    pos = 0
    for found in re.compile(_JSON5_TOKEN).finditer(text):        # compiled only when JSON5 is met
        start, end = found.span()
        if start != pos:
            break
        pos = end
        if found.lastgroup != "trivia":
            yield found.lastgroup, found.group(), start, end
    if pos < len(text):
        raise _json5_unexpected(text, pos, pos + 1)


def _json5_unexpected(text, start, end, expected=None):
    """Return the error for what stands at a place; it names no word, which may be a key."""
    token = text[start:end]
    if text.startswith("/*", start):
        token = "/*"
    found = [words for pattern, words in _JSON5_FOUND if re.match(pattern, token)]
    problem = "found " + (found + [repr(token)])[0]
    if expected is not None:
        problem = "expected %s, %s" % (_EXPECTED[expected], problem)
    return Json5Error(problem, text, start)


def _json5_scalar(text, kind, token, start, expected):
    if kind == "string":
        return _json5_string(text, token, start)
    if kind == "word" and token in _JSON5_WORDS:
        return _JSON5_WORDS[token]
    if kind != "number":
        raise _json5_unexpected(text, start, start + len(token), expected)
    digits = token.lstrip("+-")
    if digits in _JSON5_WORDS:
        value = _JSON5_WORDS[digits]
    elif digits.isdigit():
        value = json_number(digits)
    elif digits[1] not in "xX":
        value = float(digits)
    elif len(digits) <= 250:
        value = int(digits, 16)
    else:
        value = math.inf                             # above 2 ** 992
    return -value if token[0] == "-" else value


def _json5_string(text, token, start):
    raw = token[1:-1]
    if "\\" not in raw:
        return raw

    def unescape(match):
        escape = match.group(1)
        if len(escape) > 1 and escape[0] in "ux":
            return chr(int(escape[1:], 16))
        following = raw[match.end():match.end() + 1]
        if escape in "ux" or escape in "123456789" or (escape == "0" and following.isdigit()):
            raise Json5Error("a bad escape \\%s" % escape, text, start + 1 + match.start())
        return _JSON5_ESCAPED.get(escape, escape)

    value = re.sub(_JSON5_ESCAPE, unescape, raw)
    try:
        return value.encode("utf-16", "surrogatepass").decode("utf-16")      # joins surrogate pairs
    except UnicodeDecodeError:
        raise Json5Error("a lone surrogate in a string", text, start)


def _json5_identifier(text, token, start):
    """Return the name of an unquoted key (ECMA-262 IdentifierName, escapes decoded)."""
    name = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), token)
    plain = re.sub("[$\u200c\u200d]", "_", name)
    if not plain.isidentifier() or name[0] in "\u200c\u200d":
        raise Json5Error("%r is not a key; put it in quotes" % name, text, start)
    return name


def _decode_utf8(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as bad:
        text = data[:bad.start].decode("utf-8", "replace")
        raise Json5Error("a byte that is not UTF-8 (0x%02x)" % data[bad.start], text, len(text))


# ----------------------------------------------------------------------------
# Settings: paths, .env, environment, substitution, $include
# ----------------------------------------------------------------------------
# What OpenClaw would know, read once from its files and the environment. A key path is a tuple of
# keys and indexes until it is printed. Nothing here raises for what a file holds but ConfigError.

def load_settings(config_path=None, env=None):
    """Return the Settings OpenClaw would have, from files and `env` (os.environ when None).

    Raises ConfigError when the config cannot be read or is invalid; its first
    issue is the message. `read_settings` returns the issues instead.
    """
    settings = read_settings(config_path, env)
    if settings.issues:
        raise issue_error(settings.issues)
    return settings


def issue_error(issues):
    """Return the ConfigError that words the first of some Issues; all of them are in its facts."""
    first = issues[0]
    problem = first.message
    if first.path:
        problem = "%s: %s" % (dotted(first.path), problem)
    if len(issues) > 1:
        problem += " (and %d more)" % (len(issues) - 1)
    return error_for("config-invalid", where=issue_place(first),
                     problem=problem, issues=issues)


def issue_place(issue):
    """Return file:line:column of an Issue, or as much of it as is known."""
    place = (issue.file, issue.line, issue.column)
    return ":".join(str(part) for part in place if part is not None)


def dotted(path):
    """Return a key path as text, joined with dots."""
    return ".".join(str(key) for key in path)


def _file_error(path, problem, line=None, column=None):
    return issue_error([Issue((), problem, path, line, column)])


def read_settings(config_path=None, env=None):
    """Return Settings whose `issues` say what is wrong; never raises for what a file holds."""
    env = dict(os.environ if env is None else env)
    state_dir = state_directory(env)
    path = config_path or env_setting(env.get("OPENCLAW_CONFIG_PATH"))
    if path is None and state_dir is not None:
        path = os.path.join(state_dir, "openclaw.json")
    path = _expand_home(path, env)
    sources, config, issues, warnings = {}, {}, [], []
    try:
        if path is not None and _exists(path):
            config = _load_config(path, env, sources)
        elif config_path:
            warnings.append(Issue((), "no such file; continuing without a config", path))
    except ConfigError as error:
        issues += error.facts["issues"]
    except RecursionError:
        issues.append(Issue((), "nested too deep", path))
    layers = _environment_layers(env, state_dir, config)
    variables = _merged_variables(layers)
    missing = {}
    config = _substitute(config, variables, (), missing)
    faults = [
        Fault(place, "the variable %s is not set; what uses it will not work"
              % name, False,
                    "config-missing-variable")
              for place, name in itertools.islice(missing.items(), MAX_ISSUES)]
    faults += schema_faults(config)
    config, _ = migrated(config)
    for fault, issue in zip(faults, _located(faults, path, sources)):
        (issues if fault.severe else warnings).append(issue)
    return Settings(path, bool(sources), config, variables, layers, missing,
                    state_dir, sources,
                    issues, warnings)


def state_directory(env):
    """Return OpenClaw's state directory, or None where there is no home directory."""
    chosen = env_setting(env.get("OPENCLAW_STATE_DIR"))
    if chosen:
        return _expand_home(chosen, env)
    home = _expand_home(env_setting(env.get("OPENCLAW_HOME")), env) or _home(env)
    return home and os.path.join(home, ".openclaw")


def env_setting(value):
    """Return a setting of the environment, or None when OpenClaw counts it as unset."""
    value = (value or "").strip()
    return None if value in ("", "undefined", "null") else value


def _home(env):
    return env_setting(env.get("HOME")) or env_setting(env.get("USERPROFILE"))


def _expand_home(path, env):
    home = _home(env)
    if path and home and (path + "/")[:2] in ("~/", "~" + os.sep):
        return home + path[1:]
    return path


def _exists(path):
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
        return False
    except (OSError, ValueError):                    # reading it says what is wrong
        return True
    return True


def read_text(path, limit):
    """Return the text of a regular file of at most `limit` bytes, decoded as UTF-8, line ends kept.

    Raises ConfigError naming the path; never blocks on a FIFO or a device.
    """
    import stat
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise _file_error(path, "is a directory")
        if not stat.S_ISREG(mode):
            raise _file_error(path, "is not a regular file")
        with open(path, "rb") as source:
            data = source.read(limit + 1)
        if len(data) > limit:
            raise _file_error(path, "larger than %d bytes" % limit)
        return _decode_utf8(data)
    except OSError as error:
        raise _file_error(path,
                          "cannot be read: %s" % (error.strerror or error))
    except Json5Error as error:
        raise _file_error(path, error.problem, error.line, error.column)
    except ValueError as error:                      # a NUL in the path
        raise _file_error(repr(path), str(error))


def _load_config(path, env, sources):
    """Return the config object with its $includes merged in; fills `sources` with the texts."""
    config = _loader(path, env, sources).load(path, CONFIG_LIMIT, ())
    if not isinstance(config, dict):
        raise _file_error(path,
                          "expected an object at the top, found "
                          + _json_type(config), 1, 1)
    if is_deep(config, CONFIG_DEPTH):
        raise _file_error(path, "nested too deep")
    return config


def include_files(value, path, env):
    """Return a value of the config file with its $includes merged in. Raises ConfigError."""
    return _loader(path, env, {}).include(value, path, (os.path.normpath(path),))


def _loader(path, env, sources):
    """Return a _Loader for a config file, which may include what is beside or below it."""
    roots = [os.path.dirname(os.path.abspath(path))]
    for root in (env.get("OPENCLAW_INCLUDE_ROOTS") or "").split(os.pathsep):
        if env_setting(root):
            roots.append(_expand_home(root, env))
    return _Loader(roots, sources, [CONFIG_LIMIT])


class _Loader(collections.namedtuple("_Loader", "roots sources left")):
    """Reads a config and what it includes; `left` holds how many bytes may still be included."""

    __slots__ = ()

    def load(self, path, limit, chain):
        text = read_text(path, limit)
        self.sources[path] = text
        try:
            value = json5_loads(text)
        except Json5Error as error:
            raise _file_error(path, error.problem, error.line, error.column)
        return self.include(value, path, chain + (os.path.normpath(path),))

    def include(self, value, path, chain):
        """Resolve the $include of `value` and of everything in it.

        Arrays are joined, objects merged, and siblings of $include win, as in OpenClaw.
        """
        if isinstance(value, list):
            return [self.include(item, path, chain) for item in value]
        if not isinstance(value, dict):
            return value
        rest = {key: self.include(item, path, chain)
                for key, item in value.items() if key != "$include"}
        if "$include" not in value:
            return rest
        merged = {}
        try:
            for name in _include_names(value):
                merged = deep_merge(merged, self.included(name, path, chain))
            if rest and not isinstance(merged, dict):
                raise ValueError("keys beside $include need an object in the included file")
        except ValueError as error:                  # a NUL in the path, too
            raise _file_error(path, "$include: %s" % error)
        return deep_merge(merged, rest) if rest else merged

    def included(self, name, path, chain):
        """Return the value of one included file. Raises ConfigError, ValueError."""
        if not isinstance(name, str):
            raise ValueError("expected a path or a list of paths, found "
                             + _json_type(name))
        target = include_target(name, path)
        real = os.path.realpath(target)
        if not any(_inside(target, root) and _inside(real, os.path.realpath(root))
                   for root in self.roots):
            raise ValueError("%s lies outside %s (OPENCLAW_INCLUDE_ROOTS can allow it)"
                             % (name, self.roots[0]))
        if target in chain:
            raise ValueError("the files include each other: "
                             + " -> ".join(chain + (target,)))
        if len(chain) > INCLUDE_DEPTH:
            raise ValueError("more than %d levels of includes at %s"
                             % (INCLUDE_DEPTH, name))
        value = self.load(target, INCLUDE_LIMIT, chain)
        # Opening a file costs time, however small it is.
        self.left[0] -= len(self.sources[target]) + 1024
        if self.left[0] < 0:
            raise ValueError("the included files are larger than %d bytes together" % CONFIG_LIMIT)
        return value


def _include_names(value):
    """Return what an object says to include, as a list of what should be paths."""
    names = value.get("$include", [])
    return names if isinstance(names, list) else [names]


def include_target(name, path):
    """Return the path that $include: `name` means in the file `path`."""
    return os.path.normpath(os.path.join(os.path.dirname(path), name))


def include_targets(value, path):
    """Return the paths that a value of the file `path` includes itself."""
    names = _include_names(value) if isinstance(value, dict) else []
    return [include_target(name, path) for name in names if isinstance(name, str)]


def included_has(path, key, sources):
    """Tell whether an included file has a key, as far as the texts in `sources` show."""
    value = json5_loads(sources.get(path, "null"))
    if not isinstance(value, dict) or key.lower() in map(str.lower, value):
        return True
    return any(included_has(target, key, sources) for target in include_targets(value, path))


def _inside(path, root):
    path, root = (os.path.normcase(os.path.abspath(place)).rstrip(os.sep)
                  + os.sep
                  for place in (path, root))
    return path.startswith(root)


def deep_merge(base, over):
    """Merge two JSON values: objects key by key, arrays joined, else `over`. Neither is changed."""
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            if key in base:
                value = deep_merge(base[key], value)
            merged[key] = value
        return merged
    if isinstance(base, list) and isinstance(over, list):
        return base + over
    return over


_DOTENV_LINE = (
    r"^[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*(?:=|:[ \t])[ \t]*"
    r"('(?:\\'|[^'])*'|\"(?:\\\"|[^\"])*\"|`(?:\\`|[^`])*`|[^#\r\n]*)"
)


def parse_dotenv(text):
    """Return {name: value} of a .env file: quotes, `export`, comments, \\n in double quotes.

    Source: the dotenv package's documentation; the last of equal names wins.
    """
    values = {}
    for match in re.finditer(_DOTENV_LINE, text.replace("\r\n", "\n"), re.MULTILINE):
        name, value = match.group(1), match.group(2).strip()
        quoted = re.match(r"(?s)(['\"`])(.*)\1\Z", value)
        if quoted:
            quote, value = quoted.groups()
            if quote == '"':
                value = value.replace("\\n", "\n").replace("\\r", "\r")
        values[name] = value
    return values


def _environment_layers(env, state_dir, config):
    """Return [(label, {name: value})] in the order OpenClaw asks: process, .env, env.vars."""
    layers = [("the environment", env)]
    path = state_dir and os.path.join(state_dir, ".env")
    if path and os.path.isfile(path):
        try:
            found = parse_dotenv(read_text(path, INCLUDE_LIMIT))
        except ConfigError:
            found = {}                               # OpenClaw continues without it
        # A name that the process sets blank hides the one of the same name here.
        layers.append((path, {name: found[name]
                              for name in found if env.get(name, "-").strip()}))
    declared = _get(config, "env", "vars")
    if isinstance(declared, dict):
        known = _merged_variables(layers)
        texts = {name: value
                 for name, value in declared.items() if isinstance(value, str)}
        layers.append(("env.vars of the config", _substitute(texts, known)))
    return layers


def _merged_variables(layers):
    merged = {}
    for _, layer in reversed(layers):
        merged.update((name, value)
                      for name, value in layer.items() if value.strip())
    return merged


def variable_source(settings, name):
    """Return the label of the layer that gives a variable its value, or None."""
    for label, layer in settings.layers:
        if layer.get(name, "").strip():
            return label
    return None


def _substitute(value, variables, path=(), missing=None):
    """Return a JSON value with ${NAME} replaced in every string, in one pass.

    `missing` gains {key path: name} of what is not set. $${NAME} yields a literal ${NAME}; only
    [A-Z_][A-Z0-9_]* are names.
    """
    if isinstance(value, dict):
        return {key: _substitute(item, variables, path + (key,), missing)
                for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, variables, path + (index,), missing)
                for index, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replace(match):
        escaped, name = match.groups()
        if escaped:
            return match.group(0)[1:]
        if name not in variables and missing is not None:
            missing.setdefault(path, name)
        return variables.get(name, match.group(0))

    return re.sub(r"\$(\$)\{[A-Z_][A-Z0-9_]*\}|\$\{([A-Z_][A-Z0-9_]*)\}", replace, value)


def unsubstituted(text):
    """Return the text that OpenClaw's ${NAME} substitution turns back into `text`."""
    return re.sub(r"\$(?=\{[A-Z_][A-Z0-9_]*\})", "$$", text)


def _json_type(value):
    """Return words for the type of a JSON value."""
    return _JSON_TYPES[type(value).__name__]


_JSON_TYPES = {
    "NoneType": "null",
    "bool": "a boolean",
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "list": "an array",
    "dict": "an object",
}


def _located(faults, file, sources):
    """Return the Issues of some Faults: where each stands, or the nearest key above it."""
    trees = {}
    if faults:
        try:
            trees = {name: json5_tree(text) for name, text in sources.items()}
        except Json5Error:                           # plain JSON may be nested deeper than JSON5
            pass
    issues = []
    for path, problem, _, cause, successor in faults:
        found, line, column = file, None, None
        if file in trees:
            found, pos = _locate(trees, file, trees[file], path)
            line, column = line_and_column(sources[found], pos)
        issues.append(Issue(path, problem, found, line, column, cause, successor))
    return issues


def _locate(trees, file, node, path):
    """Return (file, position) of a key path below a Node, through $include, or of the nearest."""
    if not path or not node.items:
        return file, node.start
    included = ()
    if isinstance(node.value, dict):
        inside = [item for name, _, _, item in node.items if name == path[0]]
        included = _include_names(node.value)
    else:
        inside = node.items[path[0]:][:1]
    if inside:
        return _locate(trees, file, inside[-1], path[1:])
    for name in reversed(included):
        target = include_target(name, file)
        found = _locate(trees, target, trees[target], path)
        if found != (target, trees[target].start):
            return found
    return file, node.start


def _get(value, *path):
    """Return the value at a key path, or None where the path ends early."""
    try:
        for key in path:
            value = value[key]
    except (LookupError, TypeError):
        return None
    return value


def _get_text(value, *path):
    """Return the text at a key path, "" where there is none."""
    found = _get(value, *path)
    return found if isinstance(found, str) else ""


# ----------------------------------------------------------------------------
# Schema: what OpenClaw accepts
# ----------------------------------------------------------------------------
# OpenClaw 2026.9's schema as data, as far as it is read here, and the interpreter of it. Pure.

def _lines_by_name(text):
    """Return {first word: the rest} of a text's lines."""
    return dict(line.partition(" ")[::2]
                for line in text.strip().split("\n"))


def _parse_key(text):
    key, _, rule = text.partition("=")
    name = key.rstrip("~!")
    return name, (key[len(name):], rule)


def _shapes_of(text):
    """Return {shape: {key: (mark, rule)}} of some lines; a mark is "!", "~" or ""."""
    return {shape: dict(map(_parse_key, keys.split()))
            for shape, keys in _lines_by_name(text).items()}


# One shape a line: its name, then its keys. `key=RULE` may be there, `key!=RULE` must, `key~=RULE`
# is a legacy form, a bare key holds anything but null, *=RULE is that of any other key, and "..."
# allows it whatever it holds.
# A RULE is a leaf of _LEAVES or a shape; [RULE] an array, [RULE]2,8 one of so many; *RULE a record,
# *RULE:RULE one with a rule for its keys; a|b one of these texts; RULE/RULE either of the two.
_SHAPES = _shapes_of("""
config $schema=text models=models agents=agents env=env plugins=plugins auth=auth secrets=secrets \
 bindings=[] worktreeAcceleration=boolean worktreeRoot=filled accessGroups=object acp=object \
 approvals=object attachments=object broadcast=object browser=object channels=object \
 cloudWorkers=object commands=object cron=object desktop=object diagnostics=object \
 discovery=object gateway=object hooks=object logging=object mcp=object memory=object \
 messages=object meta=object nodeHost=object proxy=object security=object session=object \
 skills=object surfaces=object talk=object telemetry=object tools=object transcripts=object \
 tts=object ui=object update=object wizard=object
auth order=*[text] profiles=*profile
profile provider!=text mode!=api_key|aws-sdk|oauth|token email=text displayName=text
secrets defaults=object egressProxy=object providers=object
env shellEnv=shell vars=*text
shell enabled=boolean timeoutMs=count
plugins enabled=boolean allow=[text] deny=[text] entries=plugin-entries load=load slots=slots
load paths=[text]
slots memory=text contextEngine=text
plugin-entries vllm=vllm-plugin *=plugin
plugin enabled=boolean hooks=object subagent=object llm=object config=object
vllm-plugin enabled=boolean hooks=object subagent=object llm=object config=no-config
models mode=merge|replace providers=*provider catalogRefresh=refresh
refresh enabled=boolean url=feed
provider baseUrl=text apiKey=SECRET \
 auth=api-key|aws-sdk|oauth|token api=APIS maxTokens=positive timeoutSeconds=whole region=filled \
 injectNumCtxForOpenAICompat=boolean params=object agentRuntime=runtime localService=service \
 headers=*SECRET authHeader=boolean request=request models=[row]
env-ref source!=|env provider!=name id!=variable
file-ref source!=|file provider!=name id!=pointer
exec-ref source!=|exec provider!=name id!=command
store-ref source!=|store provider!=name id!=variable
runtime id=text
service command!=filled args=[text] cwd=filled env=*text healthUrl=filled readyTimeoutMs=whole \
 idleStopMs=count
request headers=*SECRET auth=default-auth/bearer-auth/header-auth \
 proxy=env-proxy/explicit-proxy tls=tls allowPrivateNetwork=boolean
default-auth mode!=|provider-default
bearer-auth mode!=|authorization-bearer token!=SECRET
header-auth mode!=|header headerName!=filled value!=SECRET \
 prefix=text
env-proxy mode!=|env-proxy tls=tls
explicit-proxy mode!=|explicit-proxy url!=filled tls=tls
tls ca=SECRET cert=SECRET \
 key=SECRET \
 passphrase=SECRET serverName=text insecureSkipVerify=boolean
row id!=filled name!=filled api=APIS baseUrl=filled reasoning=boolean \
 input=[text|image|video|audio] cost=cost contextWindow=positive contextTokens=whole \
 maxTokens=positive thinkingLevelMap=levels params=object agentRuntime=runtime headers=*text \
 compat=compat mediaInput=media metadataSource=|models-add
cost input=number output=number cacheRead=number cacheWrite=number tieredPricing=[tier]
tier input!=number output!=number cacheRead!=number cacheWrite!=number \
 range!=[number]2,2/[number]1,1
levels off=text-or-null minimal=text-or-null low=text-or-null medium=text-or-null \
 high=text-or-null xhigh=text-or-null max=text-or-null
media image=image
image maxBytes=whole maxPixels=whole maxSidePx=whole preferredSidePx=whole \
 tokenMode=tile|detail|provider
compat supportsStore=boolean supportsPromptCacheKey=boolean supportsResponsesContinuation=boolean \
 supportsDeveloperRole=boolean supportsReasoningEffort=boolean supportsTemperature=boolean \
 supportsInstructions=boolean supportsUsageInStreaming=boolean supportsTools=boolean \
 codeMode=preferred|capable supportsStrictMode=boolean supportsJsonSchemaResponseFormat=boolean \
 requiresStringContent=boolean strictMessageKeys=boolean visibleReasoningDetailTypes=[filled] \
 supportedReasoningEfforts=[filled] reasoningEffortMap=*filled:filled \
 maxTokensField=max_completion_tokens|max_tokens \
 thinkingFormat=openai|openrouter|deepseek|together|qwen|qwen-chat-template|zai \
 requiresToolResultName=boolean requiresAssistantAfterToolResult=boolean \
 requiresThinkingAsText=boolean requiresReasoningContentOnAssistantMessages=boolean \
 toolSchemaProfile=text unsupportedToolSchemaKeywords=[filled] toolCallArgumentsEncoding=text \
 requiresOpenAiAnthropicToolPayload=boolean openRouterRouting=openrouter \
 vercelGatewayRouting=vercel zaiToolStream=boolean cacheControlFormat=|anthropic \
 sendSessionAffinityHeaders=boolean sendSessionIdHeader=boolean \
 supportsEagerToolInputStreaming=boolean supportsLongCacheRetention=boolean
openrouter allow_fallbacks=boolean require_parameters=boolean data_collection=deny|allow \
 zdr=boolean enforce_distillable_text=boolean order=[text] only=[text] ignore=[text] \
 quantizations=[text] sort=text/sorting max_price=prices \
 preferred_min_throughput=number/percentiles preferred_max_latency=number/percentiles
sorting by=text partition=text-or-null
prices prompt=number-or-text completion=number-or-text image=number-or-text audio=number-or-text \
 request=number-or-text
percentiles p50=number p75=number p90=number p99=number
vercel only=[text] order=[text]
agents defaults=defaults entries=*agent-id:entry ownership=|explicit
choice primary=text fallbacks=[text]
image-choice primary=text fallbacks=[text] timeoutMs=whole
picked alias=text params=params agentRuntime=runtime pickerRuntimes=[picker]0,8 codeMode=boolean \
 streaming=boolean
params qwenThinkingFormat~ ...
policy allow=[text]
defaults model=text/choice imageModel=text/image-choice models=*picked params=params \
 modelPolicy=policy thinkingDefault=LEVELS reasoningDefault=off|on|stream timeoutSeconds=count \
 authInheritance=owner blockStreamingBreak=text_end|message_end blockStreamingChunk=object \
 blockStreamingCoalesce=object blockStreamingDefault=off|on bootstrapMaxChars=whole \
 bootstrapTotalMaxChars=whole compaction=object contextInjection=INJECTIONS contextLimits=object \
 contextPruning=object cwd=text decisionModel=text elevatedDefault=off|on|ask|full \
 embeddedAgent=object experimental=object fastModeDefault=boolean/|auto heartbeat=object \
 humanDelay=object imageMaxDimensionPx=whole imageQuality=auto|efficient|balanced|high \
 maxConcurrent=whole mediaMaxMb=positive mediaModels=object \
 modelSelectionScope=session|agent|global pdfMaxMb=positive pdfMaxPages=whole \
 pdfModel=text/image-choice repoRoot=text sandbox=object sessionStore=owner silentReply=object \
 skills=[text] skipBootstrap=boolean skipOptionalBootstrapFiles=[text] startupContext=object \
 subagents=object systemAgent=owner toolProgressDetail=explain|raw typingIntervalSeconds=whole \
 typingMode=TYPING userTimezone=text utilityModel=text verboseDefault=off|on|full \
 voiceModel=text/image-choice workspace=text contextTokens~=anything llm~
owner agentId=filled
entry model=text/choice models=*picked params=params modelPolicy=policy thinkingDefault=LEVELS \
 reasoningDefault=off|on|stream default~=boolean agentDir=text bootstrapMaxChars=whole \
 bootstrapTotalMaxChars=whole contextInjection=INJECTIONS contextLimits=object cwd=text \
 decisionModel=text description=text embeddedAgent=object experimental=object \
 fastModeDefault=boolean/|auto groupChat=object heartbeat=object humanDelay=object \
 identity=object memory=object name=text runtime=object sandbox=object skills=[text] \
 skillsLimits=object subagents=object toolProgressDetail=explain|raw tools=object tts=object \
 typingMode=TYPING utilityModel=text verboseDefault=off|on|full workspace=text \
 contextTokens~=anything
listed id!=agent-id default=boolean ...
""".replace(
    "SECRET", "text/env-ref/file-ref/exec-ref/store-ref"
).replace(
    "INJECTIONS", "always|continuation-skip|never"
).replace(
    "TYPING", "never|instant|thinking|message"
).replace(
    "LEVELS", "off|minimal|low|medium|high|xhigh|adaptive|max|ultra"
).replace(
    "APIS", "openai-completions|openai-responses|openai-chatgpt-responses|anthropic-messages|"
            "google-generative-ai|google-vertex|github-copilot|bedrock-converse-stream|ollama|"
            "pi-messages|azure-openai-responses"
))
# What a leaf is: its types, the words for it, and behind ~ the pattern that its texts match.
_LEAVES = _lines_by_name(r"""
text str a text
filled str a non-empty text
text-or-null str,NoneType a text or null
number-or-text int,float,str a number or a text
boolean bool true or false
object dict an object
no-config dict {}
anything NoneType,bool,int,float,str,list,dict anything
number int,float a number
positive int,float a number above 0
count int,float a whole number
whole int,float a whole number above 0
name str a name such as "default" ~ [a-z][a-z0-9_-]{0,63}
variable str the name of a variable such as VLLM_API_KEY ~ [A-Z][A-Z0-9_]{0,127}
pointer str "value" or a JSON pointer ~ value|/(?:[^~]|~[01])*
command str the id of a secret ~ (?!(?:.*/)?\.\.?(?:/|\Z))[A-Za-z0-9][A-Za-z0-9._:/#-]{0,255}
picker str the id of a runtime ~ \s*(?!(?:auto|default)\s*\Z)[a-z][a-z0-9-]{0,127}\s*
agent-id str the id of an agent ~ [A-Za-z0-9_][A-Za-z0-9_-]{0,63}
feed str https URL ~ (?i:\s*http(s://[^\s/?#]+|://(localhost|127.0.0.1|\[::1])[:\d]*)\s*([/?#].*)?)
""")
# The bounds of others; JavaScript counts in whole numbers below 2 ** 53.
_BOUNDS = {
    "filled": bool,
    "no-config": lambda value: not value,
    "number": math.isfinite,
    "positive": lambda value: 0 < value < math.inf,
    "count": lambda value: value % 1 == 0 <= value < 2 ** 53,
    "whole": lambda value: value % 1 == 0 < value < 2 ** 53,
}
_BUILT_IN_PROVIDERS = """amazon-bedrock amazon-bedrock-mantle anthropic anthropic-vertex arcee
azure-openai-responses byteplus byteplus-plan cerebras chutes claude-cli clawrouter
cloudflare-ai-gateway codex comfy copilot-proxy dashscope deepinfra deepseek fal fireworks
github-copilot gmi gmi-cloud gmicloud google google-antigravity google-gemini-cli google-vertex groq
huggingface kilocode kimi kimi-coding litellm lmstudio meta microsoft-foundry minimax minimax-portal
mistral modelstudio moonshot moonshot-ai moonshotai nvidia novita novita-ai novitaai ollama
ollama-cloud openai opencode opencode-go openrouter qianfan qwen qwen-token-plan qwencloud sglang
stepfun stepfun-plan synthetic tencent-tokenhub tencent-tokenplan together venice vercel-ai-gateway
vllm volcengine volcengine-plan vydra x-ai xai xiaomi xiaomi-token-plan z.ai z-ai zai"""
# Keys that people write, shape by shape, and where their values belong: a path from the top, or
# with a dot before it from the object that has the key.
_MISPLACED = _shapes_of("""
config providers=models.providers model=agents.defaults.model vllm=models.providers.vllm \
 agent=agents.defaults
models vllm=models.providers.vllm baseUrl=models.providers.vllm.baseUrl \
 apiKey=models.providers.vllm.apiKey
agents model=agents.defaults.model models=agents.defaults.models params=agents.defaults.params
defaults providers=models.providers llm=models.providers.vllm.timeoutSeconds
choice providers=models.providers fallback=.fallbacks
provider url=.baseUrl endpoint=.baseUrl host=.baseUrl key=.apiKey token=.apiKey type=.api \
 timeout=.timeoutSeconds
row context_length=.contextWindow max_model_len=.contextWindow max_output_tokens=.maxTokens \
 modalities=.input
picked temperature=.params.temperature top_p=.params.topP topP=.params.topP \
 maxTokens=.params.maxTokens max_tokens=.params.maxTokens seed=.params.seed stop=.params.stop \
 thinking=.params.thinking extra_body=.params.extra_body \
 chat_template_kwargs=.params.chat_template_kwargs
""")
# What became of the legacy keys.
_LEGACY = _lines_by_name("""
provider.contextWindow OpenClaw moves it into the rows that have none
provider.contextTokens OpenClaw moves it into the rows that have none
agents.list OpenClaw moves it into agents.entries
entry.default OpenClaw moves it to agents.defaults.systemAgent.agentId
entry.contextTokens OpenClaw ignores it
defaults.contextTokens OpenClaw ignores it
defaults.llm its successor is models.providers.<id>.timeoutSeconds
params.qwenThinkingFormat its successor is compat.thinkingFormat of the row
""")
_UNKNOWN, _BOUND, _WRONG = range(3)
_Mismatch = collections.namedtuple("_Mismatch",
                                   "path level problem shape")
_Mismatch.__new__.__defaults__ = ("", None)


def schema_faults(config):
    """Return the Faults of a substituted config object, severe ones first, MAX_ISSUES at most.

    Severe is what OpenClaw 2026.9 refuses, but for unknown keys: a newer release may know them.
    """
    config, moved = migrated(config)
    found = sorted(itertools.chain(_mismatches(config, "config", ()), moved),
                   key=lambda mismatch: -mismatch.level)
    faults = [_fault(config, mismatch)
              for mismatch in found[:MAX_ISSUES]]
    if not found or found[0].level == _UNKNOWN:      # then every value has its type
        faults[:0] = _agent_faults(config)
        faults[:0] = _provider_faults(config)
    return faults[:MAX_ISSUES]


def migrated(config):
    """Return (a config with its legacy forms moved as OpenClaw moves them, _Mismatches of them).

    The values may have any type.
    """
    moved = []
    agents = config.get("agents")
    if isinstance(agents, dict) and "list" in agents and "entries" not in agents:
        path = ("agents", "list")
        moved += _mismatches(agents["list"], "[listed]", path)
        if not moved:
            moved.append(_Mismatch(path, _UNKNOWN, shape="agents"))
            agents, entries = dict(agents), {}
            for entry in agents.pop("list"):
                entry = dict(entry)
                entries[entry.pop("id")] = entry
            config = dict(config, agents=dict(agents, entries=entries))
    providers = _get(config, "models", "providers")
    if isinstance(providers, dict):
        blocks = {name: _with_moved_windows(name, providers[name], moved) for name in providers}
        config = dict(config, models=dict(config["models"], providers=blocks))
    return config, moved


def _with_moved_windows(name, block, moved):
    """Return a provider's block with its legacy windows in the rows that have none."""
    windows = {}
    for key in ("contextWindow", "contextTokens"):
        if isinstance(block, dict) and key in block:
            block = dict(block)
            windows[key] = block.pop(key)
            moved.append(_Mismatch(("models", "providers", name, key), _UNKNOWN, shape="provider"))
    if windows and isinstance(block.get("models"), list):
        block["models"] = [deep_merge(windows, row) for row in block["models"]]
    return block


def _mismatches(value, rule, path):
    """Yield the _Mismatches of a value and a rule of _SHAPES."""
    if rule[:1] == "*":
        key_rule, _, rule = rule[1:].rpartition(":")
        yield from _object_mismatches(value, {"*": ("", rule)},
                                      path, key_rule=key_rule)
    elif "/" in rule:
        yield from _alternatives(value, rule.split("/"), path)
    elif rule[:1] == "[":
        yield from _array_mismatches(value, rule, path)
    elif rule in _SHAPES:
        yield from _object_mismatches(value, _SHAPES[rule], path,
                                      rule)
    elif rule in _LEAVES:
        types, words, pattern = _leaf(rule)
        if type(value).__name__ not in types:
            yield _mismatch(path, words, value)
        elif (pattern and not re.match("(?s:%s)\\Z" % pattern, value)
              or rule in _BOUNDS and not _BOUNDS[rule](value)):
            yield _mismatch(path, words, value, _BOUND)
    elif rule and value not in rule.strip("|").split("|"):
        yield _mismatch(path, _rule_words(rule), value)
    elif not rule and value is None:
        yield _mismatch(path, "a value", value)


def _leaf(rule):
    """Return (types, words, pattern) of a leaf."""
    words, _, pattern = _LEAVES[rule].partition(" ~ ")
    types, _, words = words.partition(" ")
    return types.split(","), words, pattern


def _mismatch(path, expected, value, level=_WRONG):
    found = _json_type(value)
    if isinstance(value, (int, float)):              # never a text, which may be a key
        found = json.dumps(value)[:40]
    return _Mismatch(path, level,
                     "expected %s, found %s" % (expected, found))


def _rule_words(rule):
    """Return words for one of some alternatives."""
    if "|" in rule:
        return "one of " + ", ".join(rule.strip("|").split("|"))
    if rule[0] == "[":
        return "an array"
    if rule in _LEAVES:
        return _leaf(rule)[1]
    required = [key
                for key, (mark, _) in _SHAPES[rule].items()
                if mark == "!"]
    return "{%s}" % ", ".join(required) if required else "an object"


def _alternatives(value, branches, path):
    """Yield the mismatches of the one branch that fits all but a bound, else one for all."""
    tried = [list(_mismatches(value, branch, path))
             for branch in branches]
    near = [
        found for found in tried
        if all(mismatch.level < _WRONG for mismatch in found)
    ]
    if [] in near:
        return
    if len(near) == 1:
        yield from near[0]
    else:
        words = collections.OrderedDict.fromkeys(map(_rule_words, branches))
        yield _mismatch(path, " or ".join(words), value)


def _array_mismatches(value, rule, path):
    rule, bounds = rule[1:].split("]")
    if not isinstance(value, list):
        yield _mismatch(path, "an array", value)
        return
    if bounds:
        least, most = bounds.split(",")
        if not int(least) <= len(value) <= int(most):
            expected = "%s to %s items" % (least, most)
            yield _mismatch(path, expected, len(value), _BOUND)
    for index, item in enumerate(value):
        yield from _mismatches(item, rule, path + (index,))


def _object_mismatches(value, known, path, shape=None,
                       key_rule=""):
    if not isinstance(value, dict):
        yield _mismatch(path, "an object", value)
        return
    for key, item in value.items():
        place = path + (key,)
        mark, rule = known.get(key) or known.get("*", ("", None))
        yield from _mismatches(key, key_rule, place)
        if mark == "~" or rule is None and "..." not in known:
            yield _Mismatch(place, _UNKNOWN, shape=shape)
        if rule is not None:
            yield from _mismatches(item, rule, place)
    for key, (mark, _) in known.items():
        if mark == "!" and key not in value:
            yield _Mismatch(path + (key,), _WRONG, "is missing")


def _fault(config, mismatch):
    """Return the Fault of a mismatch; the words of an unknown key take time, so few are made."""
    path, level, problem, shape = mismatch
    if shape is None:
        return Fault(path, problem)
    place = _known_place(config, path, shape)
    legacy = _LEGACY.get("%s.%s" % (shape, path[-1]))
    if legacy:
        return Fault(path, "is a legacy key: " + legacy, False, "config-legacy-key", place)
    problem = "OpenClaw 2026.9 does not start with the unknown key %r" % path[-1]
    if place and place[:-1] == path[:-1]:
        problem += "; did you mean %s?" % place[-1]
    elif place:
        problem += "; it belongs in %s" % dotted(place)
    return Fault(path, problem, False, "config-unknown-key", place)


def _known_place(config, path, shape):
    """Return the key path where the value of an unknown or legacy key belongs, or None."""
    around, key = path[:-1], path[-1]
    _, target = _MISPLACED.get(shape, {}).get(key, ("", ""))
    if target[:1] == ".":
        return around + tuple(target[1:].split("."))
    if target:
        return tuple(target.split("."))
    if shape == "params" and key == "qwenThinkingFormat":
        return _thinking_format_place(config, path[-3])
    known = _SHAPES[shape]
    if key in known:                                 # a legacy key whose value has no one place
        return None
    row = around
    rows = _rows_at(config, around + ("models",))
    if shape == "provider" and len(rows) == 1:
        row += ("models", 0)
        if key in _SHAPES["row"]:
            return row + (key,)
    if (shape == "row" or row != around) and key in _SHAPES["compat"]:
        return row + ("compat", key)
    near = nearest(key, known)
    return around + (near,) if near else None


def _rows_at(config, path):
    rows = _get(config, *path)
    return rows if isinstance(rows, list) else []


def _thinking_format_place(config, reference):
    """Return where the switch of a model is that took the place of params.qwenThinkingFormat."""
    provider, _, model_id = str(reference).partition("/")
    rows = ("models", "providers", provider, "models")
    for index, row in enumerate(_rows_at(config, rows)):
        if _get(row, "id") == model_id:
            return rows + (index, "compat", "thinkingFormat")
    return None


def nearest(name, names):
    """Return the one of some names most like `name`, or None when none is like it."""
    import difflib
    # Each comparison costs time: among more names than this, nobody reads the guess.
    folded = {other.lower(): other
              for other in itertools.islice(names, 2000)}
    found = difflib.get_close_matches(name.lower(), list(folded),
                                      1, 0.6)
    return folded[found[0]] if found else None


def _provider_faults(config):
    """Yield the Faults of providers that the shapes do not tell; that of a base URL is ours."""
    for name, block in provider_blocks(config).items():
        path = ("models", "providers", name)
        for key in {"baseUrl", "models"}.difference(block):
            if provider_id(name) not in _BUILT_IN_PROVIDERS.split():
                yield Fault(path + (key,),
                            "is missing: OpenClaw has no provider of this name")
        rows = enumerate(block.get("models") or ())
        holders = [(path + ("models", index), row)
                   for index, row in rows]
        for place, holder in [(path, block)] + holders:
            url = holder.get("baseUrl", DEFAULT_BASE_URL)
            problem = base_url_problem(url)
            if problem and "${" not in url:
                problem = "is not a valid base URL: " + problem
                yield Fault(place + ("baseUrl",), problem, True,
                            "bad-base-url")


def _agent_faults(config):
    """Yield the Faults of agents that the shapes do not tell."""
    agents = config.get("agents") or {}
    entries = agents.get("entries") or {}
    defaults = agents.get("defaults") or {}
    owner = _get(defaults, "systemAgent", "agentId")
    known = [name.lower() for name in entries] or ["main"]
    if owner is not None and trimmed(owner).lower() not in known:
        path = ("agents", "defaults", "systemAgent", "agentId")
        yield Fault(path, "is not an agent of agents.entries")
    yield from _scope_faults(defaults,
                             defaults, ("agents", "defaults"))
    for name, entry in entries.items():
        yield from _scope_faults(entry,
                                 defaults, ("agents", "entries", name))
    marked = [name
              for name, entry in entries.items()
              if entry.get("default") is True]
    explicit = "ownership" in agents
    if len({name.lower() for name in entries}) < len(entries):
        yield Fault(("agents", "entries"),
                    "two ids differ in case only")
    if len(marked) > 1:
        yield Fault(("agents", "entries"),
                    "more than one agent is the default")
    if explicit and marked:
        yield Fault(("agents", "ownership"),
                    "\"explicit\" goes with no default: true")
    if len(entries) > 1 and not marked and not explicit:
        yield Fault(("agents", "ownership"),
                    "is missing: several agents need \"explicit\" here")


_ALLOWED = r"(?:[^\s*/\x00-\x1f\x7f]+/)+(?:\*|[^\s*/\x00-\x1f\x7f]+)\Z"


def _scope_faults(scope, defaults, path):
    """Yield the Faults of the models that agents.defaults or an entry names."""
    for reference, entry in (scope.get("models") or {}).items():
        for key in {"pickerRuntimes", "codeMode"}.intersection(entry):
            if "*" in reference or split_reference(reference) is None:
                yield Fault(path + ("models", reference, key), "goes with provider/model only")
    aliases = {
        trimmed(entry.get("alias", "")).lower()
        for holder in (defaults, scope) for entry in (holder.get("models") or {}).values()
    }
    policy = _get(scope, "modelPolicy", "allow") or ()
    for index, allowed in enumerate(policy):
        alias = trimmed(allowed).lower()
        if not (alias and alias in aliases or re.match(_ALLOWED, reference_key(allowed) or "")):
            yield Fault(path + ("modelPolicy", "allow", index),
                        "expected provider/model, provider/* or an alias")


# ----------------------------------------------------------------------------
# URLs and proxies
# ----------------------------------------------------------------------------
# What a URL means and which way leads to it. Pure; never repeats a URL, which may hold a password.

def base_url_problem(url):
    """Return what keeps a text from being a base URL (http or https, no query), or None."""
    try:
        split_url(url)
    except ValueError as error:
        return str(error)
    if "?" in url or "#" in url:
        return "it has a query or a fragment"
    return None


Url = collections.namedtuple("Url", "scheme host port path")
_PORTS = {"http": 80, "https": 443}


def split_url(url):
    """Return Url(scheme, host without brackets, port, path and query) of an http(s) URL.

    Raises ValueError saying what is wrong.
    """
    url = url.strip()
    match = re.match(r"(?i)(https?)://([^/?#]*)([^#]*)", url)
    if not match:
        raise ValueError("it does not begin with http:// or https://")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("it holds a space or control character")
    scheme, place, path = match.groups()
    if "@" in place:
        raise ValueError("it holds a user name or password; use VLLM_API_KEY or headers for those")
    found = re.match(r"(\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]\\]+)(?::([0-9]{0,9}))?\Z", place)
    if not found:
        raise ValueError("its host is missing or malformed")
    scheme = scheme.lower()
    port = int(found.group(2) or _PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError("its port is not between 1 and 65535")
    return Url(scheme, found.group(1).strip("[]"), port, path)


def is_loopback(host):
    """Tell whether a host names this machine's loopback: localhost, 127.0.0.0/8, ::1."""
    host = host.lower().rstrip(".")
    return re.match(r"(?:localhost|::1|127(?:\.[0-9]{1,3}){3})\Z", host) is not None


def is_local(host):
    """Tell whether OpenClaw calls a host local: loopback, any address of this host, *.local."""
    return is_loopback(host) or host in ("0.0.0.0", "::") or host.lower().endswith(".local")


def is_private(host):
    """Tell whether a host is reached without the internet, as far as its name or address tells."""
    return is_local(host) or re.match(_PRIVATE_HOST, host) is not None


# A name of this network, or an address of RFC 1918, RFC 3927, RFC 4193, RFC 4291 or RFC 6598.
_PRIVATE_HOST = (r"(?i)(?:[^.:]+|.*\.(?:internal|lan|svc|home\.arpa)|"
                 r"f[cd][0-9a-f]*:.*|fe[89ab].?:.*|"
                 r"(?:10|192\.168|169\.254|172\.(?:1[6-9]|2[0-9]|3[01])|"
                 r"100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))\.[0-9.]+)\.?\Z")


def origin(url):
    """Return scheme://host:port of a base URL, the port where it is not the scheme's own."""
    target = split_url(url)
    place = target.scheme + "://" + _bracketed(target.host)
    if target.port != _PORTS[target.scheme]:
        place += ":%d" % target.port
    return place


def _bracketed(host):
    return "[%s]" % host if ":" in host else host


def proxy_for(target, env):
    """Return the URL of the environment's proxy for a Url, without its password, or None.

    Lower-case names win; loopback is never proxied; NO_PROXY takes hosts,
    domain suffixes, host:port, CIDR blocks and *. Raises ConfigError for a
    proxy that is not http://.
    """
    setting = _proxy_setting(target, env)
    if setting is None:
        return None
    if "://" not in setting:
        setting = "http://" + setting
    url = re.sub(r"//[^/]*@", "//", setting)
    problem = base_url_problem(url)
    if not url.lower().startswith("http://"):
        problem = "only http:// proxies are supported"
    if problem is None:
        return url
    raise ConfigError("the proxy of the environment cannot be used: %s" % problem,
                      "export NO_PROXY=%s    (to reach the server directly)" % target.host,
                      "proxy-captured")


def _proxy_setting(target, env):
    """Return the text of the proxy variable that counts for a Url, or None."""
    exempt = env.get("no_proxy") or env.get("NO_PROXY") or ""
    if is_loopback(target.host) or no_proxy_covers(exempt, target):
        return None
    for name in (target.scheme + "_proxy", target.scheme.upper() + "_PROXY",
                 "all_proxy", "ALL_PROXY"):
        if name == "HTTP_PROXY" and env.get("REQUEST_METHOD"):
            continue                                 # CGI: it may be a header ("httpoxy")
        setting = env_setting(env.get(name))
        if setting:
            return setting
    return None


def proxy_headers(target, env):
    """Return the headers that a proxy with a password in its URL wants (RFC 7617), else {}."""
    named = re.match(r"(?:\w+://)?([^/]*)@", _proxy_setting(target, env) or "")
    if not named:
        return {}
    import base64
    from urllib.parse import unquote_to_bytes
    token = base64.b64encode(unquote_to_bytes(named.group(1))).decode("ascii")
    return {"Proxy-Authorization": Secret("Basic " + token)}


def no_proxy_covers(entries, target):
    """Tell whether a NO_PROXY text covers a Url."""
    host = target.host.lower()
    for entry in re.split(r"[\s,]+", entries.lower()):
        name, port = entry, ""
        with_port = re.match(r"(\[[^]]*\]|[^:]*):([0-9]{1,5})\Z", entry)
        if with_port:
            name, port = with_port.groups()
        if not entry or (port and int(port) != target.port):
            continue
        name = name.strip("[]")
        if entry == "*" or host == name or host.endswith("." + name.lstrip("*").lstrip(".")):
            return True
        if "/" in name and re.match(r"[0-9a-f.:]+\Z", host) and _in_network(host, name):
            return True
    return False


def _in_network(address, block):
    import ipaddress
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def server_root(base_url):
    """Return the place of vLLM's own endpoints (/version, /health): the base URL without /v1."""
    return re.sub(r"/v1\Z", "", base_url)


# ----------------------------------------------------------------------------
# Provider: opt-in, credentials, explicit and implicit resolution
# ----------------------------------------------------------------------------
# Makes settings without faults into a Provider. Opens no connection; asks no server.

def resolve_provider(settings, provider=DEFAULT_PROVIDER, base_url=None,
                     api_key=None,
                     ca_file=None):
    """Return the Provider that `settings` mean; opens no connection.

    `base_url` and `api_key` stand above every other source. A provider that may
    not be asked (not opted in, disabled, its key unusable) comes back with the
    reason in `refusal`, which every function that opens a connection raises.
    Raises ConfigError for settings with faults, a bad base URL or key, UsageError
    for an unknown id.
    """
    if settings.issues:
        raise issue_error(settings.issues)
    config = settings.config
    spelled, block = find_block(config, provider)
    name = spelled
    if provider_id(spelled) == DEFAULT_PROVIDER:
        name = DEFAULT_PROVIDER
    if block is None and name != DEFAULT_PROVIDER and base_url is None:
        known = sorted(provider_blocks(config))
        raise UsageError("no provider %r in %s"
                         % (provider, settings.path or "the config"),
                         "the config has: %s" % (", ".join(known) or "none"))
    path = ("models", "providers", spelled)
    url, where = _choose_base_url(settings, block, path, base_url)
    fields = block or {}
    credentials, problem = _credentials(settings, name, block, path, api_key)
    headers, last_headers, header_error = _block_headers(settings, fields, path)
    plugin_off = _plugin_off(config, name)
    rows, asks_server, refusal = _declared_rows(fields), True, None
    if base_url is not None:                         # the option stands above the rows, too
        rows = [dict(row, baseUrl=url) for row in rows]
    else:
        asks_server, refusal = _discovery(settings, name, block, credentials,
                                          plugin_off)
    layers = agent_layers(config)
    references = model_references(config, layers)
    return Provider(
        id=name,
        base_url=url,
        api=fields.get("api", "openai-completions"),
        explicit=block is not None,
        asks_server=asks_server,
        discovery_key=_first(credentials, "option", "environment", "profile", "config"),
        request_key=_first(credentials, "option", "profile", "environment", "config"),
        credentials=list(credentials.values()),
        refusal=problem or header_error or refusal,
        headers=headers,
        last_headers=last_headers,
        models=rows,
        max_tokens=fields.get("maxTokens"),
        timeout_s=fields.get("timeoutSeconds"),
        layers=layers,
        references=references,
        tags=model_tags(references, model_aliases(layers)),
        primary=dict(references).get("default"),
        plugin_off=plugin_off,
        env=settings.layers[0][1],
        ca_file=ca_file,
        where=where,
        file=settings.path)


def resolve_providers(settings, providers=(), base_urls=(), api_key=None,
                      ca_file=None):
    """Return the Providers that repeated --provider and --base-url options name, in their order.

    "all" stands for every openai-completions block of the config. Raises as
    `resolve_provider` does.
    """
    return [resolve_provider(settings, name, url, api_key, ca_file)
            for name, url in named_servers(settings, providers, base_urls)]


def named_servers(settings, providers, base_urls):
    """Return [(provider id, base URL or None)] for repeated --provider and --base-url.

    One of settings with faults, so that they are told once. Raises UsageError.
    """
    if settings.issues:
        return [(DEFAULT_PROVIDER, None)]
    blocks = provider_blocks(settings.config)
    spoken = [name for name, block in blocks.items()
              if block.get("api", "openai-completions") == "openai-completions"]
    names = []
    for name in providers or [DEFAULT_PROVIDER]:
        names += spoken if name == "all" and "all" not in blocks else [name]
    if not names:
        raise UsageError("--provider all: %s has no openai-completions block"
                         % (settings.path or "the config"), "name servers with --base-url")
    if base_urls and len(names) > 1:
        raise UsageError("several --provider and --base-url do not go together",
                         "name the servers one way")
    return [(name, url) for name in names for url in base_urls or [None]]


def provider_blocks(config):
    """Return {id: block} of models.providers; only for a config without faults."""
    return _get(config, "models", "providers") or {}


def provider_id(name):
    """Return a provider's id as OpenClaw compares it: trimmed, in lower case."""
    return trimmed(name).lower()


def find_block(config, provider):
    """Return (id as the config spells it, its models.providers block or None).

    Blocks whose ids differ in case are one: later fields win, and the rows are
    joined, each with the base URL of its own block.
    """
    providers = provider_blocks(config)
    same = [name
            for name in providers if provider_id(name) == provider_id(provider)]
    if len(same) < 2:
        name = same[0] if same else trimmed(provider)
        return name, providers.get(name)
    merged, rows = {}, []
    for name in same:
        merged.update(providers[name])
        own = {"baseUrl": providers[name].get("baseUrl", DEFAULT_BASE_URL)}
        rows += [dict(own, **row)
                 for row in providers[name].get("models") or ()]
    return name, dict(merged, models=rows)


def _declared_rows(block):
    """Return the rows of a block: ids trimmed, equal ones merged (the first wins)."""
    rows = collections.OrderedDict()
    for row in block.get("models") or ():
        model_id = trimmed(row["id"])
        if "baseUrl" in row:
            row = dict(row, baseUrl=row["baseUrl"].strip().rstrip("/"))
        if model_id:
            rows[model_id] = dict(row, **rows.get(model_id, {"id": model_id}))
    return list(rows.values())


def _choose_base_url(settings, block, path, option):
    """Return (base URL without trailing slashes, where it comes from)."""
    path += ("baseUrl",)
    url, where = DEFAULT_BASE_URL, "OpenClaw's default"
    chosen = env_setting(settings.variables.get("VLLM_BASE_URL"))
    if option is not None:
        url, where = option, "--base-url"
    elif block is not None:
        url, where = block.get("baseUrl", url), dotted(path)
        if path in settings.unset_variables:
            raise _missing_variable(settings, path,
                                    settings.unset_variables[path])
    elif chosen:
        url, where = chosen, "VLLM_BASE_URL"
    problem = base_url_problem(url)
    if problem:
        raise error_for("bad-base-url", where=where, problem=problem,
                        example=DEFAULT_BASE_URL)
    url = url.strip().rstrip("/")
    endpoint = re.match(r"(.*?)(/chat/completions|/completions|/models)\Z", url)
    if endpoint:
        right, suffix = endpoint.groups()
        raise error_for("endpoint-in-base-url", where=where, suffix=suffix,
                        right=right)
    return url, where


def _missing_variable(settings, path, name):
    return error_for("config-missing-variable", path=dotted(path),
                     variable=name,
                     dotenv=_dotenv_path(settings))


def _dotenv_path(settings):
    return os.path.join(settings.state_dir or "~/.openclaw", ".env")


def _credentials(settings, provider, block, path, api_key):
    """Return ({kind: Credential} of the keys found, the error for one that is unusable)."""
    path += ("apiKey",)
    found = {}
    if api_key is not None:
        found["option"] = Credential("--api-key-file", Secret(api_key.strip()))
    variable = settings.variables.get("VLLM_API_KEY")
    if variable and (provider == DEFAULT_PROVIDER or block is None):
        source = "VLLM_API_KEY (%s)" % variable_source(settings, "VLLM_API_KEY")
        found["environment"] = Credential(source, Secret(variable.strip()))
    profile = auth_profile(settings, provider)
    if profile is not None:
        found["profile"] = profile
    key, problem = _secret_value(settings, _get(block, "apiKey"), path)
    if key:
        found["config"] = Credential(dotted(path), Secret(key))
    for source, key in found.values():
        _refuse_unsendable(source, key)
    return found, None if found else problem


def _first(found, *kinds):
    return next(filter(None, map(found.get, kinds)), None)


def _secret_value(settings, value, path):
    """Return (text, error) of a credential field, one of the two None.

    A text, $NAME, the bare VLLM_API_KEY, or a SecretRef.
    """
    if value is None:
        return None, None
    name = settings.unset_variables.get(path)
    if isinstance(value, dict):
        name = value["id"]
        if value["source"] != "env":
            return None, ConfigError(
                "%s is a secret of the source %s, which only OpenClaw resolves"
                % (dotted(path), value["source"]),
                "export VLLM_API_KEY, or pass --api-key-file", "config-invalid")
    elif name is None:
        value = value.strip()
        if value != "VLLM_API_KEY" and not re.match(r"\$[A-Z_][A-Z0-9_]*\Z", value):
            return value, None
        name = value.lstrip("$")
    text = settings.variables.get(name, "").strip()
    if text:
        return text, None
    return None, _missing_variable(settings, path, name)


def header_problem(value):
    """Return what keeps a text from being sent as a header's value, or None."""
    if re.search(r"[\x00-\x1f\x7f]", value):
        return "a line break or control character"
    if re.search("[^\x00-\xff]", value):
        return "characters outside ISO 8859-1"
    return None


def _refuse_unsendable(source, value, name="Authorization"):
    """Raise ConfigError for a header that cannot be sent."""
    wrong = header_problem(value)
    if not re.match(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", name):
        wrong = "a name that no header has"
    if wrong:
        raise error_for("bad-key-form", source=source,
                        problem="it holds " + wrong, what=wrong)


def _block_headers(settings, block, path):
    """Return (headers, the headers that stand above a model's, the error for an unusable value)."""
    request = block.get("request") or {}
    auth = request.get("auth") or {}
    headers, last_headers, problem = {}, {}, None
    fields = [(headers, name, "", ("headers", name))
              for name in block.get("headers") or ()]
    fields += [(last_headers, name, "", ("request", "headers", name))
               for name in request.get("headers") or ()]
    if auth.get("mode") == "authorization-bearer":
        fields.append((last_headers, "Authorization", "Bearer ", ("request", "auth", "token")))
    if auth.get("mode") == "header":
        fields.append((last_headers, auth["headerName"], auth.get("prefix", ""),
                       ("request", "auth", "value")))
    for target, name, prefix, place in fields:
        text, error = _secret_value(settings, _get(block, *place), path + place)
        problem = problem or error
        if text is not None:
            set_header(target, name, Secret(prefix + text))
    rows = block.get("models") or ()
    for sent in [headers, last_headers] + [row.get("headers", {})
                                           for row in rows]:
        for name, value in sent.items():
            _refuse_unsendable("the header %r" % name, value, name)
    return headers, last_headers, problem


def set_header(headers, name, value):
    """Set a header, replacing the one of the same name in any case."""
    for other in list(headers):
        if other.lower() == name.lower():
            del headers[other]
    headers[name] = value


def _plugin_off(config, provider):
    """Return what switches OpenClaw's vllm plugin off, in words, or None."""
    plugins = config.get("plugins") or {}
    if provider != DEFAULT_PROVIDER:
        return None
    if plugins.get("enabled") is False:
        return "plugins.enabled is false"
    for plugin, entry in (plugins.get("entries") or {}).items():
        if provider_id(plugin) == "vllm" and entry.get("enabled") is False:
            return "plugins.entries.%s.enabled is false" % plugin
    if "vllm" in map(provider_id, plugins.get("deny") or ()):
        return "plugins.deny names vllm"
    if plugins.get("allow") and "vllm" not in map(trimmed, plugins["allow"]):    # in this case only
        return "plugins.allow does not name vllm"
    return None


def _discovery(settings, name, block, credentials, plugin_off):
    """Return (whether OpenClaw asks the server for models, the error that forbids to ask it)."""
    refusal = None
    if block is None and plugin_off:
        refusal = error_for("provider-disabled", problem=plugin_off,
                            file=settings.path)
    elif block is None and not credentials:
        refusal = error_for("not-opted-in", "export VLLM_API_KEY=vllm-local",
                            provider=name)
    if plugin_off or _get(settings.config, "models", "mode") == "replace":
        return False, refusal
    more = bool(credentials) and has_wildcard(settings.config, name)
    return block is None or more, refusal


def key_exposed(provider):
    """Return a warning when a key would cross the public internet in the clear, else None. Pure."""
    target = split_url(provider.base_url)
    key = provider.request_key or provider.discovery_key
    if key is None or target.scheme == "https" or is_private(target.host):
        return None
    if key.key in _PUBLIC_KEYS:
        return None
    return "the key of %s goes to %s unencrypted: use https" % (
        key.source, origin(provider.base_url))


_CREDENTIAL_FIELD = r"(?i)key$|token$|secret|password|passphrase|^headers$"


def secret_texts(value, inside=False):
    """Return the texts in a config's fields that hold credentials, without what only names one."""
    found, items = [], ()
    if isinstance(value, str) and inside and not value.startswith("$"):
        found.append(value)
    elif isinstance(value, list):
        items = [("", item) for item in value]
    elif isinstance(value, dict) and not (inside and "source" in value):
        items = value.items()
    for name, item in items:
        header = name == "value" and "headerName" in value
        found += secret_texts(item,
                              inside or header or re.search(_CREDENTIAL_FIELD, name))
    return found


def auth_profile(settings, provider):
    """Return the Credential of the first auth profile stored for a provider, or None.

    Reads OpenClaw's SQLite store read-only, else the JSON files of older
    installs. What cannot be read is a warning of `settings`, never an error.
    """
    if settings.state_dir is None:
        return None
    store = os.path.join(settings.state_dir, "state", "openclaw.sqlite")
    agents = os.path.join(settings.state_dir, "agents")
    try:
        names = sorted(os.listdir(agents),
                       key=lambda name: (name != "main", name))
    except (OSError, ValueError):                    # not there, nearly always
        names = []
    paths = [os.path.join(agents, name, "agent", "auth-profiles.json")
             for name in names]
    for path in filter(os.path.isfile, [store] + paths):
        try:
            if path == store:
                text = _read_profile_store(path)
            else:
                text = read_text(path, CONFIG_LIMIT)
        except ConfigError as error:
            settings.warnings.append(Issue((), error.message, path))
            continue
        found = parse_auth_profiles(text, provider)
        if found is not None:
            return found
    return None


def parse_auth_profiles(text, provider):
    """Return the Credential of a provider in the text of an auth store, or None."""
    try:
        profiles = _get(json.loads(text), "profiles")
    except (ValueError, RecursionError):
        return None
    if not isinstance(profiles, dict):
        return None
    for name, profile in profiles.items():
        owner = _get_text(profile, "provider")
        field = {"api_key": "key",
                 "token": "token"}.get(str(_get(profile, "type")))
        key = _get_text(profile, field).strip()
        if key and provider_id(owner) == provider_id(provider):
            return Credential("auth profile %s" % name, Secret(key))
    return None


def _read_profile_store(path):
    """Return the JSON text of the authProfiles.store row, or "". Raises ConfigError."""
    import pathlib
    try:
        import sqlite3
    except ImportError:
        raise ConfigError("auth profiles not read: this Python has no sqlite3")
    uri = pathlib.Path(path).absolute().as_uri() + "?mode=ro"
    # A read-only open of a WAL database may write beside it; without a log, immutable is as true.
    log = path + "-wal"
    if not os.path.isfile(log) or os.path.getsize(log) == 0:
        uri += "&immutable=1"
    query = "select value_json from config_machine_state where state_key = 'authProfiles.store'"
    try:
        store = sqlite3.connect(uri, timeout=1.0, uri=True)
        try:
            return _get_text(store.execute(query).fetchone(), 0)
        finally:
            store.close()
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return ""
        raise ConfigError("auth profiles not read by this Python's SQLite %s: %s"
                          % (sqlite3.sqlite_version, error))


# ----------------------------------------------------------------------------
# Models: rows of /v1/models and of the config made into Models
# ----------------------------------------------------------------------------
# What OpenClaw makes of rows, references and the settings of agents. Pure.

_REASONING_NAME = r"(?i)r1|reasoning|think|reason"
# @profile behind an id; @20251001, @q4_k and @8bit are versions of a model, as OpenClaw has it.
_PROFILE = (r"(?is)((?:.*/)?[^/@]*(?:@VERSION)*)@(?!VERSION)([^/]*)\Z".replace(
    "VERSION", r"(?:[0-9]{8}|q[0-9]+(?:_[a-z0-9]+)*|[0-9]+bit)(?=@|\Z)"))


def model_key(provider, model_id):
    """Return the reference of a model: vllm/<id>, or the id itself where it already begins so."""
    prefix = provider.lower() + "/"
    return model_id if model_id.lower().startswith(prefix) else prefix + model_id


def split_reference(text):
    """Return (provider in lower case, id) of a provider/id text, both trimmed, or None."""
    provider, _, model_id = text.partition("/")
    provider, model_id = trimmed(provider).lower(), trimmed(model_id)
    return (provider, model_id) if provider and model_id else None


def reference_key(text):
    """Return the key of a provider/id text in one spelling, or None for one without a provider."""
    parts = split_reference(text)
    return parts and "/".join(split_reference(model_key(*parts)) or parts)


def _same_key(one, other):
    """Tell whether two references are the same, but for blanks and the provider's case."""
    return (reference_key(str(one)) or one) == (reference_key(other) or other)


def without_profile(reference):
    """Return a reference, trimmed, without the name of an auth profile behind its @."""
    text = trimmed(reference)
    found = re.match(_PROFILE, text)
    if found and all(map(trimmed, found.groups())):
        return trimmed(found.group(1))
    return text


def agent_layers(config):
    """Return (agents.defaults, the entry of the default agent): what the later one says counts.

    Their `models` are by key, in one spelling, without wildcards.
    """
    agents = config.get("agents") or {}
    defaults = agents.get("defaults") or {}
    entries = (agents.get("entries") or {}).items()
    chosen = _get_text(defaults, "systemAgent", "agentId")
    chosen = trimmed(chosen).lower()
    found = [entry
             for _, entry in entries
             if entry.get("default") is True]
    if chosen:
        found = [entry
                 for name, entry in entries
                 if name.lower() == chosen]
    elif not found and len(entries) == 1:
        found = [entry
                 for _, entry in entries]
    return _agent_layer(defaults), _agent_layer((found or [{}])[0])


def _agent_layer(settings):
    models, configured = collections.OrderedDict(), []
    for reference, entry in (settings.get("models") or {}).items():
        key = reference_key(reference)
        if trimmed(reference).endswith("/*"):
            continue
        configured.append(reference)
        if key:
            models[key] = dict(models.get(key, {}), **entry)
    return dict(settings, models=models, configured=configured)


def model_aliases(layers):
    """Return {key: alias} of some layers; an entry with an empty alias takes it away."""
    aliases = collections.OrderedDict()
    for layer in layers:
        for key, entry in layer["models"].items():
            if "alias" in entry:
                aliases[without_profile(key)] = trimmed(entry["alias"])
    return {key: alias for key, alias in aliases.items() if alias}


def has_wildcard(config, provider):
    """Tell whether agents.defaults has a provider with a block asked for more models: vllm/*."""
    defaults = _get(config, "agents", "defaults") or {}
    keys = list(defaults.get("models") or ())
    keys += _get(defaults, "modelPolicy", "allow") or ()
    start = provider_id(provider) + "/"
    return any(key.startswith(start) and key.endswith("/*")
               for key in filter(None, map(reference_key, keys)))


def model_references(config, layers):
    """Return [(tag, key)]: the default model, fallbacks, image models and configured ones.

    A reference that means no model stays as it is written.
    """
    own_primary, own_fallbacks = _choice(layers[1].get("model"))
    primary, fallbacks = _choice(layers[0].get("model"))
    image, image_fallbacks = _choice(layers[0].get("imageModel"))
    if own_primary or own_fallbacks is not None:
        fallbacks = own_fallbacks
    declared = _declared_keys(config)
    primary = own_primary or primary or "".join(declared[:1])
    found = [("default", primary)] + _numbered("fallback#%d", fallbacks)
    found += [("image", image)] + _numbered("img-fallback#%d", image_fallbacks)
    found += [("configured", text) for layer in layers
              for text in layer["configured"]]
    aliases = {alias.lower(): key
               for key, alias in model_aliases(layers).items()}
    known = (list(layers[1]["models"]),
             list(layers[0]["models"]) + declared)
    return [(tag, resolve_reference(text, aliases, known))
            for tag, text in found if text]


def _numbered(tag, texts):
    return [(tag % number, text)
            for number, text in enumerate(texts or (), 1)]


def _choice(model):
    """Return (primary, fallbacks or None) of a `model` setting, a text or an object."""
    if not isinstance(model, dict):
        model = {"primary": model}
    return trimmed(model.get("primary") or ""), model.get("fallbacks")


def _declared_keys(config):
    return [
        model_key(provider_id(name), trimmed(row["id"]))
        for name, block in provider_blocks(config).items()
        for row in block.get("models") or ()
    ]


def resolve_reference(text, aliases, known):
    """Return the key that a reference of the settings means, else its own text.

    `aliases` are {alias in lower case: key}, `known` lists of keys: the first list that has a bare
    id decides whose it is.
    """
    text = without_profile(text)
    if text.lower() in aliases:
        return aliases[text.lower()]
    if "/" in text:
        key = reference_key(text) or text
        provider, _, name = key.lower().partition("/")
        target = aliases.get(name, "")
        return target if target.startswith(provider + "/") else key
    for keys in known:
        parts = [key.partition("/") for key in keys]
        providers = {provider
                     for provider, _, name in parts
                     if name.lower() == text.lower()}
        if len(providers) == 1:
            return providers.pop() + "/" + text
        if providers:
            break
    return text


def parse_model_list(payload):
    """Return the usable rows of a /v1/models answer: ids trimmed, the first of equal ids kept.

    Raises ValueError when the answer is no object with a list under "data".
    """
    rows = _get(payload, "data")
    if not isinstance(rows, list):
        raise ValueError("expected an object with a list under \"data\"")
    if len(rows) > MODEL_LIMIT:
        raise ValueError("it lists more than %d models" % MODEL_LIMIT)
    kept = collections.OrderedDict()
    for row in rows:
        model_id = trimmed(_get_text(row, "id"))
        if model_id:
            kept.setdefault(model_id, dict(row, id=model_id))
    return list(kept.values())


_WINDOW_FIELDS = ("context_length", "context_window",
                  "context_size", "max_model_len")


def row_context(row):
    """Return the context window that a server row states for itself, in tokens, or None."""
    return _window(_get(row, "meta", "n_ctx_train")) or _stated_context(row)


def _stated_context(row):
    windows = [_window(row.get(name)) for name in _WINDOW_FIELDS]
    return next(filter(None, windows), None)


def _window(value):
    return int(value) if _is_number(value) and value >= 1 else None


def _is_number(value):
    """Tell whether a JSON value is a finite number."""
    return type(value) in (int, float) and abs(value) < math.inf     # isfinite fails on 10**400


def stated_models(rows, provider):
    """Return the Models of server rows; no window where neither a row nor its parent states one."""
    stated = {row["id"]: _stated_context(row) for row in rows}
    models = []
    for row in rows:
        model_id = row["id"]
        parent = trimmed(_get_text(row, "parent")) or None
        window = row_context(row)
        if window is None and parent != model_id:
            window = stated.get(parent)
        models.append(_model(
            provider, model_id,
            source="discovered",
            parent=parent,
            root=_get_text(row, "root") or None,
            context_window=window,
            reasoning=re.search(_REASONING_NAME, model_id) is not None))
    return models


def discovered_models(rows, provider):
    """Return the Models of server rows as OpenClaw has them: each has a window."""
    return [_with_window(model)
            for model in stated_models(rows, provider)]


def _with_window(model):
    window = model.context_window or DEFAULT_CONTEXT_WINDOW
    return model._replace(context_window=_whole(window))


def declared_models(provider):
    """Return the Models of the rows that the config declares; what a row leaves out stays None."""
    return [
        _model(
            provider, row["id"],
            name=row["name"],
            input=tuple(row.get("input", ("text",))),
            context_window=_whole(row.get("contextWindow")),
            context_tokens=_whole(row.get("contextTokens")),
            max_tokens=_window(row.get("maxTokens", provider.max_tokens)),
            reasoning=row.get("reasoning"),
            source="declared",
            base_url=row.get("baseUrl"),
            compat=row.get("compat"),
            headers=row.get("headers"),
            thinking_level_map=row.get("thinkingLevelMap"))
        for row in provider.models
    ]


def _whole(value):
    """Return a whole number of tokens, or None: OpenClaw shows no other."""
    if value is None or value % 1 or value >= 2 ** 53:
        return None
    return int(value)


def _model(provider, model_id, **fields):
    """Return a Model with the settings of agents for it; fields that are None stay unset."""
    key = model_key(provider.id, model_id)
    key = reference_key(key) or key
    params, thinking = _agent_params(provider.layers, key)
    values = dict.fromkeys(Model._fields)
    values.update(
        id=model_id,
        name=model_id,
        provider=provider.id,
        base_url=provider.base_url,
        input=("text",),
        max_tokens=DEFAULT_MAX_TOKENS,
        reasoning=False,
        tags=tuple(provider.tags.get(key, ())),
        compat={},
        headers={},
        params=params,
        thinking=thinking,
        thinking_level_map={})
    values.update((name, value)
                  for name, value in fields.items()
                  if value is not None)
    return Model(**values)


def _agent_params(layers, key):
    """Return (params, the lowest layer first; the thinking level or None) of a model's key."""
    defaults, agent = layers
    of_model, of_agent = [layer["models"].get(key, {}).get("params", {}) for layer in layers]
    params = (defaults.get("params", {}), of_model, of_agent,
              agent.get("params", {}))
    for level in (
        agent.get("thinkingDefault"),
        of_agent.get("thinking"),
        of_model.get("thinking"),
        defaults.get("thinkingDefault"),
    ):
        if level is False or level == "none":
            return params, "off"
        if _level(level) in _LADDER:
            return params, _level(level)
    return params, None


def model_tags(references, aliases):
    """Return {key: OpenClaw's tags of the model, in its order}."""
    tags = collections.defaultdict(list)
    for tag, reference in references:
        key = reference_key(reference)
        if tag not in tags[key]:
            tags[key].append(tag)
    for key, alias in aliases.items():
        tags[key].append("alias:" + alias)
    return tags


# Families by their ids -> the compat that carries a thinking level to their templates.
_THINKING_FAMILIES = (
    (r"qwen-?3(?!.*(?:instruct|coder|2507|thinking|embed|rerank))", "Qwen3",
     {"thinkingFormat": "qwen-chat-template"}),
    (r"glm-?(?:4\.[5-9]|[5-9])", "GLM", {"thinkingFormat": "qwen-chat-template"}),
    (r"gpt-?oss", "gpt-oss", {"supportsReasoningEffort": True,
                              "supportedReasoningEfforts": ["low", "medium", "high"]}),
)


def thinking_evidence(model_id, source="name"):
    """Return (compat, reason) for an id of a family that thinks; compat is None for no switch.

    `source` is whose id it is, for the reason.
    """
    for pattern, family, compat in _THINKING_FAMILIES:
        if re.search("(?i)" + pattern, model_id):
            fields = ", ".join(sorted(compat))
            return compat, "by its %s: %s takes %s" % (source, family, fields)
    if re.search(_REASONING_NAME, model_id):
        return None, "by its " + source
    return None


def merge_models(declared, discovered, provider):
    """Return declared and discovered Models as one list.

    What a declared row leaves out is discovered, or OpenClaw's default where it is not served.
    """
    served = collections.OrderedDict((model.id, model)
                                     for model in discovered)
    merged = []
    for model, row in zip(declared, provider.models):
        other = served.pop(model.id, None) or _with_window(model)
        model = model._replace(parent=other.parent,
                               root=other.root)
        if "contextWindow" not in row:
            model = model._replace(context_window=other.context_window)
        if "reasoning" not in row:
            model = model._replace(reasoning=other.reasoning)
        merged.append(model)
    return merged + list(served.values())


def _own_primary(provider):
    """Return the reference of the default model where it is one of this provider, else None."""
    parts = split_reference(provider.primary or "")
    return provider.primary if parts and parts[0] == provider_id(provider.id) else None


def match_model(models, reference, provider):
    """Return the one of some Models that a reference names, or None.

    An alias in any case, else a key, else an id; each also without a profile behind an @.
    """
    tests = (lambda model, text: "alias:" + text.lower() in map(str.lower, model.tags),
             lambda model, text: _same_key(model.key, text),
             lambda model, text: _same_key(model.key, model_key(provider, text)),
             lambda model, text: model.id == text)
    for text in (trimmed(reference), without_profile(reference)):
        for test in tests:
            for model in models:
                if test(model, text):
                    return model
    return None


# ----------------------------------------------------------------------------
# Requests: shape_request, thinking, the output budget
# ----------------------------------------------------------------------------
# Makes an OpenAI-style body the one that OpenClaw 2026.9 sends to a vLLM server. Pure: it asks
# nobody, leaves its arguments as they are, and says what it changed and why.

# Fields that are never taken over; a rule of its own decides about the last two.
_NATIVE_FIELDS = (
    "store service_tier prompt_cache_retention prompt_cache_options safety_identifier verbosity "
    "metadata reasoning prediction web_search_options modalities audio "
    "prompt_cache_key stream_options").split()
# Why a field is not what the body has, where no step knows better.
_REASONS = dict.fromkeys(_NATIVE_FIELDS, "a native OpenAI field: vLLM refuses or ignores it")
_REASONS.update({
    "store": "stored completions are OpenAI's own",
    "stream": "answers are read as they come",
    "stream_options": "asks for token counts at the end of the stream",
    "prompt_cache_key": "64 characters at most, and only with compat.supportsPromptCacheKey",
    "response_format": "servers know json_object, text, and json_schema with a schema",
    "reasoning_effort": "it follows from the thinking level",
    "chat_template_kwargs": "they have to be an object",
    "max_tokens": "one field of tokens is sent",
    "max_completion_tokens": "one field of tokens is sent",
    "tools": "sorted by name; not sent where there are none, or compat.supportsTools is false",
    "tool_choice": "it goes with the tools that are there",
})
# Why a field of a message, or of a tool's function, is not what it was; "" stands for others.
_MESSAGE_REASONS = {
    "role": "role: system, or developer with compat.supportsDeveloperRole",
    "content": "images left out where the model's input has no image; reasoning as text, or one "
               "text, where compat asks for it",
    "tool_calls": "empty tool-call arguments become {}: they must be JSON",
    "name": "compat.requiresToolResultName: the tool's name added",
    "": "earlier reasoning: only what the model's template takes back",
}
_FUNCTION_REASONS = {
    "strict": "strict: false, and only with compat.supportsStrictMode",
    "parameters": "references inlined, an object on top, arrays state their items, keywords that "
                  "compat names left out",
    "": "a name, a description and parameters are sent",
}
# Body field -> its names in params, the one that counts first. The values are numbers.
_NUMBER_PARAMS = {
    "temperature": "temperature",
    "top_p": "topP",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty frequency_penalty",
    "presence_penalty": "presencePenalty presence_penalty",
}
_TOKEN_FIELDS = ("max_completion_tokens", "max_tokens")
_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_text", "reasoning_details")
_IMAGE_PARTS = ("image_url", "input_image")
# Families whose own reasoning has to come back to them, by the last segment of the id.
_REPLAYED = (
    r"(?i)(.*:)?(deepseek-v4-(flash|pro)"
    r"|mimo-v2(-pro|-omni|\.5(-pro)?|\.6-(flash|pro(-ultraspeed)?))"
    r"|kimi-(for-coding|k2\.[56]|k2\.7-code(-highspeed)?|k3|k2-thinking(-turbo)?))"
    r"(-free|-paid|-trial)?(:.*)?")
_NEMOTRON = r"(?i)\bnemotron-3(?:[-_](?:nano|super|ultra))?\b"
_DEEPSEEK = r"(?i)deepseek[-_]?v4(?:[-_](?:pro|flash))?\b"
_GPT = r"(?i)gpt-5\.[2-9](-|$)"      # OpenClaw knows the efforts of these ids, whoever serves them
_LADDER = "off minimal low medium high xhigh max".split()
_OFF = ("off", "none")
_LEVEL_NAMES = {"false": "off", "disabled": "off", "true": "low", "on": "low",
                "adaptive": "medium", "ultra": "max"}
THINKING_LEVELS = ["on", "adaptive", "ultra", "none"] + _LADDER
_WIDE = ("[\u2e80-\u9fff\ua000-\ua4ff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60\uffe0-\uffe6"
         "\U00020000-\U0002fa1f]")
MIN_USEFUL_TOKENS = 16


def shape_request(body, model, thinking=None, prompt_tokens=None):
    """Shape an OpenAI-style chat-completions body the way OpenClaw shapes it for vLLM.

    Pure: `body` is not changed. `model` is a Model, whose compat switches and params apply;
    `thinking` a level (off, minimal, low … or on) above all others; `prompt_tokens` what the
    prompt takes, where it was counted: it replaces the estimate. Returns Shaped. Raises
    UsageError for a body that OpenClaw would not send, and ServerError (context-exceeded)
    where the counted prompt leaves no token for an answer.
    """
    try:
        return _shape(body, model, thinking, prompt_tokens)
    except RecursionError:
        raise UsageError("the body is nested too deep")


def _shape(body, model, thinking, prompt_tokens):
    messages = _get(body, "messages")
    if (not isinstance(messages, list)
            or not all(isinstance(each, dict) for each in messages)):
        raise UsageError(
            "the body is not a chat completion: expected an object with a list of messages",
            'like {"messages": [{"role": "user", "content": "hi"}]}')
    notes, warnings = [], []

    def note(field, reason, action=None):
        notes.append((field, action, reason))

    params = {}
    for layer in model.params:
        params.update(layer)
    shaped = _kept_fields(body, model, params.get("cacheRetention"))
    note("model", "the id the server knows: " + model.id)
    _apply_params(shaped, model, params, note)
    _shape_response_format(shaped, model.compat)
    shaped["messages"] = _shape_messages(messages, model, note)
    _shape_tools(shaped, model.compat, note)
    _apply_thinking(shaped, model, thinking, note, warnings)
    clamped = _apply_budget(shaped, model, prompt_tokens, note, warnings)
    _apply_overrides(shaped, model, params, note)
    return Shaped(shaped, _changes(body, shaped, notes), warnings, clamped)


def _changes(body, shaped, notes):
    """Return a Change for each reason why a field of the shaped body differs, each once."""
    changes = collections.OrderedDict()
    for field in list(body) + list(shaped):
        action = "changed"
        if field not in shaped:
            action = "dropped"
        elif field not in body:
            action = "added"
        elif body[field] == shaped[field]:
            continue
        found = [(own or action, reason) for name, own, reason in notes if name == field]
        default = _REASONS.get(field, "some releases refuse an explicit null")
        for action, reason in found or [(action, default)]:
            changes[Change(field, action, reason)] = None
    return list(changes)


def _note_differences(before, after, reasons, field, note):
    """Note why parts of a field, an object before and after, are not the same."""
    for name in list(before) + list(after):
        if before.get(name, note) != after.get(name, note):      # no value is a function
            note(field, reasons.get(name, reasons[""]))


def _picked(value, names):
    return {name: value[name] for name in names if name in value}


def _texts(value):
    """Return the texts of a list, none of anything else."""
    if not isinstance(value, list):
        return []
    return [text for text in value if isinstance(text, str)]


def _kept_fields(body, model, retention):
    """Return the body's fields that may go out, the fields of streams and caches set."""
    compat = model.compat
    shaped = {name: value for name, value in body.items()
              if value is not None and name not in _NATIVE_FIELDS}
    shaped.update(model=model.id, stream=body.get("stream") is not False)
    if shaped["stream"] and compat.get("supportsUsageInStreaming") is not False:
        shaped["stream_options"] = {"include_usage": True}
    if compat.get("supportsPromptCacheKey") and retention != "none":
        key = _get_text(body, "prompt_cache_key")
        if key:
            shaped["prompt_cache_key"] = key[:64]
        if retention == "long" and compat.get("supportsLongCacheRetention") is not False:
            shaped["prompt_cache_retention"] = "24h"
    return shaped


def _param(layers, *names):
    """Return what the topmost layer with one of the names has there; the first name counts."""
    for layer in reversed(layers):
        for name in names:
            if name in layer:
                return layer[name]
    return None


def _apply_params(shaped, model, params, note):
    """Add what the params set and the body leaves open."""
    found = {"response_format": _param(model.params, "response_format", "responseFormat")}
    for field, names in _NUMBER_PARAMS.items():
        value = _param([params], *names.split())
        if _is_number(value):
            found[field] = value
    stop = params.get("stop")
    stop = [text for text in _texts([stop]) or _texts(stop) if text]
    if stop:
        found["stop"] = stop
    for field, value in found.items():
        if field not in shaped:
            shaped[field] = value
            note(field, "from params")


def _shape_response_format(shaped, compat):
    """Keep a response_format that servers know; else wrap it as a schema, or drop it."""
    form = shaped.pop("response_format", None)
    kinds = ["json_object", "text"]
    if isinstance(_get(form, "json_schema"), dict):
        kinds.append("json_schema")
    if _get(form, "type") in kinds:
        shaped["response_format"] = form
    elif isinstance(form, dict) and compat.get("supportsJsonSchemaResponseFormat"):
        schema = {"name": "openclaw_response", "schema": form}
        shaped["response_format"] = {"type": "json_schema", "json_schema": schema}


def _shape_messages(messages, model, note):
    compat = model.compat
    names, shaped = {}, []
    previous = None
    for before in messages:
        message = _shape_message(dict(before), model, names)
        role = message.get("role")
        if (role == "assistant" and not message.get("content")
                and "tool_calls" not in message):
            note("messages", "an assistant message without content left out")
            continue
        _note_differences(before, message, _MESSAGE_REASONS, "messages", note)
        if (compat.get("requiresAssistantAfterToolResult")
                and (previous, role) == ("tool", "user")):
            note("messages", "compat.requiresAssistantAfterToolResult: an assistant message added")
            shaped.append({
                "role": "assistant",
                "content": "I have processed the tool results."})
        previous = role
        if compat.get("strictMessageKeys"):
            note("messages", "compat.strictMessageKeys: role and content only")
            message = _picked(message, ("role", "content"))
        shaped.append(message)
    return shaped


def _shape_message(message, model, names):
    """Return one message as vLLM takes it; `names` collects {tool call id: function name}."""
    compat = model.compat
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        message["role"] = "system"
        if compat.get("supportsDeveloperRole") and model.reasoning:
            message["role"] = "developer"
    if isinstance(content, list) and "image" not in model.input:
        message["content"] = _without_images(content)
    if role == "assistant":
        _shape_calls(message, compat, names)
        _shape_reasoning(message, model)
    name = names.get(_get_text(message, "tool_call_id"))
    if role == "tool" and compat.get("requiresToolResultName") and name:
        message.setdefault("name", name)
    parts = message.get("content")
    if compat.get("requiresStringContent") and isinstance(parts, list):
        texts = _texts([
            _get(part, "text") for part in parts
            if _get(part, "type") == "text"])
        if len(texts) == len(parts):
            message["content"] = "\n".join(texts)
    return message


def _shape_calls(message, compat, names):
    """Make an assistant's tool calls fit to be sent; no calls are no field."""
    calls = message.pop("tool_calls", None)
    if not isinstance(calls, list) or not calls:
        return
    message["tool_calls"] = []
    for call in calls:
        function = _get(call, "function")
        if isinstance(_get(call, "id"), str):
            names[call["id"]] = _get(function, "name")
        if _get(function, "arguments") == "":
            call = dict(call, function=dict(function, arguments="{}"))
        message["tool_calls"].append(call)
    if message.setdefault("content") is None and compat.get("requiresAssistantAfterToolResult"):
        message["content"] = ""


def _shape_reasoning(message, model):
    """Leave of an assistant's earlier reasoning what the model takes back."""
    compat = model.compat
    form = compat.get("thinkingFormat")
    needed = compat.get("requiresReasoningContentOnAssistantMessages")
    before = {
        name: message.pop(name) for name in _REASONING_FIELDS
        if name in message}
    texts = {name: text for name, text in before.items() if isinstance(text, str)}
    if compat.get("requiresThinkingAsText"):
        spoken = [_text_part(text) for text in texts.values() if text.strip()]
        if spoken:
            message["content"] = spoken[:1] + _parts(message.get("content"))
        texts, before = {}, {}
    if needed and model.reasoning:
        texts.setdefault("reasoning_content", "")
    if form == "openrouter":
        if not texts.get("reasoning") and not texts.get("reasoning_content"):
            texts["reasoning"] = texts.get("reasoning_text")
        for name in ("reasoning", "reasoning_content"):
            if texts.get(name):
                message[name] = texts[name]
        if isinstance(before.get("reasoning_details"), list):
            message["reasoning_details"] = before["reasoning_details"]
    elif (model.reasoning or needed or form in ("deepseek", "zai")
          or re.fullmatch(_REPLAYED, model.id.split("/")[-1])):
        message.update(_picked(texts, ("reasoning_content",)))


def _text_part(text):
    return {"type": "text", "text": text}


def _parts(content):
    """Return the parts of a message's content; a text is one."""
    if isinstance(content, str) and content:
        return [_text_part(content)]
    if isinstance(content, list):
        return content
    return []


def _without_images(parts):
    """Return content parts with one text in place of each run of images."""
    kept = []
    for part in parts:
        if _get(part, "type") in _IMAGE_PARTS:
            part = _text_part("(image omitted: model does not support images)")
            if kept[-1:] == [part]:
                continue
        kept.append(part)
    return kept


def _shape_tools(shaped, compat, note):
    tools = shaped.pop("tools", None)
    choice = shaped.pop("tool_choice", None)
    if (compat.get("supportsTools") is False
            or not isinstance(tools, list) or not tools):
        return
    functions = [
        _shape_function(_get(tool, "function"), compat, note)
        for tool in tools]
    functions = sorted(filter(None, functions), key=_function_order)
    choice = _shape_choice(choice, [function["name"] for function in functions])
    if functions:
        shaped["tools"] = [
            {"type": "function", "function": function}
            for function in functions]
    called = any(
        message.get("role") == "tool" or message.get("tool_calls")
        for message in shaped["messages"])
    if functions or choice == "none" and not called:
        shaped["tool_choice"] = choice


def _function_order(function):
    """Return what sorts functions as JavaScript does: by UTF-16 units."""
    texts = (function["name"], function.get("description", ""))
    return [text.encode("utf-16-be", "surrogatepass") for text in texts]


def _shape_function(function, compat, note):
    """Return the function of a tool as vLLM takes it, or None where OpenClaw leaves it out."""
    name = _get_text(function, "name")
    parameters = _get(function, "parameters")
    if parameters is None:
        parameters = {}
    if (not name or not isinstance(parameters, dict)
            or parameters.get("type", "object") != "object"):
        note("tools", "a tool without a name, or whose parameters are not an object, left out")
        return None
    kept = {"name": name, "parameters": _shape_schema(parameters, compat)}
    if isinstance(function.get("description"), str):
        kept["description"] = function["description"]
    if compat.get("supportsStrictMode"):
        kept["strict"] = False           # what OpenClaw sends of a schema it did not make strict
    _note_differences(function, kept, _FUNCTION_REASONS, "tools", note)
    return kept


def _shape_choice(choice, names):
    """Return the tool_choice for tools of these names. Raises UsageError where OpenClaw fails."""
    wanted = _get(choice, "function", "name")
    allowed = _get(choice, "allowed_tools", "tools")
    mode = _get(choice, "allowed_tools", "mode")
    if choice is None:
        return "auto"
    if mode in ("auto", "required") and isinstance(allowed, list):
        kept = [
            _named_tool(tool) for tool in allowed
            if _get(tool, "function", "name") in names]
        if kept:
            return {
                "type": "allowed_tools",
                "allowed_tools": {"mode": mode, "tools": kept}}
        if mode == "auto":
            return "none"
        choice, names = "required", []
    if choice == "required" and not names:
        raise UsageError("tool_choice requires a tool, and none of the tools can be sent")
    if _get(choice, "type") != "function" or not isinstance(wanted, str):
        return choice
    if wanted not in names:
        raise UsageError("tool_choice names %s, which is not a tool that can be sent" % wanted)
    return _named_tool(choice)


def _named_tool(tool):
    return {"type": "function", "function": {"name": tool["function"]["name"]}}


# Where a JSON schema holds schemas: maps from names to them; one of them, or a list.
_SCHEMA_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_SCHEMA_PLACES = (
    "items prefixItems contains additionalProperties propertyNames anyOf oneOf allOf "
    "not if then else").split()
_DEFINITIONS = ("$defs", "definitions", "components")
_LABELS = ("title", "description", "default")


def _shape_schema(schema, compat):
    """Return the parameters of a tool as OpenClaw sends them."""
    keywords = [word.strip() for word in compat.get("unsupportedToolSchemaKeywords") or []]
    return _cleaned_schema(_object_schema(_without_references(schema)), keywords)


def _map_schemas(schema, function):
    """Return a schema with `function` applied to each schema directly inside it."""
    mapped = {}
    for key, value in schema.items():
        if key in _SCHEMA_MAPS and isinstance(value, dict):
            value = {name: function(inner) for name, inner in value.items()}
        elif key in _SCHEMA_PLACES and isinstance(value, list):
            value = [function(inner) for inner in value]
        elif key in _SCHEMA_PLACES:
            value = function(value)
        mapped[key] = value
    return mapped


def _without_references(document):
    """Return a schema with what its #/… references name in their place, a recursive one as {}.

    The definitions go, unless a reference names nothing.
    """
    unresolved = []

    def inlined(schema, followed):
        if not isinstance(schema, dict):
            return schema
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            plain = {
                key: value for key, value in schema.items()
                if key not in _DEFINITIONS}
            plain = _map_schemas(plain, lambda inner: inlined(inner, followed))
            if unresolved:
                plain.update(_picked(schema, _DEFINITIONS))
            return plain
        if reference in followed:
            return {}
        if not reference.startswith("#/"):
            return schema
        target = _pointed_at(document, reference)
        if target is None:
            unresolved.append(reference)
            return schema
        target = inlined(target, followed + (reference,))
        if isinstance(target, dict):
            target = dict(target, **_picked(schema, _LABELS))
        return target

    return inlined(document, ())


def _pointed_at(document, reference):
    """Return what a #/… reference names in its document (RFC 6901), or None."""
    for segment in reference.split("/")[1:]:
        if isinstance(document, list):
            document = {str(place): value for place, value in enumerate(document)}
        document = _get(document, segment.replace("~1", "/").replace("~0", "~"))
    return document


def _variants(schema):
    """Return the variants of a schema, those of anyOf first, or None."""
    for name in ("anyOf", "oneOf"):
        if isinstance(schema.get(name), list):
            return schema[name]
    return None


def _object_schema(schema):
    """Return a schema that is an object on top: what servers take as a function's parameters."""
    if not isinstance(schema, dict):
        schema = {}
    variants, properties = _variants(schema), schema.get("properties")
    if variants is not None:
        return _merged_variants(schema, variants)
    likely = isinstance(schema.get("required"), list) or not schema
    if isinstance(properties, dict):
        likely = True
    else:
        properties = {}
    if (isinstance(schema.get("allOf"), list)
            or schema.get("type", likely) not in ("object", True)):
        return schema
    return dict(schema, type="object", properties=properties)


def _merged_variants(schema, variants):
    """Return the one object that stands for all variants of a top-level anyOf or oneOf."""
    objects = [source for source in [schema] + variants
               if isinstance(_get(source, "properties"), dict)]
    properties = {}
    for source in objects:
        for name, value in source["properties"].items():
            properties[name] = _merged_property(properties.get(name), value)
    merged = {name: schema[name] for name in ("title", "description")
              if isinstance(schema.get(name), str)}
    merged.update(
        type="object", properties=properties,
        additionalProperties=schema.get("additionalProperties", True))
    lists = [
        _texts(source.get("required")) for source in objects
        if source is not schema]
    counts = collections.Counter(sum(lists, []))
    everywhere = [name for name in counts if counts[name] == len(lists)]
    required = _texts(schema.get("required")) or everywhere
    if required:
        merged["required"] = required
    return merged


def _merged_property(first, second):
    """Return one property schema for two of a name: the first, or the values of both."""
    if first is None:
        return second
    stated = [
        values for values in map(_allowed_values, (first, second))
        if values is not None]
    if not stated:
        return first
    values = collections.OrderedDict(
        (json.dumps(value), value) for value in sum(stated, []))
    merged = {"enum": list(values.values())}
    for schema in (second, first):
        if isinstance(schema, dict):
            merged.update(_picked(schema, _LABELS))
    kinds = {_JS_TYPES.get(type(value), "object") for value in merged["enum"]}
    if len(kinds) == 1:
        merged["type"] = kinds.pop()
    return merged


_JS_TYPES = {str: "string", bool: "boolean", int: "number", float: "number"}


def _allowed_values(schema):
    """Return the values that an enum or a const allows, also in variants of the schema, or None."""
    if not isinstance(schema, dict):
        return None
    if isinstance(schema.get("enum"), list):
        return schema["enum"]
    if "const" in schema:
        return [schema["const"]]
    found = [_allowed_values(variant) or [] for variant in _variants(schema) or ()]
    return sum(found, []) or None


def _cleaned_schema(schema, keywords):
    """Return a schema whose arrays state their items, without some keywords."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "array" and "items" not in schema:
        schema = dict(schema, items={})
    schema = {
        key: value for key, value in schema.items()
        if key not in keywords}
    return _map_schemas(schema, lambda inner: _cleaned_schema(inner, keywords))


def _apply_thinking(shaped, model, thinking, note, warnings):
    """Turn the thinking level into the fields of the model's thinking format."""
    asked, effort, default = map(
        _level,
        (thinking, shaped.pop("reasoning_effort", None), model.thinking))
    wanted = asked or effort
    level = _available_level(model, wanted, default)
    fields = _thinking_fields(model, level, (wanted or level) not in _OFF)
    for name in fields:
        note(name, "thinking level " + level)
    cannot = model.source == "declared" and not model.reasoning
    if asked and not fields and not (cannot and level in _OFF):
        warnings.append(
            "--thinking %s has no effect on %s: set reasoning: true and, in compat, thinkingFormat "
            "(\"qwen-chat-template\" where its template takes enable_thinking) or "
            "supportsReasoningEffort: true" % (thinking, model.key))
    elif asked and level != asked:
        warnings.append("--thinking %s is not available on %s: %s is used"
                        % (thinking, model.key, level))
    kwargs = shaped.pop("chat_template_kwargs", None)
    if isinstance(kwargs, dict):
        fields.setdefault("chat_template_kwargs", {}).update(kwargs)
    shaped.update(fields)


def _level(text):
    """Return a thinking level in one spelling, or None when there is none."""
    folded = _get_text(text).strip().lower()
    return _LEVEL_NAMES.get(folded, folded) or None


def _available_level(model, asked, default):
    """Return the level that is asked for, or the nearest that the model has: a higher one first.

    A default gives way to a lower one first, but not to off; families with a switch have off and
    low for it.
    """
    form = model.compat.get("thinkingFormat") or ""
    usual, steps = "medium", _LADDER[:5]
    if not asked and (form.startswith("qwen") or re.search(_NEMOTRON, model.id)):
        usual, steps = "off", ["off", "low"]
    level = asked or default or usual
    if not asked and not model.reasoning:
        return "off"
    if level not in _LADDER:
        return level
    stated = dict.fromkeys(steps, True)
    stated.update((effort, True) for effort in _stated_efforts(model) or ())
    if form not in ("qwen", "qwen-chat-template", "zai"):
        stated.update(
            (name, True) for name, effort in _effort_map(model.compat).items() if effort.strip())
    stated.update(model.thinking_level_map)
    place = _LADDER.index(level)
    up, down = _LADDER[place:], _LADDER[place:0:-1]
    candidates = down + up
    if asked and not (place > 4 and stated.get(level, level) is None):
        candidates = up + down
    known = [name for name in candidates if stated.get(name) is not None]
    return (known + ["off"])[0]


def _effort_map(compat):
    stated = compat.get("reasoningEffortMap") or {}
    return {level.strip().lower(): effort for level, effort in stated.items()}


def _stated_efforts(model):
    """Return the efforts that a model's server takes, as far as OpenClaw knows, or None."""
    stated = model.compat.get("supportedReasoningEfforts")
    if model.compat.get("supportsReasoningEffort") is False:
        return []
    if stated is None and re.match(_GPT, model.id):
        return ["none", "low", "medium", "high", "xhigh"]
    return stated and [effort.strip() for effort in stated if effort.strip()]


def _thinking_fields(model, level, switch):
    """Return the body fields that carry out a level: a table of formats, and two families."""
    compat = model.compat
    mapped = _effort_map(compat).get(level) or model.thinking_level_map.get(level)
    effort = _effort(model, level, mapped)
    on = (mapped or level).strip().lower() not in _OFF
    plain, spoken, nested = {}, {}, {}
    if effort:
        nested["reasoning"] = {"effort": effort}
        if compat.get("supportsReasoningEffort"):
            plain["reasoning_effort"] = effort
        if on:
            spoken["reasoning_effort"] = effort
    enabled = {"reasoning": {"enabled": on}}
    if _stated_efforts(model) == []:
        nested = enabled
    form = compat.get("thinkingFormat")
    if re.search(_DEEPSEEK, model.id):
        form = "deepseek-v4"
    formats = {
        "qwen": {"enable_thinking": switch},
        "qwen-chat-template": {
            "chat_template_kwargs": {
                "enable_thinking": switch, "preserve_thinking": True}},
        "together": dict(enabled, **_picked(plain, spoken)),
        "openrouter": nested,
        "deepseek-v4": {
            "chat_template_kwargs": dict(spoken, thinking=on, enable_thinking=on)},
    }
    fields = {}
    if model.reasoning:
        fields = formats.get(form, plain)
    if not switch and re.search(_NEMOTRON, model.id):
        kwargs = fields.setdefault("chat_template_kwargs", {})
        kwargs.update(enable_thinking=False, force_nonempty_content=True)
    return fields


def _rank(effort):
    return _LADDER.index(effort) if effort in _LADDER else 0


def _effort(model, level, mapped):
    """Return the reasoning effort for a level that the model's server takes, or None."""
    intent = (mapped or level).strip()
    efforts = _stated_efforts(model)
    if efforts is None and level == "off" and not mapped:
        return "none"
    if efforts is None or intent in efforts:
        return intent
    if level == "off" and "none" in efforts:
        return "none"
    if level in _OFF or intent in _OFF:
        return None
    found = [effort for effort in efforts if effort.lower() not in _OFF]
    if _rank(intent):
        ranked = sorted(filter(_rank, efforts), key=_rank)
        lower = [effort for effort in ranked if _rank(effort) <= _rank(intent)]
        found = lower[::-1] + ranked + found
    return (found + [None])[0]


def _asked_tokens(shaped, layers):
    """Take the wanted number of tokens out of the body, else of the params: (number, field)."""
    asked = [(shaped.pop(name, None), name, 1) for name in _TOKEN_FIELDS]
    for layer in reversed(layers):
        for name in ("maxTokens",) + _TOKEN_FIELDS:
            asked.append((layer.get(name), "params." + name, 0))
    for value, source, least in asked:
        if _is_number(value) and value >= least:
            return int(value), source
    return 0, None


def _apply_budget(shaped, model, prompt_tokens, note, warnings):
    """Set the token field; tell whether the context leaves less than was wanted."""
    number, source = _asked_tokens(shaped, model.params)
    field = model.compat.get("maxTokensField") or "max_completion_tokens"
    limit = model.max_tokens or DEFAULT_MAX_TOKENS
    window = model.context_tokens or model.context_window
    wanted = left = min(number or limit, limit)
    used, about = prompt_tokens, ""
    if used is None:
        used, about = estimate_tokens(shaped), "about "
    if window:
        left = window - used - 1
    shaped[field] = max(1, min(wanted, left))
    if not number:
        note(field, "the model's maxTokens: %d" % limit)
    elif source != field:
        note(field, "from " + source, "moved")
    if number > limit:
        note(field, "asked for %d, the model's maxTokens is %d" % (number, limit), "clamped")
    if left >= wanted:
        return False
    taken = "the prompt takes %s%d of the %d tokens of context of %s" % (
        about, used, window, model.id)
    note(field, "to %d: %s" % (shaped[field], taken), "clamped")
    if left < 1 and prompt_tokens is not None:
        raise error_for("context-exceeded", url=model.base_url,
                        **context_facts(model.id, window, prompt_tokens, alone=True))
    if left < MIN_USEFUL_TOKENS:
        warnings.append("%s: %d are left for the answer" % (taken, max(0, left)))
    return True


def _apply_overrides(shaped, model, params, note):
    """Lay over the body what params set whatever it says: kwargs, extra_body, parallel calls."""
    kwargs = _param([params], "chat_template_kwargs", "chatTemplateKwargs")
    extra = _param([params], "extra_body", "extraBody")
    parallel = _param(model.params, "parallel_tool_calls", "parallelToolCalls")
    over = {}
    if isinstance(kwargs, dict) and kwargs:
        over["chat_template_kwargs"] = dict(
            shaped.get("chat_template_kwargs", {}), **kwargs)
    if isinstance(extra, dict):
        over.update(extra)
    over.pop("store", None)
    if isinstance(parallel, bool) and "parallel_tool_calls" not in shaped:
        over["parallel_tool_calls"] = parallel
    for name in over:
        note(name, "from params")
    shaped.update(over)
    if shaped["stream"] is not True:                 # by extra_body; releases refuse the pair
        shaped.pop("stream_options", None)


def estimate_tokens(body):
    """Return OpenClaw's estimate of a shaped body's prompt: adjusted characters / 4 x 1.25."""
    values = [body.get("tools"), body.get("response_format")]
    for message in body["messages"]:
        values.append(message.get("tool_calls"))
        for field in ("content",) + _REASONING_FIELDS:
            for part in _parts(message.get(field)):
                text = _get(part, "text")
                if _get(part, "type") in _IMAGE_PARTS:
                    text = "i" * 8000
                elif not isinstance(text, str):
                    text = part
                values.append(text)
    characters = sum(
        _characters(value) for value in values
        if isinstance(value, (str, dict, list)))
    return int(math.ceil(characters / 4.0 * 1.25))


def _characters(value):
    """Count characters of a value's text as OpenClaw does: CJK as 4, others in UTF-16 units."""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return len(re.sub(_WIDE, "wide", value).encode("utf-16-le", "surrogatepass")) // 2


# ----------------------------------------------------------------------------
# Answers: SSE lines -> events -> deltas -> one assembled message
# ----------------------------------------------------------------------------
# Pure: bytes and JSON values in, values out. Whatever a server sends, each step costs in
# proportion to its size.

class EventDecoder(object):
    """Turns bytes, cut anywhere, into server-sent events; knows nothing of where they come from.

    Source: the WHATWG HTML standard, "Parsing an event stream". Lines end at
    CR, LF or CRLF and nowhere else; an event that no blank line ends is dropped.
    """

    def __init__(self):
        self._rest = bytearray()
        self._after_cr = False

    def feed(self, data):
        """Return the texts of the events that `data` ends. Raises ValueError past EVENT_LIMIT."""
        if self._after_cr or b"\r" in data:          # a CRLF may be cut in two
            if self._after_cr and data.startswith(b"\n"):
                data = data[1:]
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._rest:
            searched = len(self._rest) - 1
            self._rest += data
            data = b""
            if self._rest.find(b"\n\n", searched) >= 0:
                data, self._rest = bytes(self._rest), bytearray()
        blocks = data.split(b"\n\n")
        self._rest += blocks.pop()
        if len(self._rest) > EVENT_LIMIT:
            raise ValueError("an event larger than %d bytes" % EVENT_LIMIT)
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:     # nearly all that vLLM sends
                events.append(block[6:].decode("utf-8", "replace"))
            else:
                events += _event_data(block.decode("utf-8", "replace"))
        return events


def _event_data(block):
    """Return [data] of the lines of one event, [] when it carries none."""
    data = []
    for line in block.split("\n"):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(re.sub("^ ", "", value))
    if not data:
        return []
    return ["\n".join(data)]


def decode_delta(payload, full=False):
    """Return the Delta of one chat.completion(.chunk) object; {} and odd shapes give an empty one.

    Reads the choice with index 0: its `delta` or `message`, `reasoning` or
    `reasoning_content`. With `full` the object itself is kept in `extra`, its log
    probabilities and other choices with it.
    """
    choice = {}
    for item in choices_of(payload):
        if not item.get("index"):
            choice = item
            break
    piece = choice.get("delta") or choice.get("message")
    if not isinstance(piece, dict):
        piece = {}
    calls = piece.get("tool_calls")
    if not isinstance(calls, list):
        calls = ()
    usage, extra = decode_usage(payload.get("usage")), None
    if full:
        extra = payload
    elif usage is not None:
        extra = {"usage": payload["usage"]}
    return Delta(
        _text_or_none(piece.get("content")) or "",
        _text_or_none(piece.get("reasoning") or piece.get("reasoning_content")) or "",
        calls,
        _text_or_none(choice.get("finish_reason")),
        usage,
        _text_or_none(payload.get("id")),
        _text_or_none(payload.get("model")),
        extra)


def choices_of(payload):
    """Return the objects among the choices of a chunk or completion."""
    choices = payload.get("choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def _text_or_none(value):
    if isinstance(value, str):
        return value
    return None


def decode_usage(usage):
    """Return the Usage of a usage object, or None when there is none."""
    if not isinstance(usage, dict):
        return None
    counts = [usage.get(name) for name in Usage._fields]
    for position, count in enumerate(counts):
        if not isinstance(count, int) or count > 1e15:       # which no float could divide
            counts[position] = None
    return Usage(*counts)


class _Text(object):
    """A text that grows by small pieces and takes little more memory than itself."""

    def __init__(self):
        self._text = ""
        self._pieces = []

    def add(self, piece):
        self._pieces.append(piece)
        if len(self._pieces) == 1000:
            self.whole()

    def whole(self):
        text, self._text = self._text, None          # CPython lengthens what has one reference
        text += "".join(self._pieces)
        self._text = text
        self._pieces = []
        return text


class Assembler(object):
    """Collects Deltas into one Answer; holds the text once, and nothing else that grows.

    `add` raises ServerError for more tool calls or choices than ANSWER_PARTS.
    """

    def __init__(self):
        self._content, self._reasoning = _Text(), _Text()
        self._calls = []                             # [id, name, _Text of the arguments]
        self._calls_by_index = {}                    # the latest of each index
        self._id = self._model = self._finish_reason = self._usage = None
        self._extra, self._others = {}, {}

    def add(self, delta):
        """Take one Delta."""
        content, reasoning, calls, finish_reason, usage, answer_id, model, extra = delta
        if content:
            self._content.add(content)
        if reasoning:
            self._reasoning.add(reasoning)
        for position, piece in enumerate(calls):
            if isinstance(piece, dict):
                self._add_call(position, piece)
        self._id = answer_id or self._id
        self._model = model or self._model
        self._finish_reason = finish_reason or self._finish_reason
        self._usage = usage or self._usage
        if extra is not None:
            self._add_extra(extra)

    def _add_call(self, position, piece):
        index = piece.get("index")
        if not isinstance(index, int):
            index = position
        call_id = _get_text(piece, "id")
        function = piece.get("function")
        call = self._calls_by_index.get(index)
        if call is None or (call_id and call[0] and call_id != call[0]):
            call = self._calls_by_index[index] = [None, "", _Text()]
            self._calls.append(call)
            _check_parts(self._calls, "tool calls")
        call[0] = call_id or call[0]
        call[1] = call[1] or _get_text(function, "name")
        call[2].add(_get_text(function, "arguments"))

    def _add_extra(self, payload):
        if isinstance(payload.get("usage"), dict):
            self._extra["usage"] = payload["usage"]
        for choice in choices_of(payload):
            index = choice.get("index") or 0
            logprobs = choice.get("logprobs")
            if index and isinstance(index, int):
                other = self._others.setdefault(index, Assembler())
                _check_parts(self._others, "choices")
                other.add(decode_delta({"choices": [dict(choice, index=0)]}, True))
            elif isinstance(logprobs, dict):
                kept = self._extra.setdefault("logprobs", {})
                for name, items in logprobs.items():
                    if isinstance(items, list):
                        kept.setdefault(name, []).extend(items)

    def answer(self, timings=None):
        """Return the Answer so far."""
        calls = []
        for call_id, name, arguments in self._calls:
            function = {"name": name, "arguments": arguments.whole()}
            calls.append({"id": call_id, "type": "function", "function": function})
        extra, others = dict(self._extra), []
        for index, assembler in sorted(self._others.items()):
            other = assembler.answer()
            choice = _picked(other._asdict(), _OTHER_CHOICE)
            others.append(dict(choice, index=index, **other.extra))
        if others:
            extra["choices"] = others
        return Answer(
            self._id,
            self._model,
            self._content.whole(),
            self._reasoning.whole(),
            calls,
            self._finish_reason,
            self._usage,
            timings,
            extra)


_OTHER_CHOICE = ("content", "reasoning", "tool_calls", "finish_reason")      # what is kept of it


def _check_parts(parts, what):
    if len(parts) > ANSWER_PARTS:
        raise ServerError("the answer holds more than %d %s" % (ANSWER_PARTS, what),
                          "look at what answers at the base URL", "answer-broken")


# An event shorter than this is safe for the plain decoder: no number in it is long enough to cost
# anything. Only longer ones need the slower guard of `json_number`.
_SHORT_EVENT = 4000
_decode_json = json.JSONDecoder().decode         # `json.loads` looks at its options each time


def loads_event(text):
    """Return the JSON value of a server-sent event. Raises ValueError, whatever it holds."""
    if len(text) < _SHORT_EVENT and text.count("{") + text.count("[") <= JSON_DEPTH:
        return _decode_json(text)
    return loads_untrusted(text)


def loads_untrusted(text):
    """Return the JSON value of a text from outside. Raises ValueError, whatever it holds.

    Nested so deep that to handle it might overflow the stack is refused, and so is what
    would take many times the memory of its text: objects and lists beyond JSON_CONTAINERS.
    """
    containers = text.count("{") + text.count("[")
    if containers > JSON_CONTAINERS:
        raise ValueError("more than %d objects and lists" % JSON_CONTAINERS)
    try:
        value = json.loads(text, parse_int=json_number)
    except RecursionError:
        raise ValueError("nested too deep")
    if containers > JSON_DEPTH and is_deep(value):
        raise ValueError("nested more than %d levels deep" % JSON_DEPTH)
    return value


def is_deep(value, levels=JSON_DEPTH):
    """Tell whether a JSON value is nested more than some levels deep."""
    level = [value]
    for _ in range(levels):
        inner = []
        for container in level:
            if isinstance(container, dict):
                inner += container.values()
            elif isinstance(container, list):
                inner += container
        level = [item for item in inner if isinstance(item, (dict, list))]
    return bool(level)


# ----------------------------------------------------------------------------
# Connections: the only section that opens sockets
# ----------------------------------------------------------------------------
# It knows HTTP, TLS and proxies, and nothing of models. A key goes to the origin it was given
# for and nowhere else; every wait has an end; what fails is raised as an Error.

Route = collections.namedtuple("Route", "env ca_file connect_s silence_s total_s limit")
Route.__new__.__defaults__ = ("",)
Route.__doc__ = """How to reach a server: the environment that names proxies, a CA file or None, and
seconds to connect, of silence between two reads, and in all (None: no end); `limit` names the
setting that says how long, "" where a default does."""

Reply = collections.namedtuple("Reply", "status reason headers body proxy secrets")
Reply.__doc__ = """One whole answer; `headers` is an email.message.Message, `body` bytes, `proxy` a
URL or None, `secrets` the texts to hide in what the server says."""


# Where an exchange is: the code in `Exchange.phase` and in the facts of a timeout, and its words.
PHASES = {
    "resolve": "looking up the host",
    "connect": "connecting",
    "proxy": "waiting for the proxy",
    "tls": "in the TLS handshake",
    "send": "sending the request",
    "wait": "waiting for the answer to begin",
    "first": "before the first token",
    "read": "in the middle of the answer",
    "comments": "with comments only since the last event",
}
LIFE_FACTOR = 10                     # how often comments can prolong the wait for an event


class _Wire(io.RawIOBase):
    """A connected socket as http.client sees it, bounded by silence and deadline.

    Silence lasts until `progress` is reported: bytes alone are none, or a server
    could drip one at a time for ever. `before_wait` is called before each wait.
    """

    def __init__(self, sock, silence_s, deadline, before_wait=None):
        super(_Wire, self).__init__()
        self.sock, self.silence_s, self.deadline = sock, silence_s, deadline
        self.before_wait = before_wait
        self.progress()

    def progress(self):
        """Take note that the other side has got on: its time starts anew with the next wait."""
        self._until = self._latest = None

    def keep_alive(self):
        """Take note of a sign of life without progress: it prolongs the wait, but not for ever."""
        self._until = None

    def readable(self):
        return True

    def readinto(self, buffer):
        if self.before_wait is not None:
            self.before_wait()
        now = time.monotonic()
        if self._latest is None:
            self._latest = now + LIFE_FACTOR * self.silence_s
        if self._until is None:
            self._until = min(now + self.silence_s, self._latest)
        self.sock.settimeout(_patience(self.silence_s, min(self._until, self.deadline)))
        return self.sock.recv_into(buffer)

    def sendall(self, data):
        self.sock.settimeout(_patience(self.silence_s, self.deadline))
        self.sock.sendall(data)
        self.progress()

    def makefile(self, mode, buffering=None):
        return io.BufferedReader(self, 65536)

    def close(self):
        """Do nothing: http.client closes what it has read; the Exchange owns the socket."""


def _patience(silence_s, deadline):
    """Return the seconds to wait now. Raises socket.timeout when the deadline has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        import socket
        raise socket.timeout("deadline")
    return min(silence_s, left)


class Exchange(object):
    """One HTTP request and the answer to it, on a connection of its own; `with` closes it.

    Never follows a redirect, never waits past its Route, and raises ServerError
    (or ConfigError for an unusable CA file) whatever the other side does.
    `phase` is a code of PHASES, `limit` the most bytes of a body, `seconds` holds when it
    was connected and when the answer began. `before_wait` is called before each wait; what
    it raises goes up as it is.
    """

    def __init__(self, method, url, headers, body, route, before_wait=None):
        import http.client
        self.url, self.route, self.sock, self._before_wait = url, route, None, before_wait
        self.target = split_url(url)
        self.proxy = proxy_for(self.target, route.env)
        self._to_proxy = proxy_headers(self.target, route.env)
        self.secrets = []
        for value in itertools.chain(headers.values(), self._to_proxy.values()):
            if isinstance(value, Secret):
                self.secrets += spellings(value)
        self.phase, self.limit, self.seconds = "resolve", STREAM_LIMIT, {}
        self._started, self._deadline = time.monotonic(), math.inf
        if route.total_s is not None:
            self._deadline = self._started + route.total_s
        try:
            self._host = _ascii_host(self.target.host)
            self._wire = self._connect()
            self.seconds["connect"] = self.elapsed()
            connection = http.client.HTTPConnection(self._host, self.target.port)
            connection.sock = self._wire
            self.phase = "send"
            if self.target.scheme == "http":
                headers = dict(headers, **self._to_proxy)
            connection.request(method, self._request_target(), body, _all_headers(headers, body))
            self.phase = "wait"
            self.response = connection.getresponse()
            self.seconds["headers"] = self.elapsed()
            self.progress()
        except BaseException as error:
            self.close()
            raise self._error(error)
        self.status, self.reason = self.response.status, self.redact(self.response.reason)
        self.headers = http.client.HTTPMessage()
        for name, value in self.response.headers.items():
            self.headers[name] = self.redact(value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the connection; a server that was still generating stops."""
        if self.sock is not None:
            self.sock.close()

    def redact(self, text):
        """Return a text of the server with every secret that was sent to it hidden."""
        return redact(text, self.secrets)

    def elapsed(self):
        """Return the seconds since the exchange began."""
        return time.monotonic() - self._started

    def progress(self):
        """Take note that a useful piece of the answer has come: the next may take as long again."""
        self.phase = "read"
        self._wire.progress()

    def keep_alive(self):
        """Take note of a comment or a line end: the server lives, but the answer has not got on."""
        self.phase = "comments"
        self._wire.keep_alive()

    def _connect(self):
        """Return the _Wire to the server, through the proxy and TLS where they are asked for."""
        import socket
        via = self.target
        if self.proxy:
            via = split_url(self.proxy)
        addresses = _addresses(via.host, via.port, _patience(self.route.connect_s, self._deadline))
        self.phase = "connect"
        self.sock = _connect_first(addresses, self.route.connect_s, self._deadline)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.target.scheme == "https":
            if self.proxy:
                self._tunnel()
            self.phase = "tls"
            context = tls_context(self.route)
            self.sock.settimeout(_patience(self.route.connect_s, self._deadline))
            self.sock = context.wrap_socket(self.sock, server_hostname=self._host)
        return _Wire(self.sock, self.route.silence_s, self._deadline, self._before_wait)

    def _tunnel(self):
        """Ask the proxy for a tunnel to the server (RFC 9110, 9.3.6)."""
        import http.client
        self.phase = "proxy"
        wire = _Wire(self.sock, self.route.connect_s, self._deadline)
        place = "%s:%d" % (_bracketed(self._host), self.target.port)
        fields = [("Host", place)] + sorted(self._to_proxy.items())
        lines = ["CONNECT %s HTTP/1.1" % place] + ["%s: %s" % field for field in fields]
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        response = http.client.HTTPResponse(wire, method="CONNECT")
        response.begin()
        if response.status != 200:
            raise proxy_error(self.url, self.proxy, response.status)

    def _certificate_names(self):
        """Return the names that the server's trusted certificate is for; [] if unknown."""
        if self.proxy:
            return []
        try:
            context = tls_context(self.route)
            context.check_hostname = False
            with _opened(self.target, self.route.connect_s, context) as tls:
                return [name for _, name in tls.getpeercert().get("subjectAltName", ())]
        except OSError:
            return []

    def _request_target(self):
        from urllib.parse import quote
        path = quote(self.target.path or "/", safe="/%?=&+,;:@!$'()*~[]|")
        if self.proxy and self.target.scheme == "http":
            return "http://%s:%d%s" % (_bracketed(self._host), self.target.port, path)
        return path

    def chunks(self):
        """Yield the body's bytes as they come. Raises ServerError, past `limit` bytes too."""
        got, expected = 0, self.response.length      # read1 of older Pythons does not count down
        if expected is None or expected > sys.maxsize:
            expected = math.inf
        while got < expected:
            try:
                data = self.response.read1(min(65536, expected - got))
            except ValueError:                       # older Pythons, at a chunk of negative size
                raise self._broken("its chunks are damaged")
            except BaseException as error:
                raise self._error(error)
            if not data:
                break
            got += len(data)
            if got > self.limit:
                raise error_for("answer-too-large", url=self.url, limit=self.limit)
            yield data
        if got < expected < math.inf:
            raise self._broken("the answer ended after %d of %d bytes" % (got, expected))

    def reply(self, limit):
        """Return the whole answer as a Reply. Raises ServerError, past `limit` bytes too."""
        self.limit = limit
        body = _all_bytes(self.chunks())
        return Reply(self.status, self.reason, self.headers, body, self.proxy, self.secrets)

    def _broken(self, detail):
        return error_for("answer-broken", url=self.url, detail=detail)

    def _error(self, error):
        """Return the Error that a network exception means; anything else comes back as it is."""
        import http.client
        import socket
        facts = {"url": self.url, "host": self.target.host, "scheme": self.target.scheme}
        if isinstance(error, (socket.timeout, TimeoutError)):
            return timeout_error(self.url, self.phase, self.elapsed(), self.route.limit)
        if isinstance(error, (socket.gaierror, UnicodeError)):
            return error_for("dns", detail=getattr(error, "strerror", None) or str(error), **facts)
        if isinstance(error, ConnectionRefusedError):
            if self.proxy:
                return proxy_error(self.url, self.proxy)
            return error_for("connection-refused", port=self.target.port, **facts)
        ssl = sys.modules.get("ssl")                 # CertificateError of 3.6 is not an SSLError
        if ssl is not None and isinstance(error, (ssl.SSLError, ssl.CertificateError)):
            return tls_error(error, facts, self._certificate_names)
        if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
            return self._broken("the connection was closed " + PHASES[self.phase])
        if isinstance(error, http.client.BadStatusLine):
            if self.target.scheme == "http" and "\x15\x03" in error.line:       # a TLS alert
                return error_for("scheme-mismatch", right="https" + self.url[4:], **facts)
            return error_for("not-openai", detail="what answers there does not speak HTTP", **facts)
        if isinstance(error, http.client.HTTPException):
            return self._broken("it is not valid HTTP: " + excerpt(self.redact(str(error)), 80))
        if isinstance(error, OSError):
            return error_for("unreachable", detail=error.strerror or str(error), **facts)
        return error


def _all_bytes(chunks):
    body = bytearray()                               # a list of chunks takes many times their size
    for data in chunks:
        body += data
    return bytes(body)


def _ascii_host(host):
    """Return a host name as DNS, proxies and headers spell it (IDNA). Raises UnicodeError."""
    try:
        host.encode("ascii")
        return host
    except UnicodeEncodeError:
        return host.encode("idna").decode("ascii")


def _all_headers(headers, body):
    """Return the headers to send: the given ones above plain defaults, which attribute nothing."""
    merged = {"Accept": "application/json, text/event-stream", "Accept-Encoding": "identity",
              "Connection": "close", "User-Agent": "python"}
    if body is not None:
        merged["Content-Type"] = "application/json"
    for name, value in headers.items():
        set_header(merged, name, value)
    return merged


def _addresses(host, port, patience_s):
    """Return what getaddrinfo says of a host; in a thread, as the resolver knows no deadline."""
    import socket
    import threading
    outcome = []

    def look_up():
        try:
            outcome.append(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except Exception as error:                   # carried over to the thread that asked
            outcome.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(patience_s)
    if not outcome:
        raise socket.timeout("the resolver")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _connect_first(addresses, connect_s, deadline=math.inf):
    """Return a socket connected to the first address that takes it; each has its share of time."""
    import socket
    until = min(deadline, time.monotonic() + connect_s)
    failure = None
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        share = (until - time.monotonic()) / (len(addresses) - position)
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.05, share))
            sock.connect(address)
            return sock
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            if failure is None or isinstance(failure, ConnectionRefusedError):
                failure = error                      # silence says more than a refusal
    raise failure


def _opened(target, patience_s, context=None):
    """Return a socket connected to a host, in TLS with a context. Raises OSError."""
    addresses = _addresses(target.host, target.port, patience_s)
    sock = _connect_first(addresses, patience_s)
    sock.settimeout(patience_s)
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname=target.host)
    return sock


def tls_context(route):
    """Return the ssl context of a Route: its CA file, else SSL_CERT_FILE, else the system's."""
    try:
        import ssl
    except ImportError:
        raise ServerError("this Python has no ssl module, so it cannot speak https",
                          "use a Python with ssl, or an http base URL", "tls-failed")
    path = route.ca_file or env_setting(route.env.get("SSL_CERT_FILE"))
    problem = "it is missing, a directory or a FIFO"     # to open a FIFO would wait for ever
    try:
        if path is None or os.path.isfile(path):
            return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:           # ssl.SSLError is an OSError
        problem = getattr(error, "strerror", None) or error
        key_log = os.environ.get("SSLKEYLOGFILE")    # which ssl itself opens
        if key_log and getattr(error, "filename", None) == key_log:
            raise ConfigError("SSLKEYLOGFILE=%s cannot be opened: %s" % (key_log, problem),
                              "unset SSLKEYLOGFILE, or name a file that can be written")
    raise ConfigError("the CA file %s cannot be used: %s" % (path, problem),
                      "give a PEM file with --ca-file", "tls-untrusted")


def answers_at(host, port, patience_s):
    """Tell whether something accepts a connection at an address; it is closed at once."""
    try:
        _connect_first(_addresses(host, port, patience_s), patience_s).close()
        return True
    except OSError:
        return False


def port_is_bound(target, patience_s):
    """Tell whether a port of this host is taken though nothing listens: vLLM binds before it loads.

    A bind without SO_REUSEADDR finds out and is undone at once; the addresses
    of other hosts cannot be bound and so say no. What a connection just closed
    leaves behind (TIME_WAIT) takes its own address only, a server mostly all.
    """
    import socket
    addresses = _addresses(target.host, target.port, patience_s)
    if _lingers(target.port):
        addresses = socket.getaddrinfo("127.0.0.2", target.port, 0, socket.SOCK_STREAM)
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as sock:
                sock.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def _lingers(port):
    """Tell whether a closed connection keeps a port of this host (TIME_WAIT, for a minute)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):        # where there is none, nothing is known
        try:
            with open(table) as lines:
                if any(re.match(r"\s*\d+: [0-9A-F]+:%04X \S+ 06 " % port, line) for line in lines):
                    return True
        except OSError:
            pass
    return False


def greeting(target, patience_s):
    """Return what a server says before it is asked: nothing, where it speaks HTTP."""
    try:
        with _opened(target, patience_s) as sock:
            return sock.recv(64)
    except OSError:
        return b""


def peer_certificate(target, patience_s):
    """Return the certificate (DER) of a TLS server, unverified; b"" if it shows none."""
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _opened(target, patience_s, context) as tls:
            return tls.getpeercert(True) or b""
    except OSError:
        return b""


# ----------------------------------------------------------------------------
# What a server's answer means
# ----------------------------------------------------------------------------
# Turns statuses, bodies and exceptions into errors. Opens no connection; only `_not_found` asks
# for the model list, to tell a missing model from a missing endpoint. The wording of servers is
# matched as vLLM 0.3 to 0.33 writes it.

def model_rows(url, reply, credential):
    """Return the usable rows in the Reply of a /models URL. Raises ServerError or KeyRefused.

    As in OpenClaw any 2xx status will do, an error beside the rows, too, but not NaN.
    """
    if not 200 <= reply.status < 300:
        raise http_error(url, reply, credential)
    try:
        text = reply.body.decode("utf-8-sig")
        payload = loads_untrusted(text)
        if re.search("NaN|Infinity", text):
            json.loads(text, parse_int=json_number, parse_constant=_refuse_constant)
        if is_error_payload(payload) and not isinstance(payload.get("data"), list):
            raise http_error(url, reply, credential)
        return parse_model_list(payload)
    except UnicodeDecodeError:
        detail = "it is not UTF-8"
    except json.JSONDecodeError:
        detail = what_it_is(reply.body) or "it is not JSON"
    except ValueError as error:
        detail = str(error)
    raise error_for("not-openai", url=url, detail=detail, **layer_facts(reply.headers, reply.body))


def _refuse_constant(name):
    raise ValueError("it holds %s, which is not JSON" % name)


def is_error_payload(payload):
    """Tell whether an object is an error in place of an answer; some releases send it with 200."""
    if not isinstance(payload, dict):
        return False
    return bool(payload.get("error")) or payload.get("object") == "error"


def what_it_is(body):
    """Return words for a body that cannot be JSON, or None."""
    if not body.strip():
        return "it is empty"
    return "it is an HTML page" if body.lstrip()[:1] == b"<" else None


def offers_chat(openapi):
    """Tell from the value of /openapi.json whether there are chat completions; None: not known."""
    paths = _get(openapi, "paths")
    if not isinstance(paths, dict) or "/v1/models" not in paths:
        return None
    return any("/chat/completions" in path for path in paths)


# What an error body says

def error_message(text):
    """Return (message, parameter it is about or "") of an error body, in each shape vLLM has used.

    {"error": {"message", "param"}}, {"error": "…"}, {"object": "error", "message", "param"},
    {"detail": …}; of an HTML page the title, else the text.
    """
    try:
        payload = loads_untrusted(text)
    except ValueError:
        return _page_words(text[:10000]), ""         # unclosed tags cost their number squared
    param = _get(payload, "error", "param") or _get(payload, "param") or ""
    for path in (("error", "message"), ("error",), ("message",), ("detail",)):
        value = _get(payload, *path)
        if value:
            return value if isinstance(value, str) else json.dumps(value), str(param)
    return text, ""


def _page_words(text):
    title = re.search(r"(?i)<title[^>]*>([^<]+)", text)
    if title:
        return title.group(1)
    return re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", text)


def reply_words(reply):
    """Return (message, the message in one line, parameter it is about) of an error body.

    Secrets that were sent are hidden here and not only where it is printed: a text that is
    cut may end inside a key.
    """
    texts = error_message(reply.body[:100000].decode("utf-8", "replace"))
    message, param = [redact(text, reply.secrets) for text in texts]
    return message, excerpt(message), param


def _reply_facts(url, reply):
    """Return what is told of every refused request: its status, its words, and what answered."""
    words = re.sub("^%d " % reply.status, "", reply_words(reply)[1])    # as in the title of a page
    if words:
        words = ": " + words
    elif reply.reason:
        words = " " + excerpt(reply.reason, 60)
    return dict(layer_facts(reply.headers, reply.body), url=url, status=reply.status, words=words)


_LAYERS = (r"(?im)^(?:Server|Via): (?!uvicorn$)(.+)|^x-(litellm)|"
           r"<.*\b(nginx|openresty|haproxy|envoy|caddy|apache|cloudflare)|^(no available server)$")


def layer_facts(headers, body=b""):
    """Return what answered when it is not vLLM itself: `layer`, a name or "", and `answered_by`."""
    texts = ["%s: %s" % field for field in headers.items()]
    page = body[:10000].decode("utf-8", "replace").strip()
    if not page.startswith("{"):                     # JSON may echo a request
        texts.append(page)
    named = re.search(_LAYERS, "\n".join(texts))
    if not named:
        return {"layer": "", "answered_by": ""}
    layer = excerpt(named.group(named.lastindex), 80)
    return {"layer": layer, "answered_by": " (answered by %s)" % layer}


# Statuses

_BUSY = "it is busy: try again later"
_DOWN = "what is behind it is down, or not at the address it has: start vLLM, or read its log"
_SLOW = "the answer took longer than it waits; in nginx: proxy_read_timeout 600s;"
# What a status of the layers before vLLM means, and the knob that turns it; 52x is Cloudflare's.
_GATEWAY = {
    413: "send less, or let larger requests through; in nginx: client_max_body_size 64m;",
    429: _BUSY, 502: _DOWN, 504: _SLOW, 521: _DOWN, 522: _DOWN, 523: _DOWN, 524: _SLOW,
    503: "it is busy, or what is behind it is down: try again later, then read their logs",
}
_URL = "check the base URL: for vLLM it ends in /v1"
_LOG = "look at the server's log"
_OTHER_FIXES = {404: _URL, 405: _URL}
_ENGINE_DEAD = ("EngineCore|EngineDead|"
                r"(?:Engine (?:loop|process)|Background loop)\b.{0,40} (?:is not|has|died)")


def http_error(url, reply, credential):
    """Return the error that a status other than 2xx means, whatever was asked for."""
    status = reply.status
    facts = _reply_facts(url, reply)
    forwarded = reply.proxy and split_url(url).scheme == "http"     # https is only tunnelled
    if forwarded and status in (403, 407, 502, 503, 504):
        return proxy_error(url, reply.proxy, status)
    if status in (401, 403):
        return _key_error(reply, credential, facts)
    if 300 <= status < 400:
        location = excerpt(reply.headers.get("Location") or "nowhere", 200)
        right = _redirect_base(url, location)
        return error_for("redirect", location=location, right=right, **facts)
    if re.search(b"HTTP request (?:was sent )?to (?:an )?HTTPS|plain HTTP to an SSL", reply.body):
        return error_for("scheme-mismatch", scheme="http", right="https" + url[4:], **facts)
    if status >= 500 and re.search(_ENGINE_DEAD, facts["words"]):
        return error_for("engine-dead", **facts)
    if status not in _GATEWAY:
        return error_for("http-error", fix=_OTHER_FIXES.get(status, _LOG), **facts)
    fix, wait = _GATEWAY[status], reply.headers.get("Retry-After")
    if wait:
        fix += " (Retry-After: %s)" % excerpt(wait, 40)
    return error_for("gateway", fix=fix, **facts)


def proxy_error(url, proxy, status=None):
    """Return the error for the environment's proxy: it refuses connections, or gave a status."""
    detail, advice = "it refuses connections", ""
    if status:
        detail = "it answers HTTP %d in place of the server" % status
    if status == 407:
        advice = "put its user and password into its URL (http://USER:PASSWORD@HOST:PORT), or "
    import shlex
    command = "export NO_PROXY=" + shlex.quote(split_url(url).host)
    return error_for("proxy-captured", command, url=url, proxy=proxy, way="stands in the way",
                     detail=detail, advice=advice)


def _key_error(reply, credential, facts):
    """Return the error for 401 or 403: of vLLM, which wants its key, or of a layer before it."""
    challenge = excerpt(reply.headers.get("WWW-Authenticate") or "", 80)
    if challenge and challenge.lower() != "bearer":  # vLLM sends none; a realm is another's
        return error_for("gateway-auth", challenge=challenge, **facts)
    if credential is None:
        return error_for("no-key", **facts)
    return error_for("bad-key", source=credential.source,
                     suspect=key_suspicion(credential.key), **facts)


_SUSPICIONS = (
    (r"(?i)bearer\s", "it begins with \"Bearer \", which is added on its own"),
    (r"""(['"]).*\1$""", "it is in quotes"),
    (r".*\$\{|\$[A-Z_]", "it holds an unexpanded ${…}"),
    (r".* ", "it holds a space"),
)


def key_suspicion(key):
    """Return words for what looks wrong about a key (never the key), or ""."""
    return next(("; " + words for looks, words in _SUSPICIONS if re.match(looks, key)), "")


def _redirect_base(url, location):
    """Return the base URL a redirect means: the place it points to without the endpoint."""
    from urllib.parse import urljoin
    try:
        target = urljoin(url, location).split("?")[0].rstrip("/")
    except ValueError:
        target = ""
    found = re.match("(https?://.*)/(?:chat/completions|models)$", target)
    if found:
        return found.group(1)
    return "the address the server names, unless that is a page to log in"


# Refused completions

# The switch of a model's compat that keeps a field from being sent.
_COMPAT_SWITCHES = {
    "stream_options": ("supportsUsageInStreaming", False),
    "max_completion_tokens": ("maxTokensField", "max_tokens"),
    "strict": ("supportsStrictMode", False),
    "store": ("supportsStore", False),
    "prompt_cache_key": ("supportsPromptCacheKey", False),
    "reasoning_effort": ("supportsReasoningEffort", False),
    "tools": ("supportsTools", False),
    "tool_choice": ("supportsTools", False),
}
# What the words of a refusal mean. A validation error, which may echo the request, is told by
# its structure before these are tried.
_REFUSALS = (
    ("tools-disabled", "--enable-auto-tool-choice|--tool-call-parser"),
    ("no-chat-template", "chat template is no longer allowed|chat_template is not set"),
    ("not-a-chat-model", "does not support (?:the )?Chat Completions"),
    ("context-exceeded",
     "context length (?:is|of)|maximum context|max_model_len|at least 1, got -|"
     "longer than the maximum model length"),
    ("field-refused", "is not a multimodal model|At most 0 |does not support image"),
)
_NO_MODEL = r"(?i)\bmodel\b.{0,200} (?:does not exist|not found)|invalid model name"
_VALUE_FIX = "correct it where it is set: an option, the body, or params in openclaw.json"


def completion_error(url, reply, provider, model):
    """Return the error that a refused completion means, the server's own words kept."""
    status = reply.status
    message, _, param = reply_words(reply)
    facts = dict(_reply_facts(url, reply), model=model.id)
    if status == 404:
        return _not_found(url, reply, provider, model, facts)
    died = status >= 500 and re.search(_ENGINE_DEAD, message)
    if died or status not in (400, 422, 500, 501):   # the status says it all
        return http_error(url, reply, provider.request_key)
    if "'loc': " in message:
        return _validation_error(message, facts)
    if re.search(_NO_MODEL, message):
        return _not_found(url, reply, provider, model, facts)
    for cause, words in _REFUSALS:
        if re.search(words, message):
            return error_for(cause, **dict(facts, **_refusal_facts(cause, url, model, message)))
    named = re.match(r"`?(\w+)`? must ", message)
    return _field_refused(param or named and named.group(1), facts)


def _refusal_facts(cause, url, model, message):
    if cause == "tools-disabled":
        return parser_facts(url, model, TOOL_PARSER)
    if cause == "context-exceeded":
        return _told_context(model, message)
    if cause == "field-refused":
        return {"field": "the image", "fix": "leave it out, or ask a model that takes images"}
    return {}


def _validation_error(message, facts):
    """Return the error for a field that the server does not know, or whose value it refuses.

    `loc` is a tuple as Python writes it, from 0.32 a path: ('body', 'tools', 0), 'body.tools.0'.
    What pydantic adds of its own, such as the names of its types, is left out.
    """
    place = re.search("'loc': (.{0,500}?), 'msg'", message)
    parts = re.findall("[^'.,() ]+", place.group(1)) if place else []
    path = [part for part in parts if re.match(r"[a-z_0-9]+$", part) and part != "body"]
    if not path or "Extra inputs are not permitted" not in message:
        return _field_refused(".".join(path), facts)
    name = excerpt(path[-1], 100)
    switch = _COMPAT_SWITCHES.get(name)
    fix = "leave the field out: this vLLM does not know it"
    if switch:
        setting, value = switch
        fix = "set compat.%s to %s for this model in openclaw.json" % (setting, json.dumps(value))
    return error_for("unknown-field-rejected", field=name, switch=switch, fix=fix, **facts)


def _field_refused(field, facts):
    if not field:
        return error_for("chat-failed", **facts)
    return error_for("field-refused", field=excerpt(field, 100), fix=_VALUE_FIX, **facts)


def _not_found(url, reply, provider, model, facts):
    """Return the error for a missing model, or for an endpoint that is not there."""
    try:
        served = [row["id"] for row in fetch_model_rows(provider)]
    except Error:
        served = []                                  # the server's words are enough
    if re.search(_NO_MODEL, reply_words(reply)[0]):
        return model_not_served(url, model.id, served, facts["words"])
    page = reply.body.lstrip()[:1] == b"<"           # of a layer before it
    if model.id in served and url.startswith(provider.base_url) and not page:
        return error_for("not-a-chat-model", **facts)
    return http_error(url, reply, provider.request_key)


def model_not_served(url, model_id, served, words=""):
    """Return the error for a model the server does not have, with the nearest it has."""
    near = nearest(model_id.split("/", 1)[-1], served) or nearest(model_id, served)
    short = [other for other in served if len(other) <= 100]     # half a key could not be redacted
    fix = "the server has: " + (", ".join(short[:8]) or "none")
    if near:
        fix = "did you mean --model %s ?" % near
    return error_for("model-not-served", url=url, model=model_id, words=words, fix=fix)


def _told_context(model, message):
    """Return the facts of context-exceeded that vLLM's words give."""
    limit = _number("(?:context length (?:is|is only|of)|model_len ?=|model length of) ?#", message)
    prompt = _number(r"(?:contains|has|passed) # input tokens|prompt \(length #|# in the messages",
                     message)
    alone = re.search("even without any output|characters|got -", message)
    return context_facts(model.id, limit, prompt, bool(alone))


def _number(pattern, text):
    """Return the number that stands for # in a text that has the pattern, or None."""
    found = re.search(pattern.replace("#", r"(\d{1,15})\b"), text)
    return int(found.group(found.lastindex)) if found else None


def context_facts(model_id, limit=None, prompt_tokens=None, alone=False):
    """Return the facts `problem` and `fix` of context-exceeded, with both numbers where known.

    `alone`: the prompt is too long whatever the answer, as it is when it has `limit` tokens.
    """
    place = "the context of %s" % model_id
    if limit:
        place += ", %d tokens" % limit
    prompt = "the prompt"
    if prompt_tokens:
        prompt += " of %d tokens" % prompt_tokens
    if alone or limit and prompt_tokens and prompt_tokens >= limit:
        return {"problem": "%s does not fit %s" % (prompt, place),
                "fix": "shorten the prompt, or start vLLM with a larger --max-model-len"}
    lower = "lower --max-tokens"
    if limit and prompt_tokens:
        lower += " to %d" % (limit - prompt_tokens)
    return {"problem": "%s and its answer do not fit %s" % (prompt, place),
            "fix": lower + ", or shorten the prompt"}


def _error_inside(exchange, data, payload, provider, model):
    """Return the error for an error object that came with HTTP 200, whole or within a stream."""
    code = _get(payload, "error", "code") or _get(payload, "code")
    status = code if isinstance(code, int) else 500
    reply = Reply(status, "", exchange.headers, data, exchange.proxy, exchange.secrets)
    error = completion_error(exchange.url, reply, provider, model)
    if error.cause in ("chat-failed", "http-error"):
        detail = "the server says: " + reply_words(reply)[1]
        return error_for("stream-broken", url=exchange.url, detail=detail)
    return error


# Commands and parsers of vLLM

PARSER_PAGE = "https://docs.vllm.ai/en/latest/features/tool_calling/"
REASONING_PAGE = "https://docs.vllm.ai/en/latest/features/reasoning_outputs/"
# Families: a pattern of the name, its tool parser and its reasoning parser, the first match
# counts; from vLLM's pages, its recipes and its registries, - where they name none. Names are
# matched in lower case with - for _, whole: qwen3 is not in qwen3.5, nor in qwen30b. A family
# that is not here has no parser: a wrong one is worse than none.
_FAMILIES = r"""
(nous-|open)hermes|dolphin|zephyr|tulu|llama-guard|llama.*nemotron   -               -
xlam                                                                 xlam            -
toolace                                                              pythonic        -
hermes-(2-(pro|theta)|[34](\.\d)?)                                   hermes          -
deepseek-r1.*(distill|qwen|llama).*                                  -               deepseek_r1
deepseek-r1                                                          deepseek_v3     deepseek_r1
deepseek-v4[.-]1                                                     deepseek_v41    deepseek_v41
deepseek-v4                                                          deepseek_v4     deepseek_v4
deepseek-v3[.-]2-speciale                                            -               deepseek_v3
deepseek-v3[.-]2                                                     deepseek_v32    deepseek_v3
deepseek-v3[.-]1                                                     deepseek_v31    deepseek_v3
deepseek-v3                                                          deepseek_v3     -
qwen-?3-?(guard|asr|tts|omni|embedding|reranker)                     -               -
qwen-?3[.p-]?[5-9]|intern-s2                                         qwen3_coder     qwen3
qwen-?3-?coder                                                       qwen3_xml       -
qwen-?3(?![\d.]).*instruct                                           hermes          -
qwen-?3                                                              hermes          qwen3
qwq                                                                  hermes          deepseek_r1
qwen-?2[.p-]?5                                                       hermes          -
(diffusion)?gemma-?4                                                 gemma4          gemma4
functiongemma                                                        functiongemma   -
gpt-?oss                                                             openai          openai_gptoss
llama-?4                                                             llama4_pythonic -
llama-?3[.p-]?[123]                                                  llama3_json     -
mistral-7b.*v0[.-][12]|mixtral-8x7b|codestral|voxtral.*(tts|realtime) -               -
magistral|ministral-3.*reasoning|mistral-(small-4|medium-3\.5)       mistral         mistral
(mistral|ministral|mixtral|devstral|pixtral|voxtral)(?!ai)           mistral         -
glm-?(4[.-]?[789]|5(\.\d)?)                                          glm47           glm45
glm-?4[.-]?[56]v?                                                    glm45           glm45
kimi-?k3                                                             kimi_k3         kimi_k3
kimi-?k2([.-][5-9]|.*thinking)                                       kimi_k2         kimi_k2
kimi-?k2                                                             kimi_k2         -
minimax-?m3                                                          minimax_m3      minimax_m3
minimax-?m2([.-]\d)?                                                 minimax_m2      minimax_m2
nemotron-?3(\.\d)?                                                   qwen3_coder     nemotron_v3
granite-?4(\.\d)?                                                    granite4        -
granite-?3\.2                                                        granite         granite
granite-?3(\.\d)?                                                    granite         -
granite-20b-functioncalling                                          granite-20b-fc  -
step-?3[.p][5-9]                                                     step3p5         step3p5
step-?3                                                              step3           step3
seed-oss                                                             seed_oss        seed_oss
ernie-?4[.-]5.*thinking                                              ernie45         ernie45
ernie-?4[.-]5-vl                                                     -               ernie45
hunyuan-a13b                                                         hunyuan_a13b    hunyuan_a13b
hy-?4                                                                hy_v4           hy_v4
hy-?3                                                                hy_v3           hy_v3
olmo-?3.*think                                                       olmo3           olmo3
olmo-?3(\.\d)?                                                       olmo3           -
lfm-?2.*vl                                                           -               -
lfm-?2([.-]5-8b|.*thinking)                                          lfm2            qwen3
lfm-?2(\.\d)?                                                        lfm2            -
mimo-v2[.-]5                                                         mimo            mimo
mimo-v2-flash                                                        qwen3_xml       qwen3
command-a-plus                                                       cohere_command4 cohere_command4
command-a-reasoning                                                  cohere_command3 cohere_command3
internlm-?2[.-]5                                                     internlm        -
intern-s1                                                            internlm        deepseek_r1
jamba-.*1[.-][5-9]                                                   jamba           -
phi-?4-mini-instruct                                                 phi4_mini_json  -
longcat-flash                                                        longcat         -
gigachat-?3                                                          gigachat3       -
apertus                                                              apertus         -
solar-open-?2                                                        solar_open2     solar_open2
holo-?2                                                              -               holo2
ling-?3(\.\d)?                                                       ling3           ling3
inkling                                                              inkling         inkling
laguna                                                               poolside_v1     poolside_v1
muse-glimmer                                                         muse_glimmer    muse_glimmer
minicpm-?5                                                           minicpm5        -
minicpm-v-4[.-]6                                                     qwen3_coder     -
dots-?3                                                              dots            qwen3
trinity-large-thinking                                               qwen3_coder     deepseek_r1
mellum-?2.*thinking                                                  hermes          qwen3
mellum-?2                                                            hermes          -
"""


def tool_call_parser(model_id, root=None):
    """Return the --tool-call-parser of a model's family, or None: see PARSER_PAGE.

    `root` is what vLLM was started with, a path as well as an id; it tells more than `model_id`,
    which can be any name.
    """
    return _family(model_id, root)[0]


def reasoning_parser(model_id, root=None):
    """Return the --reasoning-parser of a model's family, or None: see REASONING_PAGE."""
    return _family(model_id, root)[1]


def _family(model_id, root):
    for text in (root or "", model_id):
        for name in reversed(re.split("/|--", text.lower().replace("_", "-"))):
            for row in _FAMILIES.strip().split("\n"):
                pattern, tool, reasoning = row.split()
                if re.search(r"(?<![a-z0-9])(?:%s)(?![\db]|\.\d)" % pattern, name):
                    return tool.strip("-") or None, reasoning.strip("-") or None
    return None, None


# The options of vLLM that name a parser, what knows the parser, and vLLM's page about it.
TOOL_PARSER = ("--enable-auto-tool-choice --tool-call-parser", tool_call_parser, PARSER_PAGE)
REASONING_PARSER = ("--reasoning-parser", reasoning_parser, REASONING_PAGE)


def parser_facts(url, model, kind):
    """Return the facts `fix` and `command` that start vLLM with a Model's parser.

    `kind` is TOOL_PARSER or REASONING_PARSER. For an unknown family the fix names vLLM's page.
    """
    options, parser_of, page = kind
    parser = parser_of(model.id, model.root)
    fix = "start vLLM with %s " % options
    if not parser:
        return {"fix": fix + "and the parser of the model's family, if it has one: " + page}
    command = "%s %s %s" % (serve_command(url, model), options, parser)
    return {"fix": fix + parser, "command": command}


def serve_command(url, model):
    """Return the shell command that starts vLLM with a Model as it is served at `url`."""
    import shlex
    words = ["vllm", "serve", model.root or model.id]
    if words[-1] != model.id:
        words += ["--served-model-name", model.id]
    target = split_url(url)
    if is_loopback(target.host):
        words += ["--port", str(target.port)]
    return " ".join(map(shlex.quote, words))


# The way to the server

def limit_words(provider, timeout_s):
    """Return the name of the setting that bounds a completion's silence, "" for the default."""
    if timeout_s:
        return "--timeout"
    return "models.providers.%s.timeoutSeconds" % provider.id if provider.timeout_s else ""


def timeout_error(url, phase, seconds, limit=""):
    """Return the error for a server that kept silent in a phase of the exchange, a code of PHASES.

    `limit` names the setting that ended the wait; "" is a default.
    """
    facts = {"url": url, "phase": phase, "when": PHASES[phase], "seconds": round(seconds, 1)}
    if phase in ("resolve", "connect", "proxy", "tls"):      # these have a limit of their own
        fix = "check the address and the way to it: name servers, proxy, firewall"
        return error_for("timeout", fix=fix, **facts)
    reason = _LOG
    if phase in ("wait", "first"):
        reason = "a queue or a long prompt is the usual reason"
    return error_for("timeout", limit=" (limit: %s)" % (limit or "the default"),
                     fix="%s; to wait longer, raise %s" % (reason, limit or "--timeout"), **facts)


def tls_error(error, facts, names):
    """Return the error that an exception of TLS means; `names()` gives those of the certificate."""
    text = str(error)
    cause, detail = "tls-failed", getattr(error, "reason", None) or text
    if re.search("doesn't match|[Mm]ismatch", text):
        cause, detail = "tls-wrong-host", "it is for " + (", ".join(names()[:8]) or "another")
    elif "CERTIFICATE_VERIFY_FAILED" in text:
        cause, detail = "tls-untrusted", getattr(error, "verify_message", None) or text
    elif re.search("WRONG_VERSION|UNKNOWN_PROTOCOL|RECORD_LAYER|HTTP_REQUEST|PACKET_LENGTH", text):
        cause, facts["right"] = "scheme-mismatch", "http" + facts["url"][5:]
    found = error_for(cause, detail=detail, **facts)
    if getattr(error, "verify_code", None) in (9, 10):       # not yet valid, expired
        found.hint = "have it renewed, or set the clock of this host"
    return found


_DATE = "[\x17\x18][\r\x0f]([0-9]{2})?([0-9]{2})([0-9]{2})([0-9]{2})[0-9]{6}Z"


def describe_certificate(der):
    """Return words for issuer and dates of a DER certificate (RFC 5280, 4.1), as far as found."""
    text = der.decode("latin-1")
    dates = list(re.finditer(_DATE, text))[:2]
    if len(dates) < 2:
        return ""
    days = ["%s%s-%s-%s" % found.groups("20") for found in dates]
    issuer = ""                                      # its CN or O, before the dates
    for found in re.finditer("U\x04[\x03\n][\x0c\x13\x14](.)", text[:dates[0].start()], re.S):
        issuer = "issued by %s, " % text[found.end():found.end() + ord(found.group(1))]
    return " (%svalid from %s)" % (issuer, " to ".join(days))


# Answers without content

def empty_answer(model, answer):
    """Return the error that words an answer without content."""
    no_thinking = "--param 'chat_template_kwargs={\"enable_thinking\": false}'"
    if model.compat.get("thinkingFormat"):
        no_thinking = "--thinking off"
    if answer.reasoning and answer.finish_reason == "length":
        detail = "its budget of tokens was used up by reasoning"
        fix = "raise --max-tokens, or pass " + no_thinking
    elif answer.finish_reason == "length":
        detail = "its budget of tokens was used up before any text came"
        fix = "raise --max-tokens"
    elif answer.reasoning:
        detail = "all its text is in the reasoning field"
        fix = ("pass %s; a model that does not reason needs no --reasoning-parser on the server"
               % no_thinking)
    else:
        detail, fix = finish_words(answer), "try again, or another prompt"
    return error_for("empty-answer", model=model.key, detail=detail, fix=fix)


def finish_words(answer):
    """Return words for an Answer's finish reason; a long one is not cut: it may hold the key."""
    reason = answer.finish_reason or "none"
    return "finish reason " + (reason if len(reason) <= 40 else "unknown")


# ----------------------------------------------------------------------------
# Client: models and completions of a server
# ----------------------------------------------------------------------------

def discover_models(provider, timeout_s=None):
    """Ask the server for its models: GET {base_url}/models -> [Model], in the server's order.

    Raises ServerError, KeyRefused, or the provider's refusal; NothingToShow for an empty list.
    """
    rows = fetch_model_rows(provider, timeout_s)
    if not rows:
        raise error_for("no-models", where=provider.base_url, problem="the server offers no models",
                        fix="start vLLM with a model: vllm serve MODEL")
    return discovered_models(rows, provider)


def list_models(provider, timeout_s=None):
    """Return the Models OpenClaw would offer for a provider, sorted by key.

    Asks the server only where OpenClaw would. Raises as `discover_models` does,
    and NothingToShow when nothing is declared and nothing is to be asked.
    """
    if provider.refusal is not None:
        raise provider.refusal
    models = declared_models(provider)
    if provider.asks_server:
        models = merge_models(models, discover_models(provider, timeout_s), provider)
    if not models:
        raise _nothing_declared(provider)
    return sorted(models, key=lambda model: (model.key.lower(), model.key))


def _nothing_declared(provider):
    """Return the error for a provider without rows whose server is not to be asked."""
    wildcard = "agents: { defaults: { models: { \"%s/*\": {} } } }" % provider.id
    reason = "models.providers.%s declares no models" % provider.id
    if provider.plugin_off:
        reason += " and " + provider.plugin_off
    elif not provider.explicit:
        reason = "models.mode is \"replace\" and no models are declared"
    return error_for("no-models", where=provider.file or "the config",
                     problem=reason + ", so OpenClaw lists none and asks no server",
                     fix="declare them (%s config --write), or let the server be asked: %s"
                         % (TOOL, wildcard))


def list_everywhere(providers, timeout_s=None):
    """Ask many servers at once: return [(Provider, [Model], Error or None)] in their order.

    A dead server costs its own rows only (declared ones stay, as in OpenClaw),
    and all dead ones together about `timeout_s`.
    """
    def ask(provider):
        try:
            return provider, list_models(provider, timeout_s), None
        except Error as error:
            declared = [] if provider.refusal else declared_models(provider)
            return provider, declared, error

    return in_parallel(ask, [(provider,) for provider in providers])


def in_parallel(function, calls):
    """Return [function(*call) for call in calls], all at once.

    In at most 256 threads. They are daemons, so that Ctrl-C ends the program although some hang.
    Raises what the call that failed first raised.
    """
    import threading
    values, errors = [None] * len(calls), []

    def work(first):
        for number in range(first, len(calls), _MOST_THREADS):
            try:
                values[number] = function(*calls[number])
            except BaseException as error:           # carried over to the thread that asked
                errors.append(error)

    threads = []
    for first in range(min(len(calls), _MOST_THREADS)):
        threads.append(threading.Thread(target=work, args=(first,), daemon=True))
        threads[-1].start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)                         # for ever would hold Ctrl-C up on Windows
    for error in errors:
        raise error
    return values


_MOST_THREADS = 256


def find_model(provider, reference=None, timeout_s=None, thinking=None):
    """Return the Model a reference means; a declared one without asking the server.

    `reference` is a key (vllm/<id>), an id or an alias; None means the default
    model, else the first declared, else the first served. It has the switch that a level
    of `thinking` needs (`thinking_model`). Raises as `discover_models` does, and
    ServerError (model-not-served) for an unknown one.
    """
    if provider.api != "openai-completions":
        raise ConfigError("models.providers.%s.api is %s: this tool speaks openai-completions only"
                          % (provider.id, provider.api), cause="config-invalid")
    reference = reference or _own_primary(provider)

    def match(models):
        if reference:
            return match_model(models, reference, provider.id)
        return next(iter(models), None)

    models = declared_models(provider)
    found = match(models)
    if found is None:
        models = merge_models(models, discover_models(provider, timeout_s), provider)
        found = match(models)
    if found is None:
        raise model_not_served(provider.base_url, reference, [model.id for model in models])
    return thinking_model(provider, found, thinking, timeout_s)


def bearer(credential):
    """Return the headers that carry a Credential (none for None)."""
    return {"Authorization": Secret("Bearer " + credential.key)} if credential else {}


def discovery_headers(provider):
    """Return the headers of a discovery request: the block's own, but the key stays above them."""
    headers = {}
    for layer in (provider.headers, provider.last_headers, bearer(provider.discovery_key)):
        for name, value in layer.items():
            set_header(headers, name, value)
    return headers


def request_headers(provider, model=None):
    """Return the headers of a completion: the key's, the block's, the model's, the request's."""
    headers = {}
    own = model.headers if model is not None else {}
    for layer in (bearer(provider.request_key), provider.headers, own, provider.last_headers):
        for name, value in layer.items():
            set_header(headers, name, value)
    return headers


def ask(provider, url, headers, body=None, limit_s=DISCOVERY_TIMEOUT_S, limit=""):
    """Return the Reply to a GET, or to a POST of a JSON value, read whole within `limit_s` seconds.

    `limit` names the setting that says how long. Raises ServerError.
    """
    route = Route(provider.env, provider.ca_file, limit_s, limit_s, limit_s, limit)
    method, data = "GET", None
    if body is not None:
        method, data = "POST", encode_body(body)
    with Exchange(method, url, headers, data, route) as exchange:
        return exchange.reply(MODEL_LIST_LIMIT)


def fetch_model_rows(provider, timeout_s=None):
    """Return the usable rows of GET {base_url}/models.

    Raises ServerError, KeyRefused or the refusal.
    """
    if provider.refusal is not None:
        raise provider.refusal
    url = provider.base_url + "/models"
    limit_s = timeout_s or DISCOVERY_TIMEOUT_S
    reply = ask(provider, url, discovery_headers(provider), None, limit_s)
    return model_rows(url, reply, provider.discovery_key)


def probe_thinking(provider, model_id, timeout_s=None):
    """Ask the chat template whether enable_thinking matters to it: (compat, reason), or None.

    Counts one prompt twice with POST /tokenize, which generates nothing. Raises ServerError.
    """
    on, off = [
        _ask_tokenizer(provider, None, {
            "model": model_id, "messages": [{"role": "user", "content": "hi"}],
            "chat_template_kwargs": {"enable_thinking": enabled}}, timeout_s)
        for enabled in (True, False)]
    if None in (on, off) or on == off:
        return None
    return ({"thinkingFormat": "qwen-chat-template"},
            "probed: enable_thinking changes the prompt from %d to %d tokens" % (off, on))


def _ask_tokenizer(provider, model, body, timeout_s):
    """Return what POST /tokenize counts for a body, or None. Raises ServerError, KeyRefused."""
    limit_s = min(timeout_s or DISCOVERY_TIMEOUT_S, DISCOVERY_TIMEOUT_S)
    url = server_root((model or provider).base_url) + "/tokenize"
    reply = ask(provider, url, request_headers(provider, model), body, limit_s)
    try:
        count = _get(loads_untrusted(reply.body.decode("utf-8", "replace")), "count")
    except ValueError:
        return None
    return count if type(count) is int and reply.status == 200 else None


def count_prompt_tokens(provider, model, body, timeout_s=None):
    """Return how many tokens the prompt of a shaped body takes, or None where nobody can tell.

    One POST /tokenize with the messages, tools and template arguments as they will be sent. A
    prompt with more than texts is not asked about: an image counts only once it is read.
    """
    parts = [part for message in body["messages"] for part in _parts(message.get("content"))]
    if provider.refusal is not None or any(_get(part, "type") != "text" for part in parts):
        return None
    asked = _picked(body, ("model", "messages", "tools", "chat_template_kwargs"))
    try:
        return _ask_tokenizer(provider, model, asked, timeout_s)
    except Error:                                    # what is wrong will be said of the completion
        return None


def thinking_model(provider, model, thinking, timeout_s=None):
    """Return a Model with the switch that a thinking level needs, where nobody declared one.

    It follows the family (id or root), else what /tokenize shows of the chat template.
    Raises ServerError, KeyRefused.
    """
    if thinking is None or model.source != "discovered":
        return model
    names = [model.id, (model.root or "").split("/")[-1]]
    evidence = list(filter(None, map(thinking_evidence, names)))
    compat = None
    if evidence:
        compat = evidence[0][0]
    if any(re.search(family, name) for family in (_NEMOTRON, _DEEPSEEK) for name in names):
        compat = {}
    if compat is None:
        compat = (probe_thinking(provider, model.id, timeout_s) or (None,))[0]
    if compat is None:
        return model
    return model._replace(reasoning=True, compat=dict(compat, **model.compat))


def prepare_request(provider, model, body, thinking=None, timeout_s=None):
    """Return a body Shaped for sending, its budget counted where the estimate would cut it.

    Raises as `shape_request` does.
    """
    shaped = shape_request(body, model, thinking)
    count = None
    if shaped.clamped:
        count = count_prompt_tokens(provider, model, shaped.body, timeout_s)
    if count is None:
        return shaped
    return shape_request(body, model, thinking, count)


def stream_chat(provider, body, thinking=None, timeout_s=None):
    """Send a chat-completions body and return an iterator of Deltas as the answer comes.

    The body is shaped first (`prepare_request`), for the model that body["model"]
    names. `timeout_s` bounds silence, not the whole answer. Dropping the
    iterator closes the connection. Raises what `find_model` raises; while it is
    read, ServerError when the answer breaks off: what came before has been yielded.
    """
    reference = _get_text(body, "model")
    model = find_model(provider, reference, timeout_s, thinking)
    shaped = prepare_request(provider, model, body, thinking, timeout_s)
    return send_chat(provider, model, shaped.body, timeout_s)


def chat(provider, body, thinking=None, timeout_s=None):
    """Send a chat-completions body and return the whole Answer. Raises as `stream_chat` does."""
    return collect_answer(stream_chat(provider, body, thinking, timeout_s))


def collect_answer(deltas, show=None):
    """Return the Answer of an iterator of Deltas, each given to `show`; closes the iterator.

    The clock starts here. Whatever ends it early is raised; its `partial` is the Answer so far.
    """
    started = time.monotonic()
    assembler = Assembler()
    timings = dict.fromkeys(("first_token_s", "last_token_s", "total_s"))
    try:
        for delta in deltas:
            if delta.content or delta.reasoning or delta.tool_calls:
                timings["last_token_s"] = time.monotonic() - started
                if timings["first_token_s"] is None:
                    timings["first_token_s"] = timings["last_token_s"]
            assembler.add(delta)
            if show is not None:
                show(delta)
    except BaseException as error:
        error.partial = assembler.answer(timings)
        raise
    finally:                                         # what `partial` holds, too
        timings["total_s"] = time.monotonic() - started
        deltas.close()                               # at once, also where nothing counts references
    return assembler.answer(timings)


class Observed(object):
    """What `send_chat` saw of one exchange; it fills this in while the Deltas are read.

    Seconds count from the start of the exchange and are None until it came that far.
    `pieces` counts the reads that brought bytes of the answer, `events` those of its
    stream; `framed` tells whether it was a stream, `done` whether [DONE] ended it;
    `reasoning_field` is the name of the field that reasoning came in, or None.
    """

    connect_s = headers_s = first_piece_s = last_piece_s = reasoning_field = None
    pieces = events = 0
    framed = done = False


def send_chat(provider, model, body, timeout_s=None, total_s=None, observed=None, before_wait=None):
    """POST a shaped body and yield the answer's Deltas. Raises ServerError, KeyRefused.

    `timeout_s` bounds the silence between two events, `total_s` the whole exchange.
    An Observed is filled in; `before_wait` is called whenever all that came has been
    yielded and the server is waited for: what it raises ends the exchange as it is.
    """
    if provider.refusal is not None:
        raise provider.refusal
    url = model.base_url + "/chat/completions"
    silence_s = min(timeout_s or provider.timeout_s or SILENCE_TIMEOUT_S, LONGEST_TIMEOUT_S)
    route = Route(
        provider.env,
        provider.ca_file,
        min(CONNECT_TIMEOUT_S, silence_s),
        silence_s,
        total_s,
        limit_words(provider, timeout_s))
    headers = request_headers(provider, model)
    full = bool(body.get("logprobs")) or body.get("n") not in (None, 1)
    observed = observed or Observed()
    with Exchange("POST", url, headers, encode_body(body), route, before_wait) as exchange:
        observed.connect_s = exchange.seconds["connect"]
        observed.headers_s = exchange.seconds["headers"]
        if exchange.status != 200:
            raise completion_error(url, exchange.reply(ANSWER_LIMIT), provider, model)
        yield from read_answer(exchange, provider, model, observed, full)


def encode_body(body):
    """Return the bytes of a body. Raises UsageError for what JSON cannot hold."""
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError("the body cannot be sent as JSON: %s" % error,
                         "leave NaN and Infinity out")


def read_answer(exchange, provider, model, observed, full=False):
    """Yield the Deltas of an answer that began well: a stream of events, or one JSON object."""
    chunks = exchange.chunks()
    exchange.phase = "first"
    for first in chunks:
        if first.strip():
            break
        exchange.keep_alive()
    else:
        raise error_for("stream-broken", url=exchange.url, detail="the answer is empty")
    chunks = itertools.chain((first,), chunks)
    if first.lstrip()[:1] in (b"{", b"[", b"<"):
        return _read_whole(exchange, chunks, provider, model, full)
    return _read_events(exchange, chunks, provider, model, observed, full)


def _read_whole(exchange, chunks, provider, model, full):
    exchange.limit = ANSWER_LIMIT
    text = _all_bytes(chunks)
    try:
        payload = loads_untrusted(text.decode("utf-8", "replace"))
    except ValueError:
        payload = None
    if is_error_payload(payload):
        raise _error_inside(exchange, text, payload, provider, model)
    if not isinstance(_get(payload, "choices"), list):
        raise error_for(
            "not-openai",
            url=exchange.url,
            detail=what_it_is(text) or "there are no choices in it",
            **layer_facts(exchange.headers))
    yield decode_delta(payload, full)


def _reasoning_field(payload):
    for choice in choices_of(payload):
        for name in ("reasoning", "reasoning_content"):
            if _get(choice, "delta", name):
                return name


def _read_events(exchange, chunks, provider, model, observed, full):
    decoder = EventDecoder()
    finished, observed.framed = False, True
    for data in chunks:
        observed.pieces += 1
        observed.last_piece_s = exchange.elapsed()
        observed.first_piece_s = observed.first_piece_s or observed.last_piece_s
        try:
            events = decoder.feed(data)
        except ValueError as error:
            raise error_for("stream-broken", url=exchange.url, detail=str(error))
        if events:
            exchange.progress()
        elif b"\n" in data:                          # a comment, or a line of an event
            exchange.keep_alive()
        for text in events:
            observed.events += 1
            if text == "[DONE]":
                observed.done = True
                return
            try:
                payload = loads_event(text)
            except ValueError:
                detail = "an event is not JSON: " + excerpt(exchange.redact(text), 80)
                raise error_for("stream-broken", url=exchange.url, detail=detail)
            if is_error_payload(payload):
                data = text.encode("utf-8", "replace")
                raise _error_inside(exchange, data, payload, provider, model)
            if not isinstance(payload, dict):
                continue
            delta = decode_delta(payload, full)
            if delta.reasoning:
                observed.reasoning_field = _reasoning_field(payload)
            finished = finished or delta.finish_reason is not None
            yield delta
    if not finished:
        raise error_for("stream-broken", url=exchange.url,
                        detail="it ended without [DONE] or a finish reason")


# ----------------------------------------------------------------------------
# Doctor: one small function per check
# ----------------------------------------------------------------------------
# Looks at all that lies between the settings and an answer, in the order of _CHECKS, and words
# what it sees with CAUSES. Sends GETs and /tokenize only, completions with `probe`. The key goes
# to the configured origin by the configured route; every detour is tried without it.

DIAGNOSIS_S = 30.0                   # seconds for a whole diagnosis, whatever the server does
PROBE_TIMEOUT_S = 20.0               # seconds for one completion where no --timeout says otherwise
PROBE_TOKENS = 32                    # tokens of answer; enough to see a stream flow
SPARE_S = 15.0                       # seconds for /openapi.json, which is made when first asked for
AGENT_PROMPT = 32000                 # tokens; about what OpenClaw's own agent prompt takes
LEAST_PROMPT = 64                    # tokens; a system line and a question
BUFFERED_AFTER_S = 0.5               # seconds of silence before a burst that are no accident
# What the transport tells apart and the contract of `doctor --json` does not.
_CONTRACT_CAUSES = {
    "bad-key-form": "bad-key", "unreachable": "connection-refused",
    "tls-failed": "tls-untrusted",
    "answer-broken": "not-openai", "answer-too-large": "not-openai",
    "context-exceeded": "chat-failed", None: "config-invalid",
}
_KEY_CAUSES = ("no-key", "bad-key", "gateway-auth")
# After which later checks, though no gate found them, cannot look.
_STOPPING = ("engine-dead", "no-models", "not-a-chat-model", "no-chat-template")
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
# Where the fact `right` is the base URL to use.
_BASE_URL_CAUSES = (
    "endpoint-in-base-url", "missing-v1", "scheme-mismatch",
    "wrong-address-family",
)
def diagnose(settings, provider_id=DEFAULT_PROVIDER, base_url=None, api_key=None,
             ca_file=None,
             model=None, thinking=None, probe=False, timeout_s=None):
    """Yield a Finding for everything looked at between OpenClaw's settings and the server.

    `settings` are those of `read_settings`: what is wrong with them is a finding
    too. Nothing is generated and nothing but GETs and /tokenize is sent unless
    `probe`. `model` and `thinking` choose what is probed; `timeout_s` bounds each
    exchange, DIAGNOSIS_S all of them. Raises UsageError for an unknown provider.
    """
    case = _Case(settings, timeout_s, model, thinking)
    if not settings.issues:
        case.block_path = _block_path(settings.config, provider_id)
        try:
            case.take(
                resolve_provider(settings, provider_id, base_url, api_key,
                                 ca_file))
        except UsageError:
            raise
        except Error as error:
            case.refusal = error
    for check in _CHECKS + (_PROBES if probe else ()):
        for finding in _run_check(case, check):
            failed = finding.status == "fail"
            if failed and (check.gate or finding.cause in _STOPPING):
                case.stopped = finding.cause
            # not opted in, so OpenClaw does not look
            unasked = case.usable and case.refusal
            if failed and check.gate and unasked and finding.cause != "not-opted-in":
                finding = finding._replace(status="warn")
            yield finding._replace(check=check.name)


def _run_check(case, check):
    """Yield what one check finds, or why it cannot look."""
    if check.needs is not None and getattr(case, check.needs) is None:
        yield _skipped(case.stopped, "not checked, because of %s" % case.stopped)
    elif case.left() <= 0:
        case.stopped = case.stopped or "timeout"
        yield _skipped("timeout",
                       "not checked: the %g s of a diagnosis are over"
                       % DIAGNOSIS_S)
    else:
        try:
            for found in check.examine(case):
                if isinstance(found, str):
                    found = Finding("", "ok", None, found)
                elif isinstance(found, Error):
                    found = case.finding(found)
                yield found
        # a side entrance; the main one did not fail
        except Error as error:
            yield case.finding(error, "warn")


def diagnosis_status(findings):
    """Return the exit status for Findings: what stopped it decides, else 1 for any failure."""
    gates = [check.name for check in _CHECKS if check.gate]
    failed = [finding for finding in findings if finding.status == "fail"]
    for finding in failed:
        if finding.check in gates:
            return CAUSES[finding.cause].exit_status or ConfigError.exit_status
    return int(bool(failed))


class _Case(object):
    """What the checks of one diagnosis know so far; each fills in what later ones need.

    `provider`, `usable` (it may be asked), `connected`, `answered` (a model list or a 401), `rows`
    and `chats` (nothing rules chat completions out) are None until that is known to be so; checks
    name what they need. `refusal` is what resolving the provider failed with, `error` what the
    first request did, `stopped` the cause that keeps later checks from looking. `served` is {id:
    context in tokens or None}, `enforced` whether the server wants the key.
    """

    def __init__(self, settings, timeout_s, reference, thinking):
        self.settings, self.timeout_s = settings, timeout_s
        self.reference, self.thinking = reference, thinking
        self.provider = self.usable = self.connected = self.answered = None
        self.rows = self.chats = self.version = self.openapi = self.block_path = None
        self.refusal = self.error = self.stopped = None
        self.served, self.models, self.enforced = {}, [], False
        self._deadline = time.monotonic() + DIAGNOSIS_S
        try:
            self._raw = json5_loads(settings.sources.get(settings.path) or "{}")
        except Json5Error:
            self._raw = {}

    def take(self, provider):
        """Take the provider; the server of one that is not opted in is looked at all the same."""
        self.refusal = provider.refusal
        if self.refusal is None or self.refusal.cause == "not-opted-in":
            self.usable = True
        self.provider = provider._replace(refusal=None)
        self.url, self.target = provider.base_url, split_url(provider.base_url)

    def left(self):
        """Return the seconds left of the whole diagnosis."""
        return self._deadline - time.monotonic()

    def patience(self, default_s=DISCOVERY_TIMEOUT_S):
        """Return the seconds that one exchange may take now."""
        return max(0.01, min(self.timeout_s or default_s, self.left()))

    def ask(self, url, headers, body=None, way=None, wait_s=DISCOVERY_TIMEOUT_S):
        """Return the Reply to a GET, or to a POST of a JSON body. Raises ServerError.

        `way` is the Provider whose proxies and authorities are used, if not the case's own.
        """
        limit = "--timeout" if self.timeout_s else ""
        return ask(way or self.provider, url, headers, body, self.patience(wait_s), limit)

    def look(self, path, wait_s=DISCOVERY_TIMEOUT_S):
        """Return the Reply to a GET, without the key, of what vLLM has beside /v1.
        """
        return self.ask(self.beside(path), {}, wait_s=wait_s)

    def beside(self, path):
        """Return the URL of what vLLM answers beside /v1."""
        return server_root(self.url) + path

    def shown(self, text, limit=100):
        """Return what a server named, keys hidden before it is cut: half a key is a key told."""
        values = [credential.key for credential in self.provider.credentials]
        values += request_headers(self.provider).values()
        secrets = [spelling for value in values for spelling in spellings(value)]
        return excerpt(redact(text, secrets), limit)

    def written(self, path):
        """Return what openclaw.json itself has at a key path, variables as they stand, or None."""
        return _get(self._raw, *path)

    def own(self, *keys):
        """Return a key path below the provider's block."""
        return (self.block_path or ()) + keys

    def found(self, cause, edits=(), **facts):
        """Return the Finding of a row of CAUSES, worded with `facts`, that `edits` fix."""
        return self.finding(error_for(cause, **facts), None, edits)

    def finding(self, error, status=None, edits=()):
        """Return the Finding of an Error that `edits` of openclaw.json fix.

        A cause with exit status 0 is a warning. The command of edits stands for the cause's own.
        """
        cause = _CONTRACT_CAUSES.get(error.cause, error.cause)
        command = error.command
        if status is None:
            status = "fail" if CAUSES[cause].exit_status else "warn"
        if cause == "provider-disabled":
            paths = ("plugins", "enabled"), ("plugins", "entries", "vllm",
                                             "enabled")
            edits = [Edit(path, True)
                     for path in paths if self.written(path) is False]
        elif cause in _BASE_URL_CAUSES:
            edits, command = self._base_url_fix(error)
        if edits:
            command = self.config_command(edits)
        return Finding("", status, cause, error.message, error.hint, command,
                       tuple(edits))

    def config_command(self, edits=()):
        """Return the shell command that writes edits, or only the models, into this config."""
        return edit_command(edits, self.settings.path)

    def _base_url_fix(self, error):
        """Return (edits, command) that put the fact `right` where the base URL comes from."""
        import shlex
        right = error.facts.get("right")
        where = error.facts.get("where") or self.provider.where
        if not right or where == "--base-url":
            return (), None
        if where == "VLLM_BASE_URL":
            return (), "export VLLM_BASE_URL=%s" % shlex.quote(right)
        if self.block_path is None:
            return (), "%s --base-url %s" % (self.config_command(),
                                             shlex.quote(right))
        return (Edit(self.own("baseUrl"), right),), None


def _block_path(config, provider_id):
    """Return the key path of a provider's block, or None where the config has none."""
    name, block = find_block(config, provider_id)
    return None if block is None else ("models", "providers", name)


def _skipped(cause, summary):
    return Finding("", "skip", cause, summary)


def _plural(count, noun):
    return "%d %s%s" % (count, noun, "" if count == 1 else "s")


def _listed(names, limit=6):
    """Return names in one text, at most `limit` of them."""
    names = list(names)
    if len(names) > limit:
        names[limit:] = ["and %d more" % (len(names) - limit)]
    return ", ".join(names)


def _json_of(reply):
    """Return the JSON value of a Reply with status 200, else None."""
    if reply.status == 200:
        try:
            return loads_untrusted(reply.body.decode("utf-8", "replace"))
        except ValueError:
            pass
    return None


# The settings side.

def _check_settings(case):
    settings, refusal = case.settings, case.refusal
    for issue in settings.issues:
        yield _issue_finding(case, issue, "fail")
    for issue in collections.OrderedDict.fromkeys(settings.warnings):
        if refusal is None or refusal.facts.get("path") != dotted(issue.path):
            yield _issue_finding(case, issue, "warn")
    if refusal is not None:
        yield refusal
    elif settings.exists and not settings.issues:
        yield "%s: read" % _listed(settings.sources)
    elif not settings.issues:
        yield "%s does not exist: an empty config" % settings.path


def _issue_finding(case, issue, status):
    """Return the Finding of a fault of the settings; what is misplaced or misspelled is moved."""
    path, place = issue.path, issue.successor
    value, edits, fix = case.written(path), [], _NOWHERE.get(issue.cause)
    facts = {"where": issue_place(issue), "path": dotted(path),
             "problem": issue.message}
    if issue.cause == "config-missing-variable":
        facts.update(
            variable=case.settings.unset_variables[path],
            dotenv=_dotenv_path(case.settings))
    elif issue.cause == "bad-base-url":
        right = _evident_base_url(value)
        if right:
            edits.append(Edit(path, right))
        facts.update(
            where=dotted(path), problem=base_url_problem(value),
            example=right or DEFAULT_BASE_URL)
    elif place and _get(case.settings.config, *place) is not None:
        fix = "move what it holds into %s, which is there already" % dotted(place)
    elif place:
        fix = "write %s in its place" % dotted(place)
        edits.append(Edit(path, REMOVED))
        if path[-1] == "llm":                        # an object, and no block is begun for it
            block = case.written(place[:3])
            value = _get(value, "idleTimeoutSeconds") if block else None
        if value is not None:
            edits.append(Edit(place, value))
    error = issue_error([issue])
    if issue.cause not in (None, "config-invalid"):
        error = error_for(issue.cause, fix=fix, **facts)
    found = case.finding(error, status, edits)
    secrets = secret_texts({place[-1]: value}) if place else ()
    if any(map(spellings, secrets)):                 # which a command would show
        found = found._replace(command="%s doctor --fix" % TOOL)
    return found


# What to do about a key for whose value no place is known.
_NOWHERE = {
    "config-unknown-key": "remove it; a newer OpenClaw may know it",
    "config-legacy-key": "remove it, and set what takes its place",
}


def _evident_base_url(url):
    """Return the base URL that a malformed one evidently means, or None."""
    match = re.match(
        r"(?i)\s*(?:(https?)(?::/*|/+)|//)?((?:localhost|[^/]*[.:])[^?#]*)", url)
    if not match or "@" in url or "://" in match.group(2):
        return None
    scheme = (match.group(1) or "http").lower()
    right = "%s://%s" % (scheme, match.group(2).strip().rstrip("/"))
    right = re.sub("/(chat/completions|completions|models)$", "", right)
    return None if base_url_problem(right) else right


def _check_provider(case):
    """Say which provider it is, and why its server is asked for models or not."""
    provider = case.provider
    if case.block_path is None:
        yield ("%s: implicit (no block in the config), so OpenClaw asks the "
               "server for its "
                      "models" % provider.id)
        return
    asked = "OpenClaw takes these alone and asks no server"
    if provider.asks_server:
        asked = "the server is asked for more"
    yield ("%s: explicit, %s declares %s; %s" % (
        provider.id, dotted(case.block_path),
        _plural(len(provider.models), "model"), asked))
    if provider.plugin_off:
        error = error_for("provider-disabled", problem=provider.plugin_off,
                          file=provider.file)
        yield case.finding(error, "warn")
    block = _get(case.settings.config, *case.block_path)
    for path, place in [(case.block_path, block)] + _rows(case):
        api = place.get("api", "openai-completions")
        if api != "openai-completions":
            path += ("api",)
            edits = (Edit(path, "openai-completions"),)
            yield case.found("wrong-api", edits, path=dotted(path), api=api)


def _rows(case):
    """Return [(key path, row)] of the models that the provider's block declares.
    """
    path = case.own("models")
    ids = [trimmed(row["id"]) for row in _rows_at(case.settings.config, path)]
    return [
        (path + (ids.index(row["id"]),), row)
        for row in case.provider.models
        if row["id"] in ids]


def _check_key(case):
    """Name the key's source, where it goes and what it shadows; never the key."""
    provider, settings = case.provider, case.settings
    winner = provider.request_key
    if winner is None:
        yield "none is set, and none is sent"
        return
    others = collections.OrderedDict(provider.credentials)
    for label, layer in settings.layers if provider.id == DEFAULT_PROVIDER else ():
        others["VLLM_API_KEY (%s)" % label] = layer.get("VLLM_API_KEY", "").strip()
    others = {
        source: key
        for source, key in others.items()
        if key and source != winner.source}
    summary = "%s; it goes to %s" % (winner.source, origin(provider.base_url))
    if others:
        summary += "; it shadows %s" % _listed(others)
    own = json.dumps(case.written(case.own("apiKey")))
    refers = "VLLM_API_KEY" in own                   # then it is no key of its own
    shell = "VLLM_API_KEY (%s)" % settings.layers[0][0]
    if set(others.values()) - {winner.key} and not winner.source.startswith("--"):
        yield Finding(
            "", "warn", "bad-key",
            "%s, but not every one is the same key" % summary,
            "keep one of them, or make them equal")
    elif winner.source == shell and len(others) <= refers:
        note = error_for("key-in-shell-only", dotenv=_dotenv_path(settings))
        yield Finding("", "ok", None, "%s. %s" % (summary, note.message),
                      note.hint)
    else:
        yield summary
    warning = key_exposed(provider)
    if warning:
        summary, _, fix = warning.rpartition(": ")
        yield Finding("", "warn", "exposed", summary, fix)


def _check_base_url(case):
    """Say where the base URL comes from; the last look at the settings before the network."""
    provider = case.provider
    summary, fix, command = "%s (from %s)" % (case.url, provider.where), "", None
    if env_setting(case.settings.variables.get("VLLM_BASE_URL")):
        summary += "; OpenClaw does not read VLLM_BASE_URL"
    if provider.where == "VLLM_BASE_URL":
        fix, command = "for OpenClaw, write it into the config", case.config_command()
    yield Finding("", "ok", None, summary, fix, command)
    path = case.own("request", "allowPrivateNetwork")
    if case.written(path) is False and is_private(case.target.host):
        edits = (Edit(path, REMOVED),)
        yield case.found("private-network", edits, path=dotted(path), url=case.url)


# The way to the server. The first request is the one OpenClaw sends; when it
# fails, each _explain_… below may know better what that means.

def _check_connect(case):
    target, error = case.target, None
    started = time.monotonic()
    try:
        case.rows = _ask_models(case)
    except Error as failure:
        error = failure
    waited_s = time.monotonic() - started
    for explain in _EXPLANATIONS if error else ():
        try:
            error = explain(case, error) or error
        except Error:
            pass                                     # what it tried failed too and explains nothing
    case.error = error
    if error is None or "status" in error.facts:
        case.connected = True
    if error is not None and error.cause not in _KEY_CAUSES:
        yield error
        return
    case.answered = True
    proxy = proxy_for(target, case.provider.env)
    summary = "%s/models answers after %.1f ms" % (case.url, 1000 * waited_s)
    if proxy:
        summary += ", through the proxy %s" % proxy
    yield summary
    addresses = ()
    if target.host == "localhost":
        addresses = _addresses("localhost", target.port, 0)
    hosts = {address[0] for _, _, _, _, address in addresses}
    answering = {
        host
        for host in hosts
        if answers_at(host, target.port, case.patience())}
    if not answering:
        hosts = set()
    for refusing in hosts - answering:
        yield case.finding(_wrong_family(case, refusing, min(answering)), "warn")
    yield from _check_authority(case)


def _ask_models(case):
    """Return the rows of {base URL}/models, asked as OpenClaw would. Raises Error.
    """
    provider = case.provider
    url, headers, sent = provider.base_url + "/models", request_headers(
        provider), None
    if provider.asks_server:
        headers, sent = discovery_headers(provider), provider.discovery_key
    return model_rows(url, case.ask(url, headers),
                      sent or _sent_credential(provider))


def _sent_credential(provider):
    """Return the Credential of completions: the block's Authorization header, else the key."""
    key = provider.request_key
    for name, value in request_headers(provider).items():
        own = key is None or not value.endswith(key.key)
        if name.lower() == "authorization" and own:
            return Credential("the config's Authorization header",
                              value.split(" ")[-1])
    return key


def _answers(case, base, way=None):
    """Tell whether {base}/models lists models or asks for a key; none is sent on a detour."""
    url = base + "/models"
    try:
        model_rows(url, case.ask(url, {}, None, way), None)
    except Error as error:
        return error.cause in _KEY_CAUSES
    return True


def _check_authority(case):
    """Warn where this tool alone was told of the authority behind the server's certificate."""
    provider = case.provider
    told = provider.ca_file or env_setting(provider.env.get("SSL_CERT_FILE"))
    known = "NODE_EXTRA_CA_CERTS" in provider.env or case.written(
        case.own("request", "tls"))
    if not told or known:
        return
    untold = provider._replace(ca_file=None,
                               env=dict(provider.env, SSL_CERT_FILE=""))
    try:
        case.ask(provider.base_url + "/models", {}, None, untold)
    except ServerError as error:
        if error.cause == "tls-untrusted":
            import shlex
            command = "export NODE_EXTRA_CA_CERTS=" + shlex.quote(
                os.path.abspath(told))
            detail = "this tool was told of its authority, OpenClaw was not"
            facts = dict(error.facts, detail=detail, command=command)
            yield case.finding(error_for("tls-untrusted", **facts), "warn")


def _wrong_family(case, refuses, answers):
    scheme, _, port, path = case.target
    right = "%s://%s:%d%s" % (scheme, _bracketed(answers), port, path)
    return error_for(
        "wrong-address-family", url=case.url, answers=answers, refuses=refuses,
        right=right)


# Each _explain_… returns the error that it knows to be behind another, or None.

def _explain_refusal(case, error):
    """Refused: the other loopback address answers, or a server that loads has the port."""
    target = case.target
    if error.cause != "connection-refused":
        return None
    if is_loopback(target.host):
        for other in {"127.0.0.1", "::1"} - {target.host}:
            if answers_at(other, target.port, case.patience()):
                return _wrong_family(case, target.host, other)
        if any(map(os.path.exists, _CONTAINER_FILES)):
            error.hint += _FROM_CONTAINER
    if port_is_bound(target, case.patience()):
        return error_for(
            "server-loading", url=error.facts["url"],
            detail="nothing answers, yet the port is taken")
    return None


_FROM_CONTAINER = (
    "; in a container that is the container itself: try host.docker.internal or "
    "172.17.0.1, with "
    "vLLM started with --host 0.0.0.0")


def _explain_route(case, error):
    """A proxy stands in the way, or NO_PROXY keeps it from where it is needed."""
    import shlex
    provider = case.provider
    target, env = case.target, provider.env
    names = [name
             for name in ("no_proxy", "NO_PROXY") if env.get(name)] or ["NO_PROXY"]
    listed = re.split(r"[\s,]+", env.get(names[0], ""))
    proxy = proxy_for(target, env)
    if proxy:
        way, hidden = "stands in the way: directly, the server answers", "_proxy"
        listed.append(target.host)
    else:
        way, hidden = "is needed, and NO_PROXY keeps it from being used", "no_proxy"
        listed = [entry for entry in listed if not no_proxy_covers(entry, target)]
    other = {name: env[name] for name in env if not name.lower().endswith(hidden)}
    detour = proxy_for(target, other)
    if error.cause in _KEY_CAUSES or proxy == detour:
        return None
    if not _answers(case, case.url, provider._replace(env=other)):
        return None
    no_proxy = shlex.quote(",".join(filter(None, listed)))
    command = "export " + " ".join("%s=%s" % (name, no_proxy) for name in names)
    return error_for(
        "proxy-captured", command, url=error.facts.get("url"),
        proxy=proxy or detour, way=way,
        detail=excerpt(error.facts.get("detail") or error.message, 80))


def _explain_scheme(case, error):
    """Not the protocol of the scheme, a 400, or silence at a TLS hello: the other may be spoken."""
    garbled = error.cause in ("scheme-mismatch", "answer-broken", "not-openai",
                              "tls-failed")
    refused, silent = error.facts.get("status") == 400, error.facts.get("phase") == "tls"
    if not garbled and not refused and not silent:
        return None
    scheme, rest = case.url.split(":", 1)
    right = {"http": "https:", "https": "http:"}[scheme.lower()] + rest
    try:
        case.ask(right + "/models", {})
    except Error as outcome:
        if outcome.cause not in ("tls-untrusted", "tls-wrong-host"):     # a certificate is TLS
            return None
    return error_for("scheme-mismatch", url=case.url, scheme=scheme, right=right)


def _explain_silence(case, error):
    """Silence at a request, words before it: another protocol's port, such as vLLM's own ZMQ."""
    if error.facts.get("phase") != "wait":
        return None
    told = greeting(case.target, min(2.0, case.patience()))
    if not told or told.startswith(b"HTTP/"):
        return None
    return error_for(
        "not-openai", url=error.facts["url"],
        detail="the port does not speak HTTP; vLLM's processes have such ports "
               "of their own")


def _explain_certificate(case, error):
    """A certificate that is not trusted: whose, and from when to when."""
    if error.cause == "tls-untrusted" and not proxy_for(case.target,
                                                        case.provider.env):
        certificate = peer_certificate(case.target, case.patience())
        error.message += describe_certificate(certificate)


def _explain_path(case, error):
    """Not found, or a page: the base URL may lack its /v1, or the server have no such API."""
    missing = error.facts.get("status") in (404, 405)
    if error.cause != "not-openai" and not missing:
        return None
    base = case.url
    for right in (base + "/v1", origin(base) + "/v1"):
        if right != base and _answers(case, right):
            return error_for("missing-v1", url=base, right=right)
    healthy = missing and case.look("/health").status == 200
    if healthy and case.look("/version").status != 200:
        error = error_for(
            "not-openai", "vllm serve MODEL", url=error.facts["url"],
            detail="/health answers and nothing of /v1, as of vLLM's demo "
                   "api_server")
        error.hint = "start the server that has the OpenAI API"
    return error


def _explain_unready(case, error):
    """HTTP 500 or 503, though the API answers: /health may say that the engine is dead."""
    failing = error.facts.get("status") in (500, 503)
    if failing and case.look("/version").status == 200:
        return _engine_death(case, case.look("/health"))
    return None


def _engine_death(case, reply):
    """Return the error that an answer of /health means, or None; a page is not vLLM's."""
    page = reply.body.lstrip().startswith(b"<")
    if reply.status in (500, 503) and not page:
        return error_for("engine-dead", url=case.beside("/health"),
                         status=reply.status)
    return None


_EXPLANATIONS = (
    _explain_refusal, _explain_route, _explain_scheme, _explain_silence,
    _explain_certificate,
    _explain_path, _explain_unready,
)


def _check_auth(case):
    """Whether the server takes the key, and whether it wants one."""
    provider, url = case.provider, case.url + "/models"
    if case.error is not None:
        found = case.finding(case.error)
        if case.look("/version").status == 200:
            found = found._replace(
                summary=found.summary + "; /version answers, so the server is up")
        yield found
        return
    sent, key = request_headers(provider), _sent_credential(provider)
    if provider.asks_server and sent != discovery_headers(provider):
        reply = case.ask(url, sent)
        if reply.status in (401, 403):
            yield http_error(url, reply, key)
            return
    if key is None:
        yield "the server wants no key, and none is sent"
        return
    case.enforced = case.ask(url, {}).status in (401, 403)
    ignored = error_for("key-ignored", url=url)
    if case.enforced:
        yield "the server enforces a key and takes this one"
    # it looks like a real one
    elif len(key.key) >= 16 or key.key.startswith("sk-"):
        yield ignored
    else:
        yield ignored.message


def _check_version(case):
    reply = case.look("/version")
    case.version = _get(_json_of(reply), "version")
    if isinstance(case.version, str):
        yield "vLLM %s" % case.shown(case.version, 40)
    else:
        case.version = None
        yield ("/version says nothing: what answers is not vLLM, or hides it"
                      + layer_facts(reply.headers)["answered_by"])


def _check_health(case):
    reply = case.look("/health")
    error = _engine_death(case, reply)
    if error is not None and case.answered:
        yield error
    elif reply.status == 200:
        yield "/health answers"
    else:
        yield _skipped("http-error", "/health answers HTTP %d" % reply.status)


# What is served, and how the settings fit it.

def _check_models(case):
    if not case.rows:
        case.rows = None
        yield error_for(
            "no-models", command="vllm serve MODEL", where=case.url,
            problem="the server offers no models", fix="start vLLM with a model")
        return
    found = discovered_models(case.rows, case.provider)
    own = {row["id"]: row_context(row) for row in case.rows}
    case.served = {model.id: own[model.id] or own.get(model.parent)
                   for model in found}
    case.models = merge_models(declared_models(case.provider), found,
                               case.provider)
    words = []
    for model in found:
        text = "%s: %s tokens" % (case.shown(model.id),
                                  case.served[model.id] or "unknown")
        if model.parent:
            text += ", LoRA on %s" % case.shown(model.parent)
        words.append(text)
    yield _listed(words)


def _check_chat(case):
    """See in the server's own description whether it offers chat completions."""
    said = "is not the description of an API"
    try:
        case.openapi = _json_of(case.look("/openapi.json", SPARE_S))
    except ServerError as error:
        said = "does not come: " + error.message
    offered = offers_chat(case.openapi)
    if case.stopped != "engine-dead" and offered is not False:
        case.chats = True
    if offered is False:
        yield error_for(
            "not-a-chat-model", url=case.url, model=_listed(case.served))
    elif offered:
        yield "/openapi.json has /v1/chat/completions"
    else:
        yield _skipped("http-error", "/openapi.json " + said)


def _references(case):
    """Return {id: [(key path or None, words)]} of this provider's models, as the settings and
    --model name them."""
    provider, named = case.provider, collections.OrderedDict()

    def name(model_id, path, words):
        named.setdefault(model_id, []).append((path, words))

    for path, row in _rows(case):
        name(row["id"], path + ("id",), "declared")
    for path, key, tag in _chosen_references(case):
        owner, _, model_id = key.partition("/")
        if owner == provider_id(provider.id):
            name(key if key in case.served else model_id, path, tag)
    if case.reference is not None:
        model = match_model(case.models, case.reference, provider.id)
        name(model.id if model else case.reference, None, "--model")
    return named


def _chosen_references(case):
    """Yield (key path or None, key, tag) of the default model and its fallbacks.
    """
    for tag, key in case.provider.references:
        path = ("agents", "defaults", "model")
        if tag.startswith("fallback#"):
            path += ("fallbacks", int(tag[9:]) - 1)
        elif tag != "default":
            continue
        elif not isinstance(case.written(path), str):
            path += ("primary",)
        if case.provider.layers[1].get("model") or case.written(path) is None:
            # it stands elsewhere, or nowhere
            path = None
        yield path, key, tag


def _check_references(case):
    """Compare the ids that the settings name with those served."""
    provider, served, faults = case.provider, [], []
    for model_id, places in _references(case).items():
        words = ", ".join(words for _, words in places)
        if model_id in case.served:
            served.append("%s (%s)" % (case.shown(model_id), words))
        else:
            faults.append(_not_served(case, model_id, places, words))
    for path, key, _ in _chosen_references(case):
        owner = key.partition("/")[0]
        other = owner != provider_id(provider.id)
        # the key is in lower case
        written = trimmed(case.written(path) if path else key)
        if written in case.served and other and _block_path(case.settings.config,
                                                            owner) is None:
            right = model_key(provider.id, written)
            edits = []
            if path:
                edits.append(Edit(path, right))
            faults.append(case.found(
                "wrong-provider", edits, reference=written, right=right,
                path=dotted(path or ["the model of the default agent"])))
    if served:
        yield "served: " + _listed(served)
    elif not faults:
        yield "the settings name no model of %s" % provider.id
    yield from faults


def _not_served(case, model_id, places, words):
    """Return the Finding for a model that is named and not served, with the id that was meant."""
    provider, served = case.provider, list(case.served)
    right = nearest(model_id, served) or nearest(model_id.rpartition("/")[2],
                                                 served)
    for row in case.rows:
        root = str(row.get("root"))
        if model_id in (root, root.rstrip("/").rpartition("/")[2]):
            right = row["id"]
    error = model_not_served(case.url, model_id, served, " (%s)" % words)
    error.hint = "the server has: " + _listed(map(case.shown, served))
    declared, edits = [row["id"] for _, row in _rows(case)], []
    if model_id in declared and (not right or right in declared):
        error.command = case.config_command() + " --prune"
    if not right or case.shown(right) != right:
        return error
    error.hint = "write %s in place of %s" % (right, model_id)
    for path, _ in places:
        if path and path[-1] != "id":
            edits.append(Edit(path, model_key(provider.id, right)))
        elif path and right not in declared:
            edits.append(Edit(path, right))
    return case.finding(error, None, edits)


def _check_limits(case):
    """Compare what the settings state of a model with the server's own limits."""
    found = []
    for (path, row), model in zip(_rows(case), declared_models(case.provider)):
        if case.served.get(model.id):
            found += _limit_findings(case, path, row, model)
    for model in _chosen_models(case):
        limit = case.served[model.id]
        if limit is not None and limit < AGENT_PROMPT:
            found.append(
                error_for("context-below-agent", model=model.key, served=limit))
    return found or ["what the settings state fits the server"]


def _limit_findings(case, path, row, model):
    """Yield what a declared row states beyond what the server can do, or far below it."""
    limit = case.served[model.id]
    window, tokens = model.context_window or limit, model.context_tokens or limit
    answer = row.get("maxTokens", case.provider.max_tokens) or 0
    room = min(DEFAULT_MAX_TOKENS, max(1, limit // 2))
    for cause, field, declared, wrong, right in (
            ("context-too-large", "contextWindow", window, window > limit, limit),
            ("context-too-large", "contextTokens", tokens, tokens > limit, limit),
            ("context-too-small", "contextWindow", window, window < limit / 2,
             limit),
            ("max-tokens-too-large", "maxTokens", answer,
             answer > limit - LEAST_PROMPT, room)):
        if wrong:
            yield case.found(
                cause, (Edit(path + (field,), right),), model=model.key,
                field=field,
                declared=declared, served=limit, lost=limit - declared,
                right=right)
    if model.compat.get("supportsUsageInStreaming") is False:
        # who states a limit sends usage
        path += ("compat", "supportsUsageInStreaming")
        yield case.found("usage-off", (Edit(path, REMOVED),), path=dotted(path))


def _chosen_models(case):
    """Return the served Models to look at: --model, else those that are named, else the first."""
    served = [model for model in case.models if model.id in case.served]
    if case.reference is not None:
        chosen = match_model(served, case.reference, case.provider.id)
        return [chosen] if chosen else []
    named = _references(case)
    return [model for model in served if model.id in named] or served[:1]


_USER = {"role": "user", "content": "Hi"}
_CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "a1b2c3d4e", "type": "function",
     "function": {"name": "get_time", "arguments": "{}"}}]}
_RESULT = {"role": "tool", "tool_call_id": "a1b2c3d4e", "content": "It is noon."}

History = collections.namedtuple("History", "cause words messages switch")
# What OpenClaw sends as a conversation goes on, and the switch of `compat` that avoids it.
_HISTORIES = (
    History("template-role", "system",
            [{"role": "system", "content": "Be brief."}, _USER], None),
    History("template-history", "content as a list of parts",
            [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            "requiresStringContent"),
    History("template-history", "two user messages in a row", [_USER, _USER],
            None),
    History("template-history", "a tool call with its result",
            [_USER, _CALL, _RESULT], None),
    History("template-history", "a user message after a tool result",
            [_USER, _CALL, _RESULT, _USER], "requiresAssistantAfterToolResult"),
    History("template-history", "an earlier answer without its reasoning",
            [_USER, {"role": "assistant", "content": "Hello."}, _USER],
            "requiresReasoningContentOnAssistantMessages"),
)
_TOGETHER = History(
    "template-history", "a conversation that holds all of these",
    [message for history in _HISTORIES for message in history.messages], None)


def _check_template(case):
    """Let /tokenize try the chat template on roles and histories, and count a prompt exactly."""
    for model in _chosen_models(case):
        count, reply = _tokenize(case, model, [_USER])
        if count is None:
            error = http_error(case.beside("/tokenize"), reply, None)
            if reply.status in (400, 422, 500):
                error = completion_error(error.facts["url"], reply, case.provider,
                                         model)
            if error.cause in ("no-chat-template", "engine-dead"):
                case.chats = None
                yield error
            else:
                yield _skipped(
                    "http-error",
                    "/tokenize counts nothing: HTTP %d" % reply.status)
            return
        faults = list(_template_findings(case, model))
        yield from faults
        if not faults:
            estimate = estimate_tokens({"messages": [_USER]})
            yield (
                "%s: the chat template takes all that OpenClaw sends; a prompt "
                "of one word is %s, "
                "estimated as %d" % (model.key, _plural(count, "token"), estimate))


def _template_findings(case, model):
    """Yield the roles and histories that the chat template refuses.

    The histories are tried together, and one by one only when that is refused.
    """
    asked, words = model.compat.get("supportsDeveloperRole"), None
    if asked is not False:
        eager = model._replace(reasoning=True,
                               compat={"supportsDeveloperRole": True})
        words = _refusal_of(case, eager,
                            [{"role": "developer", "content": "Be brief."}, _USER])
    if words is not None:
        error = error_for(
            "template-role", model=model.key, role="developer",
            words=words,
            fix="have it sent as system: compat: { supportsDeveloperRole: false }")
        status, switches = "warn", {"supportsDeveloperRole": False}
        if asked and model.reasoning:                # else it is sent as system
            status = None
        yield _compat_finding(case, model, error, switches, status)
        model = model._replace(compat=dict(model.compat, **switches))
    whole = _refusal_of(case, model, _TOGETHER.messages)
    refused = []
    for history in _HISTORIES if whole else ():
        explained = any(history.messages[:len(start)] == start
                        for start in refused)
        words = None
        if not explained:
            words = _refusal_of(case, model, history.messages)
        if words is not None:
            refused.append(history.messages)
            yield _history_finding(case, model, history, words)
    if whole and not refused:
        yield _history_finding(case, model, _TOGETHER, whole)


def _history_finding(case, model, history, words):
    """Return the Finding for a history that is refused, with its switch where that helps."""
    switches, fix = {}, "start vLLM with a template that takes it: --chat-template FILE"
    if history.switch:
        compat = dict(model.compat, **{history.switch: True})
        if _refusal_of(case, model._replace(compat=compat),
                       history.messages) is None:
            switches[history.switch] = True
            fix = "set compat: { %s: true }" % history.switch
    error = error_for(
        history.cause, model=model.key, role=history.words, history=history.words,
        words=words, fix=fix)
    return _compat_finding(case, model, error, switches)


def _compat_finding(case, model, error, switches, status=None):
    """Return the Finding of an error that {switch: value} of a model's `compat` avoids."""
    edits = [
        Edit(path + ("compat", name), switches[name])
        for path, row in _rows(case)
        for name in sorted(switches)
        if row["id"] == model.id]
    if switches and not edits:
        error.hint = "declare the model, then " + error.hint
        error.command = case.config_command()
    return case.finding(error, status, edits)


def _tokenize(case, model, messages):
    """Return (number of tokens or None, Reply) of POST /tokenize."""
    body = {"model": model.id, "messages": messages}
    reply = case.ask(case.beside("/tokenize"),
                     request_headers(case.provider, model), body)
    count = _get(_json_of(reply), "count")
    return count if isinstance(count, int) else None, reply


def _refusal_of(case, model, messages):
    """Return the words by which /tokenize refuses messages, shaped for a model, or None."""
    shaped = shape_request({"messages": messages}, model)
    count, reply = _tokenize(case, model, shaped.body["messages"])
    if count is not None:
        return None
    if reply.status not in (400, 422, 500):
        raise http_error(case.beside("/tokenize"), reply,
                         case.provider.request_key)
    return ": " + reply_words(reply)[1]


def _check_exposed(case):
    """Say what a key does not guard; found without trying it."""
    url = origin(case.url)
    if not case.enforced:
        yield "no key is enforced: whoever reaches the port may use the server"
    elif case.version is None or is_loopback(case.target.host):
        yield "nothing but /v1 is seen that a stranger could reach"
    else:
        paths = ["/version"]
        # if hidden, too
        if "/invocations" in (_get(case.openapi, "paths") or "/invocations"):
            paths.append("/invocations, which runs the model")
        if case.look("/metrics").status == 200:
            paths.append("/metrics")
        yield error_for("exposed", url=url, paths=" and ".join(paths))


# With --probe: completions, sent as `chat` sends them.

_PROBE_TOOL = {"type": "function", "function": {
    "name": "get_current_time", "description": "The current time in a city.",
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}},
        "required": ["city"]}}}
# Markup of calls, and of reasoning, that no parser of the server took out of the content.
_TOOL_TEXT = (
    r"<(?:\w+:)?tool_calls?>|<function_calls?>|<function=|<TOOLCALL>|\[TOOL_CALLS\]|<[|\uff5c]tool|"
    r"<\|python_tag\|>|<\|channel\|>commentary|\bcall:\w+\{|\[\w+\(\w+=|"
    r"\{[^{}]*\"name\"\s*:\s*\"[^{}]*\"(?:arguments|parameters)\"\s*:")
_REASONING_TEXT = (
    r"</?(?:\w+:)?think(?:ing)?>|\[/?THINK\]|\u25c1/?think\u25b7|<\|channel\|>analysis|"
    r"<\|(?:START|END)_THINKING\|>")


def _probe_models(case):
    """Probe all chosen models at once."""
    calls = [(case, model) for model in _chosen_models(case)]
    for findings in in_parallel(_probe, calls):
        yield from findings


def _probe(case, model):
    """Return what one tiny completion, and one with a tool, show of a model."""
    found = []
    try:
        model = thinking_model(
            case.provider, model, case.thinking, case.patience(DISCOVERY_TIMEOUT_S))
        found += _probe_stream(case, model)
        if model.compat.get("supportsTools") is not False:
            found.append(_probe_tools(case, model))
    except Error as error:
        found.append(_completion_finding(case, model, error))
    return found


def _complete(case, model, question, **fields):
    """Return (body, Observed, Answer) of one small streamed completion, shaped as OpenClaw does.

    Raises Error, for a stream that breaks a rule of the protocol too.
    """
    fields.update(messages=[{"role": "user", "content": question}],
                  max_tokens=PROBE_TOKENS)
    body = shape_request(fields, model, case.thinking).body
    observed, limit_s = Observed(), case.patience(PROBE_TIMEOUT_S)
    answer = collect_answer(
        send_chat(case.provider, model, body, limit_s, limit_s, observed))
    for broken, detail in (
            (not observed.framed,
             "a stream was asked for, and JSON without `data:` came"),
            (answer.finish_reason is None, "no chunk gives a finish reason"),
            (not observed.done, "it ended without [DONE]")):
        if broken:
            url = model.base_url + "/chat/completions"
            raise error_for("stream-broken", url=url, detail=detail)
    return body, observed, answer


def _completion_finding(case, model, error):
    """Return the Finding of a completion that failed."""
    switches, status = {}, None
    if error.cause in ("not-openai", "answer-broken", "answer-too-large"):
        detail = error.facts.get("detail") or error.message
        error = error_for("stream-broken", url=error.facts["url"], detail=detail)
    elif error.cause == "unknown-field-rejected":
        switches = dict(filter(None, [error.facts["switch"]]))
    elif error.cause == "tools-disabled":
        status = "warn"
    return _compat_finding(case, model, error, switches, status)


def _probe_stream(case, model):
    """Return what a stream shows: usage, buffering, an answer or none, and how fast it was."""
    body, observed, answer = _complete(case, model, "Count from one to twenty.")
    found = []
    if answer.usage is None and "stream_options" in body:
        error = error_for("usage-missing", model=model.key)
        found.append(
            _compat_finding(case, model, error,
                            {"supportsUsageInStreaming": False}))
    first_s, last_s = observed.first_piece_s, observed.last_piece_s
    burst = first_s >= BUFFERED_AFTER_S and last_s - first_s < 0.01
    if last_s >= BUFFERED_AFTER_S and observed.events >= 8 and (burst
                                                                or observed.pieces <= 3):
        found.append(error_for(
            "stream-buffered", model=model.key, seconds=last_s,
            events=observed.events, pieces=observed.pieces))
    marker = re.search(_REASONING_TEXT, answer.content)
    if marker:
        found.append(
            _parser_finding(case, model, "reasoning-in-content", marker,
                            REASONING_PARSER))
    elif not answer.content:
        error, status = empty_answer(model, answer), None
        if answer.finish_reason == "length":
            status = "warn"
            error.hint = "none is needed if it reasons: a probe allows %d tokens" % PROBE_TOKENS
        found.append(case.finding(error, status))
    words = "%s: headers after %.2f s, %s" % (model.key, observed.headers_s,
                                              statistics(answer))
    if observed.reasoning_field:
        words += ", it reasons, in the field %s" % observed.reasoning_field
    return found + [words]


def _parser_finding(case, model, cause, marker, option):
    """Return the Error for markup in the content that a parser of the server should have read."""
    facts = parser_facts(case.url, model, option)
    if option is TOOL_PARSER:
        facts["fix"] += "; if it stays so, set params.extra_body.tool_choice to \"required\""
    return error_for(cause, model=model.key, detail=marker.group(0), **facts)


def _probe_tools(case, model):
    """Return the Finding for the answer to a request with a tool."""
    question = "What time is it in Paris? Call the tool."
    _, _, answer = _complete(case, model, question, tools=[_PROBE_TOOL])
    marker = re.search(_TOOL_TEXT, answer.content)
    if marker and not answer.tool_calls:
        return _parser_finding(case, model, "tool-parser-mismatch", marker,
                               TOOL_PARSER)
    for call in answer.tool_calls:
        detail = None
        try:
            arguments = loads_untrusted(call["function"]["arguments"] or "{}")
            own = call["function"]["name"] == _PROBE_TOOL["function"]["name"]
            if own and not _get(arguments, "city"):
                detail = "no value for its required argument"
        except ValueError:
            detail = "arguments that are cut off or not JSON"
        if detail and answer.finish_reason != "length":
            return error_for("tool-arguments", model=model.key, detail=detail)
    called = "it answered without a call"
    if answer.tool_calls:
        called = "it called one"
    return "%s: tools are taken; %s" % (model.key, called)


Check = collections.namedtuple("Check", "name needs gate examine")
Check.__doc__ = """One row of the table of checks, in the order they run.

`needs` is what the case must hold for it to look; what a `gate` finds decides the exit status.
`examine` yields a text for what is well, an Error for what is not, or a Finding.
"""
_CHECKS = (
    Check("settings", None, True, _check_settings),
    Check("provider", "provider", True, _check_provider),
    Check("key", "provider", True, _check_key),
    Check("base-url", "provider", True, _check_base_url),
    Check("connect", "usable", True, _check_connect),
    Check("auth", "answered", True, _check_auth),
    Check("version", "connected", False, _check_version),
    Check("health", "connected", False, _check_health),
    Check("models", "rows", False, _check_models),
    Check("chat", "rows", False, _check_chat),
    Check("references", "rows", False, _check_references),
    Check("limits", "rows", False, _check_limits),
    Check("template", "chats", False, _check_template),
    Check("exposed", "rows", False, _check_exposed),
)
_PROBES = (Check("probe", "chats", False, _probe_models),)


# ----------------------------------------------------------------------------
# Config editing: the wanted value, and the text that has it
# ----------------------------------------------------------------------------
# Pure. Merging, pruning and edits make the value that is wanted; `edited_text` writes what
# differs into the text, and proves that it now reads as that value. Nothing outside the
# difference may change by a byte.

Noted = collections.namedtuple("Noted", "value note")
Noted.__doc__ = "A value to write, and the comment above it that says where it comes from."

Merge = collections.namedtuple("Merge", "wanted unserved")
Merge.__doc__ = """What `merge_provider` returns: the wanted config, and the ids of the rows kept
although the server does not serve them."""
_SIZES = ("contextWindow", "maxTokens")


def config_block(models, base_url, evidence):
    """Return the models.providers.<id> object for some Models, as OpenClaw's documentation has it.

    `evidence` is {model id: (compat object or None, reason) or None}: what was seen of
    a model's thinking; the reason becomes a comment. A Model whose context_window is
    None gets no window.
    """
    rows = [_config_row(model, *(evidence.get(model.id) or (None, "")))
            for model in models]
    return {
        "baseUrl": base_url,
        "apiKey": "${VLLM_API_KEY}",
        "api": "openai-completions",
        "timeoutSeconds": 300,
        "models": rows,
    }


def _config_row(model, compat, reason):
    row = {
        "id": unsubstituted(model.id),
        "name": unsubstituted(model.name),
        "reasoning": bool(model.reasoning or reason),
        "input": list(model.input),
        "cost": {
            "input": 0,
            "output": 0,
            "cacheRead": 0,
            "cacheWrite": 0,
        },
    }
    if model.context_window is not None:
        row["contextWindow"] = model.context_window
        row["maxTokens"] = _written_max_tokens(model.context_window)
    if compat:
        row["compat"] = Noted(compat, reason)
    elif reason:
        row["reasoning"] = Noted(True, reason)
    return row


def _written_max_tokens(context_window):
    return max(1, min(DEFAULT_MAX_TOKENS, int(context_window) // 2))


def _plain(value):
    """Return a copy of a value without the notes in it."""
    if isinstance(value, Noted):
        value = value.value
    if isinstance(value, dict):
        return {key: _plain(item)
                for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def merge_provider(
        config,
        block,
        provider=DEFAULT_PROVIDER,
        wildcard=False,
        primary=None,
        refresh=False,
        replace_base_url=False,
        variables=None,
        bases=None):
    """Return the Merge that brings a `config_block` into a config.

    `config` is the file's own object, before $include and substitution;
    `variables` what it would be substituted with, so that `id: "${MODEL}"` is
    known for what it is. `primary` is a whole reference such as vllm/qwen.
    What the file says stays, and rows gain what they lack; `refresh` renews
    contextWindow and maxTokens, `replace_base_url` the base URL; `wildcard`
    asks for discovery and adds no rows. `bases` is {id of an adapter: id of its
    base}. The merge of its own result changes nothing.
    """
    variables = variables or {}
    wanted = _plain(config)
    spelled, _ = find_block(wanted, provider)
    providers = wanted.setdefault("models", {}).setdefault("providers", {})
    known = providers.setdefault(spelled, dict(block, models=[]))
    for field in ("baseUrl", "apiKey", "api"):
        if field != "apiKey" or not _authorizes(known):
            known.setdefault(field, block[field])
    now = _substitute(known["baseUrl"], variables)
    if replace_base_url and now.rstrip("/") != block["baseUrl"]:
        known["baseUrl"] = block["baseUrl"]
    unserved = []
    if not wildcard:
        unserved = _merge_rows(known, block["models"], refresh, variables, bases or {})
    if wildcard or primary:
        defaults = wanted.setdefault("agents", {}).setdefault("defaults", {})
    if wildcard:
        chosen = defaults.setdefault("models", {})
        if provider.lower() + "/*" not in map(str.lower, chosen):
            chosen[provider + "/*"] = {}
    if primary:
        place, key = defaults.setdefault("model", {}), "primary"
        if isinstance(place, str):
            place, key = defaults, "model"
        now = _substitute(place.get(key), variables)
        if not _same_key(now, primary):
            place[key] = unsubstituted(primary)
    return Merge(wanted, unserved)


def _authorizes(known):
    """Tell whether a provider block brings its key in another way than apiKey."""
    headers = map(str.lower, known.get("headers") or {})
    return _get(known, "request", "auth") is not None or "authorization" in headers


def _merge_rows(known, served, refresh, variables, bases):
    """Merge served rows into a provider block; return the ids of its rows that are not served."""
    if not isinstance(known.setdefault("models", []), list):
        known["models"] = []                             # of an $include; it will be refused
    rows = {}
    for row in known["models"]:
        rows.setdefault(_row_id(row, variables), row)
    served = {_row_id(row, variables): row
              for row in served}
    unserved = [model_id
                for model_id in rows
                if model_id not in served]
    for model_id in sorted(served, key=lambda model_id: model_id in bases):
        row = served[model_id]
        base = rows.get(bases.get(model_id))
        if base is not None:
            row = _like_base(row, base, bases[model_id])
        if model_id in rows:
            _complete_row(rows[model_id], row, known, refresh)
        else:
            rows[model_id] = row
            known["models"].append(row)
    return unserved


def _row_id(row, variables):
    return str(_substitute(_get(row, "id"), variables)).strip()


def _like_base(row, base, base_id):
    """Return the row of an adapter with reasoning and compat of its base's row."""
    thinks = _plain(base.get("reasoning", False))
    row = dict(row, reasoning=Noted(thinks, "by its base, " + base_id))
    row.pop("compat", None)
    if "compat" in base:
        row["compat"] = _plain(base["compat"])
    return row


def _complete_row(row, served, known, refresh):
    """Give a row of the file what it lacks; `known` is the provider block around it."""
    served = dict(served)
    if refresh:
        row.update((size, served[size])
                   for size in _SIZES
                   if size in row and size in served)
    elif "maxTokens" in served:
        windows = (row.get("contextTokens"),
                   row.get("contextWindow", known.get("contextWindow")))
        window = min(filter(_is_number, windows), default=served["contextWindow"])
        served["maxTokens"] = _written_max_tokens(window)
    if row.get("reasoning") is False:
        served.pop("compat", None)                       # it would ask for thinking
    switches = row.get("compat", {})
    for name, value in _plain(served.get("compat", {})).items():
        switches.setdefault(name, value)
    for field, value in served.items():
        if field not in _SIZES or field not in known:
            row.setdefault(field, value)


def prune_rows(config, provider, served, variables=None):
    """Return a config without the rows of a provider whose ids are not among `served`."""
    wanted = _plain(config)
    spelled, _ = find_block(wanted, provider)
    rows = _get(wanted, "models", "providers", spelled, "models")
    if isinstance(rows, list):
        rows[:] = [row for row in rows
                   if "$include" in row
                   or _row_id(row, variables or {}) in served]
    return wanted


def refuse_included(value, wanted, path, sources, place=()):
    """Raise ConfigError where `wanted` differs from a file's value in a place that it includes.

    It does when an object on the way is nothing but an $include, or the included
    file has the key that differs too. `path` names the file, `sources` is {file: text}.
    """
    old, new = _keyed(value), _keyed(wanted)
    is_array = isinstance(value, list)                   # a row from elsewhere may be any model
    targets = [target
               for row in (value if is_array else [value])
               for target in include_targets(row, path)]
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        for target in targets:
            if is_array or len(old) == 1 or included_has(target, key, sources):
                raise error_for(
                    "config-included",
                    where=path,
                    included=target,
                    place=dotted(place + (key,)))
        refuse_included(before, after, path, sources, place + (key,))


def _keyed(value):
    """Return a container as {key or index: value}; of a scalar, {}."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}


def apply_edits(config, edits):
    """Return a copy of a config with some Edits made, in their order.

    Objects (arrays before an index) are made on the way; an index one past the end
    appends; what is absent stays so when it is to be removed. Raises ConfigError where
    a path leads through a scalar or past the end of an array.
    """
    wanted = _plain(config)
    for path, value in edits:
        place = wanted
        for depth, key in enumerate(path):
            key = _key_in(place, key, path[:depth])
            following = path[depth + 1:]
            if key not in _keyed(place):
                if value is REMOVED:
                    break
                if isinstance(place, list):
                    place.append(None)
                place[key] = [] if following and isinstance(following[0], int) else {}
            if following:
                place = place[key]
            elif value is REMOVED:
                del place[key]
            else:
                place[key] = _plain(value)
    return wanted


def _key_in(place, key, above):
    """Return a key of a path as the container that it leads into has it; `above` is its path."""
    if isinstance(place, dict) and isinstance(key, str):
        return key
    if isinstance(place, list) and re.match(r"[0-9]{1,9}\Z", str(key)):
        key = int(key)                                   # models.0.id too, as messages have it
        if key <= len(place):
            return key
    raise error_for(
        "config-not-written",
        where=dotted(above) or "the top level",
        problem="there is no %s in %s" % (key, _json_type(place)),
        fix="look at what is there: %s config --check" % TOOL)


Look = collections.namedtuple("Look", "unit newline quote bare trailing")
Look.__doc__ = """How a file is written.

`unit` is one step of indentation; `quote` that of texts, and of keys that are not
`bare`; `trailing`: a comma ends the last line of a container.
"""
_PAGE_LOOK = Look("  ", "\n", '"', True, True)
_LINE_WIDTH = 100                    # columns that a container on one line may take

Member = collections.namedtuple("Member", "lead own value tail between comma end")
Member.__doc__ = """A member of a container: its texts in their order, but for `value`, a Node.

`own` are comments right above it, or before it on its line, and its key; `tail` and `end`
those behind it and behind its comma, on their line. `lead` and `between` are nobody's.
"""
_LINE_END = r"(?:\r\n|[\r\n\u2028\u2029])"
_COMMENT = r"(?://[^\r\n\u2028\u2029]*(?=[\r\n\u2028\u2029])|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)"
_BLANKS = r"[^\S\r\n\u2028\u2029]*"
# Comments behind something, on its line.
_BEHIND = r"(?:[ \t]*/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)*(?:[ \t]*//[^\r\n\u2028\u2029]*)?"
# Lines of comments without a blank line, and comments on the line that follows, up to the end.
_BEFORE = (
    r"(?:(?<=[\r\n\u2028\u2029])" + _BLANKS + "(?:" + _COMMENT + _BLANKS + ")+" + _LINE_END + ")*"
    + _BLANKS + "(?:" + _COMMENT + _BLANKS + r")*\Z")
# What follows a value: comments of its own, others, its comma, and comments that end its line.
_AFTER = (
    "(" + _BEHIND + ")(?:((?:[^],/}]|" + _COMMENT + ")*?)(,)"
    "(" + _BEHIND + "(?=" + _BLANKS + "(?:" + _LINE_END + r"|[]}])))?)?")
_GAP = "\0"                          # stands where something was taken out; no file has it
# Gaps, with a line of their own or the blanks on one side.
_GAPS = "(?:\r\n|[\r\n])?[ \t]*\0[ \t\0]*(?=[\r\n])|[ \t]*\0(?=[ \t\0]*[]}])|\0[ \t]*"


def edited_text(text, wanted, where):
    """Return the JSON5 text that reads as `wanted`, everything else kept byte for byte.

    Values in `wanted` may be Noted. `where` names the file. Raises ConfigError when the
    new text would not read as `wanted`, in the same order, or `text` is not JSON5.
    """
    root = json5_tree(text)
    new = _rewritten(text, _look(text, root), root, wanted)
    new_text = text[:root.start] + re.sub(_GAPS, "", new) + text[root.end:]
    prove_edit(new_text, _plain(wanted), where)
    return new_text


def prove_edit(new_text, wanted, where):
    """Raise ConfigError unless a text reads as the wanted value, in the same order."""
    try:
        found = json5_tree(new_text).value
        if json.dumps(found) == json.dumps(wanted):      # as texts: 1 is not True, and NaN is NaN
            return
    except Json5Error:
        pass
    raise error_for(
        "config-not-written",
        where=where,
        problem="the new text would not read as what is wanted",
        fix=_by_hand())


def _look(text, root):
    """Return the Look of a JSON5 text, as far as a glance shows it."""
    newline = re.search("\r\n|[\r\n]", text + "\n").group()
    if not root.items:
        return _PAGE_LOOK._replace(newline=newline)
    first, _ = json5_children(root)[0]
    members, _ = _members(text, root)
    quote = re.search(r"""[{[:,]\s*(["'])|\Z""", text).group(1)
    return Look(
        unit=_line_indent(text, first) or "  ",
        newline=newline,
        quote=quote or '"',
        bare=text[first] not in "\"'",
        trailing=bool(members[-1].comma),
    )


def _members(text, node):
    """Return (the Members of a container, the text from there to its end)."""
    after = re.compile(_AFTER)
    members, end = [], node.start + 1
    for start, value in json5_children(node):
        lead = text[end:start]
        own = re.search(_BEFORE, lead).group().lstrip()
        lead = lead[:len(lead) - len(own)]
        found = after.match(text, value.end)
        end = found.end()
        own += text[start:value.start]
        members.append(Member(lead, own, value, *found.groups("")))
    return members, text[end:node.end]


def _planned(node, wanted):
    """Return ([what each member becomes, maybe REMOVED], [(key or None, value) to add])."""
    if isinstance(node.value, dict) and isinstance(wanted, dict):
        plan, rest = [], dict(wanted)
        for key, _, _, child in reversed(node.items):    # of equal keys the last counts
            plan.append(rest.pop(key, child.value if key in wanted else REMOVED))
        return plan[::-1], list(rest.items())
    if isinstance(node.value, list) and isinstance(wanted, list):
        return _planned_items(node.value, wanted)
    return [REMOVED], [(None, wanted)]


def _planned_items(values, wanted):
    """Plan an array: its items go by their ids, else by what they are."""
    def name(item):
        return repr(_get(item, "id") or item)

    left = collections.Counter(map(name, values))
    plan, rest = [], list(wanted)
    for value in values:
        left[name(value)] -= 1
        now = REMOVED
        if rest and (name(rest[0]) == name(value) or not left[name(rest[0])]):
            now = rest.pop(0)                            # the same one, or one that has changed
        plan.append(now)
    return plan, [(None, item)
                  for item in rest]


def _rewritten(text, look, node, wanted, spread=False):
    """Return the text of a Node made to read as `wanted`, a _GAP where something was taken out.

    `spread`: its members get a line each.
    """
    old = text[node.start:node.end]
    if repr(node.value) == repr(wanted):                 # as texts: 1 is not True, and NaN is NaN
        return old
    plan, added = _planned(node, wanted)
    members, close = _members(text, node)
    kept = [index
            for index, value in enumerate(plan)
            if value is not REMOVED]
    indent = _line_indent(text, node.start)
    outer = look.newline + indent
    inner = outer + look.unit
    if added and not kept:
        if plan or not close[:-1].strip():
            return render_json5(wanted, look, indent)
        body = _joined(added, look, inner) + "," * look.trailing
        return old[0] + close[:-1].rstrip() + body + outer + close[-1]
    one_line = not re.search(_LINE_END, old)
    if kept:
        last, ended = members[kept[-1]], members[-1].comma
        glue = " " if one_line else look.newline + _line_indent(text, last.value.start)
        if spread:
            glue, ended = inner, "," * look.trailing
        if not added:
            last = last._replace(comma=last.comma and (ended or _GAP))
        elif not last.comma:
            last = last._replace(tail="," + last.tail)
        body = _joined(added, look, glue) + ended * bool(added)
        members[kept[-1]] = last._replace(end=last.end + body)
    new = old[0]
    for member, value in zip(members, plan):
        new += member.lead
        if spread:
            new = new.rstrip(" \t") + inner
        if value is REMOVED:
            new += _GAP + member.between + _GAP
        else:
            new += member.own + _rewritten(text, look, member.value, value)
            new += "".join(member[3:])
    if spread:
        return new + outer + close.lstrip()
    grows = len(kept) + len(added) > len(plan)
    if one_line and grows and not _has_room(text, node, new + close):
        return _rewritten(text, look, node, wanted, True)
    return new + close


def _has_room(text, node, new):
    """Tell whether a line that holds a Node stays within the width when that becomes `new`."""
    before = text[max(0, node.start - _LINE_WIDTH):node.start]
    before = re.split(_LINE_END, before)[-1]
    behind = text[node.end:node.end + _LINE_WIDTH]
    behind = re.split(_LINE_END, behind)[0]
    return len(before + new + behind) <= _LINE_WIDTH


def _joined(members, look, glue):
    """Return the text of some members, each behind `glue`, with commas between."""
    indent = glue.lstrip("\r\n")
    texts = [glue + text
             for text in _member_texts(members, look, indent, glue != " ")]
    return ",".join(texts)


def render_json5(value, look=_PAGE_LOOK, indent=""):
    """Return a value as JSON5: on one line that has room, else its lines after the first indented.
    """
    if isinstance(value, str):
        return _quoted(value, look.quote)
    if not value or not isinstance(value, (dict, list)):
        return json.dumps(value)
    left, right = "[", "]"
    members = [(None, item)
               for item in value]
    if isinstance(value, dict):
        left, right = "{ ", " }"
        members = value.items()
    outer = look.newline + indent
    inner = outer + look.unit
    texts = _member_texts(members, look, indent + look.unit)
    text = left + ", ".join(texts) + right
    if len(indent + text) <= _LINE_WIDTH and look.newline not in text:
        return text
    return left[0] + inner + ("," + inner).join(texts) + "," * look.trailing + outer + right[-1]


def _member_texts(members, look, indent, notes=True):
    """Return the texts of [(key or None, value)] whose lines after the first stand at `indent`."""
    texts = []
    for key, item in members:
        note = ""
        if isinstance(item, Noted):
            item, note = item
        text = render_json5(item, look, indent)
        if key is not None:
            if not look.bare or not re.match(r"[A-Za-z_$][A-Za-z0-9_$]*\Z", key):
                key = _quoted(key, look.quote)
            text = key + ": " + text
        if note and notes and (look.bare or look.trailing):          # plain JSON has none
            note = re.sub(r"[^ -~]", " ", note)[:_LINE_WIDTH]
            text = "// " + note + look.newline + indent + text
        texts.append(text)
    return texts


def _quoted(text, quote):
    """Return a JSON5 string, all of it in ASCII when some of it cannot be seen."""
    text = json.dumps(text, ensure_ascii=not text.isprintable())
    text = text[1:-1].replace("\x7f", "\\u007f")
    if quote == "'":
        text = text.replace('\\"', '"').replace("'", "\\'")
    return quote + text + quote


def _line_indent(text, pos):
    """Return the blanks that begin the line of a position."""
    start = text.rfind("\n", 0, pos) + 1
    start = max(start, text.rfind("\r", start, pos) + 1)
    return re.compile("\ufeff?([ \t]*)").match(text, start).group(1)


# ----------------------------------------------------------------------------
# Writing openclaw.json
# ----------------------------------------------------------------------------

# The only section that writes files; at every moment the old file or the new one is there, whole.

def write_config(path, old_text, new_text):
    """Replace a config file, which must still hold `old_text` (None: be absent), by `new_text`.

    The old file stays beside it as .bak. Mode, group and, where permitted, owner are
    kept; a symlink's target is what is replaced, other hard links keep the old file; new
    files are 0600, new directories 0700. Raises ConfigError, having changed nothing.
    """
    real = os.path.realpath(path)
    directory = os.path.dirname(real)
    old = status = None
    try:
        if old_text is None:
            _make_directories(directory)
        else:
            old = old_text.encode("utf-8")
        _check_unchanged(real, old)
        if old is not None:
            status = os.stat(real)

        def keep_old():
            if old is not None:
                _replace_file(real + ".bak", old, status)
            _check_unchanged(real, old)

        _replace_file(real, new_text.encode("utf-8"), status, keep_old)
    except OSError as error:
        raise error_for("config-not-written", where=path, problem=error.strerror or str(error),
                        fix=_write_advice(error.errno, directory))


def _make_directories(directory):
    parent = os.path.dirname(directory)
    if not os.path.isdir(directory) and parent != directory:
        _make_directories(parent)
        os.mkdir(directory, 0o700)


def _check_unchanged(path, old):
    """Raise OSError or ConfigError unless a file holds `old` (None: is absent), writably."""
    try:
        with open(path, "r+b") as file:                  # +: a write-protected file is refused
            found = file.read()
    except FileNotFoundError:
        found = None
    if found != old:
        raise error_for("config-not-written", where=path,
                        problem="something else changed it in the meantime",
                        fix="look at what changed, then run it again")


def _replace_file(path, data, status, last_step=None):
    """Put `data` into place under `path`, with mode and owner of `status`, after `last_step`."""
    import tempfile
    directory, name = os.path.split(path)
    prefix, temporary = ".%s." % name, None
    if os.name == "posix":                               # elsewhere nobody says which processes run
        prefix += _process_space()
        _remove_stale(directory, prefix)
    try:
        descriptor, temporary = tempfile.mkstemp(".tmp", "%s%d." % (prefix, os.getpid()), directory)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if status is not None:
                _keep_owner_and_mode(temporary, status)
            os.fsync(file.fileno())
        with open(temporary, "rb") as file:
            if file.read() != data:
                raise OSError(errno.EIO, "what was written reads back differently")
        if last_step is not None:
            last_step()
        os.replace(temporary, path)
    except BaseException:                                # Ctrl-C too leaves nothing behind
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def _process_space():
    """Return a name for where process ids count: this host, on Linux a namespace of it."""
    space = re.findall(r"\[([0-9]+)\]", os.path.realpath("/proc/self/ns/pid"))
    return "-".join([os.uname().nodename] + space + [""])


def _remove_stale(directory, prefix):
    """Remove the temporary files under a prefix that killed processes left."""
    try:
        for name in os.listdir(directory):
            found = re.match(re.escape(prefix) + r"([0-9]{1,9})\.\w+\.tmp\Z", name)
            if found and not _is_running(int(found.group(1))):
                os.unlink(os.path.join(directory, name))
    except OSError:
        pass                                             # they are in nobody's way


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _keep_owner_and_mode(path, status):
    import stat
    made = os.stat(path)
    owner, group = status.st_uid, status.st_gid
    if (made.st_uid, made.st_gid) != (owner, group):
        for user in (owner, -1):                         # only root may give files away
            try:
                os.chown(path, user, group)
                break
            except PermissionError:
                pass
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_IMODE(made.st_mode) != mode:
        os.chmod(path, mode)                             # after chown, which takes bits away


def _sync_directory(directory):
    """Make a rename last through a power cut, where the system has a way to."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        pass                                             # the new file is in place all the same


# The next step after a write that failed with an errno; `*` is the directory.
_WRITE_ADVICE = (
    ((errno.EACCES, errno.EPERM), "allow it (ls -ld * shows who may write), then run it again"),
    ((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space under *, then run it again"),
    ((errno.EBUSY, errno.EXDEV), "the file seems to be mounted by itself, as containers do: "
                                 "mount its directory, then run it again"),
)


def _write_advice(code, directory):
    step = "look into that under *, then run it again"
    for codes, advice in _WRITE_ADVICE:
        if code in codes:
            step = advice
    return "%s; or %s" % (step.replace("*", directory), _by_hand())


def _by_hand():
    return "put the block in by hand; this prints it: %s config" % TOOL


# ----------------------------------------------------------------------------
# Demo: the stand-in server
# ----------------------------------------------------------------------------
# Answers as vLLM 0.32 does, for what the other verbs ask; it generates nothing but an echo.
# Whatever a client sends or leaves out, the server stays up and prints no traceback.

_DEMO_TIMEOUT_S = 30.0    # for a client to send the rest of its request
_DEMO_ROWS = [
    {
        "id": name,
        "object": "model",
        "root": root,
        "parent": parent,
        "max_model_len": limit,
    }
    for name, root, parent, limit in (
        ("demo/Qwen3-8B", "demo/Qwen3-8B", None, 40960),
        ("demo-alias", "demo/Qwen3-8B", None, 40960),
        ("demo-sql-lora", "/adapters/sql", "demo/Qwen3-8B", None),
    )
]
_DEMO_PAGES = {
    "/v1/models": {"object": "list", "data": _DEMO_ROWS},
    "/version": {"version": "0.0.0+demo"},
    "/health": "",
    "/openapi.json": {"paths": {"/v1/models": {}, "/v1/chat/completions": {}}},
}


def demo_reply(method, path, authorization, body, key=None):
    """Return what vLLM would answer: (status, JSON value). Pure.

    A list is the events of a stream.
    """
    if key and path.startswith("/v1") and authorization != "Bearer " + key:
        return 401, {"error": "Unauthorized"}
    if method == "GET" and path in _DEMO_PAGES:
        return 200, _DEMO_PAGES[path]
    if method == "GET" or path not in ("/tokenize", "/v1/chat/completions"):
        return 404, {"detail": "Not Found"}
    messages = _get(body, "messages")
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        words = "[{'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required'}]"
        return _demo_error(400, "BadRequestError", words)
    if body.get("model") not in [row["id"] for row in _DEMO_ROWS]:
        words = "The model `%s` does not exist." % body.get("model")
        return _demo_error(404, "NotFoundError", words)
    used = len(json.dumps(messages)) // 4
    if path == "/tokenize":
        return 200, {"count": used, "max_model_len": 40960}
    return 200, _demo_completion(body, used)


def _demo_error(status, kind, message):
    error = {
        "message": message,
        "type": kind,
        "param": None,
        "code": status,
    }
    return status, {"error": error}


def _demo_completion(body, used):
    """Return an answer that repeats the last message: one value, or a list of chunks."""
    said = (body["messages"] or [{}])[-1].get("content")
    if not isinstance(said, str):
        said = "nothing"
    words = ["You said: "] + re.findall(r"\S+\s*", said)
    size = len(words)
    usage = {
        "prompt_tokens": used,
        "completion_tokens": size,
        "total_tokens": used + size,
    }
    answer = {"id": "chatcmpl-demo", "model": body["model"]}
    if not body.get("stream"):
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return dict(answer, choices=[choice], usage=usage)
    choices = [{"index": 0, "delta": {"content": word}} for word in words]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [dict(answer, choices=[choice]) for choice in choices]
    if _get(body, "stream_options", "include_usage"):
        chunks.append(dict(answer, choices=[], usage=usage))
    return chunks


def demo_server(port=0, key=None):
    """Return a stand-in vLLM bound to loopback, not yet serving: a threaded http.server.

    `port` 0 takes a free one (`server_address[1]`). Raises OSError when the port is taken.
    """
    import http.server
    import socketserver

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _DEMO_TIMEOUT_S

        def log_message(self, *_):
            pass

        def handle(self):
            try:
                super().handle()
            except OSError:                          # a client may leave at any time
                pass

        def do_GET(self, body=None):
            path = self.path.partition("?")[0]
            key_sent = self.headers.get("Authorization")
            self.send(*demo_reply(self.command, path, key_sent, body, key))

        def do_POST(self):
            size = self.headers.get("Content-Length") or "0"
            try:
                if not re.match(r"[0-9]{1,8}\Z", size):
                    raise ValueError(size)
                body = loads_untrusted(self.rfile.read(int(size)).decode("utf-8"))
            except ValueError:
                self.close_connection = True         # where this body ends is not known
                return self.send(*_demo_error(400, "BadRequestError", "the body is not JSON"))
            self.do_GET(body)

        def send(self, status, value):
            kind = "application/json"
            text = ""
            if isinstance(value, list):
                kind = "text/event-stream"
                events = [json.dumps(event) for event in value] + ["[DONE]"]
                text = "".join("data: %s\n\n" % event for event in events)
            elif value:
                text = json.dumps(value)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode("ascii"))

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True
        request_queue_size = 128

    return Server(("127.0.0.1", port), Handler)


# ----------------------------------------------------------------------------
# Console: the streams, and what a terminal may be shown
# ----------------------------------------------------------------------------
# Everything that is written goes through here and is redacted. OutputFailed is not an OSError:
# a reader that left must not look like a broken server.

class OutputFailed(Exception):
    """Standard output took no more; its argument is why: a BrokenPipeError when nobody reads."""


class Console(object):
    """The streams of one run: everything written goes through here, redacted and made visible."""

    def __init__(self, stdin, stdout, stderr, env):
        self.stdin = stdin or io.StringIO()          # None: it is closed
        self.stdout = stdout
        self.stderr = stderr or io.StringIO()
        self.env = env
        self.secrets = []
        self.verbose = False
        self._said = set()

    def hide(self, texts):
        """Remember texts that must never be shown, in any spelling."""
        texts = set(self.secrets).union(*map(spellings, texts))
        self.secrets = sorted(texts, key=len, reverse=True)

    def shown(self, text, unsafe=UNSAFE):
        """Return a text as it may be shown: redacted, then made visible."""
        return visible(redact(text, self.secrets), unsafe)

    def out(self, text, unsafe=UNSAFE):
        """Write lines to standard output; one line with UNSAFE_LINE, whatever the text holds."""
        self.write(self.stdout, self.shown(text, unsafe) + "\n")

    def err(self, text, unsafe=UNSAFE):
        """Write lines about the run to standard error, at once; never fails."""
        self.write(self.stderr, self.shown(text, unsafe) + "\n")
        self._attempt(self.stderr, self.stderr.flush)

    def err_once(self, text):
        """Write lines to standard error, the same ones once in a run."""
        if text not in self._said:
            self._said.add(text)
            self.err(text)

    def report(self, error, label="error: "):
        """Write an Error in one to three lines: what and where, the next step, where to ask."""
        self.err(label + error.message, UNSAFE_LINE)
        if error.next_step:
            self.err("  " + error.next_step, UNSAFE_LINE)
        if error.cause in DOCTOR_KNOWS_MORE:
            self.err_once("  more: %s doctor" % TOOL)

    def out_json(self, value):
        """Write a JSON value to standard output: safe on any terminal, the same to a parser."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        plain = encoding.lower() not in ("utf-8", "utf8")
        encoder = json.JSONEncoder(indent=2, ensure_ascii=plain)
        pieces = encoder.iterencode(redact_value(value, self.secrets))

        def escape(match):
            return "\\u%04x" % ord(match.group(0))

        while True:                                  # in batches: all of it would double the memory
            text = "".join(itertools.islice(pieces, 5000))
            if not text:
                break
            self.write(self.stdout, re.sub(UNSAFE, escape, text))
        self.write(self.stdout, "\n")

    def out_exact(self, text):
        """Write a line that a program reads: only known secrets are changed."""
        self.write_answer(redact_known(text, self.secrets) + "\n")

    def write_answer(self, text):
        """Write redacted text of an answer: as UTF-8 to a pipe or file, visible to a terminal."""
        if is_terminal(self.stdout):
            text = visible(text, UNSAFE_ANSWER)
        elif hasattr(self.stdout, "buffer"):
            self.flush()
            data = text.encode("utf-8", "backslashreplace")
            return self._attempt(self.stdout, self.stdout.buffer.write, data)
        self.write(self.stdout, text)

    def write_reasoning(self, text):
        """Write redacted reasoning to standard error, dimmed on a terminal that takes colour."""
        text = visible(text, UNSAFE_ANSWER)
        plain = self.env.get("NO_COLOR") or self.env.get("TERM") == "dumb"
        if is_terminal(self.stderr) and not plain:
            text = "\x1b[2m%s\x1b[0m" % text
        self.write(self.stderr, text)

    def write(self, stream, text):
        """Write text as it is, in whatever the stream can encode.

        Raises OutputFailed for standard output; a failure of standard error cannot be reported.
        """
        if stream is None:
            raise OutputFailed("it is closed")
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        self._attempt(stream, stream.write, text)

    def _attempt(self, stream, act, *arguments):
        try:
            act(*arguments)
        except (OSError, ValueError) as error:       # full, closed, or nobody reads
            if stream is self.stdout:
                raise OutputFailed(error)

    def flush(self):
        """Flush both streams: standard output must not fail at the interpreter's end only."""
        for stream in (self.stderr, self.stdout):
            if stream is not None:
                self._attempt(stream, stream.flush)


def is_terminal(stream):
    """Return whether a stream is a terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):             # no stream, or a closed one
        return False


class LiveText(object):
    """Writes text that comes in pieces, redacted, a secret cut across pieces included."""

    def __init__(self, secrets, write):
        self._secrets = secrets
        self._write = write
        self._pieces = []
        self._line_open = False

    def add(self, text):
        """Collect a piece."""
        self._pieces.append(text)

    def flush(self):
        """Write what was collected, but for an end that may begin a secret."""
        text = redact_known("".join(self._pieces), self._secrets)
        shown = len(text) - begun_secret(text, self._secrets)
        self._pieces = [text[shown:]]
        self._put(text[:shown])

    def end(self):
        """Write all that is left, unless it is most of a secret, and end the line."""
        self.flush()
        held = self._pieces.pop()
        if len(held) >= _SHORTEST_SECRET:
            held = "***"
        self._put(held)
        if self._line_open:
            self._put("\n")

    def _put(self, text):
        if text:
            self._write(text)
            self._line_open = not text.endswith("\n")


class _Display(object):
    """Shows Deltas: content on standard output, reasoning dimmed on standard error.

    What comes is collected; `flush`, called before the server is waited for, shows it.
    """

    def __init__(self, options, console):
        self._options = options
        self._console = console
        self._reasoning = LiveText(console.secrets, console.write_reasoning)
        self._content = LiveText(console.secrets, self._write_content)

    def _write_content(self, text):
        self._reasoning.end()
        self._console.write_answer(text)

    def add(self, delta):
        """Take one Delta."""
        if delta.reasoning and not self._options.quiet:
            self._reasoning.add(delta.reasoning)
        if delta.content and not self._options.json:
            self._content.add(delta.content)

    def flush(self):
        """Show what was collected."""
        self._reasoning.flush()
        self._content.flush()
        self._console.flush()

    def end(self):
        """Show all that is left, and end open lines."""
        self._reasoning.end()
        self._content.end()
        self._console.flush()


def display_width(text):
    """Return how many columns of a terminal a text takes: wide characters 2, combining ones 0."""
    if not re.search("[^ -~]", text):
        return len(text)
    import unicodedata
    width = 0
    for char in text:
        if unicodedata.east_asian_width(char) in "WF":
            width += 2
        elif not unicodedata.combining(char):
            width += 1
    return width


def _padded(text, width):
    return text + " " * (width - display_width(text))


# ----------------------------------------------------------------------------
# Verbs
# ----------------------------------------------------------------------------
# One `_add_…_parser` and one `_cmd_…` each. What a verb finds out it says on the Console; what
# it cannot do it raises, and only `run` turns that into an exit status.

def main(argv=None, env=None, stdin=None, stdout=None, stderr=None):
    """Run the command line and return its exit status; never calls sys.exit.

    `argv` is without the program's name; None means the process's own values.
    """
    if argv is None:
        argv = sys.argv[1:]
    env = dict(os.environ if env is None else env)
    console = Console(stdin or sys.stdin, stdout or sys.stdout, stderr or sys.stderr, env)
    try:
        status = run(list(argv), env, console)
        console.flush()
        return status
    except KeyboardInterrupt:
        console.err("")
        return 130
    except OutputFailed as failure:
        reason = failure.args[0]
        if isinstance(reason, BrokenPipeError):      # the reader has what it wanted
            return 0
        console.err("error: cannot write to standard output: %s" % reason)
        return 1


def run(argv, env, console):
    """Parse the arguments, run the verb they name and return its exit status."""
    console.hide(_secret_variables(env))
    verb = next((row for row in _VERBS if argv[:1] == [row[0]]), _NO_VERB)
    name, add_options, act, summary = verb
    try:
        parser = _parser(console, name, summary)     # one, for the verb asked for: it starts faster
        add_options(parser)
        if verb is not _NO_VERB:
            argv = argv[1:]
        options, unknown = parser.parse_known_args(argv)
        if verb is _NO_VERB and not options.version:
            raise UsageError("name a verb, and name it first", "--help lists the verbs")
        if unknown:                                  # by name only: the value may be a key
            names = re.findall("(?m)^--?[A-Za-z-]+", "\n".join(unknown))
            parser.error("unknown: " + (", ".join(names) or "an argument that is not an option"))
        console.verbose = options.verbose
        return act(options, env, console)
    except SystemExit:                               # argparse has printed the help
        return 0
    except Error as error:
        console.report(error)
        return error.exit_status


def _cmd_version(options, env, console):
    console.out("openclaw_vllm %s" % __version__)
    if options.verbose:
        import hashlib
        try:
            digest = hashlib.sha256(_file(__file__)).hexdigest()
        except (NameError, UsageError):
            digest = "unknown: this copy does not run from a file"
        console.out("sha256 " + digest)
    return 0


_EPILOG = """examples:
  export VLLM_API_KEY=vllm-local        any value does when the server enforces no key
  openclaw_vllm.py list                 the models, with their true context windows
  openclaw_vllm.py chat "Say hi"        ask the default model
  openclaw_vllm.py doctor               what is wrong, and what to type to fix it
  openclaw_vllm.py config --dry-run     what would be written into openclaw.json

exit status: 0 done, 1 nothing to show or a check failed, 2 wrong usage, 3 the
configuration, 4 the server, 5 the server refused the key, 130 interrupted
"""


def _parser(console, name, summary):
    """Return an ArgumentParser that prints its help to the console; what it refuses is raised."""
    import argparse

    class Parser(argparse.ArgumentParser):
        def print_help(self, file=None):
            console.write(console.stdout, self.format_help())

        def error(self, message):
            raise UsageError(message, "--help lists the options")

    def formatter(prog):                             # told the width, it asks no terminal for it
        return argparse.RawDescriptionHelpFormatter(prog, width=report_width(console) - 2)

    parser = Parser("openclaw_vllm.py " + name, description=summary, formatter_class=formatter,
                    allow_abbrev=False)
    parser.add_argument("--api-key", nargs="?", const="", type=_refuse_key, help=argparse.SUPPRESS)
    return parser


def report_width(console):
    """Return the columns of reports and help: the terminal's, at least 40, or 80."""
    if not is_terminal(console.stdout):
        return 80
    import shutil
    return max(40, shutil.get_terminal_size().columns)


def _add_version_options(parser):
    """Make a parser that of arguments which begin with no verb: help, or the version."""
    verbs = ["  %-9s %s" % (name, summary) for name, _, _, summary in _VERBS]
    parser.description += "\n\nverbs (VERB --help lists the options of one):\n" + "\n".join(verbs)
    parser.epilog = _EPILOG
    _add_flags(parser, version="print the version",
               verbose="with --version: the digest of this file")


_NO_VERB = ("VERB", _add_version_options, _cmd_version, "OpenClaw's vLLM provider in one file")


# Types of arguments. Each takes what was typed, and raises UsageError.

def _refuse_key(_):
    raise UsageError("a key on the command line can be read by every user of this host",
                     "use --api-key-file PATH, or the variable VLLM_API_KEY")


def seconds(text):
    value = float(text)                              # argparse says "invalid seconds value"
    if not 0 < value < LONGEST_TIMEOUT_S:
        raise UsageError("--timeout takes seconds, above 0 and below %d" % LONGEST_TIMEOUT_S)
    return value


def _body_field(text):
    """Return (name, value) of NAME=JSON."""
    name, _, value = as_utf8(text).partition("=")
    try:
        return name, loads_untrusted(value)
    except ValueError:
        raise UsageError("--param takes NAME=JSON", "like: --param top_k=20 --param 'stop=\"END\"'")


def _file(path):
    """Return the bytes of a file."""
    try:
        with open(path, "rb") as source:
            return source.read()
    except (OSError, ValueError) as error:           # ValueError: a NUL in the path
        raise UsageError("%s cannot be read: %s" % (path, error.args[-1]))


def _json_file(path):
    """Return the value of a JSON5 file."""
    try:
        return json5_loads(_file(path))
    except Json5Error as error:
        raise UsageError("%s: %s" % (path, error.message))


_IMAGE_KINDS = ((b"\x89PNG\r\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"),
                (b"RIFF", "webp"))


def _image_url(text):
    """Return the URL of an image: a file's holds its bytes."""
    if re.match(r"(?i)(https?|data):", text):
        return text
    import base64
    data = _file(text)
    for magic, kind in _IMAGE_KINDS:
        if data.startswith(magic):
            return "data:image/%s;base64,%s" % (kind, base64.b64encode(data).decode("ascii"))
    raise UsageError("--image %s is not a PNG, JPEG, GIF or WebP file" % text)


def as_utf8(text):
    """Return an argument or a line as UTF-8, whatever Python took it for in the C locale.

    Raises UsageError when it is not UTF-8.
    """
    try:
        if re.search("[\ud800-\udfff]", text):
            text = os.fsencode(text).decode("utf-8")
        return text
    except ValueError:
        raise UsageError("what was typed is not valid UTF-8")


def _add_flags(parser, **flags):
    """Add an option without a value for each name; the values are the words of its help."""
    for name, words in flags.items():
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help=words)


def _add_value(parser, name, metavar, words, kind=None, **more):
    """Add an option with a value; `words` are its help, `kind` makes the value of the text."""
    parser.add_argument(name, metavar=metavar, help=words, type=kind, **more)


def _add_server_options(verb):
    group = verb.add_argument_group("the server")
    _add_value(group, "--config", "PATH",
               "openclaw.json to read (default: where OpenClaw keeps it)")
    _add_value(group, "--provider", "ID", "a block of models.providers (default: vllm); "
               "list and doctor take several, or all", as_utf8, action="append", default=[])
    _add_value(group, "--base-url", "URL", "ask this server, above every setting; "
               "list and doctor take several", as_utf8, action="append", default=[])
    _add_value(group, "--api-key-file", "PATH", "read the key from a file (-: standard input)")
    _add_value(group, "--timeout", "SECONDS", "how long to wait for the server", seconds)
    _add_value(group, "--ca-file", "PEM", "trust the authorities in this file")
    _add_flags(group, verbose="say on standard error what is done")


def _add_model_options(verb):
    group = verb.add_argument_group("the model")
    _add_value(group, "--model", "REF", "vllm/<id>, an id or an alias (default: the default model)",
               as_utf8)
    _add_value(group, "--thinking", "LEVEL", "one of: " + ", ".join(THINKING_LEVELS), str.lower,
               choices=THINKING_LEVELS)


def _open_provider(options, env, console):
    """Return (Settings, Provider) for the shared options of a verb that takes one server."""
    settings, providers = _open_providers(options, env, console)
    if len(providers) > 1:
        raise UsageError("this verb takes one server", "give --provider or --base-url once")
    return settings, providers[0]


def _open_providers(options, env, console):
    """Return (Settings, [Provider]) for the shared options."""
    settings = load_settings(options.config, env)
    key = _read_key(options.api_key_file, console)
    providers = resolve_providers(settings, options.provider, options.base_url, key,
                                  options.ca_file)
    for provider in providers:
        hide_secrets(console, settings, provider)
        say_where_the_key_goes(console, provider)
    for warning in settings.warnings:
        if not warning.path or console.verbose:
            console.err("warning: %s: %s" % (issue_place(warning), warning.message))
    return settings, providers


def say_where_the_key_goes(console, provider):
    """Warn of a key that would be sent in the clear; with --verbose name its source and origin."""
    warning = key_exposed(provider)
    if warning:
        console.err_once("warning: " + warning)
    if console.verbose:
        sent = "no key"
        if provider.request_key is not None:
            sent = "the key of " + provider.request_key.source
        console.err_once("%s: base URL %s (%s) is sent %s" % (
            provider.id, provider.base_url, provider.where, sent))


def _secret_variables(variables):
    """Return the values of environment variables named like a secret, and passwords in URLs."""
    found = [value for name, value in variables.items()
             if re.search("(?i)key|token|secret|password", name)]
    return found + re.findall(r":([^:@/\s]+)@", " ".join(variables.values()))


def hide_secrets(console, settings, provider):
    """Tell the console every key, token and header value in these settings, of any provider."""
    console.hide(
        [credential.key for credential in provider.credentials]
        + list(request_headers(provider).values())
        + _secret_variables(settings.variables)
        + secret_texts(settings.config))


def _read_key(path, console):
    """Return the text of --api-key-file, None without the option. Raises UsageError."""
    if not path:
        return None
    text = _read_stdin(console) if path == "-" else _file(path).decode("utf-8-sig", "replace")
    key = text.strip()
    if not key:
        raise UsageError("--api-key-file %s holds no key" % path,
                         "write the key into it, and nothing else")
    console.hide([key])
    return key


def _read_stdin(console):
    """Return standard input as text. Raises UsageError."""
    data = getattr(console.stdin, "buffer", console.stdin).read(ANSWER_LIMIT + 1)
    if len(data) > ANSWER_LIMIT:
        raise UsageError("standard input is larger than %d bytes" % ANSWER_LIMIT)
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("standard input is not UTF-8 (byte %d)" % error.start)


def _add_list_parser(verb):
    form = verb.add_mutually_exclusive_group()
    _add_flags(form, json="print the object of `openclaw models list --json`",
               plain="print one key a line")
    _add_flags(verb, strict="with several servers: fail when one of them did not answer")
    _add_server_options(verb)


def _cmd_list(options, env, console):
    _, providers = _open_providers(options, env, console)
    outcomes = list_everywhere(providers, options.timeout)
    errors = [error for _, _, error in outcomes if error]
    rows = [(model, provider) for provider, models, _ in outcomes for model in models]
    rows.sort(key=lambda row: row[0].key.lower())
    several = len(outcomes) > 1
    if options.json and (rows or several):
        servers = collections.defaultdict(list)
        for model, _ in rows:
            servers[model.id].append(model.base_url)
        if not several:
            servers = None
        models = [list_row(model, provider, servers) for model, provider in rows]
        console.out_json({"count": len(models), "models": models})
    elif options.plain:
        for model, _ in rows:
            console.out(model.key, UNSAFE_LINE)
    elif rows:
        console.out("\n".join(format_table(rows, several, console.shown)))
    console.flush()
    for error in errors:
        console.report(error)
    if errors and (options.strict or not rows):
        return errors[0].exit_status
    return 0


def list_row(model, provider, servers=None):
    """Return the row of `list --json` for a Model (the shape is a contract; see README).

    `servers` are {model id: [base URL]} where several were asked.
    """
    row = {
        "key": model.key,
        "name": model.name,
        "input": "+".join(model.input) or "-",       # as OpenClaw prints it
        "contextWindow": model.context_window,
        "local": is_local(split_url(model.base_url).host),
        "available": provider.refusal is None,
        "tags": list(model.tags),
        "source": model.source,
        "maxTokens": model.max_tokens,
        "reasoning": model.reasoning,
    }
    stated = {"contextTokens": model.context_tokens, "parent": model.parent, "root": model.root}
    row.update((name, value) for name, value in stated.items() if value is not None)
    if servers is not None:
        row["server"] = model.base_url
        row["alsoOn"] = [url for url in servers[model.id] if url != model.base_url]
    return row


def format_table(rows, several=False, show=visible):
    """Return the lines of the table of `list` for (Model, Provider) rows.

    `several` servers have a column; `show` makes texts of a server safe to show.
    """
    cells = [["Model", "Input", "Ctx", "Local", "Auth", "Server", "Tags"]]
    for model, provider in rows:
        row = list_row(model, provider)
        cells.append([
            show(model.key, UNSAFE_LINE),
            row["input"],
            str(model.context_tokens or model.context_window or "-"),
            "yes" if row["local"] else "no",
            "yes" if provider.request_key else "no",
            model.base_url,
            show(",".join(model.tags), UNSAFE_LINE),
        ])
    if not several:
        for row in cells:
            del row[-2]
    sizes = [max(map(display_width, column)) for column in zip(*cells)]
    return ["  ".join(map(_padded, row, sizes)).rstrip() for row in cells]


def _add_chat_parser(verb):
    verb.add_argument("prompt", nargs="*", metavar="PROMPT", type=as_utf8,
                      help="the prompt; standard input is added to it")
    _add_value(verb, "--system", "TEXT", "the system message", as_utf8)
    _add_value(verb, "--image", "FILE|URL", "show the model an image (repeatable)", _image_url,
               action="append")
    _add_value(verb, "--max-tokens", "N", "at most so many tokens of answer", int)
    _add_value(verb, "--temperature", "T", "how freely to choose each token; 0: not at all", float)
    _add_value(verb, "--param", "NAME=JSON", "any other field of the body (repeatable)",
               _body_field, action="append", default=[])
    _add_value(verb, "--tools", "FILE", "JSON list of tools to offer", _json_file)
    _add_value(verb, "--schema", "FILE", "JSON schema that the answer must follow", _json_file)
    _add_flags(verb, json="print the whole answer as one JSON object",
               no_stream="ask for the answer in one piece",
               quiet="no reasoning and no statistics on standard error")
    _add_model_options(verb)
    _add_server_options(verb)


def _cmd_chat(options, env, console):
    fields = _chat_fields(options)
    prompt = " ".join(options.prompt)
    interactive = not prompt and is_terminal(console.stdin)
    if not is_terminal(console.stdin) and options.api_key_file != "-":
        parts = (prompt, _read_stdin(console).strip("\n"))
        prompt = "\n\n".join(filter(str.strip, parts))
    if not interactive and not prompt.strip():
        raise UsageError("there is no prompt", 'like: %s chat "Say hi"' % TOOL)
    _, provider = _open_provider(options, env, console)
    model = find_model(provider, options.model, options.timeout, options.thinking)
    say_where_the_key_goes(console, provider._replace(base_url=model.base_url))
    if options.image and "image" not in model.input:
        raise UsageError("%s takes no images" % model.key,
                         'if it does, declare it: input: ["text", "image"]')
    if interactive:
        return _converse(options, provider, model, fields, console)
    content = prompt
    if options.image:
        content = [{"type": "text", "text": prompt}]
        content += [{"type": "image_url", "image_url": {"url": url}} for url in options.image]
    messages = _system_messages(options.system) + [{"role": "user", "content": content}]
    _ask(options, provider, model, dict(fields, messages=messages), console)
    return 0


def _system_messages(text):
    """Return the messages that a conversation begins with."""
    return [{"role": "system", "content": text}] if text else []


def _chat_fields(options):
    """Return the body fields that the options of `chat` set."""
    fields = {
        "stream": not options.no_stream,
        "max_completion_tokens": options.max_tokens,
        "temperature": options.temperature,
        "tools": options.tools,
    }
    if not isinstance(options.tools, (list, type(None))):
        raise UsageError("--tools takes a file with a list of tools")
    if options.schema is not None:
        schema = {"name": "answer", "schema": options.schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    fields.update(options.param)
    return fields


def _ask(options, provider, model, body, console):
    """Send a body, show the answer as it comes, and return it. Raises as `send_chat` does."""
    shaped = prepare_request(provider, model, body, options.thinking, options.timeout)
    for warning in shaped.warnings:
        console.err_once("warning: " + warning)
    show = _Display(options, console)
    deltas = send_chat(provider, model, shaped.body, options.timeout, before_wait=show.flush)
    try:
        answer = collect_answer(deltas, show.add)
    except (Error, KeyboardInterrupt) as stop:       # what came before it broke off is shown
        show.end()
        if options.json and stop.partial.timings["first_token_s"] is not None:
            console.out_json(answer_json(stop.partial))
        raise
    show.end()
    if options.json:
        console.out_json(answer_json(answer))
    else:
        for call in answer.tool_calls:
            console.out_exact("{name}({arguments})".format_map(call["function"]))
    if not answer.content and not answer.tool_calls:
        console.report(empty_answer(model, answer), "warning: ")
    if not options.quiet:
        console.err(statistics(answer))
    return answer


ONE_PIECE_S = 0.005                  # seconds; an answer that took less to come came in one piece


def statistics(answer):
    """Return the line of statistics of an Answer: tokens, time to the first, tokens a second."""
    usage, timings = answer.usage, answer.timings
    first_s, last_s = timings["first_token_s"], timings["last_token_s"]
    parts = []
    if usage is not None:
        parts.append("%s prompt + %s completion tokens" % usage[:2])
    if first_s is not None:
        parts.append("first token %.2f s" % first_s)
        writing_s = last_s - first_s
        if usage is not None and usage.completion_tokens and writing_s > ONE_PIECE_S:
            parts.append("%.1f tokens/s" % ((usage.completion_tokens - 1) / writing_s))
    parts.append("%.2f s in all" % timings["total_s"])
    if answer.finish_reason not in ("stop", None):
        parts.append(finish_words(answer))
    return ", ".join(parts)


def answer_json(answer):
    """Return the object of `chat --json` for an Answer (the shape is a contract; see README).

    What the server sent beyond it is kept: details of `usage`, `logprobs`, further `choices`.
    """
    value = answer._asdict()
    extra = json.dumps(value.pop("extra"))
    extra = json.loads(extra, parse_constant=lambda name: None)      # NaN is not JSON
    if answer.usage is not None:
        value["usage"] = dict(extra.pop("usage", None) or {}, **answer.usage._asdict())
    value["timings"] = _picked(answer.timings, ("first_token_s", "total_s"))
    value.update(extra)
    return value


_CONVERSATION_HELP = """\
/model REF      talk to another model
/system TEXT    begin anew with this system message; without TEXT, with none
/reset          begin anew; the system message stays
/help           list the commands
/exit           end
A line that ends in \\ goes on, as does a text between \"\"\" and what is pasted;
// begins a prompt with /. Ctrl-C stops an answer, Ctrl-D ends."""


def _converse(options, provider, model, fields, console):
    """Hold a conversation on the terminal until its end; return the exit status."""
    try:
        import readline                              # line editing and history of input()
        readline.parse_and_bind("set enable-bracketed-paste on")
    except ImportError:
        pass
    console.err("%s at %s    /help lists the commands, Ctrl-D ends" % (model.key, model.base_url))
    system = options.system
    messages = _system_messages(system)
    while True:
        try:
            text = read_turn(input)
            command, _, argument = text.partition(" ")
            if command == "/exit":
                return 0
            if command == "/help":
                console.err(_CONVERSATION_HELP)
            elif command in ("/reset", "/system"):
                if command == "/system":
                    system = argument
                messages = _system_messages(system)
                console.err("begun anew; the system message: " + (system or "none"))
            elif command == "/model":
                model = find_model(provider, argument, options.timeout, options.thinking)
                console.err("now %s" % model.key)
            elif text:
                asked = messages + [{"role": "user", "content": re.sub("^//", "/", text)}]
                answer = _ask(options, provider, model, dict(fields, messages=asked), console)
                messages = asked + [{"role": "assistant", "content": answer.content}]
        except EOFError:
            console.err("")
            return 0
        except KeyboardInterrupt:
            console.err("\nstopped; the conversation goes on without that turn")
        except UnicodeDecodeError:                   # raised by input()
            console.err("that was not valid UTF-8")
        except Error as error:
            console.report(error)


def read_turn(read_line):
    """Return what is said in one turn; `read_line(prompt)` returns a line, as `input` does.

    A line that ends in a backslash goes on, as does a text between triple quotes. (What is
    pasted comes as one line that holds line feeds.)
    """
    text = as_utf8(read_line("> ")).strip()
    if text.startswith('"""'):
        text = text[3:]
        while not text.rstrip().endswith('"""'):
            text += "\n" + as_utf8(read_line("... "))
        return text.rstrip()[:-3].strip("\n")
    while text.endswith("\\"):
        text = text[:-1] + "\n" + as_utf8(read_line("... "))
    return text


def _add_doctor_parser(verb):
    _add_flags(verb, probe="let each model answer: a few tokens, and once with a tool",
               fix="write into openclaw.json what fixes the findings; look again",
               json="print the findings as one JSON object",
               strict="with several servers: fail when one of them fails")
    _add_model_options(verb)
    _add_server_options(verb)


def _cmd_doctor(options, env, console):
    key = _read_key(options.api_key_file, console)
    settings, reports = _diagnose_all(options, key, env, console)
    if options.fix:
        edits = []
        for _, _, findings in reports:
            for finding in findings:
                edits += [edit for edit in finding.edits if edit not in edits]
        if edits:
            save_edits(settings, edits, console, console.err, True)
            settings, reports = _diagnose_all(options, key, env, console)
        else:
            console.err("nothing to fix in %s" % settings.path)
    if options.json:
        rows = []
        for _, server, findings in reports:
            for finding in findings:
                row = finding._asdict()
                del row["edits"]                     # which `command` holds
                if len(reports) > 1:
                    row["server"] = server
                rows.append(row)
        worst = reports[-1][0]
        console.out_json({"ok": worst == 0, "findings": rows})
    else:
        _show_findings(reports, console)
    judged = -1 if options.strict else 0             # else one server that works will do
    return reports[judged][0]


def _diagnose_all(options, key, env, console):
    """Return (settings, [(status, server, [Finding])]) of the servers named, the worst last."""
    settings = read_settings(options.config, env)
    asked = named_servers(settings, options.provider, options.base_url)
    for name, url in asked:
        try:
            provider = resolve_provider(settings, name, url, key, options.ca_file)
            hide_secrets(console, settings, provider)
        except Error:
            pass                                     # what is wrong will be a finding

    def examine(name, url):
        findings = list(diagnose(
            settings, name, url, key, options.ca_file, options.model, options.thinking,
            options.probe, options.timeout))
        return diagnosis_status(findings), url or name, findings

    return settings, sorted(in_parallel(examine, asked), key=lambda report: report[0])


def _show_findings(reports, console):
    if len(reports) > 1:
        failed = [server for status, server, _ in reports if status]
        named = ", ".join(failed) or "none"
        console.out("%d of %d servers failed: %s" % (len(failed), len(reports), named))
    for _, server, findings in reports:
        if len(reports) > 1:
            console.out("\n== %s" % server)
        lines = format_findings(findings, console.shown, report_width(console))
        console.out("\n".join(lines))


def format_findings(findings, show=visible, width=80):
    """Return the lines of the report of `doctor`, the verdict first, commands never broken.

    `show` makes a text safe to show; `width` is in columns.
    """
    import textwrap
    warned = sum(finding.status == "warn" for finding in findings)
    failed = [finding.cause for finding in findings if finding.status == "fail"]
    verdict = "nothing failed"
    if failed:
        causes = _listed(collections.OrderedDict.fromkeys(failed))
        verdict = "%s: %s" % (_plural(len(failed), "failure"), causes)
    lines = [verdict + "; " + _plural(warned, "warning")]

    def add(label, text):
        lines.extend(textwrap.wrap(
            show(text), width, initial_indent=label, subsequent_indent=" " * len(label),
            break_long_words=False, break_on_hyphens=False))

    skipped = collections.defaultdict(list)
    for finding in findings:
        if finding.status == "skip":
            skipped[finding.summary].append(finding.check)
            continue
        status = finding.status.replace("fail", "FAIL")
        add("%-4s  %-10s  " % (status, finding.check), finding.summary)
        if finding.fix:
            add("      fix: ", finding.fix)
        if finding.command:
            lines.append(" " * 11 + show(finding.command))
    if skipped:
        reasons = ["%s: %s" % (", ".join(skipped[reason]), reason) for reason in skipped]
        add("skip  ", "; ".join(reasons))
    return lines


def _add_request_parser(verb):
    form = verb.add_mutually_exclusive_group()
    _add_flags(form, explain="say on standard error what was changed, and why",
               curl="print a curl command that sends it")
    _add_model_options(verb)
    _add_server_options(verb)


def _cmd_request(options, env, console):
    if is_terminal(console.stdin):
        console.err("waiting for a chat-completions body on standard input")
    try:
        body = loads_untrusted(_read_stdin(console))
    except ValueError as error:
        example = """like: echo '{"messages": [{"role": "user", "content": "hi"}]}' | %s request"""
        raise UsageError("the body on standard input is not JSON: %s" % error, example % TOOL)
    _, provider = _open_provider(options, env, console)
    reference = options.model or _get_text(body, "model")
    model = find_model(provider, reference, options.timeout, options.thinking)
    shaped = shape_request(body, model, options.thinking)
    data = encode_body(shaped.body).decode("ascii")
    for warning in shaped.warnings:
        console.err_once("warning: " + warning)
    if options.explain:
        for change in shaped.changes:
            console.err("%-22s %-8s %s" % change)
    if options.curl:
        command, variables = curl_command(provider, model, data)
        for name, value in variables.items():
            if env.get(name) != value:
                console.err("set %s in this shell before you run it" % name)
        console.out_exact(command)
    else:
        console.out_json(shaped.body)
    return 0


def curl_command(provider, model, data):
    """Return (shell command that posts a JSON text, {variable: value} that it needs).

    Values of headers are left to variables of the shell: they may be secret.
    """
    import shlex
    key = provider.request_key
    lines = [
        "curl -sS -N " + shlex.quote(model.base_url + "/chat/completions"),
        "-H 'Content-Type: application/json'",
    ]
    if provider.ca_file:
        lines.append("--cacert " + shlex.quote(provider.ca_file))
    if is_loopback(split_url(model.base_url).host):
        lines.append("--noproxy '*'")
    variables = {}
    for name, value in request_headers(provider, model).items():
        prefix, variable = name + ": ", re.sub("[^A-Z0-9]", "_", "HEADER_" + name.upper())
        if bearer(key).get(name) == value:
            prefix, variable, value = prefix + "Bearer ", "VLLM_API_KEY", key.key
        variables[variable] = value
        lines.append('-H %s"$%s"' % (shlex.quote(prefix), variable))
    lines.append("--data-binary @- <<'END'\n%s\nEND" % data)
    return " \\\n  ".join(lines), variables


def _add_config_parser(verb):
    verb.epilog = _CONFIG_EXAMPLES
    verb.add_argument("--write", action="store_true", help="write openclaw.json; a .bak is kept")
    verb.add_argument("--dry-run", action="store_true",
                      help="print what --write would change, as a unified diff")
    verb.add_argument("--primary", metavar="MODEL", help="make this the default model")
    verb.add_argument("--wildcard", action="store_true",
                      help="no rows: let OpenClaw ask the server (models[\"vllm/*\"])")
    verb.add_argument("--refresh", action="store_true",
                      help="renew contextWindow and maxTokens of rows that are there")
    verb.add_argument("--prune", action="store_true",
                      help="remove rows that the server does not serve")
    verb.add_argument("--probe", action="store_true",
                      help="ask the chat templates whether thinking can be switched")
    verb.add_argument("--set", metavar="PATH=VALUE", dest="edits", action="append", default=[],
                      type=parse_assignment, help="set a value, JSON5 or else text (repeatable)")
    verb.add_argument("--unset", metavar="PATH", dest="edits", action="append", type=parse_removal,
                      help="remove a key, or an item of an array (repeatable)")
    verb.add_argument("--check", action="store_true",
                      help="check openclaw.json; opens no connection")
    verb.add_argument("--json", action="store_true",
                      help="with --check: print the verdict as JSON")
    _add_server_options(verb)


_CONFIG_EXAMPLES = """examples:
  openclaw_vllm.py config --write --set 'models.providers.vllm.models[0].contextWindow=32768'
  openclaw_vllm.py config --dry-run --unset 'agents.defaults.models["vllm/Qwen/Qwen3-8B"].alias'
"""
_MERGE_OPTIONS = ("primary", "wildcard", "refresh", "prune", "probe", "base_url")
# (an option of `config`, as it is told, those that it does not go with)
_CONFIG_CONFLICTS = (
    ("check", "--check", ("edits", "write", "dry_run") + _MERGE_OPTIONS),
    ("edits", "--set or --unset", _MERGE_OPTIONS),
    ("write", "--write", ("dry_run",)),
)


def _cmd_config(options, env, console):
    for name, words, excluded in _CONFIG_CONFLICTS:
        clash = [other for other in excluded if getattr(options, other)]
        if clash and getattr(options, name):
            other = clash[0].replace("_", "-").replace("edits", "set or --unset")
            raise UsageError("%s does not go with --%s" % (words, other))
    if options.check:
        return _check_config(options, env, console)
    if options.json:
        raise UsageError("--json goes with --check", "the block itself is printed as JSON5")
    show_diff = console.out if options.dry_run else None
    if options.edits:
        settings = read_settings(options.config, env)
        save_edits(settings, options.edits, console, show_diff, options.write)
    else:
        _merge_config(options, env, console, show_diff)
    return 0


def _merge_config(options, env, console, show_diff):
    settings, provider = _open_provider(options, env, console)
    models = stated_models(fetch_model_rows(provider, options.timeout), provider)
    if not models:
        raise error_for("no-models", where=provider.base_url, problem="the server offers no models",
                        fix="start vLLM with a model: vllm serve MODEL")
    _refuse_no_chat(provider, models[0], options.timeout)
    ids = [model.id for model in models]
    primary = options.primary
    if primary:
        model = match_model(models, primary, provider.id)
        if model is None:
            raise model_not_served(provider.base_url, primary, ids)
        primary = model.key
    evidence = {model.id: _evidence(options, provider, model) for model in models}
    block = config_block(models, provider.base_url, evidence)
    if not options.write and not options.dry_run:
        settings = settings._replace(sources={})         # the block alone
    unserved = []

    def prune(config):
        return prune_rows(config, provider.id, ids, settings.variables)

    def merge(config):
        merged = merge_provider(
            config,
            block,
            provider.id,
            options.wildcard,
            primary,
            options.refresh,
            bool(options.base_url),
            settings.variables,
            {model.id: model.parent for model in models if model.parent})
        unserved.extend(merged.unserved)
        return merged.wanted

    try:
        old, new = revised_text(settings, [prune] * options.prune + [merge], console)
    except ConfigError:
        if options.write:                            # what was not written can still be pasted
            console.out(render_json5({"models": {"providers": {provider.id: block}}}))
        raise
    for model_id in unserved:
        console.err("kept, though the server does not serve it: %s" % model_id)
    if unserved:
        console.err("  to remove: " + _prune_command(options))
    _note_surroundings(options, settings, console)
    _deliver_text(settings.path, old, new, console, show_diff, options.write)


def _prune_command(options):
    words = ["--prune"]
    for name in options.provider:
        words += ["--provider", name]
    for url in options.base_url:
        words += ["--base-url", url]
    return _write_command(options.config, words)


def _write_command(config_path, words):
    """Return the shell command that writes a config file."""
    import shlex
    if config_path:
        words = ["--config", config_path] + words
    return " ".join([TOOL, "config", "--write"] + [shlex.quote(word) for word in words])


def _refuse_no_chat(provider, model, timeout_s):
    """Raise ServerError for a server that shows that it has no chat completions.

    Its description shows it; where there is none, that it does not know the address of
    chat completions (an empty body generates nothing).
    """
    limit_s = timeout_s or DISCOVERY_TIMEOUT_S
    headers = discovery_headers(provider)
    url = server_root(provider.base_url) + "/openapi.json"
    try:
        chats = offers_chat(_json_of(ask(provider, url, headers, None, limit_s)))
        if chats is None:
            url = provider.base_url + "/chat/completions"
            reply = ask(provider, url, headers, {}, limit_s)
            chats = completion_error(url, reply, provider, model).cause != "not-a-chat-model"
    except Error:
        return                                       # what cannot be asked shows nothing
    if not chats:
        raise error_for("not-a-chat-model", url=url, model=model.id)


def _evidence(options, provider, model):
    """Return (compat or None, reason) for how a model thinks, or None."""
    if not options.probe:
        root = (model.root or "").split("/")[-1]
        return thinking_evidence(model.id) or thinking_evidence(root, "root, " + root)
    found = probe_thinking(provider, model.id, options.timeout)
    if found is None and model.reasoning:
        return None, "by its name"
    return found


def _note_surroundings(options, settings, console):
    """Say what OpenClaw needs beside the block."""
    if options.wildcard and not _get(settings.config, "agents", "defaults", "models"):
        console.err("note: OpenClaw offers only what agents.defaults.models names, once it names "
                    "any: other providers need an entry there too")
    if options.ca_file:
        import shlex
        console.err("note: OpenClaw must trust that authority too, where it is started: "
                    "export NODE_EXTRA_CA_CERTS=" + shlex.quote(os.path.abspath(options.ca_file)))


_PATH_STEP = (
    r"""(?:^|(?<=.)\.)(?P<name>[^][.=\s"']+)"""
    r"""|\[(?P<index>[0-9]{1,9})\]"""
    r"""|\[(?P<json>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")\]"""
    r"""|\['(?P<text>[^']*)'\]"""
    r"""|\[(?P<word>[A-Za-z_$][^][="']*)\]"""
)


def parse_path(text):
    """Return the key path (a tuple) of a text such as `agents.defaults.models["vllm/m"].alias`.

    Names stand in dots or brackets, indices in brackets. Raises UsageError.
    """
    path, end = leading_path(text)
    if not path or end < len(text):
        raise UsageError("%s is not a path" % text, PATH_HINT)
    return path


PATH_HINT = """names stand in dots or brackets: 'agents.defaults.models["vllm/m"].alias'"""


def leading_path(text):
    """Return (key path, its length) of the path that begins a text; ((), 0) when none does."""
    path, end = (), 0
    readers = {"index": int, "json": json.loads}
    for found in re.finditer(_PATH_STEP, text):
        if found.start() != end:
            break
        kind, end = found.lastgroup, found.end()
        path += (readers.get(kind, str)(found.group(kind)),)
    return path, end


def parse_value(text):
    """Return the value of a JSON5 text, else the text itself."""
    try:
        return json5_tree(text).value
    except Json5Error:
        return text


def format_path(path):
    """Return a key path as OpenClaw writes it; `parse_path` reads it back."""
    text = ""
    for key in path:
        if isinstance(key, str) and re.match(r"[A-Za-z_$][A-Za-z0-9_$-]*\Z", key):
            text += "." + key
        else:
            text += "[%s]" % json.dumps(key)
    return text.lstrip(".")


def edit_command(edits, config_path=None):
    """Return the shell command that makes some Edits in the config file."""
    words = []
    for path, value in edits:
        if value is REMOVED:
            words += ["--unset", format_path(path)]
            continue
        if not isinstance(value, str) or parse_value(value) != value:
            value = json.dumps(value)
        words += ["--set", format_path(path) + "=" + value]
    return _write_command(config_path, words)


def parse_assignment(text):
    """Return the Edit of PATH=VALUE; VALUE is JSON5, else the text itself. Raises UsageError."""
    path, end = leading_path(text)
    if not path or text[end:end + 1] != "=":
        raise UsageError("--set %s: not PATH=VALUE" % text.partition("=")[0], PATH_HINT)
    return Edit(path, parse_value(text[end + 1:]))


def parse_removal(text):
    """Return the Edit that takes away what a path names. Raises UsageError."""
    return Edit(parse_path(text), REMOVED)


def save_edits(settings, edits, console, show_diff=None, write=False):
    """Make Edits in the config file, as `config --set` and `doctor --fix` do.

    `show_diff` is called with each line of the unified diff; `write` writes the file, a .bak
    beside it; with neither the new file is printed. Raises ConfigError, with nothing written,
    where a path leads nowhere or into an $include, or the result has a new error.
    """
    def revise(config):
        return apply_edits(config, edits)

    old, new = revised_text(settings, [revise], console)
    _deliver_text(settings.path, old, new, console, show_diff, write)


def revised_text(settings, steps, console):
    """Return (text of the config file or None, what some steps make of it).

    A step takes the file's own value and returns the wanted one. Raises ConfigError as
    `save_edits` does; of a key that is new and unknown it warns.
    """
    old = settings.sources.get(settings.path)
    if old is None and settings.issues:
        raise issue_error(settings.issues)           # the file cannot be read
    text = "{}\n" if old is None else old
    try:
        value = before = json5_tree(text).value
    except Json5Error:
        raise issue_error(settings.issues)
    console.hide(secret_texts(before))
    for step in steps:
        old_value, wanted = value, step(value)
        value = _plain(wanted)                       # edited_text proves that the text reads so
        refuse_included(old_value, value, settings.path, settings.sources)
        text = edited_text(text, wanted, settings.path)
    console.hide(secret_texts(value))
    for fault in _new_faults(settings, before, value):
        problem = "%s: %s" % (dotted(fault.path), fault.problem)
        if fault.severe:
            raise error_for("config-not-written", where=settings.path, problem=problem,
                            fix="give it what OpenClaw accepts")
        console.err("warning: " + problem)
    return old, text


def _new_faults(settings, before, after):
    """Return the Faults of the file's value `after` that it had not `before`; files included."""
    _, env = settings.layers[0]

    def faults_of(value):
        try:
            value = include_files(value, settings.path or "openclaw.json", env)
        except ConfigError:
            if not settings.issues:                  # else it may have been so before
                raise
        return schema_faults(_substitute(value, settings.variables))

    def words(fault):                                # without indices, which a removal moves
        names = [key for key in fault.path if isinstance(key, str)]
        return (fault.problem, *names)

    known = collections.Counter(map(words, faults_of(before)))
    new = []
    for fault in faults_of(after):
        known[words(fault)] -= 1
        if known[words(fault)] < 0:
            new.append(fault)
    return new


def _deliver_text(path, old, new, console, show_diff, write):
    """Print, diff or write the new text of a config file."""
    if not write and show_diff is None:
        console.out(re.sub("\r\n?", "\n", new.lstrip("\ufeff")).rstrip("\n"))
        return
    if path is None:
        raise UsageError("there is no home directory to write openclaw.json to",
                         "name the file: --config PATH")
    if new == (old or "{}\n"):
        console.err("%s: nothing to change" % path)
        return
    if show_diff is not None:
        import difflib
        before, after = (text.splitlines() for text in (old or "", new))
        for line in difflib.unified_diff(before, after, path, path, lineterm=""):
            show_diff(line)
    if write:
        write_config(path, old, new)
        kept = "" if old is None else "; the old file is %s.bak" % path
        console.err("%s: written%s" % (path, kept))


def _check_config(options, env, console):
    settings = read_settings(options.config, env)
    kinds = (("error", settings.issues), ("warning", settings.warnings))
    if options.json:
        issues, warnings = [[_issue_json(issue) for issue in issues] for _, issues in kinds]
        console.out_json({"valid": not issues, "issues": issues, "warnings": warnings})
        return 3 if issues else 0
    for kind, issues in kinds:
        for issue in issues:
            place = dotted(issue.path) + ": " if issue.path else ""
            console.err("%s: %s: %s%s" % (kind, issue_place(issue), place, issue.message))
    if settings.issues:
        return 3
    verdict = "valid" if settings.exists else "no such file; an empty config is valid"
    console.out("%s: %s" % (settings.path, verdict))
    return 0


def _issue_json(issue):
    found = {"path": dotted(issue.path), "message": issue.message}
    for name in ("file", "line", "column"):
        if getattr(issue, name) is not None:
            found[name] = getattr(issue, name)
    return found


def _add_demo_parser(verb):
    verb.add_argument("--serve", action="store_true",
                      help="keep the stand-in server up until Ctrl-C")
    verb.add_argument("--port", type=int, default=0, metavar="N",
                      help="the port (default: a free one)")
    verb.add_argument("--api-key-file", metavar="PATH", help="enforce the key in this file")
    verb.set_defaults(verbose=False)


def _cmd_demo(options, env, console):
    import threading
    key = None
    if options.api_key_file:
        key = _read_key(options.api_key_file, console).strip()
    try:
        server = demo_server(options.port, key)
    except (OSError, OverflowError) as error:
        raise ServerError(
            "the demo cannot take port %d: %s" % (options.port, error),
            "leave --port away for a free one")
    url = "http://127.0.0.1:%d/v1" % server.server_address[1]
    with server:
        if options.serve:
            console.out("a stand-in vLLM answers at %s    (Ctrl-C ends it)" % url)
            console.flush()
            server.serve_forever()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            return _show_verbs(url, key or "vllm-local", console)
        finally:
            server.shutdown()


_DEMO_NEXT = """
next, keep a stand-in up and talk to it:
  {tool} demo --serve --port 8000 &
  export VLLM_API_KEY=vllm-local
  {tool} chat "Say hi"
with a server of your own:
  {tool} doctor --base-url http://HOST:8000/v1"""


def _show_verbs(url, key, console):
    """Run the main verbs on the stand-in, each below its command; return the worst status."""
    import shlex
    # A home that holds nothing: the settings of whoever tries this stay out of it.
    env = {"HOME": os.devnull, "VLLM_API_KEY": key}
    report = io.StringIO()
    statuses = []
    console.err("a stand-in vLLM answers at %s while this runs" % url)
    for words, out in (
        (["list"], console.stdout),
        (["chat", "Say hi"], console.stdout),
        (["doctor"], report),
        (["config"], console.stdout),
    ):
        argv = words + ["--base-url", url]
        console.err("\n$ %s %s" % (TOOL, " ".join(map(shlex.quote, argv))))
        statuses.append(main(argv, env, io.StringIO(), out, console.stderr))
        if out is report:
            verdict, _, rest = report.getvalue().partition("\n")
            console.out(verdict)
            console.err("(and %d lines on what it looked at)" % rest.count("\n"))
    console.err(_DEMO_NEXT.format(tool=TOOL))
    return max(statuses)


_VERBS = (
    ("list", _add_list_parser, _cmd_list, "list the models OpenClaw would offer"),
    ("doctor", _add_doctor_parser, _cmd_doctor,
     "say what is wrong between OpenClaw's settings and the server"),
    ("chat", _add_chat_parser, _cmd_chat, "talk to a model"),
    ("request", _add_request_parser, _cmd_request,
     "print the body that would be sent for the one on standard input"),
    ("config", _add_config_parser, _cmd_config, "write or check OpenClaw's provider block"),
    ("demo", _add_demo_parser, _cmd_demo, "show what the verbs do, on a stand-in server"),
)


if __name__ == "__main__":
    # main() has flushed; skipping the interpreter's teardown saves a sixth of a short run.
    os._exit(main())
