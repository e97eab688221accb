"""The codec of checkpoints: a session's namespace as streams and buffers, and back. docs/design/checkpoints.md.

    save        names, groups, verification, what is written     load         the reverse
    pickling    one pickle; how each kind of object is kept      registry     what is saved by reference, and by which key
    definitions functions and classes taken apart                skeletons    and put together again
    statements  classes that are made by running their statement again
    bytecode    code objects, marshalled or from source          arrays       numpy arrays and their views
    exceptions  what their own pickling forgets                  module_state  what modules of the session's own hold
    annotations what evaluates annotations (3.14)                iterators    those of itertools
    graph       which names share objects or memory              references   the words that streams call
    groups      a group while it is made                         words        why something is lost, in plain words
    verify      loading back                                     compare      structural comparison
    limits      time limits                                      session_modules  modules of the session's own

What a group of the body has beside names, tier, stream, buffers, requires, bytes and verified:

    parts        what the stream is a tuple of: ["name", name] or ["unit", key of a definition whose state it is]
    units, bind  the definitions that the group holds, and the names that are bound to them
    definitions  keys of the definitions that the stream refers to; they are made, and filled, before it is loaded
    slices       [block, offset, length] for each buffer of the stream, where its buffers share memory
    tiers        the tier of a name, where it is not the group's
    import       [name, module, attribute or null], of the tier `import`

and the body: `skeletons`, the stream with the head and the shape of each definition; `texts`, the stream with the
sources of the executions that they come from; `modules`, the session's own modules; `submodules`, the stream with
what is loaded of packages that names are bound to.
"""
