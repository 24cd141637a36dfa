// The model that returns what it is sent, for measuring what the way to a worker and back costs. It
// is no file and no row: who asks for it by this name gets it where the server offers it.
#pragma once

#include <cstdint>

namespace atelier::server {

inline constexpr char kIdentityModel[] = "identity";
inline constexpr std::uint32_t kIdentityVersion = 1;

}  // namespace atelier::server
