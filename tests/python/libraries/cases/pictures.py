"""Figures and images."""

from ..matrix import library

library(
    "matplotlib",
    "matplotlib",
    setup="""
        import matplotlib; matplotlib.use("Agg")
        import io, matplotlib.pyplot as plt
        fig, ax = plt.subplots(); (line,) = ax.plot([1, 2], [3, 4], label="l"); legend = ax.legend(); held = {"ax": ax}; plt.rcParams["lines.linewidth"] = 3
    """,
    mutate="line.set_ydata([9, 9]); ax.set_title('no'); plt.rcParams['lines.linewidth'] = 1; plt.close('all')",
    check="""
        assert held["ax"] is ax and ax.figure is fig and ax.lines[0] is line and line.get_ydata().tolist() == [3, 4] and ax.get_legend() is legend
        assert plt.rcParams["lines.linewidth"] == 3 and ax.get_title() == ""
        file = io.BytesIO(); fig.savefig(file, format="png"); assert file.getvalue()[:4] == b"\\x89PNG"
    """,
)
library(
    "seaborn",
    "seaborn",
    setup="""
        import matplotlib; matplotlib.use("Agg")
        import pandas as pd, seaborn as sns
        sns.set_theme(style="darkgrid"); df = pd.DataFrame({"x": [1, 2, 3], "h": ["a", "b", "a"]}); grid = sns.FacetGrid(df, col="h"); axes = grid.axes; palette = sns.color_palette("deep", 3)
    """,
    mutate="grid.set(xlim=(0, 99)); sns.set_theme(style='white')",
    check="""
        assert grid.axes is axes and axes.shape == (1, 2) and grid.figure.axes[0] is axes[0, 0] and axes[0, 0].get_xlim()[1] != 99
        assert sns.axes_style()["axes.grid"] and len(palette) == 3
    """,
)
library(
    "plotly",
    "plotly",
    setup="""
        import plotly.graph_objects as go, plotly.io as pio
        fig = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="t")); trace = fig.data[0]; fig.update_layout(title="T"); layout = fig.layout; pio.templates.default = "plotly_dark"; pio.renderers.default = "json"
    """,
    mutate="trace.name = 'u'; fig.add_bar(y=[1]); layout.title.text = 'U'; pio.templates.default = 'none'",
    check="""
        assert fig.data[0] is trace and fig.layout is layout and layout.title.text == "T" and trace.name == "t" and len(fig.data) == 1
        assert pio.templates.default == "plotly_dark" and pio.renderers.default == "json" and '"T"' in fig.to_json()
    """,
)
library(
    "altair",
    "altair",
    setup="""
        import altair as alt, pandas as pd
        df = pd.DataFrame({"a": [1, 2]}); chart = alt.Chart(df).mark_bar().encode(x="a:Q", y=alt.Y("a:Q", title="t")); both = chart | chart; held = [chart]
        alt.data_transformers.enable("default", max_rows=9)
    """,
    mutate="chart.title = 'x'; held.clear(); alt.data_transformers.enable('default')",
    check="""
        assert held[0] is chart and chart.data is df and chart.to_dict()["mark"] == {"type": "bar"} and "title" not in chart.to_dict()
        assert len(both.hconcat) == 2 and alt.data_transformers.options == {"max_rows": 9}
    """,
)
library(
    "bokeh",
    "bokeh",
    setup="""
        from bokeh.models import ColumnDataSource
        from bokeh.plotting import figure
        source = ColumnDataSource({"x": [1, 2], "y": [3, 4]}); p = figure(title="t"); glyph = p.line("x", "y", source=source); held = [p]
    """,
    mutate="source.data['x'] = [9, 9]; p.title.text = 'u'; held.clear()",
    check="assert held[0] is p and glyph.data_source is source and list(source.data['x']) == [1, 2] and p.title.text == 't' and p.renderers[0] is glyph",
)
library(
    "pillow",
    "PIL",
    setup="""
        import io
        from PIL import Image, ImageDraw
        im = Image.new("RGB", (4, 4), "red"); draw = ImageDraw.Draw(im); draw.point((1, 1), "blue"); file = io.BytesIO(); im.save(file, "PNG"); lazy = Image.open(file); held = [im]
    """,
    mutate="im.putpixel((0, 0), (0, 0, 0)); held.clear()",
    check="""
        assert held[0] is im and im.getpixel((0, 0)) == (255, 0, 0) and im.getpixel((1, 1)) == (0, 0, 255) and lazy.size == (4, 4)
        assert lazy.getpixel((1, 1)) == (0, 0, 255)
        draw.point((2, 2), "lime"); assert im.getpixel((2, 2)) == (0, 255, 0); draw.point((2, 2), "red")
    """,
)
library(
    "opencv",
    "cv2",
    setup="""
        import cv2, numpy as np
        im = np.zeros((8, 8, 3), np.uint8); cv2.circle(im, (4, 4), 2, (255, 0, 0), -1); part = im[2:6, 2:6]; orb = cv2.ORB_create(); points = [cv2.KeyPoint(1, 2, 3)]; kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    """,
    mutate="part[:] = 9; points.clear()",
    check="""
        assert im[4, 4, 0] == 255 and part.base is not None and cv2.erode(im, kernel).shape == im.shape
        part[0, 0] = 7; assert im[2, 2, 0] == 7; part[0, 0] = 0
        assert points[0].pt == (1, 2) and orb.getMaxFeatures() == 500
    """,
)
library(
    "scikit_image",
    "skimage",
    setup="""
        import numpy as np, skimage.measure, skimage.transform
        im = np.zeros((6, 6)); im[2:4, 2:4] = 1; labels = skimage.measure.label(im); regions = skimage.measure.regionprops(labels); turn = skimage.transform.SimilarityTransform(rotation=0.5); held = [turn]
    """,
    mutate="labels[:] = 0; held.clear()",
    check="assert held[0] is turn and regions[0].area == 4 and labels.max() == 1 and round(float(turn.rotation), 3) == 0.5 and turn.inverse is not None",
)
