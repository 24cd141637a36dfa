#include "worker/models/safetensors.h"

#include <torch/torch.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/models/checked_math.h"

namespace atelier::models {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the format is little endian");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 16u << 20;
constexpr std::uint64_t kAlignment = 8;
constexpr std::string_view kMetadataKey = "__metadata__";

struct TypeName {
  std::string_view name;
  at::ScalarType type;
};
constexpr TypeName kTypes[] = {
    {"F64", at::kDouble},    {"F32", at::kFloat}, {"F16", at::kHalf},
    {"BF16", at::kBFloat16}, {"I64", at::kLong},  {"I32", at::kInt},
    {"I16", at::kShort},     {"I8", at::kChar},   {"U8", at::kByte},
};

std::optional<at::ScalarType> TypeOf(std::string_view name) {
  for (const TypeName& row : kTypes) {
    if (row.name == name) {
      return row.type;
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> NameOf(at::ScalarType type) {
  for (const TypeName& row : kTypes) {
    if (row.type == type) {
      return row.name;
    }
  }
  return std::nullopt;
}

absl::Status Damaged(const std::string& what) {
  return absl::DataLossError("The safetensors file is damaged: " + what + ".");
}

// Parses the header; nlohmann-json would keep the last of two equal names and follow any nesting.
absl::StatusOr<Json> ParseHeader(std::string_view text) {
  constexpr int kDeepest = 3;  // {"name": {"shape": [1]}}
  std::vector<std::set<std::string>> names(kDeepest + 1);
  bool duplicate = false;
  bool deep = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kDeepest) {
      deep = true;
      return false;
    }
    if (event == Json::parse_event_t::object_start && depth < kDeepest) {
      names[depth + 1].clear();
    }
    if (event == Json::parse_event_t::key) {
      duplicate = duplicate || !names[depth].insert(value.get<std::string>()).second;
    }
    return true;
  };
  Json header = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (header.is_discarded() || !header.is_object()) {
    return Damaged("its header is not a JSON object");
  }
  if (duplicate) {
    return Damaged("a name appears twice in its header");
  }
  if (deep) {
    return Damaged("its header is nested too deeply");
  }
  return header;
}

// One tensor's entry: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}.
struct Entry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// The array at `key` as numbers below 2^63.
std::optional<std::vector<std::int64_t>> Naturals(const Json& object, const char* key) {
  const auto array = object.find(key);
  if (array == object.end() || !array->is_array()) {
    return std::nullopt;
  }
  std::vector<std::int64_t> numbers;
  for (const Json& number : *array) {
    if (!number.is_number_unsigned() ||
        number.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
      return std::nullopt;
    }
    numbers.push_back(number.get<std::int64_t>());
  }
  return numbers;
}

absl::StatusOr<Entry> ParseEntry(const std::string& name, const Json& value,
                                 std::uint64_t data_bytes) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value["dtype"].is_string()) {
    return Damaged("an entry of its header is not dtype, shape and data_offsets");
  }
  const std::optional<at::ScalarType> type = TypeOf(value["dtype"].get_ref<const std::string&>());
  if (!type) {
    return Damaged("it holds a tensor of an unknown type");
  }
  std::optional<std::vector<std::int64_t>> shape = Naturals(value, "shape");
  const std::optional<std::vector<std::int64_t>> offsets = Naturals(value, "data_offsets");
  if (!shape || shape->size() > kMaxDimensions || !offsets || offsets->size() != 2) {
    return Damaged("a shape or an offset in its header is malformed");
  }
  Entry entry{.name = name, .type = *type, .shape = *std::move(shape)};
  entry.begin = static_cast<std::uint64_t>((*offsets)[0]);
  entry.end = static_cast<std::uint64_t>((*offsets)[1]);
  if (entry.begin > entry.end || entry.end > data_bytes) {
    return Damaged("a tensor lies outside of it");
  }
  const std::optional<std::uint64_t> elements = CheckedElements(entry.shape);
  const std::optional<std::uint64_t> bytes =
      elements ? CheckedMultiply(*elements, c10::elementSize(entry.type)) : std::nullopt;
  if (!bytes || *bytes != entry.end - entry.begin) {
    return Damaged("a tensor's shape and bytes disagree");
  }
  return entry;
}

