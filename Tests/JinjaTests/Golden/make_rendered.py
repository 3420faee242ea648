#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders every template in templates/ over the conversations below, in jinja2 as transformers sets it up, into rendered.json.

usage: make_rendered.py      (needs jinja2 3.1 or later)
The templates are written for this test after the shapes that families of models use; none is a copy.
"""
import datetime
import json
import pathlib

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2024, 7, 5, 9, 4, 2)


class Generation(Extension):
    """The tag that transformers adds, without its bookkeeping."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(name, arguments, id="abcdef123"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place, in <b>metric</b> units.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City & country"},
                "days": {"type": "integer", "description": "How far ahead", "default": 1},
                "fields": {"type": "array", "items": {"type": "string", "enum": ["wind", "rain"]}},
            },
            "required": ["place"],
        },
        "return": {"type": "string"},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Now.", "parameters": {"type": "object", "properties": {}}}}

CONVERSATIONS = [
    {"messages": [user("Hello!")], "add_generation_prompt": True},
    {"messages": [system("  You are terse.\n"), user(" What is 2 + 2? "), assistant("4."), user("And 3 + 3?")],
     "add_generation_prompt": True},
    {"messages": [user("Zähle: один, 二, 🦊 — \"quoted\" & 'single' \\ back\tslash"), assistant("  ein\nzwei\n\n")],
     "add_generation_prompt": False},
    {"messages": [system("Use tools."), user("Weather in Paris?"), assistant("", tool_calls=[call("get_weather", {"place": "Paris", "days": 2})]),
                  {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "18 °C, \"rain\""},
                  assistant("18 degrees."), user("Thanks")],
     "tools": [WEATHER, CLOCK], "add_generation_prompt": True},
    {"messages": [user("Time and weather?"),
                  assistant(None, tool_calls=[call("clock", {}), call("get_weather", {"place": "Oslo", "fields": ["wind"], "exact": True, "scale": 1.5}, "xyz")]),
                  {"role": "tool", "content": "{\"t\": 1}", "tool_call_id": "abcdef123"}, {"role": "tool", "content": "cold", "tool_call_id": "xyz"}],
     "tools": [WEATHER], "add_generation_prompt": True},
    {"messages": [system("/no_think be quick"), user("Why?"), assistant("<think>\nbecause\n</think>\n\nSo."), user("Why not?"),
                  assistant("<think>hm</think>No reason.")], "add_generation_prompt": False, "enable_thinking": False},
    {"messages": [user("first"), user("second"), assistant("third")], "add_generation_prompt": True},
    {"messages": [system([{"type": "text", "text": "Look closely."}]),
                  user([{"type": "image"}, {"type": "text", "text": " What is this? "}]), assistant([{"type": "text", "text": "A fox."}])],
     "add_generation_prompt": True},
    {"messages": [user("Summarise."), assistant("Which one?"), user("Both.\n\n{{ not a template }} {% if %}")],
     "documents": [{"title": "One", "text": "Text of one."}, {"title": "Two", "text": "Text\nof two."}],
     "add_generation_prompt": True, "enable_thinking": True, "controls": {"length": "short"}},
    {"messages": [assistant("I speak first.\r\nLine"), user(""), {"role": "developer", "content": "explode"}], "add_generation_prompt": True,
     "date_string": "1 Jan 2020", "builtin_tools": ["wolfram", "code_interpreter"], "tools_in_user_message": False, "tools": [CLOCK]},
]

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def render(env, source, conversation):
    variables = {"tools": None, "documents": None, **TOKENS, **conversation}
    try:
        return {"text": env.from_string(source).render(**variables)}
    except jinja2.exceptions.UndefinedError:
        return {"error": "evaluation"}
    except jinja2.exceptions.TemplateSyntaxError:
        return {"error": "syntax"}
    except jinja2.exceptions.TemplateError as error:
        return {"error": "raised", "message": str(error)}
    except (TypeError, ValueError, AttributeError):
        return {"error": "evaluation"}


def main():
    folder = pathlib.Path(__file__).parent
    env = environment()
    rendered = {
        path.stem: [render(env, path.read_text(), conversation) for conversation in CONVERSATIONS]
        for path in sorted((folder / "templates").glob("*.jinja"))
    }
    tokens = {"tools": None, "documents": None, **TOKENS}
    file = {"conversations": [{**tokens, **conversation} for conversation in CONVERSATIONS], "rendered": rendered}
    (folder / "rendered.json").write_text(json.dumps(file, ensure_ascii=False, indent=1) + "\n")
    texts = sum("text" in result for results in rendered.values() for result in results)
    print(f"{len(rendered)} templates, {len(CONVERSATIONS)} conversations, {texts} texts")


main()
