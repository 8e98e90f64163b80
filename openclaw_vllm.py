#!/usr/bin/env python3
"""OpenClaw's vLLM provider in one file: list, chat, doctor and config for vLLM servers.

    python3 openclaw_vllm.py list                  the models a server offers
    python3 openclaw_vllm.py chat "Say hi"         talk to one of them
    python3 openclaw_vllm.py doctor                what is wrong, and what to type to mend it

It reads the settings OpenClaw reads (openclaw.json, VLLM_API_KEY, auth
profiles), sends vLLM the requests OpenClaw would send, and needs nothing but
Python 3.6 or newer. As a module it offers what `__all__` names; importing it
reads nothing and opens nothing.
"""
import collections
import errno
import json
import math
import os
import re
import sys

__version__ = "1.0.0"

__all__ = [
    "Answer", "ConfigError", "Delta", "Error", "Finding", "KeyRefused", "Model", "NothingToShow",
    "Provider", "ServerError", "Settings", "Usage", "UsageError",
    "chat", "diagnose", "discover_models", "json5_loads", "list_models", "load_settings",
    "resolve_provider", "shape_request", "stream_chat",
]

DEFAULT_PROVIDER = "vllm"
DEFAULT_BASE_URL = "http://127.0.0.1:8000/v1"
DEFAULT_CONTEXT_WINDOW = 128000      # tokens; what OpenClaw assumes of a row that states none
DEFAULT_MAX_TOKENS = 8192            # tokens
DISCOVERY_TIMEOUT_S = 5.0            # the whole exchange, as OpenClaw has it
CONNECT_TIMEOUT_S = 10.0             # one connection for a completion
SILENCE_TIMEOUT_S = 300.0            # between two reads of a completion: a slow model is no failure
MODEL_LIST_LIMIT = 16 * 1024 * 1024  # bytes of /v1/models, as OpenClaw has it
ANSWER_LIMIT = 64 * 1024 * 1024      # bytes of one unstreamed completion
EVENT_LIMIT = 16 * 1024 * 1024       # bytes of one server-sent event
CONFIG_LIMIT = 8 * 1024 * 1024       # bytes of openclaw.json
INCLUDE_LIMIT = 2 * 1024 * 1024      # bytes of an included file, as OpenClaw has it
INCLUDE_DEPTH = 10
JSON_DEPTH = 200                     # levels of nesting in a JSON5 text


# ----------------------------------------------------------------------------
# Errors and exit statuses
# ----------------------------------------------------------------------------

class Error(Exception):
    """Root of every error the outside world can cause.

    `cause` is a code of CAUSES, `hint` the next step to take (may be empty),
    `exit_status` what the command line exits with, `facts` what was filled in.
    """

    exit_status = 1

    def __init__(self, message, hint="", cause=None, **facts):
        super(Error, self).__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause
        self.facts = facts


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
    """The server answered 401 or 403."""

    exit_status = 5


_ERRORS = {kind.exit_status: kind for kind in (NothingToShow, UsageError, ConfigError, ServerError, KeyRefused)}

Cause = collections.namedtuple("Cause", "exit_status summary fix")

