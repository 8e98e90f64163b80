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
import functools
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
MAX_ISSUES = 100                     # faults reported for one file


# ----------------------------------------------------------------------------
# Errors and exit statuses
# ----------------------------------------------------------------------------
# Every failure the outside world can cause is a row of CAUSES, worded there and nowhere else.
# Nothing here looks at a server, a file or the environment.

class Error(Exception):
    """Root of every error the outside world can cause.

    `cause` is a code of CAUSES, `hint` the next step in words (may be empty), `command` the
    next step as a shell command, or None; `exit_status` is that of the command line; `facts`
    are the values that the message was filled in with.
    """

    exit_status = 1

    def __init__(self, message, hint="", cause=None, command=None, **facts):
        super().__init__(message)
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


class UsageError(Error):
    """An argument or the standard input cannot be used."""

    exit_status = 2


class ConfigError(Error):
    """The settings cannot be read, or are invalid; `facts` may hold `issues`."""

    exit_status = 3


class ServerError(Error):
    """The server cannot be reached, or its answer cannot be used."""

    exit_status = 4


class KeyRefused(Error):
    """The server, or a proxy in front of it, answered 401 or 403."""

    exit_status = 5


_ERRORS = {kind.exit_status: kind for kind in Error.__subclasses__()}

Cause = collections.namedtuple("Cause", "exit_status summary fix")
Cause.__doc__ = """The wording of a cause: templates, with the names of facts in braces.

An `exit_status` of 0 marks a warning.
"""
# The codes are those of `doctor --json`, which reports any others under a wider code.
CAUSES = {
    # Settings
    "not-opted-in": Cause(
        1, "no key for {provider}, so OpenClaw does not use it: {variable} is not set, "
           "and no auth profile holds one",
        "set one; any value will do if the server checks none"),
    "config-invalid": Cause(
        3, "{where}: {problem}", "fix it, then check: {tool} config --check"),
    "config-unknown-key": Cause(0, "{where}: {path}: {problem}", "{fix}"),
    "config-legacy-key": Cause(0, "{where}: {path}: {problem}", "{fix}"),
    "config-not-written": Cause(3, "{where}: not written: {problem}", "{fix}"),
    "config-included": Cause(
        3, "{where}: {place} comes from the included file {included}, which is never edited",
        "paste the block into {included}; this prints it: {tool} config"),
    "config-missing-variable": Cause(
        1, "{path} uses ${{{variable}}}, which is not set",
        "set it: export {variable}=VALUE, or put that line into {dotenv}"),
    "provider-disabled": Cause(
        1, "{problem} in {file}, so OpenClaw asks no vLLM server", "enable the plugin again"),
    "bad-base-url": Cause(
        3, "{where} is not a valid base URL: {problem}", "use something like {example}"),
    "endpoint-in-base-url": Cause(
        3, "{where} ends in {suffix}, which is an endpoint, not a base URL",
        "set baseUrl to {right}"),
    "bad-key-form": Cause(
        3, "the key from {source} cannot be sent: {problem}", "set the key again, without {what}"),
    "wrong-api": Cause(
        0, "{path} is {api}, so OpenClaw does not post to /chat/completions",
        "set it to openai-completions, or remove it"),
    "wrong-provider": Cause(
        1, "{path} is {reference}, so OpenClaw asks another provider, though this server has it",
        "change it to {right}"),
    "private-network": Cause(
        1, "{path} is false, so OpenClaw refuses to connect to {url}, a private address",
        "remove it, or set it to true"),
    "key-in-shell-only": Cause(
        0, "{variable} is set in this shell only: a gateway that runs as a service does not see it",
        "add {variable}=… to {dotenv}"),
    "usage-off": Cause(
        0, "{path} is false, so OpenClaw ignores the server's token counts and never compacts",
        "remove it, or set it to true"),
    # The way to the server
    "dns": Cause(
        4, "{url}: the host name {host!r} does not resolve ({detail})",
        "check the spelling of the host, or use its address: getent hosts {host}"),
    "connection-refused": Cause(
        4, "{url}: connection refused: nothing is listening there",
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
    "timeout": Cause(4, "{url}: timed out {when} after {seconds:.1f} s{limit}", "{fix}"),
    "proxy-captured": Cause(
        4, "{url}: the proxy {proxy} of the environment {way} ({detail})",
        "{advice}let the host bypass the proxy"),
    "gateway": Cause(4, "{url}: HTTP {status}{words}{answered_by}", "{fix}"),
    "gateway-auth": Cause(
        5, "{url}: HTTP {status}: a layer in front of the server requires credentials: "
           "{challenge}{answered_by}",
        "set headers.Authorization in the provider's block in openclaw.json"),
    "scheme-mismatch": Cause(
        4, "{url}: the port does not speak {scheme}", "use the other scheme: {right}"),
    "tls-untrusted": Cause(
        4, "{url}: the certificate of {host} is not trusted: {detail}",
        "trust the authority that signed it: --ca-file CA.pem, or SSL_CERT_FILE; OpenClaw itself "
        "reads NODE_EXTRA_CA_CERTS"),
    "tls-wrong-host": Cause(
        4, "{url}: the certificate is not for {host}: {detail}",
        "use a name that it covers in the base URL, or have it reissued for {host}"),
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
        5, "{url}: HTTP {status}{words}: the server requires a key; none was sent{answered_by}",
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
        0, "{model}: max_model_len is {served}; OpenClaw's agent prompt takes about 32000 tokens",
        "start vLLM with a larger --max-model-len"),
    "no-chat-template": Cause(
        4, "{url}: {model} has no chat template{words}",
        "start vLLM with --chat-template FILE, or serve the instruct version of the model"),
    "not-a-chat-model": Cause(
        4, "{url}: {model} does not chat: the server offers no chat completions for it{words}",
        "serve a chat model (one that embeds, ranks or transcribes needs no row in openclaw.json), "
        "or have the proxy in front of the server pass /v1/chat/completions"),
    "template-role": Cause(
        1, "{model}: the chat template refuses the role {role!r}{words}", "{fix}"),
    "template-history": Cause(
        1, "{model}: the chat template refuses {history}{words}", "{fix}"),
    "exposed": Cause(
        0, "{url}: the key guards /v1 only; {paths} answer to anyone who reaches the port",
        "let only a reverse proxy reach the port, or close it in the firewall"),
    # Completions
    "chat-failed": Cause(
        4, "{url}: HTTP {status}{words}", "that is the server's own message; its log says more"),
    "unknown-field-rejected": Cause(
        4, "{url}: the server does not know the field {field!r}{words}", "{fix}"),
    "field-refused": Cause(4, "{url}: the server refuses {field}{words}", "{fix}"),
    "empty-answer": Cause(1, "{model}: the answer has no content: {detail}", "{fix}"),
    "reasoning-in-content": Cause(
        1, "{model}: the answer contains the reasoning ({detail})", "{fix}"),
    "stream-broken": Cause(
        4, "{url}: the stream broke off: {detail}",
        "try again; if it happens again, look at the server's log and at any proxy in between"),
    "stream-buffered": Cause(
        0, "{model}: {pieces} of {events} chunks came within {seconds:.1f} s: buffered on the way",
        "turn buffering off there; in nginx: proxy_buffering off; gzip off;"),
    "usage-missing": Cause(
        0, "{model}: the stream carried no usage",
        "set compat.supportsUsageInStreaming to false for this model"),
    "tools-disabled": Cause(4, "{url}: the server does not accept tools{words}", "{fix}"),
    "tool-parser-mismatch": Cause(
        1, "{model}: a tool call came back as text ({detail})", "{fix}"),
    "tool-arguments": Cause(
        0, "{model}: a tool call came with {detail}",
        "upgrade vLLM, whose streaming parser may cut arguments, or use a larger model"),
}
# Causes that `doctor` can explain better than the request that failed.
DOCTOR_KNOWS_MORE = frozenset(
    "not-opted-in dns connection-refused unreachable timeout proxy-captured scheme-mismatch "
    "tls-untrusted tls-failed not-openai http-error no-key bad-key chat-failed "
    "unknown-field-rejected stream-broken".split())


def error_for(cause, command=None, **facts):
    """Return the error for a row of CAUSES, worded with `facts`; raise what it returns.

    Missing facts are left empty. `command` is the next step as a shell command.
    """
    row = CAUSES[cause]
    known = collections.defaultdict(str, tool=TOOL, variable="VLLM_API_KEY")
    known.update(facts)
    summary, fix = row.summary.format_map(known), row.fix.format_map(known)
    kind = _ERRORS.get(row.exit_status, NothingToShow)
    return kind(summary, fix, cause, command, **facts)


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
_URL_SAFE = ("~", "~/", "~!'()*")    # what various languages leave unquoted in a URL besides -._


def spellings(secret):
    """Return the texts by which a secret may be echoed, longest first; none for a short one.

    Plain, quoted for a URL, in base64 (also amid other bytes), in Python, in JSON, and each
    of these once more in JSON; of a header's value such as "Bearer KEY" also those of "KEY".
    """
    found = set()
    for text in (str(secret), *secret.split(None, 1)[-1:]):
        if len(text) >= _SHORTEST_SECRET and text not in _PUBLIC_KEYS:
            found.update(_in_json(text))
            found.update((text, repr(text)[1:-1], json.dumps(text)[1:-1].replace("/", "\\/")))
            data = text.encode("utf-8", "surrogatepass")
            found.update(_in_url(data))
            found.update(_in_base64(data))
    found.update(*map(_in_json, found.copy()))
    return sorted(found, key=len, reverse=True)


def _in_json(text):
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def _in_url(data):
    """Yield the URL-quoted spellings of some bytes, as various languages quote."""
    from urllib.parse import quote
    for safe in _URL_SAFE:
        for tilde in ("~", "%7E"):                   # as older Pythons quote it
            url = quote(data, safe).replace("~", tilde)
            yield url
            yield re.sub("%..", lambda match: match.group().lower(), url)


def _in_base64(data):
    """Yield what the base64 of a longer text shows of some bytes, wherever they begin in it."""
    import binascii
    for before in range(3):
        coded = binascii.b2a_base64(b"\0" * before + data).decode("ascii")
        start = (before * 8 + 5) // 6                # the first character they alone decide
        end = (before + len(data)) * 8 // 6
        yield coded[start:end]
        yield coded[start:end].replace("+", "-").replace("/", "_")


def redact(text, secrets):
    """Return a text with every known secret, bearer token and URL password replaced by ***."""
    text = redact_known(text, secrets)
    text = re.sub(r"\b((?i:bearer)\s+)[A-Za-z0-9._~+/=-]{6,}", r"\1***", text)
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
    """Return the length of the longest end of a text that begins a secret without completing it."""
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
# surrogates. A server's ids and messages must also stay on one line, or they could forge a row.
UNSAFE = ("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
          "\ud800-\udfff]")
UNSAFE_LINE = "[\t\n" + UNSAFE[1:]
# Less in an answer: people write with joiners, marks of direction and variation selectors.
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
1, and are None like `file` where the place is not known; `cause` is a code of
CAUSES; `successor` the key path where the value of an unknown key belongs, or None.
"""
Issue.__new__.__defaults__ = (None, None, None, "config-invalid", None)
Issue.severe = property(lambda self: CAUSES[self.cause].exit_status == ConfigError.exit_status,
                        doc="Whether it makes the settings invalid; otherwise it is a warning.")

Settings = collections.namedtuple(
    "Settings", "path exists config variables layers unset_variables state_dir sources issues "
                "warnings")
Settings.__doc__ = """What OpenClaw would read at this moment.

`config` is the object of openclaw.json, included and substituted; `variables`
the merged environment; `layers` the same as [(label, {name: value})], the first
wins; `unset_variables` {key path: variable name}; `sources` {file: text}.
"""

Credential = collections.namedtuple("Credential", "source key")
Credential.__doc__ = "Where a key was found (a name to show) and the key (a Secret, never shown)."

Provider = collections.namedtuple(
    "Provider", "id base_url api explicit asks_server discovery_key request_key credentials "
                "refusal headers models max_tokens timeout_s layers references plugin_off env "
                "ca_file where file")
Provider.__doc__ = """One OpenAI-style server and how to talk to it; made by `resolve_provider`.

`id` is in lower case; `explicit`: a models.providers block exists; `asks_server`: the server is
asked for models; the keys are Credentials or None; `refusal` is the Error that keeps it from
being asked, or None; `headers` go with its requests; `models` are the declared rows: ids
trimmed, each with its `baseUrl` and all `headers` of its requests; `timeout_s` is the provider's
own or None; `layers` are agents.defaults and the default agent's entry; `references`
[(tag, key)] are the models that the settings name, tags as `list` shows them; `plugin_off` says
what disables OpenClaw's plugin, or is None; `env` names proxies and authorities; `where` says
where the base URL comes from; `file` is the path of the config.
"""

Model = collections.namedtuple(
    "Model", "id name provider base_url input context_window context_tokens max_tokens reasoning "
             "source parent root tags compat headers params thinking thinking_level_map")
Model.__doc__ = """One model: declared in the config, discovered on the server, or both merged.

Windows are in tokens, None where unset; `input` is a tuple of modalities;
`source` is "declared" or "discovered"; `params` are the layers of params that apply to
it, lowest first; `thinking` is the level that the settings choose, or None.
"""
Model.__new__.__defaults__ = (None,) * 18 + ({},)
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
Edit.__doc__ = "The value, or REMOVED, that a key path is to have."
REMOVED = object()                   # the value of an Edit that takes a key away

Finding = collections.namedtuple("Finding", "check status cause summary fix command edits")
Finding.__doc__ = """What one check of `diagnose` found; status is ok, warn, fail or skip.

`cause` is a code of CAUSES, None with ok; `fix` the next step in words; `command` the same as a
shell command, or None; `edits` the Edits of openclaw.json that fix it.
"""
Finding.__new__.__defaults__ = ("ok", None, "", "", None, ())


# ----------------------------------------------------------------------------
# JSON5
# ----------------------------------------------------------------------------
# Parses a text into its value, or into a tree of its values and their positions. Pure.

class Json5Error(ConfigError, ValueError):
    """A text that is not JSON5: `pos` counts characters from 0, `line` and `column` from 1."""

    def __init__(self, problem, text, pos):
        self.problem = problem
        self.pos = pos
        self.line, self.column = line_and_column(text, pos)
        where = "%s at line %d, column %d" % (problem, self.line, self.column)
        super().__init__(where, cause="config-invalid")


Node = collections.namedtuple("Node", "start end value items")
Node.__doc__ = """One value of a JSON5 text, which is text[start:end].

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
    r"|(?P<unknown>/\*|[\s\S])"
)
# A backslash, then a code, what is no escape, or a character.
_JSON5_ESCAPE = r"\\(?:(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|([ux1-9]|0[0-9])|(\r\n|[\s\S]))"
_JSON5_ESCAPED = dict(zip("bfnrtv0", "\b\f\n\r\t\x0b\0"))
_JSON5_ESCAPED.update(dict.fromkeys(("\n", "\r", "\r\n", "\u2028", "\u2029"), ""))
_JSON5_WORDS = {
    "null": None,
    "true": True,
    "false": False,
    "Infinity": math.inf,
    "NaN": math.nan,
}
# What the parser expects next, and how messages call it.
_VALUE, _ITEM, _KEY, _COLON, _NEXT_ITEM, _NEXT_KEY, _END = range(7)
_EXPECTED = ("a value", "a value or ']'", "a key or '}'", "':' after the key", "',' or ']'",
             "',' or '}'", "the end of the text")
_OPENING = {"{": (dict, _KEY), "[": (list, _ITEM)}
_AFTER_COMMA = {_NEXT_ITEM: _ITEM, _NEXT_KEY: _KEY}
_CLOSING = (None, "]", "}", None, "]", "}", None)    # by what is expected
# How messages call what was found: by its kind (its text may be a key), else by its text.
_JSON5_FOUND = {
    "string": "a string",
    "number": "a number",
    "word": "a word without quotes",
    "end": "the end of the text",
    "/*": "a comment that does not end",
    "'": "a string that does not end",
    '"': "a string that does not end",
}


def trimmed(text):
    """Return a text without the white space that JavaScript's trim() removes."""
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
        text = _decode_utf8(text)
    if "\\ud" not in text and "\\uD" not in text:     # json.loads accepts a lone surrogate
        start = text.startswith("\ufeff")
        try:
            return json.loads(text[start:], parse_int=json_number)
        except (ValueError, RecursionError):
            pass
    return json5_tree(text).value


def json5_tree(text):
    """Return the Node of a JSON5 text's value. Raises Json5Error.

    Iterative, so that nesting costs no stack.
    """
    if "\0" in text:
        raise Json5Error("a NUL character", text, text.index("\0"))
    # The text itself, then the open containers: [start, value, items, key in waiting].
    frames = [[0, [], [], None]]
    expected = _VALUE
    for kind, token, start, end in _json5_tokens(text):
        wants_value = expected in (_VALUE, _ITEM)
        if wants_value and (kind in ("string", "number") or token in _JSON5_WORDS):
            value = _json5_scalar(text, kind, token, start)
            expected = _json5_attach(frames, Node(start, end, value, None))
        elif wants_value and token in _OPENING:
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
        elif kind != "end" or expected != _END:
            found = _JSON5_FOUND.get(kind) or _JSON5_FOUND.get(token, repr(token))
            raise Json5Error("expected %s, found %s" % (_EXPECTED[expected], found), text, start)
    return frames[0][2][0]


def json5_children(node):
    """Return [(start of the member, Node of its value)] of a Node."""
    if isinstance(node.value, dict):
        return [(start, child) for _, start, _, child in node.items]
    return [(child.start, child) for child in node.items or ()]


def _json5_attach(frames, node):
    """Add a finished Node to the container around it; return what is expected next."""
    _, value, items, key = frames[-1]
    if isinstance(value, dict):
        value[key[0]] = node.value
        items.append(key + (node,))
        return _NEXT_KEY
    value.append(node.value)
    items.append(node)
    return _NEXT_ITEM if len(frames) > 1 else _END


def _json5_tokens(text):
    """Yield (kind, text, start, end) of each token but white space and comments, then the end."""
    for found in re.compile(_JSON5_TOKEN).finditer(text):        # compiled only when JSON5 is met
        if found.lastgroup != "trivia":
            yield found.lastgroup, found.group(), found.start(), found.end()
    yield "end", "", len(text), len(text)


def _json5_scalar(text, kind, token, start):
    if kind == "string":
        return _json5_string(text, token, start)
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
    if token[0] == "-":
        return -value
    return value


def _json5_string(text, token, start):
    raw = token[1:-1]
    if "\\" not in raw:
        return raw

    def unescape(match):
        code, bad, char = match.groups()
        if bad:
            raise Json5Error("a bad escape \\%s" % bad, text, start + 1 + match.start())
        if code:
            return chr(int(code[1:], 16))
        return _JSON5_ESCAPED.get(char, char)

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
# What OpenClaw would read from its files and the environment, read once. A key path is a tuple of
# keys and indexes until it is printed. Whatever a file holds, it raises only ConfigError.

def load_settings(config_path=None, env=None):
    """Return the Settings that OpenClaw would have, from files and `env` (os.environ when None).

    Raises ConfigError, with the first issue as its message, when the config cannot be read or
    is invalid. `read_settings` returns the issues instead.
    """
    settings = read_settings(config_path, env)
    if settings.issues:
        raise issue_error(settings.issues)
    return settings


def issue_error(issues):
    """Return the ConfigError for some Issues: the first is its message, all are in its facts."""
    first = issues[0]
    problem = ": ".join(filter(None, (dotted(first.path), first.message)))
    if len(issues) > 1:
        problem += " (and %d more)" % (len(issues) - 1)
    return error_for("config-invalid", where=issue_place(first), problem=problem, issues=issues)


def issue_place(issue):
    """Return file:line:column of an Issue, or what is known of it."""
    return ":".join(map(str, filter(None, (issue.file, issue.line, issue.column))))


def dotted(path):
    """Return a key path as text, joined with dots."""
    return ".".join(map(str, path))


def _file_error(path, problem, *place):
    return issue_error([Issue((), problem, path, *place)])


def read_settings(config_path=None, env=None):
    """Return Settings whose `issues` say what is wrong; whatever a file holds raises nothing."""
    env = dict(os.environ if env is None else env)
    state_dir = state_directory(env)
    path = _expand_home(config_path, env) or _path_setting(env, "OPENCLAW_CONFIG_PATH")
    if path is None and state_dir:
        path = os.path.join(state_dir, "openclaw.json")
    sources, config = {}, {}
    issues, warnings = [], []
    try:
        if path and os.path.lexists(path):
            value = _read_json5(path, CONFIG_LIMIT, sources)
            config = include_files(value, path, env, sources)
        elif config_path:
            warnings.append(Issue((), "no such file; continuing without a config", path))
    except ConfigError as error:
        issues += error.facts["issues"]
    except ValueError:                               # Python 3.6 and 3.7: no file has such a name
        pass
    layers = _environment_layers(env, state_dir, config)
    variables = _merged_variables(layers)
    missing = {}
    config = _substitute(config, variables, (), missing)
    migrate(config)
    faults = [
        Issue(place, "the variable %s is not set, so this setting will not work" % name,
              cause="config-missing-variable")
        for place, name in missing.items()
    ]
    faults = faults[:MAX_ISSUES] + schema_faults(config)
    for fault in _located(faults, path, sources):
        if fault.severe:
            issues.append(fault)
        else:
            warnings.append(fault)
    return Settings(
        path, bool(sources), config, variables, layers, missing, state_dir, sources,
        issues, warnings)


def state_directory(env):
    """Return OpenClaw's state directory, or None where there is no home directory."""
    home = _path_setting(env, "OPENCLAW_HOME") or _home(env)
    chosen = _path_setting(env, "OPENCLAW_STATE_DIR")
    return chosen or home and os.path.join(home, ".openclaw")


def env_setting(value):
    """Return a variable's value, trimmed, or None when OpenClaw treats it as unset."""
    value = (value or "").strip()
    if value in ("", "undefined", "null"):
        return None
    return value


def _path_setting(env, name):
    return _expand_home(env_setting(env.get(name)), env)


def _home(env):
    return env_setting(env.get("HOME")) or env_setting(env.get("USERPROFILE"))


def _expand_home(path, env):
    home = _home(env)
    if path and home and (path + "/")[:2] in ("~/", "~" + os.sep):
        return home + path[1:]
    return path


def read_text(path, limit):
    """Return the text of a regular file of at most `limit` bytes of UTF-8, line ends kept.

    Raises ConfigError naming the path, Json5Error for other bytes; never blocks on a FIFO.
    """
    import stat
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError("it is not a regular file")
        with open(path, "rb") as source:
            data = source.read(limit + 1)
        if len(data) > limit:
            raise OSError("it is larger than %d bytes" % limit)
    except (OSError, ValueError) as error:           # ValueError: a NUL in the path
        problem = getattr(error, "strerror", None) or error
        raise _file_error(path, "cannot be read: %s" % problem)
    return _decode_utf8(data)


def _read_json5(path, limit, sources):
    """Return the value of a file, and add its text to `sources`. Raises ConfigError."""
    try:
        sources[path] = read_text(path, limit)
        return json5_loads(sources[path])
    except Json5Error as error:
        raise _file_error(path, error.problem, error.line, error.column)


def include_files(value, path, env, sources):
    """Return the value of the config file `path` with its $includes merged in.

    Files may be included from its directory and from those of OPENCLAW_INCLUDE_ROOTS.
    `sources` gains {file: text} of what is read. Raises ConfigError.
    """
    roots = [os.path.dirname(path)]
    roots += filter(env_setting, env.get("OPENCLAW_INCLUDE_ROOTS", "").split(os.pathsep))
    left = CONFIG_LIMIT                              # bytes that may still be included

    def included(target, chain):
        nonlocal left
        # Not before: where nothing is included, a root that cannot be spelled does no harm.
        allowed = tuple(_real_folder(_expand_home(root, env)) for root in roots)
        if not _real_folder(target).startswith(allowed):
            raise ValueError("%s lies outside the config's directory "
                             "(OPENCLAW_INCLUDE_ROOTS can allow it)" % target)
        if target in chain or len(chain) > INCLUDE_DEPTH:
            raise ValueError("files include each other, or more than %d levels deep: %s"
                             % (INCLUDE_DEPTH, " -> ".join(chain + (target,))))
        value = _read_json5(target, INCLUDE_LIMIT, sources)
        left -= len(sources[target]) + 1024          # opening a file costs time, however small
        if left < 0:
            raise ValueError("the included files are larger than %d bytes together" % CONFIG_LIMIT)
        return _merge_includes(value, chain + (target,), included)

    try:
        merged = _merge_includes(value, (os.path.normpath(path),), included)
        if is_deep(merged, CONFIG_DEPTH):
            raise RecursionError
    except RecursionError:
        raise _file_error(path, "nested too deep")
    return merged


def _merge_includes(value, chain, included):
    """Return a value with every $include in it replaced by what `included(file, chain)` returns.

    `chain` is the tuple of files that led here, the value's own last. Arrays are joined, objects
    merged, and siblings of $include win, as in OpenClaw. Raises ConfigError.
    """
    if isinstance(value, list):
        return [_merge_includes(item, chain, included) for item in value]
    if not isinstance(value, dict):
        return value
    own = {key: _merge_includes(item, chain, included)
           for key, item in value.items()
           if key != "$include"}
    merged = {}
    try:
        for target in include_targets(value, chain[-1]):
            merged = deep_merge(merged, included(target, chain))
        if own and not isinstance(merged, dict):
            raise ValueError("keys beside $include need an object in the included file")
    except ValueError as error:                      # a NUL in the path, too
        raise _file_error(chain[-1], "$include: %s" % error)
    if own:
        return deep_merge(merged, own)
    return merged


def include_targets(value, path):
    """Return the paths in the $include of a value itself, which is in the file `path`.

    One that is not a text is made one: the error is then that of a missing file.
    """
    names = _children(value).get("$include", [])
    if not isinstance(names, list):
        names = [names]
    return [os.path.normpath(os.path.join(os.path.dirname(path), str(name)))
            for name in names]


def included_has(path, key, sources):
    """Return whether a file, or one that it includes, has a key; also where it cannot be seen."""
    value = json5_loads(sources.get(path, "null"))
    if not isinstance(value, dict) or key.lower() in map(str.lower, value):
        return True
    return any(included_has(target, key, sources) for target in include_targets(value, path))


def _real_folder(path):
    """Return a path without symbolic links, with which the path of all that it contains begins."""
    return os.path.join(os.path.normcase(os.path.realpath(path)), "")


def deep_merge(base, over):
    """Merge two JSON values: objects key by key, arrays joined, else `over`. Neither is changed."""
    if isinstance(base, dict) and isinstance(over, dict):
        merged = {key: deep_merge(base.get(key), value)
                  for key, value in over.items()}
        return {**base, **merged}
    if isinstance(base, list) and isinstance(over, list):
        return base + over
    return over


_DOTENV_LINE = (
    r"^[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*(?:=|:[ \t])[ \t]*"
    r"(?:(['\"`])((?:\\\2|(?!\2)[\s\S])*)\2|([^#\r\n]*))"
)


def parse_dotenv(text):
    """Return {name: value} of a .env file: quotes, `export`, comments, \\n in double quotes.

    The last of equal names wins. Source: the dotenv package's documentation.
    """
    values = {}
    line = re.compile(_DOTENV_LINE, re.MULTILINE)
    for name, quote, quoted, bare in line.findall(text.replace("\r\n", "\n")):
        value = quoted or bare.strip()
        if quote == '"':
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        values[name] = value
    return values


def _environment_layers(env, state_dir, config):
    """Return [(label, {name: value})] in the order OpenClaw asks: process, .env, env.vars."""
    layers = [("the environment", env)]
    if state_dir:
        path = os.path.join(state_dir, ".env")
        try:
            found = parse_dotenv(read_text(path, INCLUDE_LIMIT))
        except ConfigError:                          # not there, or OpenClaw goes on without it
            found = {}
        # A variable that is blank in the process hides the one of the same name here.
        layers.append((path, {
            name: value
            for name, value in found.items()
            if env.get(name, "-").strip()
        }))
    known = _merged_variables(layers)
    declared = _children(_get(config, "env", "vars"))
    layers.append(("env.vars of the config", {
        name: _substitute(value, known)
        for name, value in declared.items()
        if isinstance(value, str)
    }))
    return layers


def _merged_variables(layers):
    return {
        name: value
        for _, layer in reversed(layers)
        for name, value in layer.items()
        if value.strip()
    }


def _substitute(value, variables, path=(), missing=None):
    """Return a JSON value with ${NAME} replaced in every string, in one pass.

    `missing` gains {key path: name} of what is not set. $${NAME} yields a literal ${NAME}; names
    match [A-Z_][A-Z0-9_]*.
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

    return re.sub(r"\$(\$?)\{([A-Z_][A-Z0-9_]*)\}", replace, value)


def unsubstituted(text):
    """Return the text that OpenClaw's ${NAME} substitution turns back into `text`."""
    return re.sub(r"\$(?=\{[A-Z_][A-Z0-9_]*\})", "$$", text)


def _located(faults, file, sources):
    """Yield some Issues with the place of each, or of the nearest key above that is in a file."""
    try:
        trees = {name: json5_tree(text) for name, text in sources.items() if faults}
    except Json5Error:                               # plain JSON may be nested deeper than JSON5
        trees = {}
    for fault in faults:
        found, line, column = file, None, None
        if trees:
            places = _places(trees, file, trees[file], fault.path)
            _, found, pos = min(places, key=lambda place: place[0])
            line, column = line_and_column(sources[found], pos)
        yield fault._replace(file=found, line=line, column=column)


def _places(trees, file, node, path):
    """Yield (keys left, file, position) of a key path below a Node and of the keys above it.

    Among equally near ones, the file's own come before those of the files it includes.
    """
    yield len(path), file, node.start
    if not path:
        return
    children = node.items
    if isinstance(node.value, dict):
        children = {key: child for key, _, _, child in node.items}
    child = _get(children, path[0])
    if child is not None:
        yield from _places(trees, file, child, path[1:])
    for target in reversed(include_targets(node.value, file)):
        yield from _places(trees, target, trees[target], path)


def _get(value, *path):
    """Return the value at a key path, or None where the path ends early."""
    try:
        for key in path:
            value = value[key]
    except (LookupError, TypeError):
        return None
    return value


def _children(value):
    """Return {key or index: value} of a container, {} of a scalar."""
    if isinstance(value, list):
        return dict(enumerate(value))
    if isinstance(value, dict):
        return value
    return {}


def _get_text(value, *path):
    """Return the text at a key path, "" where there is none."""
    found = _get(value, *path)
    if isinstance(found, str):
        return found
    return ""


def _picked(value, names):
    """Return those members of an object that have one of the names."""
    return {name: value[name] for name in names if name in value}


# ----------------------------------------------------------------------------
# Schema: what OpenClaw accepts
# ----------------------------------------------------------------------------
# The part of OpenClaw 2026.9's schema that matters here, as data, and its interpreter. Pure.

def _lines_by_name(text):
    """Return {first word: the rest} of a text's lines."""
    return dict(line.partition(" ")[::2]
                for line in text.strip().split("\n"))


def _rules(text):
    """Return {key: rule} of a text of key=RULE."""
    return dict(member.partition("=")[::2]
                for member in text.split())


@functools.lru_cache(maxsize=None)
def _shape(rule):
    """Return {key: rule} of a shape or a record, read when first asked for: there are many."""
    return _rules(_SHAPES.get(rule, "*=" + rule[1:]))


