"""Configurations drawn at random, one table of options for each family, as their authors might write them in config.json.

    c = options.draw("deepseek_v2", random.Random(1))       # a dictionary for config.json
    options.legal(c, 4, "hf")                               # can so many ranks share its heads under that plan?

What is drawn as SILENT is left out, so that the defaults of transformers' configuration classes are compared as well.
"""

SILENT = object()
CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
    "phi": "PhiForCausalLM",
    "gpt_neox": "GPTNeoXForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "granite": "GraniteForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "mixtral": "MixtralForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "longcat_flash": "LongcatFlashForCausalLM",
    "llama4_text": "Llama4ForCausalLM",
}
FAMILIES = tuple(CLASSES)
WITH_EXPERTS = FAMILIES[FAMILIES.index("mixtral") :]
LATENT = ("deepseek_v2", "deepseek_v3", "longcat_flash")
# hf leaves their attention whole: every number of ranks is legal there.
WHOLE_ATTENTION = ("deepseek_v3", "gpt_oss", "gpt2")
# transformers ships a plan that deals experts to ranks.
DEALT_BY_HF = tuple(f for f in WITH_EXPERTS if f not in ("longcat_flash", "llama4_text"))
# Their configuration class, or their attention, takes hidden_size / num_attention_heads whatever head_dim says.
HEADS_OF_HIDDEN = ("phi", "phi3", "gpt_neox", "gpt2")
PARTIAL = ("phi", "phi3", "gpt_neox", "glm4", "glm4_moe")
EPS = {"gpt2": "layer_norm_epsilon", "starcoder2": "norm_epsilon"}
EPS |= dict.fromkeys(("phi", "gpt_neox", "cohere2"), "layer_norm_eps")
ACTIVATION = {"gemma2": "hidden_activation", "gemma3_text": "hidden_activation", "gpt2": "activation_function"}
ACTIVATIONS = (SILENT,) * 6 + ("silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "relu", "tanh", "relu2", "sigmoid", "swish")
ACTIVATIONS += ("gelu_10", "quick_gelu", "relu6", "leaky_relu", "hardswish", "mish", "linear", "gelu_fast", "gelu_accurate")
# The pad token of their class lies outside a small vocabulary.
FAR_PAD = ("phi3", "glm4")


def numbers(count, start, step):
    return [round(start + step * i, 3) for i in range(count)]


def ropes(pairs):
    """{name: keys of config.json}, for heads of which 2 * pairs features turn; sequences are of 21 tokens."""
    llama3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    short, long = numbers(pairs, 1.0, 0.1), numbers(pairs, 1.5, 0.7)

    def newer(kind, theta, **keys):
        return {"rope_parameters": dict(keys, rope_type=kind, rope_theta=theta)}

    def older(theta, kind, **keys):
        return {"rope_theta": theta, "rope_scaling": dict(keys, type=kind)}

    return {
        "none given": {},
        "theta alone": {"rope_theta": 500000.0},
        "theta as an integer": {"rope_theta": 1000000},
        "scaling null": {"rope_theta": 777.0, "rope_scaling": None},
        "default, newer": newer("default", 123.0),
        "newer without type": {"rope_parameters": {"rope_theta": 321.0}},
        "newer, theta beside": {"rope_theta": 321.0, "rope_parameters": {"rope_type": "linear", "factor": 2.0}},
        "newer, theta twice": {"rope_theta": 5.0, **newer("default", 321.0)},
        "linear, older": older(10000.0, "linear", factor=2.5),
        "linear, both names": older(10000.0, "linear", rope_type="linear", factor=4),
        "dynamic within": older(10000.0, "dynamic", factor=2.0),
        "dynamic beyond": {"max_position_embeddings": 16, **older(10000.0, "dynamic", factor=3.0)},
        "dynamic beyond, newer": {"max_position_embeddings": 9, **newer("dynamic", 500.0, factor=1.5)},
        "llama3, older": {"rope_theta": 500000.0, "rope_scaling": dict(llama3, rope_type="llama3")},
        "llama3, newer": newer("llama3", 50.0, **dict(llama3, original_max_position_embeddings=256)),
        "llama3, original from max": newer("llama3", 50.0, **{k: v for k, v in llama3.items() if not k.startswith("orig")}),
        "yarn, older": older(1000.0, "yarn", factor=4.0, original_max_position_embeddings=16),
        "yarn, newer": newer("yarn", 1000.0, factor=4.0, original_max_position_embeddings=16, beta_fast=8, beta_slow=0.5),
        "yarn, not truncated": newer(
            "yarn", 100.0, factor=4.0, original_max_position_embeddings=64, truncate=False, beta_fast=4, beta_slow=1
        ),
        "yarn, attention factor": newer("yarn", 100.0, factor=4.0, original_max_position_embeddings=64, attention_factor=1.3),
        "yarn, mscale": newer(
            "yarn", 100.0, factor=40.0, original_max_position_embeddings=64, mscale=1.0, mscale_all_dim=0.707
        ),
        "yarn, mscale alone": newer("yarn", 100.0, factor=40.0, original_max_position_embeddings=64, mscale=0.8),
        "yarn, mscale_all_dim alone": newer("yarn", 100.0, factor=40.0, original_max_position_embeddings=64, mscale_all_dim=0.6),
        "yarn, factor below one": newer("yarn", 100.0, factor=1.0, original_max_position_embeddings=64),
        "yarn, original beside": {"original_max_position_embeddings": 16, **older(1000.0, "yarn", factor=4.0)},
        "yarn, no original": {"rope_theta": 1000.0, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        "longrope short": {
            "original_max_position_embeddings": 32,
            **older(10000.0, "longrope", short_factor=short, long_factor=long),
        },
        "longrope long": {
            "original_max_position_embeddings": 16,
            **older(10000.0, "longrope", short_factor=short, long_factor=long),
        },
        "longrope, newer": newer(
            "longrope", 10000.0, short_factor=short, long_factor=long, original_max_position_embeddings=12, factor=4.0
        ),
        "longrope, attention factor": newer(
            "longrope", 10000.0, short_factor=short, long_factor=long, original_max_position_embeddings=12, attention_factor=1.1
        ),
    }


def drawn(r, **choices):
    """One value of each; SILENT keys are left out."""
    out = {}
    for key, values in choices.items():
        value = r.choice(values)
        if value is not SILENT:
            out[key] = value
    return out


def a_rope(r, family, head_dim):
    """Keys of one rotary variant."""
    if family == "gpt2":
        return {}
    if family == "gemma3_text":
        return a_rope_by_kind(r, head_dim)
    partial = r.choice((SILENT, 1.0, 0.5, 0.75, 0.25)) if family in PARTIAL else SILENT
    default = {"phi": 0.5, "gpt_neox": 0.25, "glm4": 0.5, "glm4_moe": 0.5}.get(family, 1.0)
    turned = int(head_dim * (default if partial is SILENT else partial))
    if head_dim % 2:
        partial = round((head_dim - 1) / head_dim + 0.01, 2)
    elif turned < 2 or (turned % 2 and r.random() < 0.8):  # phi, and yarn in every family, cannot turn an odd number
        partial = 1.0
    turned = int(head_dim * (default if partial is SILENT else partial))
    table = ropes((turned + 1) // 2)
    if turned % 2:
        table = {k: v for k, v in table.items() if "yarn" not in k}
    if turned < 4:
        table = {k: v for k, v in table.items() if "dynamic" not in k}
    if family == "phi3":  # it knows default and longrope
        table = {k: v for k, v in table.items() if "default" in k or "longrope" in k or "theta" in k or "none" in k}
        table = {k: v for k, v in table.items() if "linear" not in str(v)}
    keys = dict(table[r.choice(sorted(table))])
    if partial is not SILENT:
        inside = "rope_parameters" if "rope_parameters" in keys else "rope_scaling" if keys.get("rope_scaling") else None
        if inside and r.random() < 0.7:
            keys[inside] = dict(keys[inside], partial_rotary_factor=partial)
        else:
            keys["rotary_pct" if family == "gpt_neox" else "partial_rotary_factor"] = partial
    if family == "gpt_neox" and "rope_theta" in keys:
        keys["rotary_emb_base"] = keys.pop("rope_theta")
    return keys


def a_rope_by_kind(r, head_dim):
    """gemma3: one variant for each kind of layer, or older keys."""
    if r.random() < 0.4:
        return drawn(
            r,
            rope_theta=(SILENT, 1000.0),
            rope_local_base_freq=(SILENT, 77.0),
            rope_scaling=(SILENT, None, {"rope_type": "linear", "factor": 8.0}, {"type": "linear", "factor": 3}),
        )
    table = [v["rope_parameters"] for v in ropes(head_dim // 2).values() if "rope_parameters" in v]
    both = {"full_attention": r.choice(table), "sliding_attention": r.choice(table)}
    if r.random() < 0.2:
        del both[r.choice(sorted(both))]
    return {"rope_parameters": both}


def kinds(r, layers, *names):
    return [r.choice(names) for _ in range(layers)]


def some_experts(r, count_key, chosen_key="num_experts_per_tok"):
    count = r.choice((1, 2, 3, 4, 5, 6, 8))
    return {count_key: count, chosen_key: r.randint(1, min(count, 4))}


def grouped_experts(r, count_key="n_routed_experts"):
    """Groups of two experts or more."""
    groups = r.choice((1, 1, 2, 3, 4))
    each = r.choice((2, 3, 4))
    kept = r.randint(1, groups)
    return {
        count_key: groups * each,
        "n_group": groups,
        "topk_group": kept,
        "num_experts_per_tok": r.randint(1, min(4, kept * each)),
    }


def latent(r, rotary, odd=True):
    return {
        "q_lora_rank": r.choice((5, 12, 20)),
        "kv_lora_rank": r.choice((7 if odd else 8, 12, 24)),
        "qk_nope_head_dim": r.choice((3 if odd else 4, 6, 12)),
        "qk_rope_head_dim": rotary,
        "v_head_dim": r.choice((4, 5, 10)),
    }


def qwen_windows(r, layers):
    if r.random() < 0.4:
        return drawn(r, use_sliding_window=(SILENT, False), sliding_window=(SILENT, None, 5), max_window_layers=(SILENT, 0, 1))
    out = {"use_sliding_window": True, "sliding_window": r.choice((2, 7, 50)), "max_window_layers": r.randrange(0, layers + 1)}
    if r.random() < 0.4:
        out["layer_types"] = kinds(r, layers, "sliding_attention", "full_attention")
    return out


def own_options(r, family, c):
    """What only this family has; `c`: what is drawn already."""
    layers, rotary, two = c["num_hidden_layers"], c["head_dim"], (SILENT, True, False)
    window = (SILENT, None, 3, 10, 100)
    alternating = (SILENT, SILENT, kinds(r, layers, "sliding_attention", "full_attention"))
    if family == "llama":
        return drawn(r, attention_bias=two, mlp_bias=two)
    if family == "qwen2":
        return qwen_windows(r, layers)
    if family == "qwen3":
        return drawn(r, attention_bias=two) | qwen_windows(r, layers)
    if family == "mistral":
        return drawn(r, sliding_window=window)
    if family == "gemma2":
        return drawn(
            r,
            attention_bias=two,
            query_pre_attn_scalar=(SILENT, 20, 5),
            attn_logit_softcapping=(SILENT, None, 2.0, 5.5),
            final_logit_softcapping=(SILENT, None, 3.0, 25.0),
            sliding_window=(SILENT, 3, 10),
            layer_types=alternating,
        )
    if family == "gemma3_text":
        return drawn(
            r,
            attention_bias=two,
            query_pre_attn_scalar=(SILENT, 20, 5),
            attn_logit_softcapping=(SILENT, None, 3.0),
            final_logit_softcapping=(SILENT, None, 3.0),
            sliding_window=(SILENT, 3, 10),
            layer_types=alternating,
            sliding_window_pattern=(SILENT, 1, 2, 3),
        )
    if family == "phi3":
        return drawn(r, sliding_window=window)
    if family == "olmo2":
        return drawn(r, attention_bias=two)
    if family == "starcoder2":
        return drawn(r, use_bias=two, sliding_window=window)
    if family == "phi":
        return drawn(r, qk_layernorm=two)
    if family == "gpt_neox":
        return drawn(r, use_parallel_residual=two, attention_bias=two)
    if family == "glm4":
        return drawn(r, attention_bias=two)
    if family == "cohere2":
        return drawn(
            r,
            attention_bias=two,
            logit_scale=(SILENT, 0.5, 1.0, 1.3),
            sliding_window=(SILENT, 3, 10),
            layer_types=alternating,
            sliding_window_pattern=(SILENT, 1, 2, 3),
        )
    if family == "granite":
        return drawn(
            r,
            attention_bias=two,
            mlp_bias=two,
            embedding_multiplier=(SILENT, 12, 0.5),
            residual_multiplier=(SILENT, 0.22, 1.5),
            attention_multiplier=(SILENT, 0.3, 0.0625),
            logits_scaling=(SILENT, 8, 0.7),
        )
    if family == "gpt2":
        return drawn(
            r,
            n_inner=(SILENT, None, 13, 40),
            scale_attn_weights=two,
            scale_attn_by_inverse_layer_idx=two,
            reorder_and_upcast_attn=two,
        )
    if family == "mixtral":
        noise = {"router_jitter_noise": (SILENT, 0.0, 0.1), "attention_dropout": (SILENT, 0.1)}
        return some_experts(r, "num_local_experts") | drawn(r, sliding_window=window, **noise)
    if family in ("qwen2_moe", "qwen3_moe"):
        own = some_experts(r, "num_experts") | qwen_windows(r, layers)
        own |= drawn(
            r,
            norm_topk_prob=two,
            decoder_sparse_step=(SILENT, SILENT, 1, 2),
            mlp_only_layers=(SILENT, None, [], [0], [layers - 1]),
            moe_intermediate_size=(5, 14, 23),
        )
        if family == "qwen2_moe":
            return own | drawn(r, qkv_bias=two, shared_expert_intermediate_size=(3, 12, 25))
        own.pop("max_window_layers", None)
        own.pop("layer_types", None)
        return own | drawn(r, attention_bias=two)
    if family == "glm4_moe":
        return grouped_experts(r) | drawn(
            r,
            attention_bias=two,
            use_qk_norm=(SILENT, False, True),
            moe_intermediate_size=(5, 14, 23),
            n_shared_experts=(SILENT, 1, 2, 3),
            first_k_dense_replace=(SILENT, 0, 1, layers),
            norm_topk_prob=two,
            routed_scaling_factor=(SILENT, 1.0, 1.7),
            num_nextn_predict_layers=(SILENT, 0, 1),
        )
    if family == "gpt_oss":
        return some_experts(r, "num_local_experts") | drawn(
            r,
            attention_bias=two,
            sliding_window=(SILENT, 3, 10),
            layer_types=alternating,
            swiglu_alpha=(SILENT, 1.1),
            swiglu_limit=(SILENT, 1.5, 0.5),
        )
    if family == "deepseek_v2":
        method = r.choice((SILENT, "greedy", "group_limited_greedy"))
        own = grouped_experts(r)
        if method is SILENT or (method == "greedy" and r.random() < 0.5):
            own |= {"n_group": None, "topk_group": None}
        own |= latent(r, rotary, odd=False) | drawn(  # its pairs are complex numbers, which torch wants at even places
            r,
            attention_bias=two,
            mlp_bias=(SILENT, False, True),
            topk_method=(method,),
            norm_topk_prob=two,
            moe_intermediate_size=(5, 14, 23),
            n_shared_experts=(SILENT, 1, 2, 3),
            first_k_dense_replace=(SILENT, 0, 1, layers),
            routed_scaling_factor=(SILENT, 1.0, 1.7),
        )
    elif family == "deepseek_v3":
        own = grouped_experts(r) | latent(r, rotary)
        own |= drawn(
            r,
            attention_bias=two,
            rope_interleave=two,
            norm_topk_prob=two,
            moe_intermediate_size=(5, 14, 23),
            n_shared_experts=(SILENT, 1, 2, 3),
            first_k_dense_replace=(0, 1, layers),
            routed_scaling_factor=(SILENT, 1.0, 1.7),
            topk_method=(SILENT, "noaux_tc"),
            scoring_func=(SILENT, "sigmoid"),
            num_nextn_predict_layers=(SILENT, 0, 1),
        )
    elif family == "longcat_flash":
        own = some_experts(r, "n_routed_experts", "moe_topk") | latent(r, rotary)
        own["moe_topk"] = max(own["moe_topk"], 2)  # it cannot choose one
        own["n_routed_experts"] = max(own["n_routed_experts"], own["moe_topk"])
        own |= drawn(
            r,
            attention_bias=two,
            router_bias=(SILENT, False, True),
            zero_expert_num=(0, 1, 3),
            zero_expert_type=(SILENT, "identity"),
            routed_scaling_factor=(SILENT, 1.0, 1.7),
            expert_ffn_hidden_size=(5, 14, 23),
            head_dim=(rotary,),
        )
    else:
        assert family == "llama4_text"
        return some_experts(r, "num_local_experts") | drawn(
            r,
            attention_bias=two,
            use_qk_norm=two,
            intermediate_size_mlp=(7, 18, 30),
            interleave_moe_layer_step=(SILENT, 1, 2),
            moe_layers=(SILENT, SILENT, [], [0], [layers - 1]),
            no_rope_layers=(SILENT, [], kinds(r, layers, 0, 1)),
            no_rope_layer_interval=(SILENT, 1, 2, 3),
            attention_chunk_size=(4, 8, 100),
            layer_types=(SILENT, SILENT, kinds(r, layers, "chunked_attention", "full_attention")),
            attn_temperature_tuning=two,
            floor_scale=(SILENT, 4, 1),
            attn_scale=(SILENT, 0.5),
        )
    if family != "longcat_flash" and r.random() < 0.35:
        own["q_lora_rank"] = None
    return own


EXTENTS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")  # the program wants them said
EXTENTS += ("n_embd", "n_layer", "n_head", "num_layers", "ffn_hidden_size")
RENAMED = {
    "gpt2": {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    },
    "longcat_flash": {"intermediate_size": "ffn_hidden_size", "num_hidden_layers": "num_layers"},
}


def draw(family, r):
    """config.json of one model."""
    kv = r.choice((1, 2, 3, 4))
    heads = kv * r.choice((1, 2, 3, 4))
    head_dim = r.choice((4, 6, 8, 10))
    if family == "gpt2" or (family in PARTIAL and r.random() < 0.2):
        head_dim = r.choice((3, 5, 7, 8, 9))
    if family in LATENT or family in ("gpt2", "gpt_neox"):
        kv = heads = r.choice((1, 2, 3, 4, 5, 6, 7, 8))
    hidden = heads * r.choice((3, 4, 5, 7)) if heads > 2 else heads * 12
    if family in HEADS_OF_HIDDEN or (heads > 1 and r.random() < 0.3):
        hidden = heads * head_dim
    c = {
        "model_type": family,
        "architectures": [CLASSES[family]],
        "vocab_size": r.randrange(20, 140),
        "hidden_size": hidden,
        "intermediate_size": r.randrange(5, 60),
        "num_hidden_layers": r.randrange(1, 4),
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": head_dim,
        "max_position_embeddings": r.choice((8, 64, 4096)),
        "pad_token_id": r.choice((None, None, 0, 5)),
        "bos_token_id": None,
        "eos_token_id": None,
    }
    c |= drawn(r, **{EPS.get(family, "rms_norm_eps"): (SILENT, 1e-6, 1e-5, 1e-2)})
    if family != "gpt_oss":
        c |= drawn(r, **{ACTIVATION.get(family, "hidden_act"): ACTIVATIONS})
    c |= drawn(r, tie_word_embeddings=(SILENT, True, False))
    c |= a_rope(r, family, head_dim)
    c |= own_options(r, family, c)
    if family in HEADS_OF_HIDDEN or (family in LATENT and family != "longcat_flash"):
        del c["head_dim"]
    elif family not in ("gemma2", "gemma3_text", "glm4", "gpt_oss", "llama4_text", "qwen3", "longcat_flash"):
        if hidden == heads * head_dim and r.random() < 0.5:
            del c["head_dim"]
    if family in ("deepseek_v2", "longcat_flash", "gpt2", "gpt_neox"):
        del c["num_key_value_heads"]
    if family == "gpt2":
        c["max_position_embeddings"] = r.choice((40, 64))
        del c["intermediate_size"]
    if c["pad_token_id"] is None and family not in FAR_PAD and r.random() < 0.3:
        del c["pad_token_id"]
    names = RENAMED.get(family, {})
    return {names.get(k, k): v for k, v in c.items()}


def heads_of(c):
    """(query heads, KV heads)."""
    q = c.get("num_attention_heads") or c["n_head"]
    return q, c.get("num_key_value_heads") or q


def legal(c, tp, plan="auto"):
    """Can so many ranks share the heads?"""
    if plan == "hf" and c["model_type"] in WHOLE_ATTENTION:
        return True
    q, kv = heads_of(c)
    return q % tp == 0 and (kv % tp == 0 or tp % kv == 0)


def refused_by_design(c, plan, dealt):
    """transformers' own plan leaves norms of sharded heads unsynchronised."""
    normed = c.get("qk_layernorm") or (c.get("use_qk_norm") and c["model_type"] == "glm4_moe")
    return plan == "hf" and normed and not dealt