# One row a cause: what `list`, `chat` and `doctor` say of it. Names in braces are facts
# of the moment. The codes are those of `doctor --json`.
CAUSES = {
    "not-opted-in": Cause(1, "no key, so {provider} is not opted in: {variable} is unset and there is no auth profile",
                          "export {variable}=vllm-local    (any value does when the server enforces no key)"),
    "config-invalid": Cause(3, "{where}: {problem}", "mend that line, then check: {tool} config --check"),
    "config-unknown-key": Cause(3, "{path}: OpenClaw 2026.9 does not know the key {key!r}", "{fix}"),
    "config-missing-variable": Cause(1, "{path} uses ${{{variable}}}, which is not set",
                                     "export {variable}=…    (or put it into {dotenv})"),
    "provider-disabled": Cause(1, "plugins.entries.vllm.enabled is false in {file}",
                               "set it to true, or remove the line"),
    "bad-base-url": Cause(3, "{where} is no usable base URL: {problem}", "use something like {example}"),
    "bad-key-form": Cause(3, "the key of {source} cannot be sent: {problem}", "set the key again, without {what}"),
    "dns": Cause(4, "{url}: the host name {host!r} does not resolve ({detail})",
                 "check the spelling of the host, or use its address: getent hosts {host}"),
    "connection-refused": Cause(4, "{url}: connection refused, nothing listens there", "{start}"),
    "server-loading": Cause(4, "{url}: the server has its port but does not answer yet: it is still loading the model",
                            "wait until the server logs that its startup is complete, then try again"),
    "wrong-address-family": Cause(4, "{url}: only {answers} answers, {refuses} does not",
                                  "use the address that answers: {right}"),
    "unreachable": Cause(4, "{url}: {detail}", "check the address, the route to it and the firewall"),
    "timeout": Cause(4, "{url}: timed out {phase} ({seconds:g} s)", "{fix}"),
    "proxy-captured": Cause(4, "{url}: the proxy {proxy} of the environment answered in place of the server ({detail})",
                            "export NO_PROXY={no_proxy}"),
    "scheme-mismatch": Cause(4, "{url}: the port does not speak {scheme}", "try the other scheme: {right}"),
    "tls-untrusted": Cause(4, "{url}: the certificate of {host} is not trusted: {detail}",
                           "pass the authority that signed it: --ca-file CA.pem   (or export SSL_CERT_FILE=CA.pem)"),
    "tls-failed": Cause(4, "{url}: TLS failed: {detail}", "check the scheme and port of the base URL"),
    "redirect": Cause(4, "{url}: answered {status} and points to {location}; redirects are not followed",
                      "put the right address into baseUrl: {right}"),
    "missing-v1": Cause(4, "{url}: not found there, but {right}/models answers", "set baseUrl to {right}"),
    "endpoint-in-base-url": Cause(3, "{where} ends in {suffix}, which is an endpoint and no base URL",
                                  "set baseUrl to {right}"),
    "not-openai": Cause(4, "{url}: the answer is no OpenAI-style JSON: {detail}{layer}",
                        "check that the base URL is that of a vLLM server and ends in /v1"),
    "http-error": Cause(4, "{url}: HTTP {status} {reason}{words}{layer}", "{fix}"),
    "answer-broken": Cause(4, "{url}: {detail}", "try again; if it stays so, look at the server's log"),
    "answer-too-large": Cause(4, "{url}: the answer is larger than {limit} bytes",
                              "check that the base URL is that of a vLLM server"),
    "no-key": Cause(5, "{url}: HTTP {status}{words}: the server wants a key and none was sent",
                    "export {variable}=THE-KEY    (the value the server was started with: --api-key)"),
    "bad-key": Cause(5, "{url}: HTTP {status}{words}: the server refused the key from {source}{suspect}",
                     "set the key the server was started with: export {variable}=THE-KEY"),
    "key-ignored": Cause(0, "{url} answers without the key too: the server enforces none", ""),
    "no-models": Cause(1, "{where}: {problem}", "{fix}"),
    "model-not-served": Cause(4, "{url}: the server has no model {model!r}{words}", "{fix}"),
    "context-exceeded": Cause(4, "{url}: the prompt and its answer do not fit the context of {model}{words}",
                              "shorten the prompt, or lower --max-tokens"),
    "context-too-large": Cause(1, "{model}: {field} is {declared}, the server's max_model_len is {served}",
                               "set {field} to {served}, or run: {tool} config --write --refresh"),
    "context-too-small": Cause(0, "{model}: {field} is {declared}, less than half of the server's {served}: "
                                  "{lost} tokens of context go unused",
                               "set {field} to {served}, or run: {tool} config --write --refresh"),
    "max-tokens-too-large": Cause(1, "{model}: maxTokens {declared} leaves no room for a prompt in {served}",
                                  "set maxTokens to {right} or less"),
    "context-below-agent": Cause(0, "{model}: max_model_len {served} is small: OpenClaw's own agent prompt takes "
                                    "about 32000 tokens", "start vLLM with a larger --max-model-len"),
    "chat-failed": Cause(4, "{url}: HTTP {status}{words}", "{fix}"),
    "unknown-field-rejected": Cause(4, "{url}: the server refused the field {field!r}{words}", "{fix}"),
    "empty-answer": Cause(1, "{model}: the answer has no content: {detail}", "{fix}"),
    "stream-broken": Cause(4, "{url}: the stream broke off: {detail}",
                           "try again; if it stays so, look at the server's log and at proxies in between"),
    "stream-buffered": Cause(0, "{model}: all chunks came together after {seconds:.1f} s: something between buffers",
                             "in nginx: proxy_buffering off;"),
    "usage-missing": Cause(0, "{model}: the stream carried no usage",
                           "set compat: {{ supportsUsageInStreaming: false }} for this model"),
    "tools-disabled": Cause(4, "{url}: the server takes no tools{words}",
                            "start vLLM with: --enable-auto-tool-choice --tool-call-parser {parser}"),
    "tool-parser-mismatch": Cause(1, "{model}: a tool call came back as text ({detail})",
                                  "start vLLM with: --enable-auto-tool-choice --tool-call-parser {parser}"),
    "template-role": Cause(1, "{model}: the chat template refuses the role {role!r}{words}", "{fix}"),
    "exposed": Cause(0, "{url}: the key guards /v1 only; {paths} answer to anyone who reaches the port",
                     "let only a reverse proxy or the firewall reach the port"),
}


class _Facts(dict):
    """Facts for a template; one that nobody stated is left empty rather than an error."""

    def __missing__(self, name):
        return ""


def fail(cause, **facts):
    """Return the error for a row of CAUSES, worded with `facts`; raise what it returns."""
    row = CAUSES[cause]
    facts.setdefault("tool", _tool_name())
    facts.setdefault("variable", "VLLM_API_KEY")
    known = _Facts(facts)
    kind = _ERRORS.get(row.exit_status, NothingToShow)
    return kind(row.summary.format_map(known), row.fix.format_map(known), cause, **facts)


def _tool_name():
    return "openclaw_vllm.py"


# ----------------------------------------------------------------------------
# Value types
# ----------------------------------------------------------------------------

class Secret(str):
    """A text to send and never to show: its repr, and so every traceback, hides it."""

    __slots__ = ()

    def __repr__(self):
        return "Secret('***')"


