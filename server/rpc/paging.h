// Page sizes and page tokens of the list calls. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::server {

// The number of entries to return: 100 when `page_size` is 0. INVALID_ARGUMENT naming `page_size`:
// over 1000.
absl::StatusOr<std::uint32_t> PageSize(std::uint32_t page_size);

// A token that means "go on behind `key`". `list` keeps the tokens of one list from being taken for
// another's.
std::string PageToken(std::string_view list, std::string_view key);

// The key in the token; empty for an empty token. INVALID_ARGUMENT naming `page_token` when
// PageToken did not make it for `list`.
absl::StatusOr<std::string> PageKey(std::string_view list, std::string_view page_token);

}  // namespace atelier::server
