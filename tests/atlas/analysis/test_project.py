"""Projections: PCA as in textbooks, seeded UMAP, both cached with the table."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from core.atlas import EmbeddingTable, SearchError, TableInfo, open_table
from core.atlas.analysis.project import (
    ProjectionSpec,
    _all_axes,
    colours,
    fit_note,
    place,
    principal_axes,
    project,
)
from core.atlas.store.shards import write_table


def test_pca_equals_sklearn_up_to_sign(rows):
    table = EmbeddingTable.from_rows(rows(n=500))
    units = table.vectors / np.linalg.norm(table.vectors, axis=1, keepdims=True)
    model = PCA(2, svd_solver="full").fit(units.astype(np.float64))
    projection = project(table)
    np.testing.assert_allclose(np.abs(projection.xy), np.abs(model.transform(units)), atol=2e-4)
    np.testing.assert_allclose(projection.explained, model.explained_variance_ratio_, rtol=1e-3)
    axes = principal_axes(table)
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in axes.components)
    np.testing.assert_allclose(
        place(table, ProjectionSpec(), table.vectors_of([7])), projection.xy[[7]], atol=1e-5
    )


def test_projection_is_cached_by_table_and_spec(rows, tmp_path, monkeypatch):
    write_table(tmp_path / "t", rows(), TableInfo("test", None, "cls", 16))
    first = project(open_table(tmp_path / "t"))
    monkeypatch.setattr("core.atlas.analysis.project.principal_axes", None)
    np.testing.assert_array_equal(project(open_table(tmp_path / "t")).xy, first.xy)
    kept = next((tmp_path / "t" / ".derived").glob("projection-*"))
    kept.write_bytes(kept.read_bytes()[:50])
    monkeypatch.undo()
    np.testing.assert_array_equal(project(open_table(tmp_path / "t")).xy, first.xy)


def test_a_layout_its_colours_and_more_axes_read_the_vectors_for_their_axes_once(rows, monkeypatch):
    table, passes = EmbeddingTable.from_rows(rows(n=80)), []
    monkeypatch.setattr(
        "core.atlas.analysis.project._all_axes", lambda *a, work=_all_axes: passes.append(a) or work(*a)
    )
    project(table), colours(table), principal_axes(table, 8)
    assert len(passes) == 1
    assert principal_axes(table, 8).components.shape == (8, table.dim)


def test_unusable_rows_have_no_place_and_a_grey_colour(rows):
    original = rows(n=20)
    vectors = original["embedding"].to_pylist()
    vectors[2] = [np.nan] * 16
    table = EmbeddingTable.from_rows(
        original.set_column(original.schema.get_field_index("embedding"), "embedding", [vectors])
    )
    assert np.isnan(project(table).xy[2]).all()
    assert np.isfinite(np.delete(project(table).xy, 2, axis=0)).all()
    assert colours(table)[2].tolist() == [128, 128, 128]
    assert colours(table).std() > 20


def test_a_projection_of_another_kind_is_refused():
    with pytest.raises(SearchError, match="choose pca or umap"):
        ProjectionSpec("tsne")


def test_too_few_rows_are_refused(rows):
    with pytest.raises(SearchError, match="at least two"):
        project(EmbeddingTable.from_rows(rows(n=1)))


def test_rows_keep_their_position_and_only_new_ones_are_transformed(rows, monkeypatch):
    class Far:
        embedding_ = np.arange(400, dtype=np.float32).reshape(200, 2)

        def transform(self, units):
            return np.full((len(units), 2), -1, np.float32)

    monkeypatch.setattr("core.atlas.analysis.project._fit_umap", lambda table, spec: Far())
    table = EmbeddingTable.from_rows(rows())
    found = place(
        table,
        ProjectionSpec("umap"),
        np.concatenate([table.vectors_of([7, 0]), table.vectors_of([7]) + 1, 3 * table.vectors_of([199])]),
    )
    np.testing.assert_array_equal(found, [[14, 15], [0, 1], [-1, -1], [398, 399]])


@pytest.mark.slow  # UMAP compiles for most of a minute
def test_umap_is_seeded_and_places_new_rows(rows):
    table = EmbeddingTable.from_rows(rows(n=300))
    spec = ProjectionSpec("umap", neighbors=10, sample=250)
    first = project(table, spec).xy
    again = project(EmbeddingTable.from_rows(rows(n=300)), spec).xy
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    groups = np.array([first[g::4].mean(axis=0) for g in range(4)])
    np.testing.assert_array_equal(
        place(table, spec, table.vectors_of([7, 0, 299])), first[[7, 0, 299]], "a row keeps its plotted spot"
    )
    moved = table.vectors_of([0, 1, 2, 3]) + np.float32(0.02)
    new = place(table, spec, np.concatenate([moved, table.vectors_of([5])]))
    np.testing.assert_array_equal(new[4], first[5])
    assert not np.isin(new[:4], first).any()
    new = new[:4]
    assert np.linalg.norm(new[:, None] - groups[None], axis=2).argmin(axis=1).tolist() == [0, 1, 2, 3]


def test_a_large_table_has_its_axes_fitted_on_a_stated_sample(rows, monkeypatch):
    exact = principal_axes(EmbeddingTable.from_rows(rows(n=900)))
    assert fit_note(EmbeddingTable.from_rows(rows(n=900))) == ""
    monkeypatch.setattr("core.atlas.analysis.project.AXES_ROWS", 300)
    table = EmbeddingTable.from_rows(rows(n=900))
    note = fit_note(table)
    assert "300 of the 900 rows" in note
    found = principal_axes(table)
    assert not np.array_equal(found.components, exact.components)
    assert (np.abs((found.components * exact.components).sum(axis=1)) > 0.98).all()
    np.testing.assert_array_equal(project(table).xy, found.of_rows(table))


def test_some_rows_have_the_colours_that_they_have_among_all(rows):
    table = EmbeddingTable.from_rows(rows(n=300))
    some = np.array([7, 41, 299])
    np.testing.assert_array_equal(colours(table, some), colours(table)[some])


def test_umap_of_a_table_that_would_take_hours_is_refused(rows, monkeypatch):
    monkeypatch.setattr("core.atlas.analysis.project.UMAP_ROWS", 100)
    with pytest.raises(SearchError, match="use PCA"):
        project(EmbeddingTable.from_rows(rows(n=101)), ProjectionSpec("umap"))