# One shape a line: its name, then key=RULE for each key. ! before a RULE marks a required key,
# ~ a legacy one; *=RULE:RULE has the rules of any other key and of its value.
# A RULE is a leaf of _LEAVES or a shape; [RULE] an array, [RULE]1,2 one of one or two items;
# *RULE:RULE a record, by its keys and values; a|b one of these texts; RULE/RULE either of the two.
_SHAPES = _lines_by_name("""
config $schema=text models=models agents=agents env=environment plugins=plugins auth=auth \
 secrets=secrets bindings=[anything] worktreeAcceleration=boolean worktreeRoot=filled \
 accessGroups=object acp=object approvals=object attachments=object broadcast=object \
 browser=object channels=object cloudWorkers=object commands=object cron=object desktop=object \
 diagnostics=object discovery=object gateway=object hooks=object logging=object mcp=object \
 memory=object messages=object meta=object nodeHost=object proxy=object security=object \
 session=object skills=object surfaces=object talk=object telemetry=object tools=object \
 transcripts=object tts=object ui=object update=object wizard=object
auth order=*text:[text] profiles=*text:profile
profile provider=!text mode=!api_key|aws-sdk|oauth|token email=text displayName=text
secrets defaults=object egressProxy=object providers=object
environment shellEnv=shell vars=*text:text
shell enabled=boolean timeoutMs=count
plugins enabled=boolean allow=[text] deny=[text] entries=plugin-entries load=load slots=slots
load paths=[text]
slots memory=text contextEngine=text
plugin-entries vllm=vllm-plugin *=text:plugin
plugin enabled=boolean hooks=object subagent=object llm=object config=object
vllm-plugin enabled=boolean hooks=object subagent=object llm=object config=*nothing:anything
models mode=merge|replace providers=*text:provider catalogRefresh=refresh
refresh enabled=boolean url=url
provider baseUrl=text apiKey={SECRET} contextWindow=~anything contextTokens=~anything \
 auth=api-key|aws-sdk|oauth|token api={APIS} maxTokens=positive timeoutSeconds=whole region=filled \
 injectNumCtxForOpenAICompat=boolean params=object agentRuntime=runtime localService=service \
 headers=*text:{SECRET} authHeader=boolean request=request models=[row]
(source:env,provider,id) source=!env provider=!name id=!variable
(source:file,provider,id) source=!file provider=!name id=!pointer
(source:exec,provider,id) source=!exec provider=!name id=!command
(source:store,provider,id) source=!store provider=!name id=!variable
runtime id=text
service command=!filled args=[text] cwd=filled env=*text:text healthUrl=filled \
 readyTimeoutMs=whole idleStopMs=count
request headers=*text:{SECRET} \
 auth=(mode:provider-default)/(mode:authorization-bearer,token)/(mode:header,headerName,value) \
 proxy=(mode:env-proxy)/(mode:explicit-proxy,url) tls=tls allowPrivateNetwork=boolean
(mode:provider-default) mode=!provider-default
(mode:authorization-bearer,token) mode=!authorization-bearer token=!{SECRET}
(mode:header,headerName,value) mode=!header headerName=!filled value=!{SECRET} prefix=text
(mode:env-proxy) mode=!env-proxy tls=tls
(mode:explicit-proxy,url) mode=!explicit-proxy url=!filled tls=tls
tls ca={SECRET} cert={SECRET} key={SECRET} passphrase={SECRET} serverName=text \
 insecureSkipVerify=boolean
row id=!filled name=!filled api={APIS} baseUrl=filled reasoning=boolean \
 input=[text|image|video|audio] cost=cost contextWindow=positive contextTokens=whole \
 maxTokens=positive thinkingLevelMap=levels params=object agentRuntime=runtime headers=*text:text \
 compat=compat mediaInput=media metadataSource=models-add
cost input=number output=number cacheRead=number cacheWrite=number tieredPricing=[tier]
tier input=!number output=!number cacheRead=!number cacheWrite=!number range=![number]2/[number]1
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
 vercelGatewayRouting=vercel zaiToolStream=boolean cacheControlFormat=anthropic \
 sendSessionAffinityHeaders=boolean sendSessionIdHeader=boolean \
 supportsEagerToolInputStreaming=boolean supportsLongCacheRetention=boolean
openrouter allow_fallbacks=boolean require_parameters=boolean data_collection=deny|allow \
 zdr=boolean enforce_distillable_text=boolean order=[text] only=[text] ignore=[text] \
 quantizations=[text] sort=text/(by,partition) max_price=prices \
 preferred_min_throughput=number/(p50,p75,p90,p99) \
 preferred_max_latency=number/(p50,p75,p90,p99)
(by,partition) by=text partition=text-or-null
prices prompt=number-or-text completion=number-or-text image=number-or-text audio=number-or-text \
 request=number-or-text
(p50,p75,p90,p99) p50=number p75=number p90=number p99=number
vercel only=[text] order=[text]
agents defaults=defaults entries=*agent-id:entry ownership=explicit list=~[listed]
(primary,fallbacks) primary=text fallbacks=[text]
(primary,fallbacks,timeoutMs) primary=text fallbacks=[text] timeoutMs=whole
picked alias=text params=params agentRuntime=runtime pickerRuntimes=[picker]0,1,2,3,4,5,6,7,8 \
 codeMode=boolean streaming=boolean
params qwenThinkingFormat=~anything *=text:anything
policy allow=[text]
defaults model=text/(primary,fallbacks) imageModel=text/(primary,fallbacks,timeoutMs) \
 models=*text:picked params=params \
 modelPolicy=policy thinkingDefault={LEVELS} reasoningDefault=off|on|stream timeoutSeconds=count \
 authInheritance=owner blockStreamingBreak=text_end|message_end blockStreamingChunk=object \
 blockStreamingCoalesce=object blockStreamingDefault=off|on bootstrapMaxChars=whole \
 bootstrapTotalMaxChars=whole compaction=object contextInjection=always|continuation-skip|never \
 contextLimits=object contextPruning=object cwd=text decisionModel=text \
 elevatedDefault=off|on|ask|full embeddedAgent=object experimental=object \
 fastModeDefault=boolean/auto heartbeat=object humanDelay=object imageMaxDimensionPx=whole \
 imageQuality=auto|efficient|balanced|high maxConcurrent=whole mediaMaxMb=positive \
 mediaModels=object modelSelectionScope=session|agent|global pdfMaxMb=positive pdfMaxPages=whole \
 pdfModel=text/(primary,fallbacks,timeoutMs) repoRoot=text sandbox=object sessionStore=owner \
 silentReply=object \
 skills=[text] skipBootstrap=boolean skipOptionalBootstrapFiles=[text] startupContext=object \
 subagents=object systemAgent=owner toolProgressDetail=explain|raw typingIntervalSeconds=whole \
 typingMode=never|instant|thinking|message userTimezone=text utilityModel=text \
 verboseDefault=off|on|full voiceModel=text/(primary,fallbacks,timeoutMs) workspace=text \
 contextTokens=~anything llm=~anything
owner agentId=filled
entry model=text/(primary,fallbacks) models=*text:picked params=params modelPolicy=policy \
 thinkingDefault={LEVELS} reasoningDefault=off|on|stream default=~boolean agentDir=text \
 bootstrapMaxChars=whole bootstrapTotalMaxChars=whole \
 contextInjection=always|continuation-skip|never contextLimits=object cwd=text decisionModel=text \
 description=text embeddedAgent=object experimental=object fastModeDefault=boolean/auto \
 groupChat=object heartbeat=object humanDelay=object identity=object memory=object name=text \
 runtime=object sandbox=object skills=[text] skillsLimits=object subagents=object \
 toolProgressDetail=explain|raw tools=object tts=object typingMode=never|instant|thinking|message \
 utilityModel=text verboseDefault=off|on|full workspace=text contextTokens=~anything
listed id=!agent-id default=boolean *=text:anything
""".format(
    SECRET="text/(source:env,provider,id)/(source:file,provider,id)/(source:exec,provider,id)/"
           "(source:store,provider,id)",
    LEVELS="off|minimal|low|medium|high|xhigh|adaptive|max|ultra",
    APIS="openai-completions|openai-responses|openai-chatgpt-responses|anthropic-messages|"
         "google-generative-ai|google-vertex|github-copilot|bedrock-converse-stream|ollama|"
         "pi-messages|azure-openai-responses",
))
# What a leaf is: its types, how messages call it, the pattern that its texts match.
_LEAVES = _lines_by_name(r"""
text str ~ a text
filled str ~ a non-empty text
text-or-null str,NoneType ~ a text or null
number-or-text int,float,str ~ a number or a text
boolean bool ~ true or false
object dict ~ an object
nothing str ~ no key at all ~ (?!)
anything NoneType,bool,int,float,str,list,dict ~ anything
number int,float ~ a number
positive int,float ~ a number above 0
count int,float ~ a whole number
whole int,float ~ a whole number above 0
name str ~ a name such as "default" ~ [a-z][a-z0-9_-]{0,63}
variable str ~ the name of a variable such as VLLM_API_KEY ~ [A-Z][A-Z0-9_]{0,127}
pointer str ~ "value" or a JSON pointer ~ value|/(?:[^~]|~[01])*
command str ~ the id of a secret ~ (?!(?:.*/)?\.\.?(?:/|\Z))[A-Za-z0-9][A-Za-z0-9._:/#-]{0,255}
picker str ~ the id of a runtime ~ \s*(?!(?:auto|default)\s*\Z)[a-z][a-z0-9-]{0,127}\s*
agent-id str ~ the id of an agent ~ [A-Za-z0-9_][A-Za-z0-9_-]{0,63}
url str ~ https URL ~ (?i:\s*http(s://[^\s/?#]+|://(localhost|127.0.0.1|\[::1])[:\d]*)\s*([/?#].*)?)
""")
# The bounds of texts and numbers; JavaScript counts in whole numbers below 2 ** 53.
_BOUNDS = {
    "filled": len,
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
# Keys that people write, shape by shape, and where their values belong: a path from the top, or,
# with a dot in front, from the object that has the key.
_MISPLACED = _lines_by_name("""
config providers=models.providers model=agents.defaults.model vllm=models.providers.vllm \
 agent=agents.defaults
models vllm=models.providers.vllm baseUrl=models.providers.vllm.baseUrl \
 apiKey=models.providers.vllm.apiKey
agents model=agents.defaults.model models=agents.defaults.models params=agents.defaults.params
defaults providers=models.providers llm=models.providers.vllm.timeoutSeconds
(primary,fallbacks) providers=models.providers fallback=.fallbacks
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
provider.contextWindow is a legacy key: OpenClaw moves it into the rows that have none
provider.contextTokens is a legacy key: OpenClaw moves it into the rows that have none
agents.list is a legacy key: OpenClaw moves it into agents.entries
entry.default is a legacy key: OpenClaw moves it to agents.defaults.systemAgent.agentId
entry.contextTokens is a legacy key: OpenClaw ignores it
defaults.contextTokens is a legacy key: OpenClaw ignores it
defaults.llm is a legacy key: its successor is models.providers.<id>.timeoutSeconds
params.qwenThinkingFormat is a legacy key: its successor is compat.thinkingFormat of the row
""")
# How a config breaks the schema, worst first: a type, a bound, or a key that is unknown or legacy.
# A newer OpenClaw may know the key, so that is a warning here.
_WRONG_TYPE, _OUT_OF_BOUNDS, _ODD_KEY = range(3)
_JSON_TYPES = _lines_by_name("""
NoneType null
bool a boolean
str a string
int a number
float a number
list an array
dict an object
""")


def _json_type(value):
    """Return how messages call the type of a JSON value."""
    return _JSON_TYPES[type(value).__name__]


def migrate(config):
    """Convert the legacy forms in a config as OpenClaw does, in place; values may have any type.

    The legacy keys stay beside what they became, so that `schema_faults` can name them.
    """
    listed = _get(config, "agents", "list")
    if not any(_mismatches(listed, "[listed]", ())):
        entries = {}
        for entry in listed:
            entry = dict(entry)
            entries[entry.pop("id")] = entry
        config["agents"].setdefault("entries", entries)
    for block in _children(_get(config, "models", "providers")).values():
        rows = _get(block, "models")
        if isinstance(rows, list):
            windows = _picked(block, ("contextWindow", "contextTokens"))
            rows[:] = [deep_merge(windows, row) for row in rows]


def schema_faults(config):
    """Return the Issues of a substituted, migrated config, severe ones first, MAX_ISSUES at most.

    They do not say yet where in a file they are.
    """
    found = sorted(_mismatches(config, "config", ()), key=lambda mismatch: mismatch[0])
    # Finding the right place of a key is slow, so only those that are returned are looked up.
    faults = [
        _issue(config, *mismatch)
        for mismatch in found[:MAX_ISSUES]
    ]
    if all(level == _ODD_KEY for level, _, _ in found):      # then every value has its type
        faults[:0] = itertools.chain(_provider_faults(config), _agent_faults(config))
    return faults[:MAX_ISSUES]


def _mismatches(value, rule, path):
    """Yield (level, path, problem) of what in a value breaks a rule of _SHAPES.

    For an unknown or a legacy key the problem is the name of the shape that it is in.
    """
    if rule in _SHAPES or rule[0] == "*":
        yield from _object_mismatches(value, rule, path)
    elif "/" in rule:
        yield from _alternatives(value, rule, path)
    elif rule[0] == "[":
        yield from _array_mismatches(value, rule, path)
    elif rule in _LEAVES:
        types, words, *pattern = _LEAVES[rule].split(" ~ ")
        if type(value).__name__ not in types.split(","):
            yield _mismatch(value, words, path)
        elif (pattern and not re.match("(?s:%s)\\Z" % pattern[0], value)
              or rule in _BOUNDS and not _BOUNDS[rule](value)):
            yield _mismatch(value, words, path, _OUT_OF_BOUNDS)
    elif value not in rule.split("|"):
        yield _mismatch(value, rule.replace("|", " or "), path)


def _object_mismatches(value, rule, path):
    if not isinstance(value, dict):
        yield _mismatch(value, "an object", path)
        return
    shape = _shape(rule)
    for key, item in value.items():
        place = path + (key,)
        inner = shape.get(key)
        if inner is None:
            others = shape.get("*", "text:~anything")
            keys, _, inner = others.partition(":")
            yield from _mismatches(key, keys, place)
        if inner[0] == "~":
            yield _ODD_KEY, place, rule
        yield from _mismatches(item, inner.lstrip("!~"), place)
    for key, inner in shape.items():
        if inner[0] == "!" and key not in value:
            yield _WRONG_TYPE, path + (key,), "is missing"


def _array_mismatches(value, rule, path):
    if not isinstance(value, list):
        yield _mismatch(value, "an array", path)
        return
    rule, size = rule[1:].split("]")
    if size and str(len(value)) not in size.split(","):
        yield _mismatch(len(value), size + " items", path, _OUT_OF_BOUNDS)
    for index, item in enumerate(value):
        yield from _mismatches(item, rule, path + (index,))


def _alternatives(value, rule, path):
    """Yield the mismatches of the only branch whose types fit, else one for all branches."""
    tried = [list(_mismatches(value, branch, path)) for branch in rule.split("/")]
    near = [
        found
        for found in tried
        if all(level != _WRONG_TYPE for level, _, _ in found)
    ]
    if len(near) == 1:
        yield from near[0]
    elif [] not in near:
        yield _mismatch(value, rule.replace("/", " or "), path)


def _mismatch(value, expected, path, level=_WRONG_TYPE):
    found = _json_type(value)
    if isinstance(value, (int, float)):              # never a text, which may be a key
        found = json.dumps(value)[:40]
    return level, path, "expected %s, found %s" % (expected, found)


def _issue(config, level, path, problem):
    """Return the Issue of a mismatch."""
    if level != _ODD_KEY:
        return Issue(path, problem)
    place = _known_place(config, path, problem)
    cause = "config-legacy-key"
    words = _LEGACY.get("%s.%s" % (problem, path[-1]))
    if words is None:
        cause = "config-unknown-key"
        words = "OpenClaw 2026.9 does not start with the unknown key %r" % path[-1]
        if place:
            words += "; did you mean %s?" % dotted(place)
    return Issue(path, words, cause=cause, successor=place)


def _known_place(config, path, shape):
    """Return the key path where the value of an unknown or legacy key belongs, or None."""
    around, key = path[:-1], path[-1]
    names = _rules(_MISPLACED.get(shape, "")).get(key, "").split(".")
    if names[0]:
        return tuple(names)
    if names[1:]:
        return around + tuple(names[1:])
    if key in _shape(shape):                         # a legacy key; one of them has a place
        if key == "qwenThinkingFormat":
            provider, _, model_id = str(around[-2]).partition("/")
            rows = ("models", "providers", provider, "models")
            for index, row in _children(_get(config, *rows)).items():
                if _get(row, "id") == model_id:
                    return rows + (index, "compat", "thinkingFormat")
        return None
    row = around
    rows = _get(config, *around, "models")
    if isinstance(rows, list) and len(rows) == 1:
        row += ("models", 0)
        if key in _shape("row"):
            return row + (key,)
    if (shape == "row" or row != around) and key in _shape("compat"):
        return row + ("compat", key)
    near = nearest(key, [name for name, rule in _shape(shape).items() if rule[0] != "~"])
    return near and around + (near,)


def nearest(name, names):
    """Return the name most like `name` among `names`, or None when none is like it."""
    import difflib
    # Each comparison takes time: past so many names, a guess is not worth it.
    folded = {other.lower(): other for other in itertools.islice(names, 2000)}
    found = difflib.get_close_matches(name.lower(), list(folded), 1)
    if not found:
        return None
    return folded[found[0]]


def _provider_faults(config):
    """Yield the Issues of providers beyond the shapes; OpenClaw itself checks no base URL."""
    for name, block in provider_blocks(config).items():
        path = ("models", "providers", name)
        for key in ("baseUrl", "models"):
            if key not in block and provider_id(name) not in _BUILT_IN_PROVIDERS.split():
                yield Issue(
                    path + (key,),
                    "is missing: OpenClaw has no provider of this name")
        holders = {path: block}
        for index, row in enumerate(block.get("models", ())):
            holders[path + ("models", index)] = row
        for place, holder in holders.items():
            url = holder.get("baseUrl", DEFAULT_BASE_URL)
            problem = base_url_problem(url)
            if problem and "${" not in url:
                yield Issue(
                    place + ("baseUrl",),
                    "is not a valid base URL: " + problem,
                    cause="bad-base-url")


def _agent_faults(config):
    """Yield the Issues of agents beyond the shapes."""
    agents = config.get("agents", {})
    defaults = agents.get("defaults", {})
    entries = agents.get("entries", {})
    names = [name.lower() for name in entries] or ["main"]
    owner = defaults.get("systemAgent", {}).get("agentId", names[0])
    marked = sum(entry.get("default", False) for entry in entries.values())
    explicit = "ownership" in agents
    for wrong, place, problem in (
            (len(set(names)) < len(names),
             "entries",
             "two ids differ only in case"),
            (marked > 1,
             "entries",
             "more than one agent is the default"),
            (marked and explicit,
             "ownership",
             '"explicit" rules out default: true'),
            (len(entries) > 1 and not marked and not explicit,
             "ownership",
             'is missing: several agents need "explicit" here'),
            (trimmed(owner).lower() not in names,
             "defaults.systemAgent.agentId",
             "is not an agent of agents.entries")):
        if wrong:
            yield Issue(("agents", *place.split(".")), problem)
    yield from _scope_faults(defaults, defaults, ("agents", "defaults"))
    for name, entry in entries.items():
        yield from _scope_faults(entry, defaults, ("agents", "entries", name))


_ALLOWED = r"(?:[^\s*/\x00-\x1f\x7f]+/)+(?:\*|[^\s*/\x00-\x1f\x7f]+)\Z"


def _scope_faults(scope, defaults, path):
    """Yield the Issues of the models that agents.defaults or an entry names."""
    models = scope.get("models", {})
    for reference, entry in models.items():
        for key in _picked(entry, ("pickerRuntimes", "codeMode")):
            if "*" in reference or reference_key(reference) is None:
                yield Issue(
                    path + ("models", reference, key),
                    "is allowed for provider/model only")
    aliases = {
        trimmed(entry.get("alias", "")).lower()
        for entry in [*models.values(), *defaults.get("models", {}).values()]
    }
    policy = _get(scope, "modelPolicy", "allow") or ()
    for index, allowed in enumerate(policy):
        alias = trimmed(allowed).lower()
        if alias and alias in aliases:
            continue
        if not re.match(_ALLOWED, reference_key(allowed) or ""):
            yield Issue(
                path + ("modelPolicy", "allow", index),
                "expected provider/model, provider/* or an alias")


# ----------------------------------------------------------------------------
# URLs and proxies
# ----------------------------------------------------------------------------
# The parts of a URL, and the proxy for it. Pure; no message repeats a URL: it may hold a password.

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
# Scheme, host, port; then path and query.
_HTTP_URL = (r"((?i:https?))://(\[[\w:.%]+\]|[^\[\]:\\/?#@\x00-\x20\x7f]+)(?::([0-9]{0,9}))?"
             r"(?![^/?#])([^#\x00-\x20\x7f]*)(?![^#])")
# What is wrong with any other text, the first that fits.
_URL_FAULTS = (
    (r"(?!(?i:https?)://)", "it does not begin with http:// or https://"),
    (r".*[\x00-\x20\x7f]", "it holds a space or control character"),
    (r"[^/]*//[^/?#]*@",
     "it holds a user name or password; use VLLM_API_KEY or headers for those"),
    ("", "its host is missing or malformed"),
)


def split_url(url):
    """Return Url(scheme, host without brackets, port, path and query) of an http(s) URL.

    Raises ValueError saying what is wrong.
    """
    url = url.strip()
    found = re.match(_HTTP_URL, url)
    for pattern, problem in () if found else _URL_FAULTS:
        if re.match(pattern, url):
            raise ValueError(problem)
    scheme, host, port, path = found.groups()
    scheme = scheme.lower()
    port = int(port or _PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError("its port is not between 1 and 65535")
    return Url(scheme, host.strip("[]"), port, path)


def is_loopback(host):
    """Return whether a host names this machine's loopback: localhost, 127.0.0.0/8, ::1."""
    return bool(re.match(r"(?i)(?:localhost|::1|127(?:\.[0-9]{1,3}){3})\.*\Z", host))


def is_local(host):
    """Return whether OpenClaw calls a host local: loopback, any address of this host, *.local."""
    return is_loopback(host) or bool(re.match(r"(?i)(?:0\.0\.0\.0|::|.*\.local)\Z", host))


def is_private(host):
    """Return whether the name or address of a host shows that it is not on the internet."""
    return is_local(host) or bool(re.match(_PRIVATE_HOST, host))


# A local name, or an address of RFC 1918, RFC 3927, RFC 4193, RFC 4291 or RFC 6598.
_PRIVATE_HOST = (r"(?i)(?:[^.:]+|.*\.(?:internal|lan|svc|home\.arpa)|"
                 r"f[cd][0-9a-f]*:.*|fe[89ab].?:.*|"
                 r"(?:10|192\.168|169\.254|172\.(?:1[6-9]|2[0-9]|3[01])|"
                 r"100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))\.[0-9.]+)\.?\Z")


def origin(url):
    """Return scheme://host:port of a base URL, as it is written."""
    return re.match("[^/]*//[^/]*", url).group(0)


def _bracketed(host):
    return "[%s]" % host if ":" in host else host


def proxy_for(target, env):
    """Return the URL of the environment's proxy for a Url, without its password, or None.

    Lower-case names win; loopback is never proxied; NO_PROXY takes hosts,
    domain suffixes, host:port, CIDR blocks and *. Raises ConfigError for a
    proxy that is not http://.
    """
    scheme, _, place = _proxy_parts(target, env)
    if not place:
        return None
    url = (scheme or "http://") + place
    problem = base_url_problem(url)
    if not url.lower().startswith("http://"):
        problem = "only http:// proxies are supported"
    if problem is None:
        return url
    raise ConfigError("the proxy of the environment cannot be used: %s" % problem,
                      "export NO_PROXY=%s    (to reach the server directly)" % target.host,
                      "proxy-captured")


def _proxy_parts(target, env):
    """Return (scheme://, user:password, the rest) of the proxy variable that applies to a Url."""
    exempt = env.get("no_proxy") or env.get("NO_PROXY") or ""
    names = [target.scheme + "_proxy", target.scheme.upper() + "_PROXY", "all_proxy", "ALL_PROXY"]
    if is_loopback(target.host) or no_proxy_covers(exempt, target):
        names = []
    if env.get("REQUEST_METHOD"):                    # CGI: it may be a header ("httpoxy")
        env = dict(env, HTTP_PROXY="")
    settings = map(env_setting, map(env.get, names))
    setting = next(filter(None, settings), "")
    return re.match(r"(?s)(\w+://)?(?:([^/]*)@)?(.*)", setting).groups()


def proxy_headers(target, env):
    """Return the headers for a proxy with a password in its URL (RFC 7617), else {}."""
    _, named, _ = _proxy_parts(target, env)
    if not named:
        return {}
    import base64
    from urllib.parse import unquote_to_bytes
    token = base64.b64encode(unquote_to_bytes(named)).decode("ascii")
    return {"Proxy-Authorization": Secret("Basic " + token)}


def no_proxy_covers(entries, target):
    """Return whether a NO_PROXY text covers a Url."""
    host = target.host.lower()
    own_port = r"(\[.*\]|[^:]*):%d\Z" % target.port
    for entry in re.split(r"[\s,]+", entries.lower()):
        name = re.sub(own_port, r"\1", entry).strip("[]").lstrip("*.")
        if entry == "*" or (name and ("." + host).endswith("." + name)):
            return True
        if "/" in name and _in_network(host, name):
            return True
    return False


def _in_network(address, block):
    import ipaddress
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def server_root(base_url):
    """Return the URL of vLLM's own endpoints (/version, /health): the base URL without /v1."""
    return re.sub(r"/v1\Z", "", base_url)


# ----------------------------------------------------------------------------
# Provider: opt-in, credentials, explicit and implicit resolution
# ----------------------------------------------------------------------------
# Turns valid settings into a Provider. Opens no connection.

def resolve_provider(settings, provider=DEFAULT_PROVIDER, base_url=None, api_key=None,
                     ca_file=None):
    """Return the Provider that `settings` describe; opens no connection.

    `base_url` and `api_key` win over every other source. If the provider must
    not be asked (not opted in, disabled, its key unusable), `refusal` holds the
    reason, which every function that opens a connection raises. Raises
    ConfigError for invalid settings, a bad base URL or key, UsageError for an
    unknown id.
    """
    if settings.issues:
        raise issue_error(settings.issues)
    config, name = settings.config, provider_id(provider)
    spelled, block = find_block(config, provider)
    if block is None and name != DEFAULT_PROVIDER and base_url is None:
        known = ", ".join(sorted(provider_blocks(config)))
        raise UsageError("no provider %r in %s" % (provider, settings.path or "the config"),
                         "the config has: %s" % (known or "none"))
    path, fields = ("models", "providers", spelled), block or {}
    url, where = _choose_base_url(settings, block, path, base_url)
    problems = []
    keys = _credentials(settings, name, block, path, api_key, problems)
    option, environment, profile, own = keys
    below, above = _block_headers(settings, fields, path, problems)
    layers, plugin_off = agent_layers(config), _plugin_off(config, name)
    asks_server = block is None or (any(keys) and _has_wildcard(layers[0], name))
    if plugin_off or _get(config, "models", "mode") == "replace":
        asks_server = False
    rows = fields.get("models", [])
    for row in rows:
        row["headers"] = _sendable_headers(below, row.get("headers", {}), above)
        row["baseUrl"] = base_url or row["baseUrl"]
        _refuse_bad_base_url(row["baseUrl"], "the baseUrl of the model " + row["id"])
    if base_url is not None:
        asks_server = True
    elif block is None and plugin_off:
        problems.append(error_for("provider-disabled", problem=plugin_off, file=settings.path))
    elif block is None and not any(keys):
        problems.append(
            error_for("not-opted-in", "export VLLM_API_KEY=vllm-local", provider=name))
    return Provider(
        id=name,
        base_url=url,
        api=fields.get("api", "openai-completions"),
        explicit=block is not None,
        asks_server=asks_server,
        discovery_key=option or environment or profile or own,
        request_key=option or profile or environment or own,
        credentials=list(filter(None, keys)),
        refusal=next(iter(problems), None),
        headers=_sendable_headers(below, above),
        models=rows,
        max_tokens=fields.get("maxTokens"),
        timeout_s=fields.get("timeoutSeconds"),
        layers=layers,
        references=model_references(config, layers),
        plugin_off=plugin_off,
        env=settings.layers[0][1],
        ca_file=ca_file,
        where=where,
        file=settings.path)


def resolve_providers(settings, providers=(), base_urls=(), api_key=None, ca_file=None):
    """Return the Providers that repeated --provider and --base-url options name, in their order.

    "all" stands for every openai-completions block of the config. Raises what
    `resolve_provider` does.
    """
    servers = named_servers(settings, providers, base_urls)
    return [resolve_provider(settings, name, url, api_key, ca_file) for name, url in servers]


def named_servers(settings, providers, base_urls):
    """Return [(provider id, base URL or None)] for repeated --provider and --base-url.

    Invalid settings give one server, so that their faults are reported once. Raises UsageError.
    """
    if settings.issues:
        return [(DEFAULT_PROVIDER, None)]
    every = [name
             for name, block in provider_blocks(settings.config).items()
             if block.get("api", "openai-completions") == "openai-completions"]
    names = []
    for name in providers or [DEFAULT_PROVIDER]:
        names += every if name == "all" else [name]
    if not names:
        raise UsageError("--provider all: %s has no openai-completions block"
                         % (settings.path or "the config"), "name servers with --base-url")
    if base_urls and len(names) > 1:
        raise UsageError("several --provider cannot be combined with --base-url",
                         "name the servers with only one of them")
    return [(name, url) for name in names for url in base_urls or [None]]


def provider_blocks(config):
    """Return {id: block} of models.providers; only for a valid config."""
    return _get(config, "models", "providers") or {}


def provider_id(name):
    """Return a provider's id as OpenClaw compares it: trimmed, in lower case."""
    return trimmed(name).lower()


def find_block(config, provider):
    """Return (id as the config spells it, its models.providers block or None).

    Blocks whose ids differ only in case are merged; later fields win. Their rows are joined: ids
    trimmed, equal ones merged (the first wins), each with the base URL of its own block.
    """
    spelled, merged, rows = trimmed(provider), None, {}
    for name, block in provider_blocks(config).items():
        if provider_id(name) != provider_id(provider):
            continue
        for row in block.get("models", ()):
            model_id = trimmed(_get_text(row, "id"))
            if model_id:
                rows[model_id] = dict(row, **rows.get(model_id, {"id": model_id}))
        for row in rows.values():
            row.setdefault("baseUrl", block.get("baseUrl", DEFAULT_BASE_URL))
        spelled, merged = name, dict(merged or {}, **block)
        merged["models"] = list(rows.values())
    return spelled, merged


def _choose_base_url(settings, block, path, option):
    """Return (base URL without trailing slashes, where it comes from). Raises ConfigError."""
    path += ("baseUrl",)
    url, where = DEFAULT_BASE_URL, "OpenClaw's default"
    chosen = env_setting(settings.variables.get("VLLM_BASE_URL"))
    if option is not None:
        url, where = option, "--base-url"
    elif block is not None:
        url, where = block.get("baseUrl", url), dotted(path)
        if path in settings.unset_variables:
            raise _missing_variable(settings, path, settings.unset_variables[path])
    elif chosen:
        url, where = chosen, "VLLM_BASE_URL"
    _refuse_bad_base_url(url, where)
    url = url.strip().rstrip("/")
    endpoint = r"(?P<right>.*?)(?P<suffix>/(?:chat/)?completions|/models)\Z"
    found = not url.endswith("/v1") and re.match(endpoint, url)      # spares compiling the pattern
    if found:
        raise error_for("endpoint-in-base-url", where=where, **found.groupdict())
    return url, where


def _refuse_bad_base_url(url, where):
    problem = base_url_problem(url)
    if problem:
        raise error_for("bad-base-url", where=where, problem=problem, example=DEFAULT_BASE_URL)


def _missing_variable(settings, path, name):
    return error_for(
        "config-missing-variable", path=dotted(path), variable=name,
        dotenv=_dotenv_path(settings))


def _dotenv_path(settings):
    return os.path.join(settings.state_dir or "~/.openclaw", ".env")


def _credentials(settings, provider, block, path, api_key, problems):
    """Return the Credentials [option, environment, auth profile, config], None for each one unset.

    If all are, `problems` gains what is wrong with the config's. Raises ConfigError for a key
    that cannot be sent.
    """
    path += ("apiKey",)
    variable, unusable = None, []
    if provider == DEFAULT_PROVIDER or block is None:
        variable = settings.variables.get("VLLM_API_KEY")
    source = next((label for label, layer in settings.layers
                   if layer.get("VLLM_API_KEY", "").strip()), None)
    written = _secret(settings, _get(block, "apiKey"), path, unusable)
    keys = [
        _credential("--api-key-file", api_key),
        _credential("VLLM_API_KEY (%s)" % source, variable),
        auth_profile(settings, provider),
        _credential(dotted(path), written),
    ]
    for key in filter(None, keys):
        _refuse_unsendable(*key)
    if not any(keys):
        problems += unusable
    return keys


def _credential(source, key):
    return Credential(source, Secret(key.strip())) if key else None


def _secret(settings, value, path, problems):
    """Return the Secret that a credential field stands for, or None; `problems` gains the reason.

    A field holds the key itself, $NAME, the bare name VLLM_API_KEY, or a SecretRef.
    """
    if value is None:
        return None
    text = str(value).strip()
    variable = settings.unset_variables.get(path) or _get(value, "id")
    # The first letter spares compiling the pattern.
    if text[:1] in "$V" and re.match(r"(?:VLLM_API_KEY|\$[A-Z_][A-Z0-9_]*)\Z", text):
        variable = text.lstrip("$")
    if _get(value, "source") not in (None, "env"):
        problems.append(ConfigError(
            "%s comes from the secret source %s, which only OpenClaw resolves"
            % (dotted(path), value["source"]),
            "export VLLM_API_KEY, or pass --api-key-file", "config-invalid"))
        return None
    if variable is None:
        return Secret(text)
    if variable in settings.variables:
        return Secret(settings.variables[variable].strip())
    problems.append(_missing_variable(settings, path, variable))
    return None


def _refuse_unsendable(source, value, name="Authorization"):
    """Raise ConfigError for a header that cannot be sent."""
    if re.search(r"[\x00-\x1f\x7f]", value):
        wrong = "a line break or control character"
    elif max(value, default="") > "\xff":
        wrong = "characters outside ISO 8859-1"
    elif not re.match(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", name):
        wrong = "an invalid header name"
    else:
        return
    raise error_for("bad-key-form", source=source, problem="it holds " + wrong, what=wrong)


def _block_headers(settings, block, path, problems):
    """Return (headers that a row overrides, headers that override a row) of a provider's block.

    `problems` gains the reason for each value that is None.
    """
    def secret(*place):
        return _secret(settings, _get(block, *place), path + place, problems)

    def headers(*place):
        return {name: secret(*place, name) for name in _get(block, *place) or ()}

    below, above = headers("headers"), headers("request", "headers")
    auth = _get(block, "request", "auth") or {}
    field, prefix = _AUTH_FIELDS.get(auth.get("mode"), (None, ""))
    text = secret("request", "auth", field)
    if text is not None:
        name = _get_text(auth, "headerName") or "Authorization"
        prefix = _get_text(auth, "prefix") or prefix
        above[name] = Secret(prefix + text)
    return below, above


_AUTH_FIELDS = {                     # mode of request.auth -> (field of the secret, prefix)
    "authorization-bearer": ("token", "Bearer "),
    "header": ("value", ""),
}


def merged_headers(*layers):
    """Return {name: value} of layers of headers: later ones win, whatever the case of a name.

    A header whose value is None is left out.
    """
    merged = {}
    for layer in layers:
        for name, value in layer.items():
            if value is not None:
                merged[name.lower()] = name, value
    return dict(merged.values())


def _sendable_headers(*layers):
    """Return `merged_headers`; raise ConfigError for one that cannot be sent."""
    headers = merged_headers(*layers)
    for name, value in headers.items():
        _refuse_unsendable("the header %r" % name, value, name)
    return headers


def _plugin_off(config, provider):
    """Return which setting disables OpenClaw's vllm plugin, in words, or None."""
    if provider != DEFAULT_PROVIDER:
        return None
    plugins = config.get("plugins", {})
    allowed = plugins.get("allow") or ["vllm"]
    if plugins.get("enabled") is False:
        return "plugins.enabled is false"
    for plugin, entry in plugins.get("entries", {}).items():
        if provider_id(plugin) == "vllm" and entry.get("enabled") is False:
            return "plugins.entries.%s.enabled is false" % plugin
    if "vllm" in map(provider_id, plugins.get("deny", ())):
        return "plugins.deny names vllm"
    if "vllm" not in map(trimmed, allowed):          # only here case matters
        return "plugins.allow does not name vllm"
    return None


def key_exposed(provider):
    """Return a warning if a key would cross the public internet unencrypted, else None."""
    target = split_url(provider.base_url)
    key = provider.request_key or provider.discovery_key
    if target.scheme == "https" or is_private(target.host):
        return None
    if key is None or key.key in _PUBLIC_KEYS:
        return None
    return "the key of %s goes to %s unencrypted: use https" % (
        key.source, origin(provider.base_url))


# What a field of the config or an environment variable is called that holds a credential.
_CREDENTIAL_NAME = r"(?i)(?:key|token)s?[_0-9]*$|secret|password|passphrase|^headers$"


def secret_texts(value, inside=False):
    """Yield the credentials in a value of the config, but no reference to one.

    `inside` is whether the value itself is in a field of credentials.
    """
    if isinstance(value, str) and inside and not value.startswith("$"):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from secret_texts(item, inside)
    elif isinstance(value, dict) and not (inside and "source" in value):
        for name, item in value.items():
            header = name == "value" and "headerName" in value
            secret = header or re.search(_CREDENTIAL_NAME, name)
            yield from secret_texts(item, inside or secret)


def auth_profile(settings, provider):
    """Return the Credential of the first auth profile stored for a provider, or None.

    Reads OpenClaw's SQLite store read-only, then the JSON files of older
    installs. What cannot be read becomes a warning of `settings`, never an error.
    """
    if settings.state_dir is None:
        return None
    agents = os.path.join(settings.state_dir, "agents")
    try:
        names = sorted(os.listdir(agents), key=lambda name: (name != "main", name))
    except (OSError, ValueError):                    # it rarely exists
        names = []
    paths = [os.path.join(settings.state_dir, "state", "openclaw.sqlite")]
    paths += [os.path.join(agents, name, "agent", "auth-profiles.json") for name in names]
    for path in filter(os.path.isfile, paths):
        try:
            found = parse_auth_profiles(_read_profiles(path), provider)
            if found is not None:
                return found
        except ConfigError as error:
            settings.warnings.append(Issue((), error.message, path))
    return None


_PROFILE_KEYS = {"api_key": "key", "token": "token"}     # type of a profile -> field of its key


def parse_auth_profiles(text, provider):
    """Return the Credential of a provider's id in the text of an auth store, or None."""
    try:
        profiles = _get(loads_untrusted(text), "profiles")
    except ValueError:
        return None
    if not isinstance(profiles, dict):
        return None
    for name, profile in profiles.items():
        field = _PROFILE_KEYS.get(_get_text(profile, "type"))
        key = _get_text(profile, field).strip()
        if key and provider_id(_get_text(profile, "provider")) == provider:
            return _credential("auth profile %s" % name, key)
    return None


def _read_profiles(path):
    """Return the text of a JSON file, or that in an SQLite store. Raises ConfigError."""
    if path.endswith(".json"):
        return read_text(path, CONFIG_LIMIT)
    import pathlib
    try:
        import sqlite3
    except ImportError:
        raise ConfigError("auth profiles not read: this Python has no sqlite3")
    uri = pathlib.Path(path).absolute().as_uri() + "?mode=ro"
    # Reading a WAL database may create files beside it unless it is opened as immutable, which is
    # safe without a log.
    if not os.path.isfile(path + "-wal"):
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
# How OpenClaw reads rows, references and the settings of agents. Pure.

_REASONING_NAME = r"(?i)r1|reasoning|think|reason"
# The @profile after an id; OpenClaw takes @20251001, @q4_k and @8bit for versions of a model.
_PROFILE = (r"(?is)\A((?:.*/)?[^/@]*(?:@VERSION)*)(?<!\A)@(?!VERSION)[^/]+\Z".replace(
    "VERSION", r"(?:[0-9]{8}|q[0-9]+(?:_[a-z0-9]+)*|[0-9]+bit)(?=@|\Z)"))


def model_key(provider, model_id):
    """Return the reference of a model: vllm/<id>, or the id itself where it already begins so."""
    prefix = provider + "/"
    return model_id if model_id.lower().startswith(prefix) else prefix + model_id


def reference_key(text):
    """Return the key of a provider/id text in one spelling, or None for one without a provider."""
    provider, _, model_id = map(trimmed, text.partition("/"))
    if not provider or not model_id:
        return None
    provider = provider.lower()
    return provider + model_key(provider, model_id)[len(provider):]


def without_profile(reference):
    """Return a reference, trimmed, without an @ and the name of an auth profile at its end."""
    text = trimmed(reference)
    if "@" in text:                                  # spares compiling the pattern
        text = trimmed(re.sub(_PROFILE, r"\1", text))
    return text


def agent_layers(config):
    """Return (agents.defaults, the entry of the default agent), of which the second wins.

    The keys of their `models` are in one spelling.
    """
    agents = config.get("agents", {})
    defaults, entries = agents.get("defaults", {}), agents.get("entries", {})
    chosen = trimmed(_get_text(defaults, "systemAgent", "agentId")).lower()
    agent = {}
    for name, entry in entries.items():
        is_default = entry.get("default") or len(entries) == 1
        if name.lower() == chosen or (is_default and not chosen):
            agent = entry
    return _with_model_keys(defaults), _with_model_keys(agent)


def _with_model_keys(settings):
    models = {}
    for reference, entry in settings.get("models", {}).items():
        key = reference_key(reference) or reference
        models[key] = dict(models.get(key, {}), **entry)
    return dict(settings, models=models)


def _has_wildcard(defaults, provider):
    """Return whether agents.defaults has vllm/*, which asks for models beyond the declared ones."""
    allowed = _get(defaults, "modelPolicy", "allow") or ()
    keys = map(reference_key, itertools.chain(defaults["models"], allowed))
    return any(key.startswith(provider + "/") and key.endswith("/*")
               for key in filter(None, keys))


def model_references(config, layers):
    """Return [(tag, key)] of the models that the settings name, tags in OpenClaw's order.

    Tags are default, fallback#N, image, img-fallback#N, configured and alias:NAME. A
    reference to no known model stays as it is written.
    """
    defaults, agent = layers
    declared = [
        model_key(provider_id(name), trimmed(row["id"]))
        for name, block in provider_blocks(config).items()
        for row in block.get("models", ())
    ]
    named = _choices(
        "default", "fallback#%d", "".join(declared[:1]),
        defaults.get("model", {}), agent.get("model", {}))
    named += _choices("image", "img-fallback#%d", "", defaults.get("imageModel", {}))
    aliases = {}
    for layer in layers:
        for key, entry in layer["models"].items():
            named.append(("configured", key))
            if "alias" in entry and "/" in key and not key.endswith("/*"):
                aliases[without_profile(key)] = trimmed(entry["alias"])
    keys, tags = {}, []
    for key, alias in aliases.items():
        if alias:
            qualified = key.partition("/")[0] + "/" + alias
            keys[alias.lower()] = keys[qualified.lower()] = key
            tags.append(("alias:" + alias, key))
    known = agent["models"], list(defaults["models"]) + declared
    found = [(tag, _meant_key(text, keys, known)) for tag, text in named if text]
    return list(dict.fromkeys(found + tags))


def _choices(tag, fallback_tag, primary, *settings):
    """Return [(tag, reference)] of `model` settings, texts or objects, given lowest layer first.

    A later primary replaces an earlier one and its fallbacks; `primary` is used if there is none.
    """
    fallbacks = ()
    for model in settings:
        if isinstance(model, str):
            model = {"primary": model}
        if trimmed(model.get("primary", "")):
            primary, fallbacks = model["primary"], ()
        fallbacks = model.get("fallbacks", fallbacks)
    return [(tag, primary)] + [
        (fallback_tag % number, text)
        for number, text in enumerate(fallbacks, 1)
    ]


def _meant_key(text, aliases, known):
    """Return the key that a reference in the settings means, else its own text.

    `aliases` are {alias in lower case: key}. `known` are collections of keys: a bare id belongs
    to a provider in the first collection that has it.
    """
    text = without_profile(text)
    key = reference_key(text) or text
    if key.lower() in aliases:
        return aliases[key.lower()]
    if "/" in text:
        return key
    for keys in known:
        owners = {key.partition("/")[0] for key in keys
                  if key.lower().partition("/")[2] == text.lower()}
        if owners:
            break
    return owners.pop() + "/" + text if len(owners) == 1 else text


def parse_model_list(payload):
    """Return the usable rows of a /v1/models answer: ids trimmed, the first of equal ids kept.

    Raises ValueError when the answer is not an object with a list under "data".
    """
    rows = _get(payload, "data")
    if not isinstance(rows, list):
        raise ValueError('expected an object with a list under "data"')
    if len(rows) > MODEL_LIMIT:
        raise ValueError("it lists more than %d models" % MODEL_LIMIT)
    kept = {}
    for row in rows:
        model_id = trimmed(_get_text(row, "id"))
        if model_id:
            kept.setdefault(model_id, dict(row, id=model_id))
    return list(kept.values())


_WINDOW_FIELDS = "context_length context_window context_size max_model_len".split()


def _window(value):
    """Return a window in tokens, or None where a value states none."""
    return int(value) if _is_number(value) and value >= 1 else None


def _is_number(value):
    """Return whether a JSON value is a number that a float can hold."""
    return type(value) in (int, float) and abs(value) < 1e300


def stated_models(rows, provider):
    """Return the Models of server rows; the window is None where no row or parent states one."""
    stated = {}
    for row in rows:
        windows = (_window(row.get(name)) for name in _WINDOW_FIELDS)
        stated[row["id"]] = next(filter(None, windows), None)
    models = []
    for row in rows:
        model_id = row["id"]
        parent = trimmed(_get_text(row, "parent")) or None
        trained = _window(_get(row, "meta", "n_ctx_train"))
        models.append(_model(provider, model_id)._replace(
            source="discovered",
            parent=parent,
            root=_get_text(row, "root") or None,
            context_window=trained or stated[model_id] or stated.get(parent),
            reasoning=re.search(_REASONING_NAME, model_id) is not None))
    return models


def discovered_models(rows, provider):
    """Return the Models of server rows as OpenClaw has them: with a default window."""
    return [
        model._replace(
            context_window=_whole(model.context_window or DEFAULT_CONTEXT_WINDOW))
        for model in stated_models(rows, provider)
    ]


def declared_models(provider):
    """Return the Models of the rows that the config declares; unset windows stay None."""
    return merge_models((), provider, None)


def merge_models(discovered, provider, window=DEFAULT_CONTEXT_WINDOW):
    """Return the declared Models and the discovered ones as one list.

    What a declared row leaves out is discovered; a row that is not served has `window` instead.
    """
    served = {model.id: model for model in discovered}
    merged = []
    for row in provider.models:
        unserved = _model(provider, row["id"])._replace(context_window=window)
        model = served.pop(row["id"], unserved)
        answer = _window(row.get("maxTokens", provider.max_tokens))
        merged.append(model._replace(
            source="declared",
            name=row["name"],
            base_url=row["baseUrl"].strip().rstrip("/"),
            input=tuple(row.get("input", model.input)),
            context_window=_whole(row.get("contextWindow", model.context_window)),
            context_tokens=_whole(row.get("contextTokens")),
            max_tokens=answer or model.max_tokens,
            reasoning=row.get("reasoning", model.reasoning),
            compat=row.get("compat", {}),
            headers=row["headers"],
            thinking_level_map=row.get("thinkingLevelMap", {})))
    return merged + list(served.values())


def _whole(value):
    """Return a whole number of tokens as int, else None, as OpenClaw shows it."""
    if value is None or value % 1 or value >= 2 ** 53:
        return None
    return int(value)


def _model(provider, model_id):
    """Return a Model with the defaults and what the settings of agents say about its key."""
    key = reference_key(model_key(provider.id, model_id))
    params, thinking = _agent_params(provider.layers, key)
    return Model(
        id=model_id,
        name=model_id,
        provider=provider.id,
        base_url=provider.base_url,
        input=("text",),
        max_tokens=DEFAULT_MAX_TOKENS,
        reasoning=False,
        tags=tuple(tag for tag, named in provider.references if named == key),
        compat={},
        headers=provider.headers,
        params=params,
        thinking=thinking)


def _agent_params(layers, key):
    """Return (layers of params, the lowest first; thinking level or None) of a model's key."""
    defaults, agent = layers
    of_model, of_agent = [_get(layer, "models", key, "params") or {} for layer in layers]
    params = (
        defaults.get("params", {}),
        of_model,
        of_agent,
        agent.get("params", {}),
    )
    levels = (
        agent.get("thinkingDefault"),
        of_agent.get("thinking"),
        of_model.get("thinking"),
        defaults.get("thinkingDefault"),
    )
    for level in levels:
        if level is False or level == "none":
            level = "off"
        if _level(level) in _LADDER:
            return params, _level(level)
    return params, None


# Families by id -> what passes a thinking level to their templates, and the compat for it.
_THINKING_FAMILIES = (
    (r"(?i)qwen-?3(?!.*(?:instruct|coder|2507|thinking|embed|rerank))",
     "Qwen3 takes thinkingFormat",
     {"thinkingFormat": "qwen-chat-template"}),
    (r"(?i)glm-?(?:4\.[5-9]|[5-9])",
     "GLM takes thinkingFormat",
     {"thinkingFormat": "qwen-chat-template"}),
    (r"(?i)gpt-?oss",
     "gpt-oss takes supportedReasoningEfforts, supportsReasoningEffort",
     {"supportsReasoningEffort": True,
      "supportedReasoningEfforts": ["low", "medium", "high"]}),
)


def thinking_evidence(model_id, source="name"):
    """Return (compat or None, reason) for the id of a family that thinks, else None.

    `source` says in the reason what kind of id it is.
    """
    for pattern, switch, compat in _THINKING_FAMILIES:
        if re.search(pattern, model_id):
            return compat, "by its %s: %s" % (source, switch)
    if re.search(_REASONING_NAME, model_id):
        return None, "by its " + source
    return None


def default_reference(provider):
    """Return the key of the default model if it is one of this provider's, else None."""
    for tag, key in provider.references:
        if tag == "default" and key.startswith(provider.id + "/"):
            return key
    return None


def match_model(models, reference, provider):
    """Return the Model among `models` that a reference names, or None.

    A reference is an alias in any case, a key or an id, with or without an @profile.
    """
    for text in (trimmed(reference), without_profile(reference)):
        key = reference_key(model_key(provider, text))
        for model in models:
            if "alias:" + text.lower() in map(str.lower, model.tags):
                return model
        for model in models:
            if reference_key(model.key) == key:
                return model
    return None


# ----------------------------------------------------------------------------
# Requests: shape_request, thinking, the output budget
# ----------------------------------------------------------------------------
# Makes an OpenAI-style body the one that OpenClaw 2026.9 sends to a vLLM server. Pure: asks no
# server, leaves its arguments unchanged, and says what it changed and why.

# Fields that are never copied from a body; the last two may be set by other rules.
_NATIVE_FIELDS = (
    "store service_tier prompt_cache_retention prompt_cache_options safety_identifier verbosity "
    "metadata reasoning prediction web_search_options modalities audio "
    "prompt_cache_key stream_options").split()
# Why a field differs from the body's, unless the step that changed it gave a reason.
_REASONS = dict(
    dict.fromkeys(_NATIVE_FIELDS, "a native OpenAI field: vLLM refuses or ignores it"),
    store="stored completions are OpenAI's own",
    stream="answers are read as they come",
    stream_options="asks for token counts at the end of the stream",
    prompt_cache_key="64 characters at most, and only with compat.supportsPromptCacheKey",
    reasoning_effort="it follows from the thinking level",
    chat_template_kwargs="it must be an object",
    max_tokens="one field of tokens is sent",
    max_completion_tokens="one field of tokens is sent",
    tools="sorted by name; not sent where there are none, or compat.supportsTools is false",
    tool_choice="it must fit the tools that are sent")
# Why a field of a message or of a tool's function differs; the last two cover all other fields.
_PART_REASONS = {
    "role": "role: system, or developer with compat.supportsDeveloperRole",
    "content": "images left out where the model's input has no image; reasoning as text, or one "
               "text, where compat asks for it",
    "tool_calls": "empty tool-call arguments become {}: they must be JSON",
    "name": "compat.requiresToolResultName: the tool's name added",
    "strict": "strict: false, and only with compat.supportsStrictMode",
    "parameters": "references inlined, an object on top, arrays state their items, keywords that "
                  "compat names left out",
    "messages": "earlier reasoning: only what the model's template takes back",
    "tools": "a name, a description and parameters are sent",
}
# Body field -> its names in params, the preferred one first. The values are numbers.
_NUMBER_PARAMS = {
    "temperature": "temperature",
    "top_p": "topP",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty frequency_penalty",
    "presence_penalty": "presencePenalty presence_penalty",
}
_TOKEN_FIELDS = ("max_completion_tokens", "max_tokens")
_REASONING_FIELDS = "reasoning_content reasoning reasoning_text reasoning_details".split()
_IMAGE_PARTS = ("image_url", "input_image")
# Families that need their earlier reasoning sent back, by the last segment of the id.
_REPLAYED = (
    r"(?i)(.*:)?(deepseek-v4-(flash|pro)"
    r"|mimo-v2(-pro|-omni|\.5(-pro)?|\.6-(flash|pro(-ultraspeed)?))"
    r"|kimi-(for-coding|k2\.[56]|k2\.7-code(-highspeed)?|k3|k2-thinking(-turbo)?))"
    r"(-free|-paid|-trial)?(:.*)?")
_NEMOTRON = r"(?i)\bnemotron-3(?:[-_](?:nano|super|ultra))?\b"
_DEEPSEEK = r"(?i)deepseek[-_]?v4(?:[-_](?:pro|flash))?\b"
_GPT = r"(?i)gpt-5\.[2-9](-|$)"      # OpenClaw knows their efforts, whoever serves them
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
    `thinking` is a level (off, minimal, low … or on) that overrides all others; `prompt_tokens`
    is the counted size of the prompt and replaces the estimate. Returns Shaped. Raises
    UsageError for a body that OpenClaw would not send, and ServerError (context-exceeded)
    where the counted prompt leaves no token for an answer.
    """
    messages = _get(body, "messages")
    if (not isinstance(messages, list)
            or not all(isinstance(each, dict) for each in messages)):
        raise UsageError(
            "the body is not a chat completion: expected an object with a list of messages",
            'like {"messages": [{"role": "user", "content": "hi"}]}')
    if is_deep(body):
        raise UsageError("the body is nested more than %d levels deep" % JSON_DEPTH)
    notes = collections.defaultdict(dict)             # {field: {reason: action or None}}
    warnings = []

    def note(field, reason, action=None):
        notes[field][reason] = action

    params = collections.ChainMap(*reversed(model.params))
    compat = collections.defaultdict(lambda: None, model.compat)      # unset switches are None
    model = model._replace(compat=compat)
    shaped = _own_fields(body, model, params)
    note("model", "the id the server knows: " + model.id)
    _shape_response_format(shaped, compat, note)
    shaped["messages"] = _shape_messages(messages, model, note)
    _shape_tools(shaped, compat, note)
    _apply_thinking(shaped, model, thinking, note, warnings)
    clamped = _apply_budget(shaped, model, prompt_tokens, note, warnings)
    _apply_overrides(shaped, model, params, note)
    return Shaped(shaped, _changes(body, shaped, notes), warnings, clamped)


def _changes(body, shaped, notes):
    """Return the Changes of the fields that differ: a noted reason each, else the usual one."""
    changes = []
    for field in _differences(body, shaped):
        action, default = "changed", "from params"
        if field not in shaped:
            action, default = "dropped", "some releases refuse an explicit null"
        elif field not in body:
            action = "added"
        reasons = notes[field] or {_REASONS.get(field, default): None}
        changes += [Change(field, own or action, reason) for reason, own in reasons.items()]
    return changes


def _differences(before, after):
    """Return the names of the fields that differ between two objects."""
    return [name for name in dict(before, **after)
            if before.get(name, REMOVED) != after.get(name, REMOVED)]


def _note_parts(before, after, field, note):
    """Note, for a field of the body, why one of its messages or functions differs."""
    for name in _differences(before, after):
        note(field, _PART_REASONS.get(name, _PART_REASONS[field]))


def _texts(value):
    """Return the texts in a list, [] for any other value."""
    if not isinstance(value, list):
        return []
    return [text for text in value if isinstance(text, str)]


def _param(layers, *names):
    """Return the value in the topmost layer that has one of the names, by the first of them."""
    for layer in reversed(layers):
        for name in names:
            if name in layer:
                return layer[name]
    return None


def _own_fields(body, model, params):
    """Return the fields of the body that may be sent, and those for params, streams and caches."""
    compat = model.compat
    retention = params.get("cacheRetention")
    shaped = {"response_format": _param(model.params, "response_format", "responseFormat")}
    for field, names in _NUMBER_PARAMS.items():
        value = _param([params], *names.split())
        if _is_number(value):
            shaped[field] = value
    stop = params.get("stop")
    stop = [text for text in _texts([stop]) or _texts(stop) if text]
    if stop:
        shaped["stop"] = stop
    shaped.update((name, value) for name, value in body.items()
                  if value is not None and name not in _NATIVE_FIELDS)
    shaped.update(model=model.id, stream=body.get("stream") is not False)
    if shaped["stream"] and compat["supportsUsageInStreaming"] is not False:
        shaped["stream_options"] = {"include_usage": True}
    if compat["supportsPromptCacheKey"] and retention != "none":
        key = _get_text(body, "prompt_cache_key")
        if key:
            shaped["prompt_cache_key"] = key[:64]
        if retention == "long" and compat["supportsLongCacheRetention"] is not False:
            shaped["prompt_cache_retention"] = "24h"
    return shaped


def _shape_response_format(shaped, compat, note):
    """Keep a response_format that servers know; wrap any other as a schema, or drop it."""
    form = shaped.pop("response_format", None)
    kinds = ["json_object", "text"]
    if isinstance(_get(form, "json_schema"), dict):
        kinds.append("json_schema")
    if _get(form, "type") in kinds:
        shaped["response_format"] = form
        return
    note("response_format", "servers know json_object, text, and json_schema with a schema")
    if isinstance(form, dict) and compat["supportsJsonSchemaResponseFormat"]:
        schema = {"name": "openclaw_response", "schema": form}
        shaped["response_format"] = {"type": "json_schema", "json_schema": schema}


def _shape_messages(messages, model, note):
    import copy
    compat = model.compat
    names, shaped = {}, []
    for before in messages:
        message = _shape_message(copy.deepcopy(before), model, names)
        role = message.get("role")
        if role == "assistant" and not message.get("content") and "tool_calls" not in message:
            note("messages", "an assistant message without content left out")
            continue
        _note_parts(before, message, "messages", note)
        after_tool = role == "user" and _get(shaped, -1, "role") == "tool"
        if after_tool and compat["requiresAssistantAfterToolResult"]:
            note("messages", "compat.requiresAssistantAfterToolResult: an assistant message added")
            shaped.append({"role": "assistant", "content": "I have processed the tool results."})
        if compat["strictMessageKeys"]:
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
        if compat["supportsDeveloperRole"] and model.reasoning:
            message["role"] = "developer"
    if isinstance(content, list) and "image" not in model.input:
        message["content"] = _without_images(content)
    if role == "assistant":
        _shape_calls(message, compat, names)
        _shape_reasoning(message, model)
    name = names.get(_get_text(message, "tool_call_id") or None)
    if role == "tool" and compat["requiresToolResultName"] and name:
        message.setdefault("name", name)
    parts = message.get("content")
    if (compat["requiresStringContent"] and isinstance(parts, list)
            and all(_get(part, "type") == "text" for part in parts)):
        message["content"] = "\n".join(_get_text(part, "text") for part in parts)
    return message


def _shape_calls(message, compat, names):
    """Make an assistant's tool calls acceptable, or drop the field if there are none."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        message.pop("tool_calls", None)
        return
    for call in calls:
        function = _get(call, "function")
        names[_get_text(call, "id")] = _get(function, "name")
        if _get(function, "arguments") == "":
            function["arguments"] = "{}"
    if message.setdefault("content") is None and compat["requiresAssistantAfterToolResult"]:
        message["content"] = ""


def _shape_reasoning(message, model):
    """Keep only what the model accepts of an assistant's earlier reasoning."""
    compat = model.compat
    form = compat["thinkingFormat"]
    needed = compat["requiresReasoningContentOnAssistantMessages"]
    content, reasoning, text, details = [message.pop(name, None) for name in _REASONING_FIELDS]
    if compat["requiresThinkingAsText"]:
        spoken = next(filter(str.strip, _texts([content, reasoning, text])), None)
        if spoken:
            message["content"] = [_text_part(spoken)] + _parts(message.get("content"))
        content = reasoning = text = details = None
    if needed and model.reasoning and not isinstance(content, str):
        content = ""
    if form == "openrouter":
        content, reasoning, text = map(_get_text, (content, reasoning, text))
        if content:
            message["reasoning_content"] = content
        elif not reasoning:
            reasoning = text
        if reasoning:
            message["reasoning"] = reasoning
        if isinstance(details, list):
            message["reasoning_details"] = details
    elif isinstance(content, str) and (
            model.reasoning or needed or form in ("deepseek", "zai")
            or re.fullmatch(_REPLAYED, model.id.split("/")[-1])):
        message["reasoning_content"] = content


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
    if compat["supportsTools"] is False or not isinstance(tools, list) or not tools:
        return
    functions = [_shape_function(_get(tool, "function"), compat, note) for tool in tools]
    functions = sorted(filter(None, functions),
                       key=lambda each: (each["name"], each.get("description", "")))
    choice = _shape_choice(choice, [function["name"] for function in functions])
    if functions:
        shaped["tools"] = [{"type": "function", "function": function} for function in functions]
    called = any(message.get("role") == "tool" or message.get("tool_calls")
                 for message in shaped["messages"])
    if functions or choice == "none" and not called:
        shaped["tool_choice"] = choice


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
    if compat["supportsStrictMode"]:
        kept["strict"] = False           # as OpenClaw sends a schema it did not make strict
    _note_parts(function, kept, "tools", note)
    return kept


def _shape_choice(choice, names):
    """Return the tool_choice for tools of these names. Raises UsageError if OpenClaw would fail."""
    if choice is None:
        return "auto"
    allowed = _get(choice, "allowed_tools")
    mode, tools = _get(allowed, "mode"), _get(allowed, "tools")
    if mode in ("auto", "required") and isinstance(tools, list):
        kept = [_named_tool(tool) for tool in tools if _get(tool, "function", "name") in names]
        if kept:
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": kept}}
        if mode == "auto":
            return "none"
        raise UsageError("tool_choice requires a tool, and none of those allowed can be sent")
    if choice == "required" and not names:
        raise UsageError("tool_choice requires a tool, and none of the tools can be sent")
    wanted = _get(choice, "function", "name")
    if _get(choice, "type") != "function" or not isinstance(wanted, str):
        return choice
    if wanted not in names:
        raise UsageError("tool_choice names %s, which is not a tool that can be sent" % wanted)
    return _named_tool(choice)


def _named_tool(tool):
    return {"type": "function", "function": {"name": tool["function"]["name"]}}


# Where a JSON schema holds schemas: in maps from names to them; as one of them, or a list.
_SCHEMA_MAPS = "properties patternProperties dependentSchemas $defs definitions".split()
_SCHEMA_PLACES = (
    "items prefixItems contains additionalProperties propertyNames anyOf oneOf allOf "
    "not if then else").split()
_DEFINITIONS = "$defs definitions components".split()
_LABELS = "title description default".split()
_JS_TYPES = {str: "string", bool: "boolean", int: "number", float: "number"}


def _shape_schema(parameters, compat):
    """Return the parameters of a tool as OpenClaw sends them."""
    import copy
    schema = copy.deepcopy(parameters)
    try:
        _inline_references(schema, parameters)
    except RecursionError:
        raise UsageError("the references in a tool's parameters are nested too deep")
    schema = _object_schema(schema)
    keywords = compat["unsupportedToolSchemaKeywords"] or []
    _clean_schema(schema, [keyword.strip() for keyword in keywords])
    return schema


def _inner_schemas(schema):
    """Return the schemas directly inside a schema."""
    inner = []
    for key, value in schema.items():
        if key in _SCHEMA_MAPS and isinstance(value, dict):
            inner += value.values()
        elif key in _SCHEMA_PLACES:
            inner += value if isinstance(value, list) else [value]
    return [each for each in inner if isinstance(each, dict)]


def _inline_references(document, original):
    """Replace the #/… references in a schema by what they name, a recursive one by {}.

    The definitions are removed, unless a reference names no object.
    """
    import copy
    unresolved = []

    def inline(schema, followed):
        reference = _get_text(schema, "$ref")
        if reference in followed:
            schema.clear()
        elif reference.startswith("#/"):
            target, labels = _pointed_at(original, reference), _picked(schema, _LABELS)
            if isinstance(target, dict):
                schema.clear()
                schema.update(copy.deepcopy(target))
                inline(schema, followed + [reference])
                schema.update(labels)
            else:
                unresolved.append(reference)
        elif not reference:
            definitions = _picked(schema, _DEFINITIONS)
            for name in definitions:
                del schema[name]
            for inner in _inner_schemas(schema):
                inline(inner, followed)
            if unresolved:
                schema.update(definitions)

    inline(document, [])


def _pointed_at(document, reference):
    """Return what a #/… reference names in a document (RFC 6901), or None."""
    for segment in reference.split("/")[1:]:
        segment = segment.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and segment.isdecimal():
            segment = int(segment)
        document = _get(document, segment)
    return document


def _variants(schema):
    """Return the variants of a schema, those of anyOf first, or None."""
    for name in ("anyOf", "oneOf"):
        if isinstance(schema.get(name), list):
            return schema[name]
    return None


def _object_schema(schema):
    """Return a schema with an object on top, as servers want the parameters of a function."""
    variants, properties = _variants(schema), schema.get("properties")
    if variants is not None:
        return _merged_variants(schema, variants)
    assumed = None                                   # as the type, where the schema states none
    if not schema or isinstance(properties, dict) or isinstance(schema.get("required"), list):
        assumed = "object"
    if isinstance(schema.get("allOf"), list) or schema.get("type", assumed) != "object":
        return schema
    if not isinstance(properties, dict):
        properties = {}
    return dict(schema, type="object", properties=properties)


def _merged_variants(schema, variants):
    """Return the one object that stands for all variants of a top-level anyOf or oneOf."""
    objects = [source for source in [schema] + variants
               if isinstance(_get(source, "properties"), dict)]
    properties = {}
    for source in objects:
        for name, value in source["properties"].items():
            properties[name] = _merged_property(properties.get(name), value)
    merged = dict(_picked(schema, ("title", "description")), type="object", properties=properties,
                  additionalProperties=schema.get("additionalProperties", True))
    lists = [_texts(source.get("required")) for source in objects if source is not schema]
    required = _texts(schema.get("required"))
    if lists and not required:
        required = [name for name in lists[0] if all(name in each for each in lists)]
    if required:
        merged["required"] = required
    return merged


def _merged_property(first, second):
    """Return one schema for two of the same property: the first, or the values of both."""
    values = _allowed_values(first) + _allowed_values(second)
    if first is None:
        return second
    if not values:
        return first
    merged = {"enum": list({json.dumps(value): value for value in values}.values())}
    for schema in (second, first):
        merged.update(_picked(_children(schema), _LABELS))
    kinds = {_JS_TYPES.get(type(value), "object") for value in values}
    if len(kinds) == 1:
        merged["type"] = kinds.pop()
    return merged


def _allowed_values(schema):
    """Return the values that the enum or const of a schema allows, or those of its variants."""
    if not isinstance(schema, dict):
        return []
    if isinstance(schema.get("enum"), list):
        return schema["enum"]
    if "const" in schema:
        return [schema["const"]]
    return sum(map(_allowed_values, _variants(schema) or []), [])


def _clean_schema(schema, keywords):
    """Give the arrays of a schema their items, and remove the keywords."""
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    for keyword in keywords:
        schema.pop(keyword, None)
    for inner in _inner_schemas(schema):
        _clean_schema(inner, keywords)


def _apply_thinking(shaped, model, thinking, note, warnings):
    """Turn the thinking level into the fields of the model's thinking format."""
    asked = _level(thinking)
    effort = _level(shaped.pop("reasoning_effort", None))
    wanted = asked or effort
    level = _available_level(model, wanted)
    fields = _thinking_fields(model, level, (wanted or level) not in _OFF)
    for name in fields:
        note(name, "thinking level " + level)
    silent = level in _OFF and model.source == "declared" and not model.reasoning
    if asked and not fields and not silent:
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
    """Return a thinking level in one spelling, "" when there is none."""
    folded = _get_text(text).strip().lower()
    return _LEVEL_NAMES.get(folded, folded)


def _nearest_level(level, known, lower_first):
    """Return the known level nearest to a level, or None; off replaces no other level."""
    if level not in _LADDER:
        return None
    place = _LADDER.index(level)
    higher, lower = _LADDER[place:], _LADDER[place:0:-1]
    steps = lower + higher if lower_first else higher + lower
    return next((step for step in steps if step in known), None)


def _available_level(model, asked):
    """Return the level asked for, or the nearest one that the model has, preferring a higher one.

    A level from the settings becomes a lower one first, but not off. Without `asked`, families
    with a switch have only off and low.
    """
    form = model.compat["thinkingFormat"] or ""
    usual, known = "medium", _LADDER[:5]
    if not asked:
        if not model.reasoning:
            return "off"
        if form.startswith("qwen") or re.search(_NEMOTRON, model.id):
            usual, known = "off", ["off", "low"]
    level = asked or _level(model.thinking) or usual
    if level not in _LADDER:
        return level
    mapped = model.thinking_level_map
    known += list(mapped) + (_stated_efforts(model) or [])
    if not form.startswith(("qwen", "zai")):
        efforts = _effort_map(model.compat)
        known += [name for name in efforts if efforts[name].strip()]
    known = [step for step in known if mapped.get(step, step) is not None]
    withdrawn = level in ("xhigh", "max") and mapped.get(level, level) is None
    return _nearest_level(level, known, withdrawn or not asked) or "off"


def _effort_map(compat):
    stated = compat["reasoningEffortMap"] or {}
    return {level.strip().lower(): effort for level, effort in stated.items()}


def _stated_efforts(model):
    """Return the efforts that a model's server accepts, or None where OpenClaw does not know."""
    stated = model.compat["supportedReasoningEfforts"]
    if model.compat["supportsReasoningEffort"] is False:
        return []
    if stated is None and re.match(_GPT, model.id):
        return ["none", "low", "medium", "high", "xhigh"]
    return stated and [effort.strip() for effort in stated]


def _thinking_fields(model, level, switch):
    """Return the body fields that set a thinking level, by thinking format and family.

    `switch`, whether the level asked for means thinking, is for Qwen and Nemotron; all others
    follow what the maps turn the level into.
    """
    form = model.compat["thinkingFormat"]
    mapped = _effort_map(model.compat).get(level) or model.thinking_level_map.get(level)
    efforts = _stated_efforts(model)
    effort = _effort(efforts, level, mapped)
    on = (mapped or level).strip().lower() not in _OFF
    fields, kwargs = {}, {}
    if not model.reasoning:
        pass
    elif re.search(_DEEPSEEK, model.id):
        kwargs.update(thinking=on, enable_thinking=on)
        if on and effort:
            kwargs["reasoning_effort"] = effort
    elif form == "qwen":
        fields["enable_thinking"] = switch
    elif form == "qwen-chat-template":
        kwargs.update(enable_thinking=switch, preserve_thinking=True)
    elif form == "openrouter":
        if efforts == []:
            fields["reasoning"] = {"enabled": on}
        elif effort:
            fields["reasoning"] = {"effort": effort}
    else:
        if form == "together":
            fields["reasoning"] = {"enabled": on}
            effort = on and effort
        if effort and model.compat["supportsReasoningEffort"]:
            fields["reasoning_effort"] = effort
    if not switch and re.search(_NEMOTRON, model.id):
        kwargs.update(enable_thinking=False, force_nonempty_content=True)
    if kwargs:
        fields["chat_template_kwargs"] = kwargs
    return fields


def _effort(efforts, level, mapped):
    """Return the effort to send for a level, or None; where `efforts` is None, any is accepted."""
    intent = (mapped or level).strip()
    if efforts is None and level == "off" and not mapped:
        return "none"
    if efforts is None or intent in efforts:
        return intent
    if level == "off" and "none" in efforts:
        return "none"
    if level in _OFF or intent in _OFF:
        return None
    usable = [effort for effort in efforts if effort.lower() not in _OFF] or [None]
    return _nearest_level(intent, usable, lower_first=True) or usable[0]


def _asked_tokens(shaped, layers):
    """Remove the body's token fields; return (number asked for there or in params, its name)."""
    body = {name: shaped.pop(name, None) or None for name in _TOKEN_FIELDS}      # 0: not asked
    for layer in (body,) + layers[::-1]:
        for name in ("maxTokens",) + _TOKEN_FIELDS:
            value = layer.get(name)
            if _is_number(value) and value >= 0:
                return int(value), name if layer is body else "params." + name
    return 0, None


def _apply_budget(shaped, model, prompt_tokens, note, warnings):
    """Set the token field; return whether the context leaves fewer tokens than were wanted."""
    number, source = _asked_tokens(shaped, model.params)
    field = model.compat["maxTokensField"] or "max_completion_tokens"
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
    """Set what params set regardless of the body: kwargs, extra_body, parallel_tool_calls."""
    kwargs = _param([params], "chat_template_kwargs", "chatTemplateKwargs")
    extra = _param([params], "extra_body", "extraBody")
    parallel = _param(model.params, "parallel_tool_calls", "parallelToolCalls")
    over = {}
    if isinstance(kwargs, dict) and kwargs:
        over["chat_template_kwargs"] = dict(shaped.get("chat_template_kwargs", {}), **kwargs)
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
        for field in ["content"] + _REASONING_FIELDS:
            values += _parts(message.get(field))
    return math.ceil(sum(map(_characters, filter(None, values))) / 4 * 1.25)


def _characters(value):
    """Return how many characters OpenClaw counts for a text, a content part or another value.

    An image counts as 8000, a CJK character as 4, any other as its UTF-16 units.
    """
    if _get(value, "type") in _IMAGE_PARTS:
        return 8000
    if isinstance(_get(value, "text"), str):
        value = value["text"]
    elif not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(re.sub(_WIDE, "wide", value).encode("utf-16-le", "surrogatepass")) // 2


# ----------------------------------------------------------------------------
# Answers: SSE lines -> events -> deltas -> one assembled message
# ----------------------------------------------------------------------------
# Pure: bytes and JSON values in, values out. Whatever a server sends, each step takes time in
# proportion to its size.

class EventDecoder:
    """Turns bytes, cut anywhere, into server-sent events; knows nothing of where they come from.

    Source: the WHATWG HTML standard, "Parsing an event stream". Lines end at LF, CR LF or CR; an
    event that no blank line ends is dropped.
    """

    def __init__(self):
        self._after_cr = False                       # then an LF belongs to the line end before it
        self._line = bytearray()                     # of which the end has not come
        self._data = []                              # of an event whose end has not come
        self._size = 0                               # bytes since the latest end of an event

    def feed(self, data):
        """Return the texts of the events that `data` ends. Raises ValueError past EVENT_LIMIT."""
        events = []
        self._size += len(data)
        if self._after_cr or 13 in data:             # CR: a number is found faster than bytes
            if self._after_cr and data.startswith(b"\n"):
                data = data[1:]
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._line:
                line, self._line = bytes(self._line + line), bytearray()
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value[1:] if value.startswith(b" ") else value)
            elif not line:
                if self._data:
                    events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data, self._size = [], 0
        self._line += rest
        if self._size > EVENT_LIMIT:
            raise ValueError("an event larger than %d bytes" % EVENT_LIMIT)
        return events


def decode_delta(payload, full=False):
    """Return the Delta of one chat.completion(.chunk) object; {} and odd shapes give an empty one.

    Reads the choice with index 0: its `delta` or `message`, `reasoning` or `reasoning_content`.
    `extra` is the object itself where it has usage and, with `full`, always: log probabilities
    and other choices are in it.
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
    usage = decode_usage(payload.get("usage"))
    return Delta(
        _text_or_none(piece.get("content")) or "",
        _text_or_none(piece.get("reasoning") or piece.get("reasoning_content")) or "",
        calls,
        _text_or_none(choice.get("finish_reason")),
        usage,
        _text_or_none(payload.get("id")),
        _text_or_none(payload.get("model")),
        payload if full or usage else None)


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
    counts = {name: count for name, count in usage.items()
              if isinstance(count, int) and count < 1e15}            # a float can divide it
    return Usage(*map(counts.get, Usage._fields))


class Assembler:
    """Collects Deltas into one Answer, in little more memory than its texts take.

    `add` raises ServerError for more tool calls or choices than ANSWER_PARTS.
    """

    def __init__(self):
        self._content = io.StringIO()
        self._reasoning = io.StringIO()
        self._calls = []                             # [id, name, StringIO of the arguments]
        self._calls_by_index = {}                    # the latest of each index
        self._id = self._model = self._finish_reason = self._usage = None
        self._extra = {}
        self._others = {}                            # {index: Assembler} of further choices

    def add(self, delta):
        """Take one Delta."""
        content, reasoning, calls, finish_reason, usage, answer_id, model, extra = delta
        self._content.write(content)
        self._reasoning.write(reasoning)
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
        call = self._calls_by_index.get(index)
        if call is None or (call_id and call[0] and call_id != call[0]):
            call = self._calls_by_index[index] = [None, "", io.StringIO()]
            self._calls.append(call)
            _check_parts(self._calls)
        call[0] = call_id or call[0]
        call[1] = call[1] or _get_text(piece, "function", "name")
        call[2].write(_get_text(piece, "function", "arguments"))

    def _add_extra(self, payload):
        if isinstance(payload.get("usage"), dict):
            self._extra["usage"] = payload["usage"]
        for choice in choices_of(payload):
            index, logprobs = choice.get("index"), choice.get("logprobs")
            if index and isinstance(index, int):
                other = self._others.setdefault(index, Assembler())
                _check_parts(self._others)
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
            function = {"name": name, "arguments": arguments.getvalue()}
            calls.append({"id": call_id, "type": "function", "function": function})
        extra = dict(self._extra)
        for index, assembler in sorted(self._others.items()):
            other = assembler.answer()._asdict()
            choice = _picked(other, ("content", "reasoning", "tool_calls", "finish_reason"))
            choice.update(other["extra"], index=index)
            extra.setdefault("choices", []).append(choice)
        return Answer(
            self._id,
            self._model,
            self._content.getvalue(),
            self._reasoning.getvalue(),
            calls,
            self._finish_reason,
            self._usage,
            timings,
            extra)


def _check_parts(parts):
    if len(parts) > ANSWER_PARTS:
        raise ServerError("the answer holds more than %d tool calls or choices" % ANSWER_PARTS,
                          "check what answers at the base URL", "answer-broken")


_decode_json = json.JSONDecoder().decode         # `json.loads` looks at its options each time


def loads_untrusted(text):
    """Return the JSON value of a text from outside; whatever it holds, raise only ValueError.

    Refused are texts nested so deep that handling them might overflow the stack, and those that
    would take many times their own memory: with more objects and lists than JSON_CONTAINERS.
    A short text, as nearly all events are, holds no number that is slow to read.
    """
    containers = text.count("{") + text.count("[")
    if len(text) < 4000 and containers <= JSON_DEPTH:
        return _decode_json(text)
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
    """Return whether a JSON value is nested more than some levels deep."""
    for inner in _children(value).values():
        if isinstance(inner, (dict, list)) and (levels == 1 or is_deep(inner, levels - 1)):
            return True
    return False


# ----------------------------------------------------------------------------
# Connections: the only section that opens sockets
# ----------------------------------------------------------------------------
# Knows HTTP, TLS and proxies, but nothing of models. A key is sent only to the origin that it was
# given for, every wait has a limit, and every failure is raised as an Error.

Route = collections.namedtuple("Route", "env ca_file silence_s total_s limit")
Route.__doc__ = """How to reach a server: the environment that names proxies, a CA file or None.

`silence_s` bounds the seconds between two signs of progress, `total_s` those of the exchange;
`limit` names the setting that they come from, "" for a default.
"""

Reply = collections.namedtuple("Reply", "status reason headers body proxy secrets")
Reply.__doc__ = """One whole answer.

`headers` are {name in lower case: text}, `body` bytes, `proxy` a URL or None, `secrets` the texts
to hide in what the server says.
"""

# The phases of an exchange (`Exchange.phase`, and the facts of a timeout), and words for each.
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
LIFE_FACTOR = 10                     # the most silences that comments can prolong a wait to


class Exchange(io.RawIOBase):
    """One HTTP request and the answer to it, on a connection of its own; `with` closes it.

    Never follows a redirect and never waits past the limits of its Route. Whatever the other side
    does, raises ServerError, or ConfigError for an unusable CA file. `phase` is a key of PHASES,
    `limit` the most bytes of a body. `before_wait` is called before each wait; an exception that
    it raises passes unchanged.

    http.client uses it as its socket. Bytes alone do not end a silence, or a server could send
    one at a time forever: the reader calls `enter` when the answer has advanced, and
    `keep_alive` when the server has only shown that it is alive.
    """

    sock = None

    def __init__(self, url, headers, body, route, before_wait=None):
        self.url = url
        self.route = route
        self._before_wait = before_wait
        self.target = split_url(url)
        self.proxy = proxy_for(self.target, route.env)
        self._to_proxy = proxy_headers(self.target, route.env)
        self.secrets = []
        for value in [*headers.values(), *self._to_proxy.values()]:
            if isinstance(value, Secret):
                self.secrets += spellings(value)
        self.limit = STREAM_LIMIT
        self._silence_s = min(CONNECT_TIMEOUT_S, route.silence_s)
        self._started = time.monotonic()
        self._deadline = self._started + route.total_s
        try:
            self._connect()
            self._silence_s = route.silence_s
            self._request(headers, body)
        except BaseException as error:
            self.__exit__()
            raise self._error(error)
        self.headers = {name.lower(): redact(value, self.secrets)
                        for name, value in self.response.headers.items()}

    def __exit__(self, *_):
        """Close the connection, which stops a server that is still generating."""
        if self.sock is not None:
            self.sock.close()

    # Waiting, and what http.client calls

    def enter(self, phase):
        """Begin a phase, or its next step: the time allowed for it starts again."""
        self.phase = phase
        self._until = self._latest = None

    def keep_alive(self):
        """Prolong the wait, up to a limit: a comment or a line end came, but no event."""
        self.phase = "comments"
        self._until = None

    def _patience(self, until=math.inf):
        """Return the seconds to wait now. Raises TimeoutError when there are none left."""
        left = min(until, self._deadline) - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(self._silence_s, left)

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._before_wait is not None:
            self._before_wait()
        now = time.monotonic()                       # only waiting counts, not our own work
        self._latest = self._latest or now + LIFE_FACTOR * self._silence_s
        self._until = self._until or min(now + self._silence_s, self._latest)
        self.sock.settimeout(self._patience(self._until))
        return self.sock.recv_into(buffer)

    def sendall(self, data):
        self.sock.settimeout(self._patience())
        self.sock.sendall(data)

    def makefile(self, mode):
        return io.BufferedReader(self, 65536)

    def close(self):
        """Do nothing: http.client closes what it has read; `with` closes the connection."""

    # The request

    def _connect(self):
        """Connect to the server, through its proxy and with TLS where the URL needs them."""
        import socket
        via = split_url(self.proxy or self.url)
        self.enter("resolve")
        self._host = self.target.host.encode("idna").decode("ascii")
        self._place = "%s:%d" % (_bracketed(self._host), self.target.port)
        addresses = _addresses(via.host, via.port, self._patience())
        self.enter("connect")
        self.sock = _connect_first(addresses, self._patience())
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.target.scheme == "https":
            if self.proxy:                           # a tunnel to the server (RFC 9110, 9.3.6)
                response = self._response_to("proxy", "CONNECT", self._place, self._to_proxy)
                if response.status != 200:
                    raise proxy_error(self.url, self.proxy, response.status)
            self.enter("tls")
            context = tls_context(self.route)
            self.sock.settimeout(self._patience())
            self.sock = context.wrap_socket(self.sock, server_hostname=self._host)

    def _request(self, headers, body):
        """Send the request and wait for the answer to begin."""
        from urllib.parse import quote
        plain = {"Accept": "application/json, text/event-stream", "Connection": "close",
                 "User-Agent": "python"}
        method = "GET"
        path = quote(self.target.path or "/", safe="/%?=&+,;:@!$'()*~[]|")
        if body is not None:
            method = "POST"
            plain["Content-Type"] = "application/json"
        headers = merged_headers(plain, headers)
        if self.proxy and self.target.scheme == "http":
            path = "http://" + self._place + path
            headers.update(self._to_proxy)
        self.response = self._response_to("wait", method, path, headers, body)
        self.enter("read")

    def _response_to(self, phase, method, target, headers, body=None):
        """Send a request and return its HTTPResponse; `phase` is that of the wait for it."""
        import http.client
        connection = http.client.HTTPConnection(self._host, self.target.port)
        connection.default_port = _PORTS[self.target.scheme]
        connection.sock = self
        self.enter("send")
        connection.request(method, target, body, headers)
        self.enter(phase)
        return connection.getresponse()

    # The answer

    def chunks(self):
        """Yield the body's bytes as they come. Raises ServerError, past `limit` bytes too."""
        got = 0
        expected = self.response.length             # in older Pythons read1 leaves it as it is
        if expected is None or expected > sys.maxsize:
            expected = math.inf
        while got < expected:
            try:
                data = self.response.read1(min(65536, expected - got))
            except BaseException as error:
                raise self._error(error)
            if not data:
                break
            got += len(data)
            if got > self.limit:
                raise error_for("answer-too-large", url=self.url, limit=self.limit)
            yield data
        if got < expected < math.inf:
            detail = "the answer ended after %d of %d bytes" % (got, expected)
            raise error_for("answer-broken", url=self.url, detail=detail)

    def reply(self, limit):
        """Return the whole answer as a Reply. Raises ServerError, past `limit` bytes too."""
        self.limit = limit
        reason = redact(self.response.reason, self.secrets)
        body = joined(self.chunks())
        return Reply(self.response.status, reason, self.headers, body, self.proxy, self.secrets)

    def _error(self, error):
        """Return the Error for a network exception; any other exception is returned unchanged."""
        import http.client
        import socket
        facts = dict(self.target._asdict(), url=self.url)
        cause, detail = "unreachable", getattr(error, "strerror", None) or str(error)
        if isinstance(error, (socket.timeout, TimeoutError)):
            return timeout_error(self.url, self.phase, time.monotonic() - self._started,
                                 self.route.limit)
        if "ssl" in type(error).__module__:          # CertificateError of 3.6 is not an SSLError
            return tls_error(error, facts, self._certificate_names)
        if isinstance(error, ConnectionRefusedError):
            if self.proxy:
                return proxy_error(self.url, self.proxy)
            cause = "connection-refused"
        elif isinstance(error, (socket.gaierror, UnicodeError)):
            cause = "dns"
        elif isinstance(error, (ConnectionError, http.client.IncompleteRead)):
            cause, detail = "answer-broken", "the connection was closed " + PHASES[self.phase]
        elif isinstance(error, http.client.BadStatusLine):
            cause, detail = "not-openai", "the server does not speak HTTP"
            if self.target.scheme == "http" and "\x15\x03" in error.line:       # a TLS alert
                cause, facts["right"] = "scheme-mismatch", "https" + self.url[4:]
        # Older Pythons raise ValueError for a chunk of negative size.
        elif isinstance(error, (http.client.HTTPException, ValueError)):
            words = excerpt(redact(str(error), self.secrets), 80)
            cause, detail = "answer-broken", "it is not valid HTTP: " + words
        elif not isinstance(error, OSError):
            return error
        return error_for(cause, detail=detail, **facts)

    def _certificate_names(self):
        """Return the host names in the server's certificate, [] if it is not trusted."""
        if self.proxy:
            return []
        context = tls_context(self.route)
        context.check_hostname = False
        certificate = _peek(self.target, CONNECT_TIMEOUT_S, lambda tls: tls.getpeercert(), context)
        return [name for _, name in (certificate or {}).get("subjectAltName", ())]


def joined(chunks):
    """Return chunks of bytes as one; a list of tiny ones would take many times their size."""
    whole = bytearray()
    for data in chunks:
        whole += data
    return bytes(whole)


def tls_context(route):
    """Return an ssl context that trusts a Route's CA file, else SSL_CERT_FILE, else the system's.

    Raises ConfigError for a file that cannot be used, ServerError for a Python without ssl.
    """
    try:
        import ssl
    except ImportError:
        raise ServerError("this Python has no ssl module, so it cannot speak https",
                          "use a Python with ssl, or an http base URL", "tls-failed")
    path = route.ca_file or env_setting(route.env.get("SSL_CERT_FILE"))
    problem = "it is missing, a directory or a FIFO"     # opening a FIFO would wait forever
    try:
        if path is None or os.path.isfile(path):
            return ssl.create_default_context(cafile=path)
    except OSError as error:                         # maybe of SSLKEYLOGFILE, which ssl opens too
        path = error.filename or path
        problem = error.strerror
    raise ConfigError("the file %s cannot be used for TLS: %s" % (path, problem),
                      "give a PEM file with --ca-file; unset SSLKEYLOGFILE if that names it",
                      "tls-untrusted")


def _addresses(host, port, patience_s):
    """Return what getaddrinfo finds for a host; in a thread, as a resolver has no deadline."""
    import socket
    return in_parallel(socket.getaddrinfo, [(host, port, 0, socket.SOCK_STREAM)], patience_s)[0]


def _connect_first(addresses, patience_s):
    """Return a socket connected to the first address that accepts; each gets an equal time."""
    import socket
    failure = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(patience_s / len(addresses))
        try:
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            if failure is None or isinstance(failure, ConnectionRefusedError):
                failure = error                      # any other failure says more than a refusal
    raise failure


def in_parallel(function, calls, patience_s=math.inf):
    """Return [function(*call) for call in calls], all at once, each in a thread of its own.

    The threads are daemons, so that Ctrl-C ends the program even if some hang. Raises the first
    exception that a call raised, or TimeoutError when one is not done after `patience_s` seconds.
    """
    import threading
    values = [None] * len(calls)
    errors = []

    def work(number, call):
        try:
            values[number] = function(*call)
        except Exception as error:                   # raised again in the calling thread
            errors.append(error)

    until = time.monotonic() + patience_s
    threads = [threading.Thread(target=work, args=job, daemon=True) for job in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            thread.join(min(0.5, left))              # a longer one would delay Ctrl-C on Windows
    for error in errors:
        raise error
    return values


# Short connections that find out what is at an address

def _peek(target, patience_s, look, context=None):
    """Return look(socket) of a new connection, None where the connection or the look fails."""
    try:
        sock = _connect_first(_addresses(target.host, target.port, patience_s), patience_s)
        sock.settimeout(patience_s)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=target.host)
        with sock:
            return look(sock)
    except OSError:
        return None


def answers_at(host, target, patience_s):
    """Return True if the port of a Url accepts a connection on another host, else None."""
    return _peek(target._replace(host=host), patience_s, lambda sock: True)


def peer_certificate(target, patience_s):
    """Return the certificate (DER) of a TLS server, unverified; b"" if there is none."""
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _peek(target, patience_s, lambda tls: tls.getpeercert(True), context) or b""


def port_is_bound(target, patience_s):
    """Return whether a port of this host is bound though nothing listens: vLLM binds, then loads.

    Found out by a bind without SO_REUSEADDR, undone at once; other hosts' addresses cannot be
    bound. A closed connection in TIME_WAIT holds only the address it used, while a server usually
    binds all of them.
    """
    import socket
    host = target.host
    if _lingers(target.port):
        host = "127.0.0.2"
    for family, kind, protocol, _, address in _addresses(host, target.port, patience_s):
        try:
            with socket.socket(family, kind, protocol) as sock:
                sock.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def _lingers(port):
    """Return whether a closed connection still holds a port of this host (TIME_WAIT, a minute)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):        # Linux only
        try:
            with open(table) as lines:
                if re.search(r": [0-9A-F]+:%04X \S+ 06 " % port, lines.read()):
                    return True
        except OSError:
            pass
    return False


# ----------------------------------------------------------------------------
# What a server's answer means
# ----------------------------------------------------------------------------
# Turns statuses, bodies and exceptions into errors. Opens no connection, except that
# `completion_error` fetches the model list to tell a missing model from a missing endpoint.
# Patterns match the messages of vLLM 0.3 to 0.33.

def model_rows(url, reply, credential):
    """Return the usable rows in the Reply of a /models URL. Raises ServerError or KeyRefused.

    As in OpenClaw, any 2xx status and an error beside the rows are accepted, but not NaN.
    """
    if not 200 <= reply.status < 300:
        raise http_error(url, reply, credential)
    try:
        text = reply.body.decode("utf-8-sig")
        payload = loads_untrusted(text)
        if re.search("NaN|Infinity", text):          # it may be part of an id
            json.loads(text, parse_int=json_number, parse_constant=_refuse_constant)
        if is_error_payload(payload) and not _get(payload, "data"):
            raise http_error(url, reply, credential)
        return parse_model_list(payload)
    except ValueError as error:
        detail = what_it_is(reply.body) or str(error)
    raise error_for("not-openai", url=url, detail=detail, **layer_facts(reply.headers, reply.body))


def _refuse_constant(name):
    raise ValueError("it holds %s, which is not valid JSON" % name)


def is_error_payload(payload):
    """Return whether a JSON value is an error object; some releases send it with status 200."""
    return isinstance(payload, dict) and bool(
        payload.get("error") or payload.get("object") == "error")


def what_it_is(body):
    """Return words for a body that is empty or HTML, None for any other."""
    return {b"": "it is empty", b"<": "it is an HTML page"}.get(body.lstrip()[:1])


def offers_chat(openapi):
    """Return whether a value of /openapi.json lists chat completions, None if it lists no API."""
    if _get(openapi, "paths", "/v1/models") is None:
        return None
    return any("/chat/completions" in path for path in openapi["paths"])


# The message of a refusal, and what sent it

def error_message(text):
    """Return (message, the parameter it is about or "") of an error body of any release.

    Reads {"error": {"message", "param"}}, {"error": "…"}, {"object": "error", "message", "param"}
    and {"detail": …}; the message of an HTML page is its title, that of other bodies their text.
    """
    try:
        payload = loads_untrusted(text)
    except ValueError:
        # Keeps the title, or else what is between tags, without a status at its start. Unclosed
        # tags cost their number squared, so only the beginning is read.
        tags = (r"(?is)^.*?<title[^>]*>(?:\d{3} )?([^<]+).*|<(script|style).*?</\2>|"
                r"<[^>]*>(?:\d{3} )?")
        return re.sub(tags, r"\1 ", text[:10000]), ""
    error = _get(payload, "error")
    inner = error or payload
    message = _get(inner, "message") or error or _get(payload, "detail") or text
    return str(message), _get_text(inner, "param")


def refusal_facts(url, reply):
    """Return the facts of a refused request: url, status, said, words, param, answered_by.

    `said` is the server's message, `words` its beginning, to append to a sentence. Secrets are
    redacted here, not only when printed: a cut could leave half of one.
    """
    texts = error_message(reply.body[:100000].decode("utf-8", "replace"))
    said, param = [redact(text, reply.secrets) for text in texts]
    words = ": " + (excerpt(said or reply.reason) or "no reason given")
    return dict(layer_facts(reply.headers, reply.body),
                url=url, status=reply.status, said=said, words=words, param=param)


_LAYERS = (r"(?im)^(?:Server|Via): (?!uvicorn$)(.+)|^x-(litellm)|"
           r"^[ \t]*<.*\b(nginx|openresty|haproxy|envoy|caddy|apache|cloudflare)")


def layer_facts(headers, body=b""):
    """Return {"answered_by": words that name what answered in place of vLLM, or ""}."""
    text = "".join("%s: %s\n" % field for field in headers.items())
    text += body[:10000].decode("utf-8", "replace")
    named = re.search(_LAYERS, text)
    if not named:
        return {"answered_by": ""}
    return {"answered_by": " (answered by %s)" % excerpt(named.group(named.lastindex), 80)}


# Statuses

_DOWN = "the server behind it is down, or at another address: start vLLM, or read its log"
_SLOW = "the answer took longer than it waits; in nginx: proxy_read_timeout 600s;"
# What fixes a status that a proxy before vLLM sends; 52x is Cloudflare's.
_GATEWAY = {
    413: "send less, or let larger requests through; in nginx: client_max_body_size 64m;",
    429: "it is busy: try again later",
    502: _DOWN, 504: _SLOW, 521: _DOWN, 522: _DOWN, 523: _DOWN, 524: _SLOW,
    503: "it is busy, or the server behind it is down: try again later, then read their logs",
}
_LOG = "look at the server's log"
# What nginx, Apache and Go answer to http on a port of https; not JSON, which may echo a request.
_TLS_WANTED = b"[^{]*(?:HTTP request (?:was sent )?to (?:an )?HTTPS|plain HTTP to an SSL)"
_ENGINE_DEAD = ("EngineCore|EngineDead|"
                r"(?:Engine (?:loop|process)|Background loop)\b.{0,40} (?:is not|has|died)")


def http_error(url, reply, credential):
    """Return the error for a status other than 2xx, whatever was requested."""
    status = reply.status
    facts = refusal_facts(url, reply)
    plain = split_url(url).scheme == "http"          # proxies only tunnel https
    if plain and reply.proxy and status in (403, 407, 502, 503, 504):
        return proxy_error(url, reply.proxy, status)
    if status in (401, 403):
        return _key_error(reply, credential, facts)
    if 300 <= status < 400:
        return _redirect_error(url, reply, facts)
    if plain and re.match(_TLS_WANTED, reply.body):
        return error_for("scheme-mismatch", scheme="http", right="https" + url[4:], **facts)
    if status >= 500 and re.search(_ENGINE_DEAD, facts["said"]):
        return error_for("engine-dead", **facts)
    if status in _GATEWAY:
        fix = _GATEWAY[status]
        wait = reply.headers.get("retry-after")
        if wait:
            fix += " (Retry-After: %s)" % excerpt(wait, 40)
        return error_for("gateway", fix=fix, **facts)
    fix = _LOG
    if status in (404, 405):
        fix = "check the base URL: for vLLM it ends in /v1"
    return error_for("http-error", fix=fix, **facts)


def proxy_error(url, proxy, status=None):
    """Return the error for a proxy that refuses connections, or that answered with `status`."""
    import shlex
    detail = "it refuses connections"
    advice = ""
    if status:
        detail = "it answers HTTP %d in place of the server" % status
    if status == 407:
        advice = "put its user and password into its URL (http://USER:PASSWORD@HOST:PORT), or "
    command = "export NO_PROXY=" + shlex.quote(split_url(url).host)
    return error_for("proxy-captured", command, url=url, proxy=proxy, way="stands in the way",
                     detail=detail, advice=advice)


def _key_error(reply, credential, facts):
    """Return the error for 401 or 403, from vLLM itself or from a proxy before it."""
    challenge = excerpt(reply.headers.get("www-authenticate", ""), 80)
    if challenge.lower() not in ("", "bearer"):      # vLLM sends no challenge
        return error_for("gateway-auth", challenge=challenge, **facts)
    if credential is None:
        return error_for("no-key", **facts)
    suspect = "".join(
        "; " + words for looks, words in _SUSPICIONS if re.match(looks, credential.key))
    return error_for("bad-key", source=credential.source, suspect=suspect, **facts)


# Patterns of keys that look wrong, and words that do not repeat the key.
_SUSPICIONS = (
    (r"(?i)bearer\s", "it begins with \"Bearer \", which is added on its own"),
    (r"""(['"]).*\1$""", "it is in quotes"),
    (r".*\$\{|\$[A-Z_]", "it holds an unexpanded ${…}"),
    (r".* ", "it holds a space"),
)


def _redirect_error(url, reply, facts):
    """Return the error for a redirect, with the base URL where it points to an endpoint."""
    right = "the address the server names, unless that is a login page"
    location = excerpt(reply.headers.get("location", "nowhere"), 200)
    if re.match("/(?!/)", location):
        location = origin(url) + location
    base = re.match(r"(https?://[^?]*)/(?:chat/completions|models)/*(?:\?|$)", location)
    if base:
        right = base.group(1)
    return error_for("redirect", location=location, right=right, **facts)


# Refused completions

# The switch of a model's compat that keeps a field from being sent.
_COMPAT_SWITCHES = {
    "stream_options": {"supportsUsageInStreaming": False},
    "max_completion_tokens": {"maxTokensField": "max_tokens"},
    "strict": {"supportsStrictMode": False},
    "store": {"supportsStore": False},
    "prompt_cache_key": {"supportsPromptCacheKey": False},
    "reasoning_effort": {"supportsReasoningEffort": False},
    "tools": {"supportsTools": False},
}
_NO_MODEL = r"(?i)\bmodel\b.{0,200} (?:does not exist|not found)|invalid model name"
# Causes, and patterns of the messages that mean them.
_REFUSALS = (
    ("tools-disabled", "--enable-auto-tool-choice|--tool-call-parser"),
    ("no-chat-template", "chat template is no longer allowed|chat_template is not set"),
    ("not-a-chat-model", "does not support (?:the )?Chat Completions"),
    ("context-exceeded",
     "context length (?:is|of)|maximum context|max_model_len|at least 1, got -|"
     "longer than the maximum model length"),
    ("field-refused", "is not a multimodal model|At most 0 |does not support image"),
)


def completion_error(url, reply, provider, model):
    """Return the error for a refused completion, with the server's own words."""
    error = http_error(url, reply, provider.request_key)
    if error.cause != "http-error" or reply.status not in (400, 404, 422, 500, 501):
        return error                                 # the status says enough
    facts = dict(error.facts, model=model.id)
    said = facts["said"]
    if "'loc': " in said:                            # of pydantic, which may echo the request
        return _field_error(facts)
    unknown = re.search(_NO_MODEL, said)
    if unknown or reply.status == 404:
        try:
            served = [row["id"] for row in fetch_model_rows(provider)]
        except Error:                                # the server's words are enough
            served = []
        if unknown:
            return model_not_served(url, model.id, served, facts["words"])
        page = b"<" in reply.body                    # HTML, from a proxy before the server
        if model.id in served and url.startswith(provider.base_url) and not page:
            return error_for("not-a-chat-model", **facts)
        return error
    known = {
        "tools-disabled": parser_facts(url, model, TOOL_PARSER),
        "context-exceeded": _exceeded_context(model, said),
        "field-refused": {"field": "the image",
                          "fix": "leave it out, or ask a model that takes images"},
    }
    for cause, words in _REFUSALS:
        if re.search(words, said):
            return error_for(cause, **dict(facts, **known.get(cause, {})))
    return _field_error(facts)


def _field_error(facts):
    """Return the error for a field that the server does not know, or whose value it refuses.

    `loc` is a Python tuple, ('body', 'tools', 0), since vLLM 0.32 a path, 'body.tools.0'. Names
    of types that pydantic adds to it are left out.
    """
    said = facts["said"]
    place = facts["param"]
    named = re.search(r"'loc': (.{0,500}?), 'msg'|^`?(\w+)`? must ", said)
    if named:
        place = named.group(named.lastindex)
    path = re.findall(r"(?<![^'.,( ])(?!body\b)[a-z_0-9]+(?![^'.,) ])", place)
    if not path:
        return error_for("chat-failed", **facts)
    cause = "field-refused"
    field = ".".join(path)
    switch = {}
    fix = "correct it where it is set: an option, the body, or params in openclaw.json"
    if "Extra inputs are not permitted" in said:
        cause = "unknown-field-rejected"
        field = path[-1]
        switch = _COMPAT_SWITCHES.get(field, {})
        fix = "leave the field out: this vLLM does not know it"
    if switch:
        fix = "set compat: %s for this model in openclaw.json" % json.dumps(switch)
    return error_for(cause, **dict(facts, field=excerpt(field, 100), switch=switch, fix=fix))


def model_not_served(url, model_id, served, words=""):
    """Return the error for a model the server does not have; the fix names the most similar one."""
    near = nearest(model_id.split("/", 1)[-1], served) or nearest(model_id, served)
    fix = "did you mean --model %s ?" % near
    if not near:
        fix = "the server has: " + (_listed(served) or "none")
    return error_for("model-not-served", url=url, model=model_id, words=words, fix=fix)


_CONTEXT_LIMIT = r"(?:context length (?:is|is only|of)|model_len ?=|model length of) ?(\d{1,15})\b"
_PROMPT_TOKENS = (r"(?<!for )(?<!least )\b(\d{1,15})"
                  r"(?: input tokens| in the messages|\) is longer than the maximum)")


def _exceeded_context(model, said):
    """Return the facts of context-exceeded (`context_facts`) that vLLM's message states."""
    counts = []
    for pattern in (_CONTEXT_LIMIT, _PROMPT_TOKENS):
        stated = re.search(pattern, said)
        counts.append(stated and int(stated.group(1)))
    return context_facts(
        model.id, *counts, re.search("even without any output|characters|got -", said))


def context_facts(model_id, limit, prompt_tokens, alone):
    """Return the facts `problem` and `fix` of context-exceeded; `limit` and `prompt_tokens` may be
    None, `alone` says that the prompt does not fit even without an answer.
    """
    problem = "the prompt does not fit"
    numbers = ""
    lower = "lower --max-tokens"
    if limit and prompt_tokens:
        alone = alone or prompt_tokens >= limit
        numbers = " (%d tokens of prompt, %d of context)" % (prompt_tokens, limit)
        lower += " to %d" % (limit - prompt_tokens)
    fix = "shorten the prompt, or start vLLM with a larger --max-model-len"
    if not alone:
        problem = "the prompt and its answer do not fit"
        fix = lower + ", or shorten the prompt"
    return {"problem": "%s the context of %s%s" % (problem, model_id, numbers), "fix": fix}


def _error_inside(exchange, payload, provider, model):
    """Return the error for an error object that came with HTTP 200, alone or in a stream.

    Its `code` is used as the status. No proxy sends such an object.
    """
    code = _get(payload.get("error", payload), "code")
    status = code if isinstance(code, int) else 500
    data = json.dumps(payload).encode("ascii")
    reply = Reply(status, "", exchange.headers, data, None, exchange.secrets)
    error = completion_error(exchange.url, reply, provider, model)
    if error.cause in ("chat-failed", "http-error"):
        return error_for("stream-broken", url=exchange.url,
                         detail="the server says" + error.facts["words"])
    return error


# Commands and parsers of vLLM

# Families: a pattern of the name, a tool parser and a reasoning parser, - where vLLM's
# documentation, recipes and registries name none. The first match counts. Names are matched in
# lower case, with - for _, and whole: qwen3 matches neither qwen3.5 nor qwen30b. A family that is
# not listed has no parser, as a wrong one is worse than none.
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
# A kind of parser: its column above, the options of vLLM that name one, and vLLM's page about it.
TOOL_PARSER = (0, "--enable-auto-tool-choice --tool-call-parser",
               "https://docs.vllm.ai/en/latest/features/tool_calling/")
REASONING_PARSER = (1, "--reasoning-parser",
                    "https://docs.vllm.ai/en/latest/features/reasoning_outputs/")


def family_parsers(model_id, root):
    """Return the tool parser and the reasoning parser of a model's family, "-" for none.

    `root` is what vLLM was started with, an id or a path; it is tried before `model_id`, which can
    be any name.
    """
    places = "%s/%s" % (model_id, root or "")
    for name in reversed(re.split("/|--", places.lower().replace("_", "-"))):
        for row in _FAMILIES.strip().splitlines():
            pattern, tool, reasoning = row.split()
            if re.search(r"(?<![a-z0-9])(?:%s)(?![\db]|\.\d)" % pattern, name):
                return tool, reasoning
    return "-", "-"


def parser_facts(url, model, kind):
    """Return the facts `fix` and `command` that start vLLM with the parser for a Model.

    `kind` is TOOL_PARSER or REASONING_PARSER. For an unknown family there is no `command`, and the
    fix names vLLM's page.
    """
    import shlex
    column, options, page = kind
    parser = family_parsers(model.id, model.root)[column]
    fix = "start vLLM with %s " % options
    if parser == "-":
        return {"fix": fix + "and the parser of the model's family, if it has one: " + page}
    words = ["vllm", "serve", model.root or model.id]
    if words[-1] != model.id:
        words += ["--served-model-name", model.id]
    target = split_url(url)
    if is_loopback(target.host):
        words += ["--port", str(target.port)]
    words = list(map(shlex.quote, words)) + [options, parser]
    return {"fix": fix + parser, "command": " ".join(words)}


# Timeouts and TLS

def timeout_error(url, phase, seconds, limit=""):
    """Return the error for a server that was silent in a phase of the exchange, a key of PHASES.

    `limit` names the setting that ended the wait, "" for a default.
    """
    words = ""
    fix = "check the address and the network: name servers, proxy, firewall"
    if phase not in ("resolve", "connect", "proxy", "tls"):  # CONNECT_TIMEOUT_S is their limit
        reason = _LOG
        if phase in ("wait", "first"):
            reason = "a queue or a long prompt is the usual reason"
        words = " (limit: %s)" % (limit or "the default")
        fix = "%s; to wait longer, raise %s" % (reason, limit or "--timeout")
    return error_for("timeout", url=url, phase=phase, when=PHASES[phase], limit=words, fix=fix,
                     seconds=seconds)


def tls_error(error, facts, names):
    """Return the error for an exception of TLS; `names()` returns the certificate's host names."""
    text = str(error)
    cause, detail = "tls-failed", re.sub(r"\[.*?\] | \(_ssl.*", "", text)
    if re.search("doesn't match|[Mm]ismatch", text):
        cause, detail = "tls-wrong-host", "it is for " + (_listed(names()) or "another")
    elif "CERTIFICATE_VERIFY_FAILED" in text:
        cause = "tls-untrusted"
    elif re.search("WRONG_VERSION|UNKNOWN_PROTOCOL|RECORD_LAYER|HTTP_REQUEST|PACKET_LENGTH", text):
        cause, facts["right"] = "scheme-mismatch", "http" + facts["url"][5:]
    found = error_for(cause, detail=detail, **facts)
    if re.search("expired|not yet valid", text):
        found.hint = "have it renewed, or set the clock of this host"
    return found


_DATE = "[\x17\x18][\r\x0f]([0-9]{2})?([0-9]{2})([0-9]{2})([0-9]{2})[0-9]{6}Z"
_NAME = "(?s)U\x04[\x03\n][\x0c\x13\x14](.)(?=(.{0,255}))"    # its CN or O: size, text


def describe_certificate(der):
    """Return words for issuer and dates of a DER certificate (RFC 5280, 4.1), "" without dates."""
    text = der.decode("latin-1")
    dates = re.search(_DATE * 2, text)
    if not dates:
        return ""
    issuer = ""
    for size, name in re.findall(_NAME, text[:dates.start()]):   # the subject follows the dates
        issuer = "issued by %s, " % name[:ord(size)]
    return " (%svalid from %s%s-%s-%s to %s%s-%s-%s)" % ((issuer,) + dates.groups("20"))


# Answers without content

def empty_answer(model, answer):
    """Return the error for an answer without content; its words say why and what to try."""
    no_thinking = "--param 'chat_template_kwargs={\"enable_thinking\": false}'"
    if model.compat.get("thinkingFormat"):
        no_thinking = "--thinking off"
    if answer.finish_reason == "length":
        detail, fix = "its budget of tokens was used up", "raise --max-tokens"
        if answer.reasoning:
            detail += " by reasoning"
            fix += ", or pass " + no_thinking
    elif answer.reasoning:
        detail = "all its text is in the reasoning field"
        fix = ("pass %s; a model that does not reason needs no --reasoning-parser on the server"
               % no_thinking)
    else:
        detail, fix = finish_words(answer), "try again, or another prompt"
    return error_for("empty-answer", model=model.key, detail=detail, fix=fix)


def finish_words(answer):
    """Return words for the finish reason of an Answer."""
    return "finish reason " + (answer.finish_reason or "none")


# ----------------------------------------------------------------------------
# Client: models and completions of a server
# ----------------------------------------------------------------------------

def discover_models(provider, timeout_s=None):
    """Return the Models of GET {base_url}/models, in the server's order.

    Raises ServerError, KeyRefused, or the provider's refusal; NothingToShow for an empty list.
    """
    return discovered_models(fetch_model_rows(provider, timeout_s), provider)


def list_models(provider, timeout_s=None):
    """Return the Models OpenClaw would offer for a provider, sorted by key.

    Asks the server only where OpenClaw would. Raises what `discover_models` raises, and
    NothingToShow when nothing is declared and the server is not to be asked.
    """
    if provider.refusal is not None:
        raise provider.refusal
    models = declared_models(provider)
    if provider.asks_server:
        models = merge_models(discover_models(provider, timeout_s), provider)
    if not models:
        raise _nothing_declared(provider)
    return sorted(models, key=lambda model: (model.key.lower(), model.key))


def _nothing_declared(provider):
    """Return the error for a provider without declared models whose server is not to be asked."""
    problem = "models.providers.%s declares no models" % provider.id
    if provider.plugin_off:
        problem += " and " + provider.plugin_off
    elif not provider.explicit:
        problem = 'models.mode is "replace" and no models are declared'
    fix = ('declare them (%s config --write), or let the server be asked: '
           'agents: { defaults: { models: { "%s/*": {} } } }' % (TOOL, provider.id))
    return error_for("no-models", where=provider.file or "the config",
                     problem=problem + ", so OpenClaw lists none and asks no server", fix=fix)


def list_everywhere(providers, timeout_s=None):
    """Return [(Provider, [Model], Error or None)] of many servers, all asked at once.

    A server that fails has only its declared models, as in OpenClaw; all that do not answer take
    about `timeout_s` together.
    """
    def outcome(provider):
        try:
            return provider, list_models(provider, timeout_s), None
        except Error as error:
            declared = [] if provider.refusal else declared_models(provider)
            return provider, declared, error

    if len(providers) == 1:                          # spares the start of a thread
        return [outcome(providers[0])]
    return in_parallel(outcome, [(provider,) for provider in providers])


def find_model(provider, reference=None, timeout_s=None, thinking=None):
    """Return the Model a reference means; a declared one without asking the server.

    `reference` is a key (vllm/<id>), an id or an alias; None means the default model, else the
    first declared, else the first served. The Model has the switch that a level of `thinking`
    needs (`thinking_model`). Raises what `discover_models` raises, ConfigError for another api,
    and ServerError (model-not-served) for an unknown model.
    """
    if provider.api != "openai-completions":
        raise ConfigError("models.providers.%s.api is %s: this tool speaks openai-completions only"
                          % (provider.id, provider.api), cause="config-invalid")
    reference = reference or default_reference(provider)

    def chosen(models):
        if reference:
            return match_model(models, reference, provider.id)
        return next(iter(models), None)

    model = chosen(declared_models(provider))
    if not model:
        models = merge_models(discover_models(provider, timeout_s), provider)
        model = chosen(models)
    if not model:
        raise model_not_served(provider.base_url, reference, [model.id for model in models])
    return thinking_model(provider, model, thinking, timeout_s)


def bearer(credential):
    """Return the headers that carry a Credential, {} for None."""
    if credential is None:
        return {}
    return {"Authorization": Secret("Bearer " + credential.key)}


def discovery_headers(provider):
    """Return the headers of a discovery request: the block's own, then the key's, which wins."""
    return merged_headers(provider.headers, bearer(provider.discovery_key))


def request_headers(provider, model=None):
    """Return the headers of a completion: the key's, then those of the model, which win."""
    return merged_headers(bearer(provider.request_key), (model or provider).headers)


def ask(provider, url, headers, body=None, limit_s=None, limit=""):
    """Return the Reply to a GET, or to a POST of a JSON value, read whole within `limit_s` seconds.

    `limit_s` None is OpenClaw's limit for discovery; `limit` names the setting that it comes
    from. Raises ServerError, or the provider's refusal.
    """
    if provider.refusal is not None:
        raise provider.refusal
    limit_s = limit_s or DISCOVERY_TIMEOUT_S
    route = Route(provider.env, provider.ca_file, limit_s, limit_s, limit)
    data = None
    if body is not None:
        data = encode_body(body)
    with Exchange(url, headers, data, route) as exchange:
        return exchange.reply(MODEL_LIST_LIMIT)


def fetch_model_rows(provider, timeout_s=None):
    """Return the usable rows of GET {base_url}/models. Raises what `discover_models` raises."""
    url = provider.base_url + "/models"
    reply = ask(provider, url, discovery_headers(provider), None, timeout_s)
    rows = model_rows(url, reply, provider.discovery_key)
    if not rows:
        raise error_for("no-models", where=provider.base_url,
                        problem="the server offers no models",
                        fix="start vLLM with a model: vllm serve MODEL")
    return rows


def _count_tokens(provider, model, body, timeout_s):
    """Return the tokens that POST /tokenize counts, None where it counts none. Raises ServerError.
    """
    url = server_root(model.base_url) + "/tokenize"
    headers = request_headers(provider, model)
    limit_s = min(timeout_s or math.inf, DISCOVERY_TIMEOUT_S)
    reply = ask(provider, url, headers, body, limit_s)
    count = _get(_json_of(reply), "count")
    return count if type(count) is int else None


def probe_thinking(provider, model, timeout_s=None):
    """Return (compat, reason) where the chat template reads enable_thinking, else None.

    Counts one prompt twice with POST /tokenize, which generates nothing. Raises ServerError.
    """
    counts = []
    for enabled in (False, True):
        body = {"model": model.id,
                "messages": [{"role": "user", "content": "hi"}],
                "chat_template_kwargs": {"enable_thinking": enabled}}
        counts.append(_count_tokens(provider, model, body, timeout_s))
    if None in counts or counts[0] == counts[1]:
        return None
    return ({"thinkingFormat": "qwen-chat-template"},
            "probed: enable_thinking changes the prompt from %d to %d tokens" % tuple(counts))


def family_evidence(model):
    """Return (`thinking_evidence` for the id of a Model, else for its root; the root's name)."""
    root = (model.root or "").split("/")[-1]
    return thinking_evidence(model.id) or thinking_evidence(root, "root, " + root), root


def thinking_model(provider, model, thinking, timeout_s=None):
    """Return a Model with the switch that a thinking level needs; a declared one stays as it is.

    The switch follows from the family (id or root), else from what /tokenize shows of the chat
    template. Raises ServerError, KeyRefused.
    """
    if thinking is None or model.source != "discovered":
        return model
    found, root = family_evidence(model)
    names = model.id + " " + root
    if re.search(_NEMOTRON, names) or re.search(_DEEPSEEK, names):
        found = {}, None                             # their requests follow from the names alone
    if not found or found[0] is None:
        found = probe_thinking(provider, model, timeout_s)
    if not found:
        return model
    return model._replace(reasoning=True, compat=dict(found[0], **model.compat))


def prepare_request(provider, model, body, thinking=None, timeout_s=None):
    """Return a body Shaped for sending; where the estimate would clamp it, tokens are counted.

    One POST /tokenize counts the messages, tools and template arguments as they will be sent,
    unless they hold more than text: it does not count images as the model does. Where it cannot
    count, the estimate stays. Raises what `shape_request` raises.
    """
    shaped = shape_request(body, model, thinking)
    only_texts = all(_get(part, "type") == "text"
                     for message in shaped.body["messages"]
                     for part in _parts(message.get("content")))
    if not shaped.clamped or not only_texts:
        return shaped
    counted = _picked(shaped.body, ("model", "messages", "tools", "chat_template_kwargs"))
    try:
        count = _count_tokens(provider, model, counted, timeout_s)
    except Error:                                    # the completion will say what is wrong
        return shaped
    return shape_request(body, model, thinking, count)


def stream_chat(provider, body, thinking=None, timeout_s=None):
    """Send a chat-completions body and return an iterator of Deltas, read as the answer arrives.

    The body is shaped first (`prepare_request`) for the model that body["model"] names.
    `timeout_s` bounds silence, not the whole answer. Dropping the iterator closes the connection.
    Raises what `find_model` raises; the iterator raises ServerError when the answer breaks off,
    after what came before.
    """
    model = find_model(provider, _get_text(body, "model"), timeout_s, thinking)
    shaped = prepare_request(provider, model, body, thinking, timeout_s)
    return send_chat(provider, model, shaped.body, timeout_s)


def chat(provider, body, thinking=None, timeout_s=None):
    """Send a chat-completions body and return the whole Answer. Raises as `stream_chat`."""
    return collect_answer(stream_chat(provider, body, thinking, timeout_s))


def collect_answer(deltas, show=None):
    """Return the Answer of a generator of Deltas, which is closed; `show` is called with each.

    Times count from this call. An exception that ends it has the Answer so far as `partial`.
    """
    started = time.monotonic()
    assembler = Assembler()
    timings = dict.fromkeys(("first_token_s", "last_token_s", "total_s"))
    try:
        for delta in deltas:
            if delta.content or delta.reasoning or delta.tool_calls:
                timings["last_token_s"] = time.monotonic() - started
                timings["first_token_s"] = timings["first_token_s"] or timings["last_token_s"]
            assembler.add(delta)
            if show is not None:
                show(delta)
    except BaseException as error:
        error.partial = assembler.answer(timings)
        raise
    finally:                                         # `partial` holds the same dict
        timings["total_s"] = time.monotonic() - started
        deltas.close()                               # at once, also where nothing counts references
    return assembler.answer(timings)


class Observed:
    """What `send_chat` has seen of one exchange, filled in while the Deltas are read.

    `pieces` counts the reads that brought bytes of a stream, `events` its events; `done` says
    whether the answer is complete: with [DONE], or as one object.
    """

    pieces = events = 0
    done = False


def send_chat(provider, model, body, timeout_s=None, total_s=math.inf, observed=None,
              before_wait=None):
    """POST a shaped body and yield the answer's Deltas. Raises ServerError, KeyRefused.

    `timeout_s` bounds the silence between two events, `total_s` the whole exchange; `observed` is
    an Observed to fill in. `before_wait` is called before each wait for the server, when all that
    came has been yielded; an exception that it raises ends the exchange and passes unchanged.
    """
    if provider.refusal is not None:
        raise provider.refusal
    url = model.base_url + "/chat/completions"
    silence_s = min(timeout_s or provider.timeout_s or SILENCE_TIMEOUT_S, LONGEST_TIMEOUT_S)
    limit = ""
    if timeout_s:
        limit = "--timeout"
    elif provider.timeout_s:
        limit = "models.providers.%s.timeoutSeconds" % provider.id
    route = Route(provider.env, provider.ca_file, silence_s, total_s, limit)
    full = body.get("logprobs") or body.get("n") not in (None, 1)
    observed = observed or Observed()
    finished = False
    with Exchange(url, request_headers(provider, model), encode_body(body), route,
                  before_wait) as exchange:
        if exchange.response.status != 200:
            raise completion_error(url, exchange.reply(ANSWER_LIMIT), provider, model)
        for payload in answer_payloads(exchange, observed):
            if is_error_payload(payload):
                raise _error_inside(exchange, payload, provider, model)
            delta = decode_delta(payload, full)
            finished = finished or delta.finish_reason is not None
            yield delta
    if not finished and not observed.done:
        detail = "it ended without [DONE] or a finish reason"
        if not observed.pieces:
            detail = "the answer is empty"
        raise error_for("stream-broken", url=url, detail=detail)


def encode_body(body):
    """Return the bytes of a body. Raises UsageError for a value that JSON cannot hold."""
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError("the body cannot be sent as JSON: %s" % error,
                         "leave NaN and Infinity out")


def answer_payloads(exchange, observed):
    """Yield the objects of an answer with HTTP 200: its only one, or those of its events."""
    decoder = EventDecoder()
    chunks = exchange.chunks()
    exchange.enter("first")
    for data in chunks:
        if not observed.pieces and data.lstrip()[:1] in (b"{", b"[", b"<"):
            exchange.limit = ANSWER_LIMIT
            observed.done = True
            yield _whole_payload(exchange, joined(itertools.chain((data,), chunks)))
            return
        if data.strip():
            observed.pieces += 1
        try:
            events = decoder.feed(data)
        except ValueError as error:
            raise error_for("stream-broken", url=exchange.url, detail=str(error))
        if events:
            exchange.enter("read")
        elif re.search(b"[\r\n]", data):             # a comment, or a line of an event
            exchange.keep_alive()
        for text in events:
            observed.events += 1
            if text == "[DONE]":
                observed.done = True
                return
            try:
                payload = loads_untrusted(text)
            except ValueError:
                words = excerpt(redact(text, exchange.secrets), 80)
                raise error_for("stream-broken", url=exchange.url,
                                detail="an event is not JSON: " + words)
            if isinstance(payload, dict):
                yield payload


def _whole_payload(exchange, text):
    try:
        payload = loads_untrusted(text.decode("utf-8", "replace"))
    except ValueError:
        payload = None
    if not is_error_payload(payload) and not isinstance(_get(payload, "choices"), list):
        detail = what_it_is(text) or "there are no choices in it"
        raise error_for("not-openai", url=exchange.url, detail=detail,
                        **layer_facts(exchange.headers))
    return payload


# ----------------------------------------------------------------------------
# Doctor: one small function per check
# ----------------------------------------------------------------------------
# Looks at everything between the settings and an answer, in the order of _CHECKS, and words what
# it sees with CAUSES. Sends GETs and /tokenize only; completions with `probe`. The key goes to
# the configured origin by the configured route; every detour is tried without it.

DIAGNOSIS_S = 30.0                   # seconds for a whole diagnosis, whatever the server does
PROBE_TIMEOUT_S = 20.0               # seconds for one completion where no --timeout says otherwise
PROBE_TOKENS = 32                    # tokens of answer; enough to see a stream flow
SPARE_S = 15.0                       # seconds for /openapi.json, which is made when first asked for
AGENT_PROMPT = 32000                 # tokens; about what OpenClaw's own agent prompt takes
LEAST_PROMPT = 64                    # tokens; a system line and a question
BUFFERED_AFTER_S = 0.5               # seconds of silence before a burst that are no accident
# Causes that the transport tells apart and the contract of `doctor --json` does not.
_CONTRACT_CAUSES = {
    "bad-key-form": "bad-key",
    "unreachable": "connection-refused",
    "tls-failed": "tls-untrusted",
    "answer-broken": "not-openai",
    "answer-too-large": "not-openai",
    "context-exceeded": "chat-failed",
    None: "config-invalid",
}
# Causes whose fact `right` is the base URL to use.
_BASE_URL_CAUSES = "endpoint-in-base-url missing-v1 scheme-mismatch wrong-address-family".split()
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")


def diagnose(settings, provider_id=DEFAULT_PROVIDER, base_url=None, api_key=None, ca_file=None,
             model=None, thinking=None, probe=False, timeout_s=None):
    """Yield a Finding for everything looked at between OpenClaw's settings and the server.

    `settings` are those of `read_settings`: what is wrong with them is a finding
    too. Nothing is generated and nothing but GETs and /tokenize is sent unless
    `probe`. `model` and `thinking` choose what is probed; `timeout_s` bounds each
    exchange, DIAGNOSIS_S all of them. Raises UsageError for an unknown provider.
    """
    case = _Case(settings, timeout_s, model, thinking)
    if not settings.issues:
        name, block = find_block(settings.config, provider_id)
        if block is not None:
            case.block_path = ("models", "providers", name)
        try:
            provider = resolve_provider(settings, provider_id, base_url, api_key, ca_file)
            case.refusal = provider.refusal
            case.take(provider)
        except (ConfigError, NothingToShow) as error:
            case.refusal = error
        if not case.refusal or case.refusal.cause == "not-opted-in":
            case.usable = True
    for name, needs, examine in _CHECKS + (_PROBES if probe else ()):
        for finding in _run_check(case, needs, examine):
            if finding.status == "fail" and name not in ("references", "limits"):
                case.stopped = finding.cause
                if case.refusal and name != "settings":
                    finding = finding._replace(status="warn")        # OpenClaw does not look there
            yield finding._replace(check=name)


def _run_check(case, needs, examine):
    """Yield the Findings of one check, or why it cannot look."""
    if case.left() <= 0:
        yield _skipped("timeout", "not checked: the %g s of a diagnosis are over" % DIAGNOSIS_S)
        return
    if getattr(case, needs) is None:
        yield _skipped(case.stopped, "not checked, because of %s" % case.stopped)
        return
    try:
        for found in examine(case):
            if isinstance(found, str):
                found = Finding("", summary=found)
            elif isinstance(found, Error):
                found = _finding(case, found)
            yield found
    except Error as error:                           # so it could not look
        yield _finding(case, error, "skip")._replace(fix="")


def _skipped(cause, summary):
    return Finding("", "skip", cause, summary)


def _finding(case, error, status=None):
    """Return the Finding of an Error; the Edits of openclaw.json that fix it are its fact `edits`.

    Without a `status`, a cause whose exit status is 0 is a warning. Without a command of its own,
    an error has the one that makes its edits. An Edit without path or value is none.
    """
    cause = _CONTRACT_CAUSES.get(error.cause, error.cause)
    if status is None:
        status = "fail" if CAUSES[cause].exit_status else "warn"
    if cause in _BASE_URL_CAUSES:
        _add_base_url(case, error)
    edits = error.facts.get("edits", ())
    command = error.command
    if cause == "provider-disabled":
        switches = ("plugins", "enabled"), ("plugins", "entries", "vllm", "enabled")
        edits = [Edit(path, True) for path in switches if case.written(path) is False]
    edits = tuple(edit for edit in edits if None not in edit)
    if edits and command is None:
        command = edit_command(edits, case.settings.path)
    return Finding("", status, cause, error.message, error.hint, command, edits)


def _add_base_url(case, error):
    """Add to an error what puts its fact `right` where the base URL comes from."""
    import shlex
    right = error.facts["right"]
    where = error.facts.get("where") or case.provider.where
    if where == "VLLM_BASE_URL":
        error.command = "export VLLM_BASE_URL=" + shlex.quote(right)
    elif where != "--base-url" and case.block_path:
        error.facts["edits"] = [Edit(case.block_path + ("baseUrl",), right)]
    elif where != "--base-url":
        error.command = "%s --base-url %s" % (case.config_command, shlex.quote(right))


def diagnosis_status(findings):
    """Return the exit status for Findings: that of a gate that failed, else 1 for any failure."""
    failed = [finding for finding in findings if finding.status == "fail"]
    for finding in failed:
        if finding.check in _GATES:
            return CAUSES[finding.cause].exit_status
    return int(bool(failed))


class _Case:
    """What the checks of one diagnosis know so far; each fills in what later ones need.

    `provider`, `usable` (it may be asked), `answered` (by a model list or a 401), `rows` and
    `chats` (nothing rules chat completions out) are None until that is known to be so; checks
    name what they need. `refusal` is the error of resolving the provider, `error` that of the
    first request, `stopped` the cause that keeps later checks from looking. `row_paths` is
    {id: key path} of the declared rows, `served` {id: context in tokens or None}, `chosen` the
    served Models to look at; `enforced` tells whether the server wants the key.
    """

    provider = usable = answered = rows = chats = None
    refusal = error = stopped = openapi = _raw = None
    version = ""
    block_path = ()
    enforced = False

    def __init__(self, settings, timeout_s, reference, thinking):
        self.settings = settings
        self.timeout_s = timeout_s
        self.reference = reference
        self.thinking = thinking
        self.config_command = edit_command((), settings.path)    # which writes the server's models
        self._deadline = time.monotonic() + DIAGNOSIS_S
        try:
            self._raw = json5_loads(settings.sources.get(settings.path) or "{}")
        except Json5Error:
            pass                                     # nothing is known of what it has

    def take(self, provider):
        """Take the provider; the server of one that is not opted in is looked at all the same."""
        self.provider = provider._replace(refusal=None)
        self.url = provider.base_url
        self.target = split_url(provider.base_url)
        self.root = server_root(self.url)
        path = self.block_path + ("models",)
        self.row_paths = {}
        for index, row in _children(self.block_path and _get(self.settings.config, *path)).items():
            self.row_paths.setdefault(trimmed(row["id"]), path + (index,))

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
        return ask(way or self.provider, url, headers, body, self.patience(wait_s),
                   "--timeout" if self.timeout_s else "")

    def look(self, path, wait_s=DISCOVERY_TIMEOUT_S):
        """Return the Reply to a GET, without the key, of what vLLM has beside /v1."""
        return self.ask(self.root + path, {}, wait_s=wait_s)

    def written(self, path):
        """Return what openclaw.json itself has at a key path, variables as they stand, or None."""
        return _get(self._raw, *path)


def _short(name):
    """Return a name that a server gave; a long one is not cut, as it could end inside a key."""
    return name if len(name) <= 100 else "(%d characters)" % len(name)


def _plural(count, noun):
    return "%d %s%s" % (count, noun, "" if count == 1 else "s")


def _listed(names):
    """Return names in one text, at most six of them."""
    names = list(map(_short, names))
    if len(names) > 6:
        names[6:] = ["and %d more" % (len(names) - 6)]
    return ", ".join(names)


def _json_of(reply):
    """Return the JSON value of a Reply with status 200, else None."""
    if reply.status != 200:
        return None
    try:
        return loads_untrusted(reply.body.decode("utf-8", "replace"))
    except ValueError:
        return None


# The settings side.

def _check_settings(case):
    settings = case.settings
    refusal = case.refusal
    for issue in settings.issues:
        yield _issue_finding(case, issue, "fail")
    for issue in dict.fromkeys(settings.warnings):
        if not refusal or refusal.facts.get("path") != dotted(issue.path):
            yield _issue_finding(case, issue, "warn")
    if refusal:
        yield refusal
    elif not settings.issues:
        absent = "%s does not exist: an empty config" % settings.path
        yield ", ".join(settings.sources) or absent


def _issue_finding(case, issue, status):
    """Return the Finding of a fault of the settings; what is misplaced or misspelled is moved."""
    path = issue.path
    place = issue.successor
    value = case.written(path)
    error = issue_error([issue])
    edits = ()
    if issue.cause == "config-missing-variable":
        error = _missing_variable(case.settings, path, case.settings.unset_variables[path])
    elif issue.cause == "bad-base-url":
        right = _evident_base_url(value or "")
        error.hint = "use something like " + (right or DEFAULT_BASE_URL)
        edits = [Edit(path, right)]
    elif place and _get(case.settings.config, *place) is None:
        error.hint = "write %s in its place" % dotted(place)
        if path[-1] == "llm":                        # an object; no block is begun for its number
            value = case.written(place[:3]) and _get(value, "idleTimeoutSeconds")
        edits = [Edit(path, REMOVED), Edit(place, value)]
        if any(map(spellings, secret_texts({place[-1]: value}))):    # the edits would show it
            error.command = TOOL + " doctor --fix"
    elif issue.cause != "config-invalid":            # an unknown or a legacy key
        error.hint = "move what it holds to %s, or remove it" % dotted(
            place or ["where it belongs"])
    error.cause = issue.cause
    error.facts["edits"] = edits
    return _finding(case, error, status)


_ALMOST_A_URL = (
    r"(?i)\s*(?:(https?)(?::/*|/+)|//)?(?!.*(?:@|://))((?:localhost|[^/]*[.:])[^?#]*?)/*"
    r"(?:/(?:(?:chat/)?completions|models)/*)?\s*(?:[?#]|$)")


def _evident_base_url(url):
    """Return the base URL that a malformed one evidently means, or None."""
    match = re.match(_ALMOST_A_URL, url)
    if match is None:
        return None
    scheme, rest = match.groups("http")
    right = "%s://%s" % (scheme.lower(), rest)
    return None if base_url_problem(right) else right


def _check_provider(case):
    """Say which provider it is, and whether its server is asked for models."""
    provider = case.provider
    asked = "takes the models declared there and asks no server"
    if provider.asks_server:
        asked = "asks the server for models"
    yield "%s (%s): OpenClaw %s" % (
        provider.id, dotted(case.block_path) or "implicit: no block in the config", asked)
    if provider.plugin_off and case.block_path:      # else that is the refusal
        error = error_for("provider-disabled", problem=provider.plugin_off, file=provider.file)
        yield _finding(case, error, "warn")
    stated = [(case.block_path, provider.api)]
    stated += [(case.row_paths.get(row["id"]), row.get("api")) for row in provider.models]
    for path, api in stated:
        if path and api not in (None, "openai-completions"):
            path += ("api",)
            yield error_for(
                "wrong-api",
                path=dotted(path),
                api=api,
                edits=[Edit(path, "openai-completions")])


def _check_key(case):
    """Name the key's source, where it goes and what it shadows; never the key."""
    provider = case.provider
    layers = case.settings.layers
    winner = provider.request_key
    path = case.block_path + ("apiKey",)
    if winner is None:
        yield "none is set, and none is sent"
        return
    variable = "VLLM_API_KEY (%s)"
    found = dict(provider.credentials)
    for label, layer in layers if provider.id == DEFAULT_PROVIDER else ():
        found[variable % label] = layer.get("VLLM_API_KEY", "").strip()
    if "VLLM_API_KEY" in json.dumps(case.written(path)):         # it refers to the variable
        found.pop(dotted(path), None)
    others = {source: key for source, key in found.items() if key and source != winner.source}
    summary = "%s; it goes to %s" % (winner.source, origin(provider.base_url))
    if others:
        summary += "; it shadows %s" % _listed(others)
    if set(others.values()) - {winner.key} and winner.source != "--api-key-file":
        yield Finding("", "warn", "bad-key", summary + ", but not every one is the same key",
                      "keep one of them, or make them equal")
    elif winner.source == variable % layers[0][0] and not others:
        note = error_for("key-in-shell-only", dotenv=_dotenv_path(case.settings))
        yield Finding("", "ok", None, "%s. %s" % (summary, note.message), note.hint)
    else:
        yield summary
    warning = key_exposed(provider)
    if warning:
        yield Finding("", "warn", "exposed", warning, "let a proxy in front of it speak TLS")


def _check_base_url(case):
    """Say where the base URL comes from; the last look at the settings before the network."""
    summary = "%s (from %s)" % (case.url, case.provider.where)
    if env_setting(case.settings.variables.get("VLLM_BASE_URL")):
        summary += "; OpenClaw does not read VLLM_BASE_URL"
    found = Finding("", summary=summary)
    if case.provider.where == "VLLM_BASE_URL":
        found = found._replace(fix="write it into the config", command=case.config_command)
    yield found
    path = case.block_path + ("request", "allowPrivateNetwork")
    if case.written(path) is False and is_private(case.target.host):
        yield error_for(
            "private-network",
            path=dotted(path),
            url=case.url,
            edits=[Edit(path, REMOVED)])


# The way to the server. The first request is the one OpenClaw sends; when it
# fails, each _explain_… below may know better what that means.

def _check_connect(case):
    """Ask for the models as OpenClaw does; where that fails, find out why."""
    provider = case.provider
    headers = request_headers(provider)
    sent = _sent_credential(provider)
    if provider.asks_server:
        headers = discovery_headers(provider)
        sent = provider.discovery_key or sent
    url = case.url + "/models"
    started = time.monotonic()
    try:
        case.rows = model_rows(url, case.ask(url, headers), sent)
    except KeyRefused as error:
        case.error = error
    except Error as error:
        yield _explained(case, error)
        return
    case.answered = True
    summary = "%s answers after %.1f ms" % (url, 1000 * (time.monotonic() - started))
    proxy = proxy_for(case.target, provider.env)
    if proxy:
        summary += ", through the proxy %s" % proxy
    yield summary
    for lacking in (_family_error, _authority_error):
        error = lacking(case)
        if error:
            yield _finding(case, error, "warn")


def _explained(case, error):
    """Return the error behind the one of the first request, as far as _EXPLANATIONS find it."""
    for signs, explain in _EXPLANATIONS:
        seen = {error.cause, error.facts.get("status"), error.facts.get("phase")}
        try:
            if not signs or seen.intersection(signs):
                error = explain(case, error) or error
        except Error:
            pass                                     # what it tried failed too and explains nothing
    return error


def _sent_credential(provider):
    """Return the Credential of completions: the block's Authorization header, else the key."""
    own = bearer(provider.request_key).values()
    for name, value in request_headers(provider).items():
        if name.lower() == "authorization" and value not in own:
            return Credential("the config's Authorization header", value.split(" ")[-1])
    return provider.request_key


def _answers(case, base, way=None):
    """Tell whether {base}/models lists models or asks for a key; none is sent on a detour.

    `way` is as in `_Case.ask`.
    """
    url = base + "/models"
    try:
        model_rows(url, case.ask(url, {}, None, way), None)
    except KeyRefused:
        return True
    except Error:
        return False
    return True


def _family_error(case):
    """Return the error for a loopback address that refuses although the other answers, or None."""
    host = case.target.host
    wait_s = case.patience()
    if not is_loopback(host):
        return None
    tried = {found[4][0] for found in _addresses(host, case.target.port, wait_s)}
    answering = {address for address in tried.union(("127.0.0.1", "::1"))
                 if answers_at(address, case.target, wait_s)}
    if not answering or tried <= answering:
        return None
    answers = min(answering)
    return error_for(
        "wrong-address-family",
        url=case.url,
        answers=answers,
        refuses=min(tried - answering),
        right=case.url.replace(_bracketed(host), _bracketed(answers)))


def _authority_error(case):
    """Return the error for a certificate whose authority this tool alone was told of, or None."""
    import shlex
    provider = case.provider
    told = provider.ca_file or env_setting(provider.env.get("SSL_CERT_FILE"))
    known = case.written(case.block_path + ("request", "tls"))
    if not told or known or "NODE_EXTRA_CA_CERTS" in provider.env:
        return None
    untold = provider._replace(ca_file=None, env=dict(provider.env, SSL_CERT_FILE=""))
    try:
        case.ask(case.url + "/models", {}, None, untold)
    except ServerError as error:
        if error.cause == "tls-untrusted":
            error.message += ": this tool was told of its authority, OpenClaw was not"
            error.command = "export NODE_EXTRA_CA_CERTS=" + shlex.quote(os.path.abspath(told))
            return error
    return None


# Each _explain_… returns the error that it knows to be behind another, or None.

_FROM_CONTAINER = (
    "; in a container that is the container itself: try host.docker.internal or 172.17.0.1, with "
    "vLLM started with --host 0.0.0.0")


def _explain_refusal(case, error):
    """Refused: the other loopback address answers, or a server that loads has the port."""
    other = _family_error(case)
    if other:
        return other
    if is_loopback(case.target.host) and any(map(os.path.exists, _CONTAINER_FILES)):
        error.hint += _FROM_CONTAINER
    if not port_is_bound(case.target, case.patience()):
        return None
    return error_for("server-loading", url=error.facts["url"],
                     detail="nothing answers, yet the port is taken")


def _explain_route(case, error):
    """A proxy stands in the way, or NO_PROXY keeps it from where it is needed."""
    import shlex
    target = case.target
    env = case.provider.env
    exempt = re.findall(r"[^\s,]+", env.get("no_proxy") or env.get("NO_PROXY", ""))
    proxy = proxy_for(target, env)
    if proxy:
        way = "stands in the way: directly, the server answers"
        exempt.append(target.host)
    else:
        way = "is needed, and NO_PROXY keeps it from being used"
        exempt = [entry for entry in exempt if not no_proxy_covers(entry, target)]
    value = ",".join(exempt)
    other = case.provider._replace(env=dict(env, NO_PROXY=value, no_proxy=value))
    detour = proxy_for(target, other.env)
    if proxy == detour or not _answers(case, case.url, other):
        return None
    return error_for(
        "proxy-captured",
        "export NO_PROXY={0} no_proxy={0}".format(shlex.quote(value)),
        url=case.url,
        proxy=proxy or detour,
        way=way,
        detail=error.facts.get("detail") or error.message)


def _explain_scheme(case, error):
    """Not the protocol of the scheme, a 400, or silence at a TLS hello: the other may be spoken."""
    scheme = case.target.scheme
    right = {"http": "https", "https": "http"}[scheme] + case.url[len(scheme):]
    try:
        case.ask(right + "/models", {})
    except Error as outcome:
        if outcome.cause not in ("tls-untrusted", "tls-wrong-host"):     # a certificate is TLS
            return None
    return error_for("scheme-mismatch", url=case.url, scheme=scheme, right=right)


def _explain_silence(case, error):
    """Silence at a request, words before it: another protocol's port, such as vLLM's own ZMQ."""
    told = _peek(case.target, case.patience(), lambda sock: sock.recv(64))
    if not told or told.startswith(b"HTTP/"):
        return None
    return error_for(
        "not-openai", url=error.facts["url"],
        detail="the port does not speak HTTP; vLLM's processes have such ports of their own")


def _explain_certificate(case, error):
    """A certificate that is not trusted: whose, and from when to when."""
    if not proxy_for(case.target, case.provider.env):
        error.message += describe_certificate(peer_certificate(case.target, case.patience()))


def _explain_path(case, error):
    """Not found, or a page: the base URL may lack its /v1, or the server have no such API."""
    for right in (case.url + "/v1", origin(case.url) + "/v1"):
        if right != case.url and _answers(case, right):
            return error_for("missing-v1", url=case.url, right=right)
    healthy = error.cause != "not-openai" and case.look("/health").status == 200
    if healthy and case.look("/version").status != 200:
        error = error_for(
            "not-openai",
            "vllm serve MODEL",
            url=error.facts["url"],
            detail="/health answers and nothing of /v1, as of vLLM's demo api_server")
        error.hint = "start the server that has the OpenAI API"
    return error


def _explain_unready(case, error):
    """HTTP 500 or 503, though the API answers: /health may say that the engine is dead."""
    if case.look("/version").status == 200:
        return _engine_death(case, case.look("/health"))
    return None


def _engine_death(case, reply):
    """Return the error that an answer of /health means, or None; a page is not vLLM's."""
    if reply.status in (500, 503) and not reply.body.lstrip().startswith(b"<"):
        return error_for("engine-dead", url=case.root + "/health", status=reply.status)
    return None


# What to explain (causes, HTTP statuses or phases; everything where none is named), and how.
_EXPLANATIONS = (
    (("connection-refused",), _explain_refusal),
    ((), _explain_route),
    (("scheme-mismatch", "answer-broken", "not-openai", "tls-failed", 400, "tls"), _explain_scheme),
    (("wait",), _explain_silence),
    (("tls-untrusted",), _explain_certificate),
    (("not-openai", 404, 405), _explain_path),
    ((500, 503), _explain_unready),
)


def _check_auth(case):
    """See whether the server takes the key, and whether it wants one."""
    provider = case.provider
    url = case.url + "/models"
    if case.error:
        if case.look("/version").status == 200:
            case.error.message += "; /version answers, so the server is up"
        yield case.error
        return
    sent = request_headers(provider)
    key = _sent_credential(provider)
    if sent != discovery_headers(provider):
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
    elif len(key.key) >= 16 or key.key.startswith("sk-"):        # it looks like a real one
        yield ignored
    else:
        yield ignored.message


def _check_version(case):
    reply = case.look("/version")
    case.version = _short(_get_text(_json_of(reply), "version"))
    if case.version:
        yield "vLLM " + case.version
    else:
        yield ("/version says nothing: what answers is not vLLM, or hides it"
               + layer_facts(reply.headers)["answered_by"])


def _check_health(case):
    reply = case.look("/health")
    error = _engine_death(case, reply)
    if error:
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
            "no-models",
            "vllm serve MODEL",
            where=case.url,
            problem="the server offers no models",
            fix="start vLLM with a model")
        return
    case.served = {
        model.id: model.context_window for model in stated_models(case.rows, case.provider)}
    yield _listed("%s: %s tokens" % (model_id, limit or "unknown")
                  for model_id, limit in case.served.items())


def _check_chat(case):
    """See in the server's own description whether it offers chat completions."""
    if case.stopped != "engine-dead":
        case.chats = True
    case.openapi = _json_of(case.look("/openapi.json", SPARE_S))
    offered = offers_chat(case.openapi)
    if offered:
        yield "/openapi.json has /v1/chat/completions"
    elif offered is None:
        yield _skipped("http-error", "/openapi.json is not the description of an API")
    else:
        case.chats = None
        yield error_for("not-a-chat-model", url=case.url, model=_listed(case.served))


def _chosen_references(case):
    """Yield (key path, reference, tag) of the default model and its fallbacks.

    The path is None where openclaw.json does not hold the reference there.
    """
    for tag, reference in case.provider.references:
        kind, _, number = tag.partition("#")
        if kind not in ("default", "fallback"):
            continue
        path = ("agents", "defaults", "model")
        if number:
            path += ("fallbacks", int(number) - 1)
        elif not isinstance(case.written(path), str):
            path += ("primary",)
        if case.provider.layers[1].get("model") or case.written(path) is None:
            path = None
        yield path, reference, tag


def _check_references(case):
    """Compare the ids that the settings and --model name with those served; choose the Models."""
    provider = case.provider
    served = case.served
    faults = []
    named = {model_id: [(None, "declared")] for model_id in case.row_paths}
    for path, reference, tag in _chosen_references(case):
        owner, _, model_id = reference.partition("/")
        if owner == provider_id(provider.id):
            if reference in served:                  # an id that itself begins with vllm/
                model_id = reference
            named.setdefault(model_id, []).append((path, tag))
            continue
        written = trimmed(case.written(path) if path else reference)     # a key is in lower case
        if written in served and find_block(case.settings.config, owner)[1] is None:
            right = model_key(provider.id, written)
            faults.append(error_for(
                "wrong-provider",
                reference=written,
                right=right,
                path=dotted(path or ["the model of the default agent"]),
                edits=[Edit(path, right)]))
    known = [model for model in merge_models(discovered_models(case.rows, provider), provider)
             if model.id in served]
    case.chosen = [model for model in known if model.id in named] or known[:1]
    if case.reference is not None:
        asked = match_model(known, case.reference, provider.id)
        case.chosen = [asked] if asked else []
        if not asked:
            faults.append(model_not_served(case.url, case.reference, served, " (--model)"))
    faults += [
        _not_served(case, model_id, places)
        for model_id, places in named.items() if model_id not in served]
    yield from faults or ["named and served: " + (_listed(named) or "none")]


def _not_served(case, model_id, places):
    """Return the error for a model that is named and not served, with the id that was meant."""
    served = case.served
    declared = case.row_paths
    right = nearest(model_id, served) or nearest(model_id.rpartition("/")[2], served)
    for row in case.rows:
        root = "/" + _get_text(row, "root").rstrip("/")
        if root.endswith("/" + model_id):
            right = row["id"]
    fix = "the server has: " + _listed(served)
    edits = []
    command = None
    if right:
        fix = "write %s in place of %s" % (right, model_id)
        edits = [Edit(path, model_key(case.provider.id, right)) for path, _ in places if path]
    if model_id in declared and right and right not in declared:
        edits.append(Edit(declared[model_id] + ("id",), right))
    elif model_id in declared and not edits:
        command = case.config_command + " --prune"
    return error_for(
        "model-not-served",
        command,
        url=case.url,
        model=model_id,
        words=" (%s)" % ", ".join(words for _, words in places),
        fix=fix,
        edits=edits)


def _check_limits(case):
    """Compare what the settings state of a model with the server's own limits."""
    found = []
    for row, model in zip(case.provider.models, declared_models(case.provider)):
        if model.id in case.row_paths and case.served.get(model.id):
            found += _limit_errors(case, row, model)
    for model in case.chosen:
        limit = case.served[model.id] or AGENT_PROMPT
        if limit < AGENT_PROMPT:
            found.append(error_for("context-below-agent", model=model.key, served=limit))
    return found or ["what the settings state fits the server"]


def _limit_errors(case, row, model):
    """Yield the errors for what a declared row states beyond the server's limits, or far below."""
    path = case.row_paths[model.id]
    limit = case.served[model.id]
    window = model.context_window or limit
    tokens = model.context_tokens or limit
    answer = row.get("maxTokens", case.provider.max_tokens) or 0
    for cause, field, declared, wrong, right in (
            ("context-too-large", "contextWindow", window, window > limit, limit),
            ("context-too-large", "contextTokens", tokens, tokens > limit, limit),
            ("context-too-small", "contextWindow", window, window < limit / 2, limit),
            ("max-tokens-too-large", "maxTokens", answer, answer > limit - LEAST_PROMPT,
             written_max_tokens(limit))):
        if wrong:
            yield error_for(
                cause,
                model=model.key,
                field=field,
                declared=declared,
                served=limit,
                lost=limit - declared,
                right=right,
                edits=[Edit(path + (field,), right)])
    if model.compat.get("supportsUsageInStreaming") is False:    # who states a limit sends usage
        path += ("compat", "supportsUsageInStreaming")
        yield error_for("usage-off", path=dotted(path), edits=[Edit(path, REMOVED)])


_USER = {"role": "user", "content": "Hi"}
_CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "a1b2c3d4e", "type": "function",
     "function": {"name": "get_time", "arguments": "{}"}}]}
