"""The service under faults: what clients were told of, and what is there afterwards.

    test_faults, test_planted ──► runs ──► world        a data directory, servers, processes, the power
                                      ├──► proxy        the network
                                      ├──► workload     clients, and what they are told
                                      └──► checker      whether that is there. Pure

They run a binary that can fail on demand (`crates/store/src/faults`): build it with `world.BUILD`, or name one in
`PYREPL3_FAULTS_BIN`. With `--long` there are as many seeds of each kind as `PYREPL3_FAULT_SEEDS` says (300 without it),
from `PYREPL3_FAULT_FIRST` on.
"""
