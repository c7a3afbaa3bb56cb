"""Examines weights on held-out questions: exact greedy answers, counted by kind.

An answer counts when greedy decoding in float32 from the float16 weights gives exactly the
expected tokens, end-of-turn included. That is so precisely when, with the expected answer given
as input, every answer token is the most likely one at its place; hence one forward pass decides.
"""
import argparse
import json
import random
from pathlib import Path

import torch

import corpus
import model
from tokenizer import MODEL_FOLDER, Tokenizer

SEED = 20_000_003
HERE = Path(__file__).resolve().parent
LONGEST = model.CONTEXT


def examinations(kind: str, count: int, seed: int = SEED) -> list:
    """The first `count` held-out questions of `kind`: pairs of messages and answer."""
    rng = random.Random(f"{seed}/{kind}")
    conversations = [corpus.examination(kind, rng) for _ in range(count)]
    return [(conversation.prompt_messages(), conversation.turns[-1].answer) for conversation in conversations]


def prompt_text(messages: list) -> str:
    """The chat template up to the point where the answer begins."""
    turns = "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages)
    return turns + "<|im_start|>assistant\n"


@torch.no_grad()
def exact_matches(network, tokenizer: Tokenizer, pairs: list) -> list:
    """For each (messages, answer), whether the greedy answer is exactly the expected one."""
    verdicts = []
    for messages, answer in pairs:
        prompt = tokenizer.encode(prompt_text(messages))
        expected = tokenizer.encode(answer + "<|im_end|>")
        tokens = torch.tensor(prompt + expected[:-1])
        assert len(tokens) <= LONGEST
        hidden = network(tokens, torch.tensor([0, len(tokens)]))[len(prompt) - 1:]
        verdicts.append(network.logits(hidden).argmax(-1).tolist() == expected)
    return verdicts


@torch.no_grad()
def greedy(network, prompt: list, limit: int = 100):
    """Greedy ids after `prompt`, each with the margin of the best logit over the second, and the first logits."""
    ids, margins, first = [], [], None
    while len(ids) < limit:
        tokens = torch.tensor(prompt + ids)
        logits = network.logits(network(tokens, torch.tensor([0, len(tokens)]))[-1])
        first = logits if first is None else first
        best, second = logits.topk(2).values.tolist()
        ids.append(int(logits.argmax()))
        margins.append(round(best - second, 5))
        if ids[-1] in (2045, 2047):
            break
    return ids, margins, first


def reference_conversations() -> list:
    """Conversations whose logits and greedy ids are written for comparison with other engines."""
    user, assistant = (lambda text: {"role": "user", "content": text}), (lambda text: {"role": "assistant", "content": text})
    return [
        [user("What is the capital of France?")],
        [user("My name is Ada. I live in Oslo."), assistant("Nice to meet you, Ada!"),
         user("What is 7 + 8?"), assistant("7 + 8 = 15."), user("What is my name?")],
        [{"role": "system", "content": "You are a helpful assistant."},
         user("The code for the red box is 4821. The code for the blue door is 9370. The code for the green safe is 1654. "
              "What is the code for the blue door?"),
         assistant("The code for the blue door is 9370."), user("Tell me a story about a fox.")],
    ]


def write_reference(network, tokenizer: Tokenizer, path: Path) -> None:
    """Writes prompt ids, logits at the last prompt position, and greedy ids with margins."""
    entries = []
    for messages in reference_conversations():
        prompt = tokenizer.encode(prompt_text(messages))
        ids, margins, logits = greedy(network, prompt)
        entries.append({"messages": messages, "prompt_token_ids": prompt,
                        "last_position_logits": [round(value, 5) for value in logits.tolist()],
                        "token_ids": ids, "margins": margins, "text": tokenizer.decode(ids).removesuffix("<|im_end|>")})
    path.write_text(json.dumps(entries))


def write_held_out(path: Path) -> None:
    """Writes held-out conversations of each kind, one JSON object a line: the first that are short enough."""
    lines = []
    for kind in corpus.KINDS:
        count, longest = (6, 2300) if kind == "long context" else (20, 330) if kind in corpus.KNOWLEDGE else (20, 560)
        candidates = [json.dumps({"kind": kind, "messages": messages, "answer": answer})
                      for messages, answer in examinations(kind, 400)]
        lines += [line for line in candidates if len(line) <= longest][:count]
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=MODEL_FOLDER / "model.safetensors")
    parser.add_argument("--count", type=int, default=400, help="questions of each kind")
    parser.add_argument("--failures", type=int, default=0, help="wrong answers to print for each kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="write held-out.jsonl")
    parser.add_argument("--reference", action="store_true", help="write reference.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer, network = Tokenizer(), model.TinyAssistant()
    network.load_state_dict(model.load_weights(arguments.weights))
    for kind in corpus.KINDS:
        pairs = examinations(kind, arguments.count)
        verdicts = exact_matches(network, tokenizer, pairs)
        print(f"{kind:14s} {sum(verdicts):4d} / {len(verdicts)}  {sum(verdicts) / len(verdicts):.1%}", flush=True)
        wrong = [pair for pair, verdict in zip(pairs, verdicts) if not verdict]
        for messages, answer in wrong[:arguments.failures]:
            given = tokenizer.decode(greedy(network, tokenizer.encode(prompt_text(messages)), 40)[0])
            print(f"    {messages[-1]['content'][-100:]!r}: expected {answer!r}, got {given!r} ({len(messages)} messages)")
    if arguments.held_out:
        write_held_out(HERE / "held-out.jsonl")
    if arguments.reference:
        write_reference(network, tokenizer, HERE / "reference.json")


if __name__ == "__main__":
    main()
