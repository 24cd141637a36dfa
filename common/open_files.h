// How many files and connections a process may have open.
#pragma once

#include <cstdint>

namespace atelier {

// Raises this process's limit as far as it may (to the hard limit, at most 1,048,576): what shells
// and containers begin with, 1024, is less than a server's connections. Processes that are started
// from here on inherit it.
void RaiseOpenFileLimit();

// What holds now.
std::uint64_t OpenFileLimit();

}  // namespace atelier
