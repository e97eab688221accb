"""scipy and scikit-learn: matrices, solvers half stepped, fitted estimators, and those that use OpenMP."""

from ..case import case

SCIPY = ("numpy", "scipy")
SKLEARN = ("numpy", "sklearn")

case(
    "sparse_matrices",
    needs=SCIPY,
    setup="""
        import numpy as np, scipy.sparse as sp
        m = sp.csr_matrix(np.diag([1.0, 2, 3, 0])); lil, dok = m.tolil(), m.todok()
        data = m.data; coo = sp.coo_array(([1, 1, 2], ([0, 0, 1], [0, 0, 1])))
    """,
    mutate="""
        m.data[0] = 50; m[0, 0] = 9; m.eliminate_zeros(); lil[3, 0] = 7; dok[0, 0] = 0; coo.sum_duplicates(); m *= 2
    """,
    check="""
        assert all(x.toarray().tolist() == np.diag([1.0, 2, 3, 0]).tolist() for x in (m, lil, dok))
        assert m.data is data and m.nnz == 3 == lil.nnz and coo.nnz == 3 and not coo.has_canonical_format
    """,
)
case(
    "interpolators",
    needs=SCIPY,
    setup="""
        import numpy as np
        from scipy import interpolate
        x = np.linspace(0, 5, 6); y = x ** 2
        cs, b = interpolate.CubicSpline(x, y), interpolate.make_interp_spline(x, y, k=3)
        r = interpolate.RegularGridInterpolator((x,), y.copy())
        at = [float(cs(2.5)), float(b(2.5)), float(r([2.5])[0])]
    """,
    mutate="cs.c[0] += 1; b.c[:] = 0; r.values[2:4] = 100; cs.extrapolate = False; r.method = 'nearest'",
    check="""
        assert [float(cs(2.5)), float(b(2.5)), float(r([2.5])[0])] == at and cs.extrapolate and r.method == "linear"
    """,
)
case(
    "solver_half_stepped",
    needs=SCIPY,
    setup="""
        from scipy import integrate
        calls = []
        def f(t, y):
            calls.append(t)
            return -y
        solver = integrate.RK45(f, 0, [1.0], 5); [solver.step() for _ in range(3)]
        stiff = integrate.BDF(lambda t, y: -50 * y, 0, [1.0], 1); [stiff.step() for _ in range(4)]
        old = integrate.ode(f).set_integrator("dopri5").set_initial_value([1.0], 0); old.integrate(0.5)
        state = solver.t, solver.y[0], solver.h_abs, solver.nfev, stiff.t, stiff.order, old.t, old.y[0], len(calls)
    """,
    mutate="solver.step(); [stiff.step() for _ in range(3)]; old.integrate(1.0); solver.y[0] = 7",
    check="""
        now = solver.t, solver.y[0], solver.h_abs, solver.nfev, stiff.t, stiff.order, old.t, old.y[0], len(calls)
        assert state == now
        assert solver.status == "running" == stiff.status and old.successful()
    """,
)
case(
    "trees_in_space",
    needs=SCIPY,
    setup="""
        import numpy as np
        from scipy.spatial import KDTree, ConvexHull, Delaunay
        pts = np.random.default_rng(0).random((50, 2)); tree = KDTree(pts); tree_id = id(tree)
        near = tree.query([0.5, 0.5], 3)[1].tolist()
        hull = ConvexHull(pts[:20], incremental=True); volume = hull.volume; tri = Delaunay(pts)
        cells = len(tri.simplices)
    """,
    mutate="hull.add_points([[5.0, 5.0]]); pts += 1; tree = KDTree(pts); tri.simplices = None; hull.close()",
    check="""
        assert id(tree) == tree_id and tree.query([0.5, 0.5], 3)[1].tolist() == near and hull.volume == volume
        assert len(tri.simplices) == cells
        assert pts.max() < 1
        hull.add_points(np.array([[0.5, 0.5]]))
        assert hull.volume == volume
    """,
    consumes=True,
)
case(
    "optimisation_results_and_distributions",
    needs=SCIPY,
    setup="""
        import numpy as np
        from scipy import optimize, stats
        seen = []
        res = optimize.minimize(lambda x: (x[0] - 3) ** 2, [0.0], callback=lambda x: seen.append(float(x[0])))
        x = float(res.x[0]); steps = len(seen); norm = stats.norm(1, 2); norm.random_state = 5; norm.rvs(3)
        kde = stats.gaussian_kde([1.0, 2, 4]); density = float(kde(2.0)[0])
        twin = stats.norm(1, 2); twin.random_state = 5; twin.rvs(3); following = twin.rvs(2).tolist()
    """,
    mutate="res.x[0] = 0; res.extra = 1; seen.clear(); norm.rvs(); norm.kwds['scale'] = 3; kde.set_bandwidth(2)",
    check="""
        assert float(res.x[0]) == x and "extra" not in res and len(seen) == steps > 0 and norm.kwds == {}
        assert float(kde(2.0)[0]) == density and norm.rvs(2).tolist() == following
    """,
    consumes=True,
)
case(
    "signal_filters_and_factorisations",
    needs=SCIPY,
    setup="""
        import numpy as np
        from scipy import linalg, signal, sparse
        from scipy.sparse.linalg import splu
        b, a = signal.butter(3, 0.2); zi = signal.lfilter_zi(b, a); out, zi = signal.lfilter(b, a, np.ones(10), zi=zi)
        lu = splu(sparse.csc_matrix(np.diag([2.0, 4]))); lu2, piv = linalg.lu_factor(np.eye(3) * 5)
        kept = zi.tobytes(), lu2.tobytes()
    """,
    mutate="out, zi = signal.lfilter(b, a, np.zeros(5), zi=zi); lu2[0] = 0; b[:] = 0; lu = None",
    check="""
        assert (zi.tobytes(), lu2.tobytes()) == kept and b.any() and lu.solve(np.array([2.0, 4])).tolist() == [1, 1]
        assert len(out) == 10
    """,
)