_RESULT = {"role": "tool", "tool_call_id": "a1b2c3d4e", "content": "It is noon."}

# What OpenClaw sends as a conversation goes on: (cause of a refusal, the role or the history in
# words, messages, the switch of `compat` that avoids them).
_DEVELOPER = (
    "template-role", "developer", [{"role": "developer", "content": "Be brief."}, _USER],
    {"supportsDeveloperRole": False})
_HISTORIES = (
    ("template-role", "system", [{"role": "system", "content": "Be brief."}, _USER], {}),
    ("template-history", "content as a list of parts",
     [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
     {"requiresStringContent": True}),
    ("template-history", "two user messages in a row", [_USER, _USER], {}),
    ("template-history", "a tool call with its result", [_USER, _CALL, _RESULT], {}),
    ("template-history", "a user message after a tool result", [_USER, _CALL, _RESULT, _USER],
     {"requiresAssistantAfterToolResult": True}),
    ("template-history", "an earlier answer without its reasoning",
     [_USER, {"role": "assistant", "content": "Hello."}, _USER],
     {"requiresReasoningContentOnAssistantMessages": True}),
)
_TOGETHER = (
    "template-history", "a conversation that holds all of these",
    [message for _, _, messages, _ in _HISTORIES for message in messages], {})


def _check_template(case):
    """Let /tokenize, which generates nothing, try the chat template on roles and histories."""
    for model in case.chosen:
        error = _tokenizer_error(case, model, [_USER])
        if error:
            if error.cause not in ("no-chat-template", "engine-dead"):
                raise error
            case.chats = None
            yield error
            return
        faults = list(_template_findings(case, model))
        yield from faults or [model.key + ": the chat template takes all that OpenClaw sends"]


def _template_findings(case, model):
    """Yield what the chat template refuses: the developer role, other roles and histories.

    The histories are tried together, and one by one only when that is refused.
    """
    asked = model.compat.get("supportsDeveloperRole")
    eager = model._replace(reasoning=True, compat={"supportsDeveloperRole": True})
    error = asked is not False and _refusal(case, eager, _DEVELOPER)
    if error:
        status = "warn"                              # it is sent as system
        if asked and model.reasoning:
            status = None
        yield _finding(case, error, status)
        model = model._replace(compat=dict(model.compat, supportsDeveloperRole=False))
    whole = _refusal(case, model, _TOGETHER)
    refused = []
    for history in _HISTORIES if whole else ():
        messages = history[2]
        error = messages[:-1] not in refused and _refusal(case, model, history)
        if error:                                    # itself, and not what it begins with
            refused.append(messages)
            yield error
    if whole and not refused:
        yield whole


def _refusal(case, model, history):
    """Return the error for a history that the template refuses, with what avoids it, or None."""
    cause, words, messages, switch = history
    refused = _tokenizer_error(case, model, messages)
    if not refused:
        return None
    if refused.facts.get("status") not in (400, 422, 500):
        raise refused
    error = error_for(
        cause,
        model=model.key,
        role=words,
        history=words,
        words=refused.facts["words"],
        fix="start vLLM with a template that takes it: --chat-template FILE")
    for name, value in switch.items():
        switched = model._replace(compat=dict(model.compat, **switch))
        if not _tokenizer_error(case, switched, messages):
            error.hint = "set compat: { %s: %s }" % (name, json.dumps(value))
            _add_switch(case, model, error, name, value)
    return error


def _tokenizer_error(case, model, messages):
    """Return the error that /tokenize has for messages as they would be sent, or None."""
    url = case.root + "/tokenize"
    body = shape_request({"messages": messages}, model).body
    body = {"model": model.id, "messages": body["messages"]}
    reply = case.ask(url, request_headers(case.provider, model), body)
    if isinstance(_get(_json_of(reply), "count"), int):
        return None
    return completion_error(url, reply, case.provider, model)


def _add_switch(case, model, error, name, value):
    """Add to an error the Edit of a model's `compat` that avoids it."""
    path = case.row_paths.get(model.id)
    if path is None:
        error.hint = "declare the model, then " + error.hint
        error.command = case.config_command
    else:
        error.facts["edits"] = [Edit(path + ("compat", name), value)]


def _check_exposed(case):
    """Say what a key does not guard; found without trying it."""
    if not case.enforced:
        yield "no key is enforced: whoever reaches the port may use the server"
    elif not case.version or is_loopback(case.target.host):
        yield "nothing but /v1 is seen that a stranger could reach"
    else:
        paths = "/version"
        if offers_chat(case.openapi) is None or "/invocations" in case.openapi["paths"]:
            paths += " and /invocations, which runs the model,"
        if case.look("/metrics").status == 200:
            paths += " and /metrics"
        yield error_for("exposed", url=origin(case.url), paths=paths)


# With --probe: completions, sent as `chat` sends them.

_PROBE_TOOL = {"type": "function", "function": {
    "name": "get_current_time", "description": "The current time in a city.",
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
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
    for findings in in_parallel(_probe, [(case, model) for model in case.chosen]):
        yield from findings


def _probe(case, model):
    """Return what one tiny completion, and one with a tool, show of a model."""
    found = []
    try:
        model = thinking_model(case.provider, model, case.thinking, case.patience())
        found += _probe_stream(case, model)
        if model.compat.get("supportsTools") is not False:
            found.append(_probe_tools(case, model))
    except Error as error:
        status = None
        if error.cause in ("not-openai", "answer-broken", "answer-too-large"):
            error.cause = "stream-broken"
            error.hint = CAUSES["stream-broken"].fix
        elif error.cause == "tools-disabled":
            status = "warn"
        for name, value in error.facts.get("switch", {}).items():
            _add_switch(case, model, error, name, value)
        found.append(_finding(case, error, status))
    return found


def _complete(case, model, question, **fields):
    """Return (body, Observed, Answer) of one small streamed completion, shaped as OpenClaw does.

    Raises Error, for a stream that breaks a rule of the protocol too.
    """
    fields.update(messages=[{"role": "user", "content": question}], max_tokens=PROBE_TOKENS)
    body = shape_request(fields, model, case.thinking).body
    observed = Observed()
    limit_s = case.patience(PROBE_TIMEOUT_S)
    answer = collect_answer(send_chat(case.provider, model, body, limit_s, limit_s, observed))
    for broken, detail in (
            (not observed.events, "a stream was asked for, and JSON without `data:` came"),
            (answer.finish_reason is None, "no chunk gives a finish reason"),
            (not observed.done, "it ended without [DONE]")):
        if broken:
            raise error_for(
                "stream-broken", url=model.base_url + "/chat/completions", detail=detail)
    return body, observed, answer


def _probe_stream(case, model):
    """Yield what a stream shows: usage, buffering, an answer or none, and how fast it was."""
    body, observed, answer = _complete(case, model, "Count from one to twenty.")
    if answer.usage is None and "stream_options" in body:
        error = error_for("usage-missing", model=model.key)
        _add_switch(case, model, error, "supportsUsageInStreaming", False)
        yield error
    first_s = answer.timings["first_token_s"] or 0
    last_s = answer.timings["last_token_s"] or 0
    bunched = observed.pieces <= 3 or first_s >= BUFFERED_AFTER_S and last_s - first_s < 0.01
    if last_s >= BUFFERED_AFTER_S and observed.events >= 8 and bunched:
        yield error_for(
            "stream-buffered",
            model=model.key,
            seconds=last_s,
            events=observed.events,
            pieces=observed.pieces)
    marker = re.search(_REASONING_TEXT, answer.content)
    if marker:
        yield error_for("reasoning-in-content", model=model.key, detail=marker.group(),
                        **parser_facts(case.url, model, REASONING_PARSER))
    elif not answer.content:
        error = empty_answer(model, answer)
        status = None
        if answer.finish_reason == "length":
            status = "warn"
            error.hint = "none is needed if it reasons: a probe allows %d tokens" % PROBE_TOKENS
        yield _finding(case, error, status)
    yield "%s: %s" % (model.key, statistics(answer))


def _probe_tools(case, model):
    """Return what the answer to a request with a tool shows."""
    _, _, answer = _complete(
        case, model, "What time is it in Paris? Call the tool.", tools=[_PROBE_TOOL])
    marker = re.search(_TOOL_TEXT, answer.content)
    if marker and not answer.tool_calls:
        error = error_for("tool-parser-mismatch", model=model.key, detail=marker.group(),
                          **parser_facts(case.url, model, TOOL_PARSER))
        error.hint += "; if it stays so, set params.extra_body.tool_choice to \"required\""
        return error
    fault = next(filter(None, map(_argument_fault, answer.tool_calls)), None)
    if fault and answer.finish_reason != "length":
        return error_for("tool-arguments", model=model.key, detail=fault)
    if answer.tool_calls:
        return model.key + ": tools are taken; it called one"
    return model.key + ": tools are taken; it answered without a call"


def _argument_fault(call):
    """Return what is wrong with the arguments of a call of _PROBE_TOOL, or None."""
    try:
        arguments = loads_untrusted(call["function"]["arguments"] or "{}")
    except ValueError:
        return "arguments that are cut off or not JSON"
    return None if _get(arguments, "city") else "no value for its required argument"


# What fails in one of these decides the exit status.
_GATES = "settings provider key base-url connect auth".split()
# The checks in the order they run: a name, what the case must hold for it to look, and the
# function that yields a text for what is well, an Error for what is not, or a Finding.
_CHECKS = (
    ("settings", "settings", _check_settings),
    ("provider", "provider", _check_provider),
    ("key", "provider", _check_key),
    ("base-url", "provider", _check_base_url),
    ("connect", "usable", _check_connect),
    ("auth", "answered", _check_auth),
    ("version", "answered", _check_version),
    ("health", "answered", _check_health),
    ("models", "rows", _check_models),
    ("chat", "rows", _check_chat),
    ("references", "rows", _check_references),
    ("limits", "rows", _check_limits),
    ("template", "chats", _check_template),
    ("exposed", "rows", _check_exposed),
)
_PROBES = (("probe", "chats", _probe_models),)


# ----------------------------------------------------------------------------
# Config editing: the wanted value, and the text that has it
# ----------------------------------------------------------------------------
# Pure. Merging and edits make the wanted value; `edited_text` writes what differs into the text,
# keeps every other byte, and proves that the new text reads as that value.

Noted = collections.namedtuple("Noted", "value note")
Noted.__doc__ = "A value to write, and a comment to write above it, \"\" for none."

SIZES = ("contextWindow", "maxTokens")


def _plain(value):
    """Return a copy of a value without the notes in it."""
    if isinstance(value, Noted):
        value = value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def prune_rows(config, provider, served, variables):
    """Return a copy of a config without a provider's rows whose ids are not in `served`."""
    wanted = _plain(config)
    name, _ = find_block(wanted, provider)
    rows = _get(wanted, "models", "providers", name, "models")
    if isinstance(rows, list):                       # else it is an $include
        rows[:] = [row for row in rows
                   if "$include" in row or _row_id(row, variables) in served]
    return wanted


def merge_provider(
        config, provider, models, evidence, variables,
        primary=None, renewed=(), wildcard=False):
    """Return (a config with the Models of a Provider merged in, ids of its rows not served).

    `config` is the file's own value, before $include and substitution; `variables` substitute in
    ids such as "${MODEL}". `evidence` is {model id: (compat object or None, reason)}: what shows
    that a model thinks; the reason becomes a comment. Values that are there stay, missing ones are
    added. `primary` is the key of the default model; `renewed` names fields (SIZES, baseUrl) whose
    values are replaced; `wildcard` asks for discovery and adds no rows. Merging the same models
    again changes nothing.
    """
    wanted = _plain(config)
    name, _ = find_block(wanted, provider.id)
    providers = wanted.setdefault("models", {}).setdefault("providers", {})
    block = {
        "baseUrl": provider.base_url,
        "apiKey": "${VLLM_API_KEY}",
        "api": "openai-completions",
        "timeoutSeconds": 300,
        "models": [],
    }
    known = providers.setdefault(name, block)
    for field in ("baseUrl", "apiKey", "api"):
        if field != "apiKey" or not _authorizes(known):
            known.setdefault(field, block[field])
    now = _substitute(known["baseUrl"], variables)
    if "baseUrl" in renewed and now.rstrip("/") != provider.base_url:
        known["baseUrl"] = provider.base_url
    unserved = []
    if not wildcard:
        unserved = _merge_rows(known, models, evidence, variables, renewed)
    if wildcard or primary:
        defaults = wanted.setdefault("agents", {}).setdefault("defaults", {})
        if wildcard:
            defaults.setdefault("models", {}).setdefault(provider.id + "/*", {})
        if primary and isinstance(defaults.get("model"), str):
            defaults["model"] = unsubstituted(primary)
        elif primary:
            defaults.setdefault("model", {})["primary"] = unsubstituted(primary)
    return wanted, unserved


def _authorizes(block):
    """Return a true value if a provider's block carries its key in another way than apiKey."""
    headers = map(str.lower, block.get("headers", {}))
    return _get(block, "request", "auth") or "authorization" in headers


def _merge_rows(known, models, evidence, variables, renewed):
    """Merge Models into a provider's block; return the ids of its rows that are not served."""
    if not isinstance(known.setdefault("models", []), list):
        known["models"] = []                         # it is an $include, which will be refused
    # Rows without an id come from an included file.
    rows = {_row_id(row, variables): row for row in known["models"] if "id" in row}
    for model in sorted(models, key=lambda model: model.parent is not None):
        served = _served_row(model, *evidence[model.id])
        if model.parent in rows:                     # an adapter thinks as its base does
            base = _plain(rows[model.parent])
            note = "by its base, " + model.parent
            served["reasoning"] = Noted(base.get("reasoning", False), note)
            served["compat"] = base.get("compat")
        if model.id not in rows:
            rows[model.id] = {}
            known["models"].append(rows[model.id])
        _complete_row(rows[model.id], served, known, renewed)
    served = {model.id for model in models}
    return [model_id for model_id in rows if model_id not in served]


def _row_id(row, variables):
    return trimmed(_substitute(row["id"], variables))


def _served_row(model, compat, reason):
    """Return the row of a Model in the form of OpenClaw's documentation, without maxTokens."""
    row = {
        "id": unsubstituted(model.id),
        "name": unsubstituted(model.name),
        "reasoning": Noted(bool(model.reasoning or reason), reason),
        "input": list(model.input),
        "cost": {
            "input": 0,
            "output": 0,
            "cacheRead": 0,
            "cacheWrite": 0,
        },
        "compat": compat,
    }
    if model.context_window is not None:
        row["contextWindow"] = model.context_window
    return row


def _complete_row(row, served, known, renewed):
    """Add what a row of the file lacks; `known` is the provider's block that holds the row."""
    if not row:                                      # a new one states the server's own window
        known = _picked(known, ["maxTokens"])
    compat = served.pop("compat") or {}
    if "contextWindow" in served:
        window = served["contextWindow"]
        if "contextWindow" not in renewed:
            pinned = row.get("contextWindow", known.get("contextWindow"))
            pinned = filter(_is_number, (pinned, row.get("contextTokens")))
            window = min(pinned, default=window)
        served["maxTokens"] = written_max_tokens(window)
    for field, value in served.items():
        if field in renewed and field in row:
            row[field] = value
        elif field not in SIZES or field not in known:
            row.setdefault(field, value)
    if row["reasoning"] is not False:                # with compat the row would ask for thinking
        for switch, value in compat.items():
            row.setdefault("compat", {}).setdefault(switch, value)


def written_max_tokens(context_window):
    """Return the maxTokens to write for a context window: at most half, to leave the prompt room.
    """
    half = int(context_window) // 2
    return max(1, min(DEFAULT_MAX_TOKENS, half))


def refuse_included(value, wanted, path, sources, place=()):
    """Raise ConfigError where `wanted` differs from a file's value in a place that it includes.

    Such a place is in an object that is only an $include, at a key that the included file has, or
    in an array with an included row, which may be any model. `path` names the file, `sources` is
    {file: text}, `place` the key path of `value`.
    """
    old = _children(value)
    new = _children(wanted)
    holders = value if isinstance(value, list) else [value]
    targets = [target for holder in holders for target in include_targets(holder, path)]
    for key in {**old, **new}:
        before = old.get(key)
        after = new.get(key)
        if before == after:
            continue
        key_path = place + (key,)
        for target in targets:
            if holders is value or len(old) == 1 or included_has(target, key, sources):
                raise error_for(
                    "config-included",
                    where=path,
                    included=target,
                    place=dotted(key_path))
        refuse_included(before, after, path, sources, key_path)


def apply_edits(config, edits):
    """Return a copy of a config with Edits made, in their order.

    Missing objects, and arrays where an index follows, are created; an index one past the end
    appends; removing what is absent changes nothing. Raises ConfigError where a path leads
    through a scalar or past the end of an array.
    """
    wanted = _plain(config)
    for path, value in edits:
        place = wanted
        for depth, key in enumerate(path):
            key = _key_in(place, key, path[:depth])
            following = path[depth + 1:]
            if key not in _children(place):
                if value is REMOVED:
                    break
                if isinstance(place, list):
                    place.append(None)
                place[key] = {}
                if following and isinstance(following[0], int):
                    place[key] = []
            if following:
                place = place[key]
            elif value is REMOVED:
                del place[key]
            else:
                place[key] = _plain(value)
    return wanted


def _key_in(place, key, above):
    """Return a key of a path, as an index in an array; `above` is the path of its container."""
    if isinstance(place, dict) and isinstance(key, str):
        return key
    if isinstance(place, list) and re.match(r"[0-9]{1,9}\Z", str(key)):
        key = int(key)                               # of models.0.id too, as messages write it
        if key <= len(place):
            return key
    raise error_for(
        "config-not-written",
        where=dotted(above) or "the top level",
        problem="there is no %s in %s" % (key, _json_type(place)),
        fix="look at what is there: %s config --check" % TOOL)


Look = collections.namedtuple("Look", "newline unit quote bare trailing")
Look.__doc__ = """The layout of a file.

`newline` is its line end, `unit` one step of indentation, `quote` the quote of its texts, and of
keys unless they are `bare`; `trailing` is "," or "" after the last member of a container.
"""
_PAGE_LOOK = Look("\n", "  ", '"', True, ",")         # OpenClaw's documentation
_LINE_WIDTH = 100                    # columns that a container on one line may take

Member = collections.namedtuple("Member", "lead own value tail between comma end")
Member.__doc__ = """A member of a container: `value` is a Node, the others are its texts, in order.

`own` is the key with the comments directly above it and before it on its line; `tail` and `end`
are the comments behind the value and behind the comma. The rest, `lead` and `between`, stays where
it is when a member is removed.
"""
_LINE_END = r"(?:\r\n|[\r\n\u2028\u2029])"
_TRIVIA = {
    "end": _LINE_END,
    "blanks": r"[^\S\r\n\u2028\u2029]*",
    "comment": r"(?://[^\r\n\u2028\u2029]*(?=[\r\n\u2028\u2029])|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)",
    # Comments that follow on the same line.
    "behind": r"(?:[ \t]*/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)*(?:[ \t]*//[^\r\n\u2028\u2029]*)?",
}
# At the end of a text: whole lines of comments, none blank, then comments on a line begun.
_BEFORE = (
    r"(?:(?<=[\r\n\u2028\u2029])%(blanks)s(?:%(comment)s%(blanks)s)+%(end)s)*"
    r"%(blanks)s(?:%(comment)s%(blanks)s)*\Z"
) % _TRIVIA
# After a value: its own comments, others, its comma, and comments up to the end of the line.
_AFTER = (
    "(%(behind)s)(?:((?:[^],/}]|%(comment)s)*?)(,)"
    "(%(behind)s(?=%(blanks)s(?:%(end)s|[]}])))?)?"
) % _TRIVIA
_GAP = "\0"                          # marks what was removed; cannot occur in JSON5
# Gaps, with the line that they are alone on or the blanks on one side.
_GAPS = "(?:\r\n|[\r\n])?[ \t]*\0[ \t\0]*(?=[\r\n])|[ \t]*\0(?=[ \t\0]*[]}])|\0[ \t]*"


def edited_text(text, wanted, where):
    """Return a JSON5 text changed so that it reads as `wanted`; all else is kept byte for byte.

    Values in `wanted` may be Noted. `where` names the file. Raises ConfigError when the new text
    would not read as `wanted`, in the same order, Json5Error when `text` is not JSON5.
    """
    root = json5_tree(text)
    look = _look(text, root)
    new = _rewritten(text, look, root, wanted)
    new = re.sub(_GAPS, "", new)
    new_text = text[:root.start] + new + text[root.end:]
    prove_edit(new_text, _plain(wanted), where)
    return new_text


def prove_edit(new_text, wanted, where):
    """Raise ConfigError unless a text reads as the wanted value, in the same order."""
    try:
        if repr(json5_tree(new_text).value) == repr(wanted):
            return
    except Json5Error:
        pass
    raise error_for(
        "config-not-written",
        where=where,
        problem="the new text would not read as the wanted value",
        fix=_BY_HAND)


def _look(text, root):
    """Return the Look of a JSON5 text."""
    newline = re.search("\r?\n", text + "\n").group()
    if not root.items:
        return _PAGE_LOOK._replace(newline=newline)
    children = json5_children(root)
    first, _ = children[0]
    _, last = children[-1]
    return Look(
        newline=newline,
        unit=_line_indent(text, first) or "  ",
        quote=re.search(r"""[{[:,]\s*(["'])""", text + ':"').group(1),
        bare=text[first] not in "\"'",
        trailing=re.compile(_AFTER).match(text, last.end).group(3) or "",
    )


def _line_indent(text, pos):
    """Return the indentation of the line at a position."""
    start = text.rfind("\n", 0, pos) + 1
    indent = re.compile("\ufeff?([ \t]*)")
    return indent.match(text, start).group(1)


def _members(text, node):
    """Return (the Members of a container, the text between the last one and its end)."""
    members = []
    end = node.start + 1
    for start, value in json5_children(node):
        between = text[end:start]
        own = re.search(_BEFORE, between).group().lstrip()
        lead = between[:len(between) - len(own)]
        behind = re.compile(_AFTER).match(text, value.end)
        end = behind.end()
        own += text[start:value.start]
        members.append(Member(lead, own, value, *behind.groups("")))
    return members, text[end:node.end]


def _planned(node, wanted):
    """Return ([the new value of each member, or REMOVED], a container of what is to be added)."""
    plan = []
    if isinstance(wanted, dict):
        added = dict(wanted)
        for key, _, _, child in reversed(node.items):    # of equal keys the last counts
            unchanged = child.value if key in wanted else REMOVED
            plan.append(added.pop(key, unchanged))
        return plan[::-1], added

    def name(item):
        return _get(item, "id") or item

    added = list(wanted)
    names = list(map(name, node.value))
    while names:
        own = names.pop(0)
        plan.append(REMOVED)
        if added and (name(added[0]) == own or name(added[0]) not in names):
            plan[-1] = added.pop(0)                  # the same item, or one that replaces it
    return plan, added


def _rewritten(text, look, node, wanted):
    """Return the text of a Node changed to read as `wanted`, a _GAP where something was removed."""
    old = text[node.start:node.end]
    if repr(node.value) == repr(wanted):             # as texts: 1 is not True, and NaN is NaN
        return old
    outer = look.newline + _line_indent(text, node.start)
    inner = outer + look.unit
    members, close = _members(text, node)
    comments = close[:-1].rstrip()
    is_other = node.items is None or type(node.value) is not type(wanted)
    if is_other or not members and not comments:
        return render_json5(wanted, look, outer)
    plan, added = _planned(node, wanted)
    if not members:
        addition = ",".join(_member_texts(added, look, inner)) + look.trailing
        return old[0] + comments + addition + outer + old[-1]

    ending = members[-1].comma
    glue = " "
    if re.search(_LINE_END, old):
        glue = look.newline + _line_indent(text, members[-1].value.start)
    addition = ",".join(_member_texts(added, look, glue))
    if glue == " " and len(added) > plan.count(REMOVED):
        line_start = text.rfind("\n", 0, node.start)
        length = node.end - line_start + len(addition)
        if length > _LINE_WIDTH or look.newline in addition:         # from now on a line each
            members = [member._replace(lead=inner) for member in members]
            close = outer + close.lstrip()
            ending = look.trailing
            addition = ",".join(_member_texts(added, look, inner))

    comma = ending
    if added:
        comma = ","
        addition += ending
    pieces = [close]                                 # from the last to the first
    for member, value in zip(reversed(members), reversed(plan)):
        if value is REMOVED:
            pieces.append(member.lead + _GAP + member.between + _GAP)
            continue
        new = _rewritten(text, look, member.value, value)
        new = member.lead + member.own + new
        if member.comma:
            new += member.tail + member.between + (comma or _GAP) + member.end
        else:
            new += comma + member.tail
        pieces.append(new + addition)
        comma = ","
        addition = ""
    return old[0] + addition + "".join(reversed(pieces))


def render_json5(value, look=_PAGE_LOOK, outer="\n"):
    """Return a value as JSON5, on one line where it fits.

    `outer` is a line end and the indentation of the line that the value begins on.
    """
    if isinstance(value, str):
        return _quoted(value, look.quote)
    if not value or not isinstance(value, (dict, list)):
        return json.dumps(value)
    form = "[%s]"
    if isinstance(value, dict):
        form = "{ %s }"
    texts = _member_texts(value, look, outer + look.unit)
    line = form % ", ".join(map(str.strip, texts))
    if len(outer + line) <= _LINE_WIDTH and look.newline not in line:
        return line
    lines = ",".join(texts) + look.trailing
    return form[0] + lines + outer + form[-1]


def _member_texts(container, look, glue):
    """Return the texts of a container's members, each after `glue`, a blank or a new line."""
    texts = []
    for key, item in _children(container).items():
        note = ""
        if isinstance(item, Noted):
            item, note = item
        text = render_json5(item, look, glue)
        if isinstance(key, str):
            if not look.bare or not re.match(r"[A-Za-z_$][A-Za-z0-9_$]*\Z", key):
                key = _quoted(key, look.quote)
            text = key + ": " + text
        if note and look.bare and look.newline in glue:          # plain JSON has no comments
            note = re.sub("[^ -~]", " ", note)
            text = "// " + note + glue + text
        texts.append(glue + text)
    return texts


def _quoted(text, quote):
    """Return a text as a JSON5 string, in ASCII if it holds characters that do not print."""
    text = json.dumps(text, ensure_ascii=not text.isprintable())[1:-1]
    if quote == "'":
        text = text.replace('\\"', '"').replace("'", "\\'")
    return quote + text + quote


# ----------------------------------------------------------------------------
# Writing openclaw.json
# ----------------------------------------------------------------------------
# The only section that writes files; at every moment the whole old file or the whole new one is
# in place.

# The next step after a failed write, by its errno.
_WRITE_ADVICE = {
    errno.EACCES: "allow it (ls -ld {0} shows who may write)",
    errno.ENOSPC: "free some space under {0}",
    errno.EBUSY: "the file seems to be mounted by itself, as containers do: mount {0} instead",
}
_BY_HAND = "add the block by hand; this prints it: %s config" % TOOL


def write_config(path, old_text, new_text):
    """Replace `old_text` (None: no file yet), which a config file must still hold, by `new_text`.

    The old file is kept beside it as .bak. Mode, group and, where permitted, owner are kept. A
    symbolic link keeps pointing at its file; other hard links keep the old text. A new file has
    mode 0600, a new directory 0700. Raises ConfigError and leaves the file as it was.
    """
    real = os.path.realpath(path)
    directory, name = os.path.split(real)
    prefix = ".%s.vllm-" % name
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        status = _check_unchanged(real, old_text)
        _remove_stale(directory, prefix)
        for target, text in ((real + ".bak", old_text), (real, new_text)):
            if text is None:                         # there is no old file
                continue
            temporary = os.path.join(directory, prefix + os.urandom(8).hex() + ".tmp")
            try:
                _write_file(temporary, text, status)
                _check_unchanged(temporary, text)    # it reads back
                _check_unchanged(real, old_text)
                os.replace(temporary, target)
            finally:                                 # Ctrl-C leaves nothing behind either
                if os.path.exists(temporary):
                    os.unlink(temporary)
    except OSError as error:
        advice = _WRITE_ADVICE.get(error.errno, "look into that under {0}").format(directory)
        raise error_for("config-not-written", where=path, problem=error.strerror or str(error),
                        fix="%s, then run it again; or %s" % (advice, _BY_HAND))


def _check_unchanged(path, text):
    """Return the os.stat_result of a file, None if there is no file.

    Raises OSError unless the file holds `text` (None: there is none) and may be written.
    """
    found = status = None
    try:
        with open(path, "r+b") as file:              # +: a write-protected file is refused
            found = file.read().decode("utf-8", "replace")
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        pass
    if found != text:
        raise OSError("something else changed it in the meantime")
    return status


def _remove_stale(directory, prefix):
    """Remove the temporary files of killed runs; another run that still needs its own fails."""
    for name in os.listdir(directory):
        if name.startswith(prefix):
            try:
                os.unlink(os.path.join(directory, name))
            except OSError:
                pass                                 # it does no harm


def _write_file(path, text, status):
    """Write a new file, with the mode and owner of `status` unless that is None."""
    def open_private(name, flags):
        return os.open(name, flags, 0o600)

    with open(path, "xb", opener=open_private) as file:
        file.write(text.encode("utf-8"))
        file.flush()
        if status is not None:
            _keep_owner_and_mode(path, status)
        os.fsync(file.fileno())


def _keep_owner_and_mode(path, status):
    try:
        os.chown(path, -1, status.st_gid)
        os.chown(path, status.st_uid, -1)            # only root may do that
    except (AttributeError, OSError):                # Windows has no owners
        pass
    if os.stat(path).st_mode != status.st_mode:      # some file systems refuse every chmod
        os.chmod(path, status.st_mode & 0o7777)      # after chown, which clears bits


# ----------------------------------------------------------------------------
# Demo: the stand-in server
# ----------------------------------------------------------------------------
# Answers what the other verbs ask, as vLLM 0.32 does, and generates nothing but an echo. Whatever a
# client sends, the server stays up and prints no traceback.

_DEMO_ROWS = [
    {"id": "demo/Qwen3-8B", "max_model_len": 40960},
    {"id": "demo-alias", "root": "demo/Qwen3-8B", "max_model_len": 40960},
    {"id": "demo-sql-lora", "parent": "demo/Qwen3-8B"},
]
_DEMO_PAGES = {
    "/v1/models": {"data": _DEMO_ROWS},
    "/version": {"version": "0.0.0+demo"},
    "/health": {},
    "/openapi.json": {"paths": {"/v1/models": {}, "/v1/chat/completions": {}}},
}


def demo_reply(path, authorization, body, key):
    """Return what vLLM would answer: (status, JSON value), a list for the events of a stream. Pure.

    `body` is a JSON value, None where the request has none; `key` the key to enforce, or None.
    """
    if key and path.startswith("/v1") and authorization != "Bearer " + key:
        return 401, {"error": "Unauthorized"}
    if path in _DEMO_PAGES:
        return 200, _DEMO_PAGES[path]
    if path not in ("/tokenize", "/v1/chat/completions"):
        return 404, {"detail": "Not Found"}
    messages = _get(body, "messages")
    model_id = _get(body, "model")
    if not messages:
        return 400, {"error": {
            "message": "[{'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required'}]"}}
    if model_id not in [row["id"] for row in _DEMO_ROWS]:
        return 404, {"error": {"message": "The model `%s` does not exist." % model_id}}
    used = len(json.dumps(messages)) // 4
    if path == "/tokenize":
        return 200, {"count": used}
    return 200, _demo_completion(body, used)


def _demo_completion(body, used):
    """Return an answer that repeats the last message: one value, or a list of chunks."""
    said = _get_text(body, "messages", -1, "content") or "nothing"
    words = ["You said: "] + re.findall(r"\S+\s*", said)
    size = len(words)
    answer = {
        "id": "chatcmpl-demo",
        "model": body["model"],
        "usage": {
            "prompt_tokens": used,
            "completion_tokens": size,
            "total_tokens": used + size,
        },
    }
    end = {"index": 0, "finish_reason": "stop"}
    if not body.get("stream"):
        message = {"role": "assistant", "content": "".join(words)}
        return dict(answer, choices=[dict(end, message=message)])
    choices = [{"index": 0, "delta": {"content": word}} for word in words]
    choices.append(dict(end, delta={}))
    return [dict(answer, choices=[choice]) for choice in choices]


def demo_server(port=0, key=None):
    """Return a stand-in vLLM bound to loopback, not yet serving: a threaded http.server.

    `port` 0 takes a free one (`server_address[1]`). Raises OSError when the port is taken.
    """
    import contextlib
    import http.server
    import socketserver

    class Handler(http.server.BaseHTTPRequestHandler):

        def log_message(self, *_):
            pass

        def handle(self):
            with contextlib.suppress(OSError):       # a client may leave at any time
                super().handle()

        def do_GET(self, body=None):
            status, value = demo_reply(self.path, self.headers.get("Authorization"), body, key)
            kind = "application/json"
            text = json.dumps(value)
            if isinstance(value, list):
                kind = "text/event-stream"
                text = "".join("data: %s\n\n" % json.dumps(event) for event in value)
                text += "data: [DONE]\n\n"
            self.send_response_only(status)          # without the name of another server
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self):
            body = None
            size = self.headers.get("Content-Length", "")
            if re.match(r"[0-9]{1,8}\Z", size):
                with contextlib.suppress(ValueError):
                    body = loads_untrusted(self.rfile.read(int(size)).decode("utf-8"))
            self.do_GET(body)

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    return Server(("127.0.0.1", port), Handler)


# ----------------------------------------------------------------------------
# Console: the streams, and what a terminal may be shown
# ----------------------------------------------------------------------------
# Everything that is written goes through here and is redacted.

class OutputFailed(Exception):
    """Standard output cannot be written; the argument is why: BrokenPipeError if its reader left.

    It is no OSError, so that it is never taken for a failure of the server.
    """


class Console:
    """The streams of one run; what it writes is redacted and made visible."""

    def __init__(self, stdin, stdout, stderr, env):
        self.stdin = stdin or io.StringIO()          # None: it is closed
        self.stdout = stdout
        self.stderr = stderr or io.StringIO()
        self.env = env
        self.secrets = []
        self.verbose = False
        self._said = set()

    def hide(self, texts):
        """Add texts that must never be shown, in any spelling."""
        texts = set(self.secrets).union(*map(spellings, texts))
        self.secrets = sorted(texts, key=len, reverse=True)

    def shown(self, text, unsafe=UNSAFE):
        """Return a text redacted, then made visible."""
        return visible(redact(text, self.secrets), unsafe)

    def out(self, text, unsafe=UNSAFE):
        """Write a text to standard output, as one line with UNSAFE_LINE."""
        self.write(self.stdout, self.shown(text, unsafe) + "\n")

    def err(self, text, unsafe=UNSAFE):
        """Write a text to standard error at once, as one line with UNSAFE_LINE; never fails."""
        self.write(self.stderr, self.shown(text, unsafe) + "\n")
        self._attempt(self.stderr, self.stderr.flush)

    def err_once(self, text):
        """Write a text to standard error, but only once in a run."""
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
        """Write a JSON value to standard output, with what is unsafe on a terminal escaped."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        plain = encoding.lower() not in ("utf-8", "utf8")
        encoder = json.JSONEncoder(indent=2, ensure_ascii=plain)
        pieces = encoder.iterencode(redact_value(value, self.secrets))

        while True:                                  # in batches: all of it would double the memory
            text = "".join(itertools.islice(pieces, 5000))
            if not text:
                break
            text = re.sub(UNSAFE, lambda match: "\\u%04x" % ord(match.group()), text)
            self.write(self.stdout, text)
        self.write(self.stdout, "\n")

    def out_exact(self, text):
        """Write a line for a program to read: only known secrets are replaced."""
        self.write_answer(redact_known(text, self.secrets) + "\n")

    def write_answer(self, text):
        """Write redacted text of an answer: made visible on a terminal, else as it is, in UTF-8."""
        if is_terminal(self.stdout):
            text = visible(text, UNSAFE_ANSWER)
        elif hasattr(self.stdout, "buffer"):
            self.flush()
            data = text.encode("utf-8", "backslashreplace")
            return self._attempt(self.stdout, self.stdout.buffer.write, data)
        self.write(self.stdout, text)

    def write_reasoning(self, text):
        """Write redacted reasoning to standard error, dimmed on a terminal that has colours."""
        text = visible(text, UNSAFE_ANSWER)
        plain = self.env.get("NO_COLOR") or self.env.get("TERM") == "dumb"
        if is_terminal(self.stderr) and not plain:
            text = "\x1b[2m%s\x1b[0m" % text
        self.write(self.stderr, text)

    def write(self, stream, text):
        """Write a text unchanged, but for escapes of characters that the stream cannot encode.

        Raises OutputFailed for standard output; failures of standard error are ignored.
        """
        if stream is None:
            raise OutputFailed("it is closed")
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        self._attempt(stream, stream.write, text)

    def _attempt(self, stream, act, *arguments):
        try:
            act(*arguments)
        except (OSError, ValueError) as error:       # full, closed, or without a reader
            if stream is self.stdout:
                raise OutputFailed(error)

    def flush(self):
        """Flush both streams, so that standard output fails here, not when the interpreter ends."""
        for stream in (self.stderr, self.stdout):
            if stream is not None:
                self._attempt(stream, stream.flush)


def is_terminal(stream):
    """Return whether a stream is a terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):             # no stream, or a closed one
        return False


class LiveText:
    """Collects text that comes in pieces and writes it redacted, secrets across pieces included."""

    def __init__(self, secrets, write):
        self._secrets = secrets
        self._write = write
        self._pieces = []
        self._line_open = False

    def add(self, text):
        """Add a piece; `flush` writes it."""
        self._pieces.append(text)

    def flush(self):
        """Write what was collected, except for an end that may be the start of a secret."""
        text = redact_known("".join(self._pieces), self._secrets)
        shown = len(text) - begun_secret(text, self._secrets)
        self._pieces = [text[shown:]]
        self._put(text[:shown])

    def end(self):
        """Write what is left, *** for a start of a secret that is long, and end the line."""
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


class _Display:
    """Shows Deltas: content on standard output, reasoning dimmed on standard error.

    `add` collects; `flush`, called before each wait for the server, shows.
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
        """Collect one Delta."""
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
        """Show what is left, and end open lines."""
        self._reasoning.end()
        self._content.end()
        self._console.flush()


# ----------------------------------------------------------------------------
# Verbs
# ----------------------------------------------------------------------------
# One `_add_…_parser` and one `_cmd_…` for each. Verbs write their results to the Console and raise
# their failures, which only `run` makes into exit statuses.

def main(argv=None, env=None, stdin=None, stdout=None, stderr=None):
    """Run the command line and return its exit status; never calls sys.exit.

    `argv` does not include the program's name; None stands for the process's own arguments,
    environment and streams.
    """
    if argv is None:
        argv = sys.argv[1:]
    env = dict(os.environ if env is None else env)
    console = Console(stdin or sys.stdin, stdout or sys.stdout, stderr or sys.stderr, env)
    try:
        status = run(list(argv), console)
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


def run(argv, console):
    """Parse the arguments, run the verb they name and return its exit status."""
    console.hide(_secret_variables(console.env))
    verb = next((row for row in _VERBS if argv[:1] == [row[0]]), _NO_VERB)
    name, add_options, act, summary = verb
    try:
        parser = _parser(console, name, summary)     # of this verb only, which is faster than all
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
        return act(options, console)
    except SystemExit:                               # argparse has printed the help
        return 0
    except Error as error:
        console.report(error)
        return error.exit_status


def _cmd_version(options, console):
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
    """Return an ArgumentParser that writes its help to the console and raises UsageError."""
    import argparse

    class Parser(argparse.ArgumentParser):
        def print_help(self, file=None):
            console.write(console.stdout, self.format_help())

        def error(self, message):
            raise UsageError(message, "--help lists the options")

    def formatter(prog):                             # by default it asks the process's terminal
        return argparse.RawDescriptionHelpFormatter(prog, width=report_width(console) - 2)

    parser = Parser("openclaw_vllm.py " + name, description=summary, formatter_class=formatter,
                    allow_abbrev=False)
    parser.add_argument("--api-key", nargs="?", const="", type=_refuse_key, help=argparse.SUPPRESS)
    return parser


def report_width(console):
    """Return the width of reports and help: COLUMNS, the terminal's or 80, at least 40."""
    columns = console.env.get("COLUMNS", "")[:4]
    if not columns.isdecimal():
        columns = 80
        if is_terminal(console.stdout):
            import shutil
            columns = shutil.get_terminal_size().columns
    return max(40, int(columns))


def _add_version_options(parser):
    """Add what a command line without a verb can ask for: the help, or the version."""
    verbs = ["  %-9s %s" % (name, summary) for name, _, _, summary in _VERBS]
    parser.description += "\n\nverbs (VERB --help lists the options of one):\n" + "\n".join(verbs)
    parser.epilog = _EPILOG
    _add_flags(parser, version="print the version",
               verbose="with --version: the digest of this file")


_NO_VERB = ("VERB", _add_version_options, _cmd_version, "OpenClaw's vLLM provider in one file")


# Types of arguments: functions of the text that was typed, which raise UsageError.

def _refuse_key(_):
    raise UsageError("a key on the command line can be read by every user of this host",
                     "use --api-key-file PATH, or the variable VLLM_API_KEY")


def seconds(text):
    """Return the seconds that --timeout names, above 0."""
    value = float(text)                              # argparse says "invalid seconds value"
    if not 0 < value < LONGEST_TIMEOUT_S:
        raise UsageError("--timeout takes seconds, above 0 and below %d" % LONGEST_TIMEOUT_S)
    return value


def tokens(text):
    """Return the number that --max-tokens names, 1 or more."""
    value = int(text)                                # argparse says "invalid tokens value"
    if value < 1:
        raise UsageError("--max-tokens takes a whole number, 1 or more")
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
            return _read_all(source, path)
    except (OSError, ValueError) as error:           # ValueError: a NUL in the path
        raise UsageError("%s cannot be read: %s" % (path, error.args[-1]))


def _read_all(source, name):
    """Return what a stream holds. Raises UsageError past ANSWER_LIMIT: a device never ends."""
    data = source.read(ANSWER_LIMIT + 1)
    if len(data) > ANSWER_LIMIT:
        raise UsageError("%s is larger than %d bytes" % (name, ANSWER_LIMIT))
    return data


def _json_file(path):
    """Return the value of a JSON5 file."""
    try:
        return json5_loads(_file(path))
    except Json5Error as error:
        raise UsageError("%s: %s" % (path, error.message))


_IMAGE_KINDS = ((b"\x89PNG\r\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"),
                (b"RIFF", "webp"))


def _image_url(text):
    """Return a URL as it is, for the path of an image file a data: URL of its bytes."""
    if re.match(r"(?i)(https?|data):", text):
        return text
    import base64
    data = _file(text)
    for magic, kind in _IMAGE_KINDS:
        if data.startswith(magic):
            return "data:image/%s;base64,%s" % (kind, base64.b64encode(data).decode("ascii"))
    raise UsageError("--image %s is not a PNG, JPEG, GIF or WebP file" % text)


def as_utf8(text):
    """Return an argument or a line decoded as UTF-8, even if Python decoded it in the C locale.

    Raises UsageError when it is not UTF-8.
    """
    try:
        if re.search("[\ud800-\udfff]", text):
            text = os.fsencode(text).decode("utf-8")
        return text
    except ValueError:
        raise UsageError("what was typed is not valid UTF-8")


def _add_flags(parser, **flags):
    """Add an option without a value for each keyword, whose value is the help."""
    for name, words in flags.items():
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help=words)


