// Pieces of text, as std::string_view: Debian's Abseil has a view of its own, which its functions
// want and std::string_view does not become.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace atelier {

// What is between the separators: one piece more than there are of them.
inline std::vector<std::string_view> SplitText(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (std::size_t end = text.find(separator); end != std::string_view::npos;
       end = text.find(separator)) {
    pieces.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  pieces.push_back(text);
  return pieces;
}

// Without blanks at either end.
inline std::string_view TrimText(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

inline std::string_view TextOf(std::string_view text) { return text; }
inline std::string TextOf(std::integral auto number) { return std::to_string(number); }

// All of them behind each other: text, and integers in decimal.
template <typename... Pieces>
std::string JoinText(const Pieces&... pieces) {
  std::string text;
  ((text += TextOf(pieces)), ...);
  return text;
}

}  // namespace atelier
