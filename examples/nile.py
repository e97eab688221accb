"""When did the Nile change? The yearly flow at Aswan, 1871-1970, in 10^8 m3: a real analysis in five steps.

Run it whole, from the root of the checkout:    pyrepl3 run examples/nile.py
or step by step in a session, from Rust or Python (see README.md). Each `# %%` begins a step. With pandas and
matplotlib it makes a table and a figure; without them it says so and goes on.
"""

# %% Read the measurements.
import csv
import math
import pathlib
import statistics

HERE = pathlib.Path(globals().get("__file__", "examples/nile.py")).parent
with open(HERE / "nile.csv", newline="") as file:
    flow = {int(row["year"]): float(row["flow"]) for row in csv.DictReader(file)}
years = sorted(flow)
print(f"{len(years)} years, {years[0]} to {years[-1]}; mean {statistics.mean(flow.values()):.1f}")


# %% Where does one mean before and another after explain the most?
def spread(values):
    """Sum of squared deviations from the mean."""
    middle = statistics.fmean(values)
    return sum((value - middle) ** 2 for value in values)


def change_point(years, flow):
    """The last year of the first regime: the split with the least spread in both parts together."""
    candidates = years[4:-5]
    return min(candidates, key=lambda year: spread([flow[y] for y in years if y <= year]) + spread([flow[y] for y in years if y > year]))


last = change_point(years, flow)
before = [flow[year] for year in years if year <= last]
after = [flow[year] for year in years if year > last]
print(f"the flow changed after {last}: {statistics.fmean(before):.0f} before, {statistics.fmean(after):.0f} after")

# %% Could that be chance? Welch's t.
error = math.sqrt(statistics.variance(before) / len(before) + statistics.variance(after) / len(after))
t = (statistics.fmean(before) - statistics.fmean(after)) / error
print(f"t = {t:.2f}: {'no chance' if abs(t) > 4 else 'perhaps chance'}")

# %% By decades, as a table.
try:
    import pandas
except ImportError:
    print("pandas is not installed: no table")
else:
    frame = pandas.DataFrame({"year": years, "flow": [flow[year] for year in years]})
    decades = frame.groupby(frame.year // 10 * 10).flow.agg(["mean", "min", "max"]).round(0)
    print(decades)

# %% A figure.
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("matplotlib is not installed: no figure")
else:
    figure, axes = plt.subplots(figsize=(8, 3))
    axes.plot(years, [flow[year] for year in years], lw=1)
    axes.hlines(statistics.fmean(before), years[0], last, colors="C1")
    axes.hlines(statistics.fmean(after), last + 1, years[-1], colors="C1")
    axes.set(title="Yearly flow of the Nile at Aswan", ylabel="10$^8$ m$^3$")
    plt.show()

# %% The answer.
answer = {"changed_after": last, "t": round(t, 2)}
answer
