"""Tables, arrays and files of them."""

from ..matrix import library

library(
    "numpy",
    "numpy",
    setup="""
        import numpy as np
        a = np.arange(12.0).reshape(3, 4); row = a[1]; t = a.T; m = np.ma.masked_less(a, 3); rng = np.random.default_rng(1); drawn = rng.random()
        old = np.seterr(divide="raise"); np.set_printoptions(precision=3)
    """,
    mutate="row[0] = -1; rng.random(3); np.set_printoptions(precision=8)",
    check="""
        assert row.base is not None and t.shape == (4, 3) and row[0] == 4.0
        row[0] = 40; assert a[1, 0] == t[0, 1] == 40; row[0] = 4
        assert m.mask.sum() == 3 and np.get_printoptions()["precision"] == 3
        try: np.float64(1) / np.float64(0)
        except FloatingPointError: pass
        else: raise AssertionError
    """,
)
library(
    "pandas",
    "pandas",
    setup="""
        import pandas as pd
        df = pd.DataFrame({"k": ["a", "b", "a"], "v": [1.0, 2.0, 3.0]}, index=pd.date_range("2020", periods=3)); df.attrs["unit"] = "m"
        df["c"] = df["k"].astype("category"); g = df.groupby("k"); frames = {"x": df}; s = df["v"]; pd.set_option("display.max_rows", 7)
    """,
    mutate="df.loc[df.index[0], 'v'] = 9; df['new'] = 1; pd.reset_option('display.max_rows')",
    check="""
        assert frames["x"] is df and list(df.columns) == ["k", "v", "c"] and df.attrs == {"unit": "m"} and df["v"].tolist() == [1, 2, 3]
        assert g["v"].sum().to_dict() == {"a": 4.0, "b": 2.0} and str(df["c"].dtype) == "category" and pd.get_option("display.max_rows") == 7
    """,
)
library(
    "polars",
    "polars",
    setup="""
        import polars as pl
        df = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"]}); lazy = df.lazy().filter(pl.col("a") > 1); e = pl.col("a") * 2; held = [df, df]
    """,
    mutate="df.insert_column(0, pl.Series('n', [0, 0, 0])); held.pop()",
    check="""
        assert held[0] is held[1] is df and df.columns == ["a", "b"] and lazy.collect().height == 2
        assert df.select(e)["a"].to_list() == [2, 4, 6] and df.group_by("b").len().height == 2
    """,
)
library(
    "pyarrow",
    "pyarrow",
    setup="""
        import pyarrow as pa, pyarrow.compute as pc, pyarrow.dataset
        t = pa.table({"a": [1, 2], "b": ["x", None]}); schema = t.schema.with_metadata({"k": "v"}); batch = t.to_batches()[0]
        e = pc.field("a") > 1; cpus = pa.cpu_count(); pa.set_cpu_count(3); held = [t, schema]
    """,
    mutate="t = t.append_column('c', pa.array([1, 2])); pa.set_cpu_count(1); held.clear()",
    check="""
        assert held[0] is t and held[1] is schema and t.num_columns == 2 and schema.metadata == {b"k": b"v"}
        assert t.filter(e).num_rows == 1 and batch.column(1).null_count == 1 and pa.cpu_count() == 3
    """,
)
library(
    "duckdb",
    "duckdb",
    setup="""
        import duckdb
        duckdb.sql("create table t as select range a from range(5)"); con = duckdb.connect(); con.execute("create table u (x int); insert into u values (1), (2)")
        rel = con.table("u").filter("x > 1"); held = [con]
    """,
    mutate="duckdb.sql('drop table t'); con.execute('delete from u')",
    check="""
        assert held[0] is con and con.execute("select sum(x) from u").fetchall() == [(3,)] and rel.fetchall() == [(2,)]
        assert duckdb.sql("select count(*) from t").fetchall() == [(5,)]
    """,
)
library(
    "xarray",
    "xarray",
    setup="""
        import numpy as np, xarray as xr
        da = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("x", "y"), coords={"x": [10, 20]}, attrs={"u": "K"}); ds = xr.Dataset({"t": da}); view = ds["t"]
        xr.set_options(display_width=50)
    """,
    mutate="da.attrs['u'] = 'C'; ds['n'] = 1; xr.set_options(display_width=90)",
    check="""
        assert float(ds["t"].sel(x=20).sum()) == 12 and da.attrs == {"u": "K"} and list(ds.data_vars) == ["t"]
        da[0, 0] = 5; assert float(ds["t"][0, 0]) == 5; da[0, 0] = 0
        assert xr.get_options()["display_width"] == 50
    """,
)
library(
    "dask",
    "dask",
    setup="""
        import dask, dask.array as da, dask.delayed
        x = da.ones((6, 6), chunks=3); y = (x + 1).sum(); inc = dask.delayed(lambda v: v + 1); z = inc(inc(1)); dask.config.set({"array.chunk-size": "1MiB"}); held = {"x": x}
    """,
    mutate="x = None; dask.config.set({'array.chunk-size': '2MiB'})",
    check="""
        assert held["x"] is x and y.compute(scheduler="sync") == 72 and z.compute(scheduler="sync") == 3 and x.chunks == ((3, 3), (3, 3))
        assert dask.config.get("array.chunk-size") == "1MiB"
    """,
)
library(
    "h5py",
    "h5py",
    setup="""
        import h5py, tempfile, os
        path = os.path.join(tempfile.mkdtemp(), "f.h5"); f = h5py.File(path, "w"); d = f.create_dataset("d", data=[1, 2, 3]); f.flush(); dt = h5py.string_dtype(); dtypes = [dt]
    """,
    mutate="dtypes.clear()",
    check="assert dtypes[0] is dt and h5py.check_string_dtype(dt).encoding == 'utf-8' and f['d'] == d and d[:].tolist() == [1, 2, 3]",
)
library(
    "zarr",
    "zarr",
    setup="""
        import zarr, tempfile
        path = tempfile.mkdtemp(); z = zarr.create_array(store=path + "/a.zarr", shape=(4, 4), chunks=(2, 2), dtype="i4"); z[:] = 7
        g = zarr.group(); g.create_array("in", shape=3, dtype="f8"); held = [z]
    """,
    mutate="held.clear()",
    check="""
        assert held[0] is z and z.shape == (4, 4) and int(z[1, 1]) == 7 and z.chunks == (2, 2)
        assert "in" in g and g["in"].shape == (3,)
    """,
)
library(
    "openpyxl",
    "openpyxl",
    setup="""
        import io, openpyxl
        from openpyxl.styles import Font
        wb = openpyxl.Workbook(); ws = wb.active; ws["A1"] = 1; ws["B1"] = "=A1+1"; cell = ws["A1"]; cell.font = Font(bold=True); sheets = [ws]
    """,
    mutate="ws['A1'] = 5; wb.create_sheet('more'); cell.font = Font(bold=False)",
    check="""
        assert sheets[0] is ws is wb.active and ws["A1"] is cell and cell.value == 1 and cell.font.bold and wb.sheetnames == ["Sheet"]
        file = io.BytesIO(); wb.save(file); assert openpyxl.load_workbook(file).active["B1"].value == "=A1+1"
    """,
)
library(
    "shapely_and_geopandas",
    "shapely geopandas",
    setup="""
        import geopandas as gpd, shapely
        from shapely.geometry import Point, Polygon
        p = Point(1, 2); square = Polygon([(0, 0), (3, 0), (3, 3), (0, 3)]); tree = shapely.STRtree([p, square]); prepared = square; shapely.prepare(prepared)
        gdf = gpd.GeoDataFrame({"n": [1, 2]}, geometry=[p, square], crs="EPSG:4326"); held = {"g": gdf, "p": p}
    """,
    mutate="gdf['m'] = 3; gdf.geometry = gdf.buffer(1); held.clear()",
    check="""
        assert held["g"] is gdf and held["p"] is p and list(gdf.columns) == ["n", "geometry"] and gdf.crs.to_epsg() == 4326
        assert square.contains(p) and prepared is square and gdf.geometry[0] == p and sorted(tree.query(p).tolist()) == [0, 1]
    """,
)
