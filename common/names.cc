#include "common/names.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/escaping.h"
#include "common/errors.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

constexpr std::size_t kMaxNameLength = 63;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || IsDigit(c); }
bool IsNameRest(char c) { return IsNameStart(c) || c == '_' || c == '-'; }

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameLength && IsNameStart(text.front()) &&
         std::all_of(text.begin(), text.end(), IsNameRest);
}

bool IsNumber(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsDigit);
}

// Names come from anyone: what is repeated in a message is short and printable.
std::string QuotedAndCut(std::string_view text) {
  const bool cut = text.size() > kMaxNameLength + 1;
  return "\"" + absl::CHexEscape(std::string(text.substr(0, kMaxNameLength + 1))) +
         (cut ? "…\"" : "\"");
}

}  // namespace

absl::Status CheckName(std::string_view field, std::string_view name) {
  if (IsName(name)) {
    return absl::OkStatus();
  }
  if (name.empty()) {
    return InvalidField(field, "a name is required");
  }
  return InvalidField(field, QuotedAndCut(name) +
                                 " is not a name; use 1 to 63 small letters, digits, \"_\" and "
                                 "\"-\", beginning with a letter or a digit");
}

absl::StatusOr<ModelRef> ParseModelRef(std::string_view field, std::string_view text) {
  const std::size_t at = text.find('@');
  ModelRef ref;
  ref.name = std::string(text.substr(0, at));
  ATELIER_RETURN_IF_ERROR(CheckName(field, ref.name));
  if (at == std::string_view::npos) {
    return ref;
  }
  const std::string_view rest = text.substr(at + 1);
  if (!IsNumber(rest)) {
    if (!IsName(rest)) {
      return InvalidField(field, QuotedAndCut(rest) +
                                     " behind \"@\" is neither a version (1, 2, ...) "
                                     "nor a label");
    }
    ref.label = std::string(rest);
    return ref;
  }
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), ref.version);
  if (error != std::errc() || ref.version == 0) {
    return InvalidField(field, "the version " + QuotedAndCut(rest) +
                                   " is out of range; versions count "
                                   "from 1");
  }
  return ref;
}

}  // namespace atelier
