#include "worker/models/torchscript_code.h"

#include "worker/models/torchscript_operators.h"

namespace atelier::models {
namespace {

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// The name that `text` starts with; may be empty.
std::string_view NameAt(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && IsNameCharacter(text[length])) {
    ++length;
  }
  return text.substr(0, length);
}

// Of ".a.b(" the name "a"; moves behind it. Empty: no dot, or no name directly behind it.
std::string_view TakeMember(std::string_view& rest) {
  if (!rest.starts_with('.')) {
    return {};
  }
  const std::string_view name = NameAt(rest.substr(1));
  rest.remove_prefix(1 + name.size());
  return name;
}

// `rest`: what follows "ops".
bool IsAllowedOps(std::string_view rest) {
  const std::string_view space = TakeMember(rest);
  const std::string_view name = TakeMember(rest);
  return (space == "prim" && IsAllowedLanguageOperator(name)) ||
         (space == "aten" && IsAllowedTensorOperator(name));
}

// `name` followed by `rest`; `member`: behind a dot.
bool IsKnownCall(std::string_view name, std::string_view rest, bool member) {
  if (name == "__setstate__") {
    return false;
  }
  if (name == "__torch__") {
    return rest.starts_with('.');
  }
  if (name == "torch") {
    const std::string_view next = TakeMember(rest);
    return member ? !next.empty() && next != "classes" : IsAllowedTensorOperator(next);
  }
  return name != "ops" || member || IsAllowedOps(rest);
}

}  // namespace

std::optional<std::string> FindForeignName(std::string_view code) {
  char before = '\n';
  while (!code.empty()) {
    const std::string_view name = NameAt(code);
    if (name.empty()) {
      before = code.front();
      code.remove_prefix(1);
      continue;
    }
    code.remove_prefix(name.size());
    if (!IsKnownCall(name, code, before == '.')) {
      constexpr std::size_t kShown = 60;
      const std::size_t end = code.substr(0, kShown).find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
      return std::string(name) + std::string(code.substr(0, end));
    }
    before = name.back();
  }
  return std::nullopt;
}

}  // namespace atelier::models
