"""Libraries that have threads of their own: their pools go on, with what they were asked to do."""

from ..case import case

case(
    "duckdb_in_the_middle_of_a_transaction",
    needs=("duckdb",),
    setup="""
        import duckdb
        db = duckdb.connect(":memory:", config={"threads": 4})
        db.execute("create table t as select i % 7 as k, i as v from range(200000) t(i)")
        db.begin(); db.execute("insert into t values (9, 1)")
        sums = db.execute("select k, sum(v)::bigint from t group by k order by k").fetchall()
        half = db.execute("select v from t order by v"); first = half.fetchmany(3)
    """,
    mutate="db.execute('delete from t'); db.commit()",
    check="""
        assert db.fetchmany(2) == [(2,), (3,)] and first == [(0,), (1,), (1,)]
        assert db.execute("select k, sum(v)::bigint from t group by k order by k").fetchall() == sums and sums[-1] == (9, 1)
        db.rollback()
        assert db.execute("select count(*) from t").fetchone() == (200000,)
    """,
    consumes=True,
)
case(
    "a_query_of_duckdb_in_a_thread",
    needs=("duckdb",),
    setup="""
        import threading, duckdb
        db = duckdb.connect(":memory:", config={"threads": 4})
        query = "select sum(a.i * b.i % 97)::bigint from range(6000) a(i), range(6000) b(i)"
        small = query.replace("6000", "600")
        expected, small_sum = duckdb.execute(query).fetchone(), duckdb.execute(small).fetchone()
        def work(): thread.got = db.execute(query).fetchone()
        thread = threading.Thread(target=work, name="the query", daemon=True); thread.start()
    """,
    mutate="thread.join(); thread.got = None",
    check="""
        thread.join(20)
        assert thread.got == expected and db.cursor().execute(small).fetchone() == small_sum
    """,
)
case(
    "pyarrow_and_its_threads",
    needs=("pyarrow",),
    setup="""
        import pyarrow as pa, pyarrow.compute as pc
        pa.set_cpu_count(4)
        table = pa.table({"k": [i % 7 for i in range(100000)], "v": list(range(100000))})
        def sums(): return sorted(table.group_by("k").aggregate([("v", "sum")]).to_pylist(), key=lambda row: row["k"])
        expected, same = sums(), table
    """,
    mutate="pa.set_cpu_count(1); table = table.append_column('x', table['v']).slice(5); sums()",
    check="""
        assert table is same and table.column_names == ["k", "v"] and pa.cpu_count() == 4
        assert sums() == expected and pc.sum(table["v"]).as_py() == 100000 * 99999 // 2
    """,
)
case(
    "numexpr_and_its_threads",
    needs=("numexpr", "numpy"),
    setup="""
        import numpy as np, numexpr as ne
        ne.set_num_threads(4)
        a, b = np.arange(1e6), np.ones(1_000_000)
        expected = (2 * a + b).tobytes()
    """,
    mutate="ne.set_num_threads(2); a[:] = 0; ne.evaluate('a + b', out=b)",
    check="""
        assert ne.set_num_threads(4) == 4 and ne.evaluate("2 * a + b").tobytes() == expected and a[-1] == 999999
    """,
)
case(
    "lightgbm_and_openmp",
    needs=("lightgbm", "numpy"),
    setup="""
        import numpy as np, lightgbm as lgb
        X = np.random.default_rng(0).random((2000, 5)); y = X[:, 0] + X[:, 1]
        settings = {"objective": "regression", "num_threads": 4, "verbosity": -1, "deterministic": True, "force_row_wise": True}
        booster = lgb.train(settings, lgb.Dataset(X, y), 10)
        out = booster.predict(X).tobytes()
    """,
    mutate="booster.set_leaf_output(0, 0, 5.0); X[:] = 0",
    check="""
        assert booster.current_iteration() == 10 and booster.predict(X).tobytes() == out
        again = lgb.train(settings, lgb.Dataset(X, y), 10)
        assert again.predict(X).tobytes() == out
        del again
    """,
)
case(
    "xgboost_and_openmp",
    needs=("xgboost", "numpy"),
    setup="""
        import numpy as np, xgboost as xgb
        X = np.random.default_rng(0).random((2000, 5)); y = X[:, 0] + X[:, 1]
        data = xgb.DMatrix(X, y)
        booster = xgb.train({"nthread": 4, "seed": 0}, data, 10)
        out = booster.predict(data).tobytes()
    """,
    mutate="booster.update(data, 10); data.set_label(-y); booster.set_param({'eta': 0.1})",
    check="""
        assert booster.num_boosted_rounds() == 10 and booster.predict(data).tobytes() == out
        assert (data.get_label() == y.astype("f4")).all()
        again = xgb.train({"nthread": 4, "seed": 0}, data, 10)
        assert again.predict(data).tobytes() == out
        del again
    """,
)
case(
    "a_query_of_polars_in_a_thread",
    needs=("polars",),
    setup="""
        import threading, polars as pl
        df = pl.DataFrame({"k": [i % 7 for i in range(200_000)], "v": range(200_000)})
        def query(): return df.lazy().group_by("k").agg(pl.col("v").sort().sum()).sort("k").collect()["v"].to_list()
        expected, wrong, stopped = query(), [], False
        def work(number):
            while not stopped:
                if query() != expected: wrong.append(1)
                threads[number].done += 1
        threads = [threading.Thread(target=work, args=(number,), name="the query", daemon=True) for number in range(2)]
        for each in threads: each.done = 0; each.start()
        del each
    """,
    mutate="stopped = True; [each.join() for each in threads]; df = df.head(3)",
    check="""
        import time
        assert all(thread.is_alive() for thread in threads) and query() == expected
        seen = threads[0].done
        for _ in range(2000):
            if threads[0].done > seen + 1: break
            time.sleep(0.005)
        assert threads[0].done > seen + 1 and wrong == []
    """,
)
case(
    "a_server_of_grpc",
    needs=("grpc",),
    setup="""
        import grpc
        from concurrent.futures import ThreadPoolExecutor
        calls = []
        def answer(request, context):
            calls.append(request)
            return request[::-1]
        class Handler(grpc.GenericRpcHandler):
            def service(self, details):
                return grpc.unary_unary_rpc_method_handler(answer)
        server = grpc.server(ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((Handler(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        def call(what):
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                return channel.unary_unary("/any/thing")(what, timeout=20)
    """,
    mutate="calls.append(b'x'); server.stop(None).wait()",
    check="""
        assert calls == [] and call(b"abc") == b"cba" and calls == [b"abc"]
        calls.clear()
    """,
    exact_except={
        "branches": "its port is the parent's: the branch is told so",
    },
)
