#include "worker/models/zip_reader.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "worker/models/pickle_machine.h"

namespace atelier::models {
namespace {

constexpr std::string_view kEndSignature("PK\5\6", 4);
constexpr std::string_view kDirectorySignature("PK\1\2", 4);
constexpr std::string_view kLocalSignature("PK\3\4", 4);
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kDirectoryBytes = 46;
constexpr std::size_t kLocalBytes = 30;
constexpr std::size_t kMaxCommentBytes = 0xffff;

// `bytes` must hold position + sizeof(T).
template <typename T>
T At(std::string_view bytes, std::size_t position) {
  T value = 0;
  std::memcpy(&value, bytes.data() + position, sizeof(T));
  return value;
}

std::optional<std::string_view> Slice(std::string_view bytes, std::uint64_t offset,
                                      std::uint64_t length) {
  if (offset > bytes.size() || length > bytes.size() - offset) {
    return std::nullopt;
  }
  return bytes.substr(offset, length);
}

// The contents behind the local header at `offset`.
std::optional<std::string_view> EntryData(std::string_view bytes, std::uint64_t offset,
                                          std::uint64_t length) {
  const auto header = Slice(bytes, offset, kLocalBytes);
  if (!header || !header->starts_with(kLocalSignature)) {
    return std::nullopt;
  }
  const std::uint64_t names =
      std::uint64_t{At<std::uint16_t>(*header, 26)} + At<std::uint16_t>(*header, 28);
  return Slice(bytes, offset + kLocalBytes + names, length);
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string_view>> ReadStoredZip(std::string_view bytes) {
  const std::size_t tail =
      bytes.size() > kEndBytes + kMaxCommentBytes ? bytes.size() - kEndBytes - kMaxCommentBytes : 0;
  const std::size_t end = bytes.rfind(kEndSignature);
  if (end == std::string_view::npos || end < tail || bytes.size() - end < kEndBytes) {
    return DamagedPickle("its zip directory is missing");
  }
  const auto count = At<std::uint16_t>(bytes, end + 10);
  const auto directory = Slice(bytes.substr(0, end), At<std::uint32_t>(bytes, end + 16),
                               At<std::uint32_t>(bytes, end + 12));
  if (!directory) {
    return DamagedPickle("its zip directory is malformed");
  }
  std::map<std::string, std::string_view> entries;
  std::string_view rest = *directory;
  for (unsigned i = 0; i < count; ++i) {
    if (rest.size() < kDirectoryBytes || !rest.starts_with(kDirectorySignature)) {
      return DamagedPickle("its zip directory is malformed");
    }
    const auto flags = At<std::uint16_t>(rest, 8);
    const auto method = At<std::uint16_t>(rest, 10);
    const auto length = At<std::uint32_t>(rest, 24);
    constexpr std::uint16_t kEncrypted = 1;
    if ((flags & kEncrypted) != 0 || method != 0 || At<std::uint32_t>(rest, 20) != length) {
      return DamagedPickle("it is a compressed zip file; save it with torch.save");
    }
    const std::size_t name_bytes = At<std::uint16_t>(rest, 28);
    const std::size_t skip =
        kDirectoryBytes + name_bytes + At<std::uint16_t>(rest, 30) + At<std::uint16_t>(rest, 32);
    const auto name = Slice(rest, kDirectoryBytes, name_bytes);
    const auto data = EntryData(bytes.substr(0, end), At<std::uint32_t>(rest, 42), length);
    if (!name || !data || skip > rest.size() || !entries.emplace(*name, *data).second) {
      return DamagedPickle("its zip directory is malformed");
    }
    rest.remove_prefix(skip);
  }
  return entries;
}

}  // namespace atelier::models
