// Short texts as words: what models are told in captions. Pure functions, thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace atelier {

// The most words of a caption that count; what is behind them is cut off.
inline constexpr std::size_t kMaxCaptionWords = 16;

// Runs of ASCII letters, digits and bytes of other UTF-8 characters; ASCII in lower case.
std::vector<std::string> SplitWords(std::string_view text);

// `"a", "b", "c"`, at most `most` of them, then how many more there are.
std::string QuotedList(const std::vector<std::string>& words, std::size_t most = 20);

}  // namespace atelier
