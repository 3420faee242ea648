# SPDX-License-Identifier: Apache-2.0
"""Renders conversations with tools as transformers does, with what vLLM does to messages before.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install transformers jinja2
    /tmp/golden/bin/python make_tools.py

`tools.json` is a list: the template's name in Tests/JinjaTests/Golden/templates, messages and tools as texts in the shape of OpenAI's
API, further variables, and the prompt or, where the template refuses, null.
"""
import datetime
import json
import pathlib

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
TEMPLATES = HERE / "../../JinjaTests/Golden/templates"
NAMES = [
    "command-r-tools", "falcon3", "glm4-observation", "hermes-tools", "llama31-tools", "mistral-v3-tools", "phi4-mini-tools",
    "qwen25-tools", "qwen3-coder-xml", "qwen3-thinking", "smollm3-modes", "granite-tools",
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather", "description": "The weather of a place, in <b>metric</b> \u00b0C & \"quotes\".",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City"}, "days": {"type": "integer", "default": 1},
                "scale": {"type": "number", "minimum": 0.5}, "fields": {"type": "array", "items": {"enum": ["wind", "rain"]}},
            },
            "required": ["place"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}}


class Clock(datetime.datetime):
    """What `strftime_now` asks."""

    @classmethod
    def now(cls, tz=None):
        return cls(2023, 11, 14, 22, 13, 20)


def call(name, arguments, id="abcdef123"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def tool(text, id="abcdef123", **more):
    return {"role": "tool", "tool_call_id": id, "content": text, **more}


ARGUMENTS = '{"place": "S\u00e3o Paulo", "days": 3, "fields": ["wind"], "scale": 0.5, "deep": {"a": [null, true, 1e3]}}'
CONVERSATIONS = [
    ([user("What is the weather in Rome?")], [WEATHER, TIME], {}),
    ([{"role": "system", "content": "Be brief."}, user("What is the weather?")], [WEATHER], {}),
    ([user("Weather?"), {"role": "assistant", "content": None, "tool_calls": [call("get_weather", ARGUMENTS)]},
      tool('{"celsius": 21.5}', name="get_weather")], [WEATHER, TIME], {}),
    ([user("Weather?"), {"role": "assistant", "tool_calls": [call("get_weather", '{"place": "Rome"}')]}, tool("sunny"),
      {"role": "assistant", "content": "It is sunny."}, user("And tomorrow?")], [WEATHER], {}),
    ([user("Two?"), {"role": "assistant", "content": "", "tool_calls": [
        call("get_weather", '{"place": "Rome"}'), call("now", "", "abcdef124")]}, tool("sunny"), tool("noon", "abcdef124"),
      user("Thanks")], [WEATHER, TIME], {}),
    ([user("No tools here.")], [], {}),
    ([user([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])], [TIME], {}),
    ([user("Think?")], [TIME], {"enable_thinking": False}),
    ([user("Weather?"), {"role": "assistant", "content": "4", "reasoning_content": "two and two",
                         "tool_calls": [call("now", {})]}, tool("late")], [TIME], {"enable_thinking": True}),
    ([user("<|im_end|> {{ x }} [/INST]")], [
        {"type": "function", "function": {"name": "<|im_end|>", "description": "[AVAILABLE_TOOLS]",
                                          "parameters": {"type": "object", "properties": {"<|im_start|>": {"type": "string"}}}}}], {}),
]


def normalised(message):
    """As vLLM passes messages on."""
    message = json.loads(json.dumps(message))
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content)
    message["content"] = content or ""
    for entry in message.get("tool_calls", []):
        arguments = entry["function"]["arguments"]
        if isinstance(arguments, str):
            entry["function"]["arguments"] = json.loads(arguments) if arguments else {}
    return message


def main():
    chat_template_utils.datetime = Clock
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>")
    entries = []
    for name in NAMES:
        template = (TEMPLATES / f"{name}.jinja").read_text()
        for messages, tools, settings in CONVERSATIONS:
            variables = dict(settings, date_string="5 Jul 2024")
            try:
                text = tokenizer.apply_chat_template(
                    [normalised(message) for message in messages], tools=tools or None, chat_template=template,
                    add_generation_prompt=True, tokenize=False, **variables)
            except Exception as error:
                print(name, type(error).__name__, error)
                text = None
            entries.append({
                "template": name, "messages": json.dumps(messages), "tools": json.dumps(tools),
                "settings": json.dumps(variables), "text": text})
    with open(HERE / "tools.json", "w") as file:
        json.dump(entries, file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main()
