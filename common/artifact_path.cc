#include "common/artifact_path.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/errors.h"
#include "common/text.h"

namespace atelier {
namespace {

constexpr std::size_t kMaxPathBytes = 512;

// Takes the number at the front of `text`, without leading zeros; empty for 0.
std::string_view TakeNumber(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string_view number = text.substr(0, end);
  text.remove_prefix(end);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

}  // namespace

absl::Status CheckArtifactPath(std::string_view field, std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes) {
    return InvalidField(field, path.empty() ? "is missing" : "is longer than any artifact's path");
  }
  for (const std::string_view name : SplitText(path, '/')) {
    if (name.empty() || name.front() == '.' || !std::ranges::all_of(name, [](char c) {
          return absl::ascii_isprint(static_cast<unsigned char>(c));
        })) {
      return InvalidField(field,
                          "must be a relative path as ListArtifacts tells it, for example "
                          "\"samples/step-100.jpg\"");
    }
  }
  return absl::OkStatus();
}

bool ArtifactPathLess::operator()(std::string_view a, std::string_view b) const {
  const std::string_view whole_a = a;
  const std::string_view whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (absl::ascii_isdigit(static_cast<unsigned char>(a.front())) &&
        absl::ascii_isdigit(static_cast<unsigned char>(b.front()))) {
      const std::string_view number_a = TakeNumber(a);
      const std::string_view number_b = TakeNumber(b);
      if (number_a != number_b) {
        return number_a.size() != number_b.size() ? number_a.size() < number_b.size()
                                                  : number_a < number_b;
      }
      continue;
    }
    if (a.front() != b.front()) {
      return static_cast<unsigned char>(a.front()) < static_cast<unsigned char>(b.front());
    }
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  // "step-01" and "step-1" have equal numbers and are two names all the same.
  return a.empty() && b.empty() ? whole_a < whole_b : a.empty() && !b.empty();
}

}  // namespace atelier
