"""tests/api/test_real.py - what only a real engine can show, through the server (spec/api.md 9, 20, 30)."""
import signal
import socket
import threading
import time

import pytest

pytestmark = pytest.mark.real
G = "/api/generate"
LONG = "the quick brown fox jumps over the lazy dog. " * 400


def greedy(server, prompt, n=16, **options):
    a = server.post(G, {"model": "m", "prompt": prompt, "stream": False,
                        "options": {"temperature": 0, "num_predict": n, **options}})
    assert a.status == 200, a.text
    return a.json()


def test_the_same_text_alone_beside_others_and_on_one_thread(server):
    alone = greedy(server, "Name three rivers.")["response"]
    assert alone
    got = []
    prompts = [f"Say {i} words about stones." for i in range(6)] + ["Name three rivers."]
    threads = [threading.Thread(target=lambda p=p: got.append((p, greedy(server, p)["response"])))
               for p in prompts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert dict(got)["Name three rivers."] == alone
    assert greedy(server, "Name three rivers.", num_thread=1)["response"] == alone


def test_a_drawn_seed_gives_the_same_answer_again(server):
    ask = {"model": "m", "prompt": "Tell me a story.", "stream": False}
    first = server.post(G, {**ask, "options": {"num_predict": 16, "temperature": 1}}).json()
    again = server.post(G, {**ask, "options": {"num_predict": 16, "temperature": 1,
                                               "seed": first["seed"]}}).json()
    assert again["response"] == first["response"] and "seed" not in again


def test_a_long_prompt_is_cut_as_the_formula_says_and_told(server):
    before = len(server.log())
    o = server.post(G, {"model": "m", "prompt": LONG, "raw": True, "stream": False,
                        "options": {"num_ctx": 128, "num_predict": 2, "num_keep": 4}}).json()
    # keep = 4 (+1 with BOS); N - max((N - keep) / 2, 1)
    assert o["prompt_eval_count"] in (66, 67)
    assert o["prompt_truncated"] > 3000
    assert "dropped" in server.log()[before:]


def test_truncate_false_is_an_error(server):
    a = server.post(G, {"model": "m", "prompt": LONG, "truncate": False,
                        "options": {"num_ctx": 128}})
    assert a.status == 400 and "exceeds the available context size (128 tokens)" in a.text


def test_context_goes_on(server):
    first = greedy(server, "My name is Ada.", 8)
    o = server.post(G, {"model": "m", "prompt": "What is my name?", "context": first["context"],
                        "stream": False, "options": {"temperature": 0, "num_predict": 8}}).json()
    assert o["prompt_eval_count"] > len(first["context"])
    assert o["context"][:len(first["context"])] == first["context"]


def test_a_second_turn_uses_the_cache(server):
    text = "Remember this list: " + ", ".join(f"item{i}" for i in range(200))
    one = [{"role": "user", "content": text}]
    ask = {"model": "m", "stream": False, "options": {"temperature": 0, "num_predict": 4}}
    a = server.post("/api/chat", {**ask, "messages": one}).json()
    two = one + [a["message"], {"role": "user", "content": "Thanks."}]
    b = server.post("/api/chat", {**ask, "messages": two}).json()
    assert b["prompt_eval_count"] > a["prompt_eval_count"]
    if "prompt_eval_cached_count" in b:
        assert b["prompt_eval_cached_count"] > a["prompt_eval_count"] / 2


def test_the_same_bytes_after_a_restart_warm_or_cold_on_one_thread_or_two(server, make_server):
    prompt = "List these again: " + ", ".join(f"thing {i}" for i in range(60))
    ask = {"model": "m", "prompt": prompt, "stream": False,
           "options": {"temperature": 0.8, "seed": 7, "num_predict": 24}}
    want = server.post(G, ask).json()
    again = server.post(G, ask).json()
    assert again["response"] == want["response"]
    assert again["prompt_eval_count"] == want["prompt_eval_count"]
    assert again["prompt_eval_cached_count"] > want["prompt_eval_count"] - 8
    for env in ({"CHASKI_THREADS": "1"}, {"CHASKI_THREADS": "2", "CHASKI_PREFIX_CACHE": "0"}):
        other = make_server(**env)
        for _ in range(2):
            o = other.post(G, ask).json()
            assert o["response"] == want["response"]
            assert o["prompt_eval_count"] == want["prompt_eval_count"]
        assert ("prompt_eval_cached_count" in o) == ("CHASKI_PREFIX_CACHE" not in env)


def test_a_deadline_ends_the_answer(server):
    greedy(server, "Hi", 1)
    ask = {"model": "m", "prompt": "Count for ever: 1, 2, 3,", "raw": True, "stream": False}
    o = {"temperature": 0, "num_predict": 5000, "num_ctx": 8000}
    a = server.post(G, {**ask, "options": {**o, "deadline_ms": 1500}}).json()
    assert a["done_reason"] == "deadline" and a["eval_count"] > 0 and a["response"]
    assert a["total_duration"] < 5e9
    late = server.post(G, {**ask, "prompt": LONG, "options": {**o, "deadline_ms": 20}})
    assert late.status == 504 and "deadline of 20 ms" in late.json()["error"]


def test_num_predict_zero_generates_nothing(server):
    o = greedy(server, "Hi", 0)
    assert (o["response"], o["eval_count"], o["done_reason"]) == ("", 0, "length")
    assert o["prompt_eval_count"] > 0


def test_stop_text_is_not_sent(server):
    whole = greedy(server, "Count from one to ten in words.", 24)["response"]
    stop = whole[5:9]
    o = greedy(server, "Count from one to ten in words.", 24, stop=[stop])
    assert o["response"] == whole[:whole.index(stop)] and o["done_reason"] == "stop"


def leave(server, body, wait):
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 30) as s:
        s.sendall(head % len(body) + body)
        time.sleep(wait)
    begun = time.time()
    while any(x["active"] for x in server.get("/api/ps").json()["models"]):
        assert time.time() - begun < 10
        time.sleep(0.02)
    return time.time() - begun


def test_a_client_that_leaves_frees_its_place(server):
    greedy(server, "Hi", 1)
    prompt = b'"' + LONG.encode() * 2 + b'"'
    assert leave(server, b'{"model":"m","prompt":%s,"options":{"num_ctx":2048}}' % prompt, 0.15) < 2
    assert leave(server, b'{"model":"m","prompt":"x","raw":true,"options":{"num_predict":2000}}',
                 0.5) < 2


def test_sigterm_lets_an_answer_end(make_server):
    s = make_server()
    got = []
    t = threading.Thread(target=lambda: got.append(greedy(s, "Tell me of the sea.", 40)))
    t.start()
    time.sleep(0.6)
    s.process.send_signal(signal.SIGTERM)
    t.join()
    assert got and got[0]["done"] and got[0]["eval_count"] > 0
    assert s.process.wait(10) == 0