Issue = collections.namedtuple("Issue", "path message file line column")
Issue.__doc__ = "One fault of a settings file; `path` is the key path, line and column count from 1 or are None."

Settings = collections.namedtuple(
    "Settings", "path exists config variables layers missing state_dir sources issues warnings")
Settings.__doc__ = """What OpenClaw would know at this moment.

`config` is the object of openclaw.json, included and substituted; `variables`
the merged environment; `layers` the same as [(label, {name: value})], first
one wins; `missing` {key path: variable name}; `sources` {file: text}.
"""

Credential = collections.namedtuple("Credential", "source key")
Credential.__doc__ = "One place a key was found in (its name, to be shown) and the key (a Secret, never shown)."

Provider = collections.namedtuple(
    "Provider", "id base_url explicit discover discovery_key request_key credentials headers "
                "models max_tokens context_window timeout_s defaults variables ca_file where file")
Provider.__doc__ = """One OpenAI-style server and how to talk to it; made by `resolve_provider`.

`explicit`: a models.providers block exists; `discover`: its server is asked for
models; the keys are Credentials or None; `headers` go with completions;
`models` are the declared rows; `timeout_s` is the provider's own or None;
`defaults` is agents.defaults; `where` names where the base URL comes from.
"""

Model = collections.namedtuple(
    "Model", "id name provider base_url input context_window context_tokens max_tokens reasoning "
             "source parent root tags compat headers params thinking")
Model.__doc__ = """One model: declared in the config, discovered on the server, or both merged.

Windows are in tokens, None where unset; `input` is a tuple of modalities;
`source` is "declared" or "discovered"; `params` and `thinking` are the
agents.defaults that apply to it.
"""
Model.key = property(lambda self: model_key(self.provider, self.id), doc="The reference OpenClaw prints: vllm/<id>.")

Change = collections.namedtuple("Change", "field action reason")
Change.__doc__ = "One thing `shape_request` did: action is dropped, added, moved, changed or clamped."

Shaped = collections.namedtuple("Shaped", "body changes warnings")
Shaped.__doc__ = "What `shape_request` returns: the finished body, a list of Change, a list of texts."

Usage = collections.namedtuple("Usage", "prompt_tokens completion_tokens total_tokens")
Usage.__doc__ = "Token counts of one completion, each an integer or None."

Delta = collections.namedtuple("Delta", "content reasoning tool_calls finish_reason usage id model")
Delta.__doc__ = """One piece of an answer: texts ("" when none), raw tool-call pieces (a list), and
finish_reason, usage (Usage), id, model or None."""
Delta.__new__.__defaults__ = ("", "", (), None, None, None, None)

Answer = collections.namedtuple("Answer", "id model content reasoning tool_calls finish_reason usage timings")
Answer.__doc__ = """One whole completion. `tool_calls` is a list of {"id", "type", "function": {"name",
"arguments"}}; `timings` {"first_token_s", "total_s"} in seconds."""

Finding = collections.namedtuple("Finding", "check status cause summary fix")
Finding.__doc__ = "What one check of `diagnose` found; status is ok, warn, fail or skip, cause a code of CAUSES or None."
Finding.__new__.__defaults__ = ("ok", None, "", "")


# ----------------------------------------------------------------------------
# JSON5
# ----------------------------------------------------------------------------

class Json5Error(ConfigError, ValueError):
    """A text that is no JSON5: `pos` counts characters from 0, `line` and `column` from 1."""

    def __init__(self, problem, text, pos):
        self.problem = problem
        self.pos = pos
        self.line, self.column = line_and_column(text, pos)
        super(Json5Error, self).__init__("%s at line %d, column %d" % (problem, self.line, self.column),
                                         cause="config-invalid")


Node = collections.namedtuple("Node", "start end value items")
Node.__doc__ = """One value of a JSON5 text and where it stands: text[start:end].

`items` is [(key, key start, key end, Node)] for an object, [Node] for an
array, None for a scalar.
"""

# White space of the specification (ECMA-262 adds the Zs category and the byte-order mark).
_JSON5_SPACE = "\t\n\x0b\x0c\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"

_JSON5_TOKEN = (
    "(?P<trivia>[" + _JSON5_SPACE + "]+"
    "|//[^\n\r\u2028\u2029]*"
    r"|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)"
    r"|(?P<mark>[{}\[\]:,])"
    r'|(?P<string>"[^"\\\n\r]*(?:\\(?:\r\n|[\s\S])[^"\\\n\r]*)*"'
    r"|'[^'\\\n\r]*(?:\\(?:\r\n|[\s\S])[^'\\\n\r]*)*')"
    r"|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+"
    r"|(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|[+-](?:Infinity|NaN))"
    r"|(?P<word>(?:[\w$]|\\u[0-9a-fA-F]{4}|[^\x00-\x7f" + _JSON5_SPACE + "])+)"
)
_JSON5_ESCAPE = r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|[\s\S])"
_JSON5_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\x0b", "0": "\0",
                  "\n": "", "\r": "", "\r\n": "", "\u2028": "", "\u2029": ""}
_JSON5_WORDS = {"null": None, "true": True, "false": False, "Infinity": math.inf, "NaN": math.nan}


