"""PanGu-alpha in numpy, fp64, from the paper and the config: row by row, head by head, expert by expert."""

import numpy as np


def fast_gelu(x):
    return x / (1 + np.exp(-1.702 * np.abs(x))) * np.exp(0.851 * (x - np.abs(x)))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Reference:
    """Logits and balance loss from a config and named arrays."""

    def __init__(self, config, arrays):
        self.config = config
        self.arrays = {name.removeprefix("backbone."): np.asarray(a, np.float64) for name, a in arrays.items()}
        self.act = {"fast_gelu": fast_gelu, "gelu": gelu, "silu": silu, "relu": lambda x: np.maximum(x, 0)}[
            config.hidden_act
        ]

    def linear(self, name, x):
        return x @ self.arrays[f"{name}.weight"] + self.arrays[f"{name}.bias"]

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.config.layernorm_epsilon)
        return scaled * self.arrays[f"{name}.weight"] + self.arrays[f"{name}.bias"]

    def attention(self, name, query_input, x, visible):
        """One row: ``query_input`` and ``x`` ``(S, E)``, ``visible`` ``(S, S)``."""
        q, k, v = (self.linear(f"{name}.{part}", y) for part, y in (("query", query_input), ("key", x), ("value", x)))
        size = self.config.hidden_size // self.config.num_heads
        heads = []
        for head in range(self.config.num_heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.where(visible, q[:, part] @ k[:, part].T / np.sqrt(size), -1e300)
            heads.append(softmax(scores) @ v[:, part])
        return self.linear(f"{name}.projection", np.concatenate(heads, 1))

    def mlp(self, name, x):
        return self.linear(f"{name}.projection", self.act(self.linear(f"{name}.mapping", x)))

    def experts(self, name, x):
        """Each token through its own experts alone; also the probabilities and who was picked, ``(S, X)``."""
        count, chosen = self.config.expert_num, self.config.per_token_num_experts_chosen
        probabilities = softmax(x @ self.arrays[f"{name}.router.weight"])
        picked = np.zeros((len(x), count))
        result = np.zeros_like(x)
        for row_index, (row, chances) in enumerate(zip(x, probabilities, strict=True)):
            best = np.argsort(-chances)[:chosen]
            picked[row_index, best] = 1
            whole = chances[best].sum() if chosen > 1 else 1.0
            for expert in best:
                result[row_index] += chances[expert] / whole * self.mlp(f"{name}.experts.{expert}", row)
        return result, probabilities, picked

    def layer(self, name, x, visible, query_input=None, experts=False):
        post = self.config.post_layernorm_residual
        normed = self.norm(f"{name}.layernorm1", x)
        x = (normed if post else x) + self.attention(
            f"{name}.attention", normed if query_input is None else query_input, normed, visible
        )
        normed = self.norm(f"{name}.layernorm2", x)
        routed = None
        if experts:
            y, *routed = self.experts(f"{name}.mlp", normed)
        else:
            y = self.mlp(f"{name}.mlp", normed)
        return (normed if post else x) + y, routed

    def __call__(self, ids, mask=None, positions=None):
        """Return logits ``(B, S, V)`` and the balance loss."""
        ids = np.asarray(ids)
        length = ids.shape[1]
        mask = np.ones(ids.shape, int) if mask is None else np.asarray(mask)
        causal = np.tril(np.ones((length, length), bool))
        logits, routes, counted = [], [], []
        for row in range(len(ids)):
            own = mask[row] if mask.ndim == 3 else np.broadcast_to(mask[row], (length, length))
            visible = causal & (own != 0)
            if positions is None:
                at = np.arange(length) if mask.ndim == 3 else np.maximum(np.cumsum(mask[row]) - 1, 0)
            else:
                at = positions[row % len(positions)]
            x = self.arrays["word_embedding.weight"][ids[row]] + self.arrays["position_embedding.weight"][at]
            routed = []
            for number in range(self.config.num_layers - 1):
                x, route = self.layer(f"blocks.{number}", x, visible, experts=self.config.has_experts)
                routed.append(route)
            x = self.norm("layernorm", x)
            query_input = self.arrays["top_query_embedding.weight"][at]
            x, _ = self.layer("top_query_layer", x, visible, query_input)
            logits.append(x @ self.arrays["word_embedding.weight"].T)
            routes.append(routed)
            counted.append(np.diagonal(own) != 0)
        return np.stack(logits), self.balance(routes, np.concatenate(counted))

    def balance(self, routes, counted):
        if not self.config.has_experts:
            return 0.0
        total = 0.0
        for number in range(self.config.num_layers - 1):
            probabilities = np.concatenate([row[number][0] for row in routes])[counted]
            picked = np.concatenate([row[number][1] for row in routes])[counted]
            share = picked.sum(0) / picked.sum()
            total += self.config.expert_num * (share * probabilities.mean(0)).sum()
        return self.config.aux_loss_factor * total


def loss(logits, ids, balance=0.0):
    """Mean cross-entropy of the next token, and the balance loss."""
    x = logits[:, :-1]
    top = x.max(-1, keepdims=True)
    log_sum = np.log(np.exp(x - top).sum(-1)) + top[..., 0]
    right = np.take_along_axis(x, np.asarray(ids)[:, 1:, None], -1)[..., 0]
    return (log_sum - right).mean() + balance
