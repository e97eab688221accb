# Twenty steps of an ordinary analysis. The engine and its peers run the same ones, and save after each.
# %% the libraries
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
# %% a frame
rng = np.random.default_rng(4)
df = pd.DataFrame(rng.random((300_000, 12)), columns=[f"c{i}" for i in range(12)])
# %% a column added
df["total"] = df["c0"] + df["c1"]
# %% a cell changed
df.loc[1234, "c3"] = 0.5
# %% a summary
summary = df.describe()
# %% a function
def normalise(column):
    return (column - column.mean()) / column.std()
# %% a column made by it
df["score"] = normalise(df["c2"])
# %% a dict of 200,000 entries
index = {i: f"row {i}" for i in range(200_000)}
# %% one entry changed
index[77] = "changed"
# %% a sample
sample = df.sample(10_000, random_state=1)
# %% a model
line = LinearRegression().fit(sample[["c0", "c1", "c2"]], sample["score"])
# %% a larger model
forest = RandomForestRegressor(n_estimators=10, max_depth=8, random_state=1, n_jobs=1)
forest = forest.fit(sample[["c0", "c1", "c2", "c3"]], sample["score"])
# %% its predictions
predicted = forest.predict(df[["c0", "c1", "c2", "c3"]])
# %% how good it is
error = float(np.abs(predicted - df["score"]).mean())
# %% a number
threshold = 0.25
# %% rows that are off
off = df[np.abs(predicted - df["score"]) > threshold].head(5000)
# %% a group
groups = df.groupby((df["c5"] * 10).astype(int))["total"].mean()
# %% a list of results
results = [("line", line.coef_.tolist()), ("forest", error)]
# %% a cell changed again
df.loc[4321, "c7"] = 0.25
# %% notes
notes = {"best": "forest", "error": error}
