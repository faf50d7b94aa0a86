#!/bin/sh
# One question to a model of the store, the answer as it comes.
#     tools/share/examples/chat.sh MODEL "Why is the sky blue?"
# CHASKI_API_KEY is sent when it is set.
set -eu
host=${OLLAMA_HOST:-127.0.0.1:11434}
python3 -c 'import json, sys
print(json.dumps({"model": sys.argv[1], "messages": [{"role": "user", "content": sys.argv[2]}]}))' \
  "$1" "$2" |
  curl -sN "http://$host/api/chat" ${CHASKI_API_KEY:+-H "Authorization: Bearer $CHASKI_API_KEY"} -d @- |
  while IFS= read -r line; do
    printf '%s' "$line" | python3 -c 'import json, sys
row = json.load(sys.stdin)
sys.stdout.write(row.get("message", {}).get("content", "") or row.get("error", ""))'
  done
echo
