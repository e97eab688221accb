"""Places of the standard library."""

from .place import Place, pristine
from .situation import is_of_session, subclasses

# xml/etree/ElementTree.py
_PREFIXES = {
    "http://www.w3.org/XML/1998/namespace": "xml",
    "http://www.w3.org/1999/xhtml": "html",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://schemas.xmlsoap.org/wsdl/": "wsdl",
    "http://www.w3.org/2001/XMLSchema": "xs",
    "http://www.w3.org/2001/XMLSchema-instance": "xsi",
    "http://purl.org/dc/elements/1.1/": "dc",
}


class _Prefixes(Place):
    label, module, ready = "xml.etree.ElementTree.register_namespace", "xml.etree.ElementTree", "_namespace_map"

    def now(self, module):
        return module._namespace_map

    def usual(self, module):
        return _PREFIXES


class _Weekday(Place):
    label, module, ready = "calendar.setfirstweekday", "calendar", "setfirstweekday"

    def now(self, module):
        return {"first": int(module.firstweekday())}

    def usual(self, module):
        return {"first": 0}

    def put(self, module, key, value):
        module.setfirstweekday(value)


class _Types(Place):
    """Beside what is added by hand, the files of the machine count, from the first use on."""

    label, module, ready, always = "mimetypes.add_type", "mimetypes", "inited", True

    def loaded(self):
        module = Place.loaded(self)
        return module if module is not None and module.inited else None

    def imported(self):
        module = Place.imported(self)
        if not module.inited:
            module.init()
        return module

    def now(self, module):
        return _types_of(module._db)

    def usual(self, module):
        fresh = module.MimeTypes()
        for file in module.knownfiles:
            try:
                fresh.read(file)
            except OSError:
                pass  # most systems have one of them at most
        return _types_of(fresh)

    def put(self, module, key, value):
        strict, _, extension = key.partition(" ")
        module.add_type(value, extension, strict == "strict")

    def remove(self, module, key):
        strict, _, extension = key.partition(" ")
        kind = module._db.types_map[strict == "strict"].pop(extension)
        known = module._db.types_map_inv[strict == "strict"].get(kind, [])
        if extension in known:
            known.remove(extension)


def _types_of(known):
    return {f"{word} {ext}": kind for word, at in (("loose", 0), ("strict", 1)) for ext, kind in known.types_map[at].items()}


class _Table(Place):
    """A dict of a module."""

    def __init__(self, module, name, label=None):
        self.module, self.ready, self.label = module, name, label or f"{module}.{name}"

    def now(self, module):
        return getattr(module, self.ready)


class _Own(_Table):
    """One in which the library's own entries are told by the module that their functions come from."""

    def __init__(self, module, name, label, own):
        _Table.__init__(self, module, name, label)
        self.own = own

    def usual(self, module):
        return {key: value for key, value in self.now(module).items() if self.own(value)}


class _Pristine(_Table):
    """One of plain values, which the module's source has as well."""

    def usual(self, module):
        return pristine(module)[self.ready]


class _Opener(Place):
    """`urlopen` makes one by itself when it is first called."""

    label, module, ready = "urllib.request.install_opener", "urllib.request", "install_opener"

    def now(self, module):
        opener = module._opener
        return {} if opener is None or _shape(opener) == _shape(module.build_opener()) else {"opener": opener}

    def put(self, module, key, value):
        module.install_opener(value)

    def remove(self, module, key):
        module.install_opener(None)


def _shape(opener):
    handlers = [(type(one), getattr(one, "proxies", None)) for one in getattr(opener, "handlers", ())]
    return type(opener), sorted(handlers, key=str), getattr(opener, "addheaders", None)


class _Policy(Place):
    """Its class is kept: it holds the loops of this process."""

    label, module, ready = "asyncio.set_event_loop_policy", "asyncio.events", "_set_running_loop"

    def now(self, module):
        policy = module._event_loop_policy
        return {} if policy is None or type(policy).__module__.startswith("asyncio.") else {"policy": type(policy)}

    def put(self, module, key, value):
        module.set_event_loop_policy(value())

    def remove(self, module, key):
        module.set_event_loop_policy(None)


class _Virtual(Place):
    """Classes of the session that it registered with an abstract class of a library. No class can be asked with whom it
    is registered, so all are: only where a source has the word."""

    label, module, ready = "virtual subclasses", "abc", "ABCMeta"

    def captured(self, module, options):
        if not any("register" in text for text in options.sources.values() if type(text) is str):
            return {}
        import _abc

        found = {}
        for abstract in subclasses(object):
            if issubclass(type(abstract), module.ABCMeta) and not is_of_session(abstract):
                for reference in _abc._get_dump(abstract)[0]:
                    registered = reference()
                    if registered is not None and is_of_session(registered):
                        found[abstract, registered] = True
        return found

    def now(self, module):
        return {}  # there is no way to take one back; those that were there belong to classes that go

    def put(self, module, key, value):
        abstract, registered = key
        abstract.register(registered)


def _is_of(*modules):
    return lambda value: getattr(value, "__module__", None) in modules


KNOWN = (
    _Prefixes(),
    _Weekday(),
    _Types(),
    _Own("sqlite3", "adapters", "sqlite3.register_adapter", _is_of("sqlite3.dbapi2")),
    _Own("sqlite3", "converters", "sqlite3.register_converter", _is_of("sqlite3.dbapi2")),
    _Own("shutil", "_ARCHIVE_FORMATS", "shutil.register_archive_format", lambda one: _is_of("shutil")(one[0])),
    _Own("shutil", "_UNPACK_FORMATS", "shutil.register_unpack_format", lambda one: _is_of("shutil")(one[1])),
    _Pristine("email.charset", "CHARSETS", "email.charset.add_charset"),
    _Pristine("email.charset", "ALIASES", "email.charset.add_alias"),
    _Pristine("email.charset", "CODEC_MAP", "email.charset.add_codec"),
    _Pristine("encodings.aliases", "aliases"),
    _Opener(),
    _Policy(),
    _Virtual(),
)
