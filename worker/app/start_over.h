// The same program again, in the same process.
#pragma once

#include <filesystem>

namespace atelier::worker {

// Starts this program over with `argv`: the process, its id and its signals that wait stay, all its
// memory and threads and all files it has open but the standard ones go. The program that was
// installed over this one meanwhile is the one that starts. Returns only when that fails.
void StartOver(char** argv);

// Where the program lies that `link`, /proc/self/exe, speaks of, or the one that has replaced it.
std::filesystem::path ProgramBehind(const std::filesystem::path& link);

}  // namespace atelier::worker
