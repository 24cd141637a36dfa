#include "server/rpc/paging.h"

#include "absl/strings/escaping.h"
#include "common/errors.h"

namespace atelier::server {
namespace {

constexpr std::uint32_t kDefaultPageSize = 100;
constexpr std::uint32_t kMaxPageSize = 1000;

}  // namespace

absl::StatusOr<std::uint32_t> PageSize(std::uint32_t page_size) {
  if (page_size > kMaxPageSize) {
    return InvalidField("page_size", "at most " + std::to_string(kMaxPageSize) + " at a time");
  }
  return page_size == 0 ? kDefaultPageSize : page_size;
}

std::string PageToken(std::string_view list, std::string_view key) {
  return absl::WebSafeBase64Escape(std::string(list) + ":" + std::string(key));
}

absl::StatusOr<std::string> PageKey(std::string_view list, std::string_view page_token) {
  if (page_token.empty()) {
    return std::string();
  }
  std::string text;
  const std::string prefix = std::string(list) + ":";
  if (!absl::WebSafeBase64Unescape(std::string(page_token), &text) || !text.starts_with(prefix) ||
      text.size() == prefix.size()) {
    return InvalidField("page_token", "pass the next_page_token of the reply before, unchanged");
  }
  return text.substr(prefix.size());
}

}  // namespace atelier::server
