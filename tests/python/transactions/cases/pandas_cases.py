"""pandas: frames, series, indexes, groupers, readers, settings."""

from ..case import case

PANDAS = ("numpy", "pandas")

case(
    "frame_in_place",
    needs=PANDAS,
    setup="""
        import numpy as np, pandas as pd
        df = pd.DataFrame({"a": [3, 1, 2], "b": list("xyz"), "c": [1.5, None, 2.5]}, index=[10, 20, 30])
        alias, df_id, copy = df, id(df), df.copy(deep=True)
    """,
    mutate="""
        df["new"] = 1; df.loc[20, "b"] = "changed"; df.pop("c"); df.insert(0, "first", 2.5)
        df.columns = list("pqrs"); df.index.name = "i"; df.iloc[0, 0] = 99; df = df.copy()
    """,
    check="""
        assert df is alias and id(df) == df_id
        pd.testing.assert_frame_equal(df, copy, check_exact=True)
        assert df.index.name is None and list(df.columns) == ["a", "b", "c"] and df.index.tolist() == [10, 20, 30]
    """,
    diverge="df.loc[10, 'a'] = 100 + {i}",
)
case(
    "series_and_its_array",
    needs=PANDAS,
    setup="""
        import numpy as np, pandas as pd
        s = pd.Series([1.0, 2.0, np.nan], name="s", index=list("abc")); values = s.to_numpy()
        base = np.arange(4.0); wrapped = pd.Series(base, copy=False); address = wrapped.to_numpy().ctypes.data
    """,
    mutate="""
        s['b'] = 9; s.name = 't'; s.index = [1, 2, 3]; wrapped.iloc[0] = 5; base[1] = -1; s.fillna(0, inplace=True)
    """,
    check="""
        assert s.name == "s" and s.index.tolist() == list("abc") and s.iloc[:2].tolist() == [1, 2]
        assert s.isna().sum() == 1
        assert wrapped.to_numpy().ctypes.data == address and base.tolist() == [0, 1, 2, 3] == wrapped.tolist()
        assert np.shares_memory(values, s.to_numpy())
    """,
)
case(
    "views_between_frame_and_series",
    needs=PANDAS,
    setup="""
        import numpy as np, pandas as pd
        df = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))
        column, part, copied = df["a"], df.iloc[1:3], df.copy()
        shared = np.shares_memory(column.to_numpy(), df["a"].to_numpy())
    """,
    mutate="df.loc[0, 'a'] = 50; column.iloc[1] = 9; part.iloc[0, 0] = 7; copied['a'] = 0",
    check="""
        assert df.to_numpy().tolist() == np.arange(12.0).reshape(4, 3).tolist() and column.tolist() == [0, 3, 6, 9]
        assert part.shape == (2, 3) and part.iloc[0].tolist() == [3, 4, 5] and copied.equals(df)
        assert np.shares_memory(column.to_numpy(), df["a"].to_numpy()) == shared
    """,
)
case(
    "categoricals",
    needs=PANDAS,
    setup="""
        import pandas as pd
        c = pd.Categorical(list("abca"), categories=list("cba"), ordered=True); s = pd.Series(c)
        codes = c.codes.tolist()
        other = pd.CategoricalDtype(["x"])
    """,
    mutate="c[0] = 'c'; s = s.cat.add_categories('z'); s.iloc[1] = 'z'; c = c.reorder_categories(list('abc'))",
    check="""
        assert c.codes.tolist() == codes and c.ordered and list(c.categories) == list("cba") and c.min() == "c"
        assert s.tolist() == list("abca") and list(s.cat.categories) == list("cba")
    """,
)
case(
    "multi_index",
    needs=PANDAS,
    setup="""
        import pandas as pd
        mi = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["l", "n"])
        df = pd.DataFrame({"v": range(4)}, index=mi); df.index.get_loc(("b", 1)); wide = df.unstack()
    """,
    mutate="df.loc[('b', 1), 'v'] = 9; df.index = df.index.swaplevel(); mi.names = ['x', 'y']; wide.iloc[0, 0] = -1",
    check="""
        assert df.index.names == ["l", "n"] == list(mi.names) and df.loc[("b", 1), "v"] == 2
        assert df["v"].tolist() == [0, 1, 2, 3]
        assert wide.to_numpy().tolist() == [[0, 1], [2, 3]] and wide.columns.nlevels == 2
    """,
)
case(
    "groupby_objects",
    needs=PANDAS,
    setup="""
        import pandas as pd
        df = pd.DataFrame({"k": list("abab"), "v": [1, 2, 3, 4]}); g = df.groupby("k"); g.groups
        it = iter(g); first = next(it)[0]; total = g["v"].sum()
    """,
    mutate="df.loc[0, 'v'] = 100; next(it); total['a'] = 0; df['k'] = 'z'; g = df.groupby('k')",
    check="""
        assert g.obj is df and g["v"].sum().to_dict() == {"a": 4, "b": 6} == total.to_dict() and first == "a"
        assert {k: list(v) for k, v in g.groups.items()} == {"a": [0, 2], "b": [1, 3]}
        assert df["k"].tolist() == list("abab")
        k, rest = next(it)
        assert k == "b" and rest["v"].tolist() == [2, 4]
    """,
    consumes=True,
)
case(
    "attrs_and_flags",
    needs=PANDAS,
    setup="""
        import pandas as pd
        df = pd.DataFrame({"a": [1]}); notes = [1]; df.attrs["notes"] = notes
        df.flags.allows_duplicate_labels = False; df.columns.name = "cols"
    """,
    mutate="notes.append(2); df.attrs['more'] = 1; df.flags.allows_duplicate_labels = True; df.columns.name = None",
    check="""
        assert list(df.attrs) == ["notes"] and df.attrs["notes"] is notes == [1] and df.columns.name == "cols"
        assert not df.flags.allows_duplicate_labels
    """,
)
case(
    "pandas_options",
    needs=PANDAS,
    setup="""
        import pandas as pd
        pd.set_option("display.max_rows", 7, "display.precision", 2)
        cm = pd.option_context("display.width", 33); cm.__enter__()
    """,
    mutate="""
        pd.set_option("display.max_rows", 99); pd.set_option("display.precision", 5); cm.__exit__(None, None, None)
    """,
    check="""
        assert pd.get_option("display.max_rows") == 7 and pd.get_option("display.precision") == 2
        assert pd.get_option("display.width") == 33 and repr(pd.Series([1 / 3])).startswith("0    0.33\\n")
    """,
)
case(
    "reader_half_read_in_chunks",
    needs=PANDAS,
    setup="""
        import io, pandas as pd
        text = "a,b\\n" + "".join(f"{n},{n * n}\\n" for n in range(100))
        reader = pd.read_csv(io.StringIO(text), chunksize=30); first = next(reader)
        python = pd.read_csv(io.StringIO(text), iterator=True, engine="python"); head = python.get_chunk(5)
    """,
    mutate="next(reader); python.get_chunk(50); first.iloc[0, 0] = -1; reader.close()",
    check="""
        assert first["a"].tolist() == list(range(30)) and head["b"].tolist() == [0, 1, 4, 9, 16]
        assert [len(c) for c in reader] == [30, 30, 10] and python.get_chunk(2)["a"].tolist() == [5, 6]
    """,
    consumes=True,
)
case(
    "rolling_and_expanding",
    needs=PANDAS,
    setup="""
        import pandas as pd
        s = pd.Series([1.0, 2, 3, 4]); r, e, w = s.rolling(2), s.expanding(), s.ewm(alpha=0.5)
        means = r.mean(); it = iter(r); next(it)
    """,
    mutate="s.iloc[0] = 50; r.window = 3; means.iloc[1] = 0; next(it); e.min_periods = 4",
    check="""
        assert r.window == 2 and r.mean().tolist()[1:] == [1.5, 2.5, 3.5] == means.tolist()[1:] and r.obj is s
        assert e.sum().tolist() == [1, 3, 6, 10] and w.mean().iloc[1] == 5 / 3 and next(it).tolist() == [1, 2]
    """,
    consumes=True,
)
case(
    "extension_dtypes",
    needs=PANDAS,
    setup="""
        import pandas as pd
        i = pd.array([1, None, 3], dtype="Int64"); b = pd.array([True, None], dtype="boolean")
        t = pd.array(["a", None], dtype="string"); p = pd.period_range("2020-01", periods=3, freq="M").array.copy()
        n = pd.arrays.IntervalArray.from_breaks([0, 1, 2]); sp = pd.arrays.SparseArray([0, 0, 5])
        kept = [repr(x) for x in (i, b, t, p, n, sp)]
    """,
    mutate="i[1] = 9; b[0] = pd.NA; t[1] = 'q'; p[0] = p[2]; n[0] = n[1]; sp = sp + 1",
    check="""
        assert [repr(x) for x in (i, b, t, p, n, sp)] == kept and i[1] is pd.NA and i.dtype == "Int64"
        assert sp.npoints == 1
    """,
)
case(
    "dates_and_time_zones",
    needs=PANDAS,
    setup="""
        import pandas as pd
        ix = pd.date_range("2020-03-28", periods=4, freq="D", tz="Europe/Berlin"); s = pd.Series(range(4), index=ix)
        td = pd.to_timedelta([1, 2], unit="h"); ts = pd.Timestamp("2020-01-01", tz="UTC"); rs = s.resample("2D")
    """,
    mutate="""
        s.index = s.index.tz_convert('UTC'); s.iloc[0] = 9; ts += pd.Timedelta('1D'); ix = ix.shift(1); td = td * 2
    """,
    check="""
        assert s.index is not None and s.index.equals(ix) and str(s.index.tz) == "Europe/Berlin" and ix.freqstr == "D"
        assert rs.sum().tolist() == [1, 5] and ts.isoformat() == "2020-01-01T00:00:00+00:00" and td[1].seconds == 7200
    """,
)
case(
    "accessors_and_subclasses",
    needs=PANDAS,
    setup="""
        import pandas as pd
        class Mine(pd.DataFrame):
            _metadata = ["tag"]
            @property
            def _constructor(self): return Mine
        df = Mine({"a": [1, 2]}); df.tag = ["t"]; head = df.head(1)
        before = hasattr(pd.Series, "case")
    """,
    mutate="""
        df.tag.append(1); head.tag = None; df["a"] = 0; Mine.extra = 1
        pd.api.extensions.register_series_accessor("case")(type("Acc", (), {"__init__": lambda self, s: None}))
    """,
    check="""
        assert type(head) is Mine and head.tag is df.tag == ["t"] and df["a"].tolist() == [1, 2]
        assert not before and not hasattr(pd.Series, "case") and not hasattr(Mine, "extra")
    """,
)
case(
    "indexes_and_their_engines",
    needs=PANDAS,
    setup="""
        import pandas as pd
        ix = pd.Index([5, 6, 7], name="ix"); ix.get_loc(6); df = pd.DataFrame({"v": [1, 2, 3]}, index=ix)
        same = df.index is ix; rows = df.itertuples(); first = next(rows); items = df.items()
    """,
    mutate="ix.name = 'other'; df.index = [1, 2, 3]; next(rows); next(items); df.loc[9] = 0",
    check="""
        assert (df.index is ix) == same and df.index.equals(ix) and ix.name == "ix" and df.loc[6, "v"] == 2
        assert len(df) == 3
        assert first.v == 1 and [r.v for r in rows] == [2, 3] and next(items)[0] == "v"
    """,
    consumes=True,
)
case(
    "styler",
    needs=("numpy", "pandas", "jinja2"),
    setup="""
        import pandas as pd
        df = pd.DataFrame({"a": [1.234, 2.0]}); st = df.style.format("{:.1f}").set_caption("cap").set_uuid("u")
        html = st.to_html()
    """,
    mutate="st.set_caption('x').format('{:.3f}').hide(axis='index'); df.iloc[0, 0] = 9; st.set_properties(color='red')",
    check="assert st.caption == 'cap' and st.to_html() == html and st.data.iloc[0, 0] == 1.234",
)
