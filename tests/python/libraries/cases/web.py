"""Documents, clients, databases and messages."""

from ..matrix import library

library(
    "lxml",
    "lxml",
    setup="""
        from lxml import etree
        root = etree.fromstring("<a><b x='1'>t</b><c/></a>"); b = root[0]; tree = root.getroottree(); path = etree.XPath("//b"); held = [root, b]
    """,
    mutate="b.set('x', '2'); root.remove(root[1]); held.clear()",
    check="""
        assert held == [root, b] and root[0] is b and b.getparent() is root and b.get("x") == "1" and tree.getroot() is root
        assert path(root) == [b] and etree.tostring(root) == b'<a><b x="1">t</b><c/></a>'
    """,
)
library(
    "beautifulsoup4",
    "bs4",
    setup="""
        import bs4
        soup = bs4.BeautifulSoup("<div><p>x</p><p class='k'>y</p></div>", "html.parser"); p = soup.div.p; found = soup.find_all("p")
    """,
    mutate="p.string = 'z'; soup.div.append('more'); found.clear()",
    check="""
        assert p.parent is soup.div and found[0] is p and p.next_sibling is found[1] and found[1]["class"] == ["k"] and p.text == "x"
        p.string = "w"; assert "w" in str(soup); p.string = "x"
    """,
)
library(
    "requests",
    "requests",
    setup="""
        import requests
        s = requests.Session(); s.headers["X-A"] = "1"; s.cookies.set("c", "v"); s.auth = ("u", "p"); r = requests.Request("GET", "http://localhost/", params={"q": "1"}); prepared = s.prepare_request(r); held = [s]
    """,
    mutate="s.headers['X-A'] = '2'; s.cookies.clear(); held.clear()",
    check="""
        assert held[0] is s and s.headers["X-A"] == "1" and s.cookies["c"] == "v" and s.auth == ("u", "p") and prepared.url == "http://localhost/?q=1"
        try: s.get("http://127.0.0.1:9/", timeout=2)
        except requests.ConnectionError: pass
        else: raise AssertionError
    """,
)
library(
    "httpx",
    "httpx",
    setup="""
        import httpx
        client = httpx.Client(base_url="http://127.0.0.1:9", headers={"a": "1"}, timeout=2); request = client.build_request("GET", "/x"); url = request.url; timeout = httpx.Timeout(3)
    """,
    mutate="client.headers['a'] = '2'; timeout = None",
    check="""
        assert client.headers["a"] == "1" and str(url) == "http://127.0.0.1:9/x" and request.url is url and timeout == httpx.Timeout(3)
        try: client.get("/")
        except httpx.ConnectError: pass
        else: raise AssertionError
    """,
)
library(
    "aiohttp",
    "aiohttp",
    setup="""
        import aiohttp
        async def make(): return aiohttp.ClientSession(headers={"a": "1"})
        session = await make(); timeout = aiohttp.ClientTimeout(total=3); form = aiohttp.FormData({"k": "v"}); jar = session.cookie_jar
    """,
    mutate="timeout = None; jar.clear()",
    check="""
        assert timeout.total == 3 and not session.closed and session.headers["a"] == "1" and session.cookie_jar is jar
        try: await session.get("http://127.0.0.1:9/", timeout=timeout)
        except aiohttp.ClientError: pass
        else: raise AssertionError
    """,
)
library(
    "jinja2",
    "jinja2",
    setup="""
        import jinja2
        env = jinja2.Environment(loader=jinja2.DictLoader({"t": "Hi {{ name|twice }}"})); env.filters["twice"] = lambda s: s * 2; t = env.get_template("t"); plain = jinja2.Template("{% for i in x %}{{ i }}{% endfor %}"); names = [t]
    """,
    mutate="env.filters['twice'] = str; names.clear(); env.loader.mapping['t'] = 'no'",
    check="""
        assert names[0] is t and t.environment is env and t.render(name="a") == "Hi aa" and plain.render(x=[1, 2]) == "12"
        assert env.get_template("t") is t and env.loader.mapping["t"].startswith("Hi")
    """,
)
library(
    "sqlalchemy_core",
    "sqlalchemy",
    setup="""
        import sqlalchemy as sa
        engine = sa.create_engine("sqlite://"); meta = sa.MetaData(); t = sa.Table("t", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.String)); meta.create_all(engine)
        with engine.begin() as c: c.execute(t.insert(), [{"n": "a"}, {"n": "b"}])
        query = sa.select(t.c.n).where(t.c.id > 1); column = t.c.n
    """,
    mutate="""
        with engine.begin() as c: c.execute(t.delete())
    """,
    check="""
        assert t.c.n is column and meta.tables["t"] is t and "WHERE t.id" in str(query)
        with engine.connect() as c: assert c.execute(query).scalars().all() == ["b"]
    """,
)
library(
    "sqlalchemy_orm",
    "sqlalchemy",
    setup="""
        import sqlalchemy as sa
        from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
        class Base(DeclarativeBase): pass
        class User(Base):
            __tablename__ = "user"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str]
            posts: Mapped[list["Post"]] = relationship(back_populates="user")
            def hello(self): return "hi " + self.name
        class Post(Base):
            __tablename__ = "post"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id"))
            user: Mapped[User] = relationship(back_populates="posts")
        ann = User(name="ann"); post = Post(user=ann); posts = ann.posts
    """,
    mutate="ann.name = 'bob'; ann.posts.clear()",
    check="""
        assert ann.hello() == "hi ann" and ann.posts is posts and list(posts) == [post] and post.user is ann
        engine = sa.create_engine("sqlite://"); Base.metadata.create_all(engine)
        with Session(engine) as s: assert s.scalars(sa.select(User)).all() == []
        del engine, s
    """,
)
library(
    "sqlite3",
    "",
    setup="""
        import sqlite3
        con = sqlite3.connect(":memory:"); con.row_factory = sqlite3.Row; con.execute("create table t (a)"); con.execute("insert into t values (1)"); con.commit(); con.create_function("twice", 1, lambda x: 2 * x); rows = con.execute("select * from t").fetchall(); held = [con]
    """,
    mutate="con.execute('delete from t'); con.commit(); held.clear()",
    check="""
        assert held[0] is con and rows[0]["a"] == 1 and con.execute("select count(*) from t").fetchone()[0] == 1
        assert con.execute("select twice(a) from t").fetchone()[0] == 2
    """,
)
library(
    "psycopg",
    "psycopg",
    setup="""
        import psycopg
        from psycopg import sql
        from psycopg.types.json import Jsonb
        query = sql.SQL("select {} from {}").format(sql.Identifier("a"), sql.Identifier("t")); wrapped = Jsonb({"a": [1]}); info = psycopg.conninfo.make_conninfo(host="h", dbname="d"); held = [query]
    """,
    mutate="wrapped.obj['a'].append(2); held.clear()",
    check="assert held[0] is query and query.as_string(None) == 'select \"a\" from \"t\"' and wrapped.obj == {'a': [1]} and 'host=h' in info",
)
library(
    "protobuf",
    "google.protobuf",
    setup="""
        from google.protobuf import descriptor_pb2, json_format, struct_pb2, timestamp_pb2
        m = struct_pb2.Struct(); m["a"] = 1; inner = m.fields["a"]; stamp = timestamp_pb2.Timestamp(seconds=5); file = descriptor_pb2.FileDescriptorProto(name="x"); message = file.message_type.add(name="M"); held = [m]
    """,
    mutate="m['a'] = 2; message.name = 'N'; held.clear()",
    check="""
        assert held[0] is m and m["a"] == 1 and json_format.MessageToDict(m) == {"a": 1.0} and stamp.seconds == 5 and file.message_type[0].name == "M"
        inner.number_value = 3; assert m["a"] == 3; inner.number_value = 1
        message.name = "O"; assert file.message_type[0].name == "O"; message.name = "M"
    """,
)
library(
    "grpc",
    "grpc",
    setup="""
        import grpc
        channel = grpc.insecure_channel("127.0.0.1:9"); call = channel.unary_unary("/s/m"); codes = {grpc.StatusCode.OK: 1}; credentials = grpc.ssl_channel_credentials()
    """,
    mutate="codes.clear()",
    check="""
        assert codes[grpc.StatusCode.OK] == 1
        try: call(b"x", timeout=2)
        except grpc.RpcError as error: assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        else: raise AssertionError
    """,
)
