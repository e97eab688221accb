"""What of the cases does not come back from a checkpoint: pinned, so that a change fails the suite, in either direction.

`LOST`: by case, the names in `.lost` and a piece of the reason. What is not named here comes back.
`APART`: by case, the parts of its check that do not hold although they mention nothing that is named, each with why.
`STRUCTURE`: the cases whose structure, as the walk sees it, is another one, with why that is no loss.
"""

from __future__ import annotations

LOST: dict[str, dict[str, str]] = {
    'coroutine_suspended': {
        'c': 'a coroutine is a function in the middle of its',
    },
    'async_generator_half_consumed': {
        'g': 'an asynchronous generator is a function in the',
    },
    'pending_future': {
        'future': 'a future belongs to an event loop of this process',
    },
    'pending_task': {
        'asyncio task Task-': 'what waits in an event loop ends with the',
        'gate': 'a future belongs to an event loop of this process',
        'task': 'a task is a function in the middle of its run,',
    },
    'cancelled_and_failed_tasks': {
        'asyncio task Task-': 'what waits in an event loop ends with the',
        'error.__traceback__': 'a traceback holds frames, which Python cannot',
        'failed': 'a task is a function in the middle of its run,',
        'sleeper': 'a task is a function in the middle of its run,',
    },
    'asyncio_queues_and_locks': {
        'asyncio task Task-': 'what waits in an event loop ends with the',
        'lock': 'a future belongs to an event loop of this process',
        'waiting': 'a task is a function in the middle of its run,',
    },
    'timers_of_the_loop': {
        'handle': 'an event loop belongs to this process: a new one',
    },
    'context_variables_of_tasks': {
        'asyncio task Task-': 'what waits in an event loop ends with the',
        'gate': 'a future belongs to an event loop of this process',
        'task': 'a task is a function in the middle of its run,',
    },
    'concurrent_future': {
        'f': 'a future belongs to this process and to what is',
        'g': 'a future belongs to this process and to what is',
    },
    'queues': {
        'k': 'a queue between threads belongs to this process',
        'simple': 'a queue between threads belongs to this process',
    },
    'thread_local_data': {
        'main': 'a thread ends with its process: start it again',
    },
    'locks_and_conditions': {
        'condition': 'a lock that is held belongs to the threads of',
        'lock': 'a lock that is held belongs to the threads of',
        'rlock': 'a lock that is held belongs to the threads of',
    },
    'a_thread_that_has_ended': {
        'thread': 'a thread ends with its process: start it again',
        'unstarted': 'a thread ends with its process: start it again',
    },
    'memoryview_released': {
        'strided': 'a memoryview of memory that is not a plain bytes',
    },
    'weak_references': {
        'proxy': 'a weak proxy cannot be saved: make it again from',
        'ref': 'a weak reference with a callback cannot be saved',
    },
    'finalizers': {
        'finalizer': 'a finalizer is registered with this process:',
        'weakref.finalize list.append of a Target': 'finalizers are not kept: make it again',
    },
    'dynamic_types': {
        'made': "it cannot be loaded: TypeError: 'str' object is",
    },
    'image_edits': {
        'px': "TypeError: cannot pickle 'PixelAccess' object",
    },
    'drawing': {
        'draw': "TypeError: cannot pickle 'ImagingCore' object",
    },
    'image_file_open_lazily': {
        'gif': 'an image of several frames: Pillow saves the one',
    },
    'lxml_trees': {
        'b': "TypeError: cannot pickle 'lxml.etree._Element'",
        'root': "TypeError: cannot pickle 'lxml.etree._Element'",
        'tree': 'TypeError: cannot pickle',
    },
    'lxml_transformations': {
        'doc': "TypeError: cannot pickle 'lxml.etree._Element'",
        'find': "TypeError: cannot pickle 'lxml.etree.XPath'",
        'ns': 'TypeError: cannot pickle',
        'xslt': "TypeError: cannot pickle 'lxml.etree.XSLT' object",
    },
    'lxml_parsers_half_fed': {
        'events': "TypeError: cannot pickle 'lxml.etree.iterparse'",
        'first': "TypeError: cannot pickle 'lxml.etree._Element'",
        'parser': "TypeError: cannot pickle 'lxml.etree.XMLParser'",
        'pull': 'TypeError: cannot pickle',
    },
    'text_reader_half_read': {
        'f': 'PicklingError: the open file cannot be kept: the',
        'fd (a file)': 'the file has no name any more * (deleted))',
    },
    'binary_reader_with_its_buffer': {
        'f': 'PicklingError: the open file cannot be kept: the',
        'fd (a file)': 'the file has no name any more * (deleted))',
    },
    'append_and_text_writer': {
        'f': 'PicklingError: the open file cannot be kept: the',
        'fd (a file)': 'the file has no name any more * (deleted))',
        'wrapper': 'PicklingError: the open file cannot be kept: it',
    },
    'closed_and_open': {
        'a': 'PicklingError: the open file cannot be kept: the',
        'fd (a file)': 'the file has no name any more * (deleted))',
    },
    'descriptor_table': {
        'fd (/dev/null)': 'only regular files are opened again: open it',
    },
    'file_status_flags': {
        'f': 'an open temporary file belongs to this process:',
    },
    'mmap_private': {
        'f': 'PicklingError: the open file cannot be kept: the',
        'fd (a file)': 'the file has no name any more * (deleted))',
        'fd (a file)': 'the file has no name any more * (deleted))',
        'm': 'a memory-mapped file belongs to this process: map',
    },
    'mmap_anonymous_private': {
        'm': 'a memory-mapped file belongs to this process: map',
        'v': 'a memoryview of memory that is not a plain bytes',
    },
    'pipe_with_nothing_in_it': {
        'fd (pipe)': 'a pipe ends with the processes at its ends: make',
        'fd (pipe)': 'a pipe ends with the processes at its ends: make',
        'reader': 'PicklingError: the open file cannot be kept: * is',
    },
    'directory_descriptor_and_scandir': {
        'entries': "TypeError: cannot pickle 'posix.DirEntry' object",
        'fd (a file)': 'only regular files are opened again: open it',
        'walk': 'a generator is a function in the middle of its',
    },
    'temporary_file_objects': {
        'kept': 'an open temporary file belongs to this process:',
        'spooled': 'PicklingError: the open file cannot be kept: it',
    },
    'sockets_of_our_own': {
        'fd (/dev/null)': 'only regular files are opened again: open it',
        's': 'a socket belongs to this process and to what is',
    },
    'selectors_and_epoll': {
        'fd (pipe)': 'a pipe ends with the processes at its ends: make',
        'fd (pipe)': 'a pipe ends with the processes at its ends: make',
        'selector': "TypeError: cannot pickle 'select.poll' object",
    },
    'lru_cache': {
        'cache of slow': 'what an lru_cache holds cannot be asked of it:',
    },
    'context_variables': {
        'saved': 'a context of context variables cannot be pickled',
        'token': 'a token of a context variable belongs to a',
        'value in variable': 'what is no variable comes back with a copy of its',
    },
    'exit_functions_and_hooks': {
        'log in exit': 'what is no variable comes back with a copy of its',
    },
    'logging_configuration': {
        'stream in logging': 'what is no variable comes back with a copy of its',
    },
    'context_variable_reset_with_its_token': {
        'token': 'a token of a context variable belongs to a',
    },
    'exceptions_with_tracebacks': {
        'cause.__traceback__': 'a traceback holds frames, which Python cannot',
        'kept.__traceback__': 'a traceback holds frames, which Python cannot',
        'trace': 'a traceback holds frames, which Python cannot',
    },
    'suspended_frames_and_their_locals': {
        'frame': 'a frame is a function in the middle of its run,',
        'g': 'a generator is a function in the middle of its',
    },
    'context_managers_held_open': {
        'stack': 'a generator is a function in the middle of its',
    },
    'match_objects': {
        'first': 'a match cannot be pickled: keep what is needed of',
        'match': 'a match cannot be pickled: keep what is needed of',
        'scanner': 'an iterator over calls cannot be pickled: keep a',
    },
    'generator_half_consumed': {
        'g': 'a generator is a function in the middle of its',
    },
    'generator_with_send_and_finally': {
        'g': 'a generator is a function in the middle of its',
    },
    'generators_delegating': {
        'delegated': 'a generator is a function in the middle of its',
        'g': 'a generator is a function in the middle of its',
    },
    'iterators_of_containers': {
        'it': 'it does not come back as it was: it: a',
        'its': 'it does not come back as it was: * a',
    },
    'dict_iterator_survives_only_an_unchanged_size': {
        'it': 'it does not come back as it was: it: a',
    },
    'set_iterator': {
        'it': 'it does not come back as it was: it: a',
    },
    'itertools_finite': {
        "its['pairwise']": "TypeError: cannot pickle 'itertools.pairwise'",
    },
    'tee_and_groupby': {
        'left': 'a half of itertools.tee cannot be pickled: keep a',
        'right': 'a half of itertools.tee cannot be pickled: keep a',
    },
    'callable_and_sequence_iterators': {
        'until': 'an iterator over calls cannot be pickled: keep a',
    },
    'error_state_and_print_options': {
        'cm': 'a token of a context variable belongs to a',
    },
    'nditer_and_flat_iterators': {
        'b': "TypeError: cannot pickle 'numpy.broadcast' object",
        'fl': "TypeError: cannot pickle 'numpy.flatiter' object",
        'it': "TypeError: cannot pickle 'numpy.nditer' object",
        'nd': "TypeError: cannot pickle 'numpy.flatiter' object",
    },
    'memmap_copy_on_write': {
        'f': 'PicklingError: the open file cannot be kept: the',
        'fd (a file)': 'the file has no name any more * (deleted))',
        'fd (a file)': 'the file has no name any more * (deleted))',
        'fd (a file)': 'the file has no name any more * (deleted))',
        'm': 'a memory-mapped file belongs to this process: map',
        'part': 'a memory-mapped file belongs to this process: map',
        'read': 'a memory-mapped file belongs to this process: map',
    },
    'ufunc_out_and_reductions': {
        'mine': "PicklingError: Can't pickle <ufunc '<lambda>",
    },
    'buffers_shared_with_python': {
        'view': 'a memoryview of memory that is not a plain bytes',
    },
    'groupby_objects': {
        'it': 'a generator is a function in the middle of its',
    },
    'pandas_options': {
        'cm': 'a generator is a function in the middle of its',
    },
    'reader_half_read_in_chunks': {
        'python': '_csv.reader is a type inside of a C library: its',
        'reader': 'TypeError: no default __reduce__ due to',
    },
    'rolling_and_expanding': {
        'it': 'a generator is a function in the middle of its',
    },
    'indexes_and_their_engines': {
        'items': 'a generator is a function in the middle of its',
    },
    'rc_parameters': {
        'cm': 'a generator is a function in the middle of its',
    },
    'os_putenv': {
        'getenv': 'ValueError: ctypes objects containing pointers',
    },
    'warning_registry_and_catching': {
        'catcher': "PicklingError: Can't pickle <function",
    },
    'a_tracer_in_force': {
        'sys.settrace': 'a tracer is in force: set it again',
    },
    'memory_of_c': {
        'Pair': '_ctypes.PyCStructType is a type inside of a C',
        'libc': 'ValueError: ctypes objects containing pointers',
        'pair': 'it needs Pair: _ctypes.PyCStructType is a type',
        'pointer': 'ValueError: ctypes objects containing pointers',
    },
    'random_numbers_of_c': {
        'libc': 'ValueError: ctypes objects containing pointers',
    },
    'trees_in_space': {
        'hull': 'TypeError: self._lock,self._qh cannot be',
        'pts in tree': 'tree refers to it, and comes back with a copy of',
    },
    'signal_filters_and_factorisations': {
        'lu': "TypeError: cannot pickle 'SuperLU' object",
    },
    'settings_of_scikit_learn': {
        'cm': 'a generator is a function in the middle of its',
    },
    'csv_reader_half_read': {
        'reader': '_csv.reader is a type inside of a C library: its',
        'writer': '_csv.writer is a type inside of a C library: its',
    },
    'zipfile_open': {
        'member': 'an open archive belongs to this process: open it',
        'z': 'an open archive belongs to this process: open it',
    },
    'tar_and_gzip_streams': {
        'packed': "TypeError: cannot pickle 'zlib.Compress' object",
        't': 'an open archive belongs to this process: open it',
        'tar': 'an open archive belongs to this process: open it',
    },
    'compressors_and_hashes': {
        'b': 'TypeError: cannot pickle * object',
        'c': "TypeError: cannot pickle 'zlib.Compress' object",
        'd': 'zlib.Decompress is a type inside of a C library:',
        'h': "TypeError: cannot pickle '_hashlib.HASH' object",
        'm': "TypeError: cannot pickle '_hashlib.HMAC' object",
        'x': "TypeError: cannot pickle '_lzma.LZMADecompressor'",
    },
    'string_and_bytes_io': {
        'view': 'a memoryview of memory that is not a plain bytes',
    },
    'heap_array_bisect': {
        'merged': 'a generator is a function in the middle of its',
    },
    'struct_iterators': {
        'it': '_struct.unpack_iterator is a type inside of a C',
        'packer': "TypeError: cannot pickle '_struct.Struct' object",
    },
    'sqlite_with_an_open_transaction': {
        'cursor': 'PicklingError: a sqlite cursor cannot be saved:',
        'sqlite :memory: (transaction)': 'its open transaction is saved as it is; it cannot',
    },
    'sqlite_functions_and_settings': {
        'sqlite :memory: (function note)': 'a function made with create_function must be made',
    },
    'sqlite_savepoints_and_blobs': {
        'sqlite :memory: (transaction)': 'its open transaction is saved as it is; it cannot',
    },
    'element_tree': {
        'events': 'it needs iterparse.<locals>.IterParseIterator: a',
    },
    'incremental_parsers': {
        'e': 'pyexpat.xmlparser is a type inside of a C',
    },
    'json_codecs': {
        'chunks': 'a generator is a function in the middle of its',
        'decoder': '_json.Scanner is a type inside of a C library:',
    },
    'logging_memory_handler': {
        'log': 'a logger that logging.getLogger does not know',
    },
    'mock_patches': {
        'fake': 'it needs MagicMock: * * items became *',
        'm': 'it needs * * * items became *',
        'os.getcwd': 'it needs MagicMock: * * items became *',
        'working directory': '* No such file or directory',
    },
    'templates_and_formatters': {
        'Mine': 'Mine cannot be made again: TypeError: first',
        'parts': "PicklingError: Can't pickle <class",
    },
    'picklers_with_memos': {
        'p': "TypeError: cannot pickle '_pickle.Pickler' object",
        'u': "TypeError: cannot pickle '_pickle.Unpickler'",
    },
    'regular_expressions_and_their_cache': {
        's': 'an iterator over matches cannot be pickled: keep',
    },
    'tokenizers_and_syntax_trees': {
        'tokens': 'a generator is a function in the middle of its',
    },
    'mail_and_headers': {
        'm': 'it does not come back as it was: * a',
        'opener': 'it is urllib.request._opener, a OpenerDirector of',
    },
    'calendars_and_statistics': {
        'weeks': 'a generator is a function in the middle of its',
    },
    'differences_half_listed': {
        'lines': 'a generator is a function in the middle of its',
    },
    'traversals_half_walked': {
        'paths': 'a generator is a function in the middle of its',
        'walk': 'a generator is a function in the middle of its',
    },
    'assumptions': {
        'ctx': 'a generator is a function in the middle of its',
    },
    'matrices_and_functions': {
        'series': 'a generator is a function in the middle of its',
    },
    'caches_and_settings_of_sympy': {
        'calls': "it cannot be loaded: NameError: name 'calls' is",
        'gen': 'a generator is a function in the middle of its',
        'value': "it cannot be loaded: NameError: name 'calls' is",
    },
    'sympy_sets_and_solutions': {
        'it': 'a generator is a function in the middle of its',
        'primes': 'a generator is a function in the middle of its',
    },
    'polars_settings_and_threads': {
        'fd (eventpoll)': 'only regular files are opened again: open it',
        'fd (eventfd)': 'only regular files are opened again: open it',
    },
    'duckdb_in_the_middle_of_a_transaction': {
        'db': "TypeError: cannot pickle 'DuckDBPyConnection'",
        'half': "TypeError: cannot pickle 'DuckDBPyConnection'",
    },
    'a_query_of_duckdb_in_a_thread': {
        'db': "TypeError: cannot pickle 'DuckDBPyConnection'",
        'thread': 'a thread ends with its process: start it again',
        'thread the query': 'a thread ends with the process: start it again',
    },
    'xgboost_and_openmp': {
        'data': 'ValueError: ctypes objects containing pointers',
    },
    'a_query_of_polars_in_a_thread': {
        'threads': 'a thread ends with its process: start it again',
        'fd (eventpoll)': 'only regular files are opened again: open it',
        'fd (eventfd)': 'only regular files are opened again: open it',
        'thread the query': 'a thread ends with the process: start it again',
    },
    'a_server_of_grpc': {
        'fd (/dev/null)': 'only regular files are opened again: open it',
        'fd (eventfd)': 'only regular files are opened again: open it',
        'fd (eventpoll)': 'only regular files are opened again: open it',
        'server': 'TypeError: no default __reduce__ due to',
        'thread Thread-1 (_serve)': 'a thread ends with the process: start it again',
    },
    'a_thread_that_counts': {
        'thread': 'a thread ends with its process: start it again',
        'thread the counter': 'a thread ends with the process: start it again',
    },
    'a_thread_that_is_no_daemon': {
        'gate': 'a lock that is held belongs to the threads of',
        'thread': 'a thread ends with its process: start it again',
        'thread the waiter': 'a thread ends with the process: start it again',
    },
    'threads_that_wait': {
        'barrier': 'a lock that is held belongs to the threads of',
        'condition': 'a lock that is held belongs to the threads of',
        'event': 'a lock that is held belongs to the threads of',
        'far': 'a socket belongs to this process and to what is',
        'fd (/dev/null)': 'only regular files are opened again: open it',
        'fd (pipe)': 'a pipe ends with the processes at its ends: make',
        'lock': 'a lock that is held belongs to the threads of',
        'near': 'a socket belongs to this process and to what is',
        'rlock': 'a lock that is held belongs to the threads of',
        'semaphore': 'a lock that is held belongs to the threads of',
        'simple': 'a queue between threads belongs to this process',
        'tasks': 'a lock that is held belongs to the threads of',
        'thread': 'a thread ends with its process: start it again',
        'thread Thread-1 (work)': 'a thread ends with the process: start it again',
        'thread barrier': 'a thread ends with the process: start it again',
        'thread condition': 'a thread ends with the process: start it again',
        'thread event': 'a thread ends with the process: start it again',
        'thread event, with a limit': 'a thread ends with the process: start it again',
        'thread lock': 'a thread ends with the process: start it again',
        'thread pipe': 'a thread ends with the process: start it again',
        'thread queue': 'a thread ends with the process: start it again',
        'thread queue, with a limit': 'a thread ends with the process: start it again',
        'thread rlock': 'a thread ends with the process: start it again',
        'thread semaphore': 'a thread ends with the process: start it again',
        'thread simple': 'a thread ends with the process: start it again',
        'thread sleep': 'a thread ends with the process: start it again',
        'thread socket': 'a thread ends with the process: start it again',
        'threads': 'a thread ends with its process: start it again',
        "waits['barrier']": 'a lock that is held belongs to the threads of',
        "waits['event']": 'a lock that is held belongs to the threads of',
        "waits['join']": 'a thread ends with its process: start it again',
        "waits['lock']": 'a lock that is held belongs to the threads of',
        "waits['queue']": 'a lock that is held belongs to the threads of',
        "waits['semaphore']": 'a lock that is held belongs to the threads of',
        "waits['simple']": 'a queue between threads belongs to this process',
    },
    'an_executor_with_tasks_in_flight': {
        'done': 'a future belongs to this process and to what is',
        'executor': 'a pool of threads belongs to this process and to',
        'go': 'a lock that is held belongs to the threads of',
        'queued': 'a future belongs to this process and to what is',
        'running': 'a future belongs to this process and to what is',
        'thread pool_0': 'a thread ends with the process: start it again',
        'thread pool_1': 'a thread ends with the process: start it again',
    },
    'a_timer': {
        'timer': 'a thread ends with its process: start it again',
        'other': 'a thread ends with its process: start it again',
        'thread Thread-1': 'a thread ends with the process: start it again',
        'thread Thread-2': 'a thread ends with the process: start it again',
    },
    'a_loop_in_a_thread': {
        'loop': 'an event loop belongs to this process: a new one',
        'thread': 'a thread ends with its process: start it again',
        'gate': 'a future belongs to an event loop of this process',
        'ticking': 'a task is a function in the middle of its run,',
        'waiting': 'a future belongs to this process and to what is',
        'fd (eventpoll)': 'only regular files are opened again: open it',
        'fd (/dev/null)': 'only regular files are opened again: open it',
        'thread the loop': 'a thread ends with the process: start it again',
        'asyncio task Task-': 'what waits in an event loop ends with the',
    },
    'a_loop_in_a_thread_that_is_inside_a_callback': {
        'fd (/dev/null)': 'only regular files are opened again: open it',
        'fd (eventpoll)': 'only regular files are opened again: open it',
        'go': 'a lock that is held belongs to the threads of',
        'loop': 'an event loop belongs to this process: a new one',
        'result': 'a future belongs to an event loop of this process',
        'thread': 'a thread ends with its process: start it again',
        'thread the loop': 'a thread ends with the process: start it again',
    },
    'a_listener_of_logs': {
        'line': 'a lock that is held belongs to the threads of',
        'listener': 'a lock that is held belongs to the threads of',
        'logger case.listener': 'its handler, a QueueHandler: a lock that is held',
        'thread Thread-1 (_monitor)': 'a thread ends with the process: start it again',
    },
    'bars_of_tqdm_and_their_monitor': {
        'monitor': 'a thread ends with its process: start it again',
        'bar': 'it needs',
        'thread tqdm_monitor': 'a thread ends with the process: start it again',
    },
    'names_and_data_of_a_thread': {
        'asked': 'a queue between threads belongs to this process',
        'me': 'a thread ends with its process: start it again',
        'thread': 'a thread ends with its process: start it again',
        'thread the asker': 'a thread ends with the process: start it again',
        'told': 'a queue between threads belongs to this process',
    },
    'signal_mask_of_a_thread': {
        'asked': 'a queue between threads belongs to this process',
        'told': 'a queue between threads belongs to this process',
        'thread': 'a thread ends with its process: start it again',
        'thread the asker': 'a thread ends with the process: start it again',
    },
    'affinity_and_niceness_of_a_thread': {
        'asked': 'a queue between threads belongs to this process',
        'told': 'a queue between threads belongs to this process',
        'thread': 'a thread ends with its process: start it again',
        'thread the asker': 'a thread ends with the process: start it again',
    },
    'threads_that_begin_and_end': {
        'threads': 'a thread ends with its process: start it again',
        'thread the starter': 'a thread ends with the process: start it again',
    },
    'a_database_of_a_thread': {
        'asked': 'a queue between threads belongs to this process',
        'told': 'a queue between threads belongs to this process',
        'thread': 'a thread ends with its process: start it again',
        'db': 'ProgrammingError: SQLite objects created in a',
        'thread the asker': 'a thread ends with the process: start it again',
    },
    'reentrant_locks_of_a_thread': {
        'asked': 'a queue between threads belongs to this process',
        'condition': 'a lock that is held belongs to the threads of',
        'lock': 'a lock that is held belongs to the threads of',
        'thread': 'a thread ends with its process: start it again',
        'thread the asker': 'a thread ends with the process: start it again',
        'told': 'a queue between threads belongs to this process',
    },
    'threads_inside_of_c': {
        'threads': 'a thread ends with its process: start it again',
        'thread work 0': 'a thread ends with the process: start it again',
        'thread work 1': 'a thread ends with the process: start it again',
        'thread work 2': 'a thread ends with the process: start it again',
    },
    'an_exception_on_its_way_in_a_thread': {
        'go': 'a lock that is held belongs to the threads of',
        'thread': 'a thread ends with its process: start it again',
        'thread the raiser': 'a thread ends with the process: start it again',
    },
}

