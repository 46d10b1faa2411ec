"""The fusion model against loops: reasoning, graph attention, padding, absent entities, hidden cells."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models.fusion.config import load_config
from phenolip_lib.models.fusion.graph import EntityEncoder, GraphAttention
from phenolip_lib.models.fusion.layers import Attention, Reasoning
from phenolip_lib.models.fusion.model import CELLS, NONE, POOLED, WORDS, Answering, Fusion
from phenolip_lib.models.fusion.plain import Plain
from phenolip_lib.models.fusion.pretext import IGNORED, Pretext
from phenolip_lib.models.fusion.towers import Towers, normalised, patches

SMALL = dataclasses.replace(
    load_config("arl-tiny"), width=16, heads=2, feed_forward=24, knowledge_width=8, knowledge_heads=2, cells=2,
    knowledge_feed_forward=12, entities=3, embedding=6, graph_heads=2, graph_width=4, decoder_width=8, decoder_heads=2,
)  # fmt: skip
N_ENTITIES, IMAGE, TEXT = 9, 10, 7


def model(config=SMALL, seed=0, knows=True, reason=True):
    torch.manual_seed(seed)
    entities = None
    if knows:
        edges = torch.randint(0, N_ENTITIES, (2, 14))
        entities = EntityEncoder(config, torch.randn(N_ENTITIES, config.embedding), edges)
    return Fusion(config, IMAGE, TEXT, entities, reason=reason).eval()


def batch(n=3, t=5, config=SMALL, seed=1):
    torch.manual_seed(seed)
    entities = torch.full((n, config.entities), NONE)
    spans = torch.zeros(n, config.entities, t)
    entities[0, :2] = torch.tensor([4, 7])
    spans[0, 0, 1:3] = spans[0, 1, 3] = 1
    return {
        "image": torch.randn(n, 1 + config.cells**2, IMAGE),
        "text": torch.randn(n, t, TEXT),
        "text_mask": torch.ones(n, t, dtype=torch.bool),
        "entities": entities,
        "spans": spans,
    }


def test_text_takes_in_the_entity_of_each_span_as_the_paper_says():
    torch.manual_seed(0)
    layer = Reasoning(SMALL).eval()
    text, image = torch.randn(1, 5, 16), torch.randn(1, 4, 16)
    z, spans = torch.randn(1, 3, 8), torch.tensor([[[0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0.0]]])
    there = torch.tensor([[True, True, False]])
    new, _ = layer(text, z, image, spans, there)
    z2 = layer.reads_image(layer.reads_itself(z, z, there), layer.from_image(image))
    for token in range(5):
        told = sum((z2[0, e] @ layer.to_text.weight.T for e in range(3) if spans[0, e, token]), torch.zeros(16))
        x3 = layer.norm(text[0, token] + layer.out(text[0, token] + told))
        assert torch.allclose(new[0, token], x3, atol=1e-6)


def test_attention_is_the_softmax_over_what_may_be_read():
    torch.manual_seed(0)
    layer, x, y = Attention(8, 2, 0.0).eval(), torch.randn(1, 2, 8), torch.randn(1, 3, 8)
    mask = torch.tensor([[True, False, True]])
    q, k, v = layer.query(x)[0], layer.key(y)[0], layer.value(y)[0]
    rows = []
    for i in range(2):
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            score = torch.stack([q[i, h] @ k[j, h] / 2 for j in (0, 2)]).softmax(0)
            heads.append(score[0] * v[0, h] + score[1] * v[2, h])
        rows.append(layer.norm(x[0, i] + layer.out(torch.cat(heads))))
    assert torch.allclose(layer(x, y, mask)[0], torch.stack(rows), atol=1e-6)
    assert torch.allclose(layer.weights(x, y).sum(-1), torch.ones(1, 2))


def test_graph_attention_is_the_loop_over_edges():
    torch.manual_seed(0)
    layer, x = GraphAttention(5, 3, 2).eval(), torch.randn(4, 5)
    edges = torch.tensor([[0, 1, 1, 3, 1], [1, 0, 2, 2, 2]])  # one twice, and node 3 is reached by none
    h = layer.linear(x).view(4, 2, 3)
    for i in range(4):
        sources = [int(j) for j, end in edges.T.tolist() if end == i] + [i]
        for head in range(2):
            score = torch.stack(
                [F.leaky_relu(layer.source[head] @ h[j, head] + layer.target[head] @ h[i, head], 0.2) for j in sources]
            ).softmax(0)
            told = sum(a * h[j, head] for a, j in zip(score, sources, strict=True))
            wanted = told + layer.bias[3 * head : 3 * head + 3]
            assert torch.allclose(layer(x, edges)[i, 3 * head : 3 * head + 3], wanted, atol=1e-5)


def test_a_text_without_entities_is_told_nothing_by_the_graph():
    own, inputs = model(), batch()
    other = own(**inputs, known=torch.randn(N_ENTITIES, SMALL.knowledge_width))
    found = own(**inputs)
    assert torch.isfinite(found).all()
    assert torch.equal(found[1:], other[1:])
    assert not torch.allclose(found[0], other[0])


def test_an_entity_that_is_taken_out_tells_nothing():
    own, inputs = model(), batch()
    known = own.entities()
    less = inputs | {"entities": inputs["entities"].clone(), "spans": inputs["spans"].clone()}
    less["entities"][0, 0], less["spans"][0, 0] = NONE, 0
    changed = known.clone()
    changed[4] += 10
    assert torch.equal(own(**less, known=known), own(**less, known=changed))


@pytest.mark.parametrize("knows", [True, False])
def test_padding_and_neighbours_in_the_batch_change_nothing(knows):
    own, inputs = model(knows=knows), batch()
    alone = own(**{key: value[:1] for key, value in inputs.items()})
    padded = {
        "text": F.pad(inputs["text"], (0, 0, 0, 4), value=3.0),
        "text_mask": F.pad(inputs["text_mask"], (0, 4)),
        "spans": F.pad(inputs["spans"], (0, 4)),
    }
    assert torch.allclose(own(**inputs | padded)[:1], alone, atol=1e-5)


def test_what_is_not_computed_is_not_missed():
    """Against all tokens of all layers."""
    own, inputs = model(), batch()
    own.config = dataclasses.replace(SMALL, masked_after=2)
    seen = []
    for layer in own.layers:
        layer.register_forward_hook(lambda module, args, _: seen.append(module.forward(*args[:4])))
    image, text = own.tokens(inputs["image"], inputs["text"], inputs["text_mask"])
    pooled, words, cells = (own(**inputs, want=want) for want in (POOLED, WORDS, CELLS))
    whole = seen[-1]
    pools = (torch.tanh(own.image_pool(whole.image[:, 0])), torch.tanh(own.text_pool(whole.text[:, 0])))
    assert torch.allclose(pooled, torch.cat(pools, dim=1), atol=1e-6)
    assert torch.allclose(words, whole.text, atol=1e-6)
    assert torch.allclose(cells, whole.image, atol=1e-6)
    assert words.shape == (*text.shape[:2], SMALL.width)
    assert cells.shape == (*image.shape[:2], SMALL.width)


def test_hidden_cells_are_not_seen():
    own, inputs, kept = model(), batch(), torch.tensor([[0, 2]] * 3)
    changed = inputs["image"].clone()
    changed[:, [0, 2, 4]] += 5  # the first token, and cells 1 and 3
    found = own(**inputs, kept=kept, want=CELLS)
    assert torch.equal(found, own(**inputs | {"image": changed}, kept=kept, want=CELLS))
    assert found.shape == (3, 3, SMALL.width)


def test_losses_of_pretraining_are_those_of_each_row():
    own = Pretext(model(), n_words=11, target_width=IMAGE, align=True).eval()
    inputs = batch()
    labels = torch.full((3, 5), IGNORED)
    labels[0, 1:3], labels[1, 2] = torch.tensor([4, 9]), 3
    kept, said = torch.tensor([[1, 3]] * 3), torch.zeros(3, N_ENTITIES)
    said[0, [4, 7]] = 1
    target, match = normalised(inputs["image"][:, 1:]), torch.tensor([1, 0, 1])
    found = own(inputs, inputs, inputs, kept, target, match, labels, said)
    logits = own.words(own.fusion(**inputs, want=WORDS))
    by_token = [F.cross_entropy(logits[0, t], labels[0, t]) for t in (1, 2)]
    assert torch.allclose(found["mlm"][0], sum(by_token) / 2, atol=1e-6)
    assert found["mlm"][2] == 0
    tokens, known = own.fusion.tokens(inputs["image"], inputs["text"], inputs["text_mask"]), own.fusion.entities()
    scores = [aligner(x[:, 0]) @ known.T for aligner, x in zip(own.aligners, tokens, strict=True)]
    wanted = sum(F.binary_cross_entropy_with_logits(s[0], said[0]) for s in scores)  # the text says what the image has
    assert torch.allclose(found["align"][0], wanted, atol=1e-5)
    told = own._cells(
        own.fusion(**inputs, kept=kept, want=CELLS), kept, target.index_fill(1, torch.tensor([1, 3]), 99.0)
    )
    assert torch.allclose(found["mim"], told)  # cells that are seen are not judged


def test_without_knowledge_there_is_no_alignment_and_no_reasoning():
    own = Pretext(model(knows=False), n_words=11, target_width=IMAGE, align=True)
    assert not len(own.aligners)
    assert all(layer.reasoning is None for layer in own.fusion.layers)
    assert all(layer.reasoning is None for layer in model(reason=False).layers)


def test_patches_are_cut_row_by_row_and_normalised():
    pixels = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4).float()
    found = patches(pixels, 2)
    assert found.shape == (2, 4, 12)
    assert torch.allclose(found.mean(-1), torch.zeros(2, 4), atol=1e-5)
    assert torch.allclose(found[0, 1], normalised(pixels[0, :, :2, 2:].flatten()[None])[0])
    assert torch.equal(patches(torch.ones(1, 3, 4, 4), 2), torch.zeros(1, 4, 12))


@pytest.mark.parametrize("kind", ["plain", "linear", "question"])
def test_plain_models_answer_and_the_question_alone_does_not_look(kind):
    torch.manual_seed(0)
    own, inputs = Plain(kind, IMAGE, TEXT, 6).eval(), batch()
    logits = own(**inputs)["logits"]
    other = own(**inputs | {"image": torch.randn_like(inputs["image"])})["logits"]
    assert logits.shape == (3, 6)
    assert torch.equal(logits, other) == (kind == "question")


def test_an_answer_has_a_map_of_what_was_read():
    own, inputs = model(), batch()
    assert torch.allclose(own.attention(**inputs).sum(1), torch.ones(3), atol=1e-6)
    assert Answering(own, 4)(**inputs)["logits"].shape == (3, 4)


def test_the_papers_sizes_build_and_run():
    config = load_config("arl-base")
    towers = Towers(config)
    assert len(towers.vision.blocks) == 11
    entities = EntityEncoder(config, torch.randn(5, config.embedding), torch.zeros(2, 0, dtype=torch.long))
    own = Pretext(Fusion(config, *towers.widths, entities, towers), 50, 3 * towers.patch**2, align=True).eval()
    assert len(own.fusion.layers) == 6
    assert 280e6 < sum(p.numel() for p in own.fusion.parameters()) < 420e6
    ids = torch.tensor([[0, 5, 6, 2]])
    spans = torch.zeros(1, config.entities, 4)
    spans[0, 0, 1] = 1
    entity = torch.full((1, config.entities), NONE)
    entity[0, 0] = 2
    pixels = torch.randint(0, 256, (1, 3, 288, 288), dtype=torch.uint8)
    inputs = {"image": pixels, "text": ids, "text_mask": ids >= 0, "entities": entity, "spans": spans}
    kept = torch.arange(81)[None]
    labels = torch.tensor([[IGNORED, 7, IGNORED, IGNORED]])
    with torch.no_grad():
        found = own(inputs, inputs, inputs, kept, patches(pixels, 16), torch.tensor([1]), labels, torch.zeros(1, 5))
    assert {key: value.shape for key, value in found.items()} == dict.fromkeys(("mlm", "mim", "itm", "align"), (1,))
    assert all(torch.isfinite(value).all() for value in found.values())


def test_bad_sizes_are_one_line():
    with pytest.raises(PhenoLIPError, match=r"no fusion model 'arl-tinny'; did you mean 'arl-tiny'"):
        load_config("arl-tinny")
    with pytest.raises(PhenoLIPError, match="set cells to 18"):
        Towers(dataclasses.replace(load_config("arl-base"), cells=7))
