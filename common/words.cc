#include "common/words.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"

namespace atelier {
namespace {

bool IsWordByte(char byte) {
  const auto value = static_cast<unsigned char>(byte);
  return absl::ascii_isalnum(value) || value >= 0x80;
}

}  // namespace

std::vector<std::string> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char byte : text) {
    const bool was_inside = std::exchange(inside, IsWordByte(byte));
    if (!inside) {
      continue;
    }
    if (!was_inside) {
      words.emplace_back();
    }
    words.back() += absl::ascii_tolower(static_cast<unsigned char>(byte));
  }
  return words;
}

std::string QuotedList(const std::vector<std::string>& words, std::size_t most) {
  std::string list;
  const std::size_t told = std::min(words.size(), most);
  for (std::size_t i = 0; i < told; ++i) {
    list += (i == 0 ? "\"" : ", \"") + words[i] + "\"";
  }
  return told == words.size() ? list
                              : list + " and " + std::to_string(words.size() - told) + " more";
}

}  // namespace atelier
