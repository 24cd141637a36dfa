// Which operators a TorchScript program of a user may call. Thread-safe.
//
// PyTorch's operators are more than arithmetic: some write files (aten::save), map them
// (aten::from_file), change global state, return memory that nobody filled, or trust their callers
// with pointers and bounds. This is a list of what picture networks are made of; everything else is
// refused.
#pragma once

#include <string_view>

namespace atelier::models {

// "conv2d", "relu_": names in PyTorch's namespace "aten". With or without the underscore of
// operators that work in place.
bool IsAllowedTensorOperator(std::string_view name);

// Names in the namespace "prim": the language's own operations.
bool IsAllowedLanguageOperator(std::string_view name);

}  // namespace atelier::models