absl::StatusOr<Metadata> ParseMetadata(const Json& value) {
  Metadata metadata;
  if (!value.is_object()) {
    return Damaged("its metadata is not an object");
  }
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      return Damaged("its metadata holds something other than text");
    }
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

// Every byte belongs to exactly one tensor.
absl::Status CheckCoverage(std::vector<Entry>& entries, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      return Damaged(entry.begin < covered ? "two tensors overlap"
                                           : "bytes between its tensors belong to none");
    }
    covered = entry.end;
  }
  return covered == data_bytes ? absl::OkStatus()
                               : Damaged("bytes after its tensors belong to none");
}

std::uint64_t BytesOf(const at::Tensor& tensor) {
  return static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size();
}

}  // namespace

absl::StatusOr<Safetensors> ParseSafetensors(std::string_view bytes) {
  std::uint64_t header_bytes = 0;
  if (bytes.size() < kLengthBytes) {
    return Damaged("it is cut off");
  }
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  if (header_bytes > kMaxHeaderBytes) {
    return Damaged("its header is longer than 16 MiB");
  }
  if (header_bytes > bytes.size() - kLengthBytes) {
    return Damaged("it is cut off");
  }
  ATELIER_ASSIGN_OR_RETURN(const Json header,
                           ParseHeader(bytes.substr(kLengthBytes, header_bytes)));
  const std::string_view data = bytes.substr(kLengthBytes + header_bytes);

  Safetensors result;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadataKey) {
      ATELIER_ASSIGN_OR_RETURN(result.metadata, ParseMetadata(value));
      continue;
    }
    ATELIER_ASSIGN_OR_RETURN(Entry entry, ParseEntry(name, value, data.size()));
    entries.push_back(std::move(entry));
  }
  ATELIER_RETURN_IF_ERROR(CheckCoverage(entries, data.size()));
  for (const Entry& entry : entries) {
    const at::Tensor tensor = torch::empty(entry.shape, torch::dtype(entry.type));
    if (entry.end > entry.begin) {
      std::memcpy(tensor.data_ptr(), data.data() + entry.begin, entry.end - entry.begin);
    }
    result.tensors.emplace(entry.name, tensor);
  }
  return result;
}

absl::StatusOr<Safetensors> ReadSafetensors(const std::filesystem::path& path,
                                            std::uint64_t max_bytes) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, max_bytes));
  return ParseSafetensors(bytes);
}

absl::StatusOr<std::string> SerializeSafetensors(const TensorMap& tensors,
                                                 const Metadata& metadata) {
  std::vector<std::pair<std::string, at::Tensor>> ordered;
  for (const auto& [name, tensor] : tensors) {
    if (name == kMetadataKey || !tensor.defined() || !NameOf(tensor.scalar_type())) {
      return absl::InvalidArgumentError(
          "A tensor has no value, or a name or type that safetensors cannot hold.");
    }
    ordered.emplace_back(name, tensor.detach().to(at::kCPU).contiguous());
  }
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });

  // nlohmann's objects are sorted by name: equal tensors give an equal header.
  Json header = Json::object();
  if (!metadata.empty()) {
    header[std::string(kMetadataKey)] = metadata;
  }
  std::uint64_t end = 0;
  for (const auto& [name, tensor] : ordered) {
    const std::uint64_t begin = end;
    end += BytesOf(tensor);
    header[name] = {{"dtype", *NameOf(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  const std::uint64_t header_bytes = text.size();

  std::string bytes(kLengthBytes, '\0');
  std::memcpy(bytes.data(), &header_bytes, kLengthBytes);
  bytes.reserve(kLengthBytes + header_bytes + end);
  bytes += text;
  for (const auto& [name, tensor] : ordered) {
    bytes.append(static_cast<const char*>(tensor.data_ptr()), BytesOf(tensor));
  }
  return bytes;
}

absl::Status WriteSafetensors(const std::filesystem::path& path, const TensorMap& tensors,
                              const Metadata& metadata) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, SerializeSafetensors(tensors, metadata));
  return WriteFileAtomically(path, bytes);
}

}  // namespace atelier::models
