"""The worker: the Python side of pyrepl3. Standard library only; it runs inside the user's own interpreter.

One process tree (docs/design/processes.md): a zygote forks session inits, a session init forks the worker, and the
worker runs user code. Which module does what:

    zygote      imports what the environment preloads, then forks; also the template of a pool
    launcher    between zygote and session init: who is forked in which order
    session     session init: ancestor, reaper and undertaker of all in one session
    adoption    a session that outlives its supervisor: what session init does about it
    keeper      what it holds for the next supervisor
    line        how a process of such a session asks it for another channel
    worker      the worker's life: set up, take requests one by one, leave
    channel     frames on a socket, with a single reader
    stop        SIGINT: raises only while the execution that it is meant for runs user code
    handlers    handlers of other signals: called while user code runs, or the session waits
    execute     compiles and runs source, and says how it ended
    tasks       the event loop that a session keeps for top-level await
    source      source of executions for tracebacks and inspect
    own_frames  which frames are the worker's, and who does not see them
    failure     tracebacks without the worker's own frames
    streams     stdout, stderr, stdin, input, getpass
    present     exact values, bounded repr, MIME bundles
    display     display(), update_display(), figures
    introspect  variables, completion, inspection
    freeze      snapshots: before the fork, and after in whatever process this is then
    native      the helper that forks, loaded and called
    inventory   what it wrote down and could not put right, in words
    children    processes that user code started, after a rollback too
    spawned     what processes that multiprocessing starts anew get of the session
    pools       pools of processes, in a process that was woken
    saver       the process that writes a state down
    in_process_saver  the same in the live process, where it cannot be frozen
    restorer    brings a checkpoint back, and named values out of a failed execution
    answerer    the process that answers questions while code runs
    libraries   which native libraries are loaded, as far as a fork has to mind
    writers     files that user code writes: flushed before a fork
    random_state  the generators of branches
    later       modules that checkpoints need, loaded while nothing is asked for
    effects     exit functions, which belong to one process
    bootstrap, loader  how these modules come into the interpreter
    codec       JSON, bound before user code can replace it
    serializer  what a checkpoint consists of: see there
    holdings    what a killed process has that others wait for
    system      what the standard library lacks: prctl, the process tree
"""
