"""Trains the model on generated conversations.

Everything depends on the seed and the step number alone: batch `n` is generated from (seed, n) and
the learning rate is a function of the step, so a stopped run continues as if it had not stopped.
Loss is taken on the assistant's tokens only, and logits are computed only there.

A batch is cut into parts that worker threads take one by one, each computing on a single core; the
parts' gradients are added in a fixed order, so the result does not depend on the number of threads
and the only waiting between cores is once a step.
"""
import argparse
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import corpus
import evaluate
import kernels
import model
from tokenizer import Tokenizer

EMA_DECAY = 0.998  # the weights written are a running average over some 500 steps
PARTS = 4  # pieces of a batch
SCHEDULE = ("0:0.000015,200:0.003,4500:0.003,5250:0.0023584,5750:0.0015743,6500:0.0009022,8000:0.000006,"
            "8040:0.0005,8400:0.000006")

# The stages, by step. Conversations grow to full length first; dense recall joins when the plain
# facts are learnt, then the final style of told things, then copying of unseen words, distance,
# then the rarer forms of plain questions, and at last, at a rate raised once more, those in wider
# wordings.
CURRICULUM_STEPS = 2000
DRILL_FROM, DRILL_SHARE = 3750, 0.4
FINAL_STYLE_FROM = 4750
WORD_DRILL_FROM, WORD_DRILL_SHARE = 5500, 0.22  # taken out of DRILL_SHARE
DISTANCE_DRILL_FROM, DISTANCE_DRILL_SHARE = 5750, 0.12
PLAIN_DRILL_FROM, PLAIN_DRILL_SHARE = 7250, 0.13
WIDER_FROM, WIDER_SHARE = 8000, 0.3  # in place of the plain drill


def training_example(rng: random.Random, step: int) -> corpus.Conversation:
    """One conversation of the stage that `step` belongs to."""
    chance = rng.random() if step >= DRILL_FROM else 1
    if step >= WORD_DRILL_FROM and chance < WORD_DRILL_SHARE:
        return corpus.word_drill(rng)
    if step >= DISTANCE_DRILL_FROM and chance > 1 - DISTANCE_DRILL_SHARE:
        return corpus.distance_drill(rng)
    if PLAIN_DRILL_FROM <= step < WIDER_FROM and 1 - DISTANCE_DRILL_SHARE - PLAIN_DRILL_SHARE < chance:
        return corpus.plain_drill(rng)
    if step >= WIDER_FROM and 1 - DISTANCE_DRILL_SHARE - WIDER_SHARE < chance:
        return corpus.plain_drill(rng, wider=0.5)
    style = corpus.FINAL_STYLE if step >= FINAL_STYLE_FROM else corpus.FIRST_STYLE
    if chance < DRILL_SHARE:
        return corpus.drill(rng, style)
    progress = min(1.0, step / CURRICULUM_STEPS)
    return corpus.training_conversation(rng, style, most_codes=int(3 + 17 * progress), longest=160 + 680 * progress)


class Batches:
    """Packs generated conversations into flat token batches."""

    def __init__(self, tokenizer: Tokenizer, seed: int, tokens: int):
        self.tokenizer, self.seed, self.tokens = tokenizer, seed, tokens
        self.start, self.end = tokenizer.special["<|im_start|>"], tokenizer.special["<|im_end|>"]
        (self.assistant,) = tokenizer.encode("assistant")

    def scored_positions(self, ids: list) -> list:
        """Indices of the tokens of every answer, its end-of-turn token included."""
        scored, position = [], 0
        while position < len(ids):
            if ids[position] == self.start and ids[position + 1] == self.assistant:
                position += 3  # the role and the line end belong to the prompt
                begin = position
                while ids[position] != self.end:
                    position += 1
                scored += range(begin, position + 1)
            position += 1
        return scored

    def batch(self, step: int) -> list:
        """The parts of one step: inputs, document offsets, scored input rows and their targets."""
        rng = random.Random(f"{self.seed}/{step}")
        documents = []
        while sum(map(len, documents)) < self.tokens:
            ids = self.tokenizer.encode(training_example(rng, step).text())
            if len(ids) <= model.CONTEXT:
                documents.append(ids)
        shares = [[] for _ in range(PARTS)]
        for ids in sorted(documents, key=len, reverse=True):  # the longest first, each to the emptiest part
            min(shares, key=lambda share: sum(map(len, share))).append(ids)
        return [self.pack(share) for share in shares if share]

    def pack(self, documents: list) -> tuple:
        """One part of a batch as tensors."""
        tokens, offsets, rows, targets = [], [0], [], []
        for ids in documents:
            scored = self.scored_positions(ids)
            rows += [len(tokens) + index - 1 for index in scored]
            targets += [ids[index] for index in scored]
            tokens += ids
            offsets.append(len(tokens))
        return torch.tensor(tokens), torch.tensor(offsets), torch.tensor(rows), torch.tensor(targets)


