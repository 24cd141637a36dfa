#include "worker/models/torch_pickle.h"

#include <torch/torch.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/models/checked_math.h"
#include "worker/models/pickle_machine.h"
#include "worker/models/zip_reader.h"

namespace atelier::models {
namespace {

using Kind = PickleNode::Kind;

// The first two pickles of the old layout: the magic number 0x1950a86a20f9469cfc6c and the version
// 1001.
constexpr std::string_view kOldMagic(
    "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.\x80\x02M\xe9\x03.", 21);
constexpr std::string_view kOldMagicStart = kOldMagic.substr(0, 4);
constexpr std::string_view kZipMagic("PK\3\4", 4);
constexpr std::size_t kMaxDimensions = 8;

struct StorageType {
  std::string_view global;
  at::ScalarType type;
};
constexpr StorageType kStorageTypes[] = {
    {"torch\nFloatStorage", at::kFloat}, {"torch\nDoubleStorage", at::kDouble},
    {"torch\nHalfStorage", at::kHalf},   {"torch\nBFloat16Storage", at::kBFloat16},
    {"torch\nLongStorage", at::kLong},   {"torch\nIntStorage", at::kInt},
    {"torch\nShortStorage", at::kShort}, {"torch\nCharStorage", at::kChar},
    {"torch\nByteStorage", at::kByte},
};

// A storage's declaration and, once they are read, its elements as a flat tensor.
struct Storage {
  at::ScalarType type = at::kFloat;
  std::uint64_t elements = 0;
  at::Tensor values;
};
using Storages = std::map<std::string_view, Storage>;

std::optional<at::ScalarType> TypeOf(std::string_view global) {
  for (const StorageType& row : kStorageTypes) {
    if (row.global == global) {
      return row.type;
    }
  }
  return std::nullopt;
}

absl::StatusOr<Storages> DeclaredStorages(const PickleArena& arena) {
  Storages storages;
  for (const PickleNode& node : arena.nodes()) {
    if (node.kind != Kind::kStorage) {
      continue;
    }
    const std::optional<at::ScalarType> type = TypeOf(node.items[0]->text);
    if (!type || node.number < 0) {
      return DamagedPickle("a storage in it has an unknown type or size");
    }
    const Storage declared{.type = *type, .elements = static_cast<std::uint64_t>(node.number)};
    const Storage& known = storages.emplace(node.text, declared).first->second;
    if (known.type != declared.type || known.elements != declared.elements) {
      return DamagedPickle("two descriptions of a storage in it disagree");
    }
  }
  return storages;
}

// Copies `storage`'s elements from the beginning of `bytes`; returns their length, or nothing when
// `bytes` is too short.
std::optional<std::uint64_t> FillStorage(Storage& storage, std::string_view bytes) {
  const std::optional<std::uint64_t> length =
      CheckedMultiply(storage.elements, c10::elementSize(storage.type));
  if (!length || *length > bytes.size()) {
    return std::nullopt;
  }
  storage.values =
      torch::empty({static_cast<std::int64_t>(storage.elements)}, torch::dtype(storage.type));
  if (*length > 0) {
    std::memcpy(storage.values.data_ptr(), bytes.data(), *length);
  }
  return length;
}

std::optional<std::vector<std::int64_t>> Integers(const PickleNode& tuple) {
  std::vector<std::int64_t> numbers;
  for (const PickleNode* item : tuple.items) {
    if (item->kind != Kind::kInt || item->number < 0) {
      return std::nullopt;
    }
    numbers.push_back(item->number);
  }
  return numbers;
}

// The elements that a view touches lie below this; nothing when it overflows.
std::optional<std::uint64_t> ViewEnd(std::int64_t offset, const std::vector<std::int64_t>& sizes,
                                     const std::vector<std::int64_t>& strides) {
  std::int64_t last = offset;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::int64_t step = 0;
    if (__builtin_mul_overflow(sizes[i] - 1, strides[i], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  return static_cast<std::uint64_t>(last) + 1;
}

// `budget`: bytes that may still be handed out; many tensors may show one storage.
absl::StatusOr<at::Tensor> BuildTensor(const PickleNode& node, const Storages& storages,
                                       std::uint64_t& budget) {
  const auto found = storages.find(node.items[0]->text);
  const std::int64_t offset = node.items[1]->number;
  const auto sizes = Integers(*node.items[2]);
  const auto strides = Integers(*node.items[3]);
  if (found == storages.end() || !found->second.values.defined() || offset < 0 || !sizes ||
      !strides || sizes->size() != strides->size() || sizes->size() > kMaxDimensions) {
    return DamagedPickle("a tensor in it is malformed");
  }
  const Storage& storage = found->second;
  const std::optional<std::uint64_t> elements = CheckedElements(*sizes);
  if (!elements || *elements > storage.elements) {
    return DamagedPickle("a tensor in it is larger than its storage");
  }
  if (*elements == 0) {
    return torch::empty(*sizes, torch::dtype(storage.type));
  }
  const std::optional<std::uint64_t> end = ViewEnd(offset, *sizes, *strides);
  const std::uint64_t length = *elements * c10::elementSize(storage.type);
  if (!end || *end > storage.elements || length > budget) {
    return DamagedPickle("a tensor in it is larger than its storage");
  }
  budget -= length;
  return storage.values.as_strided(*sizes, *strides, offset).clone(at::MemoryFormat::Contiguous);
}

absl::StatusOr<TensorMap> BuildTensors(const PickleNode& top, const Storages& storages,
                                       std::uint64_t budget) {
  if (top.kind != Kind::kDict) {
    return DamagedPickle("its top object is not a dict");
  }
  TensorMap tensors;
  for (std::size_t i = 0; i < top.items.size(); i += 2) {
    const PickleNode& key = *top.items[i];
    const PickleNode& value = *top.items[i + 1];
    if (key.kind != Kind::kString || value.kind != Kind::kTensor) {
      return DamagedPickle("it holds something other than named tensors");
    }
    ATELIER_ASSIGN_OR_RETURN(const at::Tensor tensor, BuildTensor(value, storages, budget));
    if (!tensors.emplace(key.text, tensor).second) {
      return DamagedPickle("a name appears twice in it");
    }
  }
  return tensors;
}

// Magic number, version, facts about the writer, the object, the storages' keys, then each storage:
// its length and its elements.
absl::StatusOr<TensorMap> ParseOld(std::string_view bytes) {
  if (!bytes.starts_with(kOldMagic)) {
    return DamagedPickle("its magic number or version is unknown");
  }
  PickleArena arena;
  std::string_view rest = bytes.substr(kOldMagic.size());
  std::size_t used = 0;
  ATELIER_RETURN_IF_ERROR(RunPickle(rest, arena, used).status());
  rest.remove_prefix(used);
  ATELIER_ASSIGN_OR_RETURN(const PickleNode* top, RunPickle(rest, arena, used));
  rest.remove_prefix(used);
  ATELIER_ASSIGN_OR_RETURN(const PickleNode* keys, RunPickle(rest, arena, used));
  rest.remove_prefix(used);
  ATELIER_ASSIGN_OR_RETURN(Storages storages, DeclaredStorages(arena));
  for (const PickleNode* key : keys->items) {
    const auto storage = key->kind == Kind::kString ? storages.find(key->text) : storages.end();
    std::uint64_t elements = 0;
    if (storage == storages.end() || rest.size() < sizeof(elements)) {
      return DamagedPickle("its storages are cut off or unknown");
    }
    std::memcpy(&elements, rest.data(), sizeof(elements));
    rest.remove_prefix(sizeof(elements));
    const auto length = elements == storage->second.elements ? FillStorage(storage->second, rest)
                                                             : std::optional<std::uint64_t>();
    if (!length) {
      return DamagedPickle("its storages are cut off");
    }
    rest.remove_prefix(*length);
  }
  return BuildTensors(*top, storages, 2 * bytes.size());
}

// <folder>/data.pkl and <folder>/data/<key>.
absl::StatusOr<TensorMap> ParseZip(std::string_view bytes) {
  ATELIER_ASSIGN_OR_RETURN(const auto entries, ReadStoredZip(bytes));
  constexpr std::string_view kObject = "/data.pkl";
  for (const auto& [name, data] : entries) {
    if (!name.ends_with(kObject)) {
      continue;
    }
    const std::string folder = name.substr(0, name.size() - kObject.size());
    const auto order = entries.find(folder + "/byteorder");
    if (order != entries.end() && order->second != "little") {
      return DamagedPickle("it was written by a big-endian machine");
    }
    PickleArena arena;
    std::size_t used = 0;
    ATELIER_ASSIGN_OR_RETURN(const PickleNode* top, RunPickle(data, arena, used));
    ATELIER_ASSIGN_OR_RETURN(Storages storages, DeclaredStorages(arena));
    // Entries may overlap in a hostile file; together the storages are never larger than the file.
    std::uint64_t budget = bytes.size();
    for (auto& [key, storage] : storages) {
      const auto values = entries.find(folder + "/data/" + std::string(key));
      const auto length = values == entries.end()
                              ? std::optional<std::uint64_t>()
                              : FillStorage(storage, values->second.substr(0, budget));
      if (!length) {
        return DamagedPickle("a storage is missing or cut off");
      }
      budget -= *length;
    }
    return BuildTensors(*top, storages, 2 * bytes.size());
  }
  return DamagedPickle("it is a zip file without a state dict");
}

}  // namespace

absl::StatusOr<TensorMap> ParseTorchPickle(std::string_view bytes) {
  if (bytes.starts_with(kZipMagic)) {
    return ParseZip(bytes);
  }
  if (bytes.starts_with(kOldMagicStart)) {
    return ParseOld(bytes);
  }
  return DamagedPickle("it is not a file of torch.save");
}

absl::StatusOr<TensorMap> ReadTorchPickle(const std::filesystem::path& path,
                                          std::uint64_t max_bytes) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, max_bytes));
  return ParseTorchPickle(bytes);
}

}  // namespace atelier::models
