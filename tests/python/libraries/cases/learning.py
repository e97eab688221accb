"""Models, statistics and language."""

from ..matrix import library

library(
    "scikit_learn",
    "sklearn",
    setup="""
        import numpy as np
        from sklearn.linear_model import LinearRegression, SGDClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        X = np.array([[0.0], [1.0], [2.0], [3.0]]); y = np.array([0, 0, 1, 1]); scaler = StandardScaler(); pipe = make_pipeline(scaler, LinearRegression()).fit(X, y)
        online = SGDClassifier(random_state=1).partial_fit(X, y, classes=[0, 1]); coefficients = online.coef_.copy()
    """,
    mutate="pipe.fit(X, -y); online.partial_fit(X, 1 - y); scaler.with_mean = False",
    check="""
        assert pipe.steps[0][1] is scaler and round(float(pipe.predict([[3.0]])[0]), 2) == 1.1 and scaler.mean_[0] == 1.5 and scaler.with_mean
        assert (online.coef_ == coefficients).all()
    """,
)
library(
    "scipy",
    "scipy",
    setup="""
        import numpy as np, scipy.interpolate, scipy.sparse as sp, scipy.spatial, scipy.stats
        m = sp.csr_matrix(np.eye(3)); f = scipy.interpolate.CubicSpline([0, 1, 2], [0, 1, 4]); norm = scipy.stats.norm(2, 1); tree = scipy.spatial.cKDTree([[0, 0], [1, 1]]); held = [m]
    """,
    mutate="m[0, 0] = 5; held.clear()",
    check="assert held[0] is m and m.sum() == 3 and float(f(1.5)) == 2.25 and norm.mean() == 2 and tree.query([0.9, 0.9])[1] == 1",
)
library(
    "statsmodels",
    "statsmodels",
    setup="""
        import numpy as np, pandas as pd, statsmodels.api as sm, statsmodels.formula.api as smf
        df = pd.DataFrame({"x": [1.0, 2, 3, 4], "y": [2.0, 4.1, 6, 8.1]}); model = smf.ols("y ~ x", df); fit = model.fit(); held = {"m": model, "f": fit}
    """,
    mutate="held.clear(); df['x'] = 0",
    check="""
        assert held["f"] is fit and held["m"] is model and round(float(fit.params["x"]), 2) == 2.02 and fit.model is model
        assert len(fit.predict(pd.DataFrame({"x": [5.0]}))) == 1 and "R-squared" in str(fit.summary())
    """,
)
library(
    "xgboost",
    "xgboost",
    setup="""
        import numpy as np, xgboost as xgb
        X = np.arange(20.0).reshape(10, 2); y = np.arange(10.0); d = xgb.DMatrix(X, y); booster = xgb.train({"max_depth": 2, "nthread": 1}, d, 3); model = xgb.XGBRegressor(n_estimators=3, n_jobs=1).fit(X, y)
        before = booster.predict(xgb.DMatrix(X)); held = [booster]
    """,
    mutate="booster.set_attr(a='1'); held.clear()",
    check="""
        assert held[0] is booster and (booster.predict(xgb.DMatrix(X)) == before).all() and booster.attr("a") is None
        assert model.predict(X).shape == (10,) and d.num_row() == 10
    """,
)
library(
    "lightgbm",
    "lightgbm",
    setup="""
        import lightgbm as lgb, numpy as np
        X = np.arange(200.0).reshape(100, 2); y = np.arange(100.0); data = lgb.Dataset(X, y); booster = lgb.train({"verbose": -1, "num_threads": 1}, data, 3); held = [booster, booster]
        before = booster.predict(X)
    """,
    mutate="held.pop(); booster.rollback_one_iter()",
    check="assert held[0] is held[1] is booster and (booster.predict(X) == before).all() and booster.num_trees() == 3 and data.num_data() == 100",
)
library(
    "nltk",
    "nltk",
    setup="""
        import nltk
        from nltk.stem import PorterStemmer
        stemmer = PorterStemmer(); tree = nltk.Tree.fromstring("(S (N dog) (V runs))"); freq = nltk.FreqDist("abca"); grammar = nltk.CFG.fromstring("S -> 'a' S | 'b'"); parser = nltk.ChartParser(grammar)
        noun = tree[0]; tokens = nltk.tokenize.WordPunctTokenizer().tokenize("Good muffins.")
    """,
    mutate="noun[0] = 'cat'; freq['a'] += 5; tokens.clear()",
    check="""
        assert tree[0] is noun and tree.leaves() == ["dog", "runs"] and freq["a"] == 2 and stemmer.stem("running") == "run"
        assert len(list(parser.parse(["a", "b"]))) == 1 and tokens == ["Good", "muffins", "."]
    """,
)
library(
    "spacy",
    "spacy",
    setup="""
        import spacy
        from spacy.matcher import Matcher
        nlp = spacy.blank("en"); nlp.add_pipe("sentencizer"); doc = nlp("Hello there. Bye now."); token = doc[1]; span = doc[0:2]
        matcher = Matcher(nlp.vocab); matcher.add("HI", [[{"LOWER": "hello"}]]); held = [nlp, doc]
    """,
    mutate="nlp.remove_pipe('sentencizer'); matcher.remove('HI'); held.clear()",
    check="""
        assert held[0] is nlp and held[1] is doc and nlp.pipe_names == ["sentencizer"] and len(list(doc.sents)) == 2
        assert token.text == "there" and token.doc is doc and span.text == "Hello there" and len(matcher(nlp("hello you"))) == 1 and doc.vocab is nlp.vocab
    """,
)
library(
    "tokenizers",
    "tokenizers",
    setup="""
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
        tok = Tokenizer(models.BPE(unk_token="[UNK]")); tok.pre_tokenizer = pre_tokenizers.Whitespace(); tok.train_from_iterator(["aa ab", "ab aa"] * 3, trainers.BpeTrainer(special_tokens=["[UNK]"], show_progress=False))
        encoded = tok.encode("aa ab"); held = {"t": tok}
    """,
    mutate="tok.add_tokens(['zzz']); held.clear()",
    check="assert held['t'] is tok and tok.encode('aa ab').ids == encoded.ids and tok.token_to_id('zzz') is None and encoded.tokens == ['aa', 'ab']",
)
library(
    "gensim",
    "gensim",
    setup="""
        from gensim.corpora import Dictionary
        from gensim.models import TfidfModel, Word2Vec
        texts = [["a", "b"], ["a", "c"]]; words = Dictionary(texts); bow = [words.doc2bow(t) for t in texts]; tfidf = TfidfModel(bow); w2v = Word2Vec(texts, vector_size=4, min_count=1, workers=1, seed=1); vectors = w2v.wv
        before = vectors["a"].copy()
    """,
    mutate="words.add_documents([['z']]); vectors.vectors = vectors.vectors * 0",
    check="""
        assert len(words) == 3 and w2v.wv is vectors and (vectors["a"] == before).all() and len(tfidf[bow[0]]) == 1
        assert w2v.wv.most_similar("a", topn=1)
    """,
)
library(
    "transformers",
    "transformers",
    setup="""
        from transformers import BertConfig, GenerationConfig
        config = BertConfig(hidden_size=12, num_attention_heads=2); config.extra = [1]; extra = config.extra; generation = GenerationConfig(max_new_tokens=5); held = [config]
    """,
    mutate="config.hidden_size = 99; extra.append(2); held.clear()",
    check="""
        assert held[0] is config and config.hidden_size == 12 and config.extra is extra == [1] and generation.max_new_tokens == 5
        assert BertConfig.from_dict(config.to_dict()).hidden_size == 12
    """,
)