def line_and_column(text, pos):
    """Return (line, column) of a character position, both from 1; CR, LF and CRLF end lines."""
    before = text[:pos].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def json_number(digits):
    """Return the integer of a JSON text; past 400 digits the float (int() is quadratic, and refuses)."""
    return int(digits) if len(digits) <= 400 else float(digits)


def json5_loads(text):
    """Return the value of a JSON5 text (str, or UTF-8 bytes).

    Plain JSON takes the C parser's road; only what it refuses is scanned here.
    Raises Json5Error, which is a ValueError, with line and column.
    Source: https://spec.json5.org
    """
    if isinstance(text, (bytes, bytearray)):
        text = _decode_utf8(bytes(text))
    if "\\ud" not in text and "\\uD" not in text:     # json.loads would let a lone surrogate through
        try:
            return json.loads(text[1:] if text[:1] == "\ufeff" else text, parse_int=json_number)
        except (ValueError, RecursionError):
            pass
    return json5_tree(text).value


def json5_tree(text):
    """Parse a JSON5 text into the Node of its value; every edit and every position stands on it.

    Iterative, so that nesting costs no stack. Raises Json5Error.
    """
    if "\0" in text:
        raise Json5Error("a NUL character", text, text.index("\0"))
    open_nodes = []          # [(start, value, items)] of the containers around the position
    keys = []                # the key each open object waits to give a value to: (key, start, end)
    wanted = "a value"
    root = None
    for kind, start, end in _json5_tokens(text):
        token = text[start:end]
        closes = token in ("}", "]") and kind == "mark"
        node = None
        if wanted.startswith("a key") and not closes:
            if kind == "string":
                keys.append((_json5_string(text, start, end), start, end))
            elif kind == "word":
                keys.append((_json5_identifier(text, start, end), start, end))
            else:
                raise _json5_unexpected(text, start, end, wanted)
            wanted = "':' after the key"
        elif wanted.startswith("':'"):
            if token != ":":
                raise _json5_unexpected(text, start, end, wanted)
            wanted = "a value"
        elif wanted.startswith("a value") and not closes:
            if token == "{" or token == "[":
                if len(open_nodes) == JSON_DEPTH:
                    raise Json5Error("nested more than %d levels deep" % JSON_DEPTH, text, start)
                open_nodes.append((start, {} if token == "{" else [], []))
                wanted = "a key or '}'" if token == "{" else "a value or ']'"
                continue
            node = Node(start, end, _json5_scalar(text, kind, start, end, wanted), None)
        elif token == "," and wanted.startswith("','"):
            wanted = "a key or '}'" if isinstance(open_nodes[-1][1], dict) else "a value or ']'"
        elif closes and wanted.endswith("or '%s'" % token):
            opened, value, items = open_nodes.pop()
            node = Node(opened, end, value, items)
        else:
            raise _json5_unexpected(text, start, end, wanted)
        if node is None:
            continue
        if not open_nodes:
            root, wanted = node, "the end of the text"
        elif isinstance(open_nodes[-1][1], dict):
            key, key_start, key_end = keys.pop()
            open_nodes[-1][1][key] = node.value
            open_nodes[-1][2].append((key, key_start, key_end, node))
            wanted = "',' or '}'"
        else:
            open_nodes[-1][1].append(node.value)
            open_nodes[-1][2].append(node)
            wanted = "',' or ']'"
    if wanted != "the end of the text":
        raise _json5_unexpected(text, len(text), len(text), wanted)
    return root


def _json5_tokens(text):
    """Yield (kind, start, end) of every token that is not white space or a comment."""
    match = re.compile(_JSON5_TOKEN).match       # re caches; compiled only when JSON5 is met
    pos, size = 0, len(text)
    while pos < size:
        found = match(text, pos)
        if found is None:
            raise _json5_unexpected(text, pos, pos + 1, None)
        end = found.end()
        if found.lastgroup != "trivia":
            yield found.lastgroup, pos, end
        pos = end


def _json5_unexpected(text, start, end, wanted):
    if start >= len(text):
        found = "the end of the text"
    elif text.startswith("/*", start):
        found = "a comment that does not end"
    elif text[start] in "\"'":
        found = "a string that does not end" if end - start == 1 else "a string"
    else:
        found = repr(text[start:min(end, start + 20)])
    return Json5Error("expected %s, found %s" % (wanted, found) if wanted else "found " + found, text, start)


def _json5_scalar(text, kind, start, end, wanted):
    token = text[start:end]
    if kind == "string":
        return _json5_string(text, start, end)
    if kind == "word" and token in _JSON5_WORDS:
        return _JSON5_WORDS[token]
    if kind != "number":
        raise _json5_unexpected(text, start, end, wanted)
    digits = token.lstrip("+-")
    sign = -1 if token[0] == "-" else 1
    if digits in _JSON5_WORDS:
        return sign * _JSON5_WORDS[digits]
    if digits[:2] in ("0x", "0X"):
        return sign * int(digits, 16)
    return sign * (json_number(digits) if digits.isdigit() else float(digits))


def _json5_string(text, start, end):
    raw = text[start + 1:end - 1]
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