DATA = """
    import numpy as np
    X = np.random.default_rng(1).random((120, 4)); y = (X[:, 0] + X[:, 1] > 1).astype(int)
"""

case(
    "fitted_linear_models",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.linear_model import LinearRegression, LogisticRegression
    lin, log = LinearRegression().fit(X, y), LogisticRegression().fit(X, y)
    coef = lin.coef_
    kept = [lin.coef_.tobytes(), log.coef_.tobytes(), log.n_iter_.tobytes(), log.predict_proba(X).tobytes()]
    """,
    mutate="lin.coef_[0] = 9; log.fit(X, 1 - y); lin.set_params(fit_intercept=False); lin.note = 1; del log.n_iter_",
    check="""
        assert kept == [lin.coef_.tobytes(), log.coef_.tobytes(), log.n_iter_.tobytes(), log.predict_proba(X).tobytes()]
        assert lin.coef_ is coef and lin.fit_intercept and not hasattr(lin, "note")
    """,
)
case(
    "partial_fit",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.linear_model import SGDClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.preprocessing import StandardScaler
    models = [SGDClassifier(random_state=0), GaussianNB()]
    for m in models:
        m.partial_fit(X[:60], y[:60], classes=[0, 1])
    scaler = StandardScaler().partial_fit(X[:60])
    state = models[0].coef_.tobytes(), models[0].t_, models[1].theta_.tobytes(), int(scaler.n_samples_seen_)
    """,
    mutate="[m.partial_fit(X[60:], y[60:]) for m in models]; scaler.partial_fit(X[60:])",
    check="""
        now = models[0].coef_.tobytes(), models[0].t_, models[1].theta_.tobytes(), int(scaler.n_samples_seen_)
        assert state == now
    """,
)
case(
    "pipelines_and_transformers",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    pipe = make_pipeline(MinMaxScaler(), PCA(2, random_state=0), Ridge()).fit(X, y); pca = pipe["pca"]
    out = pipe.predict(X).tobytes()
    """,
    mutate="pipe.set_params(ridge__alpha=50).fit(X, y); pca.components_[0] *= -1; pipe.steps.pop(1); pipe.memory = 'x'",
    check="""
        assert pipe.predict(X).tobytes() == out and pipe["pca"] is pca and pipe["ridge"].alpha == 1.0
        assert pipe.memory is None
    """,
)
case(
    "grid_search_results",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.tree import DecisionTreeClassifier
    folds = KFold(3, shuffle=True, random_state=np.random.RandomState(0))
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=folds).fit(X, y)
    best, score = search.best_estimator_, search.best_score_; rng = repr(folds.random_state.get_state()[1:4])
    """,
    mutate="""
        search.param_grid['max_depth'].append(3); search.fit(X, 1 - y); search.cv_results_.clear()
        next(folds.split(X))
    """,
    check="""
        assert search.best_estimator_ is best and search.best_score_ == score
        assert search.param_grid == {"max_depth": [1, 2]}
        assert len(search.cv_results_["params"]) == 2 and repr(folds.random_state.get_state()[1:4]) == rng
    """,
)
case(
    "forests_with_a_warm_start",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.ensemble import RandomForestClassifier
    rf = RandomForestClassifier(5, warm_start=True, random_state=0).fit(X, y); trees = list(rf.estimators_)
    out = rf.predict_proba(X).tobytes()
    """,
    mutate="rf.n_estimators = 8; rf.fit(X, y); rf.estimators_[0] = rf.estimators_[1]; rf.estimators_.reverse()",
    check="""
        assert len(rf.estimators_) == 5 == rf.n_estimators and all(a is b for a, b in zip(rf.estimators_, trees))
        assert rf.predict_proba(X).tobytes() == out
    """,
)
case(
    "gradient_boosting_with_openmp",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.ensemble import HistGradientBoostingClassifier
    hgb = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(X, y)
    out = hgb.predict_proba(X).round(10).tobytes()
    """,
    mutate="hgb.fit(X, 1 - y); hgb.predict(X)",
    check="""
        assert hgb.predict_proba(X).round(10).tobytes() == out
        again = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(X, y)
        assert again.predict_proba(X).round(10).tobytes() == out
        del again
    """,
    note="OpenMP's threads are there before the fork, and are wanted after it",
)
case(
    "clusters_with_openmp",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    X = np.random.default_rng(2).random((3000, 4))
    km = KMeans(3, n_init=1, random_state=0).fit(X); mini = MiniBatchKMeans(3, n_init=1, random_state=0).partial_fit(X)
    labels, counts = km.labels_.tobytes(), mini._counts.tobytes()
    """,
    mutate="km.fit(X[::2]); mini.partial_fit(X); km.cluster_centers_[0] = 0",
    check="""
        assert km.labels_.tobytes() == labels and km.predict(X).tobytes() == labels and mini._counts.tobytes() == counts
        assert (KMeans(3, n_init=1, random_state=0).fit(X).labels_ == km.labels_).all()
    """,
)
case(
    "neighbours_and_support_vectors",
    needs=SKLEARN,
    setup=DATA
    + """
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    knn, svc = KNeighborsClassifier(3).fit(X, y), SVC().fit(X, y)
    out = knn.kneighbors(X[:5])[1].tolist(), svc.decision_function(X).tobytes()
    """,
    mutate="knn.fit(X[::2], y[::2]); svc.fit(X, 1 - y); knn.n_neighbors = 1; svc.C = 3",
    check="""
        assert (knn.kneighbors(X[:5])[1].tolist(), svc.decision_function(X).tobytes()) == out
        assert knn.n_neighbors == 3 and svc.C == 1.0
    """,
)
case(
    "settings_of_scikit_learn",
    needs=SKLEARN,
    setup="""
        import sklearn
        sklearn.set_config(assume_finite=True, display="text"); cm = sklearn.config_context(working_memory=77)
        cm.__enter__()
    """,
    mutate="sklearn.set_config(assume_finite=False, working_memory=1)",
    check="""
        config = sklearn.get_config()
        assert config["assume_finite"] and config["display"] == "text" and config["working_memory"] == 77
    """,
)
