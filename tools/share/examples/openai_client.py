"""The openai package against chaski: MODEL and a question; the answer as it comes."""
import os
import sys

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("CHASKI_URL", "http://127.0.0.1:11434") + "/v1",
                api_key=os.environ.get("CHASKI_API_KEY", "none"))
stream = client.chat.completions.create(
    model=sys.argv[1], messages=[{"role": "user", "content": sys.argv[2]}], stream=True)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
print()