def _json5_identifier(text, start, end):
    """Return the name of an unquoted key (ECMA-262 IdentifierName, escapes decoded)."""
    name = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), text[start:end])
    plain = name.replace("$", "_").replace("\u200c", "_").replace("\u200d", "_")
    if not plain.isidentifier() or name[0] in "\u200c\u200d":
        raise Json5Error("%r is no key; put it in quotes" % name, text, start)
    return name


def _decode_utf8(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as bad:
        text = data[:bad.start].decode("utf-8", "replace")
        raise Json5Error("a byte that is no UTF-8 (0x%02x)" % data[bad.start], text, len(text))


# ----------------------------------------------------------------------------
# Settings: paths, .env, environment, substitution, $include, validation
# ----------------------------------------------------------------------------

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
    """Return the ConfigError that words the first of some Issues."""
    first = issues[0]
    problem = ("%s: %s" % (first.path, first.message)) if first.path else first.message
    if len(issues) > 1:
        problem += " (and %d more)" % (len(issues) - 1)
    return fail("config-invalid", where=issue_place(first), problem=problem, issues=issues)


def issue_place(issue):
    """Return file:line:column of an Issue, or as much of it as is known."""
    return ":".join(str(part) for part in (issue.file, issue.line, issue.column) if part is not None)


def read_settings(config_path=None, env=None):
    """Return Settings whose `issues` say what is wrong; never raises for what a file holds."""
    env = dict(os.environ if env is None else env)
    state_dir = state_directory(env)
    path = config_path or _set(env.get("OPENCLAW_CONFIG_PATH"))
    if path is None and state_dir is not None:
        path = os.path.join(state_dir, "openclaw.json")
    path = _expand_home(path, env)
    sources, config, issues, warnings = {}, {}, [], []
    try:
        if path is not None and os.path.lexists(path):
            config = _load_config(path, env, sources)
        elif config_path:
            warnings.append(Issue("", "there is no such file; going on without a config", path, None, None))
    except ConfigError as error:
        issues.append(_issue_of(error, path))
    except RecursionError:
        issues.append(Issue("", "nested too deep", path, None, None))
    if not issues and not isinstance(config, dict):
        issues.append(Issue("", "expected an object at the top, found %s" % _json_type(config), path, 1, 1))
    if issues:
        config = {}
    layers = _environment_layers(env, state_dir, config)
    variables = {}
    for _, layer in reversed(layers):
        variables.update((name, value) for name, value in layer.items() if value.strip())
    missing = {}
    config = _substitute(config, variables, "", missing)
    for key_path, name in missing.items():
        warnings.append(_located(sources, path, key_path, "the variable %s is not set; what uses it will not work" % name))
    for key_path, problem, severe in _schema_faults(config):
        (issues if severe else warnings).append(_located(sources, path, key_path, problem))
    return Settings(path, bool(sources), config, variables, layers, missing, state_dir, sources, issues, warnings)


def state_directory(env):
    """Return OpenClaw's state directory, or None where there is no home directory."""
    chosen = _set(env.get("OPENCLAW_STATE_DIR"))
    if chosen:
        return _expand_home(chosen, env)
    home = _expand_home(_set(env.get("OPENCLAW_HOME")), env) or _home(env)
    return os.path.join(home, ".openclaw") if home else None


def _set(value):
    """Return a setting of the environment, or None when OpenClaw counts it as unset."""
    value = (value or "").strip()
    return None if value in ("", "undefined", "null") else value


def _home(env):
    return _set(env.get("HOME")) or _set(env.get("USERPROFILE"))


def _expand_home(path, env):
    if path and (path == "~" or path[:2] in ("~/", "~" + os.sep)) and _home(env):
        return _home(env) + path[1:]
    return path


def read_text(path, limit):
    """Return the text of a regular file of at most `limit` bytes, decoded as UTF-8, line ends kept.

    Raises ConfigError naming the path; never blocks on a FIFO or a device.
    """
    import stat
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise fail("config-invalid", where=path, problem="it is " + kind)
        with open(path, "rb") as source:
            data = source.read(limit + 1)
    except OSError as error:
        raise fail("config-invalid", where=path, problem="cannot be read: %s" % (error.strerror or error))
    except ValueError as error:                      # a NUL in the path
        raise fail("config-invalid", where=repr(path), problem=str(error))
    if len(data) > limit:
        raise fail("config-invalid", where=path, problem="larger than %d bytes" % limit)
    try:
        return _decode_utf8(data)
    except Json5Error as error:
        raise _placed(error, path)


def _placed(error, path):
    """Return a Json5Error as the config error of the file it is in."""
    return fail("config-invalid", where="%s:%d:%d" % (path, error.line, error.column), problem=error.problem,
                issue=Issue("", error.problem, path, error.line, error.column))


def _issue_of(error, path):
    return error.facts.get("issue") or Issue("", error.facts.get("problem") or error.message,
                                             error.facts.get("where") or path, None, None)


def _load_config(path, env, sources):
    """Return the config object with its $includes merged in; fills `sources` with the texts read."""
    roots = [os.path.dirname(os.path.abspath(path))]
    roots += [_expand_home(root, env) for root in (env.get("OPENCLAW_INCLUDE_ROOTS") or "").split(os.pathsep)
              if _set(root)]
    return _load_included(path, CONFIG_LIMIT, [], roots, sources)


def _load_included(path, limit, chain, roots, sources):
    text = read_text(path, limit)
    sources[path] = text
    try:
        value = json5_loads(text)
    except Json5Error as error:
        raise _placed(error, path)
    return _include(value, path, chain + [os.path.normpath(path)], roots, sources)


def _include(value, path, chain, roots, sources):
    """Resolve the $include of `value` and of everything in it.

    Arrays join, objects merge, siblings of $include win, as in OpenClaw.
    """
    if isinstance(value, list):
        return [_include(item, path, chain, roots, sources) for item in value]
    if not isinstance(value, dict):
        return value
    rest = {key: _include(item, path, chain, roots, sources) for key, item in value.items() if key != "$include"}
    if "$include" not in value:
        return rest
    names = value["$include"]
    merged = {} if isinstance(names, list) else None
    for name in names if isinstance(names, list) else [names]:
        if not isinstance(name, str):
            raise _include_error(path, "expected a path or a list of paths, found %s" % _json_type(name))
        target = _include_target(name, path, chain, roots)
        loaded = _load_included(target, INCLUDE_LIMIT, chain, roots, sources)
        merged = loaded if merged is None else deep_merge(merged, loaded)
    if rest and not isinstance(merged, dict):
        raise _include_error(path, "keys beside $include need an object in the included file")
    return deep_merge(merged, rest) if rest else merged


def include_target(name, path):
    """Return the path that $include: `name` means in the file `path`."""
    return os.path.normpath(os.path.join(os.path.dirname(path), name))


def _include_target(name, path, chain, roots):
    try:
        target = include_target(name, path)
        real = os.path.realpath(target)
        inside = any(_inside(target, root) and _inside(real, os.path.realpath(root)) for root in roots)
    except ValueError as error:                      # a NUL in the path
        raise _include_error(path, str(error))
    if not inside:
        raise _include_error(path, "%s lies outside %s (OPENCLAW_INCLUDE_ROOTS can allow it)" % (name, roots[0]))
    if target in chain:
        raise _include_error(path, "the files include each other: " + " -> ".join(chain + [target]))
    if len(chain) > INCLUDE_DEPTH:
        raise _include_error(path, "more than %d levels of includes at %s" % (INCLUDE_DEPTH, name))
    return target


def _inside(path, root):
    root = os.path.abspath(root)
    path = os.path.abspath(path)
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _include_error(path, problem):
    return fail("config-invalid", where=path, problem="$include: " + problem,
                issue=Issue("", "$include: " + problem, path, None, None))


def deep_merge(base, over):
    """Merge two JSON values: objects key by key, arrays joined, else `over`. Neither is changed."""
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            merged[key] = deep_merge(base[key], value) if key in base else value
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
        if value[:1] in ("'", '"', "`") and value[-1:] == value[0] and len(value) > 1:
            quote, value = value[0], value[1:-1]
            if quote == '"':
                value = value.replace("\\n", "\n").replace("\\r", "\r")
        values[name] = value
    return values


def _environment_layers(env, state_dir, config):
    """Return [(label, {name: value})] in the order OpenClaw asks: process, .env, the config's env.vars."""
    layers = [("the environment", env)]
    path = os.path.join(state_dir, ".env") if state_dir else None
    if path and os.path.isfile(path):
        try:
            layers.append((path, parse_dotenv(read_text(path, INCLUDE_LIMIT))))
        except ConfigError:
            pass                                     # OpenClaw goes on without an unreadable .env
    block = config.get("env")
    declared = block.get("vars") if isinstance(block, dict) else None
    if isinstance(declared, dict):
        known = {}
        for _, layer in reversed(layers):
            known.update((name, value) for name, value in layer.items() if value.strip())
        layers.append(("env.vars of the config", {name: _substitute(value, known, "", {})
                                                  for name, value in declared.items() if isinstance(value, str)}))
    return layers


def variable_source(settings, name):
    """Return the label of the layer that gives a variable its value, or None."""
    for label, layer in settings.layers:
        if layer.get(name, "").strip():
            return label
    return None


def _substitute(value, variables, path, missing):
    """Replace ${NAME} in every string, in one pass; note in `missing` what is not set.

    $${NAME} yields a literal ${NAME}; only [A-Z_][A-Z0-9_]* are names.
    """
    if isinstance(value, dict):
        return {key: _substitute(item, variables, _join(path, key), missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, variables, _join(path, index), missing) for index, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replace(match):
        escaped, name = match.groups()
        if escaped:
            return match.group(0)[1:]
        if name not in variables:
            missing.setdefault(path, name)
        return variables.get(name, match.group(0))

    return re.sub(r"\$(\$)\{[A-Z_][A-Z0-9_]*\}|\$\{([A-Z_][A-Z0-9_]*)\}", replace, value)


def _join(path, key):
    return "%s.%s" % (path, key) if path else str(key)


def _json_type(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (int, float)):
        return "a number" if math.isfinite(value) else repr(value)
    return "an array" if isinstance(value, list) else "an object"


def _located(sources, file, path, problem):
    """Return an Issue with the line and column of a key path, or of the nearest key above it."""
    if file not in sources:
        return Issue(path, problem, file, None, None)
    keys = path.split(".") if path else []
    found, pos = _locate(sources, file, json5_tree(sources[file]), keys)
    line, column = line_and_column(sources[found], pos)
    return Issue(path, problem, found, line, column)


def _locate(sources, file, node, keys):
    """Return (file, position) of a dotted path, following $include; keys may themselves hold dots."""
    best = (file, node.start)
    if not keys or not node.items:
        return best
    if isinstance(node.value, list):
        index = int(keys[0]) if keys[0].isdigit() else len(node.items)
        return _locate(sources, file, node.items[index], keys[1:]) if index < len(node.items) else best
    for used in range(len(keys), 0, -1):
        name = ".".join(keys[:used])
        for key, start, _, child in reversed(node.items):
            if key == name:
                return (file, child.start) if used == len(keys) else _locate(sources, file, child, keys[used:])
    names = node.value.get("$include")
    for name in reversed(names if isinstance(names, list) else [names]):
        target = include_target(name, file) if isinstance(name, str) else None
        if target in sources:
            found = _locate(sources, target, json5_tree(sources[target]), keys)
            if found[1] != json5_tree(sources[target]).start:
                return found
    return best


# The schema of what is read here, as far as OpenClaw 2026.9 is known to check it.
# A name is a rule of _RULES; a dict an object (with "*": rule for any key: a record);
# a list of one rule an array; a set the allowed texts.
_APIS = {"openai-completions", "openai-responses", "openai-codex-responses", "openai-chatgpt-responses",
         "anthropic-messages", "google-generative-ai", "google-vertex", "github-copilot",
         "bedrock-converse-stream", "ollama", "azure-openai-responses"}
_SECRET = "a text or a secret reference"
_THINKING_FORMATS = {"openai", "openrouter", "deepseek", "together", "baseten", "zai", "qwen", "chat-template",
                     "qwen-chat-template", "string-thinking", "ant-ling"}
_COMPAT = {
    "supportsStore": "a boolean", "supportsPromptCacheKey": "a boolean", "supportsDeveloperRole": "a boolean",
    "supportsReasoningEffort": "a boolean", "supportedReasoningEfforts": ["a text"], "reasoningEffortMap": {"*": "a text or null"},
    "supportsUsageInStreaming": "a boolean", "supportsTools": "a boolean", "supportsStrictMode": "a boolean",
    "supportsLongCacheRetention": "a boolean", "supportsJsonSchemaResponseFormat": "a boolean",
    "requiresStringContent": "a boolean", "strictMessageKeys": "a boolean",
    "maxTokensField": {"max_completion_tokens", "max_tokens"}, "thinkingFormat": _THINKING_FORMATS,
    "requiresToolResultName": "a boolean", "requiresAssistantAfterToolResult": "a boolean",
    "requiresThinkingAsText": "a boolean", "requiresReasoningContentOnAssistantMessages": "a boolean",
    "toolSchemaProfile": "a text", "unsupportedToolSchemaKeywords": ["a text"], "nativeWebSearchTool": "a boolean",
    "toolCallArgumentsEncoding": "a text", "requiresMistralToolIds": "a boolean",
    "requiresOpenAiAnthropicToolPayload": "a boolean",
}
_COST = {"input": "a number", "output": "a number", "cacheRead": "a number", "cacheWrite": "a number", "tieredPricing": "anything"}
_MODEL_ROW = {
    "id": "a non-empty text, required", "name": "a non-empty text, required", "api": _APIS, "baseUrl": "a non-empty text",
    "reasoning": "a boolean", "input": [{"text", "image", "video", "audio"}], "cost": _COST,
    "contextWindow": "a number above 0", "contextTokens": "a number above 0", "maxTokens": "a number above 0",
    "params": "an object", "headers": {"*": "a text"}, "compat": _COMPAT, "agentRuntime": "anything",
    "thinkingLevelMap": {"*": "a text or null"}, "metadataSource": "anything", "mediaInput": "anything",
}
_REQUEST = {"headers": {"*": _SECRET}, "auth": "a request auth", "proxy": "an object", "tls": "an object",
            "allowPrivateNetwork": "a boolean"}
_PROVIDER_BLOCK = {
    "baseUrl": "a non-empty text", "apiKey": _SECRET, "auth": {"api-key", "aws-sdk", "oauth", "token"}, "api": _APIS,
    "contextWindow": "a number above 0", "contextTokens": "a number above 0", "maxTokens": "a number above 0",
    "timeoutSeconds": "a whole number above 0", "injectNumCtxForOpenAICompat": "a boolean", "params": "an object",
    "headers": {"*": _SECRET}, "authHeader": "a boolean", "request": _REQUEST, "models": [_MODEL_ROW],
    "agentRuntime": "anything", "localService": "anything", "region": "a text",
}
_MODELS = {"mode": {"merge", "replace"}, "providers": {"*": _PROVIDER_BLOCK}, "pricing": "anything",
           "bedrockDiscovery": "anything", "proxy": "a text"}
_MODEL_CHOICE = "a model reference"
_DEFAULTS = {"model": _MODEL_CHOICE, "imageModel": _MODEL_CHOICE, "models": {"*": "an object"}, "params": "an object",
             "...": None}
_SCHEMA = {"models": _MODELS, "agents": {"defaults": _DEFAULTS, "...": None},
           "env": {"vars": {"*": "a text"}, "shellEnv": "an object"}, "...": None}


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_RULES = {
    "anything": lambda value: True,
    "a boolean": lambda value: isinstance(value, bool),
    "a text": lambda value: isinstance(value, str),
    "a text or null": lambda value: value is None or isinstance(value, str),
    "an object": lambda value: isinstance(value, dict),
    "a number": _is_number,
    "a number above 0": lambda value: _is_number(value) and value > 0,
    "a whole number above 0": lambda value: _is_number(value) and value > 0 and value == int(value),
    "a non-empty text": lambda value: isinstance(value, str) and value != "",
}


def _schema_faults(config):
    """Yield (key path, problem, severe) of everything in a config that OpenClaw would refuse."""
    for fault in _faults(config, _SCHEMA, ""):
        yield fault
    providers = _get(config, "models", "providers")
    for name, block in providers.items() if isinstance(providers, dict) else ():
        url = block.get("baseUrl") if isinstance(block, dict) else None
        if isinstance(url, str) and url:
            problem = base_url_problem(url)
            if problem and "${" not in url:
                yield "models.providers.%s.baseUrl" % name, problem, True


def _faults(value, rule, path):
    if isinstance(rule, str):
        return _rule_faults(value, rule, path)
    if isinstance(rule, set):
        allowed = isinstance(value, str) and value in rule
        return [] if allowed else [(path, "expected one of %s, found %s" % (", ".join(sorted(rule)), _shown(value)), True)]
    if isinstance(rule, list):
        if not isinstance(value, list):
            return [(path, "expected an array, found %s" % _json_type(value), True)]
        return [fault for index, item in enumerate(value) for fault in _faults(item, rule[0], _join(path, index))]
    if not isinstance(value, dict):
        return [(path, "expected an object, found %s" % _json_type(value), True)]
    faults = []
    for key, item in value.items():
        inner = rule.get(key, rule.get("*"))
        if inner is not None:
            faults += _faults(item, inner, _join(path, key))
        elif "..." not in rule and key != "$schema":
            faults.append((_join(path, key), unknown_key(key, rule), False))
    for key, inner in rule.items():
        if isinstance(inner, str) and inner.endswith(", required") and key not in value:
            faults.append((_join(path, key), "expected %s, found nothing" % inner, True))
    return faults


def unknown_key(key, known):
    """Return the words for a key OpenClaw does not know, with the nearest it does."""
    near = nearest(key, known)
    return "OpenClaw 2026.9 does not know the key %r%s" % (key, "; did you mean %s?" % near if near else "")


def nearest(name, names):
    """Return the one of some names most like `name`, or None when none is like it."""
    import difflib
    folded = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), list(folded), 1, 0.6)
    return folded[found[0]] if found else None