def _add_value(parser, name, metavar, words, kind=None, **more):
    """Add an option with a value; `words` are its help, `kind` converts the text."""
    parser.add_argument(name, metavar=metavar, help=words, type=kind, **more)


def _add_repeatable(parser, name, metavar, words, kind, **more):
    """Add an option that makes a list of the values of its uses."""
    _add_value(parser, name, metavar, words, kind, action="append", default=[], **more)


def _add_server_options(verb):
    group = verb.add_argument_group("the server")
    _add_value(group, "--config", "PATH",
               "openclaw.json to read (default: where OpenClaw keeps it)")
    _add_repeatable(group, "--provider", "ID", "a block of models.providers (default: vllm); "
                    "list and doctor take several, or all", as_utf8)
    _add_repeatable(group, "--base-url", "URL", "ask this server, whatever the settings say; "
                    "list and doctor take several", as_utf8)
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


def _open_provider(options, console):
    """Return (Settings, Provider) for the shared options. Raises UsageError for many servers."""
    settings, providers = _open_providers(options, console)
    if len(providers) > 1:
        raise UsageError("this verb takes one server", "give --provider or --base-url once")
    return settings, providers[0]


def _open_providers(options, console):
    """Return (Settings, [Provider]) for the shared options."""
    settings = load_settings(options.config, console.env)
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
    """Warn if a key would be sent in the clear; with --verbose say which key is sent where."""
    warning = key_exposed(provider)
    if warning:
        console.err_once("warning: " + warning)
    if console.verbose:
        sent = "no key"
        if provider.request_key:
            sent = "the key of " + provider.request_key.source
        console.err_once("%s: base URL %s (%s) is sent %s" % (
            provider.id, provider.base_url, provider.where, sent))


