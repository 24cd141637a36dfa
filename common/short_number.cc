#include "common/short_number.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace atelier {

std::string ShortNumber(double value) {
  if (!std::isfinite(value)) {
    return "nan";
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

}  // namespace atelier
