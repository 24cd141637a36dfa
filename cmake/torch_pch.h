// The one precompiled header of everything that includes LibTorch (40 s to build once, saves 15 s a
// file).
#pragma once

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>
