"""Graphs and formulas."""

from ..matrix import library

library(
    "networkx",
    "networkx",
    setup="""
        import networkx as nx
        g = nx.Graph(name="g"); g.add_edge("a", "b", w=1); data = g["a"]["b"]; layout = nx.circular_layout(g) if hasattr(nx, "circular_layout") else None; d = nx.DiGraph([(1, 2)]); view = g.subgraph(["a"])
    """,
    mutate="data['w'] = 5; g.add_node('z'); d.clear()",
    check="assert g['b']['a'] is data and data == {'w': 1} and nx.shortest_path(g, 'a', 'b') == ['a', 'b'] and list(view) == ['a'] and list(d.edges) == [(1, 2)]",
)
library(
    "sympy",
    "sympy",
    setup="""
        import sympy as sp
        x, y = sp.symbols("x y", positive=True); e = (x + y) ** 2; m = sp.Matrix([[x, 1], [0, y]]); f = sp.lambdify(x, x**2); held = {"x": x}; u = sp.Function("u")
    """,
    mutate="m[0, 0] = 9; held.clear()",
    check="""
        assert held["x"] is x and sp.expand(e) == x**2 + 2 * x * y + y**2 and m.det() == x * y and f(3) == 9 and sp.sqrt(x**2) == x
        assert x == sp.Symbol("x", positive=True) and u(x).diff(x).has(u)
    """,
)