def _secret_variables(variables):
    """Return the values of environment variables named like a secret, and passwords in URLs."""
    passwords = re.findall(r":([^:@/\s]+)@", " ".join(variables.values()))
    return [*secret_texts(variables), *passwords]


def hide_secrets(console, settings, provider):
    """Make the console hide every key, token and header value in the settings, of any provider."""
    console.hide(itertools.chain(
        [credential.key for credential in provider.credentials],
        provider.headers.values(),
        _secret_variables(settings.variables),
        secret_texts(settings.config)))


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
    data = _read_all(getattr(console.stdin, "buffer", console.stdin), "standard input")
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


def _cmd_list(options, console):
    _, providers = _open_providers(options, console)
    outcomes = list_everywhere(providers, options.timeout)
    errors = [error for _, _, error in outcomes if error]
    rows = [(model, provider) for provider, models, _ in outcomes for model in models]
    rows.sort(key=lambda row: row[0].key.lower())
    several = len(outcomes) > 1
    if options.json and (rows or several):
        servers = {}
        if several:
            for model, _ in rows:
                servers.setdefault(model.id, []).append(model.base_url)
        models = [list_row(model, provider, servers) for model, provider in rows]
        console.out_json({"count": len(models), "models": models})
    elif options.plain:
        for model, _ in rows:
            console.out(model.key, UNSAFE_LINE)
    elif rows:
        for line in format_table(rows, several, console.shown):
            console.out(line)
    console.flush()
    for error in errors:
        console.report(error)
    if errors and (options.strict or not rows):
        return errors[0].exit_status
    return 0


