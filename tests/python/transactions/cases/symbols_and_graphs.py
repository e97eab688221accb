"""networkx and sympy."""

from ..case import case

NX = ("networkx",)
SYMPY = ("sympy",)

case(
    "graphs",
    needs=NX,
    setup="""
        import networkx as nx
        g = nx.Graph(name="g"); g.add_edge("a", "b", w=1); g.add_node("c", tags=[1]); sub = g.subgraph(["a", "b"])
        adj, data, tags = g.adj, g["a"]["b"], g.nodes["c"]["tags"]
    """,
    mutate="""
        g.remove_node('b'); g.add_edge('c', 'd'); tags.append(2); g.graph['name'] = 'h'; data['w'] = 5; nx.freeze(g)
    """,
    check="""
        assert list(g) == ["a", "b", "c"] and g.edges["b", "a"] is data == {"w": 1} and g.name == "g"
        assert not nx.is_frozen(g)
        assert g.nodes["c"]["tags"] is tags == [1] and list(sub.edges) == [("a", "b")] and g.adj is adj
    """,
)
case(
    "directed_and_multi_graphs",
    needs=NX,
    setup="""
        import networkx as nx
        d = nx.DiGraph([(1, 2), (2, 3)]); m = nx.MultiGraph(); keys = [m.add_edge(1, 2), m.add_edge(1, 2, c="x")]
        order = list(nx.topological_sort(d)); rev = d.reverse(copy=False)
    """,
    mutate="""
        d.add_edge(3, 1); m.remove_edge(1, 2); d.remove_edge(1, 2); m[1][2][0]['new'] = 1
        nx.relabel_nodes(d, {1: 9}, copy=False)
    """,
    check="""
        assert list(d.edges) == [(1, 2), (2, 3)] and order == [1, 2, 3] and sorted(rev.edges) == [(2, 1), (3, 2)]
        assert m.number_of_edges() == 2 and m[1][2] == {0: {}, 1: {"c": "x"}} and keys == [0, 1]
        assert d.pred[2] == {1: {}}
    """,
)
case(
    "traversals_half_walked",
    needs=NX,
    setup="""
        import networkx as nx
        g = nx.path_graph(6); walk = nx.bfs_edges(g, 0); first = [next(walk), next(walk)]
        paths = nx.all_simple_paths(nx.complete_graph(4), 0, 3); next(paths)
        nx.shortest_path(g, 0, 5)
    """,
    mutate="next(walk); next(paths); g.remove_edge(4, 5)",
    check="""
        assert first == [(0, 1), (1, 2)] and list(walk) == [(2, 3), (3, 4), (4, 5)] and len(list(paths)) == 4
        assert nx.has_path(g, 0, 5)
    """,
    consumes=True,
)
case(
    "graph_algorithms_with_caches",
    needs=NX,
    setup="""
        import networkx as nx
        g = nx.karate_club_graph(); rank = nx.degree_centrality(g)
        nx.set_node_attributes(g, {n: (n, n) for n in g}, "pos"); view = g.degree
        between = nx.betweenness_centrality(g)
    """,
    mutate="nx.set_node_attributes(g, 0, 'pos'); g.add_edge(0, 33); rank[0] = 0; g.clear_edges(); g.nodes[0].clear()",
    check="""
        assert g.number_of_edges() == 78 and view[0] == 16 and nx.degree_centrality(g) == rank
        assert g.nodes[5]["pos"] == (5, 5)
        assert nx.betweenness_centrality(g) == between and g.nodes[0]["club"] == "Mr. Hi"
    """,
)
case(
    "symbols_and_expressions",
    needs=SYMPY,
    setup="""
        import sympy as sp
        x, y = sp.symbols("x y"); p = sp.Symbol("p", positive=True); e = (x + y) ** 2; d = sp.Dummy("d"); e_id = id(e)
        terms = {x: 1, e: "square"}; other = sp.Dummy("d")
    """,
    mutate="e = e.expand(); terms[x] = 2; terms[sp.Symbol('q')] = 0; p = sp.Symbol('p'); other = d",
    check="""
        assert id(e) == e_id and terms == {x: 1, e: "square"} and p.is_positive and sp.Symbol("p") != p and other != d
        assert sp.sqrt(p ** 2) == p and sp.Symbol("x") is x and list(terms) == [x, e]
    """,
)
case(
    "assumptions",
    needs=SYMPY,
    setup="""
        import sympy as sp
        from sympy.assumptions import global_assumptions, Q
        x = sp.Symbol("x"); global_assumptions.add(Q.positive(x)); known = set(global_assumptions)
        ctx = sp.assuming(Q.integer(x)); ctx.__enter__()
    """,
    mutate="global_assumptions.clear(); global_assumptions.add(Q.negative(x))",
    check="""
        assert global_assumptions == known | {Q.integer(x)} and sp.ask(Q.positive(x)) and sp.ask(Q.negative(x)) is False
    """,
)
case(
    "matrices_and_functions",
    needs=SYMPY,
    setup="""
        import sympy as sp
        x = sp.Symbol("x"); m = sp.Matrix([[1, x], [0, 2]]); alias = m; arr = sp.MutableDenseNDimArray([1, 2, 3])
        f = sp.lambdify(x, x ** 2 + 1); frozen = m.as_immutable(); series = sp.sin(x).lseries(x); first = next(series)
    """,
    mutate="m[0, 0] = 9; m.row_del(1); arr[0] = x; f = sp.lambdify(x, x); next(series); frozen = m",
    check="""
        assert m is alias and m == sp.Matrix([[1, x], [0, 2]]) == frozen and list(arr) == [1, 2, 3] and f(3) == 10
        assert type(frozen) is sp.ImmutableDenseMatrix and first == x and next(series) == -x ** 3 / 6
    """,
    consumes=True,
)
case(
    "caches_and_settings_of_sympy",
    needs=SYMPY,
    setup="""
        import sympy as sp
        x = sp.Symbol("x"); sp.init_printing(use_unicode=False, pretty_print=False); calls = []
        class F(sp.Function):
            @classmethod
            def eval(cls, n):
                calls.append(n)
        value = F(sp.Integer(3)); calls_made = len(calls); gen = sp.numbered_symbols("t"); next(gen)
        precision = sp.Float("0.1", 30); sp.core.random.seed(4); sp.core.random.random()
        state = sp.core.random.rng.getstate()
    """,
    mutate="F(sp.Integer(4)); F.eval = classmethod(lambda cls, n: sp.Integer(0)); next(gen); sp.core.random.random()",
    check="""
        assert len(calls) == calls_made and sp.core.random.rng.getstate() == state and str(next(gen)) == "t1"
        assert F(sp.Integer(9)).func is F and precision._prec > 90
    """,
    consumes=True,
)
case(
    "sympy_sets_and_solutions",
    needs=SYMPY,
    setup="""
        import sympy as sp
        x = sp.Symbol("x", real=True); sols = sp.solve(x ** 2 - 4, x, dict=True); s = sp.Interval(0, 5)
        it = iter(sp.Range(0, 10, 2)); next(it); primes = sp.primerange(2, 30); next(primes)
        sieve = len(list(sp.sieve._list))
    """,
    mutate="sols[0][x] = 0; sols.pop(); next(it); next(primes); sp.sieve.extend(100000); s = s - sp.Interval(1, 2)",
    check="""
        assert sols == [{x: -2}, {x: 2}] and s == sp.Interval(0, 5) and list(it) == [2, 4, 6, 8] and next(primes) == 3
        assert len(list(sp.sieve._list)) == sieve
    """,
    consumes=True,
)
