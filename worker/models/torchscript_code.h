// The names in TorchScript code, before it is compiled: compiling evaluates the values of constants
// and of default arguments. Pure functions, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace atelier::models {

// The first name in `code` that gives access to something that is not in torchscript_operators.h:
// an operator "torch.x" or "ops.x.y", a class written in C++ ("torch.classes"), "__setstate__", or
// one of the roots of these without a fixed name behind it. Strings and comments are looked at like
// code, so that nobody needs to agree where they end.
std::optional<std::string> FindForeignName(std::string_view code);

}  // namespace atelier::models
