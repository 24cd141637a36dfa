// The one precompiled header of everything that includes LibTorch (40 s to build once, saves 15 s a
// compilation). What it cannot save, 11 s of templates to instantiate and as much to optimise, is
// why several files are compiled as one (ATELIER_UNITY).
#pragma once

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>
