"""matplotlib with the Agg backend: figures, axes, artists, settings, and pandas' plots.

When an execution ends, a session shows what pyplot has open in Agg and closes it; so where pyplot's own list of
figures matters the backend is another one, and where pixels matter pyplot does not know the figure.
"""

from ..case import case

PLOT = ("numpy", "matplotlib")
FIGURE = """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
"""
AGG = """
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
"""

case(
    "figure_with_axes",
    needs=PLOT,
    setup=AGG
    + """
    fig, (left, right) = plt.subplots(1, 2); line, = left.plot([1, 2, 3], label="l"); right.set_title("t")
    children, size = len(left.get_children()), fig.get_size_inches().tolist()
    """,
    mutate="line.set_ydata([9, 9, 9]); left.set_xlim(0, 50); right.remove(); left.plot([1]); fig.suptitle('s'); "
    "fig.set_size_inches(1, 1)",
    check="""
        assert fig.axes == [left, right] and left.lines[0] is line and line.get_ydata().tolist() == [1, 2, 3]
        assert right.get_title() == "t" and len(left.get_children()) == children and fig._suptitle is None
        assert left.get_xlim()[1] < 3 and line.figure is fig and line.axes is left
        assert fig.get_size_inches().tolist() == size
    """,
)
case(
    "current_figure",
    needs=PLOT,
    setup=AGG
    + """
    plt.switch_backend("svg")
    one, two = plt.figure("one"), plt.figure("two"); axes = plt.gca(); plt.figure("one")
    numbers = plt.get_fignums()
    """,
    mutate="plt.figure('three'); plt.close('one'); plt.sca(axes)",
    check="""
        assert plt.gcf() is one and plt.get_fignums() == numbers and plt.fignum_exists("two") and two.gca() is axes
        assert plt.get_figlabels() == ["one", "two"] and one.axes == []
    """,
)
case(
    "rc_parameters",
    needs=PLOT,
    setup=AGG
    + """
    plt.rcParams["lines.linewidth"] = 4.5; cm = plt.rc_context({"font.size": 21}); cm.__enter__()
    params = plt.rcParams
    """,
    mutate="plt.rcdefaults(); plt.rc('font', size=5); plt.rcParams['axes.grid'] = True",
    check="""
        assert plt.rcParams is params and params["lines.linewidth"] == 4.5 and params["font.size"] == 21
        assert not params["axes.grid"] and plt.Line2D([0], [0]).get_linewidth() == 4.5
    """,
)
case(
    "styles_and_colour_cycles",
    needs=PLOT,
    setup=AGG
    + """
    plt.style.use("ggplot"); fig, ax = plt.subplots(); ax.plot([1]); ax.plot([2])
    colours = [l.get_color() for l in ax.lines]
    following = plt.rcParams["axes.prop_cycle"].by_key()["color"][2]
    """,
    mutate="plt.style.use('classic'); ax.plot([3]); ax.set_prop_cycle(color=['k'])",
    check="""
        assert [l.get_color() for l in ax.lines] == colours and plt.rcParams["axes.facecolor"] == "#E5E5E5"
        added, = ax.plot([3])
        assert added.get_color() == following
    """,
    consumes=True,
)
case(
    "artists_and_callbacks",
    needs=PLOT,
    setup=FIGURE
    + """
    from matplotlib.patches import Rectangle
    fig = Figure(); FigureCanvasAgg(fig); ax = fig.subplots(); r = ax.add_patch(Rectangle((0, 0), 1, 2))
    text = ax.text(0, 0, "txt"); heard = []
    cid = fig.canvas.mpl_connect("draw_event", heard.append)
    ax.callbacks.connect("xlim_changed", lambda a: heard.append(1))
    """,
    mutate="""
        r.set_width(9); text.set_text('x'); fig.canvas.mpl_disconnect(cid); ax.set_xlim(3, 4); r.set_zorder(9)
        r.tag = 1
    """,
    check="""
        assert r.get_width() == 1 and text.get_text() == "txt" and heard == [] and not hasattr(r, "tag")
        assert r.get_zorder() == 1
        fig.canvas.draw()
        assert len(heard) == 1 and heard[0].name == "draw_event"
    """,
    consumes=True,
)
case(
    "rendered_pixels",
    needs=PLOT,
    setup=FIGURE
    + """
    import hashlib
    import numpy as np
    fig = Figure(figsize=(2, 2), dpi=50); FigureCanvasAgg(fig); ax = fig.subplots()
    im = ax.imshow(np.arange(9).reshape(3, 3)); fig.colorbar(im)
    fig.canvas.draw(); pixels = hashlib.md5(fig.canvas.buffer_rgba()).digest()
    """,
    mutate="im.set_clim(3, 4); im.set_cmap('gray'); ax.axis('off'); fig.canvas.draw()",
    check="""
        assert hashlib.md5(fig.canvas.buffer_rgba()).digest() == pixels and im.get_clim() == (0, 8)
        fig.canvas.draw()
        assert hashlib.md5(fig.canvas.buffer_rgba()).digest() == pixels
    """,
)
case(
    "colour_maps_registered",
    needs=PLOT,
    setup=AGG
    + """
    from matplotlib.colors import ListedColormap, Normalize
    matplotlib.colormaps.register(ListedColormap(["r", "g"], name="case_map")); norm = Normalize(0, 4)
    """,
    mutate="matplotlib.colormaps.unregister('case_map'); norm.vmax = 100; matplotlib.colormaps.register("
    "ListedColormap(['k'], name='case_other'))",
    check="""
        assert "case_map" in matplotlib.colormaps and "case_other" not in matplotlib.colormaps and norm(2) == 0.5
    """,
)
case(
    "interactive_mode_and_backend",
    needs=PLOT,
    setup=AGG + "    plt.ioff(); backend = plt.get_backend().lower(); units = matplotlib.units.registry.copy()",
    mutate="plt.ion(); matplotlib.use('svg'); matplotlib.units.registry[complex] = None",
    check="""
        assert not plt.isinteractive() and plt.get_backend().lower() == backend == "agg"
        assert dict(matplotlib.units.registry) == dict(units)
    """,
)
case(
    "animations_half_played",
    needs=PLOT,
    setup=AGG
    + """
    from matplotlib.animation import FuncAnimation
    fig, ax = plt.subplots(); line, = ax.plot([], []); frames = []
    def draw(n):
        frames.append(n)
        line.set_data([0, n], [0, n])
        return line,
    anim = FuncAnimation(fig, draw, frames=iter(range(5)), cache_frame_data=False, repeat=False)
    anim._init_draw(); seq = anim.new_frame_seq(); anim._draw_frame(next(seq)); anim._draw_was_started = True
    seen, following = list(frames), frames[-1] + 1
    """,
    mutate="anim._draw_frame(next(seq)); line.set_data([7], [7])",
    check="""
        assert frames == seen and line.get_xdata()[-1] == seen[-1] and next(seq) == following
    """,
    consumes=True,
)
case(
    "plots_of_pandas",
    needs=("numpy", "pandas", "matplotlib"),
    setup=AGG
    + """
    import pandas as pd
    df = pd.DataFrame({"a": [1, 2, 3], "b": [3, 2, 1]}); ax = df.plot(); bars = df.plot.bar(); n = len(bars.patches)
    """,
    mutate="df['c'] = 0; df.plot(ax=ax); ax.legend_.remove(); bars.patches[0].set_height(50); ax.lines[0].remove()",
    check="""
        assert len(ax.lines) == 2 and ax.lines[0].get_ydata().tolist() == [1, 2, 3] and ax.legend_ is not None
        assert len(bars.patches) == n == 6 and list(df) == ["a", "b"] and bars.patches[0].get_height() == 1
    """,
)
