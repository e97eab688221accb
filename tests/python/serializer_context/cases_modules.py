"""What the session changed in modules."""

from .table import case

case("patched", shared="import json, string, time; dumps, letters, clock = json.dumps, string.ascii_letters, time.time",
     change="json.dumps = lambda x: 'patched'; string.ascii_letters = 'abc'; time.time = lambda: 7.0; string.added = [1]; del string.digits",
     check="""
     assert json.dumps(1) == 'patched' and string.ascii_letters == 'abc' and time.time() == 7.0 and string.added == [1]
     assert not hasattr(string, 'digits')
     """,
     undone="""
     assert json.dumps is dumps and string.ascii_letters is letters and time.time is clock and string.digits == '0123456789'
     assert not hasattr(string, 'added')
     """)
case("patched_in_the_same_execution", change="import colorsys; colorsys.ONE_THIRD = 5; colorsys.rgb_to_yiq = lambda *a: 'mine'",
     check="import colorsys; assert colorsys.ONE_THIRD == 5 and colorsys.rgb_to_yiq() == 'mine'")
case("patched_in_a_function",
     change="def patch():\n    import colorsys as c\n    c.ONE_SIXTH = 6\npatch()",
     check="import colorsys; assert colorsys.ONE_SIXTH == 6")
case("patched_by_name", shared="import string",
     change="for name in ['ascii_lowercase', 'whitespace']: setattr(string, name, name)",
     check="assert string.ascii_lowercase == 'ascii_lowercase' and string.whitespace == 'whitespace'",
     undone="assert string.whitespace.startswith(' ')")
case("patched_class", shared="import fractions, functools",
     change="""
     def double(self): return self * 2
     fractions.Fraction.double = double
     fractions.Fraction.half = property(double)
     """,
     check="""
     assert fractions.Fraction(1, 2).double() == 1
     """,
     lost={"fractions.Fraction.half": "property"}, lost_undone=("fractions.Fraction.double", "fractions.Fraction.half"))
case("patched_inside", shared="import json.encoder",
     change="json.encoder.JSONEncoder.item_separator = ';'; json.JSONEncoder.default = lambda self, o: 'any'",
     check="assert json.dumps([1, object()]) == '[1;\"any\"]' or json.JSONEncoder().encode([1, object()]) == '[1;\"any\"]'",
     lost_undone=("json.encoder.JSONEncoder.item_separator", "json.encoder.JSONEncoder.default"))
case("builtins", shared="import builtins", change="builtins.answer = [42]; builtins.sum = lambda *a: -1",
     check="assert answer == [42] and sum([1]) == -1", undone="assert sum([1]) == 1 and not hasattr(builtins, 'answer')")
case("unpicklable_patch", shared="import json, threading", change="json.lock = threading.Lock()", check="assert not hasattr(json, 'lock')",
     lost={"json.lock": "cannot pickle"}, undone="assert not hasattr(json, 'lock')")
case("mock_left_open", shared="import unittest.mock, json",
     change="unittest.mock.patch('json.dumps').start()", check="assert json.dumps(1) == '1'", lost={"json.dumps": ""})
case("original_kept", shared="import json",
     change="original = json.dumps; json.loads = original", check="assert json.loads(5) == '5'",
     undone="assert json.loads('5') == 5")
case("modules_removed", shared="import sys, json, json.decoder", change="del sys.modules['json.decoder']",
     check="assert 'json.decoder' not in sys.modules")
case("module_made_up", shared="import sys, types", change="made = types.ModuleType('made_up'); made.value = [1]; sys.modules['made_up'] = made",
     check="assert 'made_up' not in sys.modules", lost={"sys.modules['made_up']": "module"})
case("module_blocked", shared="import sys", change="sys.modules['nonexistent_thing'] = None",
     check="assert sys.modules['nonexistent_thing'] is None", undone="assert 'nonexistent_thing' not in sys.modules")
