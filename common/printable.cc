#include "common/printable.h"

#include <cstdint>

namespace atelier {
namespace {

bool AllPrintable(std::string_view text, bool with_lines) {
  while (!text.empty()) {
    const bool of_lines = with_lines && (text.front() == '\n' || text.front() == '\t');
    const std::size_t length = of_lines ? 1 : PrintableLength(text);
    if (length == 0) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::size_t PrintableLength(std::string_view text) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    return first >= 0x20 && first != 0x7f ? 1 : 0;
  }
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) {
    return 0;
  }
  std::uint32_t code = first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) {
      return 0;
    }
    code = code << 6U | (byte(i) & 0x3fU);
  }
  const std::uint32_t least = length == 2 ? 0xa0 : length == 3 ? 0x800 : 0x10000;
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code >= least && code <= 0x10ffff && !surrogate ? length : 0;
}

bool IsPrintable(std::string_view text) { return AllPrintable(text, /*with_lines=*/false); }

bool IsPrintableText(std::string_view text) { return AllPrintable(text, /*with_lines=*/true); }

}  // namespace atelier
