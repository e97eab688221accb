"""Pillow, lxml, pydantic, polars."""

from ..case import case

PIL = ("PIL",)
LXML = ("lxml",)
PYDANTIC = ("pydantic",)
POLARS = ("polars",)

case(
    "image_edits",
    needs=PIL,
    setup="""
        from PIL import Image
        im = Image.new("RGB", (8, 8), (1, 2, 3)); px = im.load(); px[0, 0] = (9, 9, 9); im.info["k"] = [1]
        kept, im_id, crop = im.tobytes(), id(im), im.crop((0, 0, 2, 2))
    """,
    mutate="""
        px[3, 3] = (0, 0, 0); im.paste((5, 5, 5), (0, 0, 4, 4)); im.info['k'].append(2); im.putalpha(3); crop.close()
    """,
    check="""
        assert im.tobytes() == kept and id(im) == im_id and im.mode == "RGB" and im.info == {"k": [1]}
        assert px[0, 0] == (9, 9, 9) and crop.getpixel((1, 1)) == (1, 2, 3)
        px[0, 1] = (4, 4, 4)
        assert im.getpixel((0, 1)) == (4, 4, 4)
        px[0, 1] = (1, 2, 3)
    """,
)
case(
    "drawing",
    needs=PIL,
    setup="""
        from PIL import Image, ImageDraw
        im = Image.new("L", (30, 30)); draw = ImageDraw.Draw(im); draw.line((0, 0, 29, 29), fill=255)
        draw.fontmode = "1"
        kept = im.tobytes()
    """,
    mutate="""
        draw.ellipse((2, 2, 20, 20), fill=99); draw.text((1, 1), 'x', fill=1); draw.fontmode = 'L'; draw.fill = True
    """,
    check="assert im.tobytes() == kept and draw.fontmode == '1' and draw.im is im.im and not draw.fill",
)
case(
    "image_file_open_lazily",
    needs=PIL,
    setup="""
        import io
        from PIL import Image, ImageSequence
        raw = io.BytesIO(); frames = [Image.new("L", (4, 4), n * 60) for n in range(4)]
        frames[0].save(raw, "GIF", save_all=True, append_images=frames[1:]); raw.seek(0)
        gif = Image.open(raw); gif.seek(1); position = raw.tell(); at = gif.tell(); count = gif.n_frames
    """,
    mutate="gif.seek(3); gif.load(); raw.seek(0)",
    check="""
        assert raw.tell() == position and gif.tell() == at == 1 and gif.n_frames == count and gif.is_animated
        gif.seek(2)
        assert gif.tell() == 2
    """,
    consumes=True,
)
case(
    "palettes_and_settings_of_pillow",
    needs=PIL,
    setup="""
        from PIL import Image, ImageFile, ImagePalette
        im = Image.new("P", (2, 2)); im.putpalette([1, 2, 3] * 4); Image.MAX_IMAGE_PIXELS = 12345
        ImageFile.LOAD_TRUNCATED_IMAGES = True; palette = im.getpalette()
    """,
    mutate="im.putpalette([9] * 12); Image.MAX_IMAGE_PIXELS = None; ImageFile.LOAD_TRUNCATED_IMAGES = False",
    check="""
        assert im.getpalette() == palette and Image.MAX_IMAGE_PIXELS == 12345 and ImageFile.LOAD_TRUNCATED_IMAGES
    """,
)
case(
    "lxml_trees",
    needs=LXML,
    setup="""
        from lxml import etree
        root = etree.fromstring("<a x='1'><!--c--><b>t</b>tail<c/></a>"); b = root.find("b")
        found = root.xpath("//b/text()")[0]
        tree = root.getroottree(); text = etree.tostring(tree)
    """,
    mutate="""
        b.text = 'u'; root.append(b); root.set('x', '2'); del root[0]; etree.SubElement(b, 'n')
        etree.strip_tags(root, 'c')
    """,
    check="""
        assert etree.tostring(tree) == text and root.find("b") is b and b.getparent() is root and b.getnext().tag == "c"
        assert found.getparent() is b and tree.getroot() is root
    """,
)
case(
    "lxml_transformations",
    needs=LXML,
    setup="""
        from lxml import etree
        xslt = etree.XSLT(etree.XML('''<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
            xmlns:f="urn:f"><xsl:template match="/"><o><xsl:value-of select="f:up(//b)"/></o></xsl:template>
            </xsl:stylesheet>'''))
        calls = []
        ns = etree.FunctionNamespace("urn:f"); ns["up"] = lambda c, n: calls.append(1) or n[0].text.upper()
        doc = etree.XML("<a><b>x</b></a>"); out = str(xslt(doc)); find = etree.XPath("//b"); n = len(calls)
    """,
    mutate="ns['up'] = lambda c, n: 'no'; doc[0].text = 'changed'; str(xslt(doc)); calls.append(9)",
    check="""
        assert len(calls) == n == 1 and find(doc)[0].text == "x" and str(xslt(doc)) == out and "X" in out
        calls.pop()
    """,
)
case(
    "lxml_parsers_half_fed",
    needs=LXML,
    setup="""
        import io
        from lxml import etree
        events = etree.iterparse(io.BytesIO(b"<r>" + b"<i/>" * 5 + b"</r>")); first = next(events)[1]
        parser = etree.XMLParser(); parser.feed("<a><b>half"); pull = etree.XMLPullParser(("start",))
        pull.feed("<x><y>")
        seen = [e.tag for _, e in pull.read_events()]
    """,
    mutate="next(events); parser.feed('</b></a>'); parser.close(); pull.feed('<z>'); list(pull.read_events())",
    check="""
        assert first.tag == "i" and [e.tag for _, e in events] == ["i"] * 4 + ["r"] and seen == ["x", "y"]
        parser.feed(" whole</b></a>")
        assert parser.close()[0].text == "half whole"
        pull.feed("<w>")
        assert [e.tag for _, e in pull.read_events()] == ["w"]
    """,
    consumes=True,
)
case(
    "pydantic_models",
    needs=PYDANTIC,
    setup="""
        import pydantic
        class Inner(pydantic.BaseModel):
            tags: list[str] = []
            _secret: int = pydantic.PrivateAttr(5)
        class Outer(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="allow", validate_assignment=True)
            n: int
            inner: Inner
        inner = Inner(tags=["a"]); o = Outer(n="3", inner=inner, more=1); dumped = o.model_dump()
        fields = set(o.model_fields_set)
    """,
    mutate="""
        o.n = '4'; o.inner.tags.append('b'); o.inner._secret = 6; o.model_extra['q'] = 2; del o.more
        o.inner = Inner()
    """,
    check="""
        assert o.model_dump() == dumped == {"n": 3, "inner": {"tags": ["a"]}, "more": 1} and o.inner is inner
        assert inner._secret == 5 and o.model_fields_set == fields
    """,
)
case(
    "pydantic_classes_rebuilt",
    needs=PYDANTIC,
    setup="""
        import pydantic
        class M(pydantic.BaseModel):
            n: int = 1
            later: "list[Later] | None" = None
        complete = M.__pydantic_complete__; adapter = pydantic.TypeAdapter(dict[str, int])
        schema = M.__dict__.get("model_config")
    """,
    mutate="""
        class Later(pydantic.BaseModel): x: int = 0
        M.model_rebuild(); M.model_fields["n"].default = 7; M.extra = 1; adapter = pydantic.TypeAdapter(list[int])
    """,
    check="""
        assert M.__pydantic_complete__ == complete is False and M.model_fields["n"].default == 1
        assert not hasattr(M, "extra")
        assert adapter.validate_python({"a": "1"}) == {"a": 1} and "Later" not in globals()
    """,
)
case(
    "polars_frames",
    needs=POLARS,
    setup="""
        import polars as pl
        df = pl.DataFrame({"a": [3, 1, 2], "s": ["x", None, "z"]}); same = df; lazy = df.lazy().filter(pl.col("a") > 1)
        kept = df.clone(); df_id = id(df); series = df["a"]
    """,
    mutate="df[0, 'a'] = 99; df.insert_column(0, pl.Series('n', [1, 2, 3])); df.extend(df); df.columns = list('xyz'); "
    "series[0] = 7",
    check="""
        assert df is same and id(df) == df_id and df.equals(kept) and df.columns == ["a", "s"]
        assert series.to_list() == [3, 1, 2]
        assert df.height == 3 and df.schema == {"a": pl.Int64, "s": pl.String}
        assert lazy.collect_schema().names() == ["a", "s"]
    """,
)
case(
    "polars_settings_and_threads",
    needs=POLARS,
    setup="""
        import polars as pl
        pl.Config.set_tbl_rows(3); cfg = pl.Config(tbl_cols=2)
        df = pl.DataFrame({"k": [i % 7 for i in range(5000)], "v": range(5000)})
        out = df.group_by("k", maintain_order=True).agg(pl.col("v").sum())["v"].to_list()
    """,
    mutate="pl.Config.set_tbl_rows(50); df = df.with_columns(v=pl.lit(0)); df.group_by('k').agg(pl.col('v').sum())",
    check="""
        import os
        assert os.environ["POLARS_FMT_MAX_ROWS"] == "3" and df["v"].sum() == 5000 * 4999 // 2
        assert df.lazy().group_by("k", maintain_order=True).agg(pl.col("v").sum()).collect()["v"].to_list() == out
    """,
    note="the pool of threads is there before the fork, and is wanted after it",
)