def list_row(model, provider, servers=()):
    """Return the row of `list --json` for a Model (the shape is a contract; see README).

    `servers` is {model id: [base URL]} where several were asked, else empty.
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
    if servers:
        row["server"] = model.base_url
        row["alsoOn"] = [url for url in servers[model.id] if url != model.base_url]
    return row


def format_table(rows, several=False, show=visible):
    """Return the lines of the table of `list` for (Model, Provider) rows.

    With `several` there is a column for servers; `show` makes texts from a server safe to show.
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
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _add_chat_parser(verb):
    verb.add_argument("prompt", nargs="*", metavar="PROMPT", type=as_utf8,
                      help="the prompt; standard input is added to it")
    _add_value(verb, "--system", "TEXT", "the system message", as_utf8)
    _add_repeatable(verb, "--image", "FILE|URL", "show the model an image (repeatable)", _image_url)
    _add_value(verb, "--max-tokens", "N", "limit the answer to N tokens", tokens)
    _add_value(verb, "--temperature", "T", "how freely to choose each token; 0: not at all", float)
    _add_repeatable(verb, "--param", "NAME=JSON", "any other field of the body (repeatable)",
                    _body_field)
    _add_value(verb, "--tools", "FILE", "JSON list of tools to offer", _json_file)
    _add_value(verb, "--schema", "FILE", "JSON schema that the answer must follow", _json_file)
    _add_flags(verb, json="print the whole answer as one JSON object",
               no_stream="ask for the answer in one piece",
               quiet="no reasoning and no statistics on standard error")
    _add_model_options(verb)
    _add_server_options(verb)


