import numpy as np
import pytest

from core.evaluation.cache import Cache
from core.evaluation.errors import FeatureError, LabelledSetError, RecipeError
from core.evaluation.plan import SCALE_SERIES, EvaluationPlan
from core.evaluation.progress import EvaluationProgress
from core.evaluation.protocols.knn import KnnSpec
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.subjects import CENTRED


def events(plan, subjects, **options):
    return list(evaluate(plan, subjects, folders=(), **options))


def results(plan, subjects, **options):
    return [event for event in events(plan, subjects, **options) if isinstance(event, Result)]


def test_scale_series_covers_scales_times_policies_and_reports_progress(index_zip, network):
    plan = EvaluationPlan(
        protocol="sweep", data=(str(index_zip),), scales=SCALE_SERIES, policies=(None, "author_eval")
    )
    all_events = events(plan, [network])
    found = [event for event in all_events if isinstance(event, Result)]
    assert [(r.recipe.scale, r.recipe.policy) for r in found] == [
        (s, p) for s in SCALE_SERIES for p in ("native_gsd", "author_eval")
    ]
    assert {r.recipe.protocol for r in found} == {"sweep"}
    shares = [event.share for event in all_events if isinstance(event, EvaluationProgress)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    sizes = {r.recipe.scale: (r.recipe.scaled_px, r.recipe.size_px) for r in found}
    assert sizes == {0.125: (4, 8), 0.25: (8, 8), 0.5: (16, 16), 1.0: (32, 32)}
    native = [r.recipe for r in found if r.recipe.policy == "native_gsd"]
    assert [r.res for r in native] == [2.0 * 32 / r.size_px for r in native]


def test_second_run_reads_everything_from_the_cache(index_zip, network, make_network, tmp_path):
    cache = Cache(tmp_path / "cache")
    plan = EvaluationPlan(data=(str(index_zip),), policies=("native_gsd", "author_eval"))
    first = results(plan, [network], cache=cache)
    again = make_network()
    assert results(plan, [again], cache=cache) == first
    assert again.embedded == 0
    arrays = cache.arrays(first[0].recipe)
    assert arrays["right"].mean() == first[0].value


def test_stopped_run_resumes(index_zip, make_network, tmp_path):
    plan = EvaluationPlan(data=(str(index_zip),), policies=("native_gsd", "author_eval", "manual-3.0"))
    started = evaluate(plan, [make_network()], folders=(), cache=Cache(tmp_path))
    done = 0
    for event in started:
        done += isinstance(event, Result)
        if done == 2:
            started.close()
            break
    network = make_network()
    assert len(results(plan, [network], cache=Cache(tmp_path))) == 3
    assert network.res_seen == {3.0}


def test_protocols_share_embeddings_and_damaged_results_are_recomputed(index_zip, make_network, tmp_path):
    cache, network = Cache(tmp_path), make_network()
    knn = results(EvaluationPlan(data=(str(index_zip),)), [network], cache=cache)
    embedded = network.embedded
    probe = results(EvaluationPlan(protocol="probe", data=(str(index_zip),)), [network], cache=cache)
    shots = results(
        EvaluationPlan(protocol="few-shot", data=(str(index_zip),), shots=(1, 4)), [network], cache=cache
    )
    assert network.embedded == embedded
    assert [r.recipe.shots for r in shots] == [1, 4]
    assert probe[0].details["converged"] is True
    (tmp_path / f"{knn[0].recipe.key}.json").write_text("{")
    (tmp_path / f"{knn[0].recipe.key}.npz").write_bytes(b"")
    assert results(EvaluationPlan(data=(str(index_zip),)), [network], cache=cache)[0].value == knn[0].value


def test_changed_images_are_not_taken_from_the_cache(class_folders, make_network, tmp_path):
    cache = Cache(tmp_path / "cache")
    results(EvaluationPlan(data=(str(class_folders),), gsd_m=1.0), [make_network()], cache=cache)
    victim = class_folders / "River" / "River_3.png"
    victim.write_bytes((class_folders / "Town" / "Town_3.png").read_bytes())
    network = make_network()
    results(EvaluationPlan(data=(str(class_folders),), gsd_m=1.0), [network], cache=cache)
    assert network.embedded == 36


def test_corrupt_images_are_counted_and_named_in_the_result(class_folders, network):
    (class_folders / "River" / "River_3.png").write_bytes(b"GIF89a")
    found = results(EvaluationPlan(data=(str(class_folders),), gsd_m=1.0), [network])[0]
    assert found.to_json()["skipped"] == 1
    assert found.skipped[0].startswith("River/River_3.png: ")


def test_models_that_are_not_gsd_aware_are_embedded_once_for_all_policies(index_zip, make_network, tmp_path):
    network = make_network()
    network.gsd_aware = False
    found = results(
        EvaluationPlan(data=(str(index_zip),), policies=("native_gsd", "author_eval")),
        [network],
        cache=Cache(tmp_path),
    )
    assert network.embedded == 36
    assert len(found) == 2


def test_policies_with_the_same_res_are_embedded_once(index_zip, network, tmp_path):
    plan = EvaluationPlan(data=(str(index_zip),), policies=("native_gsd", "manual-2.0", "manual-3.0"))
    same, also, other = results(plan, [network], cache=Cache(tmp_path))
    assert (same.recipe.res, also.recipe.res, other.recipe.res) == (2.0, 2.0, 3.0)
    assert network.embedded == 2 * 36


def test_k_is_reduced_to_a_gallery_that_a_limit_made_smaller(index_zip, network):
    small = results(
        EvaluationPlan(protocol="sweep", data=(str(index_zip),), scales=(0.5, 1.0), limit=3), [network]
    )
    assert {(r.recipe.k, r.details["gallery"]) for r in small} == {(9, 9)}
    assert results(EvaluationPlan(data=(str(index_zip),), limit=8), [network])[0].recipe.k == 20


def test_invalid_input_is_refused(index_zip, class_folders, make_network):
    with pytest.raises(FeatureError, match=r"fake on 'pack': k is 20 but the gallery holds 9 images"):
        results(EvaluationPlan(data=(str(index_zip),), limit=3, fit_k=False), [make_network()])
    with pytest.raises(FeatureError, match=r"Model 'nan_net' gives values that are not finite for image"):
        results(EvaluationPlan(data=(str(index_zip),)), [make_network("nan_net", broken=True)])
    with pytest.raises(
        LabelledSetError, match="states no ground sample distance, which the policy native_gsd needs"
    ):
        results(EvaluationPlan(data=(str(class_folders),)), [make_network()][:1])
    assert results(EvaluationPlan(data=(str(class_folders),), policies=("author_eval",)), [make_network()])
    with pytest.raises(RecipeError, match="no model to evaluate"):
        results(EvaluationPlan(data=(str(index_zip),)), [])
    with pytest.raises(RecipeError, match="There is no protocol 'magic'"):
        EvaluationPlan(protocol="magic")
    with pytest.raises(RecipeError, match="Scales must be above 0"):
        EvaluationPlan(scales=(1.5,))


def test_dataset_colours_and_author_recipes_change_what_the_network_gets(
    tmp_path, class_folders, make_network
):
    (tmp_path / "data").mkdir()
    class_folders.rename(tmp_path / "data" / "EuroSAT_RGB")
    folders = (tmp_path / "data",)
    fed = []

    class Watching(make_network):
        def embed(self, images, res, pooling):
            fed.append((images.mean(axis=(0, 2, 3)), images.shape[-1], res[0], pooling))
            return super().embed(images, res, pooling)

    def run(**options):
        fed.clear()
        return next(
            e
            for e in evaluate(EvaluationPlan(data=("eurosat",), **options), [Watching()], folders=folders)
            if isinstance(e, Result)
        )

    plain = run()
    colours = fed[0][0]
    assert plain.recipe.gsd_m == pytest.approx(10.0)
    run(normalisation="dataset")
    expected = (colours - [0.34437, 0.38029, 0.40778]) / [0.20369, 0.13664, 0.11484] * 0.25 + 0.5
    assert np.allclose(fed[0][0], expected, atol=1e-4)
    assert run(author="author").recipe.res == 3.5
    large = run(author="author_224").recipe
    assert (large.size_px, large.res, large.scaled_px, large.pooling) == (224, 1.0, 64, "cls")


def test_centred_vectors_are_compared_without_what_all_of_them_share(index_zip, make_network):
    """An offset that drowns every difference between images costs a centred model nothing."""

    class Shifted(make_network):
        def embed(self, images, res, pooling):
            return super().embed(images, res, pooling) + 1_000

    plain, shifted, centred = make_network(), Shifted("shifted"), Shifted("centred")
    centred.pooling = CENTRED
    plan = EvaluationPlan(data=(str(index_zip),), knn=KnnSpec(k=3))
    values = {r.recipe.model: r for r in results(plan, [plain, shifted, centred])}
    assert values["centred"].recipe.pooling == CENTRED
    assert values["shifted"].value < values["centred"].value >= values["fake"].value - 0.1