def _shown(value):
    return json.dumps(value)[:60] if isinstance(value, (str, int, float, bool)) else _json_type(value)


def _rule_faults(value, rule, path):
    rule = rule.replace(", required", "")
    if rule == _SECRET:
        return [] if isinstance(value, str) else _secret_faults(value, path)
    if rule == _MODEL_CHOICE:
        if isinstance(value, str):
            return []
        return _faults(value, {"primary": "a text", "fallbacks": ["a text"], "...": None}, path)
    if rule == "a request auth":
        return _auth_faults(value, path)
    if _RULES[rule](value):
        return []
    return [(path, "expected %s, found %s" % (rule, _shown(value)), True)]


def _secret_faults(value, path):
    if not isinstance(value, dict) or value.get("source") not in ("env", "file", "exec"):
        return [(path, "expected a text or {source, provider, id}, found %s" % _json_type(value), True)]
    for key in ("provider", "id"):
        if not isinstance(value.get(key), str) or not value[key]:
            return [(_join(path, key), "expected a non-empty text", True)]
    if value["source"] == "env" and not re.match(r"[A-Z][A-Z0-9_]{0,127}\Z", value["id"]):
        return [(_join(path, "id"), "expected the name of a variable such as VLLM_API_KEY", True)]
    if not re.match(r"[a-z][a-z0-9_-]{0,63}\Z", value["provider"]):
        return [(_join(path, "provider"), "expected a name such as \"default\"", True)]
    return []


_AUTH_MODES = {
    "provider-default": {"mode": "a text"},
    "authorization-bearer": {"mode": "a text", "token": _SECRET},
    "header": {"mode": "a text", "headerName": "a non-empty text", "value": _SECRET, "prefix": "a text"},
}


def _auth_faults(value, path):
    mode = value.get("mode") if isinstance(value, dict) else None
    if not isinstance(mode, str) or mode not in _AUTH_MODES:
        return [(_join(path, "mode") if isinstance(value, dict) else path,
                 "expected one of %s" % ", ".join(sorted(_AUTH_MODES)), True)]
    needed = {"authorization-bearer": ("token",), "header": ("headerName", "value")}.get(mode, ())
    absent = [(_join(path, key), "expected a value, found nothing", True) for key in needed if key not in value]
    return absent + _faults(value, _AUTH_MODES[mode], path)


def _get(value, *keys):
    """Return a nested value of an object, or None where the path ends early."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
