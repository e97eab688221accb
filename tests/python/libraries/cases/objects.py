"""Classes, settings, commands, logs, quantities and times."""

from ..matrix import library

library(
    "pydantic",
    "pydantic",
    setup="""
        from typing import Generic, TypeVar
        import pydantic
        T = TypeVar("T")
        class Item(pydantic.BaseModel):
            name: str
            price: float = pydantic.Field(gt=0)
            tags: list[str] = []
            @pydantic.field_validator("name")
            @classmethod
            def lower(cls, value): return value.lower()
            def total(self, count): return self.price * count
        class Page(pydantic.BaseModel, Generic[T]):
            items: list[T]
        item = Item(name="A", price=2); page = Page[Item](items=[item]); page.items[0] = item; tags = item.tags; tags.append("x")
    """,
    mutate="item.price = 5; tags.append('y'); page.items.append(Item(name='b', price=1))",
    check="""
        assert item.name == "a" and item.total(3) == 6 and page.items == [item] and page.items[0] is item and item.tags is tags == ["x"]
        try: Item(name="c", price=-1)
        except pydantic.ValidationError as error: assert "greater_than" in str(error)
        else: raise AssertionError
        assert Item.model_validate_json(item.model_dump_json()) == item and isinstance(page, Page[Item])
    """,
)
library(
    "pydantic_settings",
    "pydantic_settings",
    setup="""
        import os, pydantic_settings
        os.environ["SHOP_PORT"] = "81"
        class Settings(pydantic_settings.BaseSettings):
            model_config = pydantic_settings.SettingsConfigDict(env_prefix="SHOP_")
            host: str = "here"
            port: int = 80
        settings = Settings(); again = settings
    """,
    mutate="settings.host = 'there'; os.environ['SHOP_PORT'] = '82'",
    check="assert settings is again and settings.host == 'here' and settings.port == 81 and Settings().port == 81",
)
library(
    "attrs",
    "attrs",
    setup="""
        import attrs
        @attrs.define
        class Point:
            x: int = attrs.field(validator=attrs.validators.instance_of(int))
            y: list = attrs.field(factory=list)
            z: object = attrs.field(default=None)
            missing = attrs.NOTHING
            @property
            def size(self): return self.x + len(self.y)
        @attrs.frozen
        class Fixed:
            p: Point
        p = Point(1); f = Fixed(p); y = p.y; y.append(2)
    """,
    mutate="p.x = 7; y.clear(); p.z = 1",
    check="""
        assert p == Point(1, [2]) and f.p is p and p.y is y and p.size == 2 and Point.missing is attrs.NOTHING
        try: f.p = None
        except attrs.exceptions.FrozenInstanceError: pass
        else: raise AssertionError
        assert attrs.evolve(p, x=3).y is y
    """,
)
library(
    "msgspec",
    "msgspec",
    setup="""
        import msgspec
        class User(msgspec.Struct, tag="user"):
            name: str
            groups: set[str] = set()
            def hello(self): return "hello " + self.name
        user = User("ann"); groups = user.groups; groups.add("a"); users = [user, user]
        decoder = msgspec.json.Decoder(User)
    """,
    mutate="user.name = 'bob'; groups.add('b'); users.pop()",
    check="""
        assert users[0] is users[1] is user and user.hello() == "hello ann" and user.groups is groups == {"a"}
        assert msgspec.json.decode(msgspec.json.encode(user), type=User) == user
    """,
)
library(
    "marshmallow",
    "marshmallow",
    setup="""
        import datetime as dt, marshmallow as ma
        class Album(ma.Schema):
            title = ma.fields.Str(required=True)
            day = ma.fields.Date()
        schema = Album(); many = Album(many=True, only=("title",)); data = schema.load({"title": "x", "day": "2020-01-02"})
        both = [data, data]
    """,
    mutate="data['title'] = 'y'; both.pop(); schema.fields['title'].required = False",
    check="""
        assert both == [data, data] and both[0] is data and data["day"] == dt.date(2020, 1, 2)
        assert schema.dump(data) == {"title": "x", "day": "2020-01-02"} and many.dump(both) == [{"title": "x"}] * 2
        assert schema.validate({}) == {"title": ["Missing data for required field."]}
    """,
)
library(
    "dataclasses_json",
    "dataclasses_json",
    setup="""
        from dataclasses import dataclass, field
        from dataclasses_json import dataclass_json
        @dataclass_json
        @dataclass
        class Dog:
            name: str
            toys: list[str] = field(default_factory=list)
        dog = Dog("rex"); toys = dog.toys; toys.append("ball"); dogs = {"a": dog, "b": dog}
    """,
    mutate="dog.name = 'max'; toys.clear(); del dogs['b']",
    check="""
        assert dogs["a"] is dogs["b"] is dog and dog.toys is toys == ["ball"]
        assert Dog.from_json(dog.to_json()) == dog == Dog("rex", ["ball"])
    """,
)
library(
    "cachetools",
    "cachetools",
    setup="""
        import cachetools
        cache = cachetools.LRUCache(2); cache["a"] = [1]; cache["b"] = 2; cache["a"]; value = cache["a"]
        calls = []
        @cachetools.cached(cachetools.LFUCache(10))
        def double(x): calls.append(x); return 2 * x
        double(2); double(2)
    """,
    mutate="cache['c'] = 3; value.append(2); double(5)",
    check="""
        assert sorted(cache) == ["a", "b"] and cache["a"] is value == [1] and cache.maxsize == 2
        cache["d"] = 4; assert "b" not in cache and "a" in cache
        assert calls == [2] and double(2) == 4 and calls == [2]
    """,
    consumes=True,
)
library(
    "tenacity",
    "tenacity",
    setup="""
        import tenacity
        tries = []
        @tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_none(), reraise=True)
        def flaky():
            tries.append(1)
            if len(tries) % 3: raise OSError("again")
            return len(tries)
        first = flaky(); retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_fixed(0))
    """,
    mutate="flaky(); retrying.stop = tenacity.stop_after_attempt(9)",
    check="""
        assert first == 3 and len(tries) == 3 and flaky() == 6 and flaky.statistics["attempt_number"] == 3
        assert retrying.stop.max_attempt_number == 2
    """,
    consumes=True,
)
library(
    "loguru",
    "loguru",
    setup="""
        import loguru
        from loguru import logger
        lines = []
        logger.remove(); sink = logger.add(lines.append, format="{level} {extra[who]} {message}", level="INFO")
        bound = logger.bind(who="me"); bound.info("one"); bound.debug("no")
    """,
    mutate="bound.warning('two'); logger.remove(sink)",
    check="""
        assert lines == ["INFO me one\\n"]
        bound.info("three"); assert lines.pop() == "INFO me three\\n"
    """,
)
library(
    "structlog",
    "structlog",
    setup="""
        import structlog
        out = []
        def keep(logger, name, event): out.append(dict(event)); raise structlog.DropEvent
        structlog.configure(processors=[structlog.processors.add_log_level, keep])
        log = structlog.get_logger().bind(user="ann"); log.info("in", n=1)
    """,
    mutate="log.info('more'); structlog.reset_defaults()",
    check="""
        assert out == [{"user": "ann", "n": 1, "event": "in", "level": "info"}]
        log.info("x"); assert out.pop()["event"] == "x"
        structlog.get_logger().info("y"); assert out.pop() == {"event": "y", "level": "info"}
    """,
)
library(
    "rich",
    "rich",
    setup="""
        import io, rich.console, rich.table, rich.text
        file = io.StringIO(); console = rich.console.Console(file=file, width=40, color_system=None)
        table = rich.table.Table("a", "b", title="t"); table.add_row("1", "2"); text = rich.text.Text("hi", style="bold")
        held = [table, text]
        console.print(text)
    """,
    mutate="table.add_row('3', '4'); text.append('!'); console.print('more')",
    check="""
        assert held[0] is table and held[1] is text and table.row_count == 1 and text.plain == "hi"
        at = len(file.getvalue()); console.print(table, text); said = file.getvalue()[at:]
        assert "1" in said and "hi" in said and "3" not in said, said
    """,
)
library(
    "tqdm",
    "tqdm",
    setup="""
        import io, tqdm
        file = io.StringIO(); bar = tqdm.tqdm(total=10, file=file, desc="x", mininterval=0); bar.update(3); bars = {"x": bar}
    """,
    mutate="bar.update(4); bar.set_description('y')",
    check="""
        assert bars["x"] is bar and bar.n == 3 and bar.total == 10 and bar.desc.startswith("x") and "3/10" in str(bar)
        bar.refresh(); assert "3/10" in file.getvalue() and "7/10" not in file.getvalue()
    """,
)
library(
    "click",
    "click",
    setup="""
        import click, click.testing
        seen = []
        @click.group()
        def cli(): pass
        @cli.command()
        @click.option("--count", default=1, type=int)
        @click.argument("name")
        def hello(count, name): seen.append(name); click.echo(f"hi {name}\\n" * count, nl=False)
        runner = click.testing.CliRunner(); before = runner.invoke(cli, ["hello", "ann"]).output; commands = cli.commands
    """,
    mutate="hello.params.clear(); cli.commands.pop('hello'); seen.append('x')",
    check="""
        assert before == "hi ann\\n" and seen[0] == "ann" and cli.commands is commands and commands["hello"] is hello
        assert runner.invoke(cli, ["hello", "--count", "2", "bo"]).output == "hi bo\\n" * 2 and seen.pop() == "bo"
        assert "--count" in runner.invoke(cli, ["hello", "--help"]).output
    """,
)
library(
    "argparse",
    "",
    setup="""
        import argparse
        parser = argparse.ArgumentParser(prog="p", argument_default=argparse.SUPPRESS)
        parser.add_argument("--secret", help=argparse.SUPPRESS); kind = parser.add_argument("--kind", choices=["a", "b"], default="a", help="which")
        rest = parser.add_argument("rest", nargs=argparse.REMAINDER)
        sub = argparse.ArgumentParser(prog="q"); subs = sub.add_subparsers(dest="do"); go = subs.add_parser("go"); go.add_argument("--fast", action="store_true")
        found = parser.parse_args(["--kind", "b", "x"])
    """,
    mutate="parser.add_argument('--more'); kind.default = 'b'; found.kind = 'z'; go.prog = 'z'",
    check="""
        assert vars(found) == {"kind": "b", "rest": ["x"]} and vars(parser.parse_args([])) == {"kind": "a", "rest": []}
        assert "secret" not in parser.format_help() and "--kind {a,b}" in parser.format_help() and kind in parser._actions
        assert vars(sub.parse_args(["go", "--fast"])) == {"do": "go", "fast": True} and subs.choices["go"] is go
    """,
)
library(
    "pint",
    "pint",
    setup="""
        import pint
        ureg = pint.UnitRegistry(); ureg.define("smoot = 1.7 * meter"); length = 3 * ureg.smoot; speed = length / (2 * ureg.second); held = [length]
    """,
    mutate="length.ito('meter'); held.append(1); ureg.define('other = 2 * meter')",
    check="""
        assert held[0] is length and str(length.units) == "smoot" and round(length.to("meter").magnitude, 6) == 5.1
        assert speed.check("[length]/[time]") and (length + 1 * ureg.meter).magnitude > 3 and length._REGISTRY is ureg
    """,
)
library(
    "uncertainties",
    "uncertainties",
    setup="""
        from uncertainties import ufloat, umath
        x = ufloat(1, 0.1, "x"); y = x * 2; z = y - 2 * x; held = {"x": x}; s = umath.sin(x)
    """,
    mutate="x.std_dev = 5; held.clear()",
    check="assert held['x'] is x and x.std_dev == 0.1 and z.std_dev == 0 and (y - 2 * x).std_dev == 0 and y.derivatives[x] == 2 and s.std_dev > 0",
)
library(
    "arrow_and_pendulum",
    "arrow pendulum",
    setup="""
        import arrow, pendulum
        a = arrow.get("2020-01-02T03:04:05+01:00"); p = pendulum.datetime(2020, 1, 2, tz="Europe/Paris"); d = p - p.subtract(days=3)
        spans = [a, a, p, p.add(months=1)]
    """,
    mutate="spans.reverse(); a = a.shift(days=1); p = None",
    check="""
        assert spans[0] is spans[1] is a and spans[2] is p and a.humanize(a.shift(hours=2)) == "2 hours ago"
        assert p.timezone_name == "Europe/Paris" and d.in_days() == 3 and spans[3].to_date_string() == "2020-02-02"
    """,
)
library(
    "regex_and_orjson",
    "regex orjson",
    setup="""
        import orjson, regex
        pattern = regex.compile(r"(?P<w>\\p{L}+){e<=1}"); found = pattern.search("abc 1"); patterns = [pattern, pattern]
        raw = orjson.dumps({"a": [1, 2]}, option=orjson.OPT_INDENT_2); part = orjson.Fragment(b"[3]")
    """,
    mutate="patterns.pop(); raw += b'x'",
    check="""
        assert patterns[0] is patterns[1] is pattern and pattern.fullmatch("xyz") and found.group("w").startswith("abc")
        assert orjson.loads(raw) == {"a": [1, 2]} and orjson.dumps({"p": part}) == b'{"p":[3]}'
    """,
)
library(
    "joblib_and_cloudpickle",
    "joblib cloudpickle",
    setup="""
        import cloudpickle, joblib, tempfile
        place = tempfile.mkdtemp(); memory = joblib.Memory(place, verbose=0); runs = []
        @memory.cache
        def square(x): runs.append(x); return x * x
        square(3); jobs = joblib.Parallel(n_jobs=1); delayed = [joblib.delayed(abs)(-1)]
        blob = cloudpickle.dumps(lambda x: x + len(runs)); made = cloudpickle.loads(blob)
    """,
    mutate="square(4); runs.append('x'); delayed.clear()",
    check="""
        assert runs == [3] and square(3) == 9 and runs == [3] and jobs(delayed) == [1]
        assert cloudpickle.loads(blob)(1) == 2 and made(1) == 2
    """,
)
library(
    "ipywidgets",
    "ipywidgets",
    setup="""
        import ipywidgets as w
        slider = w.IntSlider(value=3, max=9); label = w.Label(); seen = []
        slider.observe(lambda change: seen.append(change["new"]), names="value"); link = w.jslink((slider, "value"), (label, "value"))
        box = w.VBox([slider, label])
    """,
    mutate="slider.value = 5; box.children = ()",
    check="""
        assert box.children == (slider, label) and slider.value == 3 and slider.max == 9 and seen == []
        slider.value = 7; assert seen == [7]; slider.value = 3; seen.clear()
    """,
)
library(
    "ipython_display",
    "IPython",
    setup="""
        from IPython.display import HTML, JSON, Markdown, display
        html = HTML("<b>x</b>"); shown = [html, Markdown("*y*"), JSON({"a": [1]})]
    """,
    mutate="html.data = 'z'; shown.pop()",
    check="assert shown[0] is html and html._repr_html_() == '<b>x</b>' and shown[1]._repr_markdown_() == '*y*' and shown[2].data == {'a': [1]}",
)
library(
    "decimal_and_contexts",
    "",
    setup="""
        import contextvars, decimal, logging
        ctx = decimal.getcontext(); ctx.prec = 5; own = decimal.Context(prec=3)
        user = contextvars.ContextVar("user", default="nobody"); token = user.set("ann"); context = contextvars.copy_context()
        root = logging.root; logger = logging.getLogger("shop"); logger.setLevel(10); loggers = {"a": logger, "r": root}
    """,
    mutate="ctx.prec = 9; user.set('bob'); logger.setLevel(30)",
    check="""
        assert ctx.prec == 5 and decimal.Decimal(1) / 3 == decimal.Decimal("0.33333") and own.divide(1, 3) == decimal.Decimal("0.333")
        assert decimal.getcontext() is ctx and user.get() == "ann" and context[user] == "ann"
        assert loggers["a"] is logging.getLogger("shop") is logger and logger.level == 10 and loggers["r"] is root is logging.root
    """,
)
