"""The codec of checkpoints: a session's namespace as streams and buffers, and back. docs/design/checkpoints.md.

    save        names, groups, verification, what is written     load         the reverse
    pickling    one pickle; how each kind of object is kept      registry     what is saved by reference, and by which key
    definitions functions and classes taken apart                skeletons    and put together again
    bytecode    code objects, marshalled or from source          arrays       numpy arrays and their views
    graph       which names share objects or memory              references   the words that streams call
    groups      a group while it is made                         words        why something is lost, in plain words
    verify      loading back                                     compare      structural comparison
    limits      time limits                                      session_modules  modules that the session wrote
"""
