// SHA-256 of bytes that come piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace atelier {

// Not thread-safe.
class Sha256 final {
 public:
  Sha256();

  void Add(std::string_view bytes);

  // Lower-case hexadecimal, of all that was added. Nothing can be added or asked for afterwards.
  std::string Hex();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

// Whether `text` is what Hex returns: 64 digits and lower-case letters to f.
bool IsSha256Hex(std::string_view text);

}  // namespace atelier