def _cmd_chat(options, console):
    fields = _chat_fields(options)
    prompt = " ".join(options.prompt)
    interactive = not prompt and is_terminal(console.stdin)
    if not is_terminal(console.stdin) and options.api_key_file != "-":
        parts = (prompt, _read_stdin(console).strip("\n"))
        prompt = "\n\n".join(filter(str.strip, parts))
    if not interactive and not prompt.strip():
        raise UsageError("there is no prompt", 'like: %s chat "Say hi"' % TOOL)
    _, provider = _open_provider(options, console)
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
    """Return the messages that begin a conversation: the system message, if there is one."""
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
        fields["response_format"] = {
            "type": "json_schema", "json_schema": {"name": "answer", "schema": options.schema}}
    fields.update(options.param)
    return fields


def _ask(options, provider, model, body, console):
    """Send a body, show the Answer as it comes, and return it. Raises what `send_chat` raises."""
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


ONE_PIECE_S = 0.005                  # an answer that arrives within it is taken as one piece


def statistics(answer):
    """Return the line of statistics of an Answer: tokens, time to the first, tokens per second."""
    usage = answer.usage
    timings = answer.timings
    first_s = timings["first_token_s"]
    parts = []
    if usage is not None:
        parts.append("%s prompt + %s completion tokens" % usage[:2])
    if first_s is not None:
        parts.append("first token %.2f s" % first_s)
        writing_s = timings["last_token_s"] - first_s
        if usage is not None and (usage.completion_tokens or 0) > 1 and writing_s > ONE_PIECE_S:
            parts.append("%.1f tokens/s" % ((usage.completion_tokens - 1) / writing_s))
    parts.append("%.2f s in all" % timings["total_s"])
    if answer.finish_reason not in ("stop", None):
        parts.append(finish_words(answer))
    return ", ".join(parts)


