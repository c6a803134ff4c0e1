"""What every family promises, on a small random network of it in float64."""

import torch

from microtome.bench.checks.battery import Battery, Check, Complaints, apart
from microtome.bench.checks.networks import small_network
from microtome.core.errors import SiteNotFound
from microtome.core.registry import Entry
from microtome.core.sites import KINDS
from microtome.model import edits
from microtome.model.decoding import Decoding
from microtome.model.family import Family
from microtome.model.frozen import freeze
from microtome.model.generation import generate
from microtome.model.measuring import measure
from microtome.model.model import Model
from microtome.model.replay import replay

EXACT = 1e-10
IDS = [5, 11, 3, 17, 8, 2, 13, 7, 19]


def of_entry(entry: Entry[Family]) -> Model:
    """A small network of the family's name."""
    return small_network(entry.name)


def certificate(model: Model) -> Complaints:
    """Every row of the certificate passes, and the linear maps are exact."""
    rows = {row.name: row for row in measure(model).rows}
    failed = [f"{name!r} ({row.says})" for name, row in rows.items() if row.passed is False]
    yield from (f"the row {one} of the certificate fails" for one in failed)
    for name in ("matrix products", "affinity"):
        value = rows[name].value
        if value is None or not value < EXACT:
            yield f"the row {name!r} of the certificate is {value}"


def watching(model: Model) -> Complaints:
    """Every site fires, and watching changes no bit."""
    untouched = model.module(torch.tensor([IDS]), use_cache=False).logits
    run = model.run(IDS, capture=model.sites())
    if missing := sorted(set(model.sites()) - set(run)):
        yield f"sites that do not fire: {', '.join(missing)}"
    if not torch.equal(run["logits"], untouched) or not torch.equal(model.run(IDS)["logits"], untouched):
        yield "watching changes the logits"


def lacking_sites(model: Model) -> Complaints:
    """A site that it lacks says so."""
    for kind in KINDS:
        if kind.name in model.anatomy.site_kinds:
            continue
        try:
            model.run(IDS, capture=[f"{kind.name}.0"])
        except SiteNotFound as error:
            if f"this model's family has no '{kind.name}'" not in str(error):
                yield f"the lack of {kind.name} is said otherwise: {error.found}"
        else:
            yield f"it captures {kind.name}.0, which it does not list"


def cached_generation(model: Model) -> Complaints:
    """With a cache it says what it says without."""
    ids = list(IDS)
    for _ in range(4):
        ids.append(int(model.run(ids)["logits"][0, -1].argmax()))
        if ids[-1] == model.anatomy.module.config.eos_token_id:
            break
    found = generate(model, IDS, Decoding(4)).ids[0].tolist()
    if found != ids[len(IDS) :]:
        yield f"it generates {found} with a cache, and {ids[len(IDS) :]} without"


def sources_add_up(model: Model) -> Complaints:
    """Embedding and branches sum to the end of the stream."""
    run = model.run(IDS, capture=["embed", "attn.out.*", "mlp.out.*", "resid.final"])
    total = run["embed"] + run.stack("attn.out.*").sum(0) + run.stack("mlp.out.*").sum(0)
    yield from apart("embedding and branches, and the end of the stream", total, run["resid.final"], 0.0, EXACT)


def gradients(model: Model) -> Complaints:
    """Total gradients by matrix products are autograd's, through every frozen unit."""
    frozen = freeze(model, IDS)
    embed = frozen.embed.clone().requires_grad_()
    passed = replay(frozen, embed, cut=False)
    leaves = [embed, *(passed.sources[layer.index] for layer in frozen.layers)]
    theirs = torch.autograd.grad(passed.logits[-1, 5] - passed.logits[-1, 6], leaves)
    g = torch.zeros_like(embed)
    g[-1] = frozen.pull_direction(frozen.anatomy.w_u[5] - frozen.anatomy.w_u[6], -1)
    for layer in reversed(frozen.layers):
        units = layer.unit_gradients(g)
        yield from apart(f"gradients on units of layer {layer.index}", units, theirs[1 + layer.index], 0.0, EXACT)
        through_mlp = layer.pull_units(units)
        read = g if model.anatomy.parallel else g + through_mlp
        g = g + through_mlp + layer.attention.pull(read[None])[0]
    yield from apart("gradients on the embedding", g, theirs[0], 0.0, EXACT)


def columns(model: Model) -> Complaints:
    """The neurons of a layer, edited, reach mlp.out as W_down says, experts included."""
    with model.edit(edits.scale("mlp.neurons.1", 0.25, positions=-1)):
        edited = model.run(IDS, capture=["mlp.out.1"])["mlp.out.1"][0]
    layer = freeze(model, IDS).layers[1]
    if layer.layer.mlp_post_norm is None:
        expected = layer.mlp_out[-1] - 0.75 * layer.written(layer.neurons)[-1]
        yield from apart("mlp.out under edited neurons", edited[-1], expected, 0.0, 1e-6)
    if torch.equal(edited[-1], layer.mlp_out[-1]):
        yield "editing neurons changes nothing"
    yield from apart("mlp.out where nothing was edited", edited[:-1], layer.mlp_out[:-1], 0.0, 0.0)


def padded_edits(model: Model) -> Complaints:
    """An edit in a padded batch is the edit of each row alone."""
    change, sites = [edits.scale("mlp.neurons.0", 3.0, positions=-1)], ["resid.1", "attn.pattern.1"]
    for padding in ("left", "right"):
        both = model.run([IDS, IDS[:4]], capture=sites, edits=change, padding=padding)
        for row, ids in enumerate((IDS, IDS[:4])):
            n, alone = len(ids), model.run(ids, capture=sites, edits=change)
            stream, pattern = both["resid.1"][row, :n], both["attn.pattern.1"][row, :, :n, :n]
            yield from apart(f"the stream padded on the {padding}", stream, alone["resid.1"][0], 0.0, EXACT)
            yield from apart(f"patterns padded on the {padding}", pattern, alone["attn.pattern.1"][0], 0.0, EXACT)


BATTERY: Battery[Model] = Battery(
    "family",
    (
        Check("the certificate passes", certificate),
        Check("watching changes no bit and every site fires", watching),
        Check("a site that it lacks says so", lacking_sites),
        Check("cached generation is the uncached loop", cached_generation),
        Check("sources of the stream add up to its end", sources_add_up),
        Check("gradients by matrix products are autograd's", gradients),
        Check("editing hidden units is writing their columns", columns),
        Check("an edit in a padded batch is that of each row alone", padded_edits),
    ),
    of_entry,
)
