// Gives the precompiled header a target of its own (CMake's REUSE_FROM needs one).