def answer_json(answer):
    """Return the object of `chat --json` for an Answer (the shape is a contract; see README).

    What else the server sent is kept: details of `usage`, `logprobs`, further `choices`.
    """
    value = answer._asdict()
    extra = json.dumps(value.pop("extra"))
    extra = json.loads(extra, parse_constant=lambda name: None)      # NaN is not JSON
    if answer.usage is not None:
        value["usage"] = dict(extra.pop("usage", {}), **answer.usage._asdict())
    value["timings"] = _picked(answer.timings, ("first_token_s", "total_s"))
    value.update(extra)
    return value


_CONVERSATION_HELP = """\
/model REF      talk to another model
/system TEXT    start over with this system message; without TEXT, with none
/reset          start over; the system message stays
/help           list the commands
/exit           end
A line that ends in \\ continues on the next, as does text between \"\"\" or pasted text;
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
                console.err("started over; the system message: " + (system or "none"))
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
            console.err("\nstopped; the conversation continues without that turn")
        except UnicodeDecodeError:                   # raised by input()
            console.err("that was not valid UTF-8")
        except Error as error:
            console.report(error)


def read_turn(read_line):
    """Return the text of one turn; `read_line(prompt)` returns a line, as `input` does.

    A line that ends in a backslash continues on the next, as does text between triple quotes.
    (Pasted text comes as one line that holds line feeds.)
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


def _cmd_doctor(options, console):
    key = _read_key(options.api_key_file, console)
    settings, reports = _diagnose_all(options, key, console)
    if options.fix:
        edits = []
        for _, _, findings in reports:
            for finding in findings:
                edits += [edit for edit in finding.edits if edit not in edits]
        if edits:
            save_config(settings, lambda config: [apply_edits(config, edits)], console,
                        console.err, True)
            settings, reports = _diagnose_all(options, key, console)
        else:
            console.err("nothing to fix in %s" % settings.path)
    if options.json:
        rows = []
        for _, server, findings in reports:
            for finding in findings:
                row = finding._asdict()
                del row["edits"]                     # `command` makes them
                if len(reports) > 1:
                    row["server"] = server
                rows.append(row)
        console.out_json({"ok": reports[-1][0] == 0, "findings": rows})
    else:
        _show_findings(reports, console)
    judged = -1 if options.strict else 0             # the best: one server that works is enough
    return reports[judged][0]


def _diagnose_all(options, key, console):
    """Return (Settings, [(status, server, [Finding])]) of the servers named, the worst last."""
    settings = read_settings(options.config, console.env)
    asked = named_servers(settings, options.provider, options.base_url)
    for name, url in asked:
        try:
            provider = resolve_provider(settings, name, url, key, options.ca_file)
            hide_secrets(console, settings, provider)
        except Error:
            pass                                     # it will be a finding

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
    """Return the lines of the report of `doctor`, the verdict first; commands are not wrapped.

    `show` makes a text safe to show; `width` is in columns.
    """
    import textwrap
    warned = sum(finding.status == "warn" for finding in findings)
    failed = [finding.cause for finding in findings if finding.status == "fail"]
    verdict = "nothing failed"
    if failed:
        causes = _listed(dict.fromkeys(failed))
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


def _cmd_request(options, console):
    if is_terminal(console.stdin):
        console.err("waiting for a chat-completions body on standard input")
    try:
        body = loads_untrusted(_read_stdin(console))
    except ValueError as error:
        example = """like: echo '{"messages": [{"role": "user", "content": "hi"}]}' | %s request"""
        raise UsageError("the body on standard input is not JSON: %s" % error, example % TOOL)
    _, provider = _open_provider(options, console)
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
            if console.env.get(name) != value:
                console.err("set %s in this shell before you run it" % name)
        console.out_exact(command)
    else:
        console.out_json(shaped.body)
    return 0


def curl_command(provider, model, data):
    """Return (a shell command that posts a JSON text, {variable: value} that it needs).

    The command takes values of headers from shell variables, as they may be secret.
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
        prefix = name + ": "
        variable = re.sub("[^A-Z0-9]", "_", "HEADER_" + name.upper())
        if bearer(key).get(name) == value:
            prefix, variable, value = prefix + "Bearer ", "VLLM_API_KEY", key.key
        variables[variable] = value
        lines.append('-H %s"$%s"' % (shlex.quote(prefix), variable))
    lines.append("--data-binary @- <<'END'\n%s\nEND" % data)
    return " \\\n  ".join(lines), variables


def _add_config_parser(verb):
    verb.epilog = _CONFIG_EXAMPLES
    _add_flags(
        verb.add_mutually_exclusive_group(),
        write="write openclaw.json; a .bak is kept",
        dry_run="print what --write would change, as a unified diff",
        check="check openclaw.json; opens no connection")
    _add_value(verb, "--primary", "MODEL", "make this the default model")
    _add_repeatable(verb, "--set", "PATH=VALUE", "set a value, JSON5 or else text (repeatable)",
                    parse_assignment, dest="edits")
    _add_repeatable(verb, "--unset", "PATH", "remove a key, or an item of an array (repeatable)",
                    parse_removal, dest="edits")
    _add_flags(
        verb,
        wildcard="no rows: let OpenClaw ask the server (models[\"vllm/*\"])",
        refresh="renew contextWindow and maxTokens of rows that are there",
        prune="remove rows that the server does not serve",
        probe="ask the chat templates whether thinking can be switched",
        json="with --check: print the verdict as JSON")
    _add_server_options(verb)


_CONFIG_EXAMPLES = """examples:
  openclaw_vllm.py config --write --set 'models.providers.vllm.models[0].contextWindow=32768'
  openclaw_vllm.py config --dry-run --unset 'agents.defaults.models["vllm/Qwen/Qwen3-8B"].alias'
"""
_MERGE_OPTIONS = "primary wildcard refresh prune probe base_url".split()


def _cmd_config(options, console):
    merges = any(getattr(options, name) for name in _MERGE_OPTIONS)
    if options.check + merges + bool(options.edits) > 1:
        raise UsageError("--check, --set and --unset, and the options of the merge "
                         "(--primary, --wildcard, --refresh, --prune, --probe, --base-url) "
                         "do not go together")
    if options.check:
        return _check_config(options, console)
    if options.json:
        raise UsageError("--json needs --check", "the block itself is printed as JSON5")
    show_diff = console.out if options.dry_run else None
    if options.edits:
        settings = read_settings(options.config, console.env)
        save_config(settings, lambda config: [apply_edits(config, options.edits)], console,
                    show_diff, options.write)
    else:
        _merge_config(options, console, show_diff)
    return 0


def _merge_config(options, console, show_diff):
    settings, provider = _open_provider(options, console)
    models = stated_models(fetch_model_rows(provider, options.timeout), provider)
    _refuse_no_chat(provider, models[0], options.timeout)
    served = [model.id for model in models]
    primary = None
    if options.primary:
        model = match_model(models, options.primary, provider.id)
        if model is None:
            raise model_not_served(provider.base_url, options.primary, served)
        primary = model.key
    evidence = {model.id: _evidence(options, provider, model) for model in models}
    renewed = []
    if options.refresh:
        renewed += SIZES
    if options.base_url:
        renewed.append("baseUrl")
    if not options.write and not options.dry_run:
        settings = settings._replace(sources={})     # the block alone
    unserved = []

    def revise(config):
        if options.prune:
            config = prune_rows(config, provider.id, served, settings.variables)
            yield config
        wanted, unserved[:] = merge_provider(
            config,
            provider,
            models,
            evidence,
            settings.variables,
            primary,
            renewed,
            options.wildcard)
        yield wanted

    save_config(settings, revise, console, show_diff, options.write)
    if unserved:
        console.err("kept, though not served (--prune removes them): " + _listed(unserved))
    _note_surroundings(options, settings, console)


def _refuse_no_chat(provider, model, timeout_s):
    """Raise ServerError for a server that has no chat completions.

    Its /openapi.json shows that, else its answer to an empty body, which generates nothing.
    """
    url = provider.base_url + "/chat/completions"
    description = server_root(provider.base_url) + "/openapi.json"
    headers = discovery_headers(provider)
    error = error_for("not-a-chat-model", url=url, model=model.id)
    try:
        reply = ask(provider, description, headers, None, timeout_s)
        if offers_chat(_json_of(reply)) is not False:
            reply = ask(provider, url, headers, {}, timeout_s)
            error = completion_error(url, reply, provider, model)
    except Error:
        return                                       # a request that fails proves nothing
    if error.cause == "not-a-chat-model":
        raise error


def _evidence(options, provider, model):
    """Return (compat or None, reason) for how a model thinks; the reason is "" when it does not."""
    found, _ = family_evidence(model)
    if options.probe:
        found = probe_thinking(provider, model, options.timeout)
        if model.reasoning:
            found = found or (None, "by its name")
    return found or (None, "")


def _note_surroundings(options, settings, console):
    """Write notes on what OpenClaw needs besides the block."""
    if options.wildcard and not _get(settings.config, "agents", "defaults", "models"):
        console.err("note: OpenClaw offers only what agents.defaults.models names, once it names "
                    "any: other providers need an entry there too")
    if options.ca_file:
        import shlex
        console.err("note: OpenClaw must trust that authority too, where it is started: "
                    "export NODE_EXTRA_CA_CERTS=" + shlex.quote(os.path.abspath(options.ca_file)))


# A name behind a dot, or in brackets an index, a text in double or single quotes, a bare word.
_PATH_STEP = (
    r"""(?:^|(?<=.)\.)([^][.=\s"']+)"""
    r"""|\[(0|[1-9][0-9]{0,8}|"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")\]"""
    r"""|\['([^']+)'\]"""
    r"""|\[([A-Za-z_$][^][="']*)\]"""
)
# PATH=VALUE: the first = outside of quotes ends the path.
_ASSIGNMENT = r"""(?s)((?:"(?:[^"\\]|\\.)*"|'[^']*'|[^"'=])*)(=?)(.*)"""
PATH_HINT = """use dots or brackets: 'agents.defaults.models["vllm/m"].alias'"""


def parse_path(text):
    """Return the key path (a tuple) of a text such as `agents.defaults.models["vllm/m"].alias`.

    Raises UsageError.
    """
    path = ()
    read = ""
    for step in re.finditer(_PATH_STEP, text):
        name, literal, quoted, word = step.groups()
        path += (name or quoted or word or json.loads(literal),)
        read += step.group()
    if not path or read != text:
        raise UsageError("%s is not a key path" % text, PATH_HINT)
    return path


def format_path(path):
    """Return a key path as OpenClaw writes it; `parse_path` reads it back."""
    text = ""
    for key in path:
        if re.match(r"[A-Za-z_$][A-Za-z0-9_$-]*\Z", str(key)):
            text += "." + key
        else:
            text += "[%s]" % json.dumps(key)
    return text.lstrip(".")


def parse_value(text):
    """Return the value of a JSON5 text, else the text itself."""
    try:
        return json5_tree(text).value
    except Json5Error:
        return text


def parse_assignment(text):
    """Return the Edit of PATH=VALUE; VALUE is JSON5, else the text itself. Raises UsageError."""
    path, sign, value = re.match(_ASSIGNMENT, text).groups()
    if not sign:
        raise UsageError("--set %s: not PATH=VALUE" % path, PATH_HINT)
    return Edit(parse_path(path), parse_value(value))


def parse_removal(text):
    """Return the Edit that removes what a path names. Raises UsageError."""
    return Edit(parse_path(text), REMOVED)


def edit_command(edits, config_path=None):
    """Return the shell command that makes Edits in the config file."""
    import shlex
    words = ["config", "--write"]
    if config_path:
        words += ["--config", config_path]
    for path, value in edits:
        name = format_path(path)
        if value is REMOVED:
            words += ["--unset", name]
            continue
        if not isinstance(value, str) or parse_value(value) != value:
            value = json.dumps(value)
        words += ["--set", name + "=" + value]
    return TOOL + " " + " ".join(map(shlex.quote, words))


def save_config(settings, revise, console, show_diff, write):
    """Change the config file to the values that revise(its value) yields, one after another.

    `show_diff`, unless None, is called with each line of the unified diff; `write` writes the
    file and keeps the old one as .bak; with neither the new text is printed. Raises ConfigError,
    with nothing written, where a value cannot be made, comes from an $include, or has an error
    that the file did not have.
    """
    path = settings.path
    old = settings.sources.get(path)
    if old is None and settings.issues:
        raise issue_error(settings.issues)           # the file cannot be read
    text = old or "{}\n"
    new = _revised_text(text, settings, revise, console)
    if not write and show_diff is None:
        console.out(re.sub("\r\n?", "\n", new).strip("\ufeff\n"))
        return
    if path is None:
        raise UsageError("there is no home directory to write openclaw.json to",
                         "name the file: --config PATH")
    if new == text:
        console.err("%s: nothing to change" % path)
        return
    if show_diff is not None:
        import difflib
        texts = (old or "").splitlines(), new.splitlines()
        for line in difflib.unified_diff(*texts, path, path, lineterm=""):
            show_diff(line)
    if write:
        write_config(path, old, new)
        kept = "" if old is None else "; the old file is %s.bak" % path
        console.err("%s: written%s" % (path, kept))


def _revised_text(text, settings, revise, console):
    """Return the new text of the config file; warn of new keys that OpenClaw does not know."""
    path = settings.path
    try:
        before = json5_tree(text).value
    except Json5Error as error:
        raise _file_error(path, error.problem, error.line, error.column)
    for wanted in revise(before):
        text = edited_text(text, wanted, path)
    after = _plain(wanted)
    console.hide(secret_texts([before, after]))
    refuse_included(before, after, path, settings.sources)
    for fault in _new_faults(settings, before, after):
        problem = "%s: %s" % (dotted(fault.path), fault.message)
        if fault.severe:
            raise error_for("config-not-written", where=path, problem=problem,
                            fix="use a value that OpenClaw accepts")
        console.err("warning: " + problem)
    return text


def _new_faults(settings, before, after):
    """Return the Issues of the config's value `after` that the value `before` does not have."""
    _, env = settings.layers[0]

    def faults_of(value):
        if not settings.issues:                      # else an $include may be unreadable
            value = include_files(value, settings.path or "openclaw.json", env, {})
        value = _substitute(value, settings.variables)
        migrate(value)
        return schema_faults(value)

    def words(fault):                                # without indices: a removal moves them
        return re.sub("[0-9]", "", dotted(fault.path)), fault.message

    known = collections.Counter(map(words, faults_of(before)))
    faults = faults_of(after)
    new = collections.Counter(map(words, faults)) - known
    return [fault for fault in faults if words(fault) in new]


def _check_config(options, console):
    settings = read_settings(options.config, console.env)
    status = 3 if settings.issues else 0
    if options.json:
        console.out_json({
            "valid": not settings.issues,
            "issues": list(map(_issue_json, settings.issues)),
            "warnings": list(map(_issue_json, settings.warnings)),
        })
        return status
    for kind, issues in (("error", settings.issues), ("warning", settings.warnings)):
        for issue in issues:
            words = (kind, issue_place(issue), dotted(issue.path), issue.message)
            console.err(": ".join(filter(None, words)))
    if not settings.issues:
        verdict = "valid" if settings.exists else "no such file; an empty config is valid"
        console.out("%s: %s" % (settings.path, verdict))
    return status


def _issue_json(issue):
    found = dict(issue._asdict(), path=dotted(issue.path))
    found = _picked(found, ("path", "message", "file", "line", "column"))
    return {name: value for name, value in found.items() if value is not None}


def _add_demo_parser(verb):
    _add_flags(verb, serve="keep the stand-in server up until Ctrl-C")
    _add_value(verb, "--port", "N", "the port (default: a free one)", int, default=0)
    _add_value(verb, "--api-key-file", "PATH", "enforce the key in this file")
    verb.set_defaults(verbose=False)


def _cmd_demo(options, console):
    import threading
    key = _read_key(options.api_key_file, console)
    try:
        server = demo_server(options.port, key)
    except (OSError, OverflowError) as error:
        raise ServerError("the demo cannot take port %d: %s" % (options.port, error),
                          "leave out --port to get a free one")
    url = "http://127.0.0.1:%d/v1" % server.server_address[1]
    with server:
        if options.serve:
            console.out("a stand-in vLLM answers at %s    (Ctrl-C ends it)" % url)
            console.flush()
            server.serve_forever()
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
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
    """Run the main verbs on the stand-in, each after its command; return the worst status."""
    import shlex
    # A folder of this name, which is not there, keeps the user's own settings out.
    env = {"HOME": "~", "VLLM_API_KEY": key}
    statuses = []
    console.err("a stand-in vLLM answers at %s while this runs" % url)
    for verb in ("list", "chat 'Say hi'", "doctor", "config"):
        command = "%s --base-url %s" % (verb, url)
        console.err("\n$ %s %s" % (TOOL, command))
        argv = shlex.split(command)
        statuses.append(main(argv, env, io.StringIO(), console.stdout, console.stderr))
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
    import argparse
    argparse._ = str                 # its words stay English, as ours are: no catalogue is sought
    # main() has flushed; skipping the interpreter's teardown saves a sixth of a short run.
    os._exit(main())