VALUE = "equal strings, numbers and other values that cannot change may be one object or two"
ADDRESS = "a number made of an address: objects are at others"
FOLLOWS = "follows from what is lost and named: it was to do this, or to be asked for it"
OWN = "the library's own way of pickling leaves it out"
ALIAS = "it comes back twice: as the variable, and as the state of the interpreter or of a library"
INSIDE = "a setting that a library written in C has for itself"

APART: dict[str, dict[str, str]] = {
    'itertools_finite': {
        "assert {name: list(i) for name, i in its.items()} == {'chain': [2, 3, 4], 'nested': [2, 3], 'islice': [5, 8, 11], 'accumulate': [3, 6, 10], 'compress': ['c', 'e', 'f'], 'dropwhile': [4, 5], 'takewhile': [1, 2], "
        "'filterfalse': [2, 4, 6], 'starmap': [9, 100], 'zip_longest': [('b', 'y'), ('-', 'z')], 'pairwise': [('b', 'c'), ('c', 'd')]}": FOLLOWS,
    },
    'coroutine_suspended': {
        "assert log == [(0, 'a'), (1, 'x'), (2, 'y')]": FOLLOWS,
    },
    'async_generator_half_consumed': {
        "assert log == [0, 1, 2, 3, 4, 'closed']": FOLLOWS,
    },
    'pending_future': {
        "assert log == ['later']": FOLLOWS,
    },
    'pending_task': {
        "assert steps == ['begun', 'ended']": FOLLOWS,
    },
    'asyncio_queues_and_locks': {
        "assert got == ['a']": FOLLOWS,
        "assert q.get_nowait() == 'b'": FOLLOWS,
        'assert q.empty()': FOLLOWS,
    },
    'context_variables_of_tasks': {
        'assert seen == [11]': FOLLOWS,
    },
    'big_integers_and_floats': {
        'assert values[0] is n': VALUE,
        'assert values[2] is nan': VALUE,
        'assert ids == [id(v) for v in values]': VALUE,
    },
    'strings_interned_and_not': {
        'assert words[0] is first': VALUE,
        'assert next(iter(table)) is first': VALUE,
        "assert sys.intern(''.join(['ab0', '!'])) is interned": VALUE,
    },
    'identity_hashed_sets': {
        'assert all((a is b for a, b in zip(members, order)))': ADDRESS,
        'assert [hash(t) for t in things] == hashes': ADDRESS,
    },
    'class_attributes': {
        'assert list(vars(Child)) == order': "the interpreter's own entries of a class, such as `__dict__`, stand after the others",
    },
    'weak_references': {
        'assert weakref.getweakrefcount(thing) == count == 1': FOLLOWS,
    },
    'image_edits': {
        'assert im.getpixel((0, 1)) == (4, 4, 4)': FOLLOWS,
    },
    'lxml_transformations': {
        'assert len(calls) == n == 1': FOLLOWS,
        'calls.pop()': FOLLOWS,
    },
    'closed_and_open': {
        'assert os.fstat(fd).st_size == 0': FOLLOWS,
    },
    'descriptor_table': {
        "assert os.readlink(f'/proc/self/fd/{fd}') == '/dev/null'": FOLLOWS,
        'assert os.get_inheritable(fd)': FOLLOWS,
        "os.write(fd, b'x')": FOLLOWS,
    },
    'pipe_with_nothing_in_it': {
        'assert not os.get_blocking(r)': FOLLOWS,
        "os.write(w, b'x')": FOLLOWS,
    },
    'directory_descriptor_and_scandir': {
        'assert os.fstat(fd).st_ino == os.stat(where).st_ino': FOLLOWS,
    },
    'function_attributes_and_defaults': {
        'assert f.__code__ is code': VALUE,
    },
    'lru_cache': {
        'assert slow.cache_info() == info': FOLLOWS,
        'assert calls == [1, 2, 3]': FOLLOWS,
    },
    'context_variables': {
        "assert var.get() is value == ['first']": ALIAS,
    },
    'context_variable_reset_with_its_token': {
        "assert var.get() == 'outer'": FOLLOWS,
    },
    'context_managers_held_open': {
        "assert log == ['+a', '+b', 'c', '-b', '-a']": FOLLOWS,
    },
    'generator_half_consumed': {
        'assert log == list(range(6))': FOLLOWS,
    },
    'generator_with_send_and_finally': {
        'assert log == ["KeyError(\'q\')", \'finally\']': FOLLOWS,
    },
    'tee_and_groupby': {
        'assert log == list(range(6))': FOLLOWS,
    },
    'callable_and_sequence_iterators': {
        'assert values == [3, 2, 1]': FOLLOWS,
    },
    'subclasses_and_attributes': {
        'assert v.base is t': "the view shares the memory; which of the two numpy calls the base of the other is not kept",
    },
    'artists_and_callbacks': {
        'assert len(heard) == 1': OWN,
        "assert heard[0].name == 'draw_event'": OWN,
    },
    'rendered_pixels': {
        'assert hashlib.md5(fig.canvas.buffer_rgba()).digest() == pixels': OWN,
    },
    'interactive_mode_and_backend': {
        'assert dict(matplotlib.units.registry) == dict(units)': ALIAS,
    },
    'sys_path': {
        'assert sys.path is path': ALIAS,
    },
    'modules_reloaded_and_patched': {
        'assert string.ascii_letters is letters': VALUE,
    },
    'warnings_filters': {
        'assert warnings.filters is filters': ALIAS,
    },
    'warning_registry_and_catching': {
        'assert len(caught) == 2': FOLLOWS,
        "assert warnings.filters[0][0] == 'default'": FOLLOWS,
    },
    'a_tracer_in_force': {
        'assert sys.gettrace() is tracer': FOLLOWS,
        "assert lines == ['line', 'line', 'return']": FOLLOWS,
    },
    'memory_of_c': {
        "assert ctypes.string_at(address, 4096) == b'A' * 4096": FOLLOWS,
    },
    'dates_and_numbers': {
        "assert moments['now'].tzinfo is tz": VALUE,
        'assert values[0] is fraction': VALUE,
        'assert values[1] is number': VALUE,
    },
    'sqlite_with_an_open_transaction': {
        'assert db.in_transaction': FOLLOWS,
        'assert db.total_changes == changes == 10': FOLLOWS,
        "assert db.execute('select count(*) from t').fetchone() == (0,)": FOLLOWS,
    },
    'sqlite_functions_and_settings': {
        "assert db.execute('select note(1)').fetchone()[0] == 2": FOLLOWS,
        'assert calls[-1] == 1': FOLLOWS,
    },
    'sqlite_savepoints_and_blobs': {
        'assert db.in_transaction': FOLLOWS,
        "db.execute('rollback to inner')": FOLLOWS,
        "assert [n for n, in db.execute('select n from t')] == [1]": FOLLOWS,
    },
    'incremental_parsers': {
        "assert seen == ['a', 'xr', 'xs', 'b', 'd', 'xu']": FOLLOWS,
    },
    'logging_memory_handler': {
        "assert flushed == ['one', 'two', 'three']": FOLLOWS,
    },
    'regular_expressions_and_their_cache': {
        "assert re.compile('a+(?P<x>b)?', re.I) is p": VALUE,
        'assert re._cache == cached': VALUE,
    },
    'numexpr_and_its_threads': {
        'assert ne.set_num_threads(4) == 4': INSIDE,
    },
    'a_server_of_grpc': {
        "assert call(b'abc') == b'cba'": FOLLOWS,
        "assert calls == [b'abc']": FOLLOWS,
    },
    'a_thread_that_is_no_daemon': {
        'assert got == [1]': FOLLOWS,
    },
    'threads_that_wait': {
        'let_go()': FOLLOWS,
        "assert sorted(got) == sorted(set(waits) - {'sleep'})": FOLLOWS,
    },
    'an_executor_with_tasks_in_flight': {
        'assert told == [16]': FOLLOWS,
    },
    'a_loop_in_a_thread_that_is_inside_a_callback': {
        'assert answers == [True]': FOLLOWS,
    },
    'a_listener_of_logs': {
        "assert seen == ['one 1']": FOLLOWS,
        'assert len(log.handlers) == 1': FOLLOWS,
        "assert seen == ['one 1', 'again']": FOLLOWS,
        'seen.pop()': FOLLOWS,
    },
    'a_watchdog_of_faulthandler': {
        'assert comes_true(lambda: threads() == before + 1)': "a thread of the interpreter's own, which nobody can be asked of",
    },
    'an_exception_on_its_way_in_a_thread': {
        'assert log == [\'finally\', (\'second\', "KeyError(\'first\')")]': FOLLOWS,
    },
}

STRUCTURE: dict[str, str] = {
    'threads_that_wait': 'a placeholder stands where what is lost and named was',
    'itertools_finite': 'a placeholder stands where what is lost and named was',
    'single_dispatch': 'a cache of singledispatch, which fills itself again',
    'accessors_and_subclasses': 'pandas gives each instance a list of its own when it is loaded',
    'trees_in_space': "scipy's state of a tree has addresses in it",
    'pydantic_models': "pydantic's schemas name classes by their addresses",
    'logging_memory_handler': 'a handler that no logger has is made anew, with a lock of its own',
    'assumptions': 'attributes that sympy computes when they are first asked for',
}


def table() -> str:
    """What is pinned as a table in Markdown."""
    lines = ["| case | lost and named | apart |", "| --- | --- | --- |"]
    for name in sorted({*LOST, *APART, *STRUCTURE}):
        lost = "; ".join(f"{one}: {why}" for one, why in LOST.get(name, {}).items())
        apart = "; ".join(dict.fromkeys([*APART.get(name, {}).values(), *filter(None, [STRUCTURE.get(name)])]))
        lines.append(f"| {name} | {lost or '-'} | {apart or '-'} |")
    lines += ["", f"{len(LOST)} cases lose something that is named; none loses anything that is not."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