def gradients(network, part: tuple, scored: int) -> tuple:
    """The loss of one part, as its share of the step's mean over `scored` tokens, and its gradients."""
    tokens, offsets, rows, targets = part
    logits = network.logits(network(tokens, offsets)[rows])
    loss = kernels.CrossEntropy.apply(logits, targets, torch.full((len(rows),), 1 / scored))
    return loss.item(), torch.autograd.grad(loss, list(network.parameters()))


def learning_rate(step: int, schedule: list) -> float:
    """The rate at `step`, on straight lines between the (step, rate) points of `schedule`."""
    for (left, low), (right, high) in zip(schedule, schedule[1:]):
        if step < right:
            return low + (high - low) * (step - left) / (right - left)
    return schedule[-1][1]


def parse_schedule(text: str) -> list:
    """Reads "step:rate,step:rate,..."."""
    return [(int(step), float(rate)) for step, rate in (point.split(":") for point in text.split(","))]


def optimizer_for(network) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only."""
    matrices = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    gains = [parameter for parameter in network.parameters() if parameter.dim() == 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": gains, "weight_decay": 0.0}],
                             lr=1.0, betas=(0.9, 0.98))


def examine(state: dict, tokenizer: Tokenizer, count: int) -> str:
    """Right answers by kind for `state` rounded to float16, on one line."""
    network = model.TinyAssistant()
    network.load_state_dict({name: tensor.half().float() for name, tensor in state.items()})
    counts = []
    for kind in corpus.KINDS:
        pairs = evaluate.examinations(kind, count, seed=17)
        counts.append(f"{kind} {sum(evaluate.exact_matches(network, tokenizer, pairs))}")
    return f"of {count}: " + ", ".join(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the weights")
    parser.add_argument("--init", type=Path, help="weights to start from; without it, from nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schedule", type=parse_schedule, default=SCHEDULE,
                        help="step:rate points of the learning rate; training ends at the last")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a step, at least")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stop", type=int, help="stop after this step, to be continued")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    workers = ThreadPoolExecutor(arguments.threads)
    tokenizer, network = Tokenizer(), model.TinyAssistant()
    if arguments.init:
        network.load_state_dict(model.load_weights(arguments.init))
    optimizer, batches = optimizer_for(network), Batches(tokenizer, arguments.seed, arguments.tokens)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    checkpoint, step, seen = arguments.out / "checkpoint.pt", 0, 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        average, step, seen = saved["average"], saved["step"], saved["seen"]
    began, losses = time.time(), []
    steps = arguments.schedule[-1][0]
    while step < min(steps, arguments.stop or steps):
        parts = batches.batch(step)
        scored = sum(len(part[3]) for part in parts)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.schedule)
        results = list(workers.map(lambda part: gradients(network, part, scored), parts))
        for place, parameter in enumerate(network.parameters()):
            parameter.grad = sum(result[1][place] for result in results)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + sum(len(part[0]) for part in parts)
        losses.append(sum(result[0] for result in results))
        keep = min(EMA_DECAY, step / (step + 20))
        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                average[name].mul_(keep).add_(tensor, alpha=1 - keep)
        if step % 50 == 0:
            mean = sum(losses) / len(losses)
            print(f"{step} {time.time() - began:.0f}s {seen / 1e6:.1f}M tokens, loss {mean:.4f}", flush=True)
            losses = []
        if step % 250 == 0 or step == steps:
            partial = checkpoint.with_suffix(".partial")
            torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "average": average,
                        "step": step, "seen": seen}, partial)
            partial.rename(checkpoint)
            model.save_weights(average, arguments.out / "model.safetensors")
        if step % 500 == 0 or step == steps:
            print(f"{step} {examine(average, tokenizer, 50)}", flush=True)


if __name__ == "__main__":
    main()
